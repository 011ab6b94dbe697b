"""`mldata diff` says first what changed most, in any format, and no text does anything."""

import json
from dataclasses import asdict

import polars as pl
import pytest

import mldata


@pytest.fixture(scope="module")
def other(built, tmp_path_factory):
    """A copy of the set whose Spanish texts are hostile and whose evidence moved."""
    path = built.copy_to(tmp_path_factory.mktemp("other"))
    hostile = "\x1b[2J[bold]not markup[/bold] [/] =1+1 | <b> \u202e"
    for file in (path / "data").glob("*.arrow"):
        rows = pl.read_ipc(file)
        mine = pl.col("language") == "es"
        texts = [[{"role": "assistant", "content": hostile}]] * len(rows)
        rows.with_columns(
            chosen=pl.when(mine)
            .then(pl.Series(texts, dtype=rows.schema["chosen"]))
            .otherwise(pl.col("chosen")),
            back_chrf=pl.when(mine).then(pl.col("back_chrf") - 7).otherwise(pl.col("back_chrf")),
        ).write_ipc(file)
    return path


def test_sets_that_are_the_same_are_said_to_be_in_one_line(command, built):
    done = command("diff", built.path, built.path)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[2:] == ["the sets are the same: what made them, their rows and splits, their evidence"]


def test_three_lines_say_what_changed_most(command, built, other):
    done = command("diff", built.path, other)
    assert done.code == 0
    of_es = len(mldata.open_set(other).scan().filter(language="es").collect())
    made, rows, evidence = done.out.splitlines()[2:5]
    assert made == "made: the same source, engines, rules and policy"
    assert f"({of_es} with other texts)" in rows
    assert evidence.startswith("evidence: back_chrf of es moved most, median ")
    assert "rows by more than 5" in evidence


def test_another_threshold_is_named_with_what_it_costs(command, built, tmp_path):
    path = tmp_path / "strict"
    assert command("select", built.path, "--out", path, "--rule", "similarity>=2").code == 0
    done = command("diff", built.path, path)
    assert "other rules (1)" in done.out
    assert "similarity>=2" in done.out
    kept = len(mldata.open_set(built.path).scan().collect())
    assert f"rows: {kept} → 0, 0 kept in both · {kept} in A only" in done.out


@pytest.mark.parametrize("format", ["table", "markdown", "json"])
def test_no_text_does_anything_to_the_terminal(command, built, other, format):
    done = command("diff", built.path, other, "--rows", 2, "--format", format)
    assert done.code == 0
    assert not set(done.out) & set("\x1b\u202e")
    assert "not markup" in done.out
    if format == "table":
        assert "[bold]not markup[/bold] [/]" in done.out
    if format == "markdown":
        assert "<b>" not in done.out


def test_json_holds_all_that_the_library_finds(command, built, other):
    said = json.loads(command("diff", built.path, other, "--rows", 1, "--format", "json").out)
    found = mldata.diff(built.path, other, rows=1)
    assert said["rows"] == found.rows.to_dicts()
    assert said["evidence"] == found.evidence.to_dicts()
    assert said["changed"] == found.changed.to_dicts()
    assert said["made"] == [asdict(fact) for fact in found.made]
    assert said["same"] is False
    assert len(said["verdict"]) == 3


def test_long_texts_are_shown_from_where_they_differ(command, built, other):
    done = command("diff", built.path, other, "--rows", 1, "--language", "es", "--format", "markdown")
    assert "assistant: \\\\x1b" in done.out


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--language", "xh"], "xh: neither set has it; there are: en es gl"),
        (["--language", "klingonisch"], "is no BCP-47 language tag"),
    ],
)
def test_what_is_not_there_is_one_sentence(command, built, more, says):
    done = command("diff", built.path, built.path, *more)
    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert done.err.count("\n") == 1


def test_a_place_without_a_set_is_one_sentence(command, built, tmp_path):
    done = command("diff", built.path, tmp_path)
    assert (done.code, done.out) == (2, "")
    assert "is no set" in done.err


def test_a_damaged_set_is_one_sentence(command, built, tmp_path):
    path = built.copy_to(tmp_path)
    file = next((path / "data").glob("train-*.arrow"))
    file.write_bytes(file.read_bytes()[:2000])
    done = command("diff", built.path, path)
    assert (done.code, done.out) == (1, "")
    assert "mldata verify" in done.err
    assert done.err.count("\n") == 1
