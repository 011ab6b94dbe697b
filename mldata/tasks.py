"""Tasks: one chunk in one language in one stage, and the worker that does them.

A task reads and writes whole files of the store and knows nothing of other tasks, so it can run anywhere,
twice, or again after a kill. Each distinct segment of a chunk is translated once and embedded once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa

from mldata import evidence, given
from mldata.chunks import chunk_table, source_folder
from mldata.concepts import Concept, from_table
from mldata.encode import open_encoder
from mldata.evidence import Pair, Unit, alignment, language, rows, structure, wrong_items
from mldata.evidence.alignment import Pool
from mldata.evidence.rows import Context
from mldata.evidence.similarity import Neighbours
from mldata.identify import open_identifier
from mldata.languages import language as language_of
from mldata.recipe import fingerprint
from mldata.settings import Allowance, EngineSettings
from mldata.store import Store, read_table, write_table
from mldata.text import Segment, Split, assemble, split
from mldata.translate import Translator, open_translator
from mldata.translate.routes import Route, Routed, follow

Stage = Literal["translate", "measure_source", "measure"]
FOLDERS: dict[Stage, str] = {"measure_source": "measure", "translate": "translate", "measure": "measure"}
"""Where in the store a stage writes; the stages themselves in the order in which they run: pairing given
translations with their source takes the source's embeddings."""


@dataclass(frozen=True)
class Task:
    """One chunk in one language in one stage."""

    stage: Stage
    language: str
    chunk: str
    attempt: int = 0
    """0 for the first translation, n for the n-th of the engines of `retry_with`."""
    tried: tuple[int, ...] = ()
    """Rows of the chunk that another attempt takes up; none means all of them."""

    def takes(self, row: int) -> bool:
        """Whether this row of the chunk is one of its own."""
        return not self.tried or row in self.tried


def file_of(chunk: str, tried: Sequence[int] = ()) -> str:
    """The stem of a file of the store: the chunk's name and, where it isn't all, that of its rows."""
    return f"{chunk}-{fingerprint(list(tried))[:16]}" if tried else chunk


@dataclass(frozen=True)
class Retry:
    """How a language is translated once more, by another engine."""

    there: Route
    back: Route
    translate: str
    measure: str
    """Digests of all that decides what these stages make of a chunk."""


@dataclass(frozen=True)
class Job:
    """What all tasks of a build share. Plain data: it travels to other processes and machines."""

    work: Path
    source: str
    """Digest of the source as read."""
    anchor: str
    translators: tuple[str, ...]
    identifiers: tuple[str, ...]
    encoder: str
    routes: Mapping[str, tuple[Route, Route]]
    """Target -> the way there and back."""
    digests: Mapping[tuple[Stage, str], str]
    """(stage, language) -> digest of all that decides what the stage makes of a chunk."""
    sampled: frozenset[str] = frozenset()
    """Chunks of which wrong items are made too, when they are measured."""
    given: Mapping[str, Route | None] = field(default_factory=dict)
    """Target whose translations came with the source -> the way back, if an engine knows one."""
    engines: Mapping[str, EngineSettings] = field(default_factory=dict)
    """The recipe's tables [engines]."""
    allowance: Allowance = field(default_factory=Allowance)
    retries: Mapping[str, tuple[Retry, ...]] = field(default_factory=dict)
    """Target -> its further attempts."""

    def path(self, task: Task) -> Path:
        """The file a task makes."""
        return Store(self.work).path(
            FOLDERS[task.stage], self._digest(task), task.language, file_of(task.chunk, task.tried)
        )

    def way(self, task: Task) -> tuple[Route, Route]:
        """The routes there and back that a translating task takes."""
        if not task.attempt:
            return self.routes[task.language]
        retry = self.retries[task.language][task.attempt - 1]
        return retry.there, retry.back

    def _digest(self, task: Task) -> str:
        if not task.attempt:
            return self.digests[task.stage, task.language]
        retry = self.retries[task.language][task.attempt - 1]
        return retry.translate if task.stage == "translate" else retry.measure

    def damage_path(self, task: Task) -> Path:
        """The file of wrong items that a measuring task makes of a sampled chunk."""
        return Store(self.work).path(
            "damage", self.digests["measure", task.language], task.language, task.chunk
        )


