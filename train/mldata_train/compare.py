"""Ways to compose batches, on one budget of tokens: the table that the paper prints, with intervals.

Every arm trains the same model on the same set from several seeds, and sees the same number of tokens; arms
differ in what shares a batch, and all of them fill batches at random but for that (no sorting by length).
Each run's scores are kept, so that a comparison that was stopped goes on where it was.

    OUT/<arm>/seed-<n>/run.json  scores.arrow
    OUT/shared.json              what all arms and figures depend on
    OUT/base.arrow  comparison.json  comparison.md  comparison.svg
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict
from rich import box
from rich.markup import escape
from rich.table import Table

from mldata.errors import InputError
from mldata_train.evaluate import difference, evaluate
from mldata_train.figures import Difference, Evaluation, write_text, write_whole
from mldata_train.report import BEFORE, heading, text
from mldata_train.scores import scores
from mldata_train.sets import PreferenceSet, open_preferences
from mldata_train.training import Run, changes, check_settings, make_trainer, train

ARMS: Mapping[str, Callable[[Run], Run]] = {
    "aligned": lambda run: run,
    "shuffled": lambda run: replace(run, batching=replace(run.batching, kind="shuffled")),
    "monolingual": lambda run: replace(run, batching=replace(run.batching, kind="monolingual")),
    "anchor-only": lambda run: replace(run, batching=replace(run.batching, kind="anchor-only")),
    "no-anchor": lambda run: replace(run, batching=replace(run.batching, with_anchor=False)),
    "consistency": lambda run: replace(run, consistency=run.consistency or 1.0),
    "gap": lambda run: replace(run, by_gap=True),
}
"""What each arm changes. `gap` needs batches that not all of a concept's languages fit into. Besides these,
"anchor=TAG" is an arm: aligned batches with another anchor."""


class Comparison(BaseModel):
    """comparison.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    method: str
    tokens: int
    """Of each run, at most; prompts count twice, once with each answer."""
    seeds: tuple[int, ...]
    base: Evaluation
    """The model before training."""
    arms: dict[str, Evaluation]
    """Each over all its seeds."""
    against: dict[str, Difference]
    """The first arm minus each other one."""
    steps: dict[str, int]
    """Optimiser steps of a run."""


def compare(
    run: Run,
    *,
    arms: Sequence[str],
    seeds: int,
    unseen: Sequence[str] = (),
    concepts: int | None = None,
    keep_models: bool = False,
    said: Callable[[str], None] = lambda line: None,
) -> Comparison:
    """Train and evaluate every arm; `run` holds what they share, `run.out` is where all of it goes.

    `unseen` languages are evaluated and not trained on; `concepts` limits how many held-out concepts are
    evaluated. Without `run.tokens` the budget is the aligned arm's epochs. InputError for unknown arms, and
    where `run.out` holds something else.
    """
    change = {arm: _arm(arm) for arm in arms}
    check_settings(run)
    opened = open_preferences(run.data)
    opened.check_languages(unseen)
    shared = replace(
        run,
        without=tuple(unseen),
        batching=replace(run.batching, by_length=False),
        settings={"save_strategy": "no", **run.settings},
    )
    if shared.tokens is None:
        shared = replace(shared, tokens=_budget(shared, opened))
    _claim(run.out, shared.decided_by(opened.digest) | {"concepts": concepts})
    base = _kept(run.out / "base.arrow", partial(_scores, shared, opened, run.model, concepts))
    frames: dict[str, list[pl.DataFrame]] = {}
    steps: dict[str, int] = {}
    for seed in range(seeds):
        for arm in arms:
            place = run.out / arm / f"seed-{seed}"
            one = replace(
                change[arm](shared), out=place, settings={**shared.settings, "seed": seed, "data_seed": seed}
            )
            facts = train(one)
            said(
                f"{arm}, seed {seed}: {facts['steps']} steps, {facts['tokens']} tokens, "
                f"{facts['seconds']:.0f} s, loss {facts['loss']:.4f}"
            )
            score = partial(_scores, shared, opened, str(place / "model"), concepts)
            frames.setdefault(arm, []).append(_kept(place / "scores.arrow", score))
            steps[arm] = facts["steps"]
            if not keep_models:
                shutil.rmtree(place / "model", ignore_errors=True)
    anchor = run.anchor or opened.anchor

    def judged(frame: pl.DataFrame | list[pl.DataFrame], name: str) -> Evaluation:
        return evaluate(
            frame,
            model=name,
            data=run.data,
            digest=opened.digest,
            split="test",
            anchor=anchor,
            score="mean",
            unseen=unseen,
        )

    first = arms[0]
    assert shared.tokens is not None
    return Comparison(
        method=run.method,
        tokens=shared.tokens,
        seeds=tuple(range(seeds)),
        base=judged(base, run.model),
        arms={arm: judged(frames[arm], arm) for arm in arms},
        against={
            arm: difference(frames[arm], frames[first], anchor=anchor, score="mean", unseen=unseen)
            for arm in arms[1:]
        },
        steps=steps,
    )


def _arm(name: str) -> Callable[[Run], Run]:
    if name.startswith("anchor="):
        return lambda run: replace(run, anchor=name.removeprefix("anchor="))
    if name not in ARMS:
        raise InputError(f"--arms {name}: choose among {' '.join(ARMS)} and anchor=TAG")
    return ARMS[name]


