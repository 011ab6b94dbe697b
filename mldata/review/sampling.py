"""Which rows of a language are judged: most of them kept, more of them near a threshold, some dropped.

Kept and dropped rows are each parted in the quarter nearest to a rule's threshold and the rest, and rows are
drawn at random from each of these strata. What is drawn depends on the seed and the rows' ids alone: every
reviewer gets the same rows, a larger sample contains the smaller one, and rows drawn before `mldata select`
are as far as possible drawn again after it. Each row carries its stratum's size and the number drawn, from
which shares of *all* kept rows are estimated.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nsmallest
from pathlib import Path
from typing import Literal, get_args

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from mldata import inspection
from mldata.calibration import direction
from mldata.concepts import FIELDS
from mldata.errors import InputError
from mldata.recipe import Rule
from mldata.shards import Manifest, read_manifest
from mldata.side_by_side import Beside, Texts, beside

ROWS = 50
"""Rows of a language that a reviewer judges unless he says otherwise: about an hour."""
KEPT = 0.8
"""Share of a sample that is kept rows."""
NEAR = 0.5
"""Share of a sample that is near a threshold, of kept and of dropped rows."""
NEAREST = 0.25
"""Share of the kept rows, and of the dropped ones, that counts as near."""

Stratum = Literal["kept near", "kept far", "dropped near", "dropped far"]
STRATA: tuple[Stratum, ...] = get_args(Stratum)


class Draw(BaseModel):
    """How a row came into the sample."""

    model_config = ConfigDict(frozen=True)

    stratum: Stratum
    rows: int = Field(ge=1, description="of the stratum, in the set")
    drawn: int = Field(ge=1, description="of these, in the sample")
    fate: int = Field(ge=1, description="rows of both strata of its kind, kept or dropped")
    weight: float = Field(gt=0, description="rows of the set that it stands for: rows / drawn")
    nearest: str = Field(description="the rule whose threshold it is nearest to; empty where none has any")
    seed: int
    sample: int = Field(description="rows asked for")


@dataclass(frozen=True)
class Item:
    """One row to judge."""

    beside: Beside
    digest: str
    """Of the texts that are judged; see `digest`."""
    draw: Draw

    @property
    def key(self) -> tuple[str, str, str]:
        """What a verdict is on."""
        return self.beside.concept_id, self.beside.language, self.digest


def check_language(manifest: Manifest, language: str) -> str:
    """The language as the set has it; InputError where it isn't translated there."""
    if language not in manifest.targets:
        raise InputError(f"the set has no translations into {language}: it has {' '.join(manifest.targets)}")
    return language


def items(path: Path, language: str, *, sample: int = ROWS, seed: int = 0) -> list[Item]:
    """The rows of `language` to judge, in the order of judging. Fewer than `sample` where there are fewer."""
    with inspection.readable(path):
        draws = draw(path, language, sample=sample, seed=seed)
    wanted = pl.DataFrame({"concept_id": list(draws)}, {"concept_id": pl.String})
    found = beside(path, wanted.with_columns(language=pl.lit(language)))
    return [Item(one, digest(one.source, one.translation), draws[one.concept_id]) for one in found]


def digest(source: Texts, translation: Texts) -> str:
    """Of the texts of a source row and its translation: a verdict counts for these and no others."""
    texts = [[row[name] for name in FIELDS] for row in (source, translation)]
    return hashlib.blake2b(json.dumps(texts).encode(), digest_size=16).hexdigest()


