"""Preference data in the formats the field uses, read as concepts, one after the other.

`open_source` finds the files, recognises the format from the first rows, and gives a `Source`; iterating
yields each row as a `Concept`, or as an `Unreadable` or `Duplicate` that says where it stands, so that every
row is accounted for. Memory does not grow with the texts; finding duplicates takes about 130 bytes a concept.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import itertools
import json
import re
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, Protocol

from mldata.concepts import FIELDS, Concept, Shape, example_digest
from mldata.errors import InputError
from mldata.sources import formats
from mldata.sources.containers import Row, Unit
from mldata.sources.files import find_files
from mldata.sources.formats import FORMATS, Format, SetAside

__all__ = [
    "FORMATS",
    "SAMPLES",
    "Duplicate",
    "Format",
    "Ledger",
    "Rows",
    "Source",
    "Unreadable",
    "open_rows",
    "open_source",
]

SAMPLES = {"en_prefs": "data/en_prefs.jsonl"}
"""Sources shipped with the package, by name."""

_PEEK_READABLE, _PEEK_AT_MOST = 100, 1000
_ROW_BITS = 44  # a place is file index << 44 | row, one int instead of a tuple for each concept


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that was set aside; the run goes on."""

    file: str
    row: int
    field: str
    """The field to blame, or "" for the row as a whole."""
    reason: str
    """One sentence that also names the field."""
    unit: Unit = "line"
    """What `row` counts: lines of a text file, or rows."""

    def __str__(self) -> str:
        return f"{self.file}, {self.unit} {self.row}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A row whose texts are those of an earlier one; only the first became a concept."""

    file: str
    row: int
    first_row: int
    first_file: str
    unit: Unit = "line"

    def __str__(self) -> str:
        first = f"{self.unit} {self.first_row}"
        where = first if self.first_file == self.file else f"{self.first_file}, {first}"
        return f"{self.file}, {self.unit} {self.row}: the same example as {where}"


class Rows(Protocol):
    """Rows as parsed, of whatever kind of file; what they mean is said elsewhere."""

    def urls(self) -> tuple[str, ...]:
        """The files' names."""

    def update(self, digest: hashlib.blake2b, /) -> None:
        """Feed what the rows depend on."""

    def rows(self) -> Generator[Row]:
        """All rows, in order."""
        ...


@dataclass(frozen=True)
class Source:
    """Preference data that was found and whose format is known."""

    uri: str
    """As the user gave it."""
    name: str
    files: tuple[str, ...]
    format: Format
    shape: Shape
    columns: tuple[str, ...]
    """Other columns seen in the first rows."""
    id_column: str | None
    limit: int | None
    max_chars: int
    _rows: Rows = field(repr=False, compare=False)

    def digest(self) -> str:
        """What this source would give, in 32 hexadecimal digits: bytes of all files and how they are read.

        Reads every file once. Paths don't count, so a copy elsewhere has the same digest.
        """
        read_as = [self.format, self.shape, self.id_column, self.limit, self.max_chars]
        digest = hashlib.blake2b(json.dumps(read_as).encode("utf-8"), digest_size=16)
        self._rows.update(digest)
        return digest.hexdigest()

    def __iter__(self) -> Iterator[Concept | Unreadable | Duplicate]:
        """Read from the start: every row in order, until `limit` concepts were given."""
        ledger = Ledger(self.id_column or "")
        given = 0
        with closing(self._rows.rows()) as rows:
            for row in rows:
                item = self.item(row, ledger)
                yield item
                given += isinstance(item, Concept)
                if given == self.limit:
                    return

    def item(self, row: Row, ledger: Ledger) -> Concept | Unreadable | Duplicate:
        """What becomes of one row, given those entered before."""
        try:
            if row.problem:
                raise SetAside(row.field, row.problem)
            example = formats.read(row.value, self.format, self.shape, self.max_chars)
            digest = example_digest(example.prompt, example.chosen, example.rejected)
            given_id = None if self.id_column is None else user_id(row.value, self.id_column)
            first = ledger.enter(row, digest, given_id)
        except SetAside as error:
            return Unreadable(row.file, row.number, error.field, error.reason, row.unit)
        if first is not None:
            return Duplicate(row.file, row.number, first[1], first[0], row.unit)
        texts = (example.prompt, example.chosen, example.rejected)
        return Concept(given_id or digest.hex(), *texts, example.extra)


def user_id(record: Mapping[str, Any], column: str) -> str:
    """The user's own id of an example; SetAside where it is missing or can't be one."""
    value = record.get(column)
    not_a_number = value != value  # pandas writes missing numbers so
    if value is None or not_a_number or (isinstance(value, str) and not value.strip()):
        what = "missing" if column not in record else "empty"
        raise SetAside(column, f'the id column "{column}" is {what}')
    if isinstance(value, list | dict | bytes):
        raise SetAside(column, f'the id column "{column}" is neither text nor a number')
    return str(value)


class Ledger:
    """Which examples and user ids were seen in one reading, and where first."""

    def __init__(self, id_column: str) -> None:
        self._id_column = id_column
        self._files: list[str] = []
        self._digests: dict[bytes, int] = {}
        self._ids: dict[str, int] = {}

    def enter(self, row: Row, digest: bytes, user_id: str | None) -> tuple[str, int] | None:
        """File and row of the same example before, if any; a reused id raises `SetAside`."""
        if not self._files or self._files[-1] != row.file:
            self._files.append(row.file)
        if digest in self._digests:
            return self._where(self._digests[digest])
        place = (len(self._files) - 1) << _ROW_BITS | row.number
        if user_id is not None:
            if user_id in self._ids:
                file, number = self._where(self._ids[user_id])
                where = f"{row.unit} {number}" if file == row.file else f"{file}, {row.unit} {number}"
                raise SetAside(
                    self._id_column, f'id "{user_id}" was already used in {where} with other texts'
                )
            self._ids[user_id] = place
        self._digests[digest] = place
        return None

    def _where(self, place: int) -> tuple[str, int]:
        return self._files[place >> _ROW_BITS], place & ((1 << _ROW_BITS) - 1)


