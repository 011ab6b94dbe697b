"""What changed between two sets: what made them, which rows they hold, and how their evidence moved.

Like is compared with like: a row with the row of the same concept and language, and a column of evidence only
where both sets measured it with the same signature; of others no figure is given, but which part of the
signature differs. Each set is read once, in a stream that leaves texts behind as hashes; after that one
language is in memory at a time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import polars as pl

from mldata import inspection, manifest_differences
from mldata.concepts import FIELDS
from mldata.errors import InputError
from mldata.evidence import columns
from mldata.languages import canonical
from mldata.manifest_differences import Fact
from mldata.shards import SPLITS, Manifest, read_manifest

MOVED, MOVED_CHRF = 0.05, 5.0
"""By how much more than that a row's evidence must differ to have moved; chrF goes up to 100."""
_CHANGES = {
    "text": "texts differ",
    "a": "kept in A only",
    "b": "kept in B only",
    "split": "in another split",
}
"""Kinds of changed rows, in the order in which they are listed."""
_EXACT = 1e-9
"""Evidence has four decimals: less than this is how floats write them."""


@dataclass(frozen=True)
class Refused:
    """Columns of evidence that can't be compared, and why: the parts of their signatures that differ."""

    columns: tuple[str, ...]
    a: str
    b: str


@dataclass(frozen=True)
class Difference:
    """What `compare` found. Frames have a row for each thing counted, languages in the order of a set."""

    a: Path
    b: Path
    manifests: tuple[Manifest, Manifest] = field(repr=False)
    made: list[Fact]
    """What made the sets and isn't the same; [] where all of it is."""
    rows: pl.DataFrame
    """language, kept_in_both, texts_changed and split_moved (of these), only_in_a, only_in_b;
    measured_in_both (kept or dropped) and texts_differ (of these)."""
    reasons: pl.DataFrame
    """kept_in ("A" or "B"), language, reason, rows: why the other set doesn't keep them."""
    concepts: tuple[int, int]
    """Concepts that only A, and only B has."""
    evidence: pl.DataFrame
    """language, evidence, rows (measured in both), median_a, median_b, median_difference (of the pairs,
    B - A), moved (share of the rows, by more than `by`), by, changed (share, by anything). true counts as
    1."""
    refused: list[Refused]
    changed: pl.DataFrame
    """change, language, concept_id, why, field, a, b: rows that were asked for, with their texts whole."""

    @property
    def same(self) -> bool:
        """Whether the sets hold the same, made of the same."""
        counts = ("texts_differ", "split_moved", "only_in_a", "only_in_b")
        moved = self.rows.select(pl.sum(*counts)).row(0) if len(self.rows) else ()
        still = self.evidence.is_empty() or not self.evidence["changed"].fill_null(0).sum()
        return not (self.made or any(moved) or any(self.concepts) or self.refused) and still


def compare(a: Path, b: Path, *, languages: str | None = None, rows: int = 0) -> Difference:
    """Compare the sets at `a` and `b`, in all languages that one of them has, or in those named ("es,fr").

    `rows` is how many changed rows of each kind and language are given with their texts. InputError where one
    isn't a set, the sets hold texts of other shapes, or their anchors differ; SetError where a file of theirs
    can't be read.
    """
    with inspection.readable(a, b):
        return _compared(a, b, languages, rows)


