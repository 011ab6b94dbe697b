"""What is protected, by example, and what is not."""

import pytest

from mldata.text import split
from mldata.text.protect import marks

PROTECTED = [
    ("Call `sort(key=len)` on the list.", ["`sort(key=len)`"]),
    ("Use ``a ` b`` for a tick.", ["``a ` b``"]),
    ("Look at https://example.org/a_(b)?q=1&r=2.", ["https://example.org/a_(b)?q=1&r=2"]),
    ("It is there (see http://example.org/x), he said.", ["http://example.org/x"]),
    ("Go to www.example.com, then mailto:ana@example.com!", ["www.example.com", "mailto:ana@example.com"]),
    ("It is on example.com/shop today.", ["example.com/shop"]),
    ("请看https://example.org/路。谢谢", ["https://example.org/路"]),
    ("Write to ana.maria+shop@mail.example.co.uk.", ["ana.maria+shop@mail.example.co.uk"]),
    ("Dear {name}, your {{product}} costs ${price}.", ["{name}", "{{product}}", "${price}"]),
    ("Hello %s, %(count)d of %1$s left.", ["%s", "%(count)d", "%1$s"]),
    ("Hi <%= user %>, I am [NAME_1] of __COMPANY__.", ["<%= user %>", "[NAME_1]", "__COMPANY__"]),
    ("We know that $x^2 = 4$ here.", ["$x^2 = 4$"]),
    (r"So \(a+b\) and \[c\] and $$d$$ hold.", [r"\(a+b\)", r"\[c\]", "$$d$$"]),
    (r"Take \frac{1}{\sqrt{2}} of it.", [r"\frac{1}{\sqrt{2}}"]),
    (
        'A <b>bold</b> <a href="x.html">word</a><br/>here',
        ["<b>", "</b>", '<a href="x.html">', "</a>", "<br/>"],
    ),
    ("Salt &amp; pepper, it&#39;s good", ["&amp;", "&#39;"]),
    ("Words <!-- a note --> go on", ["<!-- a note -->"]),
    ('Read [the page](https://example.org "Title") now', ['](https://example.org "Title")']),
    ("Look: ![a cat](cat.png) sleeps", ["![", "](cat.png)"]),
    ("As shown [1], and again [^2] later", ["[1]", "[^2]"]),
    ("A **bold** and *slanted* and _other_ word", ["**", "**", "*", "*", "_", "_"]),
    ("Not ~~this~~ one, about ~ten", ["~~", "~~", "~"]),
    ("Thanks @ana_b for #sunday", ["@ana_b", "#sunday"]),
    ("Order ORD-2231 is ticket #48213.", ["ORD-2231", "#48213"]),
    ("Update to v2.3.1 or 2.3.2 now", ["v2.3.1", "2.3.2"]),
    (
        "Open file_name.txt, then /etc/hosts and src/app/main.py.",
        ["file_name.txt", "/etc/hosts", "src/app/main.py"],
    ),
    ("Then getUser() reads userName of SKU_12.", ["getUser()", "userName", "SKU_12"]),
    ("On 2024-03-05 at 14:30 sharp", ["2024-03-05", "14:30"]),
    (r"Open C:\Users\ana now", [r"C:\Users\ana"]),
    ("The capital of France is ____ today", ["____"]),
    ("使用getUser()和Python3吧", ["getUser()", "Python3"]),
    (r"Escaped \*stars\* stay", [r"\*", r"\*"]),
]

NOT_PROTECTED = [
    "It costs $5 and $6, or US$7 and $8.",
    "The price was $45.00, down 15% from 1,200 or 1.200.000.",
    "She came 3rd, on the 21st, at 10am, with 5kg of flour.",
    "A well-known, twelve-year-old and 12-year-old trick of the mid-1990s.",
    "He and/or she may come, e.g. on Monday, i.e. at 24/7 speed.",
    "The U.S. and the E.U. agreed at 5 p.m. on it.",
    "I was there.Then I left.",
    "In the 1990s a 3D film was new.",
    "We have x < y and z > w here.",
    "Three * four is 12, two times 2*3 is not.",
    "我有3个苹果和2个梨。",
    "Müller2 ist kein Wort.",
    "Get 50%discount, 100% sure.",
    "She said [laughing] that {this is a longer aside, which runs on over sixty characters} is fine.",
    "JavaScript, GitHub and McDonald are names.",
    "Ask R&D or AT&T about it; who knows?",
    "What a day...and what a night!",
]


@pytest.mark.parametrize(("text", "expected"), PROTECTED)
def test_what_must_not_change_is_protected(text, expected):
    assert [text[mark.start : mark.end] for mark in marks(text)] == expected


@pytest.mark.parametrize("text", NOT_PROTECTED)
def test_ordinary_words_and_amounts_are_left_to_the_translator(text):
    assert [text[mark.start : mark.end] for mark in marks(text)] == []


def test_touching_spans_are_one():
    (segment,) = split("Take the **`key`** out.", "en").segments
    assert segment.protected == ("**`key`**",)
    assert segment.plain == "Take the out."
