"""Sentence boundaries of one run of text, by sentencex, never inside a protected span.

Spans are masked by harmless characters of the same length before sentencex sees the run, and the
boundaries are read off the lengths of what it returns: the text itself is always sliced from the source.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

import sentencex

from mldata.text.protect import Kind, Mark

# Engines are trained on sentences and truncate or wander on much longer input: 600 characters are 100 to
# 200 tokens in most languages, half of what the smallest engine takes.
LIMIT = 600

_WINDOW = 2_000
_ASCII_END = re.compile(r"[.!?](?=.*\S)", re.DOTALL)

# An apostrophe or closing quote after a letter; a straight quotation mark.
_QUOTE = re.compile(r"(?<=[^\W\d_])['’]|\"")
_BEFORE_OPENING = " \t\n\r\u00a0([{—–-“‘«"

# Chinese and Japanese ends of sentence: sentencex finds none before a digit.
_FULL_STOP = re.compile(r"[。！？｡]+")
_OPENING, _CLOSED = "「『（【“", "」』）】”"

# "Im 19. Jahrhundert" is one sentence where a full stop makes an ordinal, whatever begins with a capital.
_ORDINAL = re.compile(r"(?<!\d)\d{1,2}\.\s*\Z")
_ORDINAL_LANGUAGES = {"bs", "cs", "da", "de", "eo", "fi", "hr", "hu", "nb", "nn", "sk", "sl", "sr", "tr"}

_CLAUSE = frozenset(",;:—–،؛、，；：")


def sentences(run: str, marks: list[Mark], language: str) -> Iterator[tuple[int, int]]:
    """Slices of `run`, in order and without gaps; each sentence has its trailing whitespace."""
    start = 0
    first = 0
    for end in _ends(run, marks, language):
        while first < len(marks) and marks[first].end <= start:
            first += 1
        while end - start > LIMIT:
            cut, first = _cut(run, start, marks, first)
            if cut >= end:
                break
            yield start, cut
            start = cut
        if start < end:
            yield start, end
            start = end


def _ends(run: str, marks: list[Mark], language: str) -> Iterator[int]:
    if len(run) <= LIMIT and run.isascii() and not _ASCII_END.search(run):  # most lines of a list or table
        yield len(run)
        return
    index = 0
    ordinals = language.split("-")[0].lower() in _ORDINAL_LANGUAGES
    for end in _boundaries(_masked(run, marks), language):
        if ordinals and _ORDINAL.search(run, max(0, end - 8), end):
            continue
        while index < len(marks) and marks[index].end <= end:
            index += 1
        cut, after = end, index
        while after < len(marks) and marks[after].start == cut and marks[after].kind is not Kind.WORD:
            cut, after = marks[after].end, after + 1
        if cut > end and (cut == len(run) or run[cut].isspace()):
            yield cut  # closing markup belongs to the sentence it closes: `**Done.** Next`
        elif index == len(marks) or marks[index].start >= end:  # the mask makes anything else rare
            yield end
    yield len(run)


def _boundaries(masked: str, language: str) -> Iterator[int]:
    """Offsets after each sentence but the last.

    By windows, since sentencex is quadratic in some characters (a second for 60,000 backticks). The last
    sentence of a window opens the next one; a sentence longer than a window goes on in it.
    """
    start = 0
    while start < len(masked):
        found = _segment(masked[start : start + _WINDOW], language)
        if start + _WINDOW < len(masked) and len(found) > 1:
            found.pop()
        for sentence in found[:-1]:
            yield from (start + end for end in _inner_ends(sentence))
            start += len(sentence)
            yield start
        yield from (start + end for end in _inner_ends(found[-1]))
        start += len(found[-1])
        if len(found) > 1 or len(found[-1]) < _WINDOW:
            yield start


def _inner_ends(sentence: str) -> Iterator[int]:
    """Offsets after full stops of Chinese and Japanese that stand outside brackets, but the last."""
    depth = cursor = 0
    for stop in _FULL_STOP.finditer(sentence):
        for character in sentence[cursor : stop.end()]:
            depth += (character in _OPENING) - (character in _CLOSED)
        cursor = stop.end()
        if depth <= 0 and cursor < len(sentence.rstrip()) and sentence[cursor] not in _CLOSED:
            yield cursor


def _segment(masked: str, language: str) -> list[str]:
    try:
        found: list[str] = sentencex.segment(language.split("-")[0].lower(), masked)
    except BaseException as error:
        # sentencex 1.0 panics in Rust on one letter, NBSP, full stop, and PyO3's PanicException is no
        # Exception. _masked removes that case; a panic left over costs some boundaries, not the text.
        if type(error).__name__ != "PanicException":
            raise
        return [masked]
    return found if sum(map(len, found)) == len(masked) else [masked]


def _masked(run: str, marks: list[Mark]) -> str:
    """The run as sentencex should see it, of the same length."""
    pieces = []
    cursor = 0
    quoted = _QUOTE.sub(_as_quote, run)
    for mark in marks:
        length = mark.end - mark.start
        pieces.append(_spaced(quoted[cursor : mark.start]))
        # To sentencex a word is a capitalised word, which may open a sentence; asterisks neither hide the
        # full stop before them nor pair like quotes do.
        pieces.append("*" * length if mark.kind is not Kind.WORD else "X" + "x" * (length - 1))
        cursor = mark.end
    pieces.append(_spaced(quoted[cursor:]))
    return "".join(pieces)


def _as_quote(match: re.Match[str]) -> str:
    """An apostrophe as a letter, and a straight quotation mark as one that opens or closes.

    sentencex pairs them by their order, and finds no boundary inside a pair: "the city's route. Nigeria's
    president" was one sentence, and one odd mark shifts all that follow.
    """
    if match[0] in "'’":
        return "x"
    return "“" if match.start() == 0 or match.string[match.start() - 1] in _BEFORE_OPENING else "”"


def _spaced(text: str) -> str:
    """One kind of whitespace: line ends inside a run are soft, and NBSP makes sentencex panic."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(" " if character.isspace() else character for character in text)


