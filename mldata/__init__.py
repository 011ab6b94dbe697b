"""Verified, concept-aligned multilingual preference data.

    import mldata

    if __name__ == "__main__":  # workers import the script too
        manifest = mldata.build("en_prefs", targets="12", out="sets/en_prefs")
        rows = mldata.open_set("sets/en_prefs")  # a Polars LazyFrame

Names resolve when they are used: `import mldata` alone costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["build", "calibrate", "export", "open_set", "plan", "select", "verify", "write_report"]

if TYPE_CHECKING:
    from mldata.library import build, calibrate, export, open_set, plan, select, verify, write_report


def __getattr__(name: str) -> Any:
    if name in __all__:
        from mldata import library

        return getattr(library, name)
    raise AttributeError(f"module 'mldata' has no attribute {name!r}")
