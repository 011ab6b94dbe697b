"""Runs mldata-train in processes of their own, forked from one that has imported torch and TRL already.

Importing takes ten seconds, a run on the tiny model one: so every command here is a real process that can be
killed, with an environment, an exit code and streams of its own, and costs little.
"""

import multiprocessing
import os
import re
import runpy
import socket
import sys
import time
import warnings
from pathlib import Path

from tests.conftest import Finished

PRELOADED = ("mldata_train.cli", "mldata_train.compare", "mldata_train.report", "mldata_train.scores")
os.environ.setdefault("TQDM_DISABLE", "1")  # read when tqdm is imported: quiet() comes too late after a fork
os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([*PRELOADED, "tests.train.commands"])
SECONDS = 120


def _run(arguments, cwd, variables, streams):
    """In the forked process: become `python -m mldata_train ARGUMENTS`."""
    os.chdir(cwd)
    os.environ.update(variables)
    for number, path in enumerate(streams, 1):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, number)
        os.close(handle)
    warnings.resetwarnings()
    sys.argv = ["mldata-train", *arguments]
    runpy.run_module("mldata_train", run_name="__main__")


class Running:
    """A command under way, in one process or several as torchrun starts them."""

    def __init__(self, arguments, cwd, processes=1, **variables):
        self.folder = Path(cwd)
        base = {"COLUMNS": "300", "NO_COLOR": "1", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", **variables}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.streams, self.forks = [], []
        mark = time.monotonic_ns()
        for rank in range(processes):
            several = {
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(processes),
                "LOCAL_WORLD_SIZE": str(processes),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
            }
            streams = [self.folder / f".{mark}-{rank}.{name}" for name in ("out", "err")]
            made = FORKS.Process(
                target=_run,
                args=(
                    [str(part) for part in arguments],
                    str(cwd),
                    base | (several if processes > 1 else {}),
                    streams,
                ),
            )
            made.start()
            self.forks.append(made)
            self.streams.append(streams)

    def kill_when(self, ready):
        """SIGKILL to all processes as soon as `ready()`; fails if the command ends before."""
        ends = time.monotonic() + SECONDS
        while not ready():
            assert all(fork.is_alive() for fork in self.forks), self._text(1)
            assert time.monotonic() < ends
            time.sleep(0.001)
        for fork in self.forks:
            fork.kill()
        for fork in self.forks:
            fork.join()
        assert [fork.exitcode for fork in self.forks] == [-9] * len(self.forks), self._text(1)
        self._text(0)

    def finished(self):
        """How it ended; the code is that of the first process that failed."""
        ends = time.monotonic() + SECONDS
        for fork in self.forks:
            fork.join(max(0.0, ends - time.monotonic()))
        if any(fork.is_alive() for fork in self.forks):
            for fork in self.forks:
                fork.kill()
            raise TimeoutError(self._text(1))
        codes = [fork.exitcode for fork in self.forks]
        return Finished(next((code for code in codes if code), 0), self._text(0), self._text(1))

    def _text(self, stream):
        return "".join(
            paths[stream].read_text("utf-8", "replace") for paths in self.streams if paths[stream].exists()
        )


def start(*arguments, cwd, processes=1, **variables):
    """Start mldata-train."""
    return Running(arguments, cwd, processes, **variables)


def run(*arguments, cwd, processes=1, **variables):
    """Run mldata-train to its end."""
    return start(*arguments, cwd=cwd, processes=processes, **variables).finished()


def one_sentence(finished, code, *words):
    """The command failed with `code` and one line that has these words, and nothing else on its stderr."""
    assert finished.code == code, finished.err
    lines = [line for line in finished.err.splitlines() if line.strip()]
    assert len(lines) == 1, finished.err
    assert lines[0].startswith("mldata-train: ")
    assert "Traceback" not in finished.out + finished.err
    for word in words:
        assert re.search(word, lines[0]), lines[0]
    return lines[0]
