"""`mldata select`: choose again from what is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mldata.cli import completion
from mldata.cli.build import (
    NO_CALIBRATION,
    OUTPUT,
    SELECTION,
    Decontaminate,
    Near,
    PolicyOption,
    Quorum,
    Rules,
)
from mldata.cli.messages import Log, LogFormat, Quiet


def select(
    path: Annotated[
        Path,
        typer.Argument(metavar="SET", help="A set made by `mldata build`.", autocompletion=completion.sets),
    ],
    rule: Rules = None,
    policy: PolicyOption = None,
    quorum: Quorum = None,
    targets: Annotated[
        str | None,
        typer.Option(
            metavar="WHICH",
            help="Of the languages measured.  \\[default: all]",
            autocompletion=completion.targets,
            rich_help_panel=SELECTION,
        ),
    ] = None,
    test_share: Annotated[
        float | None,
        typer.Option(
            min=0, max=0.99, metavar="SHARE", help="Share of prompts to test.", rich_help_panel=SELECTION
        ),
    ] = None,
    no_calibration: Annotated[
        bool,
        typer.Option(
            NO_CALIBRATION,
            help="Take the recipe's thresholds; drops calibration.json.",
            rich_help_panel=SELECTION,
        ),
    ] = False,
    near_duplicates: Near = None,
    decontaminate: Decontaminate = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="SET", help="Write the set here.  \\[default: in place]", rich_help_panel=OUTPUT
        ),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(metavar="WORK", help="The work store, if it was moved.", rich_help_panel=OUTPUT),
    ] = None,
    so_far: Annotated[
        bool,
        typer.Option(
            "--so-far",
            help="Make the set of what an unfinished build has done so far; see above.",
            rich_help_panel=SELECTION,
        ),
    ] = False,
    quiet: Quiet = False,
    log_format: Log = LogFormat.text,
) -> None:
    """Rewrite a set's shards with other rules, languages or group policy: no engine, seconds.

    Rules start from the set's recipe and calibration.json each time, and `--rule` wins over both; what an
    earlier `select` changed does not carry over.

    With --so-far, SET is one that `mldata build` is still making, or was interrupted in: the set holds the
    chunks of the source that are translated and measured in all languages by now (once the build tries rows
    again, those that are through with it). Thresholds are calibrated as soon as sampled chunks are among
    them, and are the recipe's before. The set says that it is partial; the build isn't disturbed, and
    replaces it when it is finished. A finished set is never replaced by a partial one: give --out.

    Examples:

      mldata select sets/en_prefs --rule "similarity>=0.85" --targets es,fr,pt

      mldata select sets/en_prefs --decontaminate gsm8k.jsonl:question

      mldata select sets/en_prefs --out sets/strict --rule "back_chrf>=55"

      mldata select sets/prefs --so-far

    Files:

      SET, or --out: as `mldata build` writes it, whole or not at all

    Exit codes:

      0 done · 1 the set or its work store is damaged · 2 input or use
      130 interrupted (Ctrl-C), 143 ended by SIGTERM: the set is as it was
    """
    from mldata import library
    from mldata.cli import messages, progress, screen, summary
    from mldata.shards import read_manifest

    messages.start(log_format, quiet, lambda: f"{out or path} is as it was")
    before = None if so_far else read_manifest(path).contamination
    with progress.waiting("choosing rows"):
        manifest = library.select(
            path,
            out=out,
            targets=targets,
            rules=rule or [],
            policy=policy.value if policy else None,
            quorum=quorum,
            test_share=test_share,
            near_duplicates=near_duplicates.value if near_duplicates else None,
            decontaminate=decontaminate,
            calibration=not no_calibration,
            work=work,
            so_far=so_far,
        )
    text = ""
    if before and not manifest.contamination:
        names = " ".join(f"--decontaminate {of.given}" for of in before.evaluations)
        text = f"The set was compared with evaluation texts before, and now isn't: add {names}"
        messages.warning("not_compared", text)
    summary.summary(manifest, out or path)
    if text and messages.for_people():
        screen.console.print(text, soft_wrap=True, markup=False)
