"""`mldata inspect`: look into a set."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mldata.cli import completion

if TYPE_CHECKING:
    from mldata.queries import Question

Format = Literal["table", "markdown", "csv", "json"]
SHOWN = 20
"""Rows that are shown to people unless they say otherwise; CSV and JSON have all."""


ROWS, SHOWN_HOW = "Which rows", "How they are shown"
"""Panels of options."""


def inspect(
    path: Annotated[
        Path,
        typer.Argument(metavar="SET", help="A set made by `mldata build`.", autocompletion=completion.sets),
    ],
    concept: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            rich_help_panel=ROWS,
            help="Show this concept in all languages, kept or not; the start of its id will do. With other "
            "options: its rows.",
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT",
            rich_help_panel=ROWS,
            help="Groups instead of rows: language, rule, translators, or a column of the set or its source: "
            "how many translations were kept and dropped, and medians.",
        ),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            metavar="SQL",
            rich_help_panel=ROWS,
            help='Only rows for which this holds, in Polars SQL: "similarity < 0.8".',
        ),
    ] = None,
    rejected: Annotated[
        bool,
        typer.Option(
            "--rejected",
            rich_help_panel=ROWS,
            help="Rows that were dropped, with their reasons, instead of kept ones.",
        ),
    ] = False,
    sample: Annotated[
        int | None, typer.Option(min=1, metavar="N", rich_help_panel=ROWS, help="N rows drawn at random.")
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", rich_help_panel=ROWS, help="Of --sample: the same seed draws the same rows."
        ),
    ] = 0,
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN,…",
            rich_help_panel=SHOWN_HOW,
            help="Lowest first; highest first with a minus: -similarity.",
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN,…",
            rich_help_panel=SHOWN_HOW,
            help="What is shown of rows; with --by, whose medians.",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            rich_help_panel=SHOWN_HOW,
            help=f"Rows or groups shown at most, 0 for all.  \\[default: {SHOWN}; all in CSV and JSON]",
            show_default=False,
        ),
    ] = None,
    format: Annotated[
        Format | None,
        typer.Option(
            metavar="FORMAT",
            rich_help_panel=SHOWN_HOW,
            help="table, markdown, csv or json.  \\[default: table]",
        ),
    ] = None,
    show_code: Annotated[
        bool,
        typer.Option(
            "--show-code",
            rich_help_panel=SHOWN_HOW,
            help="Print the same question as Python with Polars, to run and change.",
        ),
    ] = False,
) -> None:
    """Counts, evidence quantiles and reasons of dropping per language; one concept; or the rows asked for.

    Examples:

      mldata inspect sets/en_prefs

      mldata inspect sets/en_prefs --concept 3f9a

      mldata inspect sets/en_prefs --by rule

      mldata inspect sets/en_prefs --where "similarity < 0.8" --sort similarity

      mldata inspect sets/en_prefs --where "language = 'es'" --columns chosen

      mldata inspect sets/en_prefs --rejected --sample 50 --format csv

      mldata inspect sets/en_prefs --by rule --show-code

    Exit codes:

      0 done · 1 the set is damaged · 2 input or use
      130 interrupted (Ctrl-C), 143 ended by SIGTERM
    """
    asked = by or where is not None or rejected or sample or sort or columns or limit is not None
    if not asked and format is None and not show_code:
        if concept:
            _concept(path, concept)
        else:
            _overview(path)
        return
    from mldata.queries import Question

    format = format or "table"
    most = limit if limit is not None else SHOWN if format in ("table", "markdown") else 0
    question = Question(
        concept=concept,
        rejected=rejected,
        where=where,
        sample=sample,
        seed=seed,
        by=by,
        sort=_names(sort),
        columns=_names(columns),
        limit=most or None,
    )
    _answer(path, question, format, show_code)


def _names(given: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (given or "").split(",") if name.strip())


def _answer(path: Path, question: Question, format: Format, show_code: bool) -> None:
    """Rows or groups, or the code that finds them."""
    from polars.exceptions import PolarsError

    from mldata.cli import cells
    from mldata.cli.screen import console
    from mldata.errors import SetError, first_line, in_shell
    from mldata.queries import ask, collect

    try:
        answer = ask(path, question)
        if show_code:
            sys.stdout.write(answer.code)
            return
        found, total = collect(answer, question)
    except PolarsError as error:
        what = f"{path} can't be read ({first_line(error)})"
        raise SetError(f"{what}; see `mldata verify {in_shell(path)}`") from None
    if format == "table":
        console.print(cells.as_table(found))
    else:
        write = {"markdown": cells.as_markdown, "csv": cells.as_csv, "json": cells.as_json}[format]
        sys.stdout.write(write(found))
    if len(found) < total:
        what = "groups" if question.by is not None else "rows"
        print(f"{len(found)} of {total} {what}; --limit 0 shows all", file=sys.stderr)


def _overview(path: Path) -> None:
    from rich.markup import escape

    from mldata import inspection
    from mldata.cli.screen import console, table
    from mldata.cli.summary import summary
    from mldata.evidence import columns
    from mldata.shards import read_manifest
    from mldata.visible import visible

    manifest = read_manifest(path)
    summary(manifest, path)
    found = inspection.quantiles(path)
    beside = max(1, (console.width - 26) // 12)
    for start in range(0, len(found), beside):
        some = found.slice(start, beside)
        rows = table("evidence, quantiles", *(f">{tag}" for tag in some["language"]))
        rows.columns[0].no_wrap = True
        for column in columns():
            if f"{column.name}_50" not in found.columns:
                continue
            pair = (50, 95) if column.aggregate == "max" else (5, 50)  # where the bad rows are
            values = some.select(f"{column.name}_{q}" for q in pair).iter_rows()
            cells = [" ".join("-" if v is None else _short(v) for v in row) for row in values]
            rows.add_row(f"{column.name} {pair[0]}, {pair[1]} %", *cells)
        console.print(rows)
    why = inspection.reasons(path)
    counts = table("reason", ">rows", ">alone", "in")
    for (reason,), group in why.group_by("reason", maintain_order=True):
        each = " ".join(f"{tag} {n}" for tag, n in group.select("language", "rows").iter_rows())
        counts.add_row(
            escape(visible(str(reason))), str(group["rows"].sum()), str(group["alone"].sum()), each
        )
    console.print(counts)


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.2f}"


def _concept(path: Path, concept: str) -> None:
    from rich.markup import escape

    from mldata import inspection
    from mldata.cli.screen import console
    from mldata.visible import visible

    def shown(text: str) -> str:
        return escape(visible(text))

    for row in inspection.concept(path, concept).iter_rows(named=True):
        state = "dropped: " + ", ".join(row["reasons"]) if row["reasons"] else "kept"
        console.rule(
            f"[bold]{shown(row['language'])}[/bold] {shown(row['route'])} · {shown(state)}", align="left"
        )
        if not row["is_anchor"]:
            scores = ("similarity", "similarity_min", "back_chrf", "contrast", "language_score")
            console.print(
                " · ".join(f"{name} {'-' if row[name] is None else _short(row[name])}" for name in scores)
            )
        for name, text in inspection.texts(row).items():
            console.print(f"[bold]{name}[/bold]\n{shown(text)}")
    console.print(f"concept {shown(row['concept_id'])}")
