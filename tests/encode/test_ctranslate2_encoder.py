"""The same model run by CTranslate2: what it gives is the original's, for any size of batch."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from mldata.encode import open_encoder
from mldata.errors import EngineError, InputError
from mldata.settings import CTranslate2EncoderSettings, SentenceTransformersSettings
from tests.encode.test_sentence_transformers import sentences


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache of this module's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def opened(model, **settings):
    settings = CTranslate2EncoderSettings(engine="ctranslate2-encoder", model=str(model), **settings)
    return open_encoder("labse", {"labse": settings})


def original(model, **settings):
    settings = SentenceTransformersSettings(engine="sentence-transformers", model=str(model), **settings)
    return open_encoder("original", {"original": settings})


@pytest.mark.parametrize(("quantization", "least"), [("float32", 0.99999), ("int8", 0.99)])
def test_it_agrees_with_the_original_on_short_and_long_texts(cache, labse_shaped, quantization, least):
    said = sentences(60)
    texts = [*said["en"], *said["pt"], " ".join(said["es"]), ""]
    encoder = opened(labse_shaped, quantization=quantization)
    made = encoder.encode(texts)
    assert made.shape == (len(texts), encoder.dimension) == (122, 64)
    assert (made * original(labse_shaped).encode(texts)).sum(1).min() > least
    assert encoder.encode([]).shape == (0, 64)


@pytest.mark.parametrize("quantization", ["float32", "int8"])
def test_batches_of_any_size_give_the_same_bits(cache, labse_shaped, quantization):
    texts = [*sentences(50)["es"], "Una casa.", "", " ".join(sentences(20)["pt"])]
    together = opened(labse_shaped, quantization=quantization).encode(texts)
    apart = opened(labse_shaped, quantization=quantization, run={"batch_tokens": 16}).encode(texts)
    assert (together == apart).all()


def test_a_second_process_finds_the_converted_model_and_needs_no_torch(cache, labse_shaped):
    opened(labse_shaped).encode(["A house."])
    code = (
        "import sys; from mldata.encode import open_encoder; from mldata.settings import *\n"
        "made = CTranslate2EncoderSettings(engine='ctranslate2-encoder', model=sys.argv[1])\n"
        "open_encoder('a', {'a': made}).encode(['The door.'])\n"
        "loaded = {'torch', 'transformers', 'sentence_transformers'} & sys.modules.keys()\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code, labse_shaped], check=True, timeout=60)


def test_a_model_of_the_shape_of_bge_m3_agrees_too(cache, tmp_path):
    """XLM-R counts its positions from behind the padding token's; BGE-M3 takes the first token's vector."""
    from tests.models import encoders

    model = encoders.xlm_roberta_shaped(tmp_path / "bge-shaped")
    texts = [*sentences(10)["en"], " ".join(sentences(30)["pt"])]
    made = opened(model, quantization="float32").encode(texts)
    assert (made * original(model).encode(texts)).sum(1).min() > 0.9999


def test_a_directory_in_the_form_of_the_published_labse_is_read_the_same(cache, labse_shaped, tmp_path):
    """Published models are older than the libraries: other names of classes, one field for each pooling."""
    model = shutil.copytree(labse_shaped, tmp_path / "model")
    steps = json.loads((model / "modules.json").read_text())
    for step in steps:
        step["type"] = f"sentence_transformers.models.{step['type'].rpartition('.')[2]}"
    (model / "modules.json").write_text(json.dumps(steps))
    modes = {
        f"pooling_mode_{mode}": mode == "cls_token" for mode in ("cls_token", "mean_tokens", "max_tokens")
    }
    pooling = {"word_embedding_dimension": 64, **modes}
    (model / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (model / "sentence_bert_config.json").write_text('{"max_seq_length": 32, "do_lower_case": false}')
    texts = [*sentences(20)["en"], " ".join(sentences(10)["es"])]
    short = opened(model, quantization="float32").encode(texts)
    assert (short * original(model).encode(texts)).sum(1).min() > 0.9999
    whole = opened(labse_shaped, quantization="float32").encode(texts)
    assert np.allclose(short[:20], whole[:20], atol=1e-6)
    assert not np.allclose(short[20], whole[20], atol=1e-3)  # windows of 32 tokens instead of 64


def test_what_it_does_not_know_is_refused_with_what_does(labse_shaped, tmp_path):
    model = shutil.copytree(labse_shaped, tmp_path / "model")
    pooling = model / "1_Pooling" / "config.json"
    pooling.write_text(json.dumps(json.loads(pooling.read_text()) | {"pooling_mode": "max"}))
    with pytest.raises(InputError, match=r'pooling max .* "sentence-transformers"'):
        opened(model)


def test_an_arithmetic_that_the_processor_lacks_is_refused_before_work(labse_shaped):
    with pytest.raises(InputError, match=r"possible are: .*int8"):
        opened(labse_shaped, quantization="float16", run={"device": "cpu"})


def test_a_spoiled_conversion_is_not_used(cache, labse_shaped, monkeypatch):
    """Weights that the converter misread would give vectors all the same."""
    from mldata.encode import bert

    monkeypatch.setitem(bert._LAYER, "q", "attention.self.key")
    with pytest.raises(EngineError, match="disagrees with the original"):
        opened(labse_shaped, quantization="int8_float32").encode(["A house."])


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("config.json", '{"model_type": "bert"}'),
        ("modules.json", "[1]"),
        ("modules.json", '[{"type": "sentence_transformers.models.Transformer"}]'),
        ("modules.json", "[" * 100_000),
    ],
)
def test_files_that_do_not_describe_a_model_are_an_error_of_one_sentence(labse_shaped, tmp_path, file, text):
    shutil.copytree(labse_shaped, tmp_path / "odd")
    for one in (tmp_path / "odd").rglob(file):
        one.write_text(text, "utf-8")
    for dense in (tmp_path / "odd").glob("*Dense*/config.json"):
        dense.write_text("{}", "utf-8")
    with pytest.raises(InputError, match="odd"):
        opened(tmp_path / "odd")
