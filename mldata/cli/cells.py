"""Frames as text on the screen, in Markdown, CSV or JSON, safe to show.

Texts come from data: they may hold rich markup, terminal escapes, Markdown and formulas of spreadsheets. None
of these does anything in what is made here.
"""

from __future__ import annotations

import json
import re
from typing import Any

import polars as pl
from rich.table import Table
from rich.text import Text

from mldata.cli.screen import table
from mldata.concepts import FIELDS
from mldata.visible import CONTROL, CONTROLS, markdown, visible

SHOWN = 100
"""Characters of a text in a table's cell."""
WIDE = 30
"""Columns of the screen that a prompt or an answer has at least."""
_FORMULA = r"^\s*[=+\-@]|^[\t\r]"
_MESSAGE = {"role", "content"}


def as_table(frame: pl.DataFrame) -> Table:
    """A table for the screen, one line a row where it is wide enough, long texts cut."""
    flat = _short(_flat(frame))
    made = table(*((">" if frame.schema[name].is_numeric() else "") + "." for name in frame.columns))
    for column, name in zip(made.columns, flat.columns, strict=True):
        column.header = Text(name)
        column.no_wrap = name == "concept_id"
        column.min_width = WIDE if name in FIELDS else None
    for row in flat.iter_rows():
        made.add_row(*(Text("-" if cell is None else cell) for cell in row))
    return made


def as_markdown(frame: pl.DataFrame) -> str:
    """A Markdown table, long texts cut."""
    flat = _short(_flat(frame))
    rule = ["---:" if kind.is_numeric() else "---" for kind in frame.schema.values()]
    rows = [[markdown(name) for name in flat.columns], rule]
    rows += [["" if cell is None else markdown(cell) for cell in row] for row in flat.iter_rows()]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def as_csv(frame: pl.DataFrame) -> str:
    """CSV; a text that a spreadsheet would take for a formula has a "'" before it."""
    flat = _flat(frame)
    texts = pl.col(pl.String)
    safe = flat.with_columns(
        pl.when(texts.str.contains(_FORMULA)).then(pl.format("'{}", texts)).otherwise(texts).name.keep()
    )
    return safe.rename(lambda name: f"'{name}" if re.search(_FORMULA, name) else name).write_csv()


def as_json(frame: pl.DataFrame) -> str:
    """A list of objects, one a line, nested as they are; control characters are written as JSON's escapes."""
    numbers = frame.with_columns(pl.selectors.float().fill_nan(None))
    rows = ",\n".join(_as_json_text(row) for row in numbers.iter_rows(named=True))
    return "\n".join(["[", *([rows] if rows else []), "]", ""])


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    """Lists and structs as text, and every text without control characters."""
    texts = [
        _text(name, kind).str.replace_many(CONTROLS)
        for name, kind in frame.schema.items()
        if kind.is_nested() or not (kind.is_numeric() or kind.is_temporal() or kind == pl.Boolean)
    ]
    return frame.with_columns(texts).rename(visible)


def _text(name: str, kind: pl.DataType) -> pl.Expr:
    if kind == pl.Binary:
        return pl.col(name).bin.encode("hex")
    if not kind.is_nested():
        return pl.col(name).cast(pl.String)
    if kind == pl.List(pl.String):
        return pl.col(name).list.join(", ", ignore_nulls=True)
    inner = kind.inner if isinstance(kind, pl.List) else None
    if isinstance(inner, pl.Struct) and {field.name for field in inner.fields} >= _MESSAGE:
        role, content = (pl.element().struct.field(part).fill_null("") for part in ("role", "content"))
        return pl.col(name).list.eval(pl.format("{}: {}", role, content)).list.join("\n\n")
    return pl.col(name).map_elements(_as_json_text, return_dtype=pl.String)


def _as_json_text(value: Any) -> str:
    whole = value.to_list() if isinstance(value, pl.Series) else value
    return escaped(json.dumps(whole, ensure_ascii=False, default=str))


def escaped(text: str) -> str:
    """JSON whose control characters are written as its escapes."""
    return CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _short(flat: pl.DataFrame) -> pl.DataFrame:
    """Every cell as text on one line: numbers with three decimals, long texts cut."""
    texts = pl.col(pl.String).str.replace_all(r"\s+", " ")
    cut = (
        pl.when(texts.str.len_chars() > SHOWN).then(pl.format("{}…", texts.str.head(SHOWN))).otherwise(texts)
    )
    return flat.with_columns(cut.name.keep()).with_columns(
        pl.selectors.float().round(3).cast(pl.String),
        (~pl.selectors.float() & ~pl.selectors.string()).cast(pl.String),
    )
