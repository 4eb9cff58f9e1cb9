"""Tiles over HTTP: rights, caching, what is refused, and when something changed."""

import base64
import time
from collections.abc import Callable
from typing import Any

import mapbox_vector_tile
import pytest
import uuid_utils.compat as uuid
from django.contrib.gis.geos import Point
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from fieldops.intake import Receipt
from fieldops.models import Check, Event, Holding, Post, User
from gridmap import tiles
from gridmap.models import Cell, Element, ElementKind, Person, RoadSegment
from gridmap.tasks import redraw_tiles
from gridmap.tiles import Layer
from map_services.tile_views import near
from tests.doing import tile_at

DISTRICT = "150204"
PASSWORD = "qingshan-demo-2026"


def address(layer: str, point: Point, z: int, district: str = DISTRICT) -> str:
    x, y = tile_at(point.x, point.y, z)
    return f"/tiles/{district}/{layer}/{z}/{x}/{y}"


def features(answer: Any, layer: str) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.content
    assert answer["Content-Type"] == "application/vnd.mapbox-vector-tile"
    if not answer.content:
        return []
    decoded = mapbox_vector_tile.decode(answer.content, default_options={"y_coord_down": True})
    return decoded.get(layer, {"features": []})["features"]


@pytest.fixture(autouse=True)
def _forgetful() -> None:
    near.clear()


@pytest.fixture
def enter(client: Client) -> Callable[[User], Client]:
    def enter(user: User) -> Client:
        client.force_login(user)
        return client

    return enter


@pytest.mark.parametrize("layer", [layer.value for layer in Layer])
def test_every_layer_answers_staff(enter: Any, leader: User, cell: Cell, layer: str) -> None:
    answer = enter(leader).get(address(layer, cell.boundary.centroid, 14))
    found = features(answer, layer)
    assert bool(found) == (layer != "cases")


def test_who_may_not_read_gets_nothing(
    client: Client, outsider: User, resident: User, leader: User, cell: Cell
) -> None:
    where = address("cells", cell.boundary.centroid, 14)
    assert client.get(where).status_code == 401
    assert client.get(where).json()["code"] == "not_authenticated"
    for stranger in (outsider, resident):
        client.force_login(stranger)
        answer = client.get(where)
        assert (answer.status_code, answer.json()["code"]) == (403, "not_permitted")
    client.force_login(leader)
    answer = client.get(address("cells", cell.boundary.centroid, 14, district="110101"))
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("number", "status"),
    [
        ("14/13200/6150", 200),
        ("14/16384/0", 400),
        ("14/-1/0", 400),
        ("23/0/0", 400),
        ("1/0/0.5", 400),
        ("1/0/１", 400),
        ("999999999999/0/0", 400),
        ("a/b/c", 400),
        ("1/0/0%00", 400),
        ("1/0/0;select", 400),
    ],
)
def test_numbers_that_name_no_tile_are_told_so(enter: Any, leader: User, number: str, status: int) -> None:
    answer = enter(leader).get(f"/tiles/{DISTRICT}/cells/{number}")
    assert answer.status_code == status
    if status != 200:
        assert answer["Content-Type"] == "application/problem+json"
        assert answer.json()["code"] == "no_such_tile"


def test_other_layers_and_methods_are_refused(enter: Any, leader: User) -> None:
    entered = enter(leader)
    for layer in ("persons", "people", "fieldops_user", "cells'--"):
        assert entered.get(f"/tiles/{DISTRICT}/{layer}/1/0/0").json()["code"] == "not_found"
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(leader)
    answer = strict.post(f"/tiles/{DISTRICT}/cells/1/0/0")
    assert answer.status_code == 405
    assert answer["Allow"] == "GET, HEAD, OPTIONS"


