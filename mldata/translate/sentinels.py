"""Protected spans as sentinels: short marks that an engine carries through, put back and verified after.

A mark that came back twice, changed or not at all would corrupt a text silently, so `unmask` answers
None then and the engine translates around the spans instead (`translate_around`). Apertium has a way of
its own for what must not change, superblanks, but some of its modes (en-eo) print a superblank twice
where a transfer rule moves words over it; a bracketed number came through all modes once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

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


def translate_around(
    segment: Segment, translate: Callable[[list[Segment]], list[Translation]]
) -> Translation:
    """Translate the pieces between the spans one by one; white space at their edges stays."""
    edges = [0, *(edge for span in segment.spans for edge in span), len(segment.text)]
    between = [segment.text[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True)]
    wanted = [i for i, piece in enumerate(between) if any(map(str.isalpha, piece))]
    results = translate([Segment(between[i].strip()) for i in wanted])
    unknown: list[str] = []
    for i, result in zip(wanted, results, strict=True):
        piece = between[i]
        head, tail = piece[: len(piece) - len(piece.lstrip())], piece[len(piece.rstrip()) :]
        between[i] = head + result.segment.text + tail
        unknown += result.unknown
    text, spans = between[0], []
    for protected, piece in zip(segment.protected, between[1:], strict=True):
        spans.append((len(text), len(text) + len(protected)))
        text += protected + piece
    return Translation(Segment(text, tuple(spans)), tuple(unknown))
