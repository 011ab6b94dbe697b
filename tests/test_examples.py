"""The examples in the docstrings of what users call run as they stand, and give what they say."""

import doctest
import inspect
import shutil

import pytest

import mldata
from tests import hub as standin

EXAMPLES = {"mldata": inspect.getdoc(mldata)} | {
    f"{name}.{inside}" if inside else name: doc
    for name in mldata.__all__
    for inside, member in [("", getattr(mldata, name)), *vars(getattr(mldata, name)).items()]
    if not inside.startswith("_") and (doc := inspect.getdoc(member)) and ">>>" in doc
}


@pytest.fixture
def place(built, monkeypatch, tmp_path):
    """A folder with prefs.jsonl and the set made of it, in es and gl."""
    shutil.copy(built.source, tmp_path / "prefs.jsonl")
    shutil.copytree(built.path, tmp_path / "sets" / "prefs")
    shutil.copytree(built.work, tmp_path / "sets" / "prefs.work")
    monkeypatch.chdir(tmp_path)
    # The set was copied: the place of its store beside it goes by another name.
    manifest = tmp_path / "sets" / "prefs" / "manifest.json"
    manifest.write_text(manifest.read_text("utf-8").replace('"../set.work"', '"../prefs.work"'), "utf-8")
    return tmp_path


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
def test_the_example_does_what_it_says(place, monkeypatch, name):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", place / "cache")
    with standin.running() as hub:
        standin.ask(hub, monkeypatch, place)
        test = doctest.DocTestParser().get_doctest(EXAMPLES[name], {"mldata": mldata}, name, None, None)
        said = []
        failed, tried = doctest.DocTestRunner().run(test, out=said.append)
    assert tried
    assert not failed, "".join(said)


def test_everything_that_users_call_has_an_example():
    functions = [name for name in mldata.__all__ if inspect.isfunction(getattr(mldata, name))]
    assert set(functions) <= set(EXAMPLES)
    faces = {f"AlignedSet.{name}" for name in ("concepts", "datasets", "languages", "scan", "scan_dropped")}
    assert faces <= set(EXAMPLES)
