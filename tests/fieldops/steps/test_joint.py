"""协办 and 吹哨: departments beside the one that leads, each with an order and a clock of its own."""

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from fieldops.clocks.cases import clock_of, overdue_multiple
from fieldops.errors import (
    AlreadyAssisting,
    IllegalTransition,
    NoHandler,
    NotFound,
    NotPermitted,
    PhotoMissing,
    ReasonMissing,
)
from fieldops.models import Event, Holding, Post, Reckoning, User, WorkOrder
from fieldops.places import Fix
from fieldops.rights import events_visible_to
from fieldops.steps import approvals, desk, fieldwork, joint
from fieldops.steps.expiry import expire, not_taken_on
from fieldops.steps.reckoning import reckon_deadlines
from gridmap.models import CalendarDay, Cell, Department
from realtime.models import Letter
from tests.doing import chief_of, handler_of, holder_of, inside, key, photo_for, worker_of


@pytest.fixture
def others(dispatched: Event) -> list[Department]:
    """Departments with a post for the whole district that are not responsible."""
    posts = Post.objects.filter(role="department_handler", unit__level=1)
    return [post.department for post in posts.exclude(department=dispatched.department_id).order_by("pk")[:3]]


def called(event: Event, department: Department) -> tuple[WorkOrder, User]:
    order = event.work_orders.get(department=department, finished_at__isnull=True)
    return order, holder_of(order.post)


def finish(order: WorkOrder, by: User) -> None:
    submission = key()
    photo_for(submission, by)
    fieldwork.handle(order.pk, by=by, submission=submission)


def lead_of(event: Event) -> tuple[WorkOrder, User]:
    order = event.work_orders.get(part="lead", finished_at__isnull=True)
    return order, holder_of(order.post)


def test_the_case_is_handled_when_the_lead_and_all_assistants_are(
    dispatched: Event, others: list[Department], dispatcher: User, outsider: User
) -> None:
    first, second = others[:2]
    with pytest.raises(ReasonMissing):
        joint.assist(dispatched.pk, by=dispatcher, department_ids=[first.pk], reason=" ")
    joint.assist(dispatched.pk, by=dispatcher, department_ids=[first.pk, second.pk], reason="共管路段")
    order, handler = called(dispatched, first)
    assert (order.part, order.due_at > order.dispatched_at) == ("assist", True)
    assert Letter.objects.filter(kind="assist").count() == 2
    assert events_visible_to(handler).filter(pk=dispatched.pk).exists()
    fieldwork.take_on(order.pk, by=handler, submission=key())
    dispatched.refresh_from_db()
    assert dispatched.status == "dispatched"  # the lead's step moves the case, an assistant's does not
    lead, leader_of_work = lead_of(dispatched)
    fieldwork.take_on(lead.pk, by=leader_of_work, submission=key())
    finish(lead, leader_of_work)
    dispatched.refresh_from_db()
    lead.refresh_from_db()
    assert (dispatched.status, lead.handled_at is not None) == ("taken_on", True)
    with pytest.raises(IllegalTransition):
        finish(lead, leader_of_work)
    with pytest.raises(PhotoMissing):
        fieldwork.handle(order.pk, by=handler, submission=key())
    finish(order, handler)
    dispatched.refresh_from_db()
    assert dispatched.status == "taken_on"
    joint.release(dispatched.pk, by=dispatcher, order_id=called(dispatched, second)[0].pk, reason="不需要了")
    dispatched.refresh_from_db()
    assert (dispatched.status, dispatched.checked_by) == ("handled", "street_chief")
    assert list(dispatched.transitions.order_by("version").values_list("kind", flat=True))[6:] == [
        "assist", "assist", "assist_take_on", "take_on", "lead_handle", "assist_handle", "release", "handle",
    ]  # fmt: skip
    assert Letter.objects.filter(kind="released").count() == 1
    assert not events_visible_to(handler).filter(pk=dispatched.pk).exists()
    with pytest.raises(NotFound):
        joint.release(dispatched.pk, by=outsider, order_id=order.pk, reason="x")


