"""Structure evidence: what can be counted. Protected spans, numbers, markup, length, script, and words
that show an engine gave up: copied, unknown, or looping.

Numbers are scored, not compared for equality: right human translations agree on them in 75 of 100 cases
only (written out, converted, "3 tys."), machine translations in nine of ten.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

import polars as pl
import regex

from mldata.evidence import Column, Pair, Unit
from mldata.languages import Language

COLUMNS = (
    Column("spans_kept", "min", "share of the protected spans that stand in the target as often"),
    Column("markup_kept", "all", "as many list items, headings, table rows and paragraphs"),
    Column("numbers", "min", "agreement (F1) of the numbers on both sides"),
    Column("length_ratio", "mean", "length of the target by that of the source, in characters"),
    Column("script", "min", "share of the letters that are in the language's script"),
    Column("empty_segments", "max", "share of the text whose translation is empty"),
    Column("copied_words", "max", "share of the words that are the source's own"),
    Column("unknown_words", "max", "share of the words that no dictionary of the route held"),
    Column("pivot_words", "max", "share of the words that are the pivot language's own"),
    Column("repetition", "max", "share of four-word runs said before, beyond the source's"),
)
MIN_WORDS = 6
"""Shares of fewer words say nothing."""
MIN_HELD = 2
"""Of two words that an engine has to know, one that it doesn't know is damage; of one, it may be a name."""
MIN_CHECKED = 3
"""A copy shows in fewer: three words of four letters or more are seldom those of two languages."""

_WORD = regex.compile(r"\p{L}[\p{L}\p{M}'’·-]+")  # of two letters or more: x and y are no words
_NUMBER = re.compile(r"\d+(?:[.,'’\u00a0\u202f ]\d{3})*(?:[.,]\d+)?")
_MARKUP = {
    "items": re.compile(r"(?m)^[ \t>]*(?:[-*+]|\d{1,9}[.)])[ \t]"),
    "headings": re.compile(r"(?m)^[ \t>]*#{1,6}[ \t]"),
    "rows": re.compile(r"(?m)^[ \t>]*\|"),
    "paragraphs": re.compile(r"\n[ \t]*\n"),
    "lines": re.compile(r"\n"),
}
_SCRIPTS = {"Jpan": ("Hira", "Kana", "Hani"), "Kore": ("Hang", "Hani"), "Hans": ("Hani",), "Hant": ("Hani",)}


def measure(units: Sequence[Unit], language: Language) -> pl.DataFrame:
    """One row a unit: the columns above."""
    rows = [
        (
            _spans_kept(unit),
            _markup(unit.source) == _markup(unit.target),
            _numbers(unit.pairs),
            _length_ratio(unit.pairs),
            _script(unit.pairs, language),
            _empty(unit.pairs),
            *_word_shares(unit.pairs),
            _repetition(unit.pairs),
        )
        for unit in units
    ]
    schema = {c.name: pl.Boolean if c.aggregate == "all" else pl.Float64 for c in COLUMNS}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _spans_kept(unit: Unit) -> float | None:
    if not unit.protected:
        return None
    wanted = set(unit.protected)
    return sum(unit.source.count(span) == unit.target.count(span) for span in wanted) / len(wanted)


def _markup(text: str) -> dict[str, int]:
    return {name: len(pattern.findall(text)) for name, pattern in _MARKUP.items()}


def _numbers(pairs: Iterable[Pair]) -> float | None:
    """F1 of the two multisets of numbers, whatever their separators."""
    source, target = Counter[str](), Counter[str]()
    for pair in pairs:
        source.update(map(_value, _NUMBER.findall(pair.source)))
        target.update(map(_value, _NUMBER.findall(pair.target)))
    total = source.total() + target.total()
    return 2 * (source & target).total() / total if total else None


def _value(number: str) -> str:
    """1,200.50 and 1.200,50 and 1 200,5 are one number, and 1.5 and 15 are two.

    A last separator with other than three digits behind it is taken for the decimal one; "1,200" and
    "1.200" are twelve hundred in one language and one and a fifth in the other, so they count as one.
    """
    cut = max(number.rfind("."), number.rfind(","))
    whole, decimals = (number[:cut], number[cut + 1 :]) if cut >= 0 else (number, "")
    if len(decimals) == 3:
        whole, decimals = whole + decimals, ""
    decimals = decimals.rstrip("0")
    return re.sub(r"\D", "", whole).lstrip("0") + (f".{decimals}" if decimals else "")


def _length_ratio(pairs: Sequence[Pair]) -> float | None:
    source = sum(len(pair.source) for pair in pairs)
    return sum(len(pair.target) for pair in pairs) / source if source else None


@cache
def _outside(script: str) -> regex.Pattern[str]:
    allowed = "".join(rf"\p{{Script_Extensions={name}}}" for name in _SCRIPTS.get(script, (script,)))
    return regex.compile(rf"[^{allowed}\P{{L}}]")


def _script(pairs: Sequence[Pair], language: Language) -> float | None:
    text = "".join(pair.target for pair in pairs)
    letters = sum(map(str.isalpha, text))
    return 1 - len(_outside(language.script).findall(text)) / letters if letters else None


def _empty(pairs: Sequence[Pair]) -> float | None:
    total = sum(pair.weight for pair in pairs)
    return sum(p.weight for p in pairs if not any(map(str.isalpha, p.target))) / total if total else None


def _word_shares(pairs: Sequence[Pair]) -> tuple[float | None, float | None, float | None]:
    """Copied, unknown and pivot words, each among the lower-case words of the target.

    Capitals are left out: names are copied and unknown in right translations too. So are words of
    fewer than four letters in the copies: "me", "no", "a" are words of many languages.
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
    copies = copied / long if long >= MIN_CHECKED else None
    share = unknown / words if words >= MIN_HELD else None
    has_pivot = any(pair.pivot for pair in pairs) and words >= MIN_WORDS
    return copies, share, pivot / words if has_pivot else None


def _repetition(pairs: Sequence[Pair]) -> float | None:
    runs = [_repeated(" ".join(getattr(p, side) for p in pairs)) for side in ("source", "target")]
    if runs[0] is None or runs[1] is None:
        return None
    return max(0.0, runs[1] - runs[0])


def _repeated(text: str) -> float | None:
    """Share of four-word runs that stood in the text before."""
    words = text.split()
    runs = list(zip(words, words[1:], words[2:], words[3:], strict=False))
    return 1 - len(set(runs)) / len(runs) if len(runs) >= MIN_WORDS else None
