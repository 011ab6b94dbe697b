"""Structure evidence: what can be counted. Protected spans, numbers, markup, length, script, and words
that show an engine gave up: copied, unknown, or looping.

Pairs may have text on one side only (alignment of outside texts leaves such): it counts as a lost or an
added segment, and is looked at nowhere else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import cache

import polars as pl
import regex

from mldata.evidence import Column, Pair, Unit, is_long, numbers
from mldata.evidence.markup import agreement
from mldata.evidence.repetition import looped, said_twice
from mldata.languages import Language

COLUMNS = (
    Column("spans_kept", "min", "share of the protected spans that stand in the target as often"),
    Column(
        "markup", "min", "agreement (F1) of headings, list items, table rows, paragraphs and other blocks"
    ),
    Column("markup_kept", "all", "the same blocks in the same order"),
    Column("numbers", "min", "agreement (F1) of the numbers on both sides, in figures or in words"),
    Column(
        "numbers_changed", "max", "figures of the target that the source has in no form: changed or added"
    ),
    Column("length_ratio", "mean", "length of the target by that of the source, in characters"),
    Column("length_worst", "max", "|ln| of a segment's length ratio by the language's, of the worst segment"),
    Column(
        "script", "min", "share of the letters that are in the language's script, names of the source aside"
    ),
    Column("empty_segments", "max", "share of the text whose translation is empty"),
    Column("added_segments", "max", "share of the target's text that translates nothing"),
    Column("copied_words", "max", "share of the words that are the source's own"),
    Column("unknown_words", "max", "share of the words that no dictionary of the route held"),
    Column("pivot_words", "max", "share of the words that are the pivot language's own"),
    Column(
        "repetition", "max", "share of a segment, or of sentences, said again at once and not in the source"
    ),
)
MIN_WORDS = 6
"""Shares of fewer words say nothing."""
MIN_HELD = 2
"""Of two words that an engine has to know, one that it doesn't know is damage; of one, it may be a name."""
MIN_CHECKED = 3
"""A copy shows in fewer: three words of four letters or more are seldom those of two languages."""

_WORD = regex.compile(r"\p{L}[\p{L}\p{M}'’·-]+")  # of two letters or more: x and y are no words
_LETTERS = regex.compile(r"\p{L}[\p{L}\p{M}]*")
_ALPHABETIC = regex.compile(r"\p{Latin}[\p{Latin}\p{M}]*|\p{L}[\p{L}\p{M}]*")
_REWRITTEN = re.compile(r"[\d:.,/T+-]*\d|[A-Za-z]{1,8}-?\d{1,2}[A-Za-z]{0,2}|\d{1,3}[a-z]{1,8}")
_SCRIPTS = {"Jpan": ("Hira", "Kana", "Hani"), "Kore": ("Hang", "Hani"), "Hans": ("Hani",), "Hant": ("Hani",)}
_WEIGHTS = {"Jpan": 3, "Hans": 3, "Hant": 3, "Kore": 2}


def measure(units: Sequence[Unit], language: Language, ratio: float | None, anchor: Language) -> pl.DataFrame:
    """One row a unit: the columns above. `ratio` is how long a target of this language is by its source
    (characters), as the chunk's segments say; None where there are too few of them.
    """
    rows = [
        (
            _spans_kept(unit, anchor, language),
            *agreement(unit.source, unit.target),
            *_numbers(unit, anchor, language),
            _length_ratio(unit.pairs),
            _length_worst(unit.pairs, ratio),
            _script(unit.pairs, language),
            _one_sided(unit.pairs, "source", "target"),
            _one_sided(unit.pairs, "target", "source"),
            *_word_shares(unit.pairs),
            _repetition(unit.pairs),
        )
        for unit in units
    ]
    schema = {c.name: pl.Boolean if c.aggregate == "all" else pl.Float64 for c in COLUMNS}
    return pl.DataFrame(rows, schema=schema, orient="row")


