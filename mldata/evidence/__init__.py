"""Evidence: what is measured of a translated row. One file a kind; none of them decides anything.

A text (a field, or one message of it) is measured over its aligned segments, giving one row of unit
evidence; `summarise` brings the units of a concept together to the flat columns that rules speak of.
Null means that there was nothing to measure, with the reason beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import regex

from mldata.concepts import FIELDS

Embedded = Mapping[str, npt.NDArray[np.float32]]
"""Unit vectors of a chunk's texts."""

VERSION = 10
"""Enters the digest of measured chunks: raise it when any measure changes."""


@dataclass(frozen=True)
class Pair:
    """One segment and what became of it, protected spans taken out."""

    source: str
    target: str
    back: str
    """The target translated back into the anchor language."""
    pivot: str
    """The text before the last hop of the route; empty where the route is direct."""
    unknown: tuple[str, ...]
    """Words that no dictionary of the route held."""
    fit: float | None = None
    """How sure the aligner is that the two belong together (`alignment.Step.fit`); None where an engine
    made one from the other. Source or target is empty where a segment stands alone."""

    @property
    def weight(self) -> int:
        """What the segment counts in a mean: its length in characters, and never nothing."""
        return max(1, len(self.source or self.target))


@dataclass(frozen=True)
class Unit:
    """One text of a concept with its translation: a field, or one message of a conversation."""

    concept: int
    """Row of the concept in its chunk."""
    field: str
    message: int
    source: str
    target: str
    protected: tuple[str, ...]
    """What the source protects, in order, duplicates included."""
    pairs: tuple[Pair, ...]


UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
"""A character of a script that writes no blanks between words, as a pattern of `regex`."""
_UNSPACED = regex.compile(UNSPACED)

_LETTER = regex.compile(r"\p{L}")
_DENSE_LETTER = regex.compile(r"[\u3040-\u9fff&&\p{L}]", regex.VERSION1)

MIN_WORDS, MIN_LETTERS = 4, 15
"""Shorter segments ("Yes, sure.") have cosines and lengths of their own."""


@lru_cache(maxsize=1 << 16)  # asked of each segment by several kinds of evidence
def is_long(segment: str) -> bool:
    """Whether a segment is long enough for the worst one of a text to mean something."""
    spaced = len(segment.split()) >= MIN_WORDS or _UNSPACED.search(segment)
    return bool(spaced) and letters(segment) >= MIN_LETTERS


def letters(text: str) -> int:
    """Letters of a text; a character of Chinese or Japanese says about as much as three."""
    return len(_LETTER.findall(text)) + 2 * len(_DENSE_LETTER.findall(text))


Aggregate = Literal["min", "max", "mean", "all", "row"]


@dataclass(frozen=True)
class Column:
    """One evidence column of a row: how it comes from the units, and what it says."""

    name: str
    aggregate: Aggregate
    """Over the row's units: the worst (min or max), the length-weighted mean, all true; or of the row."""
    meaning: str


LENGTH_DEVIATION = "length_deviation"
"""The one evidence column that `select` computes: |ln| of length_ratio by the language's median."""


def columns() -> list[Column]:
    """Every evidence column, in the order in which a set shows them."""
    from mldata.evidence import (
        alignment,
        back_translation,
        contrast,
        language,
        quality,
        similarity,
        structure,
    )

    kinds = (language, similarity, alignment, back_translation, quality, contrast, structure)
    return [column for kind in kinds for column in kind.COLUMNS]


def summarise(units: pl.DataFrame, declared: Sequence[Column]) -> pl.DataFrame:
    """Unit evidence to row evidence.

    `units` has columns concept, weight and those declared; the result has one row for each concept in
    it, ordered, and the same evidence columns but those of the kind "row".
    """
    weighted = {
        "min": lambda name: pl.col(name).min(),
        "max": lambda name: pl.col(name).max(),
        "all": lambda name: pl.col(name).min(),  # null where every unit's is
        "mean": lambda name: (
            (pl.col(name) * pl.col("weight")).sum()
            / pl.col("weight").filter(pl.col(name).is_not_null()).sum()
        ).fill_nan(None),
    }
    return (
        units.group_by("concept", maintain_order=True)
        .agg(
            weighted[column.aggregate](column.name).alias(column.name)
            for column in declared
            if column.aggregate != "row"
        )
        .sort("concept")
    )


def nest(units: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Unit evidence to one struct a concept: `fields`, with a list of units for each field."""
    structs = units.select("concept", "field", pl.struct("message", *names).alias("unit"))
    empty = pl.lit([], dtype=pl.List(structs.schema["unit"]))
    lists = structs.group_by("concept", maintain_order=True).agg(
        pl.col("unit").filter(pl.col("field") == field).alias(field) for field in FIELDS
    )
    return lists.sort("concept").select(
        "concept", pl.struct(pl.col(field).fill_null(empty) for field in FIELDS).alias("fields")
    )
