"""`mldata select`: choose again from what is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mldata.cli.build import (
    DECONTAMINATE_HELP,
    NEAR_DUPLICATES_HELP,
    NO_CALIBRATION,
    RULE_HELP,
    Groups,
    NearDuplicates,
)


def select(
    path: Annotated[Path, typer.Argument(metavar="SET", help="A set made by `mldata build`.")],
    rule: Annotated[list[str] | None, typer.Option(help=RULE_HELP)] = None,
    policy: Annotated[Groups | None, typer.Option(help="Group policy.  \\[default: the recipe's]")] = None,
    quorum: Annotated[int | None, typer.Option(min=1, help="Targets needed under `--policy quorum`.")] = None,
    targets: Annotated[str | None, typer.Option(help="Of the languages measured.  \\[default: all]")] = None,
    test_share: Annotated[
        float | None, typer.Option(min=0, max=0.99, help="Share of prompts to test.")
    ] = None,
    no_calibration: Annotated[
        bool, typer.Option(NO_CALIBRATION, help="Take the recipe's thresholds; drops calibration.json.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write the set here.  \\[default: in place]")] = None,
    near_duplicates: Annotated[NearDuplicates | None, typer.Option(help=NEAR_DUPLICATES_HELP)] = None,
    decontaminate: Annotated[list[str] | None, typer.Option(help=DECONTAMINATE_HELP)] = None,
    work: Annotated[Path | None, typer.Option(help="The work store, if it was moved.")] = None,
    so_far: Annotated[
        bool,
        typer.Option("--so-far", help="Make the set of what an unfinished build has done so far; see above."),
    ] = False,
) -> None:
    """Rewrite a set's shards with other rules, languages or group policy: no engine, seconds.

    Rules start from the set's recipe and calibration.json each time, and `--rule` wins over both; what an
    earlier `select` changed does not carry over.

    With --so-far, SET is one that `mldata build` is still making, or was interrupted in: the set holds the
    chunks of the source that are translated and measured in all languages by now (once the build tries rows
    again, those that are through with it). Thresholds are calibrated as soon as sampled chunks are among
    them, and are the recipe's before. The set says that it is partial; the build isn't disturbed, and
    replaces it when it is finished. A finished set is never replaced by a partial one: give --out.

    [bold]Examples[/bold]

      mldata select sets/en_prefs --rule "similarity>=0.85" --policy complete --targets es,fr,pt

      mldata select sets/en_prefs --out sets/strict --rule "back_chrf>=55" --rule "numbers>=1"

      mldata select sets/prefs --so-far
    """
    from mldata import library
    from mldata.cli import screen
    from mldata.shards import read_manifest

    before = None if so_far else read_manifest(path).contamination
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
    screen.summary(manifest, out or path)
    if before and not manifest.contamination:
        names = " ".join(f"--decontaminate {of.given}" for of in before.evaluations)
        screen.console.print(
            f"The set was compared with evaluation texts before, and now isn't: add {names}",
            soft_wrap=True,
            markup=False,
        )
