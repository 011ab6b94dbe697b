"""Translations of one's own are measured like an engine's: what is right is kept, damage is dropped."""

import json

import polars as pl
import pytest

import mldata
from mldata import given, so_far, translate
from mldata.errors import InputError
from mldata.recipe import resource
from tests.conftest import bytes_of, run_mldata, talk
from tests.evidence import phrasebook
from tests.evidence.phrasebook import ENGLISH, SENTENCES

RECIPE = 'name = "vendor"\ntargets = ["pt", "es"]\n'


def spanish(sentences):
    return " ".join(SENTENCES[sentence] for sentence in sentences)


def concept(turn):
    """The prompt's sentences, the answer's and the rejected one's; each `turn` gives another concept."""
    good, bad = ENGLISH[:6], ENGLISH[6:12]
    return {
        "prompt": ENGLISH[12:14],
        "chosen": [*good[turn:], *good[:turn]],
        "rejected": [*bad[turn:], *bad[:turn]],
    }


def english_row(key, turn):
    texts = {name: " ".join(sentences) for name, sentences in concept(turn).items()}
    return {"concept_id": key, "language": "en", **texts}


def spanish_row(key, turn, **changes):
    texts = {name: spanish(sentences) for name, sentences in concept(turn).items()}
    return {"concept_id": key, "language": "es", **texts, **changes}


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """The embedded pipeline with a phrasebook for the way back."""
    monkeypatch.setitem(translate.TRANSLATORS, "phrasebook", phrasebook.Phrasebook)
    shipped = (resource("pipelines") / "embedded.toml").read_text("utf-8")
    path = tmp_path / "vendor.toml"
    rest = shipped[shipped.index("identifiers =") :]
    path.write_text(f'{RECIPE}translators = ["phrasebook"]\n{rest}', "utf-8")
    return str(path)


@pytest.fixture
def build(tmp_path, recipe):
    """Build from aligned rows; gives the manifest and the rows by (concept, language), with reasons."""

    def make(rows, **options):
        source = tmp_path / "vendor.jsonl"
        source.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        options = {"out": tmp_path / "set", "recipe": recipe, "workers": 1, **options}
        manifest = mldata.build(aligned=[str(source)], **options)
        files = [f for part in ("data/*.arrow", "dropped/rows-*.arrow") for f in options["out"].glob(part)]
        rows = pl.concat(map(pl.read_ipc, files), how="diagonal").with_columns(
            pl.col("reasons").fill_null(pl.lit([], pl.List(pl.String)))
        )
        mldata.verify(options["out"])
        make.path = options["out"]
        return manifest, {(row["concept_id"], row["language"]): row for row in rows.to_dicts()}

    return make


def test_human_translations_are_kept_as_they_are_and_damage_is_dropped_with_its_reason(build):
    others = concept(1)
    rows = [
        ("right", 0, {}),
        ("swapped", 1, {"chosen": spanish(others["rejected"]), "rejected": spanish(others["chosen"])}),
        ("copied", 2, {"chosen": " ".join(concept(2)["chosen"])}),
        ("short", 3, {"chosen": spanish(s for s in concept(3)["chosen"] if s != ENGLISH[1])}),
        (
            "long",
            3,
            {"prompt": SENTENCES[ENGLISH[13]], "chosen": spanish([*concept(3)["chosen"], ENGLISH[16]])},
        ),
        ("other", 4, {"chosen": spanish([*ENGLISH[14:18], *ENGLISH[8:10]])}),
        ("number", 5, {"chosen": spanish(concept(5)["chosen"]).replace("30", "90")}),
    ]
    aligned = [english_row(key, turn) for key, turn, _ in rows]
    aligned[4]["prompt"] = ENGLISH[13]  # "long" would repeat "short"
    aligned += [spanish_row(key, turn, **changes) for key, turn, changes in rows]
    manifest, found = build(aligned, rules=["alignment>=0"])
    reasons = {key: found[key, "es"]["reasons"] for key, _, _ in rows}
    assert reasons["right"] == []
    assert "contrast" in reasons["swapped"]
    assert {"language", "untranslated"} <= set(reasons["copied"])
    assert "alignment" in reasons["short"]
    assert "alignment" in reasons["long"]
    assert {"alignment", "back_translation"} <= set(reasons["other"])
    assert "numbers" in reasons["number"]
    kept = found["right", "es"]
    assert (kept["route"], kept["origin"], kept["back_chrf"]) == ("given", "given", 100.0)
    assert kept["chosen"] == spanish(concept(0)["chosen"])
    assert manifest.languages["es"].route == "given"
    assert {e.name for e in manifest.engines} == {"phrasebook", "fasttext", "heliport", "e5-small"}


