"""OGC API - Features: documents as the standard has them, filters, systems, pages, rights, and what is refused."""

import hashlib
import html
import json
import re
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

import jsonschema
import pyproj
import pytest
import shapely
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openapi_schema_validator import OAS30Validator, oas30_format_checker
from openapi_spec_validator import validate

from fieldops.models import Event, Post, User
from gridmap.models import Cell, District, GridUnit
from map_services.collections import COLLECTIONS
from map_services.crs import OFFERED
from tests.doing import next_version

HERE = Path(__file__).parent / "ogc"
CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
EPSG = "http://www.opengis.net/def/crs/EPSG/0/"
NAMES = sorted(COLLECTIONS)


def conforms(document: Any, *schemas: str) -> None:
    whole = json.loads((HERE / "schemas.json").read_text())
    checker = jsonschema.Draft202012Validator(
        {**whole, "allOf": [{"$ref": f"#/$defs/{one}"} for one in schemas]},
        format_checker=jsonschema.FormatChecker(),
    )
    assert [error.message for error in checker.iter_errors(document)] == []


@pytest.fixture
def ask(client: Client, leader: User) -> Callable[..., Any]:
    """Ask as the leader, who sees the whole district."""
    client.force_login(leader)

    def ask(address: str, expect: int = 200, **query: object) -> Any:
        named = {name.replace("_crs", "-crs"): value for name, value in query.items()}
        answer = client.get(f"/ogc{address}" + (f"?{urlencode(named)}" if named else ""))
        assert answer.status_code == expect, answer.content
        if expect >= 400:
            assert answer["Content-Type"] == "application/problem+json"
            conforms(answer.json(), "exception")
        return answer

    return ask


# --- documents ------------------------------------------------------------------------------------------------------


def test_the_schemas_are_those_that_were_written_down() -> None:
    digest = hashlib.sha256((HERE / "schemas.json").read_bytes()).hexdigest()
    assert digest in (HERE / "README.md").read_text()


def test_the_documents_are_as_the_standard_has_them(
    ask: Any, located: Event, file_report: Any, resident: User
) -> None:
    file_report(resident, at=Cell.objects.in_force().order_by("code").first())
    landing = ask("/").json()
    conforms(landing, "landingPage")
    assert {"self", "service-desc", "conformance", "data"} <= {link["rel"] for link in landing["links"]}
    conforms(ask("/conformance").json(), "confClasses")
    collections = ask("/collections").json()
    conforms(collections, "collections", "collectionsExtensionCrs")
    assert [one["id"] for one in collections["collections"]] == list(COLLECTIONS)
    for one in collections["collections"]:
        conforms(ask(f"/collections/{one['id']}").json(), "collection", "collectionExtensionCrs")
        assert one["storageCrs"] in one["crs"]
        [[west, south, east, north]] = one["extent"]["spatial"]["bbox"]
        assert 109 < west < east < 111
        assert 40 < south < north < 41.5
    assert ask("").json()["title"] == landing["title"]


def test_the_definition_is_valid_openapi(ask: Any) -> None:
    answer = ask("/api")
    assert answer["Content-Type"] == "application/vnd.oai.openapi+json;version=3.0"
    definition = answer.json()
    validate(definition)
    for name in NAMES:
        assert f"/collections/{name}/items" in definition["paths"]


def test_every_answer_is_as_the_definition_says(ask: Any, located: Event) -> None:
    definition = ask("/api").json()

    def told(path: str, status: str, answer: Any) -> None:
        content = definition["paths"][path]["get"]["responses"][status]["content"]
        schema = content[answer["Content-Type"].partition(";")[0]]["schema"]
        checker = OAS30Validator({**schema, **definition}, format_checker=oas30_format_checker)
        assert [error.message for error in checker.iter_errors(answer.json())] == []

    for path in ("/", "/conformance", "/collections"):
        told(path, "200", ask(path))
    for name in NAMES:
        address = f"/collections/{name}"
        told(address, "200", ask(address))
        told(f"{address}/queryables", "200", ask(f"{address}/queryables"))
        page = ask(f"{address}/items", limit=20)
        told(f"{address}/items", "200", page)
        key = page.json()["features"][0]["id"]
        told(f"{address}/items/{{id}}", "200", ask(f"{address}/items/{key}"))
        told(f"{address}/items", "default", ask(f"{address}/items", 400, limit="x"))
        told(f"{address}/items/{{id}}", "default", ask(f"{address}/items/-", 404))