def _compared(a: Path, b: Path, languages: str | None, rows: int) -> Difference:
    manifests = read_manifest(a), read_manifest(b)
    _check_alike(a, b, *manifests)
    tags = _languages(languages, *manifests)
    comparable, refused = _comparable(a, b, *manifests)
    found: dict[str, list[Any]] = {"rows": [], "reasons": [], "evidence": [], "changed": []}
    concepts = 0, 0
    with tempfile.TemporaryDirectory(prefix="mldata-diff-") as scratch:
        sides = [Path(scratch) / side for side in "ab"]
        kinds = [_message_columns(path, manifest) for path, manifest in zip((a, b), manifests, strict=True)]
        together = tuple(dict.fromkeys([*kinds[0], *kinds[1]]))
        for path, manifest, side, there in zip((a, b), manifests, sides, kinds, strict=True):
            _write_sides(path, manifest, side, tags, list(comparable), there, together)
        for tag in tags:
            pairs = _pairs(sides, tag)
            if tag == manifests[0].anchor:
                there_a, there_b = pl.col("kept_a").is_not_null(), pl.col("kept_b").is_not_null()
                concepts = pairs.select((there_a & ~there_b).sum(), (there_b & ~there_a).sum()).row(0)
            found["rows"].append(_count(pairs, tag))
            found["reasons"].append(_reasons(pairs, tag, *manifests))
            if tag != manifests[0].anchor:
                found["evidence"] += _shifts(sides, pairs, tag, comparable)
            if rows:
                found["changed"].append(_changed(pairs, tag, rows, *manifests))
    return Difference(
        a,
        b,
        manifests,
        made=manifest_differences.facts(*manifests, tags if languages else None),
        rows=pl.DataFrame(found["rows"], infer_schema_length=None),
        reasons=pl.concat(found["reasons"]).sort("rows", descending=True, maintain_order=True),
        concepts=concepts,
        evidence=pl.DataFrame(found["evidence"], schema=_SHIFTS),
        refused=refused,
        changed=_with_texts(a, b, *manifests, pl.concat(found["changed"])) if rows else pl.DataFrame(),
    )


def _check_alike(a: Path, b: Path, of_a: Manifest, of_b: Manifest) -> None:
    if of_a.anchor != of_b.anchor:
        raise InputError(
            f"{a} is translated from {of_a.anchor} and {b} from {of_b.anchor}: sets of one anchor language "
            "can be compared"
        )
    if of_a.source.shape != of_b.source.shape:
        raise InputError(
            f"{a} holds {of_a.source.shape} and {b} {of_b.source.shape}: no row of one is a row of the other"
        )


def _languages(wanted: str | None, a: Manifest, b: Manifest) -> list[str]:
    """The languages to compare, anchor first; InputError for one that neither set has."""
    there = list(dict.fromkeys([a.anchor, *a.targets, *b.targets]))
    if wanted is None:
        return there
    asked = {canonical(tag) for tag in wanted.split(",") if tag.strip()}
    if unknown := sorted(asked - set(there)):
        raise InputError(f"{' '.join(unknown)}: neither set has it; there are: {' '.join(there)}")
    return [tag for tag in there if tag in asked]


def _comparable(a: Path, b: Path, of_a: Manifest, of_b: Manifest) -> tuple[dict[str, float], list[Refused]]:
    """Evidence column -> how far a row must move; and columns whose signatures differ, by what differs."""
    there = [
        set(inspection.kept_rows(path, manifest).collect_schema())
        for path, manifest in ((a, of_a), (b, of_b))
    ]
    comparable: dict[str, float] = {}
    refused: dict[tuple[str, str], list[str]] = {}
    for name in dict.fromkeys([*(column.name for column in columns()), *of_a.signatures, *of_b.signatures]):
        signatures = [
            manifest.signatures.get(name) if name in has else None
            for manifest, has in zip((of_a, of_b), there, strict=True)
        ]
        if signatures[0] is not None and signatures[0] == signatures[1]:
            comparable[name] = MOVED_CHRF if name == "back_chrf" else MOVED
        elif signatures != [None, None]:
            refused.setdefault(manifest_differences.signature_parts(*signatures), []).append(name)
    return comparable, [Refused(tuple(names), *parts) for parts, names in refused.items()]


def _message_columns(path: Path, manifest: Manifest) -> tuple[str, ...]:
    """The parts that a set's messages have; none where texts are strings."""
    kind = inspection.kept_rows(path, manifest).collect_schema()["prompt"]
    inner = kind.inner if isinstance(kind, pl.List) else None
    return tuple(part.name for part in inner.fields) if isinstance(inner, pl.Struct) else ()


