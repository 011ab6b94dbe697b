"""A set of forty concepts, copied from those of `built`, and its review page in a process of its own."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import polars as pl
import pytest

from mldata import inspection
from mldata.shards import file_facts, read_manifest
from tests.conftest import environment

CONCEPTS = 40
DROPPED = 8
"""Concepts whose translations similarity_min drops: the last."""


def copied(number, texts):
    """The id of a copy, and its evidence: no two copies are equally near a threshold."""
    return [
        pl.lit(f"{number:032x}").alias("concept_id"),
        pl.lit(0.70 + 0.004 * (CONCEPTS - number)).alias("similarity_min"),
        pl.lit([], pl.List(pl.String)).alias("reasons"),
        *(pl.lit(text).alias(name) for name, text in texts.items()),
    ]


def write_set(like, path, strange=None):
    """A set whose first concept, in es, says what `strange` has: field -> text."""
    manifest = read_manifest(like)
    kept = inspection.kept_rows(like, manifest).collect()
    first = kept["concept_id"][0]
    rows = kept.filter(pl.col("concept_id") == first)
    copies = []
    for number in range(CONCEPTS):
        copy = rows.with_columns(copied(number, {}))
        if number >= CONCEPTS - DROPPED:
            why = pl.when("is_anchor").then("reasons").otherwise(pl.lit(["similarity_min"]))
            copy = copy.with_columns(reasons=why)
        copies.append(copy)
    every = pl.concat(copies)
    for field, text in (strange or {}).items():
        message = pl.element().struct.with_fields(pl.lit(text).alias("content"))
        here = (pl.col("concept_id") == f"{0:032x}") & (pl.col("language") == "es")
        said = pl.when(here).then(pl.col(field).list.eval(message)).otherwise(pl.col(field))
        every = every.with_columns(said.alias(field))
    kept, gone = pl.col("reasons").list.len() == 0, pl.col("reasons").list.len() > 0
    files = []
    for name, split, part in (
        ("data/train-00000-of-00001.arrow", "train", every.filter(kept).drop("reasons")),
        ("dropped/rows-00000-of-00001.arrow", "dropped", every.filter(gone)),
    ):
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_ipc(file, compat_level=pl.CompatLevel.oldest())
        files.append(file_facts(path, file, split, len(part)))
    changed = manifest.model_copy(update={"files": files, "calibration": None, "store": "../no.work"})
    (path / "manifest.json").write_text(changed.model_dump_json(), "utf-8")
    return path


@pytest.fixture(scope="session")
def forty(built, tmp_path_factory):
    """The set. Read it, never write to it or beside it."""
    return write_set(built.path, tmp_path_factory.mktemp("forty") / "set")


@pytest.fixture
def mine(built, tmp_path):
    """The same set for one's own verdicts."""
    return write_set(built.path, tmp_path / "set")


class Served:
    """A running `mldata review`."""

    def __init__(self, path, *options):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mldata", "review", str(path), "--no-open", *map(str, options)],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        said = []
        for line in self.process.stdout:
            said.append(line)
            if line.startswith("Verdicts go to"):
                break
        self.address = re.search(r"http://\S+", "".join(said))[0]
        self.port = int(re.search(r":(\d+)/", self.address)[1])
        self.token = self.address.partition("token=")[2]
        self.base = f"http://127.0.0.1:{self.port}"

    def kill(self):
        """As a power cut would."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def stop(self):
        """As Ctrl-C would; gives what it said last."""
        self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=30)[0]


@contextmanager
def served(path, *options):
    """A server, gone at the end."""
    server = Served(path, *options)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()


def lines_of(path, reviewer):
    """A reviewer's journal, as a person would read it."""
    file = path.with_name(f"{path.name}.review") / f"{reviewer}.jsonl"
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]
