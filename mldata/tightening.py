"""Finds the thresholds of a language: as loose as the recipe's, and as tight as its wrong items ask for.

`measure` made wrong items of known kinds of damage from a sample of the user's own rows. Starting at the
recipe's thresholds, the kind of damage that is accepted most is worked on first, by the move of one
threshold that removes most of its items for the right rows it costs, until every kind is accepted at the
stated rate or less. The order of moves doesn't depend on that rate, which only says where to stop: a
stricter one never keeps more. Rates are reported for concepts that had no part in finding the thresholds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from mldata.calibration import (
    JUDGED,
    Calibration,
    DamageRates,
    LanguageCalibration,
    Threshold,
    direction,
    share,
)
from mldata.errors import InputError
from mldata.evidence.damage import DAMAGES
from mldata.measured import Measured, holds, is_lacking, length_deviation, median_length_ratio
from mldata.pipeline import sampled_chunks
from mldata.recipe import CalibrationPolicy, Rule
from mldata.store import read_table

FOLDS = 10
MIN_ROWS = 100
"""Passing rows below which one row is more than a percent, and a language's thresholds are left alone."""
MIN_ITEMS = 50
"""Wrong items below which a kind of damage moves no threshold."""
MIN_JUDGED = 20
"""Such rows below which they move no threshold: with fewer, one is more than 5 %. Of 20 of which none is
accepted, Wilson's interval still reaches to 16 %."""
SLOWEST = 20.0
"""A move must remove this many times the share of a kind's accepted items that it costs of right rows, or
1 / max_loss times if that is less: slower than that, max_loss isn't enough to be rid of the kind, and the
rows are better spent on another. Where less than one item in twenty is accepted the share is of one in
twenty: the last items of a kind should not cost more rows than there are of them. Without this last part the
258 pairs of en_prefs in pt, es and gl lose 5.6 % of their right rows instead of 2.1 % (held out), for 2.9 %
instead of 3.2 % of replaced sentences accepted and little elsewhere."""

_SALT = b"mldata calibration 1"
_SCALE = 10_000
"""Evidence is stored with four decimals: as whole numbers, values and thresholds compare exactly."""
_UNMEASURED = np.int64(1) << 62
"""Stands for null, which passes every rule."""

_Ints = npt.NDArray[np.int64]
_Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Evidence:
    """What passes the recipe's rules: right rows, and wrong items. Larger is better in every column."""

    right: _Ints
    """[rows, rules]"""
    wrong: _Ints
    """[accepted items, rules]"""
    kinds: _Ints
    """[accepted items]: number of the kind of damage."""
    items: _Ints
    """[kinds]: items of the kind, accepted or not."""
    inclusive: _Bools
    """[rules]: whether a value that equals the threshold passes."""

    def passes(self, values: _Ints, bounds: _Ints) -> _Bools:
        """Which rows of `values` hold every bound."""
        held = np.where(self.inclusive, values >= bounds, values > bounds)
        return np.asarray(held.all(axis=1), bool)

    def accepted(self, bounds: _Ints) -> _Ints:
        """[kinds]: accepted items."""
        kinds = self.kinds[self.passes(self.wrong, bounds)]
        return np.bincount(kinds, minlength=len(self.items)).astype(np.int64)


def calibrate(
    measured: Measured,
    targets: Sequence[str],
    policy: CalibrationPolicy,
    judged: Mapping[str, pl.DataFrame] | None = None,
) -> Calibration:
    """Thresholds of each of `targets`, from the wrong items in the store; InputError if it has none.

    `judged` are rows of the set that reviewers found not right, by language, with concept_id and the rules'
    columns: they are wrong items of a kind of their own, and right rows no longer.
    """
    recipe, damages = measured.recipe, [damage.name for damage in DAMAGES]
    if judged is not None:
        damages.append(JUDGED)
    there = set(measured.chunks)
    sampled = [chunk for chunk in sampled_chunks(measured.store, measured.index) if chunk in there]
    source = _read(measured, sampled, "measure", measured.anchor, recipe.anchor_rules)
    readable = source.filter(holds(recipe.anchor_rules, measured.anchor))["concept_id"].implode()
    languages = {}
    for tag in targets if len(source) else ():
        deviation = length_deviation(median_length_ratio(measured, tag))
        right = _read(measured, sampled, "measure", tag, recipe.rules).with_columns(deviation)
        wrong = _read(measured, sampled, "damage", tag, recipe.rules).with_columns(deviation)
        if judged is not None and tag in judged:
            found = judged[tag].with_columns(kind=pl.lit(JUDGED))
            right = right.filter(~pl.col("concept_id").is_in(found["concept_id"].implode()))
            wrong = pl.concat([wrong, found], how="diagonal_relaxed")
        languages[tag] = calibrate_language(
            right.filter(pl.col("concept_id").is_in(readable), ~is_lacking(right)),
            wrong,
            tag=tag,
            rules=recipe.rules,
            damages=damages,
            policy=policy,
        )
    return Calibration(
        false_accept=policy.false_accept,
        max_loss=policy.max_loss,
        folds=FOLDS,
        min_rows=MIN_ROWS,
        min_items=MIN_ITEMS,
        min_judged=None if judged is None else MIN_JUDGED,
        concepts=len(source),
        languages=languages,
    )


