"""Chunks are cut by content alone, and every column of a source keeps one type."""

from __future__ import annotations

import json

import hypothesis.strategies as st
import pyarrow as pa
from hypothesis import given, settings

from mldata import chunks
from mldata.chunks import LARGEST, chunk_table, cut, import_source
from mldata.concepts import Concept, from_table, to_table
from mldata.sources import open_source
from mldata.store import Store


def concept(number: int) -> Concept:
    return Concept(f"{number:032x}", f"Question {number}?", f"Answer {number}.", "No.")


def test_chunks_keep_order_and_lose_nothing():
    concepts = [concept(n) for n in range(3000)]
    made = list(cut(concepts))
    assert [c for chunk in made for c in chunk] == concepts
    assert max(map(len, made)) <= LARGEST
    assert 60 <= 3000 / len(made) <= 260


def test_a_row_more_changes_one_chunk():
    before = list(cut([concept(n) for n in range(3000)]))
    numbers = [*range(1500), 9999, *range(1500, 3000)]
    after = list(cut([concept(n) for n in numbers]))
    names = [{chunks._chunk_name(chunk) for chunk in made} for made in (before, after)]
    assert len(names[1] - names[0]) <= 2


def test_a_changed_text_under_the_users_own_id_changes_the_chunks_name():
    one, other = concept(1), Concept(concept(1).id, "Question 1?", "Another answer.", "No.")
    assert chunks._chunk_name([one]) != chunks._chunk_name([other])


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(), st.text(), st.text()), min_size=1, max_size=5))
def test_concepts_survive_the_table(texts):
    concepts = [Concept(str(n), *three) for n, three in enumerate(texts)]
    assert from_table(to_table(concepts, "strings")) == concepts


def read(tmp_path, extras):
    path = tmp_path / "source.jsonl"
    rows = [
        {"prompt": f"Question {n}?", "chosen": f"Yes, {n}.", "rejected": f"No, {n}.", **extra}
        for n, extra in enumerate(extras)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    source = open_source(str(path))
    store = Store(tmp_path / "work")
    index = import_source(source, source.digest(), store)
    return index, [chunk_table(store, index.digest, name) for name in index.chunks]


def test_a_column_gets_one_type_over_the_whole_source(tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "LARGEST", 2)
    extras = [
        {"n": 1},
        {"n": 2},
        {"n": 2.5, "tags": ["a"]},
        {},
        {"n": None, "deep": {"x": 1}},
        {"deep": {"y": "z"}},
    ]
    _, tables = read(tmp_path, extras)
    assert len(tables) >= 3
    assert len({table.schema.field("source").type for table in tables}) == 1
    rows = pa.concat_tables(tables)["source"].to_pylist()
    assert [row["n"] for row in rows] == [1.0, 2.0, 2.5, None, None, None]
    assert rows[2]["tags"] == ["a"]
    assert rows[4]["deep"] == {"x": 1, "y": None}
    assert rows[5]["deep"] == {"x": None, "y": "z"}


def test_values_without_a_common_type_become_json_text(tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "LARGEST", 2)
    _, tables = read(
        tmp_path, [{"v": 1}, {"v": 2}, {"v": ["a"]}, {"v": None}, {"v": {"k": 1}}, {"v": "text"}]
    )
    rows = pa.concat_tables(tables)["source"].to_pylist()
    assert [row["v"] for row in rows] == ["1", "2", '["a"]', None, '{"k": 1}', "text"]


def test_a_source_read_to_its_end_is_not_read_again(tmp_path):
    index, _ = read(tmp_path, [{}, {}])
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "work").rglob("*.arrow")}
    again, _ = read(tmp_path, [{}, {}])
    assert again == index
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "work").rglob("*.arrow")} == times