def draw(path: Path, language: str, *, sample: int = ROWS, seed: int = 0) -> dict[str, Draw]:
    """Concept -> how its row of `language` was drawn, in the order of judging, which tells nothing of it.

    Dropped rows are those that broke a rule, not those that went with their concept.
    """
    manifest = read_manifest(path)
    check_language(manifest, language)
    kept = _near_and_far(_distances(inspection.kept_rows(path, manifest), language, manifest.rules, True))
    broke = pl.col("reasons").list.set_intersection([rule.name for rule in manifest.rules]).list.len() > 0
    written = pl.all_horizontal(pl.col(name).is_not_null() for name in FIELDS)
    gone = inspection.dropped_rows(path, manifest).filter(broke, written)
    dropped = _near_and_far(_distances(gone, language, manifest.rules, False))
    strata = dict(zip(STRATA, (*kept, *dropped), strict=True))
    counts = _shared(sample, [len(rows) for rows in strata.values()])
    drawn: dict[str, Draw] = {}
    for (stratum, rows), count in zip(strata.items(), counts, strict=True):
        fate = sum(len(each) for name, each in strata.items() if name.split()[0] == stratum.split()[0])
        lots = nsmallest(count, rows.iter_rows(), key=lambda row: _lot("drawn", seed, language, row[0]))
        for concept, nearest in lots:
            drawn[concept] = Draw(
                stratum=stratum,
                rows=len(rows),
                drawn=count,
                fate=fate,
                weight=round(len(rows) / count, 6),
                nearest=nearest or "",
                seed=seed,
                sample=sample,
            )
    return dict(sorted(drawn.items(), key=lambda one: _lot("order", seed, language, one[0])))


def _lot(what: str, seed: int, language: str, concept: str) -> bytes:
    """The same everywhere, which Polars' hashes and Python's are not."""
    return hashlib.blake2b(f"{what} {seed} {language} {concept}".encode(), digest_size=8).digest()


def _distances(rows: pl.LazyFrame, language: str, rules: Sequence[Rule], kept: bool) -> pl.DataFrame:
    """Columns concept_id, nearest (a rule) and distance in (0, 1], of one language.

    A kept row's distance to a rule's threshold is the share of the kept rows that would go if the threshold
    moved just past it, and its distance is the smallest; where that is all of them, no rule is near. A
    dropped row's is the share of those that break the rule which would have to be let in with it, and its
    distance is the largest: all the rules that it breaks would have to move. Shares have no unit, and many
    rows at the best value a rule knows, as of a count that must be 0, aren't near.
    """
    movable = [rule for rule in rules if direction(rule)]
    mine = (
        rows.filter(pl.col("language") == language, ~pl.col("is_anchor"))
        .select("concept_id", *dict.fromkeys(rule.column for rule in rules))
        .collect()
    )
    distances = []
    for rule in rules:
        value = direction(rule) * pl.col(rule.column)
        if kept:
            distance = value.rank("max") / pl.len() if rule in movable else pl.lit(1.0)
        else:
            broken = pl.when(rule.broken(language))
            ranks = broken.then(-value).rank("max") if rule in movable else pl.lit(1.0)
            distance = broken.then(ranks / rule.broken(language).sum())
        distances.append(distance.cast(pl.Float64).alias(rule.name))
    names = [rule.name for rule in rules]
    if not names:
        return mine.select("concept_id", nearest=pl.lit(""), distance=pl.lit(1.0))
    over = pl.min_horizontal(names) if kept else pl.max_horizontal(names)
    nearest = pl.coalesce(pl.when(over < 1, pl.col(name) == over).then(pl.lit(name)) for name in names)
    return mine.select("concept_id", *distances).select(
        "concept_id", nearest=nearest, distance=over.fill_null(1.0)
    )


def _near_and_far(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Columns concept_id and nearest: the nearest quarter, and the rest."""
    near = round(NEAREST * len(rows))
    ordered = rows.sort("distance", "concept_id").select("concept_id", "nearest")
    return ordered.head(near), ordered.slice(near)


def _shared(sample: int, sizes: Sequence[int]) -> list[int]:
    """Rows drawn from each stratum; what one lacks, another gives."""
    kept_near, kept_far, dropped_near, dropped_far = sizes
    kept, dropped = _split(sample, kept_near + kept_far, dropped_near + dropped_far, KEPT)
    return [*_split(kept, kept_near, kept_far, NEAR), *_split(dropped, dropped_near, dropped_far, NEAR)]


def _split(count: int, first: int, second: int, share: float) -> tuple[int, int]:
    """`share` of `count` from the first, as far as both have enough."""
    of_second = min(second, count - min(first, round(share * count)))
    return min(first, count - of_second), of_second
