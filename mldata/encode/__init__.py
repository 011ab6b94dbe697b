"""Sentence encoders: one file an engine, one protocol for all.

An encoder turns texts of any language into unit vectors whose cosine says how alike their meanings are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mldata.engine import Engine
from mldata.errors import InputError

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


@cache  # models are read-only, and take seconds to open
def open_encoder(name: str) -> SentenceEncoder:
    """The encoder a recipe names, one a process; InputError if there is none or it isn't installed."""
    if name not in ENCODERS:
        raise InputError(f'no encoder is called "{name}"; there are: {" ".join(sorted(ENCODERS))}')
    return ENCODERS[name]()
