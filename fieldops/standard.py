"""The published handling standard: from its table (CSV) to event classes and filing conditions.

A table is loaded whole or not at all; all that is wrong with it is told at once, line by line.
"""

import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import ProtectedError
from django.utils.translation import gettext as _

from .models import EventClass, FilingCondition, LimitUnit

# Which column fills which field.
CLASS_FIELDS = {
    "kind": "kind",
    "major_code": "major",
    "major_name": "major_name",
    "minor_code": "minor",
    "minor_name": "name",
}
CONDITION_FIELDS = {
    "filing_condition": "text",
    "closing_condition": "closing",
    "handling_units": "handling_units",
    "supervising_departments": "supervising_departments",
    "time_limit": "limit_text",
}
Row = dict[str, str]
COLUMNS = [*CLASS_FIELDS, *CONDITION_FIELDS]

LIMIT = re.compile(
    r"(?P<amount>\d{1,4})(?P<urgent>紧急)?个?(?P<unit>分钟|工作时|小时|时|工作日|日|天)(?P<action>制止)?"
)
UNITS = {"分": LimitUnit.MINUTE, "时": LimitUnit.HOUR, "日": LimitUnit.DAY, "天": LimitUnit.DAY}


class Fault(NamedTuple):
    """One thing wrong with a table; `column` is empty when it concerns the whole line."""

    line: int
    column: str
    message: str


class StandardRefused(Exception):
    """A table was not loaded, and why: `faults` in the order of its lines."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__(f"{len(faults)} faults, the first: {faults[0]}")
        self.faults = faults


@dataclass(frozen=True)
class Limit:
    """How long handling may take; `action` is empty when the problem has to be solved by then."""

    amount: int
    unit: LimitUnit
    urgent: bool
    action: str


class Loaded(NamedTuple):
    """How many classes and conditions an edition has now."""

    classes: int
    conditions: int


def read_limit(text: str) -> Limit:
    """Understand a limit as published: `2紧急工作时`, `4小时`, `3天`, `1紧急工作时制止` (full width, too).

    A 紧急 limit is urgent. Raises ValueError when the text means nothing known.
    """
    found = LIMIT.fullmatch("".join(unicodedata.normalize("NFKC", text).split()))
    if not found or not int(found["amount"]):
        raise ValueError(_("not a time limit: “%(text)s”") % {"text": text})
    unit = next(unit for sign, unit in UNITS.items() if sign in found["unit"])
    return Limit(int(found["amount"]), unit, found["urgent"] is not None, found["action"] or "")


@transaction.atomic
def import_standard(path: Path, *, edition: str) -> Loaded:
    """Load a published table (CSV in UTF-8, with the columns of `COLUMNS`) as this edition.

    Loading an edition again brings it to the table's state: a condition is known by its class and its number
    in it. A standard that means something else is another edition.

    Raises StandardRefused, and writes nothing, when anything in the table is wrong, or when cases refer to
    what it does not have any more.
    """
    classes, conditions = _read_standard(path.read_bytes(), edition)
    EventClass.objects.bulk_create(
        classes,
        update_conflicts=True,
        unique_fields=["edition", "kind", "major", "minor"],
        update_fields=["major_name", "name"],
    )
    for condition in conditions:
        condition.event_class_id = condition.event_class.pk
    FilingCondition.objects.bulk_create(
        conditions,
        update_conflicts=True,
        unique_fields=["event_class", "number"],
        update_fields=[
            *CONDITION_FIELDS.values(),
            *("limit_amount", "limit_unit", "urgent", "limit_action"),
        ],
    )
    _drop_all_but(classes, conditions, edition)
    return Loaded(len(classes), len(conditions))


def _drop_all_but(classes: list[EventClass], conditions: list[FilingCondition], edition: str) -> None:
    held = FilingCondition.objects.filter(event_class__edition=edition)
    try:
        held.exclude(pk__in=[condition.pk for condition in conditions]).delete()
        EventClass.objects.filter(edition=edition).exclude(pk__in=[each.pk for each in classes]).delete()
    except ProtectedError as error:
        raise StandardRefused(
            [
                Fault(
                    0,
                    "",
                    _("cases refer to what the table does not have any more: %(what)s") % {"what": each},
                )
                for each in sorted({_referred(case) for case in error.protected_objects})
            ]
        ) from error


def _referred(case: models.Model) -> str:
    event_class, condition = case.event_class, case.condition  # type: ignore[attr-defined]
    return f"{event_class.key} {condition.number}" if condition else event_class.key


def _read_standard(data: bytes, edition: str) -> tuple[list[EventClass], list[FilingCondition]]:
    """The classes and the conditions of a table, unsaved; raises StandardRefused with all its faults."""
    faults: list[Fault] = []
    rows = list(_rows(data, faults))
    for line, row in rows:
        faults += _faults_within(line, row)
    faults += _contradictions(rows)
    if not rows and not faults:
        faults.append(Fault(1, "", _("there is no condition in it")))
    if faults:
        raise StandardRefused(sorted(faults))

    classes: dict[tuple[str, ...], EventClass] = {}
    conditions: list[FilingCondition] = []
    numbers: Counter[tuple[str, ...]] = Counter()
    for _line, row in rows:
        code = (row["kind"], row["major_code"], row["minor_code"])
        numbers[code] += 1
        limit = read_limit(row["time_limit"])
        conditions.append(
            FilingCondition(
                event_class=classes.setdefault(
                    code, EventClass(edition=edition, **_named(CLASS_FIELDS, row))
                ),
                number=numbers[code],
                limit_amount=limit.amount,
                limit_unit=limit.unit,
                urgent=limit.urgent,
                limit_action=limit.action,
                **_named(CONDITION_FIELDS, row),
            )
        )
    return list(classes.values()), conditions


def _named(fields: Mapping[str, str], row: Row) -> Row:
    return {field: row[column] for column, field in fields.items()}


def _rows(data: bytes, faults: list[Fault]) -> Iterator[tuple[int, Row]]:
    """The rows with the line each begins at; those without all columns become faults."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        faults.append(Fault(line, "", _("not text in UTF-8")))
        return
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        header = [name.strip() for name in next(reader, [])]
        missing = [column for column in COLUMNS if column not in header]
        faults += [Fault(1, column, _("this column is missing")) for column in missing]
        if missing:
            return
        line = reader.line_num + 1
        for fields in reader:
            if len(fields) == len(header):
                yield line, {name: value.strip() for name, value in zip(header, fields, strict=True)}
            elif fields:
                told = {"found": len(fields), "wanted": len(header)}
                faults.append(Fault(line, "", _("%(found)s fields instead of %(wanted)s") % told))
            line = reader.line_num + 1
    except csv.Error as error:
        faults.append(Fault(line, "", _("not a line of a CSV file: %(why)s") % {"why": error}))


