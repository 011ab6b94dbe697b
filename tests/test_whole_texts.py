"""Engines that want whole texts: their answers are paired with the source, and measured like any others.

The engines are phrasebooks that translate sentence by sentence as a person did; identifiers and encoder are
the real ones, and so are the rules.
"""

import json
import shutil

import numpy as np
import polars as pl
import pytest

import mldata
from mldata import pairing, translate
from mldata.engine import Engine
from mldata.recipe import resource
from mldata.store import read_table, write_table
from mldata.text import Segment, assemble, split
from mldata.translate import Translation
from mldata.translate.routes import Network, follow_texts
from tests.conftest import talk
from tests.evidence.phrasebook import ENGLISH, SENTENCES, WrongLanguage

PORTUGUESE = (
    *WrongLanguage.portuguese,
    "Aqui ninguém pode ajudá-lo com isso, por isso pare de perguntar.",
    "As chaleiras avariam a toda a hora, e provavelmente a culpa foi sua.",
    "Devia ter lido o manual antes de a usar.",
    "Compre outra numa loja perto da sua casa.",
    "A garantia não nos interessa de todo.",
    "Encerramos agora esta conversa e não voltaremos a responder.",
    "A minha chaleira avariou ontem quando eu queria fazer chá.",
    "O que posso fazer para recuperar o meu dinheiro?",
)
BOOK = {"en": ENGLISH, "es": list(SENTENCES.values()), "pt": list(PORTUGUESE)}
CODE = "```python\nkettle.reset(30)  # minutes\n```"


def said(text, source, target):
    """The text with each sentence of the book in the other language."""
    for one, other in zip(BOOK[source], BOOK[target], strict=False):
        text = text.replace(one, other)
    return text


def answer(segment, text):
    """A translation with the segment's spans where they stand in `text`."""
    spans, cursor = [], 0
    for protected in segment.protected:
        if (start := text.find(protected, cursor)) >= 0:
            cursor = start + len(protected)
            spans.append((start, cursor))
    return Translation(Segment(text, tuple(spans)))


class Book:
    """Translates segments."""

    def __init__(self, *pairs):
        self._pairs = frozenset(tuple(pair.split(">")) for pair in pairs)
        self.asked = []

    def pairs(self):
        return self._pairs

    def engine(self, source, target):
        return Engine(type(self).__name__, "1", f"{type(self).__name__}{source}{target}", "CC0-1.0")

    def translate(self, segments, source, target):
        self.asked += [segment.text for segment in segments]
        return [answer(segment, said(segment.text, source, target)) for segment in segments]

    def close(self):
        pass


