"""Both languages are complete, and what is compiled is what is written."""

import gettext
import io
import re
from pathlib import Path

import pytest
from babel.messages import mofile, pofile
from babel.messages.extract import extract_from_dir
from django.conf import settings
from django.utils import translation

ROOT = Path(__file__).parent.parent
PO = ROOT / "locale/zh_Hans/LC_MESSAGES/django.po"
ROOMS = [
    "config",
    "gridmap",
    "fieldops",
    "insight",
    "realtime",
    "mobile_api",
    "command_center",
    "map_services",
]
KEYWORDS = {"_": None, "gettext": None, "gettext_lazy": None}


@pytest.fixture(scope="module")
def catalogue() -> pofile.Catalog:
    with PO.open("rb") as file:
        return pofile.read_po(file, locale="zh_Hans")


def _in_sources() -> set[str]:
    found: set[str] = set()
    for room in ROOMS:
        rows = extract_from_dir(str(ROOT / room), [("**.py", "python")], keywords=KEYWORDS)
        found |= {
            message
            for path, _line, message, *_ in rows
            if isinstance(message, str) and "migrations" not in path
        }
        for template in (ROOT / room).rglob("templates/**/*.html"):
            found |= set(re.findall(r'{%\s*translate "([^"]+)"', template.read_text()))
    return found


def test_every_text_has_its_chinese(catalogue: pofile.Catalog) -> None:
    translated = {str(m.id) for m in catalogue if m.id and m.string and not m.fuzzy}
    assert len(_in_sources()) > 150
    assert _in_sources() - translated == set()


def test_no_text_is_left_over(catalogue: pofile.Catalog) -> None:
    assert {str(m.id) for m in catalogue if m.id} - _in_sources() == set()


def test_placeholders_are_the_same(catalogue: pofile.Catalog) -> None:
    names = re.compile(r"%\((\w+)\)s")
    for message in catalogue:
        if message.id:
            assert sorted(names.findall(message.id)) == sorted(names.findall(message.string)), message.id


def test_the_compiled_file_is_current(catalogue: pofile.Catalog) -> None:
    fresh = io.BytesIO()
    mofile.write_mo(fresh, catalogue)
    fresh.seek(0)
    wanted = gettext.GNUTranslations(fresh)._catalog
    with PO.with_suffix(".mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)._catalog
    # The empty key is the header, with the time of compilation.
    assert {**compiled, "": ""} == {**wanted, "": ""}


@pytest.mark.parametrize("_time", ["first", "second"])
def test_a_test_does_not_read_the_language_of_the_one_before(_time: str) -> None:
    assert translation.get_language() == settings.LANGUAGE_CODE
    translation.activate("en")
