"""A set in the files of others: Parquet, JSON Lines, CSV, and what trainers document as theirs.

    DIR/train.jsonl  test.jsonl        (.parquet, .csv; LLaMA-Factory's dataset_info.json beside them)

One file a split, in the set's order, so that a concept's rows stay together. The directory appears whole or
not at all. Rows are streamed shard by shard: memory doesn't grow with the set.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl
from polars.exceptions import PolarsError

from mldata.concepts import FIELDS, Shape
from mldata.errors import InputError, first_line, in_shell
from mldata.languages import canonical
from mldata.shards import SPLITS, Manifest, check_outside, read_manifest, replacing, write_json
from mldata.store import atomic

Format = Literal["parquet", "jsonl", "csv", "trl", "llama-factory", "axolotl", "openrlhf"]
Split = Literal["train", "test", "all"]

BESIDE = ("concept_id", "language")
"""What a trainer doesn't need goes along where it stands in nobody's way: to tell who is who later."""
CALLS = ("tool_calls", "tool_call_id")
"""Parts of a message that no trainer's format here takes as the set has them, as JSON text."""
FORMULA = r"^['=+\-@\t\r\n＝＋－＠]"
"""Cells that a spreadsheet would run (https://owasp.org/www-community/attacks/CSV_Injection; some take wide
signs of East Asia, too). They get an apostrophe in front, and so do those that begin with one: removing one
apostrophe gives every text back."""
ROW_GROUP = 8192
"""Rows of Parquet that are compressed together, and held until they are."""
SHAREGPT = {"system": "system", "user": "human", "assistant": "gpt"}
"""LLaMA-Factory's own names of the roles, so that dataset_info.json needs no tags."""


@dataclass(frozen=True)
class Turns:
    """Which conversations a trainer takes, as patterns over roles joined by blanks."""

    prompt: str
    answer: str
    because: str


TURNS = {
    "llama-factory": Turns(
        r"^(system )?user( assistant user)*$",
        r"^assistant$",
        "takes user and assistant in turn, after a system message or none, and one message as answer",
    ),
    "axolotl": Turns(
        r"^(system|user|assistant)( (system|user|assistant))*$",
        r"^assistant$",
        "takes system, user and assistant messages, and one assistant message as answer",
    ),
}


@dataclass(frozen=True)
class Exported:
    """What was written."""

    path: Path
    files: dict[str, Path]
    """Split -> its file."""
    rows: dict[str, int]
    """Split -> its rows."""
    licence: str
    load: str
    """The command or lines that load it."""


def export(
    path: str | Path,
    *,
    to: Format,
    out: str | Path,
    split: Split = "all",
    languages: Sequence[str] | None = None,
) -> Exported:
    """Write the set at `path` to the new directory `out`, in the format `to`.

    `languages` are those wanted, of the set's, the anchor among them only where it is named; None: all.
    InputError where `out` is there already, nothing is left to write, or the format can't say what the set
    says.

    >>> made = mldata.export("sets/prefs", to="trl", out="exported/trl", languages=["en", "es"])
    >>> sorted(made.files)
    ['test', 'train']
    """
    path, out = Path(path), Path(out)
    manifest = read_manifest(path)
    tags = _chosen(manifest, languages)
    counted = {name: sum(getattr(manifest.languages[tag], name) for tag in tags) for name in SPLITS}
    rows = {name: number for name, number in counted.items() if split in (name, "all") and number}
    if not rows:
        what = "" if split == "all" else f" {split}"
        raise InputError(f"{path} has no{what} rows in {' '.join(tags)}: nothing to export")
    check_outside(out)
    _check_free(out)
    shape = manifest.source.shape
    sources = {name: _rows(path, manifest, name, tags) for name in rows}
    suffix = to if to in ("parquet", "csv") else "jsonl"
    with _readable(path, to):
        if shape == "messages":
            for source in sources.values():
                _check_turns(source, to)
        with replacing(out.resolve()) as making:
            _check_free(out)  # again, now that no other export can write there
            for name, source in sources.items():
                with atomic(making / f"{name}.{suffix}") as temporary, _disk(out):
                    WRITERS[suffix](in_format(source, to, shape), temporary)
            if to == "llama-factory":
                write_json(making / "dataset_info.json", _dataset_info(_name(path), rows, shape))
    files = {name: out / f"{name}.{suffix}" for name in rows}
    return Exported(out, files, rows, manifest.licence, _load(to, shape, _name(path), out, files))


