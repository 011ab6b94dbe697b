"""What was measured, as read from the work store: what there is to select from, and to calibrate on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from mldata import __version__, given, shards
from mldata.chunks import SourceIndex, load_index
from mldata.engine import Engine
from mldata.errors import InputError
from mldata.evidence import LENGTH_DEVIATION
from mldata.evidence.signatures import signatures
from mldata.licences import allows_commercial
from mldata.pipeline import Plan
from mldata.recipe import Recipe, Rule
from mldata.shards import EngineFacts, Made, RetryFacts
from mldata.store import Store, read_table
from mldata.tasks import FOLDERS, Task, file_of


@dataclass(frozen=True)
class Measured:
    """What there is to select from: a store in which all of this was translated and measured."""

    store: Store
    index: SourceIndex
    chunks: tuple[str, ...] = field(repr=False)
    """Those of the source's chunks that are done: all of them, unless the build is unfinished."""
    recipe: Recipe
    anchor: str
    routes: Mapping[str, str]
    translate: Mapping[str, str]
    """Target -> digest."""
    measure: Mapping[str, str]
    """Target or anchor -> digest."""
    engines: tuple[EngineFacts, ...]
    signatures: Mapping[str, str]
    """Evidence column -> what computed it, when it was measured."""
    translators: Mapping[str, str]
    """Target -> the engines of its route."""
    retries: Mapping[str, tuple[RetryFacts, ...]]
    """Target -> its further attempts."""
    retry_rules: tuple[Rule, ...] = ()
    """The rules that decided which rows were tried again."""
    unfinished: bool = False
    """Whether the build that measures all this has more to do, or had when this was read."""

    @classmethod
    def of_plan(cls, plan: Plan) -> Measured:
        """What a finished build left."""
        job = plan.job
        return cls(
            store=Store(job.work),
            index=plan.index,
            chunks=plan.index.chunks,
            recipe=plan.recipe,
            anchor=plan.anchor,
            routes={target: str(there) for target, (there, _) in job.routes.items()}
            | dict.fromkeys(job.given, given.ROUTE),
            translate={target: job.digests["translate", target] for target in plan.targets},
            measure={plan.anchor: job.digests["measure_source", plan.anchor]}
            | {target: job.digests["measure", target] for target in plan.targets},
            engines=engine_facts(plan.engines),
            signatures=signatures(
                plan.recipe.encoder,
                plan.recipe.identifiers,
                {engine.name: engine.digest for engine in plan.engines},
                plan.recipe.quality,
            ),
            translators={target: there.translators for target, (there, _) in job.routes.items()},
            retries={
                target: tuple(
                    RetryFacts(
                        route=str(retry.there),
                        translators=retry.there.translators,
                        translate_digest=retry.translate,
                        measure_digest=retry.measure,
                    )
                    for retry in retries
                )
                for target, retries in job.retries.items()
            },
        )

    @classmethod
    def of_set(cls, path: Path, work: Path | None = None) -> Measured:
        """What the set at `path` was selected from; InputError if its store isn't there (nor at `work`)."""
        manifest = shards.read_manifest(path)
        store = Store(work or (path / manifest.store).resolve())
        index = load_index(store, manifest.source.digest)
        if index is None:
            raise InputError(
                f"the work store of {path} isn't at {store.root}: give its place with --work, or build again"
            )
        return cls.of(manifest, store, index)

    @classmethod
    def of(cls, made: Made, store: Store, index: SourceIndex) -> Measured:
        """What `made` says was made of the source `index`, all of it, in `store`."""
        return cls(
            store=store,
            index=replace(index, uri=made.source.uri, name=made.source.name),
            chunks=index.chunks,
            recipe=made.recipe,
            anchor=made.anchor,
            routes=made.routes,
            translate=made.translate_digests,
            measure=made.measure_digests,
            engines=tuple(made.engines),
            signatures=made.signatures,
            translators=made.translators,
            retries={target: tuple(retries) for target, retries in made.retries.items()},
            retry_rules=tuple(made.retry_rules),
        )

    def made(self) -> Made:
        """The same as a manifest says it."""
        return Made(
            mldata=__version__,
            recipe=self.recipe,
            anchor=self.anchor,
            source=shards.source_facts(self.index),
            engines=list(self.engines),
            signatures=dict(self.signatures),
            routes=dict(self.routes),
            translate_digests=dict(self.translate),
            measure_digests=dict(self.measure),
            translators=dict(self.translators),
            retries={target: list(retries) for target, retries in self.retries.items()},
            retry_rules=list(self.retry_rules),
        )

    def evidence(self, tag: str, chunk: str, attempt: int = 0, tried: Sequence[int] = ()) -> pl.DataFrame:
        """Evidence of a chunk's rows, or of those that an attempt took up; SetError if it can't be read."""
        return _frame(self.path(Task("measure", tag, chunk, attempt, tuple(tried))))

    def translated_path(self, tag: str, chunk: str, attempt: int = 0, tried: Sequence[int] = ()) -> Path:
        """The file of a chunk's translations."""
        return self.path(Task("translate", tag, chunk, attempt, tuple(tried)))

    def path(self, task: Task) -> Path:
        """The file that a task of translating or measuring makes, as `Job.path` has it."""
        first = self.translate if task.stage == "translate" else self.measure
        digest = first[task.language]
        if task.attempt:
            retry = self.retries[task.language][task.attempt - 1]
            digest = retry.translate_digest if task.stage == "translate" else retry.measure_digest
        stage = FOLDERS[task.stage]
        return self.store.path(stage, digest, task.language, file_of(task.chunk, task.tried))


def engine_facts(engines: Sequence[Engine]) -> tuple[EngineFacts, ...]:
    """What a manifest says of engines."""
    return tuple(
        EngineFacts(**vars(engine), commercial=allows_commercial(engine.licence)) for engine in engines
    )


def _frame(path: Path) -> pl.DataFrame:
    frame = pl.from_arrow(read_table(path))
    assert isinstance(frame, pl.DataFrame)
    return frame


def holds(rules: Sequence[Rule], tag: str) -> pl.Expr:
    """True where no rule is broken: a row's, or a wrong item's."""
    return ~pl.any_horizontal(pl.lit(value=False), *(rule.broken(tag) for rule in rules))


def median_length_ratio(measured: Measured, target: str) -> float | None:
    """Median length ratio of a language over the whole source, or what is measured of it so far."""
    paths = [
        measured.store.path("measure", measured.measure[target], target, chunk)
        for chunk in measured.index.chunks
    ]
    if measured.unfinished:
        paths = [path for path in paths if path.exists()]
    if not paths:
        return None
    try:
        median = pl.scan_ipc(paths, glob=False).select(pl.col("length_ratio").median()).collect().item()
    except (pl.exceptions.PolarsError, OSError):
        for path in paths:
            read_table(path)  # names the one that is damaged
        raise
    return None if median is None else round(float(median), 4)


def length_deviation(median: float | None) -> pl.Expr:
    """The column length_deviation of rows whose language has this median; null where it has none."""
    deviation = (pl.col("length_ratio") / median).log().abs().round(4) if median else pl.lit(None, pl.Float64)
    return deviation.alias(LENGTH_DEVIATION)


def is_lacking(frame: pl.DataFrame) -> pl.Expr:
    """Rows that aren't there: the source has no translation of the concept."""
    if "issues" not in frame.columns:
        return pl.lit(value=False)
    return pl.col("issues").list.contains(given.LACKING)
