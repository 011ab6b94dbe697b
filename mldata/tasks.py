"""Tasks: one chunk in one language in one stage, and the worker that does them.

A task reads and writes whole files of the store and knows nothing of other tasks, so it can run anywhere,
twice, or again after a kill. Each distinct segment of a chunk is translated once and embedded once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa

from mldata import evidence, given, pairing
from mldata.chunks import chunk_table, source_folder
from mldata.concepts import Concept, from_table
from mldata.encode import open_encoder
from mldata.evidence import Pair, Unit, alignment, language, rows, structure, wrong_items
from mldata.evidence.alignment import Pool
from mldata.evidence.quality import Judged
from mldata.evidence.rows import Context
from mldata.evidence.similarity import Neighbours
from mldata.identify import open_identifier
from mldata.languages import language as language_of
from mldata.pairing import Beside, PairedText
from mldata.quality import open_quality
from mldata.recipe import fingerprint
from mldata.settings import Allowance, EngineSettings
from mldata.store import Store, read_table, write_table
from mldata.text import Segment, Split, assemble, split, whole
from mldata.translate import Translator, open_translator
from mldata.translate.routes import Route, Routed, RoutedText, follow, follow_texts, in_order, wants_texts

Stage = Literal["translate", "measure_source", "measure"]
FOLDERS: dict[Stage, str] = {"measure_source": "measure", "translate": "translate", "measure": "measure"}
"""Where in the store a stage writes; the stages themselves in the order in which they run: pairing given
translations with their source takes the source's embeddings."""


@dataclass(frozen=True, slots=True)  # there are millions in a large build
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
    quality: str | None = None
    """The quality estimator, one of `engines`, if there is one."""
    retries: Mapping[str, tuple[Retry, ...]] = field(default_factory=dict)
    """Target -> its further attempts."""

    def path(self, task: Task) -> Path:
        """The file a task makes."""
        return Store(self.work).path(
            FOLDERS[task.stage], self.digest(task), task.language, file_of(task.chunk, task.tried)
        )

    def way(self, task: Task) -> tuple[Route, Route]:
        """The routes there and back that a translating task takes."""
        if not task.attempt:
            return self.routes[task.language]
        retry = self.retries[task.language][task.attempt - 1]
        return retry.there, retry.back

    def digest(self, task: Task) -> str:
        """What decides all that the task's file holds, but for its chunk."""
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
        ("problem", pa.string()),
    ]
)
"""A translated chunk: one row a text, with the whole translation, the segments it was made of or paired
into, and the first problem that an engine had with it (stores of older versions have none)."""


