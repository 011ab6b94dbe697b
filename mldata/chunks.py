"""Chunks: some 128 neighbouring concepts, cut by content, the unit of all work after the source.

A chunk ends after a concept whose digest says so, so a row added to a source changes the one chunk it
falls in. Reading a source writes its chunks into the store, with every column in one type for the whole
source; the index comes last, and its presence means that the source was read to the end.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from mldata import given
from mldata.concepts import Concept, Shape, to_table
from mldata.sources import Duplicate, Source, Unreadable
from mldata.sources.aligned import Aligned
from mldata.sources.collation import Collation
from mldata.store import Store, read_table, remove_stale, sync, write_table

VERSION = 1
"""Enters the digest of a source: raise it when the same source gives other chunks, types or counts."""
MEAN, LARGEST = 128, 512
"""Concepts in a chunk, on average and at most."""


@dataclass(frozen=True)
class SourceIndex:
    """What reading a source gave."""

    digest: str
    uri: str
    name: str
    format: str
    shape: Shape
    concepts: int
    duplicates: int
    unreadable: int
    message_columns: tuple[str, ...]
    """Of a message's optional keys, those that some message has."""
    given: Mapping[str, str] = field(default_factory=dict)
    """Language -> digest of the translations that came with the source."""
    translations: int = 0
    """Rows of these languages."""
    chunks: tuple[str, ...] = field(default=(), repr=False)

    @property
    def read(self) -> int:
        """All rows of the source that were looked at."""
        return self.concepts + self.translations + self.duplicates + self.unreadable


def source_folder(store: Store, digest: str) -> Path:
    """Where the chunks of a source lie: <chunk>.arrow, unreadable.arrow, index.arrow, given/<chunk>.arrow."""
    return store.root / "source" / digest


def chunk_table(store: Store, digest: str, chunk: str) -> pa.Table:
    """One chunk of the source: concept_id, prompt, chosen, rejected, and `source` if it has more columns."""
    return read_table(source_folder(store, digest) / f"{chunk}.arrow")


def load_index(store: Store, digest: str) -> SourceIndex | None:
    """The index of a source that is there to its end, else None. Its uri and name are left empty:
    the same content may be read under several."""
    path = source_folder(store, digest) / "index.arrow"
    if not path.exists():
        return None
    table = read_table(path)
    there = set(os.listdir(path.parent))  # noqa: PTH208 (names only)
    if not {f"{chunk}.arrow" for chunk in table["chunk"].to_pylist()} <= there:
        return None
    facts = json.loads(table.schema.metadata[b"source"])
    if facts.get("given") and not all(
        given.path(path.parent, c).exists() for c in table["chunk"].to_pylist()
    ):
        return None
    facts["message_columns"] = tuple(facts["message_columns"])
    return SourceIndex(**facts, uri="", name="", chunks=tuple(table["chunk"].to_pylist()))


