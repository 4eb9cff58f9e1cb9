"""More than one department: assistants (协办) beside the lead, and departments whistled to the spot (吹哨).

Each has an order with a clock of its own: it is not extended with the lead's, but rests while the case is deferred, and
follows the calendar. A case is handled once its lead says so and no order beside it is open.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import QuerySet

from fieldops.clocks.cases import side_clock, side_clock_of
from fieldops.clocks.deadlines import Calendar, Clock
from fieldops.errors import AlreadyAssisting, NoHandler, NotFound, PhotoMissing
from fieldops.lifecycle import (
    SYSTEM,
    Actor,
    Submission,
    check_follows,
    lock_event,
    now,
    record,
    replayed,
    take_step,
)
from fieldops.models import Event, Part, Photo, Transition, User, WorkOrder
from fieldops.places import Fix, where
from fieldops.responsibility.assignment import departments_at, handlers
from fieldops.rights import acting_post, events_visible_to
from fieldops.status import Status, Step
from gridmap.models import Department

from .checks import announce, judge_next

MOST_AT_ONCE = 10  # departments of one whistle


def beside(event: Event) -> QuerySet[WorkOrder]:
    """The open orders beside the lead's."""
    return event.work_orders.filter(finished_at__isnull=True).exclude(part=Part.LEAD)


def due_beside(
    event: Event, calendar: Calendar, *, lock: bool = False, turn: Callable[[Clock], Clock] | None = None
) -> dict[WorkOrder, datetime]:
    """The open orders beside the lead's that are due at another moment than they say, and when; none that rests.

    `turn` is what happens to their clocks now and is not recorded yet.
    """
    moved = {}
    orders = beside(event).order_by("dispatched_at")
    for order in orders.select_for_update(of=("self",)) if lock else orders:
        clock = side_clock_of(event, order, calendar)
        due = (turn(clock) if turn else clock).due()
        if due is not None and due.at != order.due_at:
            moved[order] = due.at
    return moved


def reckon_beside(event: Event, moved: Mapping[WorkOrder, datetime], *, at: datetime) -> list[Transition]:
    """Set when these orders are due; the steps that tell their departments (in memory) come before what caused it."""
    zone = ZoneInfo(event.district.time_zone)
    steps = []
    for order, due in moved.items():
        before, order.due_at = order.due_at, due
        order.save(update_fields=["due_at"])
        steps.append(
            take_step(
                event,
                Step.RECKON,
                actor=SYSTEM,
                at=at,
                reason=f"{before.astimezone(zone):%Y-%m-%d %H:%M} → {due.astimezone(zone):%Y-%m-%d %H:%M}",
                work_order=order,
                data={"order_due": [before.isoformat(), due.isoformat()], "order_due_at": due.isoformat()},
            )
        )
    return steps


def departments_to_call(event: Event) -> QuerySet[Department]:
    """Those that can be called beside the lead: they serve the place and have no order of this case."""
    busy = [event.department_id, *beside(event).values_list("department_id", flat=True)]
    return departments_at(event.cell).exclude(pk__in=[one for one in busy if one])


def able_to_come(event_id: UUID, *, by: User) -> QuerySet[Department]:
    """Whom this person can whistle to the spot. Raises NotFound, NotPermitted, IllegalTransition."""
    event = events_visible_to(by).select_related("cell", "district").filter(pk=event_id).first()
    if event is None:
        raise NotFound
    acting_post(by, Step.WHISTLE, event)
    check_follows(event, Step.WHISTLE)
    return departments_to_call(event)


# --- calling --------------------------------------------------------------------------------------------


@transaction.atomic
def assist(
    event_id: UUID, *, by: User, department_ids: Sequence[int], reason: str, version: int | None = None
) -> Transition:
    """协办派遣: these departments assist the one that leads, each with an order and a clock of its own."""
    return _call(Step.ASSIST, Part.ASSIST, event_id, by, department_ids, reason, version)


@transaction.atomic
def whistle(
    event_id: UUID,
    *,
    by: User,
    department_ids: Sequence[int],
    reason: str,
    submission: Submission | None = None,
    version: int | None = None,
) -> Transition:
    """吹哨: a community's post calls departments to the spot; who arrived, and when, is noted.

    Returns the step that called the first of them; the device's key is that one's.
    """
    done = replayed(submission, event_id, by=by) if submission else None
    return done or _call(
        Step.WHISTLE, Part.WHISTLE, event_id, by, department_ids, reason, version, submission
    )


