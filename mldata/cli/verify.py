"""`mldata verify`: prove a set whole."""

from __future__ import annotations

from typing import Annotated

import typer

from mldata.cli import completion


def verify(
    path: Annotated[
        str,
        typer.Argument(
            metavar="SET",
            help="A set made by `mldata build`, or hf://org/name of the hub.",
            autocompletion=completion.sets,
        ),
    ],
) -> None:
    """Check a set against its manifest: hashes, schema, whole concepts, anchor first, order, counts.

    Says all that is broken, not the first thing alone. Reads every byte of the set.

    Examples:

      mldata verify sets/en_prefs

      mldata verify hf://org/name

    Exit codes:

      0 done · 1 something is broken · 2 input or use
      130 interrupted (Ctrl-C), 143 ended by SIGTERM
    """
    from mldata import library

    manifest = library.verify(path)
    rows = sum(file.rows for file in manifest.files if file.split in ("train", "test"))
    typer.echo(
        f"{path} is whole: {manifest.concepts_kept} concepts, {rows} rows in "
        f"{len(manifest.targets) + 1} languages, {len(manifest.files)} files as written"
    )
    if manifest.unpublished:
        typer.echo("its dropped rows weren't published, and couldn't be checked")
