"""Positions as they are declared become places: the one way from x, y and a system to a point."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import asin, cos, radians, sin, sqrt
from typing import Any

import shapely
from django.contrib.gis.geos import Point

from gridmap.coordinates import ImplausiblePosition, UnknownCoordinateSystem, to_wgs84
from gridmap.models import WGS84

from .errors import ImplausibleCoordinates, UnknownCoordinates

NEAR_ENOUGH_METRES = 100
USABLE_ACCURACY_METRES = 100
EARTH_RADIUS_METRES = 6_371_008.8  # mean radius, IUGG


def place_of(x: float, y: float, system: str) -> Point:
    """The place in WGS-84 of a position in its declared system (degrees, or metres where it is projected).

    Raises UnknownCoordinates, and ImplausibleCoordinates for what is no place where that system is used.
    """
    try:
        lon, lat = to_wgs84(x, y, system)
    except UnknownCoordinateSystem:
        raise UnknownCoordinates(system=system) from None
    except ImplausiblePosition as refusal:
        raise ImplausibleCoordinates(
            reason=refusal.reason, system=system, area_of_use=list(refusal.area)
        ) from None
    return Point(float(lon), float(lat), srid=WGS84)


def line_of(corners: Sequence[tuple[float, float]], system: str) -> shapely.LineString:
    """The line in WGS-84 through corners (x, y) in their declared system. Raises as `place_of` does, and ValueError
    for fewer than two corners.
    """
    if len(corners) < 2:
        raise ValueError("a line has at least two corners")
    return shapely.LineString([place_of(x, y, system).coords for x, y in corners])


@dataclass(frozen=True)
class Fix:
    """Where a device says it is, in the declared system; accuracy in metres."""

    x: float
    y: float
    system: str
    accuracy_m: float | None = None


def where(point: Point, fix: Fix | None) -> dict[str, Any]:
    """The facts of a fix about a case at this point (WGS-84): as it came, how far away, and what is doubtful."""
    if fix is None:
        return {"flags": ["no_position"]}
    away = metres_between(point, place_of(fix.x, fix.y, fix.system))
    facts = {
        "x": fix.x,
        "y": fix.y,
        "system": fix.system,
        "accuracy_m": fix.accuracy_m,
        "metres_away": round(away),
    }
    # What a device says of its own accuracy excuses no more than a usable fix would.
    accuracy = fix.accuracy_m or 0
    flags = []
    if away - min(accuracy, USABLE_ACCURACY_METRES) > NEAR_ENOUGH_METRES:
        flags.append("far_from_the_case")
    if accuracy > USABLE_ACCURACY_METRES:
        flags.append("poor_position")
    return {**facts, "flags": flags} if flags else facts


def metres_between(a: Point, b: Point) -> float:
    """Great-circle distance (haversine) between two longitude/latitude points, in metres."""
    lat_a, lat_b = radians(a.y), radians(b.y)
    h = sin((lat_b - lat_a) / 2) ** 2 + cos(lat_a) * cos(lat_b) * sin(radians(b.x - a.x) / 2) ** 2
    return 2 * EARTH_RADIUS_METRES * asin(sqrt(h))
