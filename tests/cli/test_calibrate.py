"""`mldata calibrate` on a set of 160 pairs whose evidence was written by hand, so that it is known."""

import json
import shutil

import numpy as np
import polars as pl
import pytest

import mldata
from mldata import evidence, shards
from mldata.evidence.damage import DAMAGES
from mldata.measured import Measured
from mldata.pipeline import sampled_chunks
from mldata.review import journal
from mldata.review.sampling import items
from mldata.review.verdicts import precision
from mldata.store import read_table, write_table
from tests.conftest import bytes_of, oven, train, write_jsonl

RECIPE = """
name = "plumbing"
targets = ["es", "gl"]
translators = ["identity"]
identifiers = ["fasttext"]
encoder = "e5-small"

[[rules]]
name = "length"
when = "length_deviation <= 0.5"

[[rules]]
name = "similarity_min"
when = "similarity_min >= 0.8"
because = "one sentence means something else, or nothing"
"""
KINDS = tuple(damage.name for damage in DAMAGES[:2])
"""The first is told from right rows by similarity, the second by nothing."""


def by_hand(measured, tag, draw):
    """Replace what was measured of a language, and the wrong items made of it."""
    store = measured.store
    for chunk in sampled_chunks(measured.store, measured.index):
        path = store.path("measure", measured.measure[tag], tag, chunk)
        rows = pl.from_arrow(read_table(path))
        size = len(rows)
        passing = 0.9 if tag == "es" else 0.2
        right = rows.with_columns(
            length_ratio=pl.Series(draw.normal(1.1, 0.02, size).round(4)),
            similarity_min=pl.Series(
                np.where(draw.random(size) < passing, 0.94 - 0.08 * draw.beta(2, 5, size), 0.5).round(4)
            ),
        )
        write_table(right.to_arrow(compat_level=pl.CompatLevel.oldest()), path)
        flat = right.select("concept_id", "language", *(column.name for column in evidence.columns()))
        items = [
            flat.with_columns(
                kind=pl.lit(kind), field=pl.lit("chosen"), similarity_min=pl.Series(values.round(4))
            )
            for kind, values in zip(
                KINDS, (0.86 - 0.1 * draw.beta(2, 2, size), 0.94 - 0.08 * draw.beta(2, 5, size)), strict=True
            )
        ]
        path = store.path("damage", measured.measure[tag], tag, chunk)
        write_table(pl.concat(items).to_arrow(compat_level=pl.CompatLevel.oldest()), path)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a set that was not calibrated, and its store."""
    folder = tmp_path_factory.mktemp("calibrate")
    (folder / "plumbing.toml").write_text(RECIPE, "utf-8")
    source = write_jsonl(folder / "ovens.jsonl", [oven(degrees) for degrees in range(100, 260)])
    options = {"recipe": str(folder / "plumbing.toml"), "workers": 1, "calibration": False}
    mldata.build(str(source), targets="es,gl", out=folder / "set", **options)
    measured = Measured.of_set(folder / "set")
    for seed, tag in enumerate(("es", "gl")):
        by_hand(measured, tag, np.random.default_rng(seed))
    mldata.select(folder / "set")
    return folder


@pytest.fixture
def ours(home, tmp_path):
    """A copy of the set and its store, to change."""
    for name in ("set", "set.work"):
        shutil.copytree(home / name, tmp_path / name)
    return tmp_path / "set"


@pytest.fixture
def width():
    """A terminal of 100 columns."""
    return 100


def similarities(path, tag="es"):
    """similarity_min of the rows written in a language."""
    return mldata.open_set(path).scan().filter(language=tag).collect()["similarity_min"]


def manifest(path):
    return json.loads((path / "manifest.json").read_text("utf-8"))


def test_calibrate_tightens_the_rows_of_the_set_and_says_how(command, ours):
    before = len(similarities(ours))
    done = command("calibrate", ours)
    assert (done.code, done.err) == (0, "")
    assert max(map(len, done.out[: done.out.index("shares of wrong items")].splitlines())) <= 100
    found = json.loads((ours / "calibration.json").read_text("utf-8"))
    (threshold,) = found["languages"]["es"]["thresholds"]
    assert threshold["rule"] == "similarity_min"
    assert 0.8 < threshold["value"] < 0.9
    assert f"similarity_min 0.8 → {threshold['value']:g}" in " ".join(done.out.split())
    assert similarities(ours).min() >= threshold["value"]
    assert 0.95 * before <= len(similarities(ours)) == found["languages"]["es"]["kept"]
    assert command("verify", ours).code == 0
    (rule,) = [rule for rule in manifest(ours)["rules"] if rule["name"] == "similarity_min"]
    assert rule["per_language"] == {"es": threshold["value"]}
    assert manifest(ours)["calibration"] == shards.sha256(ours / "calibration.json")
    assert "## Calibration" in (ours / "README.md").read_text("utf-8")


def test_rules_prints_the_thresholds_in_force(command, ours):
    assert command("calibrate", ours).code == 0
    value = manifest(ours)["rules"][1]["per_language"]["es"]
    assert f"(es {value:g})" in command("rules", ours).out
    assert "(es " not in command("rules").out


def test_what_was_not_reached_and_what_has_too_little_data_is_named(command, ours):
    done = command("calibrate", ours)
    assert f"more than that is accepted, held out: {KINDS[1]} es" in done.out
    assert "the recipe's, for fewer than 100 passing rows: gl" in " ".join(done.out.split())
    assert similarities(ours, "gl").min() >= 0.8


def test_a_dry_run_shows_the_tables_and_writes_nothing(command, ours):
    before = bytes_of(ours)
    done = command("calibrate", ours, "--dry-run", "--false-accept", "0.02", "--targets", "es")
    assert done.code == 0
    assert "nothing was written (--dry-run)" in done.out
    assert "gl" not in done.out.split()
    assert bytes_of(ours) == before


def test_select_applies_the_calibration_again_and_a_rule_of_the_command_line_wins(command, ours):
    assert command("calibrate", ours).code == 0
    calibrated = bytes_of(ours, "run.json", "report.html")
    done = command("select", ours, "--rule", "similarity_min>=0.81")
    assert "thresholds: calibrated to 1 % false accepts (calibration.json): es" in " ".join(done.out.split())
    assert similarities(ours).min() >= 0.81
    assert command("select", ours).code == 0
    assert bytes_of(ours, "run.json", "report.html") == calibrated
    assert command("calibrate", ours).code == 0
    assert bytes_of(ours, "run.json", "report.html") == calibrated


def test_without_calibration_the_set_is_the_recipes_again(command, home, ours):
    assert command("calibrate", ours).code == 0
    assert command("select", ours, "--no-calibration").code == 0
    but = ("run.json", "report.html")
    assert bytes_of(ours, *but) == bytes_of(home / "set", *but)


def test_a_calibration_goes_along_to_another_place(command, ours, tmp_path):
    assert command("calibrate", ours).code == 0
    assert command("select", ours, "--out", tmp_path / "copy", "--targets", "es").code == 0
    assert (tmp_path / "copy/calibration.json").read_bytes() == (ours / "calibration.json").read_bytes()
    assert command("verify", tmp_path / "copy").code == 0


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(lambda file: file.unlink(), id="missing"),
        pytest.param(lambda file: file.write_text(file.read_text().replace("es", "fr")), id="changed"),
    ],
)
def test_verify_and_select_refuse_a_calibration_that_is(command, ours, harm):
    assert command("calibrate", ours).code == 0
    harm(ours / "calibration.json")
    for name in ("verify", "select"):
        done = command(name, ours)
        assert done.code == 1
        assert "calibration.json" in done.err
        assert done.err.count("\n") == 1
    assert command("calibrate", ours).code == 0
    assert command("verify", ours).code == 0


def test_verify_finds_a_calibration_that_was_put_there(command, ours):
    (ours / "calibration.json").write_text("{}", "utf-8")
    done = command("verify", ours)
    assert done.code == 1
    assert "calibration.json isn't in the manifest" in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--false-accept", "0"), "false_accept 0: "),
        (("--false-accept", "1.5"), "false_accept 1.5: "),
        (("--false-accept", "nan"), "false_accept nan: "),
        (("--max-loss", "1"), "max_loss 1: "),
        (("--targets", "fr"), "fr: not measured here"),
        (("--work", "nowhere"), "--work"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(command, ours, arguments, said):
    done = command("calibrate", ours, *arguments)
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1


def test_a_store_without_wrong_items_is_named_with_the_remedy(command, ours):
    shutil.rmtree(ours.with_name("set.work") / "damage")
    done = command("calibrate", ours)
    assert done.code == 2
    assert "has no wrong items of es to calibrate on: run the same `mldata build` again" in done.err
    assert done.err.count("\n") == 1


def judge_lowest(path, wrong):
    """Verdicts on all kept rows of es: the `wrong` that similarity_min is least sure of are wrong."""
    kept = [item for item in items(path, "es", sample=320) if not item.beside.row["reasons"]]
    kept.sort(key=lambda item: item.beside.row["similarity_min"])
    lines = [
        journal.said(item, "ana", "wrong" if number < wrong else "minor") for number, item in enumerate(kept)
    ]
    journal.append(path, "ana", lines)
    return [item.beside.concept_id for item in kept[:wrong]]


def test_rows_that_reviewers_found_wrong_tighten_thresholds(command, ours):
    assert command("calibrate", ours).code == 0
    without = json.loads((ours / "calibration.json").read_text("utf-8"))["languages"]["es"]
    command("select", ours, "--no-calibration")
    wrong = judge_lowest(ours, 30)
    assert precision(ours)["es"].value < 0.9
    done = command("calibrate", ours, "--verdicts")
    assert (done.code, done.err) == (0, "")
    said = " ".join(done.out.split())
    assert "and that pass the recipe's rules: es 30." in said
    assert "These verdicts flatter the set" in said
    found = json.loads((ours / "calibration.json").read_text("utf-8"))
    spanish = found["languages"]["es"]
    assert found["min_judged"] == 20
    assert (spanish["damages"]["judged_wrong"]["items"], spanish["damages"]["judged_wrong"]["floors"]) == (
        30,
        30,
    )
    assert spanish["damages"]["judged_wrong"]["held_out"]["count"] <= 2
    assert spanish["passing"] == without["passing"] - 30
    assert spanish["thresholds"][0]["value"] > without["thresholds"][0]["value"]
    written = mldata.open_set(ours).scan().filter(language="es").collect()["concept_id"]
    assert len(set(written) & set(wrong)) <= 1
    assert command("verify", ours).code == 0
    assert "Thresholds were tightened on these verdicts" in command("review", ours, "--summary").out


def test_too_few_rows_that_were_found_wrong_move_no_threshold(command, ours):
    judge_lowest(ours, 10)
    done = command("calibrate", ours, "--verdicts", "--dry-run")
    assert "(too few: es)" in next(line for line in done.out.splitlines() if "judged_wrong" in line)
    found = mldata.calibrate(ours, verdicts=True, dry_run=True).languages["es"]
    assert found.damages["judged_wrong"].verdict == "too_little_data"
    assert found.damages["judged_wrong"].items == 10


def test_without_verdicts_there_is_nothing_to_calibrate_on(command, ours):
    done = command("calibrate", ours, "--verdicts")
    assert done.code == 2
    assert "is judged yet: begin with `mldata review" in done.err


@pytest.fixture(scope="module")
def real(apertium, tmp_path_factory):
    """A set of 140 pairs built by the real engines, calibrated as builds are."""
    folder = tmp_path_factory.mktemp("real")
    pairs = [pair for number in range(70) for pair in (oven(150 + number), train(10 + number))]
    source = write_jsonl(folder / "prefs.jsonl", pairs)
    made = mldata.build(str(source), targets="es", out=folder / "set", workers=1)
    return source, folder / "set", made


@pytest.mark.slow
def test_a_build_calibrates_on_wrong_items_of_its_own_rows(command, real):
    _, path, made = real
    found = json.loads((path / "calibration.json").read_text("utf-8"))["languages"]["es"]
    assert found["enough_data"]
    assert found["rows"] == 140
    assert set(found["damages"]) == {damage.name for damage in DAMAGES}
    for kind in ("copied", "collapsed", "swapped", "number_changed", "other_text"):
        assert found["damages"][kind]["items"] > 50
        assert found["damages"][kind]["verdict"] == "reached", kind
    assert found["kept"] >= 0.95 * found["passing"] > 100
    assert made.languages["es"].passed == found["kept"]
    assert made.calibration
    assert command("verify", path).code == 0


@pytest.mark.slow
def test_built_and_calibrated_again_the_bytes_are_the_same(command, real):
    source, path, _ = real
    before = bytes_of(path, "run.json", "report.html")
    assert command("build", "--source", source, "--targets", "es", "--out", path).code == 0
    assert bytes_of(path, "run.json", "report.html") == before
    assert command("calibrate", path).code == 0
    assert bytes_of(path, "run.json", "report.html") == before


@pytest.mark.slow
def test_a_build_may_be_told_to_take_the_recipes_thresholds(command, real, tmp_path):
    source, path, _ = real
    work = path.with_name("set.work")
    told = ("--targets", "es", "--out", tmp_path / "set", "--work", work, "--no-calibration")
    done = command("build", "--source", source, *told)
    assert done.code == 0
    assert "calibrated to" not in done.out
    assert not (tmp_path / "set/calibration.json").exists()
    assert manifest(tmp_path / "set")["rules"] == manifest(tmp_path / "set")["recipe"]["rules"]
