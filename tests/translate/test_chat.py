"""A chat server may be slow, broken, chatty or dear: no text is lost or doubled, and none is paid twice."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from threading import Timer

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mldata.errors import EngineError, InputError, SetError
from mldata.settings import Allowance, ChatSettings
from mldata.text import Segment
from mldata.translate import RecordTranslator, open_translator, prompts
from mldata.translate.answers import FILE, Answers, Reply, spent
from mldata.translate.chat import Chat
from mldata.translate.replies import cleaned
from tests.models import phrases
from tests.models.chat_server import FAULTS, ChatServer, serving

FIELDS = ("prompt", "chosen", "rejected")


@pytest.fixture
def server():
    with serving(ChatServer()) as started:
        yield started


def chat(server, allowance=None, **settings):
    run = {"base_url": server.url, "backoff": 0.01, "timeout": 5, **settings.pop("run", {})}
    made = ChatSettings(engine="chat", model="org/model", run=run, **settings)
    return Chat("llm", made, allowance or Allowance())


def records(count, seed=0):
    return [[Segment(row[name]["en"]) for name in FIELDS] for row in phrases.pairs(count, seed)]


def right(count, target="es", seed=0):
    return [[row[name][target] for name in FIELDS] for row in phrases.pairs(count, seed)]


def texts(made):
    return [[one.segment.text for one in record] for record in made]


def segment(text, *protected):
    spans = []
    for part in protected:
        start = text.index(part, spans[-1][1] if spans else 0)
        spans.append((start, start + len(part)))
    return Segment(text, tuple(spans))


def say(server, words):
    server.words, server.fault = words, lambda number, text: "said"


# What is asked


@pytest.mark.parametrize(
    ("template", "context"),
    [("instruct", "text"), ("instruct", "record"), ("tower", "text"), ("translategemma", "text")],
)
@pytest.mark.parametrize("target", ["es", "pt"])
def test_every_template_translates_records_text_by_text_in_order(server, template, context, target):
    translator = chat(server, template=template, context=context)
    assert isinstance(translator, RecordTranslator)
    assert texts(translator.translate_records(records(8), "en", target)) == right(8, target)
    assert server.requests == (8 if context == "record" else 24)


def test_towers_prompt_is_the_published_one_and_translategemmas_content_is_structured(server):
    for template in ("tower", "translategemma"):
        chat(server, template=template).translate([Segment("The house.")], "en", "pt")
    tower, gemma = (body["messages"] for body in server.bodies)
    assert tower == [
        {
            "role": "user",
            "content": "Translate the following text from English into Portuguese.\n"
            "English: The house.\nPortuguese:",
        }
    ]
    part = {"type": "text", "source_lang_code": "en", "target_lang_code": "pt", "text": "The house."}
    assert gemma == [{"role": "user", "content": [part]}]


def test_own_messages_are_sent_with_braces_of_text_and_template_left_alone(server):
    system = "from {source} ({source_tag}) into {target} ({target_tag}), as {json: {}} %s"
    user = "<text>\n{text}\n</text>"
    text = "The {text} and {target}, {0}, {, }} and %s."
    translator = chat(server, template=None, system=system, user=user)
    assert translator.translate([Segment(text)], "en", "es")[0].segment.text == (
        "La {text} y {target}, {0}, {, }} y %s."
    )
    assert [message["content"] for message in server.bodies[0]["messages"]] == [
        "from English (en) into Spanish (es), as {json: {}} %s",
        f"<text>\n{text}\n</text>",
    ]


def test_an_empty_system_message_sends_none():
    settings = ChatSettings(engine="chat", model="org/model", system="")
    messages, more = prompts.of_text(settings, "The house.", "en", "es")
    assert [message["role"] for message in messages] == ["user"]
    assert not more


@pytest.mark.parametrize("context", ["text", "record"])
def test_braces_quotes_markdown_and_right_to_left_texts_go_through_unharmed(server, context):
    nasty = [
        '"Quoted" and \'quoted\', a \\ and a \\n, {"text_1": "x"}, {{}}, </text> and <text>',
        "# Title\n\n- **bold** _it_\n- [a](b)\n\n| a | b |\n|---|---|\n\n> q\r\nend",
        "قال: «البيت كبير» ‏(123)‎ وذهب",
        "⟦1⟧ is no mark, \u2028 \x85 \x00 \u200b 🙂👩‍👩‍👧 and    blanks",
        "\n  edges kept \t\n",
        "12 + 12 = 24",
        "",
    ]
    made = chat(server, context=context).translate_records([[Segment(text) for text in nasty]], "ar", "es")
    assert texts(made) == [nasty]
    assert not any(one.problem for one in made[0])


def test_protected_spans_are_marks_on_the_way_and_code_blocks_are_not_sent(server):
    code = "```python\n" + "print('the house')\n" * 500 + "```"
    text = f"The {{name}} opens `the` door.\n\n{code}\n\nThe green house."
    asked = segment(text, "{name}", "`the`", code)
    (made,) = chat(server).translate([asked], "en", "es")
    assert made.segment.text == f"La {{name}} abre `the` puerta.\n\n{code}\n\nLa casa verde."
    assert made.segment.protected == asked.protected
    assert "print" not in json.dumps(server.bodies)
    assert "⟦3⟧" in server.bodies[0]["messages"][-1]["content"]


def test_a_text_of_protected_spans_alone_is_not_asked_for(server):
    only = segment("`code` 12", "`code`")
    assert chat(server).translate([only], "en", "es")[0].segment == only
    assert server.requests == 0


def test_lost_marks_are_asked_for_again_and_then_given_up(server):
    asked = [segment("The `x` door.", "`x`")]
    server.fault = lambda number, text: "lost_marks" if number == 0 else None
    assert chat(server).translate(asked, "en", "es")[0].segment.text == "La `x` puerta."
    assert "exactly once, unchanged: ⟪1⟫" in server.bodies[1]["messages"][-1]["content"]
    server.fault = lambda number, text: "lost_marks"
    (made,) = chat(server).translate(asked, "en", "es")
    assert (made.problem, made.segment) == ("spans_lost", Segment(""))
    assert server.requests == 4


def test_marks_with_blanks_or_arabic_digits_are_still_marks(server):
    say(server, "باب ⟦ ٢ ⟧ و ⟦1⟧")
    (made,) = chat(server).translate([segment("`a` and `b`", "`a`", "`b`")], "en", "ar")
    assert made.segment.text == "باب `b` و `a`"


@pytest.mark.parametrize("fault", ["broken_record", "wrong_number", "empty", "lost_marks", "length"])
def test_a_record_whose_answer_is_wrong_is_asked_again_and_then_text_by_text(server, fault):
    asked = [[segment("The `x` door.", "`x`"), Segment("My house.")]]
    server.fault = lambda number, text: fault if "\n" in text else None
    made = chat(server, context="record").translate_records(asked, "en", "es")
    assert texts(made) == [["La `x` puerta.", "Mi casa."]]
    # Of an answer that lost marks in one text, the other text counts; a cut one isn't asked for again.
    assert server.requests == {"lost_marks": 3, "length": 3}.get(fault, 4)
    server.fault = lambda number, text: "fenced" if "\n" in text else None
    assert texts(chat(server, context="record").translate_records(asked, "en", "es")) == texts(made)


def test_what_is_asked_twice_in_a_call_is_sent_once(server):
    made = chat(server).translate([Segment("The house.")] * 20, "en", "es")
    assert {one.segment.text for one in made} == {"La casa."}
    assert server.requests == 1


def test_the_limit_of_an_answer_follows_the_texts_length(server):
    chat(server, max_tokens=600).translate([Segment("The house.")], "en", "es")
    chat(server, max_tokens=600, reasoning_tokens=1000, max_tokens_field="max_completion_tokens").translate(
        [Segment("The house. " * 100)], "en", "es"
    )
    assert server.bodies[0]["max_tokens"] == 256 + 4 * 10
    assert server.bodies[1]["max_completion_tokens"] == 1600
    assert "max_tokens" not in server.bodies[1]


def test_an_answer_that_would_not_fit_the_models_context_may_be_shorter(server):
    server.fault = lambda number, text: "too_long" if server.bodies[-1]["max_tokens"] > 200 else None
    (made,) = chat(server).translate([Segment("The house.")], "en", "es")
    assert (made.segment.text, server.bodies[-1]["max_tokens"]) == ("La casa.", 64 + 10)


def test_own_words_for_another_template_come_without_the_instructions_of_ours():
    settings = ChatSettings(engine="chat", model="m", template="tower", user="{target}: {text}")
    messages, _ = prompts.of_text(settings, "The house.", "en", "es")
    assert messages == [{"role": "user", "content": "Spanish: The house."}]


def test_extra_fields_and_seed_are_sent(server):
    extra = {"top_k": 1, "chat_template_kwargs": {"enable_thinking": False}}
    chat(server, template="translategemma", extra=extra, seed=7).translate(
        [Segment("The house.")], "en", "es"
    )
    (body,) = server.bodies
    assert (body["top_k"], body["seed"]) == (1, 7)
    assert body["chat_template_kwargs"] == {
        "source_lang_code": "en",
        "target_lang_code": "es",
        "enable_thinking": False,
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"template": None},
        {"user": "no place for it"},
        {"template": "tower", "context": "record"},
        {"template": "translategemma", "system": "x"},
        {"extra": {"stream": True}},
        {"extra": {"stop": float("nan")}},
        {"price_input": float("inf")},
        {"run": {"base_url": "http://host:99999/v1"}},
        {"run": {"base_url": "http://[::1/v1"}},
        {"run": {"timeout": float("inf")}},
        {"run": {"base_url": "https://user:secret@host/v1"}},
        {"run": {"base_url": "host:8000"}},
        {"run": {"api_key": "sk-123"}},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValidationError):
        ChatSettings(engine="chat", model="m", **wrong)


# What is answered


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("length", "truncated"),
        ("filtered", "refused"),
        ("refusal_field", "refused"),
        ("empty", "empty"),
        ("too_long", "too_long"),
    ],
)
def test_an_answer_that_is_none_says_why_and_the_others_stand(server, fault, problem):
    server.fault = lambda number, text: fault if "door" in text else None
    asked = [Segment("The house."), Segment("The door."), Segment("A city.")]
    made = chat(server, run={"concurrency": 1}).translate(asked, "en", "es")
    assert [one.problem for one in made] == ["", problem, ""]
    assert [one.segment.text for one in made] == ["La casa.", "", "Una ciudad."]


REFUSAL = "I'm sorry, but I can't help with that request."


@pytest.mark.parametrize(
    ("source", "answer", "text", "target", "problem"),
    [
        # chatter that can be cut off
        ("The house.", "Here is the translation:\n\nLa casa.", "La casa.", "es", ""),
        ("The house.", "Sure! Here's the Spanish translation: La casa.", "La casa.", "es", ""),
        ("The house.", "**Translation:**\nLa casa.", "La casa.", "es", ""),
        ("The house.", "Aquí está la traducción:\nLa casa.", "La casa.", "es", ""),
        ("The house.", "以下是翻译：\n房子。", "房子。", "zh", ""),
        ("La casa.", "Here is the translation:\nThe house.", "The house.", "en", ""),
        ("The house.", "La casa.\n\nNote: I translated it literally.", "La casa.", "es", ""),
        ("The house.", "La casa.\n(Note: kept short.)", "La casa.", "es", ""),
        ("The house.", "La casa.\n\nLet me know if you need more!", "La casa.", "es", ""),
        ("The house.", "La casa.\n\nNota: la traducción es literal.", "La casa.", "es", ""),
        ("The house.", "<think>The user wants\n\nSpanish.</think>\n\nLa casa.", "La casa.", "es", ""),
        ("The house.", "It is easy.\n</think>\nLa casa.", "La casa.", "es", ""),
        ("The house.", '"La casa."', "La casa.", "es", ""),
        ("The house.", "```text\nLa casa.\n```", "La casa.", "es", ""),
        ("The house.", "<text>\nLa casa.\n</text>", "La casa.", "es", ""),
        ("The house.", 'Sure! Here is the translation:\n\n"La casa."', "La casa.", "es", ""),
        # the same things, where they are the text's own
        ('"The house."', '"La casa."', '"La casa."', "es", ""),
        ('"Yes" or "No"', '"Sí" o "No"', '"Sí" o "No"', "es", ""),
        ("Say yes or no", '"Sí" o "No"', '"Sí" o "No"', "es", ""),
        ("Aquí está la traducción: casa", "Here is the translation: house", None, "en", ""),
        ("Here is the translation: house", "Aquí está la traducción: casa", None, "es", ""),
        ("Put this in French: hello", "Traduce esto al francés: hello", None, "es", ""),
        ("Question: who?", "Here is the translation:\nPregunta: ¿quién?", "Pregunta: ¿quién?", "es", ""),
        ("The house.\n\nNote: it is green.", "La casa.\n\nNota: es verde.", None, "es", ""),
        ("The house. Nota bene.", "La casa.\n\nNota bene.", None, "es", ""),
        ("One line.\nI hope so.", "Una línea.\nI hope so.", None, "es", ""),
        ("Use the shift.", "Utilisez la translation de l'image.", None, "fr", ""),
        ("All right: do it.", "Okay: mach es.", None, "de", ""),
        ("Alright, the list:\n- a\n- b", "Okay, die Liste:\n- a\n- b", None, "de", ""),
        ("Money transfer - how?", "Денежный перевод: как?", None, "ru", ""),
        ("Turn the oven on and set it.", "Käännä uuni päälle: aseta se.", None, "fi", ""),
        ("The house. Note that it is green.", "La maison.\nNote : elle est verte.", None, "fr", ""),
        ("”Hej”", "“Hello”", None, "en", ""),
        # chatter that can't
        ("The house.", "I will give you the translation now, La casa.", "", "es", "chatter"),
        ("The house.\nThe door.", "Here is the translation:\nLa casa.", "", "es", "chatter"),
        ("The house.", "Here is the translation:", "", "es", "chatter"),
        ("The house.", "<think>Well, the house", "", "es", "empty"),
        # refusals, and sources that are refusals
        ("How do I pick a lock?", REFUSAL, "", "es", "refused"),
        ("How do I pick a lock?", "Lo siento, pero no puedo ayudar con eso.", "", "es", "refused"),
        ("How do I pick a lock? " * 20, REFUSAL, "", "en", "refused"),
        ("¿Cómo?", "I can't translate this text.", "", "en", "refused"),
        (REFUSAL, "Lo siento, pero no puedo ayudar con esa solicitud.", None, "es", ""),
        ("Lo siento, pero no puedo ayudar con eso.", REFUSAL, None, "en", ""),
        ("There is nothing I can do to help.", "No puedo ayudar con eso.", None, "es", ""),
        ("Unfortunately we can't do that.", "Lo siento, pero no puedo hacerlo.", None, "es", ""),
    ],
)
def test_talk_and_refusals_are_told_from_translations(source, answer, text, target, problem):
    language = "en" if target != "en" else "es"
    assert cleaned(answer, source, language, target) == (answer if text is None else text, problem)


PIECES = [
    *("Here is the translation:", "Sure!", "Note: I translated it.", REFUSAL, "```", "```py", '"', "“", "”"),
    *("<text>", "</text>", "<think>", "</think>", "\n", "\n\n", " ", "⟦1⟧", "la casa", "Traducción:", "x: y"),
]


@given(st.lists(st.sampled_from(PIECES), min_size=1).map("".join).filter(str.strip))
@settings(max_examples=300, deadline=None)
def test_an_answer_that_says_what_the_source_says_is_left_as_it_is(text):
    assert cleaned(text, text, "en", "es") == (text, "")
    assert cleaned(text, text, "es", "en") == (text, "")


@pytest.mark.parametrize("words", ["[" * 100_000, '{"text_1": "puerta \\ud83d", "text_2": "Mi casa"}'])
def test_answers_that_no_parser_or_file_takes_are_read_all_the_same(server, words):
    say(server, words)
    asked = [[Segment("The door."), Segment("My house.")]]
    made = chat(server, context="record").translate_records(asked, "en", "es")
    assert all(one.segment.text.encode() for record in made for one in record)


def test_a_mark_with_a_number_too_long_for_python_is_no_mark(server):
    say(server, "puerta ⟦" + "1" * 5000 + "⟧")
    (made,) = chat(server).translate([segment("The `x` door.", "`x`")], "en", "es")
    assert made.problem == "spans_lost"


def test_a_source_that_is_a_refusal_is_translated(server):
    say(server, "Lo siento, pero no puedo ayudar con eso.")
    (made,) = chat(server).translate([Segment(REFUSAL)], "en", "es")
    assert (made.segment.text, made.problem) == (server.words, "")


def test_what_a_model_thinks_is_no_part_of_its_translation(server):
    server.fault = lambda number, text: "thinking"
    assert chat(server).translate([Segment("The house.")], "en", "es")[0].segment.text == "La casa."


# When the server fails


@pytest.mark.parametrize("context", ["text", "record"])
def test_no_text_is_lost_or_doubled_whatever_the_server_does(server, tmp_path, context):
    draw = random.Random(3)
    quick = [fault for fault in FAULTS if fault != "slow"]

    def fault(number, text):
        return "slow" if number % 40 == 7 else draw.choice(quick) if draw.random() < 0.35 else None

    server.fault, server.slow = fault, 2.5
    run = {"timeout": 2, "retries": 20, "concurrency": 24}
    translator = chat(server, Allowance(tmp_path), context=context, run=run)
    made = translator.translate_records(records(40), "en", "pt")
    assert texts(made) == right(40, "pt")
    asked = len({json.dumps(body) for body in server.bodies})
    assert len(server.answered) == asked
    assert set(server.answered.values()) == {1}  # an answer that came is never asked for again
    assert server.requests > asked
    assert spent(tmp_path).requests == asked


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failure_that_stays_is_an_error_that_says_what_and_where(server, fault):
    server.fault = lambda number, text: fault
    with pytest.raises(EngineError, match="failed 3 times") as error:
        chat(server, run={"retries": 2, "timeout": 0.3}).translate([Segment("The house.")], "en", "es")
    assert server.url in str(error.value)
    # After nothing but 500s a probe is sent: is it the text, or the server?
    assert server.requests == (4 if fault == "500" else 3)


def test_a_text_that_breaks_the_server_is_set_aside_and_the_others_stand(server, tmp_path):
    server.fault = lambda number, text: "500" if "door" in text else None
    asked = [Segment("The house."), Segment("The door."), Segment("A city.")]
    translator = chat(server, Allowance(tmp_path, 5.0), run={"retries": 2}, **PAID)
    made = translator.translate(asked, "en", "es")
    assert [one.problem for one in made] == ["", "server_error", ""]
    assert [one.segment.text for one in made] == ["La casa.", "", "Una ciudad."]
    assert spent(tmp_path).cost == pytest.approx((2 + 4) * EACH)  # the probes are paid too


def test_a_server_that_fails_now_and_then_or_on_many_texts_costs_no_row(server):
    run = {"retries": 0, "concurrency": 1}
    asked = [Segment(text) for text in ("The house.", "The door.", "A city.")]
    tries = Counter()
    failures = {"The house.": 1, "The door.": 99}

    def passing(number, text):
        tries[text] += 1
        return "500" if tries[text] <= failures.get(text, 0) else None

    server.fault = passing
    with pytest.raises(EngineError, match="failed 1 times: it answered 500"):
        chat(server, run=run).translate(asked, "en", "es")
    server.fault = lambda number, text: None if "morning" in text else "500"
    with pytest.raises(EngineError, match="run the same command again"):
        chat(server, run=run).translate([*asked, Segment("My house.")], "en", "es")


@pytest.mark.parametrize("variable", ["ALL_PROXY", "SSL_CERT_FILE"])
def test_a_proxy_or_certificates_that_cannot_be_used_are_named(server, monkeypatch, variable):
    monkeypatch.setenv(variable, "gopher://nowhere")
    with pytest.raises(InputError, match=f"{variable}.*can't be used"):
        chat(server).translate([Segment("The house.")], "en", "es")


def test_an_answer_that_the_server_broke_off_is_asked_for_again(server):
    server.fault = lambda number, text: "abort" if number == 0 else None
    assert chat(server).translate([Segment("The house.")], "en", "es")[0].segment.text == "La casa."
    assert server.requests == 2


def test_retry_after_is_heeded(server):
    server.fault = lambda number, text: "429" if number == 0 else None
    chat(server).translate([Segment("The house.")], "en", "es")
    assert server.times[1] - server.times[0] >= 0.3


def test_a_server_that_is_down_is_named():
    with serving(ChatServer()) as gone:
        pass
    with pytest.raises(EngineError, match=f"{gone.url} failed 2 times.*run the same command again"):
        chat(gone, run={"retries": 1}).translate([Segment("The house.")], "en", "es")


@pytest.mark.parametrize(("fault", "advice"), [("400", "table in the recipe"), ("401", "api_key")])
def test_a_request_that_is_wrong_is_not_repeated_and_no_other_is_sent(server, fault, advice):
    server.fault, server.words = lambda number, text: fault, "no such thing " * 90
    with pytest.raises(EngineError, match=f"{fault}.*no such thing.*{advice}") as error:
        chat(server, run={"concurrency": 2}).translate_records(records(30), "en", "es")
    assert server.requests <= 2
    assert len(str(error.value)) < 600


def test_a_wrong_address_is_an_error_at_once(server):
    wrong = server.url.replace("/v1", "/v2")
    with pytest.raises(EngineError, match=r"404.*no such path: /v2/chat/completions.*base_url"):
        chat(server, run={"base_url": wrong}).translate([Segment("The house.")], "en", "es")


@pytest.mark.parametrize(("processes", "most"), [(1, 6), (3, 2), (99, 1)])
def test_no_more_requests_are_in_flight_than_allowed(server, processes, most):
    server.delay = 0.01
    chat(server, Allowance(processes=processes), run={"concurrency": 6}).translate_records(
        records(10), "en", "es"
    )
    assert server.most_at_once == most


def test_it_works_where_an_event_loop_runs_already(server):
    async def notebook():
        return chat(server).translate([Segment("The house.")], "en", "es")

    assert asyncio.run(notebook())[0].segment.text == "La casa."


def test_ctrl_c_in_a_notebook_stops_at_once(server):
    server.delay = 3

    async def notebook():
        return chat(server, run={"concurrency": 1}).translate_records(records(10), "en", "es")

    loop = asyncio.new_event_loop()
    interrupt = Timer(0.5, os.kill, [os.getpid(), signal.SIGINT])
    started = time.monotonic()
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(notebook())
    assert time.monotonic() - started < 2.5
    server.delay = 0
    loop.close()


# What is paid

PAID = {"price_input": 100.0, "price_output": 1000.0}
EACH = (300 * 100 + 100 * 1000) / 1e6
"""What an answer of the test's server costs."""


