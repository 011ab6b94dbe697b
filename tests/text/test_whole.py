"""A whole text keeps from an engine what `split` keeps, and shows it the rest."""

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mldata.text import Segment, assemble, split, whole
from tests.text.test_split import FRAGMENTS, languages, text_of_fragments

ANSWER = """# How to read a file

Open it, *then* read `line` by line, see https://example.org/files or ask ana@example.org:

- First, {name}, open the file.
- Then print it.

```python
with open(path) as file:  # until it ends
    print(file.read())
```

| Sign | Meaning |
|------|---------|
| $x^2$ | a square |

---

<div class="note">
<p>Not all files are texts.</p>
</div>

$$
E = mc^2
$$

That is all. [1]

[docs]: https://example.org/docs "Documentation"
"""


def test_code_addresses_maths_and_html_are_protected_and_structure_is_not():
    segment = whole(ANSWER, "en")
    assert segment.text == ANSWER
    protected = segment.protected
    code = ANSWER[ANSWER.index("```python") : ANSWER.rindex("```") + 3]
    for one in ("`line`", "https://example.org/files", "ana@example.org", "{name}", code, "$x^2$", "[1]"):
        assert one in protected
    assert "$$\nE = mc^2\n$$" in protected
    assert '[docs]: https://example.org/docs "Documentation"' in protected
    shown = ANSWER
    for one in protected:
        shown = shown.replace(one, "", 1)
    for one in (
        "# How to read a file\n\n",
        "\n- First, ",
        "| Sign | Meaning |\n|------|---------|\n",
        "\n---\n",
    ):
        assert one in shown
    assert "print(" not in shown


@pytest.mark.parametrize(
    "text", ["", "42", "```\nprint('Hello there')\n```", "https://example.org", "`x = y`", "1. 2\n2. 3\n"]
)
def test_a_text_with_nothing_to_translate_is_one_span(text):
    assert whole(text, "en") == Segment(text, ((0, len(text)),) if text else ())


def check(text, language):
    """Spans are sorted and disjoint; within segments they are the segments' own, and between them what is
    protected holds no segment."""
    segment, parts = whole(text, language), split(text, language)
    cursor = -1
    for start, end in segment.spans:
        assert cursor < start < end <= len(text)
        cursor = end
    covered = bytearray(len(text))
    for start, end in segment.spans:
        covered[start:end] = b"\1" * (end - start)
    assert assemble(parts) == text == segment.text
    assert bool(parts.segments) == any(map(str.isalpha, segment.plain))
    cursor = 0
    for piece, one in zip(parts.skeleton, parts.segments, strict=False):
        cursor += len(piece)
        own = bytearray(len(one.text))
        for start, end in one.spans:
            own[start:end] = b"\1" * (end - start)
        assert covered[cursor : cursor + len(one.text)] == own
        cursor += len(one.text)


@settings(max_examples=400, deadline=None)
@given(text_of_fragments, languages)
@example("``````````````````https://example.org/a_(b).```<div>\n ", "en")
@example("Hello there.\n\n$$\n```\n$$ go on", "en")
def test_whole_and_split_protect_the_same(text, language):
    check(text, language)


@settings(max_examples=200, deadline=None)
@given(st.text(), languages)
def test_so_do_they_in_any_text(text, language):
    check(text, language)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=30).map("".join))
def test_in_a_text_too_long_for_the_parser_too(text):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mldata.text.blocks.PARSE_LIMIT", -1)
        check(text, "en")


@pytest.mark.parametrize("piece", ["$$\n", "```\n", "<!--\n", "[a]: b\n"])
def test_half_a_megabyte_of_one_line_takes_seconds(piece):
    text = "Go on. " + piece * (500_000 // len(piece))
    started = time.process_time()
    check(text, "en")
    assert time.process_time() - started < 15
