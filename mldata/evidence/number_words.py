"""What languages call numbers: words that scale a figure ("2,3 Milliarden"), and words that stand for one.

Scale words are our own table, one row a language. Written-out numbers are CLDR's spell-out rules
(unicode-rbnf), with genders and cases where CLDR has them: "двенадцати" is 12 as "twelve" is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cache

import regex
from unicode_rbnf import FormatPurpose, RbnfEngine
from unicode_rbnf.engine import NoRuleForNumberError

from mldata.languages import Language

# languages | thousand | million | 10^9 | 10^12 | others, as power=word. A star stands for any ending.
# "0=" marks a word that is a scale or none ("3 m" is three million or three metres); a word under two
# powers means either ("billón" as English speakers' billion).
_SCALES = """
    en | thousand* grand | million* mln mn | billion* bn | trillion* trn tn | \
        3=k 0=k 6=m 0=m 9=b 0=b 2=hundred 5=lakh* 7=crore*
    de | tausend* tsd tsd. | million* mio mio. mill mill. | milliarde* mrd mrd. | billion* bio bio. | \
        2=hundert
    nl | duizend* | miljoen* mln mln. mio | miljard* mld mld. mrd | biljoen* | 2=honderd
    da | tusind* | million* mio mio. mill mill. | milliard* mia mia. mrd mrd. | billion* | 2=hundrede
    nb | tusen* | million* mill mill. mio | milliard* mrd mrd. | billion* | 2=hundre
    sv | tusen* | miljon* mn milj milj. | miljard* md mdr mrd | biljon* | 2=hundra
    fi | tuhat* tuhan* | miljoon* milj milj. | miljard* mrd mrd. | biljoon* | 2=sata 2=sataa
    fr | mille millier* | million* mln | milliard* mrd mds md | billion* |
    oc | mila milièr* | milion* | miliard* | bilion* | 9=bilion*
    ca | mil milers | milion* milió | miliard* | bilion* bilió | 9=bilion* 9=bilió
    es an gl | mil miles | millon* millón* millóns | millardo* miliard* | billon* billón* billóns | \
        9=billon* 9=billón*
    pt | mil milhares | milhão milhões mi | bilhão bilhões bi mil-milhões | \
        trilhão trilhões bilião biliões | 9=bilião 9=biliões 9=biliõ*
    it | mila mille migliaia | milion* mln mln. | miliard* mld mld. mrd | bilion* | 12=trilion*
    ro | mie mii | milion* milioane mil. | miliard* mld mld. | trilion* bilion* | 2=sute
    eo | mil miloj | miliono* | miliardo* | duiliono* biliono* |
    cs | tisíc* tis tis. | milion* milión* mil. mio | miliard* mld mld. | bilion* |
    pl | tysiąc* tysięc* tysią* tys tys. | milion* mln mln. | miliard* mld mld. | bilion* |
    sl | tisoč* tis tis. | milijon* mio mio. | milijard* mrd mrd. | bilijon* |
    bs hr sr-Latn | tisuć* hiljad* tis tis. | milijun* milion* mil. mln | milijard* mlrd mlrd. | \
        bilijun* bilion* trilion* |
    sr-Cyrl | хиљад* тисућ* хиљ. | милион* мил. | милијард* млрд млрд. | билион* трилион* |
    mk | илјад* | милион* мил. | милијард* | билион* трилион* |
    bg | хиляд* хил хил. | милион* млн млн. мил. | милиард* млрд млрд. | трилион* |
    ru | тысяч* тыс тыс. | миллион* млн млн. | миллиард* млрд млрд. | триллион* трлн трлн. |
    uk | тисяч* тис тис. | мільйон* млн млн. | мільярд* млрд млрд. | трильйон* трлн трлн. |
    el | χιλιάδ* χίλι* χιλ χιλ. | εκατομμύρι* εκατομμυρί* εκατ εκατ. | \
        δισεκατομμύρι* δισεκατομμυρί* δισ δισ. | τρισεκατομμ* τρισ τρισ. |
    hu | ezer* | millió* | milliárd* mrd mrd. | billió* | 2=száz
    tr | bin binden bine | milyon* mn | milyar* mr | trilyon* |
    he | אלף אלפים אלפי | מיליון* מליון* מיליוני | מיליארד* | טריליון* |
    ar | ألف* آلاف الاف الف | مليون* ملايين | مليار* بليون* | تريليون* |
    hi | हज़ार* हजार* | मिलियन* | बिलियन* अरब* | ट्रिलियन* | 5=लाख* 7=करोड़* 7=करोड़* 11=खरब* 2=सौ
    id | ribu* rb | juta* jt | miliar* milyar* | triliun* | 2=ratus
    sw | elfu maelfu | milioni | bilioni | trilioni | 5=laki 5=lakhi
    vi | nghìn ngàn | triệu | tỷ tỉ |  | 4=vạn
