"""On-site checks: 核实 before filing, 核查 after handling. Who is sent, and who has the last word on a handled case.

To the nearest worker on duty in the cell, else in a neighbouring cell, else to the cell's own grid worker, else to
the desk. Who is on duty, and where, is asked upwards: `realtime` says so by `ask_whom`.
"""

import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.contrib.gis.db.models.functions import GeometryDistance
from django.contrib.gis.geos import Point
from django.db.models import F, Subquery

from fieldops.clocks.cases import calendar_for
from fieldops.clocks.stages import due_after, is_urgent, stage_due
from fieldops.elements.streets import street_chief_of
from fieldops.errors import NobodyToSend
from fieldops.lifecycle import Actor, take_step
from fieldops.models import (
    Check,
    Checker,
    CheckKind,
    CheckPolicy,
    Closing,
    Event,
    EventClass,
    Part,
    Post,
    Sent,
    Stage,
    Transition,
)
from fieldops.rights import held_now
from fieldops.status import Role, Step
from gridmap.models import Cell

DEFAULT_MINUTES = 30
HAD_THE_WORD = (Step.CHECK, Step.CONFIRM)


@dataclass(frozen=True)
class Worker:
    """Somebody on duty, and the post they are on duty for."""

    post_id: int
    user_id: int


Chooser = Callable[[Cell, Point], Sequence[Worker]]


def _nobody(cell: Cell, near: Point) -> Sequence[Worker]:
    return ()


_on_duty: Chooser = _nobody


def ask_whom(chooser: Chooser) -> None:
    """From now on `chooser` says who is on duty for a cell, the best to send first (place in WGS-84)."""
    global _on_duty
    _on_duty = chooser


def send_somebody(event: Event, kind: CheckKind, *, at: datetime, but: Collection[int] = ()) -> Check:
    """Ask whoever can be there soonest, except these people (keys of users), to look at the case; not saved yet.

    Raises NobodyToSend where not even a desk serves the place.
    """
    check = _sent(event, kind, at=at, but={*but, *excluded(event)})
    if check is None:
        raise NobodyToSend
    return check


def judge_next(event: Event, *, at: datetime) -> Check | None:
    """Who has the word on a case that is handled now: by the policy of its class, and by lot where not all are checked.

    Sets `event.checked_by` (in memory) and returns the task, not saved yet; None where no post is there for it.
    """
    policy = policy_of(event)
    checker = Checker(policy.checker)
    if checker != Checker.DESK and not _is_drawn(event, policy):
        return _awaited(event, _of_desk(event, CheckKind.CHECK, at=at, sent=Sent.NOT_DRAWN))
    if checker in (Checker.WORKER, Checker.BOTH):
        check = _sent(event, CheckKind.CHECK, at=at, but=excluded(event))
        if checker == Checker.WORKER or (check is not None and check.sent != Sent.DESK):
            return _awaited(event, check)
    if checker != Checker.DESK:
        return chiefs_turn(event, at=at)
    return _awaited(event, _of_desk(event, CheckKind.CHECK, at=at))


def chiefs_turn(event: Event, *, at: datetime) -> Check | None:
    """The same where the street chief has the word: of the road segment, else of the street; else the desk."""
    but = excluded(event)
    chief = street_chief_of(event)
    if chief is None or not held_now(Post.objects.filter(pk=chief.pk), but=but).exists():
        chief = _nearest(event, Role.STREET_CHIEF, but)
    if chief is None:
        return _awaited(event, _of_desk(event, CheckKind.CHECK, at=at))
    return _awaited(event, _check(event, CheckKind.CHECK, chief, Sent.CHIEF, at=at))


def follow_to_cell(event: Event, step: Transition, check: Check | None, *, at: datetime) -> None:
    """The open task of a case that moved to another cell stays with a post that serves it there; else another is asked.

    Ends and saves tasks, and writes into the step who has it now and who had it.
    """
    if check is None:
        return
    fresh = None if check.post.unit_id in event.cell.unit_ids else _asked_anew(event, check, at=at)
    if fresh is None or (fresh.post_id, fresh.person_id) == (check.post_id, check.person_id):
        step.data["check_kept"] = check.post_id
        return
    end_checks(event, at=at)
    if check.kind == CheckKind.CHECK:
        event.checked_by = fresh.post.role
    step.data["check_before"] = check.post_id
    announce(step, fresh)


def _asked_anew(event: Event, check: Check, *, at: datetime) -> Check | None:
    if check.post.role == Role.GRID_WORKER:
        return _sent(event, CheckKind(check.kind), at=at, but=excluded(event))
    if check.post.role == Role.STREET_CHIEF:
        return chiefs_turn(event, at=at)
    return _of_desk(event, CheckKind(check.kind), at=at)


def announce(step: Transition, check: Check | None) -> None:
    """Save the task and write into its step who is sent: by that the letter finds its way."""
    if check is None:
        return
    check.save(force_insert=True)
    step.data |= {
        "check": str(check.pk),
        "check_post": check.post_id,
        "check_post_name": check.post.name,
        "check_role": check.post.role,
        "sent": check.sent,
        "check_due_at": check.due_at.isoformat(),
    }


