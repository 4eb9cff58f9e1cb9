"""What a department's handler does with a work order: see it, take it on, handle it, or send it back."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db import transaction

from .clock import stop_clock
from .errors import IllegalTransition, NotFound, PhotoMissing
from .lifecycle import Actor, Submission, lock_event, now, record, replayed, take_step
from .models import Event, Photo, Transition, User, WorkOrder
from .rights import acting_post, current_posts, events_visible_to
from .status import Step


def note_seen(order_id: UUID, *, by: User) -> WorkOrder:
    """The handler opened the dispatch; only the first time counts. No step: a fact of the work order."""
    order = WorkOrder.objects.filter(pk=order_id, post__in=current_posts(by)).first()
    if order is None:
        raise NotFound
    if WorkOrder.objects.filter(pk=order_id, seen_at__isnull=True).update(seen_at=now()):
        order.refresh_from_db()
    return order


def note_received(orders: Iterable[UUID], *, at: datetime) -> None:
    """A device of the post stored these dispatches durably; only the first time counts."""
    WorkOrder.objects.filter(pk__in=orders, received_at__isnull=True).update(received_at=at)


@transaction.atomic
def take_on(order_id: UUID, *, by: User, submission: Submission) -> Transition:
    """接单."""
    event, order, done = lock_order(order_id, Step.TAKE_ON, by=by, submission=submission)
    if done:
        return done
    at = now()
    step = take_step(
        event,
        Step.TAKE_ON,
        actor=acting(by, Step.TAKE_ON, event),
        at=at,
        work_order=order,
        submission=submission,
    )
    order.taken_on_at = at
    order.seen_at = order.seen_at or at
    order.save(update_fields=["taken_on_at", "seen_at"])
    record(event, [step])
    return step


@transaction.atomic
def handle(order_id: UUID, *, by: User, submission: Submission, note: str = "") -> Transition:
    """处置: done on site; asks for at least one photo, already received under the key of this step."""
    event, order, done = lock_order(order_id, Step.HANDLE, by=by, submission=submission)
    if done:
        return done
    at = now()
    step = take_step(
        event,
        Step.HANDLE,
        actor=acting(by, Step.HANDLE, event),
        at=at,
        work_order=order,
        reason=note,
        submission=submission,
    )
    if not Photo.objects.filter(submission=submission.id, uploaded_by=by).exists():
        raise PhotoMissing(submission=str(submission.id))
    order.handled_at = at
    order.save(update_fields=["handled_at"])
    record(event, [step])
    return step


@transaction.atomic
def send_back(order_id: UUID, *, by: User, submission: Submission, reason: str) -> Transition:
    """回退: not this department's responsibility; the dispatcher decides anew."""
    event, order, done = lock_order(order_id, Step.SEND_BACK, by=by, submission=submission)
    if done:
        return done
    at = now()
    actor = acting(by, Step.SEND_BACK, event)
    step = take_step(
        event, Step.SEND_BACK, actor=actor, at=at, work_order=order, reason=reason, submission=submission
    )
    order.sent_back_at = order.finished_at = at
    order.save(update_fields=["sent_back_at", "finished_at"])
    stop_clock(event)
    record(event, [step], changed=["due_at", "warn_at", "due_provisional"])
    return step


def acting(by: User, step: Step, event: Event) -> Actor:
    """The person, through the post that gives the right to this step."""
    return Actor(by, acting_post(by, step, event))


def lock_order(
    order_id: UUID, step: Step, *, by: User, submission: Submission
) -> tuple[Event, WorkOrder, Transition | None]:
    """Lock the case of this person's open work order; with the step already taken, where this is a retry."""
    mine = WorkOrder.objects.filter(post__in=current_posts(by))
    event_id = mine.filter(pk=order_id).values_list("event_id", flat=True).first()
    if event_id is None:
        raise NotFound
    done = replayed(submission, event_id, by=by)
    # A retry of a step that took the case out of sight is still answered.
    event = lock_event(Event.objects.all() if done else events_visible_to(by), event_id)
    order = mine.get(pk=order_id)
    done = done or replayed(submission, event_id, by=by)
    if not done and order.finished_at is not None:
        raise IllegalTransition(case_status=event.status, step=step.value)
    return event, order, done
