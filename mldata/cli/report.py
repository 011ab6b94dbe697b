"""`mldata report`: the page from which a set is judged."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def report(
    path: Annotated[Path, typer.Argument(metavar="SET", help="A set made by `mldata build`.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the page here.  \\[default: report.html in the set]"),
    ] = None,
    open: Annotated[
        Literal["yes", "no"], typer.Option(help="Show the page in the browser of this machine.")
    ] = "no",
) -> None:
    """Write a set's report.html anew: counts, evidence, reasons, calibration and rows to look at.

    One file that needs nothing else and runs no script: send it, or open it from disk. Every build, select
    and calibrate writes it too.

    [bold]Examples[/bold]

      mldata report sets/en_prefs

      mldata report sets/en_prefs --out /tmp/report.html --open yes
    """
    import webbrowser

    from mldata import library

    written = library.write_report(path, out=out)
    typer.echo(written)
    if open == "yes" and not webbrowser.open(written.resolve().as_uri()):
        typer.echo("no browser was found on this machine: open the file in one", err=True)
