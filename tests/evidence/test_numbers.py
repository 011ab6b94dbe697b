"""A number is one number in whatever way a language writes it, and a changed one is seen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mldata.evidence.numbers import compare, numbers
from mldata.languages import LANGUAGES, language

STYLES = (
    (",", "."),
    (".", ","),
    (" ", ","),
    ("\u00a0", ","),
    ("\u202f", ","),
    ("'", "."),
    ("’", "."),
    ("", "."),
    ("", ","),
)
DIGITS = ("0123456789", "٠١٢٣٤٥٦٧٨٩", "०१२३४५६७८९", "๐๑๒๓๔๕๖๗๘๙", "０１２３４５６７８９")
quantities = st.integers(min_value=0, max_value=10**12)
cents = st.integers(min_value=0, max_value=99)


def in_style(whole, hundredths, style, digits="0123456789"):
    """1234567 and 50 as "1,234,567.50" in a style of separators and a script's digits."""
    thousands, point = style
    text = f"{whole:,}".replace(",", thousands) + (f"{point}{hundredths:02}" if hundredths else "")
    return text.translate(str.maketrans("0123456789", digits))


def indian(whole):
    """1234567 as "12,34,567"."""
    head, tail = divmod(whole, 1000)
    if not head:
        return str(tail)
    pairs = f"{head}" if len(str(head)) < 3 else f"{head:_}".replace("_", "")
    groups = [pairs[max(0, end - 2) : end] for end in range(len(pairs), 0, -2)][::-1]
    return ",".join([*groups, f"{tail:03}"])


def values(text, tag="en"):
    return [number.values[0] for number in numbers(text, language(tag))]


def changed(source, target, tag="es", anchor="en"):
    return compare(source, target, language(anchor), language(tag))


@given(quantities, cents, st.sampled_from(STYLES), st.sampled_from(DIGITS))
def test_a_number_has_one_normal_form_in_every_locale_and_script(whole, hundredths, style, digits):
    plain = f"{whole}.{hundredths:02}".rstrip("0").rstrip(".") if hundredths else str(whole)
    assert values(f"Das sind {in_style(whole, hundredths, style, digits)} Euro.", "de") == [plain]


@given(quantities)
def test_indian_grouping_is_the_same_number(whole):
    assert values(f"कुल {indian(whole)} रुपये", "hi") == [str(whole)]


@given(quantities, cents, st.sampled_from(STYLES), st.data())
def test_changing_any_digit_changes_the_number(whole, hundredths, style, data):
    text = in_style(whole, hundredths, style)
    places = [place for place, character in enumerate(text) if character.isdigit()]
    place = data.draw(st.sampled_from(places))
    digit = data.draw(st.sampled_from([d for d in "0123456789" if d != text[place]]))
    other = text[:place] + digit + text[place + 1 :]
    assert values(f"It is {other} today.") != values(f"It is {text} today.")
    assert changed(f"It costs {text} euros.", f"Cuesta {other} euros.").new >= 1


@given(st.text())
def test_any_text_is_read_and_agrees_with_itself(text):
    found = changed(text, text, "en")
    assert found.both == found.total
    assert (found.lost, found.new) == (0, 0)


