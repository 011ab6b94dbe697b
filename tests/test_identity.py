"""The plumbing alone: with an engine that gives back what it gets, a set holds the source byte for byte."""

from __future__ import annotations

import json

import polars as pl
import pytest

import mldata
from mldata.errors import InputError, SetError
from mldata.executors import local

RECIPE = """
name = "plumbing"
targets = ["es", "de", "ja"]
translators = ["identity"]
identifiers = ["fasttext"]
encoder = "e5-small"
"""
NASTY = [
    "A plain sentence.",
    "Two sentences. In one line!\r\nAnd a Windows line end.\r\n",
    "  leading and trailing blanks  \n\n\n",
    "```python\nprint('hello')  # a comment\n```\n\nSome prose after it.",
    "~~~\nnested ``` fence\n~~~\n- an item\n  - an inner item\n\n1. one\n2. two",
    "| a | b |\n|---|---|\n| left cell | right cell |",
    "Costs $5.00 and $$x^2$$ or \\(y\\), %s of {name} at https://example.com/a?b=c#d, `x`.",
    "\u2067שלום עולם\u2069 and مرحبا, 日本語の文です。中文。",
    "line\u2028separator, next\x85line, no-break\u00a0blank, zero\u200bwidth, emoji 👩‍👩‍👧.",
    '> quoted\n>> twice\n\n# Heading\n\n**bold** *it* ~~gone~~ [link](https://example.com "title")',
    "<div class='x'>HTML &amp; entities &#39;</div>",
    "12345",
    "Ünïcödé \x00 NUL and tab\there.",
]


@pytest.fixture
def build(tmp_path):
    def make(rows, recipe=RECIPE, **options):
        (tmp_path / "plumbing.toml").write_text(recipe, "utf-8")
        source = tmp_path / "source.jsonl"
        source.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        out = tmp_path / "set"
        options = {"recipe": str(tmp_path / "plumbing.toml"), "workers": 1, "out": out, **options}
        return mldata.build(str(source), **options), out

    return make


def test_strings_come_out_byte_for_byte_in_every_language(build):
    rows = [
        {"prompt": text, "chosen": f"Yes. {text}", "rejected": f"No. {text}", "task": number}
        for number, text in enumerate(NASTY)
    ]
    manifest, out = build(rows)
    frame = mldata.open_set(out).scan().sort("concept_id").collect()
    assert manifest.languages["ja"].kept == len(rows)
    for language in ("en", "es", "de", "ja"):
        got = frame.filter(language=language).with_columns(pl.col("source").struct.field("task")).sort("task")
        assert got.select("prompt", "chosen", "rejected", "task").to_dicts() == rows
    assert mldata.verify(out).concepts_kept == len(rows)


def test_conversations_keep_their_roles_and_what_is_not_language(build):
    calls = [{"type": "function", "function": {"name": "order_status", "arguments": {"id": "A-17"}}}]
    prompt = [
        {"role": "system", "content": "You are kind."},
        {"role": "user", "content": "Where is my order?"},
        {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "tool", "name": "order_status", "content": '{"state": "on its way"}'},
        {"role": "user", "content": "Well?"},
    ]
    rows = [
        {
            "prompt": prompt,
            "chosen": [{"role": "assistant", "content": "It is on its way to you."}],
            "rejected": [{"role": "assistant", "content": "I will not tell you that."}],
        }
    ]
    _, out = build(rows)
    spanish = mldata.open_set(out).scan().filter(language="es").collect().to_dicts()[0]
    assert [m["role"] for m in spanish["prompt"]] == ["system", "user", "assistant", "tool", "user"]
    assert json.loads(spanish["prompt"][2]["tool_calls"]) == calls
    assert spanish["prompt"][3]["content"] == '{"state": "on its way"}'
    assert spanish["chosen"] == [{"role": "assistant", "content": "It is on its way to you."}] or (
        spanish["chosen"][0]["content"] == "It is on its way to you."
    )
    measured = [unit["message"] for unit in spanish["fields"]["prompt"]]
    assert measured == [0, 1, 4]


def test_the_rules_of_the_embedded_pipeline_keep_no_copy(build):
    shipped = (mldata.recipe.resource("pipelines") / "embedded.toml").read_text("utf-8")
    rules = shipped[shipped.index("[select]") :]
    rows = [
        {
            "prompt": f"My parcel number {n} has not arrived yet, and I have waited for two weeks.",
            "chosen": "I am sorry to hear that. Please tell me your address, and I will look for it at once.",
            "rejected": "Parcels are often late in winter. You could simply wait for another month or two.",
        }
        for n in range(3)
    ]
    manifest, out = build(rows, RECIPE + rules)
    assert manifest.concepts_kept == 0
    assert manifest.languages["es"].dropped["untranslated"] == 3
    assert manifest.languages["en"].dropped == {"no_target": 3}
    assert mldata.open_set(out).scan().collect().is_empty()
    assert mldata.verify(out).concepts_kept == 0


