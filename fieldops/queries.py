"""Reads shared by the front ends: what a case looks like on a map, in a list and in full."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from gridmap.models import CHAIN, Cell, Component, Level

from .clocks.cases import light
from .clocks.stages import stage_frame
from .duplicates import reports_of
from .models import Check, Event, Holding, Part, Photo, Post, Report, Transition, User, WorkOrder
from .responsibility.assignment import explain
from .rights import visible_to
from .status import FINAL, TABLE, Role, Status, Step

RECENTLY_CLOSED = timedelta(hours=24)


def shown_on_map(events: QuerySet[Event]) -> QuerySet[Event]:
    """Open cases, and those that ended within a day."""
    return events.filter(~Q(status__in=FINAL) | Q(updated_at__gte=timezone.now() - RECENTLY_CLOSED))


def frames(events: QuerySet[Event], *, now: datetime | None = None) -> list[dict[str, Any]]:
    """The cases as the live map and its lists show them; one statement."""
    now = now or timezone.now()
    handler = WorkOrder.objects.filter(event=OuterRef("pk"), finished_at__isnull=True, part=Part.LEAD).values(
        "post__name"
    )[:1]
    found = (
        events.select_related("event_class", "department", "cell__street", "cell__community")
        .defer("cell__boundary", "cell__street__boundary", "cell__community__boundary")
        .annotate(handler=Subquery(handler))
    )
    return [_frame(event, now) for event in found]


def _frame(event: Event, now: datetime) -> dict[str, Any]:
    return {
        "id": str(event.pk),
        "number": event.number,
        "version": event.version,
        "status": event.status,
        "phase": event.phase,
        "light": light(event, now),
        "point": [round(event.point.x, 7), round(event.point.y, 7)],
        "class": {"code": event.event_class.code, "name": event.event_class.name},
        "kind": event.event_class.kind,
        "cell": event.cell.code,
        "in_doubt": bool(event.cell_candidates) or event.outside_m is not None,
        "street": event.cell.street.area_name,
        "community": event.cell.community.area_name,
        "department": event.department.name if event.department else None,
        "handler": getattr(event, "handler", None),
        "description": event.description[:80],
        "received_at": event.received_at.isoformat(),
        "warn_at": event.warn_at.isoformat() if event.warn_at else None,
        "due_at": event.due_at.isoformat() if event.due_at else None,
        "stage": stage_frame(event, now),
        "updated_at": event.updated_at.isoformat(),
    }


def levels_of(cell: Cell) -> list[dict[str, Any]]:
    """The five organisations of a cell and the cell itself, from the top, in the reader's language."""
    named = [
        {
            "level": unit.level,
            "label": str(Level(unit.level).label),
            "name": unit.spoken_name,
            "code": unit.code,
        }
        for unit in cell.chain
    ]
    return [*named, {"level": 6, "label": str(Cell._meta.verbose_name), "name": cell.code, "code": cell.code}]


