"""The sole writer of a case's status and version: every change is one Transition, announced in its transaction."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import uuid_utils.compat as uuid
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.dispatch import Signal
from django.utils import timezone

from .clocks.stages import CLOCK, begin_stage, turned
from .errors import (
    BoundariesChanged,
    IllegalTransition,
    NotFound,
    ReasonMissing,
    StaleVersion,
    SubmissionConflict,
)
from .models import Event, Post, Transition, User, WorkOrder
from .status import TABLE, Status, Step

# Sent inside the transaction, once a use case, as its last statement: recorded, pairs of a case and its transitions.
transition_recorded = Signal()


@dataclass(frozen=True)
class Actor:
    """Who takes a step, and through which post; the system is an actor without either."""

    user: User | None = None
    post: Post | None = None


SYSTEM = Actor()
STATE = ("status", "version", "asked_for", "checked_by", "closing", "updated_at")


@dataclass(frozen=True)
class Submission:
    """What a device sent to take a step: its own key for the step, and the digest of the content."""

    id: UUID
    digest: str = ""
    device_time: datetime | None = None


def lock_event(events: QuerySet[Event], event_id: UUID, *, version: int | None = None) -> Event:
    """Lock the case and read it under the lock; `events` limits it to what the person may see.

    Raises NotFound, and StaleVersion when the case moved on from the version the person saw.
    """
    event = (
        events.select_for_update(of=("self",))
        .select_related("cell", "district", "event_class", "condition", "department")
        .filter(pk=event_id)
        .first()
    )
    if event is None:
        raise NotFound
    if version is not None and version != event.version:
        raise StaleVersion(case_version=event.version)
    return event


def replayed(submission: Submission, event_id: UUID, *, by: User) -> Transition | None:
    """The step a device already took with this key, if it did.

    Raises SubmissionConflict when the key was used for another case, by someone else or with another content.
    """
    stored = Transition.objects.filter(pk=submission.id).first()
    if stored is not None and (stored.event_id, stored.by_id, stored.digest) != (
        event_id,
        by.pk,
        submission.digest,
    ):
        raise SubmissionConflict
    return stored


def check_follows(event: Event, step: Step) -> None:
    """Raise IllegalTransition when the step does not follow from the case's status, or from what was asked for."""
    if not TABLE[step].follows(event.status, event.asked_for):
        raise IllegalTransition(case_status=event.status, asked_for=event.asked_for, step=step.value)


# Letters and symbols by their category, blank to the eye.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")


def has_words(text: str) -> bool:
    """Whether there is anything to read: spaces and invisible characters (U+200B and the like) are not."""
    return any(unicodedata.category(one)[0] in "LNPS" and one not in _BLANK for one in text)


def take_step(
    event: Event,
    step: Step,
    *,
    actor: Actor,
    at: datetime,
    reason: str = "",
    work_order: WorkOrder | None = None,
    data: Mapping[str, Any] | None = None,
    submission: Submission | None = None,
) -> Transition:
    """Move the case one step in memory and return the transition; `record` writes both.

    Raises IllegalTransition when the step does not follow from the status, ReasonMissing when it wants words.
    """
    rule = TABLE[step]
    before = event.status or None
    check_follows(event, step)
    if rule.needs_reason and not has_words(reason):
        raise ReasonMissing(step=step.value)
    if rule.target and rule.target != event.status:
        # Both tell of one state, and are set anew by whoever leads into it.
        event.checked_by = event.closing = ""
    event.status = rule.target or event.status
    # Whoever decides, or takes the case elsewhere, has answered what was asked for.
    if rule.asks_for:
        event.asked_for = rule.asks_for
    elif rule.answers or rule.target:
        event.asked_for = ""
    event.version = (event.version or 0) + 1
    event.updated_at = at
    return Transition(
        id=submission.id if submission else uuid.uuid7(),
        digest=submission.digest if submission else "",
        event=event,
        work_order=work_order,
        version=event.version,
        kind=step,
        from_status=before or "",
        to_status=event.status,
        by=actor.user,
        post=actor.post,
        # The device clock is a fact worth keeping, never what order or deadlines are judged by.
        occurred_at=at,
        recorded_at=at,
        reason=reason,
        data={**(data or {}), **_device_time(submission)},
    )


def _device_time(submission: Submission | None) -> dict[str, str]:
    return (
        {"device_time": submission.device_time.isoformat()} if submission and submission.device_time else {}
    )


def record(
    event: Event,
    transitions: Sequence[Transition],
    *,
    changed: Sequence[str] = (),
    rules: Mapping[str, Any] | None = None,
) -> None:
    """Write the case and its new transitions, and announce them; the last statement of a use case.

    A step into another stage starts its clock, by `rules` where they are read already.
    """
    record_all([(event, transitions)], changed=changed, rules=rules)


def record_all(
    recorded: Sequence[tuple[Event, Sequence[Transition]]],
    *,
    changed: Sequence[str] = (),
    rules: Mapping[str, Any] | None = None,
) -> None:
    """The same for several cases, announced together: so that mailboxes are locked once, in order.

    Raises BoundariesChanged when a case's cell was ended meanwhile, SubmissionConflict for a key that was used.
    """
    for event, transitions in recorded:
        note_limits(event, transitions)
        if any(turned(step.from_status, step.to_status) for step in transitions):
            begin_stage(event, at=transitions[-1].recorded_at, rules=rules)
    try:
        for event, _transitions in recorded:
            if event._state.adding:
                event.save(force_insert=True)
            else:
                event.save(update_fields=[*STATE, *CLOCK, *changed])
    except IntegrityError as error:
        if "an_open_case_lies_in_a_cell_in_force" in str(error):
            raise BoundariesChanged from error
        raise
    try:
        with transaction.atomic():
            Transition.objects.bulk_create([step for _event, steps in recorded for step in steps])
    except IntegrityError as error:
        # The same key for a step of another case, at the same moment.
        if "fieldops_transition_pkey" in str(error):
            raise SubmissionConflict from error
        raise
    transition_recorded.send(sender=Event, recorded=recorded)


def note_limits(event: Event, transitions: Sequence[Transition]) -> None:
    """A step keeps what was due after it, and until when the stage that it ended had time."""
    stage_due = event.stage_due_at
    for step in transitions:
        step.due_at = event.due_at
        if turned(step.from_status, step.to_status):
            step.stage_due_at, stage_due = stage_due, None


def now() -> datetime:
    """The server's time; the only clock that order and deadlines are judged by."""
    return timezone.now()


__all__ = [
    "SYSTEM",
    "Actor",
    "Status",
    "Submission",
    "check_follows",
    "has_words",
    "lock_event",
    "note_limits",
    "now",
    "record",
    "record_all",
    "replayed",
    "take_step",
    "transition_recorded",
]
