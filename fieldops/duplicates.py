"""One problem reported many times is one case: near in space, time and class."""

from datetime import timedelta

from django.contrib.gis.geos import Point, Polygon
from django.contrib.gis.measure import D
from django.db.models import OuterRef, QuerySet
from django.utils import timezone

from .models import Event, EventClass
from .status import FINAL

NEAR_METRES = 50
NEAR_TIME = timedelta(hours=24)


def near_cases(point: Point, *, event_class: EventClass | OuterRef) -> QuerySet[Event]:
    """Open cases of the class within 50 m and 24 h: perhaps the same problem. A desk decides, nobody merges unasked."""
    # Degrees first, so that the spatial index is used; the exact distance (metres on the ellipsoid) after it.
    box = 0.001
    lon, lat = point.coords
    return (
        Event.objects.filter(
            point__within=Polygon.from_bbox((lon - box, lat - box, lon + box, lat + box)),
            point__distance_lte=(point, D(m=NEAR_METRES)),
            event_class=event_class,
            received_at__gte=timezone.now() - NEAR_TIME,
        )
        .exclude(status__in=FINAL)
        .order_by("received_at")
    )
