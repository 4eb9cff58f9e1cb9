"""Spreadsheets out: what a cell says is never a formula of the program that opens it."""

from collections.abc import Iterable, Sequence
from io import BytesIO
from typing import Any

from openpyxl import Workbook

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_BEGINS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_text(value: Any) -> Any:
    """A cell's value; where a program would take it for a formula, an apostrophe stands before it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_BEGINS_A_FORMULA) else value


def from_text(value: Any) -> Any:
    """The reverse of `as_text`."""
    is_kept = isinstance(value, str) and value[:1] == "'" and value[1:].startswith(_BEGINS_A_FORMULA)
    return value[1:] if is_kept else value


def workbook(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """One sheet with its headings."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet()
    sheet.append([as_text(str(heading)) for heading in headings])
    for row in rows:
        sheet.append([as_text(value) for value in row])
    told = BytesIO()
    book.save(told)
    return told.getvalue()
