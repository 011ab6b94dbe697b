"""Recipes and JSON Schemas: files that are shipped with the code. Imports nothing heavy."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Literal


def resource(folder: Literal["pipelines", "schemas"]) -> Path:
    """The folder `pipelines` or `schemas`: inside an installed wheel, or at the repository's root."""
    package = Path(str(files("mldata")))
    inside = package / folder
    return inside if inside.is_dir() else package.parent / folder
