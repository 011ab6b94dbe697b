"""Recipes: what they may say, what a rule decides, and what enters a digest."""

import json
import tomllib

import jsonschema
import polars as pl
import pytest
from pydantic import ValidationError

from mldata.encode import ENCODERS
from mldata.errors import InputError
from mldata.identify import IDENTIFIERS
from mldata.languages import LANGUAGES, M2M100, MADLAD, NLLB, OPUS, language
from mldata.licences import allows_commercial, known
from mldata.recipe import Recipe, Rule, fingerprint, load_recipe
from mldata.resources import resource
from mldata.selection import change_rules, check_rules
from mldata.settings import ChatSettings, CTranslate2Settings
from mldata.translate import TRANSLATORS

FAMILIES = {"nllb": NLLB, "m2m100": M2M100, "madlad": MADLAD, "opus-mt": OPUS}

SHIPPED = sorted(path.stem for path in resource("pipelines").glob("*.toml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_recipe_is_valid_and_names_known_languages_and_columns(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert set(recipe.targets) <= set(LANGUAGES)
    check_rules(recipe.rules, recipe.anchor_rules)
    assert all(rule.because for rule in recipe.rules)
    assert {tag for rule in recipe.rules for tag in rule.per_language} <= {*LANGUAGES, "sr"}


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_recipe_satisfies_its_json_schema(name):
    schema = json.loads((resource("schemas") / "recipe.schema.json").read_text("utf-8"))
    jsonschema.validate(tomllib.loads((resource("pipelines") / f"{name}.toml").read_text("utf-8")), schema)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_recipe_names_engines_that_it_has_or_that_are_built_in(name):
    recipe = load_recipe(name)
    ways = [recipe.way(target) for target in recipe.targets]
    translators = {
        name for way in ways for name in (*way.translators, *way.back_translators, *way.retry_with)
    }
    assert translators <= {*TRANSLATORS, *recipe.engines}
    assert recipe.encoder in {*ENCODERS, *recipe.engines}
    assert set(recipe.identifiers) <= {*IDENTIFIERS, *recipe.engines}
    named = {*translators, recipe.encoder, *recipe.identifiers, recipe.quality}
    assert set(recipe.engines) <= named  # none is there in vain


@pytest.mark.parametrize("name", SHIPPED)
def test_every_target_of_a_shipped_recipe_has_a_code_in_the_models_that_translate_it(name):
    recipe = load_recipe(name)
    for engine in recipe.engines.values():
        if not isinstance(engine, CTranslate2Settings):
            continue
        family = next(family for word, family in FAMILIES.items() if word in engine.model)
        pairs = engine.pairs or [f"{recipe.anchor}>{target}" for target in recipe.targets]
        assert {tag for pair in pairs for tag in pair.split(">")} <= set(family), engine.model


@pytest.mark.parametrize("name", SHIPPED)
def test_every_language_of_a_shipped_recipe_is_known_to_one_of_its_identifiers(name):
    recipe = load_recipe(name)
    if any(name in recipe.engines for name in recipe.identifiers):
        return  # GlotLID knows them all
    for target in recipe.targets:
        labels = language(target)
        assert any(getattr(labels, name) for name in recipe.identifiers), target


@pytest.mark.parametrize("name", SHIPPED)
def test_every_model_of_a_shipped_recipe_is_pinned_and_its_licence_known(name):
    recipe = load_recipe(name)
    for engine in recipe.engines.values():
        licence = engine.licence or known(engine.model)
        assert licence
        assert recipe.licence == "any" or allows_commercial(licence)
        if not isinstance(engine, ChatSettings):  # what a server runs is pinned there
            assert engine.revision


def test_the_recipe_nllb_has_every_language_of_nllb():
    assert set(load_recipe("nllb").targets) == set(NLLB) - {"en"}


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


def test_what_is_written_down_of_a_recipe_does_not_say_how_engines_run_here():
    recipe = load_recipe("llm")
    written = recipe.model_dump(mode="json")
    assert written["engines"]["chat"]["model"] == recipe.engines["chat"].model
    assert "localhost" not in json.dumps(written)
    assert not any("run" in engine for engine in written["engines"].values())
    Recipe.model_validate(written)
