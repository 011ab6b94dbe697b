"""Preference accuracy per language, its gap to the anchor, and consistency across languages.

From the log-probabilities of rows to the figures of Agarwal et al. 2025 (Aligning LLMs for Multilingual
Consistency in Enterprise Applications, arXiv 2509.23659), each with a 95 % interval. No model runs here: the
frames come from `mldata_train.logprobs`, and the same frames give the same figures, whatever their order.

A row's *margin* says by how much the model prefers the chosen answer; its *verdict* is right when the margin
is above 0, and half right when it is exactly 0: a model that is its own reference has accuracy 50 %, not 0.

- `reward`: (chosen - ref_chosen) - (rejected - ref_rejected), in nats: DPO's implicit reward without its
  factor beta (Rafailov et al. 2023, arXiv 2305.18290, eq. 5 and 6).
- `mean`: chosen / chosen_tokens - rejected / rejected_tokens, the length-normalised log-probability that is
  SimPO's reward (Meng et al. 2024, arXiv 2405.14734). ORPO's log odds ratio (Hong et al. 2024, arXiv
  2403.07691, eq. 4 and 7) takes the odds of the mean log-probability, of which they are a strictly
  increasing function: it gives the same verdicts, and is the margin that is reported.

Intervals are percentiles of a bootstrap over concepts, for the rows of a concept are not independent: of 1000
samples of 150 concepts drawn at random they held the true figure in 94 % (93 to 95 % by figure). A share of 0
or 100 % gets an interval of no width: what was never seen can't be drawn. Where several runs were evaluated,
trained alike but for their seed, figures are means over them and a resample draws runs as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from mldata.errors import InputError
from mldata_train.figures import Difference, Estimate, Evaluation, GroupFigures, LanguageFigures, Score

CONFIDENCE = 0.95
LEAST_RESAMPLES = 100
"""Below this the ends of a 95 % interval are the extremes of what was drawn."""
DRAWN_AT_ONCE = 1 << 22
"""Weights (resamples x concepts) in memory at once: 32 MiB."""
SURE = -(2.0**-24)
"""Mean log-probability above which odds are those of this value: float32 knows no p nearer to 1."""

Floats = npt.NDArray[np.float64]

KEYS = ("concept_id", "language")
LOG_PROBABILITIES = {
    "mean": ("chosen", "rejected"),
    "reward": ("chosen", "rejected", "ref_chosen", "ref_rejected"),
}
TOKENS = ("chosen_tokens", "rejected_tokens")


def evaluate(
    frame: pl.DataFrame | Sequence[pl.DataFrame],
    *,
    model: str,
    data: str,
    split: str,
    anchor: str,
    score: Score,
    reference: str | None = None,
    digest: str | None = None,
    unseen: Sequence[str] = (),
    resamples: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """All figures of one model on `frame`, or of several runs on the same rows.

    Columns: concept_id, language, chosen and rejected (summed log-probabilities, nats), chosen_tokens,
    rejected_tokens, and for `reward` ref_chosen and ref_rejected. `unseen` names languages of which training
    saw no row. InputError for rows that can't be judged.
    """
    runs = _judged(_runs(frame), anchor, score, unseen)
    figures = _figures(_bootstrap(runs, resamples, seed), runs[0], unseen)
    others = figures["languages"][1:]
    return Evaluation(
        model=model,
        reference=reference,
        data=data,
        digest=digest,
        split=split,
        anchor=anchor,
        score=score,
        resamples=resamples,
        seed=seed,
        worst=min(others, key=lambda found: found.accuracy.value).language if others else None,
        runs=len(runs),
        pairs=_pairs(runs),
        **figures,
    )


def difference(
    before: pl.DataFrame | Sequence[pl.DataFrame],
    after: pl.DataFrame | Sequence[pl.DataFrame],
    *,
    anchor: str,
    score: Score,
    unseen: Sequence[str] = (),
    resamples: int = 1000,
    seed: int = 0,
) -> Difference:
    """The figures of `after` minus those of `before`, frames as for `evaluate` on the same rows.

    Each resample draws the same concepts for both, so that what makes a concept hard for both cancels out;
    and, if both have as many runs, the same runs: give them in the order of their seeds.
    InputError if a row is in one of them only.
    """
    earlier, later = _runs(before), _runs(after)
    judged = _judged([*earlier, *later], anchor, score, unseen)
    first, second = (
        _bootstrap(runs, resamples, seed) for runs in (judged[: len(earlier)], judged[len(earlier) :])
    )
    changes = {name: second[name] - first[name] for name in first}
    return Difference(
        anchor=anchor,
        score=score,
        resamples=resamples,
        seed=seed,
        **_figures(changes, judged[0], unseen),
    )


def log_odds_ratio(chosen: Floats, rejected: Floats) -> Floats:
    """ORPO's log odds(chosen) - log odds(rejected) of mean log-probabilities, elementwise; finite.

    log odds(p) = log p - log(1 - p), hence (c - r) + log(expm1(r) / expm1(c)): both terms have the sign of
    c - r, so rounding can't turn a verdict round, as the difference of two logarithms could.
    """
    c, r = np.minimum(chosen, SURE), np.minimum(rejected, SURE)
    odds: Floats = (chosen - rejected) + np.log(np.expm1(r) / np.expm1(c))
    return odds


@dataclass(frozen=True)
class _Verdicts:
    """Verdicts as [concepts, languages], concepts sorted by id and the anchor in column 0."""

    languages: tuple[str, ...]
    present: npt.NDArray[np.bool_]
    points: Floats
    """1 right, 0.5 undecided, 0 wrong; 0 where absent."""
    margins: Floats
    """What is reported, in nats; 0 where absent."""


def _runs(frame: pl.DataFrame | Sequence[pl.DataFrame]) -> list[pl.DataFrame]:
    return [frame] if isinstance(frame, pl.DataFrame) else list(frame)


def _judged(
    frames: Sequence[pl.DataFrame], anchor: str, score: Score, unseen: Sequence[str]
) -> list[_Verdicts]:
    """The verdicts of frames on the same rows; InputError for the first thing that is wrong."""
    checked = [_checked(frame, anchor, score, unseen) for frame in frames]
    for other in checked[1:]:
        _check_same_rows(checked[0], other)
    order = _order(checked[0], anchor)
    return [_judge(frame, anchor, score, order) for frame in checked]


def _judge(frame: pl.DataFrame, anchor: str, score: Score, order: Sequence[str]) -> _Verdicts:
    """The verdicts of a frame that was checked, languages in `order`."""
    columns = {name: frame[name].to_numpy() for name in (*LOG_PROBABILITIES[score], *TOKENS)}
    if score == "reward":
        margin = (columns["chosen"] - columns["ref_chosen"]) - (columns["rejected"] - columns["ref_rejected"])
        reported = margin
    else:
        chosen, rejected = (columns[name] / columns[f"{name}_tokens"] for name in ("chosen", "rejected"))
        margin, reported = chosen - rejected, log_odds_ratio(chosen, rejected)
    place = frame["concept_id"].rle_id().to_numpy()
    column = frame["language"].replace_strict(order, range(len(order)), return_dtype=pl.Int64).to_numpy()
    shape = (int(place[-1]) + 1, len(order))
    present, points, margins = np.zeros(shape, np.bool_), np.zeros(shape), np.zeros(shape)
    present[place, column] = True
    points[place, column] = (np.sign(margin) + 1) / 2
    margins[place, column] = reported
    return _Verdicts(tuple(order), present, points, margins)


def _order(frame: pl.DataFrame, anchor: str) -> list[str]:
    """The anchor, then the languages in the set's order, which each concept's rows have a part of.

    Rows in no common order leave the languages as they first appear.
    """
    rest = frame.filter(pl.col("language") != anchor)
    first = rest["language"].unique(maintain_order=True).to_list()
    steps = rest.select("language", before=pl.col("language").shift().over("concept_id")).drop_nulls()
    known = TopologicalSorter(dict.fromkeys(first, ()))
    for tag, earlier in steps.unique(maintain_order=True).iter_rows():
        known.add(tag, earlier)
    try:
        return [anchor, *known.static_order()]
    except CycleError:
        return [anchor, *first]


def _checked(frame: pl.DataFrame, anchor: str, score: Score, unseen: Sequence[str]) -> pl.DataFrame:
    """The columns that are needed, sorted by concept; InputError for the first thing that is wrong."""
    probabilities = LOG_PROBABILITIES[score]
    missing = [name for name in (*KEYS, *probabilities, *TOKENS) if name not in frame.columns]
    if missing and set(missing) <= {"ref_chosen", "ref_rejected"}:
        raise InputError(
            "score reward needs a reference model's log-probabilities: give one, or score by mean"
        )
    if missing:
        raise InputError(f"the scores have no column {missing[0]}: take them from log_probabilities")
    if frame.is_empty():
        raise InputError("there is no row to evaluate: choose a split or languages that have rows")
    frame = frame.select(
        pl.col(KEYS).cast(pl.String),
        pl.col(probabilities).cast(pl.Float64, strict=False),
        pl.col(TOKENS).cast(pl.Int64, strict=False),
    )
    _refuse(frame, pl.any_horizontal(pl.col(KEYS).is_null()), "a row has no concept_id or no language")
    for name in probabilities:
        finite = pl.col(name).is_finite().fill_null(False)
        _refuse(frame, ~finite, f"the log-probability {name} is no finite number")
    for name in TOKENS:
        _refuse(frame, (pl.col(name) > 0).not_().fill_null(True), f"{name} is not above 0")
    _refuse(frame, pl.struct(KEYS).is_duplicated(), "there are two rows")
    there = frame["language"].unique(maintain_order=True).to_list()
    if anchor not in there:
        raise InputError(f"no row is in the anchor's language {anchor}: there are {' '.join(there)}")
    for tag in unseen:
        if tag not in there:
            raise InputError(f"no row is in {tag}, named as unseen: there are {' '.join(there)}")
    return frame.sort("concept_id", maintain_order=True)


def _refuse(frame: pl.DataFrame, wrong: pl.Expr, what: str) -> None:
    found = frame.filter(wrong)
    if len(found):
        concept, tag = found.select(KEYS).row(0)
        raise InputError(f"{what} for concept {concept} in {tag} ({len(found)} of {len(frame)} rows)")


def _check_same_rows(before: pl.DataFrame, after: pl.DataFrame) -> None:
    alone = [before.join(after, on=KEYS, how="anti"), after.join(before, on=KEYS, how="anti")]
    for name, rows in zip(("before", "after"), alone, strict=True):
        if len(rows):
            concept, tag = rows.select(KEYS).row(0)
            raise InputError(
                f"{len(alone[0]) + len(alone[1])} rows are not in both frames, concept {concept} in {tag} "
                f"for one ({name} only): score both models on the same rows"
            )


def _bootstrap(runs: Sequence[_Verdicts], resamples: int, seed: int) -> dict[str, Floats]:
    """Figures of all concepts (index 0) and of each resample, [1 + resamples] or [1 + resamples, languages].

    Every figure is made of sums over concepts, so a resample is a row of multinomial weights and all sums of
    many resamples are one matrix product; runs are drawn apart from concepts. NaN where a figure is not
    defined.
    """
    if resamples < LEAST_RESAMPLES:
        raise InputError(f"{resamples} resamples are too few for intervals: take {LEAST_RESAMPLES} or more")
    parts = _parts(runs[0])
    columns = [np.concatenate(list(_parts(run).values()), axis=1) for run in runs]
    concepts = len(columns[0])
    draw, chances = np.random.default_rng(seed), np.full(concepts, 1 / concepts)
    of_run = np.random.default_rng([seed, 1]).multinomial(
        len(runs), np.full(len(runs), 1 / len(runs)), resamples
    )
    shares = np.concatenate([np.ones((1, len(runs))), of_run]) / len(runs)
    sums = np.zeros((1 + resamples, columns[0].shape[1]))
    sums[0] = np.mean([column.sum(axis=0) for column in columns], axis=0)
    step = max(1, DRAWN_AT_ONCE // concepts)
    for start in range(1, 1 + resamples, step):
        these = slice(start, min(start + step, 1 + resamples))
        weights = draw.multinomial(concepts, chances, these.stop - start).astype(np.float64)
        for number, column in enumerate(columns):
            sums[these] += shares[these, number, None] * (weights @ column)
    ends = np.cumsum([part.shape[1] for part in parts.values()])
    s = dict(zip(parts, np.split(sums, ends[:-1], axis=1), strict=True))
    accuracy = 100 * _ratio(s["points"], s["rows"])
    return {
        "accuracy": accuracy,
        "margin": _ratio(s["margins"], s["rows"]),
        "gap": accuracy[:, :1] - accuracy,
        "paired_gap": 100 * _ratio(s["ahead"], s["shared"]),
        "agreement": 100 * _ratio(s["agreed"], s["shared"]),
        "consistency": 100 * _ratio(s["same"], s["several"])[:, 0],
        "pairwise": 100 * _ratio(s["agreeing_pairs"], s["pairs"])[:, 0],
    }


def _parts(verdicts: _Verdicts) -> dict[str, Floats]:
    """What is summed over concepts: [concepts, languages], or [concepts, 1]."""
    present, points = verdicts.present, verdicts.points
    shared = present & present[:, :1]
    alike = np.stack([(present & (points == verdict)).sum(axis=1) for verdict in (0, 0.5, 1)], axis=1)
    languages = present.sum(axis=1)
    parts: dict[str, npt.NDArray[Any]] = {
        "rows": present,
        "points": points,
        "margins": verdicts.margins,
        "shared": shared,
        "ahead": np.where(shared, points[:, :1] - points, 0),
        "agreed": shared & (points == points[:, :1]),
        "several": languages > 1,
        "same": (languages > 1) & (alike.max(axis=1) == languages),
        "pairs": languages * (languages - 1) // 2,
        "agreeing_pairs": (alike * (alike - 1) // 2).sum(axis=1),
    }
    return {name: part.reshape(len(present), -1).astype(np.float64) for name, part in parts.items()}


def _ratio(above: Floats, below: Floats) -> Floats:
    out: Floats = np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)
    return out


def _mean(values: Floats) -> Floats:
    """Mean over languages, of those that are defined: a small one may be missing from a resample."""
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0).sum(axis=1), known.sum(axis=1).astype(np.float64))


def _estimate(samples: Floats) -> Estimate | None:
    """Index 0 with the percentiles of the others; None if it is not defined."""
    if np.isnan(samples[0]):
        return None
    drawn = samples[1:][~np.isnan(samples[1:])]
    ends = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    value, low, high = (round(float(number), 6) + 0.0 for number in (samples[0], *ends))
    return Estimate(value=value, low=low, high=high)


def _figures(samples: Mapping[str, Floats], verdicts: _Verdicts, unseen: Sequence[str]) -> dict[str, Any]:
    """The fields that a frame of verdicts and its samples, or differences of samples, decide."""

    def group(wanted: Callable[[str], bool]) -> GroupFigures | None:
        members = [i for i, tag in enumerate(verdicts.languages) if i and wanted(tag)]
        if not members:
            return None
        return GroupFigures.model_validate(
            {
                "languages": len(members),
                **{
                    name: _estimate(_mean(samples[name][:, members]))
                    for name in ("accuracy", "gap", "paired_gap")
                },
            }
        )

    counts = verdicts.present.sum(axis=0).tolist()
    languages = [
        {
            "language": tag,
            "unseen": tag in unseen,
            "rows": counts[i],
            **{name: _estimate(samples[name][:, i]) for name in ("accuracy", "margin")},
            **{
                name: _estimate(samples[name][:, i]) if i else None
                for name in ("gap", "paired_gap", "agreement")
            },
        }
        for i, tag in enumerate(verdicts.languages)
    ]
    return {
        "concepts": len(verdicts.present),
        "rows": sum(counts),
        "languages": tuple(map(LanguageFigures.model_validate, languages)),
        "others": group(lambda _: True),
        "seen": group(lambda tag: tag not in unseen) if unseen else None,
        "unseen": group(lambda tag: tag in unseen),
        "consistency": _estimate(samples["consistency"]),
        "agreement": _estimate(samples["pairwise"]),
    }


def _pairs(runs: Sequence[_Verdicts]) -> tuple[tuple[float | None, ...], ...]:
    present = runs[0].present
    shared = present.T.astype(np.float64) @ present
    same = np.zeros_like(shared)
    for run in runs:
        for verdict in (0, 0.5, 1):
            held = (present & (run.points == verdict)).astype(np.float64)
            same += held.T @ held / len(runs)
    return tuple(
        tuple(None if np.isnan(value) else round(100 * value, 6) for value in row)
        for row in _ratio(same, shared).tolist()
    )
