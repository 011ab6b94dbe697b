"""Encoders of sentence-transformers, on a LaBSE-shaped model that a test trains and on e5's real weights."""

import json
import random
import shutil
import subprocess
import sys

import numpy as np
import pytest

from mldata.encode import open_encoder
from mldata.errors import InputError
from mldata.settings import SentenceTransformersSettings
from tests.models import phrases


def opened(model, **settings):
    settings = SentenceTransformersSettings(engine="sentence-transformers", model=str(model), **settings)
    return open_encoder("labse", {"labse": settings})


def sentences(count, seed=7):
    draw = random.Random(seed)
    said = [phrases.sentence(draw) for _ in range(count)]
    return {language: [one[language] for one in said] for language in phrases.LANGUAGES}


@pytest.fixture
def changed(labse_shaped, tmp_path):
    """A copy of the model to spoil."""
    return shutil.copytree(labse_shaped, tmp_path / "model")


def test_sentences_are_nearest_to_their_translations(labse_shaped):
    encoder = opened(labse_shaped)
    said = sentences(100)
    english = encoder.encode(said["en"])
    assert english.shape == (100, encoder.dimension)
    assert english.dtype == np.float32
    assert np.allclose(np.linalg.norm(english, axis=1), 1, atol=1e-5)
    for language in ("es", "pt"):
        cosines = english @ encoder.encode(said[language]).T
        assert (cosines.argmax(1) == np.arange(100)).all()
        assert cosines.diagonal().min() > 0.8
        assert np.median(cosines) < 0.3


def test_the_end_of_a_long_text_moves_its_vector_as_its_begin_does(labse_shaped):
    encoder = opened(labse_shaped)
    said = sentences(60)["en"]
    text = " ".join(said)  # ten times what the model reads at once
    words = text.split()
    other = " ".join(sentences(60, seed=8)["en"]).split()
    half = len(words) // 2
    begin, end = [*other[:half], *words[half:]], [*words[:half], *other[half:]]
    vectors = encoder.encode([text, " ".join(begin), " ".join(end)])
    assert (vectors[1:] @ vectors[0]).max() < 0.995  # 1 where a model's window clips the text


def test_batches_of_any_size_give_the_same_vectors(labse_shaped):
    texts = [*sentences(50)["es"], "Una casa.", "", " ".join(sentences(20)["pt"])]
    together = opened(labse_shaped).encode(texts)
    apart = opened(labse_shaped, run={"batch_tokens": 16}).encode(texts)
    assert np.abs(together - apart).max() < 1e-6
    assert opened(labse_shaped).encode([]).shape == (0, 64)


def test_a_prompt_is_put_before_each_text_and_is_in_the_digest(labse_shaped):
    plain, prompted = opened(labse_shaped), opened(labse_shaped, prompt="the ")
    assert np.allclose(prompted.encode(["big house"]), plain.encode(["the big house"]), atol=1e-6)
    assert plain.engine.digest != prompted.engine.digest
    assert plain.engine.digest == opened(labse_shaped, run={"device": "cpu"}).engine.digest


def test_half_precision_stays_near_full_precision(labse_shaped):
    texts = sentences(20)["pt"]
    half = opened(labse_shaped, precision="bfloat16")
    assert ((half.encode(texts) * opened(labse_shaped).encode(texts)).sum(1) > 0.99).all()
    assert half.engine.digest != opened(labse_shaped).engine.digest


@pytest.mark.parametrize("folder", [".", "2_Dense"])
def test_pickled_weights_are_refused_before_anything_is_loaded(changed, folder):
    (changed / folder / "model.safetensors").rename(changed / folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="pickle"):
        opened(changed)


def test_code_of_the_models_own_is_refused(changed):
    steps = json.loads((changed / "modules.json").read_text())
    steps[1]["type"] = "pooling.Own"
    (changed / "modules.json").write_text(json.dumps(steps))
    with pytest.raises(InputError, match=r"pooling\.Own"):
        opened(changed)


def test_a_folder_outside_the_model_is_refused(changed):
    steps = json.loads((changed / "modules.json").read_text())
    steps[1]["path"] = "../elsewhere"
    (changed / "modules.json").write_text(json.dumps(steps))
    with pytest.raises(InputError, match="outside"):
        opened(changed)


def test_a_bare_transformers_model_is_refused_with_the_remedy(changed):
    (changed / "modules.json").unlink()
    with pytest.raises(InputError, match="save_pretrained"):
        opened(changed)


def test_damaged_weights_are_named_in_one_sentence(changed):
    (changed / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(InputError, match="can't be loaded"):
        opened(changed).encode(["A house."])


def test_planning_imports_no_torch(labse_shaped, kiwi_shaped):
    code = (
        "import sys; from mldata.encode import open_encoder; from mldata.quality import open_quality\n"
        "from mldata.recipe import Recipe\n"
        "engines = Recipe.model_validate({'name': 'x', 'targets': ['es'], 'translators': ['t'],"
        " 'encoder': 'a', 'identifiers': ['fasttext'], 'engines': {"
        "'a': {'engine': 'sentence-transformers', 'model': sys.argv[1]},"
        "'b': {'engine': 'ctranslate2-encoder', 'model': sys.argv[1]},"
        "'c': {'engine': 'cross-encoder', 'model': sys.argv[2]}}}).engines\n"
        "assert open_encoder('a', engines).dimension == open_encoder('b', engines).dimension == 64\n"
        "open_quality('c', engines)\n"
        "loaded = {'torch', 'transformers', 'sentence_transformers'} & sys.modules.keys()\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code, labse_shaped, kiwi_shaped], check=True, timeout=60)
