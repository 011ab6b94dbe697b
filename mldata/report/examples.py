"""Rows that a person should look at: of each language the kept ones nearest to a threshold, and the dropped
ones that a rule took by the least, beside their source and what they come back as.

Texts are read of these rows alone, some rows at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from mldata.concepts import FIELDS
from mldata.languages import language
from mldata.recipe import Rule
from mldata.report.marks import Piece, beside_source, came_back, clipped
from mldata.report.spreads import Near, both
from mldata.shards import Manifest
from mldata.side_by_side import Beside, beside

SHOWN = 1200
"""Characters of a text that are shown."""
READ = SHOWN + 200
"""Characters in which something is marked: more than are shown, so that nothing is marked for being cut."""
AT_A_TIME = 48
"""Rows whose concepts, all languages of them, are in memory."""
WHOLE_ROW = {"contrast": ("chosen", "rejected"), "answers_differ": ("chosen", "rejected")}
"""Evidence of a row rather than of its fields, and the fields that it compares."""


@dataclass(frozen=True)
class Text:
    """A text with what is marked in it."""

    of: str
    """Source, translation or back-translation."""
    language: str
    pieces: Sequence[Piece]
    left_out: int
    """Characters that aren't shown."""


@dataclass(frozen=True)
class Field:
    """Prompt, chosen or rejected on all sides."""

    name: str
    decides: bool
    """The rule's value is this field's."""
    texts: Sequence[Text]


@dataclass(frozen=True)
class Example:
    """One row, and why it is shown."""

    concept_id: str
    near: Near
    rule: Rule
    fields: Sequence[Field]
    others: Sequence[str]
    """Reasons besides the rule."""
    came_back: bool


def examples(path: Path, manifest: Manifest, near: Sequence[Near]) -> dict[str, list[Example]]:
    """By language, in the order given."""
    ids = _ids(path, manifest, {one.place for one in near})
    rules = {rule.name: rule for rule in manifest.rules}
    made: dict[str, list[Example]] = {}
    for start in range(0, len(near), AT_A_TIME):
        some = near[start : start + AT_A_TIME]
        wanted = pl.DataFrame(
            {"concept_id": [ids[one.place] for one in some], "language": [one.language for one in some]},
            schema={"concept_id": pl.String, "language": pl.String},
        )
        rows = {(row.concept_id, row.language): row for row in beside(path, wanted)}
        for one in some:
            row = rows.get((ids[one.place], one.language))
            if row is not None:
                made.setdefault(one.language, []).append(_example(row, one, rules[one.rule], manifest.anchor))
    return made


def _ids(path: Path, manifest: Manifest, places: set[int]) -> dict[int, str]:
    found = (
        pl.concat([frame.select("concept_id") for frame in both(path, manifest)])
        .with_row_index("place")
        .filter(pl.col("place").is_in(sorted(places)))
        .collect(engine="streaming")
    )
    return dict(found.iter_rows())


def _example(row: Beside, near: Near, rule: Rule, anchor: str) -> Example:
    decides = _deciding(row.row, rule.column)
    fields = [_field(row, name, name in decides, anchor) for name in FIELDS]
    return Example(
        concept_id=row.concept_id,
        near=near,
        rule=rule,
        fields=sorted(fields, key=lambda field: not field.decides),
        others=[reason for reason in row.row["reasons"] if reason != rule.name],
        came_back=row.back is not None,
    )


def _field(row: Beside, name: str, decides: bool, anchor: str) -> Field:
    here, there = language(row.language), language(anchor)
    source, translation = row.source[name], row.translation[name]
    sides = [
        ("source", anchor, source, beside_source(source[:READ], translation, there, here)),
        ("translation", row.language, translation, beside_source(translation[:READ], source, here, there)),
    ]
    if row.back is not None:
        back = row.back[name]
        sides.append(("back-translation", anchor, back, came_back(back[:READ], source[:READ])))
    texts = [
        Text(of, tag, clipped(pieces, SHOWN), max(0, len(text) - SHOWN)) for of, tag, text, pieces in sides
    ]
    return Field(name, decides, texts)


def _deciding(row: Mapping[str, Any], column: str) -> Sequence[str]:
    """The fields of which one text has the row's value; all of them where that can't be told."""
    if column in WHOLE_ROW:
        return WHOLE_ROW[column]
    units = row.get("fields") or {}
    value = row[column]
    found = [name for name in FIELDS if any(unit.get(column) == value for unit in units.get(name) or ())]
    return found or FIELDS
