"""Wrong items made of right ones: each damage is a small function that spoils a translated concept one way.

`measure` makes them of a sample of the user's rows, so that thresholds can be set to a known share of
wrong items that pass; the benchmark makes them of human translations. A damage gets the concept's units and
those of another concept, and gives the units spoiled, or None where it can't be done to this concept. It
must be certain that what it gives is wrong, and must need no model.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from mldata.evidence import Pair, Unit, is_long
from mldata.evidence.alignment import NOTHING_FITS
from mldata.evidence.structure import may_be_rewritten

VERSION = 3
"""Enters digests: raise it when the same concept gives other wrong items."""

Units = tuple[Unit, ...]
Make = Callable[[Units, Units, random.Random], Units | None]


@dataclass(frozen=True)
class Damage:
    """One way of being wrong."""

    name: str
    meaning: str
    make: Make
    anchor: str | None = None
    """The one language of sources that it can be done in; None for any."""


def damaged(units: Units, other: Units, concept_id: str, anchor: str) -> list[tuple[Damage, Units]]:
    """Every damage that can be done to a concept. Chance is seeded by the concept and the damage."""
    made = []
    for damage in DAMAGES:
        if damage.anchor not in (None, anchor.partition("-")[0]):
            continue
        spoiled = damage.make(units, other, random.Random(f"{damage.name} {concept_id}"))
        if spoiled is not None:
            made.append((damage, spoiled))
    return made


def _other_text(units: Units, other: Units, chance: random.Random) -> Units | None:
    pairs = [
        (i, theirs)
        for i, unit in enumerate(units)
        for theirs in other
        if theirs.field == unit.field and theirs.target != unit.target and theirs.source != unit.source
    ]
    if not pairs:
        return None
    index, theirs = chance.choice(pairs)
    return _with(units, index, _retold(units[index], theirs.target, [p.target for p in theirs.pairs]))


def _swapped(units: Units, other: Units, chance: random.Random) -> Units | None:
    answers = _answers(units)
    if all(units[a].target == units[b].target for a, b in answers):
        return None
    made = list(units)
    for a, b in answers:
        made[a] = _retold(units[a], units[b].target, [p.target for p in units[b].pairs])
        made[b] = _retold(units[b], units[a].target, [p.target for p in units[a].pairs])
    return tuple(made)


def _collapsed(units: Units, other: Units, chance: random.Random) -> Units | None:
    answers = _answers(units)
    if all(units[a].source == units[b].source for a, b in answers):
        return None
    made = list(units)
    for a, b in answers:
        made[b] = _retold(units[b], units[a].target, [p.target for p in units[a].pairs])
    return tuple(made)


def _dropped(units: Units, other: Units, chance: random.Random) -> Units | None:
    return _at_segment(units, chance, lambda pair: "", least=3)


def _added(units: Units, other: Units, chance: random.Random) -> Units | None:
    extra = _foreign_sentence(units, other, chance)
    if extra is None:
        return None
    return _at_segment(units, chance, lambda pair: f"{pair.target} {extra}", least=3)


def _replaced(units: Units, other: Units, chance: random.Random) -> Units | None:
    extra = _foreign_sentence(units, other, chance)
    if extra is None:
        return None
    return _at_segment(units, chance, lambda pair: extra, least=3)


def _half_cut(units: Units, other: Units, chance: random.Random) -> Units | None:
    """The last half of a text's segments, or of its only segment's words."""
    index = _any_of(units, chance, _has_long)
    if index is None:
        return None
    unit = units[index]
    if len(unit.pairs) == 1:
        half = _first_half(unit.pairs[0].target)
        spoiled = None if half is None else _edited(unit, 0, half)
        return None if spoiled is None else _with(units, index, spoiled)
    keep = (len(unit.pairs) + 1) // 2
    first_lost = unit.target.find(unit.pairs[keep].target)
    if first_lost <= 0:
        return None
    pairs = [*unit.pairs[:keep], *(_moved(pair, "") for pair in unit.pairs[keep:])]
    return _with(units, index, replace(unit, target=unit.target[:first_lost].rstrip(), pairs=tuple(pairs)))


def _number_changed(units: Units, other: Units, chance: random.Random) -> Units | None:
    """One number becomes another with as many digits."""

    def change(pair: Pair) -> str | None:
        numbers = [m for m in _DIGITS.finditer(pair.target) if m[0] in pair.source]
        if not numbers:
            return None
        found = chance.choice(numbers)
        low = 10 ** (len(found[0]) - 1) if len(found[0]) > 1 else 0
        new = chance.randrange(low, 10 ** len(found[0]))
        if str(new) == found[0] or str(new) in pair.source:
            return None
        return pair.target[: found.start()] + str(new) + pair.target[found.end() :]

    return _at_segment(units, chance, change, long=False)


def _negation_changed(units: Units, other: Units, chance: random.Random) -> Units | None:
    """An English source gets or loses its "not", and the translation is no longer its own."""
    places = [(i, k) for i, unit in enumerate(units) for k in range(len(unit.pairs))]
    chance.shuffle(places)
    for index, number in places:
        unit, pair = units[index], units[index].pairs[number]
        new = _negated(pair.source)
        if new is None or not is_long(pair.source) or unit.source.count(pair.source) != 1 or not pair.target:
            continue
        pairs = list(unit.pairs)
        pairs[number] = replace(pair, source=new, back="")
        source = unit.source.replace(pair.source, new)
        return _with(units, index, replace(unit, source=source, pairs=tuple(pairs)))
    return None


def _name_changed(units: Units, other: Units, chance: random.Random) -> Units | None:
    """A name that stands on both sides becomes another name."""

    def change(pair: Pair) -> str | None:
        names = [m for m in _NAME.finditer(pair.target) if m.start() > 0 and m[0] in pair.source]
        if not names:
            return None
        found = chance.choice(names)
        new = chance.choice([name for name in _NAMES if name not in pair.source])
        return pair.target[: found.start()] + new + pair.target[found.end() :]

    return _at_segment(units, chance, change, long=False)


def _copied(units: Units, other: Units, chance: random.Random) -> Units | None:
    index = chance.randrange(len(units))
    unit = units[index]
    if unit.target == unit.source or not any(is_long(p.source) for p in unit.pairs):
        return None
    pairs = tuple(_moved(pair, pair.source, fit=pair.fit) for pair in unit.pairs)
    return _with(units, index, replace(unit, target=unit.source, pairs=pairs))


def _half_copied(units: Units, other: Units, chance: random.Random) -> Units | None:
    """The last half of a text is left as it was; of its only segment, the last half of the words."""
    index = _any_of(units, chance, _has_long)
    if index is None:
        return None
    unit = units[index]
    if len(unit.pairs) == 1:
        start, rest = _first_half(unit.pairs[0].target), _first_half(unit.pairs[0].source)
        if start is None or rest is None:
            return None
        spoiled: Unit | None = _edited(unit, 0, f"{start} {unit.pairs[0].source[len(rest) :].strip()}")
        return None if spoiled is None or spoiled.target == unit.target else _with(units, index, spoiled)
    spoiled = unit
    for number in range((len(unit.pairs) + 1) // 2, len(unit.pairs)):
        spoiled = spoiled and _edited(spoiled, number, spoiled.pairs[number].source)
    return None if spoiled is None or spoiled.target == unit.target else _with(units, index, spoiled)


def _looped(units: Units, other: Units, chance: random.Random) -> Units | None:
    """A phrase of two to five words is said six times more, as neural engines do that lost their way."""

    def loop(pair: Pair) -> str | None:
        words = pair.target.split()
        if len(words) < 2:
            size = max(2, len(pair.target) // 4)
            return pair.target + pair.target[-size:] * 6
        size = chance.randint(2, min(5, len(words)))
        start = chance.randrange(len(words) - size + 1)
        return " ".join([*words[: start + size], *words[start : start + size] * 6, *words[start + size :]])

    return _at_segment(units, chance, loop)


def _span_lost(units: Units, other: Units, chance: random.Random) -> Units | None:
    return _at_span(units, chance, lambda span: "")


def _span_doubled(units: Units, other: Units, chance: random.Random) -> Units | None:
    return _at_span(units, chance, lambda span: f"{span} {span}")


def _span_altered(units: Units, other: Units, chance: random.Random) -> Units | None:
    """One character inside it becomes another."""

    def alter(span: str) -> str:
        place = chance.randrange(len(span))
        return span[:place] + ("x" if span[place] != "x" else "y") + span[place + 1 :]

    return _at_span(units, chance, alter)


def _items_merged(units: Units, other: Units, chance: random.Random) -> Units | None:
    """A list item runs on in the line of the one before."""
    places = [(i, item) for i, unit in enumerate(units) for item in _ITEM.finditer(unit.target)]
    if not places:
        return None
    index, item = chance.choice(places)
    unit = units[index]
    text = f"{unit.target[: item.start()]} {unit.target[item.end() :]}"
    return _with(units, index, replace(unit, target=text))


def _paragraphs_lost(units: Units, other: Units, chance: random.Random) -> Units | None:
    """All paragraphs become one."""
    index = _any_of(units, chance, lambda unit: bool(_PARAGRAPH.search(unit.target)))
    if index is None:
        return None
    unit = units[index]
    return _with(units, index, replace(unit, target=_PARAGRAPH.sub(" ", unit.target)))


DAMAGES = (
    Damage("other_text", "a field's translation is another text's", _other_text),
    Damage("swapped", "chosen and rejected are swapped", _swapped),
    Damage("collapsed", "rejected is translated as chosen was", _collapsed),
    Damage("dropped_sentence", "one sentence of a longer text is missing", _dropped),
    Damage("added_sentence", "a longer text has a sentence of another text more", _added),
    Damage("replaced_sentence", "one sentence of a longer text is another text's", _replaced),
    Damage("half_cut", "the last half is missing", _half_cut),
    Damage("number_changed", "a number became another", _number_changed),
    Damage("negation_changed", "a sentence says the contrary", _negation_changed, anchor="en"),
    Damage("name_changed", "a name became another", _name_changed),
    Damage("copied", "the text is not translated", _copied),
    Damage("half_copied", "the last half is not translated", _half_copied),
    Damage("looped", "a phrase is said over and over", _looped),
    Damage("span_lost", "code, a URL or a placeholder is missing", _span_lost),
    Damage("span_doubled", "code, a URL or a placeholder stands twice", _span_doubled),
    Damage("span_altered", "code, a URL or a placeholder was changed", _span_altered),
    Damage("items_merged", "two list items became one", _items_merged),
    Damage("paragraphs_lost", "all paragraphs became one", _paragraphs_lost),
)

_DIGITS = re.compile(r"(?<![\d.,])\d+(?![\d]|[.,]\d)")
_NAME = re.compile(r"(?<!\w)[A-Z][a-zà-ÿ]{3,}(?!\w)")
_NAMES = ("Martina", "Oslo", "Kowalski", "Nairobi", "Fernando", "Lisbon", "Watanabe", "Peru")
_ITEM = re.compile(r"\n[ \t]*(?:[-*+]|\d{1,3}[.)])[ \t]+")
_PARAGRAPH = re.compile(r"\n[ \t]*\n\s*")
_NOT = re.compile(r"(?<=\w)(?: not|n't)\b")
_VERB = re.compile(r"\b(?:is|are|was|were|will|would|should|could|must|may|might|has been|have been)\b")


def _negated(sentence: str) -> str | None:
    """The English sentence with "not" taken out, or put behind its one auxiliary verb."""
    if sentence.endswith("?"):
        return None
    if _NOT.search(sentence):
        return _NOT.sub("", sentence, count=1) if len(_NOT.findall(sentence)) == 1 else None
    verbs = _VERB.findall(sentence)
    if len(verbs) != 1 or re.search(r"\b(?:no|never|none|nothing|nobody|neither)\b", sentence, re.IGNORECASE):
        return None
    return _VERB.sub(lambda verb: f"{verb[0]} not", sentence, count=1)


def _answers(units: Units) -> list[tuple[int, int]]:
    """Places of chosen and rejected, unit by unit; none where they have not as many."""
    chosen, rejected = (
        [i for i, unit in enumerate(units) if unit.field == name] for name in ("chosen", "rejected")
    )
    return list(zip(chosen, rejected, strict=True)) if len(chosen) == len(rejected) else []


def _any_of(units: Units, chance: random.Random, wanted: Callable[[Unit], bool]) -> int | None:
    """The place of one of the units that are wanted."""
    places = [i for i, unit in enumerate(units) if wanted(unit)]
    return chance.choice(places) if places else None


def _has_long(unit: Unit) -> bool:
    return any(is_long(pair.target) for pair in unit.pairs)


def _with(units: Units, index: int, unit: Unit) -> Units:
    return (*units[:index], unit, *units[index + 1 :])


def _moved(pair: Pair, target: str, fit: float | None = None) -> Pair:
    """The pair with another target: what came before it (pivot, unknown words) isn't this target's."""
    alone = NOTHING_FITS if pair.fit is not None and not target else fit
    return Pair(pair.source, target, "", "", (), alone)


def _retold(unit: Unit, text: str, segments: Sequence[str]) -> Unit:
    """The unit with another text for its target, segments matched one after the other."""
    pairs = [
        Pair(pair.source if pair else "", target or "", "", "", ())
        for pair, target in zip_longest(unit.pairs, segments)
    ]
    return replace(unit, target=text, pairs=tuple(pairs))


def _edited(unit: Unit, number: int, target: str) -> Unit | None:
    """The unit with another target in one pair; None if its old one can't be found in the text."""
    pair = unit.pairs[number]
    if not pair.target or unit.target.count(pair.target) != 1:
        return None
    text = unit.target.replace(pair.target, target)
    pairs = (*unit.pairs[:number], _moved(pair, target), *unit.pairs[number + 1 :])
    return replace(unit, target=text, pairs=pairs)


