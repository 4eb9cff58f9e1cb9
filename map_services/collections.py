"""What features there are: each collection with its rows by right, its properties, and its place in time."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, cast
from uuid import UUID

from django.contrib.gis.db.models import GeometryField
from django.contrib.gis.db.models.aggregates import Union
from django.contrib.gis.geos import GEOSGeometry
from django.db.models import DateTimeField, Exists, F, Func, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Least
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from fieldops.rights import elements_visible_to, events_visible_to
from gridmap.models import CHAIN, Cell, Component, ElementKind, GridUnit, InForce, Level, RoadSegment

from .readers import Reader

Text = str | Promise


class Span(NamedTuple):
    """A stretch of time, both ends in it; None is open."""

    begin: datetime | None
    end: datetime | None


@dataclass(frozen=True)
class Property:
    """What a feature tells: the field it comes from, its type in JSON, and whether one can ask for a value of it."""

    field: str
    title: Text
    type: str = "string"
    format: str = ""

    @property
    def queryable(self) -> bool:
        """Whether `?name=value` filters by it."""
        return not self.format


@dataclass(frozen=True)
class Collection:
    """Features of one kind."""

    id: str
    title: Text
    description: Text
    rows: Callable[[Reader], QuerySet[Any]]
    properties: dict[str, Property]
    geometry: str = "boundary"
    geometry_type: str = "Polygon"
    key: type[UUID] | type[int] = UUID
    # What names such a unit on its cells; its area at an earlier moment is theirs.
    owner: str = ""
    # The field that says when: rows with a validity, or a moment; empty where time says nothing.
    time: str = ""
    first_time: str = field(default="", kw_only=True)

    def at(self, rows: QuerySet[Any], span: Span | None) -> QuerySet[Any]:
        """The rows that the stretch of time touches; of versions, those in force now where none is given."""
        if self.time == "validity":
            return self._in_force(rows, span)
        if self.time and span:
            if span.begin:
                rows = rows.filter(**{f"{self.time}__gte": span.begin})
            if span.end:
                rows = rows.filter(**{f"{self.time}__lte": span.end})
        return rows

    def _in_force(self, rows: QuerySet[Any], span: Span | None) -> QuerySet[Any]:
        if span is None:
            return cast(InForce, rows).in_force().annotate(outline=F(self.geometry))
        if span.begin:
            rows = rows.filter(Q(valid_to__isnull=True) | Q(valid_to__gt=span.begin))
        if span.end:
            rows = rows.filter(valid_from__lte=span.end)
        if not self.owner:
            return rows.annotate(outline=F(self.geometry))
        seen = Value(span.end or datetime.now(UTC), output_field=DateTimeField())
        last = Least(seen, F("valid_to") - timedelta(microseconds=1), output_field=DateTimeField())
        union = self._cells_then().order_by().values(self.owner).annotate(area=Union("boundary"))
        area = Subquery(union.values("area"), output_field=GeometryField())
        outline = Func(area, function="ST_Multi", output_field=GeometryField())
        return rows.annotate(seen_at=last).annotate(outline=outline)

    def ever(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """The rows at whatever time: a link to a version stays good after it ended."""
        return rows.annotate(outline=F(self.geometry)) if self.time == "validity" else rows

    def _cells_then(self) -> QuerySet[Cell]:
        return Cell.objects.filter(
            Q(valid_to__isnull=True) | Q(valid_to__gt=OuterRef("seen_at")),
            **{self.owner: OuterRef("pk")},
            valid_from__lte=OuterRef("seen_at"),
        )

    def within(self, rows: QuerySet[Any], area: GEOSGeometry, span: Span | None) -> QuerySet[Any]:
        """The rows whose geometry touches the area (WGS-84)."""
        if self.owner and span is not None:
            return rows.filter(Exists(self._cells_then().filter(boundary__intersects=area)))
        return rows.filter(**{f"{self.geometry}__intersects": area})

    @property
    def outline(self) -> str:
        """The name of the geometry on the rows that `at` returns."""
        return "outline" if self.time == "validity" else self.geometry


SYNTHETIC = Property("synthetic", _("generated, not surveyed"), "boolean")
VALIDITY = {
    "valid_from": Property("valid_from", _("in force from"), format="date-time"),
    "valid_to": Property("valid_to", _("in force until"), format="date-time"),
}


def _units(level: Level) -> Collection:
    names = {
        Level.DISTRICT_COMMITTEE: "district-committees",
        Level.REGIONAL_GROUP: "regional-groups",
        Level.STREET_COMMITTEE: "streets",
        Level.COMMUNITY: "communities",
        Level.PARTY_GROUP: "party-groups",
    }
    return Collection(
        names[level],
        level.label,
        _("Grid organisations of this level with the area they answer for; by `datetime` as it was then"),
        lambda reader: GridUnit.objects.filter(level=level, district__in=reader.districts),
        {
            "district": Property("district_id", _("district")),
            "code": Property("code", _("code")),
            "name": Property("area_name", _("name of the area")),
            "name_en": Property("name_en", _("English name")),
            "organisation": Property("name", _("name of the organisation")),
            "parent": Property("parent__code", _("organisation above")),
            "virtual": Property("virtual", _("virtual unit"), "boolean"),
            "synthetic": SYNTHETIC,
            **VALIDITY,
        },
        geometry_type="MultiPolygon",
        key=int,
        owner=CHAIN[level - 1],
        time="validity",
        first_time="valid_from",
    )


_ALL = [
    *(_units(level) for level in Level),
    Collection(
        "cells",
        _("Unit grid cells"),
        _("Versions of cells: those in force, or by `datetime` those of that moment"),
        lambda reader: Cell.objects.filter(district__in=reader.districts),
        {
            "district": Property("district_id", _("district")),
            "code": Property("code", _("code")),
            "lineage": Property("lineage", _("identity across versions"), format="uuid"),
            **{
                name: Property(f"{name}__code", label)
                for name, label in zip(
                    CHAIN,
                    (
                        _("district committee"),
                        _("regional group"),
                        _("street"),
                        _("community"),
                        _("grid party group"),
                    ),
                    strict=True,
                )
            },
            "synthetic": SYNTHETIC,
            **VALIDITY,
        },
        time="validity",
        first_time="valid_from",
    ),
    Collection(
        "road-segments",
        _("road segments"),
        _("Stretches of road that street chiefs answer for, as they are now"),
        lambda reader: RoadSegment.objects.filter(district__in=reader.districts, ended_at__isnull=True),
        {
            "district": Property("district_id", _("district")),
            "code": Property("code", _("code")),
            "name": Property("name", _("name")),
            "name_en": Property("name_en", _("English name")),
            "reach_m": Property("reach_m", _("reach to either side, metres"), "integer"),
            "synthetic": SYNTHETIC,
            "changed_at": Property("changed_at", _("last change"), format="date-time"),
        },
        geometry="line",
        geometry_type="LineString",
    ),
    Collection(
        "components",
        _("components"),
        _("Components that the reader may see, as they are now"),
        lambda reader: Component.objects.filter(
            element__in=elements_visible_to(reader.user).filter(kind=ElementKind.COMPONENT)
        ),
        {
            "district": Property("district_id", _("district")),
            "code": Property("code", _("code")),
            "name": Property("element__name", _("name")),
            "major": Property("major", _("major class")),
            "minor": Property("minor", _("minor class")),
            "class_name": Property("event_class__name", _("event class")),
            "state": Property("element__state", _("state")),
            "managing": Property("managing__code", _("managing department")),
            "owning": Property("owning__code", _("owning department")),
            "maintaining": Property("maintaining__code", _("maintaining department")),
            "accuracy_class": Property("accuracy_class", _("accuracy class")),
            "cell": Property("element__cell__code", _("cell")),
            "established_on": Property("element__established_on", _("initial date"), format="date"),
            "synthetic": Property("element__synthetic", _("generated, not surveyed"), "boolean"),
            "changed_at": Property("element__changed_at", _("last change"), format="date-time"),
        },
        geometry="element__point",
        geometry_type="Point",
    ),
    Collection(
        "cases",
        _("cases"),
        _("Cases that the reader may see; `datetime` asks when they were received"),
        lambda reader: events_visible_to(reader.user),
        {
            "district": Property("district_id", _("district")),
            "number": Property("number", _("case number")),
            "status": Property("status", _("status")),
            "kind": Property("event_class__kind", _("kind")),
            "major": Property("event_class__major", _("major class")),
            "minor": Property("event_class__minor", _("minor class")),
            "class_name": Property("event_class__name", _("event class")),
            "department": Property("department__code", _("responsible department")),
            "cell": Property("cell__code", _("cell")),
            "community": Property("cell__community__code", _("community")),
            "street": Property("cell__street__code", _("street")),
            "received_at": Property("received_at", _("received"), format="date-time"),
            "due_at": Property("due_at", _("due"), format="date-time"),
            "updated_at": Property("updated_at", _("last change"), format="date-time"),
        },
        geometry="point",
        geometry_type="Point",
        time="received_at",
        first_time="received_at",
    ),
]
COLLECTIONS: dict[str, Collection] = {collection.id: collection for collection in _ALL}
