"""OGC API - Features, parts 1 (Core, GeoJSON, HTML, OpenAPI 3.0), 2 (CRS) and of 3 the queryables; read-only.

Every address asks who reads: what there is, is what the reader's posts show.
"""

import functools
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.auth.views import redirect_to_login
from django.contrib.gis.db.models import Extent
from django.db.models import F, Func, Min, QuerySet, TextField
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from gridmap.models import WGS84, Cell

from .answers import Refused, View, bad_parameter, not_found, read_only
from .collections import COLLECTIONS, Collection
from .crs import CRS84, OFFERED, Crs
from .openapi import definition
from .queries import next_page, one_of_each, read_crs, read_key, read_query
from .readers import Reader, reader_of

JSON, GEOJSON, HTML = "application/json", "application/geo+json", "text/html"
OPENAPI, SCHEMA = "application/vnd.oai.openapi+json;version=3.0", "application/schema+json"
_SPEC = "http://www.opengis.net/spec/ogcapi-features"
CONFORMANCE = [
    f"{_SPEC}-1/1.0/conf/core",
    f"{_SPEC}-1/1.0/conf/oas30",
    f"{_SPEC}-1/1.0/conf/html",
    f"{_SPEC}-1/1.0/conf/geojson",
    f"{_SPEC}-2/1.0/conf/crs",
    f"{_SPEC}-3/1.0/conf/queryables",
    f"{_SPEC}-3/1.0/conf/queryables-query-parameters",
]
Link = dict[str, str]
Box = tuple[float, float, float, float]  # west, south, east, north, degrees


def _wants_html(request: HttpRequest) -> bool:
    asked = request.GET.get("f")
    if asked is None:
        return request.get_preferred_type([GEOJSON, JSON, HTML]) == HTML
    if asked not in ("json", "html"):
        raise bad_parameter("f", "json, html")
    return asked == "html"


def for_readers(*parameters: str) -> Callable[[View], View]:
    """Hand the reader to the view, or refuse; a browser is shown the way to log in.

    With `parameters` those are all that may stand in the query; without, the view looks for itself.
    """

    def around(view: View) -> View:
        @read_only
        @functools.wraps(view)
        def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            html = _wants_html(request)
            try:
                reader = reader_of(request)
            except Refused as refusal:
                if html and refusal.status == 401 and "Authorization" not in request.headers:
                    return redirect_to_login(request.get_full_path())
                raise
            if parameters:
                one_of_each(request.GET, parameters)
            response = view(request, reader, *args, **kwargs)
            response["Cache-Control"] = "private, no-cache"
            response["Vary"] = "Accept, Accept-Encoding, Authorization, Cookie"
            return response

        return answer

    return around


# --- the service --------------------------------------------------------------------------------------------------


@for_readers("f")
def landing(request: HttpRequest, reader: Reader) -> HttpResponse:
    """Where everything begins."""
    return _document(
        request,
        {
            "title": _("Urban grid"),
            "description": _("The five-level grid, its cells, what stands in them, and the cases"),
            "links": [
                *_self(request, "/ogc/"),
                _link(request, "/ogc/api", "service-desc", OPENAPI, _("definition of the interface")),
                _link(request, "/ogc/api?f=html", "service-doc", HTML, _("definition of the interface")),
                _link(request, "/ogc/conformance", "conformance", JSON, _("what it conforms to")),
                _link(request, "/ogc/collections", "data", JSON, _("collections")),
            ],
        },
    )


@for_readers("f")
def conformance(request: HttpRequest, reader: Reader) -> HttpResponse:
    """Which parts of the standard hold."""
    body = {"conformsTo": CONFORMANCE, "links": _self(request, "/ogc/conformance")}
    return _document(request, body, title=_("what it conforms to"))


@for_readers("f")
def api(request: HttpRequest, reader: Reader) -> HttpResponse:
    """The definition of this interface, OpenAPI 3.0."""
    body = definition(request.build_absolute_uri("/ogc"))
    if _wants_html(request):
        paths = {
            path: [one.get("name") or one["$ref"].rpartition("/")[2] for one in methods["get"]["parameters"]]
            for path, methods in body["paths"].items()
        }
        return _document(
            request, {"links": _self(request, "/ogc/api", OPENAPI), **body["info"], "paths": paths}
        )
    return JsonResponse(body, content_type=OPENAPI)


