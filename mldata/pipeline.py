"""Plan and build: what is missing, run it, store it; then select.

A plan names every file the build needs, by what goes into it; what the store lacks is the work. So adding
a language, adding rows and going on after a crash are one operation, and doing it twice does nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mldata import chunks, evidence, given
from mldata import text as text_room
from mldata.chunks import SourceIndex, chunk_table, import_source
from mldata.concepts import from_table
from mldata.encode import open_encoder
from mldata.engine import Engine
from mldata.errors import InputError
from mldata.evidence import alignment, damage
from mldata.executors import local
from mldata.identify import check_known, open_identifier
from mldata.languages import canonical, language, written_as
from mldata.licences import allows_commercial
from mldata.quality import open_quality
from mldata.recipe import Licence, Recipe, fingerprint
from mldata.seconds import Clock
from mldata.settings import Allowance, ChatSettings
from mldata.sources import Source
from mldata.sources.aligned import Aligned
from mldata.store import Store, remove_stale
from mldata.tasks import FOLDERS, Job, Retry, Stage, Task
from mldata.text import split
from mldata.translate import Translator, open_translator
from mldata.translate.routes import Network, Route, wants_texts

ROUND = 16
"""Chunks of a round for each worker: at the end of a round's stage workers wait for the last of them, and an
engine with a model for each language loads the next one, which should be little beside 16 tasks of it."""
SAMPLED_CONCEPTS = 256
"""Concepts of which wrong items are made: of 256 of a kind, none accepted means under 1.5 % (95 %)."""


@dataclass(frozen=True)
class SourceSize:
    """How much there is to translate into each language."""

    texts: int
    characters: int
    segments: int
    """Different ones."""


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

    def ways(self, target: str) -> tuple[str, str, str, str, str]:
        """The way there and the way back with their engines, and the engines of further attempts."""
        if target in self.job.given:
            back = self.job.given[target]
            return given.ROUTE, "-", str(back or "-"), back.translators if back else "-", "-"
        there, back = self.job.routes[target]
        again = ", ".join(retry.there.translators for retry in self.job.retries.get(target, ()))
        return str(there), there.translators, str(back), back.translators, again or "-"

    def size(self) -> SourceSize:
        """What one language costs. Reads and splits the whole source."""
        segments: set[int] = set()
        texts = characters = 0
        for chunk in self.index.chunks:
            for concept in from_table(chunk_table(Store(self.job.work), self.index.digest, chunk)):
                for _, _, text in concept.texts():
                    texts, characters = texts + 1, characters + len(text)
                    segments.update(hash(segment) for segment in split(text, self.anchor).segments)
        return SourceSize(texts, characters, len(segments))


@dataclass(frozen=True)
class Installed:
    """The translators of a recipe that are installed, and what to say of the others."""

    recipe: Recipe
    translators: dict[str, Translator]
    absent: dict[str, str]
    """Name -> one sentence with the install command."""
    _networks: dict[tuple[str, ...], Network] = field(default_factory=dict, repr=False)

    def routes(self, anchor: str, target: str) -> tuple[Route, Route] | None:
        """The way to `target` and back, or None."""
        way = self.recipe.way(target)
        return self._both(way.translators, way.back_translators, anchor, target)

    def retries(self, anchor: str, target: str) -> list[tuple[Route, Route]]:
        """The ways of the further attempts: by the engines of `retry_with` that know the language.

        InputError for one that isn't installed, or that a language names and that doesn't know it.
        """
        way = self.recipe.way(target)
        found: list[tuple[Route, Route]] = []
        first = self.routes(anchor, target)
        for name in way.retry_with:
            if name in self.absent:
                raise InputError(f"the pipeline {self.recipe.name} retries with {name}. {self.absent[name]}")
            back = [*way.back_translators, name] if way.back_named else [name, *way.back_translators]
            both = self._both([name], back, anchor, target)
            if both and first and both[0] != first[0] and both not in found:
                found.append(both)
            elif not both and way.named:
                raise InputError(
                    f"the pipeline {self.recipe.name} retries {target} with {name}, which doesn't translate "
                    f"{anchor}→{target}"
                )
        return found

    def back(self, target: str, anchor: str) -> Route | None:
        """The way back alone."""
        return self._network(self.recipe.way(target).back_translators).route(target, anchor)

    def _both(
        self, there: Sequence[str], back: Sequence[str], anchor: str, target: str
    ) -> tuple[Route, Route] | None:
        pivot = self.recipe.way(target).pivot
        legs = [(anchor, target)] if pivot in (None, anchor) else [(anchor, pivot), (pivot, target)]
        forward = [self._network(there).route(*leg) for leg in legs]
        backward = [self._network(back).route(end, start) for start, end in reversed(legs)]
        whole = [_joined(forward), _joined(backward)]
        return (whole[0], whole[1]) if whole[0] and whole[1] else None

    def _network(self, names: Sequence[str]) -> Network:
        known = tuple(dict.fromkeys(name for name in names if name in self.translators))
        if known not in self._networks:
            self._networks[known] = Network({name: self.translators[name] for name in known})
        return self._networks[known]


def _joined(legs: Sequence[Route | None]) -> Route | None:
    whole = None
    for leg in legs:
        if leg is None:
            return None
        whole = whole.then(leg) if whole else leg
    return whole


def installed(recipe: Recipe, allowance: Allowance | None = None) -> Installed:
    """Open the recipe's translators; those that aren't here, model and all, are named with the remedy."""
    translators, absent = {}, {}
    for name in recipe.all_translators:
        try:
            opened = open_translator(name, recipe.engines, allowance)
            opened.pairs()  # which looks for its model
            translators[name] = opened
        except InputError as error:
            absent[name] = str(error)
    return Installed(recipe, translators, absent)


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
        check_known(target, recipe.identifiers)
        routes = engines.routes(anchor, target)
        assert routes is not None
        way = recipe.way(target)
        for route, names in zip(routes, (way.translators, way.back_translators), strict=True):
            _no_fallback(target, route, names, engines)
    return tuple(chosen)


def _no_fallback(target: str, route: Route, names: Sequence[str], engines: Installed) -> None:
    """An engine may be absent only if the route uses none that the recipe prefers less."""
    least = max(names.index(hop.translator) for hop in route.hops)
    for name in names[:least]:
        if name in engines.absent:
            remedy = engines.absent[name]
            raise InputError(f"the pipeline {engines.recipe.name} prefers {name} for {target}. {remedy}")


def choose_given(wanted: str, recipe: Recipe, index: SourceIndex) -> tuple[str, ...]:
    """The languages that "12", "all" or "es,fr" mean, of those whose translations came with the source:
    those of the recipe first, in its order."""
    known = recipe.targets
    there = sorted(index.given, key=lambda t: (known.index(t) if t in known else len(known), t))
    if wanted == "all":
        chosen = there
    elif wanted.isdecimal():
        chosen = there[: int(wanted)]
        if not 0 < int(wanted) <= len(there):
            raise InputError(f"--targets {wanted}: {len(there)} languages are given: {' '.join(there)}")
    else:
        asked = {canonical(tag) for tag in wanted.split(",") if tag.strip()}
        if lacking := sorted(asked - set(there)):
            raise InputError(
                f"no translations into {' '.join(lacking)} are given; there are: {' '.join(there)}"
            )
        chosen = [tag for tag in there if tag in asked]
    if not chosen:
        raise InputError(
            f"{index.uri} has no usable translation: {index.unreadable} of {index.read} rows were set aside; "
            "`mldata build` with --source translates what has none"
        )
    for target in chosen:
        check_known(target, recipe.identifiers)
    return tuple(chosen)


def way_back(target: str, anchor: str, recipe: Recipe, engines: Installed) -> Route | None:
    """The way from a given language to the anchor, for varieties that of their language; None without one.

    InputError where it would avoid an engine that the recipe prefers and that isn't installed, or where there
    is none and an engine's model isn't here that might know one.
    """
    names = recipe.way(target).back_translators
    route = engines.back(written_as(target), written_as(anchor))
    if route is not None:
        _no_fallback(target, route, names, engines)
    elif away := [name for name in names if name in engines.absent and name in recipe.engines]:
        raise InputError(
            f"the pipeline {recipe.name} translates {target} back with {away[0]}. {engines.absent[away[0]]}"
        )
    return route


def plan(
    source: Source | Aligned,
    recipe: Recipe,
    *,
    targets: str,
    work: Path,
    anchor: str | None = None,
    back_translation: bool = True,
    licence: Licence | None = None,
    max_cost: float | None = None,
) -> Plan:
    """Read the source into the store, choose targets and routes, and list what is missing.

    Translations that came with the source are translated back where the recipe's engines can, unless
    `back_translation` is off. `licence` and `max_cost` as in `library.plan`.
    """
    allowance = Allowance(work, max_cost)
    anchor = canonical(anchor) if anchor else recipe.anchor
    language(anchor)
    store = Store(work)
    routes: dict[str, tuple[Route, Route]] = {}
    backs: dict[str, Route | None] = {}
    retries: dict[str, list[tuple[Route, Route]]] = {}
    if isinstance(source, Aligned):
        index = _imported(source, store)
        chosen = choose_given(targets, recipe, index)
        engines = installed(recipe, allowance) if back_translation else Installed(recipe, {}, {})
        backs = {target: way_back(target, anchor, recipe, engines) for target in chosen}
    else:
        engines = installed(recipe, allowance)
        chosen = choose_targets(targets, recipe, anchor, engines)
        for target in chosen:
            both = engines.routes(anchor, target)
            assert both is not None
            routes[target] = both
            retries[target] = engines.retries(anchor, target)
    identifiers = [open_identifier(name, recipe.engines).engine for name in recipe.identifiers]
    encoder = open_encoder(recipe.encoder, recipe.engines).engine
    judges = [open_quality(recipe.quality, recipe.engines).engine] if recipe.quality else []
    ways = [*routes.values(), *(both for more in retries.values() for both in more)]
    used = _used([route for both in ways for route in both] + [*backs.values()], engines.translators)
    if max_cost is not None and not _priced(recipe, used):
        raise InputError(
            f"--max-cost limits what requests to paid servers cost, and the pipeline {recipe.name} sends "
            "none: drop it"
        )
    if (licence or recipe.licence) == "commercial":
        _check_licences([*used, *identifiers, encoder, *judges])
    if isinstance(source, Source):
        index = _imported(source, store)
    digests = _digests(index, anchor, routes, backs, engines.translators, identifiers, encoder, judges)
    job = Job(
        work=work,
        source=index.digest,
        anchor=anchor,
        translators=tuple(engines.translators),
        identifiers=tuple(recipe.identifiers),
        encoder=recipe.encoder,
        routes=routes,
        digests=digests,
        sampled=frozenset(sampled_chunks(store, index) if recipe.calibration.enabled else ()),
        given=backs,
        engines=recipe.engines,
        allowance=allowance,
        retries=_retries(digests, anchor, retries, engines.translators, encoder),
        quality=recipe.quality,
    )
    missing = [
        Task(stage, tag, chunk)
        for stage in FOLDERS
        for tag in ([anchor] if stage == "measure_source" else chosen)
        for chunk in _missing(job, store, stage, tag, index.chunks)
    ]
    return Plan(recipe, anchor, chosen, index, job, (*used, *identifiers, encoder, *judges), tuple(missing))


def _priced(recipe: Recipe, used: Sequence[Engine]) -> bool:
    """Whether one of the engines used is a server that has its price in the recipe."""
    settings = [recipe.engines.get(engine.name) for engine in used]
    return any(isinstance(s, ChatSettings) and s.price_input + s.price_output > 0 for s in settings)


def _check_licences(engines: Sequence[Engine]) -> None:
    """InputError naming the engines whose licences forbid commercial use, or leave it open."""
    refused = [engine for engine in engines if not allows_commercial(engine.licence)]
    if refused:
        named = ", ".join(dict.fromkeys(f"{engine.name} ({engine.licence})" for engine in refused))
        raise InputError(
            f"not for commercial use, or not known to be: {named}. Choose other engines, state a model's "
            "`licence` in its table below [engines], or build with --licence any"
        )


def sampled_chunks(store: Store, index: SourceIndex) -> tuple[str, ...]:
    """The chunks of which wrong items are made: 256 concepts' worth or more, or all of a smaller source.

    Taken in the order of their names, which are digests of what they hold: a source that grows keeps most.
    """
    chosen: set[str] = set()
    concepts = 0
    for chunk in sorted(index.chunks):
        if concepts >= SAMPLED_CONCEPTS:
            break
        chosen.add(chunk)
        concepts += len(chunk_table(store, index.digest, chunk))
    return tuple(chunk for chunk in index.chunks if chunk in chosen)


def _missing(job: Job, store: Store, stage: Stage, tag: str, chunks: Sequence[str]) -> list[str]:
    """Chunks whose file isn't there, or, where wrong items belong to it, not theirs."""
    lacking = set(store.missing(FOLDERS[stage], job.digests[stage, tag], tag, chunks))
    if stage == "measure":
        sampled = [chunk for chunk in chunks if chunk in job.sampled]
        lacking |= set(store.missing("damage", job.digests[stage, tag], tag, sampled))
    return [chunk for chunk in chunks if chunk in lacking]


