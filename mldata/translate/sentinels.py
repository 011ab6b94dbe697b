"""Protected spans as sentinels: short marks that an engine carries through, put back and verified after.

A mark that came back twice, changed or not at all would corrupt a text silently, so `unmask` answers None
then and the engine translates the pieces around the spans instead (`around`, `join`). Apertium has a way
of its own for what must not change, superblanks, but some of its modes (en-eo) print a superblank twice
where a transfer rule moves words over it; a bracketed number came through all modes once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import zip_longest

from mldata.text import Segment
from mldata.translate import Translation

Mark = Callable[[int], str]
"""The sentinel for the n-th span, counted from 1."""


def mask(segment: Segment, mark: Mark) -> str:
    """The text of `segment` with its n-th span replaced by `mark(n)`."""
    pieces, end = [], 0
    for number, (start, stop) in enumerate(segment.spans, 1):
        pieces += [segment.text[end:start], mark(number)]
        end = stop
    return "".join([*pieces, segment.text[end:]])


def unmask(masked: str, protected: Sequence[str], mark: Mark) -> Segment | None:
    """Put `protected` back for its marks; None unless each mark stands in `masked` exactly once."""
    if not protected:
        return Segment(masked)
    numbers = {mark(number): text for number, text in enumerate(protected, 1)}
    found = re.compile("|".join(re.escape(m) for m in sorted(numbers, key=len, reverse=True)))
    if sorted(found.findall(masked)) != sorted(numbers):
        return None
    pieces: list[str] = []
    spans: list[tuple[int, int]] = []
    end = length = 0
    for match in found.finditer(masked):
        before, text = masked[end : match.start()], numbers[match.group()]
        length += len(before)
        spans.append((length, length + len(text)))
        length += len(text)
        pieces += [before, text]
        end = match.end()
    return Segment("".join([*pieces, masked[end:]]), tuple(spans))


def guard(segment: Segment, pattern: re.Pattern[str]) -> Segment:
    """`segment` with what `pattern` finds outside its spans protected too: what this engine would spoil."""
    extra = [
        match.span()
        for match in pattern.finditer(segment.text)
        if not any(start < match.end() and match.start() < stop for start, stop in segment.spans)
    ]
    return Segment(segment.text, tuple(sorted([*segment.spans, *extra]))) if extra else segment


def unguard(result: Segment, original: Segment) -> Segment:
    """Of the spans found in a guarded segment's translation, keep those that `original` protects."""
    wanted = list(original.protected)
    spans = []
    for start, stop in result.spans:
        if result.text[start:stop] in wanted:
            wanted.remove(result.text[start:stop])
            spans.append((start, stop))
    return Segment(result.text, tuple(spans))


def around(segment: Segment) -> list[Segment]:
    """The pieces between the spans that hold words, without white space at their edges."""
    return [Segment(piece.strip()) for piece in _between(segment) if _has_words(piece)]


def join(segment: Segment, translated: Sequence[Translation]) -> Translation:
    """`segment` with its pieces replaced by the translations of `around(segment)`, in order."""
    results = iter(translated)
    unknown: list[str] = []
    text, spans = "", []
    for piece, protected in zip_longest(_between(segment), segment.protected, fillvalue=""):
        if _has_words(piece):
            result = next(results)
            unknown += result.unknown
            head, tail = piece[: len(piece) - len(piece.lstrip())], piece[len(piece.rstrip()) :]
            piece = head + result.segment.text + tail
        text += piece
        if protected:
            spans.append((len(text), len(text) + len(protected)))
            text += protected
    return Translation(Segment(text, tuple(spans)), tuple(unknown))


def _between(segment: Segment) -> list[str]:
    edges = [0, *(edge for span in segment.spans for edge in span), len(segment.text)]
    return [segment.text[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _has_words(text: str) -> bool:
    return any(map(str.isalpha, text))
