"""`mldata verify`: prove a set whole."""

from __future__ import annotations

from typing import Annotated

import typer


def verify(
    path: Annotated[
        str, typer.Argument(metavar="SET", help="A set made by `mldata build`, or hf://org/name of the hub.")
    ],
) -> None:
    """Check a set against its manifest: hashes, schema, whole concepts, anchor first, order, counts.

    Exit code 0 if all holds; 1, with what is broken, if not.

    [bold]Examples[/bold]

      mldata verify sets/en_prefs

      mldata verify hf://org/name
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
