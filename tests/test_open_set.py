"""A set opens in what people use, and every one of them sees the same rows."""

from pathlib import Path

import datasets
import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute
import pyarrow.dataset as ds
import pyarrow.ipc
import pytest

import mldata
from mldata import aligned_set
from mldata.errors import InputError, SetError
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


def test_an_opened_set_shows_itself_in_a_line_and_the_root_is_no_set(built):
    assert repr(mldata.open_set(built.path)) == f"AlignedSet(path={built.path!r})"
    with pytest.raises(InputError, match="is no set"):
        mldata.open_set("/")


def test_open_set_reads_only_the_columns_asked_for(built, kept):
    rows = mldata.open_set(str(built.path)).scan().filter(~pl.col("is_anchor")).select("similarity").collect()
    assert len(rows) == sum(kept.values()) - kept["en"]
    assert rows["similarity"].is_between(0, 1).all()


@pytest.fixture
def datasets_cache(monkeypatch, tmp_path):
    """A cache of one's own for `datasets`."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)


def test_the_splits_of_datasets_are_those_of_the_set(built, datasets_cache):
    opened = mldata.open_set(built.path)
    found = opened.datasets()
    assert list(found) == ["train", "test"]
    for split, rows in found.items():
        assert [dict(row) for row in rows] == opened.scan(split).collect().to_dicts()
    assert found["train"].features["chosen"] == datasets.List(
        {"role": datasets.Value("string"), "content": datasets.Value("string")}
    )


def test_a_split_without_rows_has_the_same_columns_in_datasets(built, datasets_cache, tmp_path):
    built.copy_to(tmp_path)
    mldata.select(tmp_path / "set", test_share=0)
    found = mldata.open_set(tmp_path / "set").datasets()
    assert len(found["train"]) == mldata.open_set(tmp_path / "set").scan().collect().height
    assert len(found["test"]) == 0
    assert found["test"].features == found["train"].features


def test_a_set_without_rows_opens_in_every_way(built, datasets_cache, tmp_path):
    built.copy_to(tmp_path)
    mldata.select(tmp_path / "set", rules=["similarity>=1.1"])
    opened = mldata.open_set(tmp_path / "set")
    found = opened.datasets()
    assert {split: len(rows) for split, rows in found.items()} == {"train": 0, "test": 0}
    assert found["train"].column_names == opened.scan().collect_schema().names()
    assert list(opened.concepts()) == []


def test_concepts_come_whole_in_the_sets_order(built):
    opened = mldata.open_set(built.path)
    assert opened.languages == ("en", "es", "gl")
    for split in ("train", "test", "all"):
        rows = opened.scan(split).collect().to_dicts()
        concepts = list(opened.concepts(split))
        assert [row for c in concepts for row in (c.anchor, *c.translations.values())] == rows
        assert len({c.id for c in concepts}) == len(concepts) > 0
        for concept in concepts:
            assert concept.anchor["language"] == "en"
            assert {row["concept_id"] for row in concept.translations.values()} == {concept.id}
            assert [row["language"] for row in concept.translations.values()] == list(concept.translations)


def test_concepts_are_whole_wherever_a_shard_is_cut_into_batches(built, tmp_path, monkeypatch):
    whole = list(mldata.open_set(built.path).concepts())
    built.copy_to(tmp_path)
    for path in (tmp_path / "set" / "data").iterdir():
        table = pa.ipc.open_file(path.read_bytes()).read_all()
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    assert [c.id for c in mldata.open_set(tmp_path / "set").concepts()] == [c.id for c in whole]
    monkeypatch.setattr(aligned_set, "BATCH", 1)
    assert list(mldata.open_set(built.path).concepts()) == whole


def test_concepts_have_the_columns_asked_for(built):
    opened = mldata.open_set(built.path)
    keys = ["concept_id", "language", "is_anchor"]
    rows = opened.scan().select(*keys, "chosen", "similarity").collect().to_dicts()
    concepts = opened.concepts(columns=["similarity", "chosen", "language"])
    assert [row for c in concepts for row in (c.anchor, *c.translations.values())] == rows
    with pytest.raises(InputError, match="has no column best"):
        list(opened.concepts(columns=["best"]))


def test_the_dropped_rows_say_why(built):
    opened = mldata.open_set(built.path)
    gone = opened.scan_dropped().collect()
    counted = gone.explode("reasons").group_by("language", "reasons").len().rows()
    said = {(tag, name): n for tag, of in opened.manifest.languages.items() for name, n in of.dropped.items()}
    assert {(tag, name): n for tag, name, n in counted} == said


def test_who_opens_what_isnt_there_is_told(built, tmp_path):
    with pytest.raises(InputError, match="is no set"):
        mldata.open_set(tmp_path)
    with pytest.raises(InputError, match="is no split"):
        mldata.open_set(built.path).scan("validation")
    path = built.copy_to(tmp_path)
    shard = next(path.glob("data/train-*"))
    shard.write_bytes(shard.read_bytes()[:1000])
    with pytest.raises(SetError, match="can't be read"):
        list(mldata.open_set(path).concepts())
    shard.unlink()
    with pytest.raises(SetError, match="can't be read"):
        list(mldata.open_set(path).concepts())


def test_a_concept_without_its_anchor_row_is_refused(built, tmp_path):
    path = built.copy_to(tmp_path)
    for shard in path.glob("data/*"):
        table = pa.ipc.open_file(shard.read_bytes()).read_all()
        table = table.filter(pa.compute.invert(table["is_anchor"]))
        with pa.ipc.new_file(shard, table.schema) as writer:
            writer.write_table(table)
    with pytest.raises(SetError, match="doesn't begin with its en row"):
        list(mldata.open_set(path).concepts())


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