def _chosen(manifest: Manifest, languages: Sequence[str] | None) -> list[str]:
    """The languages asked for, as the set names them and in its order."""
    there = [manifest.anchor, *manifest.targets]
    if languages is None:
        return there
    wanted = {canonical(tag) for tag in languages if tag.strip()}
    if missing := sorted(wanted - set(there)):
        raise InputError(f"the set has no {' '.join(missing)}; its languages are {' '.join(there)}")
    return [tag for tag in there if tag in wanted]


def _check_free(out: Path) -> None:
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(f"{out} is there already, and nothing is overwritten: choose another --out")


def _rows(path: Path, manifest: Manifest, split: str, tags: Sequence[str]) -> pl.LazyFrame:
    """The rows of a split in these languages, in the set's order."""
    shards = [path / file.path for file in manifest.files if file.split == split]
    return pl.scan_ipc(shards, glob=False).filter(pl.col("language").is_in(tags))


@contextmanager
def _readable(path: Path, to: Format) -> Iterator[None]:
    """InputError where Polars can't read or write what a set holds."""
    try:
        yield
    except PolarsError as error:
        raise InputError(
            f"{path} can't be exported to {to} ({first_line(error)}): `mldata verify {in_shell(path)}` tells "
            "whether it is damaged"
        ) from None


@contextmanager
def _disk(out: Path) -> Iterator[None]:
    """InputError where the disk is full: Polars gives the error no number."""
    try:
        yield
    except (OSError, PolarsError) as error:
        if "(os error 28)" in str(error):
            raise InputError(f"no space left for {out}: free some and run the same command again") from None
        raise


def _check_turns(rows: pl.LazyFrame, to: Format) -> None:
    """InputError, with the first of them, where a trainer's format can't hold some conversations."""
    if to in ("parquet", "jsonl", "csv"):
        return
    calls = [name for name in CALLS if name in _message_fields(rows)]
    if calls:
        used = pl.any_horizontal(
            pl.col(field).list.eval(pl.element().struct.field(name).is_not_null()).list.any()
            for field in FIELDS
            for name in calls
        )
        _refuse(rows, used, f"{to} takes no tool calls as JSON text")
    if turns := TURNS.get(to):
        fits = [_roles("prompt").str.contains(turns.prompt)]
        fits += [_roles(name).str.contains(turns.answer) for name in ("chosen", "rejected")]
        _refuse(rows, ~pl.all_horizontal(fits), f"{to} {turns.because}")


def _refuse(rows: pl.LazyFrame, unfit: pl.Expr, because: str) -> None:
    found = rows.filter(unfit).select(pl.col("concept_id").first(), rows=pl.len()).collect(engine="streaming")
    first, number = found.row(0)
    if number:
        raise InputError(
            f"{because}, and {number} rows have other conversations (the first is of concept {first}): "
            "export to jsonl, which takes all"
        )


def _roles(field: str) -> pl.Expr:
    return pl.col(field).list.eval(pl.element().struct.field("role")).list.join(" ")


def _message_fields(rows: pl.LazyFrame) -> list[str]:
    """The parts of this set's messages."""
    listed = rows.collect_schema()["prompt"]
    assert isinstance(listed, pl.List)
    message = listed.inner
    assert isinstance(message, pl.Struct)
    return [field.name for field in message.fields]


def in_format(rows: pl.LazyFrame, to: Format, shape: Shape) -> pl.LazyFrame:
    """The columns of a format, from those of a set."""
    if to in ("parquet", "jsonl"):
        return rows
    if to == "csv":
        return _flat(rows)
    if to == "llama-factory" and shape == "strings":
        # https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md, "Preference Dataset" of each form
        alpaca = [pl.col("prompt").alias("instruction"), pl.lit("").alias("input")]
        return rows.select(*alpaca, "chosen", "rejected", *BESIDE)
    if shape == "strings":
        return rows.select(*FIELDS, *BESIDE)
    if to == "llama-factory":
        role = pl.element().struct.field("role").replace_strict(SHAREGPT)
        said = pl.struct(role.alias("from"), pl.element().struct.field("content").alias("value"))
        prompt, *answers = (pl.col(name).list.eval(said) for name in FIELDS)
        return rows.select(prompt.alias("conversations"), *(a.list.first() for a in answers), *BESIDE)
    if to == "axolotl":
        # https://docs.axolotl.ai/docs/rlhf.html, chat_template.default: messages, and one message an answer
        said = pl.struct(pl.element().struct.field("role", "content"))
        prompt, *answers = (pl.col(name).list.eval(said) for name in FIELDS)
        return rows.select(prompt.alias("messages"), *(a.list.first() for a in answers), *BESIDE)
    kept = [name for name in _message_fields(rows) if name not in CALLS]
    message = pl.struct(pl.element().struct.field(*kept))
    return rows.select(*(pl.col(name).list.eval(message) for name in FIELDS), *BESIDE)


