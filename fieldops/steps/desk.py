"""What the desks decide: accept or decline, file or not, who is responsible, to whom it goes, and closing."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from django.db import transaction

from fieldops.clocks.cases import calendar_for, clock_of, resume_clock, start_clock, stop_clock
from fieldops.clocks.stages import reckon_stage
from fieldops.errors import (
    ComponentOfAnotherClass,
    NoHandler,
    NoResponsibleDepartment,
    ReasonMissing,
    UnknownClass,
    UnknownCondition,
    Unprocessable,
)
from fieldops.lifecycle import SYSTEM, Actor, check_follows, has_words, lock_event, now, record, take_step
from fieldops.models import (
    CheckKind,
    Closing,
    Event,
    EventClass,
    Found,
    Kind,
    Part,
    Post,
    Transition,
    User,
    WorkOrder,
)
from fieldops.responsibility.assignment import find_responsible, handlers
from fieldops.rights import acting_post, events_visible_to
from fieldops.status import MAX_RETURNS, Status, Step
from gridmap.models import Department

from .checks import close_step, end_checks
from .joint import due_beside, reckon_beside


@transaction.atomic
def accept(event_id: UUID, *, by: User, version: int | None = None, note: str = "") -> Event:
    """受理: the report is the centre's business."""
    return _simple_step(Step.ACCEPT, event_id, by=by, version=version, reason=note)


@transaction.atomic
def decline(event_id: UUID, *, by: User, reason: str, version: int | None = None) -> Event:
    """不予受理: it is not; the reporter is told why."""
    return _simple_step(Step.DECLINE, event_id, by=by, version=version, reason=reason)


@transaction.atomic
def do_not_file(event_id: UUID, *, by: User, reason: str, version: int | None = None) -> Event:
    """不予立案: no filing condition of its class is met."""
    return _simple_step(Step.DO_NOT_FILE, event_id, by=by, version=version, reason=reason)


@transaction.atomic
def file(
    event_id: UUID,
    *,
    by: User,
    condition_id: int | None = None,
    reason: str = "",
    version: int | None = None,
) -> Event:
    """立案: the stated filing condition is met; the rules then name the responsible department, if any does.

    What was not found on site is filed only with a reason. Raises UnknownCondition when the case's class has no such
    condition, or none was ever stated, and ReasonMissing.
    """
    event, actor = _begin(Step.FILE, event_id, by=by, version=version)
    if condition_id is not None:
        condition = event.event_class.conditions.filter(pk=condition_id).first()
        if condition is None:
            raise UnknownCondition(condition=condition_id)
        event.condition = condition
    if event.condition is None:
        raise UnknownCondition
    verified = event.checks.filter(kind=CheckKind.VERIFY, done_at__isnull=False).order_by("done_at").last()
    if verified is not None and verified.outcome == Found.REFUTED and not has_words(reason):
        raise ReasonMissing(step=Step.FILE.value)
    at = now()
    facts = {"condition": event.condition_id}
    steps = [take_step(event, Step.FILE, actor=actor, at=at, reason=reason, data=facts)]
    assignment = find_responsible(
        event.event_class, event.cell, condition=event.condition, component=event.component
    )
    if assignment:
        event.department, event.responsibility = assignment.department, assignment.why
        steps.append(take_step(event, Step.ASSIGN, actor=SYSTEM, at=at, data={"why": assignment.why}))
    record(event, steps, changed=["condition", "department", "responsibility"])
    return event


@transaction.atomic
def assign(
    event_id: UUID,
    *,
    by: User,
    department_id: int | None = None,
    reason: str = "",
    version: int | None = None,
) -> Event:
    """Name the responsible department: the rules' answer, or another one by hand with a reason."""
    event, actor = _begin(Step.ASSIGN, event_id, by=by, version=version)
    if department_id is None:
        assignment = find_responsible(
            event.event_class, event.cell, condition=event.condition, component=event.component
        )
        if assignment is None:
            raise NoResponsibleDepartment
        event.department, event.responsibility = assignment.department, assignment.why
    else:
        event.department = _department(event, department_id)
        event.responsibility = {"by_hand": reason}
    if department_id is not None and not has_words(reason):
        raise ReasonMissing(step=Step.ASSIGN.value)
    step = take_step(
        event, Step.ASSIGN, actor=actor, at=now(), reason=reason, data={"why": event.responsibility}
    )
    record(event, [step], changed=["department", "responsibility"])
    return event


