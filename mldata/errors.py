"""The errors that users meet. Each message says what, where (file, row, field) and what to do.

The command line prints one line and leaves with `exit_code`; a library user catches `MldataError`.
"""

import shlex
from pathlib import Path


class MldataError(Exception):
    """Root of the errors that mldata raises on purpose."""

    exit_code = 1


class InputError(MldataError):
    """What the user gave can't be used: a source, a language, a rule, a path, a missing engine."""

    exit_code = 2


class EngineError(MldataError):
    """An engine failed while it worked: it crashed, hung, or answered with something else than asked."""

    exit_code = 3


class SetError(MldataError):
    """A set or store on disk is damaged: a file is missing, truncated, or not what the manifest says."""

    exit_code = 1


class ReportWarning(UserWarning):
    """A set is whole and in its place, but the report on it couldn't be written."""


def in_shell(path: Path) -> str:
    """A path as a message's command has it, to be pasted into a shell."""
    return shlex.quote(str(path))


def first_line(error: BaseException) -> str:
    """What another library's error says, without the lines that explain it; its name if it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
