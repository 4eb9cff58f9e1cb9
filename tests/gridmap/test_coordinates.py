"""Positions declared in one system have to land where they are in another."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gridmap.coordinates import (
    CHINA,
    CoordinateSystem,
    UnknownCoordinateSystem,
    bd09_to_gcj02,
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


@pytest.mark.parametrize("declared", [None, "", "wgs84", "EPSG:3857", "Mars"])
def test_an_undeclared_or_unknown_system_is_refused(declared):
    with pytest.raises(UnknownCoordinateSystem) as refusal:
        to_wgs84(*QINGSHAN, declared)
    assert refusal.value.code == "unknown_coordinate_system"
    assert isinstance(refusal.value, ValueError)
