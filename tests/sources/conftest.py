"""Preference data as people write it, in the formats of the field."""

import json

import pytest


@pytest.fixture
def write(tmp_path):
    """Write rows as JSON Lines and return the path."""

    def write_rows(rows, name="prefs.jsonl"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        return str(path)

    return write_rows


@pytest.fixture
def pairs():
    """Three pairs of strings, as TRL's standard format has them, with another column."""
    return [
        {
            "prompt": "How do I keep basil alive on a window sill?",
            "chosen": "Water it from below, and pinch off the flowers.",
            "rejected": "Basil can't live indoors.",
            "topic": "plants",
        },
        {
            "prompt": "Warum ist der Himmel blau?",
            "chosen": "Weil Luft blaues Licht stärker streut als rotes.",
            "rejected": "Weil sich das Meer in ihm spiegelt.",
            "topic": "physics",
        },
        {
            "prompt": "東京から京都まで、新幹線でどのくらいかかりますか。",
            "chosen": "のぞみで、およそ2時間15分です。",
            "rejected": "だいたい30分です。",
            "topic": "travel",
        },
    ]
