"""Coordinate reference systems that features are given in, named by URI; axes in the order their authority says."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyproj
import shapely
from django.contrib.gis.geos import GEOSGeometry, MultiPolygon, Polygon

from gridmap.models import WGS84

STEPS = 16  # points along each side of a box that is bent on its way to degrees


@dataclass(frozen=True)
class Crs:
    """A system: its URI, its number in PostGIS, whether the first axis is the northern one, and what to round to."""

    uri: str
    srid: int
    north_first: bool
    digits: int


CRS84 = Crs("http://www.opengis.net/def/crs/OGC/1.3/CRS84", WGS84, False, 7)


def _epsg(code: int) -> Crs:
    known = pyproj.CRS.from_epsg(code)
    return Crs(
        f"http://www.opengis.net/def/crs/EPSG/0/{code}",
        code,
        known.axis_info[0].direction == "north",
        7 if known.is_geographic else 3,
    )


# WGS-84 as its authority writes it; CGCS2000 in degrees and in the zone of 111° E; web Mercator.
OFFERED: dict[str, Crs] = {
    crs.uri: crs for crs in (CRS84, _epsg(4326), _epsg(4490), _epsg(4546), _epsg(3857))
}


class NotInCrs(ValueError):
    """The numbers are nowhere in the system they are said to be in."""


def area_of(numbers: tuple[float, float, float, float], crs: Crs) -> GEOSGeometry:
    """The box (lower corner, upper corner, axes as the system has them) as an area in WGS-84.

    A box in degrees whose west lies east of its east crosses the antimeridian. Raises NotInCrs.
    """
    west, south, east, north = (numbers[i] for i in ((1, 0, 3, 2) if crs.north_first else (0, 1, 2, 3)))
    if south > north:
        raise NotInCrs
    if crs.digits == 7:
        if not (-180 <= west <= 180 and -180 <= east <= 180 and south >= -90 and north <= 90):
            raise NotInCrs
        boxes = [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
        parts = [Polygon.from_bbox(_wide(left, south, right, north, 1e-9)) for left, right in boxes]
        return MultiPolygon(*parts, srid=WGS84)
    if west > east:
        raise NotInCrs
    least_x, least_y, most_x, most_y = _reach(crs.srid)
    west, east = (min(max(x, least_x), most_x) for x in (west, east))
    south, north = (min(max(y, least_y), most_y) for y in (south, north))
    box = shapely.box(*_wide(west, south, east, north, 1e-3))
    fine = shapely.segmentize(box, max(east - west, north - south, 1.0) / STEPS)
    lon, lat = _to_degrees(crs.srid).transform(*shapely.get_coordinates(fine).T)
    bent = shapely.polygons(np.column_stack([lon, lat]))
    return GEOSGeometry(memoryview(bytes(shapely.to_wkb(shapely.make_valid(bent)))), srid=WGS84)


def _wide(
    west: float, south: float, east: float, north: float, least: float
) -> tuple[float, float, float, float]:
    """The box, at least so wide and high: a point is an area, too."""
    return west, south, max(east, west + least), max(north, south + least)


@lru_cache
def _reach(srid: int) -> tuple[float, float, float, float]:
    """West, south, east, north (in the system) of where its numbers still mean a place: ten degrees about its area."""
    area = pyproj.CRS.from_epsg(srid).area_of_use
    if area is None:  # pragma: no cover
        raise NotInCrs
    box = (
        max(area.west - 10, -180),
        max(area.south - 10, -85),
        min(area.east + 10, 180),
        min(area.north + 10, 85),
    )
    return pyproj.Transformer.from_crs(WGS84, srid, always_xy=True).transform_bounds(*box)


@lru_cache
def _to_degrees(srid: int) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(srid, WGS84, always_xy=True)
