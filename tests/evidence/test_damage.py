"""What is right is kept, and each kind of damage is dropped by the rule made for it.

The translator is a phrasebook with one kind of damage; identifiers and encoder are the real ones.
"""

from __future__ import annotations

import json
from pathlib import Path

import phrasebook
import polars as pl
import pytest

import mldata
import mldata.recipe
from mldata import translate

PIPELINE = """
name = "phrasebook"
targets = ["es"]
translators = ["phrasebook"]
"""


@pytest.fixture
def judge(tmp_path, monkeypatch):
    """Build one concept with an engine, and give its Spanish row: evidence, and reasons ([] if kept)."""

    def build(engine, prompt=phrasebook.PROMPT, chosen=phrasebook.CHOSEN, rejected=phrasebook.REJECTED):
        monkeypatch.setitem(translate.TRANSLATORS, "phrasebook", engine)
        shipped = Path(mldata.recipe.resource("pipelines") / "embedded.toml").read_text("utf-8")
        recipe = tmp_path / "phrasebook.toml"
        recipe.write_text(PIPELINE + shipped[shipped.index("identifiers =") :], "utf-8")
        source = tmp_path / "kettle.jsonl"
        row = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
        source.write_text(json.dumps(row), "utf-8")
        out = tmp_path / "set"
        mldata.build(str(source), targets="es", out=out, recipe=str(recipe), workers=1)
        both = [pl.read_ipc(path) for path in [*out.glob("data/*.arrow"), *out.glob("dropped/rows-*.arrow")]]
        rows = pl.concat(both, how="diagonal").filter(language="es").to_dicts()
        assert len(rows) == 1
        return rows[0] | {"reasons": rows[0]["reasons"] or []}

    return build


def test_a_human_translation_is_kept(judge):
    row = judge(phrasebook.Phrasebook)
    assert row["reasons"] == []
    assert row["chosen"].startswith("Gracias por escribirnos sobre el hervidor roto. Lamentamos")
    assert row["language_score"] == 1.0
    assert row["back_chrf"] == 100.0
    assert row["contrast"] > 0.4


@pytest.mark.parametrize(
    ("engine", "rule"),
    [
        (phrasebook.DropsLastSentence, "empty"),
        (phrasebook.Replaces, "alignment"),
        (phrasebook.Copies, "language"),
        (phrasebook.Copies, "untranslated"),
        (phrasebook.Copies, "copied_words"),
        (phrasebook.CopiesHalf, "untranslated"),
        (phrasebook.Swaps, "contrast"),
        (phrasebook.Collapses, "answers_differ"),
        (phrasebook.ChangesNumbers, "numbers"),
        (phrasebook.Loops, "repetition"),
        (phrasebook.WrongLanguage, "language"),
    ],
    ids=lambda value: getattr(value, "damage", value),
)
def test_damage_is_dropped_by_the_rule_made_for_it(judge, engine, rule):
    assert rule in judge(engine)["reasons"]


def test_a_dropped_last_sentence_of_a_text_of_600_tokens_is_seen(judge):
    long = " ".join([*phrasebook.ENGLISH[:5], *phrasebook.ENGLISH[6:18] * 4, phrasebook.ENGLISH[5]])
    assert len(long.split()) > 450
    row = judge(phrasebook.DropsLastSentence, chosen=long)
    assert row["reasons"] == ["empty", "alignment"]
    assert "segments_empty" in row["issues"]


def test_an_example_with_nothing_to_translate_is_kept_with_null_evidence_and_the_reason(judge):
    row = judge(phrasebook.Phrasebook, prompt="2 + 2 = ?", chosen="4", rejected="5")
    assert row["reasons"] == []
    assert row["similarity"] is None
    assert row["issues"] == ["nothing_to_translate"]
    assert (row["prompt"], row["chosen"], row["rejected"]) == ("2 + 2 = ?", "4", "5")
