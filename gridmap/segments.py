"""Road segments of street chiefs: laid out, found by a place, with the side a place lies on."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from django.contrib.gis.db import models
from django.contrib.gis.geos import LineString, Point
from django.db import transaction
from django.db.models import F, FloatField, Func, QuerySet, Value
from django.db.models.expressions import Combinable
from django.utils import timezone
from django.utils.translation import gettext as _

from .elements import BATCH, METRES_PER_DEGREE, Fault, Placing, lock_cells_at, placing_of, wgs84_points
from .models import WGS84, District, Element, RoadSegment, Shop, Side

Array = npt.NDArray[np.float64]
SHORTEST_M = 1.0


@dataclass(frozen=True)
class SegmentRow:
    """A road segment as a file states it: `line` is x, y in the declared `system`; the reach is in metres."""

    code: str
    name: str
    line: Sequence[tuple[float, float]]
    system: str
    name_en: str = ""
    reach_m: int = 40


@transaction.atomic
def lay_out_segments(
    rows: Sequence[SegmentRow], *, district: District, by: models.Model | None, synthetic: bool = False
) -> Placing:
    """Add or change road segments by their codes, all or none: with any fault nothing is written.

    A line does not cross itself, else it had no sides, is longer than a metre and lies in the district.
    """
    district = District.objects.select_for_update(no_key=True).get(pk=district.pk)
    faults = _check(rows)
    lines = _lines(rows, district, faults)
    if faults:
        return Placing(faults=tuple(sorted(faults)))
    there = {
        segment.code: segment
        for segment in RoadSegment.objects.select_for_update(no_key=True)
        .filter(district=district, code__in=[row.code for row in rows])
        .order_by("pk")
    }
    now = timezone.now()
    added: list[RoadSegment] = []
    changed: list[RoadSegment] = []
    for row, line in zip(rows, lines, strict=True):
        segment = there.get(row.code) or RoadSegment(district=district, code=row.code, synthetic=synthetic)
        facts = {
            "name": row.name,
            "name_en": row.name_en,
            "line": line,
            "reach_m": row.reach_m,
            "ended_at": None,
        }
        if segment._state.adding or any(getattr(segment, name) != value for name, value in facts.items()):
            for name, value in facts.items():
                setattr(segment, name, value)
            segment.changed_by_id, segment.changed_at = by.pk if by else None, now
            (changed if row.code in there else added).append(segment)
    RoadSegment.objects.bulk_create(
        [*added, *changed],
        batch_size=BATCH,
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["name", "name_en", "line", "reach_m", "ended_at", "changed_by", "changed_at"],
    )
    _side_again(changed)
    return placing_of(rows, added=added, changed=changed)


def _check(rows: Sequence[SegmentRow]) -> list[Fault]:
    faults = []
    times = Counter(row.code for row in rows)
    for n, row in enumerate(rows):
        if not 0 < len(row.code) <= 30 or "\0" in row.code:
            faults.append(Fault(n, "bad_code", _("A segment's code has 1 to 30 characters")))
        elif times[row.code] > 1:
            faults.append(Fault(n, "code_twice", _("The code comes more than once")))
        if not row.name.strip():
            faults.append(Fault(n, "name_missing", _("The name is missing")))
        for field, text in (("name", row.name), ("name_en", row.name_en)):
            if "\0" in text or len(text) > 120:
                told = _("%(field)s is too long or is no text") % {"field": field}
                faults.append(Fault(n, "bad_text", told))
        if not 1 <= row.reach_m <= 500:
            faults.append(Fault(n, "bad_reach", _("A segment reaches 1 to 500 metres to either side")))
    return faults


def _lines(rows: Sequence[SegmentRow], district: District, faults: list[Fault]) -> list[LineString | None]:
    owner = [n for n, row in enumerate(rows) for _point in row.line]
    flat = [(x, y, row.system) for row in rows for x, y in row.line]
    wrong: list[Fault] = []
    points = wgs84_points(flat, wrong)
    cells = lock_cells_at(points, district=district)
    outside = _("The place lies outside the district")
    wrong += [
        Fault(i, "point_outside_district", outside)
        for i, cell in enumerate(cells)
        if cell is None and points[i] is not None
    ]
    faults += {(owner[i], code): Fault(owner[i], code, told) for i, code, told in wrong}.values()
    mine: dict[int, list[Point]] = {}
    for n, point in zip(owner, points, strict=True):
        if point is not None:
            mine.setdefault(n, []).append(point)
    lines: list[LineString | None] = []
    for n, row in enumerate(rows):
        line = None
        if len(mine.get(n, [])) == len(row.line) >= 2:
            line = LineString([point.coords for point in mine[n]], srid=WGS84)
            if not line.simple or shapely.LineString(_metres(np.array(line.coords))).length < SHORTEST_M:
                told = _("The line crosses itself or is shorter than a metre")
                faults.append(Fault(n, "bad_line", told))
        elif len(row.line) < 2:
            faults.append(Fault(n, "bad_line", _("A line has at least two points")))
        lines.append(line)
    return lines


def _side_again(segments: Sequence[RoadSegment]) -> None:
    """A line that was drawn anew may have its shops on other sides."""
    by_id = {segment.pk: segment for segment in segments}
    shops = list(Shop.objects.filter(segment__in=by_id).select_related("element"))
    turned = []
    for shop in shops:
        side = _side_of_element(by_id[shop.segment_id], shop.element)
        if side != shop.side:
            shop.side = side
            turned.append(shop)
    Shop.objects.bulk_update(turned, ["side"], batch_size=BATCH)


def _metres(degrees: Array, about: float | None = None) -> Array:
    """Longitude and latitude as metres on a local plane: exact enough over the few kilometres of a street."""
    middle = math.radians(degrees[:, 1].mean() if about is None else about)
    return degrees * METRES_PER_DEGREE * np.array([math.cos(middle), 1.0])


def side_of(line: LineString, point: Point) -> Side:
    """The side of the line (WGS-84) on which the point lies, looking along it; on the line itself: left.

    Judged where the line comes nearest. Where that is a bend, the point lies outside of it, so on the right of a
    turn to the left: neither of the two stretches alone would tell.
    """
    corners = np.array(line.coords)
    about = float(corners[:, 1].mean())
    corners, place = _metres(corners, about), _metres(np.array([point.coords]), about)[0]
    corners = corners[np.r_[True, np.any(np.diff(corners, axis=0) != 0, axis=1)]]
    start, along = corners[:-1], np.diff(corners, axis=0)
    at = np.einsum("ij,ij->i", place - start, along) / np.einsum("ij,ij->i", along, along)
    foot = start + along * np.clip(at, 0, 1)[:, None]
    n = int(np.argmin(np.einsum("ij,ij->i", place - foot, place - foot)))
    turn = _cross(along[n], place - start[n])
    if at[n] >= 1 and n + 1 < len(along):
        turn = -_cross(along[n], along[n + 1]) or turn
    elif at[n] <= 0 and n > 0:
        turn = -_cross(along[n - 1], along[n]) or turn
    if np.array_equal(foot[n], place):
        return Side.LEFT
    return Side.LEFT if turn >= 0 else Side.RIGHT


def _side_of_element(segment: RoadSegment, element: Element) -> Side:
    if element.point is None:
        raise ValueError("a person stands at no segment")
    return side_of(segment.line, element.point)


def _cross(a: Array, b: Array) -> float:
    return float(a[0] * b[1] - a[1] * b[0])


# In degrees of longitude up to 63° north, and more than that in latitude: no segment reaches further.
FURTHEST_REACH = 0.01


def segments_by_nearness(point: Combinable | Point, *, district: Any) -> QuerySet[RoadSegment]:
    """The road segments that reach a place (WGS-84), or a column of places, nearest first, as `away_m`.

    With `OuterRef`s for both it is a subquery: the segment that each of many rows belongs to is the first of these.
    """
    place = Value(point, output_field=models.PointField(srid=WGS84)) if isinstance(point, Point) else point
    around = Func(
        *(place, Value(FURTHEST_REACH)), function="ST_Expand", output_field=models.GeometryField(srid=WGS84)
    )
    away = Func(F("line"), place, function="ST_DistanceSphere", output_field=FloatField())
    return (
        RoadSegment.objects.filter(district=district, ended_at__isnull=True, line__bboverlaps=around)
        .annotate(away_m=away)
        .filter(away_m__lte=F("reach_m"))
        .order_by("away_m", "code")
    )


def segment_at(point: Point, *, district: str) -> RoadSegment | None:
    """The road segment that a place (WGS-84) belongs to: the nearest that reaches it; None where none does."""
    return segments_by_nearness(point, district=district).first()


def put_shop(element: Element, *, segment: RoadSegment, house_number: str = "") -> Shop:
    """Say that an organisation or a place stands at a segment; the side follows from where it is."""
    shop = Shop(
        element=element,
        element_kind=element.kind,
        district_id=element.district_id,
        segment=segment,
        side=_side_of_element(segment, element),
        house_number=house_number,
    )
    shop.save()
    return shop
