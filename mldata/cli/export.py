"""`mldata export`: a set in the files of others."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mldata.cli import completion


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
    path: Annotated[
        Path,
        typer.Argument(metavar="SET", help="A set made by `mldata build`.", autocompletion=completion.sets),
    ],
    to: Annotated[Formats, typer.Option(metavar="FORMAT", help=" ".join(Formats))],
    out: Annotated[Path, typer.Option(metavar="DIRECTORY", help="A new directory.")],
    split: Annotated[Splits, typer.Option(metavar="SPLIT", help="train, test or all.")] = Splits.all,
    languages: Annotated[
        str | None,
        typer.Option(
            metavar="TAGS",
            help="Only these, as es,pt; the anchor too where it is named.  \\[default: all]",
            autocompletion=completion.targets,
        ),
    ] = None,
) -> None:
    """Write a set in another format: a file a split, a concept's rows together, in the set's order.

    parquet and jsonl hold every column. csv leaves out the evidence of single texts (`fields`) and
    holds conversations as JSON text; a cell that a spreadsheet would run begins with an apostrophe.
    The others are what trainers document for pairs, with `concept_id` and `language` beside.

    Examples:

      mldata export sets/en_prefs --to parquet --out exported/parquet

      mldata export sets/en_prefs --to axolotl --out exported/ax --languages es,pt

      mldata export sets/en_prefs --to trl --out exported/trl --split train

    Files:

      DIRECTORY/train.* and test.*, and what the trainer wants beside them

    Exit codes:

      0 done · 1 the set is damaged · 2 input or use
      130 interrupted (Ctrl-C), 143 ended by SIGTERM
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
