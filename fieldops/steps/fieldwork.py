"""What a department's handler does with a work order: see it, take it on, handle it, or send it back."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db import transaction

from fieldops.clocks.cases import stop_clock
from fieldops.errors import IllegalTransition, NotFound, ReturnsSpent, UnknownCondition
from fieldops.lifecycle import Actor, Submission, check_follows, lock_event, now, record, replayed, take_step
from fieldops.models import Closing, Event, Part, Report, Transition, User, WorkOrder
from fieldops.places import Fix
from fieldops.rights import acting_post, current_posts, events_visible_to
from fieldops.status import MAX_RETURNS, TABLE, Step

from . import joint


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
    if order.part != Part.LEAD:
        return joint.take_on(event, order, by=by, submission=submission)
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
    """处置: done on site; asks for at least one photo, already received under the key of this step.

    While departments still assist, the lead's clock stops and the case waits for them.
    """
    event, order, done = lock_order(order_id, Step.HANDLE, by=by, submission=submission)
    if done:
        return done
    if order.part != Part.LEAD:
        return joint.handle(event, order, by=by, submission=submission, note=note)
    check_follows(event, Step.HANDLE)
    at, actor = now(), acting(by, Step.HANDLE, event)
    joint.need_photo(submission, by)
    order.handled_at = at
    order.save(update_fields=["handled_at"])
    if joint.beside(event).exists():
        step = take_step(
            event,
            Step.LEAD_HANDLE,
            actor=actor,
            at=at,
            work_order=order,
            reason=note,
            submission=submission,
        )
        event.asked_for = ""  # nobody needs more time any more
    else:
        step = joint.handled(event, order, actor=actor, at=at, note=note, submission=submission)
    record(event, [step])
    return step


@transaction.atomic
def send_back(order_id: UUID, *, by: User, submission: Submission, reason: str) -> Transition:
    """回退: not this department's responsibility; the dispatcher decides anew.

    After two returns the district decides, and whom it names keeps the case (首接负责). Raises ReturnsSpent.
    """
    event, order, done = lock_order(order_id, Step.SEND_BACK, by=by, submission=submission)
    if done:
        return done
    if order.part != Part.LEAD:
        return joint.send_back(event, order, by=by, submission=submission, reason=reason)
    at = now()
    actor = acting(by, Step.SEND_BACK, event)
    check_follows(event, Step.SEND_BACK)
    if event.returns >= MAX_RETURNS:
        raise ReturnsSpent(returns=event.returns)
    event.returns += 1
    step = take_step(
        event, Step.SEND_BACK, actor=actor, at=at, work_order=order, reason=reason, submission=submission
    )
    order.sent_back_at = order.finished_at = at
    order.save(update_fields=["sent_back_at", "finished_at"])
    stop_clock(event)
    record(event, [step], changed=["returns", "due_at", "warn_at", "due_provisional"])
    return step


@transaction.atomic
def arrive(order_id: UUID, *, by: User, submission: Submission, fix: Fix) -> Transition:
    """到场: a department that was whistled for is on the spot, and where."""
    event, order, done = lock_order(order_id, Step.ARRIVE, by=by, submission=submission)
    if done:
        return done
    if order.part != Part.WHISTLE:
        raise IllegalTransition(case_status=event.status, step=Step.ARRIVE.value)
    return joint.arrive(event, order, by=by, submission=submission, fix=fix)


@transaction.atomic
def handle_on_the_spot(
    event_id: UUID, *, by: User, submission: Submission, condition_id: int | None = None, note: str = ""
) -> Transition:
    """自行处置: whoever reported it put it right; a photo is asked for under the report (before) and under this step.

    Raises NotFound for somebody else's report, UnknownCondition, PhotoMissing.
    """
    done = replayed(submission, event_id, by=by)
    posts = [post for post in current_posts(by) if post.role in TABLE[Step.SELF_HANDLE].roles]
    report = Report.objects.filter(event=event_id, reporter=by, post__in=posts).first()
    if report is None:
        raise NotFound
    event = lock_event(Event.objects.all(), event_id)
    done = done or replayed(submission, event_id, by=by)
    if done:
        return done
    check_follows(event, Step.SELF_HANDLE)
    actor = Actor(by, next(post for post in posts if post.pk == report.post_id))
    if condition_id is not None:
        event.condition = event.event_class.conditions.filter(pk=condition_id).first()
    if event.condition is None:
        raise UnknownCondition(condition=condition_id)
    joint.need_photo(Submission(report.pk), by)
    joint.need_photo(submission, by)
    step = take_step(event, Step.SELF_HANDLE, actor=actor, at=now(), reason=note, submission=submission)
    event.closing = Closing.SELF_HANDLED
    step.data |= {"closing": event.closing, "condition": event.condition.pk}
    record(event, [step], changed=["condition"])
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
    if not done and (order.finished_at is not None or order.handled_at is not None):
        raise IllegalTransition(case_status=event.status, step=step.value)
    return event, order, done