def test_a_source_of_one_row_and_one_of_unreadable_rows_go_through_every_stage(build):
    row = {"prompt": "Hello there.", "chosen": "Good day to you.", "rejected": "Go away."}
    manifest, out = build([row])
    assert manifest.concepts_kept == 1
    manifest, out = build([row | {"chosen": ""}, row | {"rejected": row["chosen"]}, row | {"prompt": None}])
    assert (manifest.source.unreadable, manifest.concepts_kept) == (3, 0)
    assert mldata.verify(out).source.unreadable == 3
    set_aside = pl.read_ipc(out / "dropped" / "unreadable.arrow")
    assert set_aside["row"].to_list() == [1, 2, 3]
    assert mldata.select(out).concepts_kept == 0


def test_a_source_in_another_language_is_set_aside(build):
    rules = '[[anchor_rules]]\nname = "not_anchor"\nwhen = "language_score >= 0.5"\n'
    rows = [
        {
            "prompt": "Mi paquete no ha llegado todavía y espero desde hace dos semanas.",
            "chosen": "Lo siento mucho. Dígame su dirección y lo buscaré enseguida.",
            "rejected": "Los paquetes llegan tarde a menudo. Puede esperar un mes más.",
        },
        {
            "prompt": "My parcel has not arrived yet, and I have waited for two weeks.",
            "chosen": "I am sorry to hear that. Please tell me your address, and I will look for it.",
            "rejected": "Parcels are often late in winter. You could simply wait for another month.",
        },
    ]
    manifest, _ = build(rows, RECIPE + rules)
    assert manifest.languages["en"].dropped == {"not_anchor": 1}
    assert manifest.languages["de"].dropped == {"not_anchor": 1}
    assert manifest.concepts_kept == 1


def test_batches_and_workers_change_no_byte(build, tmp_path):
    rows = [
        {"prompt": f"Question {n}?", "chosen": f"Answer {n} is right.", "rejected": f"Answer {n} is wrong."}
        for n in range(30)
    ]
    build(rows, out=tmp_path / "one", workers=1)
    build(rows, out=tmp_path / "three", workers=3)
    for file in (tmp_path / "one").rglob("*.arrow"):
        assert file.read_bytes() == (tmp_path / "three" / file.relative_to(tmp_path / "one")).read_bytes()
    names = [
        sorted(
            p.relative_to(tmp_path / f"{w}.work").as_posix()
            for p in (tmp_path / f"{w}.work").rglob("*.arrow")
        )
        for w in ("one", "three")
    ]
    assert names[0] == names[1]


def test_a_source_that_grows_recomputes_only_the_chunk_a_row_falls_in(build, tmp_path, monkeypatch):
    monkeypatch.setattr("mldata.chunks.MEAN", 8)
    rows = [
        {"prompt": f"Question {n}?", "chosen": f"Answer {n} is right.", "rejected": f"Answer {n} is wrong."}
        for n in range(60)
    ]
    build(rows)
    files = set((tmp_path / "set.work" / "translate").rglob("*.arrow"))
    times = {file: file.stat().st_mtime_ns for file in files}
    new = {"prompt": "A new question?", "chosen": "A good answer.", "rejected": "A bad answer."}
    rows.insert(30, new)
    build(rows)
    after = set((tmp_path / "set.work" / "translate").rglob("*.arrow"))
    assert len(files) >= 9
    assert 1 <= len(after - files) / 3 <= 2  # three languages; the row may itself end a chunk
    assert {file: file.stat().st_mtime_ns for file in files} == times
    grown = {f.name: f.read_bytes() for f in (tmp_path / "set").rglob("*.arrow")}
    build(rows, out=tmp_path / "fresh")
    assert grown == {f.name: f.read_bytes() for f in (tmp_path / "fresh").rglob("*.arrow")}


