"""Translations that exist already are read from whatever layout they are kept in, and bad rows set aside."""

import csv
import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mldata.concepts import Concept
from mldata.errors import InputError
from mldata.sources.aligned import open_aligned
from mldata.sources.collation import Collation
from mldata.sources.layouts import take_apart

RICE = {
    "en": (
        "How long does rice keep in the fridge?",
        "About four days, if it cooled quickly.",
        "A whole month.",
    ),
    "es": ("¿Cuánto dura el arroz en la nevera?", "Unos cuatro días, si se enfrió rápido.", "Un mes entero."),
    "de": ("Wie lange hält sich Reis im Kühlschrank?", "Etwa vier Tage.", "Einen ganzen Monat."),
}
SKY = {
    "en": ("Why is the sky blue?", "Because air scatters blue light more than red.", "It mirrors the sea."),
    "es": ("¿Por qué el cielo es azul?", "Porque el aire dispersa más la luz azul.", "Refleja el mar."),
    "de": ("Warum ist der Himmel blau?", "Weil Luft blaues Licht stärker streut.", "Er spiegelt das Meer."),
}
TRAIN = {
    "en": ("When does the last train leave?", "At a quarter to midnight.", "Trains never leave."),
    "es": ("¿Cuándo sale el último tren?", "A las doce menos cuarto.", "Los trenes no salen nunca."),
}
CONCEPTS = {"rice": RICE, "sky": SKY, "train": TRAIN}
PARTS = ("prompt", "chosen", "rejected")


def example(texts):
    return dict(zip(PARTS, texts, strict=True))


def long_rows(name="language", key="concept_id"):
    return [
        {key: concept, name: tag, **example(texts)}
        for concept, by_tag in CONCEPTS.items()
        for tag, texts in by_tag.items()
    ]


def without_languages(rows):
    return [
        {name: value for name, value in row.items() if name not in ("concept_id", "language")} for row in rows
    ]


@pytest.fixture
def read(tmp_path):
    """Read an aligned source to its end: concepts, [(id, language, texts)] in order, what was set aside."""

    def read_all(*uris, anchor="en", **options):
        aligned = open_aligned([str(uri) for uri in uris], anchor=anchor, **options)
        with Collation(aligned, tmp_path / "work") as collation:
            items = list(collation.anchors())
            concepts = [item for item in items if isinstance(item, Concept)]
            problems = [item for item in items if not isinstance(item, Concept)] + list(collation.others())
            collation.languages()
            found = [
                (concepts[g.position].id, g.tag, (g.prompt, g.chosen, g.rejected))
                for g in collation.in_order()
            ]
        assert list((tmp_path / "work").iterdir()) == []
        return concepts, found, [str(problem) for problem in problems]

    return read_all


def expected(concepts):
    """All of CONCEPTS, by the ids that reading gave them, languages in alphabetical order."""
    ids = {concept.prompt: concept.id for concept in concepts}
    return [
        (ids[by_tag["en"][0]], tag, by_tag[tag])
        for by_tag in CONCEPTS.values()
        for tag in sorted(by_tag)
        if tag != "en"
    ]


@pytest.mark.parametrize("name", ["language", "lang", "locale"])
def test_a_row_a_language_is_read(read, write, name):
    concepts, found, problems = read(write(long_rows(name)))
    assert [concept.id for concept in concepts] == ["rice", "sky", "train"]
    assert found == expected(concepts)
    assert problems == []


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False))
def test_rows_in_any_order_come_out_in_the_order_of_the_anchors(tmp_path_factory, chance):
    rows = long_rows()
    chance.shuffle(rows)
    folder = tmp_path_factory.mktemp("shuffled")
    path = folder / "all.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    with Collation(open_aligned([str(path)], anchor="en"), folder / "work") as collation:
        order = [concept.id for concept in collation.anchors()]
        assert list(collation.others()) == []
        assert collation.languages() == ["de", "es"]
        found = [(given.position, given.tag) for given in collation.in_order()]
    assert order == [row["concept_id"] for row in rows if row["language"] == "en"]
    assert found == sorted(found)
    assert len(found) == 5


def test_the_anchors_other_columns_travel_and_the_layouts_own_do_not(read, write):
    rows = [row | {"topic": "kitchen", "translator": row["language"]} for row in long_rows()]
    concepts, _, _ = read(write(rows))
    assert concepts[0].extra == {"topic": "kitchen", "translator": "en"}


