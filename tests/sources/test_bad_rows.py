"""A row that can't become a concept is set aside with its place and one sentence; the run goes on."""

import json

import pyarrow as pa
import pytest

from mldata.concepts import Concept
from mldata.errors import InputError
from mldata.sources import Duplicate, Unreadable, open_source

GOOD = {
    "prompt": "How long does rice keep in the fridge?",
    "chosen": "About four days, if it was cooled quickly.",
    "rejected": "A month.",
}
MISSING = object()


def assistant(content, **more):
    return [{"role": "assistant", "content": content, **more}]


CHAT = {
    "prompt": [{"role": "user", "content": GOOD["prompt"]}],
    "chosen": assistant(GOOD["chosen"]),
    "rejected": assistant(GOOD["rejected"]),
}


def first_after(path, **options):
    """What became of line 2, after a good line 1 that is read whatever follows."""
    good, bad, after = open_source(path, **options)
    assert isinstance(good, Concept)
    assert isinstance(after, Concept)
    assert isinstance(bad, Unreadable), bad
    assert (bad.file, bad.row) == ("prefs.jsonl", 2)
    return bad


def around(good, bad):
    """A bad row between two good ones."""
    changed = good | {
        "rejected": assistant("Two years.") if isinstance(good["rejected"], list) else "Two years."
    }
    return [good, bad, changed]


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("chosen", MISSING, '"chosen" is missing'),
        ("prompt", MISSING, '"prompt" is missing'),
        ("rejected", None, '"rejected" is null'),
        ("chosen", 4, '"chosen" is a number, not text'),
        ("chosen", True, '"chosen" is true or false, not text'),
        ("chosen", {"text": "Four days."}, '"chosen" is an object, not text'),
        ("chosen", ["Four days."], '"chosen" is a list, not text'),
        ("chosen", assistant("Four days."), '"chosen" is a list of messages where this source has text'),
        ("chosen", "", '"chosen" is empty'),
        ("prompt", " \n\u00a0\t", '"prompt" is only white space'),
        ("rejected", GOOD["chosen"], '"rejected" is the same as "chosen"'),
        ("chosen", "Four \ud800 days.", '"chosen" holds a lone surrogate, which is not valid text'),
        ("note", ["fine", {"by": "\udfff"}], '"note" holds a lone surrogate, which is not valid text'),
        ("chosen", "ha" * 100, '"chosen" has 200 characters; the limit is 199'),
    ],
)
def test_a_bad_text_is_named(write, field, value, reason):
    row = GOOD | {field: value}
    if value is MISSING:
        del row[field]
    bad = first_after(write(around(GOOD, row)), max_chars=199)
    assert (bad.field, bad.reason) == (field, reason)
    assert str(bad) == f"prefs.jsonl, line 2: {reason}"


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("chosen", [], '"chosen" is an empty list'),
        ("chosen", "Four days.", '"chosen" is text where this source has lists of messages'),
        ("chosen", 4, '"chosen" is a number, not a list of messages'),
        ("chosen", ["Four days."], '"chosen", message 1, is text, not an object with role and content'),
        ("chosen", [{"from": "gpt", "value": "Four days."}], '"chosen", message 1, has no role'),
        (
            "chosen",
            [{"role": "bot", "content": "Four days."}],
            '"chosen", message 1, has the unknown role "bot"; '
            "known are system, developer, user, assistant, tool, function",
        ),
        ("chosen", assistant(None), '"chosen", message 1, has no content'),
        ("chosen", assistant(""), '"chosen", message 1, is empty'),
        ("chosen", assistant("\n"), '"chosen", message 1, is only white space'),
        ("chosen", assistant(4), '"chosen", message 1, has a number as content, not text'),
        (
            "prompt",
            [{"role": "user", "content": [{"type": "image", "url": "rice.png"}]}],
            '"prompt", message 1, has a content part that is not text',
        ),
        ("chosen", assistant("Four days.", name=7), '"chosen", message 1, has a number as "name", not text'),
        (
            "chosen",
            assistant("Four \ud800 days."),
            '"chosen" holds a lone surrogate, which is not valid text',
        ),
        ("rejected", CHAT["chosen"], '"rejected" is the same as "chosen"'),
        ("chosen", assistant("ha" * 100), '"chosen" has 200 characters; the limit is 199'),
    ],
)
def test_a_bad_message_is_named(write, field, value, reason):
    bad = first_after(write(around(CHAT, CHAT | {field: value})), max_chars=199)
    assert (bad.field, bad.reason) == (field, reason)


