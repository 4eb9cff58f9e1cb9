"""The sides that `scripts/bench tiles` compares tell the same."""

from typing import Any

import mapbox_vector_tile
import pytest
from django.contrib.gis.geos import Point
from django.db import connection
from django.test import Client

from benchmarks import _tile_peer
from benchmarks.tiles import EVENT_COUNTS, EVENTS, SHAPES, bare_parameters
from fieldops.models import Event, User
from gridmap.models import Cell
from gridmap.tiles import Layer, Tile
from map_services.tile_views import near
from tests.doing import tile_at

DISTRICT = "150204"


def told(body: bytes, layer: str) -> list[tuple[Any, ...]]:
    """Of each feature its properties."""
    found = mapbox_vector_tile.decode(body, default_options={"y_coord_down": True})[layer]["features"]
    return sorted(tuple(sorted(feature["properties"].items())) for feature in found)


@pytest.mark.parametrize(
    ("layer", "zoom", "statement"),
    [
        (Layer.CELLS, 14, SHAPES.format(columns="code")),
        (Layer.COMMUNITIES, 10, SHAPES.format(columns="code, name, name_en")),
        (Layer.CASES, 15, EVENTS),
        (Layer.CASES, 10, EVENT_COUNTS),
    ],
)
def test_the_bare_statement_tells_what_a_tile_tells(
    client: Client, leader: User, located: Event, layer: Layer, zoom: int, statement: str
) -> None:
    near.clear()
    client.force_login(leader)
    there = Tile(zoom, *tile_at(located.point.x, located.point.y, zoom))
    ours = client.get(f"/tiles/{DISTRICT}/{layer}/{zoom}/{there.x}/{there.y}").content
    with connection.cursor() as cursor:
        cursor.execute(statement, bare_parameters(DISTRICT, layer, there))
        bare = bytes(cursor.fetchone()[0])
    name = "cells" if layer in (Layer.CELLS, Layer.COMMUNITIES) else layer
    assert told(ours, layer)
    assert told(ours, layer) == told(bare, name)


@pytest.mark.urls("benchmarks._tile_peer")
def test_the_view_beside_it_returns_the_same_bytes(client: Client, leader: User, cell: Cell) -> None:
    near.clear()
    client.force_login(leader)
    middle: Point = cell.boundary.centroid
    x, y = tile_at(middle.x, middle.y, 14)
    where = (DISTRICT, "cells", "14", str(x), str(y))
    answer = client.get("/tiles/" + "/".join(where), headers={"Accept-Encoding": "gzip"})
    headers = {name: answer[name] for name in ("Content-Type", "ETag", "Content-Encoding")}
    _tile_peer.HELD[where] = answer.content, headers
    held = client.get("/held/" + "/".join(where), headers={"Accept-Encoding": "gzip"})
    assert held.content == answer.content
