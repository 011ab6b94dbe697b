"""How each evidence column is spread over a language's rows, kept and dropped, and which rows lie next to
a threshold.

A few columns are read at a time, so that memory holds numbers of some columns and never a text; all figures
are exact. Rows are known by their place among all rows, kept ones first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from mldata import inspection
from mldata.calibration import direction
from mldata.evidence import LENGTH_DEVIATION, columns
from mldata.recipe import Rule
from mldata.shards import Manifest

BINS = 36
VALUES = 1 << 25
"""Numbers that are in memory at a time."""
TAIL = 0.005
"""Share of the rows that a distribution's first and last bin may take in beyond its ends."""
MEANINGS = {column.name: column.meaning for column in columns()} | {
    LENGTH_DEVIATION: "|ln| of length_ratio by the language's median"
}


@dataclass(frozen=True)
class Near:
    """A row near a threshold."""

    place: int
    """Of the row among all rows."""
    language: str
    rule: str
    value: float
    threshold: float
    distance: float
    """From the threshold: 1 is as far as the language's median kept row is, or, where that lies on the
    threshold or there is none, the median of the rows that broke this rule alone."""


@dataclass(frozen=True)
class Spread:
    """One numeric evidence column over all languages."""

    name: str
    rules: tuple[Rule, ...]
    edges: npt.NDArray[np.float64]
    """BINS + 1 values; what lies beyond the ends is in the first and last bin."""
    kept: dict[str, npt.NDArray[np.int64]]
    """Language -> rows in each bin; all zero where nothing was measured."""
    dropped: dict[str, npt.NDArray[np.int64]]

    @property
    def meaning(self) -> str:
        """What it measures."""
        return MEANINGS.get(self.name, "")


@dataclass
class Spreads:
    """What the rows' evidence looks like."""

    columns: list[Spread] = field(default_factory=list)
    medians: dict[str, dict[str, float]] = field(default_factory=dict)
    """Column -> language -> median over all measured rows; of a column of yes and no, the share of yes."""
    worst_kept: list[Near] = field(default_factory=list)
    """Kept rows nearest to a threshold, some of each language."""
    best_dropped: list[Near] = field(default_factory=list)
    """Rows that broke one rule alone, by little, some of each language."""


def spreads(path: Path, manifest: Manifest, examples: int) -> Spreads:
    """Read all evidence of the set, and find `examples` rows of each language on both sides."""
    found = Spreads()
    kept: list[Near] = []
    dropped: list[Near] = []
    for name, yes_or_no, values in _values(path, manifest):
        rules = tuple(rule for rule in manifest.rules if rule.column == name)
        if values.is_empty():
            continue
        middle = pl.col("value").mean() if yes_or_no else pl.col("value").quantile(0.5)  # as inspect's
        found.medians[name] = dict(values.group_by("language").agg(middle).iter_rows())
        if not yes_or_no:
            found.columns.append(_spread(name, rules, values, manifest.targets))
        for rule in rules:
            near = _near(rule, values, manifest.targets, examples)
            kept += near[0]
            dropped += near[1]
    found.worst_kept = _first(kept, manifest.targets, examples)
    found.best_dropped = _first(dropped, manifest.targets, examples)
    return found


def both(path: Path, manifest: Manifest) -> list[pl.LazyFrame]:
    """Kept and dropped rows of the translations' columns that both have, in the order of their places."""
    none = pl.lit(None, pl.String)
    return [
        inspection.kept_rows(path, manifest).with_columns(kept=True, solo=none),
        inspection.dropped_rows(path, manifest).with_columns(
            kept=False,
            solo=pl.when(pl.col("reasons").list.len() == 1).then(pl.col("reasons").list.first()),
        ),
    ]


