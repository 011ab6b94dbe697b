"""Whatever is wrong with what a user gives: one line that says so, exit code 2, and nothing is touched.

Through the real command, in a process of its own, in a folder that holds a finished set and its store.
"""

import json
import subprocess
from contextlib import contextmanager

import polars as pl
import pytest

from tests.conftest import PAIRS, bytes_of, run_mldata, write_jsonl

RECIPE = """
name = "mine"
targets = ["es", "gl"]
translators = ["apertium"]
identifiers = ["fasttext"]
encoder = "e5-small"
"""
QUESTION = "What should I cook tonight?"


@pytest.fixture
def home(built, tmp_path):
    """A folder with a finished set, its store and its source."""
    built.copy_to(tmp_path)
    write_jsonl(tmp_path / "prefs.jsonl", PAIRS)
    return tmp_path


@pytest.fixture
def refused(home):
    """Run a command that must be refused; gives its one line on stderr."""

    def run(*arguments, store_may_grow=False, **changes):
        before = bytes_of(home)
        done = run_mldata(*arguments, cwd=home, **changes)
        after = bytes_of(home)
        assert done.code == 2, done
        assert "Traceback" not in done.err
        assert done.err.startswith("mldata: ")
        assert done.err.count("\n") == 1
        new = {name for name in after if name not in before}
        assert {name: after[name] for name in before} == before
        assert not new or (store_may_grow and all(".work/" in name for name in new))
        return done.err

    return run


def build(*more, source="prefs.jsonl", targets="es,gl", out="set"):
    """The arguments of a build over the finished set."""
    return ("build", "--source", source, "--targets", targets, "--out", out, "--workers", 1, *more)


# Languages


@pytest.mark.parametrize("tag", ["xx", "klingon"])
def test_an_unknown_language_is_named(refused, tag):
    assert f'"{tag}" is no BCP-47 language tag' in refused(*build(targets=f"es,{tag}"))


def test_a_language_without_an_engine_lists_those_that_have_one(refused):
    said = refused(*build(targets="es,xh"))
    assert "en→xh" in said
    assert "en→es" not in said
    assert "es fr it ca gl" in said
    assert "mldata languages" in said


def test_an_engine_that_is_not_installed_is_named_with_the_command_that_installs_it(refused, tmp_path):
    said = refused(*build(), PATH=str(tmp_path / "no-programs-here"))
    assert "en→es, en→gl" in said
    assert "Targets available here: " in said
    assert "apt-get install apertium apertium-eng-spa" in said


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ("99", "has 15 targets: pt es fr"),
        ("0", "has 15 targets: pt es fr"),
        ("en", '"en" is the anchor language'),
        ("", "Targets available here: "),
    ],
)
def test_targets_that_make_no_sense_are_explained(refused, targets, said):
    assert said in refused(*build(targets=targets))


# Sources


def test_a_source_that_is_not_there_is_named(refused):
    assert "prefz.jsonl: no such file or folder" in refused(*build(source="prefz.jsonl"))


def test_an_empty_source_is_named(refused, home):
    (home / "empty.jsonl").touch()
    assert "empty.jsonl has no rows" in refused(*build(source="empty.jsonl"))


def test_a_missing_column_is_named_with_those_that_are_there(refused, home):
    write_jsonl(home / "half.jsonl", [{"prompt": QUESTION, "chosen": "Soup, because it is cold."}])
    said = refused(*build(source="half.jsonl"))
    assert "columns seen: " in said
    assert "rejected" in said


def test_a_source_without_a_readable_row_says_what_is_wrong_with_the_first(refused, home):
    (home / "notes.jsonl").write_text("Buy milk.\nCall the plumber.\n", "utf-8")
    said = refused(*build(source="notes.jsonl"))
    assert "no readable row in the first 2; notes.jsonl, line 1: " in said


