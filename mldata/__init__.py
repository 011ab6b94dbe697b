"""Verified, concept-aligned multilingual preference data.

>>> import mldata
>>> manifest = mldata.build("prefs.jsonl", targets="es,gl", out="sets/prefs")
>>> prefs = mldata.open_set("sets/prefs")
>>> rows = prefs.scan()  # a Polars LazyFrame
>>> data = prefs.datasets()  # a datasets.DatasetDict
>>> for concept in prefs.concepts("train"):  # every example in all its languages
...     said = {language: row["chosen"] for language, row in concept.translations.items()}

A script that builds must do so below `if __name__ == "__main__":`, as workers import it too.
Names resolve when they are used: `import mldata` alone costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "AlignedSet",
    "build",
    "calibrate",
    "diff",
    "export",
    "open_set",
    "plan",
    "push",
    "select",
    "verify",
    "write_report",
]

if TYPE_CHECKING:
    from mldata.library import (
        AlignedSet,
        build,
        calibrate,
        diff,
        export,
        open_set,
        plan,
        push,
        select,
        verify,
        write_report,
    )


def __getattr__(name: str) -> Any:
    if name in __all__:
        from mldata import library

        return getattr(library, name)
    raise AttributeError(f"module 'mldata' has no attribute {name!r}")
