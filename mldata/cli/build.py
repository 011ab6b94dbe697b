"""`mldata build`: source in, verified set out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mldata.cli import completion
from mldata.cli.messages import RUNNING, Log, LogFormat, Quiet

if TYPE_CHECKING:
    from mldata.pipeline import Plan
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


SOURCE, ENGINES, SELECTION, OUTPUT = "Source", "Languages and engines", "Selection", "Output"
"""Panels of options."""

# Options that several commands have.
Pipeline = Annotated[
    str,
    typer.Option(
        metavar="NAME|FILE",
        help="A recipe shipped with mldata, or a .toml file.",
        autocompletion=completion.pipelines,
        rich_help_panel=ENGINES,
    ),
]
Anchor = Annotated[
    str | None,
    typer.Option(
        metavar="TAG",
        help="The source's language.  \\[default: the recipe's]",
        autocompletion=completion.anchors,
        rich_help_panel=ENGINES,
    ),
]
RULE_HELP = 'Change or add a rule, as "similarity>=0.85"; may be repeated.'
Rules = Annotated[
    list[str] | None,
    typer.Option(metavar="RULE", help=RULE_HELP, autocompletion=completion.rules, rich_help_panel=SELECTION),
]
PolicyOption = Annotated[
    Groups | None,
    typer.Option(
        metavar="WHICH",
        help="partial (what passed), quorum or complete.  \\[default: the recipe's]",
        rich_help_panel=SELECTION,
    ),
]
Quorum = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Targets needed under `--policy quorum`.", rich_help_panel=SELECTION
    ),
]
Near = Annotated[
    NearDuplicates | None,
    typer.Option(
        metavar="WHAT",
        help="Concepts that repeat another nearly: report, drop or off.  \\[default: the recipe's]",
        rich_help_panel=SELECTION,
    ),
]
Decontaminate = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE[:COLUMN]",
        help="Evaluation texts: concepts that share their wording are dropped; may be repeated.",
        rich_help_panel=SELECTION,
    ),
]
NO_CALIBRATION = "--no-calibration"


def build(
    source: Annotated[
        str | None,
        typer.Option(
            metavar="WHERE",
            help="A file, folder, glob or fsspec URL; hf://org/name\\[/config]\\[:split]; or en_prefs, "
            "the bundled sample.",
            autocompletion=completion.sources,
            rich_help_panel=SOURCE,
        ),
    ] = None,
    aligned: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[TAG=]FILE",
            help="Instead of a source: rows that are translated already. A file with all languages, or "
            "TAG=FILE for each language, repeated.",
            rich_help_panel=SOURCE,
        ),
    ] = None,
    format: Annotated[
        SourceFormat | None,
        typer.Option(
            metavar="FORMAT",
            help="standard, conversational, implicit or hh.  \\[default: recognised]",
            rich_help_panel=SOURCE,
        ),
    ] = None,
    id_column: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="A column that identifies examples.", rich_help_panel=SOURCE),
    ] = None,
    language_column: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Of --aligned: the language's column.  \\[default: language, lang, locale]",
            rich_help_panel=SOURCE,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Take the first N concepts.", rich_help_panel=SOURCE),
    ] = None,
    targets: Annotated[
        str,
        typer.Option(
            metavar="WHICH",
            help='How many ("12"), "all", or which ("es,fr").',
            autocompletion=completion.targets,
            rich_help_panel=ENGINES,
        ),
    ] = "all",
    pipeline: Pipeline = "embedded",
    anchor: Anchor = None,
    no_back_translation: Annotated[
        bool,
        typer.Option(
            "--no-back-translation",
            help="Of --aligned: don't translate back where an engine could.",
            rich_help_panel=ENGINES,
        ),
    ] = False,
    licence: Annotated[
        Licence | None,
        typer.Option(
            metavar="any|commercial",
            help="commercial: refuse engines not known to allow it.  \\[default: the recipe's]",
            rich_help_panel=ENGINES,
        ),
    ] = None,
    max_cost: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="PRICE",
            help="What requests to paid servers may cost, those already in the work store included.",
            rich_help_panel=ENGINES,
        ),
    ] = None,
    rule: Rules = None,
    policy: PolicyOption = None,
    quorum: Quorum = None,
    near_duplicates: Near = None,
    decontaminate: Decontaminate = None,
    no_calibration: Annotated[
        bool,
        typer.Option(
            NO_CALIBRATION, help="Take the recipe's thresholds as they are.", rich_help_panel=SELECTION
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="SET",
            help="The set's directory.  \\[default: sets/<source>]",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(metavar="WORK", help="The work store.  \\[default: SET.work]", rich_help_panel=OUTPUT),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace whatever --out holds.", rich_help_panel=OUTPUT),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Processes.  \\[default: one a core; with a GPU, one]",
            rich_help_panel=RUNNING,
        ),
    ] = None,
    executor: Annotated[
        Executor, typer.Option(metavar="local", help="Where tasks run.", rich_help_panel=RUNNING)
    ] = Executor.local,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show what would be done, and leave.", rich_help_panel=RUNNING),
    ] = False,
    quiet: Quiet = False,
    log_format: Log = LogFormat.text,
) -> None:
    """Translate, back-translate, measure, calibrate and select: a source in, a verified set out.

    Every row is translated and measured once; what was done is kept in the work store, so the same command
    goes on after an interruption, and a second run takes seconds. Adding rows or languages does only what is
    missing.

    Progress goes to stderr: a live display on a terminal, elsewhere a line now and then. The summary goes to
    stdout.

    Examples:

      mldata build --source en_prefs --targets 12

      mldata build --source prefs.jsonl --targets es,fr,pt --out sets/prefs

      mldata build --source hf://org/name:train --limit 1000 --dry-run

      mldata build --source prefs.jsonl --targets 3 --log-format json --workers 4

      mldata build --aligned en=en.jsonl --aligned es=es.csv --id-column id

    Files:

      SET/data/          train and test shards, a concept's rows together
      SET/dropped/       rows not written, with their reasons
      SET/manifest.json  what the set depends on, every file with its SHA-256
      SET/README.md      the dataset card; SET/calibration.json; SET/run.json
      SET.work/          the work store: keep it to go on, and to select again

    Events (--log-format json), a JSON object a line with time and event:

      planned, progress, retry, warning, requests, done, interrupted, error

    Exit codes:

      0 done · 2 input or use · 3 an engine failed
      130 interrupted (Ctrl-C), 143 ended by SIGTERM: the same command goes on

    Environment:

      HF_HUB_OFFLINE=1  ask no model hub; models must be in the cache
      NO_COLOR, COLUMNS no colours; the width of what is printed
    """
    from mldata import library, selection
    from mldata.cli import messages, progress, screen, summary

    del executor  # local is the only one, and what it names is checked by the parser
    shown: progress.Progress | None = None
    made: Plan | None = None

    def kept() -> str:
        return _kept(made, shown)

    messages.start(log_format, quiet, kept)
    with progress.waiting("reading the source"):
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
            back_translation=not no_back_translation,
            licence=licence.value if licence else None,
            max_cost=max_cost,
            overwrite=overwrite,
        )
    place = library.place_of(out, made.index.name)
    count = workers or library.default_workers(made.recipe)
    messages.event("planned", **_planned(made, place, count))
    if messages.for_people():
        screen.heading(made)
    if dry_run:
        if messages.for_people():
            screen.dry_run(made)
        return
    shown = progress.Progress(made, count, selection.change_rules(made.recipe.rules, rule or []))
    with shown:
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
            done=shown.done,
            more=shown.more,
        )
    summary.requests(made.job.work)
    if messages.for_people():
        screen.console.print()
    summary.summary(manifest, place)


def _planned(made: Plan, place: Path, workers: int) -> dict[str, Any]:
    """What a program wants to know of a plan."""
    index = made.index
    return {
        "source": index.name,
        "format": index.format,
        "concepts": index.concepts,
        "unreadable": index.unreadable,
        "anchor": made.anchor,
        "targets": list(made.targets),
        "pipeline": made.recipe.name,
        "workers": workers,
        "done": made.total - len(made.missing),
        "total": made.total,
        "set": place,
        "work": made.job.work,
    }


def _kept(made: Plan | None, shown: Any) -> str:
    """What is said of an interruption: what the work store holds."""
    if made is None:
        return "it was still planning, and what the work store holds is kept"
    done, total = shown.tally.files if shown else (made.total - len(made.missing), made.total)
    work = made.job.work
    near = work.relative_to(Path.cwd()) if work.is_relative_to(Path.cwd()) else work
    return f"{done} of {total} files of work are kept in {near}"


def _value(format: SourceFormat | None) -> Format | None:
    return format.value if format else None
