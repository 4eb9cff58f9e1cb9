"""Draw the parts of a district that no public map shows: streets, communities, party groups, cells.

Only a district's outline and its official codes are public. Everything this module draws inside the
outline is synthetic and has to be labelled so wherever it is shown.

Coordinates are WGS-84 longitude and latitude in degrees (EPSG:4326), on a grid of 1e-7 degree (about 1 cm).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely
from shapely import MultiPolygon, Polygon
from shapely.geometry import shape

from gridmap.coordinates import gcj02_to_wgs84, metres_per_degree

Array = npt.NDArray[np.float64]

# Coordinates are whole multiples of this many degrees, so that a shared vertex is the same number everywhere.
PER_DEGREE = 10_000_000
# How many party groups a community and a park, and how many cells a party group is cut into.
PARTY_GROUPS, PARK_PARTY_GROUPS = (3, 4, 5), 14
CELLS, CELLS_WEIGHTS = (3, 4, 5, 6, 7), (0.18, 0.30, 0.28, 0.15, 0.09)
# Share of the area a boundary repair may lose: parts that hang on the district by a single point.
NEGLIGIBLE = 0.0001


class Level(IntEnum):
    """The five levels of the organisation, from the top."""

    DISTRICT = 1
    REGIONAL_GROUP = 2
    STREET = 3
    COMMUNITY = 4
    PARTY_GROUP = 5


@dataclass(frozen=True)
class PlannedUnit:
    """One unit of the organisation and the area it answers for.

    `name` is the party organisation (先锋道街道党工委), `area_name` the plain place (先锋道街道).
    A regional group's and a street's parent is the district: groups may cross street boundaries.
    """

    level: Level
    code: str
    name: str
    name_en: str
    area_name: str
    parent_code: str | None
    boundary: MultiPolygon
    virtual: bool = False

    @property
    def synthetic(self) -> bool:
        """Whether the boundary is generated; only the district's own is a published one."""
        return self.level is not Level.DISTRICT


@dataclass(frozen=True)
class PlannedCell:
    """One unit grid cell (单元网格) with the codes of the units it belongs to."""

    code: str
    boundary: Polygon
    party_group: str
    community: str
    street: str
    regional_group: str


@dataclass(frozen=True)
class DistrictPlan:
    """The whole district: units ordered by level and code, cells by code; the cells tile it exactly."""

    units: tuple[PlannedUnit, ...]
    cells: tuple[PlannedCell, ...]


@dataclass(frozen=True)
class Division:
    """One row of the official division codes, with an English name."""

    level: str
    code: str
    name: str
    name_en: str
    parent_code: str


@dataclass(frozen=True)
class RegionalGroup:
    """A synthetic regional group: whole streets, and what lies within `reach` metres of them."""

    code: str
    name: str
    name_en: str
    streets: tuple[str, ...]
    reach: float


@dataclass(frozen=True)
class Divisions:
    """What a district is made of before anything is drawn."""

    district: Division
    streets: tuple[Division, ...]
    communities: tuple[Division, ...]
    street_seeds: dict[str, tuple[tuple[float, float], ...]]
    regional_groups: tuple[RegionalGroup, ...]


def load_boundary(path: Path) -> Polygon:
    """Read a district's outline, a GeoJSON feature in GCJ-02, and return it repaired, in WGS-84 degrees.

    A published ring may touch or cross itself. `shapely.make_valid` takes it apart; the largest polygon is
    kept and what else comes out is dropped, as long as that is less than a ten-thousandth of the area.

    Raises ValueError when the repair would lose more than that.
    """
    published = shape(json.loads(path.read_text(encoding="utf-8"))["geometry"])
    repaired = shapely.make_valid(published)
    district = max(shapely.get_parts(shapely.get_parts(repaired)), key=shapely.area)
    if not isinstance(district, Polygon) or district.area < repaired.area * (1 - NEGLIGIBLE):
        raise ValueError(f"{path.name}: the outline is not one polygon, even repaired")
    return shapely.transform(district, lambda xy: np.column_stack(gcj02_to_wgs84(xy[:, 0], xy[:, 1])))