def _claim(out: Path, decided: Mapping[str, Any]) -> None:
    """InputError if what is in `out` was computed from something else, and would be taken for this."""
    file = out / "shared.json"
    if file.exists():
        try:
            before = json.loads(file.read_bytes())
        except ValueError:
            raise InputError(f"{file} is damaged: choose another --out") from None
        if changed := changes(before, decided):
            raise InputError(f"{out} holds another comparison (different: {changed}): choose another --out")
    elif out.exists() and any(out.iterdir()):
        raise InputError(f"{out} exists and is no comparison: choose another --out")
    else:
        write_text(file, json.dumps(decided, indent=2))


def _budget(run: Run, opened: PreferenceSet) -> int:
    """Tokens that the aligned arm sees in its epochs."""
    trainer = make_trainer(run, opened, opened.rows("train", without=run.without))
    found: int = trainer.plan.tokens_within(trainer.args.max_steps)
    return found


def _scores(run: Run, opened: PreferenceSet, model: str, concepts: int | None) -> pl.DataFrame:
    return scores(
        opened,
        model,
        split="test",
        concepts=concepts,
        chat_template=run.chat_template,
        max_length=run.settings.get("max_length", 1024),
    )


def _kept(path: Path, make: Callable[[], pl.DataFrame]) -> pl.DataFrame:
    """A frame that was computed already, or is now."""
    if path.exists():
        return pl.read_ipc(path)
    found = make()
    write_whole(path, found.write_ipc)
    return found


def _grids(found: Comparison) -> Iterator[list[list[str]]]:
    """The paper's table, an arm a row and then the first arm against the others; and accuracy by language."""
    columns: dict[str, Evaluation | Difference] = {"before": found.base, **found.arms}
    first = next(iter(found.arms))
    columns |= {f"{first} − {arm}": change for arm, change in found.against.items()}
    anchor, unseen = found.base.anchor, found.base.unseen
    head = [found.method.upper(), anchor, "others", "gap", *(["unseen", "gap of unseen"] if unseen else [])]
    yield [[*head, "consistency"], *([name, *_summary(figures)] for name, figures in columns.items())]
    yield [
        ["accuracy", *columns],
        *(
            [
                heading(one),
                *(text(figures.languages[row].accuracy) for figures in columns.values()),
            ]
            for row, one in enumerate(found.base.languages)
        ),
    ]


def _summary(figures: Evaluation | Difference) -> list[str]:
    groups = [figures.seen or figures.others, *([figures.unseen] if figures.unseen else [])]
    of_groups = [text(value) for group in groups if group for value in (group.accuracy, group.gap)]
    return [text(figures.anchor_accuracy), *of_groups, text(figures.consistency)]


def caption(found: Comparison) -> str:
    """What the tables are of."""
    steps = ", ".join(f"{arm} {number}" for arm, number in found.steps.items())
    return (
        f"Per cent of right preferences, gaps in points below {found.base.anchor}; means over "
        f"{len(found.seeds)} seeds of {found.tokens} tokens each (steps: {steps}); "
        f"{found.base.concepts} held-out concepts, {found.base.rows} rows; in brackets 95 % intervals over "
        "concepts and seeds."
    )


def markdown(found: Comparison) -> str:
    """Both tables as Markdown."""
    tables = [
        "".join(f"| {' | '.join(cells)} |\n" for cells in [head, [":--", *["--:"] * (len(head) - 1)], *rows])
        for head, *rows in _grids(found)
    ]
    return "\n".join([*tables, caption(found) + "\n"])


def tables(found: Comparison) -> Iterator[Table]:
    """Both tables for the terminal, intervals below their figures."""
    for head, *rows in _grids(found):
        shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for number, name in enumerate(head):
            shown.add_column(escape(name), justify="right" if number else "left")
        for cells in rows:
            shown.add_row(*(escape(cell.replace(" [", "\n[")) for cell in cells))
        yield shown


def plot(found: Comparison, path: Path) -> None:
    """Accuracy of every arm in every language, with intervals; SVG or PNG by the suffix of `path`."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    arms = {"before": found.base, **found.arms}
    languages = found.base.languages
    figure, axes = pyplot.subplots(figsize=(max(6.0, 1.1 * len(languages) + 2), 4), layout="constrained")
    for number, (arm, figures) in enumerate(arms.items()):
        place = [
            column + (number - (len(arms) - 1) / 2) * 0.7 / len(arms) for column in range(len(languages))
        ]
        values = [one.accuracy.value for one in figures.languages]
        low = [one.accuracy.value - one.accuracy.low for one in figures.languages]
        high = [one.accuracy.high - one.accuracy.value for one in figures.languages]
        axes.errorbar(
            place,
            values,
            [low, high],
            fmt="o",
            capsize=2,
            label=arm,
            color=BEFORE if arm == "before" else None,
        )
    names = [f"{one.language}\nunseen" if one.unseen else one.language for one in languages]
    axes.set_xticks(range(len(languages)), names)
    axes.set_ylabel("right preferences, % (95 % interval)")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False, ncols=len(arms), loc="upper center", bbox_to_anchor=(0.5, 1.14))
    write_whole(path, lambda temporary: figure.savefig(temporary, format=path.suffix.removeprefix(".")))
    pyplot.close(figure)
