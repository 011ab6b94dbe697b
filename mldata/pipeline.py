"""Plan and build: what is missing, run it, store it; then select.

A plan names every file the build needs, by what goes into it; what the store lacks is the work. So adding
a language, adding rows and going on after a crash are one operation, and doing it twice does nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from mldata import chunks, evidence
from mldata import text as text_room
from mldata.chunks import SourceIndex, chunk_table, import_source
from mldata.concepts import from_table
from mldata.encode import open_encoder
from mldata.engine import Engine
from mldata.errors import InputError
from mldata.evidence import damage
from mldata.executors import local
from mldata.identify import open_identifier
from mldata.languages import canonical, language
from mldata.recipe import Recipe, fingerprint
from mldata.sources import Source
from mldata.store import Store
from mldata.tasks import FOLDERS, Job, Stage, Task
from mldata.text import split
from mldata.translate import Translator, open_translator
from mldata.translate.routes import Route, find_route

SAMPLED_CONCEPTS = 256
"""Concepts of which wrong items are made: of 256 of a kind, none accepted means under 1.5 % (95 %)."""


@dataclass(frozen=True)
class Plan:
    """What a build will do."""

    recipe: Recipe
    anchor: str
    targets: tuple[str, ...]
    index: SourceIndex
    job: Job
    engines: tuple[Engine, ...]
    """Every engine that has a part in it, each once."""
    missing: tuple[Task, ...]
    """What is not in the store, in the order in which it has to be done."""

    @property
    def total(self) -> int:
        """Files the build needs, there or missing."""
        return len(self.index.chunks) * (2 * len(self.targets) + 1)

    def distinct_segments(self) -> int:
        """Different segments of the source: what one language costs. Reads and splits the whole source."""
        segments: set[int] = set()
        for chunk in self.index.chunks:
            for concept in from_table(chunk_table(Store(self.job.work), self.index.digest, chunk)):
                for _, _, text in concept.texts():
                    segments.update(hash(segment) for segment in split(text, self.anchor).segments)
        return len(segments)


@dataclass(frozen=True)
class Installed:
    """The translators of a recipe that are installed, and what to say of the others."""

    translators: dict[str, Translator]
    absent: dict[str, str]
    """Name -> one sentence with the install command."""

    def routes(self, anchor: str, target: str) -> tuple[Route, Route] | None:
        """The way to `target` and back, or None."""
        there = find_route(self.translators, anchor, target)
        back = find_route(self.translators, target, anchor)
        return (there, back) if there and back else None


def installed(recipe: Recipe) -> Installed:
    """Open the recipe's translators; those that aren't installed are named with the remedy."""
    translators, absent = {}, {}
    for name in recipe.translators:
        try:
            translators[name] = open_translator(name)
        except InputError as error:
            absent[name] = str(error)
    return Installed(translators, absent)


def choose_targets(wanted: str, recipe: Recipe, anchor: str, engines: Installed) -> tuple[str, ...]:
    """The targets that "12", "all" or "es,fr" mean, in the recipe's order.

    InputError, naming what is available, where one can't be translated here and back.
    """
    known = [target for target in recipe.targets if target != anchor]
    available = [target for target in known if engines.routes(anchor, target)]
    if wanted == "all":
        chosen = known if engines.absent else available  # an engine that is missing is named below
    elif wanted.isdecimal():
        chosen = known[: int(wanted)]
        if not 0 < int(wanted) <= len(known):
            raise InputError(
                f"--targets {wanted}: the pipeline {recipe.name} has {len(known)} targets: {' '.join(known)}"
            )
    else:
        asked = [canonical(tag) for tag in wanted.split(",") if tag.strip()]
        chosen = sorted(set(asked), key=lambda t: (known.index(t) if t in known else len(known), t))
    if anchor in chosen:
        raise InputError(f'"{anchor}" is the anchor language; targets must be others')
    lacking = [target for target in chosen if not engines.routes(anchor, target)]
    if lacking or not chosen:
        arrows = ", ".join(f"{anchor}→{target}" for target in lacking) or "any target"
        remedy = " ".join(engines.absent.values()) or "`mldata languages` shows what can be installed"
        raise InputError(
            f"no installed engine translates {arrows} and back. Targets available here: "
            f"{' '.join(available) or 'none'}. {remedy}"
        )
    for target in chosen:
        language(target)  # identifiers must know it too
        _no_fallback(target, recipe, anchor, engines)
    return tuple(chosen)


def _no_fallback(target: str, recipe: Recipe, anchor: str, engines: Installed) -> None:
    """An engine may be absent only if the routes use none that the recipe prefers less."""
    routes = engines.routes(anchor, target)
    assert routes is not None
    used = {recipe.translators.index(hop.translator) for route in routes for hop in route.hops}
    for name, remedy in engines.absent.items():
        if recipe.translators.index(name) < max(used):
            raise InputError(f"the pipeline {recipe.name} prefers {name} for {target}. {remedy}")


def plan(source: Source, recipe: Recipe, *, targets: str, work: Path, anchor: str | None = None) -> Plan:
    """Read the source into the store, choose targets and routes, and list what is missing."""
    anchor = canonical(anchor) if anchor else recipe.anchor
    language(anchor)
    engines = installed(recipe)
    chosen = choose_targets(targets, recipe, anchor, engines)
    routes = {}
    for target in chosen:
        both = engines.routes(anchor, target)
        assert both is not None
        routes[target] = both
    identifiers = [open_identifier(name).engine for name in recipe.identifiers]
    encoder = open_encoder(recipe.encoder).engine
    store = Store(work)
    index = import_source(source, fingerprint([chunks.VERSION, source.digest()]), store)
    digests, used = _digests(anchor, routes, engines.translators, identifiers, encoder)
    job = Job(
        work=work,
        source=index.digest,
        anchor=anchor,
        translators=tuple(engines.translators),
        identifiers=tuple(recipe.identifiers),
        encoder=recipe.encoder,
        routes=routes,
        digests=digests,
        sampled=frozenset(sampled_chunks(index)),
    )
    missing = [
        Task(stage, tag, chunk)
        for stage in FOLDERS
        for tag in ([anchor] if stage == "measure_source" else chosen)
        for chunk in _missing(job, store, stage, tag, index.chunks)
    ]
    return Plan(recipe, anchor, chosen, index, job, (*used, *identifiers, encoder), tuple(missing))


def sampled_chunks(index: SourceIndex) -> tuple[str, ...]:
    """The chunks of which wrong items are made: about 256 concepts' worth, or all of a smaller source.

    Chosen by their names, which are digests of what they hold: a source that grows keeps most of them.
    """
    if not index.chunks:
        return ()
    wanted = math.ceil(SAMPLED_CONCEPTS * len(index.chunks) / max(1, index.concepts))
    chosen = set(sorted(index.chunks)[:wanted])
    return tuple(chunk for chunk in index.chunks if chunk in chosen)


def _missing(job: Job, store: Store, stage: Stage, tag: str, chunks: Sequence[str]) -> list[str]:
    """Chunks whose file isn't there, or, where wrong items belong to it, not theirs."""
    lacking = set(store.missing(FOLDERS[stage], job.digests[stage, tag], tag, chunks))
    if stage == "measure":
        sampled = [chunk for chunk in chunks if chunk in job.sampled]
        lacking |= set(store.missing("damage", job.digests[stage, tag], tag, sampled))
    return [chunk for chunk in chunks if chunk in lacking]


