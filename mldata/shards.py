"""The aligned set on disk: its schema, its files, its manifest, and the proof that all of it is whole.

    SET/README.md  manifest.json  calibration.json  run.json  report.html
    SET/data/train-*.arrow  data/test-*.arrow  dropped/rows-*.arrow  dropped/unreadable.arrow

One row a concept and language; all rows of a concept stand together in one shard, the anchor first. A set
is written beside its place and renamed into it, manifest last. `run.json`, and the report that shows it, may
differ between two builds of the same thing; the report is added when the set is in its place.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mldata import calibration
from mldata.calibration import Calibration
from mldata.chunks import SourceIndex
from mldata.concepts import FIELDS, Shape
from mldata.errors import InputError, SetError, in_shell
from mldata.evidence import LENGTH_DEVIATION, columns
from mldata.recipe import Policy, Recipe, Rule
from mldata.store import atomic, read_table, sync

FORMAT_VERSION = 1
SHARD_BYTES = 256 << 20
"""Arrow bytes in memory after which a shard ends, at the next chunk's end."""


SPLITS = ("train", "test")
CARD, REPORT, RUN = "README.md", "report.html", "run.json"
"""Files of a set that its manifest doesn't list: what it says of itself to people, and how it was made."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceFacts(_Model):
    """What was read."""

    uri: str
    name: str
    digest: str = Field(description="of the source's bytes and how they were read")
    format: str
    shape: Literal["strings", "messages"]
    rows: int
    concepts: int
    duplicates: int
    unreadable: int


class EngineFacts(_Model):
    """One engine that had a part in the set."""

    name: str
    version: str
    digest: str
    licence: str
    commercial: bool | None = Field(description="may be used commercially; null: can't be told")


class LanguageCounts(_Model):
    """What became of one language's rows."""

    route: str
    concepts: int = Field(description="rows that were measured")
    passed: int = Field(description="rows for which all rules hold")
    kept: int = Field(description="rows written, after the group policy")
    train: int
    test: int
    unmeasured: dict[str, int] = Field(description="rule -> rows that passed it for want of evidence")
    dropped: dict[str, int] = Field(description="reason -> rows; a row may have several")
    median_length_ratio: float | None
    kept_by: dict[str, int] = Field(default={}, description="engines of the route -> rows kept")
    flipped: int = Field(
        description="rows whose contrast is negative: chosen and rejected differ the other way round"
    )


class FileFacts(_Model):
    """One Arrow file of the set."""

    path: str
    split: Literal["train", "test", "dropped", "unreadable", "near_duplicates", "contaminated"]
    rows: int
    bytes: int
    sha256: str


class NearDuplicateGroup(_Model):
    """Some concepts that say the same but for a word here and there."""

    first: str = Field(description="concept_id of the first in the source")
    concepts: int
    prompt: str = Field(description="how the first one's prompt begins")


class NearDuplicateFacts(_Model):
    """What was found; dropped/near_duplicates.arrow has every one."""

    run: str = Field(description="what is compared, as 2 words")
    groups: int
    concepts: int = Field(description="concepts that repeat the first of their group")
    largest: list[NearDuplicateGroup]


class EvaluationFacts(_Model):
    """Evaluation texts that were kept out."""

    given: str
    digest: str = Field(description="of the file's bytes and the column")
    texts: int
    concepts: int = Field(description="concepts whose best match is one of them")


class ContaminationFacts(_Model):
    """What was dropped; dropped/contaminated.arrow says which text each concept leaks."""

    run: str = Field(description="what is compared, as 8 words")
    concepts: int
    evaluations: list[EvaluationFacts]


class RetryFacts(_Model):
    """A further attempt at a language, by another engine."""

    route: str
    translators: str = Field(description="the engines of the route")
    translate_digest: str
    measure_digest: str


class SoFar(_Model):
    """How much of its source a set was selected from, while its build was unfinished."""

    chunks: int = Field(description="chunks that were translated and measured in all languages")
    of: int = Field(description="chunks of the source")
    concepts: int = Field(description="concepts of these chunks; `source` counts those of the whole source")
    sampled: int = Field(description="of the chunks that calibration takes its sample from, those among them")
    of_sampled: int


