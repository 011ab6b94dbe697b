"""What catches the eye where a text stands beside its source: numbers and verbatim spans, and whether the
other side has them; words that came back as others.

A marked text is pieces that make up the text when they are put together; nothing is lost or added.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from mldata.evidence.numbers import compare
from mldata.evidence.structure import may_be_rewritten
from mldata.languages import Language
from mldata.text.segments import whole

Kind = Literal["", "span", "lost", "number", "word"]
"""span: stands verbatim on both sides. lost: a span that doesn't. number: the other side has it in no form.
word: a word that came back as another."""
COMPARED = 20_000
"""Characters of a text in which numbers and words are looked for."""

_FIGURES = re.compile(r"\d+(?:[.,:’'\u00a0\u202f]\d+)*")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Piece:
    """Some characters, and what is to be said of them."""

    text: str
    kind: Kind = ""


def beside_source(text: str, other: str, language: Language, of_other: Language) -> list[Piece]:
    """The text with its verbatim spans and those of its numbers that `other` hasn't."""
    found: list[tuple[int, int, Kind]] = []
    for start, end in whole(text, language.tag).spans:
        span = text[start:end]
        if any(map(str.isalnum, span)) and not may_be_rewritten(span):
            found.append((start, end, "span" if span in other else "lost"))
    taken = [False] * (len(text) + 1)
    for start, end, _ in found:
        taken[start:end] = [True] * (end - start)
    for match in _FIGURES.finditer(text[:COMPARED]):
        if not taken[match.start()] and _is_lost(match[0], other[:COMPARED], language, of_other):
            found.append((match.start(), match.end(), "number"))
    return _pieces(text, found)


def came_back(back: str, source: str) -> list[Piece]:
    """The back-translation with the words that the source hasn't in that place; capitals don't count."""
    ours, theirs = list(_WORD.finditer(back)), _WORD.findall(source.casefold())
    matcher = difflib.SequenceMatcher(None, theirs, [word[0].casefold() for word in ours], autojunk=False)
    found: list[tuple[int, int, Kind]] = [
        (ours[first].start(), ours[last - 1].end(), "word")
        for tag, _, _, first, last in matcher.get_opcodes()
        if tag in ("replace", "insert")
    ]
    return _pieces(back, found)


@lru_cache(maxsize=1 << 12)
def _is_lost(figures: str, other: str, language: Language, of_other: Language) -> bool:
    return compare(figures, other, language, of_other).lost > 0


def _pieces(text: str, found: list[tuple[int, int, Kind]]) -> list[Piece]:
    made, cursor = [], 0
    for start, end, kind in sorted(found):
        if start > cursor:
            made.append(Piece(text[cursor:start]))
        made.append(Piece(text[start:end], kind))
        cursor = end
    return [*made, Piece(text[cursor:])] if cursor < len(text) else made


def clipped(pieces: list[Piece], most: int) -> list[Piece]:
    """The pieces up to some characters."""
    made, room = [], most
    for piece in pieces:
        if room > 0:
            made.append(Piece(piece.text[:room], piece.kind))
        room -= len(piece.text)
    return made