def test_a_broken_line_is_set_aside_and_the_run_goes_on(home):
    lines = (home / "prefs.jsonl").read_text("utf-8").splitlines(keepends=True)
    (home / "prefs.jsonl").write_text("".join([*lines[:2], '{"prompt": "Is it', "\n", *lines[2:]]), "utf-8")
    done = run_mldata(*build(), cwd=home)
    assert (done.code, done.err) == (0, "")
    assert "1 of 9 rows can't be read" in done.out
    aside = pl.read_ipc(home / "set/dropped/unreadable.arrow").rows(named=True)
    assert [(row["file"], row["row"]) for row in aside] == [("prefs.jsonl", 3)]
    assert "JSON" in aside[0]["reason"]
    assert json.loads((home / "set/run.json").read_text("utf-8"))["tasks_run"] == 0


def test_a_source_of_rows_that_all_fail_makes_an_empty_set_that_says_why(home):
    rows = [{"prompt": QUESTION, "chosen": "Soup.", "rejected": "Soup."}] * 2
    write_jsonl(home / "alike.jsonl", rows)
    done = run_mldata(*build(source="alike.jsonl", out="empty"), cwd=home)
    assert (done.code, done.err) == (0, "")
    assert "The set is empty: no row of the source could be read" in done.out
    assert run_mldata("verify", "empty", cwd=home).code == 0


# Recipes and rules


def test_an_unknown_pipeline_lists_those_that_are_shipped(refused):
    assert 'no pipeline "embeded": give one of embedded' in refused(*build("--pipeline", "embeded"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (RECIPE + "rules = [", "is no TOML file: "),
        (RECIPE + "workers = 3", "workers: "),
        (RECIPE + '[[rules]]\nname = "alike"\nwhen = "similarity is high"', "rules.0.when: "),
        (RECIPE + '[[rules]]\nname = "alike"\nwhen = "likeness>=1"', '"likeness>=1" looks at no evidence'),
        (RECIPE.replace('"es"', '"klingon"'), "klingon"),
        (RECIPE.replace('"apertium"', '"babelfish"'), '"babelfish"'),
        (RECIPE.replace('"e5-small"', '"e6"'), '"e6"'),
    ],
    ids=["syntax", "unknown key", "bad rule", "unknown column", "language", "translator", "encoder"],
)
def test_a_broken_recipe_says_where(refused, home, text, said):
    (home / "mine.toml").write_text(text, "utf-8")
    assert said in refused(*build("--pipeline", "mine.toml"))


@pytest.mark.parametrize("content", [None, b"name = \xff"], ids=["a folder", "not UTF-8"])
def test_a_recipe_that_is_no_text_is_refused(refused, home, content):
    if content is None:
        (home / "mine.toml").mkdir()
    else:
        (home / "mine.toml").write_bytes(content)
    assert "mine.toml" in refused(*build("--pipeline", "mine.toml"))


@pytest.mark.parametrize("command", ["build", "select"])
@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("likeness>=0.9", "looks at no evidence column; there are: language_score"),
        ("similarity=0.9", 'such as "similarity>=0.85"'),
    ],
)
def test_a_bad_rule_is_quoted(refused, command, rule, said):
    arguments = build() if command == "build" else ("select", "set")
    line = refused(*arguments, "--rule", rule)
    assert f'"{rule}"' in line
    assert said in line


def test_a_bad_rule_is_refused_before_hours_of_translating(refused, home):
    refused(*build("--rule", "likeness>=0.9", "--limit", 3, out="new"), store_may_grow=True)
    assert not (home / "new.work/translate").exists()


# Places


def test_a_folder_that_holds_something_else_is_left_alone(refused, home):
    (home / "diary").mkdir()
    (home / "diary/monday.txt").write_text("It rained.", "utf-8")
    assert "diary exists and is no set" in refused(*build(out="diary"))


def test_a_set_of_another_source_is_left_alone(refused, home):
    write_jsonl(home / "others.jsonl", PAIRS[:2])
    assert "holds a set made from " in refused(*build(source="others.jsonl"))


def test_a_file_is_not_replaced_by_a_set(refused, home):
    (home / "notes").write_text("Call the plumber.", "utf-8")
    assert "notes exists and is no set" in refused(*build(out="notes"))