def _imported(source: Source | Aligned, store: Store) -> SourceIndex:
    return import_source(source, fingerprint([chunks.VERSION, source.digest()]), store)


def _digests(
    index: SourceIndex,
    anchor: str,
    routes: Mapping[str, tuple[Route, Route]],
    backs: Mapping[str, Route | None],
    translators: Mapping[str, Translator],
    identifiers: Sequence[Engine],
    encoder: Engine,
    judges: Sequence[Engine],
) -> dict[tuple[Stage, str], str]:
    """What decides each stage's output in each language."""
    splitting = _splitting()
    measuring = [
        evidence.VERSION,
        alignment.VERSION,
        damage.VERSION,
        *(version(package) for package in ("sacrebleu", "markdown-it-py", "unicode-rbnf")),
        encoder.digest,
        *(i.digest for i in identifiers),
    ]
    source = fingerprint([splitting, measuring, _labels(anchor)])
    digests: dict[tuple[Stage, str], str] = {("measure_source", anchor): source}
    for target, both in routes.items():
        digests["translate", target] = fingerprint([splitting, anchor, *_made_by(both, translators, encoder)])
    for target, back in backs.items():
        engines = back.engines(translators) if back else []
        pairing = [alignment.VERSION, encoder.digest, index.given[target]]
        digests["translate", target] = fingerprint(
            [splitting, anchor, target, pairing, str(back), [engine.digest for engine in engines]]
        )
    for target in (*routes, *backs):
        made = digests["translate", target]
        judged = [judge.digest for judge in judges]
        digests["measure", target] = fingerprint([made, source, _labels(target), *judged])
    return digests