class Made(_Model):
    """What was translated and measured, of what and by whom: what there is to select from in a work store."""

    format_version: Literal[1] = 1
    mldata: str = Field(description="version of mldata that wrote this")
    recipe: Recipe
    anchor: str
    source: SourceFacts
    engines: list[EngineFacts]
    signatures: dict[str, str] = Field(
        description="evidence column -> what computed it: compare like with like"
    )
    routes: dict[str, str] = Field(description="every language measured -> its route")
    translate_digests: dict[str, str]
    measure_digests: dict[str, str]
    translators: dict[str, str] = Field(default={}, description="language translated -> engines of its route")
    retries: dict[str, list[RetryFacts]] = Field(default={}, description="further attempts, in order")
    retry_rules: list[Rule] = Field(
        default=[], description="the rules a row had to break to be tried again, as they were at the build"
    )


class Manifest(Made):
    """manifest.json: everything the set's rows depend on, and every file with its hash."""

    targets: list[str] = Field(description="languages selected, in the order of a concept's rows")
    so_far: SoFar | None = Field(
        default=None, description="the build wasn't finished, and this is what was done; null: it was"
    )
    rules: list[Rule] = Field(
        description="the rules applied: the recipe's, tightened by calibration, changed by the command line"
    )
    calibration: str | None = Field(
        default=None, description="SHA-256 of calibration.json; null where no threshold was calibrated"
    )
    select: Policy
    near_duplicates: NearDuplicateFacts | None = Field(default=None, description="null: not looked for")
    contamination: ContaminationFacts | None = Field(default=None, description="null: not looked for")
    languages: dict[str, LanguageCounts]
    concepts_kept: int
    licence: str = Field(description="what the source's and the engines' licences leave")
    store: str = Field(description="the work store, relative to the set")
    files: list[FileFacts]
    unpublished: list[FileFacts] = Field(
        default=[], description="files of dropped rows that the set has and this published copy leaves out"
    )


def schema(shape: Shape, message_columns: tuple[str, ...], extra: pa.DataType | None) -> pa.Schema:
    """Columns of a shard, in order."""
    message = pa.struct([(name, pa.string()) for name in ("role", "content", *message_columns)])
    text = pa.string() if shape == "strings" else pa.list_(message)
    fields: list[tuple[str, pa.DataType]] = [
        ("concept_id", pa.string()),
        ("language", pa.string()),
        ("is_anchor", pa.bool_()),
        *((name, text) for name in FIELDS),
        ("origin", pa.string()),
        ("route", pa.string()),
        ("translators", pa.string()),
        *evidence_fields(),
        ("issues", pa.list_(pa.string())),
        ("fields", unit_fields()),
    ]
    if extra is not None:
        fields.append(("source", extra))
    return pa.schema(fields)


def dropped_schema(kept: pa.Schema) -> pa.Schema:
    """Columns of the rows that were not written: those of a shard, and why."""
    return kept.append(pa.field("reasons", pa.list_(pa.string())))


def evidence_fields() -> list[tuple[str, pa.DataType]]:
    """The flat evidence columns."""
    found: list[tuple[str, pa.DataType]] = []
    for column in columns():
        boolean = column.aggregate == "all" or column.name == "answers_differ"
        found.append((column.name, pa.bool_() if boolean else pa.float64()))
        if column.name == "length_ratio":
            found.append((LENGTH_DEVIATION, pa.float64()))
    return found


def unit_fields() -> pa.DataType:
    """The struct `fields`: a list of measured texts (one, or one a message) for each field."""
    rows = {LENGTH_DEVIATION, *(column.name for column in columns() if column.aggregate == "row")}
    measured = [(name, kind) for name, kind in evidence_fields() if name not in rows]
    unit = pa.struct([("message", pa.int32()), ("label", pa.string()), *measured])
    return pa.struct([(name, pa.list_(unit)) for name in FIELDS])


