"""Every format is recognised from real-shaped rows and gives explicit prompt, chosen and rejected."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mldata.concepts import Concept, Message
from mldata.errors import InputError
from mldata.sources import Duplicate, Unreadable, open_source

QUESTION = "What is the capital of Australia?"
RIGHT, WRONG = "It is Canberra.", "It is Sydney."


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def only(source):
    """The one concept that a source holds."""
    (concept,) = source
    assert isinstance(concept, Concept), str(concept)
    return concept


def test_standard_strings_stay_strings(write, pairs):
    source = open_source(write(pairs))
    concepts = list(source)
    assert (source.format, source.shape, source.columns) == ("standard", "strings", ("topic",))
    assert [(c.prompt, c.chosen, c.rejected) for c in concepts] == [
        (p["prompt"], p["chosen"], p["rejected"]) for p in pairs
    ]
    assert [c.extra for c in concepts] == [{"topic": p["topic"]} for p in pairs]
    assert all(c.id == c.digest.hex() for c in concepts)


def test_white_space_at_the_ends_of_texts_is_kept(write):
    row = {"prompt": " Say hello.\n", "chosen": "Hello!\n\n", "rejected": "\tNo\x00."}
    concept = only(open_source(write([row])))
    assert (concept.prompt, concept.chosen, concept.rejected) == tuple(row.values())


def test_conversations_become_messages(write):
    row = {
        "prompt": [{"role": "system", "content": "Answer briefly."}, user(QUESTION)],
        "chosen": [assistant(RIGHT)],
        "rejected": [assistant(WRONG)],
    }
    source = open_source(write([row]))
    assert (source.format, source.shape) == ("conversational", "messages")
    concept = only(source)
    assert concept.prompt == (Message("system", "Answer briefly."), Message("user", QUESTION))
    assert concept.chosen == (Message("assistant", RIGHT),)
    assert concept.rejected == (Message("assistant", WRONG),)


def test_content_parts_are_joined(write):
    parts = [{"type": "text", "text": "What is the capital "}, {"type": "text", "text": "of Australia?"}]
    row = {"prompt": [user(parts)], "chosen": [assistant(RIGHT)], "rejected": [assistant(WRONG)]}
    assert only(open_source(write([row]))).prompt == (Message("user", QUESTION),)


def test_tool_calls_are_kept_as_json_text(write):
    call = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Málaga"}}}
    row = {
        "prompt": [
            user("Is it raining in Málaga?"),
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "name": "weather", "tool_call_id": "c1", "content": '{"rain": false}'},
        ],
        "chosen": [assistant("No, it is dry.")],
        "rejected": [assistant("Yes, take an umbrella.")],
    }
    _, asked, answered = only(open_source(write([row]))).prompt
    assert asked == Message("assistant", "", tool_calls=json.dumps([call], ensure_ascii=False))
    assert answered == Message("tool", '{"rain": false}', name="weather", tool_call_id="c1")
    assert not asked.translatable
    assert not answered.translatable


@pytest.mark.parametrize("prompt", [QUESTION, QUESTION + "\n", [user(QUESTION)]])
def test_ultrafeedback_rows_lose_the_repeated_question(write, prompt):
    row = {
        "prompt": prompt,
        "chosen": [user(QUESTION), assistant(RIGHT)],
        "rejected": [user(QUESTION), assistant(WRONG)],
        "score_chosen": 8.5,
    }
    source = open_source(write([row]))
    concept = only(source)
    assert source.format == "conversational"
    assert concept.prompt == (Message("user", QUESTION),)
    assert concept.chosen == (Message("assistant", RIGHT),)
    assert concept.rejected == (Message("assistant", WRONG),)
    assert concept.extra == {"score_chosen": 8.5}


def test_earlier_turns_before_the_repeated_question_are_the_prompt(write):
    turns = [user("Hello!"), assistant("Hello, how can I help?"), user(QUESTION)]
    row = {"prompt": QUESTION, "chosen": [*turns, assistant(RIGHT)], "rejected": [*turns, assistant(WRONG)]}
    concept = only(open_source(write([row])))
    assert [m.content for m in concept.prompt] == ["Hello!", "Hello, how can I help?", QUESTION]
    assert concept.chosen == (Message("assistant", RIGHT),)


def test_a_question_in_text_over_answers_in_messages(write):
    row = {"prompt": QUESTION, "chosen": [assistant(RIGHT)], "rejected": [assistant(WRONG)]}
    assert only(open_source(write([row]))).prompt == (Message("user", QUESTION),)


def test_implicit_prompt_of_messages_is_what_they_share(write):
    row = {"chosen": [user(QUESTION), assistant(RIGHT)], "rejected": [user(QUESTION), assistant(WRONG)]}
    source = open_source(write([row]))
    concept = only(source)
    assert (source.format, source.shape) == ("implicit", "messages")
    assert (concept.prompt, concept.chosen) == ((Message("user", QUESTION),), (Message("assistant", RIGHT),))


@pytest.mark.parametrize(
    ("chosen", "rejected", "prompt"),
    [
        (f"Q: {QUESTION}\nA: {RIGHT}", f"Q: {QUESTION}\nA: {WRONG}", f"Q: {QUESTION}\n"),
        (f"{QUESTION} {RIGHT}", f"{QUESTION} {WRONG}", f"{QUESTION} "),
        (
            "日本の首都はどこですか。東京です。",
            "日本の首都はどこですか。大阪です。",
            "日本の首都はどこですか。",
        ),
        ("the capital is Canberra", "the capital is Sydney", "the capital is "),
        # What one says is how the other begins: each side keeps something to say.
        (f"{QUESTION} Canberra. Sure.", f"{QUESTION} Canberra. Sure. Or Sydney.", f"{QUESTION} Canberra. "),
    ],
)
def test_implicit_prompt_of_strings_ends_at_a_line_or_sentence_or_word(write, chosen, rejected, prompt):
    source = open_source(write([{"chosen": chosen, "rejected": rejected}]))
    concept = only(source)
    assert (source.format, source.shape) == ("implicit", "strings")
    assert concept.prompt == prompt
    assert concept.prompt + concept.chosen == chosen
    assert concept.prompt + concept.rejected == rejected


def test_a_column_of_null_prompts_is_no_prompt(write):
    row = {"prompt": None, "chosen": f"{QUESTION}\n{RIGHT}", "rejected": f"{QUESTION}\n{WRONG}"}
    concept = only(open_source(write([row])))
    assert (concept.prompt, concept.extra) == (QUESTION + "\n", {})


def test_hh_text_is_split_into_turns(write):
    start = f"\n\nHuman: I need help with geography.\n\nAssistant: Gladly.\n\nHuman: {QUESTION}\n\nAssistant:"
    source = open_source(write([{"chosen": f"{start} {RIGHT}", "rejected": f"{start} {WRONG}"}]))
    concept = only(source)
    assert (source.format, source.shape) == ("hh", "messages")
    assert concept.prompt == (
        Message("user", "I need help with geography."),
        Message("assistant", "Gladly."),
        Message("user", QUESTION),
    )
    assert concept.chosen == (Message("assistant", RIGHT),)
    assert concept.rejected == (Message("assistant", WRONG),)


def test_a_word_with_a_colon_is_no_turn(write):
    start = "\n\nHuman: Write a scene.\nHuman: who are you?\n\nAssistant:"
    row = {"chosen": f"{start} Robot: a friend.", "rejected": f"{start} No."}
    assert only(open_source(write([row]))).prompt[0].content == "Write a scene.\nHuman: who are you?"


def test_a_system_column_leads_a_conversation(write):
    row = {"system": "You teach geography.", "prompt": [user(QUESTION)], "chosen": [assistant(RIGHT)]}
    concept = only(open_source(write([row | {"rejected": [assistant(WRONG)]}])))
    assert concept.prompt == (Message("system", "You teach geography."), Message("user", QUESTION))
    assert concept.extra == {}


def test_a_system_column_beside_strings_stays_a_column(write, pairs):
    concept = only(open_source(write([pairs[0] | {"system": "You are a gardener."}])))
    assert concept.prompt == pairs[0]["prompt"]
    assert concept.extra == {"topic": "plants", "system": "You are a gardener."}


def test_a_system_message_in_the_prompt_wins_over_the_column(write):
    prompt = [{"role": "system", "content": "Be brief."}, user(QUESTION)]
    row = {
        "prompt": prompt,
        "chosen": [assistant(RIGHT)],
        "rejected": [assistant(WRONG)],
        "system": "Be long.",
    }
    concept = only(open_source(write([row])))
    assert [m.content for m in concept.prompt] == ["Be brief.", QUESTION]
    assert concept.extra == {"system": "Be long."}


def test_most_rows_decide_and_rows_of_another_shape_are_set_aside(write, pairs):
    odd = {"prompt": [user(QUESTION)], "chosen": [assistant(RIGHT)], "rejected": [assistant(WRONG)]}
    source = open_source(write([odd, *pairs]))
    first, *others = source
    assert source.format == "standard"
    assert str(first) == 'prefs.jsonl, line 1: "prompt" is a list of messages where this source has text'
    assert len(others) == 3
    assert str(next(iter(open_source(write([pairs[0], odd, odd]))))) == (
        'prefs.jsonl, line 1: "chosen" is text where this source has lists of messages'
    )


def test_a_format_can_be_forced(write):
    start = f"\n\nHuman: {QUESTION}\n\nAssistant:"
    path = write([{"chosen": f"{start} {RIGHT}", "rejected": f"{start} {WRONG}"}])
    concept = only(open_source(path, format="implicit"))
    assert concept.prompt == f"\n\nHuman: {QUESTION}\n\n"
    assert concept.rejected == f"Assistant: {WRONG}"


def test_a_forced_format_that_no_row_fits_says_what_was_seen(write, pairs):
    with pytest.raises(InputError) as caught:
        open_source(write(pairs), format="hh")
    assert str(caught.value).endswith(
        'prefs.jsonl: no row fits the format "hh"; '
        "columns seen: prompt (text), chosen (text), rejected (text), topic (text)."
    )


def test_an_unknown_format_says_what_was_seen_and_what_is_needed(write):
    with pytest.raises(InputError) as caught:
        open_source(write([{"question": QUESTION, "answers": [RIGHT, WRONG]}]))
    assert str(caught.value).endswith(
        "prefs.jsonl is in no known format; columns seen: question (text), answers (a list); "
        'needed: "prompt", "chosen" and "rejected", or "chosen" and "rejected" that start alike '
        "(--format forces one of standard, conversational, implicit, hh)."
    )


def test_a_format_of_another_name_is_refused(write, pairs):
    with pytest.raises(
        InputError, match='"sharegpt" is unknown; known are standard, conversational, implicit, hh'
    ):
        open_source(write(pairs), format="sharegpt")


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).filter(str.strip)
replies = st.lists(texts, min_size=2, max_size=2, unique=True)
messages = st.builds(
    lambda role, content, name: {"role": role, "content": content} | ({"name": name} if name else {}),
    st.sampled_from(["system", "user", "assistant", "tool"]),
    texts,
    st.none() | texts,
)
conversations = st.lists(messages, min_size=1, max_size=3)
same_file = settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


def plain(text):
    """A concept's text as a row holds it."""
    if isinstance(text, str):
        return text
    return [{k: v for k, v in vars(m).items() if v is not None} for m in text]