def _splitting() -> list[int | str]:
    """What decides how texts are taken apart."""
    return [text_room.VERSION, version("sentencex"), version("markdown-it-py")]


def _made_by(both: tuple[Route, Route], translators: Mapping[str, Translator], encoder: Engine) -> list[Any]:
    """The routes there and back, their engines' digests, and what pairs whole texts."""
    hops = [route.engines(translators) for route in both]
    pairing = [[alignment.VERSION, encoder.digest]] if wants_texts(both[0], translators) else []
    return [[str(route) for route in both], [[engine.digest for engine in route] for route in hops], *pairing]


def _used(routes: Sequence[Route | None], translators: Mapping[str, Translator]) -> list[Engine]:
    """The engines of some routes, each once."""
    return list(dict.fromkeys(engine for route in routes if route for engine in route.engines(translators)))


def _retries(
    digests: Mapping[tuple[Stage, str], str],
    anchor: str,
    retries: Mapping[str, Sequence[tuple[Route, Route]]],
    translators: Mapping[str, Translator],
    encoder: Engine,
) -> dict[str, tuple[Retry, ...]]:
    """Further attempts. What an engine makes of segments depends on no other attempt, so it is found again
    wherever a recipe puts the engine. Whole texts are paired, and all are measured, among the first one's
    rows: their digest is a part of these.
    """
    made = {}
    for target, ways in retries.items():
        first = digests["measure", target]
        found = []
        for both in ways:
            among = [digests["translate", target]] if wants_texts(both[0], translators) else []
            made_of = [_splitting(), anchor, *_made_by(both, translators, encoder), *among]
            translate = fingerprint(made_of)
            found.append(Retry(*both, translate, fingerprint([translate, first])))
        if found:
            made[target] = tuple(found)
    return made


