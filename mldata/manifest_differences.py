"""What made two sets, beside each other: what their manifests say otherwise, in words a person compares.

Nothing here looks at a row. Every line is one fact that the two sets don't share; where a fact isn't there in
one of them, it says "-".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from mldata.recipe import Rule, parse_comparison
from mldata.shards import EngineFacts, Manifest

NONE = "-"
_MODE = re.compile(r"[a-z]+-[a-z]+(_[A-Z]+)?")
"""Of Apertium: "eng-spa", "eng-hbs_HR"."""
_SHORT = 8
"""Digits of a digest that people are shown."""
_ELSEWHERE = {"rules", "select"}
"""Parts of a recipe whose outcome a manifest has too: as they were applied."""


@dataclass(frozen=True)
class Fact:
    """One thing that the two sets don't share."""

    what: str
    """The part of the manifest: source, engines, rules, …"""
    name: str
    """Which one of it: an engine, a rule and its language, …"""
    a: str
    b: str


def facts(a: Manifest, b: Manifest, languages: Sequence[str] | None = None) -> list[Fact]:
    """All that made the sets `a` and `b` other, the weightiest first; of `languages` alone if given."""
    found: list[Fact] = []

    def add(what: str, pairs: Iterable[tuple[str, str, str]]) -> None:
        found.extend(Fact(what, name, of_a, of_b) for name, of_a, of_b in pairs if of_a != of_b)

    def mine(tag: str) -> bool:
        return languages is None or tag in languages

    add("source", _beside(_source(a), _source(b)))
    add("so far", [("chunks", _part(a), _part(b))])
    add("languages", _languages(a, b))
    add("engines", _engines(a.engines, b.engines))
    targets = [tag for tag in a.targets if tag in b.targets and mine(tag)]
    add("routes", ((tag, _way(a, tag), _way(b, tag)) for tag in targets))
    add("rules", _rules(a, b, targets))
    add("source rules", _rule_names(a.recipe.anchor_rules, b.recipe.anchor_rules))
    add("policy", _beside(_flat(a.select.model_dump()), _flat(b.select.model_dump())))
    add("recipe", _beside(_recipe(a), _recipe(b)))
    add("licence", [("of the set", a.licence, b.licence)])
    add("mldata", [("version", a.mldata, b.mldata)])
    return found


def signature_parts(a: str | None, b: str | None) -> tuple[str, str]:
    """The parts of a column's two signatures that differ: ("encoder:e5-small.2d70", "encoder:labse.90ab")."""
    if a is None or b is None:
        return a or "not measured", b or "not measured"
    of_a, of_b = a.split("|"), b.split("|")
    return (
        "|".join(part for part in of_a if part not in of_b) or NONE,
        "|".join(part for part in of_b if part not in of_a) or NONE,
    )


def _beside(a: Mapping[str, str], b: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for name in dict.fromkeys([*a, *b]):
        yield name, a.get(name, NONE), b.get(name, NONE)


def _part(manifest: Manifest) -> str:
    part = manifest.so_far
    return f"{part.chunks} of {part.of}" if part else "all"


def _source(manifest: Manifest) -> dict[str, str]:
    said = {name: str(value) for name, value in manifest.source.model_dump().items()}
    return said | {"digest": manifest.source.digest[:_SHORT]}


def _engines(a: Sequence[EngineFacts], b: Sequence[EngineFacts]) -> Iterator[tuple[str, str, str]]:
    """Engines that only one set has. Two of one name are one that changed where there is no other choice.

    Apertium is an engine for each pair, named by its mode: the first word of its version.
    """
    kept = {engine.digest for engine in a} & {engine.digest for engine in b}
    left = [[engine for engine in some if engine.digest not in kept] for some in (a, b)]
    by_name: dict[str, tuple[list[EngineFacts], list[EngineFacts]]] = {}
    for side, some in enumerate(left):
        for engine in some:
            mode = engine.version.partition(",")[0]
            own = f"{engine.name} {mode}" if _MODE.fullmatch(mode) else engine.name
            by_name.setdefault(own, ([], []))[side].append(engine)
    for name, (of_a, of_b) in by_name.items():
        for one, other in zip_longest(of_a, of_b):
            yield name, _engine(one), _engine(other)


def _engine(engine: EngineFacts | None) -> str:
    if engine is None:
        return NONE
    return f"{engine.version} ({engine.digest[:_SHORT]}), {engine.licence}"


def _languages(a: Manifest, b: Manifest) -> Iterator[tuple[str, str, str]]:
    alone = [
        " ".join(tag for tag in mine.targets if tag not in others.targets) or NONE
        for mine, others in ((a, b), (b, a))
    ]
    yield "in one only", alone[0], alone[1]
    if alone == [NONE, NONE]:
        yield "order", " ".join(a.targets), " ".join(b.targets)


def _way(manifest: Manifest, tag: str) -> str:
    """ "en>es by apertium, then en>es by nllb"."""
    by = manifest.translators.get(tag)
    way = f"{manifest.routes[tag]} by {by}" if by else manifest.routes[tag]
    again = [f"{retry.route} by {retry.translators}" for retry in manifest.retries.get(tag, ())]
    return ", then ".join([way, *again])


def _rules(a: Manifest, b: Manifest, targets: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Thresholds that differ; one line where they do so alike in all languages, else one a language."""
    of_a, of_b = ({rule.name: rule for rule in manifest.rules} for manifest in (a, b))
    for name in dict.fromkeys([*of_a, *of_b]):
        pairs = {
            tag: (_threshold(a, of_a.get(name), tag), _threshold(b, of_b.get(name), tag)) for tag in targets
        }
        if len(set(pairs.values())) == 1:
            yield name, *next(iter(pairs.values()))
        else:
            yield from ((f"{name} {tag}", *pair) for tag, pair in pairs.items())


def _threshold(manifest: Manifest, rule: Rule | None, tag: str) -> str:
    """ ">=0.7312 (calibrated)": what is applied, and whether calibration tightened it."""
    if rule is None:
        return NONE
    column, comparison, _ = parse_comparison(rule.when)
    value = rule.threshold(tag)
    said = f"{column}{comparison}{str(value).lower() if isinstance(value, bool) else f'{value:g}'}"
    in_recipe = next((one for one in manifest.recipe.rules if one.name == rule.name), None)
    own = tag in rule.per_language and in_recipe is not None and in_recipe.threshold(tag) != value
    return f"{said} (calibrated)" if manifest.calibration and own else said


def _rule_names(a: Sequence[Rule], b: Sequence[Rule]) -> Iterator[tuple[str, str, str]]:
    return _beside(*({rule.name: rule.when for rule in rules} for rules in (a, b)))


def _recipe(manifest: Manifest) -> dict[str, str]:
    return _flat(manifest.recipe.model_dump(exclude=_ELSEWHERE | {"anchor_rules"}))


def _flat(value: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """ "engines.nllb.revision" -> its value, as text."""
    found: dict[str, str] = {}
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            found |= _flat(inner, f"{before}{name}.")
        elif inner is not None:
            listed = isinstance(inner, (list, tuple))
            found[f"{before}{name}"] = " ".join(map(str, inner)) if listed else str(inner)
    return found
