"""Near-duplicates: what repeats and what doesn't, which stays, and that no group is torn between splits."""

import json
import random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mldata
from mldata import duplicates
from mldata.chunks import import_source
from mldata.errors import InputError
from mldata.sources import open_source
from mldata.splits import is_test
from mldata.store import Store
from tests.conftest import bytes_of, run_mldata, write_jsonl

RECIPE = """
name = "plumbing"
targets = ["es", "de"]
translators = ["identity"]
identifiers = ["fasttext"]
encoder = "e5-small"
"""
NEIGHBOUR = {
    "prompt": "My neighbour plays loud music every night. What should I do?",
    "chosen": "First talk to him in a friendly way. If nothing changes, write him a letter and call the "
    "owner of the house.",
    "rejected": "Buy bigger loudspeakers and play your own music in the morning.",
}
ONE_WORD = NEIGHBOUR | {"chosen": NEIGHBOUR["chosen"].replace("letter", "note")}
RETYPED = {
    "prompt": "my neighbour plays loud music every night; what should I do",
    "chosen": NEIGHBOUR["chosen"].upper().replace(" ", "  "),
    "rejected": f"“{NEIGHBOUR['rejected']}”",
}
PARAPHRASE = {
    "prompt": "The man next door listens to loud songs at night. How can I stop that?",
    "chosen": "Speak with him kindly before anything else. Should that not help, send a letter and inform "
    "the landlord.",
    "rejected": "Get yourself louder speakers and wake him up early with your favourite band.",
}
OTHER_BAD = NEIGHBOUR | {
    "rejected": "Move to another city as soon as you can and never talk to anyone there."
}
OTHER_GOOD = NEIGHBOUR | {"chosen": "Ask the city what hours of silence the law gives you, and show him."}
SWAPPED = NEIGHBOUR | {"chosen": NEIGHBOUR["rejected"], "rejected": NEIGHBOUR["chosen"]}
STORY = "You are a patient librarian who helps readers to find books, and you never invent a title. " * 20
LONG_PROMPT = [
    {"prompt": STORY, "chosen": "I would look under history first.", "rejected": "There are no books here."},
    {"prompt": STORY, "chosen": "Which writer did you like last?", "rejected": "Go and ask somebody else."},
]
BREAD = {
    "prompt": "How hot must the oven be for the bread?",
    "chosen": "Heat the oven to 230 degrees and bake the bread for half an hour.",
    "rejected": "Bread is better when it is fried in a pan with a lot of oil.",
}
TOKYO = {
    "prompt": "東京で一番おいしいラーメン屋はどこにありますか。",
    "chosen": "好みによりますが、まず池袋の小さな店をいくつか回ってみることをおすすめします。",
    "rejected": "ラーメンは体に悪いので、東京では食べないほうがいいと思います。",
}
TOKYO_AGAIN = TOKYO | {"chosen": TOKYO["chosen"].replace("池袋", "新宿")}


def groups_of(folder, rows, anchor="en", threshold=0.8):
    """The groups of two or more among `rows`, as sets of their numbers in the list."""
    source = open_source(str(write_jsonl(folder / "rows.jsonl", rows)))
    store = Store(folder / "work")
    index = import_source(source, source.digest(), store)
    found = duplicates.find(store, index, anchor, threshold)
    groups = {}
    for position, first in enumerate(found.first.tolist()):
        groups.setdefault(first, set()).add(position)
    return [group for group in groups.values() if len(group) > 1]


@pytest.mark.parametrize("copy", [ONE_WORD, RETYPED], ids=["one word changed", "retyped"])
def test_a_copy_is_found_though_a_word_or_the_typing_differs(tmp_path, copy):
    assert groups_of(tmp_path, [BREAD, NEIGHBOUR, PARAPHRASE, copy]) == [{1, 3}]


@pytest.mark.parametrize(
    "other", [PARAPHRASE, OTHER_BAD, OTHER_GOOD, SWAPPED], ids=["paraphrase", "bad", "good", "swapped"]
)
def test_a_pair_that_teaches_something_else_is_no_near_duplicate(tmp_path, other):
    assert groups_of(tmp_path, [NEIGHBOUR, other]) == []


def test_pairs_of_one_long_prompt_stay_however_little_the_answers_weigh(tmp_path):
    assert groups_of(tmp_path, LONG_PROMPT) == []


def test_short_examples_repeat_only_when_their_words_do(tmp_path):
    sums = [
        {"prompt": "2 + 2?", "chosen": "4", "rejected": "5"},
        {"prompt": "2 + 3?", "chosen": "5", "rejected": "4"},
        {"prompt": "2 + 2 = ?", "chosen": "4.", "rejected": "5"},
        {"prompt": "?!", "chosen": "👍", "rejected": "👎"},
        {"prompt": "?!", "chosen": "👎", "rejected": "👍"},
        {"prompt": "?!", "chosen": "...", "rejected": "!"},
    ]
    assert groups_of(tmp_path, sums) == [{0, 2}]


