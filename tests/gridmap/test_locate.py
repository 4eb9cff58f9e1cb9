"""Which cell a place lies in: the same answer everywhere, exactly one, and honest about its doubt."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import shapely
from django.contrib.gis.geos import Point
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks._truth import cells_by_shapely, corners_and_midpoints, random_places
from gridmap.bulk import CellIndex, locate_many, read_cells
from gridmap.coordinates import metres_per_degree
from gridmap.locate import cells_at, locate, moment_of, shares_of_circle
from gridmap.models import Cell, District
from tests.doing import next_version

DISTRICT = "150204"


@pytest.fixture
def district(db: None) -> District:
    return District.objects.get(pk=DISTRICT)


@pytest.fixture
def index(db: None) -> CellIndex:
    return read_cells(DISTRICT)


def by_sql(places: Any) -> list[Any]:
    """The cells of many places by the statement of a single one, in one go."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT found.id FROM unnest(%s::float8[], %s::float8[]) WITH ORDINALITY AS place (x, y, n)
            LEFT JOIN LATERAL (
                SELECT id FROM gridmap_cell WHERE valid_to IS NULL AND district_id = %s
                    AND ST_Covers(boundary, ST_SetSRID(ST_MakePoint(x, y), 4326))
                ORDER BY code COLLATE "C" LIMIT 1
            ) found ON true ORDER BY n""",
            [places[:, 0].tolist(), places[:, 1].tolist(), DISTRICT],
        )
        return [row[0] for row in cursor.fetchall()]


def ids(index: CellIndex, numbers: Any) -> list[Any]:
    return [index.ids[number] if number >= 0 else None for number in numbers]


def test_everywhere_the_answer_is_shapelys_and_exactly_one_cell(index: CellIndex) -> None:
    """A hundred thousand places, every vertex and every edge's middle; `scripts/bench locate --verify` takes a million."""
    borders = corners_and_midpoints(index.boundaries)
    places = np.concatenate([random_places(index.boundaries, 100_000, np.random.default_rng(3)), borders])
    expected, count = cells_by_shapely(index.boundaries, places)
    # The middle of an edge is rounded: on the district's outline that may be a hair outside, nowhere else.
    nowhere = shapely.points(borders[count[-len(borders) :] == 0])
    outline = shapely.coverage_union_all(index.boundaries).boundary
    assert shapely.dwithin(nowhere, outline, 1e-12).all()
    assert (count[-len(borders) :] > 1).mean() > 0.5
    found = index.locate(*places.T)
    np.testing.assert_array_equal(found, expected)
    sample = np.concatenate([places[:5_000], borders[::10]])
    assert by_sql(sample) == ids(index, index.locate(*sample.T))


def test_one_by_one_and_many_at_once_agree(index: CellIndex, district: District) -> None:
    rng = np.random.default_rng(5)
    borders = corners_and_midpoints(index.boundaries)
    places = np.concatenate([rng.choice(borders, 100), random_places(index.boundaries, 100, rng)])
    together = locate_many(*places.T, district=district)
    for (lon, lat), many in zip(places.tolist(), together, strict=True):
        location = locate(lon, lat, district=district)
        sure = location is not None and location.outside_m is None
        assert (location.cell.pk if location and sure else None) == many
        doubted = locate(lon, lat, district=district, accuracy_m=15)
        assert (doubted.cell.pk if doubted and doubted.outside_m is None else None) == many
        query = cells_at(Point(lon, lat, srid=4326)).filter(district=district).first()
        assert (query.pk if query else None) == many


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_hair_from_a_border_the_database_and_this_process_agree(
    index: CellIndex, data: st.DataObject
) -> None:
    """Places on an edge as exactly as numbers can say, and up to three of the least steps off it."""
    ring = shapely.get_coordinates(index.boundaries[data.draw(st.integers(0, len(index.ids) - 1))])
    n = data.draw(st.integers(0, len(ring) - 2))
    place = ring[n] + (ring[n + 1] - ring[n]) * data.draw(st.floats(0, 1))
    steps = np.array([data.draw(st.integers(-3, 3)), data.draw(st.integers(-3, 3))])
    place = (place + steps * np.spacing(place))[None]
    [found] = ids(index, index.locate(*place.T))
    assert by_sql(place) == [found]