def test_who_leads_or_assists_is_not_called_again(
    dispatched: Event, others: list[Department], dispatcher: User, intake_operator: User
) -> None:
    assert dispatched.department_id is not None
    joint.assist(dispatched.pk, by=dispatcher, department_ids=[others[0].pk], reason="协办")
    for taken in (dispatched.department_id, others[0].pk):
        with pytest.raises(AlreadyAssisting):
            joint.assist(dispatched.pk, by=dispatcher, department_ids=[taken], reason="协办")
    with pytest.raises(NoHandler):
        joint.assist(dispatched.pk, by=dispatcher, department_ids=[10**6], reason="协办")
    with pytest.raises(NotPermitted):
        joint.assist(dispatched.pk, by=intake_operator, department_ids=[others[1].pk], reason="协办")


def test_an_assistant_may_send_it_back_but_has_no_say_in_the_leads_clock(
    dispatched: Event, others: list[Department], dispatcher: User
) -> None:
    joint.assist(dispatched.pk, by=dispatcher, department_ids=[others[0].pk], reason="协办")
    order, handler = called(dispatched, others[0])
    lead, worker = lead_of(dispatched)
    fieldwork.take_on(lead.pk, by=worker, submission=key())
    with pytest.raises(IllegalTransition):
        approvals.ask_extension(order.pk, by=handler, submission=key(), reason="忙")
    with pytest.raises(IllegalTransition):
        fieldwork.arrive(order.pk, by=handler, submission=key(), fix=Fix(109.9, 40.6, "WGS84"))
    with pytest.raises(ReasonMissing):
        fieldwork.send_back(order.pk, by=handler, submission=key(), reason="")
    fieldwork.send_back(order.pk, by=handler, submission=key(), reason="非我单位")
    dispatched.refresh_from_db()
    assert (dispatched.status, dispatched.returns) == ("taken_on", 0)
    assert Letter.objects.filter(kind="assisted").count() == 1
    finish(lead, worker)
    dispatched.refresh_from_db()
    assert dispatched.status == "handled"


def test_a_community_whistles_and_arrival_is_noted(
    dispatched: Event, others: list[Department], cell: Cell, outsider: User, leader: User
) -> None:
    worker = worker_of(cell)
    for refused in (leader, chief_of(dispatched), handler_of(dispatched)):
        with pytest.raises(NotPermitted):
            joint.whistle(dispatched.pk, by=refused, department_ids=[others[0].pk], reason="到场")
    with pytest.raises(NotFound):
        joint.whistle(dispatched.pk, by=outsider, department_ids=[others[0].pk], reason="到场")
    submission = key()
    wanted = [one.pk for one in others[:2]]
    step = joint.whistle(
        dispatched.pk, by=worker, department_ids=wanted, reason="联合到场", submission=submission
    )
    again = joint.whistle(
        dispatched.pk, by=worker, department_ids=wanted, reason="联合到场", submission=submission
    )
    assert step == again
    assert Letter.objects.filter(kind="whistle").count() == 2
    order, handler = called(dispatched, others[0])
    x, y = inside(cell)
    arrived = fieldwork.arrive(order.pk, by=handler, submission=key(), fix=Fix(x, y, "WGS84", 5))
    order.refresh_from_db()
    assert order.arrived_at == arrived.recorded_at
    assert arrived.data["metres_away"] < 5
    far = fieldwork.arrive(order.pk, by=handler, submission=key(), fix=Fix(x + 0.02, y, "WGS84", 5))
    assert far.data["flags"] == ["far_from_the_case"]
    order.refresh_from_db()
    assert order.arrived_at == arrived.recorded_at


def test_what_ends_a_case_ends_every_order(
    dispatched: Event, others: list[Department], dispatcher: User, shift_leader: User
) -> None:
    joint.assist(dispatched.pk, by=dispatcher, department_ids=[others[0].pk], reason="协办")
    desk.void(dispatched.pk, by=shift_leader, reason="重复")
    assert not dispatched.work_orders.filter(finished_at__isnull=True).exists()
    assert Letter.objects.filter(kind="released").count() == 1


# --- their clocks ---------------------------------------------------------------------------------------


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Asia/Shanghai"))


