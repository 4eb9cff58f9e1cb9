"""Vector tiles over HTTP, each with the reader's rights, cached by change.

A tile that is cached costs one or two questions to the cache and none to the database: who the reader is and which
version of a layer is in force are remembered for some seconds. Without a cache everything is asked each time.
"""

import gzip
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.conf import settings
from django.core.cache import cache
from django.db.models import Max
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _

from fieldops.models import Event, User
from fieldops.queries import shown_on_map
from fieldops.rights import elements_visible_to, events_visible_to
from gridmap import tiles
from gridmap.models import Drawing
from gridmap.tiles import Layer, Tile

from .answers import Refused, not_found, read_only
from .readers import reader_of

CONTENT_TYPE = "application/vnd.mapbox-vector-tile"
# How long someone who lost a right, or a layer that changed, may still be shown as before.
REMEMBER_READER_SECONDS = 30
REMEMBER_VERSION_SECONDS = 5


class Access(NamedTuple):
    """What is remembered of a reader."""

    user: int
    districts: list[str]
    audience: str


class Cached(NamedTuple):
    """A tile as it is kept: compressed, with the version of its layer it was cut from."""

    version: str
    etag: str
    body: bytes


@dataclass(frozen=True)
class Source:
    """How a layer becomes tiles."""

    version: Callable[[str], object]
    draw: Callable[[str, Tile, int], bytes]
    properties: Mapping[str, str]
    # Whether what is in the tile depends on the reader.
    by_reader: bool
    keep_seconds: int
    browser_seconds: int


# What a feature tells, by its name in the tile: the field it comes from.
CODE = {"code": "code"}
NAMED = {**CODE, "name": "name", "name_en": "name_en"}
ELEMENT = {"id": "id", "kind": "kind", "category": "category", "name": "name", "code": "component__code"}
CASE = {"id": "id", "number": "number", "status": "status", "class": "event_class__name"}


def _grid(layer: Layer) -> Source:
    def draw(district: str, tile: Tile, user: int) -> bytes:
        return tiles.grid_tile(district, layer, tile)

    properties = CODE if layer is Layer.CELLS else NAMED
    return Source(tiles.drawn_version, draw, properties, False, 86_400, 60)


def _elements(district: str, tile: Tile, user: int) -> bytes:
    rows = elements_visible_to(User.objects.get(pk=user)).filter(district=district)
    return tiles.points_tile(rows, Layer.ELEMENTS, tile, ELEMENT, newest="id")


def _cases(district: str, tile: Tile, user: int) -> bytes:
    rows = shown_on_map(events_visible_to(User.objects.get(pk=user))).filter(district=district)
    return tiles.points_tile(rows, Layer.CASES, tile, CASE, newest="received_at")


def _last_change_of_a_case(district: str) -> object:
    return Event.objects.filter(district=district).aggregate(last=Max("updated_at"))["last"]


SOURCES: dict[Layer, Source] = {
    **{layer: _grid(layer) for layer in tiles.GRID},
    Layer.ROAD_SEGMENTS: Source(
        lambda district: tiles.version(district, "road-segments"),
        lambda district, tile, user: tiles.segments_tile(district, tile),
        NAMED,
        False,
        86_400,
        60,
    ),
    Layer.ELEMENTS: Source(
        lambda district: tiles.version(district, "elements"), _elements, ELEMENT, True, 3600, 10
    ),
    # A case that commits out of turn leaves the latest change as it was: a minute, then it is cut anew.
    Layer.CASES: Source(_last_change_of_a_case, _cases, CASE, True, 60, 5),
}


@read_only
def tile(request: HttpRequest, district: str, layer: str, z: str, x: str, y: str) -> HttpResponse:
    """One tile, as protocol buffers, compressed where the reader takes it."""
    named, there = _named(layer), _numbered(z, x, y)
    source = SOURCES[named]
    access_key = _access_key(request)
    version_key = f"tiles:version:{district}:{layer}"
    place = f"tiles:{district}:{layer}:{there.z}:{there.x}:{there.y}"
    known = cache.get_many([key for key in (access_key, version_key, place) if key])
    access = known.get(access_key) or _let_in(request, access_key)
    if district not in access.districts:
        raise not_found()
    version = known.get(version_key)
    if version is None:
        version = str(source.version(district))
        cache.set(version_key, version, timeout=REMEMBER_VERSION_SECONDS)
    kept = known.get(place)
    if source.by_reader:
        place = f"{place}:{access.audience}"
        kept = cache.get(place)
    if kept is None or kept.version != version:
        body = source.draw(district, there, access.user)
        kept = Cached(version, hashlib.sha256(body).hexdigest()[:32], gzip.compress(body, 1, mtime=0))
        cache.set(place, kept, timeout=source.keep_seconds)
    return _answer(request, kept, source.browser_seconds)


def _answer(request: HttpRequest, kept: Cached, browser_seconds: int) -> HttpResponse:
    headers = {
        # Weak: the same tile, whether compressed or not.
        "ETag": f'W/"{kept.etag}"',
        "Cache-Control": f"private, max-age={browser_seconds}",
        "Vary": "Accept-Encoding, Authorization, Cookie",
    }
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return HttpResponse(kept.body, content_type=CONTENT_TYPE, headers=headers)
    return HttpResponse(gzip.decompress(kept.body), content_type=CONTENT_TYPE, headers=headers)


def _named(layer: str) -> Layer:
    try:
        return Layer(layer)
    except ValueError as error:
        raise not_found() from error


def _numbered(z: str, x: str, y: str) -> Tile:
    try:
        if not all(part.isascii() and part.isdigit() and len(part) < 9 for part in (z, x, y)):
            raise tiles.NoSuchTile
        return Tile(int(z), int(x), int(y))
    except tiles.NoSuchTile as error:
        told = _("There is no tile of this number")
        raise Refused(400, "no_such_tile", told, "z 0…22, x and y 0…2^z − 1") from error


def _access_key(request: HttpRequest) -> str:
    """Names the credentials without telling them; empty when there are none."""
    shown = request.META.get("HTTP_AUTHORIZATION", "")
    if not shown:
        shown = request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
    return f"tiles:reader:{hashlib.sha256(shown.encode()).hexdigest()}" if shown else ""


def _let_in(request: HttpRequest, access_key: str) -> Access:
    reader = reader_of(request)
    access = Access(reader.user.pk, reader.districts, reader.audience())
    if access_key:
        cache.set(access_key, access, timeout=REMEMBER_READER_SECONDS)
    return access


@read_only
def description(request: HttpRequest, district: str, layer: str) -> HttpResponse:
    """What a map needs to show a layer: TileJSON 3.0."""
    named, reader = _named(layer), reader_of(request)
    if district not in reader.districts:
        raise not_found()
    first = 0
    if named is Layer.CELLS:
        first = Drawing.objects.filter(district=district).values_list("cells_from", flat=True).first() or 0
    address = request.build_absolute_uri(f"/tiles/{district}/{layer}/")
    body: dict[str, Any] = {
        "tilejson": "3.0.0",
        "tiles": [address + "{z}/{x}/{y}"],
        "minzoom": first,
        "maxzoom": tiles.MOST_ZOOM,
        "vector_layers": [{"id": layer, "fields": dict.fromkeys(SOURCES[named].properties, "String")}],
    }
    return JsonResponse(body, headers={"Cache-Control": "private, max-age=60"})
