"""The JSON Schemas in schemas/ are what the code says."""

import json

from mldata.json_schemas import schemas
from mldata.recipe import resource


def test_files_and_code_are_in_step():
    for name, schema in schemas().items():
        written = json.loads((resource("schemas") / name).read_text("utf-8"))
        assert written == schema, f"{name} is out of date: make schemas"
    assert {path.name for path in resource("schemas").iterdir()} == set(schemas())
