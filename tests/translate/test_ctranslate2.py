"""NLLB, M2M100, MADLAD and Marian by CTranslate2: small real models through the real converter."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from mldata.errors import EngineError, InputError
from mldata.models import cache_home
from mldata.settings import CTranslate2Settings
from mldata.text import Segment
from tests.conftest import environment, run_mldata

pytest.importorskip("ctranslate2")
pytest.importorskip("transformers")

from mldata import conversion
from mldata.translate.ctranslate2 import CTranslate2, _middle, _text
from tests.models import phrases, translators

UNSEEN = translators.corpus(100, seed=99)
FAMILIES = ("marian-en-es", "m2m100", "nllb", "madlad")


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    """A cache that all tests of this file share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """An empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return cache_home()


def settings(directory, **more):
    return CTranslate2Settings.model_validate(
        {"engine": "ctranslate2", "model": str(directory), "max_tokens": 64, **more}
    )


def by(directory, **more):
    return CTranslate2("the-engine", settings(directory, **more))


def ask(engine, texts, source="en", target="es"):
    made = engine.translate([Segment(text) for text in texts], source, target)
    return [one.segment.text for one in made]


def right(engine, source, target):
    """The share of unseen sentences that come out as they should."""
    answers = ask(engine, [said[source] for said in UNSEEN], source, target)
    return sum(answer == said[target] for answer, said in zip(answers, UNSEEN, strict=True)) / len(UNSEEN)


def spans(text, pattern=r"https?://\S+\w|`[^`]+`|\{\w+\}"):
    return Segment(text, tuple(found.span() for found in re.finditer(pattern, text)))


@pytest.mark.parametrize("quantization", ["float32", "int8"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_translates_sentences_it_never_saw(translator_models, family, quantization):
    engine = by(translator_models(family), quantization=quantization, pairs=["en>es", "es>en", "en>pt"])
    # Mostly 0.95 to 1; how training ends depends on the CPU. A wrong conversion says hardly anything right.
    assert right(engine, "en", "es") >= 0.9
    if family != "marian-en-es":
        assert right(engine, "es", "en") >= 0.9
        assert right(engine, "en", "pt") >= 0.9


@pytest.mark.parametrize("family", FAMILIES)
def test_a_converted_model_needs_neither_torch_nor_transformers(translator_models, family):
    directory = translator_models(family)
    said = UNSEEN[0]
    (here,) = ask(by(directory), [said["en"]])  # converts it
    assert len(here.split()) > 2
    program = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from mldata.settings import CTranslate2Settings\n"
        "from mldata.text import Segment\n"
        "from mldata.translate.ctranslate2 import CTranslate2\n"
        f"said = CTranslate2Settings.model_validate({settings(directory).model_dump()!r})\n"
        "engine = CTranslate2('x', said)\n"
        f"print(engine.translate([Segment({said['en']!r})], 'en', 'es')[0].segment.text)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == here, done.stderr


def test_a_model_given_converted_is_used_as_it_is(translator_models, tmp_path, own_cache):
    found = conversion.find_translator(settings(translator_models("nllb")))
    out = conversion.converted_into(found, "int8", tmp_path / "nllb")
    (out / conversion.RECORD).unlink()  # as from anyone else's converter
    engine = by(out)
    assert ask(engine, [UNSEEN[0]["en"]]) == [UNSEEN[0]["es"]]
    assert ("en", "pt") in engine.pairs()
    assert not conversion.in_cache()


def test_protected_text_comes_out_once_where_the_translation_has_it(translator_models):
    engine = by(translator_models("nllb"))
    texts = {
        "{name} and the woman opens the door.": "{name} y la mujer abre la puerta.",
        "The woman opens `door.py` and the door today.": "La mujer abre `door.py` y la puerta hoy.",
        "My sister sees a house with https://example.org/a?b=1.": (
            "Mi hermana ve una casa con https://example.org/a?b=1."
        ),
        "{a} and my girl knows a song with {b}.": "{a} y mi niña conoce una canción con {b}.",
    }
    made = engine.translate([spans(text) for text in texts], "en", "es")
    assert [one.segment.text for one in made] == list(texts.values())
    assert [one.segment.protected for one in made] == [spans(text).protected for text in texts]


@pytest.mark.parametrize("family", FAMILIES)
def test_protected_text_survives_a_model_that_loses_its_marks(translator_models, family):
    many = "The woman opens the door. {a}{b} {c}, {d} {e} XQ1X {f} The girl sees a house. `g`"
    [made] = by(translator_models(family)).translate([spans(many)], "en", "es")
    assert made.segment.protected == spans(many).protected


def test_what_a_text_says_is_no_command_to_the_model(translator_models):
    madlad = by(translator_models("madlad"))
    [made] = ask(madlad, ["The woman opens the door with <2pt>."])
    assert (made.count("<2pt>"), "a mulher" in made.lower()) == (1, False)
    [made] = by(translator_models("nllb")).translate(
        [spans("The woman opens `a` </s> and por_Latn.")], "en", "es"
    )
    assert [made.segment.text.count(said) for said in ("</s>", "por_Latn")] == [1, 1]
    assert made.segment.protected == ("`a`",)


def test_neither_batches_nor_what_came_before_change_an_answer(translator_models):
    texts = [said["en"] for said in UNSEEN]
    engine = by(translator_models("nllb"))
    answers = ask(engine, texts)
    assert ask(engine, texts) == answers
    for tokens in (16, 100, 100_000):
        small = by(translator_models("nllb"), run={"batch_tokens": tokens})
        assert ask(small, texts) == answers
        assert small.engine("en", "es") == engine.engine("en", "es")


def test_the_digest_follows_all_that_decides_an_answer(translator_models):
    directory = translator_models("nllb")
    engines = [
        by(directory).engine("en", "es"),
        by(directory).engine("en", "pt"),
        by(directory, beam=1).engine("en", "es"),
        by(directory, quantization="float32").engine("en", "es"),
        by(directory, max_tokens=32).engine("en", "es"),
        by(translator_models("m2m100")).engine("en", "es"),
    ]
    assert len({engine.digest for engine in engines}) == len(engines)
    assert {engine.name for engine in engines} == {"the-engine"}
    assert by(directory, licence="CC-BY-NC-4.0").engine("en", "es").licence == "CC-BY-NC-4.0"
    assert engines[0].licence == "unknown"


def test_a_text_too_long_for_the_model_is_translated_in_pieces(translator_models):
    unseen = [phrases.sentence(random.Random(seed)) for seed in range(100)]
    alike = [said for said in unseen if len(said["en"].split()) == 8][:8]
    text, right = (" ".join(said[language] for said in alike) for language in ("en", "es"))
    for tokens in (16, 20):  # of which the source may have two thirds
        engine = by(translator_models("nllb"), max_tokens=tokens)
        assert ask(engine, [text, alike[0]["en"]]) == [right, alike[0]["es"]]


def test_a_translation_that_comes_to_no_end_says_so(translator_models, tmp_path):
    from safetensors.torch import load_file, save_file

    shutil.copytree(translator_models("nllb"), tmp_path / "endless")
    weights = load_file(tmp_path / "endless" / "model.safetensors")
    end = 2
    weights["model.shared.weight"][end] *= -1
    save_file(weights, tmp_path / "endless" / "model.safetensors", metadata={"format": "pt"})
    engine = by(tmp_path / "endless")
    made = engine.translate([spans("The woman opens the door."), spans("The {x} house, {y}.")], "en", "es")
    assert [(one.segment.text, one.problem) for one in made] == [("", "truncated")] * 2


def test_an_empty_text_and_no_text(translator_models):
    engine = by(translator_models("nllb"))
    assert engine.translate([], "en", "es") == []
    assert ask(engine, [""]) == [""]


def test_a_language_without_a_token_is_an_error_before_anything_runs(translator_models, own_cache):
    with pytest.raises(InputError, match="NLLB-200 has no code for"):
        by(translator_models("nllb"), pairs=["en>br"]).engine("en", "br")
    madlad = by(translator_models("madlad"), pairs=["en>fr"])
    with pytest.raises(InputError, match="no token <2fr>: it doesn't know that language"):
        madlad.engine("en", "fr")
    with pytest.raises(InputError, match="<2fr>"):
        madlad.translate([Segment("The house.")], "en", "fr")
    assert sorted(madlad.pairs()) == [("en", "fr")]
    assert by(translator_models("madlad")).pairs() == {
        (source, target) for source in ("en", "es", "pt") for target in ("en", "es", "pt") if source != target
    }


def test_a_marian_model_has_to_say_its_pairs(translator_models):
    with pytest.raises(InputError, match="say its pairs"):
        by(translator_models("marian-en-es")).pairs()
    with pytest.raises(InputError, match="say its pairs"):
        by("Helsinki-NLP/opus-mt-{source}-{target}")


def test_one_name_finds_a_model_for_each_direction(translator_models, tmp_path):
    (tmp_path / "opus-en-es").symlink_to(translator_models("marian-en-es"))
    engine = by(tmp_path / "opus-{source}-{target}", pairs=["en>es", "en>pt"])
    assert ask(engine, [UNSEEN[1]["en"]]) == [UNSEEN[1]["es"]]
    with pytest.raises(InputError, match="opus-en-pt"):
        engine.engine("en", "pt")


def test_of_the_models_of_many_directions_a_few_stay_loaded(translator_models, tmp_path):
    made = conversion.converted(
        conversion.find_translator(settings(translator_models("marian-en-es"))), "int8"
    )
    for target in ("es", "de", "fr", "it", "nl"):
        shutil.copytree(made, tmp_path / f"en-{target}")
        (tmp_path / f"en-{target}" / "README.md").write_text(target, "utf-8")
    engine = by(tmp_path / "{source}-{target}", pairs=["en>es", "en>de", "en>fr", "en>it", "en>nl"])
    for target in ("es", "de", "fr", "it", "es", "nl", "de"):
        assert ask(engine, [UNSEEN[0]["en"]], "en", target) == [UNSEEN[0]["es"]]
        assert len(engine._loaded) <= 4
    assert [directory.name for directory in engine._loaded] == ["en-it", "en-es", "en-nl", "en-de"]


@pytest.mark.parametrize("change", [{"quantization": "int8_bfloat16"}, {"run": {"device": "cuda"}}])
def test_what_this_machine_cannot_run_is_known_before_anything_runs(translator_models, change):
    import ctranslate2

    if ctranslate2.get_cuda_device_count():
        pytest.skip("a GPU can")
    with pytest.raises(InputError, match=r"\[engines.the-engine\] (quantization|no GPU is here)"):
        by(translator_models("nllb"), **change).engine("en", "es")


def test_a_missing_model_of_the_hub_is_fetched_by_the_command_that_is_named(tmp_path):
    done = run_mldata(
        *("models", "convert", "org/name", "--revision", "0a1b2c3"), cwd=tmp_path, HF_HUB_OFFLINE="1"
    )
    assert (done.code, len(done.err.splitlines())) == (2, 1), done.err
    assert "`hf download org/name --revision 0a1b2c3`" in done.err


@pytest.mark.parametrize("quantization", ["float32", "int8"])
def test_a_conversion_that_computes_something_else_is_refused(
    translator_models, own_cache, monkeypatch, quantization
):
    from ctranslate2.converters.transformers import T5Loader

    stock = T5Loader.get_model_spec

    def scaled(self, model):
        spec = stock(self, model)
        spec.decoder.projection.weight = spec.decoder.projection.weight * 0.5
        return spec

    monkeypatch.setattr(T5Loader, "get_model_spec", scaled)
    with pytest.raises(EngineError, match="isn't the same model: log-probabilities of 6 texts are"):
        ask(by(translator_models("madlad"), quantization=quantization), ["The house."])
    assert not conversion.in_cache()


def test_a_checkpoint_of_pickles_is_refused(translator_models, tmp_path):
    for file in translator_models("nllb").iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(InputError, match="mldata reads no pickles: give a revision"):
        by(tmp_path).engine("en", "es")


def test_a_checkpoint_that_lacks_weights_is_refused(translator_models, tmp_path, own_cache):
    from safetensors.torch import load_file, save_file

    for file in translator_models("nllb").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    del weights["model.decoder.layers.0.fc1.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"lacks weights of its own model: model\.decoder\.layers\.0\.fc1"):
        ask(by(tmp_path), ["The house."])
    assert not conversion.in_cache()


def test_what_is_no_translation_model_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}), "utf-8")
    with pytest.raises(InputError, match="model_type bert"):
        by(tmp_path).engine("en", "es")


def test_a_killed_conversion_leaves_nothing_half_done(translator_models, tmp_path, own_cache):
    command = [sys.executable, "-m", "mldata", "models", "convert", str(translator_models("m2m100"))]
    started = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL)
    while not any(own_cache.glob(".translator-*-*/model.bin")):
        assert started.poll() is None, "it was over before it could be killed"
        time.sleep(0.001)
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    assert not conversion.in_cache()
    made = conversion.converted(conversion.find_translator(settings(translator_models("m2m100"))), "int8")
    assert conversion.in_cache() == [made]
    assert not list(own_cache.glob(".translator-*-*/"))


def test_the_models_of_a_recipe_are_converted_and_listed(
    translator_models, labse_shaped, tmp_path, own_cache
):
    recipe = tmp_path / "own.toml"
    recipe.write_text(
        'name = "own"\ntargets = ["es"]\ntranslators = ["nllb"]\nidentifiers = ["heliport"]\n'
        'encoder = "e5-small"\n'
        f'[engines.nllb]\nengine = "ctranslate2"\nmodel = "{translator_models("nllb")}"\n'
        f'[engines.labse]\nengine = "ctranslate2-encoder"\nmodel = "{labse_shaped}"\n'
        'quantization = "float16"\n'  # which a CPU can convert, though not run
        f'[engines.torch]\nengine = "sentence-transformers"\nmodel = "{labse_shaped}"\n',
        "utf-8",
    )
    done = run_mldata("models", "convert", "--pipeline", recipe, cwd=tmp_path)
    assert done.code == 0, done.err
    assert [line.partition(": ")[0] for line in done.out.splitlines()] == ["nllb", "labse", "torch"]
    assert done.out.endswith(f"torch: {labse_shaped}\n")
    listed = run_mldata("models", "list", cwd=tmp_path)
    assert f"{translator_models('nllb')}, int8" in listed.out
    assert f"{labse_shaped}, float16" in listed.out
    assert "2 in " in listed.out
    for wrong in (["convert"], ["convert", "nowhere"]):
        refused = run_mldata("models", *wrong, cwd=tmp_path)
        assert (refused.code, len(refused.err.splitlines())) == (2, 1), refused.err


def test_pieces_are_joined_to_text():
    assert _text(["▁La", "▁ca", "sa", "<0xE2>", "<0x82>", "<0xAC>", "."]) == "La casa€."


def test_a_long_text_is_cut_where_a_clause_ends():
    text = "The house is big; the woman, who opens the door, sees the green mountain"
    assert text[: _middle(text)] == "The house is big; the woman,"
    assert _middle("一" * 20) == 10
