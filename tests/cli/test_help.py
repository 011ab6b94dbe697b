"""Every command's help: examples that work, in 80 columns, and what it exits with and writes."""

import re
import shlex

import pytest
import typer

from mldata import cli
from mldata.cli.manual import manual

ROOT = typer.main.get_command(cli.app)


def leaves(group=ROOT, path=()):
    """Every command: its path and itself."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(leaves())
EXAMPLES = [
    (path, line.strip())
    for path, command in COMMANDS.items()
    for line in command.help.splitlines()
    if line.startswith("  mldata ")
]


@pytest.fixture
def width():
    return 80


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_a_page_has_examples_and_exit_codes_and_fits_eighty_columns(command, monkeypatch, path):
    monkeypatch.setenv("COLUMNS", "80")
    done = command(*path, "--help")
    assert done.code == 0
    assert re.search(r"^ Examples?:", done.out, re.MULTILINE)
    assert re.search(r"^ Exit codes:", done.out, re.MULTILINE)
    assert [example for of, example in EXAMPLES if of == path]
    assert max(map(len, done.out.splitlines())) <= 80
    assert "…" not in re.sub(r"COLUMN,…", "", done.out)  # no option's name is cut
    assert "\\[" not in done.out


@pytest.mark.parametrize(("path", "example"), EXAMPLES, ids=[example for _, example in EXAMPLES])
def test_an_example_is_a_command_line_that_parses(path, example):
    assert len(example) <= 76, "it would be broken at 80 columns, and could not be copied"
    words = shlex.split(example)
    assert tuple(words[1 : 1 + len(path)]) == path
    rest = words[1 + len(path) :]
    context = COMMANDS[path].make_context(" ".join(path), rest)  # fails for an option that isn't there
    assert context.args == []


def test_paragraphs_are_filled_and_examples_stand_close():
    def command():
        """Say it.

        A paragraph of
        two lines.

        Examples:

          mldata one

          mldata two
        """

    assert manual(command) == (
        "Say it.\n\nA paragraph of two lines.\n\n[bold]Examples:[/bold]\n\n  mldata one\n  mldata two"
    )
