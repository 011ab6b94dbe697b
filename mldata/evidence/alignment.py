"""Alignment evidence: does each segment have its counterpart, the whole of it and nothing else?

Rows from outside and engines that translate whole blocks give a text, not segments. A path of the best
total score is searched over both texts' segments in order: one to one, merged (up to three to one), or
without counterpart; what fits nothing stays alone. Where an engine made each segment from one of the
source, the path is known, and the same score is that of its steps.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from mldata.encode import Vectors
from mldata.evidence import Column, Embedded, Pair, Unit, is_long
from mldata.evidence.similarity import BLOCK, nearest
from mldata.text import split

COLUMNS = (Column("alignment", "min", "how much better the worst segment fits its counterpart than none"),)

VERSION = 2
"""Enters digests: raise it when the same texts are aligned otherwise."""

STEPS = ((1, 1), (1, 2), (2, 1), (2, 2), (1, 3), (3, 1), (1, 0), (0, 1))
"""Source and target segments of one step; the last is a target segment alone."""
_ALONE = len(STEPS) - 1
LENGTH_WEIGHT, MERGE_COST, BONUS = 0.2, 0.1, 0.1
"""Weights of a step's score, see `align`. Chosen on eight-sentence texts in six languages (NTREX and
FLORES-200, human and Google's): of right texts 99.8 % (Google) and 94 % (human) keep every segment in a
step; of texts with one sentence dropped 3 %, added 6 %, replaced 0.3 %. Without the length term a dropped
sentence hides in a merge; without the local scaling a replaced one passes (12 %)."""
NOTHING_FITS = -1.0
"""The fit of a segment whose text has no other side: worse than any segment that was compared."""
BAND, MAX_BAND = 24, 256
"""Segments by which a path may leave the diagonal: an eighth of the texts', within these."""
MIN_POOL = 20
"""Fewer segments don't tell a language's centre, fewer texts not its length ratio."""

_SENTENCE_END = re.compile(r"[.!?…。！？।؟]\W*\w")


class Step(NamedTuple):
    """Segments `source_start:source_end` and `target_start:target_end` stand for each other."""

    source_start: int
    source_end: int
    target_start: int
    target_end: int
    fit: float
    """What the best path loses if it must leave the step's least certain segment alone; negative where it
    does leave one alone, and would lose as much if it had to place it. In the units of `align`'s score."""


@dataclass(frozen=True)
class Pool:
    """What is usual among texts of one pair of languages: where vectors lie, and how lengths relate.

    Encoders crowd all sentences of a language into a cone (unrelated ones have a cosine of 0.77 in e5,
    which grows to 0.87 when two are averaged). Distance from the cone's centre is what tells them apart,
    and stays what it is in a merge.
    """

    source_centre: npt.NDArray[np.float32]
    target_centre: npt.NDArray[np.float32]
    ratio: float
    """Median length of a target text by its source's, in characters."""
    sources: Vectors
    targets: Vectors
    """The segments of each side, of unit norm about their centre."""

    @classmethod
    def of_units(cls, units: Sequence[Unit], vectors: Embedded) -> Pool | None:
        """Over the segments of units; None where there are none."""
        texts = [
            ([p.source for p in unit.pairs if p.source], [p.target for p in unit.pairs if p.target])
            for unit in units
        ]
        return cls.of(texts, vectors) if any(source or target for source, target in texts) else None

    @classmethod
    def of(cls, texts: Sequence[tuple[Sequence[str], Sequence[str]]], vectors: Embedded) -> Pool:
        """Over texts in segments, source and target side; mostly right ones."""
        sides = [sorted({segment for text in texts for segment in text[side]}) for side in (0, 1)]
        if min(map(len, sides)) < MIN_POOL:
            centres = [_mean(sides[0] + sides[1], vectors)] * 2
        else:
            centres = [_mean(side, vectors) for side in sides]
        ratios = [_length(target) / _length(source) for source, target in texts if source and target]
        ratio = float(np.median(ratios)) if len(ratios) >= MIN_POOL else _overall(texts)
        clouds = [_centred(side, centre, vectors) for side, centre in zip(sides, centres, strict=True)]
        return cls(centres[0], centres[1], ratio, clouds[0], clouds[1])


