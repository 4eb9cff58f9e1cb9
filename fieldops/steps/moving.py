"""A case goes over to another cell: by a dispatcher who knows better than its fix, or because boundaries changed."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.gis.db.models.functions import GeometryDistance
from django.db import transaction

from fieldops.errors import HandlerElsewhere, SameCell, UnknownCell
from fieldops.lifecycle import SYSTEM, Actor, check_follows, lock_event, now, record, take_step
from fieldops.models import Event, Part, Transition, User, WorkOrder
from fieldops.responsibility.assignment import find_responsible
from fieldops.rights import acting_post, events_visible_to
from fieldops.status import MAX_RETURNS, Status, Step
from gridmap.models import Cell

from .checks import follow_to_cell, open_check

MOST_NEIGHBOURS = 20
# What `move` changes of a case; to be saved with its steps.
CHANGED = ("cell", "cell_candidates", "outside_m", "department", "responsibility")


@transaction.atomic
def move_to_cell(event_id: UUID, *, by: User, code: str, reason: str, version: int | None = None) -> Event:
    """The dispatcher says which cell of the district the case belongs to.

    Raises UnknownCell, SameCell, and HandlerElsewhere when the post that works on it does not serve that cell:
    then the dispatch has to be recalled first.
    """
    event = lock_event(events_visible_to(by), event_id, version=version)
    post = acting_post(by, Step.MOVE_CELL, event)
    check_follows(event, Step.MOVE_CELL)
    cell = Cell.objects.in_force().defer("boundary").filter(district=event.district_id, code=code).first()
    if cell is None:
        raise UnknownCell(cell=code)
    if cell.pk == event.cell_id:
        raise SameCell(cell=code)
    order = event.work_orders.select_related("post").filter(finished_at__isnull=True, part=Part.LEAD).first()
    if order is not None and order.post.unit_id not in cell.unit_ids:
        raise HandlerElsewhere(post=order.post.name)
    at = now()
    steps = move(event, cell, actor=Actor(by, post), at=at, reason=reason, work_order=order)
    follow_to_cell(event, steps[0], open_check(event), at=at)
    record(event, steps, changed=CHANGED)
    return event


def move(
    event: Event,
    cell: Cell,
    *,
    actor: Actor,
    at: datetime,
    reason: str,
    work_order: WorkOrder | None = None,
    data: Mapping[str, Any] | None = None,
) -> list[Transition]:
    """Move a locked case in memory; the caller records the steps with `CHANGED`.

    Its doubt ends here and goes into the step. What is not dispatched yet is assigned anew by the rules of the
    new cell.
    """
    facts = {
        "from": event.cell.code,
        "to": cell.code,
        "from_units": event.cell.unit_ids,
        "candidates": event.cell_candidates,
        "outside_m": event.outside_m,
        **(data or {}),
    }
    step = take_step(
        event, Step.MOVE_CELL, actor=actor, at=at, reason=reason, work_order=work_order, data=facts
    )
    event.cell, event.cell_candidates, event.outside_m = cell, [], None
    return [step, *assign_anew(event, at=at)]


def assign_anew(event: Event, *, at: datetime) -> list[Transition]:
    """Let the rules say again who is responsible for a case that nobody works on; in memory, no step if nobody else is.

    A department that a dispatcher named stays, and one that no rule replaces.
    """
    if event.status not in (Status.FILED, Status.ASSIGNED) or event.returns >= MAX_RETURNS:
        return []
    if "by_hand" in event.responsibility:
        return []
    assignment = find_responsible(
        event.event_class, event.cell, condition=event.condition, component=event.component
    )
    if assignment is None or (assignment.department, assignment.why) == (
        event.department,
        event.responsibility,
    ):
        return []
    event.department, event.responsibility = assignment.department, assignment.why
    return [take_step(event, Step.ASSIGN, actor=SYSTEM, at=at, data={"why": assignment.why})]


def cells_to_move_to(event: Event) -> list[Cell]:
    """The cells in force nearest to the case's place, but for its own; those its fix may mean come first."""
    meant = [one["code"] for one in event.cell_candidates]
    cells = (
        Cell.objects.in_force()
        .filter(district=event.district_id)
        .exclude(pk=event.cell_id)
        .select_related("community")
        .defer("boundary", "community__boundary")
    )
    near = cells.order_by(GeometryDistance("boundary", event.point), "code")[:MOST_NEIGHBOURS]
    found = {cell.code: cell for cell in (*cells.filter(code__in=meant), *near)}
    first = [code for code in meant if code in found]
    return [found[code] for code in dict.fromkeys([*first, *found])]
