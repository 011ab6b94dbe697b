"""A set is opened from where it lies, proved whole, and handed to the trainers as it is."""

import functools
import http.server
import json
import shutil
import threading

import datasets
import fsspec
import polars as pl
import pytest

import mldata
from mldata.errors import InputError, SetError
from mldata_train.sets import open_preferences
from tests import hub as standin
from tests.train.conftest import LANGUAGES


def on_disk(data, split):
    return pl.read_ipc(list(data.glob(f"data/{split}-*.arrow"))).select(
        "concept_id", "language", "prompt", "chosen", "rejected"
    )


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of sets."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mldata" / "sets"


def test_a_set_gives_its_rows_as_they_were_written(sums_set, talks_set):
    for data, conversational in ((sums_set, False), (talks_set, True)):
        opened = open_preferences(str(data))
        assert opened.conversational is conversational
        there = set(on_disk(data, "train")["language"])
        assert opened.languages == tuple(tag for tag in LANGUAGES if tag in there)
        for split in ("train", "test"):
            assert opened.rows(split).to_list() == on_disk(data, split).to_dicts()


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
def test_a_set_that_was_pushed_to_the_hub_is_trained_on_from_there(sums_set, monkeypatch, tmp_path):
    with standin.running() as hub:
        standin.ask(hub, monkeypatch, tmp_path)
        mldata.push(sums_set, "hf://org/sums")
        opened = open_preferences("hf://org/sums")
        for split in ("train", "test"):
            assert opened.rows(split).to_list() == on_disk(sums_set, split).to_dicts()
        assert opened.digest == open_preferences(str(sums_set)).digest
        with pytest.raises(InputError, match="hub has no hf://org/absent"):
            open_preferences("hf://org/absent")


def test_languages_are_left_out_and_counted_right(sums_set):
    opened = open_preferences(str(sums_set))
    rows = on_disk(sums_set, "train").filter(~pl.col("language").is_in(["es", "fr"]))
    assert opened.rows("train", without=["es", "fr"]).to_list() == rows.to_dicts()
    sizes = rows.group_by("concept_id").len()["len"]
    assert opened.largest("train", without=["es", "fr"]) == sizes.max() == 3
    assert opened.largest("train") == 5
    with pytest.raises(InputError, match="has no language de; it has en es fr pt it"):
        opened.rows("train", without=["es", "de"])
    with pytest.raises(InputError, match="has no train row but in en es fr pt it"):
        opened.rows("train", without=LANGUAGES)


def test_a_set_whose_rows_were_all_dropped_says_that_it_has_none(sums_set, tmp_path):
    shutil.copytree(sums_set, tmp_path / "sums")
    shutil.copytree(sums_set.with_name("sums.work"), tmp_path / "sums.work")
    mldata.select(tmp_path / "sums", rules=["length_ratio>=100"])
    opened = open_preferences(str(tmp_path / "sums"))
    for split in ("train", "test"):
        with pytest.raises(InputError, match=f"has no {split} split: no concept was kept for it"):
            opened.rows(split)


def test_two_sets_have_the_same_digest_only_if_all_their_rows_are_the_same(sums_set, talks_set, tmp_path):
    shutil.copytree(sums_set, tmp_path / "elsewhere")
    digests = [open_preferences(str(path)).digest for path in (sums_set, tmp_path / "elsewhere", talks_set)]
    assert digests[0] == digests[1] != digests[2]