def open_source(
    uri: str,
    *,
    format: Format | None = None,
    id_column: str | None = None,
    limit: int | None = None,
    max_chars: int = 1_000_000,
) -> Source:
    """Find preference data and recognise its format from the first 100 readable rows.

    `uri` is a path or fsspec URL of JSON Lines, JSON (one array, read whole: rather JSON Lines over 1 GB),
    CSV, TSV, Parquet or Arrow, the text kinds also as .gz, .zst, .bz2 or .xz; a folder or glob of such files;
    a folder that `datasets` saved; `hf://org/name[/config][:split]`; or the name of a sample.
    """
    rows, name = locate(uri)
    return source_of(uri, name, rows, format=format, id_column=id_column, limit=limit, max_chars=max_chars)


def source_of(
    uri: str,
    name: str,
    rows: Rows,
    *,
    format: Format | None,
    id_column: str | None,
    limit: int | None,
    max_chars: int = 1_000_000,
) -> Source:
    """The source that `rows` are, in the format of the first 100 readable ones."""
    if limit is not None and limit < 1:
        raise InputError(f"The limit is {limit}, but at least 1 concept must be read.")
    if max_chars < 1:
        raise InputError(f"The limit of characters is {max_chars}, but it must be at least 1.")
    if format is not None and format not in FORMATS:
        raise InputError(f'The format "{format}" is unknown; known are {", ".join(FORMATS)}.')
    with closing(rows.rows()) as stream:
        head = peek(stream)
    found, shape = _recognise(uri, head, format)
    columns = _other_columns(head)
    if id_column is not None and id_column not in columns:
        raise InputError(
            f'{uri} has no id column "{id_column}"; other columns: {", ".join(columns) or "none"}.'
        )
    return Source(uri, name, rows.urls(), found, shape, columns, id_column, limit, max_chars, rows)


def open_rows(uri: str) -> Rows:
    """Any data, as evaluation texts are: all that `open_source` opens, whatever its columns, and text files
    (.txt), whose rows are their lines."""
    return locate(uri, lines=True)[0]


def locate(uri: str, *, lines: bool = False) -> tuple[Rows, str]:
    """Where the rows of `uri` are, and a short name for them; `lines` of text files are rows too."""
    if uri.startswith("hf://") and not uri.startswith("hf://datasets/"):  # that one is a file, by fsspec
        from mldata.sources.hub import open_hub

        return open_hub(uri)
    bare = re.search(r"[/\\*?\[:]", uri) is None and not PurePath(uri).suffix
    if not bare:
        return find_files(uri, lines=lines)
    if uri in SAMPLES:
        path = Path(str(importlib.resources.files("mldata"))) / SAMPLES[uri]
        if not path.is_file():
            raise InputError(
                f'The sample "{uri}" is missing from this installation of mldata; install it again.'
            )
        return find_files(path.as_posix())[0], uri
    if not uri or not Path(uri).expanduser().exists():
        raise InputError(f'"{uri}" is neither a path nor a sample; samples: {", ".join(SAMPLES)}.')
    return find_files(uri, lines=lines)


def peek(rows: Iterator[Row]) -> list[Row]:
    """The first rows, until enough of them are objects: what a format is recognised from."""
    seen: list[Row] = []
    readable = 0
    for row in itertools.islice(rows, _PEEK_AT_MOST):
        seen.append(row)
        readable += isinstance(row.value, dict)
        if readable == _PEEK_READABLE:
            break
    return seen


def _recognise(uri: str, head: list[Row], forced: Format | None) -> tuple[Format, Shape]:
    """The format and shape of most of the first rows; of two as frequent, the earlier."""
    records = [row.value for row in head if isinstance(row.value, dict)]
    if not head:
        raise InputError(f"{uri} has no rows.")
    if not records:
        first = head[0]
        reason = first.problem or "the row is not an object with named fields"
        where = f"{first.file}, {first.unit} {first.number}"
        raise InputError(f"{uri} has no readable row in the first {len(head)}; {where}: {reason}.")
    votes: Counter[tuple[Format, Shape]] = Counter()
    for record in records:
        if forced is None:
            vote = formats.recognise(record)
        else:
            shape = formats.fits(record, forced)
            vote = (forced, shape) if shape is not None else None
        if vote is not None:
            votes[vote] += 1
    if votes:
        return votes.most_common(1)[0][0]
    seen = formats.describe(records[0])
    if forced is not None:
        raise InputError(f'{uri}: no row fits the format "{forced}"; columns seen: {seen}.')
    raise InputError(
        f'{uri} is in no known format; columns seen: {seen}; needed: "prompt", "chosen" and "rejected", or '
        f'"chosen" and "rejected" that start alike (--format forces one of {", ".join(FORMATS)}).'
    )


def _other_columns(head: list[Row]) -> tuple[str, ...]:
    names = dict.fromkeys(name for row in head if isinstance(row.value, dict) for name in row.value)
    return tuple(name for name in names if name not in FIELDS)
