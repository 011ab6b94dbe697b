"""The outline of a Markdown text: its blocks in order, for comparing a translation's with its source's.

What a reader sees counts, not how it was typed: `*` and `-`, one blank line or two, trailing blanks and
rewrapped lines are equal, and a sentence that begins "2020. " is no list.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from markdown_it.token import Token

from mldata.text.blocks import FENCE, FINAL, SOFT_WRAP, block_tokens, one_line_end

Block = tuple[str | int, ...]
"""What a block is, whether a blank line stands before it, how deep it is in quotes and list items, and its
size or number."""

_CLOSING = "\"'”’»)]*_"
_LINES = (
    ("item", re.compile(r"[ \t>]*(?:[-*+]|\d{1,9}[.)])[ \t]")),
    ("heading", re.compile(r"[ \t>]*#{1,6}[ \t]")),
    ("row", re.compile(r"[ \t>]*\|")),
    ("blank", re.compile(r"[ \t>]*\Z")),
)
_OPENING = re.compile(r"(?m)^[ \t>]*(\d{1,9})[.)][ \t]")
_NUMERAL = re.compile(r"\d+")


def agreement(source: str, target: str) -> tuple[float, bool]:
    """Share of the blocks that both texts have (F1 of the two multisets), and whether all agree in order.

    Lines inside a paragraph count as the author's unless both texts may have been wrapped by width.
    """
    best, kept = 0.0, False
    for wrapped in (False, True):
        these, those = outline(source, target, wrapped=wrapped), outline(target, source, wrapped=wrapped)
        common = (Counter(these) & Counter(those)).total()
        total = len(these) + len(those)
        best, kept = max(best, 2 * common / total if total else 1.0), kept or these == those
        if kept:
            break
    return best, kept


def outline(text: str, other: str = "", *, wrapped: bool = False) -> list[Block]:
    """The blocks of `text` in order. A numbered item whose number stands in the prose of `other`, and
    opens no line there, is a sentence: "15. svibnja" for "On 15 May". `wrapped` lines count as one.
    """
    tokens = block_tokens(text)
    text = one_line_end(text)
    if tokens is None:
        return list(_line_by_line(text))
    return list(_blocks(text.split("\n"), tokens, _spoken(text, other), wrapped))


def _spoken(text: str, other: str) -> frozenset[str]:
    """Numbers that open a line of `text` and stand in the prose of `other`, with no neighbour in a list."""
    here, there = ({match[1] for match in _OPENING.finditer(side)} for side in (text, other))
    listed = {str(int(number) + step) for number in here for step in (-1, 1)}
    return frozenset(here & set(_NUMERAL.findall(other)) - there - listed)


def _blocks(
    lines: Sequence[str], tokens: Sequence[Token], spoken: frozenset[str], wrapped: bool
) -> Iterator[Block]:
    quotes, items = 0, 0
    sentences: list[bool] = []  # of each open list item: whether it is a sentence after all
    numbering = _numbering(tokens)
    opening = next((number for number, line in enumerate(lines) if line.strip(" \t>")), 0)
    for index, token in enumerate(tokens):
        kind = token.type
        if kind == "list_item_open":
            sentences.append(token.info in spoken)
            items += not sentences[-1]
        elif kind == "list_item_close":
            items -= not sentences.pop()
        elif kind.startswith("blockquote"):
            quotes += token.nesting
        place = _is_apart(lines, token, opening), quotes, items
        if kind == "list_item_open" and not sentences[-1]:
            yield "item", *place, numbering.get(index, "-")
        elif kind == "heading_open":
            yield "heading", *place, token.tag
        elif kind == "paragraph_open" and token.map:
            yield "paragraph", *place, _height(lines[token.map[0] : token.map[1]], wrapped)
        elif kind in ("fence", "code_block", "hr", "html_block"):
            yield kind, *place
        elif kind == "table_open":
            rows, columns = _shape(tokens, index)
            yield from (("row", *place, columns) for _ in range(rows))


def _is_apart(lines: Sequence[str], token: Token, opening: int) -> bool:
    """Whether a blank line stands before the block that `token` opens; `opening` is the text's first line."""
    start = token.map[0] if token.map else 0
    return start > opening and not lines[start - 1].strip(" \t>")


def _numbering(tokens: Sequence[Token]) -> dict[int, str]:
    """Token index of each numbered item -> its number; "1. 1. 1." counts on as readers see it."""
    numbers: dict[int, str] = {}
    open_: list[list[int]] = []
    for index, token in enumerate(tokens):
        if token.type.endswith("_list_open"):
            open_.append([])
        elif token.type == "list_item_open" and token.info:
            open_[-1].append(index)
            numbers[index] = token.info.lstrip("0") or "0"
        elif token.type.endswith("_list_close"):
            indices = open_.pop()
            if len({numbers[i] for i in indices}) == 1:
                numbers |= {i: str(int(numbers[i]) + place) for place, i in enumerate(indices)}
    return numbers


def _height(lines: Sequence[str], wrapped: bool) -> int:
    """Lines of a paragraph; one where they may have been wrapped by width and that is asked for."""
    inner = [line for line in lines[:-1] if line.strip(" \t>")]
    soft = not any(map(_is_authors, inner))
    return 1 if wrapped and soft else len(inner) + 1


def _is_authors(line: str) -> bool:
    """Whether the author broke the line: it is short, or ends a sentence, or says so."""
    bare = line.strip()
    return _width(bare) < SOFT_WRAP or line.endswith(("  ", "\\")) or bare.rstrip(_CLOSING)[-1:] in FINAL


def _width(line: str) -> int:
    # A character of Chinese or Japanese says about as much as three letters.
    return sum(3 if character >= "\u2e80" else 1 for character in line)


def _shape(tokens: Sequence[Token], start: int) -> tuple[int, int]:
    """Rows and columns of the table that opens at `start`."""
    rows = columns = 0
    for token in tokens[start:]:
        rows += token.type == "tr_open"
        columns += token.type == "th_open"
        if token.type == "table_close":
            break
    return rows, columns


def _line_by_line(text: str) -> Iterator[Block]:
    """A very long or deeply nested text without a parser: its lines by what they open with."""
    fence = ""
    last = ""
    for line in text.split("\n"):
        found = FENCE.match(line)
        if fence:
            if found and found[1].startswith(fence) and not line[found.end() :].strip():
                fence = ""
            continue
        if found:
            fence = found[1]
            yield ("fence",)
            continue
        kind = next((name for name, pattern in _LINES if pattern.match(line)), "text")
        if not (kind == "blank" and last in ("blank", "")):
            yield (kind,)
        last = kind
