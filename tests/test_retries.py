"""A row that fails gets another engine's try, and the set says which engine made it."""

from __future__ import annotations

import os
import re
from functools import partial

import polars as pl
import pytest

import mldata
from mldata.engine import Engine
from mldata.errors import InputError
from mldata.recipe import resource
from mldata.text import Segment
from mldata.translate import TRANSLATORS, Translation
from tests.conftest import bytes_of, run_mldata
from tests.models import phrases

ROWS = phrases.pairs(30, seed=3)
RULES = (resource("pipelines") / "embedded.toml").read_text("utf-8").partition("[[anchor_rules]]")[2]
RECIPE = """
name = "tries"
targets = ["es", "pt"]
translators = ["halting"]
identifiers = ["heliport", "fasttext"]
encoder = "e5-small"
{more}
[calibration]
enabled = false
[[anchor_rules]]{rules}
"""


def sentences(language):
    """English sentence -> the same in `language`, over all rows."""
    return {
        english: other
        for row in ROWS
        for text in row.values()
        for english, other in zip(
            *(re.split(r"(?<=\.) ", text[tag]) for tag in ("en", language)), strict=True
        )
    }


class Fluent:
    """Translates the phrases; counts what it is asked."""

    name = "fluent"

    def __init__(self):
        self.asked = []

    def pairs(self):
        return frozenset({("en", "es"), ("es", "en"), ("en", "pt"), ("pt", "en")})

    def engine(self, source, target):
        return Engine(self.name, "1", f"{self.name} {source}>{target}", "MIT")

    def translate(self, segments, source, target):
        there = sentences(target if source == "en" else source)
        known = there if source == "en" else {other: english for english, other in there.items()}
        self.asked += [(segment.text, source, target) for segment in segments]
        return [Translation(Segment(self.said(segment.text, known))) for segment in segments]

    def said(self, text, known):
        return known.get(text, text)

    def close(self):
        pass


class Halting(Fluent):
    """Leaves what has a kitchen in it in English."""

    name = "halting"

    def said(self, text, known):
        return text if "kitchen" in text else known.get(text, text)


class Free(Fluent):
    """Says the right thing, and one word more."""

    name = "free"

    def said(self, text, known):
        return known.get(text, text).replace(".", " siempre.")


@pytest.fixture
def build(tmp_path, monkeypatch):
    opened = {kind.name: kind() for kind in (Fluent, Halting, Free)}
    for name, engine in opened.items():
        monkeypatch.setitem(TRANSLATORS, name, lambda engine=engine: engine)

    def make(more='retry_with = ["fluent"]', out="set", do=mldata.build, **options):
        recipe = tmp_path / "tries.toml"
        recipe.write_text(RECIPE.format(more=more, rules=RULES), "utf-8")
        source = tmp_path / "phrases.jsonl"
        rows = [{field: text["en"] for field, text in row.items()} for row in ROWS]
        pl.DataFrame(rows).write_ndjson(source)
        options = {"recipe": str(recipe), "targets": "es", **options}
        options |= {"workers": 1} if do is mldata.build else {}
        return do(str(source), out=tmp_path / out, **options)

    make.plan = partial(make, do=mldata.plan)
    make.opened, make.place = opened, tmp_path
    return make


def arrow(folder):
    return {name: data for name, data in bytes_of(folder).items() if name.endswith(".arrow")}


def with_kitchen():
    return sum(any("kitchen" in text["en"] for text in row.values()) for row in ROWS)


def test_rows_that_fail_are_tried_again_and_say_who_made_them(build):
    alone = build(more="", out="alone")
    manifest = build()
    spoiled = with_kitchen()
    assert 6 < spoiled < 24
    assert alone.languages["es"].kept <= len(ROWS) - spoiled
    assert manifest.languages["es"].kept_by["halting"] == alone.languages["es"].kept
    assert manifest.languages["es"].kept_by["fluent"] >= spoiled - 2
    rows = mldata.open_set(build.place / "set").scan().filter(language="es").collect()
    for row in rows.to_dicts():
        kitchen = any("cocina" in row[field] for field in ("prompt", "chosen", "rejected"))
        assert row["translators"] == "fluent" or not kitchen
    assert mldata.verify(build.place / "set").retries["es"][0].translators == "fluent"
    by = manifest.languages["es"].kept_by
    card = (build.place / "set" / "README.md").read_text("utf-8")
    assert f"- es: fluent {by['fluent']}, halting {by['halting']}" in card


def test_only_failing_rows_are_given_to_the_second_engine(build):
    build()
    failing = [
        text for row in ROWS if any("kitchen" in t["en"] for t in row.values()) for text in row.values()
    ]
    said = {sentence for text in failing for sentence in re.split(r"(?<=\.) ", text["en"])}
    asked = {
        text for text, source, target in build.opened["fluent"].asked if (source, target) == ("en", "es")
    }
    assert asked
    assert len(asked - said) <= 6  # a row or two fail for reasons of their own


def test_the_same_command_again_tries_nothing_and_gives_the_same_bytes(build):
    build()
    first = arrow(build.place / "set")
    asked = len(build.opened["fluent"].asked)
    build()
    assert len(build.opened["fluent"].asked) == asked
    assert arrow(build.place / "set") == first
    build(out="fresh")
    assert arrow(build.place / "fresh") == first
    mldata.select(build.place / "set")
    assert arrow(build.place / "set") == first


def test_what_an_engine_made_is_found_again_where_another_has_changed(build, monkeypatch):
    build()
    asked = len(build.opened["fluent"].asked)
    changed = Engine("halting", "2", "halting 2", "MIT")
    monkeypatch.setattr(build.opened["halting"], "engine", lambda source, target: changed)
    manifest = build()
    assert len(build.opened["fluent"].asked) == asked
    assert manifest.languages["es"].kept_by["fluent"] > 0


