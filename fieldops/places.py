"""Positions as they are declared become places: the one way from x, y and a system to a point."""

from django.contrib.gis.geos import Point

from gridmap.coordinates import ImplausiblePosition, UnknownCoordinateSystem, to_wgs84
from gridmap.models import WGS84

from .errors import ImplausibleCoordinates, UnknownCoordinates


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
