"""Quality estimators: one file an engine, one protocol for all.

An estimator reads a segment and its translation together and says in one number how good the translation
is. It is trained on people's judgements (COMET-Kiwi is the best known) and sees what a cosine of two
vectors, each made without knowing of the other, does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mldata.engine import Engine
from mldata.errors import InputError
from mldata.settings import CrossEncoderSettings, EngineSettings

SegmentPair = tuple[str, str]
"""A source segment and its translation."""
Estimates = npt.NDArray[np.float32]


class QualityEstimator(Protocol):
    """An engine that estimates the quality of translations."""

    engine: Engine

    def estimate(self, pairs: Sequence[SegmentPair]) -> Estimates:
        """float32[len(pairs)], higher is better; NaN for a pair that is longer than the model reads."""


def open_quality(name: str, engines: Mapping[str, EngineSettings] | None = None) -> QualityEstimator:
    """The estimator a recipe names: one of its tables. Opened once a process.

    InputError if there is none or it isn't installed.
    """
    return _open(name, (engines or {}).get(name))


@cache
def _open(name: str, settings: EngineSettings | None) -> QualityEstimator:
    if settings is None:
        raise InputError(f'no quality estimator is built in: describe "{name}" in a table [engines.{name}]')
    if not isinstance(settings, CrossEncoderSettings):
        raise InputError(f'[engines.{name}] is no quality estimator: its engine is "{settings.engine}"')
    from mldata.quality.cross_encoder import CrossEncoderEstimator

    return CrossEncoderEstimator(name, settings)
