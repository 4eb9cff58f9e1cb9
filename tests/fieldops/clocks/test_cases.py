"""A department that sends a case back stops its own clock, and finds it where it stopped."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from fieldops.clocks.cases import light, resume_clock
from fieldops.lifecycle import now
from fieldops.models import Event, WorkOrder
from gridmap.models import Department


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Asia/Shanghai"))


@pytest.fixture
def case(dispatched: Event) -> Event:
    """A case with a limit of four working hours, and so far no order of its department that is told here."""
    aside = Department.objects.exclude(pk=dispatched.department_id).last()
    WorkOrder.objects.filter(event=dispatched).update(department=aside, finished_at=now())
    dispatched.condition.limit_amount, dispatched.condition.limit_unit = 4, "hour"
    dispatched.condition.urgent = False
    return dispatched


def order(case: Event, begin: str, end: str, *, sent_back: bool = True, by: Department | None = None) -> None:
    ended = local(end)
    WorkOrder.objects.create(
        event=case,
        department=by or case.department,
        post=case.department.posts.first(),
        dispatched_at=local(begin),
        due_at=ended,
        sent_back_at=ended if sent_back else None,
        handled_at=None if sent_back else ended,
        finished_at=ended,
    )


def test_the_same_department_goes_on_where_it_stopped(case: Event) -> None:
    order(case, "2026-11-23 08:00", "2026-11-23 09:00")
    assert resume_clock(case, at=local("2026-11-23 10:00")) == local("2026-11-23 15:00")
    assert case.due_at == local("2026-11-23 15:00")
    assert case.warn_at == local("2026-11-23 14:12")


def test_another_department_starts_anew_and_changes_nothing_for_the_first(case: Event) -> None:
    first = case.department
    other = Department.objects.exclude(pk=first.pk).filter(posts__isnull=False).first()
    order(case, "2026-11-23 08:00", "2026-11-23 09:00")
    case.department = other
    assert resume_clock(case, at=local("2026-11-23 10:00")) == local("2026-11-23 16:00")
    order(case, "2026-11-23 10:00", "2026-11-23 11:00", by=other)
    case.department = first
    assert resume_clock(case, at=local("2026-11-23 14:00")) == local("2026-11-23 17:00")


def test_a_limit_used_up_before_is_overdue_at_once(case: Event) -> None:
    order(case, "2026-11-23 08:00", "2026-11-23 17:00")
    assert resume_clock(case, at=local("2026-11-24 10:00")) == local("2026-11-23 12:00")


def test_work_that_was_done_once_does_not_count_again(case: Event) -> None:
    order(case, "2026-11-23 08:00", "2026-11-23 09:00")
    order(case, "2026-11-23 10:00", "2026-11-23 11:00", sent_back=False)
    assert resume_clock(case, at=local("2026-11-24 08:00")) == local("2026-11-24 12:00")


def test_nobodys_clock_runs_while_a_case_is_sent_back(case: Event) -> None:
    case.due_at = case.warn_at = None
    assert light(case, now()) == "none"
