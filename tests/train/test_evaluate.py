"""What an evaluation says of a model: right by hand, right by chance, and refused where it can't be."""

import io
import itertools
import math
import subprocess
import sys
import time
import tracemalloc
from decimal import Decimal, localcontext
from statistics import NormalDist

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.console import Console

from mldata.errors import InputError
from mldata_train import evaluate as evaluating
from mldata_train.evaluate import difference, evaluate, log_odds_ratio
from mldata_train.figures import Difference, read_evaluation, write_evaluation
from mldata_train.report import markdown, plot, table, text

WHAT = {"model": "runs/aligned", "data": "sets/kitchen", "split": "test", "anchor": "en"}


def scores(margins):
    """Concept -> language -> margin of the mean log-probability, as a frame of log-probabilities."""
    return pl.DataFrame(
        [
            {
                "concept_id": concept,
                "language": tag,
                "chosen": -40.0 + 16 * margin,
                "rejected": -80.0,
                "chosen_tokens": 16,
                "rejected_tokens": 32,
            }
            for concept, languages in margins.items()
            for tag, margin in languages.items()
        ]
    )


def found(margins, **more):
    """Evaluated by mean log-probability."""
    return evaluate(scores(margins), score="mean", **{**WHAT, "resamples": 100, **more})


def population(concepts, right, draw, keep=0.8, shared=0.5):
    """Margins of concepts drawn at random: share right[tag] of a language is right, and a hard concept is
    hard in all languages. Each translated row is kept by chance, the anchor's always."""
    hardness = draw.normal(size=(concepts, 1)) * math.sqrt(shared)
    own = draw.normal(size=(concepts, len(right))) * math.sqrt(1 - shared)
    margins = np.array([NormalDist().inv_cdf(share) for share in right.values()]) + hardness + own
    margins /= 3  # nats: no answer is then more than certain
    kept = draw.random(margins.shape) < keep
    kept[:, 0] = True
    return {
        f"c{c:06}": {tag: margins[c, place] for place, tag in enumerate(right) if kept[c, place]}
        for c in range(concepts)
    }


SMALL = {
    "oven": {"en": 0.5, "pt": 0.25, "es": 0.25},
    "bread": {"en": 0.5, "pt": -0.25, "es": 0.5},
    "flour": {"en": -0.5, "pt": -0.25},
    "salt": {"en": 0.5, "es": 0.5},
    "yeast": {"en": 0.5},
}


def test_every_figure_of_a_small_set_is_the_one_counted_by_hand():
    it = found(SMALL, unseen=["es"])
    english, portuguese, spanish = it.languages
    assert (it.concepts, it.rows) == (5, 11)
    assert [(f.language, f.unseen, f.rows) for f in it.languages] == [
        ("en", False, 5),
        ("pt", False, 3),
        ("es", True, 3),
    ]
    assert it.anchor_accuracy == english.accuracy
    assert english.accuracy.value == 80
    assert portuguese.accuracy.value == pytest.approx(100 / 3)
    assert spanish.accuracy.value == 100
    assert english.gap is english.paired_gap is english.agreement is None
    assert portuguese.gap.value == pytest.approx(80 - 100 / 3)
    assert portuguese.paired_gap.value == pytest.approx(100 / 3)  # English is right on 2 of the 3
    assert (spanish.gap.value, spanish.paired_gap.value) == (-20, 0)
    assert portuguese.agreement.value == pytest.approx(200 / 3)
    assert spanish.agreement.value == 100
    assert it.others.accuracy.value == pytest.approx((100 / 3 + 100) / 2)
    assert it.others.gap.value == pytest.approx(80 - (100 / 3 + 100) / 2)
    assert it.others.paired_gap.value == pytest.approx(100 / 6)
    assert (it.seen.languages, it.seen.accuracy) == (1, portuguese.accuracy)
    assert (it.unseen.languages, it.unseen.gap) == (1, spanish.gap)
    assert it.worst == "pt"
    assert it.consistency.value == 75  # of oven, bread, flour and salt only bread has two verdicts
    assert it.agreement.value == pytest.approx(100 * 6 / 8)
    assert it.pairs[0] == pytest.approx((100, 200 / 3, 100), abs=1e-6)
    assert it.pairs[1] == pytest.approx((200 / 3, 100, 50), abs=1e-6)


