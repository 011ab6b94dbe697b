"""A set built by a chat server, through the real command: what is paid once is never paid again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import polars as pl
import pytest

import mldata
from mldata.recipe import resource
from mldata.translate.answers import spent
from tests.conftest import bytes_of, environment, run_mldata, write_jsonl
from tests.models import phrases
from tests.models.chat_server import ChatServer, serving

ROWS = 24
RULES = (resource("pipelines") / "embedded.toml").read_text("utf-8").partition("[[anchor_rules]]")[2]
RECIPE = """
name = "server"
targets = ["es", "pt"]
translators = ["model"]
identifiers = ["heliport", "fasttext"]
encoder = "e5-small"
{more}
[engines.model]
engine = "chat"
model = "org/model"
licence = "Apache-2.0"
context = "{context}"
price_input = 1.0
price_output = 3.0
run = {{ base_url = "{url}", api_key = "SERVER_KEY", backoff = 0.02, timeout = 5 }}
[calibration]
enabled = false
[[anchor_rules]]{rules}
"""


@pytest.fixture
def build(tmp_path):
    """Runs a build against the server, with the recipe and source of these tests."""
    with serving(ChatServer()) as server:
        rows = [{field: text["en"] for field, text in row.items()} for row in phrases.pairs(ROWS, seed=11)]
        source = write_jsonl(tmp_path / "phrases.jsonl", rows)

        def command(*more, out="set", context="text", recipe="", workers=1):
            text = RECIPE.format(url=server.url, context=context, rules=RULES, more=recipe)
            (tmp_path / "server.toml").write_text(text, "utf-8")
            start = ("build", "--source", source, "--pipeline", "server.toml", "--out", tmp_path / out)
            return (*start, "--workers", workers, *more)

        def run(*more, **options):
            return run_mldata(*command(*more, **options), cwd=tmp_path, SERVER_KEY="sk-hidden")

        run.command, run.server, run.place = command, server, tmp_path
        yield run


def test_right_rows_are_kept_and_unanswered_ones_dropped_with_their_reason(build):
    faults = {"every kitchen": "refusal_field", "every sister": "length"}
    build.server.fault = lambda number, text: next((f for w, f in faults.items() if w in text.lower()), None)
    done = build("--targets", "es")
    assert done.code == 0, done.err
    spanish = mldata.verify(build.place / "set").languages["es"]
    spoiled = sum(
        any(words in text["en"].lower() for text in row.values() for words in faults)
        for row in phrases.pairs(ROWS, seed=11)
    )
    assert 2 < spoiled < ROWS - 6
    assert ROWS - spoiled - 2 <= spanish.kept <= ROWS - spoiled
    assert spanish.dropped["empty"] == spoiled
    gone = pl.read_ipc(build.place / "set" / "dropped" / "rows-00000-of-00001.arrow")
    issues = gone.filter(language="es").explode("issues")["issues"].drop_nulls()
    assert {"refused", "truncated"} <= set(issues)


def test_a_build_stops_at_its_budget_and_goes_on_with_a_higher_one(build):
    some = ("--targets", "es", "--limit", "12")
    stopped = build(*some, "--max-cost", "0.02")
    assert stopped.code == 3
    assert "run the same command with a higher --max-cost" in stopped.err
    assert "Traceback" not in stopped.err
    first = spent(build.place / "set.work")
    dry = build(*some, "--dry-run")
    assert f"{3 * 12} texts" in dry.out
    assert "are sent 2 times" in dry.out
    assert 0 < first.cost <= 0.02
    done = build(*some, "--max-cost", "100")
    assert done.code == 0, done.err
    assert re.search(r"model: \d+ requests answered, \d+ tokens in, \d+ out, 0\.\d+ paid", done.out)
    assert max(build.server.answered.values()) == 1
    assert spent(build.place / "set.work").requests == sum(build.server.answered.values())
    assert "sk-hidden" not in done.out + done.err + stopped.err
    for name, content in bytes_of(build.place).items():
        assert b"sk-hidden" not in content, name


def test_a_dry_run_counts_what_translating_given_texts_back_will_cost(build):
    rows = [
        {"concept_id": str(n), "language": tag} | {field: text[tag] for field, text in row.items()}
        for n, row in enumerate(phrases.pairs(6, seed=11))
        for tag in ("en", "es")
    ]
    given = write_jsonl(build.place / "given.jsonl", rows)
    build.command()  # writes the recipe
    dry = run_mldata(
        "build", "--aligned", given, "--pipeline", "server.toml", "--dry-run", cwd=build.place, SERVER_KEY="x"
    )
    assert dry.code == 0, dry.err
    assert "are sent 1 times" in dry.out


def test_killed_anywhere_no_answered_request_is_paid_again_and_the_set_is_the_same(build):
    build.server.delay = 0.05
    some = ("--limit", "8")
    arguments = [str(argument) for argument in build.command(*some, workers=2)]
    for requests in (1, 40):
        process = subprocess.Popen(
            [sys.executable, "-m", "mldata", *arguments],
            cwd=build.place,
            env=environment(SERVER_KEY="sk-hidden"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wanted = build.server.requests + requests
        while build.server.requests < wanted:
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    build.server.delay = 0.0
    done = build(*some)
    assert done.code == 0, done.err
    answered = build.server.answered.total()
    twice = answered - len(build.server.answered)
    assert twice <= 2 * 16  # sent, and not yet stored when the build was killed
    again = build(*some)
    assert again.code == 0
    assert build.server.answered.total() == answered
    fresh = build(*some, out="fresh")
    assert fresh.code == 0
    before, after = (
        bytes_of(build.place / "set", "run.json", "manifest.json", "report.html"),
        bytes_of(build.place / "fresh", "run.json", "manifest.json", "report.html"),
    )
    assert before == after


def test_rows_that_a_rule_based_engine_spoils_are_given_to_the_server(build):
    recipe = (
        'back_translators = ["apertium"]\n[languages.es]\ntranslators = ["apertium"]\nretry_with = ["model"]'
    )
    done = build("--targets", "es", "--limit", "12", recipe=recipe, context="record")
    assert done.code == 0, done.err
    kept_by = mldata.verify(build.place / "set").languages["es"].kept_by
    asked = len(build.server.bodies)
    assert kept_by.get("apertium", 0) + kept_by.get("model", 0) >= 10
    assert 0 < asked <= 3 * (12 - kept_by.get("apertium", 0))  # nothing for the way back