def test_answers_are_kept_and_found_by_what_was_asked_and_not_by_where(server, tmp_path):
    allowance = Allowance(tmp_path)
    first = chat(server, allowance, **PAID).translate_records(records(5), "en", "es")
    assert spent(tmp_path).cost == pytest.approx(15 * EACH)
    with serving(ChatServer()) as other:
        again = chat(other, allowance, run={"retries": 1, "concurrency": 1}).translate_records(
            records(5), "en", "es"
        )
        assert again == first
        assert other.requests == 0
        for change in ({"revision": "2"}, {"temperature": 0.5}, {"extra": {"top_k": 3}}, {"model": "org/b"}):
            settings = ChatSettings(**{"engine": "chat", "model": "org/model", **change})
            settings = settings.model_copy(
                update={"run": settings.run.model_copy(update={"base_url": other.url})}
            )
            Chat("llm", settings, allowance).translate([records(1)[0][0]], "en", "es")
        assert other.requests == 4
    kept = spent(tmp_path)
    assert (kept.requests, kept.tokens_in, kept.tokens_out) == (19, 19 * 300, 19 * 100)
    assert kept.engines["llm"].requests == 19


def test_where_a_server_counts_no_tokens_the_most_is_assumed(server, tmp_path):
    server.usage = None
    chat(server, Allowance(tmp_path), **PAID).translate([Segment("The house.")], "en", "es")
    kept = spent(tmp_path)
    assert kept.tokens_out == 256 + 4 * 10
    assert kept.tokens_in > len(json.dumps(server.bodies[0]))