def test_a_model_revision_changes_the_store_and_nothing_else_does(build, tmp_path, monkeypatch):
    from mldata.engine import Engine
    from mldata.translate.identity import Identity

    rows = [{"prompt": "Hello there.", "chosen": "Good day to you.", "rejected": "Go away."}]
    build(rows)
    count = len(list((tmp_path / "set.work" / "translate").iterdir()))
    build(rows)
    assert len(list((tmp_path / "set.work" / "translate").iterdir())) == count
    revised = Engine("identity", "2", "identity-2", "Apache-2.0")
    monkeypatch.setattr(Identity, "engine", lambda self, source, target: revised)
    build(rows)
    assert len(list((tmp_path / "set.work" / "translate").iterdir())) == 2 * count


def test_a_damaged_store_file_is_named_with_the_remedy(build, tmp_path):
    rows = [{"prompt": "Hello there.", "chosen": "Good day to you.", "rejected": "Go away."}]
    build(rows)
    victim = next((tmp_path / "set.work" / "translate").rglob("*.arrow"))
    victim.write_bytes(victim.read_bytes()[:100])
    with pytest.raises(SetError, match="delete it, and the same build makes it again"):
        mldata.select(tmp_path / "set")


def test_a_place_that_would_swallow_the_store_or_the_source_is_refused(build, tmp_path):
    row = {"prompt": "Hello there.", "chosen": "Good day to you.", "rejected": "Go away."}
    build([row])
    for options in ({"work": tmp_path / "set" / "work"}, {"work": tmp_path / "set"}, {"out": tmp_path}):
        with pytest.raises(InputError, match="would be replaced"):
            build([row], overwrite=True, **options)
    assert (tmp_path / "source.jsonl").exists()
    assert mldata.verify(tmp_path / "set").concepts_kept == 1


def test_a_swap_killed_in_the_middle_is_repaired_by_the_next_build(build, tmp_path):
    row = {"prompt": "Hello there.", "chosen": "Good day to you.", "rejected": "Go away."}
    build([row])
    (tmp_path / "set").rename(tmp_path / ".set.old")
    (tmp_path / ".set.making").mkdir()
    with pytest.raises(InputError, match="a build was killed while it replaced"):
        mldata.verify(tmp_path / "set")
    build([row])
    assert mldata.verify(tmp_path / "set").concepts_kept == 1
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_a_set_behind_a_link_is_replaced_where_it_is(build, tmp_path):
    row = {"prompt": "Hello there.", "chosen": "Good day to you.", "rejected": "Go away."}
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    for _ in range(2):
        build([row], out=tmp_path / "link")
        assert (tmp_path / "link").is_symlink()
        assert mldata.verify(tmp_path / "link").concepts_kept == 1


def test_a_lost_source_chunk_is_read_again(build, tmp_path):
    row = {"prompt": "Hello there.", "chosen": "Good day to you.", "rejected": "Go away."}
    build([row])
    chunk = next(p for p in (tmp_path / "set.work" / "source").rglob("*.arrow") if len(p.stem) == 32)
    chunk.unlink()
    build([row])
    assert chunk.exists()


def test_a_rule_over_what_is_not_measured_of_a_source_is_refused_at_once(build):
    rules = '[[anchor_rules]]\nname = "script"\nwhen = "script >= 0.9"\n'
    with pytest.raises(InputError, match="no source column"):
        build([{"prompt": "Hello there.", "chosen": "Good day.", "rejected": "Go away."}], RECIPE + rules)


def test_extra_columns_of_any_kind_come_through(build):
    rows = [
        {"prompt": f"Question {n}?", "chosen": "Yes indeed.", "rejected": "Not at all.", "x": x}
        for n, x in enumerate([2**70, 0.5, True, None, "text", {"a": [1]}])
    ]
    _, out = build(rows)
    values = (
        mldata.open_set(out).scan().filter(is_anchor=True).collect()["source"].struct.field("x").to_list()
    )
    assert set(values) == {str(2**70), "0.5", "true", None, "text", '{"a": [1]}'}  # train before test


class Taken(list):
    """Tasks that count how many were taken."""

    taken = 0

    def __iter__(self):
        for task in super().__iter__():
            self.taken += 1
            yield task


def test_few_tasks_are_handed_out_ahead_however_long_the_first_take(built, tmp_path):
    (tmp_path / "plumbing.toml").write_text(RECIPE, "utf-8")
    recipe = str(tmp_path / "plumbing.toml")
    made = mldata.plan(str(built.source), recipe=recipe, out=tmp_path / "set")
    tasks = Taken(task for task in made.missing if task.stage == "translate")
    handed_out = []
    local.run(made.job, [tasks], 2, lambda task, seconds: handed_out.append(tasks.taken))
    assert (len(tasks), handed_out[0]) == (9, 2 * local.AHEAD)
