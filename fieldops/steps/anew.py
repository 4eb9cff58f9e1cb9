"""A case that ended begins anew: reopened by a reporter, or taken out of the one it was merged into."""

from datetime import datetime
from typing import Any

from fieldops.models import Event, Supervision
from gridmap.locate import cells_at


def begin_anew(event: Event, *, at: datetime) -> dict[str, Any]:
    """Put the case (in memory) into a cell in force; cards of its first life want no answer and climb no further.

    Returns what the step tells of it.
    """
    Supervision.objects.filter(event=event, answered_at__isnull=True, ended_at__isnull=True).update(
        ended_at=at
    )
    if event.cell.valid_to is None:
        return {}
    # Boundaries changed since: an open case lies in a cell in force.
    event.cell = cells_at(event.point).filter(district=event.district_id).first() or event.cell
    return {"cell": event.cell.code}
