"""A case that ended begins anew: reopened by a reporter, or taken out of the one it was merged into."""

from datetime import datetime

from fieldops.lifecycle import SYSTEM
from fieldops.models import Event, Supervision, Transition
from gridmap.locate import cell_instead_of

from .moving import move


def begin_anew(event: Event, *, at: datetime, reason: str) -> list[Transition]:
    """Move the case (in memory) into a cell in force; cards of its first life want no answer and climb no further.

    Returns what follows the step by which it begins anew: none where its cell is in force still.
    """
    Supervision.objects.filter(event=event, answered_at__isnull=True, ended_at__isnull=True).update(
        ended_at=at
    )
    if event.cell.valid_to is None:
        return []
    return move(event, cell_instead_of(event.cell, event.point), actor=SYSTEM, at=at, reason=reason)
