"""Road segments: laid out by codes, the side a place lies on, which segment a place belongs to."""

import math
from typing import Any

import numpy as np
import pytest
import shapely
from django.contrib.gis.geos import LineString, Point
from django.db import IntegrityError, transaction
from hypothesis import assume, given
from hypothesis import strategies as st

from gridmap.models import Cell, Element, RoadSegment, Shop, Side
from gridmap.segments import SegmentRow, put_shop, segment_at, side_of
from tests.doing import METRE, along, lay, place, row_in


@given(
    steps=st.lists(st.tuples(st.floats(20, 200), st.floats(-2.4, 2.4)), min_size=1, max_size=6),
    at=st.floats(0.02, 0.98),
    off=st.floats(0.5, 9),
)
def test_a_step_to_the_left_is_on_the_left(steps: list, at: float, off: float) -> None:
    """Beside a street of any bends, and the other way round on the other side, however it is drawn."""
    heading, x, y = 0.0, 0.0, 0.0
    corners = [(x, y)]
    for length, turn in steps:
        heading += turn
        x, y = x + length * math.cos(heading), y + length * math.sin(heading)
        corners.append((x, y))
    plane = shapely.LineString(corners)
    assume(plane.is_simple)
    spot = plane.interpolate(at, normalized=True)
    ahead = plane.interpolate(min(plane.project(spot) + 0.01, plane.length))
    direction = math.atan2(ahead.y - spot.y, ahead.x - spot.x)
    left = np.array([spot.x - off * math.sin(direction), spot.y + off * math.cos(direction)])
    # Only where this really is the nearest stretch: behind a sharp bend another one may be nearer.
    assume(shapely.Point(left).distance(plane) > off * 0.999)
    here = np.array([109.9, 40.65])
    scale = METRE / np.array([math.cos(math.radians(40.65)), 1])
    line = LineString([tuple(here + np.array(corner) * scale) for corner in corners], srid=4326)
    back = LineString(line.coords[::-1], srid=4326)
    point = Point(*(here + left * scale), srid=4326)
    assert side_of(line, point) == Side.LEFT
    assert side_of(back, point) == Side.RIGHT


@given(turn=st.floats(0.2, 2.9), toward=st.floats(0.05, 0.95), off=st.floats(0.5, 30))
def test_outside_of_a_bend(turn: float, toward: float, off: float) -> None:
    """In the wedge where the corner itself is nearest: on the right of a turn to the left."""
    end = (100 + 100 * math.cos(turn), 100 * math.sin(turn))
    direction = -math.pi / 2 + toward * turn
    place = (100 + off * math.cos(direction), off * math.sin(direction))
    here, scale = np.array([109.9, 40.65]), METRE / np.array([math.cos(math.radians(40.65)), 1])
    for mirror, side in ((1, Side.RIGHT), (-1, Side.LEFT)):
        line = [tuple(here + np.array((x, y * mirror)) * scale) for x, y in ((0, 0), (100, 0), end)]
        point = Point(*(here + np.array((place[0], place[1] * mirror)) * scale), srid=4326)
        assert side_of(LineString(line, srid=4326), point) == side


def test_on_the_line_counts_as_left() -> None:
    line = LineString((109.9, 40.65), (109.91, 40.65), srid=4326)
    assert side_of(line, Point(109.905, 40.65, srid=4326)) == Side.LEFT


def test_laying_out_adds_changes_and_turns_shops(cell: Cell) -> None:
    assert lay(along(cell)).added == 1
    segment = RoadSegment.objects.get(code="T-1")
    x, y = cell.boundary.point_on_surface.coords
    element = Element.objects.create(
        district_id="150204", kind="organisation", name="小卖部", cell=cell, system="WGS84",
        point=Point(x + 5 * METRE, y + 5 * METRE, srid=4326), x=x, y=y,
    )  # fmt: skip
    assert put_shop(element, segment=segment, house_number="12-3").side == Side.LEFT
    row = along(cell)
    assert lay(SegmentRow(**{**row.__dict__, "line": row.line[::-1]})).changed == 1
    assert Shop.objects.get(segment=segment).side == Side.RIGHT
    assert lay(SegmentRow(**{**row.__dict__, "line": row.line[::-1]})).unchanged == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"line": [(109.9, 40.65)]}, "bad_line"),
        ({"line": []}, "bad_line"),
        ({"line": [(109.9, 40.65), (109.9, 40.65)]}, "bad_line"),
        ({"line": [(109.9, 40.65), (109.901, 40.651), (109.901, 40.65), (109.9, 40.651)]}, "bad_line"),
        ({"line": [(109.9, 40.65), (119.9, 40.65)]}, "point_outside_district"),
        ({"line": [(109.9, 40.65), (float("inf"), 40.65)]}, "implausible_position"),
        ({"system": ""}, "unknown_coordinate_system"),
        ({"code": ""}, "bad_code"),
        ({"name": ""}, "name_missing"),
        ({"name_en": "x" * 121}, "bad_text"),
        ({"reach_m": 501}, "bad_reach"),
    ],
)
def test_a_faulty_segment_is_refused(cell: Cell, changes: dict[str, Any], code: str) -> None:
    done = lay(along(cell, "T-2"), along(cell, **changes))
    assert {(fault.row, fault.code) for fault in done.faults} == {(1, code)}
    assert not RoadSegment.objects.filter(code="T-2").exists()


def test_the_nearest_segment_that_reaches_a_place(cell: Cell) -> None:
    x, y = cell.boundary.point_on_surface.coords
    north = [(x - 300 * METRE, y + 30 * METRE), (x + 300 * METRE, y + 30 * METRE)]
    assert not lay(along(cell, reach_m=10), along(cell, "T-2", line=north)).faults

    def found(metres_north: float) -> str | None:
        segment = segment_at(Point(x + 5 * METRE, y + metres_north * METRE, srid=4326), district="150204")
        return segment and segment.code

    assert (found(2), found(9.9), found(11), found(69)) == ("T-1", "T-1", "T-2", "T-2")


def test_a_component_is_no_shop(cell: Cell) -> None:
    lay(along(cell))
    place(row_in(cell))
    element = Element.objects.get(component__code="1502040101900001")
    with pytest.raises(IntegrityError, match="a_shop_is_an_organisation_or_a_place"), transaction.atomic():
        put_shop(element, segment=RoadSegment.objects.get(code="T-1"))
