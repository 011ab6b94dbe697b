"""Numbers of a text in one normal form whatever the language writes them like, and what became of them.

1,234.56 is 1.234,56 is 1 234,56 is ١٢٣٤٫٥٦; "2.3 billion" is "2300 millones" is 23億; 3 p.m. is 15:00.
A changed number is one of the target's that the source has in no form; right translations seldom have
one: they write numbers out or drop them.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mldata.evidence.number_readings import converted, readings
from mldata.evidence.number_words import BEFORE, JOINED, scale, written
from mldata.languages import Language


@dataclass(frozen=True)
class Number:
    """One number as a text writes it in figures."""

    values: tuple[str, ...]
    """Normal forms it may stand for, the likeliest first: "3 p.m." is 3 or 15."""
    groups: tuple[tuple[str, ...], ...] = ()
    """Its groups of digits where there are several, in each reading, for what one side writes together
    and the other apart: 7.55 and 7:55."""
    measures: tuple[float, ...] = ()
    """About how much it is in units that the other side may have converted it to."""


@dataclass(frozen=True)
class Matched:
    """What became of the numbers of one segment."""

    total: int
    """Numbers in figures on both sides."""
    both: int
    """Those of either side that stand on the other too, in figures or in words."""
    lost: int
    """Figures of the source that the target has in no form."""
    new: int
    """Figures of the target that the source has in no form: changed or added."""


TOLERANCE = 0.04
"""A converted measure is rounded: 385 miles are 619.6 kilometres, 620, or 600."""
LONGEST = 30
"""Digits of the longest number that is read as a quantity; more are a key or a serial number."""

_SPACE = "\u0020\u00a0\u202f\u2009"
_NUMBER = re.compile(
    rf"""
      \d{{1,2}}(?:,\d{{2}})+,\d{{3}}(?:\.\d+)?(?![,.]?\d)              # 12,34,567.8
    | \d{{1,3}}(?P<mark>[.,'’{_SPACE}])\d{{3}}(?:(?P=mark)\d{{3}})*+
        (?:(?!(?P=mark))[.,]\d+)?(?![,.]?\d)                           # 1,234,567.8 and all its kin
    | (?<!\d[.,/-])\d+[.,]\d+(?![,.]?\d)
    | \d+
    """,
    re.VERBOSE,
)
_EXPONENT = re.compile(r"(?<![^\W\d_])([kcdm]?m|ft)[23](?!\d)", re.IGNORECASE)  # km2 is no number 2
_ONE_OF = re.compile(rf"(分[の之]|분의){_SPACE}?1(?![\d,.])")  # 3分の1 is a third: no number 1
_SEPARATORS = str.maketrans(
    {"٫": ".", "٬": ",", "．": ".", "，": ",", "：": ":", "\u200b": None, "\u2060": None}
)
_DECIMALS = {"½": "5", "¼": "25", "¾": "75"}
_FRACTION = re.compile(r"(\d*)([½¼¾])")
_CJK_DECADE = re.compile(r"(\d\d)\s?世[纪紀]\s?(\d0)(?=\s?年代)")
_CLOCK = re.compile(r"(?<!\d)(\d{1,2})[:h]00(?!\d)")
_HOURS = re.compile(r"0\d[0-5]\d")

_WORD = re.compile(
    r"(?:[A-Za-z\u00c0-\u024f\u1e00-\u1eff]+|(?:[^\W\d_A-Za-z]|[\u0900-\u0903\u093a-\u094f])+)\.?"
)
_GAP = re.compile(rf"[-{_SPACE}]?(?:de )?")  # 20 de milioane
_JOINED = re.compile(rf"[{_SPACE}]?({'|'.join(sorted(JOINED, key=len, reverse=True))})")


def value(figures: str) -> str:
    """Normal form of one number in ASCII digits: no separators, a decimal point, no surplus zeros.

    A last separator with other than three digits behind it is taken for the decimal one; "1,200" and
    "1.200" are twelve hundred in one language and one and a fifth in the other, so they count as one.
    """
    cut = max(figures.rfind("."), figures.rfind(","))
    whole, decimals = (figures[:cut], figures[cut + 1 :]) if cut >= 0 else (figures, "")
    marks = set(re.findall(r"\D", figures))
    if len(decimals) == 3 and len(marks) == 1 and whole.lstrip("0"):
        whole, decimals = whole + decimals, ""
    decimals = decimals.rstrip("0")
    return (re.sub(r"\D", "", whole).lstrip("0") or "0") + (f".{decimals}" if decimals else "")


def numbers(text: str, language: Language) -> list[Number]:
    """The numbers that `text` writes in figures, in order."""
    text = _normalised(text)
    found = []
    end = 0
    for match in _NUMBER.finditer(text):
        if match.start() >= end:  # else the tail of 1억 2500만
            number, end = _number(text, match, language)
            found.append(number)
    return found


def compare(source: str, target: str, source_language: Language, target_language: Language) -> Matched:
    """Match the numbers of a segment and its translation: equal ones first, then by other readings, by
    their groups of digits, by converted measures, and last by words of the other side.

    Words and repeats explain a new number only where no number was lost: what was changed is lost too.
    """
    these, those = numbers(source, source_language), numbers(target, target_language)
    total = len(these) + len(those)
    if not total:
        return Matched(0, 0, 0, 0)
    lost, new = _unmatched(these, those)
    lost, new = _in_groups(lost, new)
    new, lost = _in_groups(new, lost)
    if all(number in lost for number in these if number.measures):  # one text has one system of units
        lost, new = _measured(lost, new)
    changed = bool(lost)
    lost = _unwritten(lost, written(_normalised(target), target_language)) if lost else lost
    if new and not changed:
        new = _unwritten(new, written(_normalised(source), source_language))
    both = total - len(lost) - len(new)
    if not changed:
        new = [number for number in new if not any(_says_again(said, number) for said in these)]
    return Matched(total, both, len(lost), len(new))


def _normalised(text: str) -> str:
    """`text` with ASCII digits and separators, fractions as decimals, and no digits that count nothing."""
    if not text.isascii():
        text = text.translate(_SEPARATORS)
        text = _FRACTION.sub(lambda m: f"{m[1] or 0}.{_DECIMALS[m[2]]}", text)
        text = "".join(str(unicodedata.decimal(c)) if not c.isascii() and c.isdecimal() else c for c in text)
        text = _CJK_DECADE.sub(lambda m: f"{int(m[1]) - 1}{m[2]}", text)
        text = _ONE_OF.sub(r"\1", text)
    return _CLOCK.sub(r"\1:", _EXPONENT.sub(r"\1", text))


def _number(text: str, match: re.Match[str], language: Language) -> tuple[Number, int]:
    """The number of `match` with what the words beside it make of it, and where it ends."""
    figures, end = match[0], match.end()
    plain = value(figures)
    if joined := _joined(text, match, plain):
        return Number((joined[0],)), joined[1]
    if powers := _powers(text, match, language):
        return Number(tuple(_shifted(plain, power) for power in sorted(powers, reverse=True))), end
    others = list(readings(text, match.start(), end, plain, language))
    parts = [figures[:2], figures[2:]] if _HOURS.fullmatch(figures) else re.findall(r"\d+", figures)
    groups = [tuple(map(value, parts))] if len(parts) > 1 else []
    hours = [other.partition(".")[0] for other in others if "." in other]  # 7.30 p.m. is 19:30
    groups += [(hour, value(parts[1])) for hour in hours if len(parts) == 2]
    return Number((plain, *others), tuple(groups), converted(text, end, plain, language)), end


def _shifted(plain: str, power: int) -> str:
    """`plain` times ten to the power, on its digits: exact whatever its length."""
    whole, _, decimals = plain.partition(".")
    return value(f"{whole}{decimals[:power].ljust(power, '0')}.{decimals[power:]}0")


def _joined(text: str, match: re.Match[str], plain: str) -> tuple[str, int] | None:
    """Value and end of 1億2500万, 3만 5천, 2.8 พันล้าน; None where no such scale follows."""
    follow = _JOINED.match(text, match.end()) if len(match[0]) <= LONGEST else None
    if not follow or (follow[1] == "조" and text[: match.start()].rstrip().endswith("제")):  # article 247
        return None
    power = 0
    end = match.end()
    while follow and (not power or text[end] not in _SPACE):  # 百万, พันล้าน
        power, end = power + JOINED[follow[1]], follow.end()
        follow = _JOINED.match(text, end)
    total = _shifted(plain, power)
    more = _NUMBER.match(text, end + (text[end : end + 1] in _SPACE and end < len(text)))
    if not more or "." in total or len(more[0]) > power:
        return total, end
    tail, stop = _joined(text, more, value(more[0])) or (value(more[0]), more.end())
    scaled = stop > more.end()
    if tail.isdecimal() and len(tail) <= power and (scaled or more.start() == end):
        return str(int(total) + int(tail)), stop
    return total, end


def _powers(text: str, match: re.Match[str], language: Language) -> frozenset[int]:
    """Powers of ten that the words behind a number (before it, in Swahili) scale it by; () for none."""
    found: frozenset[int] = frozenset()
    end = match.end()
    for _ in range(2):  # mil millones
        gap = _GAP.match(text, end)
        word = _WORD.match(text, gap.end() if gap else end)
        powers = scale(word[0], language) if word else frozenset()
        if not word or not powers:
            break
        found = frozenset(a + b for a in found or {0} for b in powers)
        end = word.end()
    if not found and language.row in BEFORE:
        words = text[max(0, match.start() - 20) : match.start()].split()
        return scale(words[-1], language) if words else found
    return found


def _unmatched(these: Sequence[Number], those: Sequence[Number]) -> tuple[list[Number], list[Number]]:
    """What is left of both sides without the numbers that have a reading in common; likeliest first."""
    left, right = list(these), list(those)
    for first, second in ((1, 1), (None, 1), (1, None), (None, None)):
        waiting: dict[str, list[int]] = {}
        for index, number in reversed(list(enumerate(right))):
            for reading in number.values[:second]:
                waiting.setdefault(reading, []).append(index)
        taken: set[int] = set()
        kept = []
        for number in left:
            for reading in number.values[:first]:
                places = waiting.get(reading, [])
                while places and places[-1] in taken:
                    places.pop()
                if places:
                    taken.add(places.pop())
                    break
            else:
                kept.append(number)
        left, right = kept, [number for index, number in enumerate(right) if index not in taken]
    return left, right


def _in_groups(whole: list[Number], parts: list[Number]) -> tuple[list[Number], list[Number]]:
    """Take out what one side writes together and the other apart: 7.55 and 7:55, 5.2024 and 2024/05."""
    kept = []
    rest = list(parts)
    for number in whole:
        found = next((found for groups in number.groups if (found := _found(groups, rest))), None)
        if not found:
            kept.append(number)
        for part in found or ():
            rest.remove(part)
    return kept, rest


def _found(groups: tuple[str, ...], parts: Sequence[Number]) -> list[Number] | None:
    """The numbers that together have these groups of digits: one that has them all, or one for each."""
    same = next((part for part in parts if groups in part.groups), None)
    if same:
        return [same]
    rest = list(parts)
    found = []
    for group in groups:
        part = next((part for part in rest if group in part.values), None)
        if part is None:
            return None
        rest.remove(part)
        found.append(part)
    return found


def _measured(lost: list[Number], new: list[Number]) -> tuple[list[Number], list[Number]]:
    """Take out measures that the target gives in its own units."""
    kept, rest = [], list(new)
    for number in lost:
        near = next((other for other in rest if _is_about(number, other)), None) if number.measures else None
        if near:
            rest.remove(near)
        else:
            kept.append(number)
    return kept, rest


def _is_about(number: Number, other: Number) -> bool:
    """Whether `other` is a measure of `number` as people round: to the last place, or to fives of it."""
    if len(other.values[0]) > 9:
        return False
    size = float(other.values[0])
    step = 10.0 ** -len(other.values[0].partition(".")[2])
    fives = math.isclose(size / (5 * step), round(size / (5 * step)), abs_tol=1e-6)
    slack = step if step == 1 else 0.6 * step
    return any(abs(size - m) <= (max(slack, TOLERANCE * m) if fives else slack) for m in number.measures)


def _says_again(said: Number, number: Number) -> bool:
    return not set(said.values).isdisjoint(number.values) or _is_about(said, number)


def _unwritten(figures: list[Number], words: Iterable[tuple[str, ...]]) -> list[Number]:
    """The figures that no word of the other side stands for; each word stands for one."""
    left = list(figures)
    for readings_ in words:
        place = next(
            (i for i, number in enumerate(left) if not set(readings_).isdisjoint(number.values)), None
        )
        if place is not None:
            del left[place]
    return left