class Texts(Book):
    """Translates whole texts, those of a record together; `spoil` may change what comes of a record."""

    def __init__(self, *pairs, spoil=lambda record, answers: answers):
        super().__init__(*pairs)
        self.spoil = spoil
        self.records = []

    def translate(self, segments, source, target):
        raise AssertionError("segments aren't what this engine wants")

    def translate_records(self, records, source, target):
        self.records += [[segment.text for segment in record] for record in records]
        return [self._record(record, source, target) for record in records]

    def _record(self, record, source, target):
        answers = [answer(segment, said(segment.text, source, target)) for segment in record]
        return self.spoil(record, answers) if source == "en" else answers


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Build pairs with engines by name; gives the manifest and the rows by (concept, language)."""

    def make(rows, engines, targets="es", name="set", **lines):
        for engine, opened in engines.items():
            monkeypatch.setitem(translate.TRANSLATORS, engine, lambda opened=opened: opened)
        shipped = (resource("pipelines") / "embedded.toml").read_text("utf-8")
        own = {"name": "texts", "targets": targets.split(","), "translators": list(engines), **lines}
        head = "".join(f"{key} = {json.dumps(value)}\n" for key, value in own.items())
        recipe = tmp_path / "texts.toml"
        recipe.write_text(head + shipped[shipped.index("identifiers =") :], "utf-8")
        source = tmp_path / "kettles.jsonl"
        source.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        out = tmp_path / name
        manifest = mldata.build(str(source), out=out, recipe=str(recipe), workers=1, id_column="id")
        files = [f for part in ("data/*.arrow", "dropped/rows-*.arrow") for f in out.glob(part)]
        found = pl.concat(map(pl.read_ipc, files), how="diagonal").with_columns(
            pl.col("reasons").fill_null(pl.lit([], pl.List(pl.String)))
        )
        return manifest, {(row["concept_id"], row["language"]): row for row in found.to_dicts()}

    make.folder = tmp_path
    return make


def pair(key, turn=0, **changes):
    """A question about a kettle, a good answer and a bad one; each `turn` gives another."""
    good, bad = ENGLISH[:6], ENGLISH[6:12]
    chosen = [*good[turn:], *good[:turn]]
    rejected = [*bad[turn:], *bad[:turn]]
    return {
        "id": key,
        "prompt": " ".join(ENGLISH[12:14]),
        "chosen": f"{' '.join(chosen[:4])}\n\n{' '.join(chosen[4:])}",
        "rejected": " ".join(rejected),
        **changes,
    }


def translations(folder, target="es"):
    """Rows of the only translated chunk."""
    (path,) = (folder / "set.work" / "translate").glob(f"*/{target}/*.arrow")
    return read_table(path).to_pylist()


def drop_last(record, answers):
    text = answers[1].segment.text
    return [answers[0], Translation(Segment(text[: text.rindex(". ") + 1])), answers[2]]


def add(record, answers):
    extra = Translation(Segment(f"{answers[1].segment.text} {SENTENCES[ENGLISH[16]]}"))
    return [answers[0], extra, answers[2]]


def stay_english(record, answers):
    return [answers[0], Translation(record[1]), answers[2]]


def say_nothing(record, answers):
    return [Translation(Segment("")), *answers[1:]]


def refuse(record, answers):
    return [*answers[:2], Translation(Segment(""), (), "refused")]


def only_dots(record, answers):
    return [Translation(Segment("…")), *answers[1:]]


def swap(record, answers):
    return [answers[0], answers[2], answers[1]]


def lose_code(record, answers):
    return [answers[0], Translation(Segment(answers[1].segment.text.replace(CODE, ""))), answers[2]]


def change_code(record, answers):
    text = answers[1].segment.text.replace("# minutes", "# minutos")
    return [answers[0], Translation(Segment(text)), answers[2]]


DAMAGES = [drop_last, add, stay_english, say_nothing, refuse, only_dots, swap, lose_code, change_code]


def test_right_answers_are_kept_and_each_damage_is_dropped_with_its_reason(build):
    code = f"{' '.join(ENGLISH[:3])}\n\n{CODE}\n\n{' '.join(ENGLISH[3:6])}"
    rows = [pair("right"), pair("with code", chosen=code, prompt=CODE)]
    spoilt = {}
    for number, damage in enumerate(DAMAGES):
        of = {"chosen": code} if "code" in damage.__name__ else {}
        question = f"{ENGLISH[12 + number % 6]} Kettle {number + 100}."
        if damage in (say_nothing, only_dots):
            question = f"Kettle {number + 100}!"  # too short for most evidence
        rows.append(pair(damage.__name__, number % 6, prompt=question, **of))
        spoilt[question] = damage

    def spoil(record, answers):
        return spoilt.get(record[0].text, lambda record, answers: answers)(record, answers)

    engine = Texts("en>es", "es>en", spoil=spoil)
    _, found = build(rows, {"texts": engine})
    right = found["right", "es"]
    assert right["reasons"] == right["issues"] == []
    assert right["chosen"] == said(rows[0]["chosen"], "en", "es")
    assert (right["back_chrf"], right["route"]) == (100.0, "en>es")
    kept = found["with code", "es"]
    assert (kept["reasons"], kept["prompt"]) == ([], CODE)
    assert kept["chosen"] == said(code, "en", "es")
    reasons = {damage: set(found[damage.__name__, "es"]["reasons"]) for damage in DAMAGES}
    assert "alignment" in reasons[drop_last]
    assert "alignment" in reasons[add]
    assert {"language", "untranslated"} <= reasons[stay_english]
    assert "empty" in reasons[say_nothing]
    assert "empty" in reasons[refuse]
    assert "empty" in reasons[only_dots]
    assert "contrast" in reasons[swap]
    assert {"spans", "markup"} <= reasons[lose_code]
    assert "spans" in reasons[change_code]
    refused = found["refuse", "es"]
    assert refused["rejected"] == ""
    assert refused["issues"] == ["refused", "markup_changed", "segments_empty"]
    made = translations(build.folder)
    assert len(made) == len({(row["concept"], row["field"]) for row in made}) == 3 * len(rows)
    assert {row["problem"] for row in made} == {"", "refused"}
    assert all(text != CODE and text.strip() for record in engine.records for text in record)
    assert [rows[0]["prompt"], rows[0]["chosen"], rows[0]["rejected"]] in engine.records


def test_a_route_may_go_on_in_segments_and_the_way_back_may_take_either(build):
    rows = [pair("a"), pair("b", 2)]
    texts, book = Texts("en>es", "es>en"), Book("es>pt", "pt>es")
    manifest, found = build(rows, {"texts": texts, "book": book}, targets="pt,es")
    assert manifest.languages["pt"].route == "en>es>pt"
    for row in rows:
        for tag in ("es", "pt"):
            one = found[row["id"], tag]
            assert one["reasons"] == []
            assert one["back_chrf"] == 100.0
            assert one["chosen"] == said(row["chosen"], "en", tag)
    assert found["a", "pt"]["pivot_words"] is not None
    for row in translations(build.folder, "pt"):
        for segment in row["segments"]:
            assert said(segment["pivot"], "es", "pt") == segment["translation"]
            assert said(segment["back"], "en", "pt") == segment["translation"]
    back = Book("es>en")
    manifest, again = build(
        rows, {"texts": Texts("en>es"), "back": back}, name="other", back_translators=["back"]
    )
    assert set(back.asked) == {SENTENCES[sentence] for sentence in ENGLISH[:14]}
    assert {key: row["back_chrf"] for key, row in again.items() if key[1] == "es"} == {
        ("a", "es"): 100.0,
        ("b", "es"): 100.0,
    }


class Halting(Book):
    """Leaves two sentences in English."""

    def translate(self, segments, source, target):
        made = super().translate(segments, source, target)
        stuck = (ENGLISH[14], ENGLISH[15])
        return [
            Translation(old) if old.text in stuck else new for old, new in zip(segments, made, strict=True)
        ]


def test_a_row_that_is_tried_again_alone_is_measured_as_among_the_others(build):
    rows = [pair(str(n), n, prompt=f"{ENGLISH[12 + n % 2]} Kettle {n}.") for n in range(6)]
    rows.append(pair("stuck", chosen=f"{ENGLISH[14]} {ENGLISH[3]} {ENGLISH[15]}"))
    alignment = {}
    for retry in ("failed", "all"):
        engines = {"halting": Halting("en>es", "es>en"), "texts": Texts("en>es", "es>en")}
        own = {"translators": ["halting"], "retry_with": ["texts"], "retry": retry}
        _, found = build(rows, engines, name=retry, **own)
        assert found["stuck", "es"]["translators"] == "texts"
        assert found["stuck", "es"]["reasons"] == []
        alignment[retry] = found["stuck", "es"]["alignment"]
        asked = len(engines["texts"].records) // 2  # there and back
        assert asked == (1 if retry == "failed" else len(rows))
    assert alignment["failed"] == pytest.approx(alignment["all"], abs=1e-4)


def test_the_turns_of_a_conversation_are_one_record(build):
    engine = Texts("en>es", "es>en")
    turns = [
        {"role": "user", "content": ENGLISH[12]},
        {"role": "assistant", "content": ENGLISH[1]},
        {"role": "user", "content": ENGLISH[13]},
    ]
    row = talk(ENGLISH[13], ENGLISH[2], ENGLISH[8], id="talk", prompt=turns)
    _, found = build([row], {"texts": engine})
    assert engine.records[0] == [ENGLISH[n] for n in (12, 1, 13, 2, 8)]
    made = found["talk", "es"]
    assert made["reasons"] == []
    assert [turn["content"] for turn in made["prompt"]] == [SENTENCES[ENGLISH[n]] for n in (12, 1, 13)]


def test_an_engine_of_whole_texts_tries_again_what_failed_in_segments(build):
    class Lazy(Book):
        def translate(self, segments, source, target):
            made = super().translate(segments, source, target)
            return [
                Translation(s) if s.text == ENGLISH[13] else m for s, m in zip(segments, made, strict=True)
            ]

    rows = [pair("well", prompt=ENGLISH[12]), pair("badly", 2)]
    texts = Texts("en>es", "es>en")
    _, found = build(
        rows, {"book": Lazy("en>es", "es>en"), "texts": texts}, translators=["book"], retry_with=["texts"]
    )
    assert texts.records[0] == [rows[1][field] for field in ("prompt", "chosen", "rejected")]
    for row in rows:
        assert found[row["id"], "es"]["reasons"] == []
        assert found[row["id"], "es"]["chosen"] == said(row["chosen"], "en", "es")
    assert len(texts.records) == 2  # there and back
    assert found["badly", "es"]["translators"] == "texts"


def test_a_store_from_before_problems_were_written_is_measured_and_read(build):
    rows, engines = [pair("a"), pair("b", 2)], {"texts": Texts("en>es", "es>en")}
    before = build(rows, engines)
    work = build.folder / "set.work"
    (path,) = (work / "translate").glob("*/es/*.arrow")
    write_table(read_table(path).drop_columns(["problem"]), path)
    shutil.rmtree(work / "measure")
    assert build(rows, engines)[1] == before[1]
    assert "problem" not in read_table(path).column_names


def test_code_alone_costs_no_request_and_comes_out_byte_for_byte(build):
    engine = Texts("en>es", "es>en")
    texts = {"prompt": f"{CODE}\n", "chosen": "42", "rejected": "https://example.org/help\n\n    x = 1\n"}
    _, found = build([{"id": "code", **texts}], {"texts": engine})
    assert engine.records == []
    made = found["code", "es"]
    assert {name: made[name] for name in texts} == texts
    assert made["issues"] == ["nothing_to_translate"]


def test_a_text_that_one_engine_refuses_or_leaves_a_gap_in_goes_no_further():
    class Gaps(Book):
        def translate(self, segments, source, target):
            made = super().translate(segments, source, target)
            return [
                Translation(Segment(""), problem="truncated") if "30" in m.segment.text else m for m in made
            ]

    def spoil(record, answers):
        return [
            Translation(Segment("No."), problem="refused") if "guarantee" in segment.text else one
            for segment, one in zip(record, answers, strict=True)
        ]

    engines = {"texts": Texts("en>es", spoil=spoil), "gaps": Gaps("es>pt"), "last": Texts("pt>en")}
    fine, refused, cut = ENGLISH[0], ENGLISH[10], f"{ENGLISH[1]} {ENGLISH[2]}"
    way = Network(engines).route("en", "pt").then(Network(engines).route("pt", "en"))
    ((one, two, three, code), none) = follow_texts(way, engines, [[fine, refused, cut, CODE], []])
    assert none == []
    assert (one.text, one.problem) == (fine, "")
    assert one.pivots == (SENTENCES[fine], PORTUGUESE[0])
    assert (two.text, two.problem) == ("", "refused")
    assert (three.text, three.problem) == ("", "truncated")
    assert (code.text, code.pivots) == (CODE, (CODE, CODE))
    assert SENTENCES[refused] not in engines["gaps"].asked
    assert engines["last"].records == [[PORTUGUESE[0]]]


def test_segments_that_several_texts_share_are_translated_once():
    engine = Book("es>en")
    way = Network({"b": engine, "t": Texts("en>pt")}).route("es", "pt")
    spanish = " ".join(SENTENCES[sentence] for sentence in ENGLISH[:2])
    ((made,), (again,)) = follow_texts(way, {"b": engine, "t": Texts("en>pt")}, [[spanish], [spanish]])
    assert made == again
    assert sorted(engine.asked) == sorted(segment.text for segment in split(spanish, "es").segments)


def test_a_back_translation_in_other_sentences_stands_beside_what_it_comes_from():
    spanish = split("Llueve mucho hoy. No salimos de casa. Mañana iremos al mercado.", "es")
    english = split("It is raining a lot today and we stay in. We'll go to the market tomorrow. Bye.", "en")
    one, two, three = (segment.plain for segment in spanish.segments)
    both, market, bye = (segment.plain for segment in english.segments)
    axes = dict(zip((one, two, market, bye), np.eye(4, dtype=np.float32), strict=True))
    vectors = {**axes, both: (axes[one] + axes[two]) / np.sqrt(np.float32(2)), three: axes[market]}
    (found,) = pairing.beside([spanish], [english], vectors)
    assert found.parts == (both, "", f"{market} {bye}")
    assert found.text == assemble(english)
    (none,) = pairing.beside([spanish], [split("", "en")], vectors)
    assert none.parts == ("", "", "")
