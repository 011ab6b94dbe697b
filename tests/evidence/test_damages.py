"""Every damage really spoils a translation, the same way each time; and the recipe's rules see it.

The sentences are the phrasebook's. Unlike the phrasebook's engines, which damage what they translate, these
spoil a finished translation: `measure` makes a user's wrong items with them.
"""

from __future__ import annotations

import random
import re

import phrasebook
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mldata.encode import open_encoder
from mldata.evidence import Pair, Unit, rows, structure, wrong_items
from mldata.evidence.alignment import Pool, texts
from mldata.evidence.damage import DAMAGES, damaged
from mldata.evidence.rows import Context
from mldata.evidence.similarity import Neighbours
from mldata.identify import open_identifier
from mldata.languages import language
from mldata.measured import length_deviation
from mldata.recipe import load_recipe
from mldata.text import assemble, split

ENGLISH = phrasebook.ENGLISH
SPANISH = {
    **phrasebook.SENTENCES,
    "Read https://example.org/help before you write to {name}.": (
        "Lea https://example.org/help antes de escribir a {name}."
    ),
    "At the counter on the first floor you can ask for Fernando.": (
        "En el mostrador de la primera planta puede preguntar por Fernando."
    ),
    "Bring the kettle with its cable.": "Traiga el hervidor con su cable.",
    "Show the receipt at the counter.": "Enseñe el recibo en el mostrador.",
    "Antonio Banderas, Salma Hayek, Javier Bardem.": "Antonio Banderas, Salma Hayek, Javier Bardem.",
}
WITH_SPANS, WITH_A_NAME, *ITEMS, SAME = list(SPANISH)[len(ENGLISH) :]
SINK = {
    "prompt": " ".join(ENGLISH[12:14]),
    "chosen": f"{' '.join(ENGLISH[:4])}\n\n{WITH_SPANS}\n\n- {ITEMS[0]}\n- {ITEMS[1]}\n\n{WITH_A_NAME}",
    "rejected": f"{' '.join(ENGLISH[6:11])}\n\n{ENGLISH[11]}",
}
OTHERS = (
    {"prompt": ENGLISH[14], "chosen": " ".join(ENGLISH[15:17]), "rejected": ENGLISH[17]},
    {"prompt": ENGLISH[13], "chosen": ENGLISH[5], "rejected": " ".join(ENGLISH[4:6])},
)
UNSEEN = {"name_changed", "negation_changed"}
"""What no evidence of ours sees: a name in another's place, and a sentence that says the contrary."""
BY_NAME = {damage.name: damage for damage in DAMAGES}


def concept(fields, number=0):
    """The units of a concept, translated as a person did, sentence by sentence."""
    units = []
    for field, english in fields.items():
        parts = split(english, "en")
        spanish = [SPANISH[segment.text] for segment in parts.segments]
        pairs = [
            Pair(segment.plain, plain(translation), segment.plain, "", ())
            for segment, translation in zip(parts.segments, spanish, strict=True)
        ]
        protected = tuple(span for segment in parts.segments for span in segment.protected)
        units.append(Unit(number, field, 0, english, assemble(parts, spanish), protected, tuple(pairs)))
    return tuple(units)


def plain(spanish):
    return " ".join(segment.plain for segment in split(spanish, "es").segments)


@pytest.fixture(scope="module")
def judged():
    """The right concepts, and every damage of the rich one three times over: kind, reasons."""
    units = [u for n, fields in enumerate([SINK, *OTHERS]) for u in concept(fields, n)]
    encoder = open_encoder("e5-small")

    def embed(said):
        return dict(zip(sorted(said), encoder.encode(sorted(said)), strict=True)) if said else {}

    vectors = embed(
        texts(units, "es") | {text for u in units for p in u.pairs for text in (p.source, p.target)} | {""}
    )
    recipe = load_recipe("embedded")
    context = Context(
        [open_identifier(name) for name in recipe.identifiers],
        language("es"),
        language("en"),
        vectors,
        Neighbours.of(units, vectors),
        Pool.of_units(units, vectors),
        structure.ratio_of(units),
    )
    measured = rows.of_units(units, context)
    right = rows.of_concepts(measured, units, vectors).with_columns(kind=pl.lit("right"))
    items = [
        item
        for time in range(3)
        for item in wrong_items.make(units, [f"{time} {n}" for n in range(3)], "en")
        if item.concept == 0
    ]
    wrong = wrong_items.measure(items, measured, context, embed, realign=False)
    frame = pl.concat([right, wrong.select(right.columns)]).with_columns(
        length_deviation(right["length_ratio"].median())
    )
    broken = [pl.when(rule.broken("es")).then(pl.lit(rule.name)) for rule in recipe.rules]
    return frame.select("kind", reasons=pl.concat_list(broken).list.drop_nulls())


def test_right_translations_break_no_rule(judged):
    assert judged.filter(kind="right")["reasons"].to_list() == [[], [], []]


@pytest.mark.parametrize("name", BY_NAME)
def test_every_damage_can_be_done_to_a_rich_example(judged, name):
    assert len(judged.filter(kind=name)) == 3


@pytest.mark.parametrize("name", [name for name in BY_NAME if name not in UNSEEN])
def test_every_damage_breaks_a_rule(judged, name):
    assert all(judged.filter(kind=name)["reasons"].to_list())


