"""calibration.json: each language's thresholds, found on wrong items made of the user's own rows.

What `tightening` found, with the false accepts that go with it, as it is written beside a set's manifest
and applied when the set is selected again. Applied, it only ever tightens: no threshold becomes looser than
the recipe's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import NormalDist
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from mldata.recipe import Rule, parse_comparison

FILE = "calibration.json"
CONFIDENCE = 0.95
JUDGED = "judged_wrong"
"""The kind of wrong items that reviewers found: no made damage, but rows of the set that aren't right."""

Verdict = Literal["reached", "not_reached", "too_little_data"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Share(_Model):
    """A share that was counted, with its 95 % Wilson interval."""

    count: int
    of: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share itself; 0 of nothing."""
        return self.count / self.of if self.of else 0.0


class DamageRates(_Model):
    """False accepts of one kind of damage in one language.

    Only items made of rows that pass the recipe's rules count: damage to a row that is dropped anyway costs
    nothing to catch, and would flatter the rate.
    """

    items: int = Field(description="wrong items made of rows that pass the recipe's rules")
    floors: int = Field(description="of these, accepted under the recipe's thresholds")
    fitted: int = Field(description="accepted under the calibrated thresholds, which these items helped find")
    held_out: Share = Field(description="accepted by thresholds that were found without their concepts")
    verdict: Verdict = Field(description="whether the held-out share is at the stated one or below")


class Threshold(_Model):
    """A threshold that was tightened."""

    rule: str
    when: str = Field(description="the rule's comparison, as in the recipe")
    floor: float = Field(description="the recipe's value for the language")
    value: float


class LanguageCalibration(_Model):
    """What was found for one language."""

    rows: int = Field(description="translated rows of the sampled chunks")
    passing: int = Field(description="of these, rows that pass the recipe's rules")
    kept: int = Field(description="rows that pass the calibrated rules too")
    held_out_kept: Share = Field(description="rows kept by thresholds that were found without them")
    enough_data: bool = Field(description="false: the recipe's thresholds hold")
    thresholds: list[Threshold]
    damages: dict[str, DamageRates] = Field(description="kind of damage -> its false accepts")


class Calibration(_Model):
    """A set's calibration.json."""

    format_version: Literal[1] = 1
    false_accept: float = Field(description="share of wrong items that may be accepted, of each kind")
    max_loss: float = Field(description="share of the passing rows that tightening may cost, a language")
    folds: int = Field(description="parts of the concepts; each is judged by what the others found")
    min_rows: int = Field(description="passing rows below which a language has too little data")
    min_items: int = Field(description="wrong items below which a kind of damage has too little data")
    min_judged: int | None = Field(
        default=None,
        description="rows judged not right below which they have too little data; null: verdicts had no part",
    )
    concepts: int = Field(description="sampled concepts of the source")
    languages: dict[str, LanguageCalibration]

    def among(self, tags: Iterable[str]) -> Calibration:
        """What was found for these languages; a set selected from some says nothing of the others."""
        chosen = set(tags)
        return self.model_copy(
            update={"languages": {tag: one for tag, one in self.languages.items() if tag in chosen}}
        )

    def of_verdict(self, verdict: Verdict) -> dict[str, list[str]]:
        """Kind of damage -> languages with that verdict on it, of the languages with enough data."""
        found: dict[str, list[str]] = {}
        for tag, language in self.languages.items():
            for kind, rates in language.damages.items():
                if language.enough_data and rates.verdict == verdict:
                    found.setdefault(kind, []).append(tag)
        return found


def tightened(
    calibration: Calibration | None, rules: Sequence[Rule], targets: Iterable[str] = ()
) -> list[Rule]:
    """The recipe's rules with the calibrated thresholds, which hold where they are tighter.

    Of `targets`, a variety ("pt-BR") that has none keeps the recipe's, whatever its language ("pt") got.
    """
    if calibration is None:
        return list(rules)
    found = {
        (tag, threshold.rule, threshold.when): threshold.value
        for tag, language in calibration.languages.items()
        for threshold in language.thresholds
    }
    applied = []
    for rule in rules:
        own = dict(rule.per_language)
        for tag in calibration.languages:
            value = found.get((tag, rule.name, rule.when))
            floor = float(rule.threshold(tag))
            if value is not None and direction(rule) * value > direction(rule) * floor:
                own[tag] = value
        for tag in targets:
            if tag not in own and tag.partition("-")[0] in own:
                own[tag] = float(rule.threshold(tag))
        applied.append(rule.model_copy(update={"per_language": own}))
    return applied


def direction(rule: Rule) -> int:
    """1 if larger values are better under the rule, -1 if smaller ones are, 0 if neither."""
    return {">": 1, ">=": 1, "<": -1, "<=": -1}.get(parse_comparison(rule.when)[1], 0)


def share(count: int, of: int) -> Share:
    """A share with its Wilson score interval, rounded to six decimals; of no items it is [0, 1]."""
    low, high = wilson(count / of, of) if of else (0.0, 1.0)
    return Share(count=count, of=of, low=round(low, 6), high=round(high, 6))


def wilson(p: float, n: float) -> tuple[float, float]:
    """The 95 % score interval of a share `p` of `n` items, more than none; of weighted ones, `n` is their
    effective number.

    E. B. Wilson: Probable inference, the law of succession, and statistical inference. Journal of the
    American Statistical Association 22 (1927), 209-212. Unlike the normal approximation it stays right for
    few items and shares near nothing.
    """
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    centre = p + z * z / (2 * n)
    half = z * math.sqrt(max(0.0, p * (1 - p)) / n + z * z / (4 * n * n))
    low, high = ((centre + sign * half) / (1 + z * z / n) for sign in (-1, 1))
    # At the ends the formula gives 0 and 1 but for rounding.
    return (0.0 if p <= 0 else low), (1.0 if p >= 1 else high)


def percent(share: float) -> str:
    """1 %, 0.4 %: as many digits as say something."""
    return f"{100 * share:.3g} %"


def interval(share: Share) -> str:
    """0.4 % (0.1–2.3): a share with its interval; a dash for a share of nothing."""
    if not share.of:
        return "–"
    return f"{100 * share.value:.1f} % ({100 * share.low:.1f}–{100 * share.high:.1f})"
