"""推诿: between which departments cases go to and fro, counted from the orders that were sent back."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db.models import F, OuterRef, Subquery, Value
from django.db.models.functions import Concat

from fieldops.models import Part, WorkOrder

from .figures import Period, Scope, all_behind
from .tables import names_of


@dataclass
class Pair:
    """Two departments: how often the first sent a case back that the second got next (`there`), and the other way."""

    keys: tuple[int, int]
    names: tuple[str, str]
    there: int = 0
    back: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    cases: dict[UUID, str] = field(default_factory=dict)  # key: number, the latest return first

    @property
    def times(self) -> int:
        """Both ways together."""
        return self.there + self.back


def ping_pong(period: Period, scope: Scope) -> list[Pair]:
    """The pairs between which work was passed on in a period, the most frequent first, of the cases of the scope.

    Only what somebody else got by the end of the period counts: a department that gets its case again is in no pair.
    Which cases, say the figures: of the area they lay in then, without those excluded. Three statements.
    """
    rows = _passed_on(period, scope)
    departments = names_of("department", {key for row in rows for key in (row["department"], row["next"])})
    pairs: dict[tuple[int, int], Pair] = {}
    for row in rows:
        one, other = sorted((row["department"], row["next"]), key=lambda key: (departments[key], key))
        pair = pairs.setdefault((one, other), Pair((one, other), (departments[one], departments[other])))
        if row["department"] == one:
            pair.there += 1
        else:
            pair.back += 1
        pair.classes[row["class"]] += 1
        pair.cases.setdefault(row["event"], row["event__number"])
    return sorted(pairs.values(), key=lambda pair: (-pair.times, pair.names))


def _passed_on(period: Period, scope: Scope) -> list[Any]:
    until = min(period.end, period.as_of)
    leading = WorkOrder.objects.filter(part=Part.LEAD, dispatched_at__lt=until)
    following = leading.filter(event=OuterRef("event"), dispatched_at__gt=OuterRef("sent_back_at"))
    return list(
        leading.filter(sent_back_at__gte=period.begin, sent_back_at__lt=until)
        .filter(event__in=all_behind("returns", period, scope))
        .annotate(next=Subquery(following.order_by("dispatched_at").values("department")[:1]))
        .annotate(
            **{
                "class": Concat(
                    "event__event_class__major",
                    "event__event_class__minor",
                    Value(" "),
                    "event__event_class__name",
                )
            }
        )
        .filter(next__isnull=False)
        .exclude(next=F("department"))
        .order_by("-sent_back_at")
        .values("event", "event__number", "class", "department", "next")
    )
