"""`mldata-train dpo` and `mldata-train orpo`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mldata.errors import InputError
from mldata_train.batches import Align, Kind
from mldata_train.cli.options import Config, Data, Model, Settings, Template, quiet, tags

if TYPE_CHECKING:
    from mldata_train.training import Run


def _trains(method: Literal["dpo", "orpo"]) -> Callable[..., None]:
    """The command that trains by `method`."""

    def command(
        data: Data,
        model: Model,
        out: Annotated[
            Path | None, typer.Option("--out", metavar="DIR", help="Default: runs/<set>-<method>.")
        ] = None,
        config: Config = None,
        settings: Settings = [],  # noqa: B006
        lora: Annotated[
            bool, typer.Option("--lora", help="Train an adapter instead of all weights.")
        ] = False,
        batching: Annotated[
            Kind,
            typer.Option(
                "--batching", help="aligned, or for comparison: shuffled, monolingual, anchor-only."
            ),
        ] = "aligned",
        align: Annotated[
            Align,
            typer.Option(
                "--align",
                help="Keep a concept on one device, or spread it over the step's devices: device, step.",
            ),
        ] = "device",
        anchor: Annotated[
            str | None,
            typer.Option("--anchor", metavar="TAG", help="Another language as anchor than the set's."),
        ] = None,
        no_anchor: Annotated[bool, typer.Option("--no-anchor", help="Leave the anchor's rows out.")] = False,
        group_size: Annotated[
            int | None,
            typer.Option("--group-size", min=2, help="At most so many languages of a concept in a step."),
        ] = None,
        without: Annotated[
            str, typer.Option("--without", metavar="TAGS", help="Languages not to train on, as es,fr.")
        ] = "",
        consistency: Annotated[
            float,
            typer.Option(
                "--consistency", min=0.0, help="Weight of the term that draws preferences to the anchor's."
            ),
        ] = 0.0,
        sample_by: Annotated[
            Literal["gap"] | None,
            typer.Option("--sample-by", help="Draw languages by their gap to the anchor."),
        ] = None,
        gaps: Annotated[
            Path | None,
            typer.Option(
                "--gaps", metavar="JSON", help="evaluation.json to take gaps from; else they are measured."
            ),
        ] = None,
        tokens: Annotated[
            int | None, typer.Option("--tokens", min=1, help="Train on so many tokens, instead of epochs.")
        ] = None,
        chat_template: Template = None,
        overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace another run in --out.")] = False,
    ) -> None:
        quiet()
        from mldata_train.batches import Batching
        from mldata_train.scores import resolve
        from mldata_train.training import Run, read_settings, train

        if gaps is not None and sample_by is None:
            raise InputError("--gaps says how --sample-by gap draws languages: give both")
        tables = read_settings(config, settings)
        run = Run(
            method=method,
            data=data,
            model=resolve(model).model,
            out=out or Path("runs") / f"{Path(data).name}-{method}",
            batching=Batching(kind=batching, align=align, with_anchor=not no_anchor, group_size=group_size),
            anchor=anchor,
            settings=tables["training"],
            consistency=consistency,
            without=tags(without),
            lora=tables["lora"] if lora or tables["lora"] else None,
            chat_template=chat_template,
            tokens=tokens,
            by_gap=sample_by == "gap",
            gaps=gaps,
        )
        try:
            facts = train(run, overwrite=overwrite, begins=_print_plan)
        except KeyboardInterrupt:
            typer.echo(
                "mldata-train: interrupted; the same command goes on from the last checkpoint", err=True
            )
            raise typer.Exit(130) from None
        _print_result(run.out, facts)

    command.__name__ = method
    command.__doc__ = f"""Train a model with {method.upper()}, each concept's languages in one batch.

    The same command again goes on from the last checkpoint. All fields of TRL's {method.upper()}Config can be
    set with --set or in a file; per_device_train_batch_size counts preference pairs, by default as many as a
    concept has languages.

    [bold]Examples[/bold]

      mldata-train {method} --data sets/en_prefs --model HuggingFaceTB/SmolLM2-135M-Instruct --lora

      mldata-train {method} --data sets/prefs --model ./model --set learning_rate=5e-7

      torchrun --nproc_per_node 8 -m mldata_train {method} --data sets/prefs --model ./model
    """
    return command


dpo, orpo = _trains("dpo"), _trains("orpo")


def _print_plan(run: Run, facts: Mapping[str, Any]) -> None:
    """What is about to be trained."""
    how = "LoRA" if run.lora is not None else "full fine-tuning"
    kind = "whole concepts" if run.batching.kind == "aligned" else f"{run.batching.kind} rows"
    several = f" · {facts['processes']} processes" if facts["processes"] > 1 else ""
    typer.echo(
        f"{run.data} · {facts['rows']} rows in {len(facts['languages'])} languages · {run.method.upper()}, "
        f"{how} of {run.model}{several}\n"
        f"batches of {kind}, at most {facts['batch_rows']} rows a device · {facts['steps_an_epoch']} steps "
        f"and {facts['rows_an_epoch']} rows an epoch · {facts['max_steps']} steps in all"
    )
    left = {
        "concepts whose anchor isn't there": facts["concepts_without_anchor"],
        "rows longer than max_length": facts["rows_too_long"],
        "rows wait for their turn in another epoch": facts["rows_waiting"],
    }
    if said := " · ".join(f"{number} {what}" for what, number in left.items() if number):
        typer.echo(f"left out: {said}")
    if facts["goes_on_from"]:
        typer.echo(f"goes on from {facts['goes_on_from']}")


def _print_result(out: Path, facts: Mapping[str, Any]) -> None:
    """What came of it, on the first process only."""
    if os.environ.get("RANK", "0") != "0":
        return
    minutes, seconds = divmod(round(facts["seconds"]), 60)
    typer.echo(
        f"{out / 'model'} · {facts['steps']} steps, {minutes} min {seconds} s · "
        f"mean loss {facts['loss']:.4f} · padding {facts['padding']:.1%}\n"
        f"next: mldata-train evaluate --data {facts['set']} --model {out}"
    )
