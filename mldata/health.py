"""Health: opens every engine of a recipe and asks it something whose answer is known."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mldata.encode import open_encoder
from mldata.identify import open_identifier
from mldata.languages import language
from mldata.pipeline import installed
from mldata.recipe import Recipe, load_recipe
from mldata.text import Segment
from mldata.translate.routes import follow

SENTENCE = "The house is red and the garden is green."
FREE_BYTES = 2 << 30


@dataclass(frozen=True)
class Check:
    """One finding."""

    what: str
    ok: bool
    finding: str


def examine(pipeline: str) -> list[Check]:
    """All checks, none of which raises."""
    recipe = load_recipe(pipeline)
    return [_python(), *_translators(recipe), *_identifiers(recipe), _encoder(recipe), _disk()]


def _python() -> Check:
    return Check("Python", sys.version_info >= (3, 11), f"{sys.version.split()[0]}, {os.cpu_count()} CPUs")


def _disk() -> Check:
    free = shutil.disk_usage(".").free
    return Check("disk", free > FREE_BYTES, f"{free / 1e9:.1f} GB free here")


def _translators(recipe: Recipe) -> Iterator[Check]:
    engines = installed(recipe)
    for name, remedy in engines.absent.items():
        yield Check(name, ok=False, finding=remedy)
    for target in recipe.targets:
        routes = engines.routes(recipe.anchor, target)
        if routes is None:
            yield Check(f"{recipe.anchor} → {target}", ok=False, finding="no route: see `mldata languages`")
            continue

        def answer(routes: tuple = routes) -> str:  # type: ignore[type-arg]
            there = follow(routes[0], engines.translators, [Segment(SENTENCE)])
            back = follow(routes[1], engines.translators, [there[0].segment])
            return f"{there[0].segment.text}  |  {back[0].segment.text}"

        yield _try(f"{routes[0]}, {routes[1]}", answer)
        for translator in engines.translators.values():
            translator.close()


def _identifiers(recipe: Recipe) -> Iterator[Check]:
    anchor = language(recipe.anchor)
    for name in recipe.identifiers:

        def label(name: str = name) -> str:
            return open_identifier(name, recipe.engines).identify([SENTENCE], anchor)[0].label

        yield _try(name, label)


def _encoder(recipe: Recipe) -> Check:
    def cosine() -> str:
        encoder = open_encoder(recipe.encoder, recipe.engines)
        vectors = encoder.encode([SENTENCE, "The house is red, the garden green."])
        return f"cosine of a paraphrase {float(vectors[0] @ vectors[1]):.2f}"

    return _try(recipe.encoder, cosine)


def _try(what: str, ask: Callable[[], str]) -> Check:
    try:
        found = ask()
    except Exception as error:  # an engine's edge: whatever it raises is what the user wants to see
        return Check(what, ok=False, finding=str(error) or type(error).__name__)
    return Check(what, ok=bool(found.strip(" |")), finding=found or "no answer")