def whole_case(event: Event) -> dict[str, Any]:
    """Everything about one case that its viewers share; reporters masked."""
    cell = (
        Cell.objects.select_related(*CHAIN)
        .defer(*(f"{unit}__boundary" for unit in CHAIN))
        .get(pk=event.cell_id)
    )
    steps = event.transitions.annotate(stood_in_for=_stood_in_for())
    transitions = list(steps.select_related("by", "post").order_by("version"))
    orders = list(event.work_orders.select_related("department", "post"))
    reports = list(reports_of(event).select_related("reporter", "post", "event"))
    [frame] = frames(Event.objects.filter(pk=event.pk))
    condition = event.condition
    return {
        **frame,
        "description": event.description,
        "condition": {
            "text": condition.text,
            "closing": condition.closing,
            "limit_text": condition.limit_text,
        }
        if condition
        else None,
        "component": component_of(event),
        "levels": levels_of(cell),
        "doubt": _doubt(event, reports),
        "responsibility": {"department": event.department.name, "why": explain(event.responsibility)}
        if event.department
        else None,
        "reports": [
            {
                "id": str(report.pk),
                "channel": report.channel,
                "channel_label": report.get_channel_display(),
                "number": report.event.number if report.event_id != event.pk else None,
                "reported_at": report.received_at.isoformat(),
                "reporter": _who_reported(report),
                "reply_due_at": _iso(report.reply_due_at),
                "replied_at": _iso(report.replied_at),
            }
            for report in reports
        ],
        "work_orders": [
            {
                "id": str(order.pk),
                "department": order.department.name,
                "post": order.post.name,
                "dispatched_at": order.dispatched_at.isoformat(),
                "received_at": _iso(order.received_at),
                "seen_at": _iso(order.seen_at),
                "taken_on_at": _iso(order.taken_on_at),
                "handled_at": _iso(order.handled_at),
                "expired_at": _iso(order.expired_at),
                "recalled_at": _iso(order.recalled_at),
                "sent_back_at": _iso(order.sent_back_at),
                "due_at": order.due_at.isoformat(),
                "part": order.part,
                "part_label": str(order.get_part_display()),
                "arrived_at": _iso(order.arrived_at),
                "released_at": _iso(order.released_at),
                "open": order.finished_at is None,
            }
            for order in orders
        ],
        "checks": checks_of(event),
        "closing_label": str(event.get_closing_display()) if event.closing else None,
        "returns": event.returns,
        "photos": photos_of(reports, transitions),
        "timeline": [
            {
                "id": str(step.pk),
                "version": step.version,
                "kind": step.kind,
                "kind_label": step.get_kind_display(),
                "from": step.from_status,
                "to": step.to_status,
                "by": _who_acted(step),
                "post": _acting_as(step),
                "stood_in_for": step.stood_in_for,
                "work_order": str(step.work_order_id) if step.work_order_id else None,
                "occurred_at": step.occurred_at.isoformat(),
                "reason": step.reason,
                "data": step.data,
            }
            for step in transitions
        ],
        "request": _request(event, transitions),
        "deferred_until": _iso(event.deferred_until),
        "nearby": _nearby(transitions),
        "merged_into": {"id": str(event.merged_into_id), "number": event.merged_into.number}
        if event.merged_into
        else None,
    }


def _stood_in_for() -> Subquery:
    """The name of whose place a step's person stood in then."""
    held_then = Holding.objects.filter(
        post=OuterRef("post"),
        user=OuterRef("by"),
        since__lte=OuterRef("recorded_at"),
        until__gt=OuterRef("recorded_at"),
        stands_in_for__isnull=False,
    )
    return Subquery(held_then.values("stands_in_for__display_name")[:1])


def checks_of(event: Event) -> list[dict[str, Any]]:
    """Who was sent to look at a case, and what they found; one statement."""
    return [
        {
            "id": str(check.pk),
            "kind": check.kind,
            "kind_label": check.get_kind_display(),
            "post": check.post.name,
            "sent_label": check.get_sent_display(),
            "asked_at": check.asked_at.isoformat(),
            "due_at": check.due_at.isoformat(),
            "done_at": _iso(check.done_at),
            "ended_at": _iso(check.ended_at),
            "outcome": check.outcome,
            "outcome_label": check.get_outcome_display() if check.outcome else None,
            "note": check.note,
            "metres_away": check.metres_away,
            "flags": [str(_FLAGS.get(flag, flag)) for flag in check.flags],
        }
        for check in event.checks.select_related("post")
    ]


_FLAGS = {
    "late": gettext_lazy("too late"),
    "far_from_the_case": gettext_lazy("far from the case"),
    "poor_position": gettext_lazy("poor position"),
    "no_position": gettext_lazy("no position"),
}


def open_checks(posts: Iterable[Post]) -> list[dict[str, Any]]:
    """What the workers of these posts are sent to look at, most urgent first; one statement."""
    found = (
        Check.objects.filter(post__in=list(posts), done_at__isnull=True, ended_at__isnull=True)
        .select_related(
            *("event__event_class", "event__condition", "event__component", "event__cell__community")
        )
        .defer("event__cell__boundary", "event__cell__community__boundary")
    )
    return [
        {
            "id": check.pk,
            "kind": check.kind,
            "post": check.post_id,
            "person": check.person_id,
            "asked_at": check.asked_at,
            "due_at": check.due_at,
            "event": case_for_the_field(check.event),
        }
        for check in found.order_by("due_at")
    ]


def _request(event: Event, transitions: Sequence[Transition]) -> dict[str, Any] | None:
    """What a department asks for and nobody has decided yet."""
    if not event.asked_for:
        return None
    asked = next(step for step in reversed(transitions) if TABLE[Step(step.kind)].asks_for == event.asked_for)
    return {"label": asked.get_kind_display(), "reason": asked.reason, "until": asked.data.get("until")}


