"""Finds the runs of prose in a Markdown text: slices within one paragraph line, list item or table cell.

markdown-it-py says which lines are code, HTML or tables; the columns come from our own patterns, since
its tokens know lines only. A text that is very long or nests too deeply is read line by line without it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from enum import IntEnum
from functools import cache
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

# markdown-it-py reads 1 MB/s at best and has slow cases; no real field of preference data is longer.
PARSE_LIMIT = 200_000

SOFT_WRAP = 50
"""A shorter line was broken by its author: a verse, an address, "Q: ..."."""
FINAL = frozenset(".!?…:;。！？।؟")
FENCE = re.compile(r"[ \t>]*+(?:(?:[-*+]|\d{1,9}[.)])[ \t]++)?(`{3,}(?=[^`]*+\Z)|~{3,})")

_NESTING = 20

# markdown-it ends lines at these only; str.splitlines would count more lines than it does.
_LINE = re.compile(r"([^\r\n]*)(?:\r\n|\r|\n)|([^\r\n]+)\Z")
_OTHER_LINE_END = re.compile("[\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029]+")
_PREFIX = re.compile(
    r"""[ \t]*+(?:
        (?: > | (?:[-*+•‣◦▪●·–—] | \d{1,9}[.)] | \([0-9A-Za-z]{1,3}\) | [0-9A-Za-z][.)] | \#{1,6}
            | \[[ xX]\] | \[\^[\w-]{1,30}\]:)(?=[ \t]) )
        [ \t]*+
    )*+""",
    re.VERBOSE,
)
_DEFINITION = re.compile(r"[ \t>]*+\[[^\]\r\n^][^\]\r\n]{0,200}\]:[ \t]*+\S")
_CELL = re.compile(r"(?:[^|\\]|\\.|\\)++", re.DOTALL)
_CLOSING = "\"'”’»)]*_ \t"

# Displayed maths, environments and comments that may hold line ends.
_ISLAND = re.compile(r"\$\$|\\\[|\\begin\{[A-Za-z]{1,20}\*?\}|<!--")
_ISLAND_LIMIT = 5_000
_ISLAND_NAMES = 50

_HTML_CODE = re.compile(
    r"<(?:!|\?|/?(?:script|style|pre|textarea|html|head|body|svg|template)\b)", re.IGNORECASE
)
_NOT_PROSE = re.compile(r"[=(){}\[\]<>_;\\/`$|#@^~+]")
_PROSE_LINE = re.compile(r"\s*+[\"“'‘]?[^\W\d_a-z]\w*(?:[^\w\s]?\s+\S+){3,}")


class _Line(IntEnum):
    TEXT = 0
    TABLE = 1
    VERBATIM = 2
    RULE = 3
    """A horizontal line: nothing to translate, and nothing to keep from an engine's eyes."""


class _Run(NamedTuple):
    start: int
    end: int
    open: bool
    """Whether the next line may go on with this one's sentence."""
    quotes: int = 0
    """How many `>` it stands behind."""


def runs(text: str) -> Iterator[tuple[int, int]]:
    """Slices of `text` to look for sentences in, in order and disjoint."""
    read = _read(text)
    last: _Run | None = None
    for index, (start, end) in enumerate(read.lines):
        if start == end or read.kinds[index] >= _Line.VERBATIM:
            continue
        clipped = read.clips.get(index, (start, end))
        for run in _line_runs(text, *clipped, table=read.kinds[index] == _Line.TABLE):
            if last and _goes_on(text, last, run, start):
                last = _Run(last.start, run.end, run.open, run.quotes)
                continue
            if last:
                yield last.start, last.end
            last = run
    if last:
        yield last.start, last.end


def verbatim(text: str) -> Iterator[tuple[int, int]]:
    """Slices of `text` that `runs` leaves out since they are code, HTML, maths over several lines or the
    definitions of links: in order, but those of neighbouring lines may touch or overlap."""
    read = _read(text)
    found = list(read.islands)
    for index, (start, end) in enumerate(read.lines):
        if read.kinds[index] == _Line.VERBATIM:
            if index and read.kinds[index - 1] == _Line.VERBATIM and found:
                found[-1] = found[-1][0], end
            else:
                found.append((start, end))
        elif read.kinds[index] == _Line.TEXT:
            clipped = read.clips.get(index, (start, end))
            if _DEFINITION.match(text[slice(*clipped)]):
                found.append(clipped)
    return iter(sorted((start, end) for start, end in found if text[start:end].strip()))


class _Read(NamedTuple):
    """A text in lines."""

    lines: list[tuple[int, int]]
    kinds: bytearray
    clips: dict[int, tuple[int, int]]
    """What is left of the lines that an island begins or ends in."""
    islands: list[tuple[int, int]]


def _read(text: str) -> _Read:
    lines = [m.span(1) if m.group(1) is not None else m.span(2) for m in _LINE.finditer(text)]
    kinds = _kinds(text, lines)
    return _Read(lines, kinds, *_islands(text, lines, kinds))


def _line_runs(text: str, start: int, end: int, table: bool) -> Iterator[_Run]:
    line = text[start:end]
    if _DEFINITION.match(line):  # [label]: https://... "title"
        return
    prefix = _PREFIX.match(line)
    offset = prefix.end() if prefix else 0
    marker = line[:offset]
    body = line[offset:]
    if table or (body.startswith("|") and body.count("|") > 1):
        for cell in _CELL.finditer(body):
            yield _Run(start + offset + cell.start(), start + offset + cell.end(), open=False)
        return
    heading = "#" in marker
    if heading and body.rstrip().endswith("#"):
        bare = body.rstrip().rstrip("#")
        body = bare if bare.endswith((" ", "\t")) else body
    cursor = 0
    for gap in _OTHER_LINE_END.finditer(body):
        yield _Run(start + offset + cursor, start + offset + gap.start(), open=False)
        cursor = gap.end()
    rest = body[cursor:]
    wraps = not heading and _wraps(rest)
    yield _Run(start + offset + cursor, start + offset + len(body), wraps, marker.count(">"))