def test_the_budget_ends_a_build_that_goes_on_with_a_higher_one(server, tmp_path):
    run = {"concurrency": 8}
    with pytest.raises(EngineError, match=r"budget of 12 is used up.*higher --max-cost"):
        chat(server, Allowance(tmp_path, 12.0), **PAID, run=run).translate_records(records(100), "en", "es")
    answered = server.requests
    assert 0 < answered * EACH <= 12.0
    assert spent(tmp_path).cost == pytest.approx(answered * EACH)
    assert 12.0 - spent(tmp_path).cost < 1.0  # requests in flight didn't keep the rest of it
    made = chat(server, Allowance(tmp_path, 200.0), **PAID, run=run).translate_records(
        records(100), "en", "es"
    )
    assert texts(made) == right(100)
    assert server.requests == len({json.dumps(body) for body in server.bodies})


def test_what_may_have_been_billed_counts_and_what_was_never_sent_does_not(server, tmp_path):
    for fault, counts in [("500", False), ("429", False), ("401", False), ("cut", True), ("slow", True)]:
        server.fault = lambda number, text, fault=fault: fault
        work = tmp_path / fault
        with pytest.raises(EngineError):
            chat(server, Allowance(work, 9.0), **PAID, run={"retries": 0, "timeout": 0.3}).translate(
                [Segment("The house.")], "en", "es"
            )
        kept = spent(work)
        assert kept.requests == 0
        assert (kept.cost == kept.unanswered > 0) is counts
        assert counts or kept.cost == 0


