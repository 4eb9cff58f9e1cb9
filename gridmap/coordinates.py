"""Coordinate systems a position may be declared in, and their way to WGS-84 and back.

Chinese web maps shift what they show. GCJ-02 (Amap, Tencent, WeChat) is off by hundreds of metres from
WGS-84, BD-09 (Baidu) adds a shift of its own. Neither is officially published; the formulas and constants
here are the ones open projects agree on (`eviltransform`, `coordtransform`). Surveyed data comes in CGCS2000,
in degrees or in metres of a Gauss-Krüger zone; the zones are EPSG's, computed by PROJ.

Every function takes x and y as numbers or as arrays of one shape, and returns the same shape. x is always the
easting or longitude, y the northing or latitude, whatever order a system's own definition names its axes in.
Outside China, as the shift model bounds it, GCJ-02 and BD-09 positions pass unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import cache

import numpy as np
import numpy.typing as npt
from pyproj import CRS, Transformer

Array = npt.NDArray[np.float64]
Number = float | Array
Conversion = Callable[[Array, Array], tuple[Array, Array]]
Box = tuple[float, float, float, float]  # west, south, east, north; degrees

# Krasovsky 1940, the ellipsoid the GCJ-02 formulas are written on: semi-major axis (m), eccentricity squared.
KRASOVSKY_A = 6378245.0
KRASOVSKY_EE = 0.00669342162296594323
# The rectangle outside which GCJ-02 leaves positions alone.
CHINA: Box = (72.004, 0.8293, 137.8347, 55.8271)
WORLD: Box = (-180, -90, 180, 90)
# BD-09: ripple frequency, ripple of radius and angle, offset of the origin.
BAIDU_FREQUENCY = np.pi * 3000.0 / 180.0
BAIDU_RADIUS, BAIDU_ANGLE = 0.00002, 0.000003
BAIDU_EAST, BAIDU_NORTH = 0.0065, 0.006

# Each round shrinks the error at least a hundredfold; the first guess is off by less than 0.02 degree.
INVERSE_ROUNDS = 6

# EPSG's 64 Gauss-Krüger zones of CGCS2000: of 6 degrees with the zone's number before the easting (4491–4501)
# and without (4502–4512), of 3 degrees with (4513–4533) and without (4534–4554). Qingshan: 4525 and 4546.
CGCS2000_ZONES = range(4491, 4555)
CGCS2000_DEGREES = 4490
# Surveyors carry a zone somewhat past its edge rather than change it within one job; degrees.
ZONE_OVERLAP = 0.5


class CoordinateSystem(StrEnum):
    """The systems in degrees a position may be declared in; the value is what is declared and stored.

    The projected ones are declared by their EPSG code: `EPSG:4546`. `EPSG:4326` and `EPSG:4490` are taken too.
    """

    WGS84 = "WGS84"
    """EPSG:4326: phones, GNSS."""
    GCJ02 = "GCJ02"
    """Amap, Tencent, WeChat."""
    BD09 = "BD09"
    """Baidu."""
    CGCS2000 = "CGCS2000"
    """EPSG:4490, geographic: surveyed data."""


# What a declaration can look like, for constraints on stored positions.
DECLARED_SYSTEM = rf"^({'|'.join(CoordinateSystem)}|EPSG:\d{{4}})$"
SAME_BY_CODE = {"EPSG:4326": CoordinateSystem.WGS84, "EPSG:4490": CoordinateSystem.CGCS2000}


class UnknownCoordinateSystem(ValueError):
    """A position came without a coordinate system, or with one this project cannot convert."""

    code = "unknown_coordinate_system"

    def __init__(self, declared: object) -> None:
        self.declared = declared
        known = ", ".join(CoordinateSystem)
        super().__init__(
            f"coordinate system {declared!r} is not one of {known} or EPSG:{CGCS2000_ZONES[0]} to "
            f"EPSG:{CGCS2000_ZONES[-1]}"
        )


class ImplausiblePosition(ValueError):
    """A position is not where its declared system is used.

    `reason` is `not_finite`, `axes_swapped` (it would be, the other way round) or `outside_area_of_use`;
    `index` is the place of the first such position where several came, `area` the box it should lie in.
    """

    code = "implausible_position"

    def __init__(self, reason: str, system: str, index: int, area: Box) -> None:
        self.reason, self.system, self.index, self.area = reason, system, index, area
        super().__init__(f"position {index}: {reason} of {system}, which is used in {area}")


def to_wgs84(x: Number, y: Number, system: str | None) -> tuple[Number, Number]:
    """Convert a position of the declared `system` (degrees, or metres where it is projected) to WGS-84 degrees.

    CGCS2000 is taken as WGS-84: its ellipsoid differs by a tenth of a millimetre, and its frame, ITRF97 held
    at epoch 2000.0, trails today's WGS-84 by the drift of the plate, about 3 cm a year — under a metre, well
    below a phone's accuracy (Yang Y., *Chinese Geodetic Coordinate System 2000*, Chin. Sci. Bull. 54, 2009).

    Raises UnknownCoordinateSystem when `system` is missing or not a known one, ImplausiblePosition when the
    position is no place where that system is used.
    """
    known = _known(system)
    degrees = _to_degrees(x, y, known)
    area = area_of_use(known)
    if not np.all(_inside(*degrees, area)):
        raise _implausible(x, y, known, area)
    match known:
        case CoordinateSystem.GCJ02:
            return gcj02_to_wgs84(*degrees)
        case CoordinateSystem.BD09:
            return gcj02_to_wgs84(*bd09_to_gcj02(*degrees))
        case _:
            return degrees


def from_wgs84(lon: Number, lat: Number, system: str | None) -> tuple[Number, Number]:
    """Convert WGS-84 degrees to the `system`: its degrees, or metres where it is projected.

    Raises UnknownCoordinateSystem and ImplausiblePosition as `to_wgs84` does.
    """
    known = _known(system)
    area = area_of_use(known)
    if not np.all(_inside(lon, lat, area)):
        raise _implausible(lon, lat, CoordinateSystem.WGS84, area, named=known)
    match known:
        case CoordinateSystem.GCJ02:
            return wgs84_to_gcj02(lon, lat)
        case CoordinateSystem.BD09:
            return gcj02_to_bd09(*wgs84_to_gcj02(lon, lat))
        case CoordinateSystem():
            return lon, lat
        case _:
            east, north = _zone(known).transform(lon, lat)
            return east, north


@cache
def area_of_use(system: str) -> Box:
    """Where positions of the system are believed, degrees: China for CGCS2000, a zone of it for a projected one.

    Raises UnknownCoordinateSystem.
    """
    known = _known(system)
    if known in (CoordinateSystem.WGS84, CoordinateSystem.GCJ02, CoordinateSystem.BD09):
        return WORLD
    degrees = known == CoordinateSystem.CGCS2000
    bounds = CRS.from_epsg(CGCS2000_DEGREES if degrees else int(known[5:])).area_of_use
    assert bounds is not None  # noqa: S101 — every system of EPSG has one
    wider = 0 if degrees else ZONE_OVERLAP
    return bounds.west - wider, bounds.south - wider, bounds.east + wider, bounds.north + wider


def is_projected(system: str) -> bool:
    """Whether positions of the system are in metres. Raises UnknownCoordinateSystem."""
    return not isinstance(_known(system), CoordinateSystem)


def _known(system: str | None) -> str:
    """The system, one in degrees as a CoordinateSystem."""
    if system in SAME_BY_CODE:
        return SAME_BY_CODE[system]
    if system in _PROJECTED:
        return str(system)
    try:
        return CoordinateSystem(system or "")
    except ValueError:
        raise UnknownCoordinateSystem(system) from None


_PROJECTED = frozenset(f"EPSG:{code}" for code in CGCS2000_ZONES)


@cache
def _zone(system: str) -> Transformer:
    return Transformer.from_crs(f"EPSG:{CGCS2000_DEGREES}", system, always_xy=True)


def _to_degrees(x: Number, y: Number, known: str) -> tuple[Number, Number]:
    if isinstance(known, CoordinateSystem):
        return x, y
    lon, lat = _zone(known).transform(x, y, direction="INVERSE")
    return lon, lat


def _inside(lon: Number, lat: Number, box: Box) -> npt.NDArray[np.bool_]:
    """Not so of what is no number."""
    west, south, east, north = box
    x, y = np.asarray(lon, float), np.asarray(lat, float)
    return (west <= x) & (x <= east) & (south <= y) & (y <= north)


def _implausible(
    x: Number, y: Number, known: str, area: Box, *, named: str | None = None
) -> ImplausiblePosition:
    """Say of the first position outside the area what is wrong with it."""
    xs, ys = np.atleast_1d(np.asarray(x, float)).ravel(), np.atleast_1d(np.asarray(y, float)).ravel()
    index = int(np.argmin(_inside(*_to_degrees(xs, ys, known), area)))
    one, other = float(xs[index]), float(ys[index])
    if not (np.isfinite(one) and np.isfinite(other)):
        reason = "not_finite"
    elif _inside(*_to_degrees(other, one, known), area):
        reason = "axes_swapped"
    else:
        reason = "outside_area_of_use"
    return ImplausiblePosition(reason, str(named or known), index, area)


def metres_per_degree(lat: float) -> Array:
    """How many metres a degree east and a degree north measure there, on the WGS-84 ellipsoid."""
    a, ee, phi = 6378137.0, 0.00669437999014, np.radians(lat)
    w = 1 - ee * np.sin(phi) ** 2
    return np.radians(np.array([a / np.sqrt(w) * np.cos(phi), a * (1 - ee) / w**1.5]))


def wgs84_to_gcj02(lon: Number, lat: Number) -> tuple[Number, Number]:
    """Shift WGS-84 to GCJ-02, by the published model."""
    return _forward(_gcj02_shift, lon, lat)


def gcj02_to_wgs84(lon: Number, lat: Number) -> tuple[Number, Number]:
    """Undo `wgs84_to_gcj02`, to far less than a centimetre of that model."""
    return _inverse(_gcj02_shift, lon, lat)


def gcj02_to_bd09(lon: Number, lat: Number) -> tuple[Number, Number]:
    """Shift GCJ-02 to BD-09, by the published model."""
    return _forward(_bd09_shift, lon, lat)


def bd09_to_gcj02(lon: Number, lat: Number) -> tuple[Number, Number]:
    """Undo `gcj02_to_bd09`, to far less than a centimetre of that model."""
    return _inverse(_bd09_shift, lon, lat)


def _forward(shift: Conversion, lon: Number, lat: Number) -> tuple[Number, Number]:
    def move(x: Array, y: Array) -> tuple[Array, Array]:
        east, north = shift(x, y)
        return x + east, y + north

    return _inside_china(move, lon, lat)


def _inverse(shift: Conversion, lon: Number, lat: Number) -> tuple[Number, Number]:
    def undo(shifted_x: Array, shifted_y: Array) -> tuple[Array, Array]:
        x, y = shifted_x, shifted_y
        for _ in range(INVERSE_ROUNDS):
            east, north = shift(x, y)
            x, y = shifted_x - east, shifted_y - north
        return x, y

    return _inside_china(undo, lon, lat)


def _inside_china(convert: Conversion, lon: Number, lat: Number) -> tuple[Number, Number]:
    west, south, _east, _north = CHINA
    x, y = np.asarray(lon, float), np.asarray(lat, float)
    inside = _inside(x, y, CHINA)
    # The formulas overflow far away, so points outside are computed somewhere harmless and then left alone.
    moved_x, moved_y = convert(np.where(inside, x, west), np.where(inside, y, south))
    return np.where(inside, moved_x, x)[()], np.where(inside, moved_y, y)[()]


def _gcj02_shift(lon: Array, lat: Array) -> tuple[Array, Array]:
    x, y = lon - 105.0, lat - 35.0
    ripple = 20.0 * np.sin(6.0 * np.pi * x) + 20.0 * np.sin(2.0 * np.pi * x)
    north = -100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * np.sqrt(np.abs(x))
    north += (
        2.0
        / 3.0
        * (
            ripple
            + 20.0 * np.sin(np.pi * y)
            + 40.0 * np.sin(np.pi / 3.0 * y)
            + 160.0 * np.sin(np.pi / 12.0 * y)
            + 320.0 * np.sin(np.pi / 30.0 * y)
        )
    )
    east = 300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * np.sqrt(np.abs(x))
    east += (
        2.0
        / 3.0
        * (
            ripple
            + 20.0 * np.sin(np.pi * x)
            + 40.0 * np.sin(np.pi / 3.0 * x)
            + 150.0 * np.sin(np.pi / 12.0 * x)
            + 300.0 * np.sin(np.pi / 30.0 * x)
        )
    )
    phi = np.radians(lat)
    w = 1.0 - KRASOVSKY_EE * np.sin(phi) ** 2
    meridian = KRASOVSKY_A * (1.0 - KRASOVSKY_EE) / (w * np.sqrt(w))
    parallel = KRASOVSKY_A / np.sqrt(w) * np.cos(phi)
    return np.degrees(east / parallel), np.degrees(north / meridian)


def _bd09_shift(lon: Array, lat: Array) -> tuple[Array, Array]:
    radius = np.hypot(lon, lat) + BAIDU_RADIUS * np.sin(lat * BAIDU_FREQUENCY)
    angle = np.arctan2(lat, lon) + BAIDU_ANGLE * np.cos(lon * BAIDU_FREQUENCY)
    return radius * np.cos(angle) + BAIDU_EAST - lon, radius * np.sin(angle) + BAIDU_NORTH - lat
