"""Language identifiers: one file an engine, one protocol for all.

An identifier gives each text the probability that it is in one of the languages asked for, and its first
label. What to ask for stands in `languages.py`; what the answers mean, in `evidence/language.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from mldata.engine import Engine
from mldata.errors import InputError
from mldata.languages import Language, language
from mldata.settings import EngineSettings, FastTextSettings


@dataclass(frozen=True)
class Identified:
    """What an identifier says of one text."""

    label: str
    """The engine's own first label ("pt", "por"); "und" where it doesn't want to say."""
    accepted: bool
    """The label is one of those right for the language asked for."""
    known: bool = True
    """The engine has a label for that language at all."""


class Identifier(Protocol):
    """An engine that names the language of a text."""

    engine: Engine

    def identify(self, texts: Sequence[str], language: Language) -> list[Identified]:
        """One answer a text, in order. Texts are non-empty."""


def _fasttext() -> Identifier:
    from mldata.identify.fasttext import FastText

    return FastText()


def _heliport() -> Identifier:
    from mldata.identify.heliport import Heliport

    return Heliport()


IDENTIFIERS: dict[str, Callable[[], Identifier]] = {"fasttext": _fasttext, "heliport": _heliport}
"""Every identifier a recipe can name."""


def check_known(tag: str, names: Sequence[str]) -> None:
    """InputError where no identifier of `names` can tell a text in the language `tag`: all rows would fail.

    Models given by table or path (GlotLID, OpenLID) are taken to know it.
    """
    found = language(tag)
    labels = {"fasttext": found.fasttext, "heliport": found.heliport}
    if not any(labels.get(name, found.iso) for name in names):
        raise InputError(
            f'none of the identifiers {" ".join(names)} knows {found.name} ("{tag}"): name one that does in '
            "the recipe, such as GlotLID (see the pipeline nllb), or leave the language out (--targets)"
        )


def open_identifier(name: str, engines: Mapping[str, EngineSettings] | None = None) -> Identifier:
    """The identifier a recipe names: one of its tables, one built in, or the fastText model at a path.

    Opened once a process: models are read-only, and take up to a second and 800 MB. InputError if there is
    none or it isn't installed.
    """
    return _open(name, (engines or {}).get(name))


@cache
def _open(name: str, settings: EngineSettings | None) -> Identifier:
    if settings is not None and not isinstance(settings, FastTextSettings):
        raise InputError(f'[engines.{name}] is no identifier: its engine is "{settings.engine}"')
    if settings is not None or name.endswith((".bin", ".ftz")):
        from mldata.identify.fasttext import FastText

        return FastText(name, settings)
    if name not in IDENTIFIERS:
        raise InputError(f'no identifier is called "{name}"; there are: {" ".join(sorted(IDENTIFIERS))}')
    return IDENTIFIERS[name]()