@pytest.mark.parametrize("budget", [float("nan"), float("inf")])
def test_a_budget_that_is_no_amount_is_refused(budget):
    with pytest.raises(InputError, match="amount of money"):
        chat(ChatServer(url="http://localhost/v1"), Allowance(None, budget), **PAID)


def test_on_a_full_disk_no_more_is_asked_and_what_was_kept_stays(server, tmp_path, monkeypatch):
    opened = Answers.__init__

    def small(answers, *arguments):
        opened(answers, *arguments)
        answers._database.execute("pragma max_page_count = 16")

    monkeypatch.setattr(Answers, "__init__", small)
    with pytest.raises(InputError, match="database or disk is full"):
        chat(server, Allowance(tmp_path), run={"concurrency": 2}).translate_records(
            [[Segment(f"The house. {'A city. ' * n}")] for n in range(500)], "en", "es"
        )
    kept = spent(tmp_path).requests
    assert 0 < kept <= server.requests <= kept + 2


def test_a_file_that_another_worker_is_just_making_is_waited_for(tmp_path):
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None, check_same_thread=False)) as other:
        other.execute("create table other (x)")
        other.execute("begin immediate")
        release = Timer(0.2, other.execute, ["commit"])
        release.start()
        Answers(tmp_path, "llm", None, 60).close()
        release.join()


