"""推诿: between which departments cases go to and fro, counted from the orders that were sent back."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, OuterRef, Subquery

from gridmap.models import Department

from .models import Part, WorkOrder


@dataclass(frozen=True)
class Pair:
    """So often one department sent a case back that another got next, in so many cases."""

    sent_back_by: str
    given_to: str
    times: int
    cases: int


def ping_pong(district: str, *, since: datetime, until: datetime) -> list[Pair]:
    """The pairs of a district, for what was sent back in `[since, until)`; the most frequent first. Two statements.

    Only what somebody else got by then counts: a department that gets its case again is in no pair.
    """
    leading = WorkOrder.objects.filter(part=Part.LEAD, dispatched_at__lt=until)
    following = leading.filter(event=OuterRef("event"), dispatched_at__gt=OuterRef("sent_back_at"))
    rows = (
        leading.filter(event__district=district, sent_back_at__gte=since, sent_back_at__lt=until)
        .annotate(next=Subquery(following.order_by("dispatched_at").values("department")[:1]))
        .filter(next__isnull=False)
        .exclude(next=F("department"))
        .values_list("event_id", "department_id", "next")
    )
    counted: dict[tuple[int, int], list[object]] = {}
    for event, one, other in rows:
        counted.setdefault((one, other), []).append(event)
    names = dict(Department.objects.filter(district=district).values_list("pk", "name"))
    pairs = [
        Pair(names[one], names[other], len(events), len(set(events)))
        for (one, other), events in counted.items()
    ]
    return sorted(pairs, key=lambda pair: (-pair.times, pair.sent_back_by, pair.given_to))