class Worker:
    """Does tasks one after the other. Owns the engines, opened when first needed."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._store = Store(job.work)

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
        for translator in self.__dict__.get("_translators", {}).values():  # none where none was needed
            translator.close()

    @cached_property
    def _translators(self) -> dict[str, Translator]:
        job = self.job
        return {name: open_translator(name, job.engines, job.allowance) for name in job.translators}

    @cached_property
    def _encoder(self) -> Any:
        return open_encoder(self.job.encoder, self.job.engines)

    @cached_property
    def _identifiers(self) -> list[Any]:
        return [open_identifier(name, self.job.engines) for name in self.job.identifiers]

    def _concepts(self, chunk: str) -> list[Concept]:
        return from_table(chunk_table(self._store, self.job.source, chunk))

    def _translate(self, task: Task) -> pa.Table:
        there, back = self.job.way(task)
        if wants_texts(there, self._translators):
            return self._translate_texts(task, there, back)
        texts = [
            _Text(concept.id, number, field, message, split(text, self.job.anchor))
            for number, concept in enumerate(self._concepts(task.chunk))
            if task.takes(number)
            for field, message, text in concept.texts()
        ]
        forward = self._follow(there, {segment for text in texts for segment in text.parts.segments})
        backward = self._follow(back, {routed.segment for routed in forward.values() if routed.segment.text})
        rows = [_translated_row(text, forward, backward) for text in texts]
        return pa.Table.from_pylist(rows, TRANSLATED)

    def _translate_texts(self, task: Task, there: Route, back: Route) -> pa.Table:
        """The translations of engines that want whole texts, paired with their source as given ones are."""
        taken = [(n, concept) for n, concept in enumerate(self._concepts(task.chunk)) if task.takes(n)]
        records = [[text for _, _, text in concept.texts()] for _, concept in taken]
        made = follow_texts(there, self._translators, records)
        texts = [
            _paired_text(concept.id, number, where, one, self.job.anchor, task.language)
            for (number, concept), record in zip(taken, made, strict=True)
            for where, one in zip(concept.texts(), record, strict=True)
        ]
        pivot = there.hops[-1].source if len(there.hops) > 1 else None
        return self._paired(task, texts, back, pivot, self._first_ones(task) if task.tried else ())

    def _first_ones(self, task: Task) -> list[tuple[Split, Split]]:
        """Source and first translation of each text that a further attempt leaves out: the few rows it takes
        up don't tell what is usual."""
        first = read_table(self.job.path(Task("translate", task.language, task.chunk))).to_pylist()
        said = {(row["concept"], row["field"], row["message"]): row["text"] for row in first}
        return [
            (split(text, self.job.anchor), split(said[number, field, message], task.language))
            for number, concept in enumerate(self._concepts(task.chunk))
            if not task.takes(number)
            for field, message, text in concept.texts()
        ]

    def _pair_given(self, task: Task) -> pa.Table:
        translations = self._given(task)
        texts = given.texts(self._concepts(task.chunk), translations, self.job.anchor, task.language)
        return self._paired(task, texts, self.job.given[task.language])

    def _paired(
        self,
        task: Task,
        texts: Sequence[PairedText],
        way: Route | None,
        pivot: str | None = None,
        among: Sequence[tuple[Split, Split]] = (),
    ) -> pa.Table:
        """Rows of whole translations; `pivot` is the language of their pivot texts, if they have any, `among`
        other texts of the chunk, source and target, that say what is usual."""
        targets = [text.target for text in texts]
        vectors = self._source_vectors(task.chunk)
        others = [target for _, target in among]
        vectors |= self._embed(pairing.plain_texts(targets, others) - vectors.keys())

        def beside(others: Sequence[Split]) -> list[Beside]:
            vectors.update(self._embed(pairing.plain_texts(others) - vectors.keys()))
            return pairing.beside(targets, others, vectors)

        if way and wants_texts(way, self._translators):
            backs = beside([split(text, self.job.anchor) for text in self._texts_back(texts, way)])
        else:
            again = self._follow(way, {s for target in targets for s in target.segments}) if way else {}
            backs = [
                Beside.of_parts(target, [again[s].segment.text if again else "" for s in target.segments])
                for target in targets
            ]
        pivots = beside([split(text.pivot, pivot) for text in texts]) if pivot else None
        return pa.Table.from_pylist(pairing.rows(texts, backs, pivots, vectors, among), TRANSLATED)

    def _texts_back(self, texts: Sequence[PairedText], way: Route) -> list[str]:
        """What whole translations come back as."""
        records = [[text.text for text in its] for _, its in groupby(texts, key=lambda text: text.concept)]
        return [one.text for record in follow_texts(way, self._translators, records) for one in record]

    def _given(self, task: Task) -> dict[int, Concept]:
        folder = source_folder(self._store, self.job.source)
        return given.read(folder, task.chunk, task.language)

    def _follow(self, route: Route, segments: set[Segment]) -> dict[Segment, Routed]:
        ordered = in_order(segments)
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
        units = _units(concepts, translated, None if task.language in job.given else job.anchor)
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
            Judged(open_quality(job.quality, job.engines)) if job.quality else None,
        )
        own = [unit for unit in units if task.takes(unit.concept)]
        measured = rows.of_units(own, context)
        found = rows.of_concepts(measured, own, vectors)
        sampled = task.chunk in job.sampled and not task.attempt
        wrong = self._wrong(task, concepts, units, measured, context) if sampled else None
        lacking: set[int] = set()
        if task.language in job.given:
            lacking = set(range(len(concepts))) - self._given(task).keys()
        problems: dict[int, dict[str, None]] = {}
        for row in translated:
            if problem := row.get("problem"):
                problems.setdefault(row["concept"], {})[problem] = None
        table = _evidence_table(concepts, task.language, measured, found, lacking, problems)
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
        "problem": next((p for s in text.parts.segments if (p := forward[s].problem)), ""),
    }


