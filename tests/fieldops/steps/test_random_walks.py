"""Random lives by the doors people really use: whatever is done in whatever order, the clocks tell the same as a slow count.

The slow count reads nothing but the history, and knows of working time only a list with one entry a minute.
"""

import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import accumulate
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import transaction

from fieldops.clocks.cases import calendar_for, clock_of
from fieldops.errors import DomainError
from fieldops.lifecycle import now
from fieldops.models import (
    CallBack,
    CheckPolicy,
    Event,
    EventClass,
    FilingCondition,
    Holding,
    Transition,
    User,
    WorkOrder,
)
from fieldops.status import FINAL, TABLE, Role, Status, Step
from fieldops.steps import satisfaction
from fieldops.steps.approvals import deferred_until_now, resume_on_the_day
from fieldops.steps.expiry import expire, not_taken_on
from fieldops.steps.joint import due_beside
from fieldops.steps.reckoning import deadlines_under, rules_of
from gridmap.models import CalendarDay, Cell, District
from tests.doing import holder_of
from tests.fieldops.steps.scenes import DOORS, Scene, scene_of

LOCAL = ZoneInfo("Asia/Shanghai")
BEGIN = datetime(2026, 2, 11, 9, 0, tzinfo=LOCAL)  # make-up Saturday and Spring Festival come soon
WALKS, STEPS = 16, 60
MINUTE = timedelta(minutes=1)
RARELY = {
    *(Step.DECLINE, Step.DO_NOT_FILE, Step.SELF_HANDLE, Step.MERGE, Step.SEPARATE),
    *(Step.VOID, Step.CLOSE_SPECIALLY, Step.SUPERVISE, Step.REPLY, Step.MOVE_CELL),
}
OFTEN = {Step.ACCEPT, Step.FILE, Step.ASSIGN, Step.DISPATCH, Step.TAKE_ON, Step.CLOSE}
# Otherwise met too seldom: asked for by one, decided by another; or one of four roles has the word.
WANTED = {
    *(Step.ASK_EXTENSION, Step.EXTEND, Step.ASK_DEFERRAL, Step.DEFER, Step.RESUME),
    *(Step.HANDLE, Step.REWORK, Step.CONFIRM),
}
# Of an order beside the lead's.
CALLED = {Step.ASSIST_TAKE_ON, Step.ARRIVE, Step.ASSIST_HANDLE, Step.ASSIST_BACK}
# What stops, starts or lengthens a clock: the walks have to meet all of it.
TURNS = {
    *(Step.DISPATCH, Step.SEND_BACK, Step.RECALL, Step.HANDLE, Step.LEAD_HANDLE, Step.REWORK, Step.CONFIRM),
    *(Step.EXTEND, Step.DEFER, Step.RESUME, Step.RECLASSIFY, Step.REOPEN, Step.ASSIST, Step.WHISTLE),
    *(Step.ASSIST_HANDLE, Step.ASSIST_BACK, Step.RELEASE, Step.VOID, Step.CLOSE_SPECIALLY),
}
PASSES = [0, 1, 3, 7, 15, 30, 60, 90, 240, 1440, 4320]  # minutes between two steps


# --- the slow count --------------------------------------------------------------------------------------


class Minutes:
    """Worked minutes since `BEGIN`'s midnight, one entry a minute."""

    def __init__(self, district: District) -> None:
        days = dict(CalendarDay.objects.filter(district=district).values_list("day", "working"))
        self.first = BEGIN.replace(hour=0, minute=0)
        every = (self.first + i * MINUTE for i in range(250 * 1440))
        self.before = [0, *accumulate(self._is_worked(moment, days) for moment in every)]

    @staticmethod
    def _is_worked(moment: datetime, days: dict[date, bool]) -> bool:
        on_duty = days.get(moment.date(), moment.weekday() < 5)
        return on_duty and (8 <= moment.hour < 12 or 14 <= moment.hour < 18)

    def index(self, moment: datetime) -> int:
        return (moment - self.first) // MINUTE

    def between(self, begin: datetime, end: datetime, *, urgent: bool) -> int:
        a, b = self.index(begin), self.index(end)
        return b - a if urgent else self.before[b] - self.before[a]

    def after(self, begin: datetime, minutes: int, *, urgent: bool) -> datetime:
        a = self.index(begin)
        return (
            self.first
            + (a + minutes if urgent else bisect_left(self.before, self.before[a] + minutes)) * MINUTE
        )


