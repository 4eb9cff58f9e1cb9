"""Tiles of the grid: what is in them, that neighbours stay neighbours, and when they are drawn anew."""

from collections import Counter
from itertools import pairwise
from typing import Any

import mapbox_vector_tile
import numpy as np
import pytest
import shapely
import uuid_utils.compat as uuid
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from gridmap import tiles
from gridmap.models import Cell, Drawing, Element, GridUnit, Shape
from gridmap.tasks import redraw_tiles
from gridmap.tiles import CELLS_FROM, FIRST_DRAWN, GRID, LAST_DRAWN, Layer, NoSuchTile, Tile
from tests.doing import tile_at

DISTRICT = "150204"


def decode(tile: bytes) -> dict[str, Any]:
    return mapbox_vector_tile.decode(tile, default_options={"y_coord_down": True})


def covering(z: int) -> list[Tile]:
    """Every tile of the zoom that the district touches."""
    west, south, east, north = GridUnit.objects.get(district=DISTRICT, level=1).boundary.extent
    x, y = tile_at(west, north, z)
    last_x, last_y = tile_at(east, south, z)
    return [Tile(z, i, j) for i in range(x, last_x + 1) for j in range(y, last_y + 1)]


@pytest.mark.django_db
@pytest.mark.parametrize("zoom", range(FIRST_DRAWN, LAST_DRAWN + 1))
def test_what_is_drawn_is_a_coverage_at_every_zoom(zoom: int) -> None:
    for level in range(1, 7):
        shapes = Shape.objects.filter(district=DISTRICT, zoom=zoom, level=level).order_by("code")
        if level == 6 and zoom < CELLS_FROM:
            assert not shapes.exists()
            continue
        outlines = shapely.from_wkb([bytes(shape.outline.wkb) for shape in shapes])
        assert shapely.is_valid(outlines).all()
        assert shapely.coverage_is_valid(outlines), (level, zoom)
        expected = (
            Cell.objects.in_force().count() if level == 6 else GridUnit.objects.filter(level=level).count()
        )
        assert len(outlines) == expected


@pytest.mark.django_db
def test_levels_lie_on_one_another_and_lose_nothing() -> None:
    """At every zoom the outline of a level is the union of the one below: no second line beside the first."""
    for zoom in (9, 12, 15):
        area: dict[int, Any] = {}
        for level in (1, 3, 4, 5):
            shapes = Shape.objects.filter(district=DISTRICT, zoom=zoom, level=level)
            area[level] = shapely.union_all(shapely.from_wkb([bytes(s.outline.wkb) for s in shapes]))
        for level in (3, 4, 5):
            assert area[1].symmetric_difference(area[level]).area < 1e-6 * area[1].area


@pytest.mark.django_db
def test_coarse_drawings_are_light_and_near_the_truth() -> None:
    vertices = {}
    for zoom in (9, 12, 15):
        shapes = Shape.objects.filter(district=DISTRICT, zoom=zoom, level=4)
        outlines = shapely.from_wkb([bytes(shape.outline.wkb) for shape in shapes])
        vertices[zoom] = shapely.get_num_coordinates(outlines).sum()
    assert vertices[9] < vertices[12] < vertices[15]
    exact = Shape.objects.get(district=DISTRICT, zoom=15, level=1).outline
    coarse = Shape.objects.get(district=DISTRICT, zoom=9, level=1).outline
    assert exact.sym_difference(coarse).area < 0.02 * exact.area


@pytest.mark.django_db
@pytest.mark.parametrize("zoom", [12, 14])
def test_every_cell_is_there_and_neighbours_share_their_vertices(zoom: int) -> None:
    seen: set[str] = set()
    for tile in covering(zoom):
        layers = decode(tiles.grid_tile(DISTRICT, Layer.CELLS, tile))
        if "cells" not in layers:
            continue
        features = layers["cells"]["features"]
        seen |= {feature["properties"]["code"] for feature in features}
        assert all(set(feature["properties"]) == {"code"} for feature in features)
        sides: Counter[frozenset[tuple[int, int]]] = Counter()
        for feature in features:
            cell = shapely.geometry.shape(feature["geometry"])
            assert shapely.is_valid(cell) or not within_tile(cell), feature
            for ring in shapely.get_rings(shapely.get_parts(cell)):
                corners = [(int(x), int(y)) for x, y in shapely.get_coordinates(ring)]
                sides.update(frozenset(side) for side in pairwise(corners))
        # Every side inside the tile has a cell on either hand, corner for corner; else it is the district's border.
        outline = outline_in(tile)
        shapely.prepare(outline)
        for side, number in sides.items():
            middle = shapely.Point(np.mean(list(side), axis=0))
            if within_tile(middle):
                assert number == 2 or (number == 1 and outline.dwithin(middle, 2)), (tile, side, number)
    assert len(seen) == Cell.objects.in_force().filter(district=DISTRICT).count()


