"""What verdicts say of a set, against what is known of it."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mldata import inspection
from mldata.review import journal
from mldata.review.sampling import Draw, items
from mldata.review.verdicts import Judged, card_lines, estimate, precision, verdicts
from mldata.shards import file_facts, read_manifest
from tests.review.conftest import write_set


def judge(path, language="es", sample=20, verdict=lambda item: "adequate", reviewer="ana"):
    drawn = items(path, language, sample=sample)
    journal.append(path, reviewer, [journal.said(item, reviewer, verdict(item)) for item in drawn])
    return drawn


def kept(item):
    return not item.beside.row["reasons"]


def row(stratum, rows, fate, verdict, *others):
    draw = Draw(stratum=stratum, rows=rows, drawn=1, fate=fate, weight=1, nearest="x", seed=0, sample=9)
    said = [
        journal.Line(
            concept_id="c",
            language="es",
            digest="d",
            verdict=one,
            reviewer=str(number),
            time="2026-01-01T00:00:00+00:00",
            draw=draw,
            mldata="0",
        )
        for number, one in enumerate((verdict, *others))
    ]
    return Judged(tuple(said), kept=True, broken=())


def test_no_verdicts_say_nothing(mine):
    assert precision(mine) == {}
    assert card_lines(mine) == []


def test_rows_near_a_threshold_count_as_often_as_they_occur():
    """One of two near rows is right and both far ones; there are 10 near rows and 30 far ones: 87.5 %."""
    rows = [
        row("kept near", 10, 40, "wrong"),
        row("kept near", 10, 40, "minor"),
        row("kept far", 30, 40, "adequate"),
        row("kept far", 30, 40, "adequate"),
    ]
    found = estimate(rows, kept=True)
    assert (found.value, found.judged) == (0.875, 4)
    # weights 5 5 15 15: 40² / 500 = 3.2 rows; Wilson's interval of 0.875 and 3.2 by hand
    z, p, n = 1.959964, 0.875, 3.2
    half = z * math.sqrt(p * (1 - p) / n + z * z / 4 / n / n)
    assert found.low == pytest.approx((p + z * z / 2 / n - half) / (1 + z * z / n), abs=1e-5)
    assert found.high == pytest.approx((p + z * z / 2 / n + half) / (1 + z * z / n), abs=1e-5)
    assert estimate(rows, kept=False) is None


def test_a_stratum_that_nobody_looked_into_may_hold_anything():
    rows = [row("kept near", 10, 40, "adequate") for _ in range(10)]
    found = estimate(rows, kept=True)
    assert found.low == pytest.approx(0.25 * 0.72247, abs=1e-4)
    assert found.high == 1


def test_a_row_on_which_two_are_divided_counts_half():
    rows = [row("kept near", 1, 2, "adequate", "wrong"), row("kept far", 1, 2, "minor", "adequate")]
    assert estimate(rows, kept=True).value == 0.75


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(20, 200), st.integers(20, 900)),
    st.tuples(st.floats(0.3, 1), st.floats(0.3, 1)),
    st.integers(0, 1000),
)
def test_the_estimate_of_many_samples_is_the_share_of_the_whole_set(sizes, shares, seed):
    """Drawn from a simulated set again and again: unbiased, and in the interval mostly."""
    draw = np.random.default_rng(seed)
    right = [draw.random(size) < share for size, share in zip(sizes, shares, strict=True)]
    truth = sum(part.sum() for part in right) / sum(sizes)
    found = []
    for _ in range(60):
        rows = []
        for stratum, part in zip(("kept near", "kept far"), right, strict=True):
            judged = draw.choice(part, 20, replace=False)
            verdict = np.where(judged, "adequate", "wrong")
            rows += [row(stratum, len(part), sum(sizes), str(one)) for one in verdict]
        found.append(estimate(rows, kept=True))
    spread = math.sqrt(0.25 * sum((size / sum(sizes)) ** 2 / 20 for size in sizes) / 60)
    assert abs(np.mean([one.value for one in found]) - truth) < 4.5 * spread
    assert np.mean([one.low <= truth <= one.high for one in found]) >= 0.75


def test_kept_and_dropped_rows_are_told_apart(mine):
    judge(mine, sample=40, verdict=lambda item: "adequate" if kept(item) else "major")
    found = verdicts(mine).languages["es"]
    assert (found.kept.value, found.kept.judged) == (1, 32)
    assert (found.dropped.value, found.dropped.judged) == (0, 8)
    assert found.rules == {"similarity_min": (8, 0)}
    assert precision(mine)["es"] == found.kept
    (line,) = [line for line in card_lines(mine) if line.startswith("| es")]
    assert line.startswith("| es | 100.0 % (")
    assert line.endswith("| 1 | – |")


def test_what_rules_cost_and_miss_is_named(mine):
    judge(mine, sample=40, verdict=lambda item: "wrong" if kept(item) else "minor")
    found = verdicts(mine).languages["es"]
    assert found.rules == {"similarity_min": (8, 8)}
    assert found.misses == {"similarity_min": 31, "": 1}  # nothing is farther from it than the best row


def test_kappa_is_that_of_cohens_paper_s_formula(mine):
    """Of 20 rows both say adequate of 8, wrong of 4; ana alone says adequate of 5, bo alone of 3.
    Chance: (13 · 11 + 7 · 9) / 400 = 0.515; kappa = (0.6 - 0.515) / 0.485."""
    drawn = items(mine, "es", sample=20)
    said = [("adequate", "adequate")] * 8 + [("wrong", "wrong")] * 4
    said += [("adequate", "wrong")] * 5 + [("wrong", "adequate")] * 3
    for number, reviewer in enumerate(("ana", "bo")):
        lines = [journal.said(item, reviewer, pair[number]) for item, pair in zip(drawn, said, strict=True)]
        journal.append(mine, reviewer, lines)
    (found,) = verdicts(mine).languages["es"].agreements
    assert (found.rows, found.same, found.both) == (20, 0.6, 0.6)
    assert found.kappa == pytest.approx(0.085 / 0.485, abs=1e-4)


def test_a_verdict_on_a_text_that_was_translated_anew_does_not_count(built, mine):
    judge(mine, sample=40)
    before = verdicts(mine).languages["es"]
    write_set(built.path, mine, {"chosen": "Habla con él."})
    after = verdicts(mine).languages["es"]
    assert (after.rows, after.outdated) == (before.rows - 1, 1)
    judge(mine, sample=40)
    again = verdicts(mine).languages["es"]
    assert (again.rows, again.outdated) == (before.rows, 1)


def test_a_verdict_counts_for_what_became_of_its_row(built, mine):
    """Rows that were dropped when they were judged and are kept now count among the kept ones."""
    judge(mine, sample=40, verdict=lambda item: "minor" if kept(item) else "wrong")
    manifest = read_manifest(mine)
    every = pl.concat(
        [
            inspection.kept_rows(mine, manifest).collect(),
            inspection.dropped_rows(mine, manifest).drop("reasons").collect(),
        ]
    )
    shard = mine / "data" / "train-00000-of-00001.arrow"
    none = inspection.dropped_rows(mine, manifest).head(0).collect()
    every.unique(["concept_id", "language"], maintain_order=True).write_ipc(
        shard, compat_level=pl.CompatLevel.oldest()
    )
    gone = mine / "dropped" / "rows-00000-of-00001.arrow"
    none.write_ipc(gone, compat_level=pl.CompatLevel.oldest())
    files = [file_facts(mine, shard, "train", len(every)), file_facts(mine, gone, "dropped", 0)]
    (mine / "manifest.json").write_text(manifest.model_copy(update={"files": files}).model_dump_json())
    found = verdicts(mine).languages["es"]
    assert (found.kept.judged, found.kept.value, found.dropped) == (40, 0.8, None)


def test_a_row_that_went_with_its_concept_is_no_cost_of_a_rule(mine):
    """Rows judged when they were kept, and dropped since by the group policy, broke nothing."""
    judge(mine, sample=40, verdict=lambda item: "minor" if kept(item) else "wrong")
    before = verdicts(mine).languages["es"]
    manifest = read_manifest(mine)
    rows = inspection.kept_rows(mine, manifest).collect()
    gone = pl.col("concept_id").is_in(rows["concept_id"].unique(maintain_order=True).head(5).to_list())
    dropped = [
        inspection.dropped_rows(mine, manifest).collect(),
        rows.filter(gone).with_columns(reasons=pl.lit(["incomplete"])),
    ]
    files = []
    for name, split, part in (
        ("data/train-00000-of-00001.arrow", "train", rows.filter(~gone)),
        ("dropped/rows-00000-of-00001.arrow", "dropped", pl.concat(dropped)),
    ):
        part.write_ipc(mine / name, compat_level=pl.CompatLevel.oldest())
        files.append(file_facts(mine, mine / name, split, len(part)))
    (mine / "manifest.json").write_text(manifest.model_copy(update={"files": files}).model_dump_json())
    after = verdicts(mine).languages["es"]
    assert (after.rows, after.outdated) == (before.rows, 0)
    assert (after.kept.judged, after.kept.value) == (before.kept.judged - 5, 1)
    assert after.dropped == before.dropped
    assert after.rules == before.rules == {"similarity_min": (8, 0)}
