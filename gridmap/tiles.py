"""Vector tiles (MVT 2.1) straight from PostGIS, and the drawing of the grid that they are cut from.

Tiles are addressed as everywhere on the web: zoom, column from the west, row from the north, in web Mercator
(EPSG:3857). The grid is drawn ahead for each zoom: its cells, or below the zoom that shows cells the areas of its
party groups, are simplified as one coverage, so that what two neighbours share stays shared; every level's outline
is the union of these, so that levels lie on one another. Anyone's changes are noticed by triggers (`LayerChange`).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from django.contrib.gis.geos import Polygon
from django.db import connection, transaction
from django.db.models import F, Func, Min, QuerySet, TextField

from .models import WEB_MERCATOR, WGS84, District, Drawing, Shape
from .prepared import fetch_prepared

Geometries = npt.NDArray[np.object_]

WORLD = 2 * math.pi * 6378137.0  # metres around the equator, the width of the one tile of zoom 0
MOST_ZOOM = 22
EXTENT, MARGIN = 4096, 64  # units of a tile, and of what is drawn beyond its edges so that no edge shows
FIRST_DRAWN, LAST_DRAWN = 9, 15  # coarser tiles take the first drawing, finer ones the last, which is exact
CELLS_FROM = 12
CELL_LABELS_FROM = 14
# A tile with more cells than this says nothing to the eye and is too heavy for a phone: they begin one zoom later.
MOST_CELLS = 5000
# Units carry their names twice, as areas and as labels: about 250 bytes each.
MOST_UNITS = 1500
POINTS_FROM = 14
MOST_POINTS = 5000
MOST_BYTES = 500_000
BINS = 32  # counts in a tile, along each side
CELL = 6


class Layer(StrEnum):
    """What there are tiles of; the value is its name in addresses and inside the tile."""

    COMMITTEES = "district-committees"
    REGIONAL_GROUPS = "regional-groups"
    STREETS = "streets"
    COMMUNITIES = "communities"
    PARTY_GROUPS = "party-groups"
    CELLS = "cells"
    ROAD_SEGMENTS = "road-segments"
    ELEMENTS = "elements"
    CASES = "cases"


GRID = (
    Layer.COMMITTEES,
    Layer.REGIONAL_GROUPS,
    Layer.STREETS,
    Layer.COMMUNITIES,
    Layer.PARTY_GROUPS,
    Layer.CELLS,
)


class NoSuchTile(ValueError):
    """There is no tile of that number."""


@dataclass(frozen=True)
class Tile:
    """One tile. Raises NoSuchTile for numbers that name none."""

    z: int
    x: int
    y: int

    def __post_init__(self) -> None:
        if not (0 <= self.z <= MOST_ZOOM and 0 <= self.x < 2**self.z and 0 <= self.y < 2**self.z):
            raise NoSuchTile(f"{self.z}/{self.x}/{self.y}")

    @property
    def degrees(self) -> tuple[float, float, float, float]:
        """West, south, east, north (WGS-84)."""
        across = 2**self.z

        def latitude(row: int) -> float:
            return math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * row / across))))

        return (
            self.x / across * 360 - 180,
            latitude(self.y + 1),
            (self.x + 1) / across * 360 - 180,
            latitude(self.y),
        )

    def area(self, margin: float = 0.0) -> Polygon:
        """The tile and so many tile widths around it, WGS-84."""
        west, south, east, north = self.degrees
        wide, high = (east - west) * margin, (north - south) * margin
        box = Polygon.from_bbox((west - wide, south - high, east + wide, north + high))
        box.srid = WGS84
        return box


# --- tiles of the grid --------------------------------------------------------------------------------------------

_NAMED = "code, name, name_en"
# ST_AsMVTGeom would thin every outline by itself, and neighbours differently. Rounding alone keeps what is shared.
_GRID = """
SELECT coalesce((
    SELECT ST_AsMVT(drawn, %(layer)s, {extent}, 'geom') FROM (
        SELECT {columns}, ST_SnapToGrid(ST_TransScale(
            ST_ForcePolygonCW(ST_ClipByBox2D(outline, ST_TileEnvelope(%(z)s, %(x)s, %(y)s, margin => {share}))),
            -(%(left)s::float8), -(%(top)s::float8), %(scale)s, -(%(scale)s::float8)), 1) AS geom
        FROM gridmap_shape WHERE district_id = %(district)s
            AND level = %(level)s::smallint AND zoom = %(zoom)s::smallint  -- no smallint: no index
            AND outline && ST_TileEnvelope(%(z)s, %(x)s, %(y)s, margin => {share})
        OFFSET 0  -- else PostgreSQL would make every geometry twice, once for the condition
    ) drawn WHERE NOT ST_IsEmpty(geom)
), '') || {labels}
"""
_LABELS = """coalesce((
    SELECT ST_AsMVT(drawn, 'labels', {extent}, 'geom') FROM (
        SELECT {columns}, ST_AsMVTGeom(label, ST_TileEnvelope(%(z)s, %(x)s, %(y)s), {extent}, 0) AS geom
        FROM gridmap_shape WHERE district_id = %(district)s
            AND level = %(level)s::smallint AND zoom = %(zoom)s::smallint  -- no smallint: no index
            AND outline && ST_TileEnvelope(%(z)s, %(x)s, %(y)s)
    ) drawn
), '')"""


def _grid_sql(columns: str, *, labels: bool) -> str:
    numbers: dict[str, Any] = {"extent": EXTENT, "share": MARGIN / EXTENT}
    named = _LABELS.format(columns=columns, **numbers) if labels else "''::bytea"
    return _GRID.format(columns=columns, labels=named, **numbers)


_UNITS = _grid_sql(_NAMED, labels=True)
_CELLS = _grid_sql("code", labels=False)
_CELLS_WITH_LABELS = _grid_sql("code", labels=True)


def grid_tile(district: str, layer: Layer, tile: Tile) -> bytes:
    """A level of the grid, or its cells: `layer` as areas, `labels` as points, each in the tile where it lies.

    Properties: `code`, and of units `name` and `name_en`. What is too much for a tile comes from a finer zoom on only;
    see `first_zoom`.
    """
    level = GRID.index(layer) + 1
    statement = _UNITS
    if level == CELL:
        statement = _CELLS_WITH_LABELS if tile.z >= CELL_LABELS_FROM else _CELLS
    return _one(
        statement,
        {
            "layer": layer.value,
            "district": district,
            "level": level,
            "zoom": min(max(tile.z, FIRST_DRAWN), LAST_DRAWN) if level < CELL else min(tile.z, LAST_DRAWN),
            "left": tile.x * tile_width(tile.z) - WORLD / 2,
            "top": WORLD / 2 - tile.y * tile_width(tile.z),
            "scale": EXTENT / tile_width(tile.z),
            **vars(tile),
        },
    )


_SEGMENTS = f"""
SELECT coalesce(ST_AsMVT(drawn, %(layer)s, {EXTENT}, 'geom'), '') FROM (
    SELECT code, name, name_en,
        ST_AsMVTGeom(ST_Transform(line, {WEB_MERCATOR}), ST_TileEnvelope(%(z)s, %(x)s, %(y)s), {EXTENT}, {MARGIN})
            AS geom
    FROM gridmap_roadsegment WHERE district_id = %(district)s AND ended_at IS NULL
        AND line && ST_MakeEnvelope(%(west)s, %(south)s, %(east)s, %(north)s, {WGS84})
) drawn
"""  # noqa: S608 — numbers of this file only


def segments_tile(district: str, tile: Tile) -> bytes:
    """The road segments there are now, as lines with `code`, `name` and `name_en`."""
    west, south, east, north = tile.area(MARGIN / EXTENT).extent
    box = {"west": west, "south": south, "east": east, "north": north}
    return _one(_SEGMENTS, {"layer": Layer.ROAD_SEGMENTS.value, "district": district, **vars(tile), **box})


def _one(statement: str, parameters: Sequence[Any] | Mapping[str, Any]) -> bytes:
    return bytes(fetch_prepared(statement, parameters)[0][0])


# --- tiles of points ------------------------------------------------------------------------------------------------

_PLACE = f"ST_Transform(ST_SetSRID(ST_MakePoint({{x}}, {{y}}), {WGS84}), {WEB_MERCATOR})"
_INSIDE = f"point && ST_MakeEnvelope(%s, %s, %s, %s, {WGS84})"
_POINTS = f"""
SELECT coalesce(ST_AsMVT(drawn, %s, {EXTENT}, 'geom'), '') FROM (
    SELECT {{names}},
        ST_AsMVTGeom(ST_Transform(point, {WEB_MERCATOR}), ST_TileEnvelope(%s, %s, %s), {EXTENT}, {MARGIN}) AS geom
    FROM (SELECT * FROM ({{rows}}) AS found ({{names}}, point, newest) WHERE {_INSIDE}
        ORDER BY newest DESC LIMIT {{most}}) AS shown
) drawn
"""  # noqa: S608 — numbers of this file only
# OFFSET 0: else PostgreSQL would read both coordinates out of each point twice.
_COUNTS = f"""
SELECT coalesce(ST_AsMVT(drawn, %s, {EXTENT}, 'geom'), '') FROM (
    SELECT count(*)::int AS count,
        ST_AsMVTGeom({_PLACE.format(x="avg(x)", y="avg(y)")}, ST_TileEnvelope(%s, %s, %s), {EXTENT}, 0) AS geom
    FROM (SELECT ST_X(point) AS x, ST_Y(point) AS y FROM ({{rows}}) AS found ({{names}}, point, newest)
        WHERE {_INSIDE} OFFSET 0) AS inside
    GROUP BY floor((x - %s) / %s), floor((y - %s) / %s)
) drawn
"""  # noqa: S608


@dataclass(frozen=True)
class Points:
    """What a reader sees of a layer of points, as a statement that tiles are cut from; see `points_of`."""

    names: str
    statement: str
    parameters: tuple[Any, ...]


def points_of(rows: QuerySet[Any], properties: Mapping[str, str], *, newest: str) -> Points:
    """Ready for tiles: rows with a WGS-84 `point`, and of each the `properties` (name → field).

    Those with the highest `newest` come first where there are too many. To write the statement takes longer than
    to answer it: for several tiles keep what this returns.
    """
    # As it lies there: Django would have PostgreSQL turn a selected geometry into bytes.
    point = Func("point", template="%(expressions)s", output_field=TextField())
    found = rows.order_by().annotate(tile_point=point, tile_newest=F(newest))
    found = found.values_list(*properties.values(), "tile_point", "tile_newest")
    statement, parameters = found.query.sql_with_params()
    names = ", ".join(connection.ops.quote_name(name) for name in properties)
    return Points(names, statement, tuple(parameters))


def points_tile(points: Points, layer: Layer, tile: Tile) -> bytes:
    """The points in the tile; one statement.

    From zoom 14 each is a point with its properties, at most 5,000, fewer where their names are long: the newest whose
    tile stays below 500 kB, asked anew for half as many. Below, `count` tells how many there are about one place.
    """
    named = {"rows": points.statement, "names": points.names}
    numbered = [layer.value, tile.z, tile.x, tile.y, *points.parameters]
    if tile.z >= POINTS_FROM:
        most, inside = MOST_POINTS, [*numbered, *tile.area(MARGIN / EXTENT).extent]
        while len(body := _one(_POINTS.format(**named, most=most), inside)) > MOST_BYTES and most > 1:
            most //= 2
        return body
    west, south, east, north = tile.degrees
    bins = [west, (east - west) / BINS, south, (north - south) / BINS]
    # Not prepared: one plan would serve a tile of the whole district and one of a single street.
    with connection.cursor() as cursor:
        cursor.execute(_COUNTS.format(**named), [*numbered, west, south, east, north, *bins])
        return bytes(cursor.fetchone()[0])


# --- versions ---------------------------------------------------------------------------------------------------------

GRID_CHANGES = "grid"


def version(district: str, layer: str) -> int:
    """How often the layer changed: `grid`, `road-segments` or `elements`. One statement."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(times), 0) FROM gridmap_layerchange WHERE district = %s AND layer = %s",
            [district, layer],
        )
        return int(cursor.fetchone()[0])


