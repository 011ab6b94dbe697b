"""Protected spans come out of translation once and unchanged, or the text is translated around them."""

import pytest

from mldata.text import Segment
from mldata.translate import Translation
from mldata.translate.sentinels import around, join, mask, unmask


def mark(number: int) -> str:
    return f"<{number}>"


TEXT = "Write to help@example.com or run `reset`."
SEGMENT = Segment(TEXT, ((9, 25), (33, 40)))


def test_spans_become_marks_and_back():
    assert SEGMENT.protected == ("help@example.com", "`reset`")
    assert mask(SEGMENT, mark) == "Write to <1> or run <2>."
    assert unmask("Write to <1> or run <2>.", SEGMENT.protected, mark) == SEGMENT


def test_marks_may_change_their_order():
    made = unmask("Führe <2> aus oder schreib an <1>.", SEGMENT.protected, mark)
    assert made.text == "Führe `reset` aus oder schreib an help@example.com."
    assert made.protected == ("`reset`", "help@example.com")


@pytest.mark.parametrize(
    "answer", ["Schreib an <1>.", "Schreib an <1> oder <1>, <2>.", "Schreib an < 1 > oder <2>.", ""]
)
def test_a_mark_lost_doubled_or_changed_is_noticed(answer):
    assert unmask(answer, SEGMENT.protected, mark) is None


def test_the_tenth_mark_is_not_read_as_the_first():
    words = [f"`{letter}`" for letter in "abcdefghijkl"]
    masked = " ".join(f"XQ{n}X" for n in range(1, 13))
    made = unmask(masked, words, lambda n: f"XQ{n}X")
    assert made.text == " ".join(words)


def test_a_text_translated_around_its_spans_keeps_them_and_the_blanks():
    pieces = around(SEGMENT)
    assert [piece.text for piece in pieces] == ["Write to", "or run"]
    made = join(SEGMENT, [Translation(Segment(piece.text.upper()), ("word",)) for piece in pieces])
    assert made.segment.text == "WRITE TO help@example.com OR RUN `reset`."
    assert made.segment.protected == SEGMENT.protected
    assert made.unknown == ("word", "word")


def test_a_text_of_spans_alone_is_joined_unchanged():
    segment = Segment("`a` `b`", ((0, 3), (4, 7)))
    assert around(segment) == []
    assert join(segment, []).segment == segment
