"""Worker time of each language over all builds that used a work store: WORK/seconds.jsonl.

What a language cost belongs to the digests under which its files lie, so that a build that was interrupted
and went on counts in full, and one with other engines doesn't count theirs. Lines are only ever appended, a
few at a time; a kill loses at most what `EVERY` seconds gathered, and a torn line is skipped when read.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING

from mldata.store import Store

if TYPE_CHECKING:
    from mldata.measured import Measured

FILE = "seconds.jsonl"
EVERY = 10.0
"""Seconds after which what was gathered is written."""


class Clock:
    """A context that adds up what tasks took and writes it to the store, now and then and at its end."""

    def __init__(self, store: Store) -> None:
        self._path = store.root / FILE
        self._gathered: defaultdict[tuple[str, str], float] = defaultdict(float)
        self._written = time.monotonic()

    def __enter__(self) -> Clock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What goes wrong here must not hide why the build ended, nor end one that went well.
        with contextlib.suppress(OSError):
            self._write()

    def add(self, digest: str, language: str, seconds: float) -> None:
        """Count `seconds` of a worker that made files of `digest` in `language`."""
        self._gathered[digest, language] += seconds
        if time.monotonic() - self._written >= EVERY:
            with contextlib.suppress(OSError):  # a full disk is told where files of work are written
                self._write()

    def _write(self) -> None:
        self._written = time.monotonic()
        if not self._gathered:
            return
        lines = "".join(
            json.dumps({"digest": digest, "language": tag, "seconds": round(seconds, 3)}) + "\n"
            for (digest, tag), seconds in self._gathered.items()
        )
        with self._path.open("a+b") as file:
            torn = file.tell() and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n"
            file.write(b"\n" * bool(torn) + lines.encode())
        self._gathered.clear()


def by_language(measured: Measured) -> dict[str, float]:
    """Language -> seconds that workers spent on translating and measuring it, the anchor's first.

    Of files that the present digests name; languages that nothing is known of are left out.
    """
    spent: defaultdict[tuple[str, str], float] = defaultdict(float)
    for digest, tag, seconds in _lines(measured.store):
        spent[digest, tag] += seconds
    found = {tag: sum(spent[digest, tag] for digest in of) for tag, of in _digests(measured).items()}
    return {tag: round(seconds, 1) for tag, seconds in found.items() if seconds}


def _digests(measured: Measured) -> Mapping[str, set[str]]:
    digests = {tag: {digest} for tag, digest in measured.measure.items()}
    for tag, digest in measured.translate.items():
        retries = measured.retries.get(tag, ())
        digests[tag] |= {digest, *(r.translate_digest for r in retries), *(r.measure_digest for r in retries)}
    return digests


def _lines(store: Store) -> Iterator[tuple[str, str, float]]:
    """What was written, without lines that a kill or a power cut tore."""
    path = store.root / FILE
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            try:
                said = json.loads(line)
                yield str(said["digest"]), str(said["language"]), float(said["seconds"])
            except (ValueError, TypeError, KeyError):
                continue
