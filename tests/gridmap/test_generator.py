"""The generated district has to be whole: real at its outline and in its names, exact inside."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import shapely
from shapely.geometry import shape

from gridmap.coordinates import gcj02_to_wgs84
from gridmap.generator import (
    Level,
    generate_district,
    load_boundary,
    load_divisions,
    reading_order,
)

QINGSHAN = Path(__file__).parents[2] / "fixtures" / "qingshan"
OUTLINE = QINGSHAN / "boundary_gcj02.geojson"
SEED = 150204


@pytest.fixture(scope="module")
def boundary():
    return load_boundary(OUTLINE)


@pytest.fixture(scope="module")
def divisions():
    return load_divisions(QINGSHAN)


@pytest.fixture(scope="module")
def plan(boundary, divisions):
    return generate_district(boundary, divisions, seed=SEED)


@pytest.fixture(scope="module")
def tiles(plan):
    return np.array([cell.boundary for cell in plan.cells])


def square_kilometres(geometry):
    """Area by the sinusoidal projection on a sphere of the ellipsoid's mean radius at 40.6 degrees north."""
    degree = np.pi / 180 * 6374.6
    return shapely.transform(
        geometry, lambda xy: np.column_stack([xy[:, 0] * np.cos(np.radians(xy[:, 1])), xy[:, 1]]) * degree
    ).area


def units_of(plan, level):
    return [unit for unit in plan.units if unit.level is level]


def test_the_published_outline_needs_the_repair_and_loses_next_to_nothing_by_it(boundary):
    published = shape(json.loads(OUTLINE.read_text())["geometry"])
    assert not published.is_valid
    assert boundary.is_valid
    converted = shapely.transform(
        published, lambda xy: np.column_stack(gcj02_to_wgs84(xy[:, 0], xy[:, 1]))
    ).area
    assert 0.9999 < boundary.area / converted <= 1
    assert square_kilometres(boundary) == pytest.approx(283, rel=0.03)