def test_another_anchor_and_other_columns_can_be_named(read, write):
    rows = long_rows("Sprache", "Nr")
    concepts, found, _ = read(write(rows), anchor="de", id_column="Nr", language_column="Sprache")
    assert [concept.prompt for concept in concepts] == [RICE["de"][0], SKY["de"][0]]
    assert [(key, tag) for key, tag, _ in found] == [
        ("rice", "en"),
        ("rice", "es"),
        ("sky", "en"),
        ("sky", "es"),
    ]


def test_languages_may_be_written_as_people_write_them(read, write):
    names = {"en": "en", "es": "es_MX", "de": "deu_Latn"}
    rows = [row | {"language": names[row["language"]]} for row in long_rows()]
    _, found, problems = read(write(rows))
    assert {tag for _, tag, _ in found} == {"es-MX", "de"}
    assert problems == []


def suffixed(concept, by_tag):
    return {"id": concept} | {
        f"{part}_{tag}": text for tag, texts in by_tag.items() for part, text in example(texts).items()
    }


def prefixed(concept, by_tag):
    return {"id": concept} | {
        f"{tag}_{part}": text for tag, texts in by_tag.items() for part, text in example(texts).items()
    }


def by_language(concept, by_tag):
    return {"id": concept} | {tag: example(texts) for tag, texts in by_tag.items()}


def by_part(concept, by_tag):
    return {"id": concept} | {
        part: {tag: example(texts)[part] for tag, texts in by_tag.items()} for part in PARTS
    }


def anchor_without_suffix(concept, by_tag):
    row = suffixed(concept, by_tag)
    return {name.removesuffix("_en"): text for name, text in row.items()}


@pytest.mark.parametrize("layout", [suffixed, prefixed, by_language, by_part, anchor_without_suffix])
def test_all_languages_in_a_row_are_read(read, write, layout):
    rows = [layout(*concept) for concept in CONCEPTS.items()]
    concepts, found, problems = read(write(rows))
    assert [concept.extra for concept in concepts] == [{"id": "rice"}, {"id": "sky"}, {"id": "train"}]
    assert found == expected(concepts)
    assert problems == []
    named = read(write(rows), id_column="id")[0]
    assert [concept.id for concept in named] == ["rice", "sky", "train"]


def test_a_language_that_is_missing_in_a_table_is_no_damage(read, tmp_path):
    rows = [suffixed(*concept) for concept in CONCEPTS.items()]
    with (tmp_path / "all.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), restval="")
        writer.writeheader()
        writer.writerows(rows)
    concepts, found, problems = read(tmp_path / "all.csv")
    assert found == expected(concepts)
    assert problems == []
    pq.write_table(pa.Table.from_pylist([by_part(*c) for c in CONCEPTS.items()]), tmp_path / "all.parquet")
    concepts, found, problems = read(tmp_path / "all.parquet")
    assert found == expected(concepts)
    assert problems == []


def test_columns_that_only_look_like_languages_are_other_columns(read, write):
    more = {
        "chosen_score": 4,
        "rejected_score": 2,
        "prompt_id": "r-1",
        "chosen_model": "a",
        "rejected_model": "b",
    }
    concepts, found, problems = read(write([suffixed(*c) | more for c in CONCEPTS.items()]))
    assert concepts[0].extra == {"id": "rice"} | more
    assert found == expected(concepts)
    assert problems == []


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["en", "es", "de", "pt-BR", "zh-Hans", "sr-Latn", "nb"]),
        st.tuples(st.text(), st.text(), st.text()),
        min_size=2,
    ),
    st.dictionaries(st.sampled_from(["id", "topic", "score", "url"]), st.integers()),
    st.sampled_from(["{part}_{tag}", "{tag}_{part}", "{part}.{tag}", "{tag}-{part}"]),
)
def test_taking_columns_apart_gives_back_what_they_were_made_of(by_tag, others, style):
    columns = {
        style.format(part=part, tag=tag): text
        for tag, texts in by_tag.items()
        for part, text in example(texts).items()
    }
    texts, rest = take_apart(others | columns, "en")
    assert texts == {tag: example(texts) for tag, texts in by_tag.items()}
    assert rest == others


