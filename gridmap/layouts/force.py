"""Putting a draft in force: versions and organisations end and begin, areas are drawn again."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from gridmap.models import CHAIN, Cell, GridUnit, Layout, LayoutUnit, Level
from gridmap.topology import share_vertices, union

from .drafts import unit_changes
from .plan import ABOVE, Grid, as_geos, multi


@dataclass(frozen=True)
class PutInForce:
    """What was done: the cells that ended and began by their codes, and who took whose place."""

    ended: dict[str, UUID]
    begun: dict[str, UUID]
    heirs: dict[int, int]


def put_in_force(layout: Layout, base: Grid, target: Grid, *, at: datetime) -> PutInForce:
    """End and begin cell versions and organisations as the draft says; areas become the unions of their cells.

    For `fieldops.geography.boundaries.apply_layout`, which holds the locks and moves what lies in the cells.
    """
    kept = {cell.version for cell in target.cells.values()}
    ended = {c.code: c.version for c in base.cells.values() if c.version and c.version not in kept}
    units, heirs = _put_units_in_force(layout, base, target, at)
    Cell.objects.filter(pk__in=ended.values()).update(valid_to=at)
    begun = [cell for cell in target.cells.values() if cell.version is None]
    _share_corners(target, [cell.code for cell in begun], set(ended))
    stored = {
        cell.code: Cell(
            district=layout.district,
            code=cell.code,
            lineage=cell.lineage,
            valid_from=at,
            **{f"{unit}_id": units[code] for unit, code in zip(CHAIN, target.chain(cell), strict=True)},
            boundary=as_geos(target.cells[cell.code].boundary),
            synthetic=cell.synthetic,
        )
        for cell in begun
    }
    Cell.objects.bulk_create(stored.values())
    for code, cell in stored.items():
        layout.cells.filter(code=code).update(cell=cell)
    _draw_units(base, target, units)
    dissolved = [
        unit.code for change, unit in unit_changes(base, target) if change == LayoutUnit.Change.DISSOLVE
    ]
    GridUnit.objects.filter(district=layout.district, code__in=dissolved).update(valid_to=at)
    return PutInForce(ended, {code: cell.pk for code, cell in stored.items()}, heirs)


def _put_units_in_force(
    layout: Layout, base: Grid, target: Grid, at: datetime
) -> tuple[dict[str, int], dict[int, int]]:
    ids = dict(GridUnit.objects.in_force().filter(district=layout.district).values_list("code", "id"))
    heirs: dict[int, int] = {}
    changes = sorted(unit_changes(base, target), key=lambda each: each[1].level)
    for change, unit in changes:
        facts: dict[str, Any] = {
            name: getattr(unit, name) for name in ("name", "area_name", "name_en", "virtual", "synthetic")
        }
        if change == LayoutUnit.Change.DESCRIBE:
            GridUnit.objects.filter(pk=ids[unit.code]).update(**facts, boundary=as_geos(multi(unit.boundary)))
        elif change == LayoutUnit.Change.BEGIN:
            made = GridUnit.objects.create(
                district=layout.district,
                level=unit.level,
                code=unit.code,
                parent_id=ids.get(unit.parent),
                parent_level=ABOVE[unit.level],
                boundary=as_geos(multi(unit.boundary)),
                valid_from=at,
                **facts,
            )
            ids[unit.code] = made.pk
        heirs |= {ids[former]: ids[unit.code] for former in unit.former if former in ids}
        layout.units.filter(code=unit.code).update(unit=ids[unit.code])
    return ids, heirs


def _share_corners(target: Grid, begun: Sequence[str], ended: set[str]) -> None:
    """Give neighbours the corners on their borders that the new cells bring, and these the neighbours'.

    No version begins by that: the area is the same, and tiles and unions need shared corners.
    """
    if not begun:
        return
    codes = list(target.cells)
    shapes = np.array([target.cells[code].boundary for code in codes], object)
    tree = shapely.STRtree(shapes)
    new = np.array([target.cells[code].boundary for code in begun], object)
    near = sorted({codes[i] for i in tree.query(new, predicate="intersects")[1]})
    areas = {code: target.cells[code].boundary for code in near}
    if shapely.coverage_is_valid(np.array(list(areas.values()), object)):
        return
    points = np.unique(shapely.get_coordinates(np.array(list(areas.values()), object)), axis=0)
    for code, shape in share_vertices(areas, points).items():
        cell = target.cells[code]
        target.cells[code] = replace(cell, boundary=shape)
        if cell.version is not None:
            Cell.objects.filter(pk=cell.version).update(boundary=as_geos(shape))


def _draw_units(base: Grid, target: Grid, ids: Mapping[str, int]) -> None:
    """Store the areas of the organisations whose parts changed."""
    if not target.cells:
        for level in (Level.COMMUNITY, Level.STREET_COMMITTEE, Level.DISTRICT_COMMITTEE):
            for code, area in target.areas(level).items():
                if not area.equals_exact(target.units[code].boundary, 0):
                    GridUnit.objects.filter(pk=ids[code]).update(boundary=as_geos(multi(area)))
        return
    # What began, and what got a corner: that, too, moves a border, by the rounding of a coordinate.
    changed = [
        cell
        for code, cell in target.cells.items()
        if cell.version is None or cell.boundary is not base.cells[code].boundary
    ]
    kept = {cell.version for cell in target.cells.values()}
    touched = {code for cell in changed for code in target.chain(cell)}
    touched |= {code for c in base.cells.values() if c.version not in kept for code in base.chain(c)}
    parts: dict[str, list[BaseGeometry]] = defaultdict(list)
    for cell in target.cells.values():
        for code in target.chain(cell):
            if code in touched:
                parts[code].append(cell.boundary)
    for code, shapes in parts.items():
        GridUnit.objects.filter(pk=ids[code]).update(boundary=as_geos(union(shapes)))