@dataclass
class SlowClock:
    """Minutes used up in the runs that are over, and since when it runs."""

    used: int = 0
    since: datetime | None = None
    extensions: int = 0
    ran_out: datetime | None = None


@dataclass
class Slow:
    """One history, read from its first step to its last."""

    minutes: Minutes
    conditions: dict[int, FilingCondition]
    condition: FilingCondition | None = None
    lead: SlowClock | None = None  # of the department that leads
    by_department: dict[int, SlowClock] = field(default_factory=dict)
    handled: datetime | None = None  # what was due when the lead said that it is done
    beside: dict[Any, SlowClock] = field(default_factory=dict)

    def read(self, steps: Sequence[Transition]) -> "Slow":
        for step in steps:
            self._read(step)
        return self

    def due(self, clock: SlowClock, share: float = 1) -> datetime | None:
        granted = self._limit() * (1 + clock.extensions)
        assert granted * share == int(granted * share)
        if clock.ran_out:
            return clock.ran_out
        if clock.since is None:
            return None
        return self.minutes.after(clock.since, int(granted * share) - clock.used, urgent=self._urgent())

    def _limit(self) -> int:
        assert self.condition is not None
        unit = {"minute": 1, "hour": 60, "day": 1440 if self.condition.urgent else 480}
        return int(self.condition.limit_amount * unit[self.condition.limit_unit])

    def _urgent(self) -> bool:
        assert self.condition is not None
        return self.condition.urgent

    def _start(self, clock: SlowClock, at: datetime) -> None:
        clock.since = at

    def _pause(self, clock: SlowClock, at: datetime) -> None:
        if clock.since is None:
            return
        due = self.due(clock)
        if due is not None and due <= at:
            clock.ran_out = due
        clock.used += self.minutes.between(clock.since, at, urgent=self._urgent())
        clock.since = None

    def _read(self, step: Transition) -> None:
        at, order = step.recorded_at, step.work_order
        match step.kind:
            case Step.FILE | Step.SELF_HANDLE:
                self.condition = self.conditions[step.data["condition"]]
            case Step.DISPATCH | Step.REWORK:
                assert order is not None
                if step.kind == Step.REWORK:
                    self.by_department.pop(order.department_id, None)
                self.lead = self.by_department.setdefault(order.department_id, SlowClock())
                self.handled = None
                self._start(self.lead, at)
            case Step.SEND_BACK | Step.RECALL:
                assert self.lead is not None
                self._pause(self.lead, at)
                self.lead = None
            case Step.HANDLE | Step.LEAD_HANDLE:
                assert self.lead is not None
                if self.handled is None:
                    self.handled = self.due(self.lead)
                    self._pause(self.lead, at)
            case Step.CONFIRM:
                # What comes after, should it be opened again, is other work.
                assert order is not None
                self.by_department.pop(order.department_id, None)
            case Step.VOID | Step.CLOSE_SPECIALLY:
                if self.lead is not None:
                    self._pause(self.lead, at)
                    if self.handled is not None and order is not None:
                        self.by_department.pop(order.department_id, None)
                self.lead = None
                self.beside.clear()
            case Step.REOPEN:
                self.lead = None
            case Step.DEFER:
                assert self.lead is not None
                for clock in (self.lead, *self.beside.values()):
                    self._pause(clock, at)
            case Step.RESUME:
                assert self.lead is not None
                for clock in (self.lead, *self.beside.values()):
                    if clock.since is None:
                        self._start(clock, at)
            case Step.EXTEND:
                assert self.lead is not None
                self.lead.extensions += 1
                self.lead.ran_out = None
            case Step.RECLASSIFY:
                self._another_class(step, at)
            case Step.ASSIST | Step.WHISTLE:
                assert order is not None
                self.beside[order.pk] = SlowClock(since=at)
            case Step.ASSIST_HANDLE | Step.ASSIST_BACK | Step.RELEASE:
                assert order is not None
                del self.beside[order.pk]

    def _another_class(self, step: Transition, at: datetime) -> None:
        self.condition = self.conditions[step.data["after"]["condition"]]
        for clock in self.beside.values():
            clock.used, clock.since, clock.ran_out = 0, at, None
        department = next((of for of, clock in self.by_department.items() if clock is self.lead), None)
        self.by_department.clear()
        if self.lead is not None and self.handled is None and department is not None:
            self.lead = self.by_department.setdefault(department, SlowClock(since=at))


