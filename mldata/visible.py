"""Texts of data made harmless to look at, on a terminal as on a page."""

from __future__ import annotations

import re

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
