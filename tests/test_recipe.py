"""Recipes: what they may say, what a rule decides, and what enters a digest."""

import polars as pl
import pytest
from pydantic import ValidationError

from mldata.errors import InputError
from mldata.languages import LANGUAGES
from mldata.recipe import Recipe, Rule, fingerprint, load_recipe, resource
from mldata.selection import change_rules, check_rules

SHIPPED = sorted(path.stem for path in resource("pipelines").glob("*.toml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_recipe_is_valid_and_names_known_languages_and_columns(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert set(recipe.targets) <= set(LANGUAGES)
    check_rules(recipe.rules, recipe.anchor_rules)
    assert all(rule.because for rule in recipe.rules)


@pytest.mark.parametrize(
    ("when", "values", "broken"),
    [
        ("similarity>=0.85", [0.84, 0.85, 0.86, None], [True, False, False, False]),
        ("similarity > 0.85", [0.84, 0.85, 0.86, None], [True, True, False, False]),
        ("similarity<=0.85", [0.84, 0.85, 0.86, None], [False, False, True, False]),
        ("similarity<0.85", [0.84, 0.85, 0.86, None], [False, True, True, False]),
        ("similarity==1", [1.0, 0.9, None], [False, True, False]),
        ("similarity!=1", [1.0, 0.9, None], [True, False, False]),
        ("similarity>=-0.5", [-0.6, -0.5], [True, False]),
    ],
)
def test_bounds_mean_what_they_say_and_null_holds(when, values, broken):
    rule = Rule(name="x", when=when)
    frame = pl.DataFrame({"similarity": values}, schema={"similarity": pl.Float64})
    assert frame.select(rule.broken("es")).to_series().to_list() == broken


def test_a_boolean_rule():
    rule = Rule(name="markup", when="markup_kept == true")
    frame = pl.DataFrame({"markup_kept": [True, False, None]})
    assert frame.select(rule.broken("es")).to_series().to_list() == [False, True, False]


def test_a_language_may_have_a_threshold_of_its_own():
    rule = Rule(name="x", when="similarity>=0.85", per_language={"oc": 0.8})
    assert (rule.threshold("es"), rule.threshold("oc")) == (0.85, 0.8)


@pytest.mark.parametrize("when", ["similarity", "similarity=>1", "0.5<similarity", "a>=b", "", "a>=1; drop"])
def test_what_is_no_comparison_is_refused(when):
    with pytest.raises(ValidationError):
        Rule(name="x", when=when)
    with pytest.raises(InputError, match="--rule"):
        change_rules([], [when])


def test_the_command_line_changes_a_rule_in_all_languages_and_adds_others():
    rules = [
        Rule(name="similar", when="similarity>=0.85", because="why", per_language={"oc": 0.8}),
        Rule(name="length", when="length_deviation<=0.5"),
    ]
    changed = change_rules(rules, ["similarity>=0.9", "back_chrf>=50"])
    assert [(r.name, r.when) for r in changed] == [
        ("similar", "similarity>=0.9"),
        ("length", "length_deviation<=0.5"),
        ("back_chrf", "back_chrf>=50"),
    ]
    assert changed[0].threshold("oc") == 0.9
    assert changed[0].because == "why"


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([Rule(name="a", when="beauty>=1")], "no evidence column"),
        ([Rule(name="a", when="markup_kept>=1")], "true or false"),
        ([Rule(name="a", when="similarity==true")], "a number"),
        ([Rule(name="a", when="similarity>=1"), Rule(name="a", when="margin>=1")], "two rules"),
    ],
)
def test_rules_that_cannot_work_are_refused_before_anything_runs(rules, message):
    with pytest.raises(InputError, match=message):
        check_rules(rules)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = 3", "name"),
        ('name = "x"', "targets: Field required"),
        ("not toml at all", "is no TOML file"),
        (
            'name="x"\ntargets=["es"]\ntranslators=["a"]\nidentifiers=["b"]\nencoder="c"\ncolour="red"',
            "colour",
        ),
        ('name="x"\ntargets=["klingon"]\ntranslators=["a"]\nidentifiers=["b"]\nencoder="c"', "klingon"),
    ],
)
def test_a_broken_recipe_is_named_with_the_field(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(InputError, match=message):
        load_recipe(str(path))


def test_an_unknown_pipeline_is_named_with_the_shipped_ones():
    with pytest.raises(InputError, match="embedded"):
        load_recipe("magic")


def test_a_fingerprint_is_stable_and_raises_on_what_it_cannot_say():
    assert fingerprint({"b": [1, 2.5, None], "a": "x"}) == fingerprint({"a": "x", "b": [1, 2.5, None]})
    assert fingerprint([1]) != fingerprint(["1"])
    for value in (object(), {1, 2}, float("nan"), Recipe):
        with pytest.raises((TypeError, ValueError)):
            fingerprint(value)


def test_a_variety_has_the_threshold_of_its_language_unless_it_has_its_own():
    rule = Rule(name="similarity", when="similarity>=0.8", per_language={"es": 0.85, "es-MX": 0.9})
    assert [rule.threshold(tag) for tag in ("fr", "es", "es-AR", "es-MX")] == [0.8, 0.85, 0.85, 0.9]