def test_a_budget_without_prices_is_refused():
    with pytest.raises(InputError, match=r"\[engines.llm\] no price: add price_input"):
        chat(ChatServer(url="http://localhost/v1"), Allowance(None, 5.0))


SCRIPT = """
import sys
from pathlib import Path
from mldata.errors import EngineError
from mldata.settings import Allowance, ChatSettings
from mldata.translate.chat import Chat
from mldata.text import Segment
from tests.models import phrases

url, work, budget, seed = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
run = {"base_url": url, "backoff": 0.01, "concurrency": 8, "timeout": 5}
settings = ChatSettings(engine="chat", model="org/model", price_input=100, price_output=1000, run=run)
made = Chat("llm", settings, Allowance(work, budget))
rows = phrases.pairs(30, seed)
print("go", flush=True)
try:
    asked = [[Segment(text["en"]) for text in row.values()] for row in rows]
    found = made.translate_records(asked, "en", "es")
except EngineError as error:
    sys.exit(str(error))
wrong = [t for row, r in zip(rows, found) for t, o in zip(row.values(), r) if o.segment.text != t["es"]]
sys.exit(f"wrong: {wrong}" if wrong else 0)
"""


def start(server, work, budget, seed=0):
    root = str(Path(__file__).parents[2])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", SCRIPT, server.url, str(work), str(budget), str(seed)]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_several_processes_share_a_budget_and_pay_no_answer_twice(server, tmp_path):
    draw = random.Random(0)
    server.fault = lambda number, text: "500" if draw.random() < 0.1 else None
    started = [start(server, tmp_path, 12, seed) for seed in (0, 0, 1)]
    said = [process.communicate(timeout=60)[1] for process in started]
    assert all("budget of 12 is used up" in words for words in said), said
    answered = sum(server.answered.values())
    assert 9 < answered * EACH <= 12
    assert set(server.answered.values()) == {1}
    started = [start(server, tmp_path, 500, seed) for seed in (0, 1)]
    assert [process.communicate(timeout=60)[1] for process in started] == ["", ""]
    assert set(server.answered.values()) == {1}
    assert spent(tmp_path).cost == pytest.approx(sum(server.answered.values()) * EACH)