_SEGMENT = pa.struct(
    [
        ("source", pa.string()),
        ("protected", pa.list_(pa.string())),
        ("translation", pa.string()),
        ("back", pa.string()),
        ("pivot", pa.string()),
        ("unknown", pa.list_(pa.string())),
        ("fit", pa.float64()),
    ]
)
TRANSLATED = pa.schema(
    [
        ("concept_id", pa.string()),
        ("concept", pa.int32()),
        ("field", pa.string()),
        ("message", pa.int32()),
        ("text", pa.string()),
        ("back", pa.string()),
        ("segments", pa.list_(_SEGMENT)),
    ]
)
"""A translated chunk: one row a text, with the whole translation, and the segments it was made of."""


class Worker:
    """Does tasks one after the other. Owns the engines, opened when first needed."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._store = Store(job.work)
        self._translators: dict[str, Translator] = {}

    def run(self, task: Task) -> None:
        """Make the file of `task`."""
        if task.stage == "translate" and task.language in self.job.given:
            table = self._pair_given(task)
        elif task.stage == "translate":
            table = self._translate(task)
        elif task.stage == "measure_source":
            table = self._measure_source(task)
        else:
            table, wrong = self._measure(task)
            if wrong is not None:
                write_table(wrong, self.job.damage_path(task))
        write_table(table, self.job.path(task))

    def close(self) -> None:
        """Give back engines and their processes."""
        for translator in self._translators.values():
            translator.close()

    @cached_property
    def _encoder(self) -> Any:
        return open_encoder(self.job.encoder, self.job.engines)

    @cached_property
    def _identifiers(self) -> list[Any]:
        return [open_identifier(name, self.job.engines) for name in self.job.identifiers]

    def _concepts(self, chunk: str) -> list[Concept]:
        return from_table(chunk_table(self._store, self.job.source, chunk))

    def _translate(self, task: Task) -> pa.Table:
        texts = [
            _Text(concept.id, number, field, message, split(text, self.job.anchor))
            for number, concept in enumerate(self._concepts(task.chunk))
            if task.takes(number)
            for field, message, text in concept.texts()
        ]
        there, back = self.job.way(task)
        forward = self._follow(there, {segment for text in texts for segment in text.parts.segments})
        backward = self._follow(back, {routed.segment for routed in forward.values() if routed.segment.text})
        rows = [_translated_row(text, forward, backward) for text in texts]
        return pa.Table.from_pylist(rows, TRANSLATED)

    def _pair_given(self, task: Task) -> pa.Table:
        translations = self._given(task)
        texts = given.texts(self._concepts(task.chunk), translations, self.job.anchor, task.language)
        vectors = self._source_vectors(task.chunk)
        vectors |= self._embed({s.plain for t in texts for s in t.target.segments} - vectors.keys())
        way = self.job.given[task.language]

        def back(segments: set[Segment]) -> dict[Segment, str]:
            routed = self._follow(way, segments) if way else {}
            return {segment: made.segment.text for segment, made in routed.items()}

        return pa.Table.from_pylist(given.translated(texts, vectors, back), TRANSLATED)

    def _given(self, task: Task) -> dict[int, Concept]:
        folder = source_folder(self._store, self.job.source)
        return given.read(folder, task.chunk, task.language)

    def _follow(self, route: Route, segments: set[Segment]) -> dict[Segment, Routed]:
        if not self._translators:
            job = self.job
            self._translators = {
                name: open_translator(name, job.engines, job.allowance) for name in job.translators
            }
        ordered = sorted(segments, key=lambda s: (len(s.text), s.text, s.spans))
        return dict(zip(ordered, follow(route, self._translators, ordered), strict=True))

    def _measure_source(self, task: Task) -> pa.Table:
        concepts = self._concepts(task.chunk)
        units = [
            Unit(
                number,
                field,
                message,
                text,
                text,
                (),
                tuple(Pair(s.plain, s.plain, "", "", ()) for s in parts),
            )
            for number, concept in enumerate(concepts)
            for field, message, text in concept.texts()
            if (parts := split(text, self.job.anchor).segments)
        ]
        vectors = self._embed({pair.source for unit in units for pair in unit.pairs})
        anchor = language_of(self.job.anchor)
        measured = rows.placed(units, language.measure(units, self._identifiers, anchor, anchor))
        row = evidence.summarise(measured, language.COLUMNS).select("concept", "language_score")
        scores = dict(zip(row["concept"], row["language_score"], strict=True))
        segments: dict[int, list[dict[str, Any]]] = {}
        for unit in units:
            segments.setdefault(unit.concept, []).extend(
                {"text": pair.source, "vector": vectors[pair.source].astype(np.float16).tobytes()}
                for pair in unit.pairs
            )
        return pa.table(
            {
                "concept_id": [concept.id for concept in concepts],
                "language": [self.job.anchor] * len(concepts),
                "language_score": pa.array(
                    [_rounded(scores.get(i)) for i in range(len(concepts))], pa.float64()
                ),
                "segments": pa.array(
                    [segments.get(i, []) for i in range(len(concepts))], _embedded(self._encoder)
                ),
            }
        )

    def _embed(self, texts: set[str]) -> dict[str, Any]:
        ordered = sorted(texts)
        return dict(zip(ordered, self._encoder.encode(ordered), strict=True))

    def _source_vectors(self, chunk: str) -> dict[str, Any]:
        """Embeddings of the source's segments, by their text without protected spans."""
        embedded = read_table(self.job.path(Task("measure_source", self.job.anchor, chunk)))
        return {
            segment["text"]: np.frombuffer(segment["vector"], np.float16).astype(np.float32)
            for row in embedded["segments"].to_pylist()
            for segment in row
        }

    def _measure(self, task: Task) -> tuple[pa.Table, pa.Table | None]:
        job = self.job
        concepts = self._concepts(task.chunk)
        translated = read_table(job.path(replace(task, stage="translate"))).to_pylist()
        if task.tried:  # measured among the others' first translations: neighbours and ratios need them
            first = read_table(job.path(Task("translate", task.language, task.chunk))).to_pylist()
            translated += [row for row in first if not task.takes(row["concept"])]
        vectors = self._source_vectors(task.chunk)
        units = _units(concepts, translated)
        said = alignment.texts(units, task.language)
        said |= {text for u in units for p in u.pairs for text in (p.source, p.target, p.back)}
        vectors |= self._embed(said - vectors.keys())
        context = Context(
            self._identifiers,
            language_of(task.language),
            language_of(job.anchor),
            vectors,
            Neighbours.of(units, vectors),
            Pool.of_units(units, vectors),
            structure.ratio_of(units),
        )
        own = [unit for unit in units if task.takes(unit.concept)]
        measured = rows.of_units(own, context)
        found = rows.of_concepts(measured, own, vectors)
        sampled = task.chunk in job.sampled and not task.attempt
        wrong = self._wrong(task, concepts, units, measured, context) if sampled else None
        lacking: set[int] = set()
        if task.language in job.given:
            lacking = set(range(len(concepts))) - self._given(task).keys()
        table = _evidence_table(concepts, task.language, measured, found, lacking)
        return table.take(list(task.tried)) if task.tried else table, wrong

    def _wrong(
        self,
        task: Task,
        concepts: Sequence[Concept],
        units: Sequence[Unit],
        measured: pl.DataFrame,
        context: Context,
    ) -> pa.Table:
        """Evidence of wrong items made of the chunk's rows: concept_id, language, kind, field, evidence."""
        items = wrong_items.make(units, [concept.id for concept in concepts], self.job.anchor)
        outside = any(pair.fit is not None for unit in units for pair in unit.pairs)
        found = wrong_items.measure(items, measured, context, self._embed, realign=outside)
        ids = pl.Series([concept.id for concept in concepts], dtype=pl.String)
        return found.select(
            ids.gather(found["concept"]).alias("concept_id"),
            pl.lit(task.language).alias("language"),
            *found.columns[1:],
        ).to_arrow()


