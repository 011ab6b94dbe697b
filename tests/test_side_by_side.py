"""Rows beside their source and back-translation, as reports and reviewers see them."""

import shutil

import polars as pl

from mldata import inspection
from mldata.shards import read_manifest
from mldata.side_by_side import beside


def rows(path):
    manifest = read_manifest(path)
    every = [inspection.kept_rows(path, manifest), inspection.dropped_rows(path, manifest)]
    wanted = [each.filter(pl.col("language") != manifest.anchor) for each in every]
    return pl.concat([each.select("concept_id", "language").collect() for each in wanted])


def test_every_row_stands_beside_its_source_and_what_it_comes_back_as(built):
    found = beside(built.path, rows(built.path))
    assert len(found) == 16
    for one in found:
        assert one.source["prompt"].startswith("user: ")
        assert one.translation["prompt"] != one.source["prompt"]
        assert one.back["chosen"].startswith("assistant: ")
        assert one.row["language"] == one.language
    code = next(one for one in found if "```" in one.source["chosen"])
    assert "with open(path) as file:" in code.back["chosen"]


def test_a_set_without_its_work_store_shows_no_back_translations(built, tmp_path):
    copied = built.copy_to(tmp_path)
    shutil.rmtree(tmp_path / built.work.name)
    found = beside(copied, rows(copied))
    assert len(found) == 16
    assert all(one.back is None for one in found)


def test_rows_come_in_the_order_asked_for_and_unknown_ones_are_left_out(built):
    wanted = rows(built.path).reverse()
    unknown = pl.DataFrame({"concept_id": ["no such concept"], "language": ["es"]})
    found = beside(built.path, pl.concat([unknown, wanted]))
    assert [(one.concept_id, one.language) for one in found] == list(wanted.iter_rows())
