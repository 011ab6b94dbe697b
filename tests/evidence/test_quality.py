"""Quality as evidence: an estimator that reads both sides sees a wrong sentence, and a rule drops its row."""

import json
import random
import shutil

import numpy as np
import polars as pl
import pytest

import mldata
from mldata.engine import Engine
from mldata.errors import InputError
from mldata.evidence import Pair, Unit, quality
from mldata.quality import open_quality
from mldata.recipe import load_recipe
from mldata.settings import CrossEncoderSettings
from mldata.text import Segment
from mldata.translate import TRANSLATORS, Translation
from tests.models import phrases

RECIPE = """
name = "judged"
targets = ["es", "pt"]
translators = ["mistaken"]
identifiers = ["fasttext"]
encoder = "labse"
quality = "kiwi"

[engines.labse]
engine = "ctranslate2-encoder"
model = "{labse}"

[engines.kiwi]
engine = "cross-encoder"
model = "{kiwi}"
licence = "Apache-2.0"

[[rules]]
name = "quality"
when = "quality_min>=0.5"
because = "a sentence is translated wrongly"
"""


def opened(model, **settings):
    settings = CrossEncoderSettings(engine="cross-encoder", model=str(model), **settings)
    return open_quality("kiwi", {"kiwi": settings})


@pytest.fixture(scope="module")
def estimator(kiwi_shaped):
    return opened(kiwi_shaped)


def said(count, seed=11):
    draw = random.Random(seed)
    return [phrases.sentence(draw) for _ in range(count)]


def measured(estimator, *pairs):
    """Evidence of one text made of these segments."""
    made = tuple(Pair(source, target, "", "", ()) for source, target in pairs)
    unit = Unit(0, "chosen", 0, "", "", (), made)
    return quality.measure([unit], quality.Judged(estimator) if estimator else None).to_dicts()[0]


def test_right_translations_are_told_from_wrong_ones(estimator):
    sentences = said(100)
    for language in ("es", "pt"):
        right = estimator.estimate([(one["en"], one[language]) for one in sentences])
        wrong = estimator.estimate(
            [(one["en"], other[language]) for one, other in zip(sentences, said(100, seed=12), strict=True)]
        )
        assert right.dtype == np.float32
        assert np.quantile(right, 0.05) > 0.5 > np.quantile(wrong, 0.95)


def test_batches_of_any_size_give_the_same_estimates_in_the_order_given(kiwi_shaped, estimator):
    pairs = [(one["en"], one["es"]) for one in said(60)]
    small = opened(kiwi_shaped, run={"batch_tokens": 16})
    assert np.abs(estimator.estimate(pairs) - small.estimate(pairs)).max() < 1e-5
    assert np.allclose(estimator.estimate(pairs[::-1])[::-1], estimator.estimate(pairs), atol=1e-5)
    assert estimator.estimate([]).shape == (0,)
    assert small.engine.digest == estimator.engine.digest


def test_the_worst_long_segment_of_a_text_stands_beside_the_mean(estimator):
    good, bad = said(2)
    found = measured(estimator, (good["en"], good["es"]), (bad["en"], good["es"]), ("Yes.", "No."))
    assert found["quality_min"] < 0.5
    assert found["quality_min"] < found["quality"] < 1
    assert measured(estimator, ("Yes.", "Sí."))["quality_min"] is None


def test_what_cannot_be_estimated_is_null_and_not_wrong(estimator):
    (good,) = said(1)
    long = " ".join(one["en"] for one in said(20)), " ".join(one["es"] for one in said(20))
    assert np.isnan(estimator.estimate([long])).all()  # the end of it would not be read
    assert measured(estimator, long) == {"quality": None, "quality_min": None}
    assert measured(estimator, long, (good["en"], good["es"])) == measured(
        estimator, (good["en"], good["es"])
    )
    assert measured(estimator, (good["en"], "")) == {"quality": None, "quality_min": None}
    assert measured(None, (good["en"], good["es"])) == {"quality": None, "quality_min": None}


def test_each_distinct_pair_is_estimated_once(estimator):
    class Counting:
        engine = estimator.engine

        def __init__(self):
            self.asked = []

        def estimate(self, pairs):
            self.asked += pairs
            return np.ones(len(pairs), np.float32)

    counting = Counting()
    judged = quality.Judged(counting)
    pair = Pair("The house.", "La casa.", "", "", ())
    units = [Unit(0, "prompt", 0, "", "", (), (pair, pair)), Unit(0, "chosen", 0, "", "", (), (pair,))]
    first = quality.measure(units, judged)
    assert quality.measure(units, judged).equals(first)
    assert counting.asked == [("The house.", "La casa.")]


ROWS = phrases.pairs(24, seed=5)
WRONG = {"es": "Una niña triste canta mañana.", "pt": "Uma menina triste canta amanhã."}


