"""What commands print: a build's heading, its progress, and the table per language at its end."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table

from mldata.amounts import duration, size
from mldata.calibration import FILE, Calibration, percent
from mldata.chunks import source_folder
from mldata.licences import allows_commercial
from mldata.measured import engine_facts
from mldata.pipeline import Plan, SourceSize
from mldata.selection import licence
from mldata.settings import ChatSettings
from mldata.shards import Manifest, read_calibration
from mldata.store import Store, read_table
from mldata.tasks import Task
from mldata.translate.answers import spent

console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
SHOWN = 3
"""Rows set aside that are named on the screen; all are in the file."""
CHARACTERS_A_TOKEN = 4
"""Of English; other languages take more tokens, by the model up to several times as many."""
TOKENS_AROUND = 250
"""What a template adds to each text."""
LINE_EVERY = 15.0
"""Seconds between progress lines where there is no terminal."""


def table(*columns: str) -> Table:
    """A table in the one style of all commands; a column whose name starts with ">" is right-aligned."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        made.add_column(
            name.lstrip(">"), justify="right" if name.startswith(">") else "left", overflow="fold"
        )
    return made


def heading(plan: Plan, workers: int) -> None:
    """One line on what will be done, and lines on rows set aside."""
    index = plan.index
    what = "languages given" if plan.job.given else "targets"
    console.print(
        f"[bold]{escape(index.name)}[/bold] · {index.concepts} concepts ({index.format}) · {plan.anchor} → "
        f"{len(plan.targets)} {what} · pipeline {plan.recipe.name} · {workers} workers"
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
    for target in plan.targets:
        missing = [task.stage for task in plan.missing if task.language == target]
        counts = [str(missing.count(stage)) for stage in ("translate", "measure")]
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


class Progress:
    """Bars per language with time left on a terminal; elsewhere a line now and then."""

    def __init__(self, plan: Plan) -> None:
        self._counts: dict[str, int] = {}
        for task in plan.missing:
            self._counts[task.language] = self._counts.get(task.language, 0) + 1
        self._total, self._done = len(plan.missing), 0
        self._started = self._said = time.monotonic()
        self._per_chunk = plan.index.concepts / max(1, len(plan.index.chunks))
        self._bars = Bars(
            TextColumn("{task.description:8}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._ids: dict[str, TaskID] = {}

    def __enter__(self) -> Progress:
        self._bars.start()
        for language, total in self._counts.items():
            self._ids[language] = self._bars.add_task(language, total=total, rate="")
        return self

    def more(self, tasks: Sequence[Task]) -> None:
        """Add tasks that nobody could know of before: rows that are tried again."""
        for task in tasks:
            self._total += 1
            if task.language not in self._ids:
                self._ids[task.language] = self._bars.add_task(task.language, total=0, rate="")
            self._bars.update(self._ids[task.language], total=(self._total_of(task.language) or 0) + 1)
        rows = sum(len(task.tried) for task in tasks if task.stage == "translate")
        if rows and not console.is_terminal:
            languages = " ".join(dict.fromkeys(task.language for task in tasks))
            console.print(f"{rows} rows that broke a rule are tried again: {languages}")

    def _total_of(self, language: str) -> float | None:
        return self._bars.tasks[self._ids[language]].total

    def done(self, task: Task) -> None:
        """Count a task that was done."""
        self._done += 1
        seconds = time.monotonic() - self._started
        rate = self._done * self._per_chunk / seconds
        self._bars.update(self._ids[task.language], advance=1, rate=f"{rate:.0f} rows/s")
        if not console.is_terminal and time.monotonic() - self._said >= LINE_EVERY:
            self._said = time.monotonic()
            left = seconds / self._done * (self._total - self._done)
            console.print(
                f"{task.stage.replace('_', ' ')} {task.language}: {self._done} of {self._total} tasks, "
                f"{rate:.0f} rows/s, about {duration(left)} left"
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()


def summary(manifest: Manifest, path: Path) -> None:
    """The table per language, the set in one line, and what to do next."""
    calibration = read_calibration(path, manifest)
    rows = table("language", "route", ">read", ">passed", ">kept", "dropped because (most frequent first)")
    for tag, counts in manifest.languages.items():
        share = f"{counts.passed / counts.concepts:4.0%}" if counts.concepts else "  - "
        reasons = " · ".join(f"{name} {number}" for name, number in counts.dropped.items())
        kept = str(counts.kept)
        if tag in manifest.retries:
            kept += "".join(f" · {by} {number}" for by, number in counts.kept_by.items())
        rows.add_row(tag, counts.route, str(counts.concepts), f"{counts.passed} {share}", kept, reasons)
    console.print(rows)
    data = [file for file in manifest.files if file.split in ("train", "test")]
    anchor = manifest.languages[manifest.anchor]
    console.print(
        f"{manifest.concepts_kept} of {manifest.source.concepts} concepts, {anchor.test} of them in the test "
        f"split · {sum(f.rows for f in data)} rows in {len(data)} shards · "
        f"{size(sum(f.bytes for f in data))} · licence: {manifest.licence}"
    )
    _so_far(manifest)
    _screening(manifest)
    if calibration is not None:
        verdict(calibration)
    if not manifest.concepts_kept:
        console.print(f"[bold]The set is empty[/bold]: {_blame(manifest)}")
    facts = path / "run.json"
    run = json.loads(facts.read_text("utf-8")) if facts.exists() else {}
    took = f"   {duration(run['seconds'])}" if "seconds" in run else ""
    peak = f", peak memory {size(run['peak_memory_bytes'])}" if "peak_memory_bytes" in run else ""
    console.print(f"[bold]{escape(str(path))}[/bold]{took}{peak}")
    if (path / "report.html").exists():
        console.print(f"report: {path / 'report.html'}", soft_wrap=True, markup=False)
    console.print(f"next: mldata inspect {path}", soft_wrap=True, markup=False)


def _so_far(manifest: Manifest) -> None:
    """Of a set whose build wasn't finished: how much of the source it is of."""
    part = manifest.so_far
    if part is None:
        return
    thresholds = "the recipe's" if manifest.calibration is None else "calibrated"
    console.print(
        f"[bold]Partial[/bold]: {part.chunks} of {part.of} chunks were done in all languages "
        f"({part.concepts} of {manifest.source.concepts} concepts) · thresholds: {thresholds} "
        f"({part.sampled} of {part.of_sampled} sampled chunks done) · the finished build replaces this set",
        soft_wrap=True,
    )


def requests(work: Path) -> None:
    """What chat servers were asked for this work store in all, if any were."""
    for name, used in spent(work).engines.items():
        cost = f", {used.cost:.4g} paid" if used.cost else ""
        lost = f" ({used.unanswered:.4g} of it perhaps, without an answer)" if used.unanswered else ""
        console.print(
            f"{escape(name)}: {used.requests} requests answered, {used.tokens_in} tokens in, "
            f"{used.tokens_out} out{cost}{lost}, earlier builds in this work store included",
            soft_wrap=True,
        )


def _screening(manifest: Manifest) -> None:
    """A line each on near-duplicates, if there are any, and on leaks, if they were looked for."""
    near, leaks = manifest.near_duplicates, manifest.contamination
    if near is not None and near.concepts:
        dropped = manifest.select.near_duplicates == "drop"
        fate = "dropped" if dropped else "kept, each group in one split; `--near-duplicates drop` drops them"
        console.print(
            f"near-duplicates: {near.concepts} of {manifest.source.concepts} concepts repeat another "
            f"(groups: {near.groups}, largest: {near.largest[0].concepts}) · {fate}",
            soft_wrap=True,
        )
    if leaks is not None:
        found = " · ".join(f"{of.given} {of.concepts}" for of in leaks.evaluations)
        console.print(f"leaks: {leaks.concepts} concepts dropped ({found})", soft_wrap=True, markup=False)


def verdict(calibration: Calibration) -> None:
    """Whose thresholds were calibrated, to what, and where that wasn't reached."""
    told = [tag for tag, language in calibration.languages.items() if language.enough_data]
    few = [tag for tag in calibration.languages if tag not in told]
    console.print(
        f"thresholds calibrated to {percent(calibration.false_accept)} false accepts ({FILE}): "
        f"{' '.join(told) or 'no language'}"
        + (
            f" · the recipe's for {' '.join(few)} (fewer than {calibration.min_rows} passing rows)"
            if few
            else ""
        )
    )
    missed = calibration.of_verdict("not_reached")
    if missed:
        where = " · ".join(f"{kind} {' '.join(tags)}" for kind, tags in missed.items())
        console.print(f"more than that is accepted, held out: {where}")


def _blame(manifest: Manifest) -> str:
    if not manifest.source.concepts:
        return "no row of the source could be read; see dropped/unreadable.arrow"
    worst = []
    for tag, counts in manifest.languages.items():
        rules = [f"{name} {number}" for name, number in counts.dropped.items() if name != "no_target"]
        if rules:
            worst.append(f"{tag}: {', '.join(rules[:3])}")
    return "; ".join(worst)