def test_what_a_kill_left_half_written_of_a_try_is_removed(build):
    build()
    attempt = mldata.verify(build.place / "set").retries["es"][0]
    folder = build.place / "set.work" / "translate" / attempt.translate_digest / "es"
    left = folder / ".half.arrow.0123"
    left.write_bytes(b"half")
    os.utime(left, (0, 0))
    build()
    assert not left.exists()


def test_a_later_select_finds_the_tries_that_were_made(build):
    before = build()
    stricter = mldata.select(build.place / "set", rules=["similarity>=0.9"])
    assert 0 < stricter.languages["es"].kept <= before.languages["es"].kept
    assert stricter.languages["es"].kept_by["fluent"] > 0
    again = mldata.select(build.place / "set")
    assert again.languages == before.languages


BEST_OF_TWO = """
retry_with = ["fluent"]
retry = "all"
rank_by = "back_chrf"
[languages.es]
translators = ["free"]
[languages.pt]
translators = ["fluent"]
retry_with = []
"""


def test_the_best_of_several_engines_is_taken_by_the_named_evidence(build):
    manifest = build(more=BEST_OF_TWO, targets="all")
    assert manifest.languages["es"].kept_by["fluent"] > manifest.languages["es"].kept_by.get("free", 0)
    assert manifest.languages["pt"].kept_by.keys() == {"fluent"}
    assert len({text for text, source, _ in build.opened["free"].asked if source == "en"}) == len(
        sentences("es")
    )


OWN_WAYS = """
back_translators = ["fluent"]
[languages.pt]
translators = ["apertium"]
back_translators = ["bergamot"]
"""


def test_languages_have_engines_of_their_own(build):
    manifest = build(more=OWN_WAYS, targets="all")
    assert manifest.routes == {"es": "en>es", "pt": "en>es>pt"}
    assert manifest.translators == {"es": "halting", "pt": "apertium"}
    assert {engine.name for engine in manifest.engines} >= {"halting", "fluent", "apertium", "bergamot"}


def test_tries_come_back_by_the_engines_of_the_way_back_where_these_are_named(build):
    named = build.plan(more='retry_with = ["free"]\nback_translators = ["fluent"]')
    assert [retry.back.translators for retry in named.job.retries["es"]] == ["fluent"]
    own = '[languages.es]\ntranslators = ["halting"]\nretry_with = ["free"]'
    there_only = build.plan(more=f'back_translators = ["fluent"]\n{own}')
    assert there_only.ways("es") == ("en>es", "halting", "es>en", "fluent", "free")
    assert there_only.job.retries["es"][0].back.translators == "fluent"
    unnamed = build.plan(more='retry_with = ["free"]')
    assert unnamed.job.retries["es"][0].back.translators == "free"


def test_a_pivot_that_is_the_anchor_is_no_detour(build):
    over = '[languages.pt]\ntranslators = ["fluent"]\npivot = "en"'
    assert build.plan(more=over, targets="pt").ways("pt")[0] == "en>pt"


def test_a_quorum_that_cannot_be_met_is_refused_before_any_work(build):
    with pytest.raises(InputError, match="a quorum of 2 can't be met by 1 targets"):
        build(quorum=2)
    assert not build.opened["halting"].asked


def test_a_language_can_be_made_to_lead_over_a_pivot(build):
    over = '[languages.pt]\ntranslators = ["fluent", "apertium"]\npivot = "es"'
    assert build(more=over, targets="pt").routes["pt"] == "en>es>pt"


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ('retry_with = ["babelfish"]', 'no translator is called "babelfish"'),
        (
            '[languages.es]\nretry_with = ["bergamot"]',
            "retries es with bergamot, which doesn't translate en→es",
        ),
        ('retry = "all"\nrank_by = "beauty"', '`rank_by` names no evidence column: "beauty"'),
        (
            'retry = "all"\nrank_by = "unknown_words"',
            "`rank_by` takes the attempt with the highest unknown_words",
        ),
        ('[engines.halting]\nengine = "chat"\nmodel = "x"', "has the name of a built-in engine"),
    ],
)
def test_tries_that_cannot_be_made_are_refused_before_any_work(build, more, complaint):
    with pytest.raises(InputError, match=re.escape(complaint)):
        build(more=more)
    assert not build.opened["halting"].asked


@pytest.mark.slow
def test_tries_by_real_engines_are_the_same_however_they_run(apertium, source, tmp_path):
    shipped = (resource("pipelines") / "embedded.toml").read_text("utf-8")
    recipe = shipped.replace('["bergamot", "apertium"]', '["apertium"]\nretry_with = ["bergamot"]')
    (tmp_path / "both.toml").write_text(recipe, "utf-8")
    command = ("build", "--source", source, "--targets", "pt", "--pipeline", "both.toml")
    alone = run_mldata(*command, "--out", "alone", "--workers", 1, cwd=tmp_path)
    two = run_mldata(*command, "--out", "two", "--workers", 2, cwd=tmp_path)
    assert (alone.code, two.code) == (0, 0), alone.err + two.err
    assert "rows that broke a rule are tried again: pt" in two.err
    assert arrow(tmp_path / "alone") == arrow(tmp_path / "two")
    rows = mldata.open_set(tmp_path / "two").scan().filter(language="pt").collect()
    assert set(rows.select("route", "translators").rows()) == {
        ("en>es>pt", "apertium"),
        ("en>pt", "bergamot"),
    }