def test_a_language_without_spaces_is_compared_by_its_characters(tmp_path):
    assert groups_of(tmp_path, [TOKYO, BREAD, TOKYO_AGAIN], anchor="ja") == [{0, 2}]


def test_conversations_are_compared_by_all_that_is_said_in_them(tmp_path):
    def talk(question, call):
        return {
            "prompt": [{"role": "user", "content": question}],
            "chosen": [{"role": "assistant", "content": "", "tool_calls": call}],
            "rejected": [{"role": "assistant", "content": "I can't look that up for you, sorry."}],
        }

    wanted = [("weather", {"city": "Riga"}), ("hotels", {"near": "the old town", "from": "1 May", "beds": 2})]
    calls = [[{"function": {"name": name, "arguments": given}}] for name, given in wanted]
    rows = [talk("And in Riga, then?", calls[0]), talk("And in Riga, then?", calls[1])]
    assert groups_of(tmp_path, [*rows, talk("and in Riga then", calls[0])]) == [{0, 2}]


def test_a_chain_of_near_duplicates_is_one_group(tmp_path):
    chain = [BREAD]
    for old, new in [("230", "240"), ("half an hour", "40 minutes"), ("pan", "pot"), ("oil", "fat")]:
        chain.append({name: text.replace(old, new) for name, text in chain[-1].items()})
    assert groups_of(tmp_path, chain) == [{0, 1, 2, 3, 4}]
    assert groups_of(tmp_path, [chain[0], chain[4]]) == []


EXAMPLES = [
    NEIGHBOUR,
    ONE_WORD,
    RETYPED,
    PARAPHRASE,
    OTHER_BAD,
    OTHER_BAD | {"prompt": NEIGHBOUR["prompt"].replace("night", "evening")},
    BREAD,
    BREAD | {"chosen": BREAD["chosen"].replace("230", "240")},
    *LONG_PROMPT,
]


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(len(EXAMPLES))))
def test_the_order_of_the_rows_changes_who_is_first_and_nothing_else(tmp_path_factory, order):
    rows = [EXAMPLES[number] for number in order]
    found = groups_of(tmp_path_factory.mktemp("rows"), rows)
    assert {frozenset(order[place] for place in group) for group in found} == {
        frozenset({0, 1, 2}),
        frozenset({4, 5}),
        frozenset({6, 7}),
    }


@pytest.fixture
def build(tmp_path):
    def make(rows, recipe="", **options):
        (tmp_path / "plumbing.toml").write_text(RECIPE + recipe, "utf-8")
        source = write_jsonl(tmp_path / "source.jsonl", rows)
        out = options.pop("out", tmp_path / "set")
        options = {"recipe": str(tmp_path / "plumbing.toml"), "workers": 1, **options}
        return mldata.build(str(source), out=out, **options), out

    return make


def test_by_default_near_duplicates_are_counted_and_kept(build):
    manifest, out = build([BREAD, NEIGHBOUR, ONE_WORD, RETYPED])
    facts = manifest.near_duplicates
    assert (facts.groups, facts.concepts, facts.largest[0].concepts) == (1, 2, 3)
    assert facts.largest[0].prompt == NEIGHBOUR["prompt"]
    assert manifest.concepts_kept == 4
    card = (out / "README.md").read_text("utf-8")
    assert "2 concepts repeat another" in card
    assert f"3 concepts as `{facts.largest[0].first}`" in card
    assert mldata.verify(out).near_duplicates == facts


def test_dropped_the_first_stays_and_the_record_says_what_the_others_repeat(build):
    manifest, out = build([BREAD, NEIGHBOUR, ONE_WORD, RETYPED], near_duplicates="drop")
    assert manifest.concepts_kept == 2
    assert manifest.languages["en"].dropped == {"near_duplicate": 2}
    assert manifest.languages["es"].dropped == {"near_duplicate": 2}
    rows = mldata.open_set(out).scan().filter(language="en").collect()
    kept = dict(rows.select("prompt", "concept_id").iter_rows())
    assert set(kept) == {BREAD["prompt"], NEIGHBOUR["prompt"]}
    record = pl.read_ipc(out / "dropped" / "near_duplicates.arrow")
    gone = pl.read_ipc(out / "dropped" / "rows-00000-of-00001.arrow").filter(language="en")
    assert record["concept_id"].to_list() == gone["concept_id"].to_list()
    assert record["repeats"].to_list() == [kept[NEIGHBOUR["prompt"]]] * 2
    assert record["similarity"][1] == 1  # retyped: the same words
    assert mldata.verify(out).concepts_kept == 2


def test_select_drops_keeps_and_looks_away_without_an_engine(build, tmp_path):
    _, out = build([BREAD, NEIGHBOUR, ONE_WORD])
    before = bytes_of(out, "run.json", "report.html")
    assert mldata.select(out, near_duplicates="drop").concepts_kept == 2
    off = mldata.select(out, near_duplicates="off")
    assert (off.concepts_kept, off.near_duplicates) == (3, None)
    assert not (out / "dropped" / "near_duplicates.arrow").exists()
    mldata.verify(out)
    mldata.select(out)
    assert bytes_of(out, "run.json", "report.html") == before