def test_a_file_that_may_be_overwritten_becomes_a_set(home):
    (home / "notes").write_text("Call the plumber.", "utf-8")
    done = run_mldata(*build("--overwrite", "--work", "set.work", out="notes"), cwd=home)
    assert (done.code, done.err) == (0, "")
    assert run_mldata("verify", "notes", cwd=home).code == 0
    assert not list(home.glob(".notes*"))


def test_a_store_that_is_a_file_is_left_alone(refused, home):
    (home / "notes").write_text("Call the plumber.", "utf-8")
    assert "notes is a file" in refused(*build("--work", "notes"))


@pytest.mark.parametrize("option", ["--out", "--work"])
def test_a_place_below_a_file_is_refused(refused, home, option):
    (home / "notes").write_text("Call the plumber.", "utf-8")
    assert "notes" in refused(*build(option, "notes/deeper"))


def test_selecting_from_a_folder_that_is_no_set_says_so(refused, home):
    (home / "diary").mkdir()
    assert "diary is no set: it has no manifest.json" in refused("select", "diary")
    assert "nowhere is no set" in refused("select", "nowhere")


def test_selecting_a_language_that_was_not_measured_lists_those_that_were(refused):
    assert "fr: not measured here; es gl are" in refused("select", "set", "--targets", "es,fr")


def test_a_store_that_was_moved_away_is_asked_for(refused, home):
    (home / "set.work").rename(home / "elsewhere")
    said = refused("select", "set")
    assert "the work store of set isn't at " in said
    assert "--work" in said
    assert run_mldata("select", "set", "--work", "elsewhere", cwd=home).code == 0


@contextmanager
def small_disk(place, free):
    """A disk of 400 kB mounted at `place`; `free()` leaves only so many kB of it."""
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", place], check=False).returncode:
        pytest.skip("mounting a small disk isn't allowed here")
    try:
        yield lambda: fill(place, free)
    finally:
        subprocess.run(["umount", place], check=True)


def fill(place, kilobytes):
    """Fill the disk at `place`, then give back some of it."""
    with (place / "ballast").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            size = file.tell()
        file.truncate(size - kilobytes * 1024)


@pytest.mark.parametrize("kilobytes", [0, 40], ids=["reading", "translating"])
def test_a_store_without_space_says_so_and_keeps_what_it_has(home, kilobytes):
    arguments = build("--work", "disk/work", "--limit", 3, out="new", targets="es")
    with small_disk(home / "disk", kilobytes) as use_up:
        use_up()
        done = run_mldata(*arguments, cwd=home)
        assert done.code == 2, done
        assert done.err.startswith("mldata: no space left for ")
        assert "/disk/work/" in done.err
        assert done.err.count("\n") == 1
        assert not (home / "new").exists()
        assert not list((home / "disk").rglob(".*"))
        if kilobytes:
            (home / "disk/ballast").unlink()
            again = run_mldata(*arguments, cwd=home)
            assert (again.code, again.err) == (0, "")


def test_a_set_without_space_says_so_and_leaves_the_one_before_whole(home):
    with small_disk(home / "disk", 40) as use_up:
        onto_disk = build("--work", "set.work", out="disk/set")
        assert run_mldata(*onto_disk, cwd=home).code == 0
        use_up()
        before = bytes_of(home / "disk")
        done = run_mldata(*onto_disk, "--rule", "similarity>=0.9", cwd=home)
        assert done.code == 2, done
        assert done.err.startswith("mldata: no space left for ")
        assert "/disk/set: " in done.err
        assert done.err.count("\n") == 1
        assert bytes_of(home / "disk") == before


# Options, which the parser checks: its box may have several lines


@pytest.mark.parametrize(
    "arguments",
    [
        build("--policy", "nonsense"),
        build("--limit", 0),
        build("--workers", 0),
        build("--format", "xml"),
        ("select", "set", "--policy", "nonsense"),
        ("select", "set", "--test-share", "2"),
        ("bild",),
    ],
    ids=lambda arguments: " ".join(map(str, arguments[-2:])),
)
def test_an_option_that_makes_no_sense_is_named(home, arguments):
    before = bytes_of(home)
    done = run_mldata(*arguments, cwd=home)
    assert done.code == 2
    assert "Traceback" not in done.err
    assert "Usage: " in done.err
    assert bytes_of(home) == before
