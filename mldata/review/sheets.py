"""The rows to judge as a spreadsheet, and its verdicts back: for reviewers without the page.

No cell is ever a formula: Excel's file has texts only, and in CSV a cell that a spreadsheet would run begins
with an apostrophe, which is taken off again. What a row's verdict is on (the texts' digest, how the row was
drawn) travels in a column of its own that tells a reviewer nothing, so that verdicts hold though the set
was selected again meanwhile.
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError

from mldata.concepts import FIELDS
from mldata.errors import InputError, first_line
from mldata.exports import FORMULA
from mldata.review import journal
from mldata.review.journal import MEANINGS, VERDICTS, Verdict
from mldata.review.sampling import ROWS, Draw, Item, digest, items
from mldata.shards import check_outside
from mldata.side_by_side import Beside, beside
from mldata.store import atomic
from mldata.visible import visible

SIDES = ("source", "translation", "translated back")
TEXTS = tuple(f"{field}, {side}" for field in FIELDS for side in SIDES)
COLUMNS = ("row", "verdict", "comment", *TEXTS, "concept_id", "key")
NEEDED = ("verdict", "comment", "concept_id", "key")
CELL = 32_767
"""Characters of an Excel cell (https://support.microsoft.com/office, "Excel specifications and limits")."""
BYTES = 256 << 20
"""Of a file that is read; a sheet of 50 rows has some hundred thousand."""

_FORMULA = re.compile(FORMULA)


class _Key(BaseModel):
    model_config = ConfigDict(frozen=True)

    language: str
    digest: str
    draw: Draw


@dataclass(frozen=True)
class Read:
    """What a spreadsheet held."""

    new: int
    """Verdicts that were written."""
    known: int
    """Verdicts that the reviewer had given just so before."""
    empty: int
    """Rows without a verdict and a comment."""
    set_aside: list[tuple[int, str]]
    """Row of the spreadsheet, counted from 1 with its header, and why it isn't taken."""


def export(
    path: Path, file: Path, language: str, *, reviewer: str | None = None, sample: int = ROWS, seed: int = 0
) -> int:
    """Write the rows of a language to judge, with what `reviewer` said of them before; gives their number."""
    if file.suffix.lower() not in (".xlsx", ".csv"):
        raise InputError(f"{file} says no format: end its name in .xlsx or .csv")
    check_outside(file, "place")
    if file.exists():
        raise InputError(f"{file} is there already, and may hold verdicts: choose another name")
    drawn = items(path, language, sample=sample, seed=seed)
    lines = journal.read_one(path, reviewer) if reviewer else []
    said = {key: line for (_, key), line in journal.latest(lines).items()}
    rows = []
    for number, item in enumerate(drawn, 1):
        line = said.get(item.key)
        given = [line.verdict or "", visible(line.comment)] if line else ["", ""]
        rows.append([str(number), *given, *_cells(item.beside), item.beside.concept_id, _key(item)])
    with atomic(file) as temporary:
        (_write_excel if file.suffix.lower() == ".xlsx" else _write_csv)(temporary, rows)
    return len(rows)


def _cells(one: Beside) -> list[str]:
    """The texts as cells hold them: control characters written out."""
    return [
        visible(texts[field]) if texts is not None else ""
        for field in FIELDS
        for texts in (one.source, one.translation, one.back)
    ]


def _key(item: Item) -> str:
    key = _Key(language=item.beside.language, digest=item.digest, draw=item.draw)
    return base64.urlsafe_b64encode(key.model_dump_json().encode()).decode()


def _write_csv(file: Path, rows: Sequence[Sequence[str]]) -> None:
    with file.open("w", encoding="utf-8-sig", newline="") as opened:
        writer = csv.writer(opened, quoting=csv.QUOTE_ALL)
        writer.writerow(COLUMNS)
        writer.writerows([f"'{cell}" if _FORMULA.match(cell) else cell for cell in row] for row in rows)


def _write_excel(file: Path, rows: Sequence[Sequence[str]]) -> None:
    try:
        import xlsxwriter
    except ModuleNotFoundError as error:
        raise InputError(
            f'.xlsx files need {error.name}: pip install "mldata[review]"; .csv needs nothing'
        ) from None

    book = xlsxwriter.Workbook(str(file), {"in_memory": True})
    sheet = book.add_worksheet("verdicts")
    head = book.add_format({"bold": True, "bottom": 1, "text_wrap": True, "valign": "top"})
    text = book.add_format({"text_wrap": True, "valign": "top", "num_format": "@"})
    judged = book.add_format(
        {
            "text_wrap": True,
            "valign": "top",
            "num_format": "@",
            "bg_color": "#F3F6FB",
            "border": 1,
            "border_color": "#D9DDE3",
        }
    )
    for number, name in enumerate(COLUMNS):
        sheet.write_string(0, number, name, head)
        width = 45 if name in TEXTS else {"row": 5, "verdict": 11, "comment": 30}.get(name, 20)
        sheet.set_column(number, number, width, None, {"hidden": True} if name == "key" else None)
    for at, row in enumerate(rows, 1):
        for number, cell in enumerate(row):
            mine = COLUMNS[number] in ("verdict", "comment") or COLUMNS[number].endswith(", translation")
            if cell or mine:  # a cell without text has no format otherwise
                sheet.write_string(at, number, _fitting(cell), judged if mine else text)
    if rows:
        column = COLUMNS.index("verdict")
        sheet.data_validation(
            *(1, column, len(rows), column),
            {
                "validate": "list",
                "source": list(VERDICTS),
                "input_title": "Verdict",
                "input_message": "\n".join(f"{name}: {MEANINGS[name]}" for name in VERDICTS)[:255],
                "error_title": "No verdict",
                "error_message": f"One of {', '.join(VERDICTS)}, or nothing.",
            },
        )
    sheet.freeze_panes(1, COLUMNS.index("comment") + 1)
    book.close()


def _fitting(cell: str) -> str:
    """Excel counts in UTF-16 units, and takes no longer cells."""
    if len(cell.encode("utf-16-le", "replace")) // 2 <= CELL:
        return cell
    note = "\n[cut: the page of `mldata review` shows all of it]"
    room = 2 * (CELL - len(note))
    return cell.encode("utf-16-le", "replace")[:room].decode("utf-16-le", "ignore") + note


def read(path: Path, file: Path, reviewer: str) -> Read:
    """Take the verdicts of a spreadsheet that `export` wrote, as `reviewer`'s; those that can't be are set
    aside. Reading a file twice changes nothing."""
    table = _table(file)
    empty, set_aside, keys = 0, [], {}
    for number, row in table:
        if not row["verdict"].strip():
            if row["comment"].strip():
                set_aside.append((number, "a comment without a verdict"))
            else:
                empty += 1
            continue
        try:
            keys[number] = _Key.model_validate_json(base64.urlsafe_b64decode(row["key"].strip()))
        except (ValidationError, binascii.Error, ValueError):
            set_aside.append((number, "an unknown row: its key isn't as it was exported"))
    there = _there(path, [(row["concept_id"].strip(), keys[n].language) for n, row in table if n in keys])
    lines: list[journal.Line] = []
    seen: dict[tuple[str, str, str], int] = {}
    for number, row in table:
        if number not in keys:
            continue
        one = there.get((row["concept_id"].strip(), keys[number].language))
        verdict = _verdict(row["verdict"])
        because = _unfit(row, keys[number], one)
        if one is None or because is not None:
            set_aside.append((number, because or "an unknown row"))
        elif verdict is None:
            set_aside.append(
                (number, f'"{visible(row["verdict"])[:40]}" is no verdict: {", ".join(VERDICTS)}')
            )
        else:
            item = Item(one, keys[number].digest, keys[number].draw)
            if item.key in seen:
                set_aside.append((number, f"row {seen[item.key]} is on the same row of the set"))
                continue
            seen[item.key] = number
            lines.append(journal.said(item, reviewer, verdict, row["comment"]))
    new = journal.append(path, reviewer, lines)
    return Read(new, len(lines) - new, empty, sorted(set_aside))


def _there(path: Path, rows: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Beside]:
    """Concept and language -> the row as the set has it."""
    wanted = pl.DataFrame(rows, {"concept_id": pl.String, "language": pl.String}, orient="row").unique()
    return {(one.concept_id, one.language): one for one in beside(path, wanted)}


def _unfit(row: Mapping[str, str], key: _Key, one: Beside | None) -> str | None:
    """Why a row's verdict can't be taken for the set's row."""
    if one is None:
        return "an unknown row: the set has no such concept in the language"
    if digest(one.source, one.translation) != key.digest:
        return "the set's texts changed since the export: judge the row anew"
    for name, cell in zip(TEXTS, _cells(one), strict=True):
        edited = name.endswith(", translation") and row.get(name) is not None
        if edited and _bare(row[name]) not in (_bare(cell), _bare(_fitting(cell))):
            return f'"{name}" was changed in the spreadsheet, so what was judged isn\'t in the set'
    return None


def _bare(text: str) -> str:
    """Programs write line ends and blanks in ways of their own."""
    return "".join(text.split())


def _verdict(cell: str) -> Verdict | None:
    said = cell.strip().casefold().removesuffix(".0")
    by_number = {str(number): verdict for number, verdict in enumerate(VERDICTS, 1)}
    return by_number.get(said) or next((verdict for verdict in VERDICTS if verdict == said), None)


def _table(file: Path) -> list[tuple[int, dict[str, str]]]:
    """Row of the spreadsheet and its cells by column; InputError where it is no such spreadsheet."""
    if not file.is_file():
        raise InputError(f"{file} isn't there")
    if file.stat().st_size > BYTES:
        raise InputError(f"{file} has more than {BYTES >> 20} MB: it isn't what --export wrote")
    suffix = file.suffix.lower()
    if suffix not in (".xlsx", ".csv"):
        raise InputError(f"{file} says no format that is read here: save it as .xlsx or .csv (UTF-8)")
    header, *rows = (_read_excel(file) if suffix == ".xlsx" else _read_csv(file)) or [[]]
    names = [name.strip() for name in header]
    if missing := [name for name in NEEDED if name not in names]:
        raise InputError(f"{file} lacks the columns {', '.join(missing)}: it isn't what --export wrote")
    found = []
    for number, row in enumerate(rows, 2):
        cells = dict(zip(names, [*row, *[""] * (len(names) - len(row))], strict=False))
        if any(cell.strip() for cell in cells.values()):
            found.append((number, cells))
    return found


def _read_csv(file: Path) -> list[list[str]]:
    """With whatever separator a spreadsheet saved it: it stands after the first column's name."""
    try:
        content = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f'{file} isn\'t UTF-8 ({error.reason}): save it as "CSV UTF-8"') from None
    after = re.match(r'"?row"?([,;\t])', content)
    csv.field_size_limit(BYTES)
    try:
        rows = list(csv.reader(io.StringIO(content, newline=""), delimiter=after[1] if after else ","))
    except csv.Error as error:
        raise InputError(f"{file} can't be read as CSV ({error})") from None
    return [[_without_apostrophe(cell) for cell in row] for row in rows]


def _without_apostrophe(cell: str) -> str:
    """As it was before the export; a comment that a reviewer began with one keeps it."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell[1:]) else cell


def _read_excel(file: Path) -> list[list[str]]:
    """The first sheet's cells as text; formulas count as what they last showed."""
    try:
        import fastexcel
    except ModuleNotFoundError as error:
        raise InputError(f'.xlsx files need {error.name}: pip install "mldata[review]"') from None
    try:
        sheet: Any = fastexcel.read_excel(file).load_sheet(0, header_row=None, dtypes="string")
        frame: pl.DataFrame = sheet.to_polars()
    except fastexcel.FastExcelError as error:
        raise InputError(f"{file} can't be read ({first_line(error)}): save it as .xlsx again") from None
    return [["" if cell is None else cell for cell in row] for row in frame.iter_rows()]
