"""Texts of data made harmless to look at, on a terminal, on a page or in Markdown, and to publish."""

from __future__ import annotations

import re
from pathlib import PurePath

_BIDI = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""Controls that make a terminal show what follows in another order."""
CONTROLS = {
    chr(code): f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    for code in (*range(0x20), *range(0x7F, 0xA0), *_BIDI)
    if chr(code) not in "\t\n"
}
CONTROL = re.compile(f"[{''.join(map(re.escape, CONTROLS))}]")


def visible(text: str) -> str:
    r"""A text whose control characters, but tab and newline, are written out: "\x1b"."""
    return CONTROL.sub(lambda found: CONTROLS[found[0]], text)


_MARKUP = re.compile(r"[\\`*\[\]|~#$]|(?<![^\W_])_|_(?![^\W_])")
_BLOCK = re.compile(r"^(\s*)(\d{1,9}(?=[.)](\s|$))|(?=>|[+-](\s|$)|--|=))")


def markdown(text: str) -> str:
    r"""A text that Markdown shows as it is, on one line: what it, HTML or TeX would read is escaped: "\*".

    An underscore between letters means nothing to Markdown, and stays: "en_prefs".
    """
    line = re.sub(r"\s+", " ", visible(text)).replace("&", "&amp;").replace("<", "&lt;")
    return _BLOCK.sub(r"\1\2" "\\\\", _MARKUP.sub(r"\\\g<0>", line))


def markdown_code(text: str) -> str:
    """A text as a code span of Markdown, on one line. Not for tables, in which a bar ends a cell."""
    text = " ".join(visible(text).split()) or " "
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    space = " " if text[0] == "`" or text[-1] == "`" else ""
    return f"{fence}{space}{text}{space}{fence}"


_WHOLE = re.compile(r"\.\./.*|(?:file://|~)?/[^/]+/.*", re.DOTALL)
_INSIDE = re.compile(r"(?<=[\s=,(:+])(?:\.\.|~)?/[^/\s]+/[^\s,;)|]*")


_USER = re.compile(r"(?<=://)[^/\s@]+@")
_QUERY = re.compile(r"(https?://[^\s?]*)\?\S*")


def without_places(text: str) -> str:
    """A text whose absolute paths, and those that leave a folder, became the names they end in, and whose
    URLs lost what lets people in: "user:password@", "?token=…".

    "/home/ana/prefs.jsonl" says who built a set, and where.
    """
    text = _QUERY.sub(r"\1", _USER.sub("", text))
    if _WHOLE.fullmatch(text):
        return PurePath(text).name
    return _INSIDE.sub(lambda found: PurePath(found[0]).name, text)