def _paired_text(
    concept_id: str,
    concept: int,
    where: tuple[str, int, str],
    made: RoutedText,
    anchor: str,
    language: str,
) -> PairedText:
    field, message, text = where
    source = split(text, anchor)
    # A text with nothing to translate came through as it is, and has nothing to read in any language.
    target = split(made.text, language) if source.segments else source
    return PairedText(
        concept_id,
        concept,
        field,
        message,
        made.text,
        source,
        target,
        made=True,
        pivot=made.pivots[-1] if made.pivots and target.segments else "",
        unknown=made.unknown,
        problem=made.problem,
    )


def _units(
    concepts: Sequence[Concept], translated: Sequence[dict[str, Any]], whole_by: str | None
) -> list[Unit]:
    """The texts that have segments; the rest (only code, a number) has nothing to measure.

    `whole_by` is the source's language where an engine had to keep all of a whole text's protected spans,
    code between its segments too; None where a person may have translated it.
    """
    sources = {(i, field, m): text for i, c in enumerate(concepts) for field, m, text in c.texts()}
    units = []
    for row in translated:
        if not row["segments"]:
            continue
        protected = tuple(span for segment in row["segments"] for span in segment["protected"])
        pairs = tuple(_pair(segment) for segment in row["segments"])
        where = row["concept"], row["field"], row["message"]
        if whole_by and any(pair.fit is not None for pair in pairs):
            protected = whole(sources[where], whole_by).protected
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
    concepts: Sequence[Concept],
    tag: str,
    units: pl.DataFrame,
    found: pl.DataFrame,
    lacking: set[int],
    problems: Mapping[int, Iterable[str]],
) -> pa.Table:
    """One row a concept: all evidence; null for a concept that has no unit, as those `lacking` a
    translation. `problems` that engines had are issues too."""
    declared = evidence.columns()
    nested = ["label", *(column.name for column in declared if column.aggregate != "row")]
    ids = pl.DataFrame(
        {
            "concept_id": [concept.id for concept in concepts],
            "problems": [list(problems.get(number, ())) for number in range(len(concepts))],
        },
        schema={"concept_id": pl.String, "problems": pl.List(pl.String)},
    )
    joined = (
        ids.with_row_index("concept")
        .with_columns(pl.col("concept").cast(pl.Int64), language=pl.lit(tag))
        .join(found, on="concept", how="left", maintain_order="left")
        .join(evidence.nest(rows.rounded(units), nested), on="concept", how="left", maintain_order="left")
    )
    names = [column.name for column in declared]
    not_given = pl.lit([given.LACKING], pl.List(pl.String))
    seen = pl.col("problems").list.concat(rows.issues()).list.unique(maintain_order=True)
    issues = pl.when(pl.col("concept").is_in(sorted(lacking))).then(not_given).otherwise(seen)
    return joined.select("concept_id", "language", *names, issues.alias("issues"), "fields").to_arrow()


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, rows.DECIMALS)


def _embedded(encoder: Any) -> pa.DataType:
    return pa.list_(pa.struct([("text", pa.string()), ("vector", pa.binary(2 * encoder.dimension))]))