@pytest.fixture
def clockwise(
    dispatched: Event, others: list[Department], dispatcher: User
) -> Iterator[Callable[[str], None]]:
    """Four working hours; `clockwise("2026-11-23 14:00")` sets the server's clock to that local time."""
    Holding.objects.update(since=local("2026-01-01 08:00"))
    condition = dispatched.condition
    assert condition is not None
    condition.limit_amount, condition.limit_unit, condition.urgent = 4, "hour", False
    condition.save()
    with pytest.MonkeyPatch.context() as patch:

        def to(text: str) -> None:
            patch.setattr("django.utils.timezone.now", lambda: local(text))

        to("2026-11-23 08:00")
        WorkOrder.objects.filter(event=dispatched).update(
            dispatched_at=local("2026-11-23 08:00"), due_at=local("2026-11-23 12:00")
        )
        yield to


def assisting(event: Event, department: Department) -> WorkOrder:
    return event.work_orders.get(department=department, part="assist")


def test_assistants_rest_while_the_case_is_deferred_unless_called_meanwhile(
    dispatched: Event,
    others: list[Department],
    dispatcher: User,
    shift_leader: User,
    clockwise: Callable[[str], None],
) -> None:
    """Examples 67 to 69 of `clock_examples.csv`."""
    lead, handler = lead_of(dispatched)
    fieldwork.take_on(lead.pk, by=handler, submission=key())
    clockwise("2026-11-23 14:00")
    joint.assist(dispatched.pk, by=dispatcher, department_ids=[others[0].pk], reason="协办")
    assert assisting(dispatched, others[0]).due_at == local("2026-11-23 18:00")
    until = local("2026-11-25 10:00")
    approvals.ask_deferral(lead.pk, by=handler, submission=key(), reason="等待材料", until=until)
    clockwise("2026-11-23 16:00")
    approvals.defer(dispatched.pk, by=shift_leader)
    assert (
        Letter.objects.filter(kind="decision", mailbox=assisting(dispatched, others[0]).post_id).count() == 1
    )
    clockwise("2026-11-24 08:00")
    joint.assist(dispatched.pk, by=dispatcher, department_ids=[others[1].pk], reason="先围挡")
    assert assisting(dispatched, others[1]).due_at == local("2026-11-24 12:00")
    Reckoning.objects.all().delete()
    assert reckon_deadlines() == 0  # a clock that rests is due at no moment
    clockwise("2026-11-25 10:00")
    assert approvals.resume_on_the_day(dispatched.pk)
    assert assisting(dispatched, others[0]).due_at == local("2026-11-25 12:00")
    assert assisting(dispatched, others[1]).due_at == local("2026-11-24 12:00")
    steps = dispatched.transitions.order_by("-version")[:2]
    assert [step.kind for step in steps] == ["resume", "reckon"]
    told = Letter.objects.get(kind="reckoned")
    assert told.mailbox_id == assisting(dispatched, others[0]).post_id
    assert datetime.fromisoformat(told.payload["due_at"]) == local("2026-11-25 12:00")


def test_assistants_follow_the_calendar_and_another_class(
    dispatched: Event, others: list[Department], dispatcher: User, clockwise: Callable[[str], None]
) -> None:
    clockwise("2026-11-23 16:00")
    joint.assist(dispatched.pk, by=dispatcher, department_ids=[others[0].pk], reason="协办")
    order = assisting(dispatched, others[0])
    assert order.due_at == local("2026-11-24 10:00")
    assert reckon_deadlines() >= 0
    CalendarDay.objects.create(district=dispatched.district, day=date(2026, 11, 24), working=False)
    assert reckon_deadlines() == 1
    order.refresh_from_db()
    assert order.due_at == local("2026-11-25 10:00")
    letter = Letter.objects.get(kind="reckoned", mailbox=order.post_id)
    assert letter.payload["order"] == str(order.pk)
    assert reckon_deadlines() == 0
    clockwise("2026-11-25 09:00")
    kind = dispatched.event_class
    other = kind.conditions.create(
        number=99, text="紧急情形", limit_text="2小时", limit_amount=2, limit_unit="hour", urgent=True
    )
    desk.reclassify(
        dispatched.pk, by=dispatcher, class_key=kind.key, condition_id=other.pk, reason="情况紧急"
    )
    order.refresh_from_db()
    assert order.due_at == local("2026-11-25 11:00")
    Reckoning.objects.all().delete()
    reckon_deadlines()
    order.refresh_from_db()
    assert order.due_at == local("2026-11-25 11:00")