@transaction.atomic
def dispatch(event_id: UUID, *, by: User, post_id: int | None = None, version: int | None = None) -> Event:
    """派遣: to the department's post closest to the cell, or to the named one; its clock starts, or resumes.

    Raises NoHandler when the department has no post for this place, or the named post is not one of its.
    """
    event, actor = _begin(Step.DISPATCH, event_id, by=by, version=version)
    if event.department is None:
        raise NoResponsibleDepartment
    fitting = handlers(event.department, event.cell.unit_ids)
    post = fitting.filter(pk=post_id).first() if post_id is not None else fitting.first()
    if post is None:
        raise NoHandler
    at = now()
    due = resume_clock(event, at=at)
    order = WorkOrder(event=event, department=event.department, post=post, dispatched_at=at, due_at=due)
    step = take_step(event, Step.DISPATCH, actor=actor, at=at, work_order=order, data={"post": post.pk})
    order.save(force_insert=True)
    record(event, [step], changed=["due_at", "warn_at", "due_provisional"])
    return event


@transaction.atomic
def recall(event_id: UUID, *, by: User, reason: str, version: int | None = None) -> Event:
    """撤回: the dispatcher withdraws the open work order; the case waits to be dispatched anew.

    The post's devices are told by letter; what is done with the order from now on is refused there.
    """
    event, actor = _begin(Step.RECALL, event_id, by=by, version=version)
    at = now()
    order = event.work_orders.select_for_update().get(finished_at__isnull=True, part=Part.LEAD)
    step = withdraw(event, order, actor=actor, at=at, reason=reason)
    order.save(update_fields=["recalled_at", "finished_at"])
    record(event, [step], changed=["due_at", "warn_at", "due_provisional"])
    return event


def withdraw(event: Event, order: WorkOrder, *, actor: Actor, at: datetime, reason: str) -> Transition:
    """Recall the lead's order in memory; the caller saves both."""
    step = take_step(event, Step.RECALL, actor=actor, at=at, reason=reason, work_order=order)
    order.recalled_at = order.finished_at = at
    stop_clock(event)
    return step


@transaction.atomic
def void(event_id: UUID, *, by: User, reason: str, version: int | None = None) -> Event:
    """作废: it should not have been filed; work on it ends, and its reporters are told why."""
    event, actor = _begin(Step.VOID, event_id, by=by, version=version)
    step = _end(Step.VOID, event, actor, reason)
    record(event, [step], changed=["due_at", "warn_at", "due_provisional", "deferred_until"])
    return event


@transaction.atomic
def close_specially(
    event_id: UUID, *, by: User, closing: str, reason: str, version: int | None = None
) -> Event:
    """错误结案、特殊结案: it ends without having been handled and checked, for a reason; all work on it ends."""
    if closing not in (Closing.ERROR, Closing.SPECIAL):
        raise Unprocessable(closing=closing)
    event, actor = _begin(Step.CLOSE_SPECIALLY, event_id, by=by, version=version)
    step = _end(Step.CLOSE_SPECIALLY, event, actor, reason)
    event.closing = Closing(closing)
    step.data["closing"] = closing
    record(event, [step], changed=["due_at", "warn_at", "due_provisional", "deferred_until"])
    return event


def _end(step_kind: Step, event: Event, actor: Actor, reason: str) -> Transition:
    """The step that ends a case before its time, with every order and task about it."""
    at = now()
    orders = list(event.work_orders.select_for_update().filter(finished_at__isnull=True).order_by("pk"))
    lead = next((order for order in orders if order.part == Part.LEAD), None)
    data = {"posts": [order.post_id for order in orders if order is not lead]}
    step = take_step(
        event, step_kind, actor=actor, at=at, reason=reason, work_order=lead, data=data if orders else None
    )
    if lead is not None and event.deferred_until is not None:
        # Its clock stood still: had it gone on now, this is what would be due.
        lead.due_at = resume_clock(event, at=at)
    for order in orders:
        order.finished_at = at
    WorkOrder.objects.bulk_update(orders, ["finished_at", "due_at"])
    end_checks(event, at=at)
    event.deferred_until = None
    stop_clock(event)
    return step


