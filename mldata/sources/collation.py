"""Brings translations into the order of their anchor rows, whatever order they are written in.

Two turns over the files: first the anchor's rows, as concepts; then all others, each looked up by what its
concept goes by. What is good lies in a temporary database until it is read in the anchors' order: that takes
the disk space of one copy of the translations, and memory that doesn't grow with them.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from mldata.concepts import Concept, Message, Text
from mldata.errors import InputError
from mldata.sources import Duplicate, Ledger, Unreadable, formats
from mldata.sources.aligned import ID_COLUMN, Aligned
from mldata.sources.containers import Unit
from mldata.sources.formats import SetAside
from mldata.sources.layouts import Cell

_CACHE_KB = 64 * 1024
_TABLES = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA locking_mode = EXCLUSIVE;
CREATE TABLE anchor (key TEXT PRIMARY KEY, position INTEGER, why TEXT) WITHOUT ROWID;
CREATE TABLE given (position INTEGER, tag TEXT, file TEXT, unit TEXT, number INTEGER, texts TEXT);
"""


@dataclass(frozen=True)
class Given:
    """One concept in another language than the anchor's."""

    position: int
    """Of its concept among all concepts."""
    tag: str
    prompt: Text
    chosen: Text
    rejected: Text
    file: str
    unit: Unit
    number: int

    def set_aside(self, field: str, reason: str) -> Unreadable:
        """The row as one that can't be used."""
        return Unreadable(self.file, self.number, field, f"{self.tag}: {reason}", self.unit)


class Collation:
    """One reading of an aligned source: `anchors` to its end, then `others` to its end, then `in_order`."""

    def __init__(self, aligned: Aligned, folder: Path) -> None:
        self._aligned = aligned
        self._path = folder / ".translations.sqlite"
        folder.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(self._path, isolation_level=None)
        self._database.executescript(f"PRAGMA cache_size = -{_CACHE_KB};{_TABLES}")
        self._database.execute("BEGIN")

    def __enter__(self) -> Collation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()
        self._path.unlink(missing_ok=True)
        if isinstance(error, sqlite3.OperationalError) and "full" in str(error):
            raise InputError(
                f"no space left for {self._path.parent}: free some and run the same command again"
            ) from error

    def anchors(self) -> Iterator[Concept | Unreadable | Duplicate]:
        """The anchor's rows, as those of a source."""
        source = self._aligned.source
        ledger = Ledger(source.id_column or "")
        position = 0
        for cell in self._aligned.cells.cells(self._aligned.cells.anchor):
            item = source.item(cell.row, ledger)
            if isinstance(item, Concept):
                self._remember(cell, position, "")
                position += 1
                # A column of the set anyway.
                item = replace(item, extra={k: v for k, v in item.extra.items() if k != ID_COLUMN})
            else:
                why = "was set aside" if isinstance(item, Unreadable) else "repeats an earlier one"
                self._remember(cell, None, why)
            yield item
            if position == source.limit:
                return

    def _remember(self, cell: Cell, position: int | None, why: str) -> None:
        self._database.execute(
            "INSERT INTO anchor VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE "
            "SET position = excluded.position WHERE position IS NULL AND excluded.position IS NOT NULL",
            (cell.key, position, why),
        )

    def others(self) -> Iterator[Unreadable]:
        """Read all rows of other languages; gives those that can't be used."""
        for cell in self._aligned.cells.cells():
            if cell.tag == self._aligned.cells.anchor:
                continue
            try:
                position = self._position(cell)
                if position is not None:
                    self._keep(cell, position)
            except SetAside as error:
                row = cell.row
                reason = f"{cell.tag}: {error.reason}" if cell.tag else error.reason
                yield Unreadable(row.file, row.number, error.field, reason, row.unit)

    def _position(self, cell: Cell) -> int | None:
        """Where the cell's concept stands; None beyond the limit."""
        if cell.row.problem:
            raise SetAside(cell.row.field, cell.row.problem)
        cells, limit = self._aligned.cells, self._aligned.source.limit
        found = self._database.execute(
            "SELECT position, why FROM anchor WHERE key = ?", (cell.key,)
        ).fetchone()
        if found is None and limit is not None:
            return None
        column = cells.id_column or ""
        concept = f'the concept "{cell.key}"' if column else "the concept"
        if found is None:
            raise SetAside(column, f"{concept} has no {cells.anchor} row")
        if found[0] is None:
            raise SetAside(column, f"the {cells.anchor} row of {concept} {found[1]}")
        return int(found[0])

    def _keep(self, cell: Cell, position: int) -> None:
        source, row = self._aligned.source, cell.row
        # Answers that are alike in a translation are for the rules to judge.
        example = formats.read(row.value, source.format, source.shape, source.max_chars, alike=True)
        texts = json.dumps([_plain(example.prompt), _plain(example.chosen), _plain(example.rejected)])
        values = (position, cell.tag, row.file, row.unit, row.number, texts)
        self._database.execute("INSERT INTO given VALUES (?, ?, ?, ?, ?, ?)", values)

    def languages(self) -> list[str]:
        """Of the rows that were kept, in alphabetical order."""
        # The index is what sorts: its entries are short, and the texts stay where they are.
        self._database.execute("CREATE INDEX IF NOT EXISTS ordered ON given (position, tag)")
        return [tag for (tag,) in self._database.execute("SELECT DISTINCT tag FROM given ORDER BY tag")]

    def in_order(self) -> Iterator[Given]:
        """Concept by concept, a concept's by language, a language's as in the files."""
        rows = self._database.execute(
            "SELECT position, tag, texts, file, unit, number FROM given INDEXED BY ordered "
            "ORDER BY position, tag, rowid"
        )
        for position, tag, texts, file, unit, number in rows:
            prompt, chosen, rejected = map(_text, json.loads(texts))
            yield Given(position, tag, prompt, chosen, rejected, file, unit, number)


def _plain(text: Text) -> str | list[dict[str, str | None]]:
    return text if isinstance(text, str) else [asdict(message) for message in text]


def _text(plain: str | list[dict[str, Any]]) -> Text:
    return plain if isinstance(plain, str) else tuple(Message(**message) for message in plain)
