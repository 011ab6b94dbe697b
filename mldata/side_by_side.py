"""Rows beside their source and what they come back as: what a person needs to judge a translation.

Texts come from the set, back-translations from its work store, where that is still there. Of a large set only
the rows asked for are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute

from mldata import inspection
from mldata.chunks import source_folder
from mldata.concepts import FIELDS
from mldata.errors import InputError
from mldata.measured import Measured
from mldata.shards import Manifest, read_manifest
from mldata.store import read_table

Texts = Mapping[str, str]
"""Field -> its text; a conversation with its roles, as `inspection.said` has it."""


@dataclass(frozen=True)
class Beside:
    """One translated row and its source."""

    concept_id: str
    language: str
    source: Texts
    translation: Texts
    back: Texts | None
    """What the translation comes back as; None where it wasn't translated back, or the store is gone."""
    row: Mapping[str, Any]
    """The row as it is in the set, with `reasons` ([] where it is kept)."""


def beside(path: Path, rows: pl.DataFrame) -> list[Beside]:
    """The rows with these `concept_id` and `language`, in that order, as far as they are there."""
    manifest = read_manifest(path)
    wanted = list(rows.select("concept_id", "language").iter_rows())
    with inspection.readable(path):
        found = _found(path, manifest, wanted)
    backs = _backs(path, found, wanted)
    made = []
    for concept, language in wanted:
        anchor, row = found.get((concept, manifest.anchor)), found.get((concept, language))
        if anchor is None or row is None or any(row[field] is None for field in FIELDS):
            continue
        back = backs.get((concept, language))
        made.append(
            Beside(
                concept,
                language,
                source=inspection.texts(anchor),
                translation=inspection.texts(row),
                back=_in_shape(back, anchor) if back and _came_back(row) else None,
                row=row,
            )
        )
    return made


def _found(
    path: Path, manifest: Manifest, wanted: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], dict[str, Any]]:
    """The rows asked for and their anchors', kept and dropped."""
    rows = inspection.rows_of(
        path,
        manifest,
        {concept for concept, _ in wanted},
        languages={manifest.anchor, *(tag for _, tag in wanted)},
    )
    return {(row["concept_id"], row["language"]): row for row in rows}


_Back = dict[tuple[str, int], str]
"""Field and number of the message (0 of a string) -> what it comes back as."""


def _backs(
    path: Path, found: Mapping[tuple[str, str], Mapping[str, Any]], wanted: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], _Back]:
    """What rows come back as; nothing where the work store isn't there."""
    try:
        measured = Measured.of_set(path)
    except InputError:
        return {}
    chunks = chunks_of(measured, {concept for concept, _ in wanted})
    by_file: dict[tuple[str, str], list[str]] = {}
    for concept, language in wanted:
        if concept in chunks and language in measured.translate:
            by_file.setdefault((language, chunks[concept]), []).append(concept)
    made: dict[tuple[str, str], _Back] = {}
    for (language, chunk), concepts in by_file.items():
        for attempt in _attempts(measured, language, chunk):
            table = read_table(attempt).select(["concept_id", "field", "message", "text", "back"])
            mine = table.filter(pa.compute.is_in(table["concept_id"], pa.array(concepts)))
            for concept in concepts:
                texts = mine.filter(pa.compute.equal(mine["concept_id"], concept)).to_pylist()
                row = found.get((concept, language))
                if row and texts and all(_says(row, text) for text in texts):
                    backs = {(text["field"], text["message"]): text["back"] for text in texts}
                    if all(back is not None for back in backs.values()):
                        made[concept, language] = backs
    return made


def chunks_of(measured: Measured, concepts: Iterable[str]) -> dict[str, str]:
    """Concept -> its chunk, of those that the source has."""
    folder = source_folder(measured.store, measured.index.digest)
    paths = [folder / f"{chunk}.arrow" for chunk in measured.index.chunks]
    if not paths:
        return {}
    listed = pl.scan_ipc(paths, glob=False, include_file_paths="file").select("concept_id", "file")
    mine = listed.filter(pl.col("concept_id").is_in(list(concepts))).collect()
    return {concept: Path(file).stem for concept, file in mine.iter_rows()}


def _attempts(measured: Measured, language: str, chunk: str) -> Iterator[Path]:
    """The files of all attempts at a chunk: which one a row was taken from, its texts tell."""
    yield measured.translated_path(language, chunk)
    for number in range(1, len(measured.retries.get(language, ())) + 1):
        first = measured.translated_path(language, chunk, number)
        yield from sorted(first.parent.glob(f"{chunk}*.arrow"))


def _says(row: Mapping[str, Any], text: Mapping[str, Any]) -> bool:
    said = row[text["field"]]
    if said is None:
        return False
    return bool((said if isinstance(said, str) else said[text["message"]]["content"]) == text["text"])


def _came_back(row: Mapping[str, Any]) -> bool:
    """Whether a back-translation was measured: without a way back, the store has empty ones."""
    return any(row.get(name) is not None for name in ("back_chrf", "back_similarity"))


def _in_shape(back: _Back, anchor: Mapping[str, Any]) -> Texts:
    """As text, in the shape of the source row; what isn't translated stays as it is there."""
    made = {}
    for field in FIELDS:
        said = anchor[field]
        if isinstance(said, list):
            said = [
                {**message, "content": back.get((field, number), message["content"])}
                for number, message in enumerate(said)
            ]
        else:
            said = back.get((field, 0), said)
        made[field] = inspection.said(said)
    return made
