"""Each fault is found, in its place; what is below the tolerance is none, and is closed so that borders are shared."""

import json
import math
from collections.abc import Iterator

import numpy as np
import pytest
import shapely
from django.utils import translation
from hypothesis import given, settings
from hypothesis import strategies as st

from gridmap.topology import (
    Coded,
    Fault,
    as_geojson,
    check_codes,
    check_shapes,
    check_tiling,
    close_slivers,
    gather,
    same_area,
    share_vertices,
    union,
)

WEST, SOUTH, STEP = 109.80, 40.60, 0.01
NORTHWARD = 1 / 111_050  # degrees of latitude in a metre, at 40.6 N


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    with translation.override("en"):
        yield


def box(x: float, y: float, wide: float = 1, high: float = 1) -> shapely.Polygon:
    return shapely.box(
        *np.round([WEST + x * STEP, SOUTH + y * STEP, WEST + (x + wide) * STEP, SOUTH + (y + high) * STEP], 9)
    )


def one(faults: list[Fault], code: str, *features: str) -> Fault:
    """The only fault, of that code and these features, whose words name them and the place."""
    [fault] = faults
    assert (fault.code, fault.features) == (code, features)
    assert all(feature in fault.message for feature in features)
    if fault.place is not None:
        middle = fault.place.representative_point()
        assert f"{middle.x:.6f}, {middle.y:.6f}" in fault.message
    return fault


def at(fault: Fault, wanted: shapely.Geometry) -> None:
    assert shapely.hausdorff_distance(fault.place, wanted) < 1e-9


BOW = shapely.Polygon([(109.80, 40.60), (109.82, 40.62), (109.82, 40.60), (109.80, 40.62)])


# --- each by itself ---------------------------------------------------------------------------------------------


def test_a_valid_area_is_no_fault() -> None:
    hole = shapely.Polygon(box(0, 0, 3, 3).exterior, [box(1, 1).exterior])
    assert (
        check_shapes([("a", box(0, 0)), ("b", shapely.MultiPolygon([box(0, 0), box(2, 0)])), ("c", hole)])
        == []
    )


def test_self_crossing_is_shown_where_it_crosses() -> None:
    at(one(check_shapes([("a", BOW)]), "self_crossing", "a"), shapely.Point(109.81, 40.61))


def test_a_hole_that_touches_the_border_along_a_line_is_shown_there() -> None:
    shape = shapely.Polygon(box(0, 0, 3, 3).exterior, [box(1, 0, 1, 1).exterior])
    fault = one(check_shapes([("a", shape)]), "self_crossing", "a")
    assert fault.place.distance(shapely.LineString([(109.81, 40.60), (109.82, 40.60)])) < 1e-9


@pytest.mark.parametrize("shape", [None, shapely.Polygon(), shapely.MultiPolygon()])
def test_empty(shape: shapely.Geometry | None) -> None:
    assert one(check_shapes([("a", shape)]), "empty", "a").place is None


def test_an_area_that_is_a_line() -> None:
    flat = shapely.Polygon([(109.80, 40.60), (109.82, 40.60), (109.81, 40.60)])
    assert one(check_shapes([("a", flat)]), "empty", "a").place.distance(shapely.Point(109.81, 40.60)) < 1e-9


def test_wrong_type() -> None:
    line = shapely.LineString([(109.8, 40.6), (109.9, 40.6)])
    at(one(check_shapes([("a", line)]), "wrong_type", "a"), line)
    assert one(
        check_shapes([("a", shapely.MultiPolygon([box(0, 0), box(2, 0)]))], types=["Polygon"]),
        "wrong_type",
        "a",
    )


def test_numbers_that_are_none_and_places_that_are_nowhere() -> None:
    nan = shapely.Polygon([(109.8, 40.6), (math.nan, 40.6), (109.9, 40.7)])
    infinite = shapely.Polygon([(109.8, 40.6), (math.inf, 40.6), (109.9, 40.7)])
    metres = shapely.box(398428, 4496845, 400000, 4499000)
    assert one(check_shapes([("a", nan)]), "not_finite", "a").place is None
    assert one(check_shapes([("a", infinite)]), "not_finite", "a").place is None
    fault = one(check_shapes([("a", metres)]), "out_of_range", "a")
    assert fault.place is None
    assert "4.49684e+06" in fault.message


