"""Coordinate systems a position may be declared in, and their way to WGS-84.

Chinese web maps shift what they show. GCJ-02 (Amap, Tencent, WeChat) is off by hundreds of metres from
WGS-84, BD-09 (Baidu) adds a shift of its own. Neither is officially published; the formulas and constants
here are the ones open projects agree on (`eviltransform`, `coordtransform`).

Every function takes longitude and latitude in degrees, as numbers or as arrays of one shape, and returns
the same shape. Outside China, as the shift model bounds it, positions pass unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Degrees = float | Array
Conversion = Callable[[Array, Array], tuple[Array, Array]]

# Krasovsky 1940, the ellipsoid the GCJ-02 formulas are written on: semi-major axis (m), eccentricity squared.
KRASOVSKY_A = 6378245.0
KRASOVSKY_EE = 0.00669342162296594323
# The rectangle outside which GCJ-02 leaves positions alone: west, south, east, north.
CHINA = (72.004, 0.8293, 137.8347, 55.8271)
# BD-09: ripple frequency, ripple of radius and angle, offset of the origin.
BAIDU_FREQUENCY = np.pi * 3000.0 / 180.0
BAIDU_RADIUS, BAIDU_ANGLE = 0.00002, 0.000003
BAIDU_EAST, BAIDU_NORTH = 0.0065, 0.006

# Each round shrinks the error at least a hundredfold; the first guess is off by less than 0.02 degree.
INVERSE_ROUNDS = 6


class CoordinateSystem(StrEnum):
    """The systems a position may be declared in; the value is what is declared and stored."""

    WGS84 = "WGS84"
    """EPSG:4326: phones, GNSS."""
    GCJ02 = "GCJ02"
    """Amap, Tencent, WeChat."""
    BD09 = "BD09"
    """Baidu."""
    CGCS2000 = "CGCS2000"
    """EPSG:4490, geographic: surveyed data."""


class UnknownCoordinateSystem(ValueError):
    """A position came without a coordinate system, or with one this project cannot convert."""

    code = "unknown_coordinate_system"

    def __init__(self, declared: object) -> None:
        self.declared = declared
        super().__init__(f"coordinate system {declared!r} is not one of {', '.join(CoordinateSystem)}")


def to_wgs84(x: Degrees, y: Degrees, system: str | None) -> tuple[Degrees, Degrees]:
    """Convert longitude `x` and latitude `y` (degrees) of the declared `system` to WGS-84.

    CGCS2000 is taken as WGS-84: its ellipsoid differs by a tenth of a millimetre, and its frame, ITRF97 held
    at epoch 2000.0, trails today's WGS-84 by the drift of the plate, about 3 cm a year — under a metre, well
    below a phone's accuracy (Yang Y., *Chinese Geodetic Coordinate System 2000*, Chin. Sci. Bull. 54, 2009).

    Raises UnknownCoordinateSystem when `system` is missing or not a CoordinateSystem.
    """
    match system:
        case CoordinateSystem.WGS84 | CoordinateSystem.CGCS2000:
            return x, y
        case CoordinateSystem.GCJ02:
            return gcj02_to_wgs84(x, y)
        case CoordinateSystem.BD09:
            return gcj02_to_wgs84(*bd09_to_gcj02(x, y))
        case _:
            raise UnknownCoordinateSystem(system)


def wgs84_to_gcj02(lon: Degrees, lat: Degrees) -> tuple[Degrees, Degrees]:
    """Shift WGS-84 to GCJ-02, by the published model."""
    return _forward(_gcj02_shift, lon, lat)


def gcj02_to_wgs84(lon: Degrees, lat: Degrees) -> tuple[Degrees, Degrees]:
    """Undo `wgs84_to_gcj02`, to far less than a centimetre of that model."""
    return _inverse(_gcj02_shift, lon, lat)


def gcj02_to_bd09(lon: Degrees, lat: Degrees) -> tuple[Degrees, Degrees]:
    """Shift GCJ-02 to BD-09, by the published model."""
    return _forward(_bd09_shift, lon, lat)


def bd09_to_gcj02(lon: Degrees, lat: Degrees) -> tuple[Degrees, Degrees]:
    """Undo `gcj02_to_bd09`, to far less than a centimetre of that model."""
    return _inverse(_bd09_shift, lon, lat)


def _forward(shift: Conversion, lon: Degrees, lat: Degrees) -> tuple[Degrees, Degrees]:
    def move(x: Array, y: Array) -> tuple[Array, Array]:
        east, north = shift(x, y)
        return x + east, y + north

    return _inside_china(move, lon, lat)


def _inverse(shift: Conversion, lon: Degrees, lat: Degrees) -> tuple[Degrees, Degrees]:
    def undo(shifted_x: Array, shifted_y: Array) -> tuple[Array, Array]:
        x, y = shifted_x, shifted_y
        for _ in range(INVERSE_ROUNDS):
            east, north = shift(x, y)
            x, y = shifted_x - east, shifted_y - north
        return x, y

    return _inside_china(undo, lon, lat)


def _inside_china(convert: Conversion, lon: Degrees, lat: Degrees) -> tuple[Degrees, Degrees]:
    west, south, east, north = CHINA
    x, y = np.asarray(lon, float), np.asarray(lat, float)
    inside = (west <= x) & (x <= east) & (south <= y) & (y <= north)
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
