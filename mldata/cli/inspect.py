"""`mldata inspect`: look into a set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def inspect(
    path: Annotated[Path, typer.Argument(metavar="SET", help="A set made by `mldata build`.")],
    concept: Annotated[
        str | None, typer.Option(help="Show this concept in all languages; the start of its id will do.")
    ] = None,
) -> None:
    """Counts, evidence quantiles and reasons of dropping per language; or one concept in all languages.

    [bold]Examples[/bold]

      mldata inspect sets/en_prefs

      mldata inspect sets/en_prefs --concept 3f9a
    """
    if concept:
        _concept(path, concept)
    else:
        _overview(path)


def _overview(path: Path) -> None:
    from mldata import inspection
    from mldata.cli.screen import console, summary, table
    from mldata.evidence import columns
    from mldata.shards import read_manifest

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
        counts.add_row(str(reason), str(group["rows"].sum()), str(group["alone"].sum()), each)
    console.print(counts)


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.2f}"


def _concept(path: Path, concept: str) -> None:
    from rich.markup import escape

    from mldata import inspection
    from mldata.cli.screen import console

    for row in inspection.concept(path, concept).iter_rows(named=True):
        state = "dropped: " + ", ".join(row["reasons"]) if row["reasons"] else "kept"
        console.rule(f"[bold]{row['language']}[/bold] {row['route']} · {state}", align="left")
        if not row["is_anchor"]:
            scores = ("similarity", "similarity_min", "back_chrf", "contrast", "language_score")
            console.print(
                " · ".join(f"{name} {'-' if row[name] is None else _short(row[name])}" for name in scores)
            )
        for name, text in inspection.texts(row).items():
            console.print(f"[bold]{name}[/bold]\n{escape(text)}")
    console.print(f"concept {row['concept_id']}")
