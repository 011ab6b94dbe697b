"""heliport (GPL-3.0, an optional import), which tells close languages apart better than fastText.

Its labels are ISO 639-3 and macrolanguages (`hbs` for hr, bs and sr); below its confidence it says `und`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from typing import Any

from mldata.engine import Engine
from mldata.errors import InputError
from mldata.identify import Identified
from mldata.languages import Language


class Heliport:
    """See the module."""

    def __init__(self) -> None:
        try:
            import heliport
        except ImportError as error:
            raise InputError(
                "the heliport identifier (GPL-3.0) isn't installed: pip install 'mldata[embedded]'"
            ) from error
        self._open = heliport.Identifier
        release = version("heliport")
        digest = hashlib.blake2b(f"heliport {release}".encode(), digest_size=16).hexdigest()
        self.engine = Engine("heliport", release, digest, "GPL-3.0-only")

    @cached_property
    def _identifier(self) -> Any:
        return self._open()

    def identify(self, texts: Sequence[str], language: Language) -> list[Identified]:
        """The first label of each text."""
        labels = [str(self._identifier.identify(" ".join(text.split()))) for text in texts]
        return [Identified(label, label in language.heliport, bool(language.heliport)) for label in labels]
