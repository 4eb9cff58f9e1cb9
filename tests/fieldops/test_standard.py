"""The published standard: all of it is understood, and a faulty table changes nothing."""

import csv
import io
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django import DjangoAssertNumQueries

from fieldops.models import Event, EventClass, FilingCondition
from fieldops.standard import COLUMNS, Fault, Limit, StandardRefused, import_standard, read_limit

YUNCHENG = Path(__file__).parents[2] / "fixtures" / "standard" / "yuncheng.csv"
EDITION = "test"
ROW = {
    "kind": "event",
    "major_code": "01",
    "major_name": "市容环境",
    "minor_code": "92",
    "minor_name": "垃圾满溢",
    "handling_units": "市容环卫中心、所属街办",
    "supervising_departments": "城市管理局",
    "filing_condition": "垃圾满溢",
    "closing_condition": "清理",
    "time_limit": "2小时",
}


class Table:
    """A table in a file, made of rows that differ from ROW as said."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def of(self, *changes: dict[str, str], columns: list[str] = COLUMNS) -> Path:
        with self.path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows({**ROW, **change} for change in changes)
        return self.path


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path / "table.csv")


def faults_of(path: Path) -> list[Fault]:
    with pytest.raises(StandardRefused) as refused:
        import_standard(path, edition=EDITION)
    assert not EventClass.objects.filter(edition=EDITION).exists()
    return refused.value.faults


def places(faults: list[Fault]) -> list[tuple[int, str]]:
    return [(fault.line, fault.column) for fault in faults]


# --- limits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "amount", "unit", "urgent", "action"),
    [
        ("2紧急工作时", 2, "hour", True, ""),
        ("1紧急工作时制止", 1, "hour", True, "制止"),
        ("2紧急工作日", 2, "day", True, ""),
        ("4小时", 4, "hour", False, ""),
        ("15天", 15, "day", False, ""),
        ("8工作时", 8, "hour", False, ""),
        ("3个工作日", 3, "day", False, ""),
        ("30分钟", 30, "minute", False, ""),
        ("２ 紧急\u3000工作时 ", 2, "hour", True, ""),
    ],
)
def test_a_limit_is_understood(text: str, amount: int, unit: str, urgent: bool, action: str) -> None:
    limit = read_limit(text)
    assert (limit.amount, limit.unit, limit.urgent, limit.action) == (amount, unit, urgent, action)


@pytest.mark.parametrize(
    "text", ["", "立即", "天", "0天", "-1天", "1.5天", "三天", "3天左右", "紧急3天", "3月", "99999天"]
)
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"time limit|时限"):
        read_limit(text)


def test_every_limit_of_the_published_standard_is_understood() -> None:
    with YUNCHENG.open(encoding="utf-8") as file:
        limits = {row["time_limit"] for row in csv.DictReader(file)}
    assert len(limits) == 16
    understood = {text: read_limit(text) for text in limits}
    assert all(limit.urgent == ("紧急" in text) for text, limit in understood.items())
    assert {limit.action for limit in understood.values()} == {"", "制止"}
    assert understood["7天"] == Limit(7, "day", urgent=False, action="")


# --- loading -----------------------------------------------------------------------------------------------


def test_the_published_standard_is_loaded_whole(
    db: None, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_max_num_queries(8):
        assert import_standard(YUNCHENG, edition=EDITION) == (190, 519)
    classes = EventClass.objects.filter(edition=EDITION)
    conditions = FilingCondition.objects.filter(event_class__edition=EDITION)
    assert classes.count() == 190
    assert conditions.count() == 519
    assert classes.filter(kind="component").count() == 92
    cover = classes.get(kind="component", major="01", minor="01")
    assert (cover.name, cover.major_name) == ("上水井盖", "公用设施")
    first = cover.conditions.get(number=1)
    assert first.text == "缺失、移位、开裂，存在安全隐患的"
    assert (first.limit_amount, first.limit_unit, first.urgent) == (2, "hour", True)
    assert conditions.get(limit_action="制止").limit_text == "1紧急工作时制止"
    assert conditions.filter(urgent=True).count() == 32 + 5 + 4 + 3 + 1 + 1


def test_loading_an_edition_again_changes_nothing(db: None) -> None:
    import_standard(YUNCHENG, edition=EDITION)
    before = set(FilingCondition.objects.values_list("pk", "event_class", "number", "text", "limit_text"))
    import_standard(YUNCHENG, edition=EDITION)
    assert before == set(
        FilingCondition.objects.values_list("pk", "event_class", "number", "text", "limit_text")
    )


def test_loading_an_edition_again_brings_it_to_the_tables_state(db: None, table: Table) -> None:
    import_standard(table.of({}, {"filing_condition": "b"}, {"minor_code": "93"}), edition=EDITION)
    kept = FilingCondition.objects.get(event_class__edition=EDITION, event_class__minor="92", number=1)
    import_standard(table.of({"time_limit": "1紧急工作日", "minor_name": "满溢"}), edition=EDITION)
    kept.refresh_from_db()
    assert (kept.limit_text, kept.limit_amount, kept.limit_unit, kept.urgent) == (
        "1紧急工作日",
        1,
        "day",
        True,
    )
    assert kept.event_class.name == "满溢"
    assert EventClass.objects.filter(edition=EDITION).count() == 1
    assert FilingCondition.objects.filter(event_class__edition=EDITION).count() == 1


def test_what_cases_refer_to_does_not_vanish(located: Event, table: Table) -> None:
    located.event_class.__class__.objects.filter(pk=located.event_class_id).update(edition=EDITION)
    before = FilingCondition.objects.count()
    with pytest.raises(StandardRefused) as refused:
        import_standard(table.of({}), edition=EDITION)
    [fault] = refused.value.faults
    assert located.event_class.key in fault.message
    assert FilingCondition.objects.count() == before


# --- faults ------------------------------------------------------------------------------------------------


def test_all_faults_are_told_at_once_and_nothing_is_loaded(db: None, table: Table) -> None:
    path = table.of(
        {},
        {"time_limit": "尽快"},  # and the condition of line 2 again
        {"filing_condition": "c", "kind": "incident"},
        {"filing_condition": "d", "minor_name": "别名"},
        {"filing_condition": "", "closing_condition": " "},
        {"filing_condition": "e", "major_code": "1", "minor_code": "9２"},
        {"filing_condition": "f", "major_name": "市容"},
        {"filing_condition": "g", "minor_name": "满" * 101},
        {"filing_condition": "垃圾 满溢"},
    )
    assert places(faults_of(path)) == [
        (3, "filing_condition"),
        (3, "time_limit"),
        (4, "kind"),
        (5, "minor_name"),
        (6, "closing_condition"),
        (6, "filing_condition"),
        (7, "major_code"),
        (7, "minor_code"),
        (8, "major_name"),
        (9, "minor_name"),
        (9, "minor_name"),
        (10, "filing_condition"),
    ]


def test_missing_columns_are_told(db: None, table: Table) -> None:
    columns = [column for column in COLUMNS if column not in ("kind", "time_limit")]
    assert places(faults_of(table.of({}, columns=columns))) == [(1, "kind"), (1, "time_limit")]


@pytest.mark.parametrize("text", ["", ",".join(COLUMNS) + "\n"])
def test_an_empty_table_is_refused(db: None, table: Table, text: str) -> None:
    table.path.write_text(text)
    assert {fault.line for fault in faults_of(table.path)} == {1}


def test_lines_are_counted_as_an_editor_counts_them(db: None, table: Table) -> None:
    table.of({"filing_condition": "一\n二\n三"}, {"filing_condition": "b", "time_limit": "?"})
    with table.path.open("a", encoding="utf-8") as file:
        file.write("event,01\n\n")
        file.write('"never closed')
    assert places(faults_of(table.path)) == [(5, "time_limit"), (6, ""), (8, "")]


def test_a_table_in_another_encoding_is_refused(db: None, table: Table) -> None:
    text = table.of({}).read_text(encoding="utf-8")
    table.path.write_bytes(text.encode("gb18030"))
    assert places(faults_of(table.path)) == [(2, "")]


def test_a_byte_order_mark_does_no_harm(db: None, table: Table) -> None:
    text = table.of({}).read_text(encoding="utf-8")
    table.path.write_text(text, encoding="utf-8-sig")
    assert import_standard(table.path, edition=EDITION) == (1, 1)


# --- the command -------------------------------------------------------------------------------------------


def test_the_command_tells_the_line_of_each_fault(db: None, table: Table) -> None:
    path = table.of({"time_limit": "尽快"}, {"filing_condition": ""})
    errors = io.StringIO()
    with pytest.raises(CommandError, match="2"):
        call_command("import_standard", path, edition=EDITION, stderr=errors)
    first, second = errors.getvalue().splitlines()
    assert "2" in first
    assert "time_limit" in first
    assert "尽快" in first
    assert "3" in second
    assert "filing_condition" in second
    assert not EventClass.objects.filter(edition=EDITION).exists()


def test_the_command_tells_what_it_loaded(db: None, table: Table) -> None:
    out = io.StringIO()
    call_command("import_standard", table.of({}, {"filing_condition": "b"}), edition=EDITION, stdout=out)
    assert EDITION in out.getvalue()
    assert "1" in out.getvalue()
    assert "2" in out.getvalue()


def test_a_file_that_is_not_there_is_an_error_not_a_traceback(db: None, tmp_path: Path) -> None:
    with pytest.raises(CommandError):
        call_command("import_standard", tmp_path / "none.csv", edition=EDITION)
