"""Seconds and peak memory of `mldata inspect` on a set of a million concepts.

    python tests/benchmarks/inspect_million.py sets/en_prefs --languages es

The rows of a real set, in some of its languages, are written again and again with new ids, and each question
is asked in a process of its own, start-up included. The files are read once before, so that the disk counts
as little as it does on a machine that has just made the set.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl

from mldata import inspection
from mldata.shards import FileFacts, Manifest, read_manifest

SHARD = 100
"""Copies of the set's concepts in a file."""
QUESTIONS = (
    [],
    ["--limit", "20"],
    ["--by", "language"],
    ["--by", "rule"],
    ["--by", "task"],
    ["--where", "similarity < 0.85 AND language = 'es'"],
    ["--where", "similarity < 0.85", "--by", "language"],
    ["--sort", "similarity_min"],
    ["--sample", "20"],
    ["--sample", "20", "--columns", "concept_id,language,similarity"],
    ["--rejected"],
    ["--concept", "0000ffff"],
)


def enlarge(like: Path, into: Path, languages: list[str], concepts: int) -> Manifest:
    """Write a set of `concepts` concepts, all of them copies of those in the set `like`."""
    manifest = read_manifest(like)
    kept, dropped = inspection.kept_rows(like, manifest), inspection.dropped_rows(like, manifest)
    wanted = pl.col("language").is_in([manifest.anchor, *languages])
    facts = [file for file in manifest.files if file.split not in ("train", "test", "dropped")]
    ids = pl.concat([kept.select("concept_id"), dropped.select("concept_id")]).unique().collect()
    numbers = {concept: number for number, concept in enumerate(ids["concept_id"].sort())}
    copies = -(-concepts // manifest.source.concepts)
    for name, split, rows in (("data/train", "train", kept), ("dropped/rows", "dropped", dropped)):
        once = rows.filter(wanted).collect()
        number = pl.col("concept_id").replace_strict(numbers, return_dtype=pl.Int64)
        for first in range(0, copies, SHARD):
            shard = pl.concat(
                once.with_columns(
                    concept_id=(number + copy * manifest.source.concepts).map_elements(
                        lambda at: f"{at:08x}", return_dtype=pl.String
                    )
                    + pl.col("concept_id").str.slice(8)
                )
                for copy in range(first, min(copies, first + SHARD))
            )
            file = into / f"{name}-{first // SHARD:05d}.arrow"
            file.parent.mkdir(parents=True, exist_ok=True)
            shard.write_ipc(file, compression="lz4", compat_level=pl.CompatLevel.oldest())
            place = file.relative_to(into).as_posix()
            size = file.stat().st_size
            facts.append(FileFacts(path=place, split=split, rows=len(shard), bytes=size, sha256=""))
    large = manifest.model_copy(update={"files": facts, "calibration": None})
    (into / "manifest.json").write_text(large.model_dump_json(), "utf-8")
    return large


def measure(path: Path, question: list[str]) -> tuple[float, int]:
    """Seconds, and peak memory in bytes (Linux), of one command."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "mldata", "inspect", str(path), *question]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.perf_counter() - began, used.ru_maxrss * 1024


def main() -> None:
    """Print a line a question."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", type=Path, help="a set of conversations with the column source.task")
    parser.add_argument("--languages", default="es")
    parser.add_argument("--concepts", type=int, default=1_000_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        files = enlarge(asked.set, path, asked.languages.split(","), asked.concepts).files
        mine = [file for file in files if (path / file.path).exists()]
        size = sum(len((path / file.path).read_bytes()) for file in mine)
        print(
            f"{sum(file.rows for file in mine):,} rows in {len(mine)} files, {size / 1e9:.1f} GB", flush=True
        )
        for question in QUESTIONS:
            seconds, memory = measure(path, question)
            print(f"{seconds:6.1f} s {memory / 1e9:5.1f} GB  {json.dumps(question)}", flush=True)


if __name__ == "__main__":
    main()
