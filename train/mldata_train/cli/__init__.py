"""The command line: `mldata-train COMMAND`, also `torchrun --nproc_per_node N -m mldata_train COMMAND`.

One file a command, each thin: parse, call, print. Commands import torch and TRL when they run, so that
`--help` answers at once.
"""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from mldata.errors import InputError, MldataError
from mldata_train.cli.compare import compare
from mldata_train.cli.evaluate import evaluate
from mldata_train.cli.train import dpo, orpo

app = typer.Typer(
    name="mldata-train",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train on whole concepts of a set, and measure the gap between languages.",
    epilog="Exit codes: 0 done, 1 a set is damaged, 2 input or use, 3 training failed, 130 interrupted.",
)

for command in (dpo, orpo, evaluate, compare):
    app.command()(command)


def main() -> None:
    """Run the command line."""
    try:
        app()
    except MldataError as error:
        _fail(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("mldata"):
            raise
        _fail(f"{error.name} isn't installed: pip install 'mldata[train]'", InputError.exit_code)
    except OSError as error:
        where = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        _fail(where, InputError.exit_code)


def _fail(message: str, code: int) -> NoReturn:
    print(f"mldata-train: {message}", file=sys.stderr)
    sys.exit(code)
