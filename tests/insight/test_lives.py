"""Ten thousand random lives: no illegal state, the history adds up, clocks never negative, figures as counted by hand.

The slow count below knows nothing of the statement it is compared with: it reads the histories, one by one.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from benchmarks._lives import BESIDE, Life, make_lives, store, world_of
from fieldops.models import Transition, WorkOrder
from fieldops.status import TABLE, Status, Step
from gridmap.models import CHAIN, District
from insight.facts import COUNTS
from insight.figures import Period, Scope, cases_behind, count_all, count_by, count_by_level
from tests.doing import CASE_TABLES

# All of them, so that nothing comes between and the lives are made once.
pytestmark = pytest.mark.django_db
BEGIN = datetime(2026, 9, 1, tzinfo=UTC)
MIDDLE = BEGIN + timedelta(days=20)
END = BEGIN + timedelta(days=40)
LIVES = 10_000
ON_SITE = ("grid_worker", "street_chief")
RUNNING = ("dispatched", "taken_on")


@pytest.fixture(scope="module")
def lives(django_db_setup: None, django_db_blocker: Any) -> Iterator[list[Life]]:
    """Stored once for all tests here, and taken back."""
    with django_db_blocker.unblock():
        try:
            district = District.objects.get()
            made = make_lives(world_of(district), LIVES, begin=BEGIN, until=END, seed=20)
            store(made)
            with django_db_blocker.block():
                yield made
        finally:
            with connection.cursor() as cursor:
                cursor.execute(f"TRUNCATE {CASE_TABLES} CASCADE")


@pytest.fixture
def scope() -> Scope:
    return Scope(District.objects.get().pk)


def test_every_life_follows_the_table_and_its_history_adds_up(lives: list[Life]) -> None:
    met: Counter[str] = Counter()
    for life in lives:
        status: str = ""
        for number, step in enumerate(life.steps, start=1):
            rule = TABLE[Step(step.kind)]
            assert (status or None) in rule.sources
            assert (step.version, step.from_status) == (number, status)
            status = rule.target or status
            assert step.to_status == status
            met[step.kind] += 1
        assert (life.event.status, life.event.version) == (status, len(life.steps))
        assert life.worst >= timedelta()
        assert sum(order.finished_at is None for order in life.orders) <= 1
    # The walk goes everywhere the table leads.
    assert {step for step in Step if not met[step]} == BESIDE
    assert sum(life.event.status == Status.CLOSED for life in lives) > LIVES / 5


def test_what_is_stored_tells_the_same(lives: list[Life]) -> None:
    stored = Transition.objects.order_by("event", "version").values_list("event", "to_status")
    last = dict(stored)
    assert last == {life.event.pk: life.event.status for life in lives}
    assert WorkOrder.objects.count() == sum(len(life.orders) for life in lives)


# --- the slow count ---------------------------------------------------------------------------------------


def count_slowly(lives: Sequence[Life], begin: datetime, end: datetime) -> dict[str, set[Any] | int]:
    """Each count by reading histories up to `end`: how many."""
    found: Counter[str] = Counter()
    for life in lives:
        found.update(_count_one(life, begin, end))
    return dict(found)


def _count_one(life: Life, begin: datetime, end: datetime) -> Counter[str]:
    steps = [step for step in life.steps if step.occurred_at < end]
    n: Counter[str] = Counter()
    if not steps:
        return n
    times: dict[str, list[datetime]] = defaultdict(list)
    for step in steps:
        times[step.kind].append(step.occurred_at)

    def first(kind: str) -> datetime | None:
        return times[kind][0] if times[kind] else None

    def within(moment: datetime | None) -> bool:
        return moment is not None and begin <= moment < end

    voided = bool(times["void"])
    # Walk: is it handled, closed, since when, and what was due?
    handled_at, closed, due = None, False, None
    handled_due = None
    ran_out = None  # when the last order had fallen due by the time it ended or its clock was stopped
    for step in steps:
        before, due = due, step.due_at
        if step.kind in ("dispatch", "rework"):
            ran_out = None
        elif step.from_status in RUNNING and step.to_status not in RUNNING:
            ran_out = before if before and before < step.occurred_at else None
        if step.kind == "handle":
            handled_at, handled_due = step.occurred_at, step.due_at
        elif step.kind in ("dispatch", "rework"):
            handled_at, handled_due = None, None
        if step.kind in ("close", "close_specially", "self_handle"):
            closed = True
        elif step.kind == "reopen":
            closed = False
    joined = [step.kind for step in steps if step.kind in ("merge", "separate")][-1:] == ["merge"]
    reports = [r for r in life.reports if begin <= r.received_at < end and not joined]
    n["reports"] = len(reports)
    if times["file"] and not voided:
        n["valid_reports"] = len(reports)
    answers = [step for step in steps if step.kind in ("accept", "decline")]
    in_time = bool(answers) and (
        answers[0].stage_due_at is None or answers[0].occurred_at <= answers[0].stage_due_at
    )
    if within(first("report")) and not joined:
        n["reported"] += 1
        n["accepted"] += bool(times["accept"])
        n["filed_of_reported"] += bool(times["file"])
        n["responded"] += in_time
    if within(first("file")):
        n["filed"] += 1
        n["filed_in_time"] += in_time
        n["filed_right"] += not voided
        n["missed"] += life.reports[0].channel != "field_app"
    on_time = handled_at is not None and handled_due is not None and handled_at <= handled_due
    if within(first("dispatch")):
        n["to_dispatch"] += 1
        n["dispatched_right"] += not times["send_back"] and not times["recall"]
        if not voided:
            n["to_handle"] += 1
            n["handled"] += handled_at is not None
            n["handled_in_time"] += on_time
            n["extended"] += bool(times["extend"])
    at_work = steps[-1].to_status in (*RUNNING, "deferred")
    fallen_due = handled_at is None and within(due if at_work else ran_out)
    if not voided and (within(handled_at) or fallen_due):
        n["to_close"] += 1
        n["closed"] += closed and handled_at is not None
        n["closed_in_time"] += closed and on_time
        n["overdue"] += not on_time
        n["reworked"] += bool(times["rework"])
    if not voided and within(handled_at):
        n["handled_in_period"] += 1
        on_site = [s for s in steps if s.kind in ("confirm", "check") and s.post.role in ON_SITE]
        n["checked"] += any(s.occurred_at >= handled_at for s in on_site)  # type: ignore[operator]
    if times["send_back"] and within(times["send_back"][-1]):
        n["returns"] += sum(map(within, times["send_back"]))
        n["ping_pong"] += len(times["send_back"]) > 1
    n["reopened"] += bool(times["reopen"]) and within(times["reopen"][-1])
    for call in life.call_backs:
        n["asked_back"] += within(call.asked_at)
        if within(call.answered_at):
            n["called_back"] += 1
            n["resolved"] += bool(call.resolved)
            n[call.rating] += 1
    for one in life.reports:
        replied = one.replied_at is not None and one.replied_at < end
        if within(one.replied_at) or (not replied and within(one.reply_due_at)):
            n["to_reply"] += 1
            n["replied_in_time"] += replied and one.replied_at <= one.reply_due_at  # type: ignore[operator]
    for card in life.cards:
        if within(card.asked_at):
            n["supervised"] += 1
            n["supervised_answered"] += (
                card.answered_at is not None
                and card.answered_at < end
                and card.answered_at <= card.answer_due_at
            )
    for task in life.tasks:
        done = task.done_at is not None and task.done_at < end
        called_back = task.ended_at is not None and task.ended_at < end
        if within(task.asked_at) and (done or task.due_at < end) and not called_back:
            to_do, on_time = (
                ("to_verify", "verified_in_time")
                if task.kind == "verify"
                else ("to_check", "checked_in_time")
            )
            n[to_do] += 1
            n[on_time] += done and task.done_at <= task.due_at  # type: ignore[operator]
    return n


def same(counted: dict[str, int], slowly: Any) -> None:
    assert counted == {code: slowly.get(code, 0) for code in COUNTS}


@pytest.mark.parametrize(
    ("begin", "end"),
    [(BEGIN, END), (BEGIN, MIDDLE), (MIDDLE, END), (MIDDLE, MIDDLE + timedelta(days=7))],
    ids=["all", "first half", "second half", "a week"],
)
def test_the_figures_are_those_of_a_slow_count(
    lives: list[Life], scope: Scope, begin: datetime, end: datetime
) -> None:
    counted = count_all(Period(begin, end, END), scope).counts
    same(counted, count_slowly(lives, begin, end))
    if (begin, end) == (BEGIN, END):
        assert [code for code, number in counted.items() if not number] == []


def test_a_past_period_comes_out_the_same_whenever_it_is_computed(lives: list[Life], scope: Scope) -> None:
    known_then = count_all(Period(BEGIN, MIDDLE, MIDDLE), scope)
    known_now = count_all(Period(BEGIN, MIDDLE, END + timedelta(days=300)), scope)
    assert known_then == known_now
    # As of a moment within the period only what was known by then counts.
    early = count_all(Period(BEGIN, END, MIDDLE), scope).counts
    same(early, count_slowly(lives, BEGIN, MIDDLE))


def test_every_level_department_and_person_adds_up(lives: list[Life], scope: Scope) -> None:
    period = Period(BEGIN, MIDDLE, END)
    lines = count_by_level(period, scope)
    whole = count_all(period, scope).counts
    assert {line.level for line in lines} == {1, 2, 3, 4, 5}
    for level in range(1, 6):
        total: Counter[str] = Counter()
        for line in lines:
            if line.level == level:
                total.update(line.counts)
        same(whole, total)
    # One street by hand, cases that moved away later among them.
    street = next(line for line in lines if line.level == 3)
    there = [life for life in lives if _unit_before(life, MIDDLE, 2) == street.of]
    same(street.counts, count_slowly(there, BEGIN, MIDDLE))
    for dimension in ("department", "class", "channel", "reporter", "handler", "checker"):
        total = Counter()
        for line in count_by(dimension, period, scope):
            total.update(line.counts)
        same(whole, total)


def _unit_before(life: Life, end: datetime, level: int) -> int:
    """The organisation of the case as it was at `end`."""
    later = [step for step in life.steps if step.kind == "move_cell" and step.occurred_at >= end]
    units = later[0].data["from_units"] if later else life.event.cell.unit_ids
    assert len(units) == len(CHAIN)
    return int(units[level])


def test_every_number_opens_the_cases_it_was_counted_from(lives: list[Life], scope: Scope) -> None:
    """Every count there is: which cases, and how many each brings, as read from their histories."""
    period = Period(MIDDLE, MIDDLE + timedelta(days=2), END)
    whole = count_all(period, scope).counts
    slowly = {life.event.pk: _count_one(life, period.begin, period.end) for life in lives}
    for code in COUNTS:
        found, pages = {}, 1
        behind = cases_behind([code], period, scope)
        assert behind.sums == {code: whole[code]}
        while len(found) < behind.total:
            found |= cases_behind([code], period, scope, page=pages).cases
            pages += 1
        expected = {key: {code: counts[code]} for key, counts in slowly.items() if counts[code]}
        assert found == expected, code


def test_months_add_up_where_a_case_goes_to_and_fro(lives: list[Life], scope: Scope) -> None:
    """What was sent back before and after a border counts once on each side of it."""
    whole, first, second = (
        count_all(Period(begin, end, END), scope).counts["returns"]
        for begin, end in ((BEGIN, END), (BEGIN, MIDDLE), (MIDDLE, END))
    )
    assert 0 < first < whole == first + second