def _labels(tag: str) -> list[list[str]]:
    known = language(tag)
    return [[known.script], sorted(known.fasttext), sorted(known.heliport), sorted(known.iso)]


def undone(job: Job, tasks: Iterable[Task]) -> list[Task]:
    """Those of `tasks` whose file isn't there, in order. Removes what killed builds left half written."""
    swept: set[Path] = set()
    found = []
    for task in tasks:
        path = job.path(task)
        if path.parent not in swept:
            swept.add(path.parent)
            remove_stale(path.parent)
        if not path.exists():
            found.append(task)
    return found


def run(
    job: Job,
    tasks: Sequence[Task],
    *,
    workers: int,
    done: local.Done = lambda task, seconds: None,
) -> None:
    """Do `tasks`, some chunks after the other, and of these stage by stage: a stage reads what the one
    before it wrote."""
    with Clock(Store(job.work)) as clock:

        def counted(task: Task, seconds: float) -> None:
            clock.add(job.digest(task), task.language, seconds)
            done(task, seconds)

        local.run(job, in_rounds(tasks, job.sampled, ROUND * workers), workers, counted)


def in_rounds(tasks: Sequence[Task], first: frozenset[str], size: int) -> list[list[Task]]:
    """The stages of `size` chunks, then those of the next: long before a build ends, some chunks are done in
    all languages, and can be looked at. Chunks of `first`, which calibration needs, come first."""
    chunks = sorted(dict.fromkeys(task.chunk for task in tasks), key=lambda chunk: chunk not in first)
    number = {chunk: place // size for place, chunk in enumerate(chunks)}
    rounds: dict[tuple[int, Stage], list[Task]] = {
        (one, stage): [] for one in sorted(set(number.values())) for stage in FOLDERS
    }
    for task in tasks:
        rounds[number[task.chunk], task.stage].append(task)
    return [stage for stage in rounds.values() if stage]
