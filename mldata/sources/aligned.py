"""Preference data whose translations exist already: found, its layout recognised, read in two turns.

`open_aligned` gives an `Aligned`: its anchor rows are a source like any other, and `cells` holds the rows of
all languages, in the order of the files. `collation` brings the two together.
"""

from __future__ import annotations

import glob
import hashlib
import json
import re
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mldata.concepts import Shape
from mldata.errors import InputError
from mldata.languages import LANGUAGES
from mldata.sources import Rows, Source, layouts, locate, peek, source_of
from mldata.sources.containers import Row
from mldata.sources.formats import Format, SetAside, describe
from mldata.sources.layouts import Cell

Layout = Literal["long", "wide", "files"]
VERSION = 1
"""Enters the digest of an aligned source: raise it when the same files give other cells."""
ID_COLUMN = "concept_id"
LANGUAGE_COLUMNS = ("language", "lang", "locale")

_TAGGED = re.compile(r"([A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8})*)=(.+)", re.DOTALL)


@dataclass(frozen=True)
class Cells:
    """The files and how to take them apart. As `Rows`, it is the anchor's rows."""

    places: tuple[tuple[str, Rows], ...]
    """(Language, its rows), or ("", rows of all languages)."""
    layout: Layout
    anchor: str
    id_column: str | None
    language_column: str

    def cells(self, only: str | None = None) -> Iterator[Cell]:
        """All cells in the files' order, or those of one language. Those of none have a problem."""
        for tag, rows in self.places:
            if self.layout == "files":
                if only in (None, tag):
                    yield from layouts.of_file(tag, rows, self.id_column)
                continue
            with closing(rows.rows()) as stream:
                if self.layout == "wide":
                    found = layouts.wide(stream, self.id_column, self.anchor)
                else:
                    found = layouts.long(stream, self.id_column or ID_COLUMN, self.language_column)
                yield from (cell for cell in found if only in (None, cell.tag))

    def urls(self) -> tuple[str, ...]:
        """All files, whatever their language."""
        return tuple(url for _, rows in self.places for url in rows.urls())

    def update(self, digest: hashlib.blake2b) -> None:
        """Feed all files' bytes and what decides which cells they give."""
        tags = [tag for tag, _ in self.places]
        read_as = [VERSION, self.layout, self.anchor, self.id_column, self.language_column, tags]
        digest.update(json.dumps([*read_as, sorted(LANGUAGES)]).encode())
        for _, rows in self.places:
            rows.update(digest)

    def rows(self) -> Generator[Row]:
        """The anchor's rows."""
        yield from (cell.row for cell in self.cells(self.anchor))


@dataclass(frozen=True)
class Aligned:
    """Rows of several languages that were found and whose layout is known."""

    source: Source
    """The anchor's rows."""
    cells: Cells

    @property
    def uri(self) -> str:
        """As the user gave it; of several files, one after the other."""
        return self.source.uri

    @property
    def name(self) -> str:
        """A short name."""
        return self.source.name

    @property
    def files(self) -> tuple[str, ...]:
        """All files, as `Source.files`."""
        return self.cells.urls()

    @property
    def format(self) -> str:
        """How the rows hold an example, and how they are laid out."""
        ways = {"long": "a row a language", "wide": "all languages in a row", "files": "a file a language"}
        by = f"by {self.cells.id_column}" if self.cells.id_column else "by line"
        return f"{self.source.format}, {ways[self.cells.layout]}, aligned {by}"

    @property
    def shape(self) -> Shape:
        """That of the anchor's rows, and of all others."""
        return self.source.shape

    def digest(self) -> str:
        """As `Source.digest`, over the files of all languages."""
        return self.source.digest()


def open_aligned(
    uris: Sequence[str],
    *,
    anchor: str,
    format: Format | None = None,
    id_column: str | None = None,
    language_column: str | None = None,
    limit: int | None = None,
) -> Aligned:
    """Find rows that are translated already, and recognise their layout from the first 100 readable ones.

    One of `uris` holds all languages; several are "TAG=URI", one a language. Each is what `open_source`
    takes; a set that mldata wrote will do. `anchor` is a canonical tag. InputError where no layout fits.
    """
    uri = " ".join(uris)
    if any(_TAGGED.fullmatch(given) for given in uris):
        cells, name = _files(uris, anchor, id_column)
    elif len(uris) == 1:
        cells, name = _one(uris[0], anchor, id_column, language_column)
    else:
        raise InputError("several --aligned need a language each, as --aligned en=FILE --aligned es=FILE")
    _require_anchor(cells, uri)
    source = source_of(uri, name, cells, format=format, id_column=cells.id_column, limit=limit)
    return Aligned(source, cells)