def measure(units: Sequence[Unit], vectors: Embedded, pool: Pool | None, target: str) -> pl.DataFrame:
    """One row a unit: alignment. `vectors` has those of `texts` too; `target` is the units' language."""
    found: list[float | None] = [None] * len(units)
    if pool:
        distinct = sorted({(p.source, p.target) for u in units for p in u.pairs if _is_made(p)})
        fits = _fits(distinct, vectors, pool)
        for source, several in distinct:
            if len(parts := _added_parts(source, several, target)) > 1:
                steps = align_text([source], parts, vectors, pool)
                fits[source, several] = min(step.fit for step in steps)
        found = [_worst(unit, fits) for unit in units]
    return pl.DataFrame({"alignment": pl.Series(found, dtype=pl.Float64)})


def texts(units: Sequence[Unit], target: str) -> set[str]:
    """What `measure` wants the vectors of, beyond sources and targets: the sentences of a target that has
    several where its source is one. What an engine adds stands in the same segment."""
    found: set[str] = set()
    for source, several in {(p.source, p.target) for unit in units for p in unit.pairs if _is_made(p)}:
        if len(parts := _added_parts(source, several, target)) > 1:
            found.update(parts)
    return found


def _is_made(pair: Pair) -> bool:
    """Whether an engine made the target from the source."""
    return pair.fit is None and bool(pair.source and pair.target)


@lru_cache(maxsize=1 << 12)  # asked before a chunk's texts are encoded, and after
def _added_parts(source: str, several: str, language: str) -> tuple[str, ...]:
    """The sentences of a target; itself where the source may have several too, as a quotation does that
    sentencex keeps whole."""
    if _SENTENCE_END.search(source) or not _SENTENCE_END.search(several):
        return (several,)
    return tuple(_segments(several, language))


def _worst(unit: Unit, fits: Mapping[tuple[str, str], float]) -> float | None:
    pairs = [pair for pair in unit.pairs if is_long(pair.source) or is_long(pair.target)]
    found = [
        pair.fit if pair.fit is not None else fits.get((pair.source, pair.target), NOTHING_FITS)
        for pair in pairs
    ]
    return min(found, default=None)


def _fits(pairs: Sequence[tuple[str, str]], vectors: Embedded, pool: Pool) -> dict[tuple[str, str], float]:
    """The score of a step from one segment to one, of each pair: see `align`."""
    found: dict[tuple[str, str], float] = {}
    for start in range(0, len(pairs), BLOCK):
        block = pairs[start : start + BLOCK]
        sources, targets = ([pair[side] for pair in block] for side in (0, 1))
        left = _centred(sources, pool.source_centre, vectors)
        right = _centred(targets, pool.target_centre, vectors)
        of_source = _merged(left, list(map(len, sources)), 1, pool.targets)
        of_target = _merged(right, list(map(len, targets)), 1, pool.sources)
        scores = _score((left * right).sum(axis=1), of_source, of_target, pool.ratio)
        found.update(zip(block, map(float, scores), strict=True))
    return found


def align_units(
    units: Sequence[Unit],
    anchor: str,
    target: str,
    embed: Callable[[set[str]], Embedded],
    pool: Pool | None = None,
) -> list[Unit]:
    """The units with pairs found anew: both texts are split by their languages' rules and aligned.

    `embed` gives the vectors of all segments asked for. Without `pool`, the units themselves tell what is
    usual.
    """
    texts = [(_segments(unit.source, anchor), _segments(unit.target, target)) for unit in units]
    vectors = embed({segment for text in texts for side in text for segment in side})
    if pool is None and any(source or target for source, target in texts):
        pool = Pool.of(texts, vectors)
    made = []
    for unit, (source, other) in zip(units, texts, strict=True):
        steps = align_text(source, other, vectors, pool)
        made.append(replace(unit, pairs=tuple(_pair(source, other, step) for step in steps)))
    return made


def _pair(source: Sequence[str], target: Sequence[str], step: Step) -> Pair:
    said = " ".join(source[step.source_start : step.source_end])
    translated = " ".join(target[step.target_start : step.target_end])
    return Pair(said, translated, "", "", (), step.fit)


def _segments(text: str, language: str) -> list[str]:
    return [plain for segment in split(text, language).segments if (plain := segment.plain)]