def load_divisions(folder: Path) -> Divisions:
    """Read a district's official divisions, their English names, and what its synthetic parts grow from."""
    names_en = {row["code"]: row["name_en"] for row in _rows(folder / "names_en.csv")}
    levels: dict[str, list[Division]] = {"district": [], "street": [], "community": []}
    for row in _rows(folder / "divisions.csv"):
        levels[row["level"]].append(Division(**row, name_en=names_en[row["code"]]))
    (district,) = levels["district"]
    seeds: dict[str, tuple[tuple[float, float], ...]] = {}
    for row in _rows(folder / "street_seeds.csv"):
        seeds[row["code"]] = (*seeds.get(row["code"], ()), (float(row["lon"]), float(row["lat"])))
    groups = tuple(
        RegionalGroup(
            row["code"],
            row["name"],
            row["name_en"],
            tuple(row["streets"].split()),
            reach=float(row["reach_m"]),
        )
        for row in _rows(folder / "regional_groups.csv")
    )
    return Divisions(district, tuple(levels["street"]), tuple(levels["community"]), seeds, groups)


def _rows(path: Path) -> Iterable[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def generate_district(boundary: Polygon, divisions: Divisions, *, seed: int) -> DistrictPlan:
    """Draw streets, communities, party groups and cells inside `boundary` (WGS-84 degrees).

    Streets grow around their seeds; each is cut into its communities, these into party groups, these into
    cells, always along a short line across, so every unit is in one piece. Shared edges are then bent, once
    for both sides: the cells tile the district without gap or overlap, and vertices they share are identical.
    The district's boundary gains vertices where cells meet it, and moves by no more than a centimetre.

    The same seed gives the same plan.

    Raises ValueError when the outline or the street seeds do not allow one.
    """
    rng = np.random.default_rng(seed)
    plane = _Plane.around(boundary)
    outline = shapely.transform(boundary, plane.to_metres)
    centre = _urban_centre(divisions, plane)
    cells: list[_Draft] = []
    for street, area in _draw_streets(outline, divisions, plane):
        cells += _draw_cells(street, area, divisions, centre, rng)
    tiled = _tile([cell.ring for cell in cells], plane, centre, rng)
    return _assemble(cells, tiled, divisions, plane)


def reading_order(points: Array) -> npt.NDArray[np.intp]:
    """Order points (x east, y north) as cells are numbered: west to east in bands, the bands north to south.

    A set of n points has about √n bands of equal number. Returns the indices of the points in order.
    """
    southward = np.lexsort((points[:, 0], -points[:, 1]))
    bands = np.array_split(southward, max(1, round(len(points) ** 0.5)))
    return np.concatenate([band[np.lexsort((-points[band, 1], points[band, 0]))] for band in bands])


@dataclass(frozen=True)
class _Plane:
    """Metres east and north of a point: true to scale within a district, which is all that drawing needs."""

    origin: Array
    metres_per_degree: Array

    @classmethod
    def around(cls, geometry: Polygon) -> _Plane:
        """Lay the plane at the geometry's centroid."""
        origin = shapely.get_coordinates(geometry.centroid)[0]
        return cls(origin, metres_per_degree(origin[1]))

    def to_metres(self, degrees: Array) -> Array:
        return (degrees - self.origin) * self.metres_per_degree

    def to_units(self, metres: Array) -> Array:
        """Whole multiples of the coordinate grid."""
        return np.rint((metres / self.metres_per_degree + self.origin) * PER_DEGREE)


@dataclass(frozen=True)
class _Draft:
    """A cell as first drawn, in metres: straight edges, no code yet."""

    street: str
    community: str
    party_group: int
    ring: Array


def _urban_centre(divisions: Divisions, plane: _Plane) -> Array:
    """Where the subdistricts (codes 001–099) gather: from here outwards communities grow larger."""
    urban = [seeds for code, seeds in divisions.street_seeds.items() if code[-3:] < "100"]
    return plane.to_metres(np.concatenate([np.array(seeds) for seeds in urban])).mean(axis=0)


def _draw_streets(outline: Polygon, divisions: Divisions, plane: _Plane) -> list[tuple[str, Polygon]]:
    """Share the outline among the streets: each place belongs to the street with the nearest seed.

    Where the outline cuts off a part of a street, that part goes to the neighbour it borders most.

    Raises ValueError when a street gets no area, or one with a hole.
    """
    owners = [street.code for street in divisions.streets for _ in divisions.street_seeds[street.code]]
    seeds = [plane.to_metres(np.array(divisions.street_seeds[street.code])) for street in divisions.streets]
    tree = shapely.STRtree([shapely.Point(seed) for seed in np.concatenate(seeds)])
    borders = shapely.voronoi_polygons(
        shapely.MultiPoint(tree.geometries), extend_to=outline, only_edges=True
    )
    faces = shapely.get_parts(shapely.polygonize([shapely.union(outline.boundary, borders)]))
    faces = faces[shapely.contains(outline, shapely.point_on_surface(faces))]
    nearest = tree.nearest(shapely.point_on_surface(faces))

    mainland: dict[str, Polygon] = {}
    islands: list[Polygon] = []
    for street in divisions.streets:
        own = [face for face, seed in zip(faces, nearest, strict=True) if owners[seed] == street.code]
        parts = sorted(_union(own).geoms, key=shapely.area)
        if not parts:
            raise ValueError(f"no place in the district is nearest to a seed of street {street.code}")
        mainland[street.code] = parts.pop()
        islands += parts
    while islands:
        island = islands.pop(0)
        shared = {code: shapely.intersection(area, island).length for code, area in mainland.items()}
        neighbour = max(shared, key=lambda code: shared[code])
        if shared[neighbour]:
            mainland[neighbour] = _union([mainland[neighbour], island]).geoms[0]
        else:
            islands.append(island)
    for code, area in mainland.items():
        if area.interiors:
            raise ValueError(f"street {code} would enclose others: move the seeds")
    return list(mainland.items())


def _draw_cells(
    street: str, area: Polygon, divisions: Divisions, centre: Array, rng: np.random.Generator
) -> list[_Draft]:
    """Cut a street into its communities, party groups and cells."""
    communities = [each for each in divisions.communities if each.parent_code == street]
    areas = _carve(shapely.get_coordinates(area)[:-1], len(communities), rng, centre)
    # A town's urban communities (codes 001–199) get the areas nearest the city, its villages the rest.
    areas.sort(key=lambda ring: float(np.hypot(*(ring.mean(axis=0) - centre))))
    urban = sum(each.code[-3:] < "200" for each in communities)
    middles = np.array([ring.mean(axis=0) for ring in areas])
    order = [*reading_order(middles[:urban]), *(urban + reading_order(middles[urban:]))]
    cells = []
    for community, place in zip(sorted(communities, key=lambda each: each.code), order, strict=True):
        groups = PARK_PARTY_GROUPS if _is_virtual(community) else int(rng.choice(PARTY_GROUPS))
        for group, party_area in enumerate(_carve(areas[place], groups, rng)):
            for cell in _carve(party_area, int(rng.choice(CELLS, p=CELLS_WEIGHTS)), rng):
                cells.append(_Draft(street, community.code, group, cell))
    return cells


def _carve(ring: Array, parts: int, rng: np.random.Generator, centre: Array | None = None) -> list[Array]:
    """Cut a simple ring (metres) into rings of about one size, or, given a centre, larger far from it."""
    if parts == 1:
        return [ring]
    first = parts // 2
    one, other = _cut(ring, first / parts, rng, centre)
    return [*_carve(one, first, rng, centre), *_carve(other, parts - first, rng, centre)]


def _cut(ring: Array, share: float, rng: np.random.Generator, centre: Array | None) -> tuple[Array, Array]:
    """Cut a ring in two along one chord; the first part gets about `share`. Both stay in one piece.

    Of many chords roughly along and across the ring the best keeps the share and leaves compact parts.
    """
    corners = shapely.get_coordinates(shapely.oriented_envelope(shapely.Polygon(ring)))
    heading = np.arctan2(*(corners[1] - corners[0])[::-1])
    candidates: list[tuple[float, int, tuple[Array, Array]]] = []
    for turn in (0, 0, np.pi / 2, np.pi / 2):
        angle = heading + turn + rng.normal(0, 0.07)
        across = np.array([np.cos(angle), np.sin(angle)])
        height = ring @ across
        # Small areas are nearly rectangles, where few trials do; a whole street is not.
        for level in np.linspace(height.min(), height.max(), 10 if centre is None else 32)[1:-1]:
            for parts in _chords(ring, height - level, np.array([-across[1], across[0]])):
                (one, shape_one), (other, shape_other) = (_measure(part, centre) for part in parts)
                missed = abs(one / (one + other) - share)
                missed_swapped = abs(other / (one + other) - share)
                if missed_swapped < missed:
                    parts, missed = parts[::-1], missed_swapped
                candidates.append((max(shape_one, shape_other) + 6 * missed, len(candidates), parts))
    for _, _, parts in sorted(candidates, key=lambda each: each[:2]):
        if all(shapely.is_valid(shapely.polygons(list(parts[i]))) for i in (0, 1)):
            return parts
    raise ValueError("an area could not be cut in two")


def _chords(ring: Array, height: Array, along: Array) -> Iterable[tuple[Array, Array]]:
    """Every way to part a ring along the line at height 0: one for each chord of the line inside the ring."""
    following = np.concatenate([height[1:], height[:1]])
    (edges,) = np.nonzero((height > 0) != (following > 0))
    fraction = (height[edges] / (height[edges] - following[edges]))[:, None]
    points = ring[edges] + fraction * (ring[(edges + 1) % len(ring)] - ring[edges])
    order = np.argsort(points @ along, kind="stable")
    for pair in order.reshape(-1, 2):
        i, j = sorted(pair)
        start, end = points[i], points[j]
        yield (
            np.vstack([start, ring[edges[i] + 1 : edges[j] + 1], end]),
            np.vstack([end, ring[edges[j] + 1 :], ring[: edges[i] + 1], start]),
        )


def _measure(ring: Array, centre: Array | None) -> tuple[float, float]:
    """A ring's weight, which is its area, counting less far from the centre; and its lack of compactness."""
    ahead = np.concatenate([ring[1:], ring[:1]])
    area = abs(float(ring[:, 0] @ ahead[:, 1] - ring[:, 1] @ ahead[:, 0])) / 2
    perimeter = float(np.hypot(*(ahead - ring).T).sum())
    weight = area if centre is None else area / (1500 + float(np.hypot(*(ring.mean(axis=0) - centre))))
    return weight, perimeter**2 / (16 * area)


def _tile(rings: list[Array], plane: _Plane, centre: Array, rng: np.random.Generator) -> list[Polygon]:
    """Turn rings drawn side by side into polygons (degrees) that share every vertex along shared edges."""
    points, numbers = np.unique(plane.to_units(np.concatenate(rings)), axis=0, return_inverse=True)
    kept, renumbered = np.unique(_one_of_twins(points), return_inverse=True)
    points, numbers = points[kept], renumbered[numbers.ravel()]
    corners = [
        ring[ring != np.roll(ring, 1)]
        for ring in np.split(numbers, np.cumsum([len(ring) for ring in rings])[:-1])
    ]
    starts = np.concatenate(corners)
    ends = np.concatenate([np.roll(ring, -1) for ring in corners])

    # A corner of one cell may lie within an edge of its neighbour, which has to get it too.
    segments = shapely.linestrings(np.stack([points[starts], points[ends]], axis=1))
    touched, touching = shapely.STRtree([shapely.Point(point) for point in points]).query(
        segments, "dwithin", 1.5
    )
    within: dict[int, list[int]] = {}
    for segment, point in zip(touched.tolist(), touching.tolist(), strict=True):
        if point not in (starts[segment], ends[segment]):
            within.setdefault(segment, []).append(point)
    cells: list[list[int]] = []
    segment = 0
    for ring in corners:
        cell: list[int] = []
        for start in ring.tolist():
            between = within.get(segment, [])
            between.sort(key=lambda point: float(np.hypot(*(points[point] - points[start]))))
            cell += [start, *between]
            segment += 1
        cells.append(cell)

    sides: dict[tuple[int, int], int] = {}
    for cell in cells:
        for edge in _edges(cell):
            sides[edge] = sides.get(edge, 0) + 1
    fixed = {point for edge, count in sides.items() if count == 1 for point in edge}
    free = np.array([point for point in range(len(points)) if point not in fixed])
    border = shapely.MultiLineString([points[list(edge)] for edge, count in sides.items() if count == 1])
    swayed = _sway(points[free], border, plane, centre, rng)
    straight = points[free].copy()
    # Where a corner comes close to somebody's long edge, that edge can sway across it: then all sway less.
    for share in (1, 0.5, 0.25, 0):
        points[free] = np.rint(straight + share * (swayed - straight))
        polygons = _bend_edges(cells, points, sides, plane, rng)
        if shapely.coverage_is_valid(polygons):
            return polygons
    raise ValueError("the cells do not tile the district")


def _bend_edges(
    cells: list[list[int]],
    points: Array,
    sides: dict[tuple[int, int], int],
    plane: _Plane,
    rng: np.random.Generator,
) -> list[Polygon]:
    """The polygons of the cells with their shared edges bent, but for those that would cross others."""
    bends = {
        edge: _bend(points[edge[0]], points[edge[1]], plane, rng)
        for edge in sorted(sides)
        if sides[edge] == 2
    }
    while True:
        polygons = [_outline(cell, points, bends) for cell in cells]
        awry = ~shapely.is_valid(polygons) | ~shapely.is_empty(shapely.coverage_invalid_edges(polygons))
        crooked = {edge for i in np.nonzero(awry)[0] for edge in _edges(cells[i]) if edge in bends}
        if not crooked:
            return polygons
        for edge in crooked:
            del bends[edge]


def _one_of_twins(points: Array) -> npt.NDArray[np.intp]:
    """For each point the first of those beside it: a corner that two cuts computed may round to both sides of a half.

    Left as two, each would be put into the other's edges, there and back again.
    """
    shapes = [shapely.Point(point) for point in points]
    one, other = shapely.STRtree(shapes).query(shapes, "dwithin", 1.5)
    first = np.arange(len(points))
    np.minimum.at(first, one, other)
    while not np.array_equal(first, first[first]):
        first = first[first]
    return first


def _sway(
    points: Array, border: shapely.MultiLineString, plane: _Plane, centre: Array, rng: np.random.Generator
) -> Array:
    """Shift points gently together, so that long lines wind; but not at the border, nor in the city."""
    metres = plane.to_metres(points / PER_DEGREE)
    border = shapely.transform(border, lambda units: plane.to_metres(units / PER_DEGREE))
    from_border = shapely.distance(shapely.points(metres), border)
    from_city = np.clip(np.hypot(*(metres - centre).T) - 3000, 0, None)
    reach = np.minimum.reduce([0.12 * from_border, 0.05 * from_city, np.full(len(points), 110.0)])
    for wave_length in (2600, 1500):
        heading, phase = rng.uniform(0, 2 * np.pi, size=2)
        along = np.array([np.cos(heading), np.sin(heading)])
        across = np.array([-along[1], along[0]])
        shift = np.sin(metres @ along * 2 * np.pi / wave_length + phase)
        metres = metres + (reach * shift * wave_length / 2600)[:, None] * across
    return plane.to_units(metres)


def _edges(cell: list[int]) -> list[tuple[int, int]]:
    return [(min(a, b), max(a, b)) for a, b in zip(cell, cell[1:] + cell[:1], strict=True)]


def _outline(cell: list[int], points: Array, bends: dict[tuple[int, int], Array]) -> Polygon:
    line = []
    for start, end in zip(cell, cell[1:] + cell[:1], strict=True):
        bend = bends.get((min(start, end), max(start, end)), np.empty((0, 2)))
        line += [points[start], *(bend if start < end else bend[::-1])]
    return Polygon(np.array(line) / PER_DEGREE)


def _bend(start: Array, end: Array, plane: _Plane, rng: np.random.Generator) -> Array:
    """Points between the ends of an edge that bend it: a short one, in the city, hardly."""

    def between(a: Array, b: Array) -> list[Array]:
        length = float(np.hypot(*(b - a)))
        if length < 120:
            return []
        sideways = np.array([a[1] - b[1], b[0] - a[0]])
        swing = float(np.interp(length, (150, 600), (0.012, 0.05)))
        middle = (a + b) / 2 + sideways * swing * float(np.clip(rng.normal(), -2, 2))
        return [*between(a, middle), middle, *between(middle, b)]

    inner = between(*(plane.to_metres(each / PER_DEGREE) for each in (start, end)))
    return plane.to_units(np.array(inner)) if inner else np.empty((0, 2))


def _assemble(
    drafts: list[_Draft], polygons: list[Polygon], divisions: Divisions, plane: _Plane
) -> DistrictPlan:
    """Number party groups and cells in reading order, find their regional groups, gather cells into units."""
    tiles: dict[str, dict[int, list[Polygon]]] = {}
    streets: dict[str, list[Polygon]] = {}
    for draft, polygon in zip(drafts, polygons, strict=True):
        tiles.setdefault(draft.community, {}).setdefault(draft.party_group, []).append(polygon)
        streets.setdefault(draft.street, []).append(polygon)
    reaches = [
        shapely.transform(
            _union([tile for street in group.streets for tile in streets[street]]),
            plane.to_metres,
        )
        for group in divisions.regional_groups
    ]

    cells: list[PlannedCell] = []
    for community in divisions.communities:
        party_groups = list(tiles[community.code].values())
        areas = [_union(group) for group in party_groups]
        placed = [
            (
                tile,
                f"{community.code}G{number:02}",
                _answering(areas[i], community.parent_code, divisions, reaches, plane),
            )
            for number, i in enumerate(reading_order(_centroids(areas)), start=1)
            for tile in party_groups[i]
        ]
        for number, i in enumerate(reading_order(_centroids([tile for tile, _, _ in placed])), start=1):
            tile, party_group, regional_group = placed[i]
            code = f"{community.code}{number:03}"
            cells.append(
                PlannedCell(code, tile, party_group, community.code, community.parent_code, regional_group)
            )
    cells.sort(key=lambda cell: cell.code)
    return DistrictPlan(tuple(_gather(cells, divisions)), tuple(cells))


def _union(tiles: Sequence[Polygon]) -> MultiPolygon:
    """The union of polygons of one coverage, always a multipolygon."""
    return MultiPolygon(shapely.get_parts(shapely.coverage_union_all(tiles)).tolist())


def _centroids(polygons: Sequence[Polygon | MultiPolygon]) -> Array:
    return shapely.get_coordinates(shapely.centroid(polygons))


def _answering(
    area: MultiPolygon, street: str, divisions: Divisions, reaches: list[MultiPolygon], plane: _Plane
) -> str:
    """Code of a party group's regional group: the first that has its street or reaches its centroid."""
    middle = shapely.transform(area.centroid, plane.to_metres)
    for group, streets in zip(divisions.regional_groups, reaches, strict=True):
        if street in group.streets or shapely.dwithin(streets, middle, group.reach):
            return group.code
    raise ValueError(f"no regional group takes street {street}")


def _gather(cells: list[PlannedCell], divisions: Divisions) -> Iterable[PlannedUnit]:
    """Every unit with the union of its cells for a boundary, ordered by level and code."""

    def area_of(belongs: str, code: str) -> MultiPolygon:
        return _union([cell.boundary for cell in cells if getattr(cell, belongs) == code])

    district = divisions.district
    yield PlannedUnit(
        Level.DISTRICT,
        district.code,
        f"{district.name}委",
        f"{district.name_en} Committee",
        district.name,
        None,
        _union([cell.boundary for cell in cells]),
    )
    for group in sorted(divisions.regional_groups, key=lambda each: each.code):
        yield PlannedUnit(
            Level.REGIONAL_GROUP,
            group.code,
            f"{group.name}党工委",
            f"{group.name_en} Working Committee",
            group.name,
            district.code,
            area_of("regional_group", group.code),
        )
    for street in sorted(divisions.streets, key=lambda each: each.code):
        town = street.name.endswith("镇")
        yield PlannedUnit(
            Level.STREET,
            street.code,
            f"{street.name}{'党委' if town else '党工委'}",
            f"{street.name_en} {'Committee' if town else 'Working Committee'}",
            street.name,
            district.code,
            area_of("street", street.code),
        )
    communities = sorted(divisions.communities, key=lambda each: each.code)
    for community in communities:
        yield PlannedUnit(
            Level.COMMUNITY,
            community.code,
            f"{_place_name(community)}党组织",
            f"{community.name_en} Party Organisation",
            _place_name(community),
            community.parent_code,
            area_of("community", community.code),
            _is_virtual(community),
        )
    homes = {community.code: community for community in communities}
    for code, home in sorted({cell.party_group: homes[cell.community] for cell in cells}.items()):
        number = int(code[-2:])
        yield PlannedUnit(
            Level.PARTY_GROUP,
            code,
            f"{_place_name(home)}第{number}网格综合党小组",
            f"{home.name_en} Grid {number} Party Group",
            f"{_place_name(home)}第{number}网格",
            home.code,
            area_of("party_group", code),
            _is_virtual(home),
        )


def _place_name(community: Division) -> str:
    """The place without its committee: 北嘉社区居委会 → 北嘉社区, 赵家店村委会 → 赵家店村."""
    if community.name.endswith("村委会"):
        return community.name.removesuffix("村委会").removesuffix("村") + "村"
    return community.name.removesuffix("居委会")


def _is_virtual(community: Division) -> bool:
    return "虚拟" in community.name