def drawn_version(district: str) -> int:
    """The version of the grid that its tiles show; −1 before the first drawing. One statement."""
    found = Drawing.objects.filter(district=district).values_list("version", flat=True).first()
    return -1 if found is None else found


_FOLD = """
WITH gone AS (DELETE FROM gridmap_layerchange RETURNING district, layer, times)
INSERT INTO gridmap_layerchange (district, layer, times)
SELECT district, layer, sum(times) FROM gone GROUP BY district, layer
"""


def fold_changes() -> None:
    """Add the changes of each layer up to one row; no version moves."""
    with connection.cursor() as cursor:
        cursor.execute(_FOLD)


# --- drawing ----------------------------------------------------------------------------------------------------------


def stale_districts() -> list[str]:
    """The districts whose grid changed since it was drawn."""
    drawn = dict(Drawing.objects.values_list("district", "version"))
    return [
        code
        for code in District.objects.order_by("code").values_list("code", flat=True)
        if drawn.get(code) != version(code, GRID_CHANGES)
    ]


@transaction.atomic
def redraw(district: str) -> int:
    """Draw the district's grid in force anew for every zoom; return the version drawn.

    Readers see the old drawing until this commits. Two at once take turns.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('gridmap.tiles'), hashtext(%s))", [district])
        # Read first: what commits in between makes this version an old one, and the next run draws it.
        at = version(district, GRID_CHANGES)
        cursor.execute(_IN_FORCE, [district])
        rows = cursor.fetchall()
        cursor.execute(_UNITS_IN_FORCE, [district])
        units = {pk: facts for pk, *facts in cursor.fetchall()}
        cursor.execute("DELETE FROM gridmap_shape WHERE district_id = %s", [district])
        cells_from = LAST_DRAWN
        if rows:
            outlines = shapely.from_wkb([bytes(row[-1]) for row in rows])
            cells_from = _drawn_from(outlines, MOST_CELLS, CELLS_FROM)
            with cursor.copy(_COPY) as copy:
                for shape in _shapes(rows, outlines, units, cells_from):
                    copy.write_row((district, *shape))
    Drawing.objects.update_or_create(district_id=district, defaults={"version": at, "cells_from": cells_from})
    return at


_IN_FORCE = f"""
SELECT code, committee_id, regional_group_id, street_id, community_id, party_group_id,
    ST_AsBinary(ST_Transform(boundary, {WEB_MERCATOR}))