def _flat(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Columns that a table of cells can hold: lists and structs as JSON text, the evidence of each text left
    out, and nothing that a spreadsheet would run."""
    cells = []
    for name, kind in rows.drop("fields").collect_schema().items():
        cell = pl.col(name)
        if isinstance(kind, pl.Struct):
            cell = cell.struct.json_encode()
        elif isinstance(kind, pl.List):
            # A struct around it is the way to JSON that Polars has; `{"x":` and `}` come off again.
            cell = pl.struct(cell.alias("x")).struct.json_encode().str.slice(5).str.head(-1)
        if isinstance(kind, pl.String | pl.Struct | pl.List):
            cell = pl.when(cell.str.contains(FORMULA)).then("'" + cell).otherwise(cell)
        cells.append(cell.alias(name))
    return rows.select(cells)


WRITERS: dict[str, Callable[[pl.LazyFrame, Path], object]] = {
    "parquet": lambda rows, path: rows.sink_parquet(path, row_group_size=ROW_GROUP, engine="streaming"),
    "jsonl": lambda rows, path: rows.sink_ndjson(path, check_extension=False, engine="streaming"),
    # With a byte order mark, without which spreadsheets read another encoding; quoted, so that an empty text
    # isn't a missing one.
    "csv": lambda rows, path: rows.sink_csv(
        path, check_extension=False, include_bom=True, quote_style="always", engine="streaming"
    ),
}


def _name(path: Path) -> str:
    """The set's name as LLaMA-Factory can have it: a comma parts names there."""
    return re.sub(r"[^\w.-]", "_", path.resolve().name)


def _dataset_info(name: str, rows: dict[str, int], shape: Shape) -> dict[str, object]:
    """LLaMA-Factory's dataset_info.json: NAME for train, NAME_test for test."""
    answers = {"chosen": "chosen", "rejected": "rejected"}
    described: dict[str, object] = (
        {"ranking": True, "columns": {"prompt": "instruction", "query": "input", **answers}}
        if shape == "strings"
        else {"formatting": "sharegpt", "ranking": True, "columns": {"messages": "conversations", **answers}}
    )
    return {_entry(name, split): {"file_name": f"{split}.jsonl", **described} for split in rows}


def _entry(name: str, split: str) -> str:
    return name if split == "train" else f"{name}_{split}"


def _load(to: Format, shape: Shape, name: str, out: Path, files: dict[str, Path]) -> str:
    """The command or lines that load what was written."""
    first = next(iter(files))
    if to == "llama-factory":
        flags = {"train": "--dataset", "test": "--eval_dataset"}
        given = " ".join(f"{flags[split]} {_entry(name, split)}" for split in files)
        return f"llamafactory-cli train --stage dpo --dataset_dir {shlex.quote(str(out))} {given} …"
    if to == "openrlhf":
        chat = " --apply_chat_template" if shape == "messages" else ""
        keys = "--prompt_key prompt --chosen_key chosen --rejected_key rejected"
        return f"python -m openrlhf.cli.train_dpo --dataset {shlex.quote(str(files[first]))} {keys}{chat} …"
    if to == "axolotl":
        return _axolotl(shape, files)
    if to == "csv":
        read = f"pl.read_csv({json.dumps(str(files[first]), ensure_ascii=False)}, infer_schema=False)"
        talks = "  # prompt, chosen and rejected are JSON text" if shape == "messages" else ""
        return f"""{read}.with_columns(pl.all().str.replace("^'", "")){talks}"""
    if to in ("parquet", "jsonl"):
        scan = "scan_parquet(" if to == "parquet" else "scan_ndjson("
        more = "" if to == "parquet" else ", infer_schema_length=None"
        return f"pl.{scan}{json.dumps(str(files[first]), ensure_ascii=False)}{more})"
    place = json.dumps(str(out), ensure_ascii=False)
    return f'DPOTrainer(…, train_dataset=datasets.load_dataset({place}, split="{first}"))'


def _axolotl(shape: Shape, files: dict[str, Path]) -> str:
    """The part of axolotl's YAML that names the files."""
    kind = ["    type: chat_template.default"]
    if shape == "strings":
        formats = {name: f'"{{{name}}}"' for name in FIELDS}
        kind = ["    type:", *(f"      field_{name}: {name}" for name in FIELDS)]
        kind += [f"      {name}_format: {value}" for name, value in formats.items()]
    lines = ["rl: dpo"]
    for split, file in files.items():
        lines += ["datasets:" if split == "train" else "test_datasets:"]
        place = json.dumps(str(file), ensure_ascii=False)
        lines += [f"  - path: {place}", "    ds_type: json", "    split: train", *kind]
    return "\n".join(lines)
