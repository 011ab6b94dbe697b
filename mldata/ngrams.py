"""Texts as runs of n words, each run one number: what near-duplicates and leaks are found by.

Case, punctuation, white space and Unicode's compatibility forms are set aside first, so that a retyped
text is the same text. Where words aren't written apart, the unit is the character. A run's number depends
on its words alone: the same on every machine and in every run.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import regex

from mldata.languages import language

VERSION = 1
"""Raise it when the same text gives other numbers."""

Unit = Literal["words", "characters"]
Numbers = npt.NDArray[np.uint64]

_UNSPACED = frozenset({"Hans", "Hant", "Hani", "Jpan", "Thai", "Laoo", "Khmr", "Mymr", "Tibt"})
_WORD = regex.compile(r"[\p{L}\p{M}\p{N}]+")
_ASCII_SIGNS = {code: " " for code in range(128) if not chr(code).isalnum()}
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no word's bits are lost; 2^64 by the golden ratio


def unit_of(anchor: str) -> Unit:
    """What a run is made of in the language `anchor`: words, or characters where no spaces part them."""
    return "characters" if language(anchor).script in _UNSPACED else "words"


def said(field: str | Sequence[dict[str, Any]]) -> str:
    """All that a prompt or answer says: a string, or the contents and tool calls of its messages."""
    if isinstance(field, str):
        return field
    return "\n".join(part for m in field for part in (m.get("content"), m.get("tool_calls")) if part)


def units(text: str, unit: Unit) -> list[str]:
    """The words (or characters) of a text. A text of signs alone is one unit, so that no text has none."""
    if text.isascii():  # most of English: the same words in a quarter of the time
        plain = text.lower()
        found = plain.translate(_ASCII_SIGNS).split()
    else:
        plain = unicodedata.normalize("NFKC", text).casefold()
        found = _WORD.findall(plain)
    if not found:
        return ["".join(plain.split())]
    return found if unit == "words" else list("".join(found))


@lru_cache(maxsize=1 << 18)
def number(unit: str) -> int:
    """64 bits of BLAKE2b of a word; the words of a chunk are few, so most are remembered."""
    return int.from_bytes(hashlib.blake2b(unit.encode("utf-8", "surrogatepass"), digest_size=8).digest())


def numbers(found: Sequence[str]) -> Numbers:
    """uint64[len(found)]."""
    return np.fromiter(map(number, found), np.uint64, len(found))


def runs(of_units: Numbers, n: int) -> Numbers:
    """The numbers of all runs of n neighbours, uint64[len - n + 1], as a polynomial modulo 2^64; none
    where there are fewer."""
    count = len(of_units) - n + 1
    if count < 1:
        return np.zeros(0, np.uint64)
    made = of_units[:count].copy()
    for place in range(1, n):
        made *= _FACTOR
        made += of_units[place : place + count]
    return made


def bordered_runs(of_units: Numbers, n: int) -> Numbers:
    """`runs` with the text's two ends as units of their own: at least one run, however short the text."""
    padded = np.concatenate([_START, of_units, _END])
    return runs(padded, min(n, len(padded)))


BORDER = np.array([number("\0border")], np.uint64)
"""Stands in no text: put between two, it keeps runs from crossing."""
_START, _END = (np.array([number(f"\0{end}")], np.uint64) for end in ("start", "end"))
