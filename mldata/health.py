"""Health: opens every engine of a recipe and asks it something whose answer is known."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from mldata.encode import open_encoder
from mldata.errors import EngineError
from mldata.identify import open_identifier
from mldata.languages import language
from mldata.pipeline import installed
from mldata.quality import open_quality
from mldata.recipe import Recipe, load_recipe
from mldata.settings import ChatSettings
from mldata.text import Segment
from mldata.translate import Translator
from mldata.translate.routes import Route, follow

SENTENCE = "The house is red and the garden is green."
FREE_BYTES = 2 << 30


@dataclass(frozen=True)
class Check:
    """One finding."""

    what: str
    ok: bool
    finding: str


def examine(pipeline: str) -> list[Check]:
    """All checks, none of which raises but for a recipe that can't be read."""
    recipe = _asked_once(load_recipe(pipeline))
    return [
        _python(),
        *_translators(recipe),
        *_identifiers(recipe),
        _encoder(recipe),
        *_quality(recipe),
        _disk(),
    ]


def _python() -> Check:
    return Check("Python", sys.version_info >= (3, 11), f"{sys.version.split()[0]}, {os.cpu_count()} CPUs")


def _disk() -> Check:
    free = shutil.disk_usage(".").free
    return Check("disk", free > FREE_BYTES, f"{free / 1e9:.1f} GB free here")


def _asked_once(recipe: Recipe) -> Recipe:
    """The recipe, with chat servers that aren't asked again for minutes where they don't answer."""
    engines = {
        name: said.model_copy(update={"run": said.run.model_copy(update={"retries": 0})})
        if isinstance(said, ChatSettings)
        else said
        for name, said in recipe.engines.items()
    }
    return recipe.model_copy(update={"engines": engines})


def _translators(recipe: Recipe) -> Iterator[Check]:
    """Every direction once; those of engines that failed as a whole are told of together."""
    engines = installed(recipe)
    for name, remedy in engines.absent.items():
        yield Check(name, ok=False, finding=remedy)
    ways = {target: engines.routes(recipe.anchor, target) for target in recipe.targets}
    down: set[str] = set()
    left_out = []
    for target, routes in ways.items():
        if routes is None:
            continue
        names = {hop.translator for route in routes for hop in route.hops}
        if names & down:
            left_out.append(target)
            continue

        def answer(routes: tuple[Route, Route] = routes, names: set[str] = names) -> str:
            try:
                there, back = _there_and_back(routes, engines.translators)
            except EngineError:
                down.update(names)
                raise
            return f"{there}  |  {back}"

        yield _try(f"{routes[0]}, {routes[1]}", answer)
    for translator in engines.translators.values():
        translator.close()
    lacking = [target for target, routes in ways.items() if routes is None]
    without = f" without {' '.join(engines.absent)}" if engines.absent else ": see `mldata languages`"
    for targets, finding in (
        (lacking, f"no route{without}"),
        (left_out, f"not asked, after what failed above: {' '.join(sorted(down))}"),
    ):
        if targets:
            yield Check(f"{recipe.anchor} → {' '.join(targets)}", ok=False, finding=finding)


def _there_and_back(routes: tuple[Route, Route], translators: Mapping[str, Translator]) -> tuple[str, str]:
    """What becomes of SENTENCE, or what the problem is."""
    there = follow(routes[0], translators, [Segment(SENTENCE)])[0]
    back = follow(routes[1], translators, [there.segment])[0]
    return there.segment.text or there.problem, back.segment.text or back.problem


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


def _quality(recipe: Recipe) -> Iterator[Check]:
    if (name := recipe.quality) is None:
        return

    def estimate() -> str:
        estimates = open_quality(name, recipe.engines).estimate([(SENTENCE, SENTENCE)])
        return f"quality of a copy {float(estimates[0]):.2f}"

    yield _try(name, estimate)


def _try(what: str, ask: Callable[[], str]) -> Check:
    try:
        found = ask()
    except Exception as error:  # an engine's edge: whatever it raises is what the user wants to see
        return Check(what, ok=False, finding=str(error) or type(error).__name__)
    return Check(what, ok=bool(found.strip(" |")), finding=found or "no answer")
