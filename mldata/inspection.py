"""Views of a set for people: counts, quantiles and reasons per language, one concept in all languages.

All of it is Polars over the set's own files, lazily: what a user would write, and nothing that he can't.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute
import pyarrow.ipc

from mldata.concepts import FIELDS
from mldata.errors import InputError, SetError, first_line, in_shell
from mldata.evidence import columns
from mldata.shards import Manifest, read_manifest

QUANTILES = (0.05, 0.5, 0.95)


@contextmanager
def readable(*paths: Path) -> Iterator[None]:
    """What reads sets' files within it ends with SetError where one of them is damaged or gone."""
    try:
        yield
    except (pl.exceptions.PolarsError, pa.ArrowException, OSError) as error:
        # A garbled file is an OSError without a number to Arrow; a full disk isn't the set's.
        if isinstance(error, OSError) and error.errno not in (None, errno.ENOENT):
            raise
        named = " or ".join(map(str, paths))
        verify = " or ".join(f"`mldata verify {in_shell(one)}`" for one in paths)
        raise SetError(f"{named} can't be read ({first_line(error)}); see {verify}") from None


def kept_rows(path: Path, manifest: Manifest) -> pl.LazyFrame:
    """The rows written, train and test."""
    return pl.scan_ipc([path / f.path for f in manifest.files if f.split in ("train", "test")], glob=False)


def dropped_rows(path: Path, manifest: Manifest) -> pl.LazyFrame:
    """The rows not written, with `reasons`; none where they weren't published."""
    if manifest.unpublished:
        none = pl.lit([], pl.List(pl.String))
        return kept_rows(path, manifest).head(0).with_columns(reasons=none)
    return pl.scan_ipc([path / f.path for f in manifest.files if f.split == "dropped"], glob=False)


def quantiles(path: Path) -> pl.DataFrame:
    """Per language: rows measured, and 5 %, median and 95 % quantile of each numeric evidence column,
    over kept and dropped rows together. Columns: language, rows, <evidence>_5, _50, _95."""
    manifest = read_manifest(path)
    there = kept_rows(path, manifest).collect_schema()  # a set of an earlier version lacks what came later
    names = [c.name for c in columns() if c.name in there and there[c.name].is_numeric()]
    both = [rows.select("language", "is_anchor", *names) for rows in _both(path, manifest)]
    wanted = [pl.col(name).quantile(q).alias(f"{name}_{round(100 * q)}") for name in names for q in QUANTILES]
    order = {tag: rank for rank, tag in enumerate(manifest.targets)}
    return (
        pl.concat(both)
        .filter(~pl.col("is_anchor"))
        .group_by("language")
        .agg(pl.len().alias("rows"), *wanted)
        .sort(pl.col("language").replace_strict(order, return_dtype=pl.Int64))
        .collect()
    )


def reasons(path: Path) -> pl.DataFrame:
    """Columns: reason, language, rows; how often each reason drops a row, alone (`alone`) or with others."""
    manifest = read_manifest(path)
    return (
        dropped_rows(path, manifest)
        .select("language", "reasons", alone=pl.col("reasons").list.len() == 1)
        .explode("reasons")
        .group_by(reason="reasons", language="language")
        .agg(rows=pl.len(), alone=pl.col("alone").sum())
        .sort("rows", "reason", "language", descending=[True, False, False])
        .collect()
    )


def concept(path: Path, concept_id: str) -> pl.DataFrame:
    """All rows of one concept, kept or not, in the set's order of languages, with `reasons` ([] if kept).

    `concept_id` may be shortened as long as it is unique; InputError otherwise.
    """
    manifest = read_manifest(path)
    whole = whole_id(path, concept_id)
    kept, dropped = (_around(rows, whole) for rows in _both(path, manifest))
    rows = pl.concat([kept.with_columns(reasons=pl.lit([], pl.List(pl.String))), dropped]).collect()
    order = {tag: rank for rank, tag in enumerate([manifest.anchor, *manifest.targets])}
    return rows.sort(pl.col("language").replace_strict(order, return_dtype=pl.Int64))


def whole_id(path: Path, start: str) -> str:
    """The id of the one concept whose id starts so; InputError if there is none, or more than one."""
    ids = pl.concat([rows.select("concept_id") for rows in _both(path, read_manifest(path))])
    found = ids.filter(pl.col("concept_id").str.starts_with(start)).unique().collect()
    if len(found) != 1:
        what = f'{len(found)} concepts start with "{start}"' if len(found) else f'no concept is "{start}"'
        raise InputError(f"{what} in {path}; ids are in the column concept_id")
    return str(found["concept_id"][0])


def _around(rows: pl.LazyFrame, concept_id: str) -> pl.LazyFrame:
    """The rows of one concept, found by its id alone: a filter would read the texts of all others."""
    mine = pl.col("concept_id") == concept_id
    place = rows.select("concept_id").with_row_index("at").filter(mine).collect()["at"]
    if place.is_empty():
        return rows.head(0)
    first, last = place[0], place[-1]
    return rows.slice(first, last - first + 1).filter(mine)


def rows_of(
    path: Path,
    manifest: Manifest,
    concepts: Iterable[str],
    columns: Sequence[str] | None = None,
    languages: Iterable[str] | None = None,
) -> Iterator[dict[str, Any]]:
    """The rows of some concepts, kept and dropped, with `reasons` ([] where kept); in all columns and
    languages unless some are named. One chunk of a file is in memory at a time, and of chunks without any of
    the concepts the ids alone are read: a filter would read the texts of all others.
    """
    wanted = pa.array(sorted(set(concepts)), pa.string())
    tags = None if languages is None else pa.array(sorted(set(languages)), pa.string())
    for facts in manifest.files:
        if facts.split not in ("train", "test", "dropped"):
            continue
        with pa.memory_map(str(path / facts.path)) as file:
            schema = pa.ipc.open_file(file).schema
            named = schema.names if columns is None else ["concept_id", "language", *columns, "reasons"]
            places = [schema.get_field_index(name) for name in dict.fromkeys(named) if name in schema.names]
            whole, ids = (
                pa.ipc.open_file(file, options=pa.ipc.IpcReadOptions(included_fields=included))
                for included in (places, [schema.get_field_index("concept_id")])
            )
            for number in range(whole.num_record_batches):
                mine = pa.compute.is_in(ids.get_batch(number).column(0), wanted)
                if not pa.compute.any(mine).as_py():
                    continue
                batch = whole.get_batch(number).filter(mine)
                if tags is not None:
                    batch = batch.filter(pa.compute.is_in(batch["language"], tags))
                for row in batch.to_pylist():
                    yield {"reasons": [], **row}


def said(value: Any) -> str:
    """A field as text: a string as it is, a conversation with its roles; nothing where it isn't given."""
    if value is None or isinstance(value, str):
        return value or ""
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in value)


def texts(row: dict[str, Any]) -> dict[str, str]:
    """Prompt, chosen and rejected of a row as text."""
    return {name: said(row[name]) for name in FIELDS}


def _both(path: Path, manifest: Manifest) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    return kept_rows(path, manifest), dropped_rows(path, manifest)
