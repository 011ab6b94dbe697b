"""`mldata review` without its page: the summary and spreadsheets."""

import json
import socket
import sys

import pytest

from mldata.review import journal
from mldata.review.sampling import items
from tests.conftest import run_mldata


@pytest.fixture
def judged(built, tmp_path):
    path = built.copy_to(tmp_path)
    for reviewer, verdict in (("ana", "minor"), ("bo", "major")):
        drawn = items(path, "es")
        journal.append(path, reviewer, [journal.said(item, reviewer, verdict) for item in drawn])
    return path


def test_the_summary_tells_what_is_right_and_who_agrees(command, judged):
    done = command("review", judged, "--summary")
    assert done.code == 0
    assert "50.0 % (" in done.out
    assert "ana and bo" in done.out
    assert "Cohen's kappa" in done.out
    told = json.loads(command("review", judged, "--summary", "--format", "json").out)
    assert told["languages"]["es"]["kept"]["value"] == 0.5
    assert told["languages"]["es"]["agreements"][0]["same"] == 0


def test_without_verdicts_the_summary_tells_how_to_begin(command, built):
    done = command("review", built.path, "--summary")
    assert f"nothing is judged yet: `mldata review {built.path}`" in done.out


def test_a_journal_that_was_damaged_is_told(command, judged):
    file = judged.with_name("set.review") / "ana.jsonl"
    file.write_text(file.read_text() + "not json\n")
    assert f"{file}: 1 lines can't be read" in command("review", judged, "--summary").out


@pytest.mark.parametrize("how", ["short", "garbled", "gone"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("review", "SET", "--summary"),
        ("review", "SET", "--language", "es", "--export", "es.csv"),
        ("diff", "SET", "SET", "--rows", 1),
        ("report", "SET"),
        ("calibrate", "SET", "--verdicts", "--dry-run"),
        ("inspect", "SET"),
    ],
    ids=["summary", "export", "diff", "report", "calibrate", "inspect"],
)
def test_a_damaged_set_is_told_in_a_sentence(command, judged, tmp_path, arguments, how):
    (file,) = (judged / "data").glob("train-*.arrow")
    content = file.read_bytes()
    half = len(content) // 2
    file.write_bytes(content[:300] if how == "short" else b"\xff" * half + content[half:])
    if how == "gone":
        file.unlink()
    places = {"SET": judged, "es.csv": tmp_path / "es.csv"}
    done = command(*(places.get(one, one) for one in arguments))
    said = done.err.strip().splitlines()[-1]
    assert (done.code, "Traceback" in done.err) == (1, False)
    assert said.startswith("mldata: ")
    assert f"`mldata verify {judged}`" in said


@pytest.mark.parametrize("name", ["report", "review", "diff", "inspect", "select"])
def test_a_set_of_the_hub_is_refused_with_the_way_to_it(command, built, name):
    done = command(name, "hf://org/prefs", *([built.path] if name == "diff" else []))
    assert done.code == 2
    assert done.err.startswith("mldata: hf://org/prefs is on the hub")
    assert "hf download org/prefs --repo-type dataset" in done.err


def test_a_spreadsheet_goes_out_and_comes_back(command, built, tmp_path):
    path = built.copy_to(tmp_path)
    file = tmp_path / "es.csv"
    done = command("review", path, "--language", "es", "--sample", 4, "--export", file)
    assert f"{file}: 4 rows of es" in done.out
    head, *rows = file.read_text("utf-8-sig").split("\n", 1)
    file.write_text(head + "\n" + rows[0].replace('"1","",""', '"1","wrong","=1"', 1), "utf-8")
    done = command("review", path, "--import", file, "--reviewer", "ana")
    assert "1 verdicts imported, 0 known before, 3 rows without one, 0 set aside" in done.out
    assert "mldata report" in done.out
    assert journal.read(path).lines[0].comment == "=1"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--language", "pt"], "no translations into pt: it has es gl"),
        (["--language", "xx-Nope"], "xx"),
        (["--reviewer", "a/b"], "can't be a reviewer's name"),
        (["--export", "x.csv"], "--export needs a --language"),
        (["--import", "x.csv"], "--import needs a --reviewer"),
        (["--summary", "--export", "x.csv"], "choose one of"),
        (["--summary", "--format", "yaml"], 'not "yaml"'),
        (["--import", "none.csv", "--reviewer", "ana"], "none.csv isn't there"),
    ],
)
def test_what_can_not_be_done_is_told_in_a_sentence(command, built, options, said):
    done = command("review", built.path, *options)
    assert done.code == 2
    assert said in done.err
    assert done.err.startswith("mldata: ")


def test_a_port_that_is_taken_is_told(command, built):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        done = command("review", built.path, "--port", other.getsockname()[1])
    assert done.code == 2
    assert "choose another --port" in done.err


def test_without_the_extra_the_page_tells_how_to_install_it(built, tmp_path):
    """A directory before the others holds a starlette that isn't there."""
    (tmp_path / "starlette.py").write_text("raise ModuleNotFoundError('No module', name='starlette')")
    python_path = f"{tmp_path}:{':'.join(filter(None, sys.path))}"
    done = run_mldata("review", built.path, cwd=tmp_path, PYTHONPATH=python_path)
    assert done.code == 2
    assert 'the review page needs starlette: pip install "mldata[review]"' in done.err
