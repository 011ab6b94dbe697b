"""What is inside a data file, row by row: JSON Lines, JSON, CSV, TSV, Parquet, Arrow, lines.

Memory stays that of one row (text) or one record batch (Parquet, Arrow), except for a JSON array, which is
read whole. A row that can't be parsed is given with its problem and the reading goes on.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, Literal

from mldata.errors import InputError

Unit = Literal["line", "row"]

_BATCH_ROWS = 512
# A cell longer than this is an unclosed quotation mark, not a text; csv's own limit of 131 072 is too short.
_MAX_CELL = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Row:
    """One row as parsed, or the problem that kept it from being parsed."""

    file: str
    unit: Unit
    number: int
    value: Any
    field: str = ""
    problem: str = ""


def first_line(error: BaseException) -> str:
    """A library's message in one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def line_rows(file: IO[bytes], name: str) -> Iterator[Row]:
    """Lines of text; empty ones are passed over."""
    for number, line in enumerate(file, 1):
        line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        try:
            text = line.decode("utf-8").strip()
        except UnicodeDecodeError as error:
            problem = f"the line is not UTF-8 at byte {error.start + 1}"
            yield Row(name, "line", number, None, problem=problem)
            continue
        if text:
            yield Row(name, "line", number, text)


def json_rows(file: IO[bytes], maybe_array: bool, name: str) -> Iterator[Row]:
    """JSON Lines; in a .json file also one array, which is read whole."""
    for number, line in enumerate(file, 1):
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line.strip():
            continue
        if maybe_array and line.lstrip().startswith(b"["):
            yield from _array_rows(line + file.read(), name)
            return
        maybe_array = False
        yield _json_row(line, name, number)


def _array_rows(content: bytes, name: str) -> Iterator[Row]:
    try:
        rows = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is not a JSON array: {first_line(error)}.") from error
    for number, value in enumerate(rows, 1):
        yield Row(name, "row", number, value)


def _json_row(line: bytes, name: str, number: int) -> Row:
    try:
        return Row(name, "line", number, json.loads(line.rstrip(b"\r\n").decode("utf-8")))
    except UnicodeDecodeError as error:
        problem = f"the line is not UTF-8 at byte {error.start + 1}"
    except json.JSONDecodeError as error:
        problem = f"the line is not JSON at column {error.colno}: {error.msg}"
    except (ValueError, RecursionError) as error:  # a number of over 4300 digits; a thousand nested brackets
        problem = f"the line is not usable JSON: {first_line(error)}"
    return Row(name, "line", number, None, problem=problem)


def table_rows(file: IO[bytes], kind: str, name: str) -> Iterator[Row]:
    """CSV and TSV; a row is named by the line on which it starts."""
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_CELL))
    with io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="") as text:
        # strict: an unclosed quotation mark is told instead of swallowing the rows after it.
        reader = csv.reader(text, delimiter={"csv": ",", "tsv": "\t"}[kind], strict=True)
        header: list[str] | None = None
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader, None)
            except csv.Error as error:
                yield Row(name, "line", line, None, problem=f"the line is not {kind.upper()}: {error}")
                continue
            if cells is None:
                return
            if header is None and cells:
                header = _unique(cells, name)
            elif header is not None and cells:
                yield _table_row(cells, header, name, line)


def _table_row(cells: list[str], header: list[str], name: str, line: int) -> Row:
    if len(cells) != len(header):
        problem = f"the row has {len(cells)} cells where the header has {len(header)}"
        return Row(name, "line", line, None, problem=problem)
    for column, cell in zip(header, cells, strict=True):
        if not cell.isascii() and any("\udc80" <= c <= "\udcff" for c in cell):
            return Row(name, "line", line, None, column, f'"{column}" is not UTF-8')
    return Row(name, "line", line, dict(zip(header, map(_cell, cells), strict=True)))


def _cell(cell: str) -> Any:
    """A cell as text, except for a conversation written as JSON, which else would be translated as text."""
    if cell.lstrip().startswith("[{"):
        try:
            value = json.loads(cell)
        except (ValueError, RecursionError):
            return cell
        if all(isinstance(m, dict) and "role" in m and "content" in m for m in value):
            return value
    return cell


def _unique(columns: list[str], name: str) -> list[str]:
    repeated = next((c for c in columns if columns.count(c) > 1), None)
    if repeated is not None:
        raise InputError(f'{name} has the column "{repeated}" more than once.')
    return columns


def parquet_rows(raw: IO[bytes], name: str) -> Iterator[Row]:
    """Parquet, a few hundred rows at a time."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(raw) as file:
        _unique(file.schema_arrow.names, name)
        start = 1
        for batch in file.iter_batches(_BATCH_ROWS):
            yield from _batch_rows(batch, start, name)
            start += batch.num_rows


def arrow_rows(raw: IO[bytes], local: str | None, name: str) -> Iterator[Row]:
    """An Arrow IPC file or stream; a local one is mapped, so that a batch of any size costs no memory."""
    import pyarrow as pa

    is_file = raw.read(6) == b"ARROW1"
    raw.seek(0)
    with pa.memory_map(local) if local else pa.PythonFile(raw, mode="r") as source:
        reader = pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)
        _unique(reader.schema.names, name)
        start = 1
        batches = map(reader.get_batch, range(reader.num_record_batches)) if is_file else reader
        for batch in batches:
            for offset in range(0, batch.num_rows, _BATCH_ROWS):
                yield from _batch_rows(batch.slice(offset, _BATCH_ROWS), start + offset, name)
            start += batch.num_rows


def _batch_rows(batch: Any, start: int, name: str) -> Iterator[Row]:
    try:
        values = batch.to_pylist()
    except (ValueError, OverflowError):  # text that is not UTF-8, a date beyond Python's: find the row
        values = None
    if values is not None:
        yield from (Row(name, "row", number, value) for number, value in enumerate(values, start))
        return
    for i in range(batch.num_rows):
        yield _lone_row(batch.slice(i, 1), start + i, name)


def _lone_row(batch: Any, number: int, name: str) -> Row:
    value = {}
    for column, cells in zip(batch.schema.names, batch.columns, strict=True):
        try:
            value[column] = cells.to_pylist()[0]
        except UnicodeDecodeError:
            return Row(name, "row", number, None, column, f'"{column}" is not UTF-8')
        except (ValueError, OverflowError) as error:
            return Row(name, "row", number, None, column, f'"{column}" can\'t be read: {first_line(error)}')
    return Row(name, "row", number, value)
