"""Translations that were given, in the store and on their way into the stages.

Reading an aligned source writes them beside the source's chunks, one file a chunk with all languages. The
stage `translate` then makes of a given text what it makes of an engine's: the text as it is, and segments
paired with those of the source (`pairing`), so that all evidence is measured alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute

from mldata.concepts import FIELDS, Concept, Shape, Text, example_digest, from_table, to_table
from mldata.pairing import PairedText
from mldata.sources import Unreadable
from mldata.sources.collation import Collation, Given
from mldata.store import read_table, write_table
from mldata.text import split

ROUTE = "given"
"""What stands for the route of a language that no engine translated."""
LACKING = "not_given"
"""Why a concept has no row in a language in which others have one."""


@dataclass(frozen=True)
class Imported:
    """What became of an aligned source's translations."""

    digests: dict[str, str]
    """Language -> digest of its texts and of the concepts they belong to."""
    rows: int
    set_aside: list[Unreadable]


def path(folder: Path, chunk: str) -> Path:
    """Where the translations of a chunk lie, in the folder of its source."""
    return folder / "given" / f"{chunk}.arrow"


def write(collation: Collation, folder: Path, chunks: Sequence[str], shape: Shape) -> Imported:
    """Write the translations of each chunk that lies in `folder`."""
    set_aside = list(collation.others())
    digests = {tag: hashlib.blake2b(digest_size=16) for tag in collation.languages()}
    waiting = collation.in_order()
    given = next(waiting, None)
    start = rows = 0
    for chunk in chunks:
        concepts = from_table(read_table(folder / f"{chunk}.arrow"))
        kept: dict[tuple[int, str], Given] = {}
        while given is not None and given.position < start + len(concepts):
            place = given.position - start, given.tag
            problem = _problem(concepts[place[0]], given, kept.get(place))
            if problem is None:
                kept[place] = given
                digests[given.tag].update(concepts[place[0]].id.encode() + b"\0" + _digest(given))
            else:
                set_aside.append(problem)
            given = next(waiting, None)
        write_table(_table(concepts, kept, shape), path(folder, chunk))
        start += len(concepts)
        rows += len(kept)
    return Imported({tag: digest.hexdigest() for tag, digest in digests.items()}, rows, set_aside)


def _digest(given: Given) -> bytes:
    return example_digest(given.prompt, given.chosen, given.rejected)


def _table(concepts: Sequence[Concept], kept: Mapping[tuple[int, str], Given], shape: Shape) -> pa.Table:
    rows = [Concept(concepts[n].id, g.prompt, g.chosen, g.rejected) for (n, _), g in kept.items()]
    places = {
        "concept": pa.array([number for number, _ in kept], pa.int32()),
        "language": pa.array([tag for _, tag in kept], pa.string()),
    }
    texts = to_table(rows, shape)
    return pa.table(places | {name: texts[name] for name in texts.column_names})


def _problem(concept: Concept, given: Given, before: Given | None) -> Unreadable | None:
    """Why a translation can't stand beside its anchor row, if so."""
    if before is not None:
        return given.set_aside(
            "", f"the concept was already given in {before.file}, {before.unit} {before.number}"
        )
    for name in FIELDS:
        reason = _other_turns(getattr(concept, name), getattr(given, name))
        if reason:
            return given.set_aside(name, f'"{name}" {reason}')
    return None


def _other_turns(source: Text, target: Text) -> str:
    """How the turns of a conversation differ from the anchor's; "" if they don't."""
    if isinstance(source, str) or isinstance(target, str):
        return ""
    if len(source) != len(target):
        return f"has {len(target)} messages where the anchor row has {len(source)}"
    for number, (ours, theirs) in enumerate(zip(source, target, strict=True), 1):
        if ours.role != theirs.role:
            return f'has the role "{theirs.role}" in message {number} where the anchor row has "{ours.role}"'
        if ours.translatable != theirs.translatable or ours.tool_calls != theirs.tool_calls:
            return f"has other tool calls in message {number} than the anchor row"
        if not ours.translatable and ours.content != theirs.content:
            return f"has another tool result in message {number} than the anchor row: results stay verbatim"
    return ""


def read(folder: Path, chunk: str, language: str) -> dict[int, Concept]:
    """Row of a concept in its chunk -> its translation into `language`."""
    table = read_table(path(folder, chunk))
    table = table.filter(pa.compute.equal(table["language"], language))
    return dict(zip(table["concept"].to_pylist(), from_table(table), strict=True))


def texts(
    concepts: Sequence[Concept], given: Mapping[int, Concept], anchor: str, language: str
) -> list[PairedText]:
    """The texts that have a translation, in order."""
    found = []
    for number, translated in sorted(given.items()):
        sides = zip(concepts[number].texts(), translated.texts(), strict=True)
        for (field, message, source), (_, _, target) in sides:
            parts = split(source, anchor), split(target, language)
            found.append(PairedText(translated.id, number, field, message, target, *parts))
    return found