def import_source(source: Source | Aligned, digest: str, store: Store) -> SourceIndex:
    """Read `source` into the store, with translations it has, or find it there."""
    found = load_index(store, digest)
    if found is not None:
        return replace(found, uri=source.uri, name=source.name)
    final = source_folder(store, digest)
    remove_stale(final.parent)
    folder = final.with_name(f".{digest}.{secrets.token_hex(6)}")
    try:
        index = _write_chunks(source, digest, folder)
        shutil.rmtree(final, ignore_errors=True)  # one without its index or a chunk: damaged
        folder.rename(final)
        sync(final.parent)
    except OSError:
        # Another build of the same source was faster: what it made is the same.
        found = load_index(store, digest)
        if found is None:
            raise
        index = replace(found, uri=source.uri, name=source.name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return index


def _write_chunks(source: Source | Aligned, digest: str, folder: Path) -> SourceIndex:
    """Read the source to its end into `folder`."""
    duplicates = 0
    set_aside: list[Unreadable] = []
    used: set[str] = set()

    def concepts(items: Iterable[Concept | Unreadable | Duplicate]) -> Iterator[Concept]:
        nonlocal duplicates
        for item in items:
            if isinstance(item, Concept):
                used.update(_optional_columns(item))
                yield item
            elif isinstance(item, Unreadable):
                set_aside.append(item)
            else:
                duplicates += 1

    if isinstance(source, Aligned):
        with Collation(source, folder) as collation:
            names, total = _write_concepts(concepts(collation.anchors()), source.shape, folder)
            imported = given.write(collation, folder, names, source.shape)
    else:
        names, total = _write_concepts(concepts(source), source.shape, folder)
        imported = given.Imported({}, 0, [])
    set_aside += imported.set_aside
    write_table(_unreadable_table(set_aside), folder / "unreadable.arrow")
    index = SourceIndex(
        digest=digest,
        uri=source.uri,
        name=source.name,
        format=source.format,
        shape=source.shape,
        concepts=total,
        duplicates=duplicates,
        unreadable=len(set_aside),
        message_columns=tuple(sorted(used)),
        given=imported.digests,
        translations=imported.rows,
        chunks=tuple(names),
    )
    facts = {key: value for key, value in asdict(index).items() if key not in ("chunks", "uri", "name")}
    table = pa.table({"chunk": pa.array(names, pa.string())})
    write_table(table.replace_schema_metadata({"source": json.dumps(facts)}), folder / "index.arrow")
    return index


def _write_concepts(concepts: Iterable[Concept], shape: Shape, folder: Path) -> tuple[list[str], int]:
    """Write the chunks; their names, and how many concepts there are."""
    extras = _Extras()
    names, total = [], 0
    for chunk in cut(concepts):
        name = _chunk_name(chunk)
        table = to_table(chunk, shape)
        extra = extras.infer(name, [concept.extra for concept in chunk])
        if extra is not None:
            table = table.append_column("source", extra)
        write_table(table, folder / f"{name}.arrow")
        names.append(name)
        total += len(chunk)
    extras.unify(folder, names)
    return names, total


def cut(concepts: Iterable[Concept]) -> Iterator[list[Concept]]:
    """Cut a stream of concepts into chunks."""
    chunk: list[Concept] = []
    for concept in concepts:
        chunk.append(concept)
        if int.from_bytes(concept.digest[:4]) % MEAN == 0 or len(chunk) == LARGEST:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _chunk_name(chunk: Sequence[Concept]) -> str:
    """Digest of the concepts' ids and texts: a user's id may stay while the text changes."""
    digest = hashlib.blake2b(digest_size=16)
    for concept in chunk:
        digest.update(concept.id.encode() + b"\0" + concept.digest)
    return digest.hexdigest()


def _optional_columns(concept: Concept) -> Iterator[str]:
    for text in (concept.prompt, concept.chosen, concept.rejected):
        for message in () if isinstance(text, str) else text:
            for name in ("name", "tool_calls", "tool_call_id"):
                if getattr(message, name) is not None:
                    yield name


def _unreadable_table(rows: Sequence[Unreadable]) -> pa.Table:
    kinds = {"file": pa.string(), "unit": pa.string(), "row": pa.int64()}
    schema = pa.schema([*kinds.items(), ("field", pa.string()), ("reason", pa.string())])
    columns = {name: [getattr(row, name) for row in rows] for name in schema.names}
    return pa.table(columns, schema)


class _Extras:
    """Finds one Arrow type for each extra column over the whole source, a chunk at a time.

    A column whose values have no common type (a number here, a list there) becomes JSON text.
    """

    def __init__(self) -> None:
        self._types: dict[str, pa.DataType] = {}
        self._mixed: set[str] = set()
        self._written: dict[str, pa.StructType] = {}  # chunk -> type of its `source` column

    def infer(self, chunk: str, rows: Sequence[Any]) -> pa.Array | None:
        names = list(dict.fromkeys(name for row in rows for name in row))
        if not names:
            return None
        arrays = []
        for name in names:
            values = [row.get(name) for row in rows]
            array = _typed(values, None)
            if array is None:
                self._mixed.add(name)
                array = _as_json(values)
            self._types[name] = self._common(name, array.type)
            arrays.append(array)
        made = pa.StructArray.from_arrays(arrays, names)
        self._written[chunk] = made.type
        return made

    def _common(self, name: str, new: pa.DataType) -> pa.DataType:
        old = self._types.get(name, new)
        try:
            pair = [pa.schema([(name, old)]), pa.schema([(name, new)])]
            return pa.unify_schemas(pair, promote_options="permissive").field(name).type
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            self._mixed.add(name)
            return old

    def unify(self, folder: Path, chunks: Sequence[str]) -> None:
        """Write again the chunks whose `source` column has another type than the whole's."""
        if not self._types:
            return None
        fields = [
            (n, pa.string() if n in self._mixed or pa.types.is_null(t) else t) for n, t in self._types.items()
        ]
        whole = pa.struct(fields)
        for chunk in chunks:
            if self._written.get(chunk) == whole and not self._mixed:
                continue
            path = folder / f"{chunk}.arrow"
            table = read_table(path)
            rows = table["source"].to_pylist() if "source" in table.column_names else [{}] * len(table)
            arrays = []
            for name, kind in fields:
                values = [row.get(name) for row in rows]
                array = _as_json(values) if name in self._mixed else _typed(values, kind)
                if array is None:  # a number too large for the common type: JSON everywhere, from the start
                    self._mixed.add(name)
                    return self.unify(folder, chunks)
                arrays.append(array)
            column = pa.StructArray.from_arrays(arrays, fields=list(whole))
            kept = table.drop_columns(["source"]) if "source" in table.column_names else table
            write_table(kept.append_column("source", column), path)
            self._written[chunk] = whole
        return None


def _typed(values: Sequence[Any], kind: pa.DataType | None) -> pa.Array | None:
    """An array of `kind`, or of the type that fits; None if no type holds all values as they are."""
    if {bool} < {type(value) for value in values if value is not None} and kind is None:
        return None  # Arrow would make numbers of true and false
    try:
        return pa.array(values, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return None


def _as_json(values: Sequence[Any]) -> pa.Array:
    """JSON text of each value; text that was made JSON already stays."""
    texts = [
        v if v is None or isinstance(v, str) else json.dumps(v, ensure_ascii=False, default=str)
        for v in values
    ]
    return pa.array(texts, pa.string())
