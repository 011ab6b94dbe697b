"""What a build shows while it runs: how far each language is, what passes so far, and how long it will take.

On a terminal one live display, never larger than the screen; elsewhere a plain line now and then, or JSON
lines. All of it goes to stderr and is counted from what tasks report; the shares of rows that pass are read
from the files just made, which may take at most `BUDGET` of the time.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from types import TracebackType

import polars as pl
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.status import Status
from rich.table import Table
from rich.text import Text

from mldata.amounts import duration
from mldata.cli import messages
from mldata.errors import SetError
from mldata.measured import holds, is_lacking, length_deviation
from mldata.pipeline import ROUND, Plan, in_rounds
from mldata.recipe import Rule
from mldata.tasks import Job, Task

LINE_EVERY = 15.0
"""Seconds between progress lines where there is no terminal, at first; after ten minutes a fortieth of the
time so far, and `LINE_AT_LEAST_EVERY` in the end."""
LINE_AT_LEAST_EVERY = 300.0
FRAMES = 2
"""Pictures a second of the live display."""
BUDGET = 0.01
"""Share of the time that may go into reading what passes so far; chunks beyond it are left out."""
WAIT = 1.0
"""Seconds after which something that shows no progress says what it is at."""
AROUND = 6
"""Lines of a screen that aren't languages: heading, the two above, the two below, and the cursor's."""


@dataclass
class Stage:
    """Files of one language in one stage."""

    done: int = 0
    total: int = 0
    new: int = 0
    """Made by this build."""
    seconds: float = 0.0
    """That workers took for the new ones."""
    last: float = 0.0
    """When the last was done."""


class Tally:
    """How far a build is. Counts files of work: a chunk in a language in a stage."""

    def __init__(self, plan: Plan, workers: int, rules: Sequence[Rule]) -> None:
        self.plan, self.workers = plan, workers
        self.started = time.monotonic()
        self.stages: dict[str, dict[str, Stage]] = {}
        """Language -> stage -> how far it is."""
        chunks = len(plan.index.chunks)
        for tag in (plan.anchor, *plan.targets):
            names = ("measure_source",) if tag == plan.anchor else ("translate", "measure")
            self.stages[tag] = {name: Stage(chunks, chunks) for name in names}
        self._waiting: OrderedDict[Task, None] = OrderedDict()  # a dict forgets its first slowly
        self.at_work: list[str] = []
        """Languages that workers have tasks of now: these are handed out in order."""
        self._expect(plan.missing)
        for task in plan.missing:
            self._stage(task).done -= 1
        self.passing = Passing(plan.job, rules)
        self.rows_a_file = plan.index.concepts / max(1, chunks)
        self.tried_again: dict[str, int] = {}
        """Language -> rows that other engines try again."""

    def _stage(self, task: Task) -> Stage:
        return self.stages[task.language][task.stage]

    @property
    def all_stages(self) -> list[Stage]:
        """Of all languages."""
        return [stage for of in self.stages.values() for stage in of.values()]

    def _expect(self, tasks: Sequence[Task]) -> None:
        stages = in_rounds(tasks, self.plan.job.sampled, ROUND * self.workers)
        self._waiting.update((task, None) for stage in stages for task in stage)
        self._look_who_works()

    def _look_who_works(self) -> None:
        self.at_work = list(dict.fromkeys(task.language for task in islice(self._waiting, self.workers)))

    def more(self, tasks: Sequence[Task]) -> None:
        """Add tasks that nobody could know of before: rows that are tried again."""
        self._expect(tasks)
        for task in tasks:
            self._stage(task).total += 1
            if task.stage == "translate":
                rows = len(task.tried) or round(self.rows_a_file)
                self.tried_again[task.language] = self.tried_again.get(task.language, 0) + rows

    def done(self, task: Task, seconds: float) -> None:
        """Count a task that was done."""
        stage = self._stage(task)
        stage.last = time.monotonic()
        stage.done, stage.new, stage.seconds = stage.done + 1, stage.new + 1, stage.seconds + seconds
        self._waiting.pop(task, None)
        self._look_who_works()
        if task.stage == "measure":
            self.passing.look(task, self.elapsed)

    @property
    def elapsed(self) -> float:
        """Seconds since the build began to work."""
        return time.monotonic() - self.started

    @property
    def files(self) -> tuple[int, int]:
        """Files of work that are there, and all."""
        return sum(s.done for s in self.all_stages), sum(s.total for s in self.all_stages)

    def rate(self) -> float:
        """Rows a second that went through a stage, over all workers."""
        return sum(s.new for s in self.all_stages) * self.rows_a_file / max(self.elapsed, 1e-9)

    def rate_of(self, tag: str) -> float | None:
        """Rows a second of the stage that a language is in, or was in last, while workers are at it: rounds
        leave a language for the others, and come back."""
        done = [stage for stage in self.stages[tag].values() if stage.new]
        if not done:
            return None
        stage = max(done, key=lambda s: s.last)
        return stage.new * self.rows_a_file * min(self.workers, stage.new) / max(stage.seconds, 1e-9)

    def left(self) -> float | None:
        """Seconds until all that is known of is done; None before the first is.

        A file costs what the others of its language and stage cost so far, else those of its stage, else all.
        """
        seconds: defaultdict[str, float] = defaultdict(float)
        files: defaultdict[str, int] = defaultdict(int)
        for of in self.stages.values():
            for name, stage in of.items():
                for key in (name, "all"):
                    seconds[key] += stage.seconds
                    files[key] += stage.new
        if not files["all"]:
            return None
        left = 0.0
        for of in self.stages.values():
            for name, stage in of.items():
                key = name if files[name] else "all"
                one = stage.seconds / stage.new if stage.new else seconds[key] / files[key]
                left += (stage.total - stage.done) * one
        return left / max(1, min(self.workers, len(self._waiting)))


class Passing:
    """The share of rows for which all rules hold, in the chunks measured so far that were looked at.

    Before calibration, of the first attempts, and each chunk's lengths against the chunk's own median: an
    estimate of what the summary will say.
    """

    def __init__(self, job: Job, rules: Sequence[Rule]) -> None:
        self._job, self._rules = job, tuple(rules)
        self._spent = 0.0
        self._rows: dict[str, tuple[int, int]] = {}

    def share(self, tag: str) -> float | None:
        """Of a language; None while nothing of it was measured."""
        passed, rows = self._rows.get(tag, (0, 0))
        return passed / rows if rows else None

    def look(self, task: Task, elapsed: float) -> None:
        """Read what a task measured, unless that took too much time lately."""
        if task.attempt or self._spent > BUDGET * elapsed:
            return
        started = time.perf_counter()
        with contextlib.suppress(
            SetError, OSError, pl.exceptions.PolarsError
        ):  # `select` says what is damaged
            passed, rows = self._rows.get(task.language, (0, 0))
            new = self._holds(task)
            self._rows[task.language] = passed + int(new.sum()), rows + len(new)
        self._spent += time.perf_counter() - started

    def _holds(self, task: Task) -> pl.Series:
        file = pl.scan_ipc(self._job.path(task), glob=False)
        wanted = {rule.column for rule in self._rules} | {"length_ratio", "issues"}
        there = [name for name in file.collect_schema().names() if name in wanted]
        frame = file.select(there).collect()
        frame = frame.filter(~is_lacking(frame)) if "issues" in there else frame
        median = frame["length_ratio"].median()
        frame = frame.with_columns(length_deviation(median if isinstance(median, float) else None))
        return frame.select(passing=holds(self._rules, task.language)).to_series()


class Progress:
    """A context that shows how far a build is: on a terminal live, elsewhere now and then, or as JSON."""

    def __init__(self, plan: Plan, workers: int, rules: Sequence[Rule]) -> None:
        self.tally = Tally(plan, workers, rules)
        self._console = messages.on_stderr()
        self._said = time.monotonic()
        live = messages.for_people() and sys.stderr.isatty() and self._console.is_interactive
        spinner = Spinner("dots")
        self._live = (
            Live(
                get_renderable=lambda: picture(self.tally, self._console, spinner),
                console=self._console,
                refresh_per_second=FRAMES,
                transient=True,
                redirect_stdout=False,
            )
            if live and plan.missing
            else None
        )

    def __enter__(self) -> Progress:
        if self._live:
            self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def more(self, tasks: Sequence[Task]) -> None:
        """Tasks that are added: rows that are tried again."""
        before = dict(self.tally.tried_again)
        self.tally.more(tasks)
        new = {tag: n - before.get(tag, 0) for tag, n in self.tally.tried_again.items()}
        new = {tag: rows for tag, rows in new.items() if rows}
        if not new:
            return
        messages.event("retry", rows=new, tasks=len(tasks))
        if messages.for_people() and not self._live:
            said = f"{sum(new.values())} rows that broke a rule are tried again: {' '.join(new)}"
            print(said, file=sys.stderr, flush=True)

    def done(self, task: Task, seconds: float) -> None:
        """Count a task that was done."""
        self.tally.done(task, seconds)
        pause = min(max(LINE_EVERY, self.tally.elapsed / 40), LINE_AT_LEAST_EVERY)
        if self._live or messages.quiet() or time.monotonic() - self._said < pause:
            return
        self._said = time.monotonic()
        if messages.as_json():
            messages.event("progress", **_fields(self.tally))
        else:
            print(line(self.tally), file=sys.stderr, flush=True)


def _fields(tally: Tally) -> dict[str, object]:
    done, total = tally.files
    left = tally.left()
    languages: dict[str, dict[str, float | int | None]] = {}
    for tag, stages in tally.stages.items():
        share = tally.passing.share(tag)
        languages[tag] = {"passing": None if share is None else round(share, 4)}
        for name, stage in stages.items():
            languages[tag] |= {f"{name}_done": stage.done, f"{name}_total": stage.total}
    return {
        "done": done,
        "total": total,
        "rows_per_second": round(tally.rate(), 1),
        "seconds": round(tally.elapsed, 1),
        "seconds_left": None if left is None else round(left),
        "languages": languages,
    }


def line(tally: Tally, most: int = 6) -> str:
    """How far a build is, in one plain line; of the languages at work at most so many are named."""
    done, total = tally.files
    parts = [f"{done} of {total} files", f"{tally.rate():.1f} rows/s"]
    if (left := tally.left()) is not None:
        parts.append(f"about {duration(left)} left")
    names = tally.at_work
    if names:
        parts.append(f"at work: {' '.join(names[:most])}{' …' if len(names) > most else ''}")
    shares = [(tag, share) for tag in names if (share := tally.passing.share(tag)) is not None]
    if shares:
        parts.append("passing: " + " ".join(f"{tag} {share:.0%}" for tag, share in shares[:most]))
    return " · ".join(parts)


def picture(tally: Tally, console: Console, spinner: Spinner) -> RenderableType:
    """One frame of the live display, for a console of any size; `spinner` turns while nothing else moves."""
    width, height = console.size
    tags = list(tally.stages)
    shown = _shown(tally, tags, max(1, height - AROUND))
    bar = max(6, min(24, (width - 46) // 2))
    rows = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    rows.add_column("", no_wrap=True, min_width=8)
    for name in ("translated", "measured"):
        rows.add_column(Text(name), no_wrap=True)
        rows.add_column("", justify="right", no_wrap=True, min_width=5)
    rows.add_column("rows/s", justify="right", no_wrap=True, min_width=6)
    rows.add_column("passing", justify="right", no_wrap=True)
    at_work = set(tally.at_work)
    for tag in shown:
        rows.add_row(*_row(tally, tag, tag in at_work, bar))
    hidden = [tag for tag in tags if tag not in shown]
    parts: list[RenderableType] = [rows]
    if hidden:
        whole = sum(_whole(tally, tag) for tag in hidden)
        parts.append(Text(f"and {whole} languages done, {len(hidden) - whole} not yet", style="dim"))
    parts.append(Padding(_overall(tally, width, spinner), (1, 0, 0, 0)))
    return Group(*parts)


def _shown(tally: Tally, tags: Sequence[str], most: int) -> list[str]:
    """The languages for which there is room, in order: those at work, begun, waiting, and done."""
    if len(tags) <= most:
        return list(tags)
    at_work = tally.at_work

    def urgency(tag: str) -> int:
        if tag in at_work:
            return 0
        if _whole(tally, tag):
            return 3
        return 1 if any(stage.new for stage in tally.stages[tag].values()) else 2

    chosen = set(sorted(tags, key=urgency)[: most - 1])
    return [tag for tag in tags if tag in chosen]


def _whole(tally: Tally, tag: str) -> bool:
    return all(stage.done >= stage.total for stage in tally.stages[tag].values())


def _row(tally: Tally, tag: str, at_work: bool, bar: int) -> list[RenderableType]:
    cells: list[RenderableType] = [Text(tag, style="bold" if at_work else "")]
    for name in ("translate", "measure"):
        stage = tally.stages[tag].get(name, tally.stages[tag].get(f"{name}_source"))
        if stage is None:
            cells += [Text("source", style="dim"), ""]
            continue
        cells.append(_bar(stage.done, max(1, stage.total), bar))
        share = stage.done / stage.total if stage.total else 1.0
        cells.append(Text(f"{int(share * 100)} %", style="" if share else "dim"))
    rate, passing = tally.rate_of(tag), tally.passing.share(tag)
    cells.append("" if rate is None else f"{rate:.0f}" if rate >= 10 else f"{rate:.1f}")
    cells.append("" if passing is None else Text(f"{passing:.0%}".replace("%", " %"), style=_colour(passing)))
    return cells


def _bar(done: int, total: int, width: int) -> ProgressBar:
    return ProgressBar(total=total, completed=done, width=width, complete_style="cyan")


def _colour(share: float) -> str:
    return "green" if share >= 0.8 else "yellow" if share >= 0.5 else "red"


def _overall(tally: Tally, width: int, spinner: Spinner) -> RenderableType:
    """The whole build in one line. Choosing rows, at its end, has no tasks to count."""
    done, total = tally.files
    said = f"{done} of {total} files · {tally.rate():.0f} rows/s · {duration(tally.elapsed)}"
    if done >= total:
        said = f"{total} files · choosing thresholds and rows · {duration(tally.elapsed)}"
    elif (left := tally.left()) is not None:
        said += f" · about {duration(left)} left"
    if tally.tried_again:
        said += f" · {sum(tally.tried_again.values())} rows tried again"
    row = Table.grid(padding=(0, 1, 0, 0))
    cells: list[RenderableType] = [spinner]
    bar = min(32, width - len(said) - 6)
    if bar >= 8 and done < total:
        cells.append(_bar(done, total, bar))
    row.add_row(*cells, Text(said, overflow="ellipsis", no_wrap=True))
    return row


@contextlib.contextmanager
def waiting(text: str) -> Iterator[None]:
    """Say on a terminal what is at work, if that takes longer than `WAIT`; nothing elsewhere."""
    console = messages.on_stderr()
    if not (messages.for_people() and sys.stderr.isatty() and console.is_interactive):
        yield
        return
    status = Status(text, console=console, spinner="dots")
    timer = threading.Timer(WAIT, status.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        status.stop()
