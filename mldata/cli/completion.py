"""What the shell offers for values: pipelines, languages, rules, sets. Answers in a fifth of a second.

Reads files and imports nothing heavy; what can't be read is not offered, and never an error at the prompt.
Where nothing is offered, shells offer files.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import typer

from mldata.resources import resource

LISTED_SETS = ("*/manifest.json", "sets/*/manifest.json")


def pipelines(incomplete: str) -> list[str]:
    """Recipes shipped with mldata."""
    names = sorted(path.stem for path in resource("pipelines").glob("*.toml"))
    return [name for name in names if name.startswith(incomplete)]


def targets(ctx: typer.Context, incomplete: str) -> list[str]:
    """Languages of the set or of the pipeline, after a comma one more; or "all"."""
    of_set = _manifest(ctx).get("targets")
    known = of_set or _recipe(ctx).get("targets", [])
    return ["all"] * ("all".startswith(incomplete) and bool(incomplete)) + _listed(known, incomplete)


def anchors(ctx: typer.Context, incomplete: str) -> list[str]:
    """One language."""
    recipe = _recipe(ctx)
    known = [recipe.get("anchor", "en"), *recipe.get("targets", [])]
    return [tag for tag in known if tag.startswith(incomplete)]


def rules(ctx: typer.Context, incomplete: str) -> list[str]:
    """Rules of the set or of the pipeline as --rule takes them; to bash a bare ">" means a file."""
    found = _manifest(ctx).get("rules") or _recipe(ctx).get("rules", [])
    texts = [str(rule["when"]).replace(" ", "") for rule in found]
    offered = [text for text in texts if text.startswith(incomplete)]
    return [re.sub("[<>]", r"\\\g<0>", text) for text in offered] if _unquoted_in_bash() else offered


def _unquoted_in_bash() -> bool:
    words = os.environ.get("COMP_WORDS", "").split("\n")
    place = int(os.environ.get("COMP_CWORD", "0"))
    word = words[place] if place < len(words) else ""
    return os.environ.get("_MLDATA_COMPLETE") == "complete_bash" and not word.startswith(("'", '"'))


def sets(incomplete: str) -> list[str]:
    """Sets below here, or below what was typed."""
    found: list[Path] = []
    for pattern in (*LISTED_SETS, f"{incomplete}*/manifest.json", f"{incomplete}*/*/manifest.json"):
        try:
            found += [path.parent for path in Path().glob(pattern)]
        except (NotImplementedError, ValueError, OSError):  # an absolute path
            continue
    names = sorted({path.as_posix() for path in found})
    return [name for name in names if name.startswith(incomplete)]


def sources(incomplete: str) -> list[str]:
    """The bundled sample, once its name was begun; else files."""
    return ["en_prefs"] if incomplete and "en_prefs".startswith(incomplete) else []


def _listed(known: Iterable[str], incomplete: str) -> list[str]:
    before, comma, last = incomplete.rpartition(",")
    named = set(before.split(","))
    return [f"{before}{comma}{tag}" for tag in known if tag.startswith(last) and tag not in named]


def _manifest(ctx: typer.Context) -> dict[str, Any]:
    """Of the set on the command line, found among its words: while an option lacks its value, arguments
    aren't parsed."""
    words = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")
    for word in (ctx.params.get("path"), *words.split()):
        try:
            if word and (file := Path(word) / "manifest.json").is_file():
                return dict(json.loads(file.read_text("utf-8")))
        except (OSError, ValueError):
            continue
    return {}


def _recipe(ctx: typer.Context) -> dict[str, Any]:
    name = ctx.params.get("pipeline") or "embedded"
    path = Path(name) if str(name).endswith(".toml") else resource("pipelines") / f"{name}.toml"
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