def _wraps(line: str) -> bool:
    """Whether a line may have been broken by an editor's width, not by its author."""
    if line.endswith(("  ", "\\")) or len(line.strip()) < SOFT_WRAP:
        return False
    return line.rstrip(_CLOSING)[-1:] not in FINAL


def _goes_on(text: str, last: _Run, run: _Run, line_start: int) -> bool:
    if not last.open or run.quotes != last.quotes or last.end > line_start:
        return False
    between = text[last.end : run.start]
    # A marker of a list or heading, or a blank line, between the two ends the sentence.
    newline = one_line_end(between)
    return (
        newline.count("\n") == 1 and not newline.strip("\n \t>") and text[run.start : run.end][:1].islower()
    )


def _kinds(text: str, lines: list[tuple[int, int]]) -> bytearray:
    tokens = block_tokens(text)
    if tokens is not None:
        return _parsed_kinds(text, lines, tokens)
    return _plain_kinds(text, lines)


def one_line_end(text: str) -> str:
    """`text` with one kind of line end, as markdown-it counts lines."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def block_tokens(text: str) -> list[Token] | None:
    """The block tokens of a Markdown text; None of one that is too long to parse, or nests deeper than
    markdown-it goes, which drops what is deeper and says nothing."""
    if len(text) > PARSE_LIMIT:
        return None
    parser = _parser()
    tokens: list[Token] = []
    parser.block.parse(one_line_end(text).replace("\0", "\ufffd"), parser, {}, tokens)
    return tokens if all(token.level < _NESTING - 1 for token in tokens) else None


@cache
def _parser() -> MarkdownIt:
    """Block rules only: inline ones cost most of the time and know no columns. Without `reference`, which
    would swallow lines without a token."""
    return MarkdownIt("commonmark", {"maxNesting": _NESTING}).enable("table").disable("reference")


def _parsed_kinds(text: str, lines: list[tuple[int, int]], tokens: list[Token]) -> bytearray:
    kinds = bytearray(len(lines))
    for token in tokens:
        if token.map is None:
            continue
        first, last = token.map[0], min(token.map[1], len(lines))
        body = [text[start:end] for start, end in lines[first:last]]
        if token.type == "table_open":
            kinds[first:last] = bytes([_Line.TABLE]) * (last - first)
        elif token.type == "hr":
            kinds[first:last] = bytes([_Line.RULE]) * (last - first)
        elif (
            token.type == "fence"
            or (token.type == "code_block" and not _is_prose(body))
            or (token.type == "html_block" and any(map(_HTML_CODE.search, body)))
        ):
            kinds[first:last] = bytes([_Line.VERBATIM]) * (last - first)
    return kinds


def _is_prose(body: list[str]) -> bool:
    """Whether an indented "code block" is an indented poem, letter or paragraph."""
    return not any(map(_NOT_PROSE.search, body)) and any(map(_PROSE_LINE.match, body))


def _plain_kinds(text: str, lines: list[tuple[int, int]]) -> bytearray:
    """Fences only, found line by line."""
    kinds = bytearray(len(lines))
    fence = ""
    for index, (start, end) in enumerate(lines):
        found = FENCE.match(text, start, end)
        if fence or found:
            kinds[index] = _Line.VERBATIM
        if fence and found and found[1].startswith(fence) and not text[found.end() : end].strip():
            fence = ""
        elif not fence and found:
            fence = found[1]
    return kinds


def _islands(
    text: str, lines: list[tuple[int, int]], kinds: bytearray
) -> tuple[dict[int, tuple[int, int]], list[tuple[int, int]]]:
    """Take maths and comments over several lines out: whole lines become verbatim, the rest is clipped.

    Returns what is left of the lines that an island begins or ends in, and the islands.
    """
    clips: dict[int, tuple[int, int]] = {}
    islands: list[tuple[int, int]] = []
    starts = [start for start, _ in lines]
    closes: dict[str, int] = {}  # where each closing stands next: a search for each opening is quadratic
    cursor = 0
    while found := _ISLAND.search(text, cursor):
        cursor = found.end()
        close = {"$$": "$$", "\\[": "\\]", "<!--": "-->"}.get(found[0], found[0].replace("begin", "end"))
        if closes.get(close, 0) < cursor and len(closes) < _ISLAND_NAMES:
            at = text.find(close, cursor)
            closes[close] = len(text) if at < 0 else at
        end = closes.get(close, 0)
        if not cursor <= end < min(len(text), cursor + _ISLAND_LIMIT):
            continue
        first = bisect_right(starts, found.start()) - 1
        last = bisect_right(starts, end) - 1
        if first == last or any(kinds[first : last + 1]):
            continue
        if close in ("$$", "\\]") and any(not text[s:e].strip() for s, e in lines[first : last + 1]):
            continue
        cursor = end + len(close)
        islands.append((found.start(), cursor))
        clips[first] = clips.get(first, lines[first])[0], found.start()
        clips[last] = cursor, lines[last][1]
        kinds[first + 1 : last] = bytes([_Line.VERBATIM]) * (last - first - 1)
    return clips, islands
