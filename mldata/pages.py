"""Pages for people: Jinja templates in `templates/`, in which every text from data is escaped.

All pages share one style sheet (light and dark, phone and desk), which is written into them: a page needs
nothing but itself.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import jinja2

from mldata.visible import visible

TEMPLATES = Path(__file__).parent / "templates"


@cache
def environment() -> jinja2.Environment:
    """Finds templates, with the filters that all have; a name left undefined is an error."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["visible"] = visible
    return made