@for_readers("f")
def collections(request: HttpRequest, reader: Reader) -> HttpResponse:
    """All collections."""
    grid = _extent_of_grid(reader)
    body = {
        "links": _self(request, "/ogc/collections"),
        "crs": list(OFFERED),
        "collections": [_described(request, one, reader, grid) for one in COLLECTIONS.values()],
    }
    return _document(request, body, title=_("collections"))


@for_readers("f", "datetime")  # GDAL sends it along
def collection(request: HttpRequest, reader: Reader, name: str) -> HttpResponse:
    """One of them."""
    one = _named(name)
    return _document(request, _described(request, one, reader, _extent_of_grid(reader)))


@for_readers("f", "datetime")  # GDAL sends it along
def queryables(request: HttpRequest, reader: Reader, name: str) -> HttpResponse:
    """The properties that features can be asked by, as a JSON Schema."""
    one = _named(name)
    address = f"/ogc/collections/{name}/queryables"
    properties: dict[str, Any] = {
        key: {"title": str(prop.title), "type": prop.type}
        for key, prop in one.properties.items()
        if prop.queryable
    }
    properties["geometry"] = {
        "title": _("geometry"),
        "format": f"geometry-{one.geometry_type.lower()}",
        "x-ogc-role": "primary-geometry",
    }
    body = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": request.build_absolute_uri(address),
        "type": "object",
        "title": str(one.title),
        "properties": properties,
        "additionalProperties": False,
    }
    return _document(request, body, content_type=SCHEMA)


# --- features ------------------------------------------------------------------------------------------------------


@for_readers()
def items(request: HttpRequest, reader: Reader, name: str) -> HttpResponse:
    """A page of features, in the order of their keys."""
    one = _named(name)
    query = read_query(request.GET, one, ZoneInfo(reader.posts[0].district.time_zone))
    rows = one.at(one.rows(reader), query.span).filter(**query.values)
    if query.area is not None:
        rows = one.within(rows, query.area, query.span)
    matched = rows.count()
    if query.cursor is not None:
        rows = rows.filter(pk__gt=query.cursor)
    found = _read(rows.order_by("pk"), one, query.crs)[: query.limit + 1]
    page = list(found)
    more, page = len(page) > query.limit, page[: query.limit]
    address = f"/ogc/collections/{name}/items"
    links = [
        *_self(request, address, GEOJSON),
        _link(request, f"/ogc/collections/{name}", "collection", JSON, str(one.title)),
    ]
    if more:
        following = f"{address}?{next_page(request.GET, page[-1][0])}"
        kind = HTML if _wants_html(request) else GEOJSON
        links.append(_link(request, following, "next", kind, _("next page")))
    head = {
        "type": "FeatureCollection",
        "timeStamp": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "numberMatched": matched,
        "numberReturned": len(page),
        "links": links,
    }
    if _wants_html(request):
        return _document(
            request, {**head, "features": [_row(row, one) for row in page]}, title=str(one.title)
        )
    features = ",".join(_feature(row, one) for row in page)
    body = f'{_json(head)[:-1]},"features":[{features}]}}'
    return _geojson(body, query.crs, links)


@for_readers()
def item(request: HttpRequest, reader: Reader, name: str, key: str) -> HttpResponse:
    """One feature: of cells, one version."""
    one = _named(name)
    found = one_of_each(request.GET, ("crs", "f"))
    crs = read_crs(found, "crs")
    try:
        pk = read_key(key, one, "id")
    except Refused as error:
        raise not_found() from error
    row = _read(one.ever(one.rows(reader).filter(pk=pk)), one, crs).first()
    if row is None:
        raise not_found()
    address = f"/ogc/collections/{name}/items/{key}"
    links = [
        *_self(request, address, GEOJSON),
        _link(request, f"/ogc/collections/{name}", "collection", JSON, str(one.title)),
    ]
    if _wants_html(request):
        return _document(request, {**_row(row, one), "links": links}, title=str(one.title))
    return _geojson(f'{_feature(row, one)[:-1]},"links":{_json(links)}}}', crs, links)


def _read(rows: QuerySet[Any], one: Collection, crs: Crs) -> QuerySet[Any]:
    """Keys, properties and geometry as text; one statement."""
    geometry = "ST_ForcePolygonCCW(%(expressions)s)"  # RFC 7946 has outer rings counterclockwise
    if crs.srid != WGS84:
        geometry = f"ST_Transform({geometry}, {crs.srid})"
    if crs.north_first:
        geometry = f"ST_FlipCoordinates({geometry})"
    text = Func(
        F(one.outline), template=f"ST_AsGeoJSON({geometry}, {crs.digits}, 0)", output_field=TextField()
    )
    fields = [prop.field for prop in one.properties.values()]
    return rows.annotate(geojson=text).values_list("pk", *fields, "geojson")


