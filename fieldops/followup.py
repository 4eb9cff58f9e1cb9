"""After handling: the street chief confirms on site or sends it back for rework; then the case closes."""

from dataclasses import dataclass
from math import asin, cos, radians, sin, sqrt
from typing import Any
from uuid import UUID

from django.contrib.gis.geos import Point
from django.db import transaction

from .clock import start_clock
from .lifecycle import SYSTEM, Actor, Submission, lock_event, now, record, replayed, take_step
from .models import Event, Transition, User, WorkOrder
from .places import place_of
from .rights import acting_post, events_visible_to
from .status import Step

NEAR_ENOUGH_METRES = 100
USABLE_ACCURACY_METRES = 100
EARTH_RADIUS_METRES = 6_371_008.8  # mean radius, IUGG


@dataclass(frozen=True)
class Fix:
    """Where a device says it is, in the declared system; accuracy in metres."""

    x: float
    y: float
    system: str
    accuracy_m: float | None = None


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
    """The street chief's word from the spot: resolved, so it is confirmed; or not, so the same post goes again.

    A fix that lies too far from the case does not stop the step, it is flagged for the supervisor.
    """
    done = replayed(submission, event_id, by=by)
    event = lock_event(Event.objects.all() if done else events_visible_to(by), event_id)
    done = done or replayed(submission, event_id, by=by)
    if done:
        return done
    at = now()
    step_kind = Step.CONFIRM if resolved else Step.REWORK
    order = event.work_orders.select_for_update().filter(finished_at__isnull=True).first()
    step = take_step(
        event,
        step_kind,
        actor=Actor(by, acting_post(by, step_kind, event)),
        at=at,
        reason=note,
        work_order=order,
        data=_where(event, fix),
        submission=submission,
    )
    steps = [step]
    changed: list[str] = []
    if resolved:
        _finish(order, at)
        if event.district.closes_on_confirmation:
            steps.append(take_step(event, Step.CLOSE, actor=SYSTEM, at=at))
    elif order is not None:
        # Rework is a new order with a full limit: what the first one took stays in its own row.
        _finish(order, at)
        due = start_clock(event, at=at)
        step.work_order = WorkOrder.objects.create(
            event=event, department=order.department, post=order.post, dispatched_at=at, due_at=due
        )
        changed = ["due_at", "warn_at", "due_provisional"]
    record(event, steps, changed=changed)
    return step


def _finish(order: WorkOrder | None, at: Any) -> None:
    if order is not None:
        order.finished_at = at
        order.save(update_fields=["finished_at"])


def _where(event: Event, fix: Fix | None) -> dict[str, Any]:
    if fix is None:
        return {"flags": ["no_position"]}
    away = metres_between(event.point, place_of(fix.x, fix.y, fix.system))
    facts = {
        "x": fix.x,
        "y": fix.y,
        "system": fix.system,
        "accuracy_m": fix.accuracy_m,
        "metres_away": round(away),
    }
    # What a device says of its own accuracy excuses no more than a usable fix would.
    accuracy = fix.accuracy_m or 0
    flags = []
    if away - min(accuracy, USABLE_ACCURACY_METRES) > NEAR_ENOUGH_METRES:
        flags.append("far_from_the_case")
    if accuracy > USABLE_ACCURACY_METRES:
        flags.append("poor_position")
    return {**facts, "flags": flags} if flags else facts


def metres_between(a: Point, b: Point) -> float:
    """Great-circle distance (haversine) between two longitude/latitude points, in metres."""
    lat_a, lat_b = radians(a.y), radians(b.y)
    h = sin((lat_b - lat_a) / 2) ** 2 + cos(lat_a) * cos(lat_b) * sin(radians(b.x - a.x) / 2) ** 2
    return 2 * EARTH_RADIUS_METRES * asin(sqrt(h))
