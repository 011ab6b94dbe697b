"""Thresholds found on wrong items: near the rate that was asked for, never looser than the recipe's."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mldata.calibration import Calibration, LanguageCalibration, share, tightened
from mldata.recipe import CalibrationPolicy, Rule
from mldata.selection import change_rules
from mldata.tightening import calibrate_language

RULES = [
    Rule(name="language", when="language_score>=0.8"),
    Rule(name="numbers", when="numbers>=0.5"),
    Rule(name="length", when="length_deviation<=0.5"),
    Rule(name="similarity_min", when="similarity_min>=0.8", per_language={"oc": 0.78}),
    Rule(name="answers_differ", when="answers_differ==true"),
]
KINDS = ("other_text", "dropped_sentence", "polite_form", "collapsed")


def evidence(concepts=400, seed=0):
    """Right rows, and wrong items of them.

    other_text overlaps with right rows in similarity_min, dropped_sentence in length, collapsed breaks a rule
    of the recipe, and nothing here tells polite_form from right rows.
    """
    draw = np.random.default_rng(seed)
    right = pl.DataFrame(
        {
            "concept_id": [f"{seed}-{number}" for number in range(concepts)],
            "language_score": [(1.0, 0.9, None)[number] for number in draw.integers(0, 3, concepts)],
            "numbers": draw.choice([1.0, 0.8], concepts, p=[0.9, 0.1]),
            "length_deviation": abs(draw.normal(0, 0.08, concepts)),
            "similarity_min": 0.94 - 0.08 * draw.beta(2, 5, concepts),
            "answers_differ": [True] * concepts,
        }
    ).with_columns(pl.col(pl.Float64).round(4))

    def wrong(kind, **changes):
        values = {name: pl.Series(name, value, strict=False) for name, value in changes.items()}
        return right.with_columns(*values.values(), pl.lit(kind).alias("kind"))

    items = [
        wrong("other_text", similarity_min=(0.86 - 0.1 * draw.beta(2, 2, concepts)).round(4)),
        wrong("dropped_sentence", length_deviation=abs(draw.normal(0.5, 0.1, concepts)).round(4)),
        wrong("polite_form", similarity_min=(0.94 - 0.08 * draw.beta(2, 5, concepts)).round(4)),
        wrong("collapsed", answers_differ=[False] * concepts),
    ]
    return right, pl.concat(items)


def calibrate(right, wrong, tag="es", rules=RULES, kinds=KINDS, **policy):
    return calibrate_language(
        right, wrong, tag=tag, rules=rules, damages=kinds, policy=CalibrationPolicy(**policy)
    )


def accepted(right, wrong, found, rules=RULES, tag="es"):
    """What select would say under the thresholds found: rows kept, and wrong items accepted by kind."""
    calibration = a_calibration({tag: found})
    holds = [~rule.broken(tag) for rule in tightened(calibration, rules)]
    passed = right.filter(~rule.broken(tag) for rule in rules)
    items = wrong.filter(pl.col("concept_id").is_in(passed["concept_id"].implode()), *holds)
    return len(right.filter(holds)), dict(items["kind"].value_counts().iter_rows())


def a_calibration(languages):
    return Calibration(
        false_accept=0.01,
        max_loss=0.05,
        folds=5,
        min_rows=100,
        min_items=50,
        concepts=400,
        languages=languages,
    )


def thresholds(found: LanguageCalibration):
    return {threshold.rule: threshold.value for threshold in found.thresholds}


def test_damage_that_evidence_sees_is_accepted_at_the_stated_rate():
    found = calibrate(*evidence(1000))
    for kind in ("other_text", "dropped_sentence", "collapsed"):
        rates = found.damages[kind]
        assert rates.items == found.passing
        assert rates.held_out.low <= 0.01
    assert found.damages["other_text"].floors > 0.5 * found.passing
    assert found.damages["collapsed"].floors == 0
    assert found.damages["other_text"].verdict == "reached"
    assert 0.8 < thresholds(found)["similarity_min"] < 0.9
    assert 0.1 < thresholds(found)["length"] < 0.5


@pytest.mark.parametrize("rate", [0.01, 0.02, 0.05])
def test_the_held_out_rate_is_the_one_asked_for_or_less(rate):
    """Over many samples: of concepts that had no part in placing the thresholds, as few as said pass."""
    for kind in ("other_text", "dropped_sentence"):
        counts = [calibrate(*evidence(300, seed), false_accept=rate).damages[kind] for seed in range(15)]
        assert sum(c.held_out.count for c in counts) <= 1.1 * rate * sum(c.items for c in counts)
        assert sum(c.floors for c in counts) >= 0.4 * sum(c.items for c in counts)


def test_where_right_and_wrong_overlap_much_the_rate_is_met_and_paid_for():
    """Of values drawn from beta(2, 4) five in a hundred are above 0.657."""
    draw = np.random.default_rng(1)
    right = pl.DataFrame({"concept_id": map(str, range(4000)), "quality": draw.beta(4, 2, 4000).round(4)})
    wrong = right.with_columns(pl.lit("other_text").alias("kind"), quality=draw.beta(2, 4, 4000).round(4))
    rules = [Rule(name="quality", when="quality>=0.1")]
    found = calibrate(right, wrong, rules=rules, kinds=("other_text",), false_accept=0.05, max_loss=0.6)
    assert found.damages["other_text"].held_out.value == pytest.approx(0.05, abs=0.015)
    assert found.held_out_kept.value == pytest.approx((right["quality"] >= 0.657).mean(), abs=0.05)


def test_the_counts_are_those_that_select_comes_to():
    right, wrong = evidence(300, 3)
    found = calibrate(right, wrong)
    kept, items = accepted(right, wrong, found)
    assert found.kept == kept
    assert {kind: rates.fitted for kind, rates in found.damages.items() if rates.fitted} == items


def test_what_nothing_separates_is_not_reached_and_costs_little():
    found = calibrate(*evidence(500))
    assert found.damages["polite_form"].verdict == "not_reached"
    assert found.kept >= 0.95 * found.passing
    alone = calibrate(*evidence(500), kinds=("polite_form",))
    assert alone.damages["polite_form"].verdict == "not_reached"
    assert alone.kept >= 0.98 * alone.passing


@pytest.mark.parametrize("max_loss", [0, 0.01, 0.05, 0.2])
def test_tightening_costs_no_more_than_was_allowed(max_loss):
    found = calibrate(*evidence(400), max_loss=max_loss)
    assert found.kept >= (1 - max_loss) * found.passing


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 5),
    rates=st.tuples(st.floats(0.002, 0.9), st.floats(0.002, 0.9)).map(sorted),
    max_loss=st.sampled_from([0.0, 0.02, 0.05, 0.3]),
)
def test_a_stricter_rate_never_keeps_more(seed, rates, max_loss):
    right, wrong = evidence(150, seed)
    strict, loose = (calibrate(right, wrong, false_accept=rate, max_loss=max_loss) for rate in rates)
    assert strict.kept <= loose.kept
    for kind, rates_of_kind in strict.damages.items():
        assert rates_of_kind.fitted <= loose.damages[kind].fitted
    for rule, value in thresholds(loose).items():
        sign = -1 if rule == "length" else 1
        assert sign * thresholds(strict)[rule] >= sign * value


def test_no_threshold_is_looser_than_the_recipes():
    right, wrong = evidence(300)
    floors = [
        *RULES[:2],
        Rule(name="length", when="length_deviation<=0.05"),
        Rule(name="similarity_min", when="similarity_min>=0.91"),
        RULES[4],
    ]
    found = calibrate(right, wrong, rules=floors)
    for rule in tightened(a_calibration({"es": found}), floors):
        floor = next(r for r in floors if r.name == rule.name).threshold("es")
        assert rule.threshold("es") <= floor if rule.name == "length" else rule.threshold("es") >= floor


def test_a_calibration_from_elsewhere_loosens_nothing():
    found = calibrate(*evidence(300))
    strict = [rule.model_copy(update={"per_language": {"es": 0.99}}) for rule in RULES[3:4]]
    (rule,) = tightened(a_calibration({"es": found}), strict)
    assert rule.per_language == {"es": 0.99}
    (other,) = tightened(
        a_calibration({"es": found}), [Rule(name="similarity_min", when="similarity_min>0.8")]
    )
    assert other.per_language == {}


def test_a_variety_without_thresholds_keeps_the_recipes_not_those_of_its_language():
    found = calibrate(*evidence(300))
    for rule in tightened(a_calibration({"es": found}), RULES, ["es", "es-MX"]):
        before = next(r for r in RULES if r.name == rule.name)
        assert rule.threshold("es-MX") == before.threshold("es-MX")


def test_a_languages_own_floor_is_where_tightening_starts():
    right, wrong = evidence(300)
    found = calibrate(right, wrong, tag="oc")
    assert next(t.floor for t in found.thresholds if t.rule == "similarity_min") == 0.78


@pytest.mark.parametrize(
    ("when", "better"),
    [("similarity_min>=0.8", 1), ("similarity_min>0.8", 1), ("wrongness<=0.2", -1), ("wrongness<0.2", -1)],
)
def test_a_comparison_keeps_its_sense(when, better):
    """One right row stands just where the wrong items end: it is kept, and none of them is."""
    right = pl.DataFrame({"concept_id": [str(n) for n in range(200)], "similarity_min": [0.8502] * 200})
    right = right.with_columns(wrongness=(1 - pl.col("similarity_min")).round(4))
    wrong = right.with_columns(similarity_min=0.85, wrongness=0.15, kind=pl.lit("other_text"))
    if "=" in when:
        wrong = wrong.with_columns(similarity_min=0.8501, wrongness=0.1499)
    rules = [Rule(name="it", when=when)]
    found = calibrate(right, wrong, rules=rules, kinds=("other_text",))
    assert accepted(right, wrong, found, rules) == (200, {})
    assert better * thresholds(found)["it"] > better * rules[0].threshold("es")


def test_null_evidence_passes_and_moves_no_threshold():
    right, wrong = evidence(300)
    nothing = pl.lit(None, pl.Float64)
    found = calibrate(right, wrong.with_columns(similarity_min=nothing, length_deviation=nothing))
    assert "similarity_min" not in thresholds(found)
    assert found.damages["other_text"].held_out.value == 1.0
    assert found.damages["other_text"].verdict == "not_reached"


def test_too_few_passing_rows_leave_the_recipes_thresholds_and_say_so():
    found = calibrate(*evidence(99))
    assert not found.enough_data
    assert found.thresholds == []
    assert found.kept == found.passing == 99
    assert {rates.verdict for rates in found.damages.values()} == {"too_little_data"}
    assert found.damages["other_text"].held_out.value > 0.4  # said of the recipe's thresholds


def test_too_few_wrong_items_of_a_kind_have_no_say():
    right, wrong = evidence(300)
    few = pl.concat([wrong.filter(kind="other_text")[:49], wrong.filter(pl.col("kind") != "other_text")])
    found = calibrate(right, few)
    assert found.damages["other_text"].verdict == "too_little_data"
    assert "similarity_min" not in thresholds(calibrate(right, few, kinds=("other_text", "collapsed")))
    assert found.damages["dropped_sentence"].verdict != "too_little_data"


def test_a_kind_without_items_and_a_source_without_rows_are_no_error():
    right, wrong = evidence(300)
    found = calibrate(right, wrong, kinds=(*KINDS, "number_changed"))
    assert found.damages["number_changed"].held_out == share(0, 0)
    assert found.damages["number_changed"].verdict == "too_little_data"
    nothing = calibrate(right[:0], wrong[:0])
    assert (nothing.rows, nothing.passing, nothing.thresholds) == (0, 0, [])


def test_damage_to_a_row_that_is_dropped_anyway_does_not_flatter_the_rate():
    right, wrong = evidence(300)
    spoilt = pl.col("concept_id").str.ends_with("7")
    worse = [
        f.with_columns(language_score=pl.when(~spoilt).then("language_score").otherwise(0.1))
        for f in (right, wrong)
    ]
    found = calibrate(*worse)
    assert found.passing == 270
    assert {rates.items for rates in found.damages.values()} == {270}


def test_the_order_of_rows_changes_nothing_and_the_same_input_gives_the_same_bytes():
    right, wrong = evidence(300)
    first = calibrate(right, wrong).model_dump_json()
    assert calibrate(right, wrong).model_dump_json() == first
    assert (
        calibrate(right.reverse(), wrong.sample(fraction=1, shuffle=True, seed=1)).model_dump_json() == first
    )


def test_a_rule_of_the_command_line_wins_over_calibration():
    found = a_calibration({"es": calibrate(*evidence(300))})
    calibrated = next(r for r in tightened(found, RULES) if r.name == "similarity_min")
    assert calibrated.threshold("es") > 0.8
    assert calibrated.threshold("fr") == 0.8
    assert calibrated.per_language["oc"] == 0.78
    changed = change_rules(tightened(found, RULES), ["similarity_min>=0.5"])
    assert next(r for r in changed if r.name == "similarity_min").threshold("es") == 0.5


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilsons_interval_is_the_published_one(count, of, low, high):
    found = share(count, of)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)
    mirrored = share(of - count, of)
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - found.high, 1 - found.low), abs=2e-6)
