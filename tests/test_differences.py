"""Two sets compared: exactly what changed is said, and only like that is compared with like has a figure."""

import json
import shutil

import polars as pl
import pytest

import mldata
from mldata.concepts import FIELDS
from mldata.errors import InputError
from mldata.shards import read_manifest

DROP = 0.2
"""What a spoiled set's similarity is lower by."""


@pytest.fixture(scope="module")
def strict(built, tmp_path_factory):
    """The same set selected with a threshold that half of the Galician rows miss."""
    path = tmp_path_factory.mktemp("strict") / "set"
    kept = mldata.open_set(built.path).scan().filter(language="gl").collect()
    median = kept["similarity"].median()
    mldata.select(built.path, out=path, rules=[f"similarity>={median:.4f}"])
    return path


def ids(path, tag):
    return set(mldata.open_set(path).scan().filter(language=tag).collect()["concept_id"])


def change(path, **columns):
    """Rewrite all rows of a set with other columns."""
    for file in [*(path / "data").glob("*.arrow"), *(path / "dropped").glob("rows-*.arrow")]:
        pl.read_ipc(file).with_columns(**columns).write_ipc(file)


def rewrite(path, **facts):
    """Rewrite some facts of a set's manifest."""
    file = path / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **facts}), "utf-8")


def test_a_set_is_the_same_as_itself_and_as_its_copy(built, tmp_path):
    copy = built.copy_to(tmp_path)
    for found in (mldata.diff(built.path, built.path), mldata.diff(built.path, copy)):
        assert found.same
        assert found.made == []
        assert set(found.evidence["changed"]) == {0.0}
        assert found.concepts == (0, 0)


def test_another_threshold_takes_exactly_the_rows_that_it_says(built, strict):
    found = mldata.diff(built.path, strict, rows=100)
    assert not found.same
    for row in found.rows.iter_rows(named=True):
        a, b = (ids(path, row["language"]) for path in (built.path, strict))
        assert row["kept_in_both"] == len(a & b)
        assert row["only_in_a"] == len(a - b)
        assert row["only_in_b"] == len(b - a) == 0
        assert row["texts_differ"] == row["texts_changed"] == row["split_moved"] == 0
        changed = found.changed.filter(language=row["language"])
        assert set(changed["concept_id"]) == a - b
        assert set(changed["change"]) <= {"kept in A only"}
    gone = ids(built.path, "gl") - ids(strict, "gl")
    assert gone
    why = dict(found.reasons.filter(kept_in="A", language="gl").select("reason", "rows").iter_rows())
    assert why["similarity"] == len(gone)
    assert {fact.what for fact in found.made} == {"rules"}
    assert all(fact.b.startswith("similarity>=") for fact in found.made)
    assert set(found.evidence["changed"]) == {0.0}


def test_the_other_way_round_says_the_other_way_round(built, strict):
    there, back = mldata.diff(built.path, strict), mldata.diff(strict, built.path)
    assert back.rows["only_in_b"].to_list() == there.rows["only_in_a"].to_list()
    assert [(fact.b, fact.a) for fact in back.made] == [(fact.a, fact.b) for fact in there.made]
    assert set(back.reasons["kept_in"]) == {"B"}


def test_other_translations_are_counted_and_their_evidence_moves(built, tmp_path):
    path = built.copy_to(tmp_path)
    mine = pl.col("language") == "es"
    rows = mldata.open_set(path).scan().filter(mine).collect()
    spoiled = pl.element().struct.with_fields(
        pl.format("{}!", pl.element().struct.field("content")).alias("content")
    )
    change(
        path,
        chosen=pl.when(mine).then(pl.col("chosen").list.eval(spoiled)).otherwise(pl.col("chosen")),
        similarity=pl.when(mine).then((pl.col("similarity") - DROP).round(4)).otherwise(pl.col("similarity")),
    )
    found = mldata.diff(built.path, path, rows=2)
    counts = {row["language"]: row for row in found.rows.iter_rows(named=True)}
    assert counts["es"]["texts_changed"] == len(rows)
    assert counts["gl"]["texts_differ"] == counts["en"]["texts_differ"] == 0
    shift = {(row["language"], row["evidence"]): row for row in found.evidence.iter_rows(named=True)}
    assert shift["es", "similarity"]["median_difference"] == -DROP
    assert shift["es", "similarity"]["moved"] == shift["es", "similarity"]["changed"] == 1
    assert shift["es", "similarity"]["rows"] == counts["es"]["measured_in_both"]
    assert shift["gl", "similarity"]["changed"] == shift["es", "similarity_min"]["changed"] == 0
    assert [row["field"] for row in found.changed.iter_rows(named=True)] == ["chosen", "chosen"]
    for row in found.changed.iter_rows(named=True):
        assert row["b"] == row["a"] + "!"


