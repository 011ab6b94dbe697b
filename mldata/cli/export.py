"""`mldata export`: a set in the files of others."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Formats(StrEnum):
    """As `mldata.exports.Format`."""

    parquet = "parquet"
    jsonl = "jsonl"
    csv = "csv"
    trl = "trl"
    llama_factory = "llama-factory"
    axolotl = "axolotl"
    openrlhf = "openrlhf"


class Splits(StrEnum):
    """As `mldata.exports.Split`."""

    train = "train"
    test = "test"
    all = "all"


def export(
    path: Annotated[Path, typer.Argument(metavar="SET", help="A set made by `mldata build`.")],
    to: Annotated[Formats, typer.Option(help="The format.")],
    out: Annotated[Path, typer.Option(help="A new directory.")],
    split: Annotated[Splits, typer.Option(help="Which split.")] = Splits.all,
    languages: Annotated[
        str | None,
        typer.Option(help="Only these, as es,pt; the anchor too where it is named.  \\[default: all]"),
    ] = None,
) -> None:
    """Write a set in another format: a file a split, a concept's rows together, in the set's order.

    parquet and jsonl hold every column. csv leaves out the evidence of single texts (`fields`) and
    holds conversations as JSON text; a cell that a spreadsheet would run begins with an apostrophe.
    The others are what trainers document for pairs, with `concept_id` and `language` beside.

    [bold]Examples[/bold]

      mldata export sets/en_prefs --to parquet --out exported/parquet

      mldata export sets/en_prefs --to llama-factory --out exported/lf --split train --languages es,pt
    """
    from mldata import library

    made = library.export(
        path,
        to=to.value,
        out=out,
        split=split.value,
        languages=languages.split(",") if languages else None,
    )
    for name, file in made.files.items():
        typer.echo(f"{file}: {made.rows[name]} rows")
    typer.echo(f"licence: {made.licence}")
    typer.echo(f"load it with:\n\n{made.load}")
