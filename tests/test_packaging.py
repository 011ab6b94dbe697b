"""Recipes, schemas and the sample are found in a checkout and in a wheel, and importing costs nothing."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from mldata.recipe import resource

ROOT = Path(__file__).parents[1]
USE = """
import mldata, pathlib, sys
assert pathlib.Path(mldata.__file__).is_relative_to(sys.argv[1]), mldata.__file__
from mldata.recipe import load_recipe, resource
assert resource("schemas").is_relative_to(sys.argv[1])
assert load_recipe("embedded").name == "embedded"
from mldata.sources import open_source
assert next(iter(open_source("en_prefs"))).prompt
"""


def test_a_checkout_finds_its_recipes_and_schemas_at_the_root():
    assert resource("pipelines") == ROOT / "pipelines"
    assert resource("schemas") == ROOT / "schemas"


def test_a_wheel_carries_all_it_needs(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "installed")
    assert {"mldata/py.typed", "mldata/data/en_prefs.jsonl", "mldata/pipelines/embedded.toml"} <= names
    assert "mldata/schemas/row.schema.json" in names
    assert not [name for name in names if name.startswith("tests/")]
    installed = str(tmp_path / "installed")
    done = subprocess.run(
        [sys.executable, "-c", USE, installed],
        env={"PYTHONPATH": installed, "PATH": "/usr/bin:/bin"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_importing_mldata_loads_nothing_heavy():
    code = "import mldata, sys; print(sorted({'polars', 'pyarrow', 'numpy', 'datasets'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
