"""On site: what somebody found who was sent to look, before filing and after handling; then the case closes."""

from datetime import datetime
from typing import Any
from uuid import UUID

import uuid_utils.compat as uuid
from django.db import transaction

from fieldops.clocks.cases import start_clock
from fieldops.errors import AlreadyAnswered, NotFound, NotPermitted, PhotoMissing
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
from fieldops.models import Check, Checker, CheckKind, Event, Found, Part, Photo, Transition, User, WorkOrder
from fieldops.places import Fix, where
from fieldops.rights import acting_post, current_posts, events_visible_to
from fieldops.status import Role, Status, Step

from .checks import (
    announce,
    chiefs_turn,
    close_step,
    end_checks,
    excluded,
    open_check,
    policy_of,
    send_somebody,
)

CLOCK = ["due_at", "warn_at", "due_provisional"]


# --- before filing: 核实 ---------------------------------------------------------------------------------


@transaction.atomic
def ask_verification(event_id: UUID, *, by: User, note: str = "", version: int | None = None) -> Event:
    """核实派遣: somebody looks on site before the case is filed; filing then rests on what was found."""
    event = lock_event(events_visible_to(by), event_id, version=version)
    at = now()
    actor = Actor(by, acting_post(by, Step.ASK_VERIFY, event))
    step = take_step(event, Step.ASK_VERIFY, actor=actor, at=at, reason=note)
    announce(step, send_somebody(event, CheckKind.VERIFY, at=at))
    record(event, [step])
    return event


@transaction.atomic
def verify_for(event_id: UUID, *, by: User, found: str, note: str = "", version: int | None = None) -> Event:
    """The desk writes down what it learnt in another way, where nobody could go: by telephone, by camera."""
    event = lock_event(events_visible_to(by), event_id, version=version)
    actor = Actor(by, acting_post(by, Step.VERIFY, event))
    check_follows(event, Step.VERIFY)
    check = open_check(event)
    steps = _verified(event, check, actor, Found(found), note, {"flags": ["no_position"]}, at=now())
    record(event, steps)
    return event


# --- from the spot --------------------------------------------------------------------------------------


@transaction.atomic
def report_check(
    check_id: UUID,
    *,
    by: User,
    found: str,
    submission: Submission,
    note: str = "",
    fix: Fix | None = None,
) -> Transition:
    """核实、核查反馈: what the worker who was sent found, with a photo received under the key of this step.

    Late and far are flagged, not refused. Raises NotFound for another post's task, AlreadyAnswered when it is over,
    PhotoMissing.
    """
    posts = {post.pk: post for post in current_posts(by)}
    asked = Check.objects.filter(pk=check_id, post__in=list(posts)).first()
    if asked is None:
        raise NotFound
    done = replayed(submission, asked.event_id, by=by)
    event = lock_event(Event.objects.all(), asked.event_id)
    done = done or replayed(submission, asked.event_id, by=by)
    if done:
        return done
    check = open_check(event)
    if check is None or check.pk != check_id:
        raise AlreadyAnswered
    post = posts[check.post_id]
    if post.role != Role.GRID_WORKER or by.pk in excluded(event):
        raise NotPermitted(step=Step.CHECK.value)
    if not Photo.objects.filter(submission=submission.id, uploaded_by=by).exists():
        raise PhotoMissing(submission=str(submission.id))
    data, actor, at = where(event.point, fix), Actor(by, post), now()
    if check.kind == CheckKind.VERIFY:
        steps = _verified(event, check, actor, Found(found), note, data, at=at, submission=submission)
        record(event, steps)
        return steps[0]
    return _judge(event, check, actor, Found(found), note, data, at=at, submission=submission)


@transaction.atomic
def confirm(
    event_id: UUID,
    *,
    by: User,
    resolved: bool,
    submission: Submission,
    note: str = "",
    fix: Fix | None = None,
) -> Transition:
    """The word of the segment's street chief from the spot, or the desk's where the case was not drawn for a check.

    Resolved, so it is confirmed; or not, so the same post goes again. A fix that lies too far from the case does not
    stop the step, it is flagged for the supervisor. Whoever confirmed before it was reopened may not.
    """
    done = replayed(submission, event_id, by=by)
    event = lock_event(Event.objects.all() if done else events_visible_to(by), event_id)
    done = done or replayed(submission, event_id, by=by)
    if done:
        return done
    step_kind = Step.CONFIRM if resolved else Step.REWORK
    check_follows(event, step_kind)
    post, check = acting_post(by, step_kind, event), open_check(event)
    if check is not None and check.post.role == Role.STREET_CHIEF:
        # Another chief of the street has no word on this segment.
        if check.post not in current_posts(by):
            raise NotPermitted(step=step_kind.value)
        post = check.post
    if by.pk in excluded(event):
        raise NotPermitted(step=step_kind.value)
    found = Found.CONFIRMED if resolved else Found.REFUTED
    data = where(event.point, fix) if post.role == Role.STREET_CHIEF else {}
    return _judge(event, check, Actor(by, post), found, note, data, at=now(), submission=submission)