def test_a_model_that_is_its_own_reference_has_accuracy_50():
    frame = scores(SMALL).with_columns(ref_chosen="chosen", ref_rejected="rejected")
    it = evaluate(frame, score="reward", **WHAT)
    assert {f.accuracy.value for f in it.languages} == {50}
    assert {f.margin.value for f in it.languages} == {0}
    assert it.consistency.value == it.agreement.value == 100


def test_the_reward_is_what_training_moved_not_where_the_model_stood():
    """The reference prefers the rejected answer by 24 nats; the model moved 8 nats towards the chosen one."""
    row = {"concept_id": "oven", "language": "en", "chosen_tokens": 9, "rejected_tokens": 7}
    moved = {"chosen": -60.0, "rejected": -44.0, "ref_chosen": -64.0, "ref_rejected": -40.0}
    it = evaluate(pl.DataFrame([{**row, **moved}]), score="reward", **WHAT)
    assert (it.anchor_accuracy.value, it.languages[0].margin.value) == (100, 8)


def test_a_zero_margin_counts_half_and_agrees_with_nothing_but_zero():
    it = found({"oven": {"en": 0, "pt": 0, "es": 0.5}, "bread": {"en": 0, "pt": -0.5, "es": 0}})
    assert [f.accuracy.value for f in it.languages] == [50, 25, 75]
    assert [f.agreement.value for f in it.languages[1:]] == [50, 50]
    assert it.consistency.value == 0
    assert it.agreement.value == pytest.approx(100 * 2 / 6)


means = st.floats(-50, -1e-7)


@given(means, means)
@example(-1e-7, -1.0000000000000002e-7)
@example(-700.0, -700.0000000000001)
@example(-0.6931471805599453, -0.6931471805599452)
def test_the_log_odds_ratio_gives_the_verdicts_of_the_mean(chosen, rejected):
    odds = log_odds_ratio(np.array([chosen]), np.array([rejected]))[0]
    assert np.sign(odds) == np.sign(chosen - rejected)


@given(st.floats(-50, 0), st.floats(-50, 0))
def test_the_log_odds_ratio_is_finite_even_for_an_answer_that_is_certain(chosen, rejected):
    odds = log_odds_ratio(np.array([chosen]), np.array([rejected]))[0]
    assert math.isfinite(odds)
    assert odds * (chosen - rejected) >= 0


@given(means, means)
def test_the_log_odds_ratio_is_exact_to_rounding(chosen, rejected):
    with localcontext(prec=60):
        c, r = Decimal(chosen), Decimal(rejected)
        exact = (c - (1 - c.exp()).ln()) - (r - (1 - r.exp()).ln())
    assert log_odds_ratio(np.array([chosen]), np.array([rejected]))[0] == pytest.approx(
        float(exact), rel=1e-9, abs=1e-14
    )


def test_the_margin_reported_for_the_mean_is_orpos():
    row = {"concept_id": "oven", "language": "en", "chosen_tokens": 2, "rejected_tokens": 1}
    frame = pl.DataFrame([{**row, "chosen": 2 * math.log(0.8), "rejected": math.log(0.5)}])
    it = evaluate(frame, score="mean", **WHAT)
    assert it.languages[0].margin.value == pytest.approx(math.log(4), abs=1e-6)  # odds 4 against 1


verdicts = st.dictionaries(
    st.sampled_from("abcdefgh"),
    st.dictionaries(st.sampled_from(["pt", "es", "fr", "it"]), st.sampled_from([-0.5, 0.0, 0.5])),
    min_size=1,
)


