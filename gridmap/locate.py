"""Which cell a place lies in: one rule, for one point, for a point with its doubt, and for a day in the past.

`covers` and not `contains`: a point on a shared border belongs to exactly one cell, the one with the lowest code
(in the order of its bytes, whatever the database's collation). `gridmap.bulk` gives the same answers for many
points. Places are WGS-84, degrees; distances and areas are metres.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import shapely
from django.contrib.gis.geos import Point
from django.db.models import QuerySet
from django.db.models.functions import Collate
from django.utils import timezone
from shapely.geometry.base import BaseGeometry

from .coordinates import metres_per_degree
from .models import CHAIN, Cell, District, GridUnit
from .prepared import fetch_prepared

# Beyond this radius a fix tells a part of town, not a cell; its circle is cut to it.
WIDEST_DOUBT_METRES = 1000
MOST_CANDIDATES = 12
# Candidates are told to a thousandth of the circle; what rounds to nothing is none.
SHARE_DIGITS = 3


@dataclass(frozen=True)
class Candidate:
    """A cell that a fix may mean, and the share of the fix's accuracy circle that lies in it."""

    cell_id: UUID
    code: str
    share: float


@dataclass(frozen=True)
class Location:
    """Where a fix was placed, and how sure that is.

    `candidates`: the cells its accuracy circle touches, largest share first, where there are several; what is
    missing to 1 lies outside the district or in small shares. `outside_m`: how far the place lies from the cell,
    where no cell covers it.
    """

    cell: Cell
    candidates: tuple[Candidate, ...] = ()
    outside_m: float | None = None


def cells_at(point: Point, *, at: datetime | None = None) -> QuerySet[Cell]:
    """The cells in force (now, or at a moment) that cover the point (WGS-84); it belongs to the first.

    They come with their five organisations. For a local day, `at` is `moment_of(day, district)`.
    """
    return (
        Cell.objects.in_force(at)
        .filter(boundary__covers=point)
        .select_related("district", *CHAIN)
        .defer("boundary", *(f"{unit}__boundary" for unit in CHAIN))
        .order_by(Collate("code", "C"))
    )


def moment_of(day: date, district: District) -> datetime | None:
    """The moment that stands for a local day: its last one, so that what began that day counts.

    None for today, whose layout is the present one. Raises ValueError for a day to come.
    """
    zone = ZoneInfo(district.time_zone)
    today = timezone.now().astimezone(zone).date()
    if day >= today:
        if day > today:
            raise ValueError(f"{day} is still to come")
        return None
    midnight = datetime.combine(day + timedelta(days=1), time(), zone)
    return midnight.astimezone(UTC) - timedelta(microseconds=1)


# An overlap below this share of the largest one is no heir: the border was drawn anew.
LEAST_HEIR = 0.001


def nearest_heir(former: BaseGeometry, areas: npt.NDArray[np.object_], place: BaseGeometry) -> int:
    """Which of the areas takes the place of a former cell for a place that lay in it by somebody's word alone.

    The number of the nearest one of those that share more than a sliver with it, of equally near ones the first.
    """
    shared = shapely.area(shapely.intersection(areas, former))
    heirs = np.flatnonzero(shared >= LEAST_HEIR * shared.max())
    return int(heirs[np.argmin(shapely.distance(areas[heirs], place))])


def cell_instead_of(former: Cell, point: Point) -> Cell:
    """The cell in force for a place (WGS-84) whose cell has ended since: by the rule by which open cases move.

    That which covers it, if the former one did; else the nearest of those that take its place. Raises Cell.DoesNotExist
    where the district has nothing there any more.
    """
    if former.boundary.covers(point) and (
        cell := cells_at(point).filter(district=former.district_id).first()
    ):
        return cell
    heirs = Cell.objects.in_force().filter(district=former.district_id, boundary__intersects=former.boundary)
    cells = list(heirs.order_by(Collate("code", "C")))
    if not cells:
        raise Cell.DoesNotExist
    areas = shapely.from_wkb([bytes(cell.boundary.wkb) for cell in cells])
    place = shapely.Point(point.x, point.y)
    return cells[nearest_heir(shapely.from_wkb(bytes(former.boundary.wkb)), areas, place)]


def locate(lon: float, lat: float, *, district: District, accuracy_m: float | None = None) -> Location | None:
    """Place a fix in a cell of the district in force; one statement, and another where no cell covers it.

    A fix outside goes to the nearest cell within `district.nearest_cell_m`; None beyond. With an accuracy
    (radius in metres) the location tells which cells the fix may mean as well. The cell has neither its
    boundary nor its organisations loaded.
    """
    if accuracy_m:
        cell, candidates = _weigh(lon, lat, district, min(accuracy_m, WIDEST_DOUBT_METRES))
    else:
        rows = fetch_prepared(_COVERING, (lon, lat, district.pk))
        cell, candidates = (_cell(rows[0], district) if rows else None), ()
    if cell is not None:
        return Location(cell, candidates)
    east, north = district.nearest_cell_m / metres_per_degree(lat)
    box = (lon - east, lat - north, lon + east, lat + north)
    rows = fetch_prepared(_NEAREST, (lon, lat, district.pk, *box, district.nearest_cell_m))
    if not rows:
        return None
    return Location(_cell(rows[0], district), candidates, outside_m=round(rows[0][-1], 2))


