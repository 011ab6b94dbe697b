"""Three layouts in which people keep translated preference data, each taken apart into cells.

A cell is one concept in one language, as it was found: which concept and language it is, and a row whose
value is a record with prompt, chosen and rejected. Nothing is dropped here: what can't be a cell is one with
a problem. `aligned` decides on the layout; what the records hold is read by `formats`, as in any source.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from mldata.concepts import FIELDS
from mldata.errors import InputError
from mldata.languages import canonical, covering
from mldata.sources import Rows, user_id
from mldata.sources.containers import Row
from mldata.sources.formats import SetAside

_PARTS = (*FIELDS, "system")
_SUFFIXED = re.compile(rf"({'|'.join(_PARTS)})[_.:-](.+)")
_PREFIXED = re.compile(rf"(.+)[_.:-]({'|'.join(_PARTS)})")
_OF_A_SET = {"is_anchor", "origin", "route", "fields"}

Texts = dict[str, dict[str, Any]]
"""Language tag -> record."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One concept in one language."""

    key: str
    """What the cells of a concept share: the user's id, else the number of its row or line."""
    tag: str
    """Canonical; "" where none could be read."""
    row: Row


@cache
def tag_of(value: str) -> str:
    """The canonical tag of what a file calls a language; SetAside where it can't be measured."""
    try:
        tag = canonical(value)
    except InputError:
        raise SetAside("", f'"{value}" is no BCP-47 language tag') from None
    if covering(tag) is None:
        raise SetAside("", f'no identifier here knows the language "{value}"')
    return tag


def long(rows: Iterator[Row], id_column: str, language_column: str) -> Iterator[Cell]:
    """One row a concept and language."""
    for row in rows:
        try:
            record = _record(row)
            language = record.get(language_column)
            if not isinstance(language, str) or not language.strip():
                what = "missing" if language is None else "empty" if language == "" else "not text"
                raise SetAside(language_column, f'"{language_column}" is {what}')
            tag = tag_of(language)
        except SetAside as error:
            yield Cell("", "", _problem(row, error))
            continue
        yield _cell(tag, replace(row, value=_of_long(record, language_column)), id_column)


def _of_long(record: Mapping[str, Any], language_column: str) -> dict[str, Any]:
    """A row's own columns. Of the rows of a set that mldata wrote, those that the set's source had."""
    if record.keys() >= _OF_A_SET:
        own = {name: record[name] for name in ("concept_id", *FIELDS) if name in record}
        return {**(record.get("source") or {}), **own}
    return {name: value for name, value in record.items() if name != language_column}


def wide(rows: Iterator[Row], id_column: str | None, anchor: str) -> Iterator[Cell]:
    """All languages of a concept in one row."""
    for number, row in enumerate(rows, 1):
        try:
            record = _record(row)
            key = user_id(record, id_column) if id_column else str(number)
        except SetAside as error:
            yield Cell("", "", _problem(row, error))
            continue
        texts, others = take_apart(record, anchor)
        for language, part in texts.items():
            if all(_is_blank(part.get(name)) for name in FIELDS):
                continue  # a table has a cell there, or a struct a null, for every language
            try:
                tag = tag_of(language)
            except SetAside as error:
                yield Cell(key, "", _problem(row, error))
                continue
            value = {**others, **part} if tag == anchor else part
            yield Cell(key, tag, replace(row, value=value))


def take_apart(record: Mapping[str, Any], anchor: str) -> tuple[Texts, dict[str, Any]]:
    """Texts by language, and the other columns: {"en": {"chosen": …}}, {"chosen": {"en": …}}, chosen_en
    or en_chosen, where columns without a language are the anchor's. No texts where it is none of these."""
    by_language = {
        name: dict(value)
        for name, value in record.items()
        if isinstance(value, Mapping) and value.keys() >= {"chosen", "rejected"} and _is_tag(name)
    }
    if by_language:
        return by_language, {name: value for name, value in record.items() if name not in by_language}
    answers = record.get("chosen"), record.get("rejected")
    if all(isinstance(answer, Mapping) and any(map(_is_tag, answer)) for answer in answers):
        return _by_field(record)
    return _by_column(record, anchor)


