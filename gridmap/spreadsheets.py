"""Spreadsheets in and out. What goes out is never a formula of the program that opens it; what comes in is trusted
in nothing: neither its size nor its parts.
"""

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from io import BytesIO
from typing import Any

from django.utils.translation import gettext as _
from openpyxl import Workbook, load_workbook
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

MOST_BYTES = 2_000_000
MOST_UNPACKED = 20_000_000
MOST_MEMBERS = 60
MOST_ROWS = 2000
MOST_COLUMNS = 40
MOST_IN_A_CELL = 2000
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_BEGINS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_text(value: Any) -> Any:
    """A cell's value; where a program would take it for a formula, an apostrophe stands before it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_BEGINS_A_FORMULA) else value


def cell_of(value: Any) -> Any:
    """What a cell of a workbook holds of a value: no control characters, which its file format has none for."""
    return as_text(ILLEGAL_CHARACTERS_RE.sub("", value) if isinstance(value, str) else value)


def from_text(value: Any) -> Any:
    """The reverse of `as_text`."""
    is_kept = isinstance(value, str) and value[:1] == "'" and value[1:].startswith(_BEGINS_A_FORMULA)
    return value[1:] if is_kept else value


def workbook(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """One sheet with its headings."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet()
    sheet.append([cell_of(str(heading)) for heading in headings])
    for row in rows:
        sheet.append([cell_of(value) for value in row])
    told = BytesIO()
    book.save(told)
    return told.getvalue()


class SheetRefused(Exception):
    """The file is not read; the text says why, in the reader's language."""


def read_sheet(name: str, content: bytes) -> list[dict[str, str]]:
    """The rows of the first sheet (.xlsx, .csv) by its headings, as text; empty ones left out.

    Raises SheetRefused for what is too big, is no such file, or holds formulas, macros or entities.
    """
    if len(content) > MOST_BYTES:
        raise SheetRefused(_("The file is larger than 2 MB."))
    if name.lower().endswith(".xlsx"):
        lines = _rows_of_workbook(content)
    elif name.lower().endswith(".csv"):
        lines = _rows_of_csv(content)
    else:
        raise SheetRefused(_("The file has to be .xlsx or .csv."))
    read: list[list[str]] = []
    for n, line in enumerate(lines, start=1):
        if n > MOST_ROWS + 1:
            raise SheetRefused(_("The sheet has more than 2000 rows."))
        if len(line) > MOST_COLUMNS and any(line[MOST_COLUMNS:]):
            raise SheetRefused(_("The sheet has more than 40 columns."))
        values = [from_text(value) for value in line[:MOST_COLUMNS]]
        if any(len(value) > MOST_IN_A_CELL or "\0" in value for value in values):
            raise SheetRefused(_("Row %(row)s: a cell holds what no cell should.") % {"row": n})
        read.append(values)
    if not read:
        raise SheetRefused(_("The sheet is empty."))
    headings = [value.strip() for value in read[0]]
    while headings and not headings[-1]:
        headings.pop()
    if not headings or not all(headings) or len(set(headings)) < len(headings):
        raise SheetRefused(_("The first row has to name every column once."))
    if any(any(line[len(headings) :]) for line in read[1:]):
        raise SheetRefused(_("The first row has to name every column once."))
    return [dict(zip(headings, [*line, *[""] * len(headings)], strict=False)) for line in read[1:]]


def _rows_of_csv(content: bytes) -> Iterator[list[str]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            text = content.decode("gb18030")
        except UnicodeDecodeError as error:
            raise SheetRefused(_("The text is neither UTF-8 nor GB18030.")) from error
    try:
        yield from csv.reader(io.StringIO(text, newline=""), strict=True)
    except csv.Error as error:
        raise SheetRefused(_("The file cannot be read.")) from error


def _rows_of_workbook(content: bytes) -> Iterator[list[str]]:
    try:
        _look_inside(content)
        sheet = load_workbook(BytesIO(content), read_only=True, keep_links=False).worksheets[0]
        for n, row in enumerate(sheet.iter_rows(max_col=MOST_COLUMNS + 1), start=1):
            if any(cell.data_type == "f" for cell in row):
                raise SheetRefused(_("Row %(row)s holds a formula; only values are taken.") % {"row": n})
            yield [_text(cell.value) for cell in row]
    except SheetRefused:
        raise
    except Exception as error:  # whatever a parser says of a file made to break it
        raise SheetRefused(_("The file cannot be read.")) from error


def _look_inside(content: bytes) -> None:
    """Sizes as declared bound what is unpacked; neither macros nor entities are let in."""
    with zipfile.ZipFile(BytesIO(content)) as parts:
        members = parts.infolist()
        if len(members) > MOST_MEMBERS or sum(part.file_size for part in members) > MOST_UNPACKED:
            raise SheetRefused(_("The file unpacks to more than it should."))
        for part in members:
            if "vba" in part.filename.lower() or part.filename.lower().endswith(".bin"):
                raise SheetRefused(_("The file holds macros or other programs."))
            if b"<!DOCTYPE" in parts.read(part).replace(b"\0", b"").upper():
                raise SheetRefused(_("The file cannot be read."))


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}" if value.time() != datetime.min.time() else f"{value:%Y-%m-%d}"
    if isinstance(value, date):
        return value.isoformat()
    return str(value)