# --- the walk --------------------------------------------------------------------------------------------


@dataclass
class Time:
    """The server's clock."""

    at: datetime = BEGIN

    def now(self) -> datetime:
        return self.at


@pytest.fixture
def server_time() -> Iterator[Time]:
    given = Time()
    Holding.objects.update(since=BEGIN - timedelta(days=30))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("django.utils.timezone.now", given.now)
        yield given


@pytest.fixture
def limits(event_class: EventClass, db: None) -> dict[int, FilingCondition]:
    """Of the class: one short and urgent, one of some working hours, one of days; 80 % of each are whole minutes."""
    wanted = [(5, "hour", False), (2, "day", False), (10, "hour", True)]
    for number, (amount, unit, urgent) in enumerate(wanted, start=1):
        event_class.conditions.update_or_create(
            number=number,
            defaults={
                "text": f"{number}", "limit_text": f"{amount}", "limit_amount": amount, "limit_unit": unit,
                "urgent": urgent,
            },
        )  # fmt: skip
    return {one.pk: one for one in event_class.conditions.all()}


def _possible(s: Scene) -> list[Step]:
    called = s.event.work_orders.filter(finished_at__isnull=True).exclude(part="lead").exists()
    return [
        step
        for step, rule in TABLE.items()
        if rule.roles
        and step != Step.ANSWER
        and rule.follows(s.event.status, s.event.asked_for)
        and (called or step not in {*CALLED, Step.RELEASE})
    ]


def _ready(s: Scene, chance: random.Random, limits: dict[int, FilingCondition]) -> None:
    """What the doors are given next: whose turn it is, and what they choose among."""
    s.at_work()
    if s.event.condition is not None:
        s.condition = s.event.condition
    else:
        s.condition = chance.choice(list(limits.values()))
    chance.shuffle(s.departments)
    for name, part in (("department_handler", "lead"), ("called_handler", "called")):
        order = WorkOrder.objects.filter(pk=s.order(part)).select_related("post").first()
        if order is not None:
            s.people[name] = holder_of(order.post)


def _asked_back(s: Scene, chance: random.Random) -> bool:
    """The reporters are asked; one of them may say that nothing is solved."""
    satisfaction.ask_back(s.event.pk)
    asked = CallBack.objects.filter(event=s.event, answered_at__isnull=True, way__in=["desk"]).first()
    if asked is None or chance.random() < 0.3:
        return False
    satisfaction.rate_for(
        asked.pk, by=s.people["intake_operator"], rating="dissatisfied", resolved=False, reason="还在"
    )
    return True


def _turn(s: Scene, chance: random.Random) -> str:
    """One step by somebody who may take it; the code of the refusal where the case is not like that."""
    if s.event.status == Status.CLOSED and chance.random() < 0.7:
        with transaction.atomic():
            _asked_back(s, chance)
        return "asked"
    possible = _possible(s)
    if not possible:
        return "ended"
    weights = [
        1 if step in RARELY else 60 if step in WANTED else 12 if step in OFTEN else 9 for step in possible
    ]
    [step] = chance.choices(possible, weights)
    role = chance.choice(sorted(TABLE[step].roles))
    if step in (Step.CONFIRM, Step.REWORK) and s.event.checked_by:
        role = Role(s.event.checked_by)
    by = s.people["called_handler" if step in CALLED else role]
    try:
        with transaction.atomic():
            DOORS[step](s, by)
    except DomainError as refused:
        return refused.code
    return step.value


