"""Seconds and peak memory of `mldata diff` on two sets of a million concepts.

    python tests/benchmarks/diff_million.py sets/en_prefs sets/strict --languages es

Both sets are enlarged as `inspect_million.py` does, which keeps who is who as long as both have the same
concepts, and compared in a process of its own, start-up included, after their files were read once.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.inspect_million import enlarge


def main() -> None:
    """Print a line a question."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", type=Path, nargs=2, help="two sets of the same source")
    parser.add_argument("--languages", default="es")
    parser.add_argument("--concepts", type=int, default=1_000_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / side for side in "ab"]
        for like, path in zip(asked.sets, paths, strict=True):
            path.mkdir()
            files = enlarge(like, path, asked.languages.split(","), asked.concepts).files
            there = [path / file.path for file in files if (path / file.path).exists()]
            size = sum(len(file.read_bytes()) for file in there)
            print(f"{like}: {size / 1e9:.1f} GB", flush=True)
        for more in ([], ["--rows", "5"]):
            began = time.perf_counter()
            command = [sys.executable, "-m", "mldata", "diff", *map(str, paths), *more]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            _, status, used = os.wait4(process.pid, 0)
            if status:
                raise SystemExit(f"{' '.join(command)} failed")
            seconds, memory = time.perf_counter() - began, used.ru_maxrss * 1024
            print(f"{seconds:6.1f} s {memory / 1e9:5.1f} GB  {' '.join(more)}", flush=True)


if __name__ == "__main__":
    main()