def test_a_killed_build_asks_again_only_for_what_was_never_answered(server, tmp_path):
    server.delay = 0.02
    counts = []
    for _ in range(2):
        process = start(server, tmp_path, 500)
        assert process.stdout.readline() == "go\n"
        before = server.requests
        while server.requests < before + 25:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        time.sleep(0.1)  # what is under way is answered into the void
        counts.append(spent(tmp_path).requests)
    asked = server.requests
    process = start(server, tmp_path, 500)
    assert process.communicate(timeout=60)[1] == ""
    total = len(server.answered)
    assert server.requests - asked == total - counts[-1]
    assert server.requests <= total + 2 * 8  # a kill loses what was in flight, no more
    kept = spent(tmp_path)
    # What was in flight may have been billed, and stays counted at the most it can have cost.
    assert kept.cost >= server.requests * EACH - 1e-9
    assert kept.cost - kept.unanswered == pytest.approx(total * EACH)


def test_an_interrupted_build_stops_at_once(server, tmp_path):
    server.delay = 3
    process = start(server, tmp_path, 500)
    while not server.requests:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    assert process.wait(timeout=30) != 0
    assert time.monotonic() - started < 2
    process.communicate()
    server.delay = 0


def test_reservations_of_the_dead_are_spent_and_those_of_the_living_are_waited_for(tmp_path):
    process = subprocess.Popen(["sleep", "60"])
    answers = Answers(tmp_path, "llm", 1e-7, patience=60)
    held = answers.reserve("a", 80)
    assert isinstance(held, str)
    database = sqlite3.connect(tmp_path / FILE)
    with database:
        database.execute("update reserved set process = ?", (process.pid,))
    assert answers.reserve("a", 1) is None  # the same is asked elsewhere
    assert answers.reserve("b", 80) is None  # there may be room when the other ends
    process.kill()
    process.wait()
    with pytest.raises(EngineError, match="8e-08 of it perhaps"):
        answers.reserve("b", 80)
    again = answers.reserve("a", 10)
    assert isinstance(again, str)
    first = answers.record("a", again, Reply("one", "stop", False, 3, 4), 10)
    assert answers.record("a", "", Reply("two", "stop", False, 3, 4), 5) == first
    assert answers.reserve("a", 10) == first
    assert spent(tmp_path).cost == pytest.approx(95e-9)
    answers.close()
    database.close()


