"""`mldata build`: source in, verified set out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mldata.sources import Format


class Executor(StrEnum):
    """Where tasks run."""

    local = "local"


class Groups(StrEnum):
    """Group policies; see `mldata rules`."""

    partial = "partial"
    quorum = "quorum"
    complete = "complete"


class NearDuplicates(StrEnum):
    """What is done about concepts that repeat another but for a word here and there."""

    report = "report"
    drop = "drop"
    off = "off"


class Licence(StrEnum):
    """What the engines' licences must allow."""

    any = "any"
    commercial = "commercial"


class SourceFormat(StrEnum):
    """How rows hold prompt, chosen and rejected."""

    standard = "standard"
    conversational = "conversational"
    implicit = "implicit"
    hh = "hh"


NO_CALIBRATION = "--no-calibration"
RULE_HELP = 'Change or add a rule, as "similarity>=0.85"; may be repeated.'
NEAR_DUPLICATES_HELP = "Concepts that repeat another nearly.  \\[default: the recipe's]"
DECONTAMINATE_HELP = (
    "Evaluation texts (FILE or FILE:column): concepts that share their wording are dropped; may be repeated."
)


def build(
    source: Annotated[
        str | None,
        typer.Option(
            help="A file, folder, glob or fsspec URL; hf://org/name\\[/config]\\[:split]; or en_prefs."
        ),
    ] = None,
    aligned: Annotated[
        list[str] | None,
        typer.Option(
            help="Instead of a source: rows that are translated already. A file with all languages, or "
            "TAG=FILE for each language, repeated."
        ),
    ] = None,
    targets: Annotated[str, typer.Option(help='How many ("12"), "all", or which ("es,fr").')] = "all",
    out: Annotated[Path | None, typer.Option(help="The set's directory.  \\[default: sets/<source>]")] = None,
    pipeline: Annotated[
        str, typer.Option(help="A recipe shipped with mldata, or a .toml file.")
    ] = "embedded",
    anchor: Annotated[
        str | None, typer.Option(help="The source's language.  \\[default: the recipe's]")
    ] = None,
    format: Annotated[SourceFormat | None, typer.Option(help="\\[default: recognised]")] = None,
    id_column: Annotated[str | None, typer.Option(help="A column that identifies examples.")] = None,
    language_column: Annotated[
        str | None,
        typer.Option(help="Of --aligned: the language's column.  \\[default: language, lang, locale]"),
    ] = None,
    back_translation: Annotated[
        bool, typer.Option(help="Of --aligned: translate back where an engine can.")
    ] = True,
    limit: Annotated[int | None, typer.Option(min=1, help="Take the first N concepts.")] = None,
    rule: Annotated[list[str] | None, typer.Option(help=RULE_HELP)] = None,
    policy: Annotated[Groups | None, typer.Option(help="Group policy.  \\[default: the recipe's]")] = None,
    quorum: Annotated[int | None, typer.Option(min=1, help="Targets needed under `--policy quorum`.")] = None,
    near_duplicates: Annotated[NearDuplicates | None, typer.Option(help=NEAR_DUPLICATES_HELP)] = None,
    decontaminate: Annotated[list[str] | None, typer.Option(help=DECONTAMINATE_HELP)] = None,
    no_calibration: Annotated[
        bool, typer.Option(NO_CALIBRATION, help="Take the recipe's thresholds as they are.")
    ] = False,
    work: Annotated[Path | None, typer.Option(help="The work store.  \\[default: <out>.work]")] = None,
    licence: Annotated[
        Licence | None,
        typer.Option(help="commercial: refuse engines not known to allow it.  \\[default: the recipe's]"),
    ] = None,
    max_cost: Annotated[
        float | None,
        typer.Option(
            min=0, help="What requests to paid servers may cost, those already in the work store included."
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes.  \\[default: one a core; with a GPU, one]")
    ] = None,
    executor: Annotated[Executor, typer.Option(help="Where tasks run.")] = Executor.local,
    overwrite: Annotated[bool, typer.Option(help="Replace whatever --out holds.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and leave.")] = False,
) -> None:
    """Translate, back-translate, measure, calibrate and select: a source in, a verified set out.

    What was done before is found in the work store and not done again, so the same command goes on after
    an interruption, and a second run takes seconds.

    [bold]Examples[/bold]

      mldata build --source en_prefs --targets 12

      mldata build --source prefs.jsonl --targets es,fr,pt --out sets/prefs

      mldata build --source hf://org/name:train --targets all --limit 1000 --dry-run

      mldata build --aligned en=en.jsonl --aligned es=vendor/es.csv --id-column id
    """
    from mldata import library
    from mldata.cli import screen

    del executor  # local is the only one, and what it names is checked by the parser
    try:
        made = library.plan(
            source,
            aligned=aligned or [],
            targets=targets,
            out=out,
            recipe=pipeline,
            work=work,
            anchor=anchor,
            format=_value(format),
            id_column=id_column,
            language_column=language_column,
            limit=limit,
            back_translation=back_translation,
            licence=licence.value if licence else None,
            max_cost=max_cost,
            overwrite=overwrite,
        )
        place = library.place_of(out, made.index.name)
        count = workers or library.default_workers(made.recipe)
        screen.heading(made, count)
        if dry_run:
            screen.dry_run(made)
            return
        with screen.Progress(made) as progress:
            manifest = library.finish(
                made,
                place,
                workers=count,
                rules=rule or [],
                policy=policy.value if policy else None,
                quorum=quorum,
                near_duplicates=near_duplicates.value if near_duplicates else None,
                decontaminate=decontaminate,
                calibration=not no_calibration,
                done=progress.done,
                more=progress.more,
            )
    except KeyboardInterrupt:
        typer.echo("mldata: interrupted; what was done is kept: run the same command to go on", err=True)
        raise typer.Exit(130) from None
    screen.summary(manifest, place)
    screen.requests(made.job.work)


def _value(format: SourceFormat | None) -> Format | None:
    return format.value if format else None
