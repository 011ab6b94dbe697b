"""`mldata doctor`: is everything here that a pipeline needs, and does it work?"""

from __future__ import annotations

import typer

from mldata.cli.build import Pipeline


def doctor(
    pipeline: Pipeline = "embedded",
) -> None:
    """Open every engine of a pipeline, ask it something, and say what is wrong and how to mend it.

    Examples:

      mldata doctor

      mldata doctor --pipeline hub

    Exit codes:

      0 all work · 2 something is missing, or input or use
      130 interrupted (Ctrl-C), 143 ended by SIGTERM

    Environment:

      HF_HUB_OFFLINE=1  ask no model hub; models must be in the cache
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