def _faults_within(line: int, row: Row) -> Iterator[Fault]:
    """What can be seen to be wrong with a row by itself."""
    for column in ("major_code", "minor_code"):
        if not re.fullmatch("[0-9]{2}", row[column]):
            yield Fault(line, column, _("not a code of two digits: “%(code)s”") % {"code": row[column]})
    try:
        read_limit(row["time_limit"])
    except ValueError as error:
        yield Fault(line, "time_limit", str(error))
    for fields, model in ((CLASS_FIELDS, EventClass), (CONDITION_FIELDS, FilingCondition)):
        for column, name in fields.items():
            if column in ("major_code", "minor_code", "time_limit"):
                continue
            try:
                model._meta.get_field(name).clean(row[column], None)  # type: ignore[union-attr]
            except ValidationError as error:
                yield Fault(line, column, " ".join(error.messages))


def _contradictions(rows: list[tuple[int, Row]]) -> Iterator[Fault]:
    """Codes with two names, and conditions that a class has twice."""
    names: dict[tuple[str, ...], tuple[int, str]] = {}
    texts: dict[tuple[str, ...], int] = {}
    for line, row in rows:
        major = (row["kind"], row["major_code"])
        minor = (*major, row["minor_code"])
        for column, code in (("major_name", major), ("minor_name", minor)):
            earlier, name = names.setdefault(code, (line, row[column]))
            if name != row[column]:
                told = {"code": "".join(code[1:]), "name": name, "line": earlier}
                yield Fault(line, column, _("%(code)s is called “%(name)s” in line %(line)s") % told)
        text = "".join(row["filing_condition"].split())
        earlier = texts.setdefault((*minor, text), line)
        if text and earlier != line:
            told = {"line": earlier}
            yield Fault(line, "filing_condition", _("the same condition as in line %(line)s") % told)