def test_a_concept_without_a_translation_lacks_the_language_and_nothing_else(build):
    rows = [english_row("both", 0), spanish_row("both", 0), english_row("alone", 1)]
    manifest, found = build(rows)
    counts = manifest.languages["es"]
    assert (counts.concepts, counts.passed, counts.kept) == (1, 1, 1)
    assert counts.dropped == {"not_given": 1}
    assert counts.unmeasured.get("similarity", 0) == 0
    lacking = found["alone", "es"]
    assert lacking["reasons"] == ["not_given"]
    assert lacking["issues"] == ["not_given"]
    assert [lacking[name] for name in ("prompt", "chosen", "rejected")] == [None] * 3
    assert manifest.source.rows == 3
    calibration = json.loads((build.path / "calibration.json").read_text("utf-8"))
    assert calibration["languages"]["es"]["rows"] == 1


def test_a_group_policy_counts_a_missing_translation_as_not_passed(build):
    portuguese = {
        "prompt": "A minha chaleira avariou ontem quando quis fazer chá.",
        "chosen": "Obrigado por nos escrever sobre a chaleira avariada.",
        "rejected": "Aqui ninguém pode ajudar com isso, por isso pare de perguntar.",
    }
    both, one = (12, 0, 6), (13, 1, 7)
    rows = [{"concept_id": "both", "language": "pt", **portuguese}]
    for key, numbers in (("both", both), ("one", one)):
        texts = dict(zip(("prompt", "chosen", "rejected"), (ENGLISH[n] for n in numbers), strict=True))
        rows.append({"concept_id": key, "language": "en", **texts})
        rows.append({"concept_id": key, "language": "es", **{n: SENTENCES[s] for n, s in texts.items()}})
    manifest, found = build(rows, policy="complete")
    assert manifest.targets == ["pt", "es"]
    assert manifest.concepts_kept == 1
    assert found["one", "es"]["reasons"] == ["incomplete"]
    assert found["one", "pt"]["reasons"] == ["not_given"]
    again = mldata.select(build.path, policy="partial")
    assert again.concepts_kept == 2


def test_texts_without_a_segment_on_one_side_are_measured_too(build):
    sums = {"prompt": "2 + 2 = ?", "chosen": "4", "rejected": "5"}
    rows = [
        {"concept_id": "same", "language": "en", **sums},
        {"concept_id": "same", "language": "es", **sums},
        {"concept_id": "worded", "language": "en", **sums, "rejected": "6"},
        {"concept_id": "worded", "language": "es", **sums, "chosen": "Son cuatro manzanas.", "rejected": "6"},
    ]
    _, found = build(rows)
    assert found["same", "es"]["reasons"] == []
    assert found["same", "es"]["issues"] == ["nothing_to_translate"]
    assert found["worded", "es"]["chosen"] == "Son cuatro manzanas."


