"""Work orders in the field, and the street chief's word."""

from collections.abc import Callable

import pytest

from fieldops.errors import (
    IllegalTransition,
    NotFound,
    NotPermitted,
    PhotoMissing,
    ReasonMissing,
    SubmissionConflict,
    UnknownCoordinates,
)
from fieldops.intake import Receipt
from fieldops.lifecycle import Submission
from fieldops.models import Event, Post, User
from fieldops.queries import open_work, waiting_for_confirmation
from fieldops.rights import current_posts, events_visible_to
from fieldops.steps import desk, fieldwork, followup
from tests.doing import chief_of, handled_by, handler_of, holder_of, key, photo_for

File = Callable[..., Receipt]


def test_from_dispatch_to_closure(dispatched: Event) -> None:
    handler, order = handler_of(dispatched), dispatched.work_orders.get()
    assert [w["id"] for w in open_work(current_posts(handler))] == [order.pk]
    handled_by(handler, order)
    assert open_work(current_posts(handler)) == []
    chief = chief_of(dispatched)
    waiting = waiting_for_confirmation(events_visible_to(chief), chiefs=current_posts(chief))
    assert [c["id"] for c in waiting] == [dispatched.pk]
    followup.confirm(dispatched.pk, by=chief, resolved=True, submission=key())
    dispatched.refresh_from_db()
    assert dispatched.status == "closed"
    kinds = dispatched.transitions.order_by("version").values_list("kind", flat=True)
    assert list(kinds) == [
        "report",
        "locate",
        "accept",
        "file",
        "assign",
        "dispatch",
        "take_on",
        "handle",
        "confirm",
        "close",
    ]
    order.refresh_from_db()
    assert order.dispatched_at <= order.taken_on_at <= order.handled_at <= order.finished_at


def test_seen_counts_once(dispatched: Event) -> None:
    handler, order = handler_of(dispatched), dispatched.work_orders.get()
    first = fieldwork.note_seen(order.pk, by=handler).seen_at
    assert fieldwork.note_seen(order.pk, by=handler).seen_at == first


def test_handling_asks_for_a_photo_of_ones_own(dispatched: Event, grid_worker: User) -> None:
    handler, order = handler_of(dispatched), dispatched.work_orders.get()
    fieldwork.take_on(order.pk, by=handler, submission=key())
    submission = key()
    photo_for(submission, grid_worker)
    with pytest.raises(PhotoMissing):
        fieldwork.handle(order.pk, by=handler, submission=submission)
    dispatched.refresh_from_db()
    assert dispatched.status == "taken_on"


def test_a_retry_is_the_same_step(dispatched: Event) -> None:
    handler, order = handler_of(dispatched), dispatched.work_orders.get()
    submission = key()
    first = fieldwork.take_on(order.pk, by=handler, submission=submission)
    assert fieldwork.take_on(order.pk, by=handler, submission=submission) == first
    with pytest.raises(SubmissionConflict):
        fieldwork.take_on(order.pk, by=handler, submission=Submission(id=submission.id, digest="other"))
    with pytest.raises(IllegalTransition):
        fieldwork.take_on(order.pk, by=handler, submission=key())


def test_sent_back_work_returns_to_the_dispatcher_and_the_retry_is_still_answered(
    dispatched: Event, dispatcher: User
) -> None:
    handler, order = handler_of(dispatched), dispatched.work_orders.get()
    with pytest.raises(ReasonMissing):
        fieldwork.send_back(order.pk, by=handler, submission=key(), reason=" ")
    submission = key()
    step = fieldwork.send_back(order.pk, by=handler, submission=submission, reason="属市政公用")
    assert fieldwork.send_back(order.pk, by=handler, submission=submission, reason="属市政公用") == step
    dispatched.refresh_from_db()
    assert (dispatched.status, dispatched.due_at) == ("filed", None)
    assert open_work(current_posts(handler)) == []
    other = (
        Post.objects.filter(role="department_handler", unit__level=1)
        .exclude(department=dispatched.department)
        .first()
    )
    event = desk.assign(dispatched.pk, by=dispatcher, department_id=other.department_id, reason="现场核对")
    event = desk.dispatch(event.pk, by=dispatcher)
    assert event.work_orders.get(finished_at__isnull=True).post == other
    with pytest.raises(NotFound):
        fieldwork.take_on(event.work_orders.get(finished_at__isnull=True).pk, by=handler, submission=key())