def _by_field(record: Mapping[str, Any]) -> tuple[Texts, dict[str, Any]]:
    nested = [name for name in _PARTS if isinstance(record.get(name), Mapping)]
    texts: Texts = {}
    for name in nested:
        for language, value in record[name].items():
            texts.setdefault(language, {})[name] = value
    return texts, {name: value for name, value in record.items() if name not in nested}


def _by_column(record: Mapping[str, Any], anchor: str) -> tuple[Texts, dict[str, Any]]:
    found: dict[str, dict[str, str]] = {}  # language -> part -> column
    for column in record:
        if (place := _column(column)) is not None:
            found.setdefault(place[1], {})[place[0]] = column
    # chosen_score and prompt_id are no languages: both answers have to be there.
    languages = {tag: parts for tag, parts in found.items() if parts.keys() >= {"chosen", "rejected"}}
    if not languages:
        return {}, dict(record)
    if "chosen" in record and "rejected" in record and anchor not in languages:
        languages[anchor] = {name: name for name in _PARTS if name in record}
    used = {column for parts in languages.values() for column in parts.values()}
    texts = {tag: {part: record[c] for part, c in parts.items()} for tag, parts in languages.items()}
    return texts, {name: value for name, value in record.items() if name not in used}


@cache
def _column(name: str) -> tuple[str, str] | None:
    """Part and language of a column's name."""
    if match := _SUFFIXED.fullmatch(name):
        part, language = match[1], match[2]
    elif match := _PREFIXED.fullmatch(name):
        part, language = match[2], match[1]
    else:
        return None
    return (part, _canonical_or(language)) if _is_tag(language) else None


def _canonical_or(language: str) -> str:
    try:
        return tag_of(language)
    except SetAside:
        return language


@cache
def _is_tag(name: str) -> bool:
    """A language that can be measured, or at least one of two letters: many a word is a code of three."""
    try:
        tag = canonical(name)
    except InputError:
        return False
    return covering(tag) is not None or len(re.split("[-_]", name)[0]) == 2


def of_file(tag: str, rows: Rows, id_column: str | None) -> Iterator[Cell]:
    """One language: cells are matched by id, or by line (JSON Lines) or row."""
    urls = rows.urls()
    # A cell of CSV may hold line ends; the lines of a JSONL file count, as a blank one may hold a place.
    lines = len(urls) == 1 and re.search(r"\.(jsonl|ndjson)(\.\w+)?$", urls[0].lower()) is not None
    for number, row in enumerate(rows.rows(), 1):
        try:
            _record(row)
        except SetAside as error:
            yield Cell(str(row.number if lines else number), tag, _problem(row, error))
            continue
        if id_column:
            yield _cell(tag, row, id_column)
        else:
            yield Cell(str(row.number if lines else number), tag, row)


def _cell(tag: str, row: Row, id_column: str) -> Cell:
    try:
        return Cell(user_id(row.value, id_column), tag, row)
    except SetAside as error:
        return Cell("", tag, _problem(row, error))


def _record(row: Row) -> Mapping[str, Any]:
    if row.problem:
        raise SetAside(row.field, row.problem)
    if not isinstance(row.value, Mapping):
        raise SetAside("", "the row is not an object with named fields")
    return row.value


def _problem(row: Row, error: SetAside) -> Row:
    return replace(row, value=None, field=error.field, problem=error.reason)


def _is_blank(value: Any) -> bool:
    not_a_number = value != value  # pandas writes what is missing so
    return (
        value is None or bool(not_a_number) or value == [] or (isinstance(value, str) and not value.strip())
    )
