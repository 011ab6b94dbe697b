"""The command line: `mldata COMMAND`. One file a command, each thin: parse, call the library, print.

Commands import what they need when they run, so that `mldata --help` answers at once. Errors that mldata
raises on purpose become one line on stderr and their exit code.
"""

from __future__ import annotations

import re
import sys
import warnings
from typing import Annotated, Any

import typer

from mldata import __version__, interruption
from mldata.cli import messages
from mldata.cli.build import build
from mldata.cli.calibrate import calibrate
from mldata.cli.diff import diff
from mldata.cli.doctor import doctor
from mldata.cli.export import export
from mldata.cli.inspect import inspect
from mldata.cli.languages import languages
from mldata.cli.manual import manual
from mldata.cli.models import models
from mldata.cli.push import push
from mldata.cli.report import report
from mldata.cli.review import review
from mldata.cli.rules import rules
from mldata.cli.select import select
from mldata.cli.verify import verify
from mldata.errors import InputError, MldataError, ReportWarning

app = typer.Typer(
    name="mldata",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Turn English preference data into a verified, concept-aligned multilingual set.",
    epilog="Exit codes: 0 done, 1 damage found, 2 input or use, 3 an engine failed, 130 interrupted, "
    "143 ended by SIGTERM. `mldata COMMAND --help` has examples, and the files a command writes.",
)


def _version(asked: bool) -> None:
    if asked:
        print(f"mldata {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    pass


for command in (
    *(build, select, calibrate, inspect, report, review, diff, export, push, verify),
    *(rules, languages, doctor),
):
    app.command(help=manual(command))(command)
app.add_typer(models)


def _say(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    """One line on stderr for what the user is to know; Python's own form for the rest."""
    if issubclass(category, ReportWarning):
        messages.report_failed(message)
    else:
        _shown(message, category, *where, **more)


_shown = warnings.showwarning
_Use: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
"""What typer raises for a command line that isn't one; it exports only some of its kinds."""
UNHEARD = 128 + 13
"""The exit code of programs whose output nobody reads any more (SIGPIPE), as in `mldata rules | head -1`."""


def _run() -> None:
    """The app, with two of its ways to end made ours: errors of use are JSON where a program listens, and
    a pipe that nobody reads isn't taken for damage."""
    listens = re.search(r"--log-format[ =]json\b", " ".join(sys.argv)) is not None
    try:
        code = app(prog_name="mldata", standalone_mode=not listens)
    except SystemExit as end:
        sys.exit(UNHEARD if isinstance(end.__context__, BrokenPipeError) else end.code)
    except _Use as error:
        messages.start(messages.LogFormat.json, quiet=False)
        messages.error(error.format_message(), InputError.exit_code)
        sys.exit(InputError.exit_code)
    sys.exit(code)


def main() -> None:
    """Run the command line."""
    warnings.showwarning = _say
    messages.start(messages.LogFormat.text, quiet=False)
    try:
        _run()
    except interruption.Interrupted as stop:
        interruption.leave(stop)
    except MldataError as error:
        messages.failed(error)
        sys.exit(error.exit_code)
    except OSError as error:  # a place that can't be read or written: below a file, or not permitted
        where = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        messages.error(where, InputError.exit_code)
        sys.exit(InputError.exit_code)