@settings(deadline=None, max_examples=60)
@given(verdicts, st.data())
def test_consistency_and_agreement_are_what_counting_pairs_gives(translated, data):
    margins = {
        concept: {"en": data.draw(st.sampled_from([-0.5, 0.0, 0.5])), **languages}
        for concept, languages in translated.items()
    }
    it = found(margins)
    several = [list(v.values()) for v in margins.values() if len(v) > 1]
    if not several:
        assert it.consistency is it.agreement is None
        return
    assert it.consistency.value == pytest.approx(100 * np.mean([len(set(v)) == 1 for v in several]), abs=1e-5)
    pairs = [a == b for v in several for a, b in itertools.combinations(v, 2)]
    assert it.agreement.value == pytest.approx(100 * np.mean(pairs), abs=1e-5)
    for (i, one), (j, two) in itertools.product(enumerate(it.languages), repeat=2):
        both = [v for v in margins.values() if one.language in v and two.language in v]
        same = [v[one.language] == v[two.language] for v in both]
        assert it.pairs[i][j] == (pytest.approx(100 * np.mean(same), abs=1e-5) if both else None)


def test_a_language_that_keeps_only_hard_concepts_has_a_gap_but_no_paired_gap():
    easy = {f"easy {n}": {"en": 0.5} for n in range(8)}
    hard = {f"hard {n}": {"en": -0.5 if n % 2 else 0.5, "eo": -0.5 if n % 2 else 0.5} for n in range(8)}
    (esperanto,) = found(easy | hard).languages[1:]
    assert esperanto.gap.value == 25
    assert (esperanto.paired_gap.value, esperanto.paired_gap.low, esperanto.paired_gap.high) == (0, 0, 0)


def test_a_language_that_shares_no_concept_with_the_anchor_has_no_paired_gap():
    it = found({"oven": {"en": 0.5, "pt": 0.5}, "salt": {"es": -0.5}})
    spanish = it.languages[2]
    assert (spanish.gap.value, spanish.paired_gap, spanish.agreement) == (100, None, None)
    assert it.others.paired_gap.value == 0
    assert it.pairs[0][2] is None


def test_the_anchor_alone_is_evaluated():
    it = found({"oven": {"en": 0.5}, "bread": {"en": -0.5}})
    assert it.anchor_accuracy.value == 50
    assert it.others is it.seen is it.unseen is it.consistency is it.agreement is it.worst is None
    assert "| en | 2 | 50.0 [0.0, 100.0] | – | – | – |" in markdown(None, it)
    assert read_back(table(None, it)).count("–") == 5


def test_the_anchor_need_not_be_english():
    it = found({"oven": {"en": -0.5, "pt": 0.5}}, anchor="pt")
    assert [(f.language, f.accuracy.value) for f in it.languages] == [("pt", 100), ("en", 0)]
    assert it.others.gap.value == 100


RIGHT = {"en": 0.85, "pt": 0.8, "eo": 0.6, "sl": 0.5}


def spread(it):
    """Name -> estimate, of all that has an interval."""
    names = ("accuracy", "gap", "paired_gap", "agreement")
    figures = {
        f"{name} {f.language}": getattr(f, name) for f in it.languages for name in names if getattr(f, name)
    }
    figures |= {f"{name} others": getattr(it.others, name) for name in names[:3]}
    figures |= {f"{name} unseen": getattr(it.unseen, name) for name in names[:3]}
    return figures | {"consistency": it.consistency, "agreement": it.agreement}


def covered(repeats, evaluated):
    """Share of samples whose interval holds the figure of a sample 300 times as large."""
    truth = {name: e.value for name, e in spread(evaluated(np.random.default_rng(99), 60_000)).items()}
    holds = dict.fromkeys(truth, 0)
    for seed in range(repeats):
        for name, e in spread(evaluated(np.random.default_rng(seed), 200)).items():
            holds[name] += e.low <= truth[name] <= e.high
    return {name: count / repeats for name, count in holds.items()}


def test_nineteen_of_twenty_intervals_hold_the_true_figure():
    def evaluated(draw, concepts):
        return found(
            population(concepts, RIGHT, draw), unseen=["sl"], resamples=100 if concepts > 1000 else 300
        )

    shares = covered(300, evaluated)
    assert len(shares) == 21
    assert 0.89 <= min(shares.values()) <= max(shares.values()) <= 0.985
    assert 0.925 <= np.mean(list(shares.values())) <= 0.965


