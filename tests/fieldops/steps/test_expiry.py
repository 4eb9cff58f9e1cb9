"""A dispatch that nobody takes on: the dispatcher hears of it once, and it stands."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from fieldops.errors import IllegalTransition, NotPermitted, ReasonMissing
from fieldops.models import Event, FilingCondition, Post, StageLimit, User, WorkOrder
from fieldops.queries import open_work
from fieldops.rights import current_posts
from fieldops.steps import desk, fieldwork
from fieldops.steps.expiry import expire, not_taken_on
from fieldops.tasks import expire_dispatches
from realtime.models import Letter
from tests.doing import handled_by, handler_of, key


def kinds_for(post: Post) -> list[str]:
    return list(Letter.objects.filter(mailbox=post.pk).order_by("seq").values_list("kind", flat=True))


def dispatched_at(order: WorkOrder, moment: datetime, *, urgent: bool) -> None:
    FilingCondition.objects.filter(pk=order.event.condition_id).update(urgent=urgent)
    WorkOrder.objects.filter(pk=order.pk).update(dispatched_at=moment)


@pytest.fixture
def order(dispatched: Event) -> WorkOrder:
    return dispatched.work_orders.select_related("event").get()


def test_the_dispatcher_hears_of_it_once_and_the_dispatch_stands(order: WorkOrder) -> None:
    dispatched_at(order, timezone.now() - timedelta(days=20), urgent=False)
    assert (expire_dispatches(), expire_dispatches()) == (1, 0)
    event = Event.objects.get(pk=order.event_id)
    assert (event.status, event.transitions.latest("version").kind) == ("dispatched", "expire")
    assert kinds_for(Post.objects.get(role="dispatcher")) == ["expired"]
    order.refresh_from_db()
    assert order.expired_at is not None
    fieldwork.take_on(order.pk, by=handler_of(event), submission=key())


@pytest.mark.parametrize(
    ("urgent", "hour", "minute", "waits"),
    [(True, 3, 9, True), (True, 3, 10, False), (False, 4, 30, True), (False, 8, 59, True), (False, 9, 0, False)],
)  # fmt: skip
def test_the_limit_runs_at_night_only_where_it_is_urgent(
    order: WorkOrder, urgent: bool, hour: int, minute: int, waits: bool
) -> None:
    """Dispatched on a Tuesday at 03:00 in Baotou (19:00 UTC before); work begins at 08:00."""
    begun = datetime(2026, 3, 9, 19, 0, tzinfo=UTC)
    dispatched_at(order, begun, urgent=urgent)
    at = begun + timedelta(hours=hour - 3, minutes=minute)
    assert list(not_taken_on(at=at)) == ([] if waits else [order.pk])


def test_without_a_row_a_dispatch_waits_for_ever(order: WorkOrder) -> None:
    StageLimit.objects.all().delete()
    assert list(not_taken_on(at=timezone.now() + timedelta(days=3650))) == []


def test_what_was_taken_on_meanwhile_does_not_expire(order: WorkOrder, dispatched: Event) -> None:
    late = timezone.now() + timedelta(days=30)
    assert list(not_taken_on(at=late)) == [order.pk]
    fieldwork.take_on(order.pk, by=handler_of(dispatched), submission=key())
    assert not expire(order.pk)
    assert list(not_taken_on(at=late)) == []


def test_a_recalled_dispatch_leaves_the_phone_and_can_go_elsewhere(
    dispatched: Event, order: WorkOrder, dispatcher: User
) -> None:
    handler = handler_of(dispatched)
    with pytest.raises(ReasonMissing):
        desk.recall(dispatched.pk, by=dispatcher, reason=" ")
    event = desk.recall(dispatched.pk, by=dispatcher, reason="派错片区")
    order.refresh_from_db()
    assert (event.status, event.due_at) == ("assigned", None)
    assert order.recalled_at == order.finished_at is not None
    assert kinds_for(order.post) == ["dispatch", "recall"]
    letter = Letter.objects.get(kind="recall")
    assert (letter.payload["order"], letter.payload["reason"]) == (str(order.pk), "派错片区")
    assert open_work(current_posts(handler)) == []
    with pytest.raises(IllegalTransition):
        fieldwork.take_on(order.pk, by=handler, submission=key())
    again = desk.dispatch(dispatched.pk, by=dispatcher)
    assert again.work_orders.count() == 2
    assert again.due_at is not None


def test_work_under_way_can_be_recalled_and_finished_work_cannot(
    dispatched: Event, order: WorkOrder, dispatcher: User
) -> None:
    handler = handler_of(dispatched)
    fieldwork.take_on(order.pk, by=handler, submission=key())
    desk.recall(dispatched.pk, by=dispatcher, reason="改派")
    again = desk.dispatch(dispatched.pk, by=dispatcher).work_orders.get(finished_at__isnull=True)
    handled_by(handler, again)
    with pytest.raises(IllegalTransition):
        desk.recall(dispatched.pk, by=dispatcher, reason="太晚")


def test_only_those_who_dispatch_may_recall(dispatched: Event, intake_operator: User, leader: User) -> None:
    for person in (intake_operator, leader, handler_of(dispatched)):
        with pytest.raises(NotPermitted):
            desk.recall(dispatched.pk, by=person, reason="x")
