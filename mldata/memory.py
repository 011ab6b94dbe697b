"""Peak memory of this process and all its children together: what a machine must have for a build."""

from __future__ import annotations

import threading
from types import TracebackType

import psutil

INTERVAL = 0.5
"""Seconds between two looks. An engine's memory grows in seconds and stays."""


class Peak:
    """A context that measures while it is open: `bytes` is the largest sum seen.

    Sums proportional set sizes, so that a page shared by a dozen pipeline processes counts once.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while True:
            seen = 0
            for process in (me, *me.children(recursive=True)):
                if self._end.is_set():  # a look takes long where there are many processes
                    return
                seen += _size(process)
            self.bytes = max(self.bytes, seen)
            if self._end.wait(INTERVAL):
                return


def _size(process: psutil.Process) -> int:
    try:
        full = process.memory_full_info()
        return int(getattr(full, "pss", full.uss))
    except psutil.Error:  # it ended meanwhile
        return 0