def test_nineteen_of_twenty_intervals_of_a_change_hold_the_true_change():
    def evaluated(draw, concepts):
        before, after = trained(concepts, draw)
        kind = {"anchor": "en", "score": "mean", "unseen": ["sl"]}
        return difference(before, after, resamples=100 if concepts > 1000 else 300, **kind)

    shares = covered(300, evaluated)
    assert 0.89 <= min(shares.values()) <= max(shares.values()) <= 0.985
    assert 0.925 <= np.mean(list(shares.values())) <= 0.965


def trained(concepts, draw):
    """Scores before and after a training that helps most where most was missing."""
    before = scores(population(concepts, RIGHT, draw))
    gain = pl.col("language").replace_strict({"en": 0.1, "pt": 0.2, "eo": 0.5, "sl": 0.3})
    noise = pl.Series(draw.normal(scale=0.5, size=len(before)))
    return before, before.with_columns(chosen=pl.col("chosen") + 16 / 3 * (gain + noise))


def width(estimate):
    return estimate.high - estimate.low


def test_languages_that_repeat_one_another_make_no_interval_narrower():
    draw = np.random.default_rng(1)
    rights = draw.random(300) < 0.7
    tags = ["pt", "es", "fr", "it", "ca", "gl", "oc", "eo"]
    margins = {f"{n}": {"en": 0.5, **dict.fromkeys(tags, r - 0.5)} for n, r in enumerate(rights)}
    it = found(margins, resamples=1000)
    assert width(it.others.accuracy) == width(it.languages[1].accuracy)
    assert width(it.languages[1].accuracy) == pytest.approx(2 * 196 * math.sqrt(0.7 * 0.3 / 300), rel=0.15)


def test_pairing_narrows_the_interval_of_a_change():
    before, after = trained(300, np.random.default_rng(2))
    kind = {"score": "mean", **WHAT}
    one, two = (evaluate(frame, **kind).others.accuracy for frame in (before, after))
    change = difference(before, after, anchor="en", score="mean").others.accuracy
    assert change.value == pytest.approx(two.value - one.value, abs=1e-5)
    assert width(change) < 0.8 * math.hypot(width(one), width(two))


def test_a_model_beside_itself_has_changed_nowhere():
    frame = scores(SMALL)
    nothing = difference(frame, frame.sample(fraction=1, shuffle=True, seed=3), anchor="en", score="mean")
    assert {(e.value, e.low, e.high) for f in nothing.languages for e in (f.accuracy, f.margin)} == {
        (0, 0, 0)
    }
    assert (nothing.consistency.value, nothing.others.gap.value) == (0, 0)
    assert Difference.model_validate_json(nothing.model_dump_json()) == nothing


def test_a_gap_that_narrows_is_a_negative_change():
    before = {"oven": {"en": 0.5, "pt": -0.5}, "bread": {"en": 0.5, "pt": -0.5}}
    after = {"oven": {"en": 0.5, "pt": 0.5}, "bread": {"en": 0.5, "pt": -0.5}}
    change = difference(scores(before), scores(after), anchor="en", score="mean")
    assert (change.languages[1].accuracy.value, change.others.gap.value, change.consistency.value) == (
        50,
        -50,
        50,
    )


def test_the_order_of_rows_changes_nothing_and_the_seed_only_intervals():
    margins = population(80, RIGHT, np.random.default_rng(5))
    it = found(margins)
    other = found(dict(reversed(margins.items())))
    assert other.model_dump_json() == it.model_dump_json()
    reseeded = found(margins, seed=1)
    assert reseeded.consistency.value == it.consistency.value
    assert reseeded.consistency != it.consistency


def test_languages_stand_in_the_sets_order_though_no_concept_has_them_all():
    margins = {
        "1": {"en": 0.5, "es": 0.5, "an": 0.5},
        "2": {"en": 0.5, "pt": 0.5, "es": 0.5, "oc": 0.5},
        "3": {"en": 0.5, "oc": 0.5, "an": 0.5},
    }
    assert [f.language for f in found(margins).languages] == ["en", "pt", "es", "oc", "an"]
    shuffled = scores(margins).sample(fraction=1, shuffle=True, seed=1)
    tags = [f.language for f in evaluate(shuffled, score="mean", **WHAT).languages]
    assert (tags[0], sorted(tags)) == ("en", ["an", "en", "es", "oc", "pt"])


