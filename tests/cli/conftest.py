"""The real command line in this process, on a terminal of a stated width."""

import sys

import pytest

from mldata import cli
from tests.conftest import Finished


@pytest.fixture
def width():
    """Columns of the terminal."""
    return 300


@pytest.fixture
def command(width, monkeypatch, capsys):
    """Run a command line, and tell how it ended."""
    from mldata.cli import screen

    monkeypatch.setattr(screen.console, "width", width)
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["mldata", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as left:
            code = left.code or 0
        said = capsys.readouterr()
        return Finished(code, said.out, said.err)

    return run