def test_a_column_with_another_signature_gets_no_figure_and_the_part_that_differs(built, tmp_path):
    path = built.copy_to(tmp_path)
    signatures = dict(read_manifest(path).signatures)
    encoder = signatures["similarity"].partition("|")[0]
    other = {name: said.replace(encoder, "encoder:labse.0011aabb") for name, said in signatures.items()}
    del other["repetition"]
    rewrite(path, signatures=other)
    found = mldata.diff(built.path, path)
    refused = {name: (one.a, one.b) for one in found.refused for name in one.columns}
    assert refused["similarity"] == (encoder, "encoder:labse.0011aabb")
    assert refused["repetition"] == (signatures["repetition"], "not measured")
    assert not set(refused) & set(found.evidence["evidence"])
    assert "language_score" in set(found.evidence["evidence"])
    assert not found.same


def test_engines_that_came_went_and_changed_are_told_apart(built, tmp_path):
    path = built.copy_to(tmp_path)
    engines = json.loads((path / "manifest.json").read_text("utf-8"))["engines"]
    there = next(engine for engine in engines if engine["version"].startswith("eng-spa"))
    there |= {"version": "eng-spa, lttoolbox 9.9", "digest": "ab" * 16}
    gone = engines.pop()
    engines.append({**gone, "name": "labse", "digest": "cd" * 16})
    rewrite(path, engines=engines)
    made = {fact.name: fact for fact in mldata.diff(built.path, path).made}
    assert made["apertium eng-spa"].b.startswith("eng-spa, lttoolbox 9.9 (abababab)")
    assert made["apertium eng-spa"].a != "-"
    assert (made[gone["name"]].b, made["labse"].a) == ("-", "-")
    assert len(made) == 3


def test_concepts_languages_and_splits_that_only_one_set_has_are_told(built, tmp_path):
    path = built.copy_to(tmp_path)
    first, second = sorted(ids(path, "en"))[:2]
    for file in [*(path / "data").glob("*.arrow"), *(path / "dropped").glob("rows-*.arrow")]:
        pl.read_ipc(file).filter(pl.col("concept_id") != first, pl.col("language") != "gl").write_ipc(file)
    train, test = (next((path / "data").glob(f"{split}-*.arrow")) for split in ("train", "test"))
    moved = pl.read_ipc(train).filter(concept_id=second)
    pl.concat([pl.read_ipc(test), moved]).write_ipc(test)
    pl.read_ipc(train).filter(pl.col("concept_id") != second).write_ipc(train)
    rewrite(path, targets=["es"])
    found = mldata.diff(built.path, path)
    assert found.concepts == (1, 0)
    why = {(row["language"], row["reason"]) for row in found.reasons.iter_rows(named=True)}
    assert {tag for tag, reason in why if reason == "language not in it"} == {"gl"}
    assert {"en", "es"} >= {tag for tag, reason in why if reason == "concept not in it"} >= {"en"}
    moves = dict(found.rows.select("language", "split_moved").iter_rows())
    assert moves["en"] == 1
    assert [fact.a for fact in found.made if fact.what == "languages"] == ["gl"]


def test_an_optional_part_of_messages_that_one_set_lacks_changes_no_text(built, tmp_path):
    path = built.copy_to(tmp_path)
    nameless = pl.element().struct.with_fields(pl.lit(None, pl.String).alias("name"))
    change(path, **{field: pl.col(field).list.eval(nameless) for field in FIELDS})
    assert mldata.diff(built.path, path).rows["texts_differ"].sum() == 0
    named = pl.element().struct.with_fields(pl.lit("Ana").alias("name"))
    change(path, **{field: pl.col(field).list.eval(named) for field in FIELDS})
    found = mldata.diff(built.path, path)
    assert found.rows["texts_differ"].to_list() == found.rows["measured_in_both"].to_list()


def test_only_the_languages_asked_for_are_compared(built, strict):
    found = mldata.diff(built.path, strict, languages="gl")
    assert set(found.rows["language"]) == set(found.evidence["language"]) == {"gl"}
    with pytest.raises(InputError, match="xh: neither set has it; there are: en es gl"):
        mldata.diff(built.path, strict, languages="es,xh")


def test_sets_that_have_no_row_in_common_are_refused(built, tmp_path):
    with pytest.raises(InputError, match="is no set"):
        mldata.diff(built.path, tmp_path)
    path = built.copy_to(tmp_path)
    source = json.loads((path / "manifest.json").read_text("utf-8"))["source"]
    rewrite(path, source={**source, "shape": "strings"})
    with pytest.raises(InputError, match=r"holds messages and .* strings"):
        mldata.diff(built.path, path)
    rewrite(path, anchor="de")
    with pytest.raises(InputError, match=r"is translated from en and .* from de"):
        mldata.diff(built.path, path)


def test_sets_without_a_kept_row_can_be_compared(built, tmp_path):
    path = built.copy_to(tmp_path)
    mldata.select(path, rules=["similarity>=2"])
    found = mldata.diff(built.path, path)
    assert found.rows["kept_in_both"].sum() == 0
    assert mldata.diff(path, path).same
    shutil.rmtree(path)