def _cut(run: str, start: int, marks: list[Mark], first: int) -> tuple[int, int]:
    """Where to cut a sentence over the limit, and the first mark that ends after it."""
    limit = start + LIMIT
    while first < len(marks) and marks[first].end <= limit:
        first += 1
    torn = marks[first] if first < len(marks) and marks[first].start < limit else None
    if torn and torn.start > start:
        return torn.start, first
    if torn:
        return torn.end, first + 1
    return _pause(run, start, limit, marks, first), first


def _pause(run: str, start: int, limit: int, marks: list[Mark], first: int) -> int:
    """The last clause end, else the last blank, else the last whole character before the limit."""
    inside = _inside(marks, start, first)
    blank = 0
    for at in range(limit, start + LIMIT // 3, -1):
        if at in inside or not run[at - 1].isspace():
            continue
        if at - 2 > start and run[at - 2] in _CLAUSE:
            return at
        blank = blank or at
    if blank:
        return blank
    whole = (at for at in range(limit, start, -1) if at not in inside and _is_boundary(run, at))
    cut = next(whole, 0)
    if not cut:
        cut = limit
        while cut < len(run) and not _is_boundary(run, cut):
            cut += 1
    return cut


def _inside(marks: list[Mark], start: int, first: int) -> set[int]:
    """Offsets after `start` that lie inside a mark before `marks[first]`."""
    inside: set[int] = set()
    for mark in reversed(marks[:first]):
        if mark.end <= start:
            break
        if mark.end - mark.start > 1:
            inside.update(range(mark.start + 1, mark.end))
    return inside


def _is_boundary(run: str, at: int) -> bool:
    """Whether a cut before `run[at]` leaves combining sequences and emoji whole."""
    if unicodedata.category(run[at]) in ("Mn", "Mc", "Me", "Cf", "Sk") or run[at - 1] == "\u200d":
        return False
    return not ("\U0001f1e6" <= run[at] <= "\U0001f1ff")  # half of a flag