def _scans() -> None:
    for event_id in deferred_until_now(at=now()):
        resume_on_the_day(event_id)
    for order_id in list(not_taken_on(at=now())):
        expire(order_id)


def _check(event: Event, minutes: Minutes, limits: dict[int, FilingCondition]) -> None:
    steps = list(event.transitions.select_related("work_order").order_by("version"))
    status = ""
    for number, step in enumerate(steps, start=1):
        rule = TABLE[Step(step.kind)]
        assert (step.version, step.from_status, (status or None) in rule.sources) == (number, status, True)
        status = rule.target or status
        assert step.to_status == status
    assert (event.status, event.version) == (status, len(steps))
    slow = Slow(minutes, limits).read(steps)
    if event.department_id is not None and event.condition is not None:
        clock = clock_of(event)
        assert clock.used(now()) >= timedelta() <= clock.granted
        assert clock.overdue_multiple(now()) >= 0
    if event.status in (Status.DISPATCHED, Status.TAKEN_ON, Status.HANDLED, Status.CONFIRMED):
        assert slow.lead is not None
        told = slow.handled or slow.due(slow.lead)
        assert event.due_at == told, [step.kind for step in steps]
        order = event.work_orders.filter(part="lead").latest("dispatched_at", "pk")
        assert (order.due_at, order.finished_at is None) == (told, event.status != Status.CONFIRMED)
        if slow.handled is None and slow.lead.ran_out is None:
            assert event.warn_at is not None
            yellow = slow.due(slow.lead, 0.8)
            assert yellow is not None
            assert yellow == event.warn_at or event.warn_at < slow.lead.since  # type: ignore[operator]
    if event.status in (Status.FILED, Status.ASSIGNED, Status.DEFERRED):
        assert event.due_at is None
    for order in event.work_orders.filter(finished_at__isnull=True).exclude(part="lead"):
        due = slow.due(slow.beside[order.pk])
        assert due in (None, order.due_at), [step.kind for step in steps]
    if event.status in FINAL:
        assert not event.work_orders.filter(finished_at__isnull=True).exists()
        assert not event.checks.filter(done_at__isnull=True, ended_at__isnull=True).exists()
    # What is computed anew by unchanged rules is what stands there.
    rules = rules_of(event.district)
    under = deadlines_under(event, rules)
    assert {name: getattr(event, name) for name in under} == under, [step.kind for step in steps]
    if event.status not in FINAL:
        assert due_beside(event, calendar_for(event)) == {}


def _walk(
    seed: int, cell: Cell, event_class: EventClass, limits: dict[int, FilingCondition], time: Time
) -> Counter[str]:
    """One life; returns how often which step was taken."""
    chance = random.Random(seed)
    time.at = BEGIN
    s = scene_of(cell, event_class)
    s.people["department_handler"] = s.people["called_handler"] = User.objects.get(username="dept_municipal")
    checker = chance.choice(["chief", "worker", "both", "desk"])
    CheckPolicy.objects.create(district=cell.district, checker=checker)
    District.objects.filter(pk=cell.district_id).update(closes_on_confirmation=chance.random() < 0.5)
    minutes = Minutes(cell.district)
    for _ in range(STEPS):
        time.at += timedelta(minutes=chance.choice(PASSES))
        _scans()
        _ready(s, chance, limits)
        what = _turn(s, chance)
        s.event = Event.objects.get(pk=s.event.pk)
        _check(s.event, minutes, limits)
        if what == "ended":
            break
    return Counter(s.event.transitions.values_list("kind", flat=True))


def test_whatever_is_done_the_clocks_tell_what_a_slow_count_tells(
    cell: Cell, event_class: EventClass, limits: dict[int, FilingCondition], server_time: Time
) -> None:
    met: Counter[str] = Counter()
    for seed in range(WALKS):
        before = transaction.savepoint()
        met += _walk(seed, cell, event_class, limits, server_time)
        transaction.savepoint_rollback(before)
    assert TURNS - set(met) == set()
