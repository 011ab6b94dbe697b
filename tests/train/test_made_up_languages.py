"""Training where the truth is known: `tests/benchmarks/made_up_languages.py`, and a small part of it."""

from dataclasses import replace

import numpy as np
import pytest

from tests.benchmarks import made_up_languages as lab

SMALL = replace(
    lab.Sizes(),
    trained=(
        lab.Language("en", 1.0, 1, cognates=1.0),
        lab.Language("qaa", 0.9, 0, cognates=0.4),
        lab.Language("qab", 0.8, 0, cognates=0.3, noun_first=True),
        lab.Language("qac", 0.7, 0, cognates=0.2, verb_last=True),
    ),
    nouns=12,
    held_out_nouns=4,
    documents=11_000,
    concepts=300,
    held_out_concepts=200,
    steps=30,
)
"""The other languages know the nouns, but their text follows wrong suggestions: there is a gap to close."""


def words(row):
    """What a row says, less the language's mark and the order of its words."""
    text = " ".join((row["prompt"], row["chosen"], row["rejected"]))
    return sorted(word.removesuffix(f"_{row['language']}") for word in text.split())


def test_a_concept_says_the_same_in_every_language():
    world = lab.make_world(7, lab.Sizes())
    languages = [language.tag for language in world.sizes.languages]
    rows = lab.preferences(world, 7, "test")
    for first in range(0, len(rows), len(languages)):
        concept = rows[first : first + len(languages)]
        assert [row["language"] for row in concept] == languages
        assert len({row["concept_id"] for row in concept}) == 1
        assert all(words(row) == words(concept[0]) for row in concept)


def test_two_languages_share_no_word_but_names_numbers_marks_and_cognates():
    world = lab.make_world(7, lab.Sizes())
    near, far = (
        {word for row in lab.preferences(world, 7, "test") if row["language"] == tag for word in said(row)}
        for tag in ("qaa", "qad")
    )
    nouns = {noun for of_kind in world.nouns.values() for noun in of_kind}
    shared = near & far - set(lab.SHARED)
    assert shared < nouns
    assert shared == near & far & nouns & world.common["qaa"] & world.common["qad"]


def said(row):
    """All words of a row."""
    return " ".join((row["prompt"], row["chosen"], row["rejected"])).split()


def test_no_noun_of_a_held_out_concept_is_in_a_preference_row():
    world = lab.make_world(7, lab.Sizes())
    nouns = {noun for of_kind in world.nouns.values() for noun in of_kind}
    trained, held_out = (
        {word for row in lab.preferences(world, 7, split) for word in words(row)} & nouns
        for split in ("train", "test")
    )
    assert trained
    assert held_out
    assert not trained & held_out


def test_every_word_that_is_written_is_one_the_model_has():
    world = lab.make_world(7, lab.Sizes())
    vocabulary = set(world.vocabulary())
    draw = lab.random.Random(7)
    texts = [lab.document(draw, language, world) for language in world.sizes.languages for _ in range(300)]
    rows = lab.preferences(world, 7, "train") + lab.preferences(world, 7, "test")
    assert {word for text in texts for word in text.split()} <= vocabulary
    assert {word for row in rows for word in said(row)} <= vocabulary


def test_the_answer_that_is_right_is_as_often_the_first_as_the_second_of_what_was_named():
    world = lab.make_world(7, replace(lab.Sizes(), held_out_concepts=4_000))
    rows = [row for row in lab.preferences(world, 7, "test") if row["language"] == "en"]
    suggestions = [row for row in rows if "-knowledge-" in row["concept_id"]]
    choices = [row for row in rows if "-rule-" in row["concept_id"]]
    said_in = sum(row["chosen"].split()[-2] == row["prompt"].split()[7] for row in suggestions)
    first = sum(row["chosen"].split()[-2] == row["prompt"].split()[6] for row in choices)
    assert said_in / len(suggestions) == pytest.approx(0.5, abs=0.04)
    assert first / len(choices) == pytest.approx(0.5, abs=0.04)


def test_figures_of_verdicts_that_are_known():
    sizes = replace(lab.Sizes(), held_out_concepts=4)
    rows = lab.preferences(lab.make_world(7, sizes), 7, "test")
    margins = np.array(
        [  # en qaa qab qac qad, and qae that is unseen
            [1, 1, 1, 1, 1, -1],
            [1, 1, 1, -1, -1, 1],
            [1, 1, -1, -1, -1, 1],
            [-1, -1, -1, -1, -1, 1],
        ]
    )
    found = lab.figures(margins, rows, sizes)
    assert found["en"] == 0.75
    assert found["others"] == pytest.approx(np.mean([0.75, 0.5, 0.25, 0.25]))
    assert found["gap"] == pytest.approx(0.75 - found["others"])
    assert found["unseen gap"] == 0
    assert found["consistency"] == 0.5
    assert found["others, knowledge"] == pytest.approx(5 / 8)  # concepts 0 and 2
    assert found["others, rule"] == pytest.approx(2 / 8)


@pytest.mark.parametrize(("degrees", "quantile"), [(5, 2.5706), (9, 2.2622), (19, 2.0930), (99, 1.9842)])
def test_quantiles_of_student_t_are_those_of_the_tables(degrees, quantile):
    assert lab.student_t(degrees) == pytest.approx(quantile, rel=3e-3)


@pytest.fixture(scope="module")
def small_world(tmp_path_factory):
    """A world, its model before preferences, the held-out rows and their log-probabilities before."""
    lab.torch.set_num_threads(1)
    world = lab.make_world(0, SMALL)
    base = tmp_path_factory.mktemp("made-up") / "base"
    lab.pretrain(0, world).save_pretrained(base)
    rows = lab.preferences(world, 0, "test")
    return world, base, rows, lab.log_probabilities_of(lab.open_model(base), world, rows)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:.*pin_memory:UserWarning")
@pytest.mark.parametrize("loss", ["dpo", "orpo"])
def test_aligned_batches_raise_every_language_and_close_the_gap_on_concepts_not_trained_on(
    loss, small_world, tmp_path
):
    """In 9 worlds (seeds 0 to 2, 100 to 105), with either loss: each language but the anchor rose by 3 points
    or more, their mean by 19 to 43, and the gap shrank by 11 to 32."""
    world, base, rows, before = small_world
    model, _ = lab.train(loss, lab.ARMS["aligned"], 0, world, base, {}, tmp_path)
    after = lab.log_probabilities_of(model, world, rows)
    was, now = (lab.figures(chosen - rejected, rows, SMALL) for chosen, rejected in (before, after))
    assert all(now[language.tag] > was[language.tag] for language in SMALL.trained[1:])
    assert now["en"] > was["en"] - 0.03
    assert now["others"] > was["others"] + 0.10
    assert now["gap"] < was["gap"] - 0.05
