"""Data files wherever fsspec reaches them: found, opened, decompressed, read one after the other.

A file that is damaged or cut off stops the reading with `InputError`, so that half a file never passes for
all of it. What is inside a file is parsed in `containers`.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any, cast

import fsspec

from mldata.errors import InputError, MldataError
from mldata.sources.containers import (
    Row,
    arrow_rows,
    first_line,
    json_rows,
    line_rows,
    parquet_rows,
    table_rows,
)

TEXT_KINDS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "tsv"}
COLUMNAR_KINDS = {".parquet": "parquet", ".arrow": "arrow"}
LINE_KINDS = {".txt": "txt"}
"""Lines of text: evaluation texts may be, preference data can't."""
COMPRESSIONS = (".gz", ".zst", ".bz2", ".xz")

# Written beside data by `datasets` and the Hub: JSON, but no rows.
_NOT_DATA = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}


@dataclass(frozen=True)
class Files:
    """Data files of one filesystem, in reading order."""

    fs: Any
    paths: tuple[str, ...]
    base: str
    """The folder that all paths lie in; messages name files from there."""

    def urls(self) -> tuple[str, ...]:
        """Plain paths for local files, URLs for all others."""
        return self.paths if _is_local(self.fs) else tuple(map(self.fs.unstrip_protocol, self.paths))

    def shown(self, path: str) -> str:
        """A path as messages name it."""
        return path.removeprefix(self.base).lstrip("/")

    def update(self, digest: hashlib.blake2b) -> None:
        """Feed the files' bytes as stored, each as its own digest so that where one ends counts too."""
        for path in self.paths:
            try:
                with self.fs.open(path, "rb") as file:
                    digest.update(hashlib.file_digest(file, "blake2b").digest())
            except Exception as error:  # broad for the reason given in `rows`
                raise self._error(path, error) from error

    def rows(self) -> Generator[Row]:
        """All rows of all files."""
        for path in self.paths:
            row = None
            try:
                for row in _rows(self.fs, path, self.shown(path)):
                    yield row
            # Broad: each remote filesystem and each decompressor raises errors of its own.
            except Exception as error:
                raise self._error(path, error, row) from error

    def _error(self, path: str, error: Exception, last: Row | None = None) -> Exception:
        name = self.shown(path)
        if isinstance(error, MldataError):
            return error
        if isinstance(error, PermissionError):
            return InputError(f"{name} can't be read: no permission.")
        if isinstance(error, FileNotFoundError):
            return InputError(f"{name} does not exist.")
        after = f" after {last.unit} {last.number}" if last else ""
        return InputError(f"{name} is damaged or cut off{after}: {first_line(error)}")


def find_files(uri: str, *, lines: bool = False) -> tuple[Files, str]:
    """The data files behind a path, folder, glob or fsspec URL, and a short name for them; with `lines`
    the path may also be a text file's."""
    try:
        fs, path = fsspec.core.url_to_fs(uri)
        path = path.rstrip("/") or "/"
        if fs.isdir(path):
            return _folder(fs, path, uri)
        if fs.exists(path):
            _kind(path, lines)
            return Files(fs, (path,), _parent(path)), _stem(path)
        if not any(c in uri for c in "*?["):
            raise InputError(f"{uri}: no such file or folder.")
        base = _parent(path[: min(i for i, c in enumerate(path) if c in "*?[")] + "x")
        found = [p for p in fs.glob(path) if fs.isfile(p)]
        return Files(fs, _data_files(found, base, f"No data file matches {uri}"), base), _stem(base)
    except PermissionError as error:
        raise InputError(f"{uri} can't be read: no permission.") from error
    except MldataError:
        raise
    # Broad: a remote filesystem raises errors of its own, fsspec ValueError or ImportError for a protocol.
    except Exception as error:
        raise InputError(f"{uri} can't be opened: {first_line(error)}") from error


def _folder(fs: Any, path: str, uri: str) -> tuple[Files, str]:
    """A folder of files, or one that `datasets` saved: then its own list, and of several splits "train"."""
    name = _stem(path)
    if fs.exists(f"{path}/dataset_dict.json"):
        splits = json.loads(fs.cat_file(f"{path}/dataset_dict.json"))["splits"]
        if "train" not in splits:
            raise InputError(f'{uri} has no split "train"; give the folder of one of {", ".join(splits)}.')
        path = f"{path}/train"
    if fs.exists(f"{path}/state.json"):
        state = json.loads(fs.cat_file(f"{path}/state.json"))
        paths = tuple(f"{path}/{entry['filename']}" for entry in state["_data_files"])
        return Files(fs, paths, path), name
    found = fs.find(path)
    return Files(fs, _data_files(found, path, f"{uri} is a folder without data files"), path), name