@dataclass(frozen=True)
class _Text:
    """One text of a chunk and where it stands."""

    concept_id: str
    concept: int
    field: str
    message: int
    parts: Split


def _translated_row(
    text: _Text, forward: Mapping[Segment, Routed], backward: Mapping[Segment, Routed]
) -> dict[str, Any]:
    segments: list[dict[str, Any]] = []
    for segment in text.parts.segments:
        made = forward[segment]
        again = backward[made.segment].segment.text if made.segment.text else ""
        segments.append(
            {
                "source": segment.text,
                "protected": segment.protected,
                "translation": made.segment.text,
                "back": again,
                "pivot": made.pivots[-1] if made.pivots else "",
                "unknown": made.unknown,
                "fit": None,
            }
        )
    return {
        "concept_id": text.concept_id,
        "concept": text.concept,
        "field": text.field,
        "message": text.message,
        "text": assemble(text.parts, [segment["translation"] for segment in segments]),
        "back": assemble(text.parts, [segment["back"] for segment in segments]),
        "segments": segments,
    }


def _units(concepts: Sequence[Concept], translated: Sequence[dict[str, Any]]) -> list[Unit]:
    """The texts that have segments; the rest (only code, a number) has nothing to measure."""
    sources = {(i, field, m): text for i, c in enumerate(concepts) for field, m, text in c.texts()}
    units = []
    for row in translated:
        if not row["segments"]:
            continue
        protected = tuple(span for segment in row["segments"] for span in segment["protected"])
        pairs = tuple(_pair(segment) for segment in row["segments"])
        where = row["concept"], row["field"], row["message"]
        units.append(Unit(*where, sources[where], row["text"], protected, pairs))
    return units


