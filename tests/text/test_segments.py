"""Whole texts as they occur in preference data, and the segments an engine gets from them."""

import pytest

from mldata.text import split

CASES = {
    "answer with a list": (
        "Here are three tips:\n\n1. **Sleep well:** Go to bed at 22:00.\n"
        "2. Eat fruit. It helps!\n   - [ ] Buy *two* apples\n",
        [
            "Here are three tips:",
            "Sleep well:** Go to bed at 22:00.",
            "Eat fruit.",
            "It helps!",
            "Buy *two* apples",
        ],
    ),
    "code fence in a list and a quote": (
        "- Run this:\n  ```sh\n  echo hello world\n  ```\n- Then wait.\n\n"
        "> ~~~\n> raw words\n> ~~~\n> Quoted words.\n",
        ["Run this:", "Then wait.", "Quoted words."],
    ),
    "nested fences": (
        "Show me a fence:\n````md\n```\ninner words\n```\n````\nThat is all.",
        ["Show me a fence:", "That is all."],
    ),
    "table": (
        "| Fruit | Weight |\n|:------|-------:|\n| Red apple | 5 |\n| Pear \\| plum | 6kg |\n",
        ["Fruit", "Weight", "Red apple", "Pear \\| plum", "6kg"],
    ),
    "headings": ("# Your order #\n\nDone\n====\n\n## Next steps", ["Your order", "Done", "Next steps"]),
    "dialogue": (
        "Q: Where is it?\nA: I don't know. Ask Ana!",
        ["Q: Where is it?", "A: I don't know.", "Ask Ana!"],
    ),
    "poem": (
        "The moon is high above the quiet silver sea tonight,\nThe sea is low,\nand so are we.",
        ["The moon is high above the quiet silver sea tonight,", "The sea is low,", "and so are we."],
    ),
    "wrapped paragraph": (
        "This paragraph was wrapped by an editor at some column and\ngoes on here. It ends\nhere.",
        ["This paragraph was wrapped by an editor at some column and\ngoes on here.", "It ends", "here."],
    ),
    "wrapped quotation": (
        "> This paragraph was wrapped by an editor at some column and\n> goes on here.",
        ["This paragraph was wrapped by an editor at some column and\n> goes on here."],
    ),
    "letter": (
        "Dear {name},\r\n\r\nyour parcel ORD-2231 left on 2024-03-05. Track it at https://example.org/t?id=1.\r\n\r\nBest,\r\nAna",
        [
            "Dear {name},",
            "your parcel ORD-2231 left on 2024-03-05.",
            "Track it at https://example.org/t?id=1.",
            "Best,",
            "Ana",
        ],
    ),
    "maths": (
        "We solve\n$$\nx = \\text{some words}\n$$\nand get $x = 2$. So\n"
        "\\begin{align}\na &= b\n\\end{align}\nholds.",
        ["We solve", "and get $x = 2$.", "So", "holds."],
    ),
    "html": (
        "<p>Hello <b>world</b>. How are you?</p>\n\n<pre>\nsome code\n</pre>\n\nGood &amp; well.",
        ["Hello <b>world</b>.", "How are you?", "Good &amp; well."],
    ),
    "links and images": (
        "[Read this](https://example.org)\n![A sleeping cat](cat.png)\nSee [the page](x.html) first.\n[x]: https://example.org\n",
        ["Read this", "A sleeping cat", "See [the page](x.html) first."],
    ),
    "indented code and an indented letter": (
        "Look:\n\n    x = read(y)\n    print(x)\n\nAnd:\n\n    Dear all, the meeting is on Monday.\n",
        ["Look:", "And:", "Dear all, the meeting is on Monday."],
    ),
    "bold sentences": (
        "**Done.** Next one is *here*. It is so.[1] See `x.y. Z` too.",
        ["Done.", "Next one is *here*.", "It is so.", "See `x.y. Z` too."],
    ),
    "abbreviations and initials": (
        "Dr. Smith met e.g. J. B. Priestley. They talked.",
        ["Dr. Smith met e.g. J. B. Priestley.", "They talked."],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_an_engine_gets_these_segments(name):
    text, expected = CASES[name]
    assert [segment.text for segment in split(text, "en").segments] == expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("es", "¿Qué hora es? Son las dos. ¡Vamos!", ["¿Qué hora es?", "Son las dos.", "¡Vamos!"]),
        ("mk", "Добро утро. Како си?", ["Добро утро.", "Како си?"]),
        ("sr-Latn", "Dobro jutro. Kako si?", ["Dobro jutro.", "Kako si?"]),
        ("zh", "你好。今天天气很好！我们走吧。", ["你好。", "今天天气很好！", "我们走吧。"]),
        ("hi", "यह घर है। वह पेड़ है।", ["यह घर है।", "वह पेड़ है।"]),
        ("ar", "مرحبا بك. كيف حالك؟", ["مرحبا بك.", "كيف حالك؟"]),
    ],
)
def test_sentences_of_many_languages(language, text, expected):
    assert [segment.text for segment in split(text, language).segments] == expected


def test_a_sentence_keeps_words_at_its_edges():
    (segment,) = split("`len` counts them; write to ana@example.org", "en").segments
    assert segment.text == "`len` counts them; write to ana@example.org"
    assert segment.protected == ("`len`", "ana@example.org")


def test_a_list_nested_deeper_than_the_parser_goes_is_read_line_by_line():
    text = "".join("  " * depth + "- Point one\n" for depth in range(60))
    assert [segment.text for segment in split(text, "en").segments] == ["Point one"] * 60
