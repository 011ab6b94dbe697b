"""A recipe: which engines, which languages, which rules. Read from TOML, checked here, nowhere else.

The first part decides what translations and evidence are (`What` enters digests); rules and group policy
only choose among what is stored. How a build runs (workers, executor) is no part of a recipe.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from mldata.errors import InputError
from mldata.languages import canonical
from mldata.resources import resource
from mldata.settings import EngineSettings

_RULE = re.compile(r"\s*([a-z_]+)\s*(>=|<=|==|!=|>|<)\s*(-?\d+(?:\.\d+)?|true|false)\s*")
_COMPARE = {
    ">=": pl.Expr.ge,
    "<=": pl.Expr.le,
    ">": pl.Expr.gt,
    "<": pl.Expr.lt,
    "==": pl.Expr.eq,
    "!=": pl.Expr.ne,
}
Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$|\.(bin|ftz)$")]
Word = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rule(_Model):
    """A named comparison over an evidence column. A row whose value is null passes."""

    name: Word = Field(description="what tables and the `reasons` column call it")
    when: str = Field(description='what must hold, as "similarity >= 0.85"')
    because: str = Field(default="", description="what a row that breaks it is likely to suffer from")
    per_language: dict[str, float] = Field(default={}, description="other thresholds, by language tag")

    @field_validator("when")
    @classmethod
    def _parses(cls, when: str) -> str:
        column, comparison, value = parse_comparison(when)
        return f"{column}{comparison}{value}"

    @field_validator("per_language")
    @classmethod
    def _tags(cls, thresholds: dict[str, float]) -> dict[str, float]:
        return {canonical(tag): value for tag, value in thresholds.items()}

    @property
    def column(self) -> str:
        """The evidence column it looks at."""
        return parse_comparison(self.when)[0]

    def threshold(self, language: str) -> float | bool:
        """The value compared with, in `language`; a variety ("es-MX") without its own has its language's."""
        number = parse_comparison(self.when)[2]
        if number in ("true", "false"):
            return number == "true"
        wide = language.partition("-")[0]
        return self.per_language.get(language, self.per_language.get(wide, float(number)))

    def broken(self, language: str) -> pl.Expr:
        """True for the rows of `language` that break it; null counts as held."""
        column, comparison, _ = parse_comparison(self.when)
        holds = _COMPARE[comparison](pl.col(column), pl.lit(self.threshold(language)))
        return holds.not_().fill_null(value=False).alias(self.name)


def parse_comparison(text: str) -> tuple[str, str, str]:
    """Column, comparison and value of "similarity >= 0.85"; ValueError if it isn't one."""
    match = _RULE.fullmatch(text)
    if match is None:
        raise ValueError(f'"{text}" is no comparison of an evidence column, such as "similarity>=0.85"')
    return match[1], match[2], match[3]


class Policy(_Model):
    """Which rows of a concept are written, given which passed, and how concepts are split."""

    groups: Literal["partial", "quorum", "complete"] = Field(
        default="partial",
        description="partial: what passed, with one target at least; quorum: at least `quorum` targets; "
        "complete: all targets or none",
    )
    quorum: int = Field(default=1, ge=1, description="targets that must have passed under `quorum`")
    test_share: float = Field(default=0.05, ge=0, lt=1, description="share of prompts in the test split")
    near_duplicates: Literal["report", "drop", "off"] = Field(
        default="report",
        description="concepts that repeat an earlier one but for a word here and there: report counts them, "
        "drop keeps the first of each group",
    )
    near_duplicate_threshold: float = Field(
        default=0.8,
        ge=0.7,
        le=1,
        description="Jaccard similarity of whole examples (runs of two words) from which they repeat",
    )
    decontaminate: list[str] = Field(
        default=[], description="evaluation texts to keep out, as FILE or FILE:column"
    )
    contamination_words: int = Field(
        default=8, ge=3, le=100, description="words of a run that concept and evaluation text share"
    )
    contamination_overlap: float = Field(
        default=0.5, gt=0, le=1, description="share of an evaluation text's words in such runs: a leak"
    )


class CalibrationPolicy(_Model):
    """How far a build tightens the rules' thresholds, language by language; see `mldata calibrate`."""

    enabled: bool = Field(default=True, description="false: the thresholds hold as they are written")
    false_accept: float = Field(
        default=0.01,
        gt=0,
        lt=1,
        description="share of wrong items that may be accepted, of each kind of damage",
    )
    max_loss: float = Field(
        default=0.05, ge=0, lt=1, description="share of a language's passing rows that tightening may cost"
    )


class LanguageRoutes(_Model):
    """What is other in one language."""

    translators: list[Word] | None = Field(default=None, description="instead of the recipe's")
    back_translators: list[Word] | None = Field(
        default=None,
        description="instead of the recipe's; with neither, the engines of the way there",
    )
    retry_with: list[Word] | None = Field(default=None, description="instead of the recipe's")
    pivot: str | None = Field(default=None, description="the language that the way there and back leads over")

    @field_validator("pivot")
    @classmethod
    def _tag(cls, pivot: str | None) -> str | None:
        return canonical(pivot) if pivot else None