def test_a_damaged_or_unusable_file_of_answers_is_named(tmp_path):
    assert spent(tmp_path).requests == 0
    (tmp_path / FILE).write_bytes(b"no database, " * 400)
    with pytest.raises(SetError, match=f"{FILE}.*is damaged"):
        Answers(tmp_path, "llm", None, 60)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="can't be made"):
        Answers(tmp_path / "file", "llm", None, 60)


# Keys, names, digests


def test_the_key_is_sent_and_shown_nowhere(server, tmp_path, monkeypatch):
    key = "sk-very-secret-0123456789"
    monkeypatch.setenv("MY_KEY", key + "\n")
    run = {"api_key": "MY_KEY", "retries": 0}
    translator = chat(server, Allowance(tmp_path), run=run)
    translator.translate([Segment("The house.")], "en", "es")
    assert server.keys == {f"Bearer {key}"}
    shown = [repr(translator), repr(vars(translator)), repr(translator.engine("en", "es"))]
    server.words = "wrong key: {key}"
    for fault in ("401", "500"):
        server.fault = lambda number, text, fault=fault: fault
        with pytest.raises(EngineError, match=r"wrong key: Bearer \*\*\*") as error:
            translator.translate([Segment("The door.")], "en", "es")
        shown.append(repr(error.value) + repr(error.value.__cause__) + repr(error.value.__context__))
    translator.close()
    assert not any(key in text for text in shown)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not any(key.encode() in path.read_bytes() for path in files)


