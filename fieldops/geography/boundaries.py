"""A layout comes into force: its cells, and with them the open cases and the elements that lie there."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
import shapely
from django.db import IntegrityError, connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from fieldops.errors import (
    BoundariesRefused,
    DistrictBusy,
    LayoutNotADraft,
    NotFound,
    NotPermitted,
    UnitInUse,
)
from fieldops.lifecycle import Actor, now, record_all
from fieldops.models import Check, Event, Post, ResponsibilityRule, Transition, User, WorkOrder
from fieldops.status import FINAL, TABLE, Step
from fieldops.steps.checks import follow_to_cell
from fieldops.steps.desk import withdraw
from fieldops.steps.moving import CHANGED, move
from gridmap.bulk import CellIndex
from gridmap.elements import relocate_elements, standing_in
from gridmap.layouts import (
    Grid,
    LayoutRefused,
    LayoutSettled,
    check_grid,
    lock_draft,
    put_in_force,
    read_draft,
)
from gridmap.locate import nearest_heir
from gridmap.models import CHAIN, Cell, District, GridUnit, Layout, LayoutState
from gridmap.topology import as_geojson

MAY_APPLY = "gridmap.change_layout"
ATTEMPTS = 20
_DEFER = "SET CONSTRAINTS an_open_case_lies_in_a_cell_in_force DEFERRED"


def what_if(layout: Layout) -> dict[str, Any]:
    """What the layout would do, were it put in force now; nothing is written or locked.

    `cases`, `departments`: open cases that would move, by status and by who answers for them now; `reassigned`: how
    many would go from whom to whom; `recalled`: dispatched ones whose post does not serve the new cell; `elements`
    by kind; `posts` that stand in the way; `faults` that do.
    """
    base, target, faults = read_draft(layout)
    faults = faults or check_grid(base, target, tolerance_m=layout.tolerance_m)
    stands = {
        "posts": [post.name for post in _posts_in_the_way(base, target)],
        "faults": list(map(str, faults)),
    }
    if faults:
        return stands
    ended = _ended(base, target)
    events = list(_with_all(_open_cases(ended)).order_by("pk"))
    moved = _move_all(events, base, target, _foreseen(layout, target), layout, actor=Actor(), at=now())
    elements = dict(Counter(standing_in(ended).values_list("kind", flat=True)))
    return _effects(base, target, moved, elements) | stands


def effects_in_words(effects: Mapping[str, Any]) -> list[str]:
    """What `what_if` foretells, or `Layout.effects` tells, for people; what is none is left out."""
    cases, elements = sum(effects.get("cases", {}).values()), sum(effects.get("elements", {}).values())
    reassigned = sum(line["cases"] for line in effects.get("reassigned", []))
    counts = [
        (effects.get("cells_ended"), _("%(count)s cell versions end")),
        (effects.get("cells_begun"), _("%(count)s cell versions begin")),
        (cases, _("%(count)s open cases move to another cell")),
        (reassigned, _("%(count)s of them go to another department")),
        (
            effects.get("recalled"),
            _("%(count)s dispatched cases are recalled: their post does not serve the new cell"),
        ),
        (elements, _("%(count)s elements move")),
    ]
    return [told % {"count": count} for count, told in counts if count]


@transaction.atomic
def apply_layout(layout_id: UUID, *, by: User | None) -> Layout:
    """Put a draft in force now: versions end and begin, open cases and elements move, closed cases stay.

    Each open case gets a transition; one not yet dispatched is assigned anew where the rules say otherwise. What is
    dispatched to a post that does not serve the new cell is recalled first, and so not dispatched. Posts and rules of
    an organisation go to the one that takes its place. Locks the district, then the open cases in order
    of their id, then the cells that end: a report that is being taken in has come in by then, or is located anew.

    Raises NotPermitted for a person without the permission to change layouts, NotFound, LayoutNotADraft,
    BoundariesRefused, UnitInUse, DistrictBusy; nothing has changed then.
    """
    if by is not None and not by.has_perm(MAY_APPLY):
        raise NotPermitted
    district_id = Layout.objects.filter(pk=layout_id).values_list("district_id", flat=True).first()
    if district_id is None:
        raise NotFound
    # Without its key: reports that are being taken in refer to the district, too.
    District.objects.select_for_update(no_key=True).get(pk=district_id)
    try:
        layout = lock_draft(layout_id)
        base, target, faults = read_draft(layout)
        faults = faults or check_grid(base, target, tolerance_m=layout.tolerance_m)
        if faults:
            raise LayoutRefused(*faults)
    except LayoutSettled as settled:
        raise LayoutNotADraft from settled
    except LayoutRefused as refused:
        raise BoundariesRefused(str(refused), faults=as_geojson(refused.faults)) from refused
    in_the_way = _posts_in_the_way(base, target)
    if in_the_way:
        names = [post.name for post in in_the_way]
        raise UnitInUse(_("These posts belong to what is dissolved: %s") % ", ".join(names), posts=names)
    ended = _ended(base, target)
    events = _lock(ended)
    at = now()
    with connection.cursor() as cursor:
        # Cells end before their cases have moved.
        cursor.execute(_DEFER)
    done = put_in_force(layout, base, target, at=at)
    _inherit(done.heirs)
    elements = relocate_elements(ended, by=by)
    cells = _begun(done.begun.values())
    moved = _move_all(events, base, target, cells, layout, actor=Actor(by), at=at)
    tasks = Check.objects.filter(event__in=events, done_at__isnull=True, ended_at__isnull=True)
    open_checks = {check.event_id: check for check in tasks.select_related("post")}
    for event, steps in moved:
        into_cell = next(step for step in steps if step.kind == Step.MOVE_CELL)
        follow_to_cell(event, into_cell, open_checks.get(event.pk), at=at)
    recalled = [step.work_order for _event, steps in moved for step in steps if step.kind == Step.RECALL]
    WorkOrder.objects.bulk_update(filter(None, recalled), ["recalled_at", "finished_at"])
    layout.state, layout.settled_at, layout.settled_by, layout.refusal = LayoutState.APPLIED, at, by, ""
    layout.effects = _effects(base, target, moved, elements)
    layout.save(update_fields=["state", "settled_at", "settled_by", "refusal", "effects"])
    record_all(moved, changed=[*CHANGED, "due_at", "warn_at", "due_provisional"])
    return layout


def layouts_due(*, at: datetime) -> QuerySet[Layout]:
    """Drafts whose moment has come and that were not refused at it."""
    due = Layout.objects.filter(state=LayoutState.DRAFT, takes_effect_at__lte=at, refusal="")
    return due.order_by("takes_effect_at")


def apply_due(layout: Layout) -> bool:
    """Put a draft in force whose moment has come; whether it is. A refusal is kept with it and not tried again."""
    try:
        apply_layout(layout.pk, by=None)
    except (BoundariesRefused, UnitInUse) as refused:
        Layout.objects.filter(pk=layout.pk).update(refusal=str(refused))
        return False
    return True


# --- which cases, and where they go -------------------------------------------------------------------------------


def _ended(base: Grid, target: Grid) -> list[UUID]:
    kept = {cell.version for cell in target.cells.values()}
    return sorted(cell.version for cell in base.cells.values() if cell.version and cell.version not in kept)


def _open_cases(cells: Sequence[UUID]) -> QuerySet[Event]:
    return Event.objects.filter(cell__in=cells).exclude(status__in=FINAL)


def _with_all(events: QuerySet[Event]) -> QuerySet[Event]:
    return events.select_related("event_class", "cell", "department", "district", "condition").defer(
        "cell__boundary"
    )


def _lock(ended: Sequence[UUID]) -> list[Event]:
    """Lock the open cases and elements of these cells, then the cells, so that nothing comes in any more.

    What came in between the two locks may be locked by somebody who waits for a cell: so all is let go, and begun
    anew. Raises DistrictBusy when that does not come to an end.
    """
    for _attempt in range(ATTEMPTS):
        hold = transaction.savepoint()
        events = list(_with_all(_open_cases(ended)).select_for_update(of=("self",)).order_by("pk"))
        elements = set(
            standing_in(ended).select_for_update(of=("self",)).order_by("pk").values_list("pk", flat=True)
        )
        list(Cell.objects.select_for_update().filter(pk__in=ended).order_by("pk").values_list("pk"))
        held = {event.pk for event in events}
        if (
            held == set(_open_cases(ended).values_list("pk", flat=True))
            and set(standing_in(ended).values_list("pk", flat=True)) <= elements
        ):
            transaction.savepoint_commit(hold)
            return events
        transaction.savepoint_rollback(hold)
    raise DistrictBusy


def _move_all(
    events: Sequence[Event],
    base: Grid,
    target: Grid,
    cells: Mapping[str, Cell],
    layout: Layout,
    *,
    actor: Actor,
    at: datetime,
) -> list[tuple[Event, list[Transition]]]:
    """Move the cases in memory to the cells of these codes."""
    open_orders = WorkOrder.objects.filter(
        event__in=events, finished_at__isnull=True, part="lead"
    ).select_related("post")
    orders = {order.event_id: order for order in open_orders}
    moved = []
    for event, code in zip(events, _destinations(events, base, target), strict=True):
        order = orders.get(event.pk)
        before = event.department
        steps = []
        if (
            order is not None
            and order.post.unit_id not in cells[code].unit_ids
            and event.status in TABLE[Step.RECALL].sources
        ):
            steps.append(withdraw(event, order, actor=actor, at=at, reason=layout.title))
            order = None
        steps += move(
            *(event, cells[code]),
            actor=actor,
            at=at,
            reason=layout.title,
            work_order=order,
            data={"layout": str(layout.pk)},
        )
        event._department_before = before  # type: ignore[attr-defined]
        moved.append((event, steps))
    return moved


def _destinations(events: Sequence[Event], base: Grid, target: Grid) -> list[str]:
    """The code of the cell each case goes to: by the rule of `gridmap.locate` where its cell covered its place.

    One that was put into its cell by hand, or from outside, goes to the nearest of the cells that take the place of it.
    """
    codes = sorted(target.cells)
    shapes = np.array([target.cells[code].boundary for code in codes], object)
    index = CellIndex([], codes, shapes)
    numbers = index.locate([event.point.x for event in events], [event.point.y for event in events])
    old = {cell.version: cell.boundary for cell in base.cells.values()}
    begun = [code for code in codes if target.cells[code].version is None]
    areas = np.array([target.cells[code].boundary for code in begun], object)
    found = []
    for event, number in zip(events, numbers.tolist(), strict=True):
        before, point = old[event.cell_id], shapely.Point(event.point.x, event.point.y)
        if number >= 0 and before.covers(point):
            found.append(codes[number])
        else:
            found.append(begun[nearest_heir(before, areas, point)])
    return found


class _EveryCell(dict[str, Cell]):
    """Cells by their code, those not begun by the layout read when they are asked for."""

    def __missing__(self, code: str) -> Cell:
        in_force = Cell.objects.in_force().select_related("district", *CHAIN)
        heavy = ("boundary", *(f"{unit}__boundary" for unit in CHAIN))
        self[code] = in_force.defer(*heavy).get(district=self.district, code=code)
        return self[code]

    district: str


def _begun(ids: Iterable[UUID]) -> Mapping[str, Cell]:
    heavy = ("boundary", *(f"{unit}__boundary" for unit in CHAIN))
    begun = Cell.objects.filter(pk__in=list(ids)).select_related("district", *CHAIN).defer(*heavy)
    cells = _EveryCell((cell.code, cell) for cell in begun)
    cells.district = next((cell.district_id for cell in cells.values()), "")
    return cells


def _foreseen(layout: Layout, target: Grid) -> Mapping[str, Cell]:
    """The cells of a draft as rows that are not stored; an organisation to come is the one whose place it takes."""
    in_force = GridUnit.objects.in_force().filter(district=layout.district)
    ids: dict[str, int] = dict(in_force.values_list("code", "id"))
    for code, unit in target.units.items():
        ids.setdefault(code, next((ids[former] for former in unit.former if former in ids), 0))
    cells = _EveryCell(
        (
            code,
            Cell(
                district=layout.district,
                code=code,
                **{f"{unit}_id": ids[each] for unit, each in zip(CHAIN, target.chain(cell), strict=True)},
            ),
        )
        for code, cell in target.cells.items()
    )
    cells.district = layout.district_id
    return cells


def _effects(
    base: Grid,
    target: Grid,
    moved: Sequence[tuple[Event, list[Transition]]],
    elements: Mapping[str, int],
) -> dict[str, Any]:
    nobody = ""
    departments: Counter[str] = Counter()
    reassigned: Counter[tuple[str, str]] = Counter()
    for event, _steps in moved:
        before = event._department_before  # type: ignore[attr-defined]
        was = before.name if before else nobody
        departments[was] += 1
        if before != event.department:
            reassigned[was, event.department.name if event.department else nobody] += 1
    return {
        "cells_ended": len(_ended(base, target)),
        "cells_begun": sum(cell.version is None for cell in target.cells.values()),
        "cases": dict(Counter(event.status for event, _steps in moved)),
        "departments": dict(departments),
        "reassigned": [
            {"from": one, "to": other, "cases": n} for (one, other), n in sorted(reassigned.items())
        ],
        "recalled": sum(step.kind == Step.RECALL for _event, steps in moved for step in steps),
        "elements": dict(elements),
    }


# --- posts and rules ------------------------------------------------------------------------------------------------


def _posts_in_the_way(base: Grid, target: Grid) -> list[Post]:
    inherited = {former for unit in target.units.values() for former in unit.former}
    gone = [code for code in base.units if code not in target.units and code not in inherited]
    held = Q(holdings__until__isnull=True) | Q(holdings__until__gt=timezone.now())
    used = Q(held, holdings__isnull=False) | Q(
        work_orders__finished_at__isnull=True, work_orders__isnull=False
    )
    posts = Post.objects.filter(used, unit__code__in=gone, district=base.district)
    return list(posts.order_by("name").distinct())


def _inherit(heirs: Mapping[int, int]) -> None:
    """Posts and rules go to the organisation that takes the place of theirs; a rule the heir has already stays."""
    for former, heir in heirs.items():
        if GridUnit.objects.in_force().filter(pk=former).exists():
            continue
        Post.objects.filter(unit=former).update(unit=heir)
        for rule in ResponsibilityRule.objects.filter(unit=former):
            with suppress(IntegrityError), transaction.atomic():
                ResponsibilityRule.objects.filter(pk=rule.pk).update(unit=heir)
