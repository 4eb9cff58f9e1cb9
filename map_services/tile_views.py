"""Vector tiles over HTTP, each with the reader's rights, cached by change.

Who the reader is, which version of a layer is in force, and the tiles that are asked for most, each process remembers
for some seconds: then a tile costs no question to anyone. All processes share the cache behind that; without it, what
no process remembers is cut anew.
"""

import gzip
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic, time
from typing import Any, NamedTuple

from django.core.cache import cache
from django.db.models import Max
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _

from fieldops.models import Event, User
from fieldops.queries import shown_on_map
from fieldops.rights import elements_visible_to, events_visible_to
from gridmap import tiles
from gridmap.tiles import Layer, Points, Tile

from .answers import Refused, not_found, read_only
from .readers import credentials_of, reader_of

CONTENT_TYPE = "application/vnd.mapbox-vector-tile"
# How long someone who lost a right, or a layer that changed, may still be shown as before.
REMEMBER_READER_SECONDS = 30
REMEMBER_VERSION_SECONDS = 5


class Memory:
    """What this process remembers, each thing for its time; all is forgotten when it grows too much."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: dict[str, tuple[float, Any]] = {}

    def get(self, key: str) -> Any:
        """What was kept under the key, None when it was nothing or too long ago."""
        until, value = self._held.get(key, (0.0, None))
        return value if until > monotonic() else None

    def keep(self, key: str, value: Any, *, seconds: float) -> None:
        """Remember it."""
        if len(self._held) >= self._most:
            self._held.clear()
        self._held[key] = (monotonic() + seconds, value)

    def clear(self, prefix: str = "") -> None:
        """Forget all whose key begins so."""
        for key in [key for key in self._held if key.startswith(prefix)]:
            self._held.pop(key, None)


near = Memory(1000)
NEAR_BYTES, NEAR_SECONDS = 64_000, 60


class Access(NamedTuple):
    """What is remembered of a reader; `user` with the posts that were read."""

    user: User
    districts: list[str]
    audience: str
    written: dict[tuple[str, Layer], Points]


class Cached(NamedTuple):
    """A tile as it is kept: compressed, with the version of its layer it was cut from."""

    version: str
    etag: str
    body: bytes
    until: float = 0.0  # seconds since 1970: processes share it, and each remembers it no longer


@dataclass(frozen=True)
class Source:
    """How a layer becomes tiles."""

    version: Callable[[str], object]
    draw: Callable[[str, Tile, Access], bytes]
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
    def draw(district: str, tile: Tile, access: Access) -> bytes:
        return tiles.grid_tile(district, layer, tile)

    properties = CODE if layer is Layer.CELLS else NAMED
    return Source(tiles.drawn_version, draw, properties, False, 86_400, 60)


def _elements(district: str, tile: Tile, access: Access) -> bytes:
    def points() -> Points:
        rows = elements_visible_to(access.user).filter(district=district)
        return tiles.points_of(rows, ELEMENT, newest="id")

    return tiles.points_tile(_written(access, district, Layer.ELEMENTS, points), Layer.ELEMENTS, tile)


def _cases(district: str, tile: Tile, access: Access) -> bytes:
    def points() -> Points:
        rows = shown_on_map(events_visible_to(access.user)).filter(district=district)
        return tiles.points_of(rows, CASE, newest="received_at")

    return tiles.points_tile(_written(access, district, Layer.CASES, points), Layer.CASES, tile)


def _written(access: Access, district: str, layer: Layer, write: Callable[[], Points]) -> Points:
    """The statement of what the reader sees, remembered no longer than the reader is."""
    points = access.written.get((district, layer))
    if points is None:
        points = access.written[district, layer] = write()
    return points


def _last_change_of_a_case(district: str) -> object:
    return Event.objects.filter(district=district).aggregate(last=Max("updated_at"))["last"]


SOURCES: dict[Layer, Source] = {
    **{layer: _grid(layer) for layer in tiles.GRID},
    Layer.ROAD_SEGMENTS: Source(
        lambda district: tiles.version(district, "road-segments"),
        lambda district, tile, access: tiles.segments_tile(district, tile),
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
    access = _access(request)
    if district not in access.districts:
        raise not_found()
    version = _version(district, named)
    place = f"tiles:{district}:{layer}:{there.z}:{there.x}:{there.y}"
    if source.by_reader:
        place = f"{place}:{access.audience}"
    kept: Cached | None = near.get(place)
    if kept is None or kept.version != version:
        kept = cache.get(place)
        if kept is None or kept.version != version:
            body = source.draw(district, there, access)
            etag, until = hashlib.sha256(body).hexdigest()[:32], time() + source.keep_seconds
            kept = Cached(version, etag, gzip.compress(body, 1, mtime=0), until)
            cache.set(place, kept, timeout=source.keep_seconds)
        if len(kept.body) <= NEAR_BYTES:
            near.keep(place, kept, seconds=min(NEAR_SECONDS, kept.until - time()))
    return _answer(request, kept, source.browser_seconds)


def _answer(request: HttpRequest, kept: Cached, browser_seconds: int) -> HttpResponse:
    headers = {
        # Weak: the same tile, whether compressed or not.
        "ETag": f'W/"{kept.etag}"',
        "Cache-Control": f"private, max-age={browser_seconds}",
        "Vary": "Accept-Encoding, Authorization, Cookie",
    }
    # Not request.headers: it would gather all of them for the one.
    if "gzip" in request.META.get("HTTP_ACCEPT_ENCODING", ""):
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


def _access(request: HttpRequest) -> Access:
    key = "reader:" + ":".join(credentials_of(request))
    access: Access | None = near.get(key)
    if access is None:
        reader = reader_of(request)
        access = Access(reader.user, reader.districts, reader.audience(), {})
        near.keep(key, access, seconds=REMEMBER_READER_SECONDS)
    return access


def _version(district: str, layer: Layer) -> str:
    key = f"version:{district}:{layer}"
    version: str | None = near.get(key)
    if version is None:
        version = str(SOURCES[layer].version(district))
        near.keep(key, version, seconds=REMEMBER_VERSION_SECONDS)
    return version


@read_only
def description(request: HttpRequest, district: str, layer: str) -> HttpResponse:
    """What a map needs to show a layer: TileJSON 3.0."""
    named, reader = _named(layer), reader_of(request)
    if district not in reader.districts:
        raise not_found()
    first = tiles.first_zoom(district, named) if named in tiles.GRID else 0
    address = request.build_absolute_uri(f"/tiles/{district}/{layer}/")
    body: dict[str, Any] = {
        "tilejson": "3.0.0",
        "tiles": [address + "{z}/{x}/{y}"],
        "minzoom": first,
        "maxzoom": tiles.MOST_ZOOM,
        "vector_layers": [{"id": layer, "fields": dict.fromkeys(SOURCES[named].properties, "String")}],
    }
    return JsonResponse(body, headers={"Cache-Control": "private, max-age=60"})
