"""Splits a text into translatable segments and a verbatim skeleton, and puts them together again.

Every character is either in one skeleton piece or in one segment, in order, so that
`assemble(split(text, language)) == text` by construction: all that the other modules of this package
decide is where the cuts fall.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mldata.text.blocks import runs, verbatim
from mldata.text.protect import Kind, Mark, marks
from mldata.text.sentences import sentences

VERSION = 2
"""Enters digests: raise it when `split` or `whole` gives other output for the same text."""

# Invisible characters that stick to the ends of pasted text: byte order mark, zero-width space, and the
# marks of writing direction. No engine keeps them at an edge.
_INVISIBLE = "\ufeff\u200b\u200e\u200f"


@dataclass(frozen=True)
class Segment:
    """What an engine translates in one go: a sentence, a line, a table cell."""

    text: str
    """Verbatim slice of the source."""
    spans: tuple[tuple[int, int], ...] = ()
    """Slices of `text` that must come out of translation exactly once, unchanged: sorted and disjoint."""

    @property
    def protected(self) -> tuple[str, ...]:
        """The protected strings, in order."""
        return tuple(self.text[start:end] for start, end in self.spans)

    @property
    def plain(self) -> str:
        """The text without its protected spans: what language identification and word counts look at."""
        return " ".join(" ".join(_outside(self.text, self.spans)).split())


@dataclass(frozen=True)
class Split:
    """A text taken apart; `skeleton` has one piece more than there are segments."""

    skeleton: tuple[str, ...]
    """The verbatim pieces before, between and after the segments."""
    segments: tuple[Segment, ...]
    """What is to be translated, in order."""


def split(text: str, language: str) -> Split:
    """Take `text` apart; `language` is its BCP-47 tag, used for abbreviations at sentence ends."""
    skeleton, segments, cursor = [], [], 0
    for run_start, run_end in runs(text):
        run = text[run_start:run_end]
        if not _has_letter(run):
            continue
        for start, segment in _segments(run, language):
            skeleton.append(text[cursor : run_start + start])
            segments.append(segment)
            cursor = run_start + start + len(segment.text)
    skeleton.append(text[cursor:])
    return Split(tuple(skeleton), tuple(segments))


def assemble(parts: Split, translations: Sequence[str] | None = None) -> str:
    """Put translations, one per segment, into the skeleton; without them, give the source again."""
    texts = [segment.text for segment in parts.segments] if translations is None else translations
    if len(texts) != len(parts.segments):
        raise ValueError(f"{len(parts.segments)} segments need as many translations, not {len(texts)}")
    pieces = [parts.skeleton[0]]
    for text, piece in zip(texts, parts.skeleton[1:], strict=True):
        pieces += text, piece
    return "".join(pieces)


def whole(text: str, language: str) -> Segment:
    """The text as one segment, for engines that want it so.

    Its spans are what `split` protects within segments and what it keeps from engines altogether: code,
    HTML, maths, the definitions of links. List markers, headings, bars of tables and blank lines are
    open to the engine. A text in which `split` finds nothing to translate is one span.
    """
    found: list[tuple[int, int]] = list(verbatim(text))
    translatable = False
    for run_start, run_end in runs(text):
        run = text[run_start:run_end]
        found += [(run_start + mark.start, run_start + mark.end) for mark in marks(run)]
        translatable = translatable or (_has_letter(run) and any(True for _ in _segments(run, language)))
    if not translatable:
        return Segment(text, ((0, len(text)),) if text else ())
    return Segment(text, _joined(iter(sorted(found))))


def _segments(run: str, language: str) -> Iterator[tuple[int, Segment]]:
    """Each segment of a run with its offset."""
    found = marks(run)
    first = 0
    for start, end in sentences(run, found, language):
        last = first
        while last < len(found) and found[last].end <= end:
            last += 1
        inside, first = found[first:last], last
        start, end, inside = _trim(run, start, end, inside)
        spans = _joined((mark.start - start, mark.end - start) for mark in inside)
        sentence = run[start:end]
        if any(_has_letter(piece) for piece in _outside(sentence, spans)):
            yield start, Segment(sentence, spans)


def _trim(run: str, start: int, end: int, inside: list[Mark]) -> tuple[int, int, list[Mark]]:
    """Leave whitespace and markup at the edges to the skeleton.

    Only markup: a URL, name or piece of code at an edge is a word of the sentence to the translator.
    """
    left, right = 0, len(inside)
    while True:
        first, last = (inside[left].start, inside[right - 1].end) if left < right else (end, start)
        while start < first and _is_blank(run[start]):
            start += 1
        while end > max(start, last) and _is_blank(run[end - 1]):
            end -= 1
        if left < right and inside[left].start == start and inside[left].kind is Kind.MARKUP:
            start, left = inside[left].end, left + 1
        elif left < right and inside[right - 1].end == end and inside[right - 1].kind is Kind.MARKUP:
            end, right = inside[right - 1].start, right - 1
        elif left < right and _is_whole_link(run, start, end, inside[left:right]):
            start += run[start] == "["
            end, right = inside[right - 1].start, right - 1
        else:
            return start, end, inside[left:right]


def _is_whole_link(run: str, start: int, end: int, inside: list[Mark]) -> bool:
    """Whether the segment is one link, `[words](url)`, or the rest of one image, `words](url)`."""
    tail = inside[-1]
    if tail.kind is not Kind.LINK or tail.end != end or any(mark.kind is Kind.LINK for mark in inside[:-1]):
        return False
    return run.find("[", start + 1, tail.start) < 0


def _joined(spans: Iterator[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Touching spans, in order, as one: an engine has fewer things to carry over, and can't part them."""
    joined: list[tuple[int, int]] = []
    for start, end in spans:
        if joined and joined[-1][1] >= start:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return tuple(joined)


def _outside(text: str, spans: tuple[tuple[int, int], ...]) -> Iterator[str]:
    cursor = 0
    for start, end in spans:
        yield text[cursor:start]
        cursor = end
    yield text[cursor:]


def _has_letter(text: str) -> bool:
    return any(map(str.isalpha, text))


def _is_blank(character: str) -> bool:
    return character.isspace() or character in _INVISIBLE