def _read(
    measured: Measured,
    chunks: Sequence[str],
    stage: Literal["measure", "damage"],
    tag: str,
    rules: Sequence[Rule],
) -> pl.DataFrame:
    """What the rules look at, of some chunks."""
    wanted = {"concept_id", "kind", "issues", "length_ratio", *(rule.column for rule in rules)}
    tables = []
    for chunk in chunks:
        path = measured.store.path(stage, measured.measure[tag], tag, chunk)
        if stage == "damage" and not path.exists():
            disabled = not measured.recipe.calibration.enabled
            first = "set `enabled = true` below [calibration] in the recipe, " if disabled else ""
            raise InputError(
                f"the work store {measured.store.root} has no wrong items of {tag} to calibrate on: {first}"
                "run the same `mldata build` again, which makes them and translates nothing twice"
            )
        table = read_table(path)
        tables.append(table.select([name for name in table.column_names if name in wanted]))
    if not tables:
        return pl.DataFrame(schema={"concept_id": pl.String, **{rule.column: pl.Float64 for rule in rules}})
    frame = pl.from_arrow(pa.concat_tables(tables))
    assert isinstance(frame, pl.DataFrame)
    return frame


def calibrate_language(
    right: pl.DataFrame,
    wrong: pl.DataFrame,
    *,
    tag: str,
    rules: Sequence[Rule],
    damages: Sequence[str],
    policy: CalibrationPolicy,
) -> LanguageCalibration:
    """Thresholds and rates of the language `tag`.

    `right` has a row a concept (concept_id and the rules' columns), `wrong` a row a wrong item (the same, and
    `kind`, one of `damages`). Made items count where they were made of a right row that passes the recipe's
    rules, rows that reviewers found wrong where they pass them.
    """
    rows = len(right)
    right = right.filter(holds(rules, tag))
    made_of = pl.col("concept_id").is_in(right["concept_id"].implode())
    counts = pl.when(pl.col("kind") == JUDGED).then(holds(rules, tag)).otherwise(made_of)
    wrong = wrong.filter(pl.col("kind").is_in(damages), counts)
    number = pl.col("kind").replace_strict({name: n for n, name in enumerate(damages)}, return_dtype=pl.Int64)
    wrong = wrong.with_columns(number.alias("number"), holds(rules, tag).alias("accepted"))
    movable = [rule for rule in rules if direction(rule)]
    fold_right, fold_wrong = _folds(right), _folds(wrong)
    accepted = wrong["accepted"].to_numpy()
    values, kinds = _values(wrong.filter("accepted"), movable), wrong.filter("accepted")["number"].to_numpy()
    numbers, of_right = wrong["number"].to_numpy(), _values(right, movable)
    inclusive = np.array(["=" in rule.when for rule in movable], bool)

    def part(rows_in: _Bools, items_in: _Bools) -> _Evidence:
        items = np.bincount(numbers[items_in], minlength=len(damages)).astype(np.int64)
        chosen = items_in[accepted]
        return _Evidence(of_right[rows_in], values[chosen], kinds[chosen], items, inclusive)

    whole = part(fold_right >= 0, fold_wrong >= 0)
    loose = np.full(len(movable), -_UNMEASURED)
    enough = len(right) >= MIN_ROWS
    least = np.array([MIN_JUDGED if kind == JUDGED else MIN_ITEMS for kind in damages])
    fit = (whole.items >= least) & enough
    bounds = _tighten(whole, loose, fit, policy)
    kept, held_out = 0, np.zeros(len(damages), np.int64)
    for fold in range(FOLDS):
        others = part(fold_right != fold, fold_wrong != fold)
        found = _tighten(others, loose, fit, policy)
        judged = part(fold_right == fold, fold_wrong == fold)
        kept += int(judged.passes(judged.right, found).sum())
        held_out += judged.accepted(found)
    thresholds = [
        Threshold(rule=rule.name, when=rule.when, floor=float(rule.threshold(tag)), value=value)
        for rule, bound in zip(movable, bounds, strict=True)
        if bound > -_UNMEASURED
        for value in [direction(rule) * int(bound) / _SCALE]
    ]
    rates = zip(whole.items, whole.accepted(loose), whole.accepted(bounds), held_out, strict=True)
    return LanguageCalibration(
        rows=rows,
        passing=len(right),
        kept=int(whole.passes(whole.right, bounds).sum()),
        held_out_kept=share(kept, len(right)),
        enough_data=enough,
        thresholds=thresholds,
        damages={
            kind: _rates(*map(int, counts), enough=bool(fits), false_accept=policy.false_accept)
            for kind, counts, fits in zip(damages, rates, fit, strict=True)
        },
    )


