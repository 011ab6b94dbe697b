"""What can be counted: each measure on texts whose answer a reader sees at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mldata.evidence import Pair, Unit
from mldata.evidence.structure import measure, ratio_of
from mldata.languages import language


def evidence(source, target, *, tag="es", protected=(), pivot="", unknown=(), back="", ratio=1.1):
    pair = Pair(source, target, back, pivot, tuple(unknown))
    unit = Unit(0, "chosen", 0, source, target, tuple(protected), (pair,))
    return measure([unit], language(tag), ratio, language("en")).to_dicts()[0]


def aligned(*pairs, tag="es", ratio=1.0):
    """Evidence of a text of several segments, "" where one side has none."""
    made = tuple(Pair(source, target, "", "", ()) for source, target in pairs)
    text = " ".join(source for source, _ in pairs), " ".join(target for _, target in pairs)
    unit = Unit(0, "chosen", 0, *text, (), made)
    return measure([unit], language(tag), ratio, language("en")).to_dicts()[0]


@pytest.mark.parametrize(
    ("source", "target", "agreement"),
    [
        ("It costs $1,200.50 for 3 days.", "Cuesta 1.200,50 $ por 3 días.", 1.0),
        ("It costs 1200 euros.", "Cuesta 1 200 euros.", 1.0),
        ("It costs 1.50 euros.", "Cuesta 1,5 euros.", 1.0),
        ("It costs 1.5 million.", "Cuesta 15 millones.", 0.0),
        ("Version 0.125 of 2024.", "Versión 0,125 de 2024.", 1.0),
        ("Within 30 days.", "En 90 días.", 0.0),
        ("Between 5 and 7.", "Entre 5 y 8.", 0.5),
        ("Pay 20 now and 20 later.", "Pague 20 ahora.", pytest.approx(2 / 3)),
        ("No figures here.", "Ni una cifra.", None),
        ("No figures here.", "Ni 1 cifra.", 0.0),
        ("On 3 May 2024 at 10%.", "El 3 de mayo de 2024, un 10 %.", 1.0),
    ],
)
def test_numbers_agree_whatever_their_separators(source, target, agreement):
    assert evidence(source, target)["numbers"] == agreement


@pytest.mark.parametrize(
    ("target", "kept"),
    [("Ejecute `x` en {y}.", 1.0), ("Ejecute `x`.", 0.5), ("Ejecute `x` `x` en {y}.", 0.5), ("Nada.", 0.0)],
)
def test_protected_spans_must_stand_as_often(target, kept):
    assert evidence("Run `x` in {y}.", target, protected=("`x`", "{y}"))["spans_kept"] == kept


def test_a_span_inside_another_counts_once():
    source = "See [the page](https://example.org/a) or https://example.org/a today."
    protected = ("](https://example.org/a)", "https://example.org/a")
    lost_link = "Vea la página o https://example.org/a hoy."
    assert evidence(source, source, protected=protected)["spans_kept"] == 1.0
    assert evidence(source, lost_link, protected=protected)["spans_kept"] == 0.5


def test_a_date_or_time_may_be_written_the_language_s_way():
    source = "It opens on 2024-05-03 at 14:30."
    protected = ("2024-05-03", "14:30")
    right = evidence(source, "Es öffnet am 3.5.2024 um 14.30 Uhr.", tag="de", protected=protected)
    assert (right["spans_kept"], right["numbers_changed"]) == (1.0, 0.0)
    wrong = evidence(source, "Es öffnet am 3.5.2024 um 15.30 Uhr.", tag="de", protected=protected)
    assert wrong["spans_kept"] == 0.5


MARKDOWN = """# Bread

Knead the dough for ten minutes.
Let it rest.

1. Heat the oven.
2. Bake the bread.
   - White bread takes half an hour.
   - Rye bread takes longer.

> Never open the door.

| flour | water |
|-------|-------|
| 500 g | 300 g |
| 750 g | 450 g |