def test_an_outline_in_two_large_parts_is_refused(tmp_path):
    ring = [[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]
    path = tmp_path / "bow_tie.geojson"
    path.write_text(
        json.dumps({"type": "Feature", "geometry": {"type": "MultiPolygon", "coordinates": [[ring]]}})
    )
    with pytest.raises(ValueError, match="not one polygon"):
        load_boundary(path)


def test_cells_tile_the_district_without_gap_or_overlap(plan, tiles, boundary):
    assert all(shapely.is_valid(tiles))
    assert shapely.coverage_is_valid(tiles)
    (district,) = units_of(plan, Level.DISTRICT)
    assert shapely.coverage_union_all(tiles).equals(district.boundary)
    assert sum(shapely.area(tiles)) == pytest.approx(district.boundary.area, rel=1e-9)
    # Rounding to 1e-7 degree may move the outline by a centimetre, and leaves no hole.
    assert shapely.hausdorff_distance(district.boundary.boundary, boundary.boundary) < 1.5e-7
    assert square_kilometres(district.boundary) == pytest.approx(square_kilometres(boundary), rel=1e-5)


def test_coordinates_are_multiples_of_the_grid(tiles):
    coordinates = shapely.get_coordinates(tiles)
    assert np.array_equal(np.rint(coordinates * 1e7) / 1e7, coordinates)


def test_counts(plan):
    assert Counter(unit.level for unit in plan.units) == {
        Level.DISTRICT: 1,
        Level.REGIONAL_GROUP: 5,
        Level.STREET: 11,
        Level.COMMUNITY: 78,
        Level.PARTY_GROUP: len({cell.party_group for cell in plan.cells}),
    }
    assert 1400 <= len(plan.cells) <= 1600
    assert 290 <= len(units_of(plan, Level.PARTY_GROUP)) <= 350
    for codes in ([unit.code for unit in plan.units], [cell.code for cell in plan.cells]):
        assert len(set(codes)) == len(codes)


@pytest.mark.parametrize(
    ("level", "field"),
    [
        (Level.REGIONAL_GROUP, "regional_group"),
        (Level.STREET, "street"),
        (Level.COMMUNITY, "community"),
        (Level.PARTY_GROUP, "party_group"),
    ],
)
def test_units_are_the_unions_of_their_cells_and_tile_the_district(plan, level, field):
    units = units_of(plan, level)
    for unit in units:
        own = [cell.boundary for cell in plan.cells if getattr(cell, field) == unit.code]
        assert unit.boundary.is_valid
        assert unit.boundary.equals(shapely.coverage_union_all(own)), unit.code
    parts = shapely.get_parts([unit.boundary for unit in units])
    assert shapely.coverage_is_valid(parts)
    (district,) = units_of(plan, Level.DISTRICT)
    assert shapely.coverage_union_all(parts).equals(district.boundary)


def test_streets_communities_and_party_groups_are_in_one_piece(plan):
    for level in (Level.STREET, Level.COMMUNITY, Level.PARTY_GROUP):
        for unit in units_of(plan, level):
            assert len(unit.boundary.geoms) == 1, unit.code


def test_a_party_group_is_three_to_seven_cells_of_one_community_and_one_regional_group(plan):
    cells = {}
    for cell in plan.cells:
        cells.setdefault(cell.party_group, []).append(cell)
    for code, own in cells.items():
        assert 3 <= len(own) <= 7
        assert {cell.community for cell in own} == {code[:12]}
        assert len({cell.regional_group for cell in own}) == 1


def test_regional_groups_cross_street_boundaries(plan):
    streets, groups = {}, {}
    for cell in plan.cells:
        streets.setdefault(cell.regional_group, set()).add(cell.street)
        groups.setdefault(cell.street, set()).add(cell.regional_group)
    shared = {street for street, answering in groups.items() if len(answering) > 1}
    assert shared
    assert len(streets["150204J01"]) > 1
    assert streets["150204J01"] & shared


def test_codes_and_parents_follow_the_hierarchy(plan):
    units = {unit.code: unit for unit in plan.units}
    above = {
        Level.REGIONAL_GROUP: Level.DISTRICT,
        Level.STREET: Level.DISTRICT,
        Level.COMMUNITY: Level.STREET,
        Level.PARTY_GROUP: Level.COMMUNITY,
    }
    for unit in plan.units:
        if unit.level is Level.DISTRICT:
            assert unit.parent_code is None
        else:
            assert units[unit.parent_code].level is above[unit.level]
    for cell in plan.cells:
        assert len(cell.code) == 15
        assert cell.code.isdigit()
        assert cell.code[:12] == cell.community
        assert cell.community[:9] == cell.street
        assert units[cell.party_group].parent_code == cell.community


def test_reading_order_runs_west_to_east_in_bands_from_the_north():
    # A row that is not quite level, as rows of cells are.
    points = np.array([[2, 0], [0, 2], [1, 1.1], [2, 2.1], [0, 0], [1, 1.9], [0, 0.9], [1, -0.1], [2, 1]])
    assert reading_order(points).tolist() == [1, 5, 3, 6, 2, 8, 4, 7, 0]
    assert reading_order(np.empty((0, 2))).tolist() == []


def test_cells_are_numbered_from_one_west_to_east_then_north_to_south(plan):
    communities = {}
    for cell in plan.cells:
        communities.setdefault(cell.community, []).append(cell)
    for own in communities.values():
        assert [int(cell.code[-3:]) for cell in own] == list(range(1, len(own) + 1))
        centres = shapely.get_coordinates(shapely.centroid([cell.boundary for cell in own]))
        bands = np.array_split(centres, round(len(own) ** 0.5))
        assert all((np.diff(band[:, 0]) > 0).all() for band in bands)
        assert all(north[:, 1].min() > south[:, 1].max() for north, south in pairwise(bands))


def test_city_cells_are_smaller_than_country_cells(plan):
    city = [cell.boundary.area for cell in plan.cells if cell.street[-3:] < "100"]
    country = [cell.boundary.area for cell in plan.cells if cell.street[-3:] >= "100"]
    assert np.median(city) * 4 < np.median(country)
    # No slivers: a cell is never smaller than half a hectare, and never a splinter.
    assert min(map(square_kilometres, (cell.boundary for cell in plan.cells))) > 0.005
    assert min(4 * np.pi * c.boundary.area / c.boundary.length**2 for c in plan.cells) > 0.15


def test_names(plan):
    units = {unit.code: unit for unit in plan.units}
    expected = {
        "150204": ("青山区委", "青山区", "Qingshan District Committee"),
        "150204J01": (
            "装备制造区域集团党工委",
            "装备制造区域集团",
            "Equipment Manufacturing Regional Group Working Committee",
        ),
        "150204001": ("先锋道街道党工委", "先锋道街道", "Xianfengdao Subdistrict Working Committee"),
        "150204100": ("青福镇党委", "青福镇", "Qingfu Town Committee"),
        "150204001021": ("北嘉社区党组织", "北嘉社区", "Beijia Community Party Organisation"),
        "150204100200": ("昌福村党组织", "昌福村", "Changfu Village Party Organisation"),
        "150204100202": ("赵家店村党组织", "赵家店村", "Zhaojiadian Village Party Organisation"),
        "150204001021G01": (
            "北嘉社区第1网格综合党小组",
            "北嘉社区第1网格",
            "Beijia Community Grid 1 Party Group",
        ),
    }
    for code, names in expected.items():
        assert (units[code].name, units[code].area_name, units[code].name_en) == names
    for unit in plan.units:
        assert "委会" not in unit.name
        assert unit.name_en.isascii()
    assert units["150204401"].name == "包头市装备制造产业园区党工委"
    assert [unit.code for unit in units_of(plan, Level.COMMUNITY) if unit.virtual] == ["150204401498"]
    assert [unit.code for unit in plan.units if not unit.synthetic] == ["150204"]


def test_the_same_seed_draws_the_same_district_and_another_seed_another(plan, boundary, divisions):
    assert generate_district(boundary, divisions, seed=SEED) == plan
    other = generate_district(
        boundary, divisions, seed=20261123
    )  # two of its corners round to both sides of a half
    assert [cell.boundary for cell in other.cells] != [cell.boundary for cell in plan.cells]
    assert shapely.coverage_is_valid([cell.boundary for cell in other.cells])