def test_what_is_no_place_lies_in_no_cell(index: CellIndex) -> None:
    x, y = index.boundaries[0].point_on_surface().coords[0]
    found = index.locate([x, np.nan, np.inf, 0, x], [y, y, y, 0, np.nan])
    assert found.tolist() == [0, -1, -1, -1, -1]
    assert index.locate([], []).tolist() == []


def test_without_cells_nothing_is_found() -> None:
    empty = CellIndex([], [], np.array([], dtype=object))
    assert empty.locate([1.0], [2.0]).tolist() == [-1]


def test_reading_the_cells_is_one_statement(index: CellIndex) -> None:
    with CaptureQueriesContext(connection) as captured:
        read_cells(DISTRICT)
    assert len(captured) == 1
    assert index.codes == sorted(index.codes)


def test_a_lookup_is_one_statement_and_the_organisations_come_when_asked(
    cell: Cell, district: District
) -> None:
    x, y = cell.boundary.point_on_surface.coords
    for accuracy in (None, 0, 30):
        with CaptureQueriesContext(connection) as captured:
            location = locate(x, y, district=district, accuracy_m=accuracy)
            assert location is not None
            assert location.cell.unit_ids == cell.unit_ids
            assert (location.cell.pk, location.cell.code) == (cell.pk, cell.code)
            assert location.cell.district is district
        assert len(captured) == 1
    assert location.cell.community.name == cell.community.name


# --- in time ------------------------------------------------------------------------------------------------


def test_a_day_is_its_last_moment_in_the_districts_zone(district: District) -> None:
    assert moment_of(date(2026, 3, 1), district) == datetime(2026, 3, 1, 15, 59, 59, 999_999, UTC)
    district.time_zone = "America/New_York"  # where a day has 23 hours in spring
    assert moment_of(date(2026, 3, 8), district) == datetime(2026, 3, 9, 3, 59, 59, 999_999, UTC)


def test_today_is_the_present_layout_and_tomorrow_nobody_knows(district: District) -> None:
    district.time_zone = "Pacific/Kiritimati"
    today = (timezone.now() + timedelta(hours=14)).date()
    assert moment_of(today, district) is None
    with pytest.raises(ValueError, match="still to come"):
        moment_of(today + timedelta(days=1), district)


def test_what_began_at_midnight_counts_from_that_day_on(cell: Cell, district: District) -> None:
    new = next_version(cell)
    midnight = datetime(2026, 2, 28, 16, tzinfo=UTC)  # of 1 March in Qingshan
    Cell.objects.filter(pk=cell.pk).update(valid_to=midnight)
    Cell.objects.filter(pk=new.pk).update(valid_from=midnight)
    inside = cell.boundary.point_on_surface
    for day, expected in [(date(2026, 2, 28), cell), (date(2026, 3, 1), new)]:
        at = moment_of(day, district)
        assert cells_at(inside, at=at).get().pk == expected.pk
        assert locate_many([inside.x], [inside.y], district=DISTRICT, at=at) == [expected.pk]
    location = locate(inside.x, inside.y, district=district)
    assert location and location.cell.pk == new.pk
    assert cells_at(inside, at=datetime(2020, 1, 1, tzinfo=UTC)).first() is None


# --- doubt --------------------------------------------------------------------------------------------------


def test_a_circle_inside_its_cell_leaves_no_doubt(cell: Cell, district: District) -> None:
    x, y = cell.boundary.point_on_surface.coords
    location = locate(x, y, district=district, accuracy_m=3)
    assert location and location.candidates == ()