def within_tile(geometry: Any) -> bool:
    west, south, east, north = geometry.bounds
    return min(west, south) > 0 and max(east, north) < 4096


def outline_in(tile: Tile) -> Any:
    """The district's outline at the tile's zoom, in the tile's own units, row downwards."""
    shape = Shape.objects.get(district=DISTRICT, level=1, zoom=tile.z)
    width = tiles.tile_width(tile.z)
    outline = shapely.boundary(shapely.from_wkb(bytes(shape.outline.wkb)))

    def into_tile(xy: Any) -> Any:
        return np.column_stack(
            [
                ((xy[:, 0] + tiles.WORLD / 2) / width - tile.x) * 4096,
                ((tiles.WORLD / 2 - xy[:, 1]) / width - tile.y) * 4096,
            ]
        )

    return shapely.transform(outline, into_tile)


@pytest.mark.django_db
def test_a_shape_on_a_tiles_edge_reaches_beyond_it_and_is_labelled_once() -> None:
    labels: list[str] = []
    beyond = 0
    for tile in covering(13):
        layers = decode(tiles.grid_tile(DISTRICT, Layer.COMMUNITIES, tile))
        for feature in layers.get("labels", {"features": []})["features"]:
            labels.append(feature["properties"]["code"])
        for feature in layers.get("communities", {"features": []})["features"]:
            west, south, east, north = shapely.geometry.shape(feature["geometry"]).bounds
            assert min(west, south) >= -64
            assert max(east, north) <= 4096 + 64
            beyond += min(west, south) < 0 or max(east, north) > 4096
            assert set(feature["properties"]) == {"code", "name", "name_en"}
    assert beyond
    units = GridUnit.objects.filter(district=DISTRICT, level=4)
    assert sorted(labels) == sorted(units.values_list("code", flat=True))


@pytest.mark.django_db
def test_a_tile_is_one_statement_and_empty_far_away() -> None:
    for layer in GRID:
        with CaptureQueriesContext(
            connection,
        ) as asked:
            assert tiles.grid_tile(DISTRICT, layer, Tile(14, 0, 0)) == b""
        assert len(asked) == 1
        assert tiles.grid_tile("999999", layer, covering(12)[0]) == b""
    assert tiles.grid_tile(DISTRICT, Layer.CELLS, covering(11)[0]) == b""