def _values(path: Path, manifest: Manifest) -> Iterator[tuple[str, bool, pl.DataFrame]]:
    """Each evidence column, whether it says yes or no, and where it was measured: place, language, kept,
    solo (the only reason) and value."""
    frames = both(path, manifest)
    there = frames[0].collect_schema()  # a set of an earlier version lacks what came later
    names = [name for name in MEANINGS if name in there]
    languages = pl.Enum([manifest.anchor, *manifest.targets])
    rules = pl.Enum([rule.name for rule in manifest.rules])
    common: list[pl.Expr | str] = [
        pl.col("language").cast(languages),
        "is_anchor",
        "kept",
        pl.col("solo").cast(rules, strict=False),
    ]
    rows = sum(file.rows for file in manifest.files if file.split in ("train", "test", "dropped"))
    step = max(1, VALUES // max(1, rows))
    for start in range(0, len(names), step):
        some = names[start : start + step]
        numbers = [pl.col(name).cast(pl.Float64) for name in some]
        # one after the other: rows keep their places
        read = pl.concat([frame.select(*common, *numbers).collect(engine="streaming") for frame in frames])
        read = read.with_row_index("place").filter(~pl.col("is_anchor"))
        for name in some:
            values = read.select("place", "language", "kept", "solo", value=name)
            yield name, there[name] == pl.Boolean, values.filter(pl.col("value").is_finite())


def _spread(name: str, rules: tuple[Rule, ...], values: pl.DataFrame, targets: Sequence[str]) -> Spread:
    """Counts in bins of equal width over all but the outermost values, and over all thresholds."""
    tails = [values["value"].quantile(q, "nearest") for q in (TAIL, 1 - TAIL)]
    marks = [float(rule.threshold(tag)) for rule in rules for tag in targets]
    low, high = _ends([float(end) for end in tails if end is not None], marks)
    if low == high:
        low, high = _ends([float(values["value"].min()), float(values["value"].max())], marks)  # type: ignore[arg-type]
    if low == high:
        low, high = low - 0.5, high + 0.5
    room = (high - low) / (BINS - 2)  # what fails shows beyond the threshold, not on it
    low -= room if low in marks and any(direction(rule) > 0 for rule in rules) else 0
    high += room if high in marks and any(direction(rule) < 0 for rule in rules) else 0
    places = ((pl.col("value") - low) / (high - low) * BINS).floor().clip(0, BINS - 1).cast(pl.Int64)
    counts = values.group_by("language", "kept", places.alias("bin")).len()
    made = {kept: {tag: np.zeros(BINS, np.int64) for tag in targets} for kept in (True, False)}
    for tag, kept, place, rows in counts.iter_rows():
        made[kept][tag][place] = rows
    return Spread(name, rules, np.linspace(low, high, BINS + 1), made[True], made[False])


def _ends(values: Sequence[float], marks: Sequence[float]) -> tuple[float, float]:
    return min([*values, *marks]), max([*values, *marks])


def _near(
    rule: Rule, values: pl.DataFrame, targets: Sequence[str], examples: int
) -> tuple[list[Near], list[Near]]:
    """Kept rows that hold the rule by the least, and rows that break it alone, by the least."""
    thresholds = {tag: float(rule.threshold(tag)) for tag in targets}
    held = values.filter(pl.col("kept") | (pl.col("solo") == rule.name)).with_columns(
        threshold=pl.col("language").cast(pl.String).replace_strict(thresholds, return_dtype=pl.Float64),
    )
    held = held.with_columns(away=(pl.col("value") - pl.col("threshold")).abs())
    kept, broke = held.filter("kept"), held.filter(~pl.col("kept"))
    typical = kept.group_by("language").agg(scale=pl.col("away").median()).filter(pl.col("scale") > 0)
    itself = broke.group_by("language").agg(own=pl.col("away").median())
    scaled = broke.join(itself, on="language").join(typical, on="language", how="left")
    broke = scaled.with_columns(scale=pl.coalesce("scale", "own"))
    nearest: list[list[Near]] = []
    for rows in (kept.join(typical, on="language") if direction(rule) else kept.head(0), broke):
        if rows.is_empty():
            nearest.append([])
            continue
        far = (pl.col("away") / pl.col("scale")).fill_nan(0.0).alias("distance")
        some = rows.with_columns(far).sort("distance", "place").group_by("language", maintain_order=True)
        nearest.append(
            [
                Near(place, tag, rule.name, value, threshold, distance)
                for place, tag, value, threshold, distance in some.head(examples)
                .select("place", "language", "value", "threshold", "distance")
                .iter_rows()
            ]
        )
    return nearest[0], nearest[1]


def _first(near: Iterable[Near], targets: Sequence[str], examples: int) -> list[Near]:
    """Some rows of each language, the nearest first, of as many rules as there are; no row twice."""
    by_rule: dict[tuple[str, str], int] = {}
    ranked = []
    for one in sorted(near, key=lambda one: (one.distance, one.place)):
        rank = by_rule.get((one.language, one.rule), 0)
        by_rule[one.language, one.rule] = rank + 1
        ranked.append((rank, one))
    chosen: dict[str, dict[int, Near]] = {tag: {} for tag in targets}
    for _, one in sorted(ranked, key=lambda pair: (pair[0], pair[1].distance, pair[1].place)):
        mine = chosen[one.language]
        if len(mine) < examples and one.place not in mine:
            mine[one.place] = one
    return [
        one
        for tag in targets
        for one in sorted(chosen[tag].values(), key=lambda one: (one.distance, one.place))
    ]
