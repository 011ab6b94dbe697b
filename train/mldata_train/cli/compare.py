"""`mldata-train compare`: ways to compose batches, on one budget of tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from mldata_train.cli.options import Config, Data, Model, Settings, Template, quiet, tags


def compare(
    data: Data,
    model: Model,
    arms: Annotated[
        str,
        typer.Option(
            "--arms",
            metavar="NAMES",
            help="Of aligned, shuffled, monolingual, anchor-only, no-anchor, consistency, gap, anchor=TAG; "
            "the first is set against the others.",
        ),
    ] = "aligned,shuffled,anchor-only",
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Runs of each arm.")] = 3,
    method: Annotated[Literal["dpo", "orpo"], typer.Option("--method", help="The loss.")] = "dpo",
    unseen: Annotated[
        str, typer.Option("--unseen", metavar="TAGS", help="Languages to evaluate and not to train on.")
    ] = "",
    tokens: Annotated[
        int | None,
        typer.Option("--tokens", min=1, help="Budget of each run; default: the aligned arm's epochs."),
    ] = None,
    concepts: Annotated[
        int | None, typer.Option("--concepts", min=1, help="Held-out concepts to evaluate, at most.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Default: runs/<set>-compare-<method>.")
    ] = None,
    config: Config = None,
    settings: Settings = [],  # noqa: B006
    lora: Annotated[bool, typer.Option("--lora", help="Train adapters instead of all weights.")] = False,
    group_size: Annotated[
        int | None,
        typer.Option("--group-size", min=2, help="Languages of a concept in a step, at most."),
    ] = None,
    chat_template: Template = None,
    keep_models: Annotated[bool, typer.Option("--keep-models", help="Keep every run's weights.")] = False,
) -> None:
    """Train the same model with each composition of batches, and print accuracy, gap and consistency.

    Every arm sees the same number of tokens, from several seeds; what was trained and scored is kept, so the
    same command goes on where it stopped. Figures are means over seeds, their intervals from a bootstrap over
    concepts and seeds. Writes comparison.json, comparison.md and comparison.svg.

    [bold]Example[/bold]

      mldata-train compare --data sets/prefs --model ./model --arms aligned,shuffled,anchor-only --seeds 3
    """
    quiet()
    from rich.console import Console

    from mldata_train.batches import Batching
    from mldata_train.compare import caption, markdown, plot, tables
    from mldata_train.compare import compare as run_arms
    from mldata_train.figures import write_text
    from mldata_train.scores import resolve
    from mldata_train.training import Run, read_settings

    chosen = read_settings(config, settings)
    run = Run(
        method=method,
        data=data,
        model=resolve(model).model,
        out=out or Path("runs") / f"{Path(data).name}-compare-{method}",
        batching=Batching(group_size=group_size),
        settings=chosen["training"],
        lora=chosen["lora"] if lora or chosen["lora"] else None,
        chat_template=chat_template,
        tokens=tokens,
    )
    try:
        found = run_arms(
            run,
            arms=tags(arms),
            seeds=seeds,
            unseen=tags(unseen),
            concepts=concepts,
            keep_models=keep_models,
            said=lambda line: typer.echo(line, err=True),
        )
    except KeyboardInterrupt:
        typer.echo("mldata-train: interrupted: run the same command to go on", err=True)
        raise typer.Exit(130) from None
    text = markdown(found)
    for name, content in (("comparison.json", found.model_dump_json(indent=2)), ("comparison.md", text)):
        write_text(run.out / name, content)
    plot(found, run.out / "comparison.svg")
    console = Console(highlight=False)
    for table in tables(found):
        console.print(table)
    console.print(caption(found), soft_wrap=False)
    typer.echo("  ".join(str(run.out / f"comparison.{kind}") for kind in ("json", "md", "svg")))
