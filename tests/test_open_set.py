"""A set opens in what people use, and every one of them sees the same rows."""

from pathlib import Path

import duckdb
import polars as pl
import pyarrow.dataset as ds
import pytest

import mldata
from tests.conftest import PAIRS, run_mldata

FIELDS = ("prompt", "chosen", "rejected")
SAID = {tuple(pair[name][0]["content"] for name in FIELDS) for pair in PAIRS}


@pytest.fixture(scope="module")
def kept(built):
    """How many rows each language has, as the manifest of the set says."""
    manifest = mldata.verify(built.path)
    return {tag: counts.kept for tag, counts in manifest.languages.items()}


@pytest.fixture
def load(monkeypatch, tmp_path):
    """`datasets.load_dataset` with a cache of its own."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    return lambda path, **options: datasets.load_dataset(str(path), cache_dir=str(tmp_path), **options)


def counts(rows):
    """Rows of each language."""
    tags = [row["language"] for row in rows]
    return {tag: tags.count(tag) for tag in dict.fromkeys(tags)}


def said_by(rows):
    """The texts of the anchor's rows."""
    return {tuple(row[name][0]["content"] for name in FIELDS) for row in rows if row["is_anchor"]}


def test_polars_scans_its_shards(built, kept):
    rows = pl.scan_ipc(str(built.path / "data/*.arrow")).collect().rows(named=True)
    assert counts(rows) == kept
    assert said_by(rows) == SAID


def test_open_set_gives_either_split_or_all(built, kept):
    train, test, all_rows = (
        mldata.open_set(built.path).scan(split).collect() for split in ("train", "test", "all")
    )
    assert counts(all_rows.rows(named=True)) == kept
    assert said_by(all_rows.rows(named=True)) == SAID
    assert len(train) > 0
    assert len(test) > 0
    assert pl.concat([train, test]).equals(all_rows)
    assert not set(train["concept_id"]) & set(test["concept_id"])


def test_open_set_reads_only_the_columns_asked_for(built, kept):
    rows = mldata.open_set(str(built.path)).scan().filter(~pl.col("is_anchor")).select("similarity").collect()
    assert len(rows) == sum(kept.values()) - kept["en"]
    assert rows["similarity"].is_between(0, 1).all()


def test_load_dataset_finds_both_splits(built, kept, load):
    found = load(built.path)
    assert set(found) == {"train", "test"}
    rows = [*found["train"], *found["test"]]
    assert counts(rows) == kept
    assert said_by(rows) == SAID


def test_load_dataset_streams(built, kept, load):
    found = load(built.path, streaming=True)
    rows = [*found["train"], *found["test"]]
    assert counts(rows) == kept
    assert said_by(rows) == SAID


def test_load_dataset_takes_a_set_without_test_rows(built, kept, load, tmp_path):
    built.copy_to(tmp_path)
    assert run_mldata("select", "set", "--test-share", 0, cwd=tmp_path).code == 0
    found = load(tmp_path / "set")
    assert {split: len(rows) for split, rows in found.items()} == {"train": sum(kept.values())}
    assert mldata.open_set(tmp_path / "set").scan("test").collect().is_empty()


def test_pyarrow_and_duckdb_read_it(built, kept):
    shards = sorted(map(str, Path(built.path).glob("data/*.arrow")))
    table = ds.dataset(shards, format="ipc")
    assert table.count_rows() == sum(kept.values())
    assert said_by(table.to_table(columns=["is_anchor", *FIELDS]).to_pylist()) == SAID
    with duckdb.connect() as connection:
        connection.register("pairs", table)
        counted = connection.execute("select language, count(*) from pairs group by language").fetchall()
        texts = connection.execute(
            "select prompt[1].content, chosen[1].content, rejected[1].content from pairs where is_anchor"
        ).fetchall()
    assert dict(counted) == kept
    assert set(texts) == SAID


def test_the_sources_other_columns_stand_beside_every_row(built):
    rows = mldata.open_set(built.path).scan().select("language", "prompt", pl.col("source").struct.unnest())
    topics = {pair["prompt"][0]["content"]: pair["topic"] for pair in PAIRS}
    for row in rows.filter(language="en").collect().rows(named=True):
        assert row["topic"] == topics[row["prompt"][0]["content"]]
    assert rows.filter(pl.col("topic").is_null()).collect().is_empty()
