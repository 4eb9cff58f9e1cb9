"""The clock of a case: when it turns yellow and when it is due, from its filing condition and the calendar."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

from gridmap.models import CalendarDay

from .deadlines import Calendar, calendar_of, due_at
from .models import Event


def calendar_for(event: Event) -> Calendar:
    """The calendar of the case's district; one statement."""
    days = CalendarDay.objects.filter(district=event.district_id).values("day", "working")
    return _calendar(event, days)


def start_clock(event: Event, *, at: datetime, days: Iterable[Mapping[str, Any]] | None = None) -> datetime:
    """Set `warn_at`, `due_at` of a case with a filing condition, counting from `at` (in memory only); returns `due_at`.

    `days` are calendar rows already read; without them they are read here.
    """
    condition = event.condition
    if condition is None:
        raise ValueError("a case without a filing condition has no clock")
    calendar = calendar_for(event) if days is None else _calendar(event, days)
    due = due_at(at, condition.limit_amount, condition.limit_unit, condition.urgent, calendar)
    event.due_at, event.warn_at, event.due_provisional = due.at, due.yellow_from, due.provisional
    return due.at


def _calendar(event: Event, days: Iterable[Mapping[str, Any]]) -> Calendar:
    exceptions = [(_as_date(row["day"]), row["working"]) for row in days]
    return calendar_of(event.district, exceptions)


def _as_date(day: date | str) -> date:
    return date.fromisoformat(day) if isinstance(day, str) else day


def light(event: Event, now: datetime) -> str:
    """green, yellow, red — or none for a case whose clock has not begun or no longer matters."""
    if event.due_at is None or event.warn_at is None or event.phase in ("closed", "declined"):
        return "none"
    return "red" if now > event.due_at else "yellow" if now > event.warn_at else "green"