@dataclass
class ShardWriter:
    """Writes one kind of rows as numbered shards. Tables given to `write` are never cut."""

    folder: Path
    stem: str
    schema: pa.Schema
    _writer: Any = None
    _bytes: int = 0
    _rows: int = 0
    _paths: list[tuple[Path, int]] = field(default_factory=list)

    def write(self, table: pa.Table) -> None:
        """Append whole concepts."""
        if not len(table):
            return
        if self._writer is None:
            self._open()
        self._writer.write_table(table)
        self._rows += len(table)
        self._bytes += table.nbytes
        if self._bytes >= SHARD_BYTES:
            self._close()

    def finish(self) -> list[tuple[Path, int]]:
        """Close the last shard and give all their final names: (path, rows). There is always one."""
        if self._writer is None and not self._paths:
            self._open()
        if self._writer is not None:
            self._close()
        total = len(self._paths)
        named = []
        for number, (path, rows) in enumerate(self._paths):
            final = self.folder / f"{self.stem}-{number:05}-of-{total:05}.arrow"
            path.rename(final)
            named.append((final, rows))
        return named

    def _open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{self.stem}-{len(self._paths):05}.part"
        self._paths.append((path, 0))
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        self._writer = pa.ipc.new_file(str(path), self.schema, options=options)
        self._bytes = self._rows = 0

    def _close(self) -> None:
        self._writer.close()
        self._writer = None
        self._paths[-1] = (self._paths[-1][0], self._rows)


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_facts(root: Path, path: Path, split: Any, rows: int) -> FileFacts:
    """The manifest's entry of a file."""
    return FileFacts(
        path=path.relative_to(root).as_posix(),
        split=split,
        rows=rows,
        bytes=path.stat().st_size,
        sha256=sha256(path),
    )


def read_manifest(path: Path) -> Manifest:
    """The manifest of the set at `path`; InputError if there is no set, SetError if it can't be read."""
    if path.parts[:1] == ("hf:",):  # how a Path writes "hf://org/name"
        name = "/".join(path.parts[1:])
        raise InputError(
            f"hf://{name} is on the hub, and this reads sets on disk: "
            f"`hf download {name} --repo-type dataset --local-dir DIR` brings it here"
        )
    path = path.resolve()
    file = path / "manifest.json"
    if not file.is_file() and path.name and (_beside(path, "old") / "manifest.json").is_file():
        raise InputError(f"a build was killed while it replaced {path}: run it again, and the set is back")
    if not file.is_file():
        raise InputError(
            f"{path} is no set: it has no manifest.json; `mldata build --out {in_shell(path)}` makes one"
        )
    try:
        return Manifest.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise SetError(f"{file} is damaged ({where}: {first['msg']}): build the set again") from None