def test_a_lead_that_is_done_needs_no_more_time(
    dispatched: Event, others: list[Department], dispatcher: User, shift_leader: User
) -> None:
    """Else its clock, which stopped, would rest and go on."""
    lead, handler = lead_of(dispatched)
    fieldwork.take_on(lead.pk, by=handler, submission=key())
    joint.assist(dispatched.pk, by=dispatcher, department_ids=[others[0].pk], reason="协办")
    until = timezone.now() + timedelta(days=30)
    approvals.ask_deferral(lead.pk, by=handler, submission=key(), reason="等待材料", until=until)
    finish(lead, handler)
    dispatched.refresh_from_db()
    assert dispatched.asked_for == ""
    for decide in (approvals.defer, approvals.extend):
        with pytest.raises(IllegalTransition):
            decide(dispatched.pk, by=shift_leader)


def test_another_class_after_the_lead_is_done_leaves_its_clock_as_it_was(
    dispatched: Event, others: list[Department], dispatcher: User, clockwise: Callable[[str], None]
) -> None:
    """The lead's work was judged by the class it had; whoever still assists is timed by the new one."""
    Event.objects.filter(pk=dispatched.pk).update(
        due_at=local("2026-11-23 12:00"), warn_at=local("2026-11-23 11:12")
    )
    lead, handler = lead_of(dispatched)
    fieldwork.take_on(lead.pk, by=handler, submission=key())
    joint.assist(dispatched.pk, by=dispatcher, department_ids=[others[0].pk], reason="协办")
    clockwise("2026-11-23 09:00")
    finish(lead, handler)
    clockwise("2026-11-23 10:00")
    kind = dispatched.event_class
    other = kind.conditions.create(
        number=99, text="紧急情形", limit_text="2小时", limit_amount=2, limit_unit="hour", urgent=True
    )
    change = {"class_key": kind.key, "condition_id": other.pk, "reason": "情况紧急"}
    event = desk.reclassify(dispatched.pk, by=dispatcher, **change)
    assert (event.due_at, clock_of(event).due()) == (local("2026-11-23 12:00"), None)
    assert assisting(dispatched, others[0]).due_at == local("2026-11-23 12:00")
    clockwise("2026-11-23 13:00")
    assert overdue_multiple(event, local("2026-11-23 13:00")) == 0
    Reckoning.objects.all().delete()
    assert reckon_deadlines() == 0
    finish(*called(dispatched, others[0]))
    dispatched.refresh_from_db()
    assert dispatched.status == "handled"


def test_an_assistance_that_nobody_takes_on_expires_by_itself(
    dispatched: Event, others: list[Department], dispatcher: User, clockwise: Callable[[str], None]
) -> None:
    lead, handler = lead_of(dispatched)
    fieldwork.take_on(lead.pk, by=handler, submission=key())
    clockwise("2026-11-23 11:30")
    joint.assist(dispatched.pk, by=dispatcher, department_ids=[others[0].pk], reason="协办")
    order = assisting(dispatched, others[0])
    # One hour to sign in; from noon to two nobody works.
    assert list(not_taken_on(at=local("2026-11-23 14:29"))) == []
    assert list(not_taken_on(at=local("2026-11-23 14:30"))) == [order.pk]
    clockwise("2026-11-23 14:30")
    assert (expire(order.pk), expire(order.pk)) == (True, False)
    dispatched.refresh_from_db()
    assert dispatched.status == "taken_on"
    letter = Letter.objects.get(kind="expired")
    assert (letter.mailbox.post.role, letter.payload["order"]) == ("dispatcher", str(order.pk))
    fieldwork.take_on(order.pk, by=holder_of(order.post), submission=key())
