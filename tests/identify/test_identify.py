"""Identifiers: what they call sentences of each target, and that close relatives count as one."""

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