def _write_sides(
    path: Path,
    manifest: Manifest,
    folder: Path,
    tags: Sequence[str],
    evidence: Sequence[str],
    there: Sequence[str],
    together: Sequence[str],
) -> None:
    """Write what is compared of a set's rows below `folder`, a directory a language, in one stream.

    A conversation is hashed with the message columns of both sets (`together`), those it lacks as null.
    """
    parts = [
        pl.element().struct.field(name) if name in there else pl.lit(None, pl.String) for name in together
    ]
    message = (
        pl.struct(part.alias(name) for part, name in zip(parts, together, strict=True)) if together else None
    )
    texts = [pl.col(name) if message is None else pl.col(name).list.eval(message) for name in FIELDS]
    wanted = [
        pl.struct(texts).hash().alias("text"),
        *(pl.col(name).cast(pl.Float64) for name in evidence),
    ]
    kept = [
        pl.scan_ipc([path / file.path for file in manifest.files if file.split == split], glob=False).select(
            "concept_id",
            "language",
            pl.lit(split).alias("split"),
            pl.lit([], pl.List(pl.String)).alias("reasons"),
            *wanted,
        )
        for split in SPLITS
        if any(file.split == split for file in manifest.files)
    ]
    dropped = inspection.dropped_rows(path, manifest).select(
        "concept_id", "language", pl.lit(None, pl.String).alias("split"), "reasons", *wanted
    )
    both = pl.concat([*kept, dropped]).filter(pl.col("language").is_in(list(tags)))
    by_language = pl.PartitionBy(folder, key="language", include_key=False, approximate_bytes_per_file=None)
    both.sink_ipc(by_language, mkdir=True, compression="lz4")


def _rows_of(folder: Path, tag: str, schema: Mapping[str, Any]) -> pl.LazyFrame:
    """What was written of a language, in one order always; nothing where it has no row."""
    files = sorted((folder / f"language={tag}").glob("*"))
    return pl.scan_ipc(files, glob=False) if files else pl.LazyFrame(schema=schema)


def _pairs(sides: Sequence[Path], tag: str) -> pl.DataFrame:
    """Every concept that one of the sets has in a language: concept_id, and of both sets, as "text_a" and
    "text_b", split, reasons, text, kept (null where the set hasn't the row) and `at`, the row's place."""
    frames = [
        _rows_of(folder, tag, _COMPARED)
        .select(*_COMPARED, kept=pl.col("split").is_not_null())
        .with_row_index("at")
        .select("concept_id", pl.exclude("concept_id").name.suffix(f"_{side}"))
        for side, folder in zip("ab", sides, strict=True)
    ]
    return frames[0].join(frames[1], on="concept_id", how="full", coalesce=True).collect()


_COMPARED = {
    "concept_id": pl.String,
    "split": pl.String,
    "reasons": pl.List(pl.String),
    "text": pl.UInt64,
}
_IN_BOTH = pl.col("kept_a").fill_null(value=False) & pl.col("kept_b").fill_null(value=False)
_ONLY_A = pl.col("kept_a").fill_null(value=False) & ~pl.col("kept_b").fill_null(value=False)
_ONLY_B = pl.col("kept_b").fill_null(value=False) & ~pl.col("kept_a").fill_null(value=False)
_THERE = pl.col("kept_a").is_not_null() & pl.col("kept_b").is_not_null()
_TEXT = pl.col("text_a").ne_missing(pl.col("text_b"))
_SPLIT = pl.col("split_a").ne_missing(pl.col("split_b"))
_KINDS = {"text": _IN_BOTH & _TEXT, "a": _ONLY_A, "b": _ONLY_B, "split": _IN_BOTH & _SPLIT}


def _count(pairs: pl.DataFrame, tag: str) -> dict[str, Any]:
    counted = pairs.select(
        kept_in_both=_IN_BOTH.sum(),
        texts_changed=(_IN_BOTH & _TEXT).sum(),
        split_moved=(_IN_BOTH & _SPLIT).sum(),
        only_in_a=_ONLY_A.sum(),
        only_in_b=_ONLY_B.sum(),
        measured_in_both=_THERE.sum(),
        texts_differ=(_THERE & _TEXT).sum(),
    )
    return {"language": tag, **counted.row(0, named=True)}


def _reasons(pairs: pl.DataFrame, tag: str, a: Manifest, b: Manifest) -> pl.DataFrame:
    """Why rows that one set keeps aren't kept in the other; a row may have several reasons."""
    found = []
    for kept_in, only, other, manifest in (("A", _ONLY_A, "b", b), ("B", _ONLY_B, "a", a)):
        why = pairs.filter(only).select(_why(other, tag, manifest).alias("reason")).explode("reason")
        found.append(
            why.group_by("reason")
            .agg(rows=pl.len().cast(pl.Int64))
            .select(pl.lit(kept_in).alias("kept_in"), pl.lit(tag).alias("language"), "reason", "rows")
            .sort("rows", "reason", descending=[True, False])
        )
    return pl.concat(found)


