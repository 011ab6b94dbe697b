"""Verdicts by spreadsheet: no cell runs, nothing is lost on the way, and what doesn't fit is told."""

import csv
import zipfile

import fastexcel
import pytest
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st

from mldata.errors import InputError
from mldata.review import journal, sheets
from mldata.review.sampling import items
from mldata.review.verdicts import verdicts
from tests.conftest import bytes_of
from tests.review.conftest import lines_of, write_set

STRANGE = {
    "prompt": "=cmd|' /C calc'!A0",
    "chosen": "'=1+1\tand\x1b[31m red _x000D_ \r\nhttps://example.org ok",
    "rejected": "+" + "muy largo 🎈 " * 4000,
}


@pytest.fixture
def strange(built, tmp_path):
    return write_set(built.path, tmp_path / "set", STRANGE)


def cells(file):
    """Rows of a file as a program of another maker reads them."""
    if file.suffix == ".csv":
        with file.open(encoding="utf-8-sig", newline="") as opened:
            return list(csv.reader(opened))
    frame = fastexcel.read_excel(file).load_sheet(0, header_row=None, dtypes="string").to_polars()
    return [["" if cell is None else cell for cell in row] for row in frame.iter_rows()]


def write(file, rows, delimiter=","):
    """As a reviewer's program saves it."""
    if file.suffix == ".csv":
        with file.open("w", encoding="utf-8", newline="") as opened:
            csv.writer(opened, delimiter=delimiter).writerows(rows)
        return
    with xlsxwriter.Workbook(file) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate(rows):
            for column, cell in enumerate(row):
                sheet.write_string(number, column, cell)


def fill(file, verdict):
    """Judge each row of an exported file."""
    head, *rows = cells(file)
    for number, row in enumerate(rows):
        row[head.index("verdict")] = verdict(number)
    write(file, [head, *rows])
    return rows


@pytest.mark.parametrize("suffix", ["xlsx", "csv"])
def test_verdicts_come_back_from_a_spreadsheet(strange, suffix):
    file = strange.parent / f"es.{suffix}"
    assert sheets.export(strange, file, "es", sample=40) == 40
    said = ["adequate", " Minor ", "3", "WRONG", ""]
    fill(file, lambda number: said[number % 5])
    found = sheets.read(strange, file, "ana")
    assert (found.new, found.known, found.empty, found.set_aside) == (32, 0, 8, [])
    drawn = items(strange, "es", sample=40)
    plain = ["adequate", "minor", "major", "wrong"]
    assert {line["concept_id"]: line["verdict"] for line in lines_of(strange, "ana")} == {
        item.beside.concept_id: plain[number % 5] for number, item in enumerate(drawn) if number % 5 < 4
    }
    assert [line["draw"] for line in lines_of(strange, "ana")] == [
        item.draw.model_dump() for number, item in enumerate(drawn) if number % 5 < 4
    ]
    before = bytes_of(strange.parent)
    again = sheets.read(strange, file, "ana")
    assert (again.new, again.known) == (0, 32)
    assert bytes_of(strange.parent) == before


def test_no_cell_is_a_formula(strange):
    """Excel's file says of each cell that it is text; CSV has an apostrophe before what would run."""
    for name in ("es.xlsx", "es.csv"):
        sheets.export(strange, strange.parent / name, "es", sample=40)
    inside = zipfile.ZipFile(strange.parent / "es.xlsx").read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in inside
    assert "<hyperlink" not in inside
    assert "=cmd" in str(cells(strange.parent / "es.xlsx"))
    for row in cells(strange.parent / "es.csv"):
        for cell in row:
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


def test_excel_shows_what_verdicts_there_are_and_keeps_the_heads_in_sight(forty, tmp_path):
    sheets.export(forty, tmp_path / "es.xlsx", "es")
    inside = zipfile.ZipFile(tmp_path / "es.xlsx").read("xl/worksheets/sheet1.xml").decode()
    assert '<dataValidation type="list"' in inside
    assert "adequate,minor,major,wrong" in inside
    assert 'state="frozen"' in inside
    assert 'hidden="1"' in inside


