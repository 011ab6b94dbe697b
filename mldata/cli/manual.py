"""Help pages from docstrings: paragraphs filled to the terminal's width, indented lines left as they stand.

A docstring is a summary line, paragraphs, and sections: a line that ends in ":", then lines indented by two.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def manual(command: Callable[..., Any]) -> str:
    """The help page of a command, as rich markup."""
    pages: list[str] = []
    indented = False
    for block in inspect.cleandoc(command.__doc__ or "").split("\n\n"):
        continues = indented
        indented = all(line.startswith("  ") for line in block.split("\n"))
        if indented and continues:
            pages[-1] += f"\n{block}"
        elif indented:
            pages.append(block)
        else:
            filled = " ".join(block.split())
            pages.append(f"[bold]{filled}[/bold]" if filled.endswith(":") else filled)
    return "\n\n".join(pages)
