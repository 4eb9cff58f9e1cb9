"""The clock of a case: when it turns yellow and when it is due, from its filing condition and the calendar."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import Any

from fieldops.models import Event, Part, Transition, WorkOrder
from fieldops.status import Step
from gridmap.models import CalendarDay

from .deadlines import Calendar, Clock, Limit, calendar_of


def calendar_for(event: Event) -> Calendar:
    """The calendar of the case's district; one statement."""
    days = CalendarDay.objects.filter(district=event.district_id).values("day", "working")
    return calendar_from(event, days)


def start_clock(event: Event, *, at: datetime, days: Iterable[Mapping[str, Any]] | None = None) -> datetime:
    """Set `warn_at`, `due_at` of a case with a filing condition, counting from `at` (in memory only); returns `due_at`.

    `days` are calendar rows already read; without them they are read here.
    """
    calendar = calendar_for(event) if days is None else calendar_from(event, days)
    return _show(event, Clock(_limit(event), calendar).start(at))


def resume_clock(event: Event, *, at: datetime) -> datetime:
    """The same for a dispatch by a desk: a department that had sent the case back goes on where it stopped.

    What it used up before counts; the time in between does not. Any other department starts anew.
    """
    return _show(event, clock_of(event).start(at))


def show_clock(event: Event) -> datetime:
    """Set the times of a case whose clock runs already (in memory only), from what is stored; returns `due_at`."""
    return _show(event, clock_of(event))


def side_clock(event: Event, *, at: datetime) -> datetime:
    """When an order beside the lead's is due that begins at `at`: the case's limit, counted for itself."""
    due = Clock(_limit(event), calendar_for(event)).start(at).due()
    if due is None:
        raise AssertionError("a clock that runs will run out")
    return due.at


def side_clock_of(event: Event, order: WorkOrder, calendar: Calendar) -> Clock:
    """The clock of an order beside the lead's; one statement.

    It stands still while the case is deferred, unless it was called meanwhile, and begins anew with another class.
    """
    clock = Clock(_limit(event), calendar).start(order.dispatched_at)
    turns = event.transitions.filter(
        kind__in=[Step.DEFER, Step.RESUME, Step.RECLASSIFY], recorded_at__gte=order.dispatched_at
    )
    for turn in turns.order_by("version"):
        if turn.kind == Step.RECLASSIFY:
            clock = replace(clock, runs=()).start(turn.recorded_at)
        elif turn.kind == Step.DEFER:
            clock = clock.pause(turn.recorded_at)
        elif not clock.is_running:
            clock = clock.start(turn.recorded_at)
    return clock


def stop_clock(event: Event) -> None:
    """Nobody's time is counted for now (in memory only)."""
    event.due_at, event.warn_at, event.due_provisional = None, None, False


def clock_of(event: Event, calendar: Calendar | None = None) -> Clock:
    """The responsible department's clock, as its orders tell it; three statements, two with a calendar given.

    It counts from dispatch until the work is handled, sent back or recalled, and stands still while deferred.
    Work that was handled and checked is over: rework has a limit of its own. So has a case of another class: the clock
    of the old one is kept in the step that ended it.
    """
    fresh = clock = Clock(_limit(event), calendar or calendar_for(event))
    paused = event.transitions.filter(kind__in=[Step.DEFER, Step.RESUME, Step.RECLASSIFY]).order_by("version")
    turns: dict[Any, list[Transition]] = defaultdict(list)
    since = None
    for turn in paused:
        if turn.kind == Step.RECLASSIFY:
            since = turn.recorded_at
            turns.clear()
        else:
            turns[turn.work_order_id].append(turn)
    orders = event.work_orders.filter(department=event.department_id, part=Part.LEAD)
    for order in orders.order_by("dispatched_at", "pk"):
        end = order.handled_at or order.finished_at
        if since and end and end <= since:
            continue
        began = max(order.dispatched_at, since or order.dispatched_at)
        clock = replace(clock.start(began), extensions=clock.extensions + order.extensions)
        for turn in turns[order.pk]:
            stands = turn.kind == Step.DEFER
            clock = clock.pause(turn.recorded_at) if stands else clock.start(turn.recorded_at)
        if end and clock.is_running:
            clock = clock.pause(end)
        if order.handled_at and order.finished_at:
            clock = fresh
    return clock


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


def calendar_from(event: Event, days: Iterable[Mapping[str, Any]]) -> Calendar:
    """The calendar of the case's district from rows already read."""
    exceptions = [(_as_date(row["day"]), row["working"]) for row in days]
    return calendar_of(event.district, exceptions)


def _as_date(day: date | str) -> date:
    return date.fromisoformat(day) if isinstance(day, str) else day


def light(event: Event, now: datetime) -> str:
    """green, yellow, red — or none for a case whose clock has not begun or no longer matters."""
    if event.due_at is None or event.warn_at is None or event.phase in ("closed", "declined"):
        return "none"
    return light_between(event.warn_at, event.due_at, now)


def overdue_multiple(event: Event, now: datetime) -> float | None:
    """超时倍数 of an overdue case that is worked on, to two places; None for any other."""
    return round(clock_of(event).overdue_multiple(now), 2) if light(event, now) == "red" else None


def light_between(warn_at: datetime, due_at: datetime, now: datetime) -> str:
    """green up to 80 % of a limit, yellow to its end, red beyond."""
    return "red" if now > due_at else "yellow" if now > warn_at else "green"
