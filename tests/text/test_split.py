"""Splitting loses nothing, tears nothing, and stays fast, whatever the text holds."""

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mldata.text import Segment, Split, assemble, split

FRAGMENTS = [
    *("```", "````", "~~~", "```py\n", "`", "``", "$", "$$", "\\(", "\\)", "\\[", "\\]", "\\begin{align}"),
    *(
        "\\end{align}",
        "{",
        "}",
        "{{x}}",
        "${y}",
        "%s",
        "%(name)s",
        "<%= x %>",
        "[NAME_1]",
        "__",
        "**",
        "*",
        "_",
    ),
    *("~", "|", "| a | b |\n|---|---|\n", "> ", ">", "- ", "1. ", "a) ", "# ", "###", "- [ ] ", "    ", "\t"),
    *(
        "\n",
        "\r\n",
        "\r",
        "\n\n",
        "\x85",
        "\u2028",
        "\x0b",
        "\x0c",
        "\0",
        "\xa0",
        "\u200b",
        "\ufeff",
        " ",
        "  ",
    ),
    *("](", "[", "]", "![", "[1]", "[^2]: ", "[x]: https://example.org", "(", ")", '"', "'", "“", "”"),
    *("https://example.org/a_(b).", "www.example.org", "ana@example.org", "ORD-2231", "v2.3.1", "/etc/hosts"),
    *("<b>", "</b>", "<div>\n", "<!--", "-->", "<script>", "&amp;", "\\", "\\n", "---", "===", "* * *"),
    *(
        "Hello there.",
        "Dr. B",
        "B\xa0. ",
        "go on",
        "Wait!",
        "Why?",
        "e.g. ",
        "Г. Петров. ",
        "你好。再见！",
        "مرحبا.",
    ),
    *(
        "שלום",
        "👩‍👩‍👧",
        "🇲🇰🇪🇸",
        "e\u0301\u0302",
        "นี่คือ",
        "The quick brown fox jumps over the lazy dog and then some",
    ),
    *("x" * 700, "word " * 150, "\u0301" * 30),
]
text_of_fragments = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=4), max_size=30).map("".join)
languages = st.sampled_from(["en", "es", "sr-Latn", "mk", "zh", "th", "ar", "de"])


def check(text, language):
    parts = split(text, language)
    assert assemble(parts) == text
    assert len(parts.skeleton) == len(parts.segments) + 1
    for segment in parts.segments:
        assert segment.text == segment.text.strip()
        assert any(map(str.isalpha, segment.plain))
        cursor = 0
        for start, end in segment.spans:
            assert cursor <= start < end <= len(segment.text)
            cursor = end


@settings(max_examples=1500, deadline=None)
@given(text_of_fragments, languages)
@example("``````````````````https://example.org/a_(b).```<div>\n ", "en")  # a line of blanks at the end
def test_markdown_comes_back_byte_for_byte(text, language):
    check(text, language)


@settings(max_examples=700, deadline=None)
@given(st.text(), languages)
def test_any_text_comes_back_byte_for_byte(text, language):
    check(text, language)


@settings(max_examples=100, deadline=None)
@given(text_of_fragments, languages)
def test_a_text_too_long_for_the_parser_comes_back_too(text, language):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mldata.text.blocks.PARSE_LIMIT", -1)
        check(text, language)


@settings(max_examples=100, deadline=None)
@given(text_of_fragments)
def test_the_same_text_is_split_the_same_way(text):
    assert split(text, "en") == split(text, "en")


PIECES = ["a ", "*", "`", "[", "$", "{", "|", ">", "\n- x", "](", "![", "<!--", "\\[a", " '"]


@pytest.mark.parametrize("piece", PIECES)
def test_a_megabyte_of_one_sign_takes_seconds(piece):
    text = piece * (1_000_000 // len(piece)) + "z"
    started = time.process_time()
    parts = split(text, "en")
    assert time.process_time() - started < 30
    assert assemble(parts) == text


@pytest.mark.parametrize("piece", ["`", "> ", "a|", "\n- x", "[", "*a"])
def test_the_longest_text_for_the_parser_takes_seconds(piece):
    text = "z" + piece * (199_000 // len(piece))
    started = time.process_time()
    check(text, "en")
    assert time.process_time() - started < 30


@pytest.mark.parametrize("text", ["B\xa0. x", "B\u2028. x", "A\xa0\t\xa0. Then B\xa0. said so."])
def test_a_space_before_a_full_stop_does_not_panic(text):
    check(text, "en")


def test_a_panic_of_the_sentence_splitter_costs_boundaries_only(monkeypatch):
    class PanicException(BaseException):
        pass

    def panic(language, text):
        raise PanicException

    monkeypatch.setattr("sentencex.segment", panic)
    assert [segment.text for segment in split("One. Two.", "en").segments] == ["One. Two."]


def test_only_a_panic_is_caught(monkeypatch):
    def interrupt(language, text):
        raise KeyboardInterrupt

    monkeypatch.setattr("sentencex.segment", interrupt)
    with pytest.raises(KeyboardInterrupt):
        split("One. Two.", "en")


def test_long_text_without_a_stop_is_cut_outside_spans():
    sentence = "and then we went on, slowly, to https://example.org/a/very/long/address/of/a/page " * 30
    parts = split(sentence, "en")
    assert assemble(parts) == sentence
    assert all(len(segment.text) <= 600 for segment in parts.segments)
    assert sum(len(segment.spans) for segment in parts.segments) == 30


def test_an_address_with_an_invisible_end_is_not_torn():
    check("`See https://example.org\u200b", "en")


def test_a_cut_leaves_combining_sequences_whole():
    text = "e\u0301" * 1000
    for segment in split(text, "en").segments:
        assert segment.text[0] == "e"


def test_translations_take_the_places_of_segments():
    parts = split("# Title\n\n- One. Two.\n", "en")
    assert assemble(parts, ["Naslov", "Jedan.", "Dva."]) == "# Naslov\n\n- Jedan. Dva.\n"


def test_a_wrong_number_of_translations_is_an_error():
    with pytest.raises(ValueError, match="1 segments need as many translations, not 0"):
        assemble(Split(("", ""), (Segment("One"),)), [])


@pytest.mark.parametrize(
    "text", ["", " ", "\n\n", "12 + 3 = 15", "- 1\n- 2\n", "---", "🙂🙂", "```\nprint(1)\n```"]
)
def test_without_letters_there_is_nothing_to_translate(text):
    assert split(text, "en") == Split((text,), ())
