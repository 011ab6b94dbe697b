"""JSON Schema of what mldata reads and writes: recipe, manifest, calibration, and the rows of a shard.

`python -m mldata.json_schemas` writes them to schemas/; a test holds files and code in step.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from mldata import shards
from mldata.calibration import Calibration
from mldata.evidence import columns
from mldata.recipe import Recipe
from mldata.resources import resource

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, dict[str, Any]]:
    """File name -> schema."""
    return {
        "recipe.schema.json": {"$schema": _DRAFT, **Recipe.model_json_schema()},
        "manifest.schema.json": {"$schema": _DRAFT, **shards.Manifest.model_json_schema()},
        "calibration.schema.json": {"$schema": _DRAFT, **Calibration.model_json_schema()},
        "row.schema.json": _row(),
    }


def _row() -> dict[str, Any]:
    arrow = shards.schema("messages", (), None)
    properties = {field.name: _type(field.type) for field in arrow}
    for name in ("prompt", "chosen", "rejected"):
        properties[name] = {"anyOf": [{"type": "string"}, properties[name]]}
    properties["source"] = {"type": "object", "description": "the source's other columns, if it has any"}
    meanings = {column.name: column.meaning for column in columns()}
    for name, meaning in meanings.items():
        properties[name]["description"] = meaning
    required = [field.name for field in arrow]
    return {
        "$schema": _DRAFT,
        "title": "Row",
        "type": "object",
        "properties": properties,
        "required": required,
    }


def _type(kind: pa.DataType) -> dict[str, Any]:
    """The JSON type of an Arrow type; scores and texts of messages may be null."""
    if pa.types.is_struct(kind):
        return {"type": "object", "properties": {field.name: _type(field.type) for field in kind}}
    if pa.types.is_list(kind):
        return {"type": "array", "items": _type(kind.value_type)}
    if pa.types.is_boolean(kind):
        return {"type": ["boolean", "null"]}
    if pa.types.is_integer(kind):
        return {"type": "integer"}
    if pa.types.is_floating(kind):
        return {"type": ["number", "null"]}
    if pa.types.is_string(kind):
        return {"type": ["string", "null"]}
    raise TypeError(f"no JSON type is known for {kind}")


def main() -> None:
    """Write schemas/."""
    for name, schema in schemas().items():
        text = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        (resource("schemas") / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