@transaction.atomic
def confirm_from_desk(
    event_id: UUID, *, by: User, resolved: bool, note: str = "", version: int | None = None
) -> Event:
    """The same from a page."""
    lock_event(events_visible_to(by), event_id, version=version)
    step = confirm(event_id, by=by, resolved=resolved, note=note, submission=Submission(uuid.uuid7()))
    return step.event


@transaction.atomic
def send_another(event_id: UUID, *, by: User, reason: str, version: int | None = None) -> Event:
    """改派: whoever was sent does not come; somebody else is asked, with the time of a stage of their own."""
    event = lock_event(events_visible_to(by), event_id, version=version)
    at = now()
    actor = Actor(by, acting_post(by, Step.SEND_ANOTHER, event))
    step = take_step(event, Step.SEND_ANOTHER, actor=actor, at=at, reason=reason)
    before = open_check(event)
    but = [before.person_id] if before is not None and before.person_id else []
    if before is not None and not but and before.post.role == Role.GRID_WORKER:
        but = list(before.post.holders.values_list("pk", flat=True))
    end_checks(event, at=at)
    kind = CheckKind.VERIFY if event.status == Status.VERIFYING else CheckKind.CHECK
    check = send_somebody(event, kind, at=at, but=but)
    if kind == CheckKind.CHECK:
        event.checked_by = check.post.role
    announce(step, check)
    record(event, [step])
    return event


def _verified(
    event: Event,
    check: Check | None,
    actor: Actor,
    found: Found,
    note: str,
    data: dict[str, Any],
    *,
    at: datetime,
    submission: Submission | None = None,
) -> list[Transition]:
    data = _done(check, actor, found, note, data, at=at)
    return [take_step(event, Step.VERIFY, actor=actor, at=at, reason=note, data=data, submission=submission)]


def _judge(
    event: Event,
    check: Check | None,
    actor: Actor,
    found: Found,
    note: str,
    data: dict[str, Any],
    *,
    at: datetime,
    submission: Submission,
) -> Transition:
    """Confirmed, or the same post goes again; or, where a worker looks first, it is the chief's turn now."""
    step_kind = Step.CONFIRM if found == Found.CONFIRMED else Step.REWORK
    by_worker = actor.post is not None and actor.post.role == Role.GRID_WORKER
    if by_worker and found == Found.CONFIRMED and policy_of(event).checker == Checker.BOTH:
        step_kind = Step.CHECK
    order = _lead(event)
    step = take_step(
        event, step_kind, actor=actor, at=at, reason=note, work_order=order, submission=submission
    )
    step.data |= _done(check, actor, found, note, data, at=at)
    steps = [step]
    changed: list[str] = []
    if step_kind == Step.CHECK:
        announce(step, chiefs_turn(event, at=at))
    elif step_kind == Step.CONFIRM:
        _finish(order, at)
        if event.district.closes_on_confirmation:
            steps.append(close_step(event, actor=SYSTEM, at=at))
    elif order is not None:
        # Rework is a new order with a full limit: what the first one took stays in its own row.
        _finish(order, at)
        due = start_clock(event, at=at)
        step.work_order = WorkOrder.objects.create(
            event=event, department=order.department, post=order.post, dispatched_at=at, due_at=due
        )
        changed = CLOCK
    record(event, steps, changed=changed)
    return step


def _lead(event: Event) -> WorkOrder | None:
    return event.work_orders.select_for_update().filter(finished_at__isnull=True, part=Part.LEAD).first()


def _done(
    check: Check | None, actor: Actor, found: Found, note: str, data: dict[str, Any], *, at: datetime
) -> dict[str, Any]:
    """End the task with what was found; returns the facts of the step."""
    facts = {**data, "found": found.value}
    if check is None:
        return facts
    flags = [*data.get("flags", []), *(["late"] if at > check.due_at else [])]
    check.done_at, check.done_by, check.outcome, check.note = at, actor.user, found, note
    check.metres_away, check.flags = data.get("metres_away"), flags
    check.save(update_fields=["done_at", "done_by", "outcome", "note", "metres_away", "flags"])
    return {**facts, "check_done": str(check.pk), **({"flags": flags} if flags else {})}


def _finish(order: WorkOrder | None, at: datetime) -> None:
    if order is not None:
        order.finished_at = at
        order.save(update_fields=["finished_at"])
