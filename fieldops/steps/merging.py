"""并案: a case that tells of the same problem joins another one; its reporters are answered with the others."""

from typing import Any
from uuid import UUID

from django.db import transaction

from fieldops.clocks.cases import stop_clock
from fieldops.errors import IntoItself
from fieldops.lifecycle import Actor, check_follows, lock_event, now, record, record_all, take_step
from fieldops.models import Event, User
from fieldops.rights import acting_post, events_visible_to
from fieldops.status import Step

from .anew import begin_anew
from .checks import end_checks
from .moving import CHANGED


@transaction.atomic
def merge(event_id: UUID, *, by: User, into: UUID, note: str = "", version: int | None = None) -> Event:
    """The case ends here, and the open one goes on with the reporters of both; what had joined the first follows.

    Raises NotFound for a case the person may not see, IntoItself, IllegalTransition when either is too far on.
    """
    if into == event_id:
        raise IntoItself
    # Both under lock in one order, so that two desks that merge into each other do not wait for each other.
    list(Event.objects.filter(pk__in=(event_id, into)).order_by("pk").select_for_update().only("pk"))
    seen = events_visible_to(by)
    event = lock_event(seen, event_id, version=version)
    actor = Actor(by, acting_post(by, Step.MERGE, event))
    check_follows(event, Step.MERGE)
    other = lock_event(seen, into)
    at = now()
    ours = {"into": str(other.pk), "number": other.number}
    theirs: dict[str, Any] = {"joined": str(event.pk), "number": event.number}
    order = other.work_orders.filter(finished_at__isnull=True, part="lead").first()
    steps = [
        (event, [take_step(event, Step.MERGE, actor=actor, at=at, reason=note, data=ours)]),
        (
            other,
            [take_step(other, Step.JOIN, actor=actor, at=at, reason=note, data=theirs, work_order=order)],
        ),
    ]
    event.merged_into = other
    Event.objects.filter(merged_into=event).update(merged_into=other)
    end_checks(event, at=at)
    stop_clock(event)
    record_all(steps, changed=["merged_into", "due_at", "warn_at", "due_provisional"])
    return event


@transaction.atomic
def separate(event_id: UUID, *, by: User, reason: str, version: int | None = None) -> Event:
    """It was another problem after all: the case is at the intake desk again."""
    event = lock_event(events_visible_to(by), event_id, version=version)
    actor = Actor(by, acting_post(by, Step.SEPARATE, event))
    at, data = now(), {"out_of": str(event.merged_into_id)}
    steps = [take_step(event, Step.SEPARATE, actor=actor, at=at, reason=reason, data=data)]
    steps += begin_anew(event, at=at, reason=reason)
    event.merged_into = None
    record(event, steps, changed=["merged_into", *CHANGED])
    return event