def _rates(
    items: int, floors: int, fitted: int, held_out: int, *, enough: bool, false_accept: float
) -> DamageRates:
    judged = share(held_out, items)
    reached = judged.value <= false_accept
    return DamageRates(
        items=items,
        floors=floors,
        fitted=fitted,
        held_out=judged,
        verdict="too_little_data" if not enough else "reached" if reached else "not_reached",
    )


def _folds(frame: pl.DataFrame) -> _Ints:
    """The part of each row, by its concept: a right row and the wrong items made of it share one."""
    made = [
        hashlib.blake2b(_SALT + concept.encode(), digest_size=8).digest() for concept in frame["concept_id"]
    ]
    return np.array([int.from_bytes(digest) % FOLDS for digest in made], np.int64)


def _values(frame: pl.DataFrame, rules: Sequence[Rule]) -> _Ints:
    """[rows, rules]: values as whole numbers, larger is better, null above all."""
    columns = [
        (direction(rule) * pl.col(rule.column) * _SCALE).round().cast(pl.Int64).fill_null(_UNMEASURED)
        for rule in rules
    ]
    table = frame.select(column.alias(str(number)) for number, column in enumerate(columns))
    return table.to_numpy().astype(np.int64).reshape(len(frame), len(rules))


def _tighten(evidence: _Evidence, loose: _Ints, fit: _Bools, policy: CalibrationPolicy) -> _Ints:
    """Bounds under which each kind of `fit` is accepted at the rate of `policy` or less, as far as its items
    can be told from right rows at a cost of `max_loss` in all.

    A kind's rate is taken as (accepted + 1) / (items + 1): on average that is how often an item that had no
    part in placing a threshold passes it (conformal prediction: Vovk, Gammerman and Shafer: Algorithmic
    Learning in a Random World, 2005).
    """
    bounds, open_kinds = loose.copy(), fit.copy()
    while True:
        accepted = evidence.accepted(bounds)
        rates = np.where(open_kinds & (accepted > 0), (accepted + 1) / (evidence.items + 1), 0.0)
        if not len(rates) or rates.max() <= policy.false_accept:
            return bounds
        worst = int(rates.argmax())
        move = _best_move(evidence, bounds, worst, policy.max_loss)
        if move is None:
            open_kinds[worst] = False
        else:
            rule, bound = move
            bounds[rule] = bound


def _best_move(evidence: _Evidence, bounds: _Ints, kind: int, max_loss: float) -> tuple[int, int] | None:
    """The rule and bound that remove most items of `kind` for each right row lost; None if nothing is left
    that is worth its rows. One is added to the rows lost: that a sample lost none doesn't make a move free.
    """
    rows = len(evidence.right)
    right = np.sort(evidence.right[evidence.passes(evidence.right, bounds)], axis=0)
    wrong = evidence.wrong[(evidence.kinds == kind) & evidence.passes(evidence.wrong, bounds)]
    wrong = np.sort(wrong, axis=0)
    left = len(right) - rows + int(max_loss * rows)
    pace = min(SLOWEST, 1 / max_loss) if max_loss else SLOWEST
    best = pace * max(len(wrong), evidence.items[kind] / SLOWEST) / (rows + 1)
    found = None
    for rule in range(len(bounds)):
        # A bound lies between the last item removed and the first right row kept: one candidate for each
        # row that may be the first.
        first = np.unique(right[: left + 1, rule])
        first = first[first < _UNMEASURED]
        if not len(first):
            continue
        removed = np.searchsorted(wrong[:, rule], first)
        value = removed / (np.searchsorted(right[:, rule], first) + 1)
        at = int(value.argmax())
        if removed[at] and (value[at] > best or (found is None and value[at] == best)):
            last, kept = int(wrong[removed[at] - 1, rule]), int(first[at])
            up = (kept - last + 1) // 2 if evidence.inclusive[rule] else (kept - last) // 2
            best, found = float(value[at]), (rule, last + up)
    return found
