"""Tasks in worker processes of this machine, each with its own engines.

Few tasks are handed out ahead, so memory doesn't grow with their number. Workers end with their parent,
however it ends: a task left half done leaves no file.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from itertools import chain, islice
from multiprocessing import resource_tracker

from mldata.errors import EngineError
from mldata.tasks import Job, Task, Worker

AHEAD = 2
"""Tasks handed out for each worker: one at work, one waiting."""
LOOK_UP = 0.2
"""Seconds after which waiting is left for a moment: Polars has Ctrl-C resume what it interrupts (SA_RESTART),
so that a wait without an end would not notice it."""

# These libraries lose most of their speed to spinning threads when several workers share the cores.
_ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
    "OPENBLAS_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
# Planning fetched what is needed; a branch of the hub that moved since isn't what was planned with.
_AS_PLANNED = {"HF_HUB_OFFLINE": "1"}


Done = Callable[[Task, float], None]
"""Told of each task that was done, and of the seconds its worker took."""


def run(job: Job, stages: Sequence[Sequence[Task]], workers: int, done: Done) -> None:
    """Do the tasks of each stage, in about their order, before the next stage's; call `done` after each.

    One worker works in this process. Raises what a task raised, and EngineError if a worker died; what
    was done stays done.
    """
    widest = max(map(len, stages), default=0)
    if workers == 1 or widest < 2:
        worker = Worker(job)
        try:
            for task in chain.from_iterable(stages):
                done(task, _timed(worker, task))
        finally:
            worker.close()
        return
    count = min(workers, widest)
    job = replace(job, allowance=replace(job.allowance, processes=count))
    context = multiprocessing.get_context("spawn")
    with _environment(_ONE_THREAD | _AS_PLANNED):
        pool = ProcessPoolExecutor(count, context, _start, (job,))
        others = set(multiprocessing.active_children())
        try:
            with _signals_held():
                for _ in range(count):
                    pool.submit(_nothing)  # each starts a process, as none is idle yet
            for tasks in stages:
                _feed(pool, tasks, AHEAD * workers, done)
            pool.shutdown()
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in set(multiprocessing.active_children()) - others:
                process.kill()
            if isinstance(error, BrokenProcessPool):
                raise EngineError(
                    "a worker process died (out of memory, or killed); what was done is kept: run the "
                    "same again, with fewer workers if memory is short. A script that calls mldata.build "
                    'must do so under `if __name__ == "__main__":`, as it is imported by each worker'
                ) from None
            raise


def _feed(pool: ProcessPoolExecutor, tasks: Sequence[Task], ahead: int, done: Done) -> None:
    waiting = iter(tasks)
    running: dict[Future[float], Task] = {}
    while True:
        for task in islice(waiting, ahead - len(running)):
            running[pool.submit(_run, task)] = task
        if not running:
            return
        finished, _ = wait(running, timeout=LOOK_UP, return_when=FIRST_COMPLETED)
        for future in finished:
            task = running.pop(future)
            done(task, future.result())


_worker: Worker


def _start(job: Job) -> None:
    """In a new worker process."""
    global _worker
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker = Worker(job)


def _nothing() -> None:
    pass


def _run(task: Task) -> float:
    return _timed(_worker, task)


def _timed(worker: Worker, task: Task) -> float:
    """Do a task; seconds it took, engines opened for it included."""
    started = time.perf_counter()
    worker.run(task)
    return time.perf_counter() - started


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextlib.contextmanager
def _environment(extra: dict[str, str]) -> Iterator[None]:
    """Set what the user has not set himself, for the processes started inside the block."""
    added = {name: value for name, value in extra.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Processes started inside the block never see Ctrl-C or SIGTERM, which may be sent to all processes of a
    terminal or of a cluster's job: their parent decides what they mean, and ends them. This process gets what
    came meanwhile when the block ends.
    """
    resource_tracker.ensure_running()  # which unblocks signals when it starts its process
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
