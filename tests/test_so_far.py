"""A build that isn't finished can be looked at: what it has done makes a set, and nothing is lost by it."""

import json
import shutil
import signal
import subprocess
import sys
from functools import partial

import polars as pl
import pytest

import mldata
from mldata import chunks, pipeline
from mldata.errors import InputError
from mldata.shards import read_manifest
from mldata.so_far import FILE
from mldata.tasks import FOLDERS, Task
from tests.conftest import bytes_of, environment, run_mldata, talk, write_jsonl
from tests.test_retries import arrow, build  # noqa: F401 (a fixture)

BUILD = """
import os, signal, subprocess, sys
import mldata

source, targets, chunks, look = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
measured = []

def done(task, seconds):
    measured.extend([task] if task.stage == "measure" else [])
    if len([task for task in measured if task.language == targets.split(",")[-1]]) == chunks:
        if look:
            subprocess.run([sys.executable, "-m", "mldata", *look], check=True)
        os.kill(os.getpid(), signal.SIGKILL)

mldata.build(source, targets=targets, out="set", workers=1, done=done)
"""
"""Kills itself when the last language has so many chunks measured: then so many are done in all languages."""


def build_and_kill(folder, source, chunks, *look, targets="es,gl"):
    """A real build of FOLDER/set that dies as by the kernel's hand; gives what `look` said while it ran."""
    done = subprocess.run(
        [sys.executable, "-c", BUILD, source, targets, str(chunks), *map(str, look)],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return done.stdout


def rows(path):
    """All rows of a set, kept and dropped, but for what depends on the rest of the source."""
    files = [*(path / "data").glob("*.arrow"), *(path / "dropped").glob("rows-*.arrow")]
    both = pl.concat((pl.read_ipc(file) for file in files), how="diagonal")
    return both.drop("length_deviation", "reasons").sort("concept_id", "language")


@pytest.fixture(scope="module")
def looked_at(built, tmp_path_factory):
    """The folder of a build that was looked at while it ran, and killed then; and what was said."""
    folder = tmp_path_factory.mktemp("looked_at")
    return folder, build_and_kill(folder, built.source, 1, "select", "set", "--so-far")


@pytest.fixture
def killed(looked_at, tmp_path):
    """A copy of one's own of the same."""
    for name in ("set", "set.work"):
        shutil.copytree(looked_at[0] / name, tmp_path / name)
    return tmp_path


def test_a_set_of_what_a_running_build_has_done_says_that_it_is_partial(looked_at, built):
    folder, said = looked_at
    part = read_manifest(folder / "set").so_far
    assert (part.chunks, part.of) == (1, 3)
    assert 0 < part.concepts < len(built.source.read_text("utf-8").splitlines())
    line = f"partial:    1 of 3 chunks were done in all languages ({part.concepts} of "
    assert line in said
    assert line in run_mldata("inspect", "set", cwd=folder).out
    assert "**Partial**: the build wasn't finished. This is 1 of 3 chunks" in (
        folder / "set" / "README.md"
    ).read_text("utf-8")
    assert "Partial" not in (built.path / "README.md").read_text("utf-8")
    assert read_manifest(built.path).so_far is None


def test_its_rows_are_those_of_the_finished_set(looked_at, built):
    folder, _ = looked_at
    mine = rows(folder / "set")
    assert mine["concept_id"].n_unique() == read_manifest(folder / "set").so_far.concepts
    whole = rows(built.path)
    assert mine.equals(whole.filter(pl.col("concept_id").is_in(mine["concept_id"].unique().implode())))


def test_every_command_works_on_it_as_on_any_set(killed, built):
    assert run_mldata("verify", "set", cwd=killed).code == 0
    assert run_mldata("inspect", "set", "--by", "language", cwd=killed).code == 0
    assert run_mldata("export", "set", "--to", "jsonl", "--out", "jsonl", cwd=killed).code == 0
    compared = run_mldata("diff", "set", built.path, cwd=killed)
    assert compared.code == 0
    assert "concept not in it so far" in compared.out
    assert "1 of 3" in compared.out


def test_a_build_that_was_killed_and_looked_at_ends_with_the_bytes_of_one_left_alone(killed, built):
    again = run_mldata("select", "set", "--so-far", "--rule", "similarity>=0.9", cwd=killed)
    assert again.code == 0
    assert run_mldata("verify", "set", cwd=killed).code == 0
    command = ("build", "--source", built.source, "--targets", "es,gl", "--out", killed / "set")
    finished = run_mldata(*command, "--workers", 1, cwd=killed)
    assert finished.code == 0, finished.err
    assert "Partial" not in finished.out
    assert bytes_of(killed / "set", "run.json", "report.html") == bytes_of(
        built.path, "run.json", "report.html"
    )
    assert sorted(path.name for path in killed.iterdir()) == ["set", "set.work"]


def test_thresholds_are_calibrated_on_what_is_done_or_the_recipes(killed):
    part = read_manifest(killed / "set").so_far
    assert (part.sampled, part.of_sampled) == (1, 3)
    assert read_manifest(killed / "set").calibration
    said = run_mldata("select", "set", "--so-far", "--no-calibration", cwd=killed)
    assert "thresholds are the recipe's (1 of 3 sampled chunks done)" in said.out
    assert read_manifest(killed / "set").calibration is None


@pytest.mark.parametrize("command", ["select", "calibrate"])
def test_a_partial_set_is_chosen_from_again_only_as_what_it_is(killed, command):
    before = bytes_of(killed / "set")
    done = run_mldata(command, "set", cwd=killed)
    assert done.code == 2
    assert "mldata select set --so-far" in done.err
    assert done.err.count("\n") == 1
    assert bytes_of(killed / "set") == before


def test_a_finished_set_is_not_replaced_by_a_part_of_its_next_build(built, tmp_path):
    built.copy_to(tmp_path)
    more = talk("Where is the old key?", "The key is on the table of the kitchen.", "Keys are never there.")
    grown = [*map(json.loads, built.source.read_text("utf-8").splitlines()), {**more, "topic": "home"}]
    (tmp_path / "more").mkdir()
    source = write_jsonl(tmp_path / "more" / built.source.name, grown)
    before = bytes_of(tmp_path / "set")
    build_and_kill(tmp_path, source, 1)
    refused = run_mldata("select", "set", "--so-far", cwd=tmp_path)
    assert refused.code == 2
    assert "is a finished set" in refused.err
    assert "--out" in refused.err
    assert bytes_of(tmp_path / "set") == before
    beside = run_mldata("select", "set", "--so-far", "--out", "evening", cwd=tmp_path)
    assert beside.code == 0, beside.err
    assert run_mldata("verify", "evening", cwd=tmp_path).code == 0
    assert read_manifest(tmp_path / "evening").source.concepts == len(grown)
    onto = run_mldata("select", "evening", "--so-far", "--out", "set", "--work", "set.work", cwd=tmp_path)
    assert onto.code == 2
    assert bytes_of(tmp_path / "set") == before


def test_where_nothing_has_begun_or_is_done_it_says_so(built, tmp_path):
    with pytest.raises(InputError, match=r"no build of .*/set has begun at .*/set\.work"):
        mldata.select(tmp_path / "set", so_far=True)
    path = built.copy_to(tmp_path)
    path.rename(tmp_path / "other")
    with pytest.raises(InputError, match=r"makes .*/set, not .*/other: name that"):
        mldata.select(tmp_path / "other", so_far=True)
    for file in (tmp_path / "set.work" / "measure").glob("*/gl/*.arrow"):
        file.unlink()
    with pytest.raises(InputError, match=r"no chunk of .* is done in all languages so far, of 3 \(es gl\)"):
        mldata.select(tmp_path / "set", so_far=True)
    (tmp_path / "set.work" / FILE).write_text("{}")
    with pytest.raises(InputError, match="can't be read"):
        mldata.select(tmp_path / "set", so_far=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "set.work"]


def test_a_folder_of_something_else_is_not_replaced(killed):
    shutil.rmtree(killed / "set")
    (killed / "set").mkdir()
    (killed / "set" / "diary.txt").write_text("Monday")
    done = run_mldata("select", "set", "--so-far", cwd=killed)
    assert done.code == 2
    assert (killed / "set" / "diary.txt").read_text() == "Monday"


class Interrupted(Exception):
    """By the user."""


def test_chunks_whose_rows_are_still_to_be_tried_again_do_not_count(build, monkeypatch):  # noqa: F811
    monkeypatch.setattr(chunks, "MEAN", 4)
    build(out="undisturbed")
    whole = rows(build.place / "undisturbed")
    of = read_manifest(build.place / "undisturbed")
    monkeypatch.setattr(pipeline, "ROUND", 1)  # chunk by chunk: how work is cut into rounds changes nothing

    def interrupt(task, seconds, attempt):
        if (task.stage, task.attempt) == ("measure", attempt):
            raise Interrupted

    with pytest.raises(Interrupted):
        build(done=partial(interrupt, attempt=0))
    early = mldata.select(build.place / "set", so_far=True)
    assert (early.so_far.chunks, early.retries) == (1, {})
    with pytest.raises(Interrupted):
        build(done=partial(interrupt, attempt=1))
    manifest = mldata.select(build.place / "set", so_far=True)
    assert 0 < manifest.so_far.chunks < manifest.so_far.of
    assert manifest.languages["es"].kept_by["fluent"] > 0
    assert mldata.verify(build.place / "set").retries == of.retries
    mine = rows(build.place / "set")
    assert mine.equals(whole.filter(pl.col("concept_id").is_in(mine["concept_id"].unique().implode())))
    build()
    assert arrow(build.place / "set") == arrow(build.place / "undisturbed")


def test_chunks_are_done_in_all_languages_one_after_the_other_those_for_calibration_first():
    names = [f"chunk {number}" for number in range(10)]
    tasks = [
        Task(stage, tag, chunk)
        for stage in FOLDERS
        for tag in (["en"] if stage == "measure_source" else ["es", "gl"])
        for chunk in names
    ]
    rounds = pipeline.in_rounds(tasks, frozenset(names[7:9]), 4)
    assert sorted(repr(task) for stage in rounds for task in stage) == sorted(map(repr, tasks))
    assert all(len({task.stage for task in stage}) == 1 for stage in rounds)
    of_round = [[task.chunk for task in stage if task.stage == "measure_source"] for stage in rounds[::3]]
    assert [sorted(chunks) for chunks in of_round] == [
        ["chunk 0", "chunk 1", "chunk 7", "chunk 8"],
        ["chunk 2", "chunk 3", "chunk 4", "chunk 5"],
        ["chunk 6", "chunk 9"],
    ]
    assert [stage[0].stage for stage in rounds] == [*FOLDERS] * 3
    assert pipeline.in_rounds([], frozenset(), 4) == []