def _feature(row: tuple[Any, ...], one: Collection) -> str:
    pk, *values, geometry = row
    properties = _json(dict(zip(one.properties, values, strict=True)))
    key = json.dumps(pk if one.key is int else str(pk))
    return f'{{"type":"Feature","id":{key},"geometry":{geometry or "null"},"properties":{properties}}}'


def _row(row: tuple[Any, ...], one: Collection) -> dict[str, Any]:
    """The same for people: the geometry by its kind, its coordinates as text."""
    feature: dict[str, Any] = json.loads(_feature(row, one))
    if feature["geometry"]:
        feature["geometry"]["coordinates"] = _json(feature["geometry"]["coordinates"])
    return feature


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value)


def _geojson(body: str, crs: Crs, links: list[Link]) -> HttpResponse:
    response = HttpResponse(body, content_type=GEOJSON)
    response["Content-Crs"] = f"<{crs.uri}>"
    response["Link"] = ", ".join(
        f'<{one["href"]}>; rel="{one["rel"]}"; type="{one["type"]}"' for one in links
    )
    return response


# --- what they share ------------------------------------------------------------


def _named(name: str) -> Collection:
    try:
        return COLLECTIONS[name]
    except KeyError as error:
        raise not_found() from error


def _extent_of_grid(reader: Reader) -> Box | None:
    """What the reader's grid ever covered: every area a unit ever had is made of its cells."""
    found: Box | None = Cell.objects.filter(district__in=reader.districts).aggregate(all=Extent("boundary"))[
        "all"
    ]
    return found


def _described(request: HttpRequest, one: Collection, reader: Reader, grid: Box | None) -> dict[str, Any]:
    """The collection, with where and since when there is something that this reader may see."""
    address = f"/ogc/collections/{one.id}"
    ends: dict[str, Any] = {}
    if one.first_time:
        ends["first"] = Min(one.first_time)
    if one.time != "validity":
        ends["box"] = Extent(one.geometry)
    found = one.rows(reader).aggregate(**ends)
    box, first = found.get("box", grid), found.get("first")
    extent: dict[str, Any] = {}
    if box:
        degrees = [round(number, CRS84.digits) for number in box]
        extent["spatial"] = {"bbox": [degrees], "crs": CRS84.uri}
    if one.first_time:
        extent["temporal"] = {"interval": [[_plain(first) if first else None, None]]}
    return {
        "id": one.id,
        "title": str(one.title),
        "description": str(one.description),
        "itemType": "feature",
        "crs": list(OFFERED),
        "storageCrs": CRS84.uri,
        "extent": extent,
        "links": [
            *_self(request, address),
            _link(request, f"{address}/items", "items", GEOJSON, str(one.title)),
            _link(request, f"{address}/items?f=html", "items", HTML, str(one.title)),
            _link(
                request,
                f"{address}/queryables",
                "http://www.opengis.net/def/rel/ogc/1.0/queryables",
                SCHEMA,
                _("what can be asked for"),
            ),
        ],
    }


def _self(request: HttpRequest, address: str, kind: str = JSON) -> list[Link]:
    """This document, and the same in its other form: for programs, for people."""
    given = request.GET.copy()
    given.pop("f", None)
    query = f"?{given.urlencode()}" if given else ""
    given["f"] = "html"
    data, page = ("alternate", "self") if _wants_html(request) else ("self", "alternate")
    return [
        _link(request, address + query, data, kind, _("this document")),
        _link(request, f"{address}?{given.urlencode()}", page, HTML, _("this document as a page")),
    ]


def _link(request: HttpRequest, address: str, rel: str, kind: str, title: str) -> Link:
    return {"href": request.build_absolute_uri(address), "rel": rel, "type": kind, "title": title}


def _document(
    request: HttpRequest, body: dict[str, Any], *, title: str = "", content_type: str = JSON
) -> HttpResponse:
    """The same as JSON, or as a plain page where a browser asks."""
    if not _wants_html(request):
        return HttpResponse(_json(body), content_type=content_type)
    context = {"title": title or body.get("title", ""), "body": body}
    return render(request, "map_services/document.html", context)
