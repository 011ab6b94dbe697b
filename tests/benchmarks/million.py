"""Seconds and peak memory of what people do with a finished set, on a set of a million concepts.

    python -m tests.benchmarks.million sets/en_prefs --languages es --against sets/strict

The rows of a real set, in some of its languages, are written again and again with new ids, and each command
is run in a process of its own, start-up included. The files are read once before, so that the disk counts as
little as it does on a machine that has just made the set. `diff` compares with a set of the same source.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import get_args

import polars as pl

from mldata import inspection
from mldata.chunks import MEAN
from mldata.exports import Format
from mldata.shards import FileFacts, Manifest, read_manifest

SHARD = 100
"""Copies of the set's concepts in a file."""
QUESTIONS = (
    "",
    "--limit 20",
    "--by language",
    "--by rule",
    "--by task",
    """--where "similarity < 0.85 AND language = 'es'" """,
    '--where "similarity < 0.85" --by language',
    "--sort similarity_min",
    "--sample 20",
    "--sample 20 --columns concept_id,language,similarity",
    "--rejected",
    "--concept 000000ff",
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
            shard.write_ipc(
                file,
                compression="lz4",
                compat_level=pl.CompatLevel.oldest(),
                record_batch_size=MEAN * (1 + len(languages)),  # a batch a chunk, as in a real set
            )
            place = file.relative_to(into).as_posix()
            size = file.stat().st_size
            facts.append(FileFacts(path=place, split=split, rows=len(shard), bytes=size, sha256=""))
    counts = {}
    for tag in (manifest.anchor, *languages):
        of = manifest.languages[tag]
        more = {name: copies * getattr(of, name) for name in ("concepts", "passed", "kept")}
        more |= {"train": copies * of.kept, "test": 0}
        counts[tag] = of.model_copy(update=more)
    large = manifest.model_copy(
        update={"files": facts, "calibration": None, "targets": languages, "languages": counts}
    )
    (into / "manifest.json").write_text(large.model_dump_json(), "utf-8")
    return large


def made(like: Path, into: Path, languages: list[str], concepts: int) -> Path:
    """The large set, read once, and a line on its size."""
    into.mkdir()
    files = enlarge(like, into, languages, concepts).files
    there = [file for file in files if (into / file.path).exists()]
    size = sum(len((into / file.path).read_bytes()) for file in there)
    rows = sum(file.rows for file in there)
    print(f"{like}: {rows:,} rows in {len(there)} files, {size / 1e9:.1f} GB", flush=True)
    return into


def measure(*command: str | Path) -> None:
    """Run a command of mldata and print its seconds and peak memory (Linux)."""
    began = time.perf_counter()
    words = [sys.executable, "-m", "mldata", *map(str, command)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{shlex.join(words)} failed")
    seconds, memory = time.perf_counter() - began, used.ru_maxrss * 1024
    said = " ".join(str(word) for word in command if not isinstance(word, Path))
    print(f"{seconds:6.1f} s {memory / 1e9:5.1f} GB  {said}", flush=True)


def main() -> None:
    """Print a line a command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", type=Path, help="a set of conversations with the column source.task")
    parser.add_argument("--against", type=Path, help="another set of the same source, for diff")
    parser.add_argument("--languages", default="es")
    parser.add_argument("--concepts", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where sets are made  [default: a temporary place]")
    asked = parser.parse_args()
    languages = asked.languages.split(",")
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        place = Path(folder)
        large = made(asked.set, place / "set", languages, asked.concepts)
        for question in QUESTIONS:
            measure("inspect", large, *shlex.split(question))
        measure("report", large)
        measure("review", large, "--language", languages[0], "--export", place / "rows.csv")
        for format in get_args(Format):
            measure("export", large, "--to", format, "--out", place / "exported")
            shutil.rmtree(place / "exported")
        if asked.against:
            other = made(asked.against, place / "other", languages, asked.concepts)
            measure("diff", large, other)


if __name__ == "__main__":
    main()
