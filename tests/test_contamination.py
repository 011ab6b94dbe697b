"""Leaks: what of an evaluation is found in a source, what isn't, and files that can't be used."""

import gzip
import json
import re
from pathlib import Path

import fsspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mldata
from mldata.contamination import read_evaluations
from mldata.errors import InputError
from mldata.ngrams import bordered_runs, numbers, runs, units
from tests.conftest import run_mldata, talk, write_jsonl

RECIPE = """
name = "plumbing"
targets = ["es", "de"]
translators = ["identity"]
identifiers = ["fasttext"]
encoder = "e5-small"
"""
QUESTION = (
    "Marta bakes 24 rolls every morning. She eats two for breakfast, gives her sister half of the rest, and "
    "sells what is left at the station for 3 euros each. How much does she earn in a week?"
)
SOLUTION = (
    "After breakfast 24 - 2 = 22 rolls are left. Half of them, 11, stay with Marta. She earns 11 * 3 = 33 "
    "euros a day, which makes 33 * 7 = 231 euros in a week."
)
RETYPED = (
    "Marta bakes 24 rolls every morning; she eats two for breakfast, gives her brother half of the rest and "
    "SELLS what is left at the station for 3 euros each. How much does she earn?"
)
CAPITAL = "What is the capital of Latvia?"
LEAK = {"prompt": f"Solve this. {RETYPED}", "chosen": "231 euros.", "rejected": "168 euros."}
LEAKED_ANSWER = {
    "prompt": "A baker sells eleven rolls a day. Explain step by step what comes in.",
    "chosen": SOLUTION,
    "rejected": "I don't know the price of a roll.",
}
PHRASE = {
    "prompt": "My aunt sells what is left at the station for 3 euros each, cakes and pies. May she?",
    "chosen": "She needs a permit from the city, which costs little.",
    "rejected": "How much does she earn in a year? Tell me first.",
}
SHORT = {"prompt": "what is the capital of latvia", "chosen": "Riga.", "rejected": "Vilnius."}
LONGER = {
    "prompt": "What is the capital of Latvia, and how do I get there by train from Warsaw?",
    "chosen": "Riga. There is a train by way of Vilnius, with one change.",
    "rejected": "No.",
}
HONEST = {
    "prompt": "How hot must the oven be for the bread?",
    "chosen": "Heat the oven to 230 degrees and bake the bread for half an hour.",
    "rejected": "Bread is better when it is fried in a pan with a lot of oil.",
}
ROWS = [HONEST, LEAK, LEAKED_ANSWER, PHRASE, SHORT, LONGER]
EVALUATION = [
    {"question": CAPITAL, "answer": "Riga", "level": 1},
    {"question": QUESTION, "answer": SOLUTION, "level": 2},
]