"""
# Scripts without spaces, and Korean, which has none before them: a number may go on behind ("1억 2500만").
JOINED: Mapping[str, int] = {
    "百": 2, "千": 3, "仟": 3, "万": 4, "萬": 4, "億": 8, "亿": 8, "兆": 12,
    "백": 2, "천": 3, "만": 4, "억": 8, "조": 12,
    "ร้อย": 2, "พัน": 3, "หมื่น": 4, "แสน": 5, "ล้าน": 6,
}  # fmt: skip
BEFORE = frozenset({"sw"})
"""Languages whose scale words stand before the figure: "milioni 125"."""

# CLDR spells these under another name, or not at all: a near relative's words are better than none.
_SPELLED_AS = {"an": "es", "gl": "pt", "oc": "ca", "nb": "no", "sr-Latn": "sr_Latn", "sr-Cyrl": "sr"}
_UNSPACED = frozenset({"ja", "zh", "th"})
"""Their numerals are found anywhere, not between spaces."""
_SYLLABLES = frozenset("영일이삼사오육칠팔구십백")
"""Sino-Korean numerals of one syllable: as words they mean other things, this or day or four."""
# Figure | words that hold it and are no numerals. Month names, since Chinese, Japanese, Korean and
# Vietnamese write months as figures.
_ALSO = {
    "en": """
    0    | midnight
    0.5  | half
    1    | a an per another each every once single january
    2    | twice double doubled doubling secondary both couple couples pair fortnight february
    3    | thirds triple thrice march
    4    | quarter quarters april
    5    | may
    6    | june
    7    | july
    8    | august
    9    | september
    10   | tens dozens decade decades teen teens teenage teenager teenagers october
    11   | november
    12   | dozen dozens noon midday midnight december
    14   | fortnight
    20   | twenties
    24   | midnight
    25   | quarter
    30   | thirties
    40   | forties
    50   | half fifties
    60   | sixties
    70   | seventies
    80   | eighties
    90   | nineties
    100  | hundreds century centuries
    1000 | thousands
