"""What reviewers said is never lost, whoever else writes and whatever is cut."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mldata.errors import InputError
from mldata.review import journal
from mldata.review.journal import VERDICTS, Line
from mldata.review.sampling import Draw

DRAW = Draw(
    stratum="kept near", rows=10, drawn=5, fate=40, weight=2.0, nearest="similarity", seed=0, sample=20
)


def line(concept, verdict, comment="", reviewer="ana", **more):
    values = {"language": "es", "digest": "d", "time": journal.now(), "draw": DRAW, "mldata": "0"} | more
    return Line(concept_id=concept, verdict=verdict, comment=comment, reviewer=reviewer, **values)


TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
LINES = st.lists(st.builds(line, TEXTS, st.sampled_from(VERDICTS), TEXTS), min_size=1, max_size=6)


@settings(deadline=None)
@given(LINES, st.data())
def test_a_torn_journal_keeps_all_whole_lines_and_the_next_verdict(lines, data):
    content = "".join(one.model_dump_json() + "\n" for one in lines).encode()
    cut = data.draw(st.integers(0, len(content)))
    ends = [at + 1 for at, byte in enumerate(content) if byte == ord("\n")]
    whole = sum(end <= cut for end in ends)
    found, torn = journal.parse(content[:cut])
    assert found[:whole] == lines[:whole]
    assert len(found) + torn in (whole, whole + 1)  # a cut before the line's end alone leaves it whole


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_make_reading_fail(content):
    found, torn = journal.parse(content)
    assert found == []
    assert torn == sum(bool(part.strip()) for part in content.split(b"\n"))


def test_a_verdict_after_a_torn_line_is_read(tmp_path):
    path = tmp_path / "set"
    journal.append(path, "ana", [line("a", "minor"), line("b", "wrong")])
    file = tmp_path / "set.review" / "ana.jsonl"
    file.write_bytes(file.read_bytes()[:-30])
    journal.append(path, "ana", [line("c", "major")])
    found = journal.read(path)
    assert [(one.concept_id, one.verdict) for one in found.lines] == [("a", "minor"), ("c", "major")]
    assert found.unreadable == {file: 1}


ACTS = st.lists(
    st.one_of(st.just("undo"), st.tuples(st.sampled_from("abc"), st.sampled_from(VERDICTS))), max_size=12
)


@settings(max_examples=30, deadline=None)
@given(ACTS)
def test_undo_goes_back_through_everything(tmp_path_factory, acts):
    """Against a stack of what held: each undo puts back what held before the act it undoes."""
    path = tmp_path_factory.mktemp("undo") / "set"
    states = [{}]
    for act in acts:
        if act == "undo":
            undone = journal.undo(path, "ana", "es")
            assert (undone is None) == (len(states) == 1)
            states = states[:-1] or states
        else:
            concept, verdict = act
            if journal.append(path, "ana", [line(concept, verdict)]):
                states.append(states[-1] | {concept: verdict})
        now = {key[0]: one.verdict for (_, key), one in journal.latest(journal.read(path).lines).items()}
        assert now == states[-1]
    assert journal.undo(path, "ana", "gl") is None


def test_saying_the_same_again_writes_nothing(tmp_path):
    path = tmp_path / "set"
    assert journal.append(path, "ana", [line("a", "minor", "x"), line("b", "wrong")]) == 2
    assert journal.append(path, "ana", [line("b", "wrong"), line("a", "minor", "x")]) == 0
    assert journal.append(path, "ana", [line("a", "minor", "y"), line("a", "minor", "y")]) == 1


MANY = """
import sys
from pathlib import Path
from tests.review.test_journal import line
from mldata.review import journal
for number in range(100):
    journal.append(Path(sys.argv[1]), "ana", [line(f"{sys.argv[2]}-{number}", "minor", "x" * 3000)])
"""


def test_processes_that_write_one_journal_at_once_tear_nothing(tmp_path):
    root = Path(__file__).parents[2]
    work = [
        subprocess.Popen([sys.executable, "-c", MANY, str(tmp_path / "set"), name], cwd=root)
        for name in ("one", "two")
    ]
    assert [process.wait() for process in work] == [0, 0]
    found = journal.read(tmp_path / "set")
    assert found.unreadable == {}
    assert {one.concept_id for one in found.lines} == {f"{w}-{n}" for w in ("one", "two") for n in range(100)}


def test_a_full_disk_is_told_and_spoils_nothing(tmp_path, monkeypatch):
    path = tmp_path / "set"
    journal.append(path, "ana", [line("a", "minor")])
    file = tmp_path / "set.review" / "ana.jsonl"
    before = file.read_bytes()
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:50]))
    with pytest.raises(InputError, match="no space left"):
        journal.append(path, "ana", [line("b", "minor")])
    monkeypatch.undo()
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "name", ["", " ", ".hidden", "a/b", "..", "a\nb", "x" * 61, "a\u202eb", "-x", "a\0b", "\u0301a", "𐎠" * 51]
)
def test_names_that_are_no_file_names_are_refused(name):
    with pytest.raises(InputError, match="reviewer's name"):
        journal.check_reviewer(name)


@pytest.mark.parametrize(
    "name", ["ana", "Ana María", "明子", "O'Brien", "r.2@example.org", "रवि शर्मा", "Ọlá Adébáyọ̀"]
)
def test_names_of_people_are_taken(name):
    assert journal.check_reviewer(f" {name} ") == name