def test_not_resolved_sends_it_back_for_rework_with_a_new_order(dispatched: Event) -> None:
    handler, order = handler_of(dispatched), dispatched.work_orders.get()
    handled_by(handler, order)
    chief = chief_of(dispatched)
    with pytest.raises(ReasonMissing):
        followup.confirm(dispatched.pk, by=chief, resolved=False, submission=key())
    followup.confirm(dispatched.pk, by=chief, resolved=False, note="桶后仍有垃圾", submission=key())
    dispatched.refresh_from_db()
    assert dispatched.status == "dispatched"
    again = dispatched.work_orders.get(finished_at__isnull=True)
    assert again.post == order.post and again != order
    handled_by(handler, again)
    followup.confirm(dispatched.pk, by=chief, resolved=True, submission=key())
    dispatched.refresh_from_db()
    assert dispatched.status == "closed"


def test_a_confirmation_from_far_away_is_flagged_not_dropped(dispatched: Event) -> None:
    handled_by(handler_of(dispatched), dispatched.work_orders.get())
    x, y = dispatched.point.coords
    fix = followup.Fix(x=x + 0.01, y=y, system="WGS84", accuracy_m=10)
    step = followup.confirm(dispatched.pk, by=chief_of(dispatched), resolved=True, submission=key(), fix=fix)
    assert step.data["flags"] == ["far_from_the_case"]
    assert 750 < step.data["metres_away"] < 900


def test_a_device_cannot_excuse_its_distance_with_its_inaccuracy(dispatched: Event) -> None:
    handled_by(handler_of(dispatched), dispatched.work_orders.get())
    x, y = dispatched.point.coords
    fix = followup.Fix(x=x + 0.5, y=y, system="WGS84", accuracy_m=100_000)
    step = followup.confirm(dispatched.pk, by=chief_of(dispatched), resolved=True, submission=key(), fix=fix)
    assert step.data["flags"] == ["far_from_the_case", "poor_position"]


def test_a_confirmation_on_the_spot_is_not_flagged(dispatched: Event) -> None:
    handled_by(handler_of(dispatched), dispatched.work_orders.get())
    x, y = dispatched.point.coords
    bad = followup.Fix(x=x, y=y, system="mars")
    with pytest.raises(UnknownCoordinates):
        followup.confirm(dispatched.pk, by=chief_of(dispatched), resolved=True, submission=key(), fix=bad)
    fix = followup.Fix(x=x, y=y, system="WGS84", accuracy_m=10)
    step = followup.confirm(dispatched.pk, by=chief_of(dispatched), resolved=True, submission=key(), fix=fix)
    assert "flags" not in step.data


def test_only_the_streets_own_chief_confirms(
    dispatched: Event, grid_worker: User, outsider: User, leader: User
) -> None:
    handled_by(handler_of(dispatched), dispatched.work_orders.get())
    other_chief = holder_of(
        Post.objects.filter(role="street_chief").exclude(unit=dispatched.cell.street).first()
    )
    for refused, error in [
        (other_chief, NotFound),
        (outsider, NotFound),
        (leader, NotPermitted),
        (handler_of(dispatched), NotPermitted),
    ]:
        with pytest.raises(error):
            followup.confirm(dispatched.pk, by=refused, resolved=True, submission=key())
    dispatched.refresh_from_db()
    assert dispatched.status == "handled"


def test_nobody_else_takes_the_work_on(
    dispatched: Event, grid_worker: User, outsider: User, dispatcher: User
) -> None:
    order = dispatched.work_orders.get()
    stranger = holder_of(Post.objects.filter(role="department_handler").exclude(pk=order.post_id).first())
    for refused in (grid_worker, outsider, dispatcher, stranger):
        with pytest.raises(NotFound):
            fieldwork.take_on(order.pk, by=refused, submission=key())
        with pytest.raises(NotFound):
            fieldwork.note_seen(order.pk, by=refused)
