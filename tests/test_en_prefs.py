"""The bundled sample keeps what its description promises."""

from __future__ import annotations

import json
import re
from collections import Counter
from importlib.resources import files

import pytest

from mldata.concepts import Concept
from mldata.sources import open_source

TASKS = {
    "customer_support",
    "content_moderation",
    "grounded_qa",
    "summarising",
    "drafting_mail",
    "data_extraction",
}
SHAPES = {
    "list": r"(?m)^\s*([-*]|\d+\.) ",
    "table": r"(?m)^\|.*\|",
    "code": r"`",
    "URL": r"https?://",
    "e-mail address": r"\w@\w",
    "placeholder": r"\{\w+\}",
    "amount": r"[$€£]\s?\d|\d ?%",
    "date": r"\d{4}-\d\d-\d\d|\d{1,2} (January|March|April|May|June|July|August|September|October|November)",
    "paragraphs": r"\n\n",
}


@pytest.fixture(scope="module")
def rows():
    text = (files("mldata") / "data" / "en_prefs.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def said(messages):
    return "\n".join(message["content"] for message in messages)


def test_at_least_240_pairs_over_six_tasks(rows):
    assert len(rows) >= 240
    tasks = Counter(row["task"] for row in rows)
    assert set(tasks) == TASKS
    assert min(tasks.values()) >= 35


def test_it_is_read_as_conversations_and_every_row_is_a_concept():
    source = open_source("en_prefs")
    items = list(source)
    assert source.format == "conversational"
    assert all(isinstance(item, Concept) for item in items)
    assert {"task", "difficulty", "flaw"} <= set(items[0].extra)


def test_no_two_prompts_are_alike(rows):
    normal = Counter(re.sub(r"\W+", " ", said(row["prompt"]).casefold()).strip() for row in rows)
    assert [prompt for prompt, count in normal.items() if count > 1] == []
    openings = Counter(" ".join(said(row["prompt"][-1:]).split()[:6]) for row in rows)
    assert openings.most_common(1)[0][1] <= 3


def test_every_shape_occurs(rows):
    for shape, pattern in SHAPES.items():
        count = sum(bool(re.search(pattern, said(row["prompt"] + row["chosen"]))) for row in rows)
        assert count >= 12, f"{shape}: {count}"
    assert sum(sum(m["role"] == "user" for m in row["prompt"]) > 1 for row in rows) >= 30
    assert sum(row["prompt"][0]["role"] == "system" for row in rows) >= 30


def test_lengths_vary_from_a_line_to_several_paragraphs(rows):
    words = sorted(len(said(row["chosen"]).split()) for row in rows)
    assert words[len(words) // 10] < 40
    assert words[-len(words) // 10] > 130


def test_rejected_is_wrong_not_merely_shorter(rows):
    ratios = sorted(len(said(row["rejected"])) / len(said(row["chosen"])) for row in rows)
    assert 0.9 <= ratios[len(ratios) // 2] <= 1.1
    assert ratios[0] >= 0.5
    assert len(Counter(row["flaw"] for row in rows)) >= 7


def test_addresses_lead_nowhere(rows):
    for row in rows:
        text = said(row["prompt"] + row["chosen"] + row["rejected"])
        hosts = re.findall(r"(?:https?://|@)((?:[a-z0-9-]+\.)+[a-z]{2,})", text)
        real = [
            h for h in hosts if not re.search(r"(^|\.)example\.(com|org|net)$|\.(example|test|invalid)$", h)
        ]
        assert real == [], row["id"]
