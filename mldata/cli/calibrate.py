"""`mldata calibrate`: thresholds per language with a stated false-accept rate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mldata.cli import completion
from mldata.cli.build import OUTPUT
from mldata.cli.messages import Log, LogFormat, Quiet

if TYPE_CHECKING:
    from mldata.calibration import Calibration, LanguageCalibration


CALIBRATION = "Calibration"


def calibrate(
    path: Annotated[
        Path,
        typer.Argument(metavar="SET", help="A set made by `mldata build`.", autocompletion=completion.sets),
    ],
    false_accept: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Share of wrong items accepted, of each kind.  \\[default: the recipe's]",
            rich_help_panel=CALIBRATION,
        ),
    ] = None,
    max_loss: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Share of passing rows this may cost.  \\[default: the recipe's]",
            rich_help_panel=CALIBRATION,
        ),
    ] = None,
    targets: Annotated[
        str | None,
        typer.Option(
            metavar="WHICH",
            help="Leave other languages at the recipe's thresholds.  \\[default: the set's]",
            autocompletion=completion.targets,
            rich_help_panel=CALIBRATION,
        ),
    ] = None,
    verdicts: Annotated[
        bool,
        typer.Option(
            "--verdicts",
            help="Rows that reviewers judged major or wrong (`mldata review`) count as wrong items, too.",
            rich_help_panel=CALIBRATION,
        ),
    ] = False,
    work: Annotated[
        Path | None,
        typer.Option(metavar="WORK", help="The work store, if it was moved.", rich_help_panel=OUTPUT),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the tables, write nothing.", rich_help_panel=OUTPUT)
    ] = False,
    quiet: Quiet = False,
    log_format: Log = LogFormat.text,
) -> None:
    """Tighten each language's thresholds until wrong items are told from right ones, and rewrite the shards.

    Wrong items were made of your own rows while they were measured: a dropped sentence, a changed number, a
    copy, a swapped pair and more. No engine runs, and no threshold becomes looser than the recipe's. The
    thresholds and their false accepts go into calibration.json. Rules that `--rule` changed are the
    recipe's again.

    Examples:

      mldata calibrate sets/en_prefs --dry-run

      mldata calibrate sets/en_prefs --false-accept 0.005 --max-loss 0.1

      mldata calibrate sets/en_prefs --verdicts

    Files:

      SET/calibration.json, and the set's shards anew, whole or not at all

    Exit codes:

      0 done · 1 the set or its work store is damaged · 2 input or use
      130 interrupted (Ctrl-C), 143 ended by SIGTERM: the set is as it was
    """
    from mldata import library, shards
    from mldata.cli import messages, progress, screen, summary

    messages.start(log_format, quiet, lambda: f"{path} is as it was")
    with progress.waiting("finding thresholds"):
        found = library.calibrate(
            path,
            false_accept=false_accept,
            max_loss=max_loss,
            targets=targets,
            work=work,
            verdicts=verdicts,
            dry_run=dry_run,
        )
    if messages.for_people():
        _thresholds(found)
        _false_accepts(found)
        if verdicts:
            _judged(found)
    if not dry_run:
        summary.summary(shards.read_manifest(path), path)
    elif messages.for_people():
        summary.verdict(found)
        screen.console.print("nothing was written (--dry-run)")


def _thresholds(calibration: Calibration) -> None:
    """A line a language: what was tightened, and what that keeps."""
    from mldata.calibration import interval
    from mldata.cli.screen import console, table

    rows = table(
        "language", ">sampled", ">passed", ">kept", "kept, held out", "thresholds: recipe's → calibrated"
    )
    for tag, language in calibration.languages.items():
        counts = [str(language.rows), str(language.passing), str(language.kept)]
        rows.add_row(tag, *counts, interval(language.held_out_kept), _changes(language, calibration.min_rows))
    console.print(rows)


def _changes(language: LanguageCalibration, least: int) -> str:
    if not language.enough_data:
        return f"too little data: fewer than {least} rows pass"
    changes = [f"{t.rule} {t.floor:g} → {t.value:g}" for t in language.thresholds]
    return " · ".join(changes) or "none needed"


def _false_accepts(calibration: Calibration) -> None:
    """A line a kind of damage, over the languages with enough data: all of it is in calibration.json."""
    from mldata.calibration import interval, percent
    from mldata.cli.screen import console, table

    told = {tag: language for tag, language in calibration.languages.items() if language.enough_data}
    kinds = next(iter(told.values())).damages if told else {}
    over = calibration.of_verdict("not_reached")
    few = calibration.of_verdict("too_little_data")
    rows = table("wrong items", ">made", ">recipe", ">calibrated", "the worst language", "over the rate in")
    for kind in kinds:
        rates = {tag: language.damages[kind] for tag, language in told.items()}
        items = sum(r.items for r in rates.values())
        if not items:
            rows.add_row(kind, "0", "", "", "", f"(too few: {' '.join(few[kind])})")
            continue
        shares = [sum(r.floors for r in rates.values()), sum(r.held_out.count for r in rates.values())]
        worst = max(rates, key=lambda tag: rates[tag].held_out.value)
        remarks = [" ".join(over.get(kind, []))]
        remarks += [f"(too few: {' '.join(few[kind])})"] if kind in few else []
        rows.add_row(
            kind,
            str(items),
            *(f"{share / items:.1%}" for share in shares),
            f"{worst} {interval(rates[worst].held_out)}",
            " ".join(filter(None, remarks)),
        )
    console.print(rows)
    console.print(
        f"shares of wrong items that are accepted; {percent(calibration.false_accept)} was asked for. "
        "Calibrated: of concepts that had no part in finding the thresholds, with 95 % Wilson intervals"
    )


def _judged(calibration: Calibration) -> None:
    """What verdicts had to do with it, and what they can't tell any more."""
    from mldata.calibration import JUDGED
    from mldata.cli.screen import console

    languages = calibration.languages.items()
    counts = {tag: language.damages[JUDGED].items for tag, language in languages}
    judged = " · ".join(f"{tag} {rows}" for tag, rows in counts.items() if rows) or "none"
    console.print(
        f"{JUDGED}: rows that most of their reviewers judged major or wrong and that pass the recipe's "
        f"rules: {judged}. Fewer than "
        f"{calibration.min_judged} in a language move no threshold. These verdicts flatter the set that they "
        "helped choose: to measure it, judge other rows (`mldata review --seed 1`)",
        soft_wrap=True,
    )
