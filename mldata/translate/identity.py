"""A translator that gives every segment back as it is, between any two known languages.

It proves the plumbing: a set built with it holds the source byte for byte in every language, and the
rules must call all of it untranslated.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

from mldata.engine import Engine
from mldata.languages import LANGUAGES
from mldata.text import Segment
from mldata.translate import Translation


class Identity:
    """See the module."""

    def pairs(self) -> frozenset[tuple[str, str]]:
        """Every pair of known languages."""
        return frozenset(permutations(LANGUAGES, 2))

    def engine(self, source: str, target: str) -> Engine:
        """The same for every pair."""
        return Engine("identity", "1", "identity-1", "Apache-2.0")

    def translate(self, segments: Sequence[Segment], source: str, target: str) -> list[Translation]:
        """The segments themselves."""
        return [Translation(segment) for segment in segments]

    def close(self) -> None:
        """Nothing to give back."""
