"""Wrong items: spoiled copies of a chunk's rows, measured as the rows were.

What their evidence is worth is known, since it is known that they are wrong: thresholds are set by them.
Only what a damage changed is measured again; the rest of a row keeps its evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import polars as pl

from mldata import evidence
from mldata.evidence import Embedded, Unit, alignment, rows
from mldata.evidence.damage import Units, damaged
from mldata.evidence.rows import Context


@dataclass(frozen=True)
class Item:
    """One concept, spoiled in one way."""

    concept: int
    """Row of the concept in its chunk."""
    kind: str
    """Name of the damage."""
    units: Units
    changed: tuple[int, ...]
    """Which of the units the damage changed."""


def make(units: Sequence[Unit], concept_ids: Sequence[str], anchor: str) -> list[Item]:
    """Every damage of every concept that has units; another text is that of the next concept."""
    concepts: dict[int, list[Unit]] = {}
    for unit in units:
        concepts.setdefault(unit.concept, []).append(unit)
    order = sorted(concepts)
    items = []
    for place, concept in enumerate(order):
        before, other = tuple(concepts[concept]), tuple(concepts[order[(place + 1) % len(order)]])
        for damage, after in damaged(before, other, concept_ids[concept], anchor):
            changed = tuple(i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a is not b)
            items.append(Item(concept, damage.name, after, changed))
    return items


def measure(
    items: Sequence[Item],
    measured: pl.DataFrame,
    context: Context,
    embed: Callable[[set[str]], Embedded],
    *,
    realign: bool,
) -> pl.DataFrame:
    """One row an item: concept, kind, field, and every evidence column.

    `measured` is the chunk's unit evidence, `embed` gives vectors for texts that `context` has none of.
    `realign` where no engine made the segments: they are found again in what a damage left.
    """
    places = [(number, i) for number, item in enumerate(items) for i in item.changed]
    changed = [replace(items[number].units[i], concept=number) for number, i in places]
    if realign:
        changed = alignment.align_units(changed, context.anchor.tag, context.target.tag, embed, context.pool)
    said = alignment.texts(changed, context.target.tag)
    said |= {text for unit in changed for p in unit.pairs for text in (p.source, p.target, p.back)}
    context = replace(context, vectors={**context.vectors, **embed(said - context.vectors.keys())})
    anew = dict(zip(places, changed, strict=True))
    units = [
        anew[number, i] if (number, i) in anew else replace(unit, concept=number)
        for number, item in enumerate(items)
        for i, unit in enumerate(item.units)
    ]
    frame = pl.concat([rows.of_units(changed, context), _as_before(items, measured)], how="vertical")
    found = rows.of_concepts(frame, units, context.vectors)
    labels = pl.DataFrame(
        {
            "concept": range(len(items)),
            "of": [item.concept for item in items],
            "kind": [item.kind for item in items],
            "field": [item.units[item.changed[-1]].field for item in items],
        },
        schema={"concept": pl.Int64, "of": pl.Int64, "kind": pl.String, "field": pl.String},
    )
    joined = labels.join(found, on="concept", how="left", maintain_order="left")
    names = [column.name for column in evidence.columns()]
    return joined.select(pl.col("of").alias("concept"), "kind", "field", *names)


def _as_before(items: Sequence[Item], measured: pl.DataFrame) -> pl.DataFrame:
    """The evidence of units that no damage changed, under the items' numbers."""
    kept = [
        (number, unit.concept, unit.field, unit.message)
        for number, item in enumerate(items)
        for i, unit in enumerate(item.units)
        if i not in item.changed
    ]
    schema = {"item": pl.Int64, "concept": pl.Int64, "field": pl.String, "message": pl.Int32}
    keys = pl.DataFrame(kept, schema=schema, orient="row")
    joined = keys.join(measured, on=["concept", "field", "message"], how="left", maintain_order="left")
    return joined.with_columns(concept="item").select(measured.columns)