@pytest.mark.parametrize(
    ("code", "feature"),
    [
        ("malformed_code", Coded("15029900X", "150299", box(1, 0))),
        ("malformed_code", Coded("１５０２９９００２", "150299", box(1, 0))),
        ("malformed_code", Coded("150299002\n", "150299", box(1, 0))),
        ("duplicate_code", Coded("150299001", "150299", box(1, 0))),
        ("unknown_parent", Coded("150298002", "150298", box(1, 0))),
        ("code_contradicts_parent", Coded("150298002", "150299", box(1, 0))),
    ],
)
def test_codes(code: str, feature: Coded) -> None:
    first = Coded("150299001", "150299", box(0, 0))
    fault = one(check_codes([first, feature], pattern=r"\d{9}", parents=["150299"]), code, feature.code)
    at(fault, box(1, 0))
    assert check_codes([first], pattern=r"\d{9}", parents=["150299"]) == []
    assert check_codes([Coded("150299")], pattern=r"\d{6}", parents=None) == []


# --- side by side -------------------------------------------------------------------------------------------------


def test_what_tiles_is_no_fault() -> None:
    areas = {f"{x}{y}": box(x, y) for x in range(3) for y in range(3)}
    assert check_tiling(areas, box(0, 0, 3, 3)) == check_tiling(areas) == check_tiling({}) == []
    assert check_tiling({"a": box(0, 0, 1, 2), "b": box(1, 0), "c": box(1, 1)}, box(0, 0, 2, 2)) == []


def test_an_overlap_is_shown_with_its_width() -> None:
    fault = one(check_tiling({"b": box(1, 0), "a": box(0, 0, 1.2)}), "overlap", "a", "b")
    at(fault, box(1, 0, 0.2))
    assert fault.metres == pytest.approx(0.002 * 111_320 * math.cos(math.radians(40.605)), rel=0.01)


def test_one_area_twice_and_one_within_another_overlap() -> None:
    at(one(check_tiling({"a": box(0, 0), "b": box(0, 0)}), "overlap", "a", "b"), box(0, 0))
    at(one(check_tiling({"a": box(0, 0, 3, 3), "b": box(1, 1)}), "overlap", "a", "b"), box(1, 1))


def test_a_gap_in_the_parents_area_is_shown() -> None:
    faults = check_tiling({"a": box(0, 0), "b": box(1.5, 0, 0.5)}, box(0, 0, 2), parent="p")
    at(one(faults, "gap", "a", "b"), box(1, 0, 0.5))


def test_a_hole_between_areas_is_a_gap_without_an_outline_too() -> None:
    areas = {f"{x}{y}": box(x, y) for x in range(3) for y in range(3) if (x, y) != (1, 1)}
    [fault] = check_tiling(areas)
    assert (fault.code, len(fault.features)) == ("gap", 8)
    at(fault, box(1, 1))


def test_what_sticks_out_of_the_parent_is_shown() -> None:
    faults = check_tiling({"a": box(0, 0), "b": box(1, 0, 1.5)}, box(0, 0, 2), parent="p")
    fault = one(faults, "outside_parent", "b")
    at(fault, box(2, 0, 0.5))
    assert "p" in fault.message


def test_wholes_are_made_of_whole_parts() -> None:
    parts = {f"{x}{y}": box(x, y) for x in range(2) for y in range(2)}
    belongs, faults = gather({"south": box(0, 0, 2, 1), "north": box(0, 1, 2, 1)}, parts)
    assert faults == []
    assert belongs == {"00": "south", "10": "south", "01": "north", "11": "north"}
    belongs, faults = gather({"south": box(0, 0, 2, 1)}, parts)
    assert belongs == {"00": "south", "10": "south"}
    belongs, faults = gather({"j": box(0, 0, 2, 1.3)}, {"00": box(0, 0), "01": box(0, 1)}, code="cell_cut")
    at(one(faults, "cell_cut", "j", "01"), box(0, 1.3, 1, 0.7))


