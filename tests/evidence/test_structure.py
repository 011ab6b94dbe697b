"""What can be counted: each measure on texts whose answer a reader sees at once."""

from __future__ import annotations

import pytest

from mldata.evidence import Pair, Unit
from mldata.evidence.structure import measure
from mldata.languages import language


def evidence(source, target, *, tag="es", protected=(), pivot="", unknown=(), back=""):
    pair = Pair(source, target, back, pivot, tuple(unknown))
    unit = Unit(0, "chosen", 0, source, target, tuple(protected), (pair,))
    return measure([unit], language(tag)).to_dicts()[0]


@pytest.mark.parametrize(
    ("source", "target", "agreement"),
    [
        ("It costs $1,200.50 for 3 days.", "Cuesta 1.200,50 $ por 3 días.", 1.0),
        ("It costs 1200 euros.", "Cuesta 1 200 euros.", 1.0),
        ("It costs 1.50 euros.", "Cuesta 1,5 euros.", 1.0),
        ("It costs 1.5 million.", "Cuesta 15 millones.", 0.0),
        ("Version 0.125 of 2024.", "Versión 0,125 de 2024.", 1.0),
        ("Within 30 days.", "En 90 días.", 0.0),
        ("Between 5 and 7.", "Entre 5 y 8.", 0.5),
        ("Pay 20 now and 20 later.", "Pague 20 ahora.", pytest.approx(2 / 3)),
        ("No figures here.", "Ni una cifra.", None),
        ("No figures here.", "Ni 1 cifra.", 0.0),
        ("On 3 May 2024 at 10%.", "El 3 de mayo de 2024, un 10 %.", 1.0),
    ],
)
def test_numbers_agree_whatever_their_separators(source, target, agreement):
    assert evidence(source, target)["numbers"] == agreement


@pytest.mark.parametrize(
    ("target", "kept"),
    [("Ejecute `x` en {y}.", 1.0), ("Ejecute `x`.", 0.5), ("Ejecute `x` `x` en {y}.", 0.5), ("Nada.", 0.0)],
)
def test_protected_spans_must_stand_as_often(target, kept):
    assert evidence("Run `x` in {y}.", target, protected=("`x`", "{y}"))["spans_kept"] == kept


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        ("# Título\n\n- uno\n- dos", True),
        ("# Título\n\n- uno - dos", False),
        ("# Título\n- uno\n- dos", False),
        ("Título\n\n- uno\n- dos", False),
    ],
)
def test_markup_must_be_as_much(target, kept):
    assert evidence("# Title\n\n- one\n- two", target)["markup_kept"] is kept


def test_letters_of_another_script_count_against_a_text():
    assert evidence("Hello there.", "Hola 123!")["script"] == 1.0
    assert evidence("Hello there.", "Привет там", tag="es")["script"] == 0.0
    assert evidence("Hello there.", "Привет there", tag="mk")["script"] == pytest.approx(6 / 11)
    assert evidence("Hello.", "こんにちは世界", tag="ja")["script"] == 1.0
    assert evidence("Hello.", "123")["script"] is None


def test_copied_words_are_the_sources_own_and_names_are_not_words():
    source = "the quick brown fox jumps over Barcelona every single morning"
    assert evidence(source, source)["copied_words"] == 1.0
    assert evidence(source, "el veloz zorro marrón salta sobre Barcelona cada mañana")["copied_words"] == 0.0
    assert evidence(source, "el quick zorro brown salta sobre Barcelona cada mañana")["copied_words"] > 0.2
    assert evidence("yes", "sí")["copied_words"] is None


def test_unknown_words_are_those_the_route_reported():
    target = "el blorfing del gato come zyzzy por la mañana"
    assert evidence("x", target, unknown=("blorfing", "zyzzy"))["unknown_words"] == pytest.approx(2 / 9)
    assert evidence("x", target)["unknown_words"] == 0.0
    assert evidence("Divide 45 by 9.", "The ishod of 9 i 5.", unknown=("The", "of"))["unknown_words"] == 0.5
    assert evidence("Yes, blorf.", "Sí, blorf.", unknown=("blorf",))["unknown_words"] is None


def test_a_text_that_is_still_the_pivots_is_seen():
    pivot = "la casa roja está cerca del río"
    assert evidence("x", pivot, pivot=pivot)["pivot_words"] == 1.0
    assert evidence("x", "a casa vermella queda preto dun regato", pivot=pivot)["pivot_words"] < 0.5
    assert evidence("x", pivot)["pivot_words"] is None


def test_a_loop_is_repetition_and_a_refrain_of_the_source_is_not():
    once = "we sell good bread and fresh rolls every day of the week"
    loop = "vendemos buen pan y " * 12
    assert evidence(once, loop)["repetition"] > 0.5
    refrain = "row your boat gently down the stream and " * 4
    assert evidence(refrain, "rema en tu barca río abajo con calma y " * 4)["repetition"] < 0.1
    assert evidence("short", "corto")["repetition"] is None


def test_an_empty_translation_is_seen():
    found = evidence("Please keep the receipt.", "")
    assert found["empty_segments"] == 1.0
    assert found["length_ratio"] == 0.0