def _at_segment(
    units: Units,
    chance: random.Random,
    change: Callable[[Pair], str | None],
    *,
    least: int = 1,
    long: bool = True,
) -> Units | None:
    """Change one segment's target, of a unit with at least `least` long ones; the first that can be."""
    places = [
        (i, k)
        for i, unit in enumerate(units)
        if sum(is_long(p.target) for p in unit.pairs) >= least
        for k, pair in enumerate(unit.pairs)
        if pair.source and pair.target and (is_long(pair.target) or not long)
    ]
    chance.shuffle(places)
    for index, number in places:
        target = change(units[index].pairs[number])
        spoiled = None if target is None else _edited(units[index], number, target)
        if spoiled is not None:
            return _with(units, index, spoiled)
    return None


def _at_span(units: Units, chance: random.Random, change: Callable[[str], str]) -> Units | None:
    places = [
        (i, span)
        for i, unit in enumerate(units)
        for span in unit.protected
        if span in unit.target and not may_be_rewritten(span)
    ]
    if not places:
        return None
    index, span = chance.choice(places)
    unit = units[index]
    return _with(units, index, replace(unit, target=unit.target.replace(span, change(span), 1)))


def _foreign_sentence(units: Units, other: Units, chance: random.Random) -> str | None:
    own = " ".join(unit.target for unit in units)
    sentences = [p.target for unit in other for p in unit.pairs if is_long(p.target) and p.target not in own]
    return chance.choice(sentences) if sentences else None


def _first_half(text: str) -> str | None:
    """The first half of the words, or of the characters where a language writes no blanks."""
    words = list(re.finditer(r"\S+", text))
    if len(words) >= 4:
        return text[: words[len(words) // 2].start()].rstrip()
    return text[: len(text) // 2] if len(text) >= 12 else None
