"""A finished set, opened: its rows as a Polars LazyFrame, as `datasets`, or concept by concept.

All three read the shards that the manifest names, in the set's order, and none changes them. Memory doesn't
grow with the set, but for what a LazyFrame collects.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
import pyarrow as pa
import pyarrow.ipc

from mldata import hub, inspection, shards
from mldata.errors import InputError, SetError, first_line, in_shell
from mldata.shards import SPLITS, Manifest

if TYPE_CHECKING:
    from datasets import DatasetDict

Split = Literal["train", "test", "all"]
Row = dict[str, Any]
"""A row with its columns by name: texts are strings, or lists of messages ({"role": …, "content": …})."""

KEYS = ("concept_id", "language", "is_anchor")
"""What says of a row where it belongs."""
BATCH = 256
"""Rows that `concepts` makes Python objects of at once."""


@dataclass(frozen=True)
class AlignedConcept:
    """One example in all languages it is kept in."""

    id: str
    anchor: Row
    """The source's row."""
    translations: dict[str, Row]
    """Language -> its row, in the set's order; one at least."""


@dataclass(frozen=True)
class AlignedSet:
    """A set on disk. See `open_set`."""

    path: Path
    manifest: Manifest = field(repr=False)

    @property
    def languages(self) -> tuple[str, ...]:
        """BCP-47 tags of all languages selected, the anchor first, then in the order of a concept's rows.

        >>> mldata.open_set("sets/prefs").languages
        ('en', 'es', 'gl')
        """
        return (self.manifest.anchor, *self.manifest.targets)

    def scan(self, split: Split = "all") -> pl.LazyFrame:
        """The rows kept, lazily: one a concept and language, a concept's rows together, the anchor's first.

        >>> import polars as pl
        >>> rows = mldata.open_set("sets/prefs").scan("train")
        >>> worst = rows.filter(~pl.col("is_anchor")).sort("similarity_min").head(20).collect()
        >>> worst.select("language", "similarity_min", "back_chrf", "concept_id").columns
        ['language', 'similarity_min', 'back_chrf', 'concept_id']
        """
        return pl.scan_ipc(self._shards(split), glob=False)

    def scan_dropped(self) -> pl.LazyFrame:
        """The rows not kept, lazily, with why in `reasons`; InputError where they weren't published.

        >>> gone = mldata.open_set("sets/prefs").scan_dropped()
        >>> counted = gone.explode("reasons").group_by("language", "reasons").len().collect()
        >>> counted.columns
        ['language', 'reasons', 'len']
        """
        if self.manifest.unpublished:
            raise InputError(
                f"the dropped rows of {self.path} weren't published with it (`mldata push --with-dropped`)"
            )
        return inspection.dropped_rows(self.path, self.manifest)

    def datasets(self) -> DatasetDict:
        """The splits train and test for `datasets`, mapped from its cache; either may have no row.

        `datasets` writes the rows into its cache once, uncompressed, as the shards are compressed.

        >>> prefs = mldata.open_set("sets/prefs").datasets()
        >>> sorted(prefs)
        ['test', 'train']
        >>> prefs["train"].column_names[:6]
        ['concept_id', 'language', 'is_anchor', 'prompt', 'chosen', 'rejected']
        """
        from datasets import Dataset, DatasetDict, DatasetInfo, Features, load_dataset

        listed = [f for f in self.manifest.files if f.split in SPLITS and f.rows]
        files: dict[str, list[str]] = {}
        for file in listed:
            files.setdefault(file.split, []).append(str(self.path / file.path))
        made = load_dataset("arrow", data_files=files) if files else DatasetDict()
        if len(made) < len(SPLITS):
            with pa.memory_map(str(self._shards("all")[0])) as mapped:
                schema = pa.ipc.open_file(mapped).schema
            empty = Dataset(
                schema.empty_table(), info=DatasetInfo(features=Features.from_arrow_schema(schema))
            )
            return DatasetDict({split: made.get(split, empty) for split in SPLITS})
        return made

    def concepts(
        self, split: Split = "all", *, columns: Sequence[str] | None = None
    ) -> Iterator[AlignedConcept]:
        """Whole concepts, in the set's order. SetError where a shard can't be read, or a concept is torn.

        `columns` are those that rows have beside `KEYS`, None: all; few are read several times as fast.

        >>> for concept in mldata.open_set("sets/prefs").concepts("test", columns=["prompt", "similarity"]):
        ...     asked = concept.anchor["prompt"]
        ...     for language, row in concept.translations.items():
        ...         assert len(row["prompt"]) == len(asked)
        """
        for path in self._shards(split):
            # No concept stands in two shards.
            for concept, rows in groupby(_rows(path, columns), key=lambda row: row["concept_id"]):
                anchor, *others = rows
                if not anchor["is_anchor"]:
                    raise SetError(
                        f"{path}: concept {concept} doesn't begin with its {self.manifest.anchor} row: "
                        f"`mldata verify {in_shell(self.path)}` tells what else is damaged"
                    )
                yield AlignedConcept(concept, anchor, {row["language"]: row for row in others})

    def _shards(self, split: Split) -> list[Path]:
        if split not in (*SPLITS, "all"):
            raise InputError(f'"{split}" is no split: {", ".join(SPLITS)} or all')
        return [
            self.path / f.path for f in self.manifest.files if f.split in SPLITS and split in (f.split, "all")
        ]


def open_set(path: str | Path) -> AlignedSet:
    """Open the set at a path, or one of the Hugging Face hub as "hf://org/name" or "hf://org/name@revision".

    A set of the hub is fetched into the hub's own cache, once. InputError if there is no set, SetError if
    its manifest can't be read; `mldata.verify` proves the rest.

    >>> prefs = mldata.open_set("sets/prefs")
    >>> prefs.manifest.concepts_kept
    8
    >>> prefs.scan("test").collect().height > 0
    True
    """
    folder = hub.local(path)
    return AlignedSet(folder, shards.read_manifest(folder))


def _rows(path: Path, columns: Sequence[str] | None) -> Iterator[Row]:
    """The rows of a shard, some at a time; InputError where it hasn't these columns."""
    try:
        with pa.memory_map(str(path)) as file:
            reader = pa.ipc.open_file(file)
            if columns is not None:
                there = reader.schema.names
                if unknown := [name for name in columns if name not in there]:
                    raise InputError(f"{path} has no column {unknown[0]}; it has {', '.join(there)}")
                wanted = sorted({there.index(name) for name in (*KEYS, *columns)})
                reader = pa.ipc.open_file(file, options=pa.ipc.IpcReadOptions(included_fields=wanted))
            for number in range(reader.num_record_batches):
                batch = reader.get_batch(number)
                for start in range(0, len(batch), BATCH):
                    yield from batch.slice(start, BATCH).to_pylist()
    except (OSError, pa.ArrowInvalid) as error:
        raise SetError(f"{path} can't be read ({first_line(error)}): build the set again") from None