def test_qgis_learns_which_values_it_may_ask_the_server_for(ask: Any) -> None:
    """It takes those parameters for filters that say `form` and no `explode`, and pages by the limit's bounds."""
    definition = ask("/api").json()
    shared = definition["components"]["parameters"]
    assert shared["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 2000, "default": 100}
    for name in NAMES:
        given = definition["paths"][f"/collections/{name}/items"]["get"]["parameters"]
        given = [shared[one["$ref"].rpartition("/")[2]] if "$ref" in one else one for one in given]
        filters = {one["name"] for one in given if one.get("style") == "form" and one.get("explode") is False}
        asked = set(ask(f"/collections/{name}/queryables").json()["properties"]) - {"geometry"}
        assert filters == asked | {"limit", "bbox", "bbox-crs", "crs", "datetime"}


def test_where_a_collection_lies_is_where_its_features_lie(
    ask: Any, client: Client, located: Event, file_report: Any, resident: User, cell: Cell
) -> None:
    """Cases near the border too: QGIS looks for nothing beyond the extent."""
    district = cell.district
    west, _south, _east, _north = GridUnit.objects.get(level=1).boundary.extent
    edge = next(
        one for one in Cell.objects.in_force().filter(district=district) if one.boundary.extent[0] == west
    )
    latitude = next(y for x, y in edge.boundary.exterior_ring.coords if x == west)
    District.objects.filter(pk=district.pk).update(nearest_cell_m=200)
    outside = file_report(resident, at=edge, x=west - 0.001, y=latitude).event
    assert outside.outside_m
    for name in NAMES:
        [box] = ask(f"/collections/{name}").json()["extent"]["spatial"]["bbox"]
        features = ask(f"/collections/{name}/items", limit=2000).json()["features"]
        shapes = [shapely.geometry.shape(feature["geometry"]) for feature in features]
        assert shapely.box(*box).covers(shapely.box(*shapely.total_bounds(shapes))), name
    assert ask("/collections/cases").json()["extent"]["spatial"]["bbox"][0][0] < west
    away = (
        Post.objects.filter(role="street_chief").exclude(unit__in=(located.cell.street, edge.street)).first()
    )
    client.force_login(away.holders.first())
    assert "spatial" not in client.get("/ogc/collections/cases").json()["extent"]


@pytest.mark.parametrize("name", NAMES)
def test_features_and_what_can_be_asked_of_them(ask: Any, located: Event, name: str) -> None:
    answer = ask(f"/collections/{name}/items", limit=7)
    assert answer["Content-Type"] == "application/geo+json"
    assert answer["Content-Crs"] == f"<{CRS84}>"
    found = answer.json()
    conforms(found, "featureCollectionGeoJSON")
    assert found["numberReturned"] == len(found["features"]) == min(7, found["numberMatched"])
    assert found["numberReturned"] > 0
    queryables = ask(f"/collections/{name}/queryables").json()
    jsonschema.Draft202012Validator.check_schema(queryables)
    for feature in found["features"][:1]:
        single = ask(f"/collections/{name}/items/{feature['id']}").json()
        conforms(single, "featureGeoJSON")
        assert {key: single[key] for key in feature} == feature
        assert {link["rel"] for link in single["links"]} >= {"self", "collection"}
        for key in set(queryables["properties"]) - {"geometry"}:
            value = feature["properties"][key]
            if value is not None:
                asked = {key: str(value).lower() if isinstance(value, bool) else value}
                some = ask(f"/collections/{name}/items", **asked).json()
                assert feature["id"] in [one["id"] for one in some["features"]] or some["numberMatched"] > 100
                assert {one["properties"][key] for one in some["features"]} == {value}


def test_no_personal_data_is_there(ask: Any, located: Event) -> None:
    for name in NAMES:
        text = ask(f"/collections/{name}/items").content.decode()
        assert located.description not in text
        assert "contact" not in text
        assert "reporter" not in text


# --- pages -----------------------------------------------------------------------------------------------------------


def test_pages_follow_one_another_without_gaps_or_repeats(ask: Any, client: Client) -> None:
    ids: list[str] = []
    page = ask("/collections/cells/items", limit=400).json()
    while True:
        assert page["numberMatched"] == Cell.objects.in_force().count()
        ids += [feature["id"] for feature in page["features"]]
        following = [link["href"] for link in page["links"] if link["rel"] == "next"]
        if not following:
            break
        page = client.get(following[0]).json()
    assert len(ids) == len(set(ids)) == page["numberMatched"]


def test_limits(ask: Any) -> None:
    assert ask("/collections/cells/items").json()["numberReturned"] == 100
    for many in (99999, 10**30):
        assert ask("/collections/cells/items", limit=many).json()["numberReturned"] == 1531
    for wrong in ("0", "-1", "1.5", "ten", "", "1e3", "٣"):
        assert ask("/collections/cells/items", 400, limit=wrong).json()["code"] == "invalid_parameter"


def test_a_page_costs_a_fixed_number_of_statements(ask: Any) -> None:
    for limit in (10, 1000):
        with CaptureQueriesContext(connection) as asked:
            ask("/collections/cells/items", limit=limit)
        assert len(asked) == 5  # session, person, posts, count, page


# --- where, in which system ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("uri", list(OFFERED))
def test_every_system_has_its_axes_and_gives_the_same_place(ask: Any, cell: Cell, uri: str) -> None:
    answer = ask(f"/collections/cells/items/{cell.pk}", crs=uri)
    assert answer["Content-Crs"] == f"<{uri}>"
    found = shapely.geometry.shape(answer.json()["geometry"])
    exact = shapely.from_wkb(bytes(cell.boundary.wkb))
    if uri != CRS84:
        # pyproj by the authority's own order of axes, which is what the standard demands.
        to = pyproj.Transformer.from_crs(4326, int(uri.rpartition("/")[2]))
        exact = shapely.transform(exact, lambda lon, lat: to.transform(lat, lon), interleaved=False)
    metres = 1.0 if abs(exact.centroid.x) > 200 else 1 / 111_000
    assert found.hausdorff_distance(exact) < 0.05 * metres


@pytest.mark.parametrize("name", [name for name in NAMES if "Polygon" in COLLECTIONS[name].geometry_type])
def test_rings_run_as_geojson_has_them(ask: Any, name: str) -> None:
    """RFC 7946, 3.1.6: the outer ring counterclockwise, holes clockwise."""
    features = ask(f"/collections/{name}/items", limit=50).json()["features"]
    for area in shapely.get_parts([shapely.geometry.shape(feature["geometry"]) for feature in features]):
        assert area.exterior.is_ccw
        assert not any(hole.is_ccw for hole in area.interiors)


def test_a_box_means_the_same_in_every_system(ask: Any, cell: Cell) -> None:
    west, south, east, north = cell.boundary.extent
    codes = set()
    expected = set(
        Cell.objects.in_force()
        .filter(boundary__intersects=cell.boundary.envelope)
        .values_list("code", flat=True)
    )
    for uri in OFFERED:
        box = (west, south, east, north)
        if uri != CRS84:
            to = pyproj.Transformer.from_crs(4326, int(uri.rpartition("/")[2]))
            x, y = to.transform([south, south, north, north], [west, east, west, east])
            box = (min(x), min(y), max(x), max(y))
        found = ask(
            "/collections/cells/items", bbox=",".join(map(repr, map(float, box))), bbox_crs=uri
        ).json()
        codes = {feature["properties"]["code"] for feature in found["features"]}
        assert codes >= expected
        assert len(codes) <= len(expected) + 6
        if uri in (CRS84, f"{EPSG}4326"):
            assert codes == expected
    assert cell.code in codes


def test_heights_are_passed_over_and_a_box_may_cross_the_antimeridian(ask: Any, cell: Cell) -> None:
    west, south, east, north = cell.boundary.extent
    flat = ask("/collections/cells/items", bbox=f"{west},{south},{east},{north}").json()
    high = ask("/collections/cells/items", bbox=f"{west},{south},0,{east},{north},9").json()
    assert flat["numberMatched"] == high["numberMatched"] > 0
    assert ask("/collections/cells/items", bbox="170,30,-170,50").json()["numberMatched"] == 0
    assert ask("/collections/cells/items", bbox="100,30,-170,50").json()["numberMatched"] == 1531


@pytest.mark.parametrize(
    "box",
    [
        "", "1", "1,2,3", "1,2,3,4,5", "a,b,c,d", "nan,1,2,3", "inf,1,2,3", "1e400,1,2,3", "110,41,111,40",
        "181,0,182,1", "0,-91,1,0", "109;40;110;41", "109,40,110,41);DROP TABLE gridmap_cell;--", "1,,2,3",
    ],
)  # fmt: skip
def test_boxes_that_are_none_are_refused(ask: Any, box: str) -> None:
    refused = ask("/collections/cells/items", 400, bbox=box).json()
    assert refused["code"] == "invalid_parameter"
    assert refused["detail"].startswith("bbox:")


def test_boxes_that_are_none_in_their_system_are_refused(ask: Any) -> None:
    for system, box in ((4546, "1,0,0,1"), (3857, "5,0,4,1"), (4326, "109,40,110,41")):
        ask("/collections/cells/items", 400, bbox=box, bbox_crs=f"{EPSG}{system}")
    for system in (4546, 3857):
        for box, matched in (("-9e99,-9e99,9e99,9e99", 1531), ("9e98,9e98,9e99,9e99", 0)):
            found = ask("/collections/cells/items", bbox=box, bbox_crs=f"{EPSG}{system}").json()
            assert found["numberMatched"] == matched
    for system in ("EPSG:4326", f"{EPSG}999999", "http://example.org/"):
        ask("/collections/cells/items", 400, crs=system)
        ask("/collections/cells/items", 400, bbox="1,1,2,2", bbox_crs=system)


# --- when ---------------------------------------------------------------------------------------------------------------


def test_a_moment_shows_the_layout_of_that_moment(ask: Any, cell: Cell) -> None:
    before = timezone.now().isoformat()
    new = next_version(cell, code="150204999999998")

    def ids(**when: str) -> set[str]:
        found = ask("/collections/cells/items", limit=2000, **when).json()["features"]
        return {feature["id"] for feature in found}

    now, then = ids(), ids(datetime=before)
    assert {str(new.pk)} == now - then
    assert {str(cell.pk)} == then - now
    assert ids(datetime=f"{before}/..") == now | then
    assert ids(datetime="2020-01-01T00:00:00Z") == set()
    today = timezone.now().astimezone(ZoneInfo(cell.district.time_zone)).date()
    assert ids(datetime=today.isoformat()) == now  # on a day: at its end
    assert ids(datetime="2026-06-30") == then
    assert ask(f"/collections/cells/items/{cell.pk}").json()["properties"]["valid_to"] is not None


def test_a_unit_had_the_area_of_its_cells_then(ask: Any, cell: Cell) -> None:
    before = timezone.now().isoformat()
    other = Cell.objects.in_force().exclude(community=cell.community).filter(street=cell.street).first()
    next_version(cell, community=other.community, party_group=other.party_group)
    address = "/collections/communities/items"
    then = ask(address, datetime=before, code=other.community.code).json()["features"][0]
    later = ask(address, datetime=timezone.now().isoformat(), code=other.community.code).json()["features"][0]
    areas = [shapely.geometry.shape(feature["geometry"]) for feature in (then, later)]
    moved = shapely.from_wkb(bytes(cell.boundary.wkb))
    assert areas[1].symmetric_difference(areas[0]).symmetric_difference(moved).area < 1e-9
    x, y = cell.boundary.point_on_surface.coords
    box = f"{x},{y},{x},{y}"
    was = ask(address, datetime=before, bbox=box).json()["features"]
    assert [feature["properties"]["code"] for feature in was] == [cell.community.code]


def test_cases_are_asked_by_when_they_were_received(ask: Any, located: Event) -> None:
    address, moment = "/collections/cases/items", located.received_at
    matched = lambda when: ask(address, datetime=when).json()["numberMatched"]  # noqa: E731
    assert matched(moment.isoformat()) == 1
    assert matched(f"{(moment - timedelta(hours=1)).isoformat()}/..") == 1
    assert matched(f"../{(moment - timedelta(hours=1)).isoformat()}") == 0
    assert matched("2020-01-01/2020-12-31") == 0


@pytest.mark.parametrize(
    "when",
    ["", "yesterday", "2026-13-01", "2026-01-01T00:00:00", "2026-01-02/2026-01-01", "a/b/c", "2026-01-01/x",
     "9999-12-31", "0000-01-01", "2026-01-01T25:00:00Z", "2026-01-01T00:00:00Z' OR 1=1"],
)  # fmt: skip
def test_times_that_are_none_are_refused(ask: Any, when: str) -> None:
    assert ask("/collections/cells/items", 400, datetime=when).json()["detail"].startswith("datetime:")


# --- values and other parameters --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["' OR '1'='1", "1; DROP TABLE gridmap_cell", "%' --", "\\'", "code", "\u2028", "None"]
)
def test_a_value_is_a_value_whatever_it_says(ask: Any, value: str) -> None:
    assert ask("/collections/cells/items", code=value).json()["numberMatched"] == 0


