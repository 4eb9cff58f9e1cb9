"""Which department answers for which class in which street, and which pairs nobody answers for."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery

from fieldops.lifecycle import now
from fieldops.models import ClassInPlace, EventClass
from gridmap.models import CHAIN, Department

from .assignment import rules_for


@dataclass
class Pair:
    """A class in a street: so many of its cells have an owner, and which. Rules for one condition do not count."""

    event_class: EventClass
    street: str
    owners: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    without: int = 0

    @property
    def cells(self) -> int:
        """Of the street."""
        return self.without + sum(self.owners.values())

    @property
    def told(self) -> str:
        """The owners, the one of most cells first."""
        return ", ".join(sorted(self.owners, key=lambda name: -self.owners[name]))


def places_with_owner() -> QuerySet[Any]:
    """Every class in every place with `owner`, the id of the department; without a component. One statement."""
    fitting = rules_for(
        district=OuterRef("district_id"),
        event_class=(
            OuterRef("event_class__kind"),
            OuterRef("event_class__major"),
            OuterRef("event_class__minor"),
        ),
        condition=None,
        units=[OuterRef(f"{name}_id") for name in CHAIN],
        parties={},
        at=now(),
    )
    return ClassInPlace.objects.annotate(owner=Subquery(fitting.values("answers")[:1]))


def pairs(*, kind: str = "", street: str = "", only_without: bool = False) -> Iterator[Pair]:
    """Class by class, street by street; three statements."""
    places = places_with_owner()
    if kind:
        places = places.filter(event_class__kind=kind)
    if street:
        places = places.filter(street__code=street)
    if only_without:
        places = places.filter(owner__isnull=True)
    names = dict(Department.objects.values_list("pk", "name"))
    classes = EventClass.objects.in_bulk()
    found: dict[tuple[int, str], Pair] = {}
    rows = places.order_by(
        "event_class__kind", "event_class__major", "event_class__minor", "street__code", "id"
    ).values_list("event_class_id", "street__code", "street__area_name", "owner", "cells")
    for event_class, code, area, owner, cells in rows:
        pair = found.setdefault((event_class, code), Pair(classes[event_class], area))
        if owner is None:
            pair.without += cells
        else:
            pair.owners[names[owner]] += cells
    yield from found.values()