def _call(
    step_kind: Step,
    part: Part,
    event_id: UUID,
    by: User,
    department_ids: Sequence[int],
    reason: str,
    version: int | None,
    submission: Submission | None = None,
) -> Transition:
    event = lock_event(events_visible_to(by), event_id, version=version)
    done = replayed(submission, event_id, by=by) if submission else None
    if done:
        return done
    actor = Actor(by, acting_post(by, step_kind, event))
    check_follows(event, step_kind)
    wanted = list(dict.fromkeys(department_ids))[:MOST_AT_ONCE]
    found = {d.pk: d for d in Department.objects.filter(pk__in=wanted, district=event.district_id)}
    if not wanted or set(wanted) != set(found):
        raise NoHandler
    busy = {event.department_id, *beside(event).values_list("department_id", flat=True)}
    if busy & set(wanted):
        raise AlreadyAssisting
    at = now()
    clock = side_clock(event, at=at)
    steps: list[Transition] = []
    orders: list[WorkOrder] = []
    for department_id in wanted:
        post = handlers(found[department_id], event.cell.unit_ids).first()
        if post is None:
            raise NoHandler(department=found[department_id].name)
        order = WorkOrder(
            event=event, department_id=department_id, post=post, part=part, dispatched_at=at, due_at=clock
        )
        data = {"post": post.pk, "department": department_id, "order_due_at": clock.isoformat()}
        steps.append(
            take_step(
                event,
                step_kind,
                actor=actor,
                at=at,
                reason=reason,
                work_order=order,
                data=data,
                submission=None if steps else submission,
            )
        )
        orders.append(order)
    WorkOrder.objects.bulk_create(orders)
    record(event, steps)
    return steps[0]


@transaction.atomic
def release(event_id: UUID, *, by: User, order_id: UUID, reason: str, version: int | None = None) -> Event:
    """解除协办: the dispatcher needs this department no more; where the lead is done, the case is handled now."""
    event = lock_event(events_visible_to(by), event_id, version=version)
    actor = Actor(by, acting_post(by, Step.RELEASE, event))
    check_follows(event, Step.RELEASE)
    order = beside(event).select_for_update().filter(pk=order_id).first()
    if order is None:
        raise NotFound
    at = now()
    step = take_step(event, Step.RELEASE, actor=actor, at=at, reason=reason, work_order=order)
    order.released_at = order.finished_at = at
    order.save(update_fields=["released_at", "finished_at"])
    _record(event, step, at)
    return event


# --- what an assistant does -----------------------------------------------------------------------------


def take_on(event: Event, order: WorkOrder, *, by: User, submission: Submission) -> Transition:
    """接单."""
    at = now()
    step = _step(Step.ASSIST_TAKE_ON, event, order, by, at, submission)
    order.taken_on_at = order.taken_on_at or at
    order.seen_at = order.seen_at or at
    order.save(update_fields=["taken_on_at", "seen_at"])
    record(event, [step])
    return step


def arrive(event: Event, order: WorkOrder, *, by: User, submission: Submission, fix: Fix) -> Transition:
    """到场: only the first time counts; far from the case is flagged."""
    at = now()
    step = _step(Step.ARRIVE, event, order, by, at, submission)
    step.data |= where(event.point, fix)
    order.arrived_at = order.arrived_at or at
    order.taken_on_at = order.taken_on_at or at
    order.seen_at = order.seen_at or at
    order.save(update_fields=["arrived_at", "taken_on_at", "seen_at"])
    record(event, [step])
    return step


def handle(event: Event, order: WorkOrder, *, by: User, submission: Submission, note: str) -> Transition:
    """The assistant's part is done; asks for a photo as the lead's does."""
    at = now()
    step = _step(Step.ASSIST_HANDLE, event, order, by, at, submission, note)
    need_photo(submission, by)
    order.handled_at = order.finished_at = at
    order.save(update_fields=["handled_at", "finished_at"])
    _record(event, step, at)
    return step


def send_back(event: Event, order: WorkOrder, *, by: User, submission: Submission, reason: str) -> Transition:
    """Not this department's part; the dispatcher hears of it."""
    at = now()
    step = _step(Step.ASSIST_BACK, event, order, by, at, submission, reason)
    order.sent_back_at = order.finished_at = at
    order.save(update_fields=["sent_back_at", "finished_at"])
    _record(event, step, at)
    return step


def need_photo(submission: Submission, by: User) -> None:
    """Raise PhotoMissing unless a photo has come under the key of this step."""
    if not Photo.objects.filter(submission=submission.id, uploaded_by=by).exists():
        raise PhotoMissing(submission=str(submission.id))


def _step(
    step_kind: Step,
    event: Event,
    order: WorkOrder,
    by: User,
    at: datetime,
    submission: Submission,
    reason: str = "",
) -> Transition:
    # The order's own post: the department that leads may be another.
    return take_step(
        event,
        step_kind,
        actor=Actor(by, order.post),
        at=at,
        reason=reason,
        work_order=order,
        submission=submission,
    )


def _record(event: Event, step: Transition, at: datetime) -> None:
    """Record the step; the last order beside a lead that is done makes the case handled."""
    lead = event.work_orders.filter(
        finished_at__isnull=True, part=Part.LEAD, handled_at__isnull=False
    ).first()
    if lead is None or event.status != Status.TAKEN_ON or beside(event).exists():
        record(event, [step])
        return
    record(event, [step, handled(event, lead, actor=SYSTEM, at=at)])


def handled(
    event: Event,
    lead: WorkOrder,
    *,
    actor: Actor,
    at: datetime,
    note: str = "",
    submission: Submission | None = None,
) -> Transition:
    """The case is handled (in memory), and somebody is asked for their word on it (a task, saved)."""
    step = take_step(
        event, Step.HANDLE, actor=actor, at=at, reason=note, work_order=lead, submission=submission
    )
    announce(step, judge_next(event, at=at))
    return step
