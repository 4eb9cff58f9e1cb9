"""Open deadlines follow the calendar, the working hours and the limits of stages, whoever changes those, and however.

A scan compares the rules with those by which a district's deadlines were computed last. Only what moves is written:
under the case's lock, with a step that says from when to when. So a run that is cut off, or run twice, does no harm.
"""

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from fieldops.clocks.cases import clock_of
from fieldops.clocks.deadlines import Calendar, calendar_of
from fieldops.clocks.stages import STAGE_OF, due_after, is_urgent
from fieldops.lifecycle import SYSTEM, lock_event, now, record, take_step
from fieldops.models import Event, Part, Reckoning, StageLimit, WorkOrder
from fieldops.status import FINAL, Status, Step
from gridmap.models import CalendarDay, District

from .joint import due_beside, reckon_beside

log = logging.getLogger(__name__)
# Whose case's clock runs: in any other state it stands still, or has been stopped.
RUNNING = (Status.DISPATCHED, Status.TAKEN_ON)
AT_ONCE = 2000  # cases moved in one run


@dataclass(frozen=True)
class Rules:
    """What a district's deadlines follow."""

    district: District
    days: list[tuple[Any, bool]]
    limits: dict[tuple[str, bool], int]

    @cached_property
    def calendar(self) -> Calendar:
        """The working calendar."""
        return calendar_of(self.district, self.days)

    @property
    def digest(self) -> str:
        """Tells whether any of it changed."""
        told = [
            self.district.time_zone,
            self.district.work_starts_ends,
            [[day.isoformat(), working] for day, working in self.days],
            [[stage, urgent, minutes] for (stage, urgent), minutes in sorted(self.limits.items())],
        ]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def rules_of(district: District) -> Rules:
    """As they are now; two statements."""
    days = CalendarDay.objects.filter(district=district).order_by("day").values_list("day", "working")
    limits = StageLimit.objects.filter(district=district).values_list("stage", "urgent", "minutes")
    return Rules(district, list(days), {(stage, urgent): minutes for stage, urgent, minutes in limits})


def reckon_deadlines() -> int:
    """Compute anew what is open where the rules changed; returns how many cases have another due time now."""
    moved = 0
    for district in District.objects.all():
        rules = rules_of(district)
        if Reckoning.objects.filter(pk=district.pk, digest=rules.digest).exists():
            continue
        moved_here = 0
        for event_id in _out_of_step(rules):
            try:
                moved_here += reckon(event_id, rules)
            except Exception:
                log.exception(
                    "the deadlines of case %s were not computed; the next run meets it again", event_id
                )
            if moved_here >= AT_ONCE:
                break
        if not moved_here:
            # A step that was under way by the old rules is met by one more run: done is what moves nothing any more.
            Reckoning.objects.update_or_create(pk=district.pk, defaults={"digest": rules.digest, "at": now()})
        moved += moved_here
    return moved


def _out_of_step(rules: Rules) -> Iterator[UUID]:
    """The open cases whose deadlines differ from what the rules say."""
    beside = set(
        WorkOrder.objects.filter(event__district=rules.district, finished_at__isnull=True)
        .exclude(part=Part.LEAD)
        .values_list("event_id", flat=True)
    )
    events = Event.objects.filter(
        Q(status__in=RUNNING)
        | Q(status__in=list(STAGE_OF), stage_since__isnull=False)
        | Q(pk__in=list(beside)),
        district=rules.district,
    )
    for event in events.select_related("condition", "district").order_by("pk").iterator(chunk_size=500):
        if any(getattr(event, name) != value for name, value in deadlines_under(event, rules).items()) or (
            event.pk in beside and due_beside(event, rules.calendar)
        ):
            yield event.pk


@transaction.atomic
def reckon(event_id: UUID, rules: Rules) -> bool:
    """Set a case's deadlines by the rules; whether a due time moved. Where one did, the timeline says so."""
    event = lock_event(Event.objects.all(), event_id)
    if event.status in FINAL:
        return False
    at = now()
    steps = reckon_beside(event, due_beside(event, rules.calendar, lock=True), at=at)
    order = event.work_orders.select_for_update().filter(finished_at__isnull=True, part=Part.LEAD).first()
    changed = {
        name: value for name, value in deadlines_under(event, rules).items() if getattr(event, name) != value
    }
    moved = {
        name: (getattr(event, name), changed[name]) for name in ("due_at", "stage_due_at") if name in changed
    }
    for name, value in changed.items():
        setattr(event, name, value)
    if not moved and not steps:
        event.save(update_fields=list(changed))
        return False
    if not moved:
        record(event, steps, changed=list(changed))
        return True
    if order is not None and "due_at" in changed and event.due_at is not None:
        WorkOrder.objects.filter(pk=order.pk).update(due_at=event.due_at)
    told: dict[str, Any] = {str(name): [_iso(before), _iso(after)] for name, (before, after) in moved.items()}
    words = "; ".join(f"{_local(before, rules)} → {_local(after, rules)}" for before, after in moved.values())
    steps.append(
        take_step(event, Step.RECKON, actor=SYSTEM, at=at, reason=words, work_order=order, data=told)
    )
    record(event, steps, changed=list(changed))
    return True


def deadlines_under(event: Event, rules: Rules) -> dict[str, Any]:
    """What a case's deadlines are by these rules."""
    found: dict[str, Any] = {}
    if event.status in RUNNING and event.condition is not None:
        due = clock_of(event, rules.calendar).due()
        if due is not None:
            found |= {"due_at": due.at, "warn_at": due.yellow_from, "due_provisional": due.provisional}
    stage = STAGE_OF.get(event.status)
    if stage is not None and event.stage_since is not None:
        urgent = is_urgent(event)
        minutes = rules.limits.get((stage.value, urgent))
        ends = due_after(minutes, at=event.stage_since, urgent=urgent, calendar=rules.calendar)
        found |= {
            "stage_due_at": ends.at if ends else None,
            "stage_warn_at": ends.yellow_from if ends else None,
        }
    return found


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _local(moment: datetime | None, rules: Rules) -> str:
    return f"{moment.astimezone(rules.calendar.zone):%Y-%m-%d %H:%M}" if moment else "—"
