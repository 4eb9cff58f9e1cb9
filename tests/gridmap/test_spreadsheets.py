"""Spreadsheets that nobody vouches for: each is refused in words, and none takes the house with it."""

import zipfile
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import Workbook, load_workbook

from gridmap.spreadsheets import SheetRefused, as_text, from_text, read_sheet, workbook


def book(*rows: Any) -> bytes:
    made = Workbook()
    for row in rows:
        made.active.append(row)
    told = BytesIO()
    made.save(told)
    return told.getvalue()


def with_part(content: bytes, name: str, part: bytes) -> bytes:
    told = BytesIO(content)
    with zipfile.ZipFile(told, "a", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr(name, part)
    return told.getvalue()


def instead(content: bytes, name: str, part: bytes) -> bytes:
    told = BytesIO()
    with zipfile.ZipFile(BytesIO(content)) as before, zipfile.ZipFile(told, "w") as after:
        for member in before.namelist():
            after.writestr(member, part if member == name else before.read(member))
    return told.getvalue()


GOOD = book(["number", "name"], [1, "井盖"])
SHEET = "xl/worksheets/sheet1.xml"
LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
    b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">&b;</worksheet>'
)
FAR = (
    b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
    b'<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    b"</sheetData></worksheet>"
)


def test_what_is_good_is_read() -> None:
    rows = [{"number": "1", "name": "井盖"}]
    assert read_sheet("a.xlsx", GOOD) == rows
    for encoding in ("utf-8", "utf-8-sig", "gb18030"):
        assert read_sheet("A.CSV", "number,name\r\n1,井盖\r\n".encode(encoding)) == rows


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.xlsx", b""),
        ("a.xlsx", b"PK\x03\x04 broken"),
        ("a.xlsx", GOOD[: len(GOOD) // 2]),
        ("a.xlsx", b"x" * 2_000_001),
        ("a.xlsm", GOOD),
        ("a.xls", b"\xd0\xcf\x11\xe0"),
        ("a", GOOD),
        ("a.xlsx", book(["number"], ["=1+1"])),
        ("a.xlsx", book(["number"], ['=HYPERLINK("http://x")'])),
        ("a.xlsx", with_part(GOOD, "xl/vbaProject.bin", b"program")),
        ("a.xlsx", with_part(GOOD, "xl/media/bomb.xml", b"0" * 25_000_000)),
        ("a.xlsx", instead(GOOD, SHEET, LAUGHS)),
        ("a.xlsx", instead(GOOD, SHEET, LAUGHS.decode().encode("utf-16"))),
        ("a.xlsx", instead(GOOD, SHEET, FAR)),
        ("a.xlsx", book(["number"], *([n] for n in range(2001)))),
        ("a.xlsx", book(["a"] * 41)),
        ("a.xlsx", book(["number", "number"], [1, 2])),
        ("a.xlsx", book(["number"], [1, "beside"])),
        ("a.xlsx", book(["number", None, "name"], [1, 2, 3])),
        ("a.xlsx", book(["number"], ["x" * 2001])),
        ("a.csv", b""),
        ("a.csv", b"\xff\xff\xff"),
        ("a.csv", b"number\n\0"),
        ("a.csv", b'number\n"open'),
        ("a.csv", b"number\n" + b"1\n" * 400_000),
        ("a.csv", b"number\n" + b"x" * 200_000),
    ],
)
def test_what_is_bad_is_refused_in_words(name: str, content: bytes) -> None:
    with pytest.raises(SheetRefused) as refused:
        read_sheet(name, content)
    assert len(str(refused.value)) > 5


@given(st.text(max_size=20))
def test_what_goes_out_is_no_formula_and_comes_back_the_same(text: str) -> None:
    assert not as_text(text).startswith(("=", "+", "-", "@", "\t", "\r"))
    if not text.startswith("'"):
        assert from_text(as_text(text)) == text


def test_a_formula_in_a_name_is_text_in_the_sheet() -> None:
    sheet = load_workbook(BytesIO(workbook(["name"], [["=cmd|' /C calc'!A0"]]))).active
    assert sheet["A2"].data_type == "s"
    assert sheet["A2"].value == "'=cmd|' /C calc'!A0"


def test_what_no_workbook_can_hold_is_left_out() -> None:
    sheet = load_workbook(BytesIO(workbook(["name"], [["\x0b=1+1\x00"]]))).active
    assert (sheet["A2"].data_type, sheet["A2"].value) == ("s", "'=1+1")