def rewritten(concept):
    return {name: plain(getattr(concept, name)) for name in ("prompt", "chosen", "rejected")}


@same_file
@given(st.lists(st.tuples(texts, replies), min_size=1, max_size=4))
def test_standard_concepts_read_again_have_the_same_ids(write, rows):
    rows = [{"prompt": p, "chosen": a, "rejected": b} for p, (a, b) in rows]
    first = [c for c in open_source(write(rows), format="standard") if isinstance(c, Concept)]
    again = list(open_source(write([rewritten(c) for c in first]), format="standard"))
    assert [c.id for c in again] == [c.id for c in first]
    assert len(first) == len({json.dumps(row) for row in rows})


@same_file
@given(st.lists(st.tuples(conversations | texts, conversations, conversations), min_size=1, max_size=4))
def test_conversations_read_again_have_the_same_ids(write, rows):
    rows = [{"prompt": p, "chosen": a, "rejected": b} for p, a, b in rows]
    items = list(open_source(write(rows), format="conversational"))
    assert all(isinstance(i, Concept | Unreadable | Duplicate) for i in items)
    first = [c for c in items if isinstance(c, Concept)]
    if first:
        again = list(open_source(write([rewritten(c) for c in first])))
        assert [getattr(c, "id", str(c)) for c in again] == [c.id for c in first]


@same_file
@given(texts, replies)
def test_an_implicit_prompt_loses_no_character(write, prompt, answers):
    rows = [{"chosen": prompt + answers[0], "rejected": prompt + answers[1]}]
    (item,) = open_source(write(rows), format="implicit")
    if isinstance(item, Concept):
        assert item.prompt + item.chosen == rows[0]["chosen"]
        assert item.prompt + item.rejected == rows[0]["rejected"]
        assert item.prompt.strip()
        assert item.chosen.strip()
        assert item.rejected.strip()
    else:
        assert item.reason == '"chosen" and "rejected" share no first words that could be the prompt'