@transaction.atomic
def reclassify(
    event_id: UUID,
    *,
    by: User,
    class_key: str,
    condition_id: int,
    reason: str,
    version: int | None = None,
) -> Event:
    """改类: the case is of another class or condition. Its old clock ends, told in the step; a new one starts now.

    Not dispatched yet, it is assigned anew by the rules, unless somebody named the department.
    Raises UnknownClass, UnknownCondition, ComponentOfAnotherClass.
    """
    event, actor = _begin(Step.RECLASSIFY, event_id, by=by, version=version)
    kind, _, code = class_key.partition("/")
    edition = event.event_class.edition
    wanted = EventClass.objects.filter(edition=edition, kind=kind, major=code[:2], minor=code[2:]).first()
    if wanted is None:
        raise UnknownClass(**{"class": class_key})
    condition = wanted.conditions.filter(pk=condition_id).first()
    if condition is None or condition.pk == event.condition_id:
        raise UnknownCondition(condition=condition_id)
    component = event.component
    if component and wanted.kind == Kind.COMPONENT and component.event_class_id != wanted.pk:
        raise ComponentOfAnotherClass(component_class=component.event_class.key)
    at = now()
    order = event.work_orders.select_for_update().filter(finished_at__isnull=True, part=Part.LEAD).first()
    before = {
        "class": event.event_class.key,
        "class_name": event.event_class.name,
        "limit_text": event.condition.limit_text if event.condition else "",
        "condition": event.condition_id,
        "due_at": event.due_at.isoformat() if event.due_at else None,
        "used_seconds": round(clock_of(event).used(at).total_seconds()) if event.department_id else 0,
    }
    event.event_class, event.condition = wanted, condition
    moved = due_beside(
        event, calendar_for(event), lock=True, turn=lambda clock: replace(clock, runs=()).start(at)
    )
    steps = reckon_beside(event, moved, at=at)
    step = take_step(event, Step.RECLASSIFY, actor=actor, at=at, reason=reason, work_order=order)
    if order is not None and order.handled_at is None:
        order.due_at, order.extensions = start_clock(event, at=at), 0
        order.save(update_fields=["due_at", "extensions"])
        event.asked_for = ""
    reckon_stage(event)
    after = {
        "class": wanted.key,
        "class_name": wanted.name,
        "limit_text": condition.limit_text,
        "condition": condition.pk,
        "due_at": event.due_at.isoformat() if event.due_at else None,
    }
    step.data |= {"before": before, "after": after}
    steps.append(step)
    open_to_rules = event.status in (Status.FILED, Status.ASSIGNED) and event.returns < MAX_RETURNS
    if open_to_rules and "by_hand" not in event.responsibility:
        assignment = find_responsible(wanted, event.cell, condition=condition, component=component)
        if assignment is not None:
            event.department, event.responsibility = assignment.department, assignment.why
            steps.append(take_step(event, Step.ASSIGN, actor=SYSTEM, at=at, data={"why": assignment.why}))
    record(
        event,
        steps,
        changed=[
            *("event_class", "condition", "department", "responsibility"),
            *("due_at", "warn_at", "due_provisional"),
        ],
    )
    return event


@transaction.atomic
def close(event_id: UUID, *, by: User, note: str = "", version: int | None = None) -> Event:
    """结案, where a district does not close on confirmation."""
    event, actor = _begin(Step.CLOSE, event_id, by=by, version=version)
    record(event, [close_step(event, actor=actor, at=now(), note=note)])
    return event


def _simple_step(step: Step, event_id: UUID, *, by: User, version: int | None, reason: str) -> Event:
    event, actor = _begin(step, event_id, by=by, version=version)
    record(event, [take_step(event, step, actor=actor, at=now(), reason=reason)])
    return event


def _begin(step: Step, event_id: UUID, *, by: User, version: int | None) -> tuple[Event, Actor]:
    """Lock the case and see that the step follows and that this person may take it."""
    event = lock_event(events_visible_to(by), event_id, version=version)
    post = acting_post(by, step, event)
    check_follows(event, step)
    return event, Actor(by, post)


def _department(event: Event, department_id: int) -> Department:
    found = Department.objects.filter(pk=department_id, district=event.district_id).first()
    if found is None:
        raise Unprocessable(department=department_id)
    return found


def posts_to_dispatch_to(event: Event) -> list[Post]:
    """The posts a dispatcher may choose from, closest first."""
    return list(handlers(event.department, event.cell.unit_ids)) if event.department else []