def test_resamples_drawn_a_few_at_a_time_are_the_same(monkeypatch):
    margins = population(50, RIGHT, np.random.default_rng(6))
    at_once = found(margins)
    monkeypatch.setattr(evaluating, "DRAWN_AT_ONCE", 50 * 7)
    assert found(margins) == at_once


BAD = {
    "no row of the anchor": (
        scores({"oven": {"pt": 0.5}}),
        "no row is in the anchor's language en: there are pt",
    ),
    "an empty frame": (scores(SMALL)[:0], "there is no row to evaluate"),
    "a row twice": (
        pl.concat([scores(SMALL), scores(SMALL)[4:5]]),
        "there are two rows for concept bread in pt (2 of 12 rows)",
    ),
    "a concept without a name": (scores({None: {"en": 0.5}}), "a row has no concept_id or no language"),
    "no column": (scores(SMALL).drop("chosen_tokens"), "the scores have no column chosen_tokens"),
}
for value in (math.nan, math.inf, -math.inf, None):
    BAD[f"a log-probability of {value}"] = (
        scores(SMALL).with_columns(
            rejected=pl.when(concept_id="bread", language="es").then(pl.lit(value)).otherwise("rejected")
        ),
        "the log-probability rejected is no finite number for concept bread in es (1 of 11 rows)",
    )
for value in (0, -1, None):
    BAD[f"an answer of {value} tokens"] = (
        scores(SMALL).with_columns(
            chosen_tokens=pl.when(concept_id="salt", language="en").then(value).otherwise("chosen_tokens")
        ),
        "chosen_tokens is not above 0 for concept salt in en (1 of 11 rows)",
    )


@pytest.mark.parametrize("what", BAD)
def test_rows_that_cant_be_judged_are_refused_with_their_place(what):
    frame, message = BAD[what]
    with pytest.raises(InputError) as error:
        evaluate(frame, score="mean", **WHAT)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_a_reward_without_a_reference_is_refused():
    with pytest.raises(InputError, match="needs a reference model's log-probabilities"):
        evaluate(scores(SMALL), score="reward", **WHAT)


def test_a_reference_without_a_finite_log_probability_is_refused_for_the_reward_alone():
    frame = scores(SMALL).with_columns(ref_chosen=pl.lit(-math.inf), ref_rejected=-40.0)
    assert evaluate(frame, score="mean", **WHAT).rows == 11
    with pytest.raises(InputError, match=r"ref_chosen is no finite number for concept oven in en \(11 of 11"):
        evaluate(frame, score="reward", **WHAT)


def test_an_unseen_language_without_rows_is_refused():
    with pytest.raises(InputError, match="no row is in sl, named as unseen: there are en pt es"):
        found(SMALL, unseen=["sl"])


def test_too_few_resamples_are_refused():
    with pytest.raises(InputError, match="99 resamples are too few"):
        found(SMALL, resamples=99)


def test_a_difference_of_other_rows_is_refused_with_one_of_them():
    before, after = scores(SMALL), scores(SMALL)[:-1]
    with pytest.raises(InputError, match=r"^1 rows .* concept yeast in en for one \(before only\)"):
        difference(before, after, anchor="en", score="mean")
    with pytest.raises(InputError, match=r"^3 rows .* concept oven in en for one \(after only\)"):
        difference(before[3:], after.vstack(before[-1:]), anchor="en", score="mean")


def test_an_evaluation_comes_back_from_its_file_as_it_was(tmp_path):
    it = found(SMALL, unseen=["es"], reference="base", digest="ab12")
    write_evaluation(it, tmp_path / "runs" / "evaluation.json")
    assert read_evaluation(tmp_path / "runs" / "evaluation.json") == it
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["evaluation.json"]


