"""What a department may only ask for, and a shift leader decides: more time (延期), or to let the work rest (挂账)."""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from fieldops.clocks.cases import calendar_for, clock_of, resume_clock, show_clock, stop_clock
from fieldops.clocks.deadlines import Clock
from fieldops.errors import IllegalTransition, NotDeferrable, NotExtendable
from fieldops.lifecycle import SYSTEM, Actor, Submission, check_follows, lock_event, now, record, take_step
from fieldops.models import Event, Part, Transition, User, WorkOrder
from fieldops.rights import acting_post, events_visible_to
from fieldops.status import MAX_EXTENSIONS, Status, Step

from . import joint
from .desk import withdraw
from .fieldwork import acting, lock_order
from .moving import assign_anew

LONGEST_DEFERRAL = timedelta(days=365)
CLOCK = ["due_at", "warn_at", "due_provisional"]


@transaction.atomic
def ask_extension(order_id: UUID, *, by: User, submission: Submission, reason: str) -> Transition:
    """申请延期: one original limit more; at most twice, and not once the limit has run out.

    Raises NotExtendable.
    """
    event, order, done = lock_order(order_id, Step.ASK_EXTENSION, by=by, submission=submission)
    if done:
        return done
    _check_leads(event, order, Step.ASK_EXTENSION)
    clock = clock_of(event)
    if clock.extensions >= MAX_EXTENSIONS or clock.used(now()) > clock.granted:
        raise NotExtendable(extensions=clock.extensions)
    return _ask(Step.ASK_EXTENSION, event, order, by=by, submission=submission, reason=reason)


@transaction.atomic
def ask_deferral(
    order_id: UUID, *, by: User, submission: Submission, reason: str, until: datetime
) -> Transition:
    """申请挂账: the work cannot be done before `until`; once a case, at most a year.

    Raises NotDeferrable.
    """
    event, order, done = lock_order(order_id, Step.ASK_DEFERRAL, by=by, submission=submission)
    if done:
        return done
    _check_leads(event, order, Step.ASK_DEFERRAL)
    _check_deferrable(event, at=now(), until=until)
    data = {"until": until.isoformat()}
    return _ask(Step.ASK_DEFERRAL, event, order, by=by, submission=submission, reason=reason, data=data)


def _check_leads(event: Event, order: WorkOrder, step: Step) -> None:
    """Only the lead's clock is extended, and rests."""
    if order.part != Part.LEAD:
        raise IllegalTransition(case_status=event.status, step=step.value)


def _ask(
    step_kind: Step,
    event: Event,
    order: WorkOrder,
    *,
    by: User,
    submission: Submission,
    reason: str,
    data: dict[str, str] | None = None,
) -> Transition:
    step = take_step(
        event,
        step_kind,
        actor=acting(by, step_kind, event),
        at=now(),
        work_order=order,
        reason=reason,
        data=data,
        submission=submission,
    )
    record(event, [step])
    return step


def _check_deferrable(event: Event, *, at: datetime, until: datetime) -> None:
    before = event.transitions.filter(kind=Step.DEFER).exists()
    if before or not at < until <= at + LONGEST_DEFERRAL:
        raise NotDeferrable(until=until.isoformat())


@transaction.atomic
def extend(event_id: UUID, *, by: User, version: int | None = None, note: str = "") -> Event:
    """批准延期: the limit grows by its original length. That it was asked for in time is what counts."""
    event, order, actor = _begin(Step.EXTEND, event_id, by=by, version=version)
    step = take_step(event, Step.EXTEND, actor=actor, at=now(), work_order=order, reason=note)
    order.extensions += 1
    order.save(update_fields=["extensions"])
    order.due_at = show_clock(event)
    order.save(update_fields=["due_at"])
    record(event, [step], changed=CLOCK)
    return event


@transaction.atomic
def defer(event_id: UUID, *, by: User, version: int | None = None, note: str = "") -> Event:
    """批准挂账: the clock stands still until the day that was asked for, or until someone goes on before.

    Raises NotDeferrable when that day has passed meanwhile.
    """
    event, order, actor = _begin(Step.DEFER, event_id, by=by, version=version)
    asked = event.transitions.filter(kind=Step.ASK_DEFERRAL).latest("version")
    at, until = now(), datetime.fromisoformat(asked.data["until"])
    _check_deferrable(event, at=at, until=until)
    # Whoever assists rests as well, and hears of it.
    resting = list(joint.beside(event).values_list("post_id", flat=True))
    data = {"until": until.isoformat(), **({"beside": resting} if resting else {})}
    step = take_step(event, Step.DEFER, actor=actor, at=at, work_order=order, reason=note, data=data)
    event.deferred_until = until
    stop_clock(event)
    record(event, [step], changed=[*CLOCK, "deferred_until"])
    return event


