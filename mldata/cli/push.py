"""`mldata push`: a set on the Hugging Face hub."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mldata.cli import completion


def push(
    path: Annotated[
        Path,
        typer.Argument(metavar="SET", help="A set made by `mldata build`.", autocompletion=completion.sets),
    ],
    to: Annotated[str, typer.Argument(metavar="hf://ORG/NAME", help="The dataset, made if need be.")],
    private: Annotated[
        bool, typer.Option("--private", help="Only for those you let in; refuses a dataset that is public.")
    ] = False,
    revision: Annotated[
        str | None,
        typer.Option("--revision", "--branch", help="A branch, made if need be.  \\[default: main]"),
    ] = None,
    message: Annotated[str | None, typer.Option(help="What the commit says.")] = None,
    with_dropped: Annotated[
        bool, typer.Option("--with-dropped", help="The dropped rows and their reasons, too.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would be published, and stop.")
    ] = False,
) -> None:
    """Verify a set and publish it as a dataset of the Hugging Face hub, in one commit.

    Published are data, dataset card, manifest, calibration and report. Dropped rows stay here unless
    asked for, and so does run.json. Files of an earlier set that this one hasn't are deleted in the same
    commit; a push of what is there already makes none. The token is that of `hf auth login` or HF_TOKEN.

    Examples:

      mldata push sets/en_prefs hf://my-org/en-prefs --private

      mldata push sets/en_prefs hf://my-org/en-prefs --dry-run

    Exit codes:

      0 published, or there already · 1 the set is damaged · 2 input, use or access
      130 interrupted (Ctrl-C), 143 ended by SIGTERM: the old set is there, whole
    """
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    from mldata import interruption, publishing
    from mldata.amounts import size
    from mldata.visible import visible

    target = publishing.place(to, revision)
    interruption.kept = lambda: f"{target} has the old set or the new one, whole"
    what = publishing.prepare(path, target, with_dropped=with_dropped)
    for name, count in what.files.items():
        typer.echo(f"  {size(count):>9}  {name}")
    left = f"; {size(what.left)} of dropped rows stay here" if what.left else ""
    typer.echo(f"{len(what.files)} files, {size(sum(what.files.values()))}, to {target}{left}")
    typer.echo(f"licence: {visible(what.manifest.licence)}")
    if dry_run:
        return
    if not sys.stderr.isatty():  # bars redrawn are but clutter in a log
        disable_progress_bars()
    done = publishing.upload(what, target, private=private, message=message)
    if done.sent or done.deleted:
        gone = f", {len(done.deleted)} of an earlier set deleted" if done.deleted else ""
        typer.echo(f"{len(done.sent)} files sent{gone}, in commit {done.commit[:12]}: {done.url}")
    else:
        typer.echo(f"all of it is there already, in commit {done.commit[:12]}; nothing was sent: {done.url}")