@pytest.mark.parametrize(
    ("english", "tag", "translation"),
    [
        ("It made 2.3 billion dollars.", "es", "Ganó 2300 millones de dólares."),
        ("It made 2.3 billion dollars.", "es", "Ganó 2,3 mil millones de dólares."),
        ("It made 2.3 billion dollars.", "de", "Es brachte 2,3 Milliarden Dollar ein."),
        ("It made 2.3 billion dollars.", "ja", "23億ドルを稼いだ。"),
        ("It made 2.3 billion dollars.", "hr", "Zaradila je 2,3 mlrd. dolara."),
        ("It made 2.3 billion dollars.", "th", "ทำเงินได้ 2.3 พันล้านดอลลาร์"),
        ("It made 2.3 billion dollars.", "sw", "Ilipata dola bilioni 2.3."),
        ("It made 2.3 billion dollars.", "hi", "इसने 2.3 अरब डॉलर कमाए।"),
        ("It cost £125m in all.", "ja", "総額は1億2500万ポンドだった。"),
        ("It cost £125m in all.", "ko", "총 1억 2500만 파운드가 들었다."),
        ("About 1.2 million people signed.", "zh", "约有 120 万人签名。"),
        ("About 1.2 million people signed.", "ro", "Au semnat circa 1,2 milioane de oameni."),
        ("About 3 thousand people came.", "tr", "Yaklaşık 3 bin kişi geldi."),
        ("About 3,000 people came.", "pl", "Przyszło około 3 tys. osób."),
        ("About 3,000 people came.", "ru", "Пришло около 3 тыс. человек."),
        ("About 3,000 people came.", "id", "Sekitar 3 ribu orang datang."),
        ("They sold 500,000 of them.", "hi", "उन्होंने 5 लाख बेचे।"),
        ("The shop closes at 2 p.m. today.", "de", "Der Laden schließt heute um 14 Uhr."),
        ("The shop closes at 2 p.m. today.", "ja", "店は今日午後2時に閉まります。"),
        ("The shop closes at 7.30pm today.", "fr", "Le magasin ferme aujourd'hui à 19h30."),
        ("The shop opens at 14:00.", "de", "Der Laden öffnet um 14 Uhr."),
        ("It starts on 2024-05-03.", "de", "Es beginnt am 3.5.2024."),
        ("It starts on 5/3/2024.", "ja", "2024年5月3日に始まります。"),
        ("The 1930s were hard years.", "zh", "20世纪30年代是艰难的岁月。"),
        ("A portrait of the 19th century.", "sv", "Ett porträtt från 1800-talet."),
        ("A portrait of the 19th century.", "ru", "Портрет XIX века."),
        ("She came in 1st of 20.", "es", "Quedó 1.ª de 20."),
        ("He has 12 apples and 2 pears.", "fr", "Il a douze pommes et deux poires."),
        ("He has twelve apples.", "ja", "彼はりんごを12個持っている。"),
        ("Ten million documents were found.", "ja", "1000万件の文書が見つかった。"),
        ("The flat has 80 square metres (80 m²).", "it", "L'appartamento misura 80 metri quadri (80 m2)."),
        ("The town is 385 miles away.", "de", "Die Stadt ist 620 Kilometer entfernt."),
        ("It was founded in 1950.", "th", "ก่อตั้งขึ้นในปี พ.ศ. 2493"),
        ("Only a third of it is left.", "ja", "3分の1しか残っていない。"),
    ],
)
def test_right_translations_change_no_number_however_they_write_it(english, tag, translation):
    found = changed(english, translation, tag)
    assert found.new == 0
    assert found.both == found.total


@pytest.mark.parametrize(
    ("english", "tag", "translation"),
    [
        ("It made 2.3 billion dollars.", "es", "Ganó 2,3 millones de dólares."),
        ("It made 2.3 billion dollars.", "ja", "230億ドルを稼いだ。"),
        ("The shop closes at 2 p.m. today.", "de", "Der Laden schließt heute um 15 Uhr."),
        ("It starts on 2024-05-03.", "de", "Es beginnt am 3.6.2024."),
        ("The town is 385 miles away.", "de", "Die Stadt ist 920 Kilometer entfernt."),
        ("The town is 385 miles away.", "fr", "La ville est à 358 milles."),
        ("Send it back within 30 days.", "ar", "أعده خلال ٩٠ يومًا."),
        ("Bread costs 1.50 euros.", "ca", "El pa costa 15 euros."),
        ("Only one of the 3 keys fits.", "it", "Solo una delle 5 chiavi va bene."),
    ],
)
def test_a_changed_number_is_seen(english, tag, translation):
    assert changed(english, translation, tag).new == 1


def test_what_is_written_out_or_dropped_is_lost_but_nothing_is_changed():
    found = changed("Call 3 friends or 20.", "Llama a unos amigos.")
    assert (found.lost, found.new) == (2, 0)


def test_a_number_said_twice_is_no_other_number():
    assert changed("It cost £27 million.", "2700万ポンド（約2,700万ポンド）だった。", "ja").new == 0


@pytest.mark.parametrize("tag", sorted(LANGUAGES))
def test_every_language_keeps_the_figures_of_a_plain_sentence(tag):
    assert changed("From 7 to 12 in 2024.", "7 – 12, 2024.", tag) == compare(
        "7 12 2024", "2024 7 12", language("en"), language(tag)
    )
    assert changed("From 7 to 12 in 2024.", "7 – 13, 2024.", tag).new == 1


def test_a_key_of_ten_thousand_digits_is_read_at_once():
    key = "1234567890" * 1000
    assert values(f"The key is {key}億.") == [key]


def test_a_variety_reads_numbers_as_its_language_does():
    for tag in ("pt", "pt-BR"):
        found = compare("It cost 2.3 billion.", "Custou 2,3 bilhões.", language("en"), language(tag))
        assert (found.lost, found.new) == (0, 0)
