"""Further attempts: rows that failed are translated again by other engines, and the best attempt is taken.

The first attempt is made of every row. With `retry = "failed"` the next engine gets the rows of a chunk that
broke a rule in every attempt before it, with "all" it gets them all. Which rows these are depends on the
evidence and the rules of the build alone, so a later `select` finds the same files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from mldata.measured import Measured, holds, is_lacking, length_deviation, median_length_ratio
from mldata.tasks import Task


@dataclass(frozen=True)
class Attempt:
    """Evidence of one attempt at a chunk in a language."""

    number: int
    rows: tuple[int, ...]
    """Rows of the chunk that it took up, in order."""
    tried: tuple[int, ...]
    """The same as its files' names know it: () for all."""
    evidence: pl.DataFrame
    """One row each, in order, `length_deviation` included."""


def of_chunk(
    measured: Measured,
    tag: str,
    chunk: str,
    median: float | None,
    readable: pl.Series,
    last: int | None = None,
) -> list[Attempt]:
    """All attempts at a chunk, or those up to number `last`.

    `median` is the language's length ratio; `readable` says of each source row whether its own rules hold.
    """
    first = measured.evidence(tag, chunk).with_columns(length_deviation(median))
    every = tuple(range(len(first)))
    made = [Attempt(0, every, (), first)]
    for number in range(1, len(measured.retries.get(tag, ())[:last]) + 1):
        tried = _next(measured, tag, readable, made)
        if tried is None:
            break
        evidence = measured.evidence(tag, chunk, number, tried).with_columns(length_deviation(median))
        made.append(Attempt(number, tried or every, tried, evidence))
    return made


def tasks(measured: Measured, targets: Sequence[str], number: int) -> Iterator[Task]:
    """What attempt `number` has to translate and to measure, given that those before it are there."""
    readable: dict[str, pl.Series] = {}
    for tag in targets:
        if number > len(measured.retries.get(tag, ())):
            continue
        every = measured.recipe.retry == "all"  # no evidence needs to be read to know that
        median = None if every else median_length_ratio(measured, tag)
        for chunk in measured.chunks:
            tried: tuple[int, ...] | None = ()
            if not every:
                if chunk not in readable:
                    readable[chunk] = _readable(measured, chunk)
                made = of_chunk(measured, tag, chunk, median, readable[chunk], number - 1)
                tried = _next(measured, tag, readable[chunk], made)
            if tried is not None:
                yield Task("translate", tag, chunk, number, tried)
                yield Task("measure", tag, chunk, number, tried)


def _readable(measured: Measured, chunk: str) -> pl.Series:
    """Of each source row, whether its own rules hold. Its file holds embeddings too: read it once."""
    anchor = measured.evidence(measured.anchor, chunk)
    return anchor.select(holds(measured.recipe.anchor_rules, measured.anchor)).to_series()


def _next(
    measured: Measured, tag: str, readable: pl.Series, made: Sequence[Attempt]
) -> tuple[int, ...] | None:
    """The rows that the next attempt takes up, () for all; None where there is nothing left to try.

    A row whose source row breaks its own rules stays out: no other engine can help it.
    """
    if measured.recipe.retry == "all":
        return ()
    there = made[0].evidence.select(~is_lacking(made[0].evidence)).to_series()
    rows = set((readable & there).arg_true().to_list())
    for attempt in made:
        held = attempt.evidence.select(holds(measured.retry_rules, tag)).to_series()
        rows -= {row for row, passed in zip(attempt.rows, held.to_list(), strict=True) if passed}
    return tuple(sorted(rows)) or None


def best(measured: Measured, attempts: Sequence[Attempt], passed: Sequence[pl.Series]) -> list[int]:
    """For each row of a chunk the place in `attempts` of the one to take.

    `passed` says for each attempt's rows whether they pass. With `retry = "failed"` the first attempt that
    passes is taken, with "all" the one of them that is highest in `rank_by`; where none passes, the first.
    """
    rank_by = measured.recipe.rank_by if measured.recipe.retry == "all" else None
    taken: dict[int, tuple[float, int]] = {}
    for place, (attempt, held) in enumerate(zip(attempts, passed, strict=True)):
        ranks = attempt.evidence[rank_by].cast(pl.Float64).to_list() if rank_by else [0.0] * len(held)
        for row, holds_all, rank in zip(attempt.rows, held.to_list(), ranks, strict=True):
            value = float("-inf") if rank is None else rank
            if holds_all and (row not in taken or value > taken[row][0]):
                taken[row] = value, place
    return [taken[row][1] if row in taken else 0 for row in attempts[0].rows]