def align_text(
    source: Sequence[str], target: Sequence[str], vectors: Embedded, pool: Pool | None
) -> list[Step]:
    """The best path through one text in segments, with `pool` saying what is usual; see `align`.

    Every segment alone where one side has none, or nothing is known of what is usual.
    """
    if pool is None or not source or not target:
        left = [Step(i, i + 1, 0, 0, NOTHING_FITS) for i in range(len(source))]
        return left + [Step(0, 0, j, j + 1, NOTHING_FITS) for j in range(len(target))]
    return align(
        _centred(source, pool.source_centre, vectors),
        _centred(target, pool.target_centre, vectors),
        list(map(len, source)),
        list(map(len, target)),
        pool=pool,
    )


def align(
    source: Vectors,
    target: Vectors,
    source_lengths: Sequence[int],
    target_lengths: Sequence[int],
    *,
    pool: Pool,
) -> list[Step]:
    """The best path through two texts, in order; every segment is in one step.

    `source` and `target` are float32[n, d] and float32[m, d] of unit norm about their languages' centres,
    the lengths are in characters. A step of vectors x and y (means weighted by length where it merges
    segments) scores, times half its segments,

        cos(x, y) - (near(x) + near(y)) / 2 + 0.1 - 0.2 |ln(length ratio / usual ratio)| - 0.1 merges

    where near is the mean cosine with the four nearest segments of the pool's other side (the cross-domain
    similarity local scaling of Conneau et al. 2018); a segment alone scores nothing. Dynamic programming
    over segments after Gale & Church (1993) and vecalign (Thompson & Koehn 2019), forwards and backwards,
    so that each segment's best path with and without a counterpart is known. Memory grows with the longer
    text alone, not with the product of the two.
    """
    sources = [_merged(source, source_lengths, size, pool.targets) for size in (1, 2, 3)]
    targets = [_merged(target, target_lengths, size, pool.sources) for size in (1, 2, 3)]
    forward = _Search(sources, targets, pool.ratio)
    backward = _Search([m.reversed() for m in sources], [m.reversed() for m in targets], pool.ratio)
    backward.run()
    matched = forward.run(backward)
    alone = forward.alone(backward)
    fits = [with_one - without for with_one, without in zip(matched, alone, strict=True)]
    return [
        Step(*ends, float(min([*fits[0][ends[0] : ends[1]], *fits[1][ends[2] : ends[3]]])))
        for ends in forward.path()
    ]


Scores = npt.NDArray[np.float32]


