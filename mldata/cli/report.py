"""`mldata report`: the page from which a set is judged."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mldata.cli import completion


def report(
    path: Annotated[
        Path,
        typer.Argument(metavar="SET", help="A set made by `mldata build`.", autocompletion=completion.sets),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the page here.  \\[default: report.html in the set]"),
    ] = None,
    open_browser: Annotated[
        bool, typer.Option("--open", help="Show the page in the browser of this machine.")
    ] = False,
) -> None:
    """Write a set's report.html anew: counts, evidence, reasons, calibration and rows to look at.

    One file that needs nothing else and runs no script: send it, or open it from disk. Every build, select
    and calibrate writes it too. Where reviewers have judged rows since, the report and the set's dataset
    card say so from now on.

    Examples:

      mldata report sets/en_prefs

      mldata report sets/en_prefs --out report.html --open

    Exit codes:

      0 done · 1 the set is damaged · 2 input or use
      130 interrupted (Ctrl-C), 143 ended by SIGTERM
    """
    import webbrowser

    from mldata import library

    written = library.write_report(path, out=out)
    typer.echo(written)
    if open_browser and not webbrowser.open(written.resolve().as_uri()):
        typer.echo("no browser was found on this machine: open the file in one", err=True)
