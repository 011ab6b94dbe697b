"""Translators: one file an engine, one protocol for all.

A translator gets segments (text with protected spans) and gives translations of them, in order, with
every span once and unchanged, wherever it stands now. Which engines make up a direction is a route
(`routes.py`); what an engine may assume about a segment is in `text`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from mldata.engine import Engine
from mldata.errors import InputError
from mldata.text import Segment


@dataclass(frozen=True)
class Translation:
    """What an engine made of one segment."""

    segment: Segment
    """The translated text, with the protected spans where they stand in it."""
    unknown: tuple[str, ...] = ()
    """Words the engine's dictionaries don't hold (left as they were). Neural engines give none."""


class Translator(Protocol):
    """An engine that translates between some pairs of languages."""

    def pairs(self) -> frozenset[tuple[str, str]]:
        """The (source, target) tags this engine can translate here and now."""

    def engine(self, source: str, target: str) -> Engine:
        """What this pair's output depends on."""

    def translate(self, segments: Sequence[Segment], source: str, target: str) -> list[Translation]:
        """One translation a segment, in order. The same list gives the same answers, whatever came before.

        EngineError if the engine fails as a whole.
        """

    def close(self) -> None:
        """Give back processes and memory; the next `translate` opens them again."""


def _identity() -> Translator:
    from mldata.translate.identity import Identity

    return Identity()


def _apertium() -> Translator:
    from mldata.translate.apertium import Apertium

    return Apertium()


def _bergamot() -> Translator:
    from mldata.translate.bergamot import Bergamot

    return Bergamot()


TRANSLATORS: dict[str, Callable[[], Translator]] = {
    "apertium": _apertium,
    "bergamot": _bergamot,
    "identity": _identity,
}
"""Every engine a recipe can name. Opening one imports it; a missing package says how to install it."""


def open_translator(name: str) -> Translator:
    """Open the engine a recipe names; InputError if there is none of that name or it isn't installed."""
    if name not in TRANSLATORS:
        raise InputError(f'no translator is called "{name}"; there are: {" ".join(sorted(TRANSLATORS))}')
    return TRANSLATORS[name]()
