"""`mldata doctor`: is everything here that a pipeline needs, and does it work?"""

from __future__ import annotations

from typing import Annotated

import typer


def doctor(
    pipeline: Annotated[
        str, typer.Option(help="A recipe shipped with mldata, or a .toml file.")
    ] = "embedded",
) -> None:
    """Open every engine of a pipeline, ask it something, and say what is wrong and how to mend it.

    Exit code 0 if all work, 2 if something is missing.

    [bold]Example[/bold]

      mldata doctor
    """
    from rich.markup import escape

    from mldata import health
    from mldata.cli.screen import console, table

    checks = health.examine(pipeline)
    rows = table("", "what", "finding")
    for check in checks:
        rows.add_row("ok" if check.ok else "[bold red]no[/bold red]", check.what, escape(check.finding))
    console.print(rows)
    failed = sum(not check.ok for check in checks)
    if failed:
        typer.echo(f"mldata: {failed} of {len(checks)} checks failed", err=True)
        raise typer.Exit(2)