def test_what_was_said_before_stands_in_the_export(forty, mine):
    drawn = items(mine, "es", sample=8)
    journal.append(mine, "ana", [journal.said(drawn[2], "ana", "minor", "=casi")])
    sheets.export(mine, mine.parent / "es.csv", "es", reviewer="ana", sample=8)
    assert cells(mine.parent / "es.csv")[3][1:3] == ["minor", "'=casi"]
    found = sheets.read(mine, mine.parent / "es.csv", "ana")
    assert (found.new, found.known, found.empty) == (0, 1, 7)


def test_rows_that_cannot_be_taken_are_set_aside_with_their_reason(mine):
    file = mine.parent / "es.csv"
    sheets.export(mine, file, "es", sample=10)
    head, *rows = cells(file)
    at = {name: head.index(name) for name in head}
    for row in rows:
        row[at["verdict"]] = "adequate"
    rows[0][at["verdict"]] = "superb"
    rows[1][at["key"]] = rows[1][at["key"]][:-9]
    rows[2][at["concept_id"]] = "f" * 32
    rows[3][at["chosen, translation"]] += " Y más."
    rows[4] = rows[5].copy()
    rows[6][at["verdict"]], rows[6][at["comment"]] = "", "no sé"
    rows[7][at["prompt, source"]] = "  "
    write(file, [head, *rows], delimiter=";")
    found = sheets.read(mine, file, "ana")
    assert (found.new, found.empty) == (4, 0)
    reasons = dict(found.set_aside)
    assert list(reasons) == [2, 3, 4, 5, 7, 8]
    assert reasons[2] == '"superb" is no verdict: adequate, minor, major, wrong'
    assert "unknown row" in reasons[3]
    assert "no such concept" in reasons[4]
    assert '"chosen, translation" was changed' in reasons[5]
    assert reasons[7] == "row 6 is on the same row of the set"
    assert reasons[8] == "a comment without a verdict"


def test_a_verdict_on_a_text_that_changed_since_the_export_is_set_aside(built, mine):
    file = mine.parent / "es.xlsx"
    sheets.export(mine, file, "es", sample=40)
    fill(file, lambda number: "minor")
    write_set(built.path, mine, {"chosen": "Habla con él."})
    found = sheets.read(mine, file, "ana")
    assert found.new == 39
    ((_, reason),) = found.set_aside
    assert "changed since the export" in reason


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("no.xlsx", b"no zip file", "can't be read"),
        ("no.csv", b"row,verdict\n1,wrong\n", "lacks the columns comment, concept_id, key"),
        ("no.csv", "row,verdict\n1,añ\n".encode("latin-1"), "isn't UTF-8"),
        ("no.csv", b"", "lacks the columns"),
        ("no.ods", b"", "says no format"),
    ],
)
def test_files_that_are_no_such_sheet_are_told(mine, name, content, said):
    (mine.parent / name).write_bytes(content)
    with pytest.raises(InputError, match=said):
        sheets.read(mine, mine.parent / name, "ana")


def test_an_export_replaces_nothing(mine):
    (mine.parent / "es.csv").write_text("mine")
    with pytest.raises(InputError, match="is there already"):
        sheets.export(mine, mine.parent / "es.csv", "es")
    with pytest.raises(InputError, match=r"\.xlsx or \.csv"):
        sheets.export(mine, mine.parent / "es.txt", "es")


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=30))
def test_a_cell_of_csv_comes_back_as_it_was(text):
    written = f"'{text}" if sheets._FORMULA.match(text) else text
    assert sheets._without_apostrophe(written) == text


def test_one_sheet_of_all_languages_is_read_at_once(mine):
    rows = []
    for tag in ("es", "gl"):
        sheets.export(mine, mine.parent / f"{tag}.csv", tag, sample=4)
        head, *more = cells(mine.parent / f"{tag}.csv")
        rows += more
    for row in rows:
        row[1] = "1"
    write(mine.parent / "both.csv", [head, *rows])
    assert sheets.read(mine, mine.parent / "both.csv", "ana").new == 8
    assert list(verdicts(mine).languages) == ["es", "gl"]
