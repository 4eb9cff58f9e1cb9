"""The clock of a case: when it turns yellow and when it is due, from its filing condition and the calendar."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

from gridmap.models import CalendarDay

from .deadlines import Calendar, Clock, Limit, calendar_of
from .models import Event, WorkOrder


def calendar_for(event: Event) -> Calendar:
    """The calendar of the case's district; one statement."""
    days = CalendarDay.objects.filter(district=event.district_id).values("day", "working")
    return _calendar(event, days)


def start_clock(event: Event, *, at: datetime, days: Iterable[Mapping[str, Any]] | None = None) -> datetime:
    """Set `warn_at`, `due_at` of a case with a filing condition, counting from `at` (in memory only); returns `due_at`.

    `days` are calendar rows already read; without them they are read here.
    """
    calendar = calendar_for(event) if days is None else _calendar(event, days)
    return _show(event, Clock(_limit(event), calendar).start(at))


def resume_clock(event: Event, *, at: datetime) -> datetime:
    """The same for a dispatch by a desk: a department that had sent the case back goes on where it stopped.

    What it used up before counts; the time in between does not. Any other department starts anew.
    """
    clock = Clock(_limit(event), calendar_for(event))
    for run in _sent_back(event):
        clock = clock.start(run.dispatched_at).pause(run.finished_at or at)
    return _show(event, clock.start(at))


def stop_clock(event: Event) -> None:
    """Nobody's time is counted for now (in memory only)."""
    event.due_at, event.warn_at, event.due_provisional = None, None, False


def _sent_back(event: Event) -> list[WorkOrder]:
    """The department's orders that it sent back, since it last handled the case."""
    orders = event.work_orders.filter(department=event.department_id).order_by("dispatched_at")
    runs: list[WorkOrder] = []
    for order in orders:
        runs = [*runs, order] if order.sent_back_at else []
    return runs


def _limit(event: Event) -> Limit:
    condition = event.condition
    if condition is None:
        raise ValueError("a case without a filing condition has no clock")
    return Limit(condition.limit_amount, condition.limit_unit, condition.urgent)


def _show(event: Event, clock: Clock) -> datetime:
    due = clock.due()
    if due is None:
        raise AssertionError("a clock that runs will run out")
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