_NEEDED = {"id", "district_id", "code", *(f"{unit}_id" for unit in CHAIN)}
# In the order of the model, which is how rows become instances.
_FIELDS = tuple(field.attname for field in Cell._meta.concrete_fields if field.attname in _NEEDED)
UNIT_FIELDS = ("id", "level", "code", "name", "area_name", "name_en")
_COLUMNS = ", ".join(f"cell.{field}" for field in _FIELDS)
_HERE = "ST_SetSRID(ST_MakePoint(%s, %s), 4326)"
_COVERING = f"""
SELECT {_COLUMNS} FROM gridmap_cell cell
WHERE ST_Covers(cell.boundary, {_HERE}) AND cell.district_id = %s AND cell.valid_to IS NULL
ORDER BY cell.code COLLATE "C" LIMIT 1
"""  # noqa: S608 — names of columns only
_TOUCHED = f"""
SELECT {_COLUMNS}, ST_Covers(cell.boundary, {_HERE}) AS covers, ST_AsBinary(cell.boundary) FROM gridmap_cell cell
WHERE cell.boundary && ST_MakeEnvelope(%s, %s, %s, %s, 4326) AND cell.district_id = %s AND cell.valid_to IS NULL
ORDER BY covers DESC, cell.code COLLATE "C"
"""  # noqa: S608
_NEAREST = f"""
SELECT * FROM (
    SELECT {_COLUMNS}, ST_Distance(cell.boundary::geography, {_HERE}::geography) AS away FROM gridmap_cell cell
    WHERE cell.district_id = %s AND cell.valid_to IS NULL
        AND cell.boundary && ST_MakeEnvelope(%s, %s, %s, %s, 4326)
) near WHERE away <= %s ORDER BY away, code COLLATE "C" LIMIT 1
"""  # noqa: S608


def _cell(row: tuple[object, ...], district: District) -> Cell:
    cell = Cell.from_db("default", _FIELDS, row[: len(_FIELDS)])
    cell._state.fields_cache["district"] = district
    return cell


def give_organisations(cell: Cell, rows: Iterable[Mapping[str, Any]]) -> None:
    """Let a located cell know its organisations, given as rows of UNIT_FIELDS, so that it need not ask for each."""
    units = {
        row["id"]: GridUnit.from_db("default", UNIT_FIELDS, [row[name] for name in UNIT_FIELDS])
        for row in rows
    }
    for unit in CHAIN:
        cell._state.fields_cache[unit] = units[getattr(cell, f"{unit}_id")]


def _weigh(
    lon: float, lat: float, district: District, radius_m: float
) -> tuple[Cell | None, tuple[Candidate, ...]]:
    """The cell that covers the place, if any does, and the cells its circle touches if they are several."""
    east, north = radius_m / metres_per_degree(lat)
    box = (lon - east, lat - north, lon + east, lat + north)
    rows = fetch_prepared(_TOUCHED, (lon, lat, *box, district.pk))
    if not rows:
        return None, ()
    cell = _cell(rows[0], district) if rows[0][len(_FIELDS)] else None
    shares = shares_of_circle(lon, lat, radius_m, shapely.from_wkb([row[-1] for row in rows]))
    candidates = [
        Candidate(row[_FIELDS.index("id")], row[_FIELDS.index("code")], share)
        for row, share in zip(rows, shares.round(SHARE_DIGITS).tolist(), strict=True)
        if share > 0
    ]
    if len(candidates) < 2:
        return cell, ()
    candidates.sort(key=lambda one: (-one.share, one.code))
    return cell, tuple(candidates[:MOST_CANDIDATES])


def shares_of_circle(
    lon: float, lat: float, radius_m: float, boundaries: npt.NDArray[np.object_]
) -> npt.NDArray[np.float64]:
    """Which share of a circle around the place (radius in metres) lies in each of the boundaries (degrees).

    Computed in metres on the plane that touches the ellipsoid there, true to 1 : 10,000 for a kilometre; the
    circle is a polygon of 128 corners.
    """
    scale = metres_per_degree(lat)
    in_metres = shapely.transform(boundaries, lambda degrees: (degrees - (lon, lat)) * scale)
    circle = shapely.Point(0, 0).buffer(radius_m, quad_segs=32)
    shares: npt.NDArray[np.float64] = shapely.area(shapely.intersection(in_metres, circle)) / circle.area
    return shares