def test_a_set_with_one_changed_byte_is_refused(sums_set, tmp_path):
    shutil.copytree(sums_set, tmp_path / "sums")
    shard = next((tmp_path / "sums").glob("data/test-*.arrow"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 3] ^= 32
    shard.write_bytes(content)
    with pytest.raises(SetError, match=r"data/test-00000-of-00001.arrow isn't what was written"):
        open_preferences(str(tmp_path / "sums"))


def test_what_is_no_set_is_refused(tmp_path, cache):
    with pytest.raises(InputError, match=r"is no set: it has no manifest.json"):
        open_preferences(str(tmp_path))
    with pytest.raises(InputError, match="is no set, or can't be reached"):
        open_preferences(f"file://{tmp_path}")
    with pytest.raises(InputError, match="cave://sets/sums can't be opened"):
        open_preferences("cave://sets/sums")


class Silent(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *arguments):
        pass


@pytest.fixture
def served(sums_set):
    """The set at an address of this machine."""
    handler = functools.partial(Silent, directory=str(sums_set.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/sums"
        server.shutdown()
        thread.join()


@pytest.fixture
def remembered(sums_set):
    """The set in memory, as an object store has it."""
    memory = fsspec.filesystem("memory")
    for path in sums_set.rglob("*"):
        if path.is_file():
            memory.pipe_file(f"/sets/{path.relative_to(sums_set).as_posix()}", path.read_bytes())
    yield "memory://sets"
    memory.rm("/sets", recursive=True)


@pytest.mark.parametrize("where", ["file", "served", "remembered"])
def test_a_set_at_an_address_is_copied_once_and_is_the_same_set(sums_set, cache, request, where):
    address = f"file://{sums_set}/" if where == "file" else request.getfixturevalue(where)
    there = open_preferences(address)
    here = open_preferences(str(sums_set))
    assert there.name == address
    assert there.digest == here.digest
    assert there.rows("train").to_list() == here.rows("train").to_list()
    (copied,) = cache.iterdir()
    assert there.folder == copied
    when = {path: path.stat().st_mtime_ns for path in copied.rglob("*")}
    assert open_preferences(address).folder == copied
    assert {path: path.stat().st_mtime_ns for path in copied.rglob("*")} == when
    assert list(cache.iterdir()) == [copied]


def test_a_set_that_vanishes_while_it_is_copied_leaves_nothing_behind(remembered, cache):
    shard = next(path for path in fsspec.filesystem("memory").find("/sets") if "test-" in path)
    fsspec.filesystem("memory").rm(shard)
    with pytest.raises(InputError, match="memory://sets couldn't be copied"):
        open_preferences(remembered)
    assert not list(cache.iterdir())


@pytest.mark.parametrize("name", ["../../../.bashrc", "/etc/passwd"])
def test_a_manifest_that_names_files_outside_its_set_is_refused(remembered, cache, name):
    memory = fsspec.filesystem("memory")
    manifest = json.loads(memory.cat_file("/sets/manifest.json"))
    manifest["files"][0]["path"] = name
    memory.pipe_file("/sets/manifest.json", json.dumps(manifest).encode())
    with pytest.raises(InputError, match="names a file outside the set"):
        open_preferences(remembered)
    assert not cache.exists()


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"files": [1]}'])
def test_a_damaged_manifest_at_an_address_is_refused(remembered, cache, content):
    fsspec.filesystem("memory").pipe_file("/sets/manifest.json", content)
    with pytest.raises(InputError, match=r"manifest.json isn't the manifest of a set"):
        open_preferences(remembered)


def test_a_set_that_datasets_loads_trains_as_it_is(sums_set, tiny_model, tmp_path):
    from transformers import AutoTokenizer

    from mldata_train.models import load_model
    from mldata_train.trainers import BatchAlignedORPOTrainer, ORPOConfig

    rows = datasets.load_dataset(str(sums_set), split="train", cache_dir=str(tmp_path / "cache"))
    trainer = BatchAlignedORPOTrainer(
        model=load_model(str(tiny_model)),
        args=ORPOConfig(
            output_dir=str(tmp_path / "out"),
            per_device_train_batch_size=5,
            max_steps=2,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            bf16=False,
            activation_checkpointing=False,
            disable_tqdm=True,
        ),
        train_dataset=rows,
        processing_class=AutoTokenizer.from_pretrained(tiny_model),
    )
    assert len(trainer.plan.groups.rows) == len(on_disk(sums_set, "train"))
    assert trainer.train().global_step == 2
