"""Real threads on real PostgreSQL, with real commits."""

import threading
import time
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import uuid_utils.compat as uuid
from django.db import transaction
from django.utils import timezone

from fieldops import duplicates
from fieldops.errors import Conflict
from fieldops.intake import receive
from fieldops.lifecycle import Submission
from fieldops.models import Event, EventClass, FilingCondition, Post, Report, Transition, User
from fieldops.steps import desk, fieldwork, joint, merging
from fieldops.steps.expiry import expire
from gridmap.models import Cell
from realtime import mail, notify
from realtime.escalation import escalate, send_notifications
from realtime.models import ContactDetail, Escalation, Letter, Mailbox, Notification
from tests.doing import at_once, draft_of, handler_of, holder_of, photo_for
from tests.realtime import counting_adapter

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture
def people() -> dict[str, User]:
    names = ("resident1", "resident2", "intake1", "intake2", "dispatch1", "dispatch2", "worker001")
    return {user.username: user for user in User.objects.filter(username__in=names)}


@pytest.fixture
def kind() -> EventClass:
    return EventClass.objects.get(kind="event", major="01", minor="03")


def test_eight_retries_of_one_submission_make_one_case(people: dict[str, User], kind: EventClass) -> None:
    draft = draft_of(people["resident1"], Cell.objects.order_by("code")[5], kind)
    receipts = at_once(*[lambda: receive(draft)] * 8)
    assert {receipt.event.pk for receipt in receipts} == {Event.objects.get().pk}
    assert sum(not receipt.replayed for receipt in receipts) == 1
    assert (Report.objects.count(), Transition.objects.count(), Letter.objects.count()) == (1, 2, 1)


def test_of_rivals_at_the_desk_one_wins_and_the_others_are_told(
    people: dict[str, User], kind: EventClass
) -> None:
    event = receive(draft_of(people["resident1"], Cell.objects.order_by("code")[5], kind)).event
    results = at_once(
        lambda: desk.accept(event.pk, by=people["intake1"], version=2),
        lambda: desk.decline(event.pk, by=people["intake2"], reason="重复", version=2),
        lambda: desk.accept(event.pk, by=people["intake2"]),
    )
    won = [result for result in results if isinstance(result, Event)]
    assert len(won) == 1
    assert all(isinstance(result, Conflict) for result in results if result not in won)
    event.refresh_from_db()
    assert event.version == 3
    assert event.transitions.count() == 3


@pytest.mark.parametrize("turn", range(5))
def test_two_desks_that_merge_into_each_other_leave_one_case(
    people: dict[str, User], kind: EventClass, turn: int
) -> None:
    cell = Cell.objects.order_by("code")[5]
    one, other = (receive(draft_of(people[name], cell, kind)).event for name in ("resident1", "resident2"))
    results = at_once(
        lambda: merging.merge(one.pk, by=people["intake1"], into=other.pk),
        lambda: merging.merge(other.pk, by=people["intake2"], into=one.pk),
    )
    assert sorted(isinstance(result, Conflict) for result in results) == [False, True]
    left, merged = sorted(Event.objects.all(), key=lambda event: event.status)
    assert (left.status, merged.status, merged.merged_into) == ("located", "merged", left)
    assert duplicates.reports_of(left).count() == 2


def test_taking_on_and_sending_back_at_once_leaves_one_story(
    people: dict[str, User], kind: EventClass
) -> None:
    condition = FilingCondition.objects.filter(event_class=kind).first()
    event = receive(
        draft_of(people["worker001"], Cell.objects.order_by("code")[5], kind, condition_id=condition.pk)
    ).event
    order, handler = event.work_orders.get(), handler_of(event)
    key = uuid.uuid7()
    results = at_once(
        lambda: fieldwork.take_on(order.pk, by=handler, submission=Submission(id=key)),
        lambda: fieldwork.take_on(order.pk, by=handler, submission=Submission(id=key)),
        lambda: fieldwork.send_back(
            order.pk, by=handler, submission=Submission(id=uuid.uuid7()), reason="不属我部门"
        ),
    )
    event.refresh_from_db()
    assert event.status == "filed"  # sending back is possible before and after taking on
    versions = list(event.transitions.order_by("version").values_list("version", flat=True))
    assert versions == list(range(1, event.version + 1))
    assert isinstance(results[2], Transition)