@transaction.atomic
def refuse(event_id: UUID, *, by: User, reason: str, version: int | None = None) -> Event:
    """不予批准: the request ends; the clock ran on all the while."""
    event, order, actor = _begin(Step.REFUSE, event_id, by=by, version=version)
    data = {"refused": event.asked_for}
    step = take_step(event, Step.REFUSE, actor=actor, at=now(), work_order=order, reason=reason, data=data)
    record(event, [step])
    return event


@transaction.atomic
def resume(event_id: UUID, *, by: User, version: int | None = None, note: str = "") -> Event:
    """恢复办理: the work goes on before the day; its clock goes on where it stood."""
    event, order, actor = _begin(Step.RESUME, event_id, by=by, version=version)
    _go_on(event, order, actor, note=note)
    return event


@transaction.atomic
def resume_order(order_id: UUID, *, by: User, submission: Submission, note: str = "") -> Transition:
    """The same by the department that leads, from the field."""
    event, order, done = lock_order(order_id, Step.RESUME, by=by, submission=submission)
    if done:
        return done
    _check_leads(event, order, Step.RESUME)
    check_follows(event, Step.RESUME)
    return _go_on(event, order, acting(by, Step.RESUME, event), note=note, submission=submission)


@transaction.atomic
def resume_on_the_day(event_id: UUID) -> bool:
    """The same without a person, once the day has come; False when someone was faster."""
    event = lock_event(Event.objects.all(), event_id)
    if event.status != Status.DEFERRED or event.deferred_until is None or event.deferred_until > now():
        return False
    _go_on(event, _open_order(event), SYSTEM)
    return True


def deferred_until_now(*, at: datetime) -> list[UUID]:
    """The deferred cases whose day has come."""
    due = Event.objects.filter(status=Status.DEFERRED, deferred_until__lte=at)
    return list(due.order_by("pk").values_list("pk", flat=True))


def _go_on(
    event: Event, order: WorkOrder, actor: Actor, *, note: str = "", submission: Submission | None = None
) -> Transition:
    at = now()
    moved = joint.due_beside(event, calendar_for(event), lock=True, turn=lambda clock: _going_on(clock, at))
    steps = joint.reckon_beside(event, moved, at=at)
    step = take_step(
        event, Step.RESUME, actor=actor, at=at, work_order=order, reason=note, submission=submission
    )
    steps.append(step)
    event.deferred_until = None
    order.due_at = resume_clock(event, at=at)
    if order.post.unit_id not in event.cell.unit_ids:
        steps += _beyond_reach(event, order, at=at)
    order.save(update_fields=["due_at", "recalled_at", "finished_at"])
    record(event, steps, changed=[*CLOCK, "deferred_until", "department", "responsibility"])
    return step


def _beyond_reach(event: Event, order: WorkOrder, *, at: datetime) -> list[Transition]:
    """Boundaries changed while it rested, and its post does not serve the cell any more: it is dispatched anew."""
    reason = event.transitions.filter(kind=Step.MOVE_CELL).latest("version").reason
    recalled = withdraw(event, order, actor=SYSTEM, at=at, reason=reason)
    same = {"why": event.responsibility}
    assigned = assign_anew(event, at=at) or [take_step(event, Step.ASSIGN, actor=SYSTEM, at=at, data=same)]
    return [recalled, *assigned]


def _going_on(clock: Clock, at: datetime) -> Clock:
    # Who was called while the case rested is at work already.
    return clock if clock.is_running else clock.start(at)


def _begin(step: Step, event_id: UUID, *, by: User, version: int | None) -> tuple[Event, WorkOrder, Actor]:
    event = lock_event(events_visible_to(by), event_id, version=version)
    actor = Actor(by, acting_post(by, step, event))
    check_follows(event, step)
    return event, _open_order(event), actor


def _open_order(event: Event) -> WorkOrder:
    return event.work_orders.select_for_update().get(finished_at__isnull=True, part=Part.LEAD)