class _Search:
    """One direction of the dynamic programme: the best score of every pair of prefixes within the band."""

    def __init__(self, sources: Sequence[_Merged], targets: Sequence[_Merged], ratio: float) -> None:
        self.sources, self.targets, self.ratio = sources, targets, ratio
        self.n, self.m = len(sources[0].lengths), len(targets[0].lengths)
        self.width = max(BAND, min(MAX_BAND, (self.n + self.m) // 8)) + abs(self.n - self.m)
        self.rows: list[Scores] = []
        self.taken: list[npt.NDArray[np.int8]] = []

    def band(self, i: int) -> tuple[int, int]:
        """First and last-but-one target position looked at after `i` source segments."""
        middle = round(i * self.m / self.n) if self.n else 0
        return max(0, middle - self.width), min(self.m, middle + self.width) + 1

    def row(self, i: int, start: int, end: int) -> Scores:
        """Best scores at source position `i` and target positions `start` to `end`; -inf off the band."""
        low, high = self.band(i)
        found = np.full(end - start, -np.inf, np.float32)
        a, b = max(low, start), min(high, end)
        if a < b:
            found[a - start : b - start] = self.rows[i][a - low : b - low]
        return found

    def run(self, backward: _Search | None = None) -> tuple[Scores, Scores]:
        """Fill in all rows; with the other direction, the best path on which each segment is in a step."""
        matched = np.full(self.n, -np.inf, np.float32), np.full(self.m, -np.inf, np.float32)
        for i in range(self.n + 1):
            low, high = self.band(i)
            row, came = np.full(high - low, -np.inf, np.float32), np.full(high - low, _ALONE, np.int8)
            if i == 0:
                row[0] = 0.0
            for number, (ds, dt) in enumerate(STEPS[:_ALONE]):
                start = max(low, dt)
                if i < ds or start >= high:
                    continue
                reached = self._reached(i, ds, dt, start, high)
                if backward and dt:
                    through = reached + backward.row(self.n - i, self.m - high + 1, self.m - start + 1)[::-1]
                    matched[0][i - ds : i] = np.maximum(matched[0][i - ds : i], through.max())
                    for back in range(1, dt + 1):
                        part = matched[1][start - back : high - back]
                        np.maximum(part, through, out=part)
                better = reached > row[start - low :]
                row[start - low :][better] = reached[better]
                came[start - low :][better] = number
            best = np.maximum.accumulate(row)  # a target segment alone scores 0
            came[best > row] = _ALONE
            self.rows.append(best)
            self.taken.append(came)
        return matched

    def _reached(self, i: int, ds: int, dt: int, start: int, high: int) -> Scores:
        """Scores at (i, start..high) of paths whose last step takes `ds` and `dt` segments."""
        before = self.row(i - ds, start - dt, high - dt)
        if not dt:
            return before
        source = self.sources[ds - 1].part(i - ds, i - ds + 1)
        targets = self.targets[dt - 1].part(start - dt, high - dt)
        score = _score(targets.vectors @ source.vectors[0], source, targets, self.ratio, ds + dt - 2)
        return np.asarray(before + score * ((ds + dt) / 2), np.float32)

    def alone(self, backward: _Search) -> tuple[Scores, Scores]:
        """The best path on which each segment has no counterpart."""
        n, m = self.n, self.m
        sources, targets = np.full(n, -np.inf, np.float32), np.full(m, -np.inf, np.float32)
        for i in range(n + 1):
            here = self.row(i, 0, m + 1)
            if i < n:
                sources[i] = (here + backward.row(n - i - 1, 0, m + 1)[::-1]).max()
            np.maximum(targets, here[:m] + backward.row(n - i, 0, m + 1)[::-1][1:], out=targets)
        return sources, targets

    def path(self) -> list[tuple[int, int, int, int]]:
        """The steps of the best path, in order."""
        n, m, steps = self.n, self.m, []
        while n or m:
            ds, dt = STEPS[self.taken[n][m - self.band(n)[0]]]
            steps.append((n - ds, n, m - dt, m))
            n, m = n - ds, m - dt
        return steps[::-1]


class _Merged(NamedTuple):
    """Every run of k neighbouring segments."""

    vectors: Vectors
    lengths: Scores
    near: Scores
    """Mean cosine with the nearest segments of the pool's other side."""

    def part(self, start: int, end: int) -> _Merged:
        """The runs that begin at `start` to `end`."""
        return _Merged(self.vectors[start:end], self.lengths[start:end], self.near[start:end])

    def reversed(self) -> _Merged:
        """The runs of the same segments read from the end."""
        return _Merged(self.vectors[::-1], self.lengths[::-1], self.near[::-1])


def _score(cosines: Scores, source: _Merged, target: _Merged, ratio: float, merges: int = 0) -> Scores:
    """Of steps from runs of the source to runs of the target, for half a segment: see `align`."""
    deviation = np.abs(np.log(target.lengths / (source.lengths * ratio)))
    cost = LENGTH_WEIGHT * deviation + MERGE_COST * merges
    return np.asarray(cosines - (source.near + target.near) / 2 + BONUS - cost, np.float32)


def _merged(vectors: Vectors, lengths: Sequence[int], size: int, others: Vectors) -> _Merged:
    weights = np.maximum(np.asarray(lengths, np.float32), 1)
    count = max(0, len(vectors) - size + 1)
    weighted = vectors * weights[:, None]
    total = _unit(np.sum([weighted[k : k + count] for k in range(size)], axis=0))
    length = np.sum([weights[k : k + count] for k in range(size)], axis=0)
    return _Merged(total, length, nearest(total, others))


def _centred(texts: Sequence[str], centre: npt.NDArray[np.float32], vectors: Embedded) -> Vectors:
    if not texts:  # a pool of texts of which one side has no segment
        return np.zeros((0, len(centre)), np.float32)
    return _unit(np.stack([vectors[text] for text in texts]) - centre)


def _unit(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9), np.float32)


def _mean(texts: Sequence[str], vectors: Embedded) -> npt.NDArray[np.float32]:
    return np.asarray(np.mean([vectors[text] for text in texts], axis=0), np.float32)


def _length(segments: Sequence[str]) -> int:
    return max(1, sum(map(len, segments)))


def _overall(texts: Sequence[tuple[Sequence[str], Sequence[str]]]) -> float:
    return sum(_length(target) for _, target in texts) / sum(_length(source) for source, _ in texts)
