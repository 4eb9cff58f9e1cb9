"""Whether areas fit together: no overlap, no gap, nothing outside, whole parts; and how slivers are closed.

Pure geometry, no database. Areas are shapely polygons in WGS-84 degrees, and what lies between two vertices is straight
in degrees: so neighbours are compared there, exactly. Only sizes are metres, on the plane that touches the ellipsoid at
the place in question (`metres_per_degree`), true to 1 : 1,000 for places up to 10 km across; no zone has to be chosen.
What is nowhere wider than the tolerance is a sliver, and no fault.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from django.utils.translation import gettext as _
from shapely import MultiPolygon
from shapely.geometry.base import BaseGeometry

from .coordinates import metres_per_degree

Areas = Mapping[str, BaseGeometry]
Shapes = npt.NDArray[Any]
TOLERANCE_M = 0.05
# Coordinates are stored to 0.1 mm, so that what is narrower than this says nothing.
FINEST_M = 0.001
METRES_PER_DEGREE = 111_195.0  # of latitude, on the sphere of mean radius
# A vertex lies on an edge when it is no farther from it than its own rounding: in degrees, about 0.3 mm.
ON_EDGE = 3e-9
NAMED = 6
_TYPES = ("Polygon", "MultiPolygon")


@dataclass(frozen=True)
class Fault:
    """One thing wrong: a stable code, the codes of the features concerned, words for people, and the place.

    `place` is WGS-84, None where there is none that could be shown; `metres` how wide it is at its widest.
    """

    code: str
    features: tuple[str, ...]
    message: str
    place: BaseGeometry | None = None
    metres: float | None = None

    def __str__(self) -> str:
        return f"{self.message} {{{self.code}}}"


def as_geojson(faults: Iterable[Fault]) -> dict[str, Any]:
    """The faults as a FeatureCollection (WGS-84), for a map; those without a place have no geometry."""
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "geometry": shapely.geometry.mapping(fault.place) if fault.place is not None else None,
                "properties": {
                    "code": fault.code,
                    "features": list(fault.features),
                    "message": fault.message,
                    "metres": fault.metres,
                },
            }
            for fault in faults
        ],
    }


# --- each by itself ---------------------------------------------------------------------------------------------


def check_shapes(
    areas: Iterable[tuple[str, BaseGeometry | None]], *, types: Sequence[str] = _TYPES
) -> list[Fault]:
    """Shapes that cannot be areas: `empty`, `wrong_type`, `not_finite`, `out_of_range`, `self_crossing`."""
    faults = []
    for code, shape in areas:
        fault = _check_shape(code, shape, types)
        if fault:
            faults.append(fault)
    return faults


def _check_shape(code: str, shape: BaseGeometry | None, types: Sequence[str]) -> Fault | None:
    if shape is None or shape.is_empty:
        return Fault("empty", (code,), _("%(feature)s has no area") % {"feature": code})
    points = shapely.get_coordinates(shape)
    if not np.isfinite(points).all():
        told = _("%(feature)s has a coordinate that is no finite number")
        return Fault("not_finite", (code,), told % {"feature": code})
    if (np.abs(points) > (180, 90)).any():
        x, y = points[np.argmax((np.abs(points) > (180, 90)).any(axis=1))]
        told = _("%(feature)s leaves the range of longitude and latitude: %(x)s, %(y)s")
        return Fault("out_of_range", (code,), told % {"feature": code, "x": f"{x:g}", "y": f"{y:g}"})
    if shape.geom_type not in types:
        told = _("%(feature)s is a %(type)s, not an area, at %(place)s")
        facts = {"feature": code, "type": shape.geom_type, "place": in_words(shape)}
        return Fault("wrong_type", (code,), told % facts, shape)
    if shape.convex_hull.area == 0:
        told = _("%(feature)s has no area: all its corners lie on one line, at %(place)s")
        return Fault(
            "empty", (code,), told % {"feature": code, "place": in_words(shape.centroid)}, shape.centroid
        )
    reason = shapely.is_valid_reason(shape)
    if reason != "Valid Geometry":
        at = re.search(r"\[(\S+) (\S+)\]", reason)
        place = shapely.Point(float(at[1]), float(at[2])) if at else shapely.Point(points[0])
        told = _("The border of %(feature)s crosses or touches itself at %(place)s")
        return Fault("self_crossing", (code,), told % {"feature": code, "place": in_words(place)}, place)
    return None


@dataclass(frozen=True)
class Coded:
    """What a code is judged by: the code, that of the parent it names, and where the feature lies."""

    code: str
    parent: str = ""
    shape: BaseGeometry | None = None


def check_codes(
    features: Sequence[Coded], *, pattern: str, parents: Iterable[str] | None, nested: bool = True
) -> list[Fault]:
    """Codes that do not follow the pattern (a regular expression) or occur twice, and parents that are wrong.

    `parents` are the codes that may be named, None where there is no level above; `nested` codes begin with their
    parent's. Faults `malformed_code`, `duplicate_code`, `unknown_parent`, `code_contradicts_parent`.
    """
    faults: list[Fault] = []
    known = None if parents is None else set(parents)
    seen: dict[str, Coded] = {}
    for feature in features:
        facts = {"feature": feature.code, "parent": feature.parent, "place": in_words(feature.shape)}
        code, told = "", ""
        if not re.fullmatch(pattern, feature.code, re.ASCII):
            code, told = "malformed_code", _("The code %(feature)s does not follow the scheme, at %(place)s")
        elif feature.code in seen:
            code = "duplicate_code"
            told = _("The code %(feature)s occurs twice, at %(first)s and at %(place)s")
            facts["first"] = in_words(seen[feature.code].shape)
        elif known is not None and feature.parent not in known:
            code = "unknown_parent"
            told = _("%(feature)s names a parent %(parent)s that does not exist, at %(place)s")
        elif known is not None and nested and not feature.code.startswith(feature.parent):
            code = "code_contradicts_parent"
            told = _("The code %(feature)s does not begin with that of its parent %(parent)s, at %(place)s")
        seen.setdefault(feature.code, feature)
        if code:
            faults.append(Fault(code, (feature.code,), told % facts, _shown(feature.shape)))
    return faults


# --- side by side -------------------------------------------------------------------------------------------------


def check_tiling(
    areas: Areas, outline: BaseGeometry | None = None, *, tolerance_m: float = TOLERANCE_M, parent: str = ""
) -> list[Fault]:
    """Whether areas, each valid, fill the outline (the area of `parent`) and nothing else, each place once.

    Without an outline, whether they overlap or leave holes. Faults `overlap`, `outside_parent`, `gap`.
    """
    faults = check_overlaps(areas, tolerance_m=tolerance_m)
    return faults + check_filling(areas, outline, tolerance_m=tolerance_m, parent=parent)


def check_filling(
    areas: Areas, outline: BaseGeometry | None = None, *, tolerance_m: float = TOLERANCE_M, parent: str = ""
) -> list[Fault]:
    """The same, whatever overlaps: faults `outside_parent` and `gap`."""
    if not areas:
        return []
    codes, shapes = list(areas), np.array(list(areas.values()), object)
    clean = bool(shapely.coverage_is_valid(shapes))
    together = shapely.coverage_union_all(shapes) if clean else shapely.union_all(shapes)
    faults: list[Fault] = []
    if outline is None:
        frame = shapely.union_all(shapely.polygons(shapely.get_exterior_ring(_polygons(together))))
    else:
        frame = outline
        faults += _outside(codes, shapes, frame, together, tolerance_m, parent)
    holes = wide_parts(shapely.difference(frame, together), tolerance_m)
    tree = shapely.STRtree(shapes) if holes else None
    for hole, metres in holes:
        assert tree is not None  # noqa: S101 — for the type checker
        near = tree.query(hole, predicate="dwithin", distance=tolerance_m / METRES_PER_DEGREE)
        around = tuple(sorted(codes[index] for index in near))
        told = (
            _("%(area)s m² belong to nobody, between %(around)s, at %(place)s")
            if around
            else _("%(area)s m² of %(parent)s belong to nobody, at %(place)s")
        )
        named = ", ".join(around[:NAMED]) + (" …" if len(around) > NAMED else "")
        facts = {"area": square_metres(hole), "around": named, "parent": parent, "place": in_words(hole)}
        faults.append(Fault("gap", around or ((parent,) if parent else ()), told % facts, hole, metres))
    return faults


def check_overlaps(areas: Areas, *, tolerance_m: float = TOLERANCE_M) -> list[Fault]:
    """Areas, each valid, that lie on one another: fault `overlap`."""
    codes, shapes = list(areas), np.array(list(areas.values()), object)
    if not areas or shapely.coverage_is_valid(shapes):
        return []
    suspects = np.flatnonzero(~shapely.is_empty(shapely.coverage_invalid_edges(shapes)))
    left, right = shapely.STRtree(shapes).query(shapes[suspects], predicate="intersects")
    pairs = np.unique(np.sort(np.column_stack([suspects[left], right]), axis=1), axis=0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    # Neighbours that only touch are most of them, and quickly told.
    pairs = pairs[~shapely.touches(shapes[pairs[:, 0]], shapes[pairs[:, 1]])]
    faults = []
    for a, b in pairs:
        one, other = sorted((codes[a], codes[b]))
        for part, metres in wide_parts(shapely.intersection(shapes[a], shapes[b]), tolerance_m):
            told = _("%(one)s and %(other)s overlap on %(area)s m², at %(place)s")
            facts = {"one": one, "other": other, "area": square_metres(part), "place": in_words(part)}
            faults.append(Fault("overlap", (one, other), told % facts, part, metres))
    return faults


def _outside(
    codes: list[str],
    shapes: Shapes,
    frame: BaseGeometry,
    together: BaseGeometry,
    tolerance_m: float,
    parent: str,
) -> list[Fault]:
    if not wide_parts(shapely.difference(together, frame), tolerance_m):
        return []
    shapely.prepare(frame)
    faults = []
    for index in np.flatnonzero(~shapely.covers(frame, shapes)):
        for part, metres in wide_parts(shapely.difference(shapes[index], frame), tolerance_m):
            told = _("%(area)s m² of %(feature)s lie outside %(parent)s, at %(place)s")
            facts = {
                "area": square_metres(part),
                "feature": codes[index],
                "parent": parent or _("the area above"),
                "place": in_words(part),
            }
            faults.append(Fault("outside_parent", (codes[index],), told % facts, part, metres))
    return faults


def gather(
    wholes: Areas, parts: Areas, *, tolerance_m: float = TOLERANCE_M, code: str = "cuts_parts"
) -> tuple[dict[str, str], list[Fault]]:
    """Which whole each part lies in, so that wholes are unions of whole parts; one that lies in none is left out.

    A part that a border runs through is a fault with this code; its place is what sticks out of the whole that has
    most of the part.
    """
    if not wholes or not parts:
        return {}, []
    names, codes = list(wholes), list(parts)
    big, small = np.array(list(wholes.values()), object), np.array(list(parts.values()), object)
    shapely.prepare(big)
    held: dict[int, list[tuple[float, int]]] = defaultdict(list)
    part_of, whole_of = shapely.STRtree(big).query(small, predicate="intersects")
    common = shapely.intersection(small[part_of], big[whole_of])
    for part, whole, area in zip(part_of.tolist(), whole_of.tolist(), shapely.area(common), strict=True):
        if area > 0:
            held[part].append((float(area), whole))
    belongs, faults = {}, []
    for part in sorted(held):
        _most, whole = max(held[part])
        if not wide_parts(shapely.intersection(small[part], big[whole]), tolerance_m):
            continue
        belongs[codes[part]] = names[whole]
        for rest, metres in wide_parts(shapely.difference(small[part], big[whole]), tolerance_m):
            told = _("The border of %(whole)s cuts %(part)s: %(area)s m² lie beyond it, at %(place)s")
            facts = {"whole": names[whole], "part": codes[part], "area": square_metres(rest)}
            facts["place"] = in_words(rest)
            faults.append(Fault(code, (names[whole], codes[part]), told % facts, rest, metres))
    return belongs, faults


# --- borders that are shared ----------------------------------------------------------------------------------------


def close_slivers(
    areas: Areas, *, outline: BaseGeometry | None = None, tolerance_m: float = TOLERANCE_M
) -> dict[str, BaseGeometry]:
    """The areas with slivers given to a neighbour, and every vertex of a shared border in both: a valid coverage.

    An overlap goes to the area that comes first, a gap to the neighbour with the longest border; with an outline the
    areas fill it to the last digit. For areas that `check_tiling` finds no fault with: wider overlaps would be given
    away too. A vertex without a sliver keeps its place.
    """
    codes, shapes = list(areas), np.array(list(areas.values()), object)
    if not codes:
        return {}
    if outline is not None:
        shapely.prepare(outline)
        for index in np.flatnonzero(~shapely.covers(outline, shapes)):
            inside = shapely.intersection(shapes[index], outline)
            shapes[index] = MultiPolygon(_polygons(inside).tolist())
    shapes = _cleaned(shapes, max(tolerance_m, FINEST_M) / METRES_PER_DEGREE)
    if outline is not None:
        rest = _polygons(shapely.difference(outline, shapely.union_all(shapes)))
        for part in rest:
            near = shapely.STRtree(shapes).query(part, predicate="intersects")
            longest = near[shapely.length(shapely.intersection(shapes[near], part.boundary)).argmax()]
            shapes[longest] = shapely.union(shapes[longest], part)
        if len(rest):
            shapes = _cleaned(shapes, 0)
    return dict(zip(codes, shapes, strict=True))


def _cleaned(shapes: Shapes, gap_width: float) -> Shapes:
    if shapely.coverage_is_valid(shapes):
        return shapes
    # Not in the type stubs yet.
    clean: Shapes = shapely.coverage_clean(shapes, gap_width=gap_width, merge_strategy="min_index")  # type: ignore[attr-defined]
    return clean


def share_vertices(areas: Areas, points: npt.NDArray[np.float64]) -> dict[str, BaseGeometry]:
    """Those of the areas that change when the points (degrees) that lie on their edges become their vertices.

    The area stays what it is but for the rounding of the points; a neighbour's new corner is no change of the border.
    """
    if not areas or not len(points):
        return {}
    dots: Shapes = np.asarray(shapely.points(points))
    tree = shapely.STRtree(dots)
    changed = {}
    for code, area in areas.items():
        near = tree.query(area.boundary, predicate="dwithin", distance=ON_EDGE)
        own = {tuple(xy) for xy in shapely.get_coordinates(area).tolist()}
        missing = [tuple(xy) for xy in points[near].tolist() if tuple(xy) not in own]
        if missing:
            changed[code] = _with_vertices(area, missing)
    return changed


def _with_vertices(area: BaseGeometry, points: Sequence[tuple[float, ...]]) -> BaseGeometry:
    def ring(line: BaseGeometry) -> list[tuple[float, ...]]:
        corners = shapely.get_coordinates(line).tolist()
        out: list[tuple[float, ...]] = []
        for start, end in pairwise(corners):
            edge = shapely.LineString([start, end])
            on = [point for point in points if edge.distance(shapely.Point(point)) <= ON_EDGE]
            on.sort(key=lambda point: edge.project(shapely.Point(point)))
            out += [tuple(start), *on]
        return [*out, out[0]]

    made = [
        shapely.Polygon(ring(polygon.exterior), [ring(hole) for hole in polygon.interiors])
        for polygon in _polygons(area)
    ]
    return made[0] if area.geom_type == "Polygon" else MultiPolygon(made)


def union(shapes: Iterable[BaseGeometry]) -> MultiPolygon:
    """The union of areas, exact where they are a valid coverage; always a multipolygon."""
    held = np.array(list(shapes), object)
    together = (
        shapely.coverage_union_all(held) if shapely.coverage_is_valid(held) else shapely.union_all(held)
    )
    return MultiPolygon(_polygons(together).tolist())


def same_area(one: BaseGeometry, other: BaseGeometry, *, tolerance_m: float = TOLERANCE_M) -> bool:
    """Whether two areas differ by slivers at most."""
    if one.equals_exact(other, 0):
        return True
    return not wide_parts(shapely.symmetric_difference(one, other), tolerance_m)


# --- sizes and words --------------------------------------------------------------------------------------------------


def wide_parts(shape: BaseGeometry, tolerance_m: float) -> list[tuple[BaseGeometry, float]]:
    """The polygons of a shape (degrees) that are wider than the tolerance somewhere, and how wide; largest first."""
    least = max(tolerance_m, FINEST_M)
    found = []
    for part in _polygons(shape):
        flat = _in_metres(part)
        if flat.area > 0 and not flat.buffer(-least / 2, quad_segs=2).is_empty:
            found.append((flat.area, part, round(_width(flat), 3)))
    found.sort(key=lambda each: -each[0])
    return [(part, metres) for _area, part, metres in found]


def _width(flat: BaseGeometry) -> float:
    return 2 * float(shapely.length(shapely.maximum_inscribed_circle(flat, tolerance=flat.area**0.5 / 200)))


def _in_metres(shape: BaseGeometry) -> BaseGeometry:
    west, south, east, north = shape.bounds
    middle = np.array([(west + east) / 2, (south + north) / 2])
    scale = metres_per_degree(middle[1])
    flat: BaseGeometry = shapely.transform(shape, lambda degrees: (degrees - middle) * scale)
    return flat


def square_metres(shape: BaseGeometry) -> str:
    """The size of a place in square metres, in digits that mean something."""
    area = _in_metres(shape).area
    return f"{area:,.0f}" if area >= 100 else f"{area:.1f}" if area >= 1 else f"{area:.4f}"


def in_words(place: BaseGeometry | None) -> str:
    """The middle of a place: longitude, latitude."""
    shown = _shown(place)
    if shown is None:
        return "–"
    middle = shown.representative_point()
    return f"{middle.x:.6f}, {middle.y:.6f}"


def _shown(place: BaseGeometry | None) -> BaseGeometry | None:
    if place is None or place.is_empty or not np.isfinite(shapely.get_coordinates(place)).all():
        return None
    return place


def _polygons(shape: BaseGeometry) -> Shapes:
    parts = shapely.get_parts(shapely.get_parts(shape))
    kept: Shapes = parts[(shapely.get_type_id(parts) == 3) & (shapely.area(parts) > 0)]
    return kept
