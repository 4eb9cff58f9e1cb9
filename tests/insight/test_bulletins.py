"""Bulletins: made once each, as of one moment, from the counts of all figures; documents that say what was counted."""

import io
import re
from datetime import date, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone
from django.utils.translation import override
from openpyxl import load_workbook
from reportlab import rl_config

from benchmarks._lives import make_lives, store, world_of
from fieldops.models import Post, User
from fieldops.status import Role
from gridmap.models import District, GridUnit, Level
from insight import bulletins, documents
from insight.documents import as_pdf, as_workbook, sheets_of
from insight.figures import Scope, count_all, period_of
from insight.models import Bulletin, BulletinKind
from insight.tables import tabulate
from insight.tasks import make_bulletins
from tests.doing import holder_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def district(db: None) -> District:
    """Eleven weeks of a hundred and fifty cases up to today."""
    district = District.objects.get()
    until = timezone.now()
    store(make_lives(world_of(district), 150, begin=until - timedelta(days=77), until=until, seed=8))
    return district


@pytest.fixture
def whole(district: District) -> GridUnit:
    return GridUnit.objects.get(district=district, level=Level.DISTRICT_COMMITTEE)


@pytest.fixture
def month(whole: GridUnit) -> Bulletin:
    first = bulletins.before("monthly", bulletins.first_day("monthly", timezone.localdate()))
    if bulletins.settled_at(bulletins.last_day("monthly", first), whole.district) > timezone.now():
        first = bulletins.before("monthly", first)
    assert bulletins.make_bulletin(whole, "monthly", first)
    return Bulletin.objects.get(unit=whole, kind="monthly", first=first)


@pytest.mark.parametrize(
    ("kind", "day", "first", "last", "before"),
    [
        ("daily", "2026-03-01", "2026-03-01", "2026-03-01", "2026-02-28"),
        ("weekly", "2026-03-01", "2026-02-23", "2026-03-01", "2026-02-16"),
        ("weekly", "2026-03-02", "2026-03-02", "2026-03-08", "2026-02-23"),
        ("monthly", "2026-02-28", "2026-02-01", "2026-02-28", "2026-01-01"),
        ("monthly", "2024-02-10", "2024-02-01", "2024-02-29", "2024-01-01"),
        ("monthly", "2026-12-31", "2026-12-01", "2026-12-31", "2026-11-01"),
    ],
)
def test_the_days_of_a_period(kind: str, day: str, first: str, last: str, before: str) -> None:
    began = bulletins.first_day(kind, date.fromisoformat(day))
    assert str(began) == first
    assert str(bulletins.last_day(kind, began)) == last
    assert str(bulletins.before(kind, began)) == before


def test_what_is_missing_is_made_once_each(district: District) -> None:
    made = make_bulletins()
    units = GridUnit.objects.in_force().filter(district=district, level__in=bulletins.LEVELS).count()
    assert made == Bulletin.objects.count() == units * (7 + 4 + 2)
    assert make_bulletins() == 0
    Bulletin.objects.filter(kind="daily").order_by("-first").first().delete()  # type: ignore[union-attr]
    assert make_bulletins() == 1


def test_no_case_no_bulletin(db: None) -> None:
    assert make_bulletins() == 0


def test_made_later_it_says_the_same(month: Bulletin, whole: GridUnit) -> None:
    first, figures, as_of = month.first, month.figures, month.as_of
    month.delete()
    assert bulletins.make_bulletin(whole, "monthly", first)
    again = Bulletin.objects.get(unit=whole, first=first)
    assert (again.figures, again.as_of) == (figures, as_of)
    assert not bulletins.make_bulletin(whole, "monthly", first)
    with pytest.raises(IntegrityError), transaction.atomic():
        Bulletin.objects.create(
            district=whole.district,
            unit=whole,
            kind="monthly",
            first=first,
            last=first,
            as_of=as_of,
            figures={},
        )


def test_a_period_that_has_not_settled_waits(whole: GridUnit) -> None:
    for kind in BulletinKind.values:
        with pytest.raises(ValueError, match="settled"):
            bulletins.make_bulletin(whole, kind, timezone.localdate() + timedelta(days=1))
    with pytest.raises(CommandError):
        call_command("make_bulletin", "daily", "2999-01-01", stdout=io.StringIO())
    with pytest.raises(CommandError):
        call_command("make_bulletin", "daily", "2026-01-01", unit="nowhere", stdout=io.StringIO())
    out = io.StringIO()
    with override("en"):
        call_command("make_bulletin", "daily", "2026-01-01", stdout=out)
    assert "bulletins made" in out.getvalue()


@pytest.mark.parametrize("language", ["zh-hans", "en"])
def test_the_documents_tell_what_was_counted(
    month: Bulletin, whole: GridUnit, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rl_config, "pageCompression", 0)
    period = period_of(month.first, month.last, whole.district, as_of=month.as_of)
    counts = count_all(period, Scope(whole.district_id)).counts
    assert month.figures["whole"] == counts
    assert counts["reported"] > 20
    table = tabulate("street_committee", period, Scope(whole.district_id))
    with override(language):
        expected = sheets_of(month)
        book = load_workbook(io.BytesIO(as_workbook(month)))
        pdf = as_pdf(month)
    for sheet, told in zip(book.worksheets, expected, strict=True):
        rows = [
            [cell for cell in row if cell is not None] for row in sheet.iter_rows(min_row=5, values_only=True)
        ]
        for row, values in zip(rows, told.rows, strict=True):
            # A sheet keeps fifteen digits.
            expected_row = [value for value in values if value not in (None, "")]
            assert [pytest.approx(v) if isinstance(v, float) else v for v in expected_row] == row
        assert len(sheet._charts) == (told.chart is not None and bool(told.rows))
    league = {row[0]: row for row in expected[2].rows}
    assert len(league) == len(table.rows)
    with override(language):
        shown = tabulate("street_committee", period, Scope(whole.district_id))
    for row in shown.rows:
        values = {one.indicator.code: one.value for one in row.figures}
        assert league[row.name][3] == values["closing_rate"]
        assert league[row.name][4] == values["closed_on_time_rate"]
    rate = counts["closed"] / counts["to_close"]
    assert b"/FontFile2" in pdf, "its characters are embedded: they show without a Chinese font, too"
    words = words_of(pdf)
    for text in (f"{100 * rate:.2f} %", "结案率" if language == "zh-hans" else "Closing rate"):
        assert text in words
    for name in league:
        assert name.replace(" ", "") in "".join(words.split()), "long names are broken into lines"