def test_a_circle_over_a_border_names_its_cells_with_their_shares(cell: Cell, district: District) -> None:
    [(ax, ay), (bx, by)] = cell.boundary.exterior_ring.coords[:2]
    x, y = (ax + bx) / 2, (ay + by) / 2
    location = locate(x, y, district=district, accuracy_m=2)
    assert location is not None
    assert len(location.candidates) == 2
    assert cell.pk in {one.cell_id for one in location.candidates}
    # A circle around the middle of a straight edge lies half on either side.
    assert [one.share for one in location.candidates] == [0.5, 0.5]
    assert location.cell.pk in {one.cell_id for one in location.candidates}


@pytest.mark.parametrize("radius", [5, 40, 250, 1000])
def test_shares_are_parts_of_the_circle_in_square_metres(
    cell: Cell, district: District, radius: float
) -> None:
    """Against PostGIS, which lays the circle and measures the areas on the ellipsoid."""
    x, y = cell.boundary.exterior_ring.coords[0]
    location = locate(x, y, district=district, accuracy_m=radius)
    assert location is not None
    assert 2 <= len(location.candidates) <= 12
    shares = [one.share for one in location.candidates]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) <= 1.001
    with connection.cursor() as cursor:
        cursor.execute(
            """WITH circle AS (SELECT ST_Buffer(ST_SetSRID(ST_MakePoint(%s, %s), 4326)::geography, %s, 32) AS g)
            SELECT cell.id, ST_Area(ST_Intersection(g::geometry, boundary)::geography) / ST_Area(g)
            FROM circle, gridmap_cell cell WHERE cell.id = ANY (%s)""",
            [x, y, radius, [one.cell_id for one in location.candidates]],
        )
        measured = dict(cursor.fetchall())
    for one in location.candidates:
        assert one.share == pytest.approx(measured[one.cell_id], abs=0.002)


def test_a_hopeless_fix_is_weighed_within_a_kilometre(cell: Cell, district: District) -> None:
    x, y = cell.boundary.point_on_surface.coords
    assert locate(x, y, district=district, accuracy_m=100_000) == locate(
        x, y, district=district, accuracy_m=1000
    )


@given(st.floats(0.01, 1000), st.floats(18, 53))
def test_the_shares_of_a_tiled_circle_make_one(radius: float, lat: float) -> None:
    east, north = 3 * radius / metres_per_degree(lat)
    parts = np.array(
        [
            shapely.box(110 + i * east, lat + j * north, 110 + (i + 1) * east, lat + (j + 1) * north)
            for i in (-1, 0)
            for j in (-1, 0)
        ]
    )
    np.testing.assert_allclose(shares_of_circle(110, lat, radius, parts), 0.25, atol=1e-6)


# --- outside ------------------------------------------------------------------------------------------------


@pytest.fixture
def edge(district: District) -> tuple[float, float]:
    """The westernmost point of the district."""
    ring = district.units.get(level=1).boundary[0].exterior_ring.coords
    return min(ring)


@pytest.mark.parametrize("accuracy", [None, 20])
def test_a_place_outside_goes_to_the_nearest_cell_within_the_limit(
    district: District, edge: tuple[float, float], accuracy: float | None
) -> None:
    x, y = edge
    east, _north = 1 / metres_per_degree(y)
    location = locate(x - 60 * east, y, district=district, accuracy_m=accuracy)
    assert location is not None
    assert location.outside_m == pytest.approx(60, abs=0.5)
    assert location.cell.pk == cells_at(Point(x, y, srid=4326)).first().pk
    assert locate(x - 101 * east, y, district=district, accuracy_m=accuracy) is None
    district.nearest_cell_m = 120
    assert locate(x - 101 * east, y, district=district, accuracy_m=accuracy) is not None
    district.nearest_cell_m = 0
    assert locate(x - 1 * east, y, district=district, accuracy_m=accuracy) is None
    inside = locate(x, y, district=district, accuracy_m=accuracy)
    assert inside is not None and inside.outside_m is None
