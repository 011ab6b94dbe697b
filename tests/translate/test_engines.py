"""Every installed translator keeps what the protocol promises: order, independence, spans, any text."""

from __future__ import annotations

import os
import shutil
import signal

import pytest

from mldata.errors import EngineError, InputError
from mldata.text import Segment, split
from mldata.translate import TRANSLATORS, apertium, open_translator

needs_apertium = pytest.mark.skipif(
    shutil.which("apertium-wblank-mode") is None, reason=f"Apertium isn't installed: {apertium.INSTALL}"
)
ENGINES = [
    pytest.param(("identity", "en", "es"), id="identity"),
    pytest.param(("bergamot", "en", "pt"), id="bergamot en-pt"),
    pytest.param(("bergamot", "pt", "en"), id="bergamot pt-en"),
    *(
        pytest.param(("apertium", *pair), marks=needs_apertium, id=f"apertium {'-'.join(pair)}")
        for pair in [("en", "es"), ("es", "en"), ("en", "eo"), ("en", "ca"), ("es", "fr"), ("en", "hr")]
    ),
]
NASTY = [
    "The old house is red.",
    "no full stop at the end",
    "Is it late? No!",
    "Costs rose by 3 * 4 ~ 12 # not 5 @ all.",
    "A [bracket], a {brace}, a ^caret^, a $dollar$, a <tag>, a back\\slash and a / slash.",
    "two\nlines of text",
    "ein Wort, dos palabras, три слова, 四个字",
    "emoji 🙂 and a zero\u200bwidth blank and a no-break\u00a0blank",
    "blorfing quuxed the zyzzy",
    "ALL IN CAPITALS.",
    "x",
    "⟦7⟧ looks like a mark, and XQ7X too.",
]


PLAIN = [
    "Generate a computer password that is 8 characters long.",
    "Create a subtraction sentence with these two numbers.",
    "We charged your card on 12 March, and the refund takes five working days.",
]
MARKS = set("*#@~\\")


@pytest.fixture(params=ENGINES)
def engine(request):
    name, source, target = request.param
    translator = open_translator(name)
    yield translator, source, target
    translator.close()


def test_the_same_request_has_the_same_answers_whatever_came_before(engine):
    translator, source, target = engine
    segments = [Segment(text) for text in [*NASTY, *PLAIN]]
    fresh = translator.translate(segments, source, target)
    translator.translate([Segment(text) for text in PLAIN * 5], source, target)
    assert translator.translate(segments, source, target) == fresh
    translator.close()
    assert translator.translate(segments, source, target) == fresh


@needs_apertium
def test_apertiums_tagger_carries_nothing_from_one_request_to_the_next():
    translator = open_translator("apertium")
    asked = [Segment("Como lin un ficheiro en Pitón?")]
    fresh = translator.translate(asked, "gl", "en")
    translator.translate([Segment("O paquete foi perdido e ninguén sabe onde é.")], "gl", "en")
    assert translator.translate(asked, "gl", "en") == fresh


def test_every_segment_has_an_answer_with_words(engine):
    translator, source, target = engine
    answers = translator.translate([Segment(text) for text in NASTY], source, target)
    assert len(answers) == len(NASTY)
    assert all(any(map(str.isalpha, answer.segment.text)) for answer in answers)
    assert translator.translate([], source, target) == []


def test_protected_spans_come_out_once_and_unchanged(engine):
    translator, source, target = engine
    text = (
        "Dear {customer_name}, run `git pull --all` and open https://example.com/a_b?c=1 "
        "before **14:30**, or write to help@example.com about order #48213."
    )
    (segment,) = split(text, "en").segments
    assert len(segment.spans) >= 6
    (answer,) = translator.translate([segment], source, target)
    assert sorted(answer.segment.protected) == sorted(segment.protected)
    for span in segment.protected:
        assert answer.segment.text.count(span) == text.count(span)


def test_marks_and_escapes_of_the_engine_stay_inside(engine):
    translator, source, target = engine
    texts = [text for text in [*NASTY, *PLAIN] if not MARKS & set(text)]
    for answer in translator.translate([Segment(text) for text in texts], source, target):
        assert not MARKS & set(answer.segment.text), answer.segment.text


def test_digest_is_stable_and_differs_between_directions(engine):
    translator, source, target = engine
    first = translator.engine(source, target)
    assert first == open_translator_again(translator).engine(source, target)
    assert first.digest
    assert first.licence


