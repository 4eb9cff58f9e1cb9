"""The clock of a stage: how long the case may wait for the one party whose turn it is.

It begins with the step into the stage, runs without a pause, and ends with the step out of it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef
from django.db.models.functions import JSONObject

from fieldops.models import Event, LimitUnit, Stage, StageLimit
from fieldops.status import Status
from gridmap.models import CalendarDay

from .cases import calendar_from, light_between
from .deadlines import Calendar, Clock, Due, Limit

STAGE_OF: dict[str, Stage] = {
    Status.LOCATED: Stage.ACCEPT,
    Status.VERIFYING: Stage.VERIFY,
    Status.FILED: Stage.DISPATCH,
    Status.ASSIGNED: Stage.DISPATCH,
    Status.DISPATCHED: Stage.SIGN_IN,
    Status.HANDLED: Stage.CHECK,
}
CLOCK = ["stage_since", "stage_warn_at", "stage_due_at"]


def limits_of(district: Any) -> ArraySubquery:
    """A district's limits of stages as one value of a statement, for `begin_stage`."""
    rows = StageLimit.objects.filter(district=district)
    return ArraySubquery(rows.values(json=JSONObject(stage="stage", urgent="urgent", minutes="minutes")))


def begin_stage(event: Event, *, at: datetime, rules: Mapping[str, Any] | None = None) -> None:
    """Start the clock of the stage that the case is in now, or none (in memory only); one statement at most.

    `rules` are `limits` and `calendar` already read.
    """
    event.stage_since = event.stage_warn_at = event.stage_due_at = None
    stage = STAGE_OF.get(event.status)
    if stage is None:
        return
    event.stage_since = at
    urgent = is_urgent(event)
    if rules is None:
        show_stage(event, stage_due(event, stage, at=at))
        return
    minutes = next(
        (row["minutes"] for row in rules["limits"] if (row["stage"], row["urgent"]) == (stage, urgent)), None
    )
    show_stage(
        event, due_after(minutes, at=at, urgent=urgent, calendar=calendar_from(event, rules["calendar"]))
    )


def reckon_stage(event: Event) -> None:
    """When the stage runs out that the case is in, by what it is now; in memory only, one statement at most."""
    stage = STAGE_OF.get(event.status)
    if stage is not None and event.stage_since is not None:
        show_stage(event, stage_due(event, stage, at=event.stage_since))


def stage_due(event: Event, stage: Stage, *, at: datetime) -> Due | None:
    """When a stage of this case that begins at `at` runs out; None without a limit. One statement."""
    urgent = is_urgent(event)
    days = CalendarDay.objects.filter(district=OuterRef("district"))
    limit = (
        StageLimit.objects.filter(district=event.district_id, stage=stage, urgent=urgent)
        .annotate(calendar=ArraySubquery(days.values(json=JSONObject(day="day", working="working"))))
        .first()
    )
    if limit is None:
        return None
    return due_after(limit.minutes, at=at, urgent=urgent, calendar=calendar_from(event, limit.calendar))


def due_after(minutes: int | None, *, at: datetime, urgent: bool, calendar: Calendar) -> Due | None:
    """So many minutes after `at`, without a break where it is urgent, else in working time."""
    if minutes is None:
        return None
    return Clock(Limit(minutes, LimitUnit.MINUTE, urgent), calendar).start(at).due()


def is_urgent(event: Event) -> bool:
    """Whether the case's limits run without a break; not while its filing condition is unknown."""
    return bool(event.condition and event.condition.urgent)


def show_stage(event: Event, due: Due | None) -> None:
    """Set when the stage turns yellow and red (in memory only)."""
    event.stage_warn_at, event.stage_due_at = (due.yellow_from, due.at) if due else (None, None)


def stage_frame(event: Event, now: datetime) -> dict[str, Any] | None:
    """The stage a case is in, as lists show it; None where it has no limit."""
    stage = STAGE_OF.get(event.status)
    if stage is None or event.stage_due_at is None or event.stage_warn_at is None:
        return None
    return {
        "name": stage.value,
        "light": light_between(event.stage_warn_at, event.stage_due_at, now),
        "warn_at": event.stage_warn_at.isoformat(),
        "due_at": event.stage_due_at.isoformat(),
    }


def turned(before: str, after: str) -> bool:
    """Whether a step from one status to another begins or ends a stage."""
    return STAGE_OF.get(before) != STAGE_OF.get(after)