def _why(other: Literal["a", "b"] | str, tag: str, manifest: Manifest) -> pl.Expr:
    """The reasons that a row has in the other set, or why it isn't there."""
    absent = "concept not in it" if manifest.so_far is None else "concept not in it so far"
    if manifest.unpublished:
        absent = "not kept (dropped rows weren't published)"
    if tag not in (manifest.anchor, *manifest.targets):
        absent = "language not in it"
    listed = pl.col(f"reasons_{other}")
    return pl.when(pl.col(f"kept_{other}").is_null()).then(pl.lit([absent])).otherwise(listed)


_SHIFTS = {
    "language": pl.String,
    "evidence": pl.String,
    "rows": pl.Int64,
    "median_a": pl.Float64,
    "median_b": pl.Float64,
    "median_difference": pl.Float64,
    "moved": pl.Float64,
    "by": pl.Float64,
    "changed": pl.Float64,
}


def _shifts(
    sides: Sequence[Path], pairs: pl.DataFrame, tag: str, comparable: Mapping[str, float]
) -> Iterator[dict[str, Any]]:
    """How each column of evidence moved, over the rows in which both sets have it; one column at a time."""
    both = pairs.filter(_THERE).select("at_a", "at_b")
    a, b = pl.col("a"), pl.col("b")
    for name, by in comparable.items():
        values = [_rows_of(side, tag, {name: pl.Float64}).select(name).collect()[name] for side in sides]
        said = (
            pl.DataFrame({"a": values[0].gather(both["at_a"]), "b": values[1].gather(both["at_b"])})
            .lazy()
            .drop_nulls()
            .with_columns(difference=b - a)
            .select(
                rows=pl.len().cast(pl.Int64),
                median_a=a.median().round(4),
                median_b=b.median().round(4),
                median_difference=pl.col("difference").median().round(4),
                moved=(pl.col("difference").abs() > by + _EXACT).mean(),
                changed=(pl.col("difference").abs() > _EXACT).mean(),
            )
            .collect()
        )
        if said["rows"][0]:
            yield {"language": tag, "evidence": name, "by": by, **said.row(0, named=True)}


def _changed(pairs: pl.DataFrame, tag: str, number: int, a: Manifest, b: Manifest) -> pl.DataFrame:
    """The first rows of each kind of change by their ids, which are digests: as good as drawn by lot."""
    found = []
    for kind, held in _KINDS.items():
        why = _why("b", tag, b) if kind == "a" else _why("a", tag, a)
        found.append(
            pairs.filter(held)
            .sort("concept_id")
            .head(number)
            .select(
                pl.lit(kind).alias("change"),
                pl.lit(tag).alias("language"),
                "concept_id",
                (why if kind in "ab" else pl.lit([], pl.List(pl.String))).alias("why"),
                "split_a",
                "split_b",
            )
        )
    return pl.concat(found)


def _with_texts(a: Path, b: Path, of_a: Manifest, of_b: Manifest, changed: pl.DataFrame) -> pl.DataFrame:
    """The rows of `changed` with the first field in which the two texts differ, or the chosen answer."""
    ids = changed["concept_id"].unique().to_list()
    said = [
        {
            (row["concept_id"], row["language"]): inspection.texts(row)
            for row in inspection.rows_of(path, manifest, ids, FIELDS)
        }
        for path, manifest in ((a, of_a), (b, of_b))
    ]
    listed = []
    for row in changed.iter_rows(named=True):
        texts = [of.get((row["concept_id"], row["language"]), {}) for of in said]
        differ = (name for name in FIELDS if all(texts) and texts[0][name] != texts[1][name])
        shown = next(differ, "chosen")
        pair = [of.get(shown) for of in texts]
        if row["change"] == "split":
            shown, pair = "split", [row["split_a"], row["split_b"]]
        one = {
            "change": _CHANGES[row["change"]],
            "language": row["language"],
            "concept_id": row["concept_id"],
        }
        listed.append({**one, "why": row["why"], "field": shown, "a": pair[0], "b": pair[1]})
    return pl.DataFrame(listed, schema=_LISTED)


_LISTED: dict[str, Any] = {
    "change": pl.String,
    "language": pl.String,
    "concept_id": pl.String,
    "why": pl.List(pl.String),
    "field": pl.String,
    "a": pl.String,
    "b": pl.String,
}
