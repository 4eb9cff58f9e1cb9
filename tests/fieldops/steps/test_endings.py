"""首接负责, other classes, cases handled on the spot, and how a case ends."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from fieldops.errors import (
    NotFound,
    NotPermitted,
    PhotoMissing,
    ReasonMissing,
    ReturnsSpent,
    UnknownCondition,
    Unprocessable,
)
from fieldops.intake import Receipt
from fieldops.lifecycle import Submission
from fieldops.models import Event, EventClass, FilingCondition, Holding, Post, StageLimit, User, WorkOrder
from fieldops.rights import current_posts
from fieldops.steps import desk, fieldwork, followup
from gridmap.models import Department
from realtime.models import Letter
from tests.doing import chief_of, handled_by, handler_of, key, photo_for

File = Callable[..., Receipt]


def send_back(event: Event) -> None:
    order = event.work_orders.get(finished_at__isnull=True)
    fieldwork.send_back(order.pk, by=handler_of(event), submission=key(), reason="非我单位职责")


def give_to(event: Event, department: Department, by: User) -> None:
    desk.assign(event.pk, by=by, department_id=department.pk, reason="改派")
    desk.dispatch(event.pk, by=by)


# --- 首接负责 --------------------------------------------------------------------------------------------


def test_after_two_returns_the_district_decides_and_the_next_department_keeps_it(
    dispatched: Event, dispatcher: User
) -> None:
    first = dispatched.department
    posts = Post.objects.filter(role="department_handler", unit__level=1).exclude(department=first)
    second, third = (post.department for post in posts.order_by("pk")[:2])
    street_desk = Post.objects.create(
        district=dispatched.district, role="dispatcher", name="街道派遣席", unit=dispatched.cell.street
    )
    local = User.objects.create_user("street_dispatcher")
    Holding.objects.create(post=street_desk, user=local, since=timezone.now())
    send_back(dispatched)
    give_to(dispatched, second, local)
    send_back(dispatched)
    dispatched.refresh_from_db()
    assert (dispatched.status, dispatched.returns) == ("filed", 2)
    with pytest.raises(NotPermitted):
        desk.assign(dispatched.pk, by=local, department_id=third.pk, reason="改派")
    give_to(dispatched, third, dispatcher)
    with pytest.raises(ReturnsSpent):
        send_back(dispatched)
    dispatched.refresh_from_db()
    assert dispatched.status == "dispatched"


# --- another class --------------------------------------------------------------------------------------


def test_the_old_classes_clock_is_told_and_a_new_one_starts(
    dispatched: Event, dispatcher: User, intake_operator: User
) -> None:
    order = dispatched.work_orders.get()
    WorkOrder.objects.filter(pk=order.pk).update(dispatched_at=timezone.now() - timedelta(days=30))
    before = dispatched.condition
    other = EventClass.objects.filter(edition=dispatched.event_class.edition, kind="event").exclude(
        pk=dispatched.event_class_id
    )
    wanted = (
        FilingCondition.objects.filter(event_class__in=other).exclude(limit_text=before.limit_text).first()
    )
    change = {"class_key": wanted.event_class.key, "condition_id": wanted.pk, "reason": "类别有误"}
    with pytest.raises(NotPermitted):
        desk.reclassify(dispatched.pk, by=intake_operator, **change)
    with pytest.raises(UnknownCondition):
        desk.reclassify(dispatched.pk, by=dispatcher, **{**change, "condition_id": before.pk})
    event = desk.reclassify(dispatched.pk, by=dispatcher, **change)
    step = event.transitions.latest("version")
    assert step.data["before"]["limit_text"] == before.limit_text
    assert step.data["before"]["due_at"] == dispatched.due_at.isoformat()
    assert step.data["before"]["used_seconds"] > 0
    assert step.data["after"]["due_at"] == event.due_at.isoformat()
    assert (event.condition, event.status) == (wanted, "dispatched")
    assert event.due_at > timezone.now()  # the thirty days were the other class's
    order.refresh_from_db()
    assert order.due_at == event.due_at
    assert Letter.objects.filter(kind="reclassified").count() == 1
    # Sent back and dispatched again, it goes on from where the new clock stood.
    send_back(event)
    desk.assign(event.pk, by=dispatcher, department_id=event.department_id, reason="仍由其办理")
    again = desk.dispatch(event.pk, by=dispatcher)
    assert abs(again.due_at - event.due_at) < timedelta(days=4)


def test_a_case_that_is_urgent_now_is_taken_on_by_the_limit_of_urgent_ones(
    dispatched: Event, dispatcher: User
) -> None:
    """Counted from when it was dispatched: whom it waits for did not change."""
    limits = StageLimit.objects.filter(district=dispatched.district_id, stage="sign_in")
    limits.filter(urgent=True).update(minutes=7)
    urgent = dispatched.event_class.conditions.create(
        number=99, text="紧急情形", limit_text="2紧急工作时", limit_amount=2, limit_unit="hour", urgent=True
    )
    event = desk.reclassify(
        dispatched.pk, by=dispatcher, class_key=dispatched.event_class.key, condition_id=urgent.pk, reason="情况紧急"
    )  # fmt: skip
    assert event.stage_since == dispatched.stage_since
    assert event.stage_due_at == dispatched.stage_since + timedelta(minutes=7)


# --- on the spot ----------------------------------------------------------------------------------------


def test_a_collector_puts_it_right_on_the_spot(
    file_report: File, grid_worker: User, condition: FilingCondition, outsider: User, resident: User
) -> None:
    receipt = file_report(grid_worker, condition_id=condition.pk, self_handled=True)
    event, before, after = receipt.event, Submission(receipt.report.pk), key()
    assert event.status == "located"  # nobody is dispatched meanwhile
    photo_for(after, grid_worker)
    with pytest.raises(PhotoMissing):
        fieldwork.handle_on_the_spot(event.pk, by=grid_worker, submission=after)
    photo_for(before, grid_worker)
    for other in (outsider, resident):
        with pytest.raises(NotFound):
            fieldwork.handle_on_the_spot(event.pk, by=other, submission=key())
    step = fieldwork.handle_on_the_spot(event.pk, by=grid_worker, submission=after)
    event.refresh_from_db()
    assert (event.status, event.closing, event.department) == ("closed", "self_handled", None)
    assert fieldwork.handle_on_the_spot(event.pk, by=grid_worker, submission=after) == step
    assert Letter.objects.get(kind="answer").mailbox_id == current_posts(grid_worker)[0].pk


def test_nobody_puts_right_what_another_reported(located: Event, grid_worker: User) -> None:
    worker = Post.objects.get(role="grid_worker", unit__in=located.cell.unit_ids).holders.get()
    with pytest.raises(NotFound):
        fieldwork.handle_on_the_spot(located.pk, by=worker, submission=key())


# --- how it ends ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("late", "closing"), [(False, "normal"), (True, "overdue")])
def test_in_time_or_overdue_is_computed(dispatched: Event, late: bool, closing: str) -> None:
    order = dispatched.work_orders.get()
    handled_by(handler_of(dispatched), order)
    if late:
        WorkOrder.objects.filter(pk=order.pk).update(due_at=timezone.now() - timedelta(minutes=1))
    followup.confirm(dispatched.pk, by=chief_of(dispatched), resolved=True, submission=key())
    dispatched.refresh_from_db()
    assert (dispatched.status, dispatched.closing) == ("closed", closing)
    assert dispatched.transitions.latest("version").data["closing"] == closing


def test_an_error_or_a_special_case_is_chosen_with_a_reason(
    dispatched: Event, shift_leader: User, dispatcher: User
) -> None:
    with pytest.raises(NotPermitted):
        desk.close_specially(dispatched.pk, by=dispatcher, closing="error", reason="误报")
    with pytest.raises(ReasonMissing):
        desk.close_specially(dispatched.pk, by=shift_leader, closing="error", reason="")
    with pytest.raises(Unprocessable):
        desk.close_specially(dispatched.pk, by=shift_leader, closing="normal", reason="误报")
    event = desk.close_specially(dispatched.pk, by=shift_leader, closing="special", reason="历史遗留")
    assert (event.status, event.closing, event.due_at) == ("closed", "special", None)
    assert not event.work_orders.filter(finished_at__isnull=True).exists()
    assert Letter.objects.filter(kind="recall").count() == 1
    with pytest.raises(IntegrityError, match="only_a_closed_case_says_how"), transaction.atomic():
        Event.objects.filter(pk=event.pk).update(status="filed", condition=event.condition)