"""
}

_WORD = regex.compile(r"\p{L}[\p{L}\p{M}]*+")
_SPACED_PHRASE = 4
"""Words of the longest numeral that is looked for: "vingt et un", "two hundred and one"."""
# Two signs or more, or V or X: a lone I or C is a word or a unit. Cyrillic letters pass for Latin ones.
_ROMAN = regex.compile(
    r"(?<![\p{L}\p{N}])(?=[IVXІХ]{2}|[VX])([XХ]{0,3})(I[XХ]|IV|V?[IІ]{0,3})(?![\p{L}\p{N}])"
)
_CYRILLIC = str.maketrans("ІХ", "IX")
_ONES = ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")


def scale(word: str, language: Language) -> frozenset[int]:
    """Powers of ten that `word` may scale the figure beside it by; empty where it is no such word."""
    whole, stems = _scale_words(language)
    word = word.casefold()
    for form in (word, word.rstrip(".")):
        if form in whole:
            return whole[form]
    return next((powers for stem, powers in stems if word.startswith(stem)), frozenset())


@cache
def _scale_words(
    language: Language,
) -> tuple[Mapping[str, frozenset[int]], tuple[tuple[str, frozenset[int]], ...]]:
    """Scale words of a language, English ones behind them: whole words, and stems, longest first."""
    words: dict[str, set[int]] = {}
    for tag in (language.row, "en"):
        row = next((r for r in _SCALES.strip().splitlines() if tag in r.split("|")[0].split()), "")
        _, *columns = row.split("|") if row else [""]
        own: dict[str, set[int]] = {}
        for power, column in zip((3, 6, 9, 12), columns, strict=False):
            for word in column.split():
                own.setdefault(word, set()).add(power)
        for entry in columns[4].split() if columns else ():
            power_text, word = entry.split("=")
            own.setdefault(word, set()).add(int(power_text))
        words |= {word: powers for word, powers in own.items() if word not in words}
    stems = [(word[:-1], frozenset(powers)) for word, powers in words.items() if word.endswith("*")]
    whole = {word: frozenset(powers) for word, powers in words.items() if not word.endswith("*")}
    return whole, tuple(sorted(stems, key=lambda stem: -len(stem[0])))


def written(text: str, language: Language) -> Iterator[tuple[str, ...]]:
    """Numbers that `text` writes out, each as the figures it may stand for; the longest wording counts."""
    numerals = _numerals(language)
    if language.row in _UNSPACED:
        yield from (numerals[match[0]] for match in _anywhere(language).finditer(text))
    else:
        yield from _spaced([match[0].casefold() for match in _WORD.finditer(text)], numerals, language)
    for match in _ROMAN.finditer(text):
        yield (str(10 * len(match[1]) + _ONES.index(match[2].translate(_CYRILLIC))),)


def _spaced(
    words: Sequence[str], numerals: Mapping[str, tuple[str, ...]], language: Language
) -> Iterator[tuple[str, ...]]:
    index = 0
    while index < len(words):
        for length in range(min(_SPACED_PHRASE, len(words) - index), 0, -1):
            found = numerals.get(" ".join(words[index : index + length]))
            if found:
                index += length
                powers = scale(words[index], language) if index < len(words) else frozenset()
                yield tuple(_scaled(figure, power) for figure in found for power in powers or {0})
                break
        else:
            index += 1


def _scaled(figure: str, power: int) -> str:
    return format(Decimal(figure).scaleb(power).normalize(), "f")


@cache
def _numerals(language: Language) -> Mapping[str, tuple[str, ...]]:
    """Wording -> figures, for cardinals and ordinals up to 100 and the round hundreds."""
    name = _SPELLED_AS.get(language.row, language.row)
    table: dict[str, set[str]] = {}
    if name in RbnfEngine.get_supported_languages():
        engine = RbnfEngine.for_language(name)
        for number in (*range(1, 101), *range(200, 1001, 100)):
            for wording in _wordings(engine, number):
                table.setdefault(wording, set()).add(str(number))
    for row in _ALSO.get(language.row, "").strip().splitlines():
        figure, words = row.split("|")
        for word in words.split():
            table.setdefault(word, set()).add(figure.strip())
    return {wording: tuple(sorted(table[wording])) for wording in table if wording not in _SYLLABLES}


def _wordings(engine: RbnfEngine, number: int) -> Iterator[str]:
    for purpose in (FormatPurpose.CARDINAL, FormatPurpose.ORDINAL):
        try:
            spelled = engine.format_number(number, purpose).text_by_ruleset
        except (NoRuleForNumberError, ValueError):  # CLDR has no ordinals of this language
            continue
        for name, wording in spelled.items():
            if name.startswith("spellout"):
                yield " ".join(_WORD.findall(wording.replace("\u200b", "").casefold()))


@cache
def _anywhere(language: Language) -> regex.Pattern[str]:
    return regex.compile("|".join(map(regex.escape, sorted(_numerals(language), key=len, reverse=True))))