def test_conversations_are_built_and_rows_with_other_turns_are_set_aside(build):
    def row(key, language, turns, **changes):
        return talk(*turns, concept_id=key, language=language) | changes

    def turns(*numbers):
        return [ENGLISH[n] for n in numbers], [SENTENCES[ENGLISH[n]] for n in numbers]

    good, long, other = turns(13, 0, 6), turns(12, 1, 7), turns(13, 2, 8)
    rows = [row(key, "en", both[0]) for key, both in (("good", good), ("long", long), ("other", other))]
    rows += [
        row("good", "es", good[1]),
        row("long", "es", long[1], chosen=[{"role": "assistant", "content": t} for t in long[1][1:]]),
        row("other", "es", other[1], chosen=[{"role": "user", "content": other[1][1]}]),
        row("good", "es", good[1]),
    ]
    manifest, found = build(rows)
    assert manifest.languages["es"].kept == 1
    assert found["good", "es"]["chosen"] == [{"role": "assistant", "content": good[1][1]}]
    assert found["long", "es"]["chosen"] is None
    assert manifest.source.unreadable == 3
    set_aside = pl.read_ipc(build.path / "dropped" / "unreadable.arrow")
    assert sorted(set_aside["row"].to_list()) == [5, 6, 7]
    assert set(set_aside["reason"]) == {
        'es: "chosen" has 2 messages where the anchor row has 1',
        'es: "chosen" has the role "user" in message 1 where the anchor row has "assistant"',
        "es: the concept was already given in vendor.jsonl, line 4",
    }


def vendor_rows(count=12):
    """Right translations, backwards, before their anchor rows."""
    rows = []
    for number in range(count):
        key, turn, prompt = f"k{number}", number // 2, ENGLISH[12 + number % 2]
        rows.append({**english_row(key, turn), "prompt": prompt})
        rows.append({**spanish_row(key, turn), "prompt": SENTENCES[prompt]})
    return rows[::-2] + rows[::2]


def test_a_build_that_is_killed_and_run_again_gives_the_same_bytes(build, tmp_path, monkeypatch):
    monkeypatch.setattr("mldata.chunks.MEAN", 3)
    rows = vendor_rows()
    build(rows, out=tmp_path / "whole")
    options = {"out": tmp_path / "killed", "work": tmp_path / "killed.work"}

    class Killed(BaseException):
        pass

    write, left = given.write, [0]

    def stop(*arguments):
        raise Killed

    monkeypatch.setattr("mldata.given.write", stop)
    with pytest.raises(Killed):
        build(rows, **options)
    monkeypatch.setattr("mldata.given.write", write)

    def count(task, seconds):
        left[0] += 1
        if left[0] % 3 == 0:
            raise Killed

    for _ in range(3):
        with pytest.raises(Killed):
            build(rows, done=count, **options)
    build(rows, **options)
    assert bytes_of(tmp_path / "killed", "run.json", "manifest.json", "report.html") == bytes_of(
        tmp_path / "whole", "run.json", "manifest.json", "report.html"
    )
    but = (so_far.FILE, "seconds.jsonl")
    killed, whole = (bytes_of(tmp_path / f"{name}.work", *but) for name in ("killed", "whole"))
    assert killed == whole
    assert not list((tmp_path / "killed.work").rglob(".*"))


def test_a_second_build_does_nothing_and_a_changed_language_costs_only_itself(build, tmp_path):
    rows = vendor_rows(4)
    german = [
        {
            "concept_id": "k0",
            "language": "de",
            "prompt": "Mein Wasserkocher ging gestern kaputt, als ich Tee kochen wollte.",
            "chosen": "Vielen Dank, dass Sie uns wegen des kaputten Wasserkochers geschrieben haben.",
            "rejected": "Hier kann Ihnen niemand dabei helfen.",
        }
    ]
    build(rows + german)
    first = bytes_of(tmp_path / "set.work")
    build(rows + german)
    assert bytes_of(tmp_path / "set.work") == first
    german[0]["rejected"] = "Hier kann Ihnen niemand dabei helfen, also hören Sie auf zu fragen."
    build(rows + german)
    new = bytes_of(tmp_path / "set.work").keys() - first.keys()
    assert {name.split("/")[2] for name in new if not name.startswith("source/")} == {"de"}


