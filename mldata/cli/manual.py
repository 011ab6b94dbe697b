"""Help pages from docstrings: paragraphs filled to the terminal's width, indented lines left as they stand.

A docstring is a summary line, paragraphs, and sections: a line that ends in ":", then lines indented by two.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

SIGNALS = "130 interrupted (Ctrl-C), 143 ended by SIGTERM"


def manual(command: Callable[..., Any]) -> str:
    """The help page of a command, as rich markup."""
    pages: list[str] = []
    indented = False
    for block in inspect.cleandoc(command.__doc__ or "").split("\n\n"):
        lines = block.split("\n")
        is_indented = all(line.startswith("  ") for line in lines)
        if lines[0].endswith(":") and len(lines) > 1 and all(line.startswith("  ") for line in lines[1:]):
            pages.append("\n".join([f"[bold]{lines[0]}[/bold]", *lines[1:]]))
        elif is_indented and indented:
            pages[-1] += f"\n{block}"
        else:
            pages.append(block if is_indented else " ".join(line.strip() for line in lines))
        indented = is_indented
    return "\n\n".join(pages)
