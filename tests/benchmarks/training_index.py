"""Time and memory to index a large set for training, to plan its batches, and to walk through an epoch.

    python tests/benchmarks/training_index.py --concepts 1000000 --languages 10

Rows are made as they are read, some thousands at a time, so what grows with the set is the index and the
plan alone. The same is done at a tenth of the size, each in a process of its own. Peak memory is the
kernel's high-water mark of resident memory, begun anew for each stage, above what the process held before it
indexed (Linux only).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import polars as pl

from mldata_train.batches import Batching, BatchPlan
from mldata_train.groups import Groups, Ints, index

CHUNK = 2_000
"""Concepts made at a time."""


def parts(concepts: int, languages: int) -> Iterator[tuple[pl.Series, pl.Series, Ints, Ints]]:
    """Concepts of two to `languages` rows with ids as `mldata build` writes them, lengths log-normal."""
    tags = pl.Series(["en", *(f"l{number}" for number in range(1, languages))])
    for first in range(0, concepts, CHUNK):
        draw = np.random.default_rng(first)
        sizes = draw.integers(2, languages + 1, min(CHUNK, concepts - first))
        owner = np.repeat(np.arange(len(sizes)), sizes)
        place = np.arange(len(owner)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        lengths = draw.lognormal(5, 0.7, len(sizes))[owner].astype(np.int64) + 1
        ids = pl.Series([f"{first + number:032x}" for number in range(len(sizes))])
        yield ids.gather(owner), tags.gather(place), lengths, 2 * lengths


def resident(what: str = "VmRSS") -> int:
    """Bytes of memory that this process holds, or with VmHWM held at most."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(what + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {what}")


def measure(concepts: int, languages: int, align: str) -> None:
    """Print a line a stage."""
    began = time.perf_counter()
    rows = sum(len(ids) for ids, *_ in parts(concepts, languages))
    making = time.perf_counter() - began
    before = resident()
    print(f"{concepts:,} concepts, {rows:,} rows; making them alone takes {making:.1f} s", flush=True)

    def stage(name: str, began: float, detail: str) -> None:
        seconds, peak = time.perf_counter() - began, resident("VmHWM") - before
        memory = f"peak {peak / 2**20:7.1f} MiB, {peak / rows:5.1f} bytes a row"
        print(f"  {name:<6} {seconds:6.1f} s   {memory}   {detail}", flush=True)
        Path("/proc/self/clear_refs").write_text("5")

    Path("/proc/self/clear_refs").write_text("5")
    began = time.perf_counter()
    groups = index(parts(concepts, languages), anchor="en")
    stage("index", began, f"held {held(groups) / rows:.1f} bytes a row")
    began = time.perf_counter()
    plan = BatchPlan(
        groups, Batching(align=align), rows=16, processes=8, accumulation=2 if align == "step" else 1, seed=0
    )
    stage("plan", began, f"{len(plan):,} batches, {rows - plan.taken:,} rows wait")
    began = time.perf_counter()
    first = next(plan.epoch(0))
    stage("begin", began, f"the first batch of an epoch: {len(first)} rows")
    began = time.perf_counter()
    walked = sum(len(batch) for batch in plan.epoch(1))
    stage("epoch", began, f"{walked:,} rows")


def held(groups: Groups) -> int:
    """Bytes of the index."""
    columns = (getattr(groups, field.name) for field in fields(groups))
    return sum(column.nbytes for column in columns if isinstance(column, np.ndarray))


def main() -> None:
    """Measure at a tenth and in full."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--concepts", type=int, default=1_000_000)
    parser.add_argument("--languages", type=int, default=10)
    parser.add_argument("--align", choices=["device", "step"], default="device")
    parser.add_argument("--once", action="store_true", help="this size alone, in this process")
    arguments = parser.parse_args()
    if arguments.once:
        measure(arguments.concepts, arguments.languages, arguments.align)
        return
    for concepts in (arguments.concepts // 10, arguments.concepts):
        command = [sys.executable, __file__, "--once", "--align", arguments.align]
        command += ["--concepts", str(concepts), "--languages", str(arguments.languages)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