def test_two_dispatchers_make_one_work_order(people: dict[str, User], kind: EventClass) -> None:
    event = receive(draft_of(people["resident1"], Cell.objects.order_by("code")[5], kind)).event
    desk.accept(event.pk, by=people["intake1"])
    desk.file(
        event.pk,
        by=people["intake1"],
        condition_id=FilingCondition.objects.filter(event_class=kind).first().pk,
    )
    results = at_once(
        *[
            lambda user=user: desk.dispatch(event.pk, by=user)
            for user in (people["dispatch1"], people["dispatch2"])
        ]
        * 2
    )
    assert sum(isinstance(result, Event) for result in results) == 1
    assert event.work_orders.count() == 1


def test_recalling_and_taking_on_at_once_leaves_one_story(people: dict[str, User], kind: EventClass) -> None:
    condition = FilingCondition.objects.filter(event_class=kind).first()
    event = receive(
        draft_of(people["worker001"], Cell.objects.order_by("code")[5], kind, condition_id=condition.pk)
    ).event
    order, handler = event.work_orders.get(), handler_of(event)
    recalled, taken = at_once(
        lambda: desk.recall(event.pk, by=people["dispatch1"], reason="改派"),
        lambda: fieldwork.take_on(order.pk, by=handler, submission=Submission(id=uuid.uuid7())),
    )
    assert isinstance(recalled, Event)  # possible before and after taking on
    event.refresh_from_db()
    order.refresh_from_db()
    assert (event.status, order.finished_at is not None) == ("assigned", True)
    assert (order.taken_on_at is not None) == isinstance(taken, Transition)
    kinds = list(Letter.objects.filter(mailbox=order.post_id).order_by("seq").values_list("kind", flat=True))
    assert kinds == ["dispatch", "recall"]


def test_two_schedulers_tell_of_an_expired_dispatch_once(people: dict[str, User], kind: EventClass) -> None:
    condition = FilingCondition.objects.filter(event_class=kind).first()
    event = receive(
        draft_of(people["worker001"], Cell.objects.order_by("code")[5], kind, condition_id=condition.pk)
    ).event
    order = event.work_orders.get()
    assert sorted(at_once(*[lambda: expire(order.pk)] * 6)) == [False] * 5 + [True]
    assert Letter.objects.filter(kind="expired").count() == 1


def test_two_schedulers_never_tell_or_send_twice(
    people: dict[str, User], kind: EventClass, settings: Any
) -> None:
    """Six scans at once over a dozen late letters; then six senders over what has to leave the house."""
    condition = FilingCondition.objects.filter(event_class=kind).first()
    handlers = set()
    for cell in Cell.objects.order_by("code")[::130]:
        event = receive(draft_of(people["worker001"], cell, kind, condition_id=condition.pk)).event
        if event.status == "dispatched":
            handlers.add(handler_of(event).pk)
    settings.NOTIFY_ADAPTERS = {"email": "tests.realtime.counting_adapter"}
    for user in handlers:
        ContactDetail.objects.create(user_id=user, adapter="email", address=f"{user}@example.org")
    late = Letter.objects.filter(kind="dispatch").count()
    assert late > 5
    at = timezone.now() + timedelta(minutes=5)
    try:
        assert sum(at_once(*[lambda: escalate(at=at)] * 6)) == 2 * late
        assert Escalation.objects.count() == 2 * late
        assert Letter.objects.filter(kind="undelivered").count() == late
        notify.adapter.cache_clear()
        assert Notification.objects.count() == late
        for _ in range(late):
            at_once(*[lambda: send_notifications(at=at)] * 6)
        assert sorted(counting_adapter.SENT) == sorted(Notification.objects.values_list("pk", flat=True))
    finally:
        notify.adapter.cache_clear()
        ContactDetail.objects.all().delete()


def test_one_step_key_on_two_cases_at_once_is_a_conflict(people: dict[str, User], kind: EventClass) -> None:
    condition = FilingCondition.objects.filter(event_class=kind).first()
    here, there = Cell.objects.order_by("code")[5], Cell.objects.order_by("code")[5].community
    cells = [here, Cell.objects.filter(community=there).exclude(pk=here.pk).order_by("-code").first()]
    for _ in range(4):
        events = [
            receive(draft_of(people["worker001"], cell, kind, condition_id=condition.pk)).event
            for cell in cells
        ]
        orders = [event.work_orders.first() for event in events]
        if all(orders) and orders[0].post_id == orders[1].post_id:
            break
    submission = Submission(id=uuid.uuid7())
    handler = handler_of(events[0])
    results = at_once(
        *[lambda o=order: fieldwork.take_on(o.pk, by=handler, submission=submission) for order in orders]
    )
    assert sorted(type(result).__name__ for result in results) == ["SubmissionConflict", "Transition"]


