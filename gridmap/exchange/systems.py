"""Coordinate systems of files: those `gridmap.coordinates` knows, and whatever else EPSG or a file defines.

A datum that PROJ cannot shift to WGS-84 within two metres (Xian 1980, most of Beijing 1954: their parameters are not
public) is refused rather than taken as something it is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError
from pyproj.transformer import TransformerGroup

from gridmap.coordinates import (
    CGCS2000_DEGREES,
    CGCS2000_ZONES,
    SAME_BY_CODE,
    WORLD,
    ZONE_OVERLAP,
    Box,
    CoordinateSystem,
    ImplausiblePosition,
    UnknownCoordinateSystem,
    area_of_use,
    from_wgs84,
    to_wgs84,
)

Array = npt.NDArray[np.float64]
# A shift between datums that is worse than this is no surveyor's.
WORST_SHIFT_M = 2.0
WGS84_CODE = 4326
FOR_GDAL: dict[str, str | None] = {"WGS84": "EPSG:4326", "CGCS2000": "EPSG:4490", "GCJ02": None, "BD09": None}


class NoTransformation(UnknownCoordinateSystem):
    """The system is known, but not how its datum lies to WGS-84."""

    code = "no_transformation"


@dataclass(frozen=True)
class System:
    """A system by its name: a CoordinateSystem, an EPSG code, or what a file calls its own (`wkt`)."""

    name: str
    wkt: str = ""

    @property
    def own(self) -> bool:
        """Whether `gridmap.coordinates` knows it."""
        return self.name in {*CoordinateSystem, *SAME_BY_CODE} or (
            self.name.startswith("EPSG:") and int(self.name[5:]) in CGCS2000_ZONES
        )

    @property
    def for_gdal(self) -> str | None:
        """How GDAL is told; None for GCJ-02 and BD-09, which no file format can name."""
        return FOR_GDAL.get(self.name, self.wkt or self.name)

    def to_wgs84(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Longitude and latitude in degrees. Raises ImplausiblePosition for what is no place of this system."""
        if self.own:
            lon, lat = to_wgs84(x, y, self.name)
            return np.asarray(lon), np.asarray(lat)
        lon, lat = self._degrees(x, y)
        self._believe(lon, lat, x, y)
        return lon, lat

    def from_wgs84(self, lon: Array, lat: Array) -> tuple[Array, Array]:
        """x and y of WGS-84 degrees. Raises ImplausiblePosition for what is no place of this system."""
        if self.own:
            x, y = from_wgs84(lon, lat, self.name)
            return np.asarray(x), np.asarray(y)
        self._believe(lon, lat, lon, lat)
        for step in reversed(_steps(self)):
            lon, lat = step.transform(lon, lat, direction="INVERSE")
        return np.asarray(lon), np.asarray(lat)

    def _degrees(self, x: Array, y: Array) -> tuple[Array, Array]:
        for step in _steps(self):
            x, y = step.transform(x, y)
        return np.asarray(x), np.asarray(y)

    def _believe(self, lon: Array, lat: Array, x: Array, y: Array) -> None:
        west, south, east, north = self.area
        bad = ~((west <= lon) & (lon <= east) & (south <= lat) & (lat <= north))
        if not bad.any():
            return
        index = int(np.argmax(bad))
        turned_x, turned_y = self._degrees(y[index : index + 1], x[index : index + 1])
        if not (np.isfinite(x[index]) and np.isfinite(y[index])):
            reason = "not_finite"
        elif west <= turned_x[0] <= east and south <= turned_y[0] <= north:
            reason = "axes_swapped"
        else:
            reason = "outside_area_of_use"
        raise ImplausiblePosition(reason, self.name, index, self.area)

    @property
    def area(self) -> Box:
        """Where positions of it are believed: west, south, east, north in degrees."""
        if self.own:
            return area_of_use(self.name)
        bounds = _crs(self).area_of_use
        if bounds is None:
            return WORLD
        wide = ZONE_OVERLAP
        return bounds.west - wide, bounds.south - wide, bounds.east + wide, bounds.north + wide


def declared_system(declared: str) -> System:
    """The system somebody states: `WGS84`, `GCJ02`, `BD09`, `CGCS2000` or `EPSG:…`.

    Raises UnknownCoordinateSystem, of it NoTransformation.
    """
    name = "".join(declared.split()).upper()
    name = {"GCJ-02": "GCJ02", "BD-09": "BD09", "WGS-84": "WGS84"}.get(name, name)
    if name in set(CoordinateSystem):
        return System(name)
    if not (name.startswith("EPSG:") and name.isascii() and name[5:].isdecimal() and len(name) <= 11):
        raise UnknownCoordinateSystem(declared)
    return _checked(System(str(SAME_BY_CODE.get(name, name))))


def system_of_file(crs: str) -> System:
    """The system a file names itself: an EPSG code, a URN, WKT, or as people do. Raises as `declared_system` does."""
    if crs.upper().endswith("CRS84"):
        return System(CoordinateSystem.WGS84)
    try:
        stated = _flat(CRS.from_user_input(crs))
    except CRSError:
        return declared_system(crs)
    code = stated.to_epsg(min_confidence=70)
    return declared_system(f"EPSG:{code}") if code else _checked(System(stated.name, stated.to_wkt()))


def _checked(system: System) -> System:
    if not system.own:
        try:
            _steps(system)
        except (CRSError, ProjError) as error:
            raise UnknownCoordinateSystem(system.name) from error
    return system


@cache
def _crs(system: System) -> CRS:
    return _flat(CRS.from_user_input(system.wkt or system.name))


def _flat(crs: CRS) -> CRS:
    """Without heights; a system that has none would lose its identity by being asked."""
    return crs.to_2d() if len(crs.axis_info) > 2 or crs.is_compound else crs


@cache
def _steps(system: System) -> tuple[Transformer, ...]:
    """To the degrees of its own datum, and from that datum to WGS-84; CGCS2000's is taken as WGS-84."""
    crs = _crs(system)
    degrees = crs.geodetic_crs
    if degrees is None or not (crs.is_projected or crs.is_geographic):
        raise UnknownCoordinateSystem(system.name)
    degrees = _flat(degrees)
    unprojected = (Transformer.from_crs(crs, degrees, always_xy=True),) if crs.is_projected else ()
    if degrees.to_epsg(min_confidence=25) in (WGS84_CODE, CGCS2000_DEGREES):
        return unprojected
    ways = TransformerGroup(degrees, WGS84_CODE, always_xy=True, allow_ballpark=False).transformers
    if not ways or not 0 <= ways[0].accuracy <= WORST_SHIFT_M:
        raise NoTransformation(system.name)
    return (*unprojected, ways[0])