def test_the_recipe_says_what_is_done_and_from_what_similarity_on(build):
    strict = '[select]\nnear_duplicates = "drop"\nnear_duplicate_threshold = 1.0\n'
    manifest, _ = build([NEIGHBOUR, ONE_WORD, RETYPED], strict)
    assert manifest.languages["en"].dropped == {"near_duplicate": 1}
    with pytest.raises(InputError, match=r"near_duplicate_threshold: .* greater than or equal to 0.7"):
        build([NEIGHBOUR], "[select]\nnear_duplicate_threshold = 0.2\n")


def test_workers_and_a_store_made_before_change_no_byte(build, tmp_path):
    rows = [BREAD, NEIGHBOUR, ONE_WORD, PARAPHRASE, RETYPED]
    build(rows, out=tmp_path / "one", near_duplicates="drop")
    build(rows, out=tmp_path / "two", near_duplicates="drop", workers=2)
    build(rows, out=tmp_path / "later", near_duplicates="off")
    mldata.select(tmp_path / "later", near_duplicates="drop")
    for file in ("data/train-00000-of-00001.arrow", "dropped/near_duplicates.arrow"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "later" / file).read_bytes()


def test_a_source_that_grows_is_signed_only_where_it_grew(build, tmp_path, monkeypatch):
    monkeypatch.setattr("mldata.chunks.MEAN", 4)
    rows = [BREAD | {"prompt": f"How hot must the oven be for {n} loaves?"} for n in range(30)]
    build(rows, limit=29)
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "set.work/signatures").rglob("*.arrow")}
    manifest, _ = build(rows)
    after = set((tmp_path / "set.work/signatures").rglob("*.arrow"))
    assert 1 <= len(after - before.keys()) <= 2
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert manifest.near_duplicates.concepts == 29


def test_no_group_and_no_prompt_of_a_group_is_torn_between_the_splits(tmp_path):
    chance = random.Random(5)
    cities = ["Riga", "Porto", "Lyon", "Graz", "Turku", "Bari", "Gent", "Cork", "Brno", "Vigo"]
    rows = []
    for number in range(200):
        ask = f"What should a visitor see in {chance.choice(cities)} on day {number} of a journey by train?"
        pair = BREAD | {"prompt": ask, "chosen": f"{number} " + " ".join(chance.sample(cities, 8))}
        nearly = ask.replace("visitor", "guest")
        rows += [pair, pair | {"prompt": nearly}]
        # Another pair of the repeat's prompt must go where the repeat goes.
        rows.append(
            NEIGHBOUR | {"prompt": nearly, "chosen": f"{number} " + " ".join(chance.sample(cities, 8))}
        )
    source = open_source(str(write_jsonl(tmp_path / "rows.jsonl", rows)))
    store = Store(tmp_path / "work")
    found = duplicates.find(store, import_source(source, source.digest(), store), "en", 0.8)
    assert found.first.tolist() == [n - 1 if n % 3 == 1 else n for n in range(600)]
    test = is_test(found.split, 0.5).reshape(200, 3)
    assert (test.all(1) | ~test.any(1)).all()
    assert 60 < test.all(1).sum() < 140


def test_the_split_is_the_same_whether_repeats_are_kept_or_dropped(build):
    rows = [BREAD | {"prompt": f"How hot is the oven for {n} loaves of bread today?"} for n in range(20)]
    rows += [PARAPHRASE | {"chosen": f"{n} letters will do.", "rejected": f"{n} is it."} for n in range(20)]
    _, out = build(rows, "[select]\ntest_share = 0.5\n")
    whole = mldata.open_set(out).scan("test").collect()
    mldata.select(out, near_duplicates="drop")
    left = mldata.open_set(out).scan("test").collect()
    assert set(left["concept_id"]) == set(whole["concept_id"]) - set(
        pl.read_ipc(out / "dropped" / "near_duplicates.arrow")["concept_id"]
    )


def test_a_source_without_a_readable_row_has_no_near_duplicates(build):
    manifest, out = build([BREAD | {"chosen": ""}, BREAD | {"prompt": None}])
    assert (manifest.near_duplicates.groups, manifest.near_duplicates.concepts) == (0, 0)
    mldata.verify(out)


def test_the_command_says_what_it_found_and_how_to_drop_it(build, tmp_path):
    build([BREAD, NEIGHBOUR, ONE_WORD])
    done = run_mldata("select", "set", cwd=tmp_path)
    assert "duplicates: 1 of 3 concepts nearly repeat another (groups: 1, largest: 2)" in done.out
    assert "--near-duplicates drop" in done.out
    done = run_mldata("select", "set", "--near-duplicates", "drop", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "near_duplicate 1" in done.out
    manifest = json.loads((tmp_path / "set" / "manifest.json").read_text("utf-8"))
    assert manifest["select"]["near_duplicates"] == "drop"
    assert run_mldata("verify", "set", cwd=tmp_path).code == 0


def test_the_rules_name_the_reasons(tmp_path):
    out = run_mldata("rules", cwd=tmp_path).out
    assert "near_duplicate" in out
    assert "contaminated" in out