class RolledBack(Exception):
    pass


def test_what_is_committed_is_what_a_reader_gets_without_gaps(
    people: dict[str, User], kind: EventClass
) -> None:
    """16 writers, one in ten slow, some rolled back; a reader follows its cursor all the while."""
    cells = list(Cell.objects.order_by("code"))
    committed: set[Any] = set()
    box_id = people["intake1"].posts.get().pk
    mail.open_mailboxes(people["intake1"].posts.all())
    epoch = Mailbox.objects.get(pk=box_id).epoch
    done = threading.Event()

    def write(writer: int) -> None:
        reporter = people["resident1" if writer % 2 else "resident2"]
        for turn in range(6):
            draft = draft_of(reporter, cells[(writer * 90 + turn * 13) % len(cells)], kind)
            try:
                with transaction.atomic():
                    event = receive(draft).event
                    if (writer + turn) % 10 == 0:
                        time.sleep(0.15)
                    if (writer + turn) % 7 == 0:
                        raise RolledBack
                committed.add(event.pk)
            except RolledBack:
                pass

    received: list[tuple[int, str]] = []

    def read() -> None:
        cursor = 0
        while True:
            last_look = done.is_set()
            found = mail.read_letters(box_id, epoch=epoch, cursor=cursor)
            assert not found.reset
            received.extend((letter["seq"], letter["event"]) for letter in found.letters)
            cursor = received[-1][0] if received else 0
            if last_look and not found.letters:
                return
            time.sleep(0.002)

    def write_all() -> None:
        try:
            results = at_once(*[lambda n=n: write(n) for n in range(16)])
            assert results == [None] * 16, results
        finally:
            done.set()

    assert at_once(read, write_all) == [None, None]
    assert [seq for seq, _ in received] == list(range(1, len(received) + 1))
    assert {event for _, event in received} == {str(pk) for pk in committed}
    assert len(received) == len(committed) > 60


def test_lead_and_assistant_finish_at_once(people: dict[str, User], kind: EventClass) -> None:
    """Whoever is last makes the case handled, once, and somebody is asked for their word once."""
    condition = kind.conditions.first()
    cell = Cell.objects.order_by("code")[700]
    event = receive(draft_of(people["worker001"], cell, kind, condition_id=condition.pk)).event
    other = Post.objects.filter(role="department_handler", unit__level=1).exclude(
        department=event.department_id
    )
    joint.assist(
        event.pk, by=people["dispatch1"], department_ids=[other.first().department_id], reason="协办"
    )
    jobs = []
    for order in event.work_orders.select_related("post"):
        person, submission = holder_of(order.post), Submission(uuid.uuid7())
        fieldwork.take_on(order.pk, by=person, submission=Submission(uuid.uuid7()))
        photo_for(submission, person)
        jobs.append(partial(fieldwork.handle, order.pk, by=person, submission=submission))
    outcomes = at_once(*jobs)
    assert not [one for one in outcomes if isinstance(one, Exception)]
    event.refresh_from_db()
    assert event.status == "handled"
    assert event.transitions.filter(kind="handle").count() == 1
    assert event.checks.count() == 1


def test_two_dispatchers_call_the_same_department(people: dict[str, User], kind: EventClass) -> None:
    condition = kind.conditions.first()
    cell = Cell.objects.order_by("code")[700]
    event = receive(draft_of(people["worker001"], cell, kind, condition_id=condition.pk)).event
    other = Post.objects.filter(role="department_handler", unit__level=1).exclude(
        department=event.department_id
    )
    wanted = [other.first().department_id]
    outcomes = at_once(
        *(
            partial(joint.assist, event.pk, by=people[name], department_ids=wanted, reason="协办")
            for name in ("dispatch1", "dispatch2")
        )
    )
    assert sorted(type(one).__name__ for one in outcomes) == ["AlreadyAssisting", "Transition"]
    assert event.work_orders.filter(part="assist").count() == 1
