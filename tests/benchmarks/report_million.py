"""Seconds and peak memory of `mldata report` on a set of a million concepts.

    python tests/benchmarks/report_million.py sets/en_prefs --languages es,pt

The rows of a real set, in some of its languages, are written again and again with new ids, and the report is
made in a process of its own, start-up included. The files are read once before, so that the disk counts as
little as it does on a machine that has just made the set.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mldata.shards import Manifest
from tests.benchmarks.inspect_million import enlarge


def measure(path: Path) -> tuple[float, int]:
    """Seconds, and peak memory in bytes (Linux), of the command."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "mldata", "report", str(path)])
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit("mldata report failed")
    return time.perf_counter() - began, used.ru_maxrss * 1024


def in_languages(path: Path, large: Manifest, languages: list[str]) -> None:
    """Say in the manifest, too, that the set is in these languages."""
    counts = {tag: large.languages[tag] for tag in (large.anchor, *languages)}
    said = large.model_copy(update={"targets": languages, "languages": counts})
    (path / "manifest.json").write_text(said.model_dump_json(), "utf-8")


def main() -> None:
    """Print what the set is, and what its report took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", type=Path, help="a set made by mldata build")
    parser.add_argument("--languages", default="es,pt")
    parser.add_argument("--concepts", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where the set is made  [default: a temporary place]")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        path = Path(folder)
        languages = asked.languages.split(",")
        large = enlarge(asked.set, path, languages, asked.concepts)
        in_languages(path, large, languages)
        mine = [file for file in large.files if (path / file.path).exists()]
        bytes_read = sum(len((path / file.path).read_bytes()) for file in mine)
        rows = sum(file.rows for file in mine)
        print(f"{rows:,} rows in {len(mine)} files, {bytes_read / 1e9:.1f} GB", flush=True)
        seconds, memory = measure(path)
        page = (path / "report.html").stat().st_size
        print(f"{seconds:.1f} s, {memory / 1e9:.1f} GB, a page of {page / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
