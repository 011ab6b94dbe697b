"""What a report counts over a set's rows: reasons and their combinations, languages a concept has, lengths.

Each is one streaming query whose answer is small; the texts' lengths are taken while the texts pass by.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from mldata import inspection
from mldata.concepts import FIELDS
from mldata.shards import Manifest

BLOCK = 1 << 17
"""Concepts whose languages are multiplied with one another at a time."""


@dataclass(frozen=True)
class Removed:
    """What one reason removed."""

    reason: str
    alone: int
    """Rows with this reason only."""
    jointly: int
    """Rows with others besides."""

    @property
    def rows(self) -> int:
        """All of them."""
        return self.alone + self.jointly


@dataclass(frozen=True)
class Reasons:
    """Why translated rows were dropped: language -> reasons of a row together -> rows."""

    of: dict[str, dict[tuple[str, ...], int]]

    def removed(self, language: str | None = None) -> list[Removed]:
        """By reason, most rows first; of all languages together without one."""
        alone: Counter[str] = Counter()
        jointly: Counter[str] = Counter()
        for why, rows in self.together(language).items():
            for reason in why:
                (alone if len(why) == 1 else jointly)[reason] += rows
        made = [Removed(reason, alone[reason], jointly[reason]) for reason in {**alone, **jointly}]
        return sorted(made, key=lambda one: (-one.rows, one.reason))

    def together(self, language: str | None = None) -> dict[tuple[str, ...], int]:
        """Reasons that a row has together -> rows, most rows first."""
        found: Counter[tuple[str, ...]] = Counter()
        for tag, combinations in self.of.items():
            if language in (None, tag):
                found.update(combinations)
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def reasons(path: Path, manifest: Manifest) -> Reasons:
    """Over the dropped rows of translations."""
    rows = (
        inspection.dropped_rows(path, manifest)
        .filter(~pl.col("is_anchor"))
        .select("language", why=pl.col("reasons").list.join(" "))  # no reason's name has a blank
        .group_by("language", "why")
        .len()
        .collect(engine="streaming")
    )
    made: dict[str, dict[tuple[str, ...], int]] = {tag: {} for tag in manifest.targets}
    for tag, why, count in rows.sort("len", "why", descending=[True, False]).iter_rows():
        made[tag][tuple(why.split())] = count
    return Reasons(made)


@dataclass(frozen=True)
class Groups:
    """How complete the kept concepts are."""

    sizes: dict[int, int]
    """Number of translations -> concepts that have so many."""
    pairs: npt.NDArray[np.int64]
    """Concepts kept in both of two targets, in the manifest's order; a target with itself: its rows."""


def groups(path: Path, manifest: Manifest) -> Groups:
    """Over the kept rows, in which a concept's rows stand together and the anchor's is the first."""
    languages = pl.Enum([manifest.anchor, *manifest.targets])
    rows = (
        inspection.kept_rows(path, manifest)
        .select("is_anchor", pl.col("language").cast(languages).to_physical())
        .collect(engine="streaming")
    )
    concept = rows["is_anchor"].cast(pl.UInt32).cum_sum().to_numpy() - 1
    language = rows["language"].to_numpy().astype(np.int64) - 1
    translated = language >= 0
    concepts = int(concept[-1]) + 1 if len(concept) else 0
    size = np.bincount(concept[translated], minlength=concepts)
    pairs = np.zeros((len(manifest.targets),) * 2, np.int64)
    for start in range(0, concepts, BLOCK):
        first, last = np.searchsorted(concept, [start, start + BLOCK])
        mine = translated[first:last]
        has = np.zeros((min(BLOCK, concepts - start), len(pairs)), np.float32)
        has[concept[first:last][mine] - start, language[first:last][mine]] = 1
        pairs += np.rint(has.T @ has).astype(np.int64)
    counted = np.bincount(size, minlength=len(pairs) + 1)
    return Groups({k: int(n) for k, n in enumerate(counted)}, pairs)


@dataclass(frozen=True)
class Lengths:
    """Characters (code points) of one language's kept rows."""

    rows: int
    characters: int
    medians: dict[str, float]
    """Field -> median."""
    long: dict[str, float]
    """Field -> 95 % quantile."""


def lengths(path: Path, manifest: Manifest) -> dict[str, Lengths]:
    """By language, of those that have kept rows."""
    rows = inspection.kept_rows(path, manifest)
    languages = pl.Enum([manifest.anchor, *manifest.targets])
    schema = rows.collect_schema()
    counted = [_characters(name, schema[name]) for name in FIELDS]
    read = rows.select(pl.col("language").cast(languages), *counted).collect(engine="streaming")
    wanted = [
        pl.len().alias("rows"),
        pl.sum_horizontal(pl.col(name).cast(pl.Int64).sum() for name in FIELDS).alias("characters"),
        *(pl.col(name).median().name.suffix("_50") for name in FIELDS),
        *(pl.col(name).quantile(0.95, "nearest").name.suffix("_95") for name in FIELDS),
    ]
    return {
        row["language"]: Lengths(
            row["rows"],
            row["characters"],
            {name: row[f"{name}_50"] or 0.0 for name in FIELDS},
            {name: row[f"{name}_95"] or 0.0 for name in FIELDS},
        )
        for row in read.group_by("language").agg(wanted).sort("language").iter_rows(named=True)
    }


def _characters(name: str, kind: pl.DataType) -> pl.Expr:
    """Of a string, or of all a conversation's messages."""
    if not isinstance(kind, pl.List):
        return pl.col(name).str.len_chars()
    content = pl.element().struct.field("content").str.len_chars()
    return pl.col(name).list.eval(content).list.sum().alias(name)