def _data_files(found: list[str], base: str, otherwise: str) -> tuple[str, ...]:
    """Data files among those found, sorted, those of a training split first; nothing hidden."""
    kept = []
    for path in found:
        parts = PurePosixPath(path.removeprefix(base).lstrip("/")).parts
        hidden = any(part.startswith((".", "_")) for part in parts)
        if not hidden and parts[-1] not in _NOT_DATA and _suffixes(path)[0] in TEXT_KINDS | COLUMNAR_KINDS:
            kept.append((not any(part.startswith("train") for part in parts), path))
    if not kept:
        raise InputError(f"{otherwise}; known are {_known()}.")
    return tuple(path for _, path in sorted(kept))


def _known() -> str:
    return f"{' '.join(TEXT_KINDS | COLUMNAR_KINDS)} (and the text kinds with {' '.join(COMPRESSIONS)})"


def _suffixes(path: str) -> tuple[str, str]:
    """The suffix that tells the kind, and the compression or ""."""
    pure = PurePosixPath(path.lower())
    if pure.suffix in COMPRESSIONS:
        return PurePosixPath(pure.stem).suffix, pure.suffix
    return pure.suffix, ""


def _kind(path: str, lines: bool) -> str:
    suffix, compression = _suffixes(path)
    if lines and suffix in LINE_KINDS:
        return LINE_KINDS[suffix]
    if suffix in TEXT_KINDS:
        return TEXT_KINDS[suffix]
    if suffix in COLUMNAR_KINDS and not compression:
        return COLUMNAR_KINDS[suffix]
    name = PurePosixPath(path).name
    raise InputError(f'{name}: the extension "{suffix}{compression}" is unknown; known are {_known()}.')


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _stem(path: str) -> str:
    name = path.rstrip("/").rpartition("/")[2]
    for suffix in reversed(
        [s for s in _suffixes(name) if s in {*TEXT_KINDS, *COLUMNAR_KINDS, *COMPRESSIONS}]
    ):
        name = name[: -len(suffix)] if suffix else name
    return name or "source"


def _is_local(fs: Any) -> bool:
    return "file" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)


def _rows(fs: Any, path: str, name: str) -> Iterator[Row]:
    kind = _kind(path, lines=True)  # what may be read was decided when it was found
    with fs.open(path, "rb") as raw:
        if kind == "parquet":
            yield from parquet_rows(raw, name)
        elif kind == "arrow":
            yield from arrow_rows(raw, path if _is_local(fs) else None, name)
        else:
            with _decompressed(raw, _suffixes(path)[1], name) as file:
                if kind == "txt":
                    yield from line_rows(file, name)
                elif "json" in kind:
                    yield from json_rows(file, kind == "json", name)
                else:
                    yield from table_rows(file, kind, name)


def _decompressed(raw: IO[bytes], compression: str, name: str) -> IO[bytes]:
    """Not fsspec's own decompression: its zstd reader takes a truncated file for a complete one."""
    if compression == ".gz":
        return cast(IO[bytes], gzip.open(raw))
    if compression == ".bz2":
        return bz2.open(raw)
    if compression == ".xz":
        return lzma.open(raw)
    return io.BufferedReader(_Zstd(raw, name), 2**17) if compression == ".zst" else raw


class _Zstd(io.RawIOBase):
    """Reads zstd frames one after the other and raises EOFError when the last one is cut off."""

    def __init__(self, raw: IO[bytes], name: str) -> None:
        try:
            import zstandard
        except ImportError:
            raise InputError(
                f"{name} is compressed with zstd; install it with: pip install zstandard"
            ) from None
        self._raw = raw
        self._new = zstandard.ZstdDecompressor().decompressobj
        self._frame = self._new()
        self._started = False
        self._output = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._output:
            # Small pieces, because what comes out of one piece is all held in memory.
            piece = self._raw.read(8192)
            if not piece:
                if self._started:
                    raise EOFError("the compressed data ends too early")
                return 0
            self._output = memoryview(self._decompress(piece))
        n = min(len(buffer), len(self._output))
        buffer[:n] = self._output[:n]
        self._output = self._output[n:]
        return n

    def _decompress(self, piece: bytes) -> bytes:
        output = []
        while piece:
            self._started = True
            output.append(self._frame.decompress(piece))
            if not self._frame.eof:
                break
            piece, self._frame, self._started = self._frame.unused_data, self._new(), False
        return b"".join(output)