@pytest.fixture
def build(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def make(rows=ROWS, recipe="", **options):
        (tmp_path / "plumbing.toml").write_text(RECIPE + recipe, "utf-8")
        source = write_jsonl(tmp_path / "source.jsonl", rows)
        return mldata.build(str(source), recipe="plumbing.toml", workers=1, out="set", **options)

    return make


@pytest.fixture
def exam(tmp_path):
    write_jsonl(tmp_path / "exam.jsonl", EVALUATION)
    return "exam.jsonl"


def dropped(reason="contaminated"):
    """Prompts of the concepts dropped for `reason`."""
    rows = pl.read_ipc("set/dropped/rows-00000-of-00001.arrow").filter(
        pl.col("is_anchor") & pl.col("reasons").list.contains(reason)
    )
    return set(rows["prompt"])


def prompts(*rows):
    return {row["prompt"] for row in rows}


def test_a_question_and_a_solution_of_an_exam_are_found_and_a_common_phrase_is_not(build, exam):
    manifest = build(decontaminate=[exam])
    assert dropped() == prompts(LEAK, LEAKED_ANSWER, SHORT)
    assert manifest.languages["es"].dropped == {"contaminated": 3}
    assert mldata.verify("set").contamination == manifest.contamination
    [facts] = manifest.contamination.evaluations
    assert (facts.given, facts.texts, facts.concepts) == ("exam.jsonl", 4, 3)
    assert "exam.jsonl: 4 texts, 3 concepts" in Path("set", "README.md").read_text("utf-8")


def test_the_record_names_file_line_column_and_overlap_and_never_the_text(build, exam, tmp_path):
    build(decontaminate=[exam])
    record = pl.read_ipc("set/dropped/contaminated.arrow")
    assert record.select("file", "unit", "row", "column").rows() == [
        ("exam.jsonl", "line", 2, "question"),
        ("exam.jsonl", "line", 2, "answer"),
        ("exam.jsonl", "line", 1, "question"),
    ]
    words = len(units(QUESTION, "words"))
    assert record["overlap"].to_list() == [round((words - 4) / words, 4), 1, 1]
    assert "Marta bakes 24 rolls every morning. She" not in "".join(
        file.read_bytes().decode("utf-8", "replace")
        for file in (tmp_path / "set").rglob("*.*")
        if file.is_file() and file.suffix != ".arrow"
    )


def test_a_column_may_be_named(build, exam):
    build(decontaminate=["exam.jsonl:question"])
    assert dropped() == prompts(LEAK, SHORT)
    assert mldata.select("set", decontaminate=["exam.jsonl:answer"]).contamination.concepts == 1
    assert dropped() == prompts(LEAKED_ANSWER)


def test_select_compares_again_and_a_recipe_carries_its_exams(build, exam):
    build(recipe='[select]\ndecontaminate = ["exam.jsonl:question"]\n')
    assert dropped() == prompts(LEAK, SHORT)
    assert mldata.select("set").contamination.concepts == 2
    manifest = mldata.select("set", decontaminate=[])
    assert (manifest.contamination, manifest.concepts_kept) == (None, len(ROWS))
    assert mldata.verify("set").concepts_kept == len(ROWS)


def test_the_recipe_sets_run_and_overlap(build, exam):
    gpt3 = "[select]\ncontamination_words = 13\ncontamination_overlap = 0.001\n"
    build(recipe=gpt3, decontaminate=["exam.jsonl:question"])
    # Thirteen words in a row are one leak to GPT-3's rule; the aunt's eleven are not.
    assert dropped() == prompts(LEAK, SHORT)
    build(recipe="[select]\ncontamination_overlap = 0.2\n", decontaminate=["exam.jsonl:question"])
    assert dropped() == prompts(LEAK, PHRASE, SHORT)


def write_exam(path):
    """The exam in the format the name asks for; gives what `--decontaminate` takes."""
    name = path.name
    if "txt" in name:
        content = f"\ufeff{CAPITAL}\n\n{QUESTION}\n".encode()
        path.write_bytes(gzip.compress(content, mtime=0) if name.endswith(".gz") else content)
    elif name.endswith(".parquet"):
        pl.DataFrame(EVALUATION).write_parquet(path)
    elif name.endswith(".csv"):
        pl.DataFrame(EVALUATION).write_csv(path)
    elif name.endswith(".json"):
        path.write_text(json.dumps([{"messages": [{"role": "user", "content": QUESTION}]}, {"q": [CAPITAL]}]))
    return name


@pytest.mark.parametrize(
    "name", ["exam.txt", "exam.txt.gz", "exam.parquet", "exam.csv:question", "exam.json"]
)
def test_exams_come_as_lines_tables_or_json(build, tmp_path, name):
    write_exam(tmp_path / name.partition(":")[0])
    build([HONEST, LEAK, SHORT, PHRASE], decontaminate=[name])
    assert dropped() == prompts(LEAK, SHORT)


def test_an_exam_may_lie_behind_a_url_and_be_several_files(build, exam):
    with fsspec.open("memory://exams/capital.txt", "wt") as file:
        file.write(CAPITAL)
    manifest = build(decontaminate=["memory://exams/capital.txt", "exam.jsonl:answer"])
    assert dropped() == prompts(SHORT, LEAKED_ANSWER)
    assert [of.concepts for of in manifest.contamination.evaluations] == [1, 1]


def test_the_question_of_a_conversation_is_found_behind_its_system_text(build, tmp_path):
    (tmp_path / "exam.txt").write_text(f"{CAPITAL}\nGood morning\n", "utf-8")
    asked = talk(CAPITAL, "It is Riga.", "It is Oslo.")
    asked["prompt"].insert(0, {"role": "system", "content": "Answer briefly."})
    greeted = talk("Where is the station?", "Good morning! Behind the church.", "Good morning")
    manifest = build([asked, greeted], decontaminate=["exam.txt"])
    assert manifest.languages["en"].dropped == {"contaminated": 1}
    assert manifest.concepts_kept == 1


def test_a_language_without_spaces_is_compared_by_its_characters(tmp_path):
    asked = (
        "太郎さんは毎朝パンを二十四個焼き、半分を妹にあげて、残りを駅で"
        "一個三百円で売ります。一週間でいくら稼ぎますか。"
    )
    (tmp_path / "exam.txt").write_text(asked, "utf-8")
    texts = read_evaluations([str(tmp_path / "exam.txt")], "characters", 8, 0.5)
    assert texts.run == 16
    leaking, honest = texts.leaks(
        [
            (f"次の問題を解いてください。{asked}", "千円です。", "わかりません。"),
            ("太郎さんは毎朝パンを焼きます。なぜですか。", "好きだからです。", "いいえ。"),
        ]
    )
    assert leaking.overlap == 1
    assert honest is None


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("absent.jsonl", None, "absent.jsonl: no such file or folder"),
        ("exam.pdf", b"%PDF", 'exam.pdf: the extension ".pdf" is unknown'),
        ("empty.txt", b"\n \n", "empty.txt has no text to compare with"),
        ("figures.jsonl", b'{"a": 1}\n', "figures.jsonl has no text to compare with"),
        ("exam.jsonl:questoin", b'{"question": "Why?"}', 'no column "questoin"; there are: question'),
        ("broken.jsonl", b'{"q": "Why?"}\n{"q": ', "broken.jsonl, line 2: the line is not JSON"),
        ("latin.txt", "Où est la gare?".encode("latin-1"), "line 1: the line is not UTF-8"),
        (
            "cut.txt.gz",
            gzip.compress(b"Why is the sky blue?" * 99, mtime=0)[:-9],
            "cut.txt.gz is damaged or cut off",
        ),
    ],
)
def test_an_exam_that_can_not_be_read_stops_the_command_in_one_sentence(tmp_path, name, content, problem):
    if content is not None:
        (tmp_path / name.partition(":")[0]).write_bytes(content)
    (tmp_path / "plumbing.toml").write_text(RECIPE, "utf-8")
    write_jsonl(tmp_path / "source.jsonl", [HONEST])
    with pytest.raises(InputError, match=r".") as caught:
        read_evaluations([str(tmp_path / name)], "words", 8, 0.5)
    assert problem.rpartition("/")[2] in str(caught.value)


