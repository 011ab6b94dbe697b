"""`mldata rules`: what decides whether a row is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mldata.cli import completion
from mldata.cli.build import Pipeline


def rules(
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="SET",
            help="A set: the thresholds its rows were selected by.",
            autocompletion=completion.sets,
        ),
    ] = None,
    pipeline: Pipeline = "embedded",
) -> None:
    """Print the rules of a pipeline or a set with their thresholds and reasons, and what evidence says.

    A row passes a rule whose evidence is null: there was nothing to measure.

    Examples:

      mldata rules --pipeline embedded

      mldata rules sets/en_prefs

    Exit codes:

      0 done · 2 input or use
      130 interrupted (Ctrl-C), 143 ended by SIGTERM
    """
    from rich.markup import escape

    from mldata.cli.screen import console, table
    from mldata.evidence import columns
    from mldata.evidence.damage import DAMAGES
    from mldata.recipe import load_recipe
    from mldata.screening import when
    from mldata.selection import NOT_KEPT, check_rules
    from mldata.shards import read_manifest

    if path is None:
        recipe = load_recipe(pipeline)
        check_rules(recipe.rules, recipe.anchor_rules)
    else:
        manifest = read_manifest(path)
        recipe = manifest.recipe.model_copy(update={"rules": manifest.rules, "select": manifest.select})
    rows = table("rule", "holds when", "a row that breaks it")
    for rule in recipe.anchor_rules:
        rows.add_row(rule.name, f"source: {rule.when}", escape(rule.because))
    for rule in recipe.rules:
        values = " ".join(f"{tag} {value:g}" for tag, value in rule.per_language.items())
        rows.add_row(rule.name, rule.when + (f"\n({values})" if values else ""), escape(rule.because))
    asked = when(recipe.select)
    for name, meaning in NOT_KEPT.items():
        rows.add_row(name, asked.get(name, f"policy {recipe.select.groups}"), meaning)
    console.print(rows)
    meanings = table("evidence", "over a row's texts", "what it says")
    for column in columns():
        meanings.add_row(column.name, column.aggregate, column.meaning)
    meanings.add_row(
        "length_deviation", "row", "|ln| of length_ratio by the language's median in this source"
    )
    console.print(meanings)
    wrong = table("wrong items", "what is wrong with them: thresholds are calibrated on these")
    for damage in DAMAGES:
        wrong.add_row(damage.name, damage.meaning)
    console.print(wrong)