def _digests(
    anchor: str,
    routes: dict[str, tuple[Route, Route]],
    translators: dict[str, Translator],
    identifiers: Sequence[Engine],
    encoder: Engine,
) -> tuple[dict[tuple[Stage, str], str], list[Engine]]:
    """What decides each stage's output in each language, and the translators' engines used."""
    splitting = [text_room.VERSION, version("sentencex"), version("markdown-it-py")]
    measuring = [
        evidence.VERSION,
        damage.VERSION,
        *(version(package) for package in ("sacrebleu", "markdown-it-py", "unicode-rbnf")),
        encoder.digest,
        *(i.digest for i in identifiers),
    ]
    source = fingerprint([splitting, measuring, _labels(anchor)])
    digests: dict[tuple[Stage, str], str] = {("measure_source", anchor): source}
    used: dict[Engine, None] = {}
    for target, both in routes.items():
        hops = [route.engines(translators) for route in both]
        used.update(dict.fromkeys(engine for route in hops for engine in route))
        made = fingerprint(
            [splitting, anchor, [str(r) for r in both], [[e.digest for e in route] for route in hops]]
        )
        digests["translate", target] = made
        digests["measure", target] = fingerprint([made, source, _labels(target)])
    return digests, list(used)


def _labels(tag: str) -> list[list[str]]:
    known = language(tag)
    return [[known.script], sorted(known.fasttext), sorted(known.heliport)]


def run(plan: Plan, *, workers: int, done: Callable[[Task], None] = lambda task: None) -> None:
    """Do what is missing, stage by stage: a stage reads what the one before it wrote."""
    stages = [[task for task in plan.missing if task.stage == stage] for stage in FOLDERS]
    local.run(plan.job, stages, workers, done)