def test_every_fault_is_shown_on_the_map() -> None:
    faults = check_tiling({"a": box(0, 0), "b": box(1.5, 0, 1)}, box(0, 0, 2), parent="p")
    faults += check_shapes([("c", None)])
    shown = json.loads(json.dumps(as_geojson(faults)))
    assert [feature["properties"]["code"] for feature in shown["features"]] == [
        "outside_parent",
        "gap",
        "empty",
    ]
    assert shown["features"][2]["geometry"] is None
    assert shown["features"][0]["properties"]["features"] == ["b"]


def test_faults_are_told_in_chinese() -> None:
    with translation.override("zh-hans"):
        [fault] = check_tiling({"a": box(0, 0, 1.2), "b": box(1, 0)})
    assert "重叠" in fault.message


# --- the tolerance, and what is below it ----------------------------------------------------------------------------


@pytest.mark.parametrize(("metres", "found"), [(0.04, 0), (0.06, 1), (1.5, 1)])
@pytest.mark.parametrize("side", [1, -1])
def test_a_sliver_is_judged_in_metres(metres: float, found: int, side: int) -> None:
    rim = box(0, 1).bounds[1] + side * metres * NORTHWARD
    south = shapely.box(*box(0, 0).bounds[:3], rim)
    faults = check_tiling({"s": south, "n": box(0, 1)}, box(0, 0, 1, 2), tolerance_m=0.05)
    assert [fault.code for fault in faults] == ["overlap" if side > 0 else "gap"] * found
    assert all(fault.metres == pytest.approx(metres, rel=0.02) for fault in faults)


@given(
    shifts=st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=36, max_size=36),
    tolerance=st.sampled_from([0.05, 0.3, 2.0]),
)
@settings(max_examples=60, deadline=None)
def test_slivers_are_closed_so_that_neighbours_share_their_vertices(
    shifts: list[tuple[float, float]], tolerance: float
) -> None:
    """Nine squares whose corners each lie somewhere else within a fraction of the tolerance."""
    reach = tolerance * 0.4 * NORTHWARD
    moved = iter(shifts)
    areas: dict[str, shapely.Geometry] = {}
    for x in range(3):
        for y in range(3):
            corners = shapely.get_coordinates(box(x, y))[:-1]
            areas[f"{x}{y}"] = shapely.Polygon(
                [(a + reach * (s := next(moved))[0] * 0.7, b + reach * s[1] * 0.7) for a, b in corners]
            )
    outline = box(0, 0, 3, 3)
    assert not check_tiling(areas, outline, tolerance_m=tolerance)
    closed = close_slivers(areas, tolerance_m=tolerance)
    assert shapely.coverage_is_valid(np.array(list(closed.values()), object))
    assert not check_tiling(closed, outline, tolerance_m=tolerance)
    for code, area in areas.items():
        assert same_area(area, closed[code], tolerance_m=2 * tolerance)


def test_what_is_clean_is_left_to_the_last_digit() -> None:
    areas = {f"{x}{y}": box(x, y) for x in range(3) for y in range(3)}
    dirty = {**areas, "22": shapely.box(*np.add(box(2, 2).bounds, [2e-7, 0, 0, 0]))}
    closed = close_slivers(dirty, tolerance_m=0.05)
    assert shapely.coverage_is_valid(np.array(list(closed.values()), object))
    for code in ("00", "01", "10", "11"):
        assert shapely.normalize(closed[code]).equals_exact(shapely.normalize(areas[code]), 0)


def test_a_neighbour_gets_the_corner_on_its_edge() -> None:
    south, west, east = box(0, 0, 2), box(0, 1), box(1, 1)
    corner = shapely.get_coordinates(west)
    changed = share_vertices({"s": south, "e": east}, corner)
    assert list(changed) == ["s"]
    assert shapely.coverage_is_valid([changed["s"], west, east])
    assert changed["s"].equals(south)
    assert share_vertices(changed, corner) == {}
    assert union([changed["s"], west, east]).equals(box(0, 0, 2, 2))