def cut(content):
    return content[: len(content) // 2]


DAMAGES = {
    "cut off": cut,
    "empty": lambda _: b"",
    "not UTF-8": lambda content: b"\xff\xfe" + content,
    "another JSON": lambda _: b'{"model_type": "llama"}',
    "a list": lambda _: b"[]",
    "a figure too many": lambda content: content.replace(b'"worst"', b'"luck": 1, "worst"'),
    "no number": lambda content: content.replace(b'"value": 80.0', b'"value": NaN'),
    "a later format": lambda content: content.replace(b'"format_version": 1', b'"format_version": 2'),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_or_foreign_file_is_refused_in_one_sentence(damage, tmp_path):
    path = tmp_path / "evaluation.json"
    write_evaluation(found(SMALL), path)
    whole = path.read_bytes()
    path.write_bytes(DAMAGES[damage](whole))
    assert path.read_bytes() != whole
    with pytest.raises(InputError, match=r"evaluation\.json is no evaluation, or is damaged \(") as error:
        read_evaluation(path)
    assert "\n" not in str(error.value)


def test_a_file_that_isnt_there_or_is_a_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"can't be read \(No such file or directory\)"):
        read_evaluation(tmp_path / "evaluation.json")
    with pytest.raises(InputError, match=r"can't be read \(Is a directory\)"):
        read_evaluation(tmp_path)


def test_a_file_that_cant_be_written_is_refused_and_leaves_nothing(tmp_path):
    (tmp_path / "evaluation.json").mkdir()
    (tmp_path / "evaluation.json" / "kept").touch()
    with pytest.raises(InputError, match="can't be written"):
        write_evaluation(found(SMALL), tmp_path / "evaluation.json")
    assert [path.name for path in tmp_path.iterdir()] == ["evaluation.json"]


def read_back(shown):
    console = Console(width=140, file=io.StringIO())
    console.print(shown)
    return console.file.getvalue()


def before_and_after(**more):
    frames = trained(60, np.random.default_rng(8))
    kind = {"score": "mean", "resamples": 200, "unseen": ["sl"], **more}
    before, after = (
        evaluate(frame, **{**WHAT, **kind, "model": model})
        for frame, model in zip(frames, ("base", "runs/aligned"), strict=True)
    )
    return before, after, difference(*frames, anchor="en", **kind)


def test_a_table_has_the_anchor_first_unseen_marked_and_totals_below():
    _, after, _ = before_and_after()
    lines = [line.split() for line in read_back(table(None, after)).splitlines() if line.strip()]
    names = [" ".join(line[:2]) for line in lines]
    assert [name.split()[0] for name in names[2:6]] == ["en", "pt", "eo", "sl"]
    assert names[5] == "sl (unseen)"
    assert [" ".join(line[:4]) for line in lines[6:9]] == [
        "mean of others (3)",
        "mean of seen (2)",
        "mean of unseen (1)",
    ]
    assert text(after.languages[1].accuracy) in read_back(table(None, after))


def test_two_evaluations_stand_side_by_side_with_the_change_between():
    before, after, change = before_and_after()
    row = next(line for line in markdown(before, after, change).splitlines() if line.startswith("| eo"))
    place = 2
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == [
        "eo",
        str(after.languages[place].rows),
        text(before.languages[place].accuracy),
        text(after.languages[place].accuracy),
        text(change.languages[place].accuracy, "+"),
        text(before.languages[place].gap),
        text(after.languages[place].gap),
    ]
    assert cells[4].startswith("+")
    shown = read_back(table(before, after, change))
    assert all(cell in shown for cell in cells)
    assert f"{text(before.consistency)} → {text(after.consistency)}" in shown


def test_markdown_is_the_text_one_expects():
    it = found({"oven": {"en": 0.5, "pt": -0.5}, "bread": {"en": 0.5, "pt": -0.5}})
    assert markdown(None, it).splitlines() == [
        "| language | rows | accuracy | gap | paired gap | agrees with en | margin |",
        "| :-- | --: | --: | --: | --: | --: | --: |",
        "| en | 2 | 100.0 [100.0, 100.0] | – | – | – | 0.560 |",
        "| pt | 2 | 0.0 [0.0, 0.0] | 100.0 [100.0, 100.0] | 100.0 [100.0, 100.0] | 0.0 [0.0, 0.0] | -0.535 |",
        "| **mean of others (1)** |  | 0.0 [0.0, 0.0] | 100.0 [100.0, 100.0] | 100.0 [100.0, 100.0] |  |  |",
        "",
        "- consistency 0.0 [0.0, 0.0]: concepts with the same verdict in all their languages",
        "- agreement 0.0 [0.0, 0.0]: pairs of languages within a concept with the same verdict",
        "- lowest accuracy pt 0.0 [0.0, 0.0]",
        "- percent, gaps in points below en; 2 concepts, 4 rows, score mean; in brackets 95 % intervals over "
        "concepts",
    ]


def test_evaluations_of_other_rows_are_not_put_side_by_side(tmp_path):
    it = found(SMALL)
    for other in (
        found(SMALL, split="train"),
        found({**SMALL, "water": {"en": 0.5}}),
        found({**SMALL, "yeast": {"en": 0.5, "pt": 0.5}}),
        found(SMALL, unseen=["es"]),
    ):
        with pytest.raises(InputError, match="can't be compared"):
            table(other, it)
        with pytest.raises(InputError, match="can't be compared"):
            plot(other, it, tmp_path / "plot.svg")


def test_a_plot_is_drawn_light_whatever_the_users_style(tmp_path):
    import matplotlib as mpl
    from matplotlib.image import imread

    before, after, _ = before_and_after()
    with mpl.rc_context({"figure.facecolor": "black", "axes.facecolor": "black", "text.color": "white"}):
        plot(before, after, tmp_path / "plot.png")
        plot(before, after, tmp_path / "plot.svg")
    pixels = imread(tmp_path / "plot.png")[:, :, :3]
    assert (pixels[0, 0] == 1).all()
    assert (pixels == 1).all(axis=2).mean() > 0.8
    blue = (abs(pixels - np.array([0x0B, 0x5C, 0xAD]) / 255) < 0.01).all(axis=2)
    assert blue.sum() > 500  # dots and intervals of after
    drawn = (tmp_path / "plot.svg").read_text("utf-8")
    for label in ("en", "pt", "eo", "sl (unseen)", "before: base", "after: runs/aligned"):
        assert f">{label}<" in drawn


def test_the_same_evaluation_gives_the_same_plot(tmp_path):
    it = found(SMALL)
    for suffix in ("svg", "png"):
        plot(None, it, tmp_path / f"one.{suffix}")
        plot(None, it, tmp_path / f"two.{suffix}")
        assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"two.{suffix}").read_bytes()
    assert len(list(tmp_path.iterdir())) == 4