def test_a_set_is_measured_again_when_it_is_given_as_translations(build, tmp_path, recipe):
    manifest, before = build([row | {"topic": "kettles"} for row in vendor_rows(3)])
    again = mldata.build(
        aligned=[str(build.path)], out=tmp_path / "again", recipe=recipe, workers=1, targets="es"
    )
    assert again.concepts_kept == manifest.concepts_kept == 3
    after = mldata.open_set(tmp_path / "again").scan().collect()
    columns = ["concept_id", "language", "prompt", "chosen", "rejected", "source", "similarity", "back_chrf"]
    assert after.sort("concept_id", "language").select(columns).to_dicts() == [
        {name: before[key][name] for name in columns} for key in sorted(before)
    ]


def test_without_back_translation_the_evidence_of_it_is_null(build):
    manifest, found = build([english_row("k", 0), spanish_row("k", 0)], back_translation=False)
    assert found["k", "es"]["reasons"] == []
    assert found["k", "es"]["back_chrf"] is None
    assert manifest.languages["es"].unmeasured["back_translation"] == 1
    assert {e.name for e in manifest.engines} == {"fasttext", "heliport", "e5-small"}


def test_targets_choose_among_the_languages_that_are_there(build):
    rows = [english_row("k", 0), spanish_row("k", 0)]
    with pytest.raises(InputError, match="no translations into fr are given; there are: es"):
        build(rows, targets="fr")
    with pytest.raises(InputError, match="--targets 2: 1 languages are given: es"):
        build(rows, targets="2")
    with pytest.raises(InputError, match="no usable translation: 1 of 2 rows were set aside"):
        build([rows[0], rows[1] | {"chosen": ""}])


def test_a_language_that_no_identifier_of_the_recipe_knows_is_refused_before_any_work(build):
    rows = [english_row("k", 0), spanish_row("k", 0, language="xh")]
    with pytest.raises(InputError, match=r'heliport fasttext knows Xhosa \("xh"\)'):
        build(rows)


@pytest.mark.slow
def test_the_command_says_what_was_given_and_two_workers_give_the_bytes_of_one(tmp_path):
    languages = {tag: [row for row in vendor_rows() if row["language"] == tag] for tag in ("en", "es")}
    for tag, its in languages.items():
        (tmp_path / f"{tag}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in its), "utf-8")
    command = ("build", "--aligned", "en=en.jsonl", "--aligned", "es=es.jsonl", "--no-back-translation")
    shown = run_mldata(*command, "--dry-run", cwd=tmp_path)
    assert shown.code == 0, shown.err
    assert "12 concepts (standard, a file a language, aligned by concept_id)" in shown.out
    assert "not translated back: es" in shown.out
    for workers in (1, 2):
        done = run_mldata(*command, "--workers", workers, "--out", f"set{workers}", cwd=tmp_path)
        assert done.code == 0, done.err
    assert bytes_of(tmp_path / "set1" / "data") == bytes_of(tmp_path / "set2" / "data")
    looked = run_mldata("inspect", "set1", cwd=tmp_path)
    assert looked.code == 0, looked.err
    assert "given" in looked.out
    for arguments, says in [
        (("--source", "en_prefs", "--aligned", "en=en.jsonl"), "give one of them"),
        ((), "nothing to build: give pairs to translate (--source) or translated ones (--aligned)"),
        (("--source", "en_prefs", "--language-column", "lang"), "--language-column says which language"),
    ]:
        refused = run_mldata("build", *arguments, cwd=tmp_path)
        assert refused.code == 2
        assert says in refused.err


def test_a_model_of_the_way_back_that_is_not_here_is_an_error_and_no_way_without_it():
    from mldata.pipeline import installed, way_back
    from mldata.recipe import Recipe

    pytest.importorskip("ctranslate2")
    recipe = Recipe.model_validate(
        {
            "name": "mine",
            "targets": ["es"],
            "translators": ["nllb"],
            "identifiers": ["fasttext"],
            "encoder": "e5-small",
            "engines": {"nllb": {"engine": "ctranslate2", "model": "./nowhere/nllb"}},
        }
    )
    with pytest.raises(InputError, match=r"translates es back with nllb\. no model at \./nowhere/nllb"):
        way_back("es", "en", recipe, installed(recipe))