def component_of(event: Event) -> dict[str, Any] | None:
    """The component a case is about, with its three departments; one statement where there is one."""
    if event.component_id is None:
        return None
    component = Component.objects.select_related(
        "element", "event_class", "managing", "owning", "maintaining"
    ).get(pk=event.component_id)
    return {
        "id": str(component.pk),
        "code": component.code,
        "name": component.element.name,
        "class": component.event_class.name,
        "state": component.element.state,
        "state_label": component.element.get_state_display(),
        "departments": departments_of(component),
    }


def departments_of(component: Component) -> list[dict[str, str]]:
    """Who manages, owns and maintains a component, in this order, as far as it is known."""
    answers = [
        (_("Managing department"), component.managing),
        (_("Owning department"), component.owning),
        (_("Maintaining department"), component.maintaining),
    ]
    return [{"label": label, "name": department.name} for label, department in answers if department]


def _doubt(event: Event, reports: list[Report]) -> dict[str, Any] | None:
    """Which cells the fix may mean, and how far outside the place lies; None when there is no doubt, or it ended."""
    if not event.cell_candidates and event.outside_m is None:
        return None
    ids = [one["cell"] for one in event.cell_candidates]
    names = dict(Cell.objects.filter(pk__in=ids).values_list("code", "community__area_name")) if ids else {}
    return {
        "accuracy_m": reports[0].accuracy_m if reports else None,
        "outside_m": event.outside_m,
        "candidates": [
            {"code": one["code"], "community": names.get(one["code"], ""), "share": one["share"]}
            for one in event.cell_candidates
        ],
    }


def _iso(time: datetime | None) -> str | None:
    return time.isoformat() if time else None


def _who_reported(report: Report) -> str:
    """Staff by post; the public only masked."""
    if report.masked_contact:
        return report.masked_contact
    if report.post and report.post.role != Role.RESIDENT:
        return report.post.name
    return masked_name(str(report.reporter))


def _who_acted(step: Transition) -> str | None:
    if step.by is None:
        return None
    public = step.post is None or step.post.role == Role.RESIDENT
    return masked_name(str(step.by)) if public else str(step.by)


def _acting_as(step: Transition) -> str | None:
    """The post; a resident's is named after the person, so only its role is told."""
    if step.post is None:
        return None
    return step.post.get_role_display() if step.post.role == Role.RESIDENT else step.post.name


def masked_name(name: str) -> str:
    """The first character, the rest as stars."""
    return name[:1] + "*" * (len(name) - 1)


def _nearby(transitions: Iterable[Transition]) -> list[str]:
    return [
        number for step in transitions if step.kind == Step.LOCATE for number in step.data.get("near", [])
    ]


def photos_of(reports: Iterable[Report], transitions: Iterable[Transition]) -> list[dict[str, Any]]:
    """The photos of these records, each with the step it documents."""
    steps: dict[UUID, tuple[str, int | None]] = {
        report.pk: (Step.REPORT.value, report.reporter_id) for report in reports
    }
    steps |= {step.pk: (step.kind, step.by_id) for step in transitions}
    return [
        {
            "id": str(photo.pk),
            "step": steps[photo.submission][0],
            "url": f"/api/command/photos/{photo.pk}",
            "thumbnail_url": f"/api/command/photos/{photo.pk}?size=thumbnail",
            "received_at": photo.received_at.isoformat(),
        }
        for photo in Photo.objects.filter(submission__in=steps)
        # A photo is bound to a record by its key alone: only the record's own author can have sent it.
        if photo.uploaded_by_id == steps[photo.submission][1]
    ]


def open_work(posts: Iterable[Post]) -> list[dict[str, Any]]:
    """The open work orders of these posts, most urgent first; one statement."""
    orders = (
        WorkOrder.objects.filter(post__in=list(posts), finished_at__isnull=True)
        .exclude(event__status=Status.HANDLED)
        .select_related(
            *("event__event_class", "event__condition", "event__component", "event__cell__community"),
            *("department", "post"),
        )
        .defer("event__cell__boundary", "event__cell__community__boundary")
        .order_by("due_at")
    )
    return [
        {
            "id": order.pk,
            "post": order.post_id,
            "department": order.department.name,
            "why": explain(order.event.responsibility)
            if order.department_id == order.event.department_id
            else "",
            "part": order.part,
            "dispatched_at": order.dispatched_at,
            "due_at": order.due_at,
            "arrived_at": order.arrived_at,
            "handled_at": order.handled_at,
            "seen_at": order.seen_at,
            "taken_on_at": order.taken_on_at,
            "event": case_for_the_field(order.event),
        }
        for order in orders
    ]


