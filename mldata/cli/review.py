"""`mldata review`: native speakers judge rows of a set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mldata.cli import completion

if TYPE_CHECKING:
    from mldata.review.verdicts import LanguageVerdicts, Verdicts

SAMPLE = 50
"""As `mldata.review.sampling.ROWS`."""
ROWS, PAGE, SHEETS, SAID = "Rows", "Page", "Spreadsheets instead of a page", "Verdicts"
"""The panels of options."""


def review(
    path: Annotated[
        Path,
        typer.Argument(metavar="SET", help="A set made by `mldata build`.", autocompletion=completion.sets),
    ],
    language: Annotated[
        str | None,
        typer.Option(
            metavar="TAG",
            help="Of the set's.  \\[default: chosen on the page]",
            autocompletion=completion.targets,
            rich_help_panel=ROWS,
        ),
    ] = None,
    sample: Annotated[
        int, typer.Option(min=4, metavar="N", help="Rows of a language to judge.", rich_help_panel=ROWS)
    ] = SAMPLE,
    seed: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="The same seed draws the same rows.", rich_help_panel=ROWS),
    ] = 0,
    reviewer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Who judges.  \\[default: asked for on the page]", rich_help_panel=PAGE
        ),
    ] = None,
    port: Annotated[
        int,
        typer.Option(
            min=0,
            max=65535,
            metavar="PORT",
            help="Of the page.  \\[default: a free one]",
            show_default=False,
            rich_help_panel=PAGE,
        ),
    ] = 0,
    open_browser: Annotated[
        bool | None,
        typer.Option(
            "--open/--no-open",
            help="Open the page in a browser.  \\[default: where there is a screen]",
            rich_help_panel=PAGE,
        ),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the rows to a spreadsheet instead, .xlsx or .csv.",
            rich_help_panel=SHEETS,
        ),
    ] = None,
    read: Annotated[
        Path | None,
        typer.Option(
            "--import",
            metavar="FILE",
            help="Read the verdicts of such a spreadsheet.",
            rich_help_panel=SHEETS,
        ),
    ] = None,
    summary: Annotated[
        bool,
        typer.Option("--summary", help="Print what the verdicts say so far.", rich_help_panel=SAID),
    ] = False,
    format: Annotated[
        str, typer.Option(metavar="table|json", help="Of --summary.", rich_help_panel=SAID)
    ] = "table",
) -> None:
    """Let native speakers judge rows, on a page of this machine alone or in a spreadsheet.

    They see each row beside its source and translated back, not whether it was kept, and judge it adequate,
    minor, major or wrong. From a sample with more rows near the thresholds follows which share of all kept
    rows is right, and what the rules cost. Verdicts are saved as they are given, in SET.review beside the
    set; stop and go on at any time, alone or with others.

    Examples:

      mldata review sets/en_prefs

      mldata review sets/en_prefs --summary

      mldata review sets/en_prefs --language es --export es.xlsx

      mldata review sets/en_prefs --import es.xlsx --reviewer ana

    Files:

      SET.review/REVIEWER.jsonl: a line a verdict, written as it is given

    Exit codes:

      0 done, by Ctrl-C too · 1 the set or a spreadsheet is damaged · 2 input or use
    """
    from mldata.errors import InputError
    from mldata.languages import canonical
    from mldata.review.journal import check_reviewer
    from mldata.review.sampling import check_language
    from mldata.shards import read_manifest

    if format not in ("table", "json"):
        raise InputError(f'--format is "table" or "json", not "{format}"')
    if sum((summary, export is not None, read is not None)) > 1:
        raise InputError("choose one of --summary, --export and --import")
    manifest = read_manifest(path)
    language = check_language(manifest, canonical(language)) if language else None
    reviewer = check_reviewer(reviewer) if reviewer is not None else None
    if summary:
        _summary(path, format)
    elif export is not None:
        _export(path, export, language, reviewer, sample, seed)
    elif read is not None:
        _import(path, read, reviewer)
    else:
        _serve(path, language, reviewer, sample, seed, port, open_browser)


def _serve(
    path: Path,
    language: str | None,
    reviewer: str | None,
    sample: int,
    seed: int,
    port: int,
    open_browser: bool | None,
) -> None:
    import os
    import secrets
    import sys
    import webbrowser
    from contextlib import suppress
    from urllib.parse import quote

    from mldata.interruption import Interrupted
    from mldata.review import journal, server
    from mldata.review.guard import HOST

    listening = server.listen(port)
    token = secrets.token_urlsafe(24)
    begin = f"rows/{quote(language)}/{quote(reviewer)}" if language and reviewer else ""
    address = f"http://{HOST}:{listening.getsockname()[1]}/{begin}?token={token}"
    typer.echo(f"review {path} at\n\n  {address}\n")
    typer.echo(f"Verdicts go to {journal.folder(path)}. Stop with Ctrl-C; the same command goes on.")
    sys.stdout.flush()
    screen = sys.platform == "darwin" or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    if open_browser or (open_browser is None and screen and sys.stdout.isatty()):
        webbrowser.open(address)
    with suppress(Interrupted):
        server.serve(path, token, listening, sample=sample, seed=seed, language=language, reviewer=reviewer)
    _what_next(path)


def _what_next(path: Path) -> None:
    from mldata.errors import in_shell

    typer.echo(
        f"`mldata review {in_shell(path)} --summary` tells what the verdicts say; "
        f"`mldata report {in_shell(path)}` brings it into the set's report and card"
    )


def _summary(path: Path, format: str) -> None:
    import json
    from dataclasses import asdict

    from mldata.review.verdicts import verdicts

    found = verdicts(path)
    if format == "json":
        plain = {
            "languages": {tag: asdict(one) for tag, one in found.languages.items()},
            "unreadable": {str(file): lines for file, lines in found.unreadable.items()},
        }
        typer.echo(json.dumps(plain, indent=2, ensure_ascii=False))
        return
    _tables(path, found)


def _tables(path: Path, found: Verdicts) -> None:
    """What is right, who agrees, and what rules have to do with it."""
    from rich.markup import escape

    from mldata.cli.screen import console, table
    from mldata.errors import in_shell
    from mldata.review import journal
    from mldata.review.journal import VERDICTS
    from mldata.review.verdicts import FLATTERED, as_text
    from mldata.visible import visible

    for file, lines in found.unreadable.items():
        console.print(f"{file}: {lines} lines can't be read and don't count", markup=False, soft_wrap=True)
    if not found.languages:
        console.print(
            f"nothing is judged yet: `mldata review {in_shell(path)}` (verdicts on it would lie in "
            f"{journal.folder(path)})",
            markup=False,
            soft_wrap=True,
        )
        return
    rows = table(
        "language",
        ">judged",
        *(f">{name}" for name in VERDICTS),
        "kept rows right",
        "of",
        "dropped rows right",
        "of",
        "reviewers",
    )
    for tag, one in found.languages.items():
        rows.add_row(
            tag,
            str(one.rows),
            *(str(one.counts[name]) for name in VERDICTS),
            as_text(one.kept),
            str(one.kept.judged if one.kept else 0),
            as_text(one.dropped),
            str(one.dropped.judged if one.dropped else 0),
            escape(visible(", ".join(one.reviewers))),
        )
    console.print(rows)
    console.print(
        "right: adequate or minor, as a share of all kept rows of the language, or of all that rules "
        "dropped, with 95 % intervals",
        soft_wrap=True,
    )
    if found.calibrated:
        console.print(FLATTERED, soft_wrap=True)
    if outdated := {tag: one.outdated for tag, one in found.languages.items() if one.outdated}:
        some = " · ".join(f"{tag} {number}" for tag, number in outdated.items())
        console.print(f"verdicts on texts that the set no longer has don't count: {some}")
    _agreement(found)
    for one in found.languages.values():
        _rules(one)


def _agreement(found: Verdicts) -> None:
    from rich.markup import escape

    from mldata.cli.screen import console, table
    from mldata.visible import visible

    rows = table(
        "language", "reviewers", ">rows of both", ">same verdict", ">both right or not", ">Cohen's kappa"
    )
    for tag, language in found.languages.items():
        for one in language.agreements:
            kappa = "–" if one.kappa is None else f"{one.kappa:.2f}"
            names = escape(visible(" and ".join(one.reviewers)))
            rows.add_row(tag, names, str(one.rows), f"{one.same:.0%}", f"{one.both:.0%}", kappa)
    if rows.rows:
        console.print(rows)


def _rules(one: LanguageVerdicts) -> None:
    """Of one language: rules that dropped right rows, and those that a wrong row came nearest to."""
    from mldata.cli.screen import console

    if costly := {rule: counts for rule, counts in one.rules.items() if counts[1]}:
        some = " · ".join(f"{rule} {right} of {dropped}" for rule, (dropped, right) in costly.items())
        console.print(f"{one.language}: judged rows that a rule dropped though they are right: {some}")
    if one.misses:
        some = " · ".join(f"{rule or 'none'} {rows}" for rule, rows in one.misses.items())
        console.print(f"{one.language}: kept rows judged not right, by the rule they came nearest to: {some}")


def _export(
    path: Path, file: Path, language: str | None, reviewer: str | None, sample: int, seed: int
) -> None:
    from mldata.errors import InputError, in_shell
    from mldata.review import sheets

    if language is None:
        raise InputError("--export needs a --language")
    rows = sheets.export(path, file, language, reviewer=reviewer, sample=sample, seed=seed)
    typer.echo(
        f"{file}: {rows} rows of {language}; read it with "
        f"`mldata review {in_shell(path)} --import {in_shell(file)} --reviewer NAME`"
    )


def _import(path: Path, file: Path, reviewer: str | None) -> None:
    from mldata.errors import InputError
    from mldata.review import sheets

    if reviewer is None:
        raise InputError("--import needs a --reviewer: whose verdicts are they?")
    read = sheets.read(path, file, reviewer)
    for row, reason in read.set_aside:
        typer.echo(f"{file}, row {row}: {reason}; set aside")
    typer.echo(
        f"{read.new} verdicts imported, {read.known} known before, {read.empty} rows without one, "
        f"{len(read.set_aside)} set aside"
    )
    _what_next(path)
