"""The work store: one Arrow file for each chunk, language and stage, named by what went into it.

    WORK/<stage>/<digest>/<language>/<chunk>.arrow

A file appears whole or not at all, and its content depends on its path alone: whoever writes it, and
however often, the bytes are the same. What is missing is a difference of file names.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc

from mldata.errors import InputError, SetError

STALE = 3600.0
"""Seconds after which a temporary file belongs to no build that is still at work on it."""


@dataclass(frozen=True)
class Store:
    """A work directory."""

    root: Path

    def path(self, stage: str, digest: str, language: str, chunk: str) -> Path:
        """Where the file is, or will be."""
        return self.root / stage / digest / language / f"{chunk}.arrow"

    def missing(self, stage: str, digest: str, language: str, chunks: Iterable[str]) -> list[str]:
        """Those of `chunks` that have no file, in order. Removes what killed builds left half written."""
        folder = self.root / stage / digest / language
        there = set(os.listdir(folder)) if folder.exists() else set()  # noqa: PTH208 (names only)
        if any(name.startswith(".") for name in there):
            remove_stale(folder)
        return [chunk for chunk in chunks if f"{chunk}.arrow" not in there]


def remove_stale(folder: Path) -> None:
    """Remove temporary files and folders in `folder` that a killed build left long ago."""
    for path in folder.glob(".*"):
        if _age(path) > STALE and path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif _age(path) > STALE:
            path.unlink(missing_ok=True)


def _age(path: Path) -> float:
    """Seconds since `path` was written; 0 if another build took it away."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def write_table(table: pa.Table, path: Path) -> None:
    """Write `table` as an Arrow IPC file, whole or not at all, and safe against a power cut."""
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with (
        atomic(path) as temporary,
        pa.OSFile(str(temporary), "wb") as file,
        pa.ipc.new_file(file, table.schema, options=options) as writer,
    ):
        writer.write_table(table)


def read_table(path: Path) -> pa.Table:
    """Read an Arrow IPC file of the store; SetError if it is missing or damaged."""
    try:
        with pa.memory_map(str(path)) as file:
            return pa.ipc.open_file(file).read_all()
    except (OSError, pa.ArrowInvalid) as error:
        raise SetError(
            f"{path} can't be read ({error}): delete it, and the same build makes it again"
        ) from None


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """As `whole`; InputError where the disk is full."""
    try:
        with whole(path) as temporary:
            yield temporary
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise InputError(
                f"no space left for {path}: free some and run the same command again; nothing is lost"
            ) from None
        raise


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, made `path` when the block ends well and removed otherwise."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Make a file's content, or the renames in a directory, survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