def test_a_tile_is_kept_and_asked_for_again_without_the_database(
    enter: Any, leader: User, cell: Cell
) -> None:
    entered, where = enter(leader), address("cells", cell.boundary.centroid, 14)
    with CaptureQueriesContext(connection) as asked:
        first = entered.get(where)
    # Session, person, posts, version, tile.
    assert len(asked) == 5
    with CaptureQueriesContext(connection) as asked:
        again = entered.get(where)
        other = entered.get(address("communities", cell.boundary.centroid, 14))
    assert again.content == first.content
    assert len(asked) == 2, asked.captured_queries  # version and tile of the other layer
    assert other["ETag"] != first["ETag"]
    near.clear()
    with CaptureQueriesContext(connection) as asked:
        assert entered.get(where).content == first.content
    assert len(asked) == 4  # another process: the tile comes out of the cache
    assert first["Cache-Control"] == "private, max-age=60"
    assert set(first["Vary"].split(", ")) >= {"Accept-Encoding", "Authorization", "Cookie"}
    assert first["ETag"] == again["ETag"]
    unchanged = entered.get(where, headers={"If-None-Match": first["ETag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    packed = entered.get(where, headers={"Accept-Encoding": "gzip"})
    assert packed["Content-Encoding"] == "gzip"
    assert packed["ETag"] == first["ETag"]


def test_without_a_cache_tiles_come_all_the_same(enter: Any, leader: User, cell: Cell, settings: Any) -> None:
    settings.CACHES = {
        "default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/0"},
    }
    where = address("cells", cell.boundary.centroid, 14)
    entered = enter(leader)
    first, again = entered.get(where), entered.get(where)
    assert features(first, "cells")
    assert first.content == again.content


def test_a_new_layout_shows_when_it_is_drawn(enter: Any, leader: User, cell: Cell) -> None:
    entered, where = enter(leader), address("cells", cell.boundary.centroid, 15)
    before = entered.get(where)
    Cell.objects.filter(pk=cell.pk).update(code="150204999999998")
    redraw_tiles()
    near.clear()  # or five seconds later
    after = entered.get(where, headers={"If-None-Match": before["ETag"]})
    codes = {feature["properties"]["code"] for feature in features(after, "cells")}
    assert "150204999999998" in codes
    assert cell.code not in codes


# --- cases ---------------------------------------------------------------------------------------------------------


def numbers(answer: Any) -> set[str]:
    return {feature["properties"]["number"] for feature in features(answer, "cases")}


def test_cases_are_shown_to_those_who_may_see_them(
    client: Client, leader: User, located: Event, file_report: Callable[..., Receipt], resident: User
) -> None:
    where = address("cases", located.point, 16)
    client.force_login(leader)
    [feature] = features(client.get(where), "cases")
    assert feature["properties"] == {
        "id": str(located.pk),
        "number": located.number,
        "status": "located",
        "class": located.event_class.name,
    }
    away = Post.objects.filter(role="street_chief").exclude(unit=located.cell.street).first()
    chief = Post.objects.get(role="street_chief", unit=located.cell.street)
    client.force_login(chief.holders.first())
    assert numbers(client.get(where)) == {located.number}
    client.force_login(away.holders.first())
    assert numbers(client.get(where)) == set()
    # Another case: seen once the version is asked for again.
    client.force_login(leader)
    other = file_report(resident).event
    near.clear()  # or five seconds later
    assert numbers(client.get(where)) == {located.number, other.number}


def test_what_one_post_alone_sees_is_in_no_other_posts_tile(enter: Any, located: Event) -> None:
    """Two posts for the same area: one was sent to look beyond it."""
    away = Post.objects.filter(role="grid_worker").exclude(unit=located.cell.community).first()
    twin = Post.objects.create(role="grid_worker", district_id=DISTRICT, unit=away.unit, name="twin")
    other = User.objects.create_user("twin")
    Holding.objects.create(post=twin, user=other, since=timezone.now())
    Check.objects.create(
        event=located,
        kind="verify",
        post=away,
        sent="neighbour",
        asked_at=timezone.now(),
        due_at=timezone.now(),
    )
    where = address("cases", located.point, 16)
    assert numbers(enter(away.holders.first()).get(where)) == {located.number}
    assert numbers(enter(other).get(where)) == set()


def test_far_away_cases_are_counted(
    enter: Any, leader: User, located: Event, file_report: Callable[..., Receipt], resident: User
) -> None:
    entered = enter(leader)
    file_report(resident)
    for zoom in (9, 11, 13):
        found = features(entered.get(address("cases", located.point, zoom)), "cases")
        assert sum(feature["properties"]["count"] for feature in found) == 2
        assert all(set(feature["properties"]) == {"count"} for feature in found)


def test_a_tile_of_cases_costs_one_statement(enter: Any, leader: User, located: Event) -> None:
    entered = enter(leader)
    entered.get(address("cases", located.point, 15))
    with CaptureQueriesContext(connection) as asked:
        entered.get(address("cases", located.point, 16))
    assert len(asked) == 1
    with CaptureQueriesContext(connection) as asked:
        entered.get(address("cases", located.point, 16))
    assert len(asked) == 0


def test_a_tile_is_remembered_no_longer_than_it_was_kept_for(
    enter: Any, leader: User, located: Event
) -> None:
    entered, where = enter(leader), address("cases", located.point, 16)
    entered.get(where)
    [key] = cache.keys("tiles:*:cases:16:*")
    cache.set(key, cache.get(key)._replace(until=time.time() - 1))
    near.clear()
    entered.get(where)  # another process, which finds it at the end of its time
    cache.delete(key)
    with CaptureQueriesContext(connection) as asked:
        assert numbers(entered.get(where)) == {located.number}
    assert len(asked) == 1


# --- elements --------------------------------------------------------------------------------------------------------


def element(cell: Cell, kind: str, **facts: Any) -> Element:
    place = cell.boundary.point_on_surface
    where = {"point": place, "x": place.x, "y": place.y, "system": "WGS84"} if kind != "person" else {}
    return Element.objects.create(district_id=DISTRICT, kind=kind, cell=cell, **where, **facts)


def test_elements_are_shown_by_right_and_people_never(client: Client, leader: User, cell: Cell) -> None:
    bench = element(cell, ElementKind.THING, name="长椅")
    person = element(cell, ElementKind.PERSON)
    Person.objects.create(
        element=person, district_id=DISTRICT, name="白雨水", point=cell.boundary.point_on_surface,
        x=110.0, y=40.6, system="WGS84",
    )  # fmt: skip
    where = address("elements", cell.boundary.point_on_surface, 16)
    client.force_login(leader)
    shown = {
        feature["properties"]["id"]: feature["properties"]
        for feature in features(client.get(where), "elements")
    }
    assert shown[str(bench.pk)] == {"id": str(bench.pk), "kind": "thing", "category": "", "name": "长椅"}
    assert str(person.pk) not in shown
    assert "person" not in {each["kind"] for each in shown.values()}
    away = Post.objects.filter(role="street_chief").exclude(unit=cell.street).first()
    client.force_login(away.holders.first())
    elsewhere = {feature["properties"]["id"] for feature in features(client.get(where), "elements")}
    assert str(bench.pk) not in elsewhere


def test_road_segments_are_lines(enter: Any, leader: User, cell: Cell) -> None:
    place = cell.boundary.point_on_surface
    line = f"LINESTRING({place.x} {place.y}, {place.x + 0.002} {place.y})"
    before = tiles.version(DISTRICT, "road-segments")
    RoadSegment.objects.create(id=uuid.uuid7(), district_id=DISTRICT, code="L1", name="钢铁大街", line=line)
    assert tiles.version(DISTRICT, "road-segments") == before + 1
    found = features(enter(leader).get(address("road-segments", place, 15)), "road-segments")
    [feature] = [each for each in found if each["properties"]["name"] == "钢铁大街"]
    assert feature["geometry"]["type"] == "LineString"


# --- other ways to say who one is ---------------------------------------------------------------------------------------


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def test_a_password_opens_what_the_session_opens(client: Client, leader: User, cell: Cell) -> None:
    where = address("cells", cell.boundary.centroid, 14)
    assert client.get(where, headers=basic("leader", PASSWORD)).status_code == 200
    with CaptureQueriesContext(connection) as asked:
        assert client.get(where, headers=basic("leader", PASSWORD)).status_code == 200
    assert len(asked) == 0
    assert client.get(where, headers=basic("leader", "wrong")).status_code == 401
    for broken in ("Basic", "Basic ###", "Basic YQ==", "Basic /w==", "Token", "Token \u00ff", "Bearer x"):
        assert client.get(where, headers={"Authorization": broken}).status_code == 401


def test_what_a_session_opened_is_not_remembered_under_a_header_that_says_nothing(
    client: Client, leader: User, cell: Cell
) -> None:
    """A proxy or a page may add such a header: whoever sends the same one without the session is a stranger."""
    where = address("cells", cell.boundary.centroid, 14)
    client.force_login(leader)
    for header in ("Bearer x", "Negotiate YII=", "Basic", ""):
        own = {"Authorization": header}
        expected = 401 if header == "Basic" else 200
        assert client.get(where, headers=own).status_code == expected
        assert Client().get(where, headers=own).status_code == 401
        assert Client().get(where).status_code == 401


def test_a_token_opens_it_too(client: Client, leader: User, cell: Cell) -> None:
    login = {"username": "leader", "password": PASSWORD}
    token = client.post("/api/v1/login", login, content_type="application/json").json()["token"]
    where = address("cells", cell.boundary.centroid, 14)
    assert client.get(where, headers={"Authorization": f"Token {token}"}).status_code == 200


def test_guessing_passwords_is_slowed_as_at_the_door(client: Client, leader: User) -> None:
    where = f"/tiles/{DISTRICT}/cells.json"
    answers = [client.get(where, headers=basic("leader", f"guess{n}")).status_code for n in range(12)]
    assert answers[:10] == [401] * 10
    assert answers[10:] == [429, 429]


def test_a_new_password_ends_what_the_old_one_opened(client: Client, leader: User) -> None:
    where = f"/tiles/{DISTRICT}/cells.json"
    assert client.get(where, headers=basic("leader", PASSWORD)).status_code == 200
    leader.set_password("another-password-7")
    leader.save()
    assert client.get(where, headers=basic("leader", PASSWORD)).status_code == 401


def test_a_map_learns_what_a_layer_is(enter: Any, leader: User) -> None:
    told = enter(leader).get(f"/tiles/{DISTRICT}/cells.json").json()
    assert told["minzoom"] == 12
    assert told["tiles"] == ["http://testserver/tiles/150204/cells/{z}/{x}/{y}"]
    assert told["vector_layers"] == [{"id": "cells", "fields": {"code": "String"}}]
    assert enter(leader).get("/tiles/110101/cells.json").status_code == 404
