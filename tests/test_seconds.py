"""What each language cost, over all builds, however they ended."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mldata
from mldata import seconds
from mldata.measured import Measured
from mldata.seconds import FILE, Clock, by_language
from mldata.store import Store

RECIPE = """
name = "plumbing"
targets = ["es", "de"]
translators = ["identity"]
identifiers = ["fasttext"]
encoder = "e5-small"
"""


class Stopped(Exception):
    pass


@pytest.fixture
def options(source, tmp_path):
    (tmp_path / "plumbing.toml").write_text(RECIPE, "utf-8")
    return {
        "source": str(source),
        "recipe": str(tmp_path / "plumbing.toml"),
        "out": tmp_path / "set",
        "workers": 1,
    }


def run(path):
    return json.loads((path / "run.json").read_text("utf-8"))


def test_a_build_that_was_interrupted_and_went_on_tells_what_both_runs_took(options, tmp_path):
    told = {}

    def stop_after_ten(task, took):
        told[task.language] = told.get(task.language, 0) + took
        if len(counted := [*told.get("tasks", []), task]) == 10:
            raise Stopped
        told["tasks"] = counted

    with pytest.raises(Stopped):
        mldata.build(**options, done=stop_after_ten)
    del told["tasks"]
    mldata.build(
        **options, done=lambda task, took: told.update({task.language: told.get(task.language, 0) + took})
    )
    said = run(tmp_path / "set")["seconds_by_language"]
    assert list(said) == ["en", "es", "de"]
    assert said == pytest.approx(told, abs=0.06)
    mldata.build(**options)  # which finds everything there
    assert run(tmp_path / "set")["seconds_by_language"] == said
    mldata.select(tmp_path / "set")
    assert run(tmp_path / "set")["seconds_by_language"] == said


def test_what_other_engines_took_isnt_counted(options, tmp_path):
    mldata.build(**options)
    with (tmp_path / "set.work" / FILE).open("a") as file:
        file.write('{"digest": "of another engine", "language": "es", "seconds": 900}\n')
    mldata.build(**options)
    assert run(tmp_path / "set")["seconds_by_language"]["es"] < 900


def test_a_torn_line_costs_itself_alone(options, tmp_path):
    mldata.build(**options)
    file = tmp_path / "set.work" / FILE
    whole = by_language(Measured.of_set(tmp_path / "set"))
    digest = next(iter(Measured.of_set(tmp_path / "set").measure.values()))
    file.write_bytes(file.read_bytes() + b'{"digest": "' + digest.encode()[:7])
    with Clock(Store(tmp_path / "set.work")) as clock:
        clock.add(digest, "en", 100.0)
    assert by_language(Measured.of_set(tmp_path / "set"))["en"] == pytest.approx(whole["en"] + 100, abs=0.06)


def test_a_store_of_an_older_version_has_none(built, tmp_path):
    path = built.copy_to(tmp_path)
    (tmp_path / "set.work" / FILE).unlink()
    mldata.select(path)
    assert run(path)["seconds_by_language"] == {}


@given(lines=st.lists(st.binary(max_size=40)))
def test_no_file_makes_reading_fail(tmp_path_factory, lines):
    folder = tmp_path_factory.mktemp("store")
    (folder / FILE).write_bytes(b"\n".join(lines))
    assert all(isinstance(took, float) for _, _, took in seconds._lines(Store(folder)))


def test_a_full_disk_or_a_store_that_is_read_only_doesnt_end_a_build(tmp_path):
    with Clock(Store(tmp_path / "absent")) as clock:
        clock.add("digest", "es", 1.0)
