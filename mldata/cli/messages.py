"""What commands say while they run, apart from their result: text for people, or JSON lines for programs.

Results go to stdout. Progress, warnings and errors go to stderr: with `--log-format json` each of them is one
object a line, with `time` (UTC, ISO 8601) and `event`, and stdout stays empty; with `--quiet` only errors are
said, and stdout is the path of what was made.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mldata import interruption
from mldata.errors import MldataError

if TYPE_CHECKING:
    from rich.console import Console


class LogFormat(StrEnum):
    """How progress, warnings and errors are written."""

    text = "text"
    json = "json"


RUNNING = "Running"
"""The panel of options that change no result."""
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Say only errors, and the path of the set.", rich_help_panel=RUNNING),
]
Log = Annotated[
    LogFormat,
    typer.Option(
        "--log-format",
        metavar="text|json",
        help="json: every event is a JSON object on a line of stderr; stdout stays empty.",
        rich_help_panel=RUNNING,
    ),
]


@dataclass
class _Said:
    """How this process speaks: set once, by its command."""

    format: LogFormat = LogFormat.text
    quiet: bool = False


_said = _Said()


def start(format: LogFormat, quiet: bool, kept: Callable[[], str] = str) -> None:
    """From now on speak in this way. `kept`: what to say of an interruption, as in `interruption`."""
    _said.format, _said.quiet = format, quiet
    interruption.kept = kept
    interruption.wording = _interrupted if format == LogFormat.json else interruption.text


def quiet() -> bool:
    """Whether only errors are said."""
    return _said.quiet


def as_json() -> bool:
    """Whether a program listens."""
    return _said.format == LogFormat.json


def for_people() -> bool:
    """Whether text on progress and results is wanted."""
    return not _said.quiet and not as_json()


def event(name: str, **fields: Any) -> None:
    """An event for programs; nothing for people. `--quiet` leaves errors, and the end."""
    if as_json() and not (_said.quiet and name not in ("done", "error")):
        print(_line(name, fields), file=sys.stderr, flush=True)


def _line(name: str, fields: dict[str, Any]) -> str:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"time": now, "event": name, **fields}, ensure_ascii=False, default=str)


def warning(kind: str, text: str, **fields: Any) -> None:
    """Something that may need looking into; the build goes on."""
    event("warning", kind=kind, message=text, **fields)


def report_failed(said: Warning | str) -> None:
    """A set is there, but not the page about it."""
    warning("report", str(said))
    if not as_json():
        print(f"mldata: {said}", file=sys.stderr)


def error(text: str, exit_code: int) -> None:
    """Why the command ends."""
    if as_json():
        event("error", message=text, exit_code=exit_code)
    else:
        print(f"mldata: {text}", file=sys.stderr)


def failed(failure: MldataError) -> None:
    """As `error`."""
    error(str(failure), failure.exit_code)


def _interrupted(number: int) -> str:
    return _line(
        "interrupted",
        {"kept": interruption.kept(), "command": interruption.command(), "exit_code": 128 + number},
    )


def made(path: Path) -> None:
    """The path of what was made, where nothing else is said."""
    if _said.quiet and not as_json():
        print(path)


def on_stderr() -> Console:
    """Where progress is shown."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)