def open_translator_again(translator):
    name = next(n for n, make in TRANSLATORS.items() if type(make()) is type(translator))
    return open_translator(name)


@needs_apertium
def test_no_is_an_answer_and_not_a_number():
    translator = open_translator("apertium")
    for target, no in {"es": "No.", "ca": "No.", "gl": "Non.", "eo": "Ne."}.items():
        texts = ["No.", "Shipping: No.", "Number 5: yes, number 7: no."]
        answers = [a.segment.text for a in translator.translate([Segment(t) for t in texts], "en", target)]
        assert answers[0] == no
        assert all(answer.endswith((no, no.lower())) for answer in answers[1:])


@needs_apertium
def test_apertium_reports_unknown_words_without_their_marks():
    translator = open_translator("apertium")
    (answer,) = translator.translate([Segment("The blorfing cat sleeps.")], "en", "es")
    translator.close()
    assert answer.unknown == ("blorfing",)
    assert answer.segment.text.startswith("El blorfing ")


@needs_apertium
def test_a_pipeline_killed_by_accident_changes_no_answer(monkeypatch):
    translator = open_translator("apertium")
    segments = [Segment(f"The house number {n} is red.") for n in range(40)]
    before = translator.translate(segments, "en", "es")
    ask, opened = apertium._Pipeline.ask, []

    def accident(self, lines):
        opened.append(self)
        for n, answer in enumerate(ask(self, lines)):
            if n == 20 and len(opened) == 1:
                os.killpg(self._process.pid, signal.SIGKILL)
                raise apertium._Broken
            yield answer

    monkeypatch.setattr(apertium._Pipeline, "ask", accident)
    assert translator.translate(segments, "en", "es") == before
    assert len(opened) == 2


@needs_apertium
def test_a_segment_that_breaks_every_pipeline_is_set_aside_alone(monkeypatch):
    translator = open_translator("apertium")
    segments = [Segment("The house is red."), Segment("poison"), Segment("The garden is green.")]
    ask = apertium._Pipeline.ask

    def poisoned(self, lines):
        for line, answer in zip(lines, ask(self, lines), strict=True):
            if line == "poison":
                raise apertium._Broken
            yield answer

    monkeypatch.setattr(apertium._Pipeline, "ask", poisoned)
    answers = [answer.segment.text for answer in translator.translate(segments, "en", "es")]
    assert answers == ["La casa es roja.", "", "El jardín es verde."]


@needs_apertium
def test_a_pipeline_that_never_answers_gives_an_empty_translation(monkeypatch):
    monkeypatch.setattr(apertium, "_command", lambda mode: "sleep 60")
    monkeypatch.setattr(apertium, "TIMEOUT", 0.2)
    translator = open_translator("apertium")
    answers = translator.translate([Segment("The house is red.")], "en", "es")
    translator.close()
    assert [answer.segment.text for answer in answers] == [""]


@needs_apertium
def test_a_mode_that_answers_nothing_at_all_is_an_engine_error(monkeypatch):
    monkeypatch.setattr(apertium, "_command", lambda mode: "true")
    segments = [Segment(f"The house number {n} is red.") for n in range(9)]
    with pytest.raises(EngineError, match="eng-spa does not answer"):
        open_translator("apertium").translate(segments, "en", "es")


@needs_apertium
def test_a_mode_that_cannot_run_is_an_engine_error(monkeypatch, tmp_path):
    monkeypatch.setattr(apertium, "MODES", tmp_path)
    with pytest.raises(EngineError, match="eng-spa"):
        open_translator("apertium").translate([Segment("The house is red.")], "en", "es")


@needs_apertium
def test_apertium_translates_into_every_language_of_its_table():
    translator = open_translator("apertium")
    pairs = sorted(translator.pairs())
    assert len(pairs) == len(apertium.APERTIUM_MODES)
    sources = {"en": "The dog sees the house.", "es": "El perro ve la casa.", "hr": "Pas vidi kuću."}
    for source, target in pairs:
        if source in sources:
            (answer,) = translator.translate([Segment(sources[source])], source, target)
            assert answer.segment.text not in ("", sources[source]), (source, target)
            translator.close()


def test_an_unknown_engine_is_named_with_the_known_ones():
    with pytest.raises(InputError, match="bergamot"):
        open_translator("babelfish")