fields = st.fixed_dictionaries(
    {
        field: st.builds(
            lambda said, between: between.join(said),
            st.lists(st.sampled_from(list(SPANISH)), min_size=1, max_size=6, unique=True),
            st.sampled_from([" ", "\n\n", "\n- "]),
        )
        for field in ("prompt", "chosen", "rejected")
    }
)


@settings(deadline=None)
@given(fields, fields, st.text(max_size=8))
def test_what_is_spoiled_differs_and_the_rest_is_as_it_was(mine, theirs, concept_id):
    before = concept(mine)
    for damage, after in damaged(before, concept(theirs, 1), concept_id, "en"):
        changed = [(a, b) for a, b in zip(before, after, strict=True) if a is not b]
        assert changed, damage.name
        for a, b in zip(before, after, strict=True):
            assert (a.concept, a.field, a.message, a.protected) == (
                b.concept,
                b.field,
                b.message,
                b.protected,
            )
        for a, b in changed:
            assert (a.source, a.target) != (b.source, b.target), damage.name
            assert (a.source == b.source) == (damage.name != "negation_changed")


@settings(deadline=None)
@given(fields, fields)
def test_segments_of_a_spoiled_text_stand_in_it(mine, theirs):
    for _, after in damaged(concept(mine), concept(theirs, 1), "kettle", "en"):
        for unit in after:
            said = plain(unit.target)
            assert all(word in said for pair in unit.pairs for word in pair.target.split())


@settings(deadline=None)
@given(fields, fields, st.text(max_size=8))
def test_chance_hangs_on_the_concept_alone(mine, theirs, concept_id):
    units, other = concept(mine), concept(theirs, 1)
    assert damaged(units, other, concept_id, "en") == damaged(units, other, concept_id, "en")


def test_other_concepts_are_spoiled_in_other_places():
    found = {
        tuple(unit.target for unit in units)
        for number in range(20)
        for damage, units in damaged(concept(SINK), concept(OTHERS[0], 1), f"kettle {number}", "en")
        if damage.name == "dropped_sentence"
    }
    assert len(found) > 5


ONE = {"prompt": ENGLISH[13]}
LONG = {"prompt": " ".join(ENGLISH[:4])}
SHORT = {"prompt": ENGLISH[13], "chosen": ENGLISH[0], "rejected": ENGLISH[6]}


@pytest.mark.parametrize(
    ("name", "fields", "why"),
    [
        ("other_text", SINK, "the other text is the same"),
        ("swapped", ONE, "there are no answers"),
        ("swapped", SHORT | {"rejected": ENGLISH[0]}, "the answers are the same"),
        ("collapsed", SHORT | {"rejected": ENGLISH[0]}, "the answers are the same"),
        ("dropped_sentence", SHORT, "no text has three sentences"),
        ("added_sentence", LONG, "the other text has no sentence of its own"),
        ("replaced_sentence", LONG, "the other text has no sentence of its own"),
        ("number_changed", SHORT, "there is no number"),
        ("negation_changed", ONE, "a question"),
        ("name_changed", SHORT, "there is no name"),
        ("span_lost", SHORT, "nothing is protected"),
        ("span_doubled", SHORT, "nothing is protected"),
        ("span_altered", SHORT, "nothing is protected"),
        ("items_merged", SHORT, "there is no list"),
        ("paragraphs_lost", SHORT, "there is one paragraph"),
    ],
)
def test_a_damage_that_cannot_be_done_is_not_done(name, fields, why):
    units = concept(fields)
    assert name not in [damage.name for damage, _ in damaged(units, units, "kettle", "en")], why


def test_a_text_that_reads_the_same_in_both_languages_is_no_copy():
    found = [damage.name for damage, _ in damaged(concept({"prompt": SAME}), concept(ONE, 1), "kettle", "en")]
    assert not {"copied", "half_copied"} & set(found)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("swapped", {"chosen": ENGLISH[6], "rejected": ENGLISH[0]}),
        ("collapsed", {"chosen": ENGLISH[0], "rejected": ENGLISH[0]}),
    ],
)
def test_answers_change_places_or_become_one(name, expected):
    spoiled = {
        damage.name: units for damage, units in damaged(concept(SHORT), concept(OTHERS[0], 1), "kettle", "en")
    }
    said = {unit.field: unit.target for unit in spoiled[name] if unit.field != "prompt"}
    assert said == {field: SPANISH[english] for field, english in expected.items()}


def test_a_changed_number_is_another_of_as_many_digits():
    units = concept({"prompt": ENGLISH[2]})
    found = [BY_NAME["number_changed"].make(units, (), random.Random(seed)) for seed in range(20)]
    changed = [units[0].target for units in found if units is not None]  # chance may draw the number itself
    assert len(changed) > 15
    for target in changed:
        number = re.fullmatch(r"Puede devolverlo sin coste en un plazo de (\d\d) días\.", target)
        assert number is not None
        assert number[1] != "30"


def test_an_english_not_is_put_into_english_only():
    in_english, in_german = (
        {damage.name for damage, _ in damaged(concept(SINK), concept(OTHERS[0], 1), "kettle", anchor)}
        for anchor in ("en-GB", "de")
    )
    assert in_english - in_german == {"negation_changed"}
