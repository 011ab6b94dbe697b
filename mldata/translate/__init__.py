"""Translators: one file an engine, one protocol for all.

A translator gets segments (text with protected spans) and gives translations of them, in order, with
every span once and unchanged, wherever it stands now. Which engines make up a direction is a route
(`routes.py`); what an engine may assume about a segment is in `text`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from mldata.engine import Engine
from mldata.errors import InputError
from mldata.settings import Allowance, ChatSettings, CTranslate2Settings, EngineSettings
from mldata.text import Segment


@dataclass(frozen=True)
class Translation:
    """What an engine made of one segment."""

    segment: Segment
    """The translated text, with the protected spans where they stand in it."""
    unknown: tuple[str, ...] = ()
    """Words the engine's dictionaries don't hold (left as they were). Neural engines give none."""
    problem: str = ""
    """Why there is no translation, or no good one, where the engine knows: a word for the row's `issues`
    ("refused", "truncated", "too_long", "server_error", "empty", "chatter", "spans_lost"). The text is empty
    then."""


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


@runtime_checkable
class RecordTranslator(Translator, Protocol):
    """An engine that wants whole texts, and may look at those of one concept together."""

    def translate_records(
        self, records: Sequence[Sequence[Segment]], source: str, target: str
    ) -> list[list[Translation]]:
        """One translation a text, in order; a record holds the texts of one concept, whole (`text.whole`).

        EngineError if the engine fails as a whole; a text that it can't translate has a `problem`.
        """


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


def open_translator(
    name: str, engines: Mapping[str, EngineSettings] | None = None, allowance: Allowance | None = None
) -> Translator:
    """Open the engine a recipe names: one of its tables, or one built in.

    InputError if there is none of that name or it isn't installed.
    """
    settings = (engines or {}).get(name)
    if settings is not None and name in TRANSLATORS:
        raise InputError(f"[engines.{name}] has the name of a built-in engine: call it something else")
    if isinstance(settings, CTranslate2Settings):
        from mldata.translate.ctranslate2 import CTranslate2

        return CTranslate2(name, settings)
    if isinstance(settings, ChatSettings):
        from mldata.translate.chat import Chat

        return Chat(name, settings, allowance or Allowance())
    if settings is not None:
        raise InputError(f'[engines.{name}] is no translator: its engine is "{settings.engine}"')
    if name not in TRANSLATORS:
        there = " ".join(sorted({*TRANSLATORS, *(engines or {})}))
        raise InputError(f'no translator is called "{name}"; there are: {there}')
    return TRANSLATORS[name]()