@pytest.mark.parametrize("value", [None, " ", "two\nlines", "ключ"])
def test_a_key_that_is_missing_or_none_is_told_without_showing_it(monkeypatch, value):
    monkeypatch.delenv("MY_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("MY_KEY", value)
    with pytest.raises(InputError, match=r"MY_KEY (isn't set|holds)") as error:
        chat(ChatServer(url="http://localhost/v1"), run={"api_key": "MY_KEY"})
    assert value is None or value == " " or value not in str(error.value)


def test_opening_and_describing_contact_no_server():
    nowhere = ChatServer(url="http://127.0.0.1:9/v1")
    translator = chat(nowhere, languages=["en", "pt-BR", "sr-Latn"], licence="Apache-2.0", revision="abc")
    assert len(translator.pairs()) == 6
    engine = translator.engine("en", "pt-BR")
    assert (engine.name, engine.version, engine.licence) == ("llm", "org/model at abc", "Apache-2.0")
    assert ("en", "de") in chat(nowhere).pairs()
    assert chat(nowhere).engine("en", "de").licence == "unknown"
    tower = ChatSettings(engine="chat", model="Unbabel/TowerInstruct-7B-v0.2")
    assert Chat("tower", tower, Allowance()).engine("en", "de").licence == "CC-BY-NC-4.0"
    settings = ChatSettings(engine="chat", model="org/model")
    assert isinstance(open_translator("mine", {"mine": settings}), Chat)


def test_a_digest_changes_with_what_is_asked_and_not_with_how():
    def digest(**settings):
        return chat(ChatServer(url="http://localhost/v1"), **settings).engine("en", "es").digest

    same = [
        {},
        {"run": {"base_url": "https://elsewhere/v1", "concurrency": 1}},
        {"price_input": 1.0, "licence": "MIT", "languages": ["en", "es"]},
    ]
    other = [
        {"revision": "a"},
        {"template": "tower"},
        {"context": "record"},
        {"seed": 1},
        {"system": "{target}"},
    ]
    counts = Counter(digest(**settings) for settings in [*same, *other])
    assert sorted(counts.values()) == [1] * len(other) + [len(same)]