def test_a_conversation_that_contradicts_its_question_is_set_aside(write):
    turns = [{"role": "user", "content": "How long does fish keep?"}]
    row = {"prompt": GOOD["prompt"], "chosen": turns + CHAT["chosen"], "rejected": turns + CHAT["rejected"]}
    bad = first_after(write(around(CHAT, row)))
    assert bad.reason == '"chosen" starts with a user turn that is not "prompt"'


IMPLICIT = {k: f"{GOOD['prompt']}\n{GOOD[k]}" for k in ("chosen", "rejected")}
HH = {k: f"\n\nHuman: {GOOD['prompt']}\n\nAssistant: {GOOD[k]}" for k in ("chosen", "rejected")}
TALK = {k: CHAT["prompt"] + CHAT[k] for k in ("chosen", "rejected")}


@pytest.mark.parametrize(
    ("good", "bad", "reason"),
    [
        (
            IMPLICIT,
            {"chosen": "Four days.", "rejected": "A month."},
            '"chosen" and "rejected" share no first words that could be the prompt',
        ),
        (IMPLICIT, {"chosen": "Four days.", "rejected": "Four days."}, '"rejected" is the same as "chosen"'),
        (IMPLICIT, GOOD, '"prompt" is given where this source has it inside "chosen" and "rejected"'),
        (
            TALK,
            {"chosen": CHAT["chosen"], "rejected": CHAT["rejected"]},
            '"chosen" and "rejected" share no first messages that could be the prompt',
        ),
        (HH, HH | {"rejected": "\n\nHuman: Rice?\n\nAssistant:"}, None),
        (
            HH,
            HH | {"rejected": f"\n\nHuman: {GOOD['prompt']}\n\nAssistant:"},
            '"rejected", message 1, is empty',
        ),
        (
            HH,
            HH | {"chosen": "Four days."},
            '"chosen" does not start with "Human:" as this source\'s texts do',
        ),
        (HH, HH | {"chosen": ""}, '"chosen" is empty'),
    ],
)
def test_a_row_without_a_shared_start_is_set_aside(write, good, bad, reason):
    reason = reason or '"chosen" and "rejected" share no first messages that could be the prompt'
    second, third = list(open_source(write([good, bad, good])))[1:]
    assert isinstance(third, Duplicate)
    assert str(second) == f"prefs.jsonl, line 2: {reason}"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"prompt": "How long', "the line is not JSON at column 12: Unterminated string starting at"),
        (b'{"prompt": "caf\xe9"}', "the line is not UTF-8 at byte 16"),
        (b"[1, 2]", "the row is a list, not an object with named fields"),
        (b"null", "the row is null, not an object with named fields"),
        (b'{"n": ' + b"9" * 5000 + b"}", "the line is not usable JSON: Exceeds the limit"),
        (b"[" * 100_000, "the line is not usable JSON: maximum recursion depth exceeded"),
    ],
)
def test_a_broken_line_is_set_aside_with_the_parsers_position(tmp_path, line, reason):
    good = [json.dumps(row).encode() for row in around(GOOD, {})]
    path = tmp_path / "prefs.jsonl"
    path.write_bytes(b"\n".join([good[0], line, good[2]]))
    bad = first_after(str(path))
    assert bad.field == ""
    assert bad.reason.startswith(reason)


def test_empty_lines_count_as_lines_but_not_as_rows(tmp_path):
    path = tmp_path / "prefs.jsonl"
    path.write_text("\n\n" + json.dumps(GOOD) + "\n \n{}\n")
    good, bad = open_source(str(path))
    assert isinstance(good, Concept)
    assert str(bad) == 'prefs.jsonl, line 5: "prompt" is missing'


def test_line_separators_inside_a_text_do_not_break_a_line(tmp_path):
    row = GOOD | {"chosen": "Four days.\u2028Or five.\x85\x0c"}
    path = tmp_path / "prefs.jsonl"
    path.write_text(json.dumps(row, ensure_ascii=False) + "\r\n", "utf-8")
    (concept,) = open_source(str(path))
    assert concept.chosen == row["chosen"]


