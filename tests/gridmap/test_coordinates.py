"""Positions declared in one system have to land where they are in another."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gridmap.coordinates import (
    CGCS2000_ZONES,
    CHINA,
    CoordinateSystem,
    ImplausiblePosition,
    UnknownCoordinateSystem,
    area_of_use,
    bd09_to_gcj02,
    from_wgs84,
    gcj02_to_bd09,
    gcj02_to_wgs84,
    to_wgs84,
    wgs84_to_gcj02,
)

WEST, SOUTH, EAST, NORTH = CHINA
# A shifted point near the edge may leave the rectangle and is then not shifted back.
EDGE = 0.02
QINGSHAN = (109.9016, 40.6432)

inside_china = st.tuples(
    st.floats(WEST + EDGE, EAST - EDGE, allow_nan=False),
    st.floats(SOUTH + EDGE, NORTH - EDGE, allow_nan=False),
)
anywhere = st.tuples(st.floats(-180, 180), st.floats(-90, 90))


def metres(a, b):
    """Distance of two nearby points on a sphere of 6,371 km."""
    degree = math.pi / 180 * 6371000
    return math.hypot((a[0] - b[0]) * math.cos(math.radians(a[1])) * degree, (a[1] - b[1]) * degree)


@given(inside_china)
def test_gcj02_round_trip_is_within_a_centimetre(point):
    assert metres(gcj02_to_wgs84(*wgs84_to_gcj02(*point)), point) < 0.01
    assert metres(wgs84_to_gcj02(*gcj02_to_wgs84(*point)), point) < 0.01


@given(inside_china)
def test_bd09_round_trip_is_within_a_centimetre(point):
    assert metres(bd09_to_gcj02(*gcj02_to_bd09(*point)), point) < 0.01
    assert metres(gcj02_to_bd09(*bd09_to_gcj02(*point)), point) < 0.01


@given(anywhere)
def test_outside_china_nothing_moves(point):
    assume(not (WEST <= point[0] <= EAST and SOUTH <= point[1] <= NORTH))
    for convert in (wgs84_to_gcj02, gcj02_to_wgs84, gcj02_to_bd09, bd09_to_gcj02):
        assert convert(*point) == point


@given(st.lists(anywhere, min_size=1, max_size=20))
def test_an_array_converts_as_its_points_do(points):
    lon, lat = np.array(points).T
    for convert in (wgs84_to_gcj02, gcj02_to_wgs84, gcj02_to_bd09, bd09_to_gcj02):
        together = np.column_stack(convert(lon, lat))
        singly = np.array([convert(*point) for point in points])
        np.testing.assert_allclose(together, singly, rtol=0, atol=1e-12)


def test_the_shift_in_qingshan_is_hundreds_of_metres():
    assert 400 < metres(wgs84_to_gcj02(*QINGSHAN), QINGSHAN) < 700
    assert 700 < metres(gcj02_to_bd09(*QINGSHAN), QINGSHAN) < 1100


# What the test program of `coordtransform` (wandergis, MIT) prints for 116.404, 39.915. It undoes a shift in
# one step, which leaves its inverses a metre or two from the model; its forward values are the model's.
@pytest.mark.parametrize(
    ("convert", "expected", "within"),
    [
        (wgs84_to_gcj02, (116.41024449916938, 39.91640428150164), 0.001),
        (gcj02_to_bd09, (116.41036949371029, 39.92133699351021), 0.001),
        (gcj02_to_wgs84, (116.39775550083061, 39.91359571849836), 2),
        (bd09_to_gcj02, (116.39762729119315, 39.90865673957631), 2),
    ],
)
def test_agrees_with_the_values_of_another_implementation(convert, expected, within):
    assert metres(convert(116.404, 39.915), expected) < within


def test_each_declared_system_reaches_the_same_place():
    gcj02 = wgs84_to_gcj02(*QINGSHAN)
    declared = {
        CoordinateSystem.WGS84: QINGSHAN,
        CoordinateSystem.CGCS2000: QINGSHAN,
        CoordinateSystem.GCJ02: gcj02,
        CoordinateSystem.BD09: gcj02_to_bd09(*gcj02),
    }
    assert set(declared) == set(CoordinateSystem)
    for system, point in declared.items():
        assert metres(to_wgs84(*point, system.value), QINGSHAN) < 0.01


def krueger(lon, lat, meridian, prefix):
    """Gauss-Krüger easting and northing on CGCS2000's ellipsoid, by Krüger's series to n⁴ (Karney 2011, (6)–(35))."""
    a, f = 6378137.0, 1 / 298.257222101
    n = f / (2 - f)
    radius = a / (1 + n) * (1 + n**2 / 4 + n**4 / 64)
    alpha = (
        n / 2 - 2 * n**2 / 3 + 5 * n**3 / 16 + 41 * n**4 / 180,
        13 * n**2 / 48 - 3 * n**3 / 5 + 557 * n**4 / 1440,
        61 * n**3 / 240 - 103 * n**4 / 140,
        49561 * n**4 / 161280,
    )
    phi, away = math.radians(lat), math.radians(lon - meridian)
    e = math.sqrt(f * (2 - f))
    t = math.sinh(math.atanh(math.sin(phi)) - e * math.atanh(e * math.sin(phi)))
    xi, eta = math.atan2(t, math.cos(away)), math.atanh(math.sin(away) / math.hypot(1, t))
    north = xi + sum(c * math.sin(2 * j * xi) * math.cosh(2 * j * eta) for j, c in enumerate(alpha, 1))
    east = eta + sum(c * math.cos(2 * j * xi) * math.sinh(2 * j * eta) for j, c in enumerate(alpha, 1))
    return prefix * 1e6 + 500_000 + radius * east, radius * north


# First EPSG code, number of zones, degrees of a zone, the first zone's number, whether it stands before the easting.
SERIES = [
    (4491, 11, 6, 13, True),
    (4502, 11, 6, 13, False),
    (4513, 21, 3, 25, True),
    (4534, 21, 3, 25, False),
]
ZONES = [
    (
        f"EPSG:{first + i}",
        (number + i) * width - (3 if width == 6 else 0),
        number + i if prefixed else 0,
    )
    for first, count, width, number, prefixed in SERIES
    for i in range(count)
]


def test_every_zone_of_cgcs2000_is_known_with_its_meridian_and_prefix():
    assert [system for system, _, _ in ZONES] == [f"EPSG:{code}" for code in CGCS2000_ZONES]
    for system, meridian, prefix in ZONES:
        west, south, east, north = area_of_use(system)
        for lon in (west + 1e-6, (west + east) / 2, east - 1e-6):
            for lat in (south + 1e-6, north - 1e-6):
                projected = from_wgs84(lon, lat, system)
                assert np.allclose(projected, krueger(lon, lat, meridian, prefix), rtol=0, atol=0.001), system
                assert metres(to_wgs84(*projected, system), (lon, lat)) < 0.001


def test_qingshan_in_its_zone_of_three_degrees():
    assert np.allclose(from_wgs84(*QINGSHAN, "EPSG:4546"), krueger(*QINGSHAN, 111, 0), rtol=0, atol=0.001)
    assert np.allclose(from_wgs84(*QINGSHAN, "EPSG:4525"), krueger(*QINGSHAN, 111, 37), rtol=0, atol=0.001)


@given(inside_china, st.sampled_from(list(CoordinateSystem)))
def test_out_and_in_again_is_the_same_place(point, system):
    assume(area_of_use(system)[0] <= point[0] <= area_of_use(system)[2])
    assume(area_of_use(system)[1] <= point[1] <= area_of_use(system)[3])
    assert metres(to_wgs84(*from_wgs84(*point, system), system), point) < 0.01


EAST_NORTH = krueger(*QINGSHAN, 111, 0)


@pytest.mark.parametrize(
    ("x", "y", "system", "reason"),
    [
        (math.nan, 40.6, "WGS84", "not_finite"),
        (109.9, math.inf, "GCJ02", "not_finite"),
        (40.6, 109.9, "WGS84", "axes_swapped"),
        (40.6, 109.9, "BD09", "axes_swapped"),
        (181.0, 40.6, "WGS84", "outside_area_of_use"),
        (2.35, 48.85, "CGCS2000", "outside_area_of_use"),
        (*EAST_NORTH[::-1], "EPSG:4546", "axes_swapped"),
        (*EAST_NORTH, "WGS84", "outside_area_of_use"),
        # Degrees where metres are declared, a zone's number too many, too few, or another's.
        (*QINGSHAN, "EPSG:4546", "outside_area_of_use"),
        (37e6 + EAST_NORTH[0], EAST_NORTH[1], "EPSG:4546", "outside_area_of_use"),
        (*EAST_NORTH, "EPSG:4525", "outside_area_of_use"),
        (36e6 + EAST_NORTH[0], EAST_NORTH[1], "EPSG:4525", "outside_area_of_use"),
        (1e30, -1e30, "EPSG:4546", "outside_area_of_use"),
        (math.nan, math.nan, "EPSG:4546", "not_finite"),
    ],
)
def test_a_position_that_is_no_place_of_its_system_is_refused(x, y, system, reason):
    with pytest.raises(ImplausiblePosition) as refusal:
        to_wgs84(x, y, system)
    assert (refusal.value.code, refusal.value.reason) == ("implausible_position", reason)


def test_the_first_implausible_one_of_many_is_named():
    with pytest.raises(ImplausiblePosition) as refusal:
        to_wgs84(np.array([109.9, 109.8, 300, 400]), np.full(4, 40.6), "WGS84")
    assert refusal.value.index == 2


@pytest.mark.parametrize(
    "declared", [None, "", "wgs84", "EPSG:3857", "EPSG:4555", "epsg:4546", "4546", "Mars"]
)
def test_an_undeclared_or_unknown_system_is_refused(declared):
    with pytest.raises(UnknownCoordinateSystem) as refusal:
        to_wgs84(*QINGSHAN, declared)
    assert refusal.value.code == "unknown_coordinate_system"
    assert isinstance(refusal.value, ValueError)