def read_run(path: Path) -> dict[str, Any]:
    """The set's run.json; nothing where it isn't there or can't be read: timings aren't the set's."""
    try:
        found = json.loads((path / RUN).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def read_calibration(path: Path, manifest: Manifest) -> Calibration | None:
    """What the set's thresholds were tightened by, or None; SetError if it isn't what was written."""
    file = path / calibration.FILE
    if manifest.calibration is None:
        return None
    try:
        if sha256(file) != manifest.calibration:
            raise SetError(
                f"{file} isn't what was written (SHA-256): `mldata calibrate {in_shell(path)}` makes it anew"
            )
        return Calibration.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        raise SetError(f"{file} is missing: `mldata calibrate {in_shell(path)}` makes it anew") from None
    except ValidationError as error:
        raise SetError(
            f"{file} can't be read ({error.errors()[0]['msg']}): run `mldata calibrate {in_shell(path)}`"
        ) from None


def check_place(out: Path, uri: str, name: str, inputs: Sequence[Path], *, overwrite: bool | None) -> None:
    """Refuse to write over anything but a set made of the same source, and over `inputs` in any case.

    A source is the same by its path or by its name: a project that was moved goes on. `overwrite` is None
    where nobody can ask for it.
    """
    for path in inputs:
        if path.resolve().is_relative_to(out):
            raise InputError(f"{out} would be replaced, and {path} with it: choose another --out or --work")
    check_outside(out)
    with _lock(out):
        _repair(out)
    if overwrite or not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    choose = "choose another --out" + ("" if overwrite is None else ", or --overwrite to replace it")
    if not (out / "manifest.json").is_file():
        raise InputError(f"{out} exists and is no set: {choose}")
    before = read_manifest(out).source
    if uri != before.uri and name != before.name:
        raise InputError(f"{out} holds a set made from {before.uri}: {choose}")


def check_outside(place: Path, option: str = "--out") -> None:
    """Refuse a place inside a set: it would be gone when the set is written anew."""
    for above in place.resolve().parents:
        if is_set(above):
            raise InputError(f"{place} is inside the set {above}: choose another {option}")


def is_set(path: Path) -> bool:
    """Whether `path` holds a set, and not just a file of that name."""
    try:
        return (path / "manifest.json").is_file() and bool(read_manifest(path))
    except (SetError, OSError):
        return False


@contextlib.contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """An empty directory beside `out` that takes its place when the block ends well.

    Two renames: a kill between them leaves the old set beside, and the next build puts it back. Two
    builds of one set wait for each other here.
    """
    making = _beside(out, "making")
    with _lock(out):
        _repair(out)
        _remove(making)
        making.mkdir()
        try:
            yield making
            for path in making.rglob("*"):
                sync(path)
            if out.exists():
                out.rename(_beside(out, "old"))
            making.rename(out)
            sync(out.parent)
        finally:
            _repair(out)  # the old set goes, or, where the swap broke off, comes back
            _remove(making)


@contextlib.contextmanager
def _lock(out: Path) -> Iterator[None]:
    """Hold the directory that `out` is in, against other builds that swap a set there."""
    out.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(out.parent, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _beside(out: Path, what: str) -> Path:
    return out.with_name(f".{out.name}.{what}")


def _repair(out: Path) -> None:
    """Put back what a kill in the middle of a swap left beside."""
    old = _beside(out, "old")
    if out.exists():
        _remove(old)
    elif old.exists():
        old.rename(out)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def verify(path: Path) -> Manifest:
    """Prove a set whole: hashes, schema, whole concepts, anchor first, order, counts.

    Returns the manifest; SetError names what is broken, all of it.
    """
    manifest = read_manifest(path)
    broken = list(_broken_files(path, manifest))
    if not broken:
        broken = list(_broken_rows(path, manifest))
    if broken:
        raise SetError(f"{path} is damaged: " + "; ".join(broken))
    return manifest


def _broken_files(path: Path, manifest: Manifest) -> Iterator[str]:
    for facts in manifest.files:
        file = path / facts.path
        if not file.is_file():
            yield f"{facts.path} is missing"
        elif file.stat().st_size != facts.bytes:
            yield f"{facts.path} has {file.stat().st_size} bytes instead of {facts.bytes}"
        elif sha256(file) != facts.sha256:
            yield f"{facts.path} isn't what was written (SHA-256)"
    try:
        if read_calibration(path, manifest) is None and (path / calibration.FILE).exists():
            yield f"{calibration.FILE} isn't in the manifest"
    except SetError as error:
        yield str(error)
    listed = {facts.path for facts in manifest.files}
    for file in sorted([*path.glob("data/*"), *path.glob("dropped/*")]):
        if file.relative_to(path).as_posix() not in listed:
            yield f"{file.relative_to(path)} isn't in the manifest"


def _broken_rows(path: Path, manifest: Manifest) -> Iterator[str]:
    order = {tag: rank for rank, tag in enumerate([manifest.anchor, *manifest.targets])}
    kept: Counter[tuple[str, str]] = Counter()
    made_by: Counter[tuple[str, str]] = Counter()
    dropped: Counter[tuple[str, str]] = Counter()
    owners: dict[str, str] = {}
    screened = _screened(manifest)
    for facts in manifest.files:
        table = read_table(path / facts.path)
        if len(table) != facts.rows:
            yield f"{facts.path} has {len(table)} rows instead of {facts.rows}"
        if facts.rows != screened.get(facts.split, facts.rows):
            yield f"{facts.path} has {facts.rows} rows, the manifest says {screened[facts.split]}"
        if facts.split == "dropped":
            gone = pl.DataFrame(table.select(["language", "reasons"])).explode("reasons")
            dropped.update(gone.iter_rows())
        elif facts.split in SPLITS and not table.schema.equals(_expected(table.schema, manifest)):
            yield f"{facts.path} hasn't the columns of a set"
        elif facts.split in SPLITS:
            frame = pl.DataFrame(table.select(["concept_id", "language", "is_anchor", "translators"]))
            kept.update((facts.split, tag) for tag in frame["language"])
            made_by.update(frame.select("language", "translators").drop_nulls().iter_rows())
            yield from _torn_concepts(frame, facts.path, order, owners)
    for tag, language in manifest.languages.items():
        found = kept["train", tag], kept["test", tag]
        if found != (language.train, language.test) or sum(found) != language.kept:
            yield (
                f"{tag} has {found[0]} train and {found[1]} test rows, the manifest says "
                f"{language.train} and {language.test}, {language.kept} in all"
            )
        by = {names: number for (of, names), number in made_by.items() if of == tag}
        if by != language.kept_by:
            yield f"{tag} has rows by {by}, the manifest says {language.kept_by}"
        reasons = {reason: number for (of, reason), number in dropped.items() if of == tag}
        if reasons != language.dropped and not manifest.unpublished:
            yield f"{tag} has dropped rows for {reasons}, the manifest says {language.dropped}"
    if len(owners) != manifest.concepts_kept:
        yield f"{len(owners)} concepts are there, the manifest says {manifest.concepts_kept}"


def _screened(manifest: Manifest) -> dict[str, int]:
    """Concepts that repeat another or leak, by the record that lists them."""
    found = {"near_duplicates": manifest.near_duplicates, "contaminated": manifest.contamination}
    return {name: facts.concepts for name, facts in found.items() if facts is not None}


def _torn_concepts(
    frame: pl.DataFrame, path: str, order: Mapping[str, int], owners: dict[str, str]
) -> Iterator[str]:
    """What is wrong with the concepts of one shard; enters them into `owners`."""
    runs = frame.group_by(pl.col("concept_id").rle_id().alias("run"), maintain_order=True).agg(
        pl.col("concept_id").first(), "language", "is_anchor"
    )
    for concept, tags, anchors in runs.select("concept_id", "language", "is_anchor").iter_rows():
        if concept in owners:
            yield f"concept {concept} stands in {owners[concept]} and again in {path}"
        owners[concept] = path
        ranks = [order.get(tag, -1) for tag in tags]
        if ranks != sorted(set(ranks)) or ranks[0] != 0 or anchors != [True] + [False] * (len(tags) - 1):
            yield f"{path}: concept {concept} has its rows in the order {' '.join(tags)}"


def _expected(written: pa.Schema, manifest: Manifest) -> pa.Schema:
    """The schema a shard must have, given the parts that the source decides."""
    extra = written.field("source").type if "source" in written.names else None
    optional: tuple[str, ...] = ()
    if manifest.source.shape == "messages" and "prompt" in written.names:
        message = written.field("prompt").type.value_type
        optional = tuple(field.name for field in message if field.name not in ("role", "content"))
    return schema(manifest.source.shape, optional, extra)


def write_json(path: Path, value: BaseModel | Mapping[str, Any]) -> None:
    """Write JSON for people: indented, keys in their order."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(plain, indent=2, ensure_ascii=False) + "\n", "utf-8")


def source_facts(index: SourceIndex) -> SourceFacts:
    """The manifest's part on the source."""
    return SourceFacts(
        uri=index.uri,
        name=index.name,
        digest=index.digest,
        format=index.format,
        shape=index.shape,
        rows=index.read,
        concepts=index.concepts,
        duplicates=index.duplicates,
        unreadable=index.unreadable,
    )