def waiting_for_confirmation(events: QuerySet[Event], *, chiefs: Sequence[Post]) -> list[dict[str, Any]]:
    """Handled cases that these street chiefs should look at on site; one statement."""
    return _for_the_field(events.filter(_await_one_of(chiefs)).order_by("updated_at"), 200)


def _await_one_of(chiefs: Sequence[Post]) -> Q:
    """Handled cases on these chiefs' segments, and those that no post in particular was asked about."""
    asked = Check.objects.filter(post__in=list(chiefs), done_at__isnull=True, ended_at__isnull=True)
    theirs = Q(checked_by=Role.STREET_CHIEF, pk__in=asked.values("event"))
    return Q(status=Status.HANDLED) & (Q(checked_by="") | theirs)


# What a desk is expected to do something about.
_WAITS_FOR = {
    Role.INTAKE_OPERATOR: (Status.LOCATED, Status.ACCEPTED),
    Role.DISPATCHER: (Status.FILED, Status.ASSIGNED),
}
MOST_CASES = 500
ANSWERED_WITHIN = timedelta(days=30)


def waiting_at(post: Post) -> dict[str, Any]:
    """All that waits at one post: what a device needs that can no longer be told step by step.

    A handler's open work orders; the cases a desk or street chief should act on, oldest first; else the cases
    reported through this post that changed within 30 days, newest first. At most 500 cases.
    """
    orders = open_work([post]) if post.role == Role.DEPARTMENT_HANDLER else []
    role = Role(post.role)
    if role in _WAITS_FOR:
        found = Event.objects.filter(visible_to([post]), status__in=_WAITS_FOR[role]).order_by("updated_at")
    elif role == Role.STREET_CHIEF:
        found = Event.objects.filter(visible_to([post]), _await_one_of([post])).order_by("updated_at")
    else:
        since = timezone.now() - ANSWERED_WITHIN
        reported = Report.objects.filter(post=post).values("event")
        asked = Check.objects.filter(post=post, done_at__isnull=True, ended_at__isnull=True).values("event")
        found = Event.objects.filter(Q(pk__in=reported, updated_at__gte=since) | Q(pk__in=asked)).order_by(
            "-updated_at"
        )
    cases = _for_the_field(found, MOST_CASES + 1)
    return {
        "as_of": timezone.now(),
        "orders": orders,
        "cases": cases[:MOST_CASES],
        "truncated": len(cases) > MOST_CASES,
    }


def _for_the_field(events: QuerySet[Event], most: int) -> list[dict[str, Any]]:
    found = events.select_related("event_class", "condition", "cell__community").defer(
        "cell__boundary", "cell__community__boundary"
    )
    return [case_for_the_field(event) for event in found[:most]]


def case_for_the_field(event: Event) -> dict[str, Any]:
    """A case as a phone shows it."""
    return {
        "id": event.pk,
        "number": event.number,
        "version": event.version,
        "status": event.status,
        "class": {"key": event.event_class.key, "name": event.event_class.name},
        "condition": event.condition.text if event.condition else None,
        "closing": event.condition.closing if event.condition else None,
        "description": event.description,
        "point": [event.point.x, event.point.y],
        "component": event.component.code if event.component else None,
        "cell": event.cell.code,
        "community": event.cell.community.area_name,
        "due_at": event.due_at,
    }


def photo_visible_to(photo: Photo, user: User, events: QuerySet[Event]) -> bool:
    """Whether the photo belongs to a record of a case among `events`, or is the person's own."""
    if photo.uploaded_by_id == user.pk:
        return True
    return events.filter(
        Q(reports__pk=photo.submission, reports__reporter=photo.uploaded_by_id)
        | Q(merged__reports__pk=photo.submission, merged__reports__reporter=photo.uploaded_by_id)
        | Q(transitions__pk=photo.submission, transitions__by=photo.uploaded_by_id)
    ).exists()