def policy_of(event: Event) -> CheckPolicy:
    """The most specific policy for the case's class, or the default; one statement."""
    return most_specific(CheckPolicy.objects.filter(district=event.district_id), event.event_class)


def most_specific(policies: Iterable[CheckPolicy], event_class: EventClass) -> CheckPolicy:
    """Of one district's policies the one that holds for a class; the default where none fits."""
    fitting = [
        row
        for row in policies
        if row.kind in ("", event_class.kind)
        and row.major in ("", event_class.major)
        and row.minor in ("", event_class.minor)
    ]
    return max(fitting, key=lambda row: (row.minor, row.major, row.kind), default=CheckPolicy())


def open_check(event: Event) -> Check | None:
    """The task that is open about a locked case."""
    return (
        event.checks.select_for_update(of=("self",))
        .select_related("post")
        .filter(done_at__isnull=True, ended_at__isnull=True)
        .first()
    )


def end_checks(event: Event, *, at: datetime) -> None:
    """Nobody has to look any more."""
    event.checks.filter(done_at__isnull=True, ended_at__isnull=True).update(ended_at=at)


def close_step(event: Event, *, actor: Actor, at: datetime, note: str = "") -> Transition:
    """结案 (in memory only): in time, or overdue when a lead's order was handled after it was due."""
    step = take_step(event, Step.CLOSE, actor=actor, at=at, reason=note)
    late = event.work_orders.filter(part=Part.LEAD, handled_at__gt=F("due_at")).exists()
    event.closing = Closing.OVERDUE if late else Closing.NORMAL
    step.data["closing"] = event.closing
    return step


def excluded(event: Event) -> set[int]:
    """Who had the word before the case was reopened (keys of users), and so does not have it again."""
    if event.excluded_checker_id is None:
        return set()
    reopened = event.transitions.filter(kind=Step.REOPEN).order_by("-version").values("version")[:1]
    before = event.transitions.filter(kind__in=HAD_THE_WORD, by__isnull=False, version__lt=Subquery(reopened))
    return {event.excluded_checker_id, *before.values_list("by_id", flat=True)}


def _is_drawn(event: Event, policy: CheckPolicy) -> bool:
    if policy.percent >= 100 or secrets.randbelow(100) < policy.percent:
        return True
    return event.transitions.filter(kind__in=(Step.REWORK, Step.REOPEN)).exists()


def _awaited(event: Event, check: Check | None) -> Check | None:
    event.checked_by = check.post.role if check else ""
    return check


def _sent(event: Event, kind: CheckKind, *, at: datetime, but: set[int]) -> Check | None:
    """The task of whoever can be there soonest; None where not even a desk serves the place."""
    for cell, sent in _around(event):
        for worker in _on_duty(cell, event.point):
            if worker.user_id not in but:
                post = Post.objects.get(pk=worker.post_id)
                return _check(event, kind, post, sent, at=at, person=worker.user_id)
    nearest = _nearest(event, Role.GRID_WORKER, but)
    if nearest is not None:
        return _check(event, kind, nearest, Sent.POST, at=at)
    return _of_desk(event, kind, at=at)


def _around(event: Event) -> Iterator[tuple[Cell, Sent]]:
    """The case's cell, then of each other party group that touches it the cell nearest to the place, nearest first."""
    own = event.cell
    yield own, Sent.ON_DUTY
    touching = Cell.objects.in_force().filter(district=event.district_id, boundary__intersects=own.boundary)
    by_distance = touching.order_by(GeometryDistance("boundary", event.point), "code")
    groups = {own.unit_ids[4]}
    for cell in by_distance:
        if cell.unit_ids[4] not in groups:
            groups.add(cell.unit_ids[4])
            yield cell, Sent.NEIGHBOUR


def _nearest(event: Event, role: Role, but: set[int]) -> Post | None:
    at_place = Post.objects.filter(role=role, unit__in=event.cell.unit_ids)
    return held_now(at_place, but=but).order_by("-unit__level", "pk").first()


def _desks(event: Event, role: Role) -> list[Post]:
    at_place = Post.objects.filter(role__in=(role, Role.SHIFT_LEADER), unit__in=event.cell.unit_ids)
    return sorted(
        at_place.select_related("unit"), key=lambda post: (post.role != role, -post.unit.level, post.pk)
    )


def _of_desk(event: Event, kind: CheckKind, *, at: datetime, sent: Sent = Sent.DESK) -> Check | None:
    role = Role.INTAKE_OPERATOR if kind == CheckKind.VERIFY else Role.DISPATCHER
    desks = _desks(event, role)
    return _check(event, kind, desks[0], sent, at=at) if desks else None


def _check(
    event: Event, kind: CheckKind, post: Post, sent: Sent, *, at: datetime, person: int | None = None
) -> Check:
    stage = Stage.VERIFY if kind == CheckKind.VERIFY else Stage.CHECK
    due = stage_due(event, stage, at=at) or due_after(
        DEFAULT_MINUTES, at=at, urgent=is_urgent(event), calendar=calendar_for(event)
    )
    if due is None:
        raise AssertionError("a limit that runs will run out")
    return Check(event=event, kind=kind, post=post, person_id=person, sent=sent, asked_at=at, due_at=due.at)