def _pair(segment: Mapping[str, Any]) -> Pair:
    protected = segment["protected"]
    return Pair(
        source=_plain(segment["source"], protected),
        target=_plain(segment["translation"], protected),
        back=_plain(segment["back"], protected),
        pivot=_plain(segment["pivot"], protected),
        unknown=tuple(segment["unknown"]),
        fit=segment["fit"],
    )


def _plain(text: str, protected: Sequence[str]) -> str:
    """`text` without its protected spans: what identifiers, encoders and word counts look at."""
    for span in sorted(protected, key=len, reverse=True):
        text = text.replace(span, " ", 1)
    return " ".join(text.split())


def _evidence_table(
    concepts: Sequence[Concept], tag: str, units: pl.DataFrame, found: pl.DataFrame, lacking: set[int]
) -> pa.Table:
    """One row a concept: all evidence; null for a concept that has no unit, as those `lacking` a
    translation."""
    declared = evidence.columns()
    nested = ["label", *(column.name for column in declared if column.aggregate != "row")]
    ids = pl.DataFrame({"concept_id": [concept.id for concept in concepts]})
    joined = (
        ids.with_row_index("concept")
        .with_columns(pl.col("concept").cast(pl.Int64), language=pl.lit(tag))
        .join(found, on="concept", how="left", maintain_order="left")
        .join(evidence.nest(rows.rounded(units), nested), on="concept", how="left", maintain_order="left")
    )
    names = [column.name for column in declared]
    not_given = pl.lit([given.LACKING], pl.List(pl.String))
    issues = pl.when(pl.col("concept").is_in(sorted(lacking))).then(not_given).otherwise(rows.issues())
    return joined.select("concept_id", "language", *names, issues.alias("issues"), "fields").to_arrow()


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, rows.DECIMALS)


def _embedded(encoder: Any) -> pa.DataType:
    return pa.list_(pa.struct([("text", pa.string()), ("vector", pa.binary(2 * encoder.dimension))]))