```
- temperature: 220
- steam: on
```
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ""),
        ("- White", "* White"),
        ("\n\n1.", "\n\n\n1."),
        ("# Bread", "# Bread  "),
        ("2. Bake", "1. Bake"),
        ("\n", "\r\n"),
        ("- steam: on", "- steam: off"),
    ],
)
def test_the_same_outline_typed_otherwise_is_kept(before, after):
    found = evidence(MARKDOWN, MARKDOWN.replace(before, after) if before else MARKDOWN)
    assert (found["markup"], found["markup_kept"]) == (1.0, True)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# Bread", "Bread"),
        ("# Bread", "## Bread"),
        ("ten minutes.\n", "ten minutes. "),
        ("rest.\n\n1.", "rest.\n1."),
        ("Heat the oven.\n2. Bake", "Heat the oven. 2. Bake"),
        ("1. Heat", "7. Heat"),
        ("half an hour.\n   - Rye", "half an hour. - Rye"),
        ("> Never", "Never"),
        ("| 750 g | 450 g |\n", ""),
        ("```\n- temperature: 220\n- steam: on\n```\n", ""),
        ("\n\n", "\n"),
    ],
)
def test_a_merged_item_or_a_lost_break_is_caught(before, after):
    assert before in MARKDOWN
    found = evidence(MARKDOWN, MARKDOWN.replace(before, after, 1))
    assert found["markup_kept"] is False
    assert found["markup"] < 1


def test_a_sentence_that_begins_with_a_number_and_a_stop_is_no_list():
    english = "In 2020 it rained a lot.\n\nOn 15 May the sun came out."
    croatian = "2020. godine padalo je mnogo kiše.\n\n15. svibnja izašlo je sunce."
    assert evidence(english, croatian, tag="hr")["markup_kept"]
    items = "1. Heat the oven.\n\nWait 5 minutes.\n\n2. Bake the bread."
    assert not evidence(items, items.replace("2. ", ""))["markup_kept"]


def test_lines_wrapped_by_width_may_be_wrapped_otherwise():
    wrapped = "We are sorry that the kettle stopped working after only\ntwo weeks, and that nobody answered."
    rewrapped = (
        "Lamentamos que el hervidor dejara de funcionar después de solo dos semanas y que nadie respondiera."
    )
    assert evidence(wrapped, rewrapped)["markup_kept"]
    assert not evidence("Name: Ana\nCity: Split", "Nombre: Ana Ciudad: Split")["markup_kept"]


def test_a_text_over_the_parsers_limit_is_read_line_by_line():
    long = "\n\n".join(f"- Loaf {number} is ready." for number in range(12_000))
    assert len(long) > 200_000
    assert evidence(long, long)["markup_kept"]
    assert not evidence(long, long.replace("\n\n- Loaf 77 ", " - Loaf 77 "))["markup_kept"]


@given(st.text(alphabet="ab1 .-*#>|`\n\t\r", max_size=60))
def test_any_text_has_its_own_outline(text):
    found = evidence(text, text)
    assert (found["markup"], found["markup_kept"]) == (1.0, True)


def test_letters_of_another_script_count_against_a_text():
    assert evidence("Hello there.", "Hola 123!")["script"] == 1.0
    assert evidence("Hello there.", "Привет там", tag="es")["script"] == 0.0
    assert evidence("Hello there.", "Привет there", tag="mk")["script"] == pytest.approx(6 / 11)
    assert evidence("Hello.", "こんにちは世界", tag="ja")["script"] == 1.0
    assert evidence("Hello.", "Zdravo svima", tag="sr-Latn")["script"] == 1.0
    assert evidence("Hello.", "123")["script"] is None


def test_names_keep_their_script_and_a_copied_half_does_not():
    source = "Tiffany Ng of Sainsbury's sold the old carillon to NBC last year."
    assert evidence(source, "去年，Sainsbury 的 Tiffany Ng 把旧钟琴卖给了 NBC。", tag="zh")["script"] == 1.0
    half = "去年，Tiffany Ng 把旧钟琴 sold the old carillon to NBC last year."
    assert evidence(source, half, tag="zh")["script"] < 0.6


def test_copied_words_are_the_sources_own_and_names_are_not_words():
    source = "the quick brown fox jumps over Barcelona every single morning"
    assert evidence(source, source)["copied_words"] == 1.0
    assert evidence(source, "el veloz zorro marrón salta sobre Barcelona cada mañana")["copied_words"] == 0.0
    assert evidence(source, "el quick zorro brown salta sobre Barcelona cada mañana")["copied_words"] > 0.2
    assert evidence("yes", "sí")["copied_words"] is None


def test_a_half_left_in_the_source_s_short_words_is_seen():
    source = "He has to go to the city if it is not too far for him, and then he must come home."
    half = "He has to go to the city if it is not too lejos para él, y después debe volver a casa."
    assert evidence(source, half)["copied_words"] > 0.4


def test_unknown_words_are_those_the_route_reported():
    target = "el blorfing del gato come zyzzy por la mañana"
    assert evidence("x", target, unknown=("blorfing", "zyzzy"))["unknown_words"] == pytest.approx(2 / 9)
    assert evidence("x", target)["unknown_words"] == 0.0
    assert evidence("Divide 45 by 9.", "The ishod of 9 i 5.", unknown=("The", "of"))["unknown_words"] == 0.5
    assert evidence("Yes, blorf.", "Sí, blorf.", unknown=("blorf",))["unknown_words"] is None


