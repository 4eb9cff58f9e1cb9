"""More time, and time to rest: asked for by the department, decided by a shift leader."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from fieldops.clocks.cases import clock_of, light
from fieldops.errors import (
    IllegalTransition,
    NotDeferrable,
    NotExtendable,
    NotFound,
    NotPermitted,
    ReasonMissing,
)
from fieldops.models import Event, Transition, User, WorkOrder
from fieldops.steps import approvals, desk, fieldwork
from fieldops.tasks import resume_deferred_cases
from realtime.models import Letter
from tests.doing import handler_of, key


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Asia/Shanghai"))


@pytest.fixture
def taken_on(dispatched: Event) -> Event:
    fieldwork.take_on(dispatched.work_orders.get().pk, by=handler_of(dispatched), submission=key())
    return Event.objects.get(pk=dispatched.pk)


def ask_extension(event: Event, **changes: object) -> Transition:
    given = {"by": handler_of(event), "submission": key(), "reason": "等待配件", **changes}
    return approvals.ask_extension(event.work_orders.get(finished_at__isnull=True).pk, **given)


def ask_deferral(event: Event, until: datetime, **changes: object) -> Transition:
    given = {
        "by": handler_of(event),
        "submission": key(),
        "reason": "冬季无法施工",
        "until": until,
        **changes,
    }
    return approvals.ask_deferral(event.work_orders.get(finished_at__isnull=True).pk, **given)


def kinds_for(role: str, event: Event) -> list[str]:
    found = Letter.objects.filter(event=event, mailbox__post__role=role).order_by("created_at", "seq")
    return list(found.values_list("kind", flat=True))


def test_an_extension_doubles_the_limit_and_both_sides_hear_of_it(
    taken_on: Event, shift_leader: User
) -> None:
    order = taken_on.work_orders.get()
    ask_extension(taken_on)
    taken_on.refresh_from_db()
    assert taken_on.asked_for == "extend"
    assert kinds_for("shift_leader", taken_on) == ["request"]
    before = clock_of(taken_on).granted
    event = approvals.extend(taken_on.pk, by=shift_leader)
    assert clock_of(event).granted == 2 * before
    assert event.due_at > order.due_at
    order.refresh_from_db()
    assert (order.extensions, order.due_at, event.asked_for) == (1, event.due_at, "")
    assert kinds_for("department_handler", event)[-1] == "decision"


def test_a_limit_is_extended_at_most_twice(taken_on: Event, shift_leader: User) -> None:
    for _ in range(2):
        ask_extension(taken_on)
        approvals.extend(taken_on.pk, by=shift_leader)
    with pytest.raises(NotExtendable):
        ask_extension(taken_on)


def test_a_limit_that_has_run_out_is_not_extended(taken_on: Event) -> None:
    WorkOrder.objects.filter(event=taken_on).update(dispatched_at=local("2026-01-05 08:00"))
    with pytest.raises(NotExtendable):
        ask_extension(taken_on)
    taken_on.refresh_from_db()
    assert taken_on.asked_for == ""


def test_what_was_asked_for_in_time_may_be_granted_late(taken_on: Event, shift_leader: User) -> None:
    ask_extension(taken_on)
    WorkOrder.objects.filter(event=taken_on).update(dispatched_at=local("2026-01-05 08:00"))
    event = approvals.extend(taken_on.pk, by=shift_leader)
    assert event.due_at < timezone.now()
    assert light(event, timezone.now()) == "red"


def test_a_refusal_says_why_and_changes_no_limit(taken_on: Event, shift_leader: User) -> None:
    ask_extension(taken_on)
    with pytest.raises(ReasonMissing):
        approvals.refuse(taken_on.pk, by=shift_leader, reason=" ")
    event = approvals.refuse(taken_on.pk, by=shift_leader, reason="可调用备件")
    assert (event.due_at, event.asked_for) == (taken_on.due_at, "")
    with pytest.raises(IllegalTransition):
        approvals.extend(taken_on.pk, by=shift_leader)


def test_who_asks_does_not_decide_and_outsiders_do_neither(
    taken_on: Event, outsider: User, dispatcher: User
) -> None:
    handler = handler_of(taken_on)
    with pytest.raises(NotFound):
        ask_extension(taken_on, by=outsider)
    ask_extension(taken_on)
    for person, refusal in [(handler, NotPermitted), (dispatcher, NotPermitted), (outsider, NotFound)]:
        with pytest.raises(refusal):
            approvals.extend(taken_on.pk, by=person)
        with pytest.raises(refusal):
            approvals.refuse(taken_on.pk, by=person, reason="不同意")


def test_one_request_at_a_time_and_a_retry_is_the_same(taken_on: Event) -> None:
    submission = key()
    first = ask_extension(taken_on, submission=submission)
    assert ask_extension(taken_on, submission=submission) == first
    with pytest.raises(IllegalTransition):
        ask_deferral(taken_on, timezone.now() + timedelta(days=9))


def test_the_clock_stands_still_while_deferred(taken_on: Event, shift_leader: User) -> None:
    ask_deferral(taken_on, timezone.now() + timedelta(days=90))
    event = approvals.defer(taken_on.pk, by=shift_leader)
    assert (event.status, event.due_at, light(event, timezone.now())) == ("deferred", None, "none")
    used = clock_of(event).used(timezone.now() + timedelta(days=60))
    assert used <= clock_of(event).granted
    event = approvals.resume(event.pk, by=handler_of(event))
    assert (event.status, event.deferred_until) == ("taken_on", None)
    assert event.due_at >= taken_on.due_at
    assert event.due_at == event.work_orders.get().due_at


def test_a_case_is_deferred_once_and_at_most_a_year(taken_on: Event, shift_leader: User) -> None:
    now = timezone.now()
    for wrong in (now - timedelta(hours=1), now + timedelta(days=366)):
        with pytest.raises(NotDeferrable):
            ask_deferral(taken_on, wrong)
    ask_deferral(taken_on, now + timedelta(days=365))
    approvals.defer(taken_on.pk, by=shift_leader)
    approvals.resume(taken_on.pk, by=shift_leader)
    with pytest.raises(NotDeferrable):
        ask_deferral(taken_on, now + timedelta(days=9))


def test_the_day_comes_by_itself_and_once(taken_on: Event, shift_leader: User) -> None:
    ask_deferral(taken_on, timezone.now() + timedelta(days=9))
    approvals.defer(taken_on.pk, by=shift_leader)
    assert resume_deferred_cases() == 0
    Event.objects.filter(pk=taken_on.pk).update(deferred_until=timezone.now())
    assert (resume_deferred_cases(), resume_deferred_cases()) == (1, 0)
    event = Event.objects.get(pk=taken_on.pk)
    step = event.transitions.latest("version")
    assert (event.status, step.kind, step.by) == ("taken_on", "resume", None)
    assert kinds_for("department_handler", event)[-1] == "resumed"


def test_handling_the_work_ends_the_request(taken_on: Event) -> None:
    ask_extension(taken_on)
    order = taken_on.work_orders.get()
    fieldwork.send_back(order.pk, by=handler_of(taken_on), submission=key(), reason="不属本部门")
    taken_on.refresh_from_db()
    assert (taken_on.status, taken_on.asked_for) == ("filed", "")


def test_a_void_case_ends_its_work_and_answers_its_reporter(taken_on: Event, shift_leader: User) -> None:
    with pytest.raises(NotPermitted):
        desk.void(taken_on.pk, by=handler_of(taken_on), reason="重复")
    event = desk.void(taken_on.pk, by=shift_leader, reason="重复立案")
    assert (event.status, event.due_at) == ("voided", None)
    assert not event.work_orders.filter(finished_at__isnull=True).exists()
    assert kinds_for("department_handler", event)[-1] == "recall"
    assert "answer" in kinds_for("grid_worker", event)
    with pytest.raises(IllegalTransition):
        desk.void(taken_on.pk, by=shift_leader, reason="再次")