def ratio_of(units: Sequence[Unit]) -> float | None:
    """How long a target is by its source: the median over the segments of 20 characters or more, which
    a few bad ones don't move; None of fewer than 20 such segments.
    """
    ratios = sorted(
        len(pair.target) / len(pair.source)
        for unit in units
        for pair in unit.pairs
        if len(pair.source) >= 20 and pair.target
    )
    return ratios[len(ratios) // 2] if len(ratios) >= 20 else None


def _spans_kept(unit: Unit, anchor: Language, language: Language) -> float | None:
    """Spans are looked for longest first, each place once: the URL in a link counts with the link.

    A date, a time or a name with a number (COVID-19, Il-76s, 11million) may be written the language's way:
    it is kept when its numbers stand in the target.
    """
    if not unit.protected:
        return None
    wanted = sorted(set(unit.protected), key=lambda span: (-len(span), span))
    source, target = _counts(unit.source, wanted), _counts(unit.target, wanted)
    kept = sum(source[span] == target[span] or _is_rewritten(span, unit, anchor, language) for span in wanted)
    return kept / len(wanted)


def _counts(text: str, spans: Sequence[str]) -> dict[str, int]:
    counts = {}
    for span in spans:
        counts[span] = text.count(span)
        if counts[span]:
            text = text.replace(span, "\0")
    return counts


def may_be_rewritten(span: str) -> bool:
    """Whether a language may write a protected span its own way: dates, times, names with a number."""
    return bool(_REWRITTEN.fullmatch(span))


def _is_rewritten(span: str, unit: Unit, anchor: Language, language: Language) -> bool:
    """Of what a language may write its own way, how often it is written doesn't matter either."""
    if not may_be_rewritten(span):
        return False
    return span in unit.target or not numbers.compare(span, unit.target, anchor, language).lost


def _numbers(unit: Unit, anchor: Language, language: Language) -> tuple[float | None, float | None]:
    """F1 of the numbers, and how many of the target are the source's in no form, segment by segment.

    A protected date or time that the target has in another form went out of the source's segments only:
    then all are compared as one.
    """
    rewritten = [span for span in unit.protected if may_be_rewritten(span) and span not in unit.target]
    texts = [(pair.source, pair.target) for pair in unit.pairs]
    if rewritten:
        texts = [(" ; ".join([*(s for s, _ in texts), *rewritten]), " ; ".join(t for _, t in texts))]
    found = [numbers.compare(source, target, anchor, language) for source, target in texts]
    total = sum(one.total for one in found)
    if not total:
        return None, None
    return sum(one.both for one in found) / total, float(sum(one.new for one in found))


def _length_ratio(pairs: Sequence[Pair]) -> float | None:
    source = sum(len(pair.source) for pair in pairs)
    return sum(len(pair.target) for pair in pairs) / source if source else None


def _length_worst(pairs: Sequence[Pair], ratio: float | None) -> float | None:
    if ratio is None:
        return None
    rated = (pair for pair in pairs if pair.target and is_long(pair.source))
    return max(
        (abs(math.log((len(p.target) + 1) / (len(p.source) + 1) / ratio)) for p in rated), default=None
    )


@cache
def _outside(script: str) -> regex.Pattern[str]:
    allowed = "".join(rf"\p{{Script_Extensions={name}}}" for name in _SCRIPTS.get(script, (script,)))
    return regex.compile(rf"[^{allowed}\P{{L}}]")


def _script(pairs: Sequence[Pair], language: Language) -> float | None:
    """Names that the source has too may keep its script: capitalised words don't count.

    A character of Chinese or Japanese weighs as three letters, a Korean syllable as two.
    """
    outside = _outside(language.script)
    own = foreign = 0
    for pair in pairs:
        own += sum(map(str.isalpha, pair.target))
        if not outside.search(pair.target):
            continue
        names = {word for word in _LETTERS.findall(pair.source) if not word.islower()}
        for word in _ALPHABETIC.findall(pair.target):
            strange = len(outside.findall(word))
            own -= strange
            foreign += 0 if word in names else strange
    own *= _WEIGHTS.get(language.script, 1)
    return own / (own + foreign) if own + foreign else None


def _one_sided(pairs: Sequence[Pair], this: str, that: str) -> float | None:
    """Share of one side's text for which an engine made nothing on the other. Of segments that an aligner
    left alone, `alignment` says how sure that is.
    """
    weights = [(max(1, len(getattr(pair, this))), pair) for pair in pairs if _says(getattr(pair, this))]
    total = sum(weight for weight, _ in weights)
    alone = sum(w for w, pair in weights if pair.fit is None and not _says(getattr(pair, that)))
    return alone / total if total else None


def _says(text: str) -> bool:
    return any(map(str.isalnum, text))


def _word_shares(pairs: Sequence[Pair]) -> tuple[float | None, float | None, float | None]:
    """Copied, unknown and pivot words, each among the lower-case words of the target.

    Capitals are left out: names are copied and unknown in right translations too. So are words of
    fewer than four letters in the copies, "me", "no", "a" are words of many languages, unless they
    stand in a run that the source has.
    """
    words = copied = long = unknown = pivot = 0
    for pair in pairs:
        target = [word for word in _WORD.findall(pair.target) if word[0].islower()]
        source = set(_WORD.findall(pair.source))
        before = set(_WORD.findall(pair.pivot))
        unheld = set(pair.unknown)
        words += len(target)
        unknown += sum(word in unheld for word in target)
        pivot += sum(word in before for word in target)
        checked = [word for word in target if len(word) > 3]
        long += len(checked)
        copied += sum(word in source for word in checked)
    copies = max(copied / long, _copied_runs(pairs)) if long >= MIN_CHECKED else None
    share = unknown / words if words >= MIN_HELD else None
    has_pivot = any(pair.pivot for pair in pairs) and words >= MIN_WORDS
    return copies, share, pivot / words if has_pivot else None


def _copied_runs(pairs: Sequence[Pair]) -> float:
    """Share of the target's words in runs of four that the source has too, at least two in lower case."""
    words = copied = 0
    for pair in pairs:
        source, target = _LETTERS.findall(pair.source), _LETTERS.findall(pair.target)
        runs = set(zip(source, source[1:], source[2:], source[3:], strict=False))
        inside: set[int] = set()
        for place, run in enumerate(zip(target, target[1:], target[2:], target[3:], strict=False)):
            if run in runs and sum(map(str.islower, run)) >= 2:
                inside.update(range(place, place + 4))
        words += len(target)
        copied += len(inside)
    return copied / words if words else 0.0


def _repetition(pairs: Sequence[Pair]) -> float | None:
    """The worst segment's loop, or the sentences said twice, less what the source says again itself."""
    if not pairs:
        return None
    loops = max(looped(pair.target) - looped(pair.source) for pair in pairs)
    twice = said_twice([p.target for p in pairs]) - said_twice([p.source for p in pairs])
    return max(0.0, loops, twice)
