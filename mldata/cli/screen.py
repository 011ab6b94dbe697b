"""What commands print: the one console and its tables, a build's heading and its dry run."""

from __future__ import annotations

import sys
from collections import Counter

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mldata.chunks import source_folder
from mldata.licences import allows_commercial
from mldata.measured import engine_facts
from mldata.pipeline import Plan, SourceSize
from mldata.selection import licence
from mldata.settings import ChatSettings
from mldata.store import Store, read_table

console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
SHOWN = 3
"""Rows set aside that are named on the screen; all are in the file."""
CHARACTERS_A_TOKEN = 4
"""Of English; other languages take more tokens, by the model up to several times as many."""
TOKENS_AROUND = 250
"""What a template adds to each text."""


def table(*columns: str) -> Table:
    """A table in the one style of all commands; a column whose name starts with ">" is right-aligned."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        made.add_column(
            name.lstrip(">"), justify="right" if name.startswith(">") else "left", overflow="fold"
        )
    return made


def heading(plan: Plan) -> None:
    """One line on what will be done, and lines on rows set aside."""
    index = plan.index
    what = "languages given" if plan.job.given else "targets"
    console.print(
        f"[bold]{escape(index.name)}[/bold] · {index.concepts} concepts ({index.format}) · {plan.anchor} → "
        f"{len(plan.targets)} {what} · pipeline {plan.recipe.name}"
    )
    if without := [target for target, back in plan.job.given.items() if back is None]:
        console.print(f"not translated back: {' '.join(without)}")
    if index.duplicates:
        console.print(f"{index.duplicates} rows repeat an earlier one and count once")
    if index.unreadable:
        path = source_folder(Store(plan.job.work), index.digest) / "unreadable.arrow"
        for row in read_table(path).slice(0, SHOWN).to_pylist():
            console.print(f"{row['file']}, {row['unit']} {row['row']}: {row['reason']}", markup=False)
        console.print(
            f"{index.unreadable} of {index.read} rows can't be read and are set aside with their reasons "
            "in dropped/unreadable.arrow"
        )


def dry_run(plan: Plan) -> None:
    """Languages, routes, and what the store already holds."""
    rows = table(
        "language", "route", "by", "back", "by", "tried again by", ">to translate", ">to measure", ">chunks"
    )
    chunks = len(plan.index.chunks)
    missing = Counter((task.language, task.stage) for task in plan.missing)
    for target in plan.targets:
        counts = [str(missing[target, stage]) for stage in ("translate", "measure")]
        rows.add_row(target, *plan.ways(target), *counts, str(chunks))
    console.print(rows)
    engines = table("engine", "version", "licence", "commercial use")
    for name, version, said in dict.fromkeys((e.name, e.version, e.licence) for e in plan.engines):
        allowed = {True: "yes", False: "no", None: "can't be told"}[allows_commercial(said)]
        engines.add_row(escape(name), escape(version), said, allowed)
    console.print(engines)
    console.print(f"licence of the set: {licence(plan.index, engine_facts(plan.engines))}", soft_wrap=True)
    done = plan.total - len(plan.missing)
    size_of_source = plan.size()
    _requests(plan, size_of_source)
    console.print(
        f"{size_of_source.segments} distinct segments a language · the store holds {done} of {plan.total} "
        "files · nothing was translated (--dry-run)"
    )


def _requests(plan: Plan, source: SourceSize) -> None:
    """What chat servers will be asked, if there are any, and about what it costs where they have prices."""
    for name, engine in plan.recipe.engines.items():
        if not isinstance(engine, ChatSettings):
            continue
        routes = [route for both in plan.job.routes.values() for route in both]
        routes += [route for route in plan.job.given.values() if route]
        again = [
            way for retries in plan.job.retries.values() for one in retries for way in (one.there, one.back)
        ]
        routes += again if plan.recipe.retry == "all" else []
        hops = sum(hop.translator == name for route in routes for hop in route.hops)
        tried = any(hop.translator == name for route in again for hop in route.hops)
        if not hops and not tried:
            continue
        tokens = hops * source.characters / CHARACTERS_A_TOKEN
        sent = tokens + hops * source.texts * TOKENS_AROUND
        cost = (sent * engine.price_input + tokens * engine.price_output) / 1e6
        priced = f", about {cost:.2f} in all" if cost else ""
        more = "; rows that fail come on top" if tried and plan.recipe.retry == "failed" else ""
        console.print(
            f"{escape(name)}: {source.texts} texts ({source.characters} characters) are sent {hops} times, "
            f"at {CHARACTERS_A_TOKEN} characters a token {sent / 1e6:.2f} million tokens in and "
            f"{tokens / 1e6:.2f} million out{priced}{more}",
            soft_wrap=True,
        )