def words_of(pdf: bytes) -> str:
    """What an uncompressed document writes, a line each time, by the tables that its embedded fonts bring along."""
    objects = {
        int(number): body for number, body in re.findall(rb"(\d+) 0 obj\n(.*?)\nendobj", pdf, re.DOTALL)
    }
    characters = {}
    for body in objects.values():
        for name, number in re.findall(rb"/(F\d+\+\d+) (\d+) 0 R", body):
            table = int(re.search(rb"/ToUnicode (\d+) 0 R", objects[int(number)])[1])  # type: ignore[index]
            pairs = re.findall(rb"<(\w{2})> <(\w{4})>", objects[table])
            characters[name] = {int(code, 16): chr(int(one, 16)) for code, one in pairs}
    told = []
    for drawn in re.findall(rb"BT(.*?)ET", pdf, re.DOTALL):
        line, font = "", b"F1"
        for name, text in re.findall(
            rb"/(F\d+(?:\+\d+)?) [\d.]+ Tf|\(((?:\\.|[^\\)])*)\) Tj", drawn, re.DOTALL
        ):
            font = name or font
            codes = re.sub(rb"\\([0-7]{3}|.)", _escaped, text, flags=re.DOTALL)
            line += "".join(characters[font].get(code, chr(code)) for code in codes)
        told.append(line)
    return "\n".join(told)


def _escaped(found: re.Match[bytes]) -> bytes:
    code = found[1]
    if code.isdigit():
        return bytes([int(code, 8)])
    return {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}.get(code, code)


def test_without_its_font_a_document_is_made_with_one_by_name(
    month: Bulletin, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.PDF_FONT = "/nowhere.ttc"
    monkeypatch.setattr(documents, "FONT", "Missing")
    pdf = as_pdf(month)
    assert b"/FontFile2" not in pdf and documents.FONT_BY_NAME.encode() in pdf


def test_a_name_that_looks_like_a_formula_stays_text(month: Bulletin) -> None:
    month.figures["parts"][0]["name"] = "=HYPERLINK(1)"
    book = load_workbook(io.BytesIO(as_workbook(month)))
    cells = [cell for sheet in book.worksheets for row in sheet.iter_rows() for cell in row]
    assert not [cell for cell in cells if cell.data_type == "f"]
    as_pdf(month)


def test_who_reads_which(
    client: Client, month: Bulletin, whole: GridUnit, leader: User, outsider: User
) -> None:
    street = GridUnit.objects.filter(level=Level.STREET_COMMITTEE, district=whole.district).order_by("code")[
        0
    ]
    bulletins.make_bulletin(street, "monthly", month.first)
    own = Bulletin.objects.get(unit=street)
    client.force_login(leader)
    told = client.get("/api/command/bulletins").json()["bulletins"]
    assert {one["id"] for one in told} == {month.pk, own.pk}
    for format, begins in (("xlsx", b"PK"), ("pdf", b"%PDF")):
        answer = client.get(f"/figures/bulletins/{month.pk}.{format}")
        assert (answer.status_code, answer.content[: len(begins)]) == (200, begins)
    assert client.get(f"/figures/bulletins/{month.pk}.docx").status_code == 404
    assert client.get("/figures/bulletins").content.count(b".pdf") == 2
    assert client.get("/figures/bulletins", {"kind": "daily"}).content.count(b".pdf") == 0
    client.force_login(holder_of(Post.objects.get(role=Role.LEADER, unit=street)))
    told = client.get("/api/command/bulletins").json()["bulletins"]
    assert {one["id"] for one in told} == {own.pk}
    assert client.get(f"/figures/bulletins/{own.pk}.pdf").status_code == 200
    assert client.get(f"/figures/bulletins/{month.pk}.pdf").status_code == 404
    other = Post.objects.filter(role=Role.LEADER, unit__level=Level.STREET_COMMITTEE).exclude(unit=street)[0]
    client.force_login(holder_of(other))
    assert client.get("/api/command/bulletins").json()["bulletins"] == []
    client.force_login(outsider)
    assert client.get("/figures/bulletins").status_code == 403
    assert client.get("/api/command/bulletins").status_code == 403
    assert client.get(f"/figures/bulletins/{own.pk}.pdf").status_code == 404
    client.logout()
    assert client.get(f"/figures/bulletins/{own.pk}.pdf").status_code == 302


def test_one_bulletin_costs_a_dozen_statements(whole: GridUnit, month: Bulletin) -> None:
    from django.test.utils import CaptureQueriesContext

    earlier = bulletins.before("monthly", month.first)
    with CaptureQueriesContext(connection) as queries:
        bulletins.make_bulletin(whole, "monthly", earlier)
    assert len(queries) <= 21
