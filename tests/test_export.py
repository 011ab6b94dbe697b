"""What `mldata export` writes, the libraries of others read back: the same texts, in the same order."""

import csv
import json

import datasets
import polars as pl
import pytest

import mldata
from mldata import shards
from mldata.concepts import FIELDS
from mldata.errors import InputError
from tests.conftest import run_mldata

TRAINERS = ("trl", "llama-factory", "axolotl", "openrlhf")
FORMATS = ("parquet", "jsonl", "csv", *TRAINERS)
HOSTILE = [
    'She said "no", then: \\"yes\\", and left.\r\nA new line,\ranother\nand a third\n',
    "\x00\x01\x1f\x7f\x85 and \u2028 and \u2029 are no line ends",
    "\u202eשלום, עולם\u202c أهلًا بالعالم 😀 e\u0301",
    '=HYPERLINK("http://example.org";"click")',
    "'quoted' from its first sign",
    "''twice",
    "- a list\n- of two",
    "@SUM(A1)",
    "\tindented",
    "＝1+1",
    "  kept blanks  ",
    "\ufeffmarked",
    "</script><script>alert(1)</script>",
    '{"x": [null]}',
    "null",
    "NA",
    "0012",
]


def rewrite(path, shape, say):
    """Give a set other texts, `say(number, field, text)`, in this shape and in two train shards."""
    manifest = json.loads((path / "manifest.json").read_text("utf-8"))
    manifest["source"]["shape"] = shape
    files = [file for file in manifest["files"] if file["split"] not in ("train", "test")]
    number = 0
    for split in ("train", "test"):
        frame = mldata.open_set(path).scan(split).collect()
        for field in FIELDS:
            said = [
                [{**m, "content": say(number + row, field, m["content"])} for m in talk]
                for row, talk in enumerate(frame[field])
            ]
            texts = [talk[0]["content"] for talk in said] if shape == "strings" else said
            frame = frame.with_columns(pl.Series(field, texts))
        number += len(frame)
        concepts = frame["concept_id"].unique(maintain_order=True)
        half = len(concepts) // 2 if split == "train" else 0
        for name, some in enumerate([concepts[:half], concepts[half:]]):
            file = f"data/{split}-{name}-rewritten.arrow"
            rows = frame.filter(pl.col("concept_id").is_in(some.implode()))
            rows.write_ipc(path / file)
            files.append({"path": file, "split": split, "rows": len(rows), "bytes": 1, "sha256": ""})
    manifest["files"] = files
    (path / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    return path


@pytest.fixture(scope="module", params=["strings", "messages"])
def hostile(request, built, tmp_path_factory):
    """A set whose texts are HOSTILE, in turn."""
    path = built.copy_to(tmp_path_factory.mktemp(request.param))
    return rewrite(path, request.param, lambda n, field, _: HOSTILE[(n + FIELDS.index(field)) % len(HOSTILE)])


@pytest.fixture
def load(monkeypatch, tmp_path):
    """Rows of a file, by `datasets`, as a trainer reads it."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)

    def rows(file, **options):
        kind = {".jsonl": "json", ".csv": "csv", ".parquet": "parquet"}[file.suffix]
        found = datasets.load_dataset(
            kind, data_files=str(file), cache_dir=str(tmp_path / "cache"), **options
        )
        return found["train"].to_list()

    return rows


def said(field):
    """The texts of a field, whatever a format makes of it."""
    if isinstance(field, str):
        return [field]
    return [m.get("content", m.get("value")) for m in ([field] if isinstance(field, dict) else field)]


def texts(rows, prompt="prompt"):
    """Of each row: who it is, and what it says."""
    return [
        (row["concept_id"], row["language"], *(said(row[name]) for name in (prompt, "chosen", "rejected")))
        for row in rows
    ]


PROMPTS = {("llama-factory", "strings"): "instruction", ("llama-factory", "messages"): "conversations"}
PROMPTS |= {("axolotl", "messages"): "messages"}


@pytest.mark.parametrize("to", [*TRAINERS, "parquet"])
def test_datasets_reads_the_sets_texts_in_the_sets_order(hostile, load, tmp_path, to):
    made = mldata.export(hostile, to=to, out=tmp_path / "out")
    shape = shards.read_manifest(hostile).source.shape
    for split, file in made.files.items():
        rows = load(file)
        ours = mldata.open_set(hostile).scan(split).collect().to_dicts()
        assert len(ours) == made.rows[split] > 0
        assert texts(rows, PROMPTS.get((to, shape), "prompt")) == texts(ours)


def test_parquet_and_jsonl_hold_every_column(hostile, tmp_path):
    ours = mldata.open_set(hostile).scan("train").collect()
    made = mldata.export(hostile, to="parquet", out=tmp_path / "parquet")
    assert pl.read_parquet(made.files["train"]).equals(ours)
    made = mldata.export(hostile, to="jsonl", out=tmp_path / "jsonl")
    back = pl.read_ndjson(made.files["train"], schema=ours.schema)
    assert back.equals(ours)


def test_no_cell_of_csv_is_a_formula_and_every_text_comes_back(hostile, load, tmp_path):
    made = mldata.export(hostile, to="csv", out=tmp_path / "out")
    ours = mldata.open_set(hostile).scan("train").collect()
    with made.files["train"].open(encoding="utf-8-sig", newline="") as file:
        cells = list(csv.DictReader(file))
    assert not [cell for row in cells for cell in row.values() if cell[:1] in tuple("=+-@\t\r＝")]
    restored = eval(made.load, {"pl": pl})  # the line that the command prints
    assert restored.columns == list(cells[0])
    assert "fields" not in restored.columns
    for field in FIELDS:
        given = ours[field].to_list()
        back = restored[field].to_list()
        assert [json.loads(cell) for cell in back] == given if given[0] != str(given[0]) else back == given
    plain = datasets.Features({name: datasets.Value("string") for name in restored.columns})
    rows = load(made.files["train"], features=plain, keep_default_na=False)
    assert [row["chosen"].removeprefix("'") for row in rows] == restored["chosen"].to_list()


@pytest.mark.parametrize("to", FORMATS)
def test_concepts_stay_together_in_the_languages_asked_for(built, tmp_path, to):
    made = mldata.export(built.path, to=to, out=tmp_path / "out", split="train", languages=["gl", "en"])
    wanted = mldata.open_set(built.path).scan("train").filter(pl.col("language") != "es")
    ours = wanted.select("concept_id", "language").collect()
    read = {"parquet": pl.read_parquet, "csv": pl.read_csv}.get(to, pl.read_ndjson)
    assert set(made.files) == {"train"}
    assert read(made.files["train"]).select("concept_id", "language").equals(ours)


@pytest.mark.parametrize("form", ["sharegpt", "alpaca"])
def test_llama_factorys_dataset_info_describes_the_files(built, tmp_path, form):
    path = built.path
    if form == "alpaca":
        path = rewrite(built.copy_to(tmp_path), "strings", lambda n, field, text: text)
    mldata.export(path, to="llama-factory", out=tmp_path / "out")
    info = json.loads((tmp_path / "out/dataset_info.json").read_text("utf-8"))
    assert list(info) == ["set", "set_test"]
    for entry in info.values():
        assert entry["ranking"] is True
        assert entry.get("formatting", "alpaca") == form
        with (tmp_path / "out" / entry["file_name"]).open(encoding="utf-8") as file:
            row = json.loads(next(file))
        assert set(entry["columns"].values()) <= set(row)
        if form == "sharegpt":
            assert [m["from"] for m in row["conversations"]] == ["human"]
            assert row["chosen"]["from"] == row["rejected"]["from"] == "gpt"


def test_load_dataset_takes_the_directory_as_a_whole(built, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    for to in ("trl", "llama-factory", "parquet"):
        made = mldata.export(built.path, to=to, out=tmp_path / to)
        found = datasets.load_dataset(str(tmp_path / to), cache_dir=str(tmp_path / "cache"))
        assert {split: len(rows) for split, rows in found.items()} == made.rows


def test_conversations_that_a_trainer_does_not_take_are_refused_before_anything_is_written(built, tmp_path):
    path = built.copy_to(tmp_path)
    shard = next(path.glob("data/train-*.arrow"))
    rows = pl.read_ipc(shard.read_bytes())
    twice = pl.concat_list("chosen", "chosen")
    rows.with_columns(
        pl.when(pl.int_range(pl.len()) == 0).then(twice).otherwise("chosen").alias("chosen")
    ).write_ipc(shard)
    for to in ("llama-factory", "axolotl"):
        with pytest.raises(InputError, match=rf"1 rows .* {rows['concept_id'][0]}\): export to jsonl"):
            mldata.export(path, to=to, out=tmp_path / "out")
        assert not (tmp_path / "out").exists()
    mldata.export(path, to="trl", out=tmp_path / "out")


def test_tool_calls_are_refused_by_trainers_and_kept_by_the_rest(built, tmp_path):
    path = built.copy_to(tmp_path)
    shard = next(path.glob("data/train-*.arrow"))
    rows = pl.read_ipc(shard.read_bytes())
    call = '[{"type": "function", "function": {"name": "oven", "arguments": {"degrees": 200}}}]'
    calls = pl.element().struct.with_fields(
        name=pl.lit(None, pl.String), tool_calls=pl.lit(call), tool_call_id=pl.lit(None, pl.String)
    )
    rows.with_columns(pl.col(*FIELDS).list.eval(calls)).write_ipc(shard)
    for to in TRAINERS:
        with pytest.raises(InputError, match=f"{to} takes no tool calls .* export to jsonl"):
            mldata.export(path, to=to, out=tmp_path / "out", split="train")
    made = mldata.export(path, to="jsonl", out=tmp_path / "out", split="train")
    with made.files["train"].open(encoding="utf-8") as file:
        assert {json.loads(line)["chosen"][0]["tool_calls"] for line in file} == {call}


def test_the_command_says_how_to_load_it_and_overwrites_nothing(built, tmp_path):
    order = ("export", built.path, "--to", "openrlhf", "--out", "out", "--languages", "es")
    done = run_mldata(*order, cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert (
        "--dataset out/train.jsonl --prompt_key prompt --chosen_key chosen --rejected_key rejected"
        in done.out
    )
    before = (tmp_path / "out/train.jsonl").read_bytes()
    again = run_mldata(*order, cwd=tmp_path)
    assert (again.code, again.out) == (2, "")
    assert again.err == "mldata: out is there already, and nothing is overwritten: choose another --out\n"
    assert (tmp_path / "out/train.jsonl").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_a_full_disk_leaves_nothing_behind(built, tmp_path, monkeypatch):
    full = lambda rows, path: rows.sink_ndjson("/dev/full", check_extension=False)  # noqa: E731
    monkeypatch.setitem(mldata.exports.WRITERS, "jsonl", full)
    with pytest.raises(InputError, match=r"no space left for .*out: free some"):
        mldata.export(built.path, to="jsonl", out=tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_an_export_that_was_killed_is_made_by_the_same_command(built, tmp_path):
    (tmp_path / ".out.making").mkdir()
    (tmp_path / ".out.making/train.jsonl").write_text('{"prompt": "ha', "utf-8")
    (tmp_path / ".out.making/.test.jsonl.0a1b").touch()
    made = mldata.export(built.path, to="trl", out=tmp_path / "out", split="train")
    assert len(pl.read_ndjson(made.files["train"])) == made.rows["train"]
    assert [file.name for file in tmp_path.rglob("*")] == ["out", "train.jsonl"]


@pytest.mark.parametrize(
    ("asked", "because"),
    [
        ({"languages": ["es", "sw"]}, "the set has no sw; its languages are en es gl"),
        ({"languages": []}, "nothing to export"),
        ({"out": "data/more"}, "is inside the set"),
    ],
)
def test_what_can_not_be_exported_is_said(built, tmp_path, asked, because):
    out = built.path / asked["out"] if "out" in asked else tmp_path / "out"
    with pytest.raises(InputError, match=because):
        mldata.export(built.path, to="trl", out=out, languages=asked.get("languages"))
    assert not out.exists()


def test_a_damaged_shard_is_said(built, tmp_path):
    path = built.copy_to(tmp_path)
    shard = next(path.glob("data/train-*.arrow"))
    shard.write_bytes(shard.read_bytes()[:-5])
    with pytest.raises(InputError, match=r"`mldata verify .*` tells"):
        mldata.export(path, to="parquet", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
