"""The figures of a period: by organisation, department, class or person; and the cases behind each of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection
from django.utils import timezone

from gridmap.models import CHAIN, District, GridUnit, Level

from .facts import COUNTS, LEVELS, case_facts
from .models import DenominatorChoice

CASES_A_PAGE = 200
DIMENSIONS = {
    "department": "department_id",
    "post": "post_id",
    "class": "event_class_id",
    "channel": "channel",
    "reporter": "reporter_id",
    "handler": "handler_id",
    "checker": "checker_id",
    "sent": "sent_id",
}


@dataclass(frozen=True)
class Period:
    """[begin, end) as known at `as_of`."""

    begin: datetime
    end: datetime
    as_of: datetime

    def __post_init__(self) -> None:
        if not self.begin < self.end:
            raise ValueError("a period ends after it begins")


def period_of(first: date, last: date, district: District, *, as_of: datetime | None = None) -> Period:
    """From the first local day to the last, both included; known until now unless said otherwise."""
    zone = ZoneInfo(district.time_zone)
    begin = datetime.combine(first, time(), zone)
    end = datetime.combine(last + timedelta(days=1), time(), zone)
    return Period(begin, end, as_of or timezone.now())


@dataclass(frozen=True)
class Scope:
    """Which cases are looked at: those that fit all that is given. `unit` stands for its whole subtree.

    `row` is the organisation of one row of a table: a regional group's streets may lie in other groups, too, so that
    it narrows `unit` and does not replace it. `within` is the area the reader answers for: several subtrees, one of
    which has to fit; None for everywhere.
    """

    district: str
    unit: GridUnit | None = None
    row: GridUnit | None = None
    department: int | None = None
    post: int | None = None
    event_class: int | None = None
    channel: str = ""
    person: tuple[str, int] | None = None  # ("reporter" | "handler" | "checker" | "sent", user)
    within: tuple[GridUnit, ...] | None = None

    def condition(self) -> tuple[str, dict[str, Any]]:
        """In SQL over `facts`."""
        parts: list[str] = []
        values: dict[str, Any] = {}
        for name, unit in (("unit", self.unit), ("row", self.row)):
            if unit is not None:
                parts.append(f"{_column(unit)} = %({name})s")
                values[name] = unit.pk
        if self.within is not None:
            ored = " OR ".join(
                f"{_column(unit)} = %(within{number})s" for number, unit in enumerate(self.within)
            )
            parts.append(f"({ored or 'false'})")
            values |= {f"within{number}": unit.pk for number, unit in enumerate(self.within)}
        for name in ("department", "post", "event_class", "channel"):
            if getattr(self, name) not in (None, ""):
                parts.append(f"{'channel' if name == 'channel' else name + '_id'} = %({name})s")
                values[name] = getattr(self, name)
        if self.person is not None:
            parts.append(f"{DIMENSIONS[self.person[0]]} = %(person)s")
            values["person"] = self.person[1]
        return " AND ".join(parts) or "true", values


def _column(unit: GridUnit) -> str:
    return LEVELS[Level(unit.level) - 1]


@dataclass(frozen=True)
class Line:
    """One row of a table of figures: of what, and what was counted."""

    of: Any  # an organisation, a department, a class, a user: its key; None for all together
    level: int | None
    counts: dict[str, int]


def count_by_level(period: Period, scope: Scope) -> list[Line]:
    """Every organisation of every level, and its counts, in one statement."""
    sets = ", ".join(f"({column})" for column in LEVELS)
    rows = _run(
        f"SELECT grouping({', '.join(LEVELS)}), coalesce({', '.join(reversed(LEVELS))}), {_SUMS} "  # noqa: S608
        "FROM facts WHERE {where} GROUP BY GROUPING SETS (" + sets + ")",
        period,
        scope,
    )
    return [Line(row[1], _LEVEL_OF_SET[row[0]], _counts(row[2:])) for row in rows]


def count_by(dimension: str, period: Period, scope: Scope) -> list[Line]:
    """A row for each department, class, channel or person; raises KeyError for another dimension."""
    column = DIMENSIONS[dimension]
    rows = _run(
        f"SELECT {column}, {_SUMS} FROM facts WHERE {{where}} GROUP BY {column}",  # noqa: S608
        period,
        scope,
        who=dimension,
    )
    return [Line(row[0], None, _counts(row[1:])) for row in rows]


def count_all(period: Period, scope: Scope) -> Line:
    """All together."""
    [row] = _run(f"SELECT {_SUMS} FROM facts WHERE {{where}}", period, scope)  # noqa: S608
    return Line(None, None, _counts(row))


@dataclass(frozen=True)
class Behind:
    """What a number was counted from: how many cases, what they bring together, and what each of one page brings."""

    total: int
    sums: dict[str, int]
    cases: dict[UUID, dict[str, int]]


def cases_behind(codes: Sequence[str], period: Period, scope: Scope, *, page: int = 1) -> Behind:
    """The cases that bring anything to one of these counts, newest report first, 200 a page; one statement.

    Raises KeyError for an unknown count.
    """
    codes = list(dict.fromkeys(codes))
    brings = ", ".join(
        f"coalesce({COUNTS[code].sql}, 0)::bigint AS n{place}" for place, code in enumerate(codes)
    )
    numbers = [f"n{place}" for place in range(len(codes))]
    anything = " OR ".join(f"{COUNTS[code].sql} > 0" for code in codes)
    sums = ", ".join(f"coalesce(sum({number}), 0)::bigint" for number in numbers)
    first = CASES_A_PAGE * (page - 1)
    rows = _run(
        f", found AS (SELECT event_id, reported_at, {brings} FROM facts WHERE {{where}} AND ({anything})), "  # noqa: S608
        f"whole AS (SELECT count(*), {sums} FROM found), "
        f"shown AS (SELECT * FROM found ORDER BY reported_at DESC, event_id LIMIT {CASES_A_PAGE} OFFSET {first}) "
        f"SELECT event_id, {', '.join(numbers)}, whole.* FROM whole LEFT JOIN shown ON true "
        "ORDER BY reported_at DESC, event_id",
        period,
        scope,
    )
    total, *together = rows[0][-1 - len(codes) :]
    cases = {row[0]: dict(zip(codes, row[1:], strict=False)) for row in rows if row[0] is not None}
    return Behind(total, dict(zip(codes, together, strict=True)), cases)


def all_behind(code: str, period: Period, scope: Scope) -> list[UUID]:
    """Every case that brings anything to a count, in no order. Raises KeyError for an unknown count."""
    sql = f"SELECT event_id FROM facts WHERE {{where}} AND {COUNTS[code].sql} > 0"  # noqa: S608
    return [key for (key,) in _run(sql, period, scope)]


def denominators_of(district: str) -> dict[str, str]:
    """What the district chose, by indicator; one statement."""
    chosen = DenominatorChoice.objects.filter(district=district)
    return dict(chosen.values_list("indicator", "denominator"))


_SUMS = ", ".join(f"coalesce(sum({count.sql}), 0)::bigint" for count in COUNTS.values())
# grouping() has a bit for each column that is not in the set, the first column's highest.
_LEVEL_OF_SET = {
    (2 ** len(CHAIN) - 1) ^ (1 << (len(CHAIN) - 1 - number)): number + 1 for number in range(len(CHAIN))
}


def _counts(values: Sequence[int]) -> dict[str, int]:
    return dict(zip(COUNTS, values, strict=True))


def _run(sql: str, period: Period, scope: Scope, *, who: str = "") -> list[tuple[Any, ...]]:
    where, values = scope.condition()
    given = {
        "district": scope.district,
        "begin": period.begin,
        "end": period.end,
        "as_of": period.as_of,
        "until": min(period.end, period.as_of),
        **values,
    }
    who = who or (scope.person[0] if scope.person else "")
    with connection.cursor() as cursor:
        cursor.execute(case_facts(who=who) + sql.format(where=where), given)
        return cursor.fetchall()