def files(write, **changes):
    """A file a language, with changes to the rows of some."""
    rows = {
        tag: [row for row in long_rows() if row["language"] == tag] for tag in ("en", "es", "de")
    } | changes
    return [f"{tag}={write(its, f'{tag}.jsonl')}" for tag, its in rows.items()]


def test_a_file_a_language_is_aligned_by_id_in_any_order(read, write):
    spanish = [row for row in long_rows() if row["language"] == "es"]
    concepts, found, problems = read(*reversed(files(write, es=spanish[::-1])))
    assert found == expected(concepts)
    assert problems == []


def test_a_file_a_language_without_ids_is_aligned_by_line(read, write):
    plain = {
        tag: without_languages([r for r in long_rows() if r["language"] == tag]) for tag in ("en", "es", "de")
    }
    concepts, found, problems = read(*files(write, **plain))
    assert [concept.id for concept in concepts] != ["rice", "sky", "train"]
    assert found == expected(concepts)
    assert problems == []


def test_a_blank_line_keeps_the_place_of_a_translation_that_is_missing(read, write):
    plain = {
        tag: without_languages([r for r in long_rows() if r["language"] == tag]) for tag in ("en", "es", "de")
    }
    places = files(write, **plain)
    path = Path(places[1].removeprefix("es="))
    first, _, third = path.read_text("utf-8").splitlines()
    path.write_text(f"{first}\n\n{third}\n", "utf-8")
    concepts, found, problems = read(*places)
    assert found == [row for row in expected(concepts) if row[1:] != ("es", SKY["es"])]
    assert problems == []