@pytest.mark.django_db
def test_the_index_finds_shapes_by_level_zoom_and_place() -> None:
    """All three: else every tile would look through the shapes of all levels and zooms."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        tile = covering(14)[0]
        asked: list[tuple[str, Any]] = []

        def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            asked.append((sql, params))
            return execute(sql, params, many, context)

        with connection.execute_wrapper(note):
            tiles.grid_tile(DISTRICT, Layer.CELLS, tile)
        cursor.execute("EXPLAIN " + asked[0][0], asked[0][1])
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert plan.count("Index Cond: ((level = ") == 2, plan
    assert plan.count("(zoom = ") == 2


@given(st.integers(-3, 30), st.integers(-(2**33), 2**33), st.integers(-(2**33), 2**33))
def test_numbers_name_a_tile_or_none(z: int, x: int, y: int) -> None:
    try:
        west, south, east, north = Tile(z, x, y).degrees
    except NoSuchTile:
        assert not (0 <= z <= 22 and 0 <= x < 2**z and 0 <= y < 2**z)
    else:
        assert -180 <= west < east <= 180
        assert -85.06 < south < north < 85.06


@pytest.mark.django_db
def test_a_change_of_the_grid_is_noticed_and_drawn_anew(cell: Cell) -> None:
    assert tiles.stale_districts() == []
    assert redraw_tiles() == 0
    before = tiles.drawn_version(DISTRICT)
    x, y = tile_at(*cell.boundary.point_on_surface.coords, 15)
    tile = Tile(15, x, y)
    there = tiles.grid_tile(DISTRICT, Layer.CELLS, tile)
    Cell.objects.filter(pk=cell.pk).update(code="150204999999998")
    assert tiles.stale_districts() == [DISTRICT]
    assert tiles.grid_tile(DISTRICT, Layer.CELLS, tile) == there  # the old drawing until there is a new one
    assert redraw_tiles() == 1
    assert tiles.drawn_version(DISTRICT) > before
    codes = {
        f["properties"]["code"]
        for f in decode(tiles.grid_tile(DISTRICT, Layer.CELLS, tile))["cells"]["features"]
    }
    assert "150204999999998" in codes
    assert cell.code not in codes
    assert tiles.stale_districts() == []


@pytest.mark.django_db
def test_versions_grow_with_every_statement_and_survive_folding(cell: Cell) -> None:
    before, elements = (tiles.version(DISTRICT, kind) for kind in ("grid", "elements"))
    Cell.objects.filter(pk=cell.pk).update(synthetic=False)
    GridUnit.objects.filter(level=3).update(name_en="changed")
    assert tiles.version(DISTRICT, "grid") == before + 2
    Cell.objects.filter(code="none").update(synthetic=False)  # touched nothing
    assert tiles.version(DISTRICT, "grid") == before + 2
    tiles.fold_changes()
    assert tiles.version(DISTRICT, "grid") == before + 2
    assert tiles.version(DISTRICT, "elements") == elements


@pytest.mark.django_db
def test_an_empty_district_is_drawn_too() -> None:
    Drawing.objects.all().delete()
    Shape.objects.all().delete()
    assert tiles.drawn_version(DISTRICT) == -1
    assert redraw_tiles() == 1
    assert Shape.objects.filter(level=6, zoom=15).count() == Cell.objects.in_force().count()


# --- none too heavy ---------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_units_that_are_too_many_for_a_tile_come_from_a_finer_zoom_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Coarser tiles than the first drawing show it, too: there the whole district counts."""
    assert [tiles.first_zoom(DISTRICT, layer) for layer in GRID] == [0, 0, 0, 0, 0, 12]
    monkeypatch.setattr(tiles, "MOST_UNITS", 100)
    tiles.redraw(DISTRICT)
    groups = GridUnit.objects.filter(level=5).count()
    assert groups > 3 * 100
    first = tiles.first_zoom(DISTRICT, Layer.PARTY_GROUPS)
    assert FIRST_DRAWN < first < LAST_DRAWN
    assert [tiles.first_zoom(DISTRICT, layer) for layer in GRID[:4]] == [0, 0, 0, 0]
    seen: set[str] = set()
    for zoom in (0, FIRST_DRAWN, first - 1, first):
        for tile in covering(zoom):
            body = decode(tiles.grid_tile(DISTRICT, Layer.PARTY_GROUPS, tile))
            assert zoom >= first or body == {}
            labels = body.get("labels", {"features": []})["features"]
            assert len(labels) <= 100
            seen |= {feature["properties"]["code"] for feature in labels}
    assert len(seen) == groups


@pytest.mark.django_db
def test_a_tile_of_points_with_long_names_holds_fewer_of_them(cell: Cell) -> None:
    place = cell.boundary.point_on_surface
    x, y = tile_at(place.x, place.y, 15)
    made = [
        Element(
            id=uuid.uuid7(), district_id=DISTRICT, kind="thing", cell=cell, name=f"{n:06}" + "长" * 114,
            point=place, x=place.x, y=place.y, system="WGS84",
        )
        for n in range(2000)
    ]  # fmt: skip
    Element.objects.bulk_create(made)
    rows = Element.objects.filter(pk__in=[one.pk for one in made])
    points = tiles.points_of(rows, {"id": "id", "name": "name"}, newest="id")
    body = tiles.points_tile(points, Layer.ELEMENTS, Tile(15, x, y))
    names = [feature["properties"]["name"] for feature in decode(body)["elements"]["features"]]
    assert len(body) <= tiles.MOST_BYTES
    assert 600 < len(names) < 1251
    assert min(names) == made[-len(names)].name  # the newest