class Mistaken:
    """Knows the rows' sentences, but says something else wherever there is a kitchen."""

    def pairs(self):
        return frozenset(
            (a, b) for a in phrases.LANGUAGES for b in phrases.LANGUAGES if "en" in (a, b) and a != b
        )

    def engine(self, source, target):
        return Engine("mistaken", "1", f"mistaken {source}>{target}", "MIT")

    def translate(self, segments, source, target):
        texts = [text for row in ROWS for text in row.values()]
        cut = [{tag: text.split(". ") for tag, text in one.items()} for one in texts]
        known = {
            a.rstrip("."): b.rstrip(".") for one in cut for a, b in zip(one[source], one[target], strict=True)
        }
        return [Translation(Segment(self.said(s.text.rstrip("."), target, known))) for s in segments]

    def said(self, text, target, known):
        return WRONG[target] if "kitchen" in text.lower() else f"{known.get(text, text)}."

    def close(self):
        pass


@pytest.fixture(scope="module")
def mistaken():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TRANSLATORS, "mistaken", Mistaken)
        yield


@pytest.fixture(scope="module")
def judged_set(mistaken, labse_shaped, kiwi_shaped, tmp_path_factory):
    """A set that `Mistaken` translated, judged by the trained estimator."""
    folder = tmp_path_factory.mktemp("judged")
    source = [{field: text["en"] for field, text in row.items()} for row in ROWS]
    pl.DataFrame(source).write_ndjson(folder / "phrases.jsonl")
    (folder / "judged.toml").write_text(RECIPE.format(labse=labse_shaped, kiwi=kiwi_shaped), "utf-8")
    manifest = mldata.build(
        str(folder / "phrases.jsonl"),
        out=folder / "set",
        recipe=str(folder / "judged.toml"),
        workers=1,
        calibration=False,
    )
    mldata.verify(folder / "set")
    return folder / "set", manifest


def rows_of(path):
    files = [file for part in ("data/*.arrow", "dropped/rows-*.arrow") for file in path.glob(part)]
    return pl.concat(map(pl.read_ipc, files), how="diagonal")


def test_a_rule_over_quality_drops_the_spoiled_rows_and_keeps_the_right(judged_set):
    path, manifest = judged_set
    rows = rows_of(path).filter(pl.col("language") != "en")
    wrong = pl.any_horizontal(
        pl.col(field).str.contains("triste canta") for field in ("prompt", "chosen", "rejected")
    )
    broke = pl.col("reasons").list.contains("quality").fill_null(value=False)
    assert 10 < rows.select(wrong.sum()).item() < 40
    assert rows.filter(wrong).select(broke.all()).item()
    assert rows.filter(~wrong).select(broke.mean()).item() < 0.1
    assert {"labse", "kiwi"} <= {engine.name for engine in manifest.engines}
    assert manifest.signatures["quality_min"].startswith("quality:kiwi.")


def test_wrong_items_have_a_quality_too_so_that_calibration_can_set_its_threshold(judged_set):
    path, _ = judged_set
    wrong = pl.concat(map(pl.read_ipc, path.with_name("set.work").glob("damage/*/*/*.arrow")))
    replaced = wrong.filter(pl.col("kind") == "other_text")["quality_min"]
    assert replaced.null_count() == 0
    assert replaced.median() < 0.2
    assert mldata.open_set(path).scan().filter(language="pt").collect()["quality_min"].min() > 0.5


def test_another_estimator_measures_again_and_translates_nothing_again(judged_set, tmp_path):
    path, _ = judged_set
    recipe, source = path.with_name("judged.toml"), str(path.with_name("phrases.jsonl"))
    options = {"source": source, "out": tmp_path / "set", "work": path.with_name("set.work")}
    assert not mldata.plan(**options, recipe=str(recipe)).missing
    without = tmp_path / "without.toml"
    without.write_text(recipe.read_text("utf-8").replace('quality = "kiwi"', ""), "utf-8")
    assert {task.stage for task in mldata.plan(**options, recipe=str(without)).missing} == {"measure"}


@pytest.mark.parametrize(("name", "message"), [("labse", "no quality estimator"), ("judge", "built in")])
def test_an_engine_that_is_no_estimator_is_named(labse_shaped, kiwi_shaped, tmp_path, name, message):
    path = tmp_path / "judged.toml"
    text = RECIPE.format(labse=labse_shaped, kiwi=kiwi_shaped).replace('"kiwi"\n', f'"{name}"\n', 1)
    path.write_text(text, "utf-8")
    recipe = load_recipe(str(path))
    with pytest.raises(InputError, match=message):
        open_quality(recipe.quality, recipe.engines)


def test_pickles_several_outputs_and_unknown_activations_are_refused(kiwi_shaped, tmp_path):
    model = shutil.copytree(kiwi_shaped, tmp_path / "model")
    settings = json.loads((model / "config_sentence_transformers.json").read_text())
    unknown = settings | {"activation_fn": "os.getcwd"}
    (model / "config_sentence_transformers.json").write_text(json.dumps(unknown))
    with pytest.raises(InputError, match=r"os\.getcwd"):
        opened(model)
    (model / "config_sentence_transformers.json").write_text(json.dumps(settings))
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"id2label": {"0": "a", "1": "b"}}))
    with pytest.raises(InputError, match="more than one number"):
        opened(model)
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    with pytest.raises(InputError, match="pickle"):
        opened(model)