def _files(uris: Sequence[str], anchor: str, id_column: str | None) -> tuple[Cells, str]:
    places: dict[str, Rows] = {}
    names = {}
    for given in uris:
        match = _TAGGED.fullmatch(given)
        if match is None:
            raise InputError(f"--aligned {given} has no language; write it as --aligned es={given}")
        tag = _tag(match[1])
        if tag in places:
            raise InputError(
                f"--aligned gives {tag} twice; a folder or glob may hold several files of a language"
            )
        places[tag], names[tag] = locate(_without_dropped(match[2]))
    if anchor not in places:
        raise InputError(
            f"no file is in the anchor language {anchor}: give one as --aligned {anchor}=FILE, or name "
            "another language with --anchor"
        )
    if len(places) == 1:
        raise InputError(
            f"only {anchor} is given, and no translation: add --aligned TAG=FILE for each language"
        )
    ordered = {anchor: places.pop(anchor), **places}
    heads = {tag: _head(rows) for tag, rows in ordered.items()}
    have_ids = all(ID_COLUMN in _columns(head) for head in heads.values())
    column = id_column or (ID_COLUMN if have_ids else None)
    for tag, head in heads.items():
        if column and column not in _columns(head):
            raise InputError(f'the file of {tag} has no id column "{column}"')
    return Cells(tuple(ordered.items()), "files", anchor, column, ""), names[anchor]


def _tag(value: str) -> str:
    try:
        return layouts.tag_of(value)
    except SetAside as error:
        raise InputError(f"--aligned {value}=…: {error.reason}") from None


def _one(uri: str, anchor: str, id_column: str | None, language_column: str | None) -> tuple[Cells, str]:
    rows, name = locate(_without_dropped(uri))
    head = [row.value for row in _head(rows) if isinstance(row.value, dict)]
    votes: Counter[tuple[Layout, str]] = Counter()
    names = [language_column] if language_column else LANGUAGE_COLUMNS
    for record in head:
        languages = len(layouts.take_apart(record, anchor)[0])
        spoken = next((name for name in names if isinstance(record.get(name), str)), None)
        if languages > 1:
            votes["wide", ""] += 1
        elif spoken and record.keys() >= {"chosen", "rejected"}:
            votes["long", spoken] += 1
    if not head:
        raise InputError(f"{uri} has no readable row")
    if not votes:
        seen = describe(head[0])
        raise InputError(
            f"{uri} is in no known layout of translations; columns seen: {seen}; needed: a row a language "
            f'with "{ID_COLUMN}" and "language", or columns such as "chosen_en" and "chosen_es", or a file '
            f"a language (--aligned {anchor}=FILE --aligned es=FILE)"
        )
    layout, spoken = votes.most_common(1)[0][0]
    there = {column for record in head for column in record}
    if id_column and id_column not in there:
        raise InputError(f'{uri} has no id column "{id_column}"; columns seen: {", ".join(sorted(there))}')
    column = id_column or (ID_COLUMN if ID_COLUMN in there else None)
    if layout == "long" and column is None:
        raise InputError(
            f'{uri} has a row a language, but no column "{ID_COLUMN}" that says which rows belong together: '
            "name it with --id-column"
        )
    return Cells((("", rows),), layout, anchor, column, spoken), name


def _require_anchor(cells: Cells, uri: str) -> None:
    """InputError, naming the languages that are there, where none of the rows is the anchor's."""
    seen: Counter[str] = Counter()
    with closing(_generator(cells)) as stream:
        for cell in stream:
            if cell.tag == cells.anchor:
                return
            seen[cell.tag] += 1
    there = " ".join(tag for tag in seen if tag) or "none"
    raise InputError(
        f"{uri} has no row in the anchor language {cells.anchor}; languages there: {there}. "
        "Name another with --anchor"
    )


def _generator(cells: Cells) -> Generator[Cell]:
    yield from cells.cells()


def _head(rows: Rows) -> list[Row]:
    with closing(rows.rows()) as stream:
        return peek(stream)


def _columns(head: Sequence[Row]) -> dict[str, Any]:
    return dict.fromkeys(name for row in head if isinstance(row.value, dict) for name in row.value)


def _without_dropped(uri: str) -> str:
    """Of a set that mldata wrote, the rows that were kept."""
    folder = Path(uri)
    is_set = (folder / "manifest.json").is_file() and (folder / "data").is_dir()
    return f"{glob.escape(str(folder))}/data/*.arrow" if is_set else uri
