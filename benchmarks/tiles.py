"""Vector tiles at zoom 9 to 16, 50 thousand cells and 100 thousand cases: cached, uncached, and how heavy they are.

Every request goes through the whole WSGI application in this process, so that no network stands between the sides.
Cached: against a view of the same application that returns the same bytes from memory and asks nobody who reads.
Uncached, the whole request: against the bare statement (ST_AsMVT over the same stored shapes with ST_AsMVTGeom; for
cases the same cases, without rights) on a psycopg connection that prepared it. Both are judged on the time of all
tiles together, one of each zoom and kind; the table shows each. For comparison also the statement one would write
first, on the surveyed boundaries themselves.
"""

import argparse
import io
import random
import time
from collections import defaultdict
from collections.abc import Callable
from statistics import fmean, median
from typing import Any

import django
import numpy as np
import psycopg
import shapely

from ._rounds import ROUNDS, Bar, interleaved, report, spread, table

DISTRICT = "990001"
WEST, SOUTH, SIZE, BENDS = 109.5, 40.2, 0.0035, 7  # degrees: cells of about 300 m
ZOOMS = range(9, 17)
REPEAT = 40
SAMPLE = 40  # tiles of each zoom that are weighed


# --- a district ---------------------------------------------------------------------------------------------------


def make_cells(number: int, seed: int = 1) -> tuple[Any, int]:
    """A jittered grid of about so many cells with bent edges, neighbours sharing every vertex; cells a row."""
    rng = np.random.default_rng(seed)
    side = round(number**0.5)
    y, x = np.mgrid[0 : side + 1, 0 : side + 1].astype(float)
    nodes = np.stack([x, y], axis=-1) + rng.uniform(-0.2, 0.2, (side + 1, side + 1, 2))

    def bent(start: Any, end: Any) -> Any:
        lines = start[..., None, :] + np.linspace(0, 1, BENDS + 2)[:, None] * (end - start)[..., None, :]
        off = rng.uniform(-0.03, 0.03, lines.shape)
        off[..., [0, -1], :] = 0
        return lines + off

    across, up = bent(nodes[:, :-1], nodes[:, 1:]), bent(nodes[:-1], nodes[1:])
    sides = [across[:-1, :, :-1], up[:, 1:, :-1], across[1:, :, :0:-1], up[:, :-1, :0:-1]]
    rings = np.concatenate(sides, axis=2).reshape(side * side, -1, 2) * SIZE + (WEST, SOUTH)
    return shapely.polygons(np.round(rings, 7)), side