@pytest.mark.parametrize(
    "query",
    ["code__startswith=1", "id=1", "boundary=x", "community__name=x", "password=x", "code=1&code=2", "limit=1&limit=2",
     "synthetic=maybe", "code=%00", "f=xml", "cursor=x", "cursor=1%00", "Code=1", "valid_from=2026", "code=" + "1" * 501],
)  # fmt: skip
def test_parameters_that_there_are_not_are_refused(client: Client, leader: User, query: str) -> None:
    client.force_login(leader)
    answer = client.get(f"/ogc/collections/cells/items?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_parameter")
    assert client.get("/ogc/?x=1").status_code == 400
    assert client.get("/ogc/collections/cells?bbox=1,1,1,1").status_code == 400


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["bbox", "datetime", "limit", "cursor", "crs", "bbox-crs", "code", "synthetic"]),
    value=st.text(max_size=40),
)
def test_nothing_that_is_asked_makes_the_server_fail(ask: Any, client: Client, name: str, value: str) -> None:
    answer = client.get(f"/ogc/collections/cells/items?limit=1&{quote(name)}={quote(value)}")
    assert answer.status_code in (200, 400)


def test_what_is_not_there(ask: Any, cell: Cell) -> None:
    for address in ("/collections/people", "/collections/people/items", "/collections/cells/items/7"):
        ask(address, 404)
    ask(f"/collections/cells/items/{cell.party_group_id}", 404)
    ask(f"/collections/streets/items/{10**17}", 404)
    ask(f"/collections/streets/items/{10**30}", 404)
    ask("/collections/cells/items/00000000-0000-7000-8000-000000000000", 404)


