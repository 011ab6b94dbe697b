"""`mldata-train evaluate`: accuracy by language, the gap to the anchor, consistency."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mldata_train.cli.options import Data, Model, Template, quiet, tags

if TYPE_CHECKING:
    from mldata_train.sets import PreferenceSet


def evaluate(
    data: Data,
    model: Model,
    reference: Annotated[
        str | None,
        typer.Option("--reference", help="The model it was trained from; a run knows its own."),
    ] = None,
    split: Annotated[Literal["test", "train"], typer.Option("--split", help="Which rows.")] = "test",
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where files go; default: to the run."),
    ] = None,
    anchor: Annotated[
        str | None, typer.Option("--anchor", metavar="TAG", help="Another language as anchor than the set's.")
    ] = None,
    unseen: Annotated[
        str,
        typer.Option("--unseen", metavar="TAGS", help="Languages not trained on; a run knows its own."),
    ] = "",
    concepts: Annotated[
        int | None, typer.Option("--concepts", min=1, help="At most so many, spread over the split.")
    ] = None,
    max_length: Annotated[
        int, typer.Option("--max-length", min=2, help="Tokens of prompt and answer.")
    ] = 1024,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Pairs at once.")] = 16,
    tasks: Annotated[
        str,
        typer.Option("--tasks", metavar="NAMES", help="mmmlu, mgsm, lambada, pawsx, xcopa, or a JSONL."),
    ] = "",
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Questions a task, at most.")] = None,
    chat_template: Template = None,
) -> None:
    """Measure preference accuracy by language, its gap to the anchor, and consistency across languages.

    With a reference (a run has one) the figures before training stand beside those after. Writes
    evaluation.json (by length-normalised log-probability, which ranks as ORPO's odds do),
    evaluation-reward.json (by DPO's implicit reward), evaluation-before.json and evaluation.svg. --tasks runs
    public benchmarks through lm-eval instead, or a JSONL of your own: language, question, choices, answer.

    [bold]Examples[/bold]

      mldata-train evaluate --data sets/en_prefs --model runs/en_prefs-dpo

      mldata-train evaluate --data sets/en_prefs --model ./model --reference ./base --out figures

      mldata-train evaluate --data sets/en_prefs --model runs/en_prefs-dpo --tasks xcopa,questions.jsonl
    """
    quiet()
    from mldata_train.scores import resolve
    from mldata_train.sets import open_preferences

    named = resolve(model)
    place = out or (Path(model) if named.model != model else None)
    opened = open_preferences(data)
    if tasks:
        _benchmarks(
            named.model, tags(tasks), anchor or opened.anchor, limit, place, chat_template, batch_size
        )
        return
    _preferences(
        opened,
        named.model,
        reference or named.reference,
        split=split,
        place=place,
        anchor=anchor or opened.anchor,
        unseen=tags(unseen) or named.without,
        concepts=concepts,
        max_length=max_length,
        batch_size=batch_size,
        chat_template=chat_template,
    )


def _preferences(
    opened: PreferenceSet,
    model: str,
    reference: str | None,
    *,
    split: Literal["test", "train"],
    place: Path | None,
    anchor: str,
    unseen: tuple[str, ...],
    concepts: int | None,
    max_length: int,
    batch_size: int,
    chat_template: Path | None,
) -> None:
    """Print the figures of `model`, beside those of `reference`, and write both to `place`."""
    from rich.console import Console

    from mldata_train.evaluate import KEYS, difference
    from mldata_train.evaluate import evaluate as evaluate_frame
    from mldata_train.figures import FILE, write_evaluation
    from mldata_train.report import plot, table
    from mldata_train.scores import scores

    opened.check_languages([anchor, *unseen])
    found = scores(
        opened,
        model,
        split=split,
        reference=reference,
        concepts=concepts,
        chat_template=chat_template,
        max_length=max_length,
        batch_size=batch_size,
    )
    there = set(found["language"])
    unseen = tuple(tag for tag in unseen if tag in there)
    figures = functools.partial(
        evaluate_frame, data=opened.name, digest=opened.digest, split=split, anchor=anchor, unseen=unseen
    )
    after = figures(found, model=model, reference=reference, score="mean")
    written = {FILE: after}
    before = change = None
    if reference is not None:
        tokens = ("chosen_tokens", "rejected_tokens")
        base = found.select(*KEYS, *tokens, chosen="ref_chosen", rejected="ref_rejected")
        before = figures(base, model=reference, score="mean")
        change = difference(base, found, anchor=anchor, score="mean", unseen=unseen)
        reward = figures(found, model=model, reference=reference, score="reward")
        written |= {"evaluation-before.json": before, "evaluation-reward.json": reward}
    console = Console()
    console.print(table(before, after, change))
    if reference is not None:
        console.print(
            f"by DPO's implicit reward: {anchor} {reward.anchor_accuracy.value:.1f} %"
            + (f", the others {reward.others.accuracy.value:.1f} %" if reward.others else ""),
            highlight=False,
        )
    if place is not None:
        for name, evaluation in written.items():
            write_evaluation(evaluation, place / name)
        plot(before, after, place / "evaluation.svg")
        typer.echo(f"{place / FILE}  {place / 'evaluation.svg'}")


def _benchmarks(
    model: str,
    tasks: tuple[str, ...],
    anchor: str,
    limit: int | None,
    place: Path | None,
    chat_template: Path | None,
    batch_size: int,
) -> None:
    """Print the results of lm-eval's tasks, and write them to `place`."""
    from rich.console import Console

    from mldata_train.benchmarks import run_tasks
    from mldata_train.figures import write_text
    from mldata_train.models import load_model, load_tokenizer

    tokenizer = load_tokenizer(model, chat_template=chat_template)
    results = run_tasks(
        load_model(model), tokenizer, tasks, languages=None, anchor=anchor, limit=limit, batch_size=batch_size
    )
    Console().print(results.table())
    if place is not None:
        file = place / "benchmarks.json"
        write_text(file, results.model_dump_json(indent=2))
        typer.echo(str(file))