def fill(cells: int, cases: int) -> None:
    """A district of its own with five levels, cells, cases, and a leader who sees all of it."""
    from django.contrib.gis.geos import GEOSGeometry
    from django.db import connection, transaction
    from django.utils import timezone

    from fieldops.models import Event, EventClass, Holding, Post, User
    from gridmap import tiles
    from gridmap.models import WGS84, Cell, District, Element, ElementKind, GridUnit, RoadSegment

    outlines, side = make_cells(cells)

    def geos(geometry: Any, kind: str = "") -> Any:
        if kind == "multi" and geometry.geom_type == "Polygon":
            geometry = shapely.multipolygons([geometry])
        return GEOSGeometry(memoryview(bytes(shapely.to_wkb(geometry))), srid=WGS84)

    with transaction.atomic():
        district = District.objects.create(code=DISTRICT, name="量测区", name_en="Bench")
        place = np.arange(len(outlines))
        row, column = place // side, place % side
        # As in the demo district: 4 cells a party group, 16 a community, 144 a street; regional groups are stripes.
        number = {level: (row // size) * 1000 + column // size for level, size in ((5, 2), (4, 4), (3, 12))}
        number[2] = column // 48
        number[1] = place * 0
        owners: dict[int, Any] = {}
        for level in (1, 2, 3, 4, 5):
            found, first, which = np.unique(number[level], return_index=True, return_inverse=True)
            parent_level = {1: 0, 2: 1, 3: 1, 4: 3, 5: 4}[level]
            made = [
                GridUnit(
                    district=district,
                    level=level,
                    code=f"{DISTRICT}{level}{n:07}",
                    name=f"组织{n}",
                    area_name=f"第{n}片区",
                    name_en=f"Area {n}",
                    parent=owners[parent_level][first[n]] if parent_level else None,
                    parent_level=parent_level or None,
                    boundary=geos(shapely.coverage_union_all(outlines[which == n]), "multi"),
                )
                for n in range(len(found))
            ]
            units = np.array(GridUnit.objects.bulk_create(made), dtype=object)
            owners[level] = units[which]
        stored = Cell.objects.bulk_create(
            (
                Cell(
                    district=district,
                    code=f"{DISTRICT}{n:09}",
                    boundary=geos(outline),
                    committee=owners[1][n],
                    regional_group=owners[2][n],
                    street=owners[3][n],
                    community=owners[4][n],
                    party_group=owners[5][n],
                )
                for n, outline in enumerate(outlines)
            ),
            batch_size=5000,
        )
        kind = EventClass.objects.create(
            edition="bench", kind="event", major="01", major_name="市容", minor="01", name="暴露垃圾"
        )
        now = timezone.now()
        first_case = Event.objects.create(
            district=district,
            status="located",
            version=1,
            event_class=kind,
            description="",
            point=stored[0].boundary.centroid,
            cell=stored[0],
            received_at=now,
            updated_at=now,
        )
        off = f"(random() - 0.5) * {SIZE / 2}"
        other = {
            "id": "gen_random_uuid()",
            "cell_id": "c.id",
            "point": f"ST_Translate(ST_Centroid(c.boundary), {off}, {off})",
        }
        first_place = Element.objects.create(
            district=district,
            kind=ElementKind.PLACE,
            category="公园广场",
            name="量测区中心广场东侧便民服务点",
            cell=stored[0],
            point=first_case.point,
            x=first_case.point.x,
            y=first_case.point.y,
            system="WGS84",
        )
        with connection.cursor() as cursor:
            cursor.execute("SELECT setseed(0.5)")
            for model, first, times in ((Event, first_case, cases / len(stored)), (Element, first_place, 2)):
                columns = [field.column for field in model._meta.concrete_fields if not field.generated]
                cursor.execute(
                    f"INSERT INTO {model._meta.db_table} ({', '.join(columns)}) "  # noqa: S608 — of the model
                    f"SELECT {', '.join(other.get(column, f'e.{column}') for column in columns)} "
                    f"FROM gridmap_cell c CROSS JOIN generate_series(1, %s) CROSS JOIN {model._meta.db_table} e "
                    "WHERE e.id = %s",
                    [round(times), first.pk],
                )
        # Along the southern edge of every 25th cell.
        RoadSegment.objects.bulk_create(
            RoadSegment(
                district=district,
                code=f"L{n}",
                name=f"量测区第{n}路段",
                name_en=f"Segment {n} of the bench",
                line=geos(shapely.linestrings(shapely.get_coordinates(outline)[: BENDS + 2])),
            )
            for n, outline in enumerate(outlines[::25])
        )
        leader = User.objects.create_user("bench")
        post = Post.objects.create(district=district, role="leader", name="量测", unit=owners[1][0])
        Holding.objects.create(post=post, user=leader, since=now)
    begun = time.perf_counter()
    tiles.redraw(DISTRICT)
    print(f"{len(outlines):,} cells drawn for seven zooms in {time.perf_counter() - begun:.1f} s", flush=True)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


# --- the sides ------------------------------------------------------------------------------------------------------

SHAPES = """
SELECT ST_AsMVT(t, 'cells', 4096, 'geom') FROM (
    SELECT {columns}, ST_AsMVTGeom(outline, ST_TileEnvelope(%(z)s, %(x)s, %(y)s), 4096, 64) AS geom
    FROM gridmap_shape WHERE district_id = %(district)s
        AND level = %(level)s::smallint AND zoom = %(drawn)s::smallint
        AND outline && ST_TileEnvelope(%(z)s, %(x)s, %(y)s, margin => 0.015625)
) t
"""
SURVEYED = """
SELECT ST_AsMVT(t, 'cells', 4096, 'geom') FROM (
    SELECT code, ST_AsMVTGeom(ST_Transform(boundary, 3857), ST_TileEnvelope(%(z)s, %(x)s, %(y)s), 4096, 64) AS geom
    FROM {source} WHERE valid_to IS NULL
        AND boundary && ST_Transform(ST_TileEnvelope(%(z)s, %(x)s, %(y)s, margin => 0.015625), 4326)
) t
"""
EVENTS = """
SELECT ST_AsMVT(t, 'cases', 4096, 'geom') FROM (
    SELECT e.id, e.number, e.status, c.name AS class,
        ST_AsMVTGeom(ST_Transform(e.point, 3857), ST_TileEnvelope(%(z)s, %(x)s, %(y)s), 4096, 64) AS geom
    FROM fieldops_event e JOIN fieldops_eventclass c ON c.id = e.event_class_id
    WHERE e.point && ST_Transform(ST_TileEnvelope(%(z)s, %(x)s, %(y)s, margin => 0.015625), 4326)
        AND e.district_id = %(district)s
        AND (e.status <> ALL(%(final)s) OR e.updated_at >= now() - interval '1 day')
    ORDER BY e.received_at DESC LIMIT 5000
) t
"""
EVENT_COUNTS = """
SELECT ST_AsMVT(t, 'cases', 4096, 'geom') FROM (
    SELECT count(*)::int AS count,
        ST_AsMVTGeom(ST_Transform(ST_SetSRID(ST_MakePoint(avg(ST_X(point)), avg(ST_Y(point))), 4326), 3857),
            ST_TileEnvelope(%(z)s, %(x)s, %(y)s), 4096, 0) AS geom
    FROM fieldops_event
    WHERE point && ST_MakeEnvelope(%(west)s, %(south)s, %(east)s, %(north)s, 4326) AND district_id = %(district)s
        AND (status <> ALL(%(final)s) OR updated_at >= now() - interval '1 day')
    GROUP BY floor((ST_X(point) - %(west)s) / %(wide)s), floor((ST_Y(point) - %(south)s) / %(high)s)
) t
"""


def bare_parameters(district: str, layer: str, tile: Any) -> dict[str, Any]:
    """What the bare statements are given for a tile."""
    from fieldops.status import FINAL

    west, south, east, north = tile.degrees
    return {
        **vars(tile),
        "district": district,
        "final": sorted(FINAL),
        "level": {"streets": 3, "communities": 4}.get(layer, 6),
        "drawn": min(tile.z, 15),
        "west": west,
        "south": south,
        "east": east,
        "north": north,
        "wide": (east - west) / 32,
        "high": (north - south) / 32,
    }


class Wsgi:
    """Asks the application as a server would."""

    def __init__(self, cookie: str) -> None:
        from django.core.wsgi import get_wsgi_application

        self.application = get_wsgi_application()
        self.cookie = cookie

    def get(self, path: str) -> tuple[bytes, dict[str, str]]:
        """Body and headers; anything but 200 ends the run."""
        told: dict[str, Any] = {}

        def start(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
            told["status"], told["headers"] = status, dict(headers)

        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": path,
            "QUERY_STRING": "",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
            "HTTP_HOST": "127.0.0.1",
            "HTTP_COOKIE": self.cookie,
            "HTTP_ACCEPT_ENCODING": "gzip",
        }
        response = self.application(environ, start)
        body = b"".join(response)
        response.close()
        if told["status"] != "200 OK":
            raise SystemExit(f"{path}: {told['status']} {body[:300]!r}")
        return body, told["headers"]


def timed(ask: Callable[[], Any], repeat: int) -> float:
    """Milliseconds of one, on average."""
    begun = time.perf_counter()
    for _ in range(repeat):
        ask()
    return (time.perf_counter() - begun) / repeat * 1000


def main() -> None:
    """Fill, measure, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=50_000)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--quick", action="store_true", help="10 thousand cells and 20 thousand cases")
    given = parser.parse_args()
    if given.quick:
        given.cells, given.cases = 10_000, 20_000
    django.setup()
    from django.conf import settings
    from django.core.cache import cache
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client

    from benchmarks import _tile_peer
    from fieldops.models import User
    from gridmap.models import Drawing
    from gridmap.tiles import Layer, Tile

    settings.ROOT_URLCONF = "benchmarks._tile_peer"
    settings.LOGGING_CONFIG = None
    call_command("migrate", interactive=False, verbosity=0)
    begun = time.perf_counter()
    fill(given.cells, given.cases)
    print(f"filled in {time.perf_counter() - begun:.0f} s", flush=True)
    client = Client()
    client.force_login(User.objects.get(username="bench"))
    web = Wsgi(f"sessionid={client.cookies['sessionid'].value}")
    held = connection.settings_dict
    bare = psycopg.connect(
        host=held["HOST"], port=held["PORT"] or None, user=held["USER"], dbname=held["NAME"], autocommit=True
    )
    bare.prepare_threshold = 0
    bare.execute("SET jit = off")  # as in the settings

    side = round(given.cells**0.5) * SIZE
    across = {z: 2**z for z in ZOOMS}

    def tile_of(z: int, lon: float, lat: float) -> Tile:
        row = (1 - np.arcsinh(np.tan(np.radians(lat))) / np.pi) / 2
        return Tile(z, int((lon + 180) / 360 * across[z]), int(row * across[z]))

    # --- how heavy: every tile of the coarser zooms, a sample of the finer ones
    cells_from = Drawing.objects.get(district=DISTRICT).cells_from
    chance = random.Random(2)
    heaviest: dict[tuple[str, int], int] = defaultdict(int)
    looked = 0
    from gridmap import tiles as core
    from map_services.tile_views import SOURCES, Access, near

    communities_from = core.first_zoom(DISTRICT, Layer.COMMUNITIES)
    leader = Access(User.objects.get(username="bench"), [DISTRICT], "bench", {})
    for z in ZOOMS:
        first, last = tile_of(z, WEST, SOUTH + side), tile_of(z, WEST + side, SOUTH)
        every = [(x, y) for x in range(first.x, last.x + 1) for y in range(first.y, last.y + 1)]
        for x, y in every if len(every) <= SAMPLE else chance.sample(every, SAMPLE):
            for layer in Layer:
                body = SOURCES[layer].draw(DISTRICT, Tile(z, x, y), leader)
                heaviest[layer.value, z] = max(heaviest[layer.value, z], len(body))
                looked += 1
    layers = [layer.value for layer in Layer]
    print(f"heaviest tile, kB uncompressed, of {looked:,} tiles; cells from zoom {cells_from}")
    table(
        ["layer", *map(str, ZOOMS)], [(n, *(f"{heaviest[n, z] / 1000:.0f}" for z in ZOOMS)) for n in layers]
    )

    # --- speed: at each zoom the tile in the middle, of what a map shows there, and the cases
    asked: list[tuple[str, Tile]] = []
    for z in ZOOMS:
        there = tile_of(z, WEST + side * 0.45, SOUTH + side * 0.45)
        shown = next(
            layer
            for layer, first in (
                (Layer.CELLS, cells_from),
                (Layer.COMMUNITIES, communities_from),
                (Layer.STREETS, 0),
            )
            if z >= first
        )
        asked += [(shown.value, there), ("cases", there)]
    paths = {one: f"/tiles/{DISTRICT}/{one[0]}/{one[1].z}/{one[1].x}/{one[1].y}" for one in asked}

    def held_at(one: tuple[str, Tile]) -> str:
        return paths[one].replace("/tiles/", "/held/")

    def statement(one: tuple[str, Tile]) -> str:
        if one[0] == "cases":
            return EVENTS if one[1].z >= core.POINTS_FROM else EVENT_COUNTS
        return SHAPES.format(columns="code" if one[0] == "cells" else "code, name, name_en")

    def run_bare(sql: str, one: tuple[str, Tile]) -> None:
        bare.execute(sql, bare_parameters(DISTRICT, *one)).fetchone()

    def uncached(one: tuple[str, Tile]) -> float:
        place = f"tiles:{DISTRICT}:{one[0]}:{one[1].z}:{one[1].x}:{one[1].y}"
        for key in cache.keys(f"{place}*"):  # type: ignore[attr-defined]
            cache.delete(key)
        near.clear("tiles:")
        web.get(known)
        return timed(lambda: web.get(paths[one]), 1)

    # Makes this process know the reader and the connection, and is none of the tiles that are measured.
    known = paths[asked[0]].replace(f"/{asked[0][0]}/", "/regional-groups/")
    for one in asked:
        body, headers = web.get(paths[one])
        again, _headers = web.get(paths[one])
        assert again == body
        kept = ("Content-Type", "ETag", "Cache-Control", "Vary", "Content-Encoding")
        _tile_peer.HELD[tuple(paths[one].split("/")[2:])] = body, {name: headers[name] for name in kept}
        assert web.get(held_at(one))[0] == body

    # Tile by tile both sides in turn: a machine that slows down for a second slows down both.
    pairs: list[dict[str, Callable[[tuple[str, Tile]], float]]] = [
        {
            "cached": lambda one: timed(lambda: web.get(paths[one]), 1),
            "view": lambda one: timed(lambda: web.get(held_at(one)), 1),
        },
        {
            "uncached": uncached,
            "bare": lambda one: timed(lambda: run_bare(statement(one), one), 1),
        },
    ]
    sides = [name for pair in pairs for name in pair]
    found: dict[str, dict[tuple[str, Tile], list[float]]] = {name: defaultdict(list) for name in sides}
    for _round in range(ROUNDS):
        for pair, repeat in zip(pairs, (REPEAT * 2, REPEAT // 5), strict=True):
            for one in asked:
                took: dict[str, list[float]] = defaultdict(list)
                for _number, name in interleaved(list(pair), repeat):
                    took[name].append(pair[name](one))
                for name, times in took.items():
                    found[name][one].append(fmean(times))
    # What one would write first, on the boundaries as surveyed; once, since it is slow.
    first_try = {
        one: timed(
            lambda one=one: run_bare(
                SURVEYED.format(source="gridmap_cell" if one[0] == "cells" else "gridmap_gridunit"),
                one,
            ),
            2,
        )  # type: ignore[misc]
        for one in asked
        if one[0] != "cases"
    }
    rows = []
    for one in asked:
        size = len(web.get(held_at(one))[0])
        rows.append(
            (
                f"{one[0]} z{one[1].z}",
                f"{size / 1000:.1f}",
                *(spread(found[name][one], 2) for name in sides),
                f"{median(found['uncached'][one]) / median(found['bare'][one]):.2f}",
                f"{first_try[one]:.1f}" if one in first_try else "",
            )
        )
    print("milliseconds a tile: median (quartiles); kB as sent")
    table(["tile", "kB", *sides, "uncached / bare", "first try"], rows)

    def ratios(name: str, other: str) -> list[float]:
        return [
            sum(found[name][one][n] for one in asked) / sum(found[other][one][n] for one in asked)
            for n in range(ROUNDS)
        ]

    report(
        "tiles",
        [
            Bar("cached tile / view with the same bytes", ratios("cached", "view"), 1.3, at_least=False),
            Bar("uncached tile / bare statement", ratios("uncached", "bare"), 1.3, at_least=False),
            Bar("heaviest tile, kB", [max(heaviest.values()) / 1000], 500, at_least=False),
        ],
    )


if __name__ == "__main__":
    main()