def test_rows_of_tables_are_aligned_whatever_lines_their_cells_take(read, tmp_path):
    for tag, answer in (("en", "Four days,\nif it cooled quickly."), ("es", "Unos cuatro días.")):
        with (tmp_path / f"{tag}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerows([PARTS, (RICE[tag][0], answer, RICE[tag][2]), TRAIN[tag]])
    concepts, found, problems = read(f"en={tmp_path / 'en.csv'}", f"es={tmp_path / 'es.csv'}")
    assert [texts for _, _, texts in found] == [
        (RICE["es"][0], "Unos cuatro días.", RICE["es"][2]),
        TRAIN["es"],
    ]
    assert len(concepts) == 2
    assert problems == []


def turn(role, content, **more):
    return [{"role": role, "content": content, **more}]


def test_conversations_are_read_too(read, write):
    rows = [
        {
            "concept_id": "sky",
            "language": tag,
            "prompt": turn("user", SKY[tag][0]),
            "chosen": turn("assistant", SKY[tag][1]),
            "rejected": turn("assistant", SKY[tag][2]),
        }
        for tag in ("de", "en")
    ]
    concepts, found, _ = read(write(rows))
    assert concepts[0].shape == "messages"
    ((_, tag, (prompt, chosen, _)),) = found
    assert (tag, prompt[0].content, chosen[0].role) == ("de", SKY["de"][0], "assistant")


BAD = [
    ({"language": "klingon"}, '"klingon" is no BCP-47 language tag'),
    ({"language": "haw"}, 'no identifier here knows the language "haw"'),
    ({"language": ""}, '"language" is empty'),
    ({"language": None}, '"language" is missing'),
    ({"language": 7}, '"language" is not text'),
    ({"concept_id": None}, 'es: the id column "concept_id" is empty'),
    ({"concept_id": "tea"}, 'es: the concept "tea" has no en row'),
    ({"chosen": ""}, 'es: "chosen" is empty'),
    ({"prompt": None}, 'es: "prompt" is null'),
    ({"rejected": ["Un mes."]}, 'es: "rejected" is a list, not text'),
    ({"chosen": "Un mes \ud800."}, 'es: "chosen" holds a lone surrogate, which is not valid text'),
]


@pytest.mark.parametrize(("change", "reason"), BAD, ids=[reason for _, reason in BAD])
def test_a_bad_row_is_set_aside_with_its_place_and_the_rest_is_read(read, write, change, reason):
    rows = long_rows()
    assert rows[1]["language"] == "es"
    rows[1] |= change
    concepts, found, problems = read(write(rows))
    assert problems == [f"prefs.jsonl, line 2: {reason}"]
    assert found == [row for row in expected(concepts) if row[1:] != ("es", RICE["es"])]


def test_a_line_that_is_no_json_is_told_once(read, tmp_path, write):
    path = Path(write(long_rows()))
    path.write_text(path.read_text("utf-8") + '{"concept_id": "tea",\n[1, 2]\n', "utf-8")
    assert read(path)[2] == [
        "prefs.jsonl, line 9: the line is not JSON at column 22: Expecting property name enclosed in double "
        "quotes",
        "prefs.jsonl, line 10: the row is not an object with named fields",
    ]


def test_translations_of_an_anchor_row_that_is_set_aside_say_so(read, write):
    rows = long_rows()
    rows[0]["chosen"] = ""
    again = {"concept_id": "sky 2", "language": "en", **example(SKY["en"])}
    rows += [again, again | {"language": "es", **example(SKY["es"])}]
    concepts, _, problems = read(write(rows))
    assert [concept.id for concept in concepts] == ["sky", "train"]
    assert problems == [
        'prefs.jsonl, line 1: "chosen" is empty',
        "prefs.jsonl, line 9: the same example as line 4",
        'prefs.jsonl, line 2: es: the en row of the concept "rice" was set aside',
        'prefs.jsonl, line 3: de: the en row of the concept "rice" was set aside',
        'prefs.jsonl, line 10: es: the en row of the concept "sky 2" repeats an earlier one',
    ]


def test_a_limit_takes_the_first_concepts_with_all_their_translations(read, write):
    rows = long_rows()
    random.Random(3).shuffle(rows)
    concepts, found, problems = read(write(rows), limit=1)
    assert len(concepts) == 1
    assert {key for key, _, _ in found} == {concepts[0].id}
    assert problems == []


@pytest.mark.parametrize(
    ("rows", "options", "says"),
    [
        ([example(RICE["en"])], {}, "is in no known layout of translations; columns seen: prompt \\(text\\)"),
        (without_languages(long_rows()), {}, "needed: a row a language"),
        (long_rows(key="Nr"), {}, 'no column "concept_id".* name it with --id-column'),
        (long_rows(), {"id_column": "Nr"}, 'has no id column "Nr"; columns seen: chosen, concept_id'),
        (long_rows(), {"language_column": "Sprache"}, "no known layout"),
        (long_rows(), {"anchor": "fr"}, "no row in the anchor language fr; languages there: en es de"),
        ([suffixed("rice", RICE)], {"anchor": "fr"}, "no row in the anchor language fr"),
    ],
)
def test_what_is_not_aligned_is_refused_in_one_sentence(read, write, rows, options, says):
    with pytest.raises(InputError, match=says):
        read(write(rows), **options)


def test_files_that_can_not_be_aligned_are_refused_in_one_sentence(read, write):
    english, spanish, german = files(write)
    no_ids = f"pt={write(without_languages(long_rows()), 'pt.jsonl')}"
    for uris, options, says in [
        ((english,), {}, "only en is given, and no translation"),
        ((spanish, german), {}, "no file is in the anchor language en"),
        ((english, spanish, spanish), {}, "--aligned gives es twice"),
        ((english, german.removeprefix("de=")), {}, "has no language; write it as --aligned es="),
        (
            (english.removeprefix("en="), german.removeprefix("de=")),
            {},
            "several --aligned need a language each",
        ),
        (
            (english, f"xx={spanish.removeprefix('es=')}"),
            {},
            '--aligned xx=…: "xx" is no BCP-47 language tag',
        ),
        ((english, no_ids), {"id_column": "concept_id"}, 'the file of pt has no id column "concept_id"'),
        ((english, "es=nowhere.jsonl"), {}, "nowhere.jsonl: no such file"),
    ]:
        with pytest.raises(InputError, match=says):
            read(*uris, **options)


def test_what_decides_how_files_are_read_is_in_the_digest(write):
    path = write(long_rows())
    digest = open_aligned([path], anchor="en").digest()
    assert open_aligned([path], anchor="en").digest() == digest
    assert open_aligned([path], anchor="es").digest() != digest
    changed = long_rows()
    changed[1]["chosen"] = "Unos tres días."
    assert open_aligned([write(changed)], anchor="en").digest() != digest
