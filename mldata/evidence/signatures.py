"""What computed each evidence column, in sacreBLEU's manner: figures are compared with their like only.

    similarity   encoder:e5-small.3f9a1c22|segments:2.sentencex-1.0.14|over:mean|evidence:6

Two sets whose signatures of a column agree may be compared in it; thresholds carry over between them too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from types import ModuleType

from mldata import evidence, text
from mldata.evidence import (
    LENGTH_DEVIATION,
    alignment,
    back_translation,
    contrast,
    language,
    quality,
    similarity,
    structure,
)

_MADE_WITH: dict[ModuleType, tuple[str, ...]] = {
    language: ("identifiers",),
    similarity: ("encoder", "segments"),
    alignment: ("encoder", "segments", "alignment"),
    back_translation: ("encoder", "segments", "chrf"),
    quality: ("quality", "segments"),
    contrast: ("encoder", "segments"),
    structure: ("segments", "markdown", "numerals"),
}


def signatures(
    encoder: str, identifiers: Sequence[str], digests: Mapping[str, str], quality_by: str | None = None
) -> dict[str, str]:
    """Column -> signature. `digests` has the engines' by the names that a recipe calls them."""

    def named(name: str) -> str:
        return f"{name}.{digests[name][:8]}"

    parts = {
        "encoder": named(encoder),
        "identifiers": "+".join(map(named, identifiers)),
        "quality": named(quality_by) if quality_by else "none",
        "segments": f"{text.VERSION}.sentencex-{version('sentencex')}",
        "alignment": str(alignment.VERSION),
        "chrf": back_translation.signature().replace("|", ","),
        "markdown": version("markdown-it-py"),
        "numerals": version("unicode-rbnf"),
    }
    found = {}
    for kind, made_with in _MADE_WITH.items():
        for column in kind.COLUMNS:
            said = [f"{part}:{parts[part]}" for part in made_with]
            found[column.name] = "|".join([*said, f"over:{column.aggregate}", f"evidence:{evidence.VERSION}"])
            if column.name == "length_ratio":
                found[LENGTH_DEVIATION] = f"{found[column.name]}|by:median of the language"
    return found
