"""All evidence together: units of a chunk in, one row of evidence a concept out.

What is usual in the chunk (its vectors, its neighbours) is handed in, so that a damaged copy of a row is
measured exactly as the row itself was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from mldata import evidence
from mldata.evidence import (
    Embedded,
    Unit,
    alignment,
    back_translation,
    contrast,
    language,
    quality,
    similarity,
    structure,
)
from mldata.evidence.alignment import Pool
from mldata.evidence.quality import Judged
from mldata.evidence.similarity import Neighbours
from mldata.identify import Identifier
from mldata.languages import Language

DECIMALS = 4
"""Scores are stored rounded: batches of other shapes move an int8 encoder's cosine in the fifth."""


@dataclass(frozen=True)
class Context:
    """What a row is measured with and against."""

    identifiers: Sequence[Identifier]
    target: Language
    anchor: Language
    vectors: Embedded
    neighbours: Neighbours | None
    pool: Pool | None
    ratio: float | None
    """How long a target is by its source, `structure.ratio_of` the chunk."""
    judged: Judged | None = None
    """The quality estimator's view of pairs, if there is an estimator."""


def of_units(units: Sequence[Unit], context: Context) -> pl.DataFrame:
    """One row a unit: concept, field, message, weight, label, and every unit's evidence."""
    return placed(
        units,
        language.measure(units, context.identifiers, context.target, context.anchor),
        similarity.measure(units, context.vectors, context.neighbours),
        alignment.measure(units, context.vectors, context.pool, context.target.tag),
        back_translation.measure(units, context.vectors),
        quality.measure(units, context.judged),
        structure.measure(units, context.target, context.ratio, context.anchor),
    )


def placed(units: Sequence[Unit], *kinds: pl.DataFrame) -> pl.DataFrame:
    """The evidence of units beside where they stand and what they weigh: concept, field, message, weight."""
    places = {
        "concept": pl.Series([unit.concept for unit in units], dtype=pl.Int64),
        "field": pl.Series([unit.field for unit in units], dtype=pl.String),
        "message": pl.Series([unit.message for unit in units], dtype=pl.Int32),
        "weight": pl.Series([sum(p.weight for p in unit.pairs) for unit in units], dtype=pl.Float64),
    }
    return pl.concat([pl.DataFrame(places), *kinds], how="horizontal")


def of_concepts(measured: pl.DataFrame, units: Sequence[Unit], vectors: Embedded) -> pl.DataFrame:
    """One row a concept that has units: concept and every evidence column, rounded.

    `measured` is what `of_units` gave for `units`; of a damaged copy, only what changed is measured anew.
    """
    declared = evidence.columns()
    summary = evidence.summarise(measured, declared)
    joined = summary.join(contrast.measure(units, vectors), on="concept", how="left", maintain_order="left")
    return rounded(joined).select("concept", *(column.name for column in declared))


def issues() -> pl.Expr:
    """What a reader should look at in a row, in words."""
    found = {
        "spans_lost": pl.col("spans_kept") < 1,
        "numbers_changed": pl.col("numbers_changed") > 0,
        "markup_changed": ~pl.col("markup_kept"),
        "segments_empty": pl.col("empty_segments") > 0,
        "segments_added": pl.col("added_segments") > 0,
        "answers_alike": ~pl.col("answers_differ"),
        "nothing_to_translate": pl.col("empty_segments").is_null(),
        "too_short_to_identify": pl.col("language_score").is_null() & pl.col("empty_segments").is_not_null(),
    }
    marks = [pl.when(holds).then(pl.lit(name)) for name, holds in found.items()]
    return pl.concat_list(marks).list.drop_nulls().alias("issues")


def rounded(frame: pl.DataFrame) -> pl.DataFrame:
    """Scores to four decimals."""
    return frame.with_columns(pl.col(pl.Float64).round(DECIMALS))
