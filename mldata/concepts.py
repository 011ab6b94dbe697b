"""The unit of everything: a concept, one preference example, with its identity.

Every reader in `sources` yields these, whatever the format it read; all later stages see nothing else.
The identity is a digest of the canonical example, so the same example has the same id in every file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import pyarrow as pa

Shape = Literal["strings", "messages"]
"""How prompt, chosen and rejected are given: three strings, or three lists of messages."""

FIELDS = ("prompt", "chosen", "rejected")


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: str
    content: str
    """What is said. Empty only where `tool_calls` holds something."""
    name: str | None = None
    tool_calls: str | None = None
    """The calls as JSON text. Never translated."""
    tool_call_id: str | None = None

    @property
    def translatable(self) -> bool:
        """Tool results and tool calls are data, not language: they stay verbatim."""
        return (
            self.role not in ("tool", "function") and self.tool_calls is None and bool(self.content.strip())
        )


Text = str | tuple[Message, ...]
"""One field of an example in the shape of its source."""


@dataclass(frozen=True)
class Concept:
    """One preference example in the anchor language."""

    id: str
    prompt: Text
    chosen: Text
    rejected: Text
    extra: Mapping[str, Any] = field(default_factory=dict)
    """The source's other columns, as read."""

    @property
    def shape(self) -> Shape:
        """Strings or messages."""
        return "strings" if isinstance(self.prompt, str) else "messages"

    @property
    def digest(self) -> bytes:
        """16 bytes that change when any text of the example changes (the id need not)."""
        return example_digest(self.prompt, self.chosen, self.rejected)

    def texts(self) -> list[tuple[str, int, str]]:
        """All translatable texts as (field, message index, text), in order."""
        found: list[tuple[str, int, str]] = []
        for name in FIELDS:
            value: Text = getattr(self, name)
            if isinstance(value, str):
                found.append((name, 0, value))
            else:
                found += [(name, i, m.content) for i, m in enumerate(value) if m.translatable]
        return found


def example_digest(prompt: Text, chosen: Text, rejected: Text) -> bytes:
    """128-bit BLAKE2b of the canonical JSON of an example: `concept_id` is its hexadecimal form."""
    canonical = json.dumps([_plain(prompt), _plain(chosen), _plain(rejected)], ensure_ascii=False)
    return hashlib.blake2b(canonical.encode("utf-8"), digest_size=16).digest()


def _plain(text: Text) -> str | Sequence[Sequence[str | None]]:
    if isinstance(text, str):
        return text
    return [[m.role, m.content, m.name, m.tool_calls, m.tool_call_id] for m in text]


MESSAGE = pa.struct(
    [(name, pa.string()) for name in ("role", "content", "name", "tool_calls", "tool_call_id")]
)
"""A message in the store. Sets leave out the last three where no message of the source has them."""


def text_type(shape: Shape) -> pa.DataType:
    """Arrow type of prompt, chosen and rejected."""
    return pa.string() if shape == "strings" else pa.list_(MESSAGE)


def to_table(concepts: Sequence[Concept], shape: Shape) -> pa.Table:
    """Concepts without their extra columns: concept_id, prompt, chosen, rejected."""

    def column(name: str) -> pa.Array:
        values: list[Text] = [getattr(concept, name) for concept in concepts]
        plain = [v if isinstance(v, str) else [asdict(message) for message in v] for v in values]
        return pa.array(plain, text_type(shape))

    ids = pa.array([concept.id for concept in concepts], pa.string())
    return pa.table({"concept_id": ids, **{name: column(name) for name in FIELDS}})


def from_table(table: pa.Table) -> list[Concept]:
    """The inverse of `to_table`; extra columns stay in the table."""
    rows = table.select(["concept_id", *FIELDS]).to_pylist()
    return [
        Concept(row["concept_id"], _text(row["prompt"]), _text(row["chosen"]), _text(row["rejected"]))
        for row in rows
    ]


def _text(value: str | list[dict[str, Any]]) -> Text:
    return value if isinstance(value, str) else tuple(Message(**message) for message in value)
