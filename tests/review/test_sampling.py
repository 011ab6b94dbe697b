"""Who is drawn: the same rows for all, more of them near thresholds, with weights that say how many."""

from collections import Counter

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mldata import inspection
from mldata.errors import InputError
from mldata.review.sampling import _shared, draw, items
from mldata.shards import read_manifest
from tests.review.conftest import CONCEPTS, DROPPED


def test_every_reviewer_gets_the_same_rows_and_other_seeds_draw_others(forty):
    assert list(draw(forty, "es", sample=12)) == list(draw(forty, "es", sample=12))
    assert set(draw(forty, "es", sample=12)) != set(draw(forty, "es", sample=12, seed=1))
    assert set(draw(forty, "es", sample=12)) != set(draw(forty, "gl", sample=12))


def test_a_larger_sample_contains_the_smaller(forty):
    assert set(draw(forty, "es", sample=12)) < set(draw(forty, "es", sample=24))


def test_most_rows_are_kept_ones_and_many_near_a_threshold(forty):
    drawn = draw(forty, "es", sample=20)
    counts = Counter(one.stratum for one in drawn.values())
    assert counts == {"kept near": 8, "kept far": 8, "dropped near": 2, "dropped far": 2}
    stood_for = Counter()
    for one in drawn.values():
        stood_for[one.stratum.split()[0]] += one.weight
    assert stood_for == {"kept": CONCEPTS - DROPPED, "dropped": DROPPED}
    # The higher its number, the nearer a kept row is to similarity_min's threshold.
    near = {int(concept, 16) for concept, one in drawn.items() if one.stratum == "kept near"}
    assert min(near) >= 24
    assert {one.nearest for one in drawn.values()} <= {"similarity_min", ""}


def test_the_order_of_judging_mixes_kept_and_dropped(forty):
    order = [one.stratum.split()[0] for one in draw(forty, "es", sample=40).values()]
    assert order != sorted(order)
    assert order != sorted(order, reverse=True)


def test_a_row_that_the_best_value_of_a_count_lets_pass_is_not_near_it(built):
    """All kept rows have 0 changed numbers where 0 are allowed: that says nothing of any of them."""
    drawn = draw(built.path, "es", sample=8)
    assert not {one.nearest for one in drawn.values()} & {"numbers", "empty", "added", "markup"}


def test_items_come_with_their_texts(built):
    found = items(built.path, "es")
    manifest = read_manifest(built.path)
    kept = inspection.kept_rows(built.path, manifest).filter(pl.col("language") == "es").collect()
    assert {item.beside.concept_id for item in found} >= set(kept["concept_id"])
    assert all(item.beside.back for item in found)
    assert len({item.digest for item in found}) == len(found)


def test_a_language_that_the_set_lacks_is_told(forty):
    with pytest.raises(InputError, match="no translations into pt: it has es gl"):
        draw(forty, "pt")


@given(st.integers(4, 80), st.lists(st.integers(0, 60), min_size=4, max_size=4))
def test_as_many_rows_are_drawn_as_are_asked_for_or_there(sample, sizes):
    counts = _shared(sample, sizes)
    assert sum(counts) == min(sample, sum(sizes))
    assert all(0 <= count <= size for count, size in zip(counts, sizes, strict=True))
    # A stratum that is left out would leave its rows unknown.
    assert sample < 8 or all(count or not size for count, size in zip(counts, sizes, strict=True))