@dataclass(frozen=True)
class Way:
    """How a language is translated, as a recipe says it."""

    translators: tuple[str, ...]
    back_translators: tuple[str, ...]
    retry_with: tuple[str, ...]
    pivot: str | None
    named: bool
    """The language has a `retry_with` of its own."""
    back_named: bool
    """The engines of the way back are named as such, not those of the way there."""


Licence = Literal["any", "commercial"]


class Recipe(_Model):
    """See the module."""

    name: Word
    anchor: str = Field(default="en", description="BCP-47 tag of the source's language")
    targets: list[str] = Field(description="BCP-47 tags in the order of preference")
    translators: list[Word] = Field(
        min_length=1, description="engines, the preferred first: built in, or a table of [engines]"
    )
    back_translators: list[Word] | None = Field(
        default=None,
        description="engines for the way back, of second tries too, the preferred first; with none, those of "
        "the way there",
    )
    retry_with: list[Word] = Field(
        default=[], description="engines that translate again, one after the other, a row that breaks a rule"
    )
    retry: Literal["failed", "all"] = Field(
        default="failed",
        description="all: every row is translated by every engine of `retry_with` too, and of those that "
        "pass the one highest in `rank_by` is taken",
    )
    rank_by: str = Field(
        default="similarity", description='the evidence column that `retry = "all"` looks at'
    )
    languages: dict[str, LanguageRoutes] = Field(
        default={}, description="other engines and pivots for some languages, by tag"
    )
    engines: dict[Word, EngineSettings] = Field(
        default={}, description="engines that take a model, by the name this recipe gives them"
    )
    identifiers: list[Identifier] = Field(
        min_length=1,
        description="language identifiers, or paths of fastText models; of those that know a language, the "
        "first that doesn't abstain decides",
    )
    encoder: Word = Field(description="the sentence encoder")
    quality: Word | None = Field(default=None, description="the quality estimator, if there is to be one")
    licence: Licence = Field(
        default="any", description="commercial: refuse engines that forbid commercial use, or don't say"
    )
    select: Policy = Policy()
    calibration: CalibrationPolicy = CalibrationPolicy()
    rules: list[Rule] = Field(default=[], description="rules over the translated rows' evidence")
    anchor_rules: list[Rule] = Field(default=[], description="rules over the source rows' evidence")

    @field_validator("targets")
    @classmethod
    def _tags(cls, targets: list[str]) -> list[str]:
        tags = [canonical(target) for target in targets]
        if len(set(tags)) < len(tags):
            raise ValueError("a language stands in it twice")
        return tags

    def way(self, target: str) -> Way:
        """The engines and the pivot of one target: its own, else the recipe's."""
        own = self.languages.get(target, LanguageRoutes())
        there = self.translators if own.translators is None else own.translators
        back = own.back_translators
        if back is None and self.back_translators is not None:
            back = [*self.back_translators, *(own.translators or ())]
        retry = self.retry_with if own.retry_with is None else own.retry_with
        return Way(
            tuple(there),
            tuple(there if back is None else back),
            tuple(retry),
            own.pivot,
            named=own.retry_with is not None,
            back_named=back is not None,
        )

    @property
    def all_translators(self) -> list[str]:
        """Every translator it names, each once."""
        ways = [self.way(target) for target in dict.fromkeys([*self.targets, *self.languages])]
        names = [name for way in ways for name in (*way.translators, *way.back_translators, *way.retry_with)]
        return list(dict.fromkeys([*self.translators, *names]))

    @field_validator("languages")
    @classmethod
    def _language_tags(cls, languages: dict[str, LanguageRoutes]) -> dict[str, LanguageRoutes]:
        return {canonical(tag): routes for tag, routes in languages.items()}

    @field_validator("anchor")
    @classmethod
    def _tag(cls, anchor: str) -> str:
        return canonical(anchor)


def load_recipe(name: str) -> Recipe:
    """The recipe called `name` among those shipped, or the TOML file at the path `name`."""
    path = Path(name) if name.endswith(".toml") else resource("pipelines") / f"{name}.toml"
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        shipped = " ".join(sorted(p.stem for p in resource("pipelines").glob("*.toml")))
        raise InputError(
            f'no pipeline "{name}": give one of {shipped}, or the path of a .toml file'
        ) from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is no TOML file: it isn't UTF-8") from None
    try:
        return Recipe.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is no TOML file: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"{path}: {where}: {first['msg']}") from None


def fingerprint(value: Any) -> str:
    """32 hexadecimal digits of what `value` says; TypeError for anything JSON has no word for.

    Never falls back to str(): two things that print alike must not share a store.
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
