"""`mldata diff`: what changed between two sets."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mldata.cli import completion

if TYPE_CHECKING:
    import polars as pl

    from mldata.differences import Difference

Format = Literal["table", "markdown", "json"]
SHOWN = 20
"""Lines of a table that are shown to people; JSON has all."""
BEFORE = 20
"""Characters shown before the first one in which two texts differ."""


def diff(
    a: Annotated[
        Path,
        typer.Argument(metavar="SET_A", help="A set made by `mldata build`.", autocompletion=completion.sets),
    ],
    b: Annotated[
        Path,
        typer.Argument(
            metavar="SET_B", help="Another of the same anchor language.", autocompletion=completion.sets
        ),
    ],
    language: Annotated[
        str | None, typer.Option(help="Only these, as es,fr.  \\[default: all that one of them has]")
    ] = None,
    rows: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="List N changed rows of each kind and language, with texts."),
    ] = 0,
    format: Annotated[Format, typer.Option(help="How it is written; json holds everything.")] = "table",
) -> None:
    """What made two sets, which rows they keep, and how their evidence moved: what changed, and most.

    Rows are the same by concept and language. Evidence is compared over the rows that both sets measured,
    kept or dropped, and only where both measured it with the same signature: of other columns the command
    says which part of the signature differs, and gives no figure. Medians of the difference are of the
    pairs, B less A; a row has moved when it differs by more than 0.05 (chrF: 5).

    Examples:

      mldata diff sets/en_prefs sets/strict

      mldata diff sets/before sets/after --language es --rows 5

    Exit codes:

      0 the sets were compared, the same or not · 1 one is damaged · 2 input or use
      130 interrupted (Ctrl-C), 143 ended by SIGTERM
    """
    from mldata import library

    found = library.diff(a, b, languages=language, rows=rows)
    if format == "json":
        sys.stdout.write(_json(found))
    else:
        _show(found, format)


def verdict(found: Difference) -> list[str]:
    """What changed most, in three lines: what made the sets, their rows, their evidence."""
    if found.same:
        return ["the sets are the same: what made them, their rows and splits, their evidence"]
    return [_made(found), _rows(found), _evidence(found)]


def _made(found: Difference) -> str:
    """made by: other engines (3), rules (2)."""
    counts: dict[str, int] = {}
    for fact in found.made:
        counts[fact.what] = counts.get(fact.what, 0) + 1
    source = "the same source" if "source" not in counts else "another source"
    if found.manifests[0].source.digest == found.manifests[1].source.digest:
        source = "the same source"
    others = ", ".join(f"{what} ({count})" for what, count in counts.items() if what != "source")
    return f"made: {source}" + (f"; other {others}" if others else ", engines, rules and policy")


def _rows(found: Difference) -> str:
    import polars as pl

    rows, reasons = found.rows, found.reasons
    both, texts, split, only_a, only_b = rows.select(
        pl.sum("kept_in_both", "texts_changed", "split_moved", "only_in_a", "only_in_b")
    ).row(0)
    changes = [f"{texts} with other texts"] if texts else []
    changes += [f"{split} in another split"] if split else []
    said = f"rows: {both + only_a} → {both + only_b}, {both} kept in both"
    said += f" ({', '.join(changes)})" if changes else ""
    for kept_in, count in (("A", only_a), ("B", only_b)):
        if count:
            why = reasons.filter(kept_in=kept_in).group_by("reason").agg(pl.sum("rows"))
            most = why.sort("rows", "reason", descending=[True, False]).row(0)
            where = rows.sort(f"only_in_{kept_in.lower()}", descending=True, maintain_order=True).row(
                0, named=True
            )
            said += (
                f" · {count} in {kept_in} only: most in {where['language']} "
                f"({where[f'only_in_{kept_in.lower()}']}), most because of: {most[0]} ({most[1]})"
            )
    return said


def _evidence(found: Difference) -> str:
    moved = _moved(found)
    refused = [name for one in found.refused for name in one.columns]
    more = f" · not comparable: {_several(refused)} (other signatures)" if refused else ""
    if found.evidence.is_empty():
        return f"evidence: no row was measured alike in both{more}"
    if moved.is_empty():
        return f"evidence: the same in all rows measured in both{more}"
    top = moved.row(0, named=True)
    return (
        f"evidence: {top['evidence']} of {top['language']} moved most, median {top['median_a']:g} → "
        f"{top['median_b']:g} (pairs {top['median_difference']:+g}), {top['moved']:.0%} of {top['rows']} "
        f"rows by more than {top['by']:g}{more}"
    )


def _several(names: list[str]) -> str:
    return " ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _moved(found: Difference) -> pl.DataFrame:
    """The shifts in which anything changed, those that moved most rows first."""
    import polars as pl

    size = (pl.col("median_difference") / pl.col("by")).abs()
    some = found.evidence.filter(pl.col("changed") > 0)
    return some.sort("moved", size, descending=True, maintain_order=True)


def _sections(found: Difference) -> list[tuple[str, pl.DataFrame]]:
    """Title and table of each part that has something to say."""
    import polars as pl

    made = pl.DataFrame(
        [asdict(fact) for fact in found.made], schema=dict.fromkeys(("what", "name", "a", "b"), pl.String)
    )
    refused = pl.DataFrame(
        [{"evidence": " ".join(one.columns), "A": one.a, "B": one.b} for one in found.refused],
        schema=dict.fromkeys(("evidence", "A", "B"), pl.String),
    )
    shares = [pl.format("{} %", (100 * pl.col(name)).round(1)).alias(name) for name in ("moved", "changed")]
    evidence = (
        _moved(found)
        .with_columns(shares)
        .select(
            "language",
            "evidence",
            "rows",
            "median_a",
            "median_b",
            "median_difference",
            "moved",
            "by",
            "changed",
        )
    )
    names = dict(zip("ab", "AB", strict=True))
    changed = found.changed
    if not changed.is_empty():
        texts = [_apart(row["a"], row["b"]) for row in changed.iter_rows(named=True)]
        changed = changed.with_columns(
            pl.Series("a", [one for one, _ in texts], pl.String),
            pl.Series("b", [other for _, other in texts], pl.String),
        ).rename(names)
    only = [f"{count} only in {side}" for side, count in zip("AB", found.concepts, strict=True) if count]
    rows = "rows" + (f" (concepts: {', '.join(only)})" if only else "")
    listed = [
        ("what made them", made.rename(names)),
        (rows, found.rows),
        ("why rows that one set keeps aren't kept in the other", found.reasons),
        ("evidence of the rows measured in both, what moved most first", evidence),
        ("evidence that can't be compared: its signatures differ in", refused),
        ("changed rows", changed),
    ]
    return [(title, frame) for title, frame in listed if not frame.is_empty()]


def _apart(a: str | None, b: str | None) -> tuple[str | None, str | None]:
    """Two texts from just before the first character in which they differ."""
    if a is None or b is None:
        return a, b
    if a == b:
        return a, "(the same)"
    differ = (at for at, pair in enumerate(zip(a, b, strict=False)) if pair[0] != pair[1])
    start = max(0, next(differ, min(len(a), len(b))) - BEFORE)
    return ("…" + a[start:], "…" + b[start:]) if start else (a, b)


def _heading(column: str) -> str:
    """ "median_a" as "median A"."""
    return re.sub(r" ([ab])$", lambda found: f" {found[1].upper()}", column.replace("_", " "))


def _show(found: Difference, format: Format) -> None:
    from rich.text import Text

    from mldata.cli import cells
    from mldata.cli.screen import console
    from mldata.visible import markdown, visible

    lines = [f"A {found.a}", f"B {found.b}", *verdict(found)]
    if format == "markdown":
        sys.stdout.write("".join(f"- {markdown(visible(line))}\n" for line in lines))
    else:
        for line in lines:
            console.print(Text(visible(line)), soft_wrap=True)
    if found.same:
        return
    for title, frame in _sections(found):
        whole = title.startswith(("changed", "rows"))
        some = frame if whole else frame.head(SHOWN)
        more = f"{len(frame) - len(some)} more lines; --format json has all"
        if format == "markdown":
            sys.stdout.write(f"\n**{title}**\n\n{cells.as_markdown(some)}")
            sys.stdout.write(f"\n{more}\n" if len(some) < len(frame) else "")
        else:
            console.print(f"\n[bold]{title}[/bold]")
            console.print(cells.as_table(some.rename(_heading)))
            if len(some) < len(frame):
                console.print(more)


def _json(found: Difference) -> str:
    """One object with everything; control characters are written as JSON's escapes."""
    from mldata.cli import cells

    said = {
        "a": str(found.a),
        "b": str(found.b),
        "same": found.same,
        "verdict": verdict(found),
        "made": [asdict(fact) for fact in found.made],
        "concepts": {"only_in_a": found.concepts[0], "only_in_b": found.concepts[1]},
        "rows": found.rows.to_dicts(),
        "reasons": found.reasons.to_dicts(),
        "evidence": found.evidence.to_dicts(),
        "refused": [asdict(one) for one in found.refused],
        "changed": found.changed.to_dicts(),
    }
    return cells.escaped(json.dumps(said, ensure_ascii=False, indent=1)) + "\n"