# --- who ------------------------------------------------------------------------------------------------------------------


def test_strangers_outsiders_and_residents_get_nothing(
    client: Client, outsider: User, resident: User
) -> None:
    addresses = ["/ogc/", "/ogc/api", "/ogc/conformance", "/ogc/collections"]
    addresses += [
        f"/ogc/collections/{name}{rest}" for name in NAMES for rest in ("", "/items", "/queryables")
    ]
    for address in addresses:
        answer = client.get(address)
        assert answer.status_code == 401
        assert answer["WWW-Authenticate"].startswith("Basic ")
    for user in (outsider, resident):
        client.force_login(user)
        for address in addresses:
            assert client.get(address).status_code == 403


def test_cases_by_right(client: Client, located: Event) -> None:
    near = Post.objects.get(role="street_chief", unit=located.cell.street)
    away = Post.objects.filter(role="street_chief").exclude(unit=located.cell.street).first()
    for post, matched, status in ((near, 1, 200), (away, 0, 404)):
        client.force_login(post.holders.first())
        assert client.get("/ogc/collections/cases/items").json()["numberMatched"] == matched
        assert client.get(f"/ogc/collections/cases/items/{located.pk}").status_code == status


def test_only_reading(leader: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(leader)
    for method in (client.post, client.put, client.patch, client.delete):
        answer = method("/ogc/collections/cells/items")
        assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD, OPTIONS")
        conforms(answer.json(), "exception")


# --- pages for people --------------------------------------------------------------------------------------------------------


def test_browsers_get_pages_in_both_languages(client: Client, leader: User, located: Event) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    answer = client.get("/ogc/collections", headers=browser)
    assert (answer.status_code, answer["Location"]) == (302, "/login/?next=/ogc/collections")
    client.force_login(leader)
    addresses = ["/ogc/", "/ogc/api", "/ogc/conformance", "/ogc/collections", "/ogc/collections/cells"]
    addresses += ["/ogc/collections/cells/queryables", "/ogc/collections/cells/items?limit=3"]
    addresses += [f"/ogc/collections/cases/items/{located.pk}"]
    for address in addresses:
        answer = client.get(address, headers=browser)
        assert answer.status_code == 200
        assert answer["Content-Type"] == "text/html; charset=utf-8"
        assert 'lang="zh-hans"' in answer.content.decode()
    client.cookies["django_language"] = "en"
    page = client.get("/ogc/collections?f=html").content.decode()
    assert 'lang="en"' in page
    assert "Unit grid cells" in page


def test_page_after_page_for_people_too(ask: Any) -> None:
    first = ask("/collections/cells/items", limit=2, f="html").content.decode()
    assert "cursor=" in first
    assert "f=html" in first


def test_a_page_tells_what_the_document_tells(ask: Any, cell: Cell) -> None:
    """Requirement /req/html/content: everything that the schemas name, and every link."""
    for address in ("/", "/collections", "/collections/cells", f"/collections/cells/items/{cell.pk}"):
        page, document = ask(address, f="html").content.decode(), ask(address).json()
        assert {html.escape(link["href"]) for link in document["links"]} <= set(
            re.findall(r'href="([^"]+)"', page)
        )
        own, other = (
            re.search(rf'href="([^"]+)">[^<]*</a> <small>{rel} ', page)[1] for rel in ("self", "alternate")
        )
        assert (own, other) == (f"http://testserver/ogc{address}?f=html", f"http://testserver/ogc{address}")
    page, told = ask("/collections/cells", f="html").content.decode(), ask("/collections/cells").json()
    assert ", ".join(map(str, told["extent"]["spatial"]["bbox"][0])) in page
    assert all(uri in page for uri in told["crs"])
    feature = ask(f"/collections/cells/items/{cell.pk}").json()
    first = ",".join(map(str, feature["geometry"]["coordinates"][0][0]))
    assert f"[[[{first}]," in ask(f"/collections/cells/items/{cell.pk}", f="html").content.decode()
    assert f"[[[{first}]," in ask("/collections/cells/items", f="html", code=cell.code).content.decode()
    assert "/ogc/collections/cells/items/{id}" in ask("/api", f="html").content.decode()


def test_links_are_kept_apart_by_their_kind(ask: Any) -> None:
    answer = ask("/collections/cells/items", limit=2)
    links = answer.json()["links"]
    assert answer["Link"].split(", ") == [
        f'<{link["href"]}>; rel="{link["rel"]}"; type="{link["type"]}"' for link in links
    ]
    assert [link["rel"] for link in links] == ["self", "alternate", "collection", "next"]
    assert all(one["href"] != other["href"] for one, other in pairwise(links))


def test_units_have_the_levels_of_the_grid(ask: Any) -> None:
    for name, level in (
        ("district-committees", 1),
        ("regional-groups", 2),
        ("streets", 3),
        ("party-groups", 5),
    ):
        found = ask(f"/collections/{name}/items").json()
        assert found["numberMatched"] == GridUnit.objects.filter(level=level).count()
