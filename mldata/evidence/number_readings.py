"""What else a figure may mean to a translator: the other clock, calendar, century or unit of measure.

Each reading is taken only where the words beside the figure say so; what it lets through that is wrong
was measured with the rest (see the rules of `pipelines/embedded.toml`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mldata.languages import Language

_GAP = r"[\u0020\u00a0\u202f\u2009]?"
_AM_PM = re.compile(rf"(?:[:.h]\d\d)?{_GAP}(?P<half>[ap])\.?{_GAP}m\b", re.IGNORECASE)
_AFTERNOON = re.compile(rf"(?:午後|下午|晚上|傍晚|오후|저녁|บ่าย){_GAP}\Z")
_EVENING = re.compile(rf"{_GAP}ทุ่ม")  # Thai: one after six in the evening
_SAA = re.compile(r"\bsaa (?:ya )?\Z", re.IGNORECASE)
_DECADE = re.compile(r"['’]?s\b|[-' ]?(?:er\b|tal|luv|luk)")
_CENTURY = re.compile(r"[- ]?(?:tal|luv|luk)")
_SAME_CENTURY = re.compile(r"(?<!\d)([12]\d)\d\d[-–/]\Z")

# Converted by human translators in one European sentence of six, by machines in one of fifty.
_RANGE = r"(?:\s?(?:to|and|or|-|–)\s?\d[\d.,]*)?"
_UNIT = re.compile(
    rf"""{_RANGE}[-\s]?(?:\(F\)[-\s]?)?(?:
      (?P<mile>miles?|mph)|(?P<foot>foot|feet|ft)|(?P<inch>inch(?:es)?)|(?P<yard>yards?)
    | (?P<pound>pounds?|lbs?)|(?P<ounce>ounces?|oz)|(?P<gallon>gallons?)|(?P<acre>acres?)
    | (?P<degree>degrees?|°\s?F))\b""",
    re.VERBOSE | re.IGNORECASE,
)
_FACTORS = {
    "mile": (1.609,), "foot": (0.3048, 30.48), "inch": (2.54, 25.4), "yard": (0.9144,), "pound": (0.4536,),
    "ounce": (28.35,), "gallon": (3.785,), "acre": (0.4047,), "degree": (1 / 1.8,),
}  # fmt: skip


def readings(text: str, start: int, end: int, plain: str, language: Language) -> Iterator[str]:
    """Other normal forms of the figure `text[start:end]`, whose own is `plain`."""
    before = text[max(0, start - 10) : start]
    figure = int(plain) if plain.isdecimal() and len(plain) <= 4 else -1
    yield from _hours(text, before, end, plain, language)
    if figure % 10 == 0 and figure % 100 and _DECADE.match(text, end):  # 1980s and 80s
        yield from (plain[2:],) if 1000 < figure < 2100 else (f"19{plain}",) if len(plain) == 2 else ()
    if figure % 100 == 0 and 1000 < figure < 2100 and _CENTURY.match(text, end):  # 1800-talet
        yield str(figure // 100 + 1)
    if len(plain) == 2 and figure > 0 and (year := _SAME_CENTURY.search(before)):  # 1995-96
        yield year[1] + plain
    if language.row == "th" and 2300 < figure < 2700 and end - start == 4:  # the Buddhist era
        yield str(figure - 543)


def _hours(text: str, before: str, end: int, plain: str, language: Language) -> Iterator[str]:
    head, point, minutes = plain.partition(".")
    hour = int(head) if len(head) <= 2 and len(minutes) <= 2 else 0
    if not 0 < hour <= 12:
        return
    half = _AM_PM.match(text, end)
    evening = _EVENING.match(text, end)
    if half and half["half"].lower() == "a":
        yield from (f"0{point}{minutes}", f"24{point}{minutes}") if hour == 12 else ()
    elif half or evening or _AFTERNOON.search(before):
        yield f"{hour + (6 if evening else 12)}{point}{minutes}"
    elif language.row == "sw" and _SAA.search(before):  # the Swahili day begins at six
        yield from (str((hour + 5) % 12 + 1), str((hour + 5) % 12 + 13))


def converted(text: str, end: int, plain: str, language: Language) -> tuple[float, ...]:
    """A measure in English units, in metric ones; () where the figure that ends at `end` is none."""
    unit = _UNIT.match(text, end) if language.row == "en" else None
    if not unit or not unit.lastgroup or len(plain) > 9:
        return ()
    size = float(plain)
    scaled = tuple(size * factor for factor in _FACTORS[unit.lastgroup])
    return (*scaled, (size - 32) / 1.8) if unit.lastgroup == "degree" else scaled