def test_a_bad_exam_is_told_before_anything_is_translated(build, tmp_path):
    (tmp_path / "plumbing.toml").write_text(RECIPE, "utf-8")
    write_jsonl(tmp_path / "source.jsonl", ROWS)
    command = ("build", "--source", "source.jsonl", "--pipeline", "plumbing.toml", "--out", "set")
    done = run_mldata(*command, "--decontaminate", "absent.txt", cwd=tmp_path)
    assert (done.code, done.err) == (2, "mldata: absent.txt: no such file or folder.\n")
    assert not (tmp_path / "set.work" / "translate").exists()
    write_jsonl(tmp_path / "exam.jsonl", EVALUATION)
    done = run_mldata(*command, "--decontaminate", "exam.jsonl:question", cwd=tmp_path)
    assert re.search(r"leaks: +2 concepts dropped \(exam.jsonl:question 2\)", done.out), done.err
    assert run_mldata("verify", "set", cwd=tmp_path).code == 0
    done = run_mldata("select", "set", cwd=tmp_path)
    assert "before, and now isn't: add --decontaminate exam.jsonl:question" in done.out


@given(st.text(), st.integers(1, 9), st.sampled_from(["words", "characters"]))
def test_every_text_has_runs_and_case_signs_and_blanks_change_none(text, n, unit):
    found = units(text, unit)
    assert len(bordered_runs(numbers(found), n)) >= 1
    assert len(runs(numbers(found), n)) == max(0, len(found) - n + 1)
    if text.isascii():
        spaced = f"  ( {text.upper()} ) …"
        signs_alone = not any(c.isalnum() for c in text)
        assert signs_alone or units(spaced, unit) == found


@given(st.lists(st.sampled_from("abc"), min_size=1), st.integers(1, 5))
def test_two_runs_have_one_number_only_if_they_are_the_same_words(words, n):
    made = runs(numbers(words), n).tolist()
    said = [tuple(words[start : start + n]) for start in range(len(made))]
    assert len(set(made)) == len(set(said))