def test_a_models_name_may_be_long_or_in_any_script(tmp_path):
    it = found(SMALL, model="/models/多言語/$x_1$/" + "deep/" * 40 + "aligned")
    plot(it, it, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_a_plot_of_another_kind_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"plot\.pdf must end in \.svg or \.png"):
        plot(None, found(SMALL), tmp_path / "plot.pdf")


def test_a_plot_without_matplotlib_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r'pip install "mldata\[train\]"'):
        plot(None, found(SMALL), tmp_path / "plot.svg")


def test_figures_and_tables_need_no_model_library():
    code = (
        "import sys, mldata_train.report, mldata_train.evaluate\n"
        "print(sorted({'torch', 'trl', 'transformers', 'datasets', 'matplotlib'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_ten_thousand_concepts_in_thirty_languages_are_a_matter_of_seconds():
    """About a second on one core; the bound is a machine ten times as slow."""
    tags = ["en", *(f"l{n}" for n in range(29))]
    ids = np.repeat(np.arange(10_000), len(tags))
    frame = pl.DataFrame(
        {
            "concept_id": pl.Series(ids).cast(pl.String),
            "language": tags * 10_000,
            "chosen": np.random.default_rng(0).normal(-40, 5, len(ids)),
            "rejected": -41.0,
            "chosen_tokens": 20,
            "rejected_tokens": 20,
        }
    )
    tracemalloc.start()
    start = time.process_time()
    it = evaluate(frame, score="mean", **WHAT)
    seconds, (_, peak) = time.process_time() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert it.rows == 300_000
    assert width(it.others.accuracy) < 0.5
    assert seconds < 15
    assert peak < 400e6