def test_rows_of_a_table_are_named_by_the_line_they_start_on(tmp_path):
    path = tmp_path / "prefs.csv"
    path.write_bytes(
        b'prompt,chosen,rejected\n"How long\ndoes rice keep?",Four days.,A month.\n'
        b"How long does fish keep?,Two days.\n"
        b"How long does caf\xe9 keep?,An hour.,A year.\n"
        b'How long does "fish" keep?,"Two" days.,A week.\n'
        b"How long does bread keep?,Four days.,A year.\n"
        b'How long does milk keep?,"A week.,A month.\n'
    )
    items = list(open_source(str(path)))
    assert [type(i) for i in items] == [Concept, Unreadable, Unreadable, Unreadable, Concept, Unreadable]
    assert [str(i) for i in items if isinstance(i, Unreadable)] == [
        "prefs.csv, line 4: the row has 2 cells where the header has 3",
        'prefs.csv, line 5: "prompt" is not UTF-8',
        "prefs.csv, line 6: the line is not CSV: ',' expected after '\"'",
        "prefs.csv, line 8: the line is not CSV: unexpected end of data",
    ]


def test_arrow_text_that_is_not_utf8_costs_one_row(tmp_path):
    raw = pa.array([b"Four days.", b"caf\xe9", b"Two days."])
    chosen = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    prompts = ["How long does rice keep?", "How long does milk keep?", "How long does fish keep?"]
    table = pa.table({"prompt": prompts, "chosen": chosen, "rejected": ["A month."] * 3})
    path = tmp_path / "prefs.arrow"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    first, bad, last = open_source(str(path))
    assert str(bad) == 'prefs.arrow, row 2: "chosen" is not UTF-8'
    assert (first.chosen, last.chosen) == ("Four days.", "Two days.")


def test_the_same_example_twice_becomes_one_concept_and_is_counted(write):
    rows = around(GOOD, GOOD | {"rater": 2})
    first, same, other = open_source(write(rows))
    assert same == Duplicate("prefs.jsonl", 2, 1, "prefs.jsonl")
    assert str(same) == "prefs.jsonl, line 2: the same example as line 1"
    assert isinstance(first, Concept)
    assert isinstance(other, Concept)


def test_a_duplicate_in_another_file_names_both(tmp_path, write):
    write([GOOD], "all/one.jsonl")
    write([GOOD], "all/two.jsonl")
    _, same = open_source(str(tmp_path / "all"))
    assert str(same) == "two.jsonl, line 1: the same example as one.jsonl, line 1"


def test_ids_come_from_the_named_column(write):
    rows = [
        row | {"uid": uid}
        for row, uid in zip(around(GOOD, GOOD | {"chosen": "Days."}), (7, "b", 7.5), strict=True)
    ]
    source = open_source(write(rows), id_column="uid")
    assert [c.id for c in source] == ["7", "b", "7.5"]
    assert [c.extra for c in source] == [{"uid": 7}, {"uid": "b"}, {"uid": 7.5}]


@pytest.mark.parametrize(
    ("uid", "reason"),
    [
        (MISSING, 'the id column "uid" is missing'),
        (None, 'the id column "uid" is empty'),
        (" ", 'the id column "uid" is empty'),
        (float("nan"), 'the id column "uid" is empty'),
        (["r", 2], 'the id column "uid" is neither text nor a number'),
        ("r1", 'id "r1" was already used in line 1 with other texts'),
    ],
)
def test_a_bad_id_is_named(write, uid, reason):
    first, bad, last = around(GOOD, GOOD | {"chosen": "Four days."})
    if uid is not MISSING:
        bad["uid"] = uid
    item = first_after(write([first | {"uid": "r1"}, bad, last | {"uid": "r3"}]), id_column="uid")
    assert (item.field, item.reason) == ("uid", reason)


def test_an_id_column_that_no_row_has_is_an_error(write):
    with pytest.raises(InputError, match='has no id column "uid"; other columns: topic'):
        open_source(write([GOOD | {"topic": "food"}]), id_column="uid")


def test_the_limit_counts_concepts_only(write):
    rows = [GOOD, GOOD, {}, *around(GOOD, {})[2:], CHAT]
    kinds = [type(item) for item in open_source(write(rows), limit=2)]
    assert kinds == [Concept, Duplicate, Unreadable, Concept]
    with pytest.raises(InputError, match="at least 1"):
        open_source(write(rows), limit=0)


def test_rows_that_are_all_set_aside_are_all_told(write):
    source = open_source(write([GOOD | {"chosen": ""}, GOOD | {"chosen": GOOD["rejected"]}]))
    assert [i.reason for i in source] == ['"chosen" is empty', '"rejected" is the same as "chosen"']
