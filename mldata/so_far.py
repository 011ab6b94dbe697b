"""Builds that aren't finished: what a build says of itself before it works, and what it has done so far.

    WORK/build.json    written by each build before it runs a task, and again when rows are tried again

A chunk counts when every task of it that is known is done: translated and measured in all languages of the
build, and tried again where its rows broke a rule, from when the build has come to that. Only whole files
are read, so a build may go on meanwhile, and nothing that it needs is touched.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from pydantic import Field, ValidationError

from mldata import attempts, shards
from mldata.chunks import load_index
from mldata.errors import InputError
from mldata.measured import Measured
from mldata.pipeline import sampled_chunks
from mldata.shards import Made
from mldata.store import Store

FILE = "build.json"


class Begun(Made):
    """build.json: what the build that was begun last makes. `retries` are those that it has come to."""

    set: str = Field(description="the set it is to be, relative to the work store")


def begin(measured: Measured, out: Path, attempts_begun: int = 0) -> None:
    """Say in the work store what a build makes, and how many further attempts it has come to."""
    retries = {target: retries[:attempts_begun] for target, retries in measured.retries.items()}
    known = replace(measured, retries={target: some for target, some in retries.items() if some})
    place = os.path.relpath(out.resolve(), measured.store.root.resolve())
    shards.write_json(measured.store.root / FILE, Begun(**dict(known.made()), set=place))


def measured_so_far(path: Path, work: Path | None = None) -> Measured:
    """What the build of the set `path` has done so far; InputError where none has begun, or no chunk is done.

    The work store is at `work`, else where the set that is at `path` says, else at `path` with ".work" added.
    """
    path = path.resolve()
    store = Store(_store(path, work))
    begun = _read(store, path)
    index = load_index(store, begun.source.digest)
    if index is None:
        raise InputError(f"the source of {path} isn't in {store.root} any more: run the same build again")
    measured = replace(Measured.of(begun, store, index), unfinished=True)
    measured = replace(measured, chunks=_first_attempts(measured))
    translated = len(measured.chunks)
    for number in range(1, max(map(len, measured.retries.values()), default=0) + 1):
        undone = {
            task.chunk
            for task in attempts.tasks(measured, tuple(measured.translate), number)
            if not measured.path(task).exists()
        }
        measured = replace(measured, chunks=tuple(c for c in measured.chunks if c not in undone))
    if not measured.chunks and index.chunks:
        again = f", and {translated} but for rows that are tried again" if translated else ""
        raise InputError(
            f"no chunk of {path} is done in all languages so far, of {len(index.chunks)} "
            f"({' '.join(measured.translate)}){again}: look again later"
        )
    return measured


def _store(path: Path, work: Path | None) -> Path:
    if work is not None:
        return work
    if (path / "manifest.json").is_file():
        return (path / shards.read_manifest(path).store).resolve()
    return path.with_name(f"{path.name}.work")


def _read(store: Store, path: Path) -> Begun:
    """What build.json says; InputError unless it is there and of a build of the set `path`."""
    file = store.root / FILE
    try:
        begun = Begun.model_validate_json(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"no build of {path} has begun at {store.root} ({FILE} isn't there): give the place of its work "
            "store with --work, or run `mldata build`, which goes on where it was"
        ) from None
    except ValidationError:
        raise InputError(
            f"{file} can't be read: it is damaged, or of another version of mldata. The same build, run "
            "again, writes it anew"
        ) from None
    if (makes := (store.root / begun.set).resolve()) != path:
        raise InputError(
            f"the build that was begun last in {store.root} makes {makes}, not {path}: name that"
        )
    return begun


def _first_attempts(measured: Measured) -> tuple[str, ...]:
    """Chunks that are measured in every language, wrong items included, in the source's order."""
    there = set(measured.index.chunks)
    for tag, digest in measured.measure.items():
        there -= set(measured.store.missing("measure", digest, tag, measured.index.chunks))
    for tag, digest in measured.translate.items():
        there -= set(measured.store.missing("translate", digest, tag, measured.index.chunks))
        if measured.recipe.calibration.enabled:
            sampled = sampled_chunks(measured.store, measured.index)
            there -= set(measured.store.missing("damage", measured.measure[tag], tag, sampled))
    return tuple(chunk for chunk in measured.index.chunks if chunk in there)
