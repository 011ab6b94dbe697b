"""Every container gives the same concepts; what can't be opened is one sentence."""

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import subprocess
import sys
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from fsspec.implementations.memory import MemoryFileSystem

from mldata.concepts import Concept
from mldata.errors import InputError
from mldata.sources import SAMPLES, open_source


def lines(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def array(rows):
    return json.dumps(rows, indent=2).encode()


def table(delimiter):
    def write(rows):
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode()

    return write


def parquet(rows):
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink, row_group_size=2)
    return sink.getvalue()


def arrow(new, compression=None):
    def write(rows):
        sink = io.BytesIO()
        content = pa.Table.from_pylist(rows)
        with new(sink, content.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
            writer.write_table(content, max_chunksize=2)
        return sink.getvalue()

    return write


def in_two_frames(rows):
    whole = lines(rows)
    return zstandard.compress(whole[:100]) + zstandard.compress(whole[100:])


CONTAINERS = {
    "prefs.jsonl": lines,
    "prefs.ndjson": lines,
    "lines.json": lines,
    "bom.jsonl": lambda rows: b"\xef\xbb\xbf" + lines(rows),
    "array.json": array,
    "short.json": lambda rows: json.dumps(rows).encode(),
    "prefs.csv": table(","),
    "bom.csv": lambda rows: b"\xef\xbb\xbf" + table(",")(rows),
    "prefs.tsv": table("\t"),
    "prefs.parquet": parquet,
    "file.arrow": arrow(pa.ipc.new_file),
    "packed.arrow": arrow(pa.ipc.new_file, "zstd"),
    "stream.arrow": arrow(pa.ipc.new_stream),
    "prefs.jsonl.gz": lambda rows: gzip.compress(lines(rows)),
    "prefs.jsonl.zst": lambda rows: zstandard.compress(lines(rows)),
    "frames.jsonl.zst": in_two_frames,
    "prefs.jsonl.bz2": lambda rows: bz2.compress(lines(rows)),
    "prefs.jsonl.xz": lambda rows: lzma.compress(lines(rows)),
    "array.json.gz": lambda rows: gzip.compress(array(rows)),
    "prefs.csv.gz": lambda rows: gzip.compress(table(",")(rows)),
    "prefs.csv.zst": lambda rows: zstandard.compress(table(",")(rows)),
    "PREFS.JSONL": lines,
}


def read(uri, **options):
    items = list(open_source(str(uri), **options))
    assert all(isinstance(item, Concept) for item in items), items
    return items


@pytest.fixture
def concepts(write, pairs):
    return read(write(pairs, "reference/prefs.jsonl"))


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_gives_the_same_concepts(tmp_path, pairs, concepts, name):
    path = tmp_path / name
    path.write_bytes(CONTAINERS[name](pairs))
    source = open_source(str(path))
    assert list(source) == concepts
    assert list(source) == concepts, "a source can be read again"
    assert source.files == (str(path),)
    assert source.name == name.split(".")[0]


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_same_over_fsspec(pairs, concepts, name):
    with fsspec.open(f"memory://prefs/{name}", "wb") as file:
        file.write(CONTAINERS[name](pairs))
    source = open_source(f"memory://prefs/{name}")
    assert list(source) == concepts
    assert source.files == (f"memory:///prefs/{name}",)
    assert len(source.digest()) == 32


@pytest.mark.parametrize("name", ["prefs.parquet", "file.arrow", "stream.arrow", "prefs.csv"])
def test_conversations_come_through_containers(tmp_path, pairs, name):
    rows = [
        {
            "prompt": [{"role": "user", "content": p["prompt"]}],
            "chosen": [{"role": "assistant", "content": p["chosen"]}],
            "rejected": [{"role": "assistant", "content": p["rejected"]}],
        }
        for p in pairs
    ]
    (tmp_path / "prefs.jsonl").write_bytes(lines(rows))
    if name.endswith("csv"):
        rows = [{k: json.dumps(v) for k, v in row.items()} for row in rows]
    (tmp_path / name).write_bytes(CONTAINERS[name](rows))
    source = open_source(str(tmp_path / name))
    assert source.format == "conversational"
    assert list(source) == read(tmp_path / "prefs.jsonl")


def test_values_of_other_columns_are_kept_as_they_are(tmp_path, pairs):
    extra = {"scores": [8, 3], "by": {"name": "Ana", "age": None}, "flag": True, "weight": 0.5}
    path = tmp_path / "prefs.parquet"
    path.write_bytes(parquet([extra | pair for pair in pairs]))
    first = read(path)[0]
    assert first.extra == extra | {"topic": "plants"}
    assert list(first.extra) == [*extra, "topic"]


def test_a_long_cell_is_no_error(tmp_path, pairs):
    (tmp_path / "prefs.csv").write_bytes(table(",")([pairs[0] | {"chosen": "Water it. " * 50_000}]))
    assert len(read(tmp_path / "prefs.csv")[0].chosen) == 500_000


def test_a_folder_is_read_in_order_with_train_first(tmp_path, pairs, concepts):
    for name, pair in zip(
        ("data/test-0.jsonl", "data/train-0.jsonl", "data/train-1.jsonl"), pairs, strict=True
    ):
        (tmp_path / "prefs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "prefs" / name).write_bytes(lines([pair]))
    (tmp_path / "prefs" / "README.md").write_text("# Preferences")
    (tmp_path / "prefs" / "dataset_infos.json").write_text("{}")
    (tmp_path / "prefs" / ".cache").mkdir()
    (tmp_path / "prefs" / ".cache" / "copy.jsonl").write_bytes(lines(pairs))
    source = open_source(str(tmp_path / "prefs"))
    assert source.name == "prefs"
    assert [Path(f).name for f in source.files] == ["train-0.jsonl", "train-1.jsonl", "test-0.jsonl"]
    assert [c.id for c in source] == [concepts[i].id for i in (1, 2, 0)]
    glob = open_source(str(tmp_path / "prefs" / "data" / "train-*.jsonl"))
    assert [c.id for c in glob] == [concepts[i].id for i in (1, 2)]
    assert glob.name == "data"


def test_folders_saved_by_datasets(tmp_path, pairs, concepts):
    import datasets

    rows = datasets.Dataset.from_list(pairs)
    rows.save_to_disk(tmp_path / "saved", num_shards=2)
    datasets.DatasetDict({"test": rows.select([0]), "train": rows}).save_to_disk(tmp_path / "both")
    datasets.DatasetDict({"test": rows}).save_to_disk(tmp_path / "test_only")
    assert read(tmp_path / "saved") == concepts
    assert read(tmp_path / "both") == concepts
    assert open_source(str(tmp_path / "both")).name == "both"
    with pytest.raises(InputError, match='has no split "train"; give the folder of one of test'):
        open_source(str(tmp_path / "test_only"))
    assert read(tmp_path / "test_only" / "test") == concepts


@pytest.fixture
def hub_dataset(tmp_path, monkeypatch, pairs):
    """A folder that `datasets` loads by the name org/prefs, without a network."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org" / "prefs").mkdir(parents=True)
    for split in ("train", "test"):
        part = pairs if split == "train" else pairs[:1]
        (tmp_path / "org" / "prefs" / f"{split}.jsonl").write_bytes(lines(part))
    return tmp_path / "org" / "prefs"


def test_a_hub_dataset_is_streamed(hub_dataset, concepts):
    source = open_source("hf://org/prefs")
    assert (source.name, source.files, source.format) == ("prefs", ("hf://org/prefs",), "standard")
    assert list(source) == concepts
    assert list(source) == concepts
    test = open_source("hf://org/prefs/default:test")
    assert list(test) == concepts[:1]
    digest = source.digest()
    assert digest == open_source("hf://org/prefs").digest()
    assert digest != test.digest()
    with (hub_dataset / "train.jsonl").open("ab") as file:
        file.write(b'{"prompt": "More?", "chosen": "Yes, please.", "rejected": "No.", "topic": "food"}\n')
    assert digest != open_source("hf://org/prefs").digest()
    with pytest.raises(InputError, match="hf://org/prefs:dev can't be loaded: Bad split: dev"):
        open_source("hf://org/prefs:dev")
    with pytest.raises(InputError, match="is given as hf://org/name, hf://org/name/config or"):
        open_source("hf://org/prefs/default/more")


def test_the_digest_is_of_the_content_and_how_it_is_read(tmp_path, write, pairs):
    source = open_source(write(pairs))
    digest = source.digest()
    assert digest == source.digest() == open_source(write(pairs, "copy/other.jsonl")).digest()
    others = [
        open_source(source.uri, limit=2),
        open_source(source.uri, id_column="topic"),
        open_source(source.uri, max_chars=500),
        open_source(write(pairs[:2], "fewer.jsonl")),
    ]
    write(pairs[:1], "split/a.jsonl")
    write(pairs[1:], "split/b.jsonl")
    others.append(open_source(str(tmp_path / "split")))
    assert len({digest, *(other.digest() for other in others)}) == 6


@pytest.mark.parametrize("name", ["prefs.jsonl.gz", "prefs.jsonl.zst", "prefs.jsonl.bz2", "prefs.jsonl.xz"])
def test_a_cut_off_file_never_passes_for_a_whole_one(tmp_path, pairs, name):
    rows = [pair | {"noise": os.urandom(200_000).hex()} for pair in pairs * 3]
    path = tmp_path / name
    content = CONTAINERS[name](rows)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=f"^{name} is damaged or cut off after line [1-9]: "):
        list(open_source(str(path)))


@pytest.mark.parametrize("name", ["prefs.parquet", "file.arrow", "stream.arrow", "prefs.jsonl.gz"])
def test_a_damaged_file_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"These are no rows but a note about basil.")
    with pytest.raises(InputError, match=f"^{name} is damaged or cut off: "):
        open_source(str(tmp_path / name))


def error_of(uri, **options):
    with pytest.raises(InputError) as caught:
        open_source(str(uri), **options)
    return str(caught.value)


KNOWN = ".jsonl .ndjson .json .csv .tsv .parquet .arrow (and the text kinds with .gz .zst .bz2 .xz)"


def test_what_can_not_be_opened_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text("Rice keeps four days.")
    Path("prefs.parquet.gz").write_bytes(b"")
    Path("empty").mkdir()
    Path("nothing.jsonl").write_text("\n")
    Path("header.csv").write_text("prompt,chosen,rejected\n")
    Path("twice.csv").write_text("chosen,chosen,rejected\nYes.,No.,Maybe.\n")
    Path("broken.json").write_text('[{"prompt": "Why?"},')
    Path("pretty.json").write_text('{\n  "prompt": "Why?"\n}\n')
    assert error_of("absent.jsonl") == "absent.jsonl: no such file or folder."
    assert error_of("absent/*.jsonl").startswith("No data file matches absent/*.jsonl; known are .jsonl")
    assert error_of("notes.txt") == f'notes.txt: the extension ".txt" is unknown; known are {KNOWN}.'
    assert error_of("prefs.parquet.gz").startswith('prefs.parquet.gz: the extension ".parquet.gz" is unknown')
    assert error_of("empty") == f"empty is a folder without data files; known are {KNOWN}."
    assert error_of("nothing.jsonl") == "nothing.jsonl has no rows."
    assert error_of("header.csv") == "header.csv has no rows."
    assert error_of("twice.csv") == 'twice.csv has the column "chosen" more than once.'
    assert error_of("broken.json").startswith("broken.json is not a JSON array: ")
    assert error_of("pretty.json") == (
        "pretty.json has no readable row in the first 3; pretty.json, line 1: "
        "the line is not JSON at column 2: Expecting property name enclosed in double quotes."
    )
    assert error_of("nowhere://prefs.jsonl").startswith(
        "nowhere://prefs.jsonl can't be opened: Protocol not known"
    )
    assert error_of("en_pref") == f'"en_pref" is neither a path nor a sample; samples: {", ".join(SAMPLES)}.'


class LockedFileSystem(MemoryFileSystem):
    """Files that may be listed but not read: permissions of real files don't bind root."""

    protocol = "locked"

    def _open(self, path, mode="rb", **options):
        if mode == "rb":
            raise PermissionError(13, "Permission denied", path)
        return super()._open(path, mode, **options)


def test_a_file_without_permission_is_named():
    fsspec.register_implementation("locked", LockedFileSystem, clobber=True)
    with fsspec.open("locked://secret.jsonl", "wb") as file:
        file.write(b"{}\n")
    assert error_of("locked://secret.jsonl") == "secret.jsonl can't be read: no permission."


def test_zstd_without_its_package_says_what_to_install(tmp_path, monkeypatch, pairs):
    (tmp_path / "prefs.jsonl.zst").write_bytes(CONTAINERS["prefs.jsonl.zst"](pairs))
    monkeypatch.setitem(sys.modules, "zstandard", None)  # what Python does for a package that is not there
    expected = "prefs.jsonl.zst is compressed with zstd; install it with: pip install zstandard"
    assert error_of(tmp_path / "prefs.jsonl.zst") == expected


def test_a_path_wins_over_a_sample_only_if_it_looks_like_a_path(tmp_path, monkeypatch, pairs, concepts):
    monkeypatch.chdir(tmp_path)
    Path("en_prefs").mkdir()
    Path("mine").mkdir()
    for folder in ("en_prefs", "mine"):
        Path(folder, "prefs.jsonl").write_bytes(lines(pairs))
    assert read("./en_prefs") == concepts
    assert read("mine") == concepts
    try:
        assert open_source("en_prefs").files != open_source("./en_prefs").files
    except InputError as error:
        assert "is missing from this installation" in str(error)  # noqa: PT017 - the sample may not be there yet


def test_the_sample_is_read_without_a_fault():
    try:
        source = open_source("en_prefs")
    except InputError:
        pytest.skip("the sample is not in this tree yet")
    assert source.name == "en_prefs"
    assert all(isinstance(item, Concept) for item in source)


def test_datasets_is_not_imported_for_files(write, pairs):
    code = (
        "import sys; from mldata.sources import open_source; "
        f"assert len(list(open_source({write(pairs)!r}))) == 3; "
        "assert not {'datasets', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_memory_does_not_grow_with_the_file(tmp_path, pairs):
    """40 MB of JSON Lines and Arrow (one batch) are read in a fraction of that."""
    import tracemalloc

    rows = [pairs[0] | {"chosen": f"Advice {i}: " + "water it from below. " * 95} for i in range(20_000)]
    (tmp_path / "prefs.jsonl").write_bytes(lines(rows))
    with pa.OSFile(str(tmp_path / "prefs.arrow"), "wb") as sink:
        content = pa.Table.from_pylist(rows).combine_chunks()
        with pa.ipc.new_file(sink, content.schema) as writer:
            writer.write_table(content)
    del rows, content
    for name in ("prefs.jsonl", "prefs.arrow"):
        source = open_source(str(tmp_path / name))
        tracemalloc.start()
        before = pa.total_allocated_bytes()
        assert sum(1 for _ in source) == 20_000
        assert tracemalloc.get_traced_memory()[1] < 12_000_000
        assert pa.total_allocated_bytes() - before < 5_000_000
        tracemalloc.stop()