def test_a_text_that_is_still_the_pivots_is_seen():
    pivot = "la casa roja está cerca del río"
    assert evidence("x", pivot, pivot=pivot)["pivot_words"] == 1.0
    assert evidence("x", "a casa vermella queda preto dun regato", pivot=pivot)["pivot_words"] < 0.5
    assert evidence("x", pivot)["pivot_words"] is None


@pytest.mark.parametrize(
    ("tag", "loop"),
    [
        ("es", "vendemos buen pan y " * 12),
        ("es", "vendemos pan todos los días los días los días los días los días"),
        ("es", "vendemos muy muy muy muy muy buen pan fresco"),
        ("es", "vendemos pan fresco todos los días, vendemos pan fresco todos los días"),
        ("de", "wir verkaufen gutes Brot – – – – – –"),
        ("ja", "毎日焼きたてのパンを売るパンを売るパンを売るパンを売る"),
        ("zh", "我们每天每天每天每天每天卖新鲜的面包"),
        ("th", "เราขายขนมปังสดสดสดสดสดทุกวัน"),
        ("hr", "prodajemo kruhuhuhuhuhuhuhuh svaki dan u tjednu"),
    ],
)
def test_a_loop_is_repetition(tag, loop):
    assert evidence("we sell good bread and fresh rolls every day", loop, tag=tag)["repetition"] > 0.1


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("row your boat gently down the stream and " * 4, "rema en tu barca río abajo con calma y " * 4),
        ("No, no, no, no, no!", "¡No, no, no, no, no!"),
        ("He was very, very tired.", "Estaba muy, muy, muy cansado."),
        ("The bill came to 10,000,000,000 dollars.", "La cuenta fue de 10 000 000 000 dólares."),
        ("Haha, that is funny.", "Jajajaja, qué gracioso."),
        ("short", "corto"),
    ],
)
def test_what_the_source_repeats_or_people_do_is_no_loop(source, target):
    assert evidence(source, target)["repetition"] < 0.02


def test_a_sentence_said_twice_is_repetition():
    once = ("We sell good bread every day.", "Vendemos buen pan todos los días.")
    assert aligned(once, ("Come early.", "Venga temprano."))["repetition"] == 0.0
    assert aligned(once, ("Come early.", once[1]))["repetition"] > 0.4
    assert aligned(once, once)["repetition"] == 0.0


def test_an_empty_translation_is_seen():
    found = evidence("Please keep the receipt.", "")
    assert found["empty_segments"] == 1.0
    assert found["length_ratio"] == 0.0


def test_a_segment_on_one_side_only_is_empty_or_added():
    pair = ("Please keep the receipt.", "Guarde el recibo, por favor.")
    lost = aligned(pair, ("It is needed for a refund.", ""))
    assert (lost["empty_segments"] > 0.4, lost["added_segments"]) == (True, 0.0)
    added = aligned(pair, ("", "Es necesario para el reembolso."))
    assert (added["empty_segments"], added["added_segments"] > 0.4) == (0.0, True)
    assert aligned(("Ten.", "10."))["empty_segments"] == 0.0
    nothing = aligned(("", ""))
    assert (nothing["empty_segments"], nothing["added_segments"], nothing["length_ratio"]) == (
        None,
        None,
        None,
    )


def test_the_worst_segment_s_length_is_seen_beside_right_ones():
    right = [
        (
            "Please keep the receipt until the parcel has arrived.",
            "Guarde el recibo hasta que llegue el paquete.",
        ),
        ("We will send you a new kettle tomorrow morning.", "Mañana le enviaremos un hervidor nuevo."),
    ]
    cut = ("You can send it back free of charge within 30 days.", "Puede devolverlo.")
    assert aligned(*right)["length_worst"] < 0.3
    assert aligned(*right, cut)["length_worst"] > 1.0
    assert aligned(*right, ("Yes.", "Sí, por supuesto que sí."))["length_worst"] < 0.3
    assert aligned(*right, cut, ratio=None)["length_worst"] is None


def test_the_usual_ratio_is_the_median_of_enough_segments():
    def units(number):
        pair = Pair("Please keep the receipt.", "Guarde usted el recibo, por favor, siempre.", "", "", ())
        return [Unit(0, "chosen", 0, pair.source, pair.target, (), (pair,))] * number

    assert ratio_of(units(19)) is None
    assert ratio_of(units(20)) == pytest.approx(43 / 24)
