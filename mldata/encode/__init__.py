"""Sentence encoders: one file an engine, one protocol for all.

An encoder turns texts of any language into unit vectors whose cosine says how alike their meanings are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mldata.engine import Engine
from mldata.errors import InputError
from mldata.settings import CTranslate2EncoderSettings, EngineSettings, SentenceTransformersSettings

Vectors = npt.NDArray[np.float32]


class SentenceEncoder(Protocol):
    """An engine that embeds sentences of many languages in one space."""

    engine: Engine
    dimension: int

    def encode(self, texts: Sequence[str]) -> Vectors:
        """float32[len(texts), dimension], unit norm. The same list gives the same bits on one kind of CPU."""


def _e5_small() -> SentenceEncoder:
    from mldata.encode.e5 import E5Small

    return E5Small()


ENCODERS: dict[str, Callable[[], SentenceEncoder]] = {"e5-small": _e5_small}
"""Every encoder a recipe can name."""


def open_encoder(name: str, engines: Mapping[str, EngineSettings] | None = None) -> SentenceEncoder:
    """The encoder a recipe names: one of its tables, or one built in.

    Opened once a process, as it takes seconds. InputError if there is none or it isn't installed.
    """
    return _open(name, (engines or {}).get(name))


@cache
def _open(name: str, settings: EngineSettings | None) -> SentenceEncoder:
    if isinstance(settings, SentenceTransformersSettings):
        from mldata.encode.sentence_transformers import SentenceTransformersEncoder

        return SentenceTransformersEncoder(name, settings)
    if isinstance(settings, CTranslate2EncoderSettings):
        from mldata.encode.ctranslate2 import CTranslate2Encoder

        return CTranslate2Encoder(name, settings)
    if settings is not None:
        raise InputError(f'[engines.{name}] is no encoder: its engine is "{settings.engine}"')
    if name not in ENCODERS:
        raise InputError(f'no encoder is called "{name}"; there are: {" ".join(sorted(ENCODERS))}')
    return ENCODERS[name]()