FROM gridmap_cell WHERE district_id = %s AND valid_to IS NULL ORDER BY code
"""  # noqa: S608 — numbers of this file only
_UNITS_IN_FORCE = (
    "SELECT id, code, area_name, name_en FROM gridmap_gridunit WHERE district_id = %s ORDER BY level, code"
)
_COPY = "COPY gridmap_shape (district_id, level, zoom, code, name, name_en, outline, label) FROM STDIN"


def tile_width(z: int) -> float:
    """The width of a tile of this zoom, in metres at the equator."""
    return WORLD / 2**z


def first_zoom(district: str, layer: Layer) -> int:
    """The zoom from which tiles of a level of the grid show something: 0, unless there are too many; one statement."""
    drawn = Shape.objects.filter(district=district, level=GRID.index(layer) + 1).aggregate(first=Min("zoom"))
    return 0 if drawn["first"] in (None, FIRST_DRAWN) else int(drawn["first"])


def _drawn_from(outlines: Geometries, most: int, first: int) -> int:
    """The zoom, from `first` on, from which no tile holds more of them than it can show."""
    if first == FIRST_DRAWN:
        if len(outlines) <= most:  # any coarser tile shows this drawing, too, and may hold all
            return first
        first += 1
    middles = shapely.get_coordinates(shapely.centroid(outlines))
    for zoom in range(first, LAST_DRAWN):
        _tiles, number = np.unique(np.floor(middles / tile_width(zoom)), axis=0, return_counts=True)
        if number.max() <= most:
            return zoom
    return LAST_DRAWN


def _shapes(
    rows: Sequence[Sequence[Any]], outlines: Geometries, units: dict[int, list[str]], cells_from: int
) -> Iterable[tuple[Any, ...]]:
    """Rows of gridmap_shape without the district, exact ones first."""
    owners = np.array([row[1:6] for row in rows])
    codes = [row[0] for row in rows]
    # What no border of any level divides: the cells of a party group in one regional group.
    block, its_owners = _blocks(owners)
    labels: dict[tuple[int, Any], str] = {}
    units_from: dict[int, int] = {}
    blocks = _unite(outlines, block)
    for zoom in range(LAST_DRAWN, FIRST_DRAWN - 1, -1):
        exact = zoom == LAST_DRAWN
        # Half a pixel of a tile that is shown 512 pixels wide.
        tolerance = tile_width(zoom) / 1024
        if zoom >= cells_from:
            cells = outlines if exact else shapely.coverage_simplify(outlines, tolerance)
            if exact:
                labels |= {(CELL, n): label for n, label in enumerate(_labels(cells))}
            for n, (code, outline) in enumerate(
                zip(codes, shapely.to_wkb(_tagged(cells), hex=True, include_srid=True), strict=True)
            ):
                yield CELL, zoom, code, "", "", outline, labels[CELL, n]
            drawn = _unite(cells, block)
        else:
            drawn = shapely.coverage_simplify(blocks, tolerance)
        for level in range(1, CELL):
            if zoom < units_from.get(level, 0):
                continue
            found, number = np.unique(its_owners[:, level - 1], return_inverse=True)
            areas = _unite(drawn, number)
            if exact:
                units_from[level] = _drawn_from(areas, MOST_UNITS, FIRST_DRAWN)
                labels |= {(level, pk): label for pk, label in zip(found, _labels(areas), strict=True)}
            for pk, outline in zip(
                found, shapely.to_wkb(_tagged(areas), hex=True, include_srid=True), strict=True
            ):
                yield level, zoom, *units[pk], outline, labels[level, pk]


def _blocks(owners: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int64]]:
    _found, first, number = np.unique(owners[:, [1, 4]], axis=0, return_index=True, return_inverse=True)
    return number.reshape(-1), owners[first]


def _unite(parts: Geometries, number: npt.NDArray[np.intp]) -> Geometries:
    """The union of the parts of each number, 0 to the highest."""
    order = np.argsort(number, kind="stable")
    ends = np.cumsum(np.bincount(number))[:-1]
    return np.array([_union(group) for group in np.split(parts[order], ends)], dtype=object)


def _union(parts: Geometries) -> shapely.Geometry:
    try:
        return shapely.coverage_union_all(parts)
    except shapely.GEOSException:  # neighbours that do not share every vertex
        return shapely.union_all(parts)


def _labels(outlines: Geometries) -> list[str]:
    """A point inside the largest part of each."""
    parts, whole = shapely.get_parts(outlines, return_index=True)
    largest = np.lexsort((shapely.area(parts), whole))
    last = np.append(np.flatnonzero(np.diff(whole[largest])), len(largest) - 1)
    points = shapely.point_on_surface(parts[largest[last]])
    return list(shapely.to_wkb(_tagged(points), hex=True, include_srid=True))


def _tagged(geometries: Geometries) -> Geometries:
    return np.asarray(shapely.set_srid(geometries, WEB_MERCATOR))
