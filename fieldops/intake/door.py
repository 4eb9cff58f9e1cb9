"""The only door: one transaction from a draft to a located case, and to a dispatched one where policy allows."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.gis.geos import Point
from django.contrib.postgres.expressions import ArraySubquery
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Subquery
from django.db.models.functions import JSONObject

from fieldops.clocks.cases import start_clock
from fieldops.clocks.stages import limits_of
from fieldops.duplicates import near_cases
from fieldops.errors import (
    BoundariesChanged,
    ComponentElsewhere,
    ComponentOfAnotherClass,
    PointOutsideDistrict,
    SubmissionConflict,
    UnknownClass,
    UnknownComponent,
    UnknownCondition,
)
from fieldops.lifecycle import SYSTEM, Actor, now, record, take_step
from fieldops.models import (
    REPLY_HOURS,
    Event,
    EventClass,
    FilingCondition,
    IntakePolicy,
    Kind,
    Matter,
    ReplyLimit,
    Report,
    Transition,
    WorkOrder,
)
from fieldops.places import NEAR_ENOUGH_METRES, USABLE_ACCURACY_METRES, metres_between, place_of
from fieldops.responsibility.assignment import Assignment, find_responsible
from fieldops.status import Step
from gridmap.locate import UNIT_FIELDS, Location, give_organisations, locate
from gridmap.models import CalendarDay, Cell, Component, GridUnit

from .draft import DESK_CHANNELS, Draft

ATTEMPTS = 3


@dataclass(frozen=True)
class Receipt:
    """What the reporter is told; `replayed` when the same submission had come before."""

    event: Event
    report: Report
    replayed: bool = False


def receive(draft: Draft) -> Receipt:
    """Take a report in, once: located, and dispatched at once where its channel goes straight through.

    Raises UnknownCoordinates, ImplausibleCoordinates, PointOutsideDistrict, UnknownClass, UnknownCondition, and
    SubmissionConflict when the draft's id was used with another content. Nothing is written then.
    """
    for attempt in range(ATTEMPTS):
        try:
            with transaction.atomic():
                return _take_in(draft)
        except BoundariesChanged:
            # A layout came into force after the cell was found: it is looked up anew.
            if attempt + 1 == ATTEMPTS:
                raise
        except IntegrityError as error:
            if "fieldops_report_pkey" not in str(error):
                raise
            break
    stored = Report.objects.select_related("event__cell", "event__department", "event__event_class").get(
        pk=draft.id
    )
    if stored.digest != draft.digest or stored.reporter_id != draft.reporter.pk:
        raise SubmissionConflict
    return Receipt(event=stored.event, report=stored, replayed=True)


def _take_in(draft: Draft) -> Receipt:
    at = now()
    point = place_of(draft.x, draft.y, draft.system)
    component = None
    if draft.component:
        component, point = _component_meant(draft, point)
        location: Location | None = Location(component.element.cell)
    else:
        location = locate(point.x, point.y, district=draft.post.district, accuracy_m=draft.accuracy_m)
    if location is None:
        raise PointOutsideDistrict(x=draft.x, y=draft.y, system=draft.system)
    cell = location.cell
    candidates = [
        {"cell": str(one.cell_id), "code": one.code, "share": one.share} for one in location.candidates
    ]
    event_class, facts = _look_up(draft, cell, point)
    if component and event_class.kind == Kind.COMPONENT and component.event_class.code != event_class.code:
        raise ComponentOfAnotherClass(component_class=component.event_class.key)
    assignment = find_responsible(event_class, cell, condition=facts["condition"], component=component, at=at)

    event = Event(
        district=cell.district,
        event_class=event_class,
        condition=facts["condition"],
        description=draft.description,
        point=point,
        cell=cell,
        component=component,
        cell_candidates=candidates,
        outside_m=location.outside_m,
        received_at=at,
    )
    report = Report(
        id=draft.id,
        event=event,
        channel=draft.channel,
        reporter=draft.reporter,
        post=draft.post,
        external_number=draft.external_number,
        matter=facts["matter"],
        reply_due_at=at + timedelta(hours=facts["reply_hours"]) if facts["matter"] else None,
        digest=draft.digest,
        description=draft.description,
        x=draft.x,
        y=draft.y,
        system=draft.system,
        accuracy_m=draft.accuracy_m,
        contact_name=draft.contact_name,
        contact_phone=draft.contact_phone,
        device_time=draft.device_time,
        received_at=at,
    )
    steps = [
        take_step(
            event,
            Step.REPORT,
            actor=Actor(draft.reporter, draft.post),
            at=at,
            data={"channel": draft.channel, "report": str(draft.id)},
        ),
        take_step(
            event,
            Step.LOCATE,
            actor=SYSTEM,
            at=at,
            data={
                "cell": cell.code,
                "near": facts["near"],
                **({"candidates": candidates} if candidates else {}),
                **({"outside_m": location.outside_m} if location.outside_m is not None else {}),
            },
        ),
    ]
    order = None
    if (
        facts["straight_through"]
        and not draft.self_handled
        and event.condition
        and assignment
        and assignment.post_id
        and not facts["near"]
        and location.outside_m is None
    ):
        order = _go_straight_through(event, steps, assignment, assignment.post_id, facts["calendar"])

    # The report goes first: a rival with the same id waits here, before it has written anything else.
    report.save(force_insert=True)
    if order:
        order.save(force_insert=True)
    record(event, steps, rules=facts)
    return Receipt(event=event, report=report)


def _component_meant(draft: Draft, point: Point) -> tuple[Component, Point]:
    """The component that the report names, with its cell, and where it stands: there the case stands. One statement.

    Raises UnknownComponent, and ComponentElsewhere when the reporter is too far from it to mean it.
    """
    component = (
        Component.objects.select_related(
            "event_class", "element__cell__district", "managing", "owning", "maintaining"
        )
        .defer("element__cell__boundary")
        .filter(code=draft.component, district=draft.post.district_id, element__ended_at__isnull=True)
        .first()
    )
    if component is None or component.element.point is None:
        raise UnknownComponent(component=draft.component)
    away = metres_between(component.element.point, point)
    if away - min(draft.accuracy_m or 0, USABLE_ACCURACY_METRES) > NEAR_ENOUGH_METRES:
        raise ComponentElsewhere(component=draft.component, metres_away=round(away))
    return component, component.element.point


def _look_up(draft: Draft, cell: Cell, point: Point) -> tuple[EventClass, dict[str, Any]]:
    """One statement for all that the class decides: condition, policy of the channel, near cases, calendar, limits.

    And for the names of the cell's organisations, which the receipt tells.
    """
    kind, _, code = draft.class_key.partition("/")
    matter = (draft.matter or Matter.GENERAL) if draft.channel in DESK_CHANNELS else ""
    found = (
        EventClass.objects.filter(
            edition=cell.district.class_edition, kind=kind, major=code[:2], minor=code[2:]
        )
        .annotate(
            condition=ArraySubquery(
                FilingCondition.objects.filter(event_class=OuterRef("pk"), pk=draft.condition_id or 0).values(
                    json=JSONObject(**{name: name for name in _CONDITION_FIELDS})
                )
            ),
            straight_through=Exists(
                IntakePolicy.objects.filter(
                    district=cell.district_id, channel=draft.channel, straight_through=True
                )
            ),
            near=ArraySubquery(near_cases(point, event_class=OuterRef("pk")).values("number")[:5]),
            organisations=ArraySubquery(
                GridUnit.objects.filter(pk__in=cell.unit_ids).values(
                    json=JSONObject(**{name: name for name in UNIT_FIELDS})
                )
            ),
            calendar=ArraySubquery(
                CalendarDay.objects.filter(district=cell.district_id).values(
                    json=JSONObject(day="day", working="working")
                )
            ),
            limits=limits_of(cell.district_id),
            reply_hours=Subquery(
                ReplyLimit.objects.filter(district=cell.district_id, matter=matter).values("hours")
            ),
        )
        .first()
    )
    if found is None:
        raise UnknownClass(**{"class": draft.class_key})
    give_organisations(cell, found.organisations)
    condition = None
    if draft.condition_id is not None:
        if not found.condition:
            raise UnknownCondition(condition=draft.condition_id)
        condition = FilingCondition(**found.condition[0], event_class=found)
        condition._state.adding = False
    facts = {
        "condition": condition,
        "straight_through": found.straight_through,
        "near": found.near,
        "calendar": found.calendar,
        "limits": found.limits,
        "matter": matter,
        "reply_hours": found.reply_hours or (REPLY_HOURS[Matter(matter)] if matter else None),
    }
    return found, facts


_CONDITION_FIELDS = (
    "id",
    "number",
    "text",
    "closing",
    "limit_text",
    "limit_amount",
    "limit_unit",
    "urgent",
    "limit_action",
)


def _go_straight_through(
    event: Event,
    steps: list[Transition],
    assignment: Assignment,
    post_id: int,
    calendar: list[dict[str, Any]],
) -> WorkOrder:
    at = event.received_at
    steps.append(take_step(event, Step.ACCEPT, actor=SYSTEM, at=at, data={"policy": "straight_through"}))
    steps.append(take_step(event, Step.FILE, actor=SYSTEM, at=at, data={"condition": event.condition_id}))
    event.department = assignment.department
    event.responsibility = assignment.why
    steps.append(take_step(event, Step.ASSIGN, actor=SYSTEM, at=at, data={"why": assignment.why}))
    due = start_clock(event, at=at, days=calendar)
    order = WorkOrder(
        event=event,
        department=assignment.department,
        post_id=post_id,
        dispatched_at=at,
        due_at=due,
    )
    steps.append(
        take_step(event, Step.DISPATCH, actor=SYSTEM, at=at, work_order=order, data={"post": order.post_id})
    )
    return order
