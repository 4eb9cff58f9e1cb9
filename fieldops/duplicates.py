"""One problem reported many times is one case: near in space, time and class."""

from datetime import datetime, timedelta

from django.contrib.gis.db.models.functions import Distance
from django.contrib.gis.geos import Point, Polygon
from django.contrib.gis.measure import D
from django.db.models import OuterRef, Q, QuerySet
from django.utils import timezone

from .models import Event, EventClass, Report
from .status import FINAL

NEAR_METRES = 50
NEAR_TIME = timedelta(hours=24)


def near_cases(
    point: Point, *, event_class: EventClass | OuterRef, around: datetime | None = None
) -> QuerySet[Event]:
    """Open cases of the class within 50 m, and 24 h of that moment (now): perhaps the same problem.

    A desk decides; nobody merges unasked.
    """
    around = around or timezone.now()
    # Degrees first, so that the spatial index is used; the exact distance (metres on the ellipsoid) after it.
    box = 0.001
    lon, lat = point.coords
    return (
        Event.objects.filter(
            point__within=Polygon.from_bbox((lon - box, lat - box, lon + box, lat + box)),
            point__distance_lte=(point, D(m=NEAR_METRES)),
            event_class=event_class,
            received_at__range=(around - NEAR_TIME, around + NEAR_TIME),
        )
        .exclude(status__in=FINAL)
        .order_by("received_at")
    )


def reports_of(event: Event) -> QuerySet[Report]:
    """Everything that was reported about a case, under its own number or that of a case that joined it."""
    return Report.objects.filter(Q(event=event) | Q(event__merged_into=event)).order_by("received_at", "pk")


def could_join(event: Event, among: QuerySet[Event]) -> list[Event]:
    """Of these cases those that this one probably repeats, nearest first, each with its `distance`; one statement."""
    near = near_cases(event.point, event_class=event.event_class, around=event.received_at)
    return list(
        near.filter(pk__in=among.values("pk"))
        .exclude(pk=event.pk)
        .annotate(distance=Distance("point", event.point))
        .order_by("distance", "received_at")
    )
