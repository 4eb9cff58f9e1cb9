"""What people do to a draft, verb by verb: merge, split, hand over, rename, begin, dissolve."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import shapely
import uuid_utils.compat as uuid
from django.utils.translation import gettext as _
from shapely import MultiPolygon
from shapely.geometry.base import BaseGeometry

from gridmap.generator import reading_order
from gridmap.models import Cell, GridUnit, Layout, LayoutCell, LayoutState, LayoutUnit, Level
from gridmap.topology import Fault, check_shapes, check_tiling, in_words, union

from .drafts import revise
from .plan import ABOVE, CellPlan, Grid, LayoutRefused, UnitPlan


def merge_cells(layout: Layout, codes: Sequence[str], *, code: str = "") -> str:
    """Make one cell of neighbours with the same owners; return its code, the lowest of theirs if none is given.

    Raises LayoutRefused (`not_adjacent`, `different_owners`, `unknown_cell`).
    """
    with revise(layout) as (_base, grid):
        cells = [_cell(grid, each) for each in sorted(set(codes))]
        together = union(cell.boundary for cell in cells)
        named = ", ".join(cell.code for cell in cells)
        facts = {"features": named, "place": in_words(together)}
        if len(cells) < 2 or len(together.geoms) != 1:
            told = _("%(features)s are no neighbours along a border, at %(place)s") % facts
            raise LayoutRefused(Fault("not_adjacent", tuple(c.code for c in cells), told, together))
        if len({(cell.party_group, cell.regional_group) for cell in cells}) > 1:
            told = _("%(features)s have different owners; hand them over first, at %(place)s") % facts
            raise LayoutRefused(Fault("different_owners", tuple(c.code for c in cells), told, together))
        for cell in cells:
            del grid.cells[cell.code]
        former = tuple(dict.fromkeys(origin for cell in cells for origin in cell.origin))
        made = replace(
            *(cells[0],),
            code=code or cells[0].code,
            boundary=together.geoms[0],
            lineage=uuid.uuid7(),
            former=former,
            version=None,
        )
        add_cell(grid, made)
        return made.code


def split_cell(
    layout: Layout,
    code: str,
    *,
    line: BaseGeometry | None = None,
    parts: Sequence[BaseGeometry] = (),
    codes: Sequence[str] = (),
) -> list[str]:
    """Cut a cell along a line that crosses it, or into the given parts; return their codes in reading order.

    Without codes the first part keeps the cell's, the others get free ones of its community. Raises LayoutRefused:
    `line_crosses_itself`, `line_does_not_divide`, or the faults of parts that do not tile the cell.
    """
    with revise(layout) as (base, grid):
        cell = _cell(grid, code)
        if line is not None:
            if not line.is_simple:
                told = _("The line crosses itself, at %(place)s") % {"place": in_words(line)}
                raise LayoutRefused(Fault("line_crosses_itself", (code,), told, line))
            pieces = _faces(cell.boundary, [line])
            if len(pieces) < 2:
                told = _("The line does not divide %(feature)s, at %(place)s")
                facts = {"feature": code, "place": in_words(line if not line.is_empty else None)}
                raise LayoutRefused(Fault("line_does_not_divide", (code,), told % facts, line))
        else:
            pieces = _fitted(cell, parts, layout.tolerance_m)
        pieces = [pieces[i] for i in reading_order(np.array([piece.centroid.coords[0] for piece in pieces]))]
        taken = taken_codes(base, grid)
        community = grid.chain(cell)[3]
        names = list(codes) or [code]
        while len(names) < len(pieces):
            names.append(_free_code(code, community, community, taken))
            taken.add(names[-1])
        if len(names) != len(pieces):
            told = _("%(feature)s falls into %(parts)s parts, but %(codes)s codes were given") % {
                "feature": code,
                "parts": len(pieces),
                "codes": len(names),
            }
            raise LayoutRefused(Fault("codes_do_not_match_parts", (code,), told, cell.boundary))
        del grid.cells[code]
        for name, piece in zip(names, pieces, strict=True):
            add_cell(
                grid,
                replace(
                    cell, code=name, boundary=piece, lineage=uuid.uuid7(), former=cell.origin, version=None
                ),
            )
        return names


def _faces(area: BaseGeometry, lines: Sequence[BaseGeometry]) -> list[BaseGeometry]:
    """The pieces that lines cut an area into."""
    noded = shapely.union_all([area.boundary, *lines])
    faces = shapely.get_parts(shapely.polygonize([noded]))
    return list(faces[shapely.contains(area, shapely.point_on_surface(faces))])


def _fitted(cell: CellPlan, parts: Sequence[BaseGeometry], tolerance_m: float) -> list[BaseGeometry]:
    """The parts with slivers closed, so that together they are the cell to the last digit. Raises LayoutRefused."""
    named = {f"{cell.code} ({n})": part for n, part in enumerate(parts, 1)}
    faults = check_shapes(named.items(), types=["Polygon"])
    faults = faults or check_tiling(named, cell.boundary, tolerance_m=tolerance_m, parent=cell.code)
    if faults:
        raise LayoutRefused(*faults)
    held = np.array(list(named.values()), object)
    pieces: dict[int, list[BaseGeometry]] = defaultdict(list)
    for face in _faces(cell.boundary, [part.boundary for part in held]):
        shares = shapely.area(shapely.intersection(held, face))
        whose = shares.argmax() if shares.max() > 0 else shapely.distance(held, face).argmin()
        pieces[int(whose)].append(face)
    return [union(faces).geoms[0] for faces in pieces.values()]


def hand_over(layout: Layout, code: str, *, to: str, new_code: str = "") -> str:
    """Give a cell, party group or community to another parent, or all its cells to a regional group; return its code.

    Below another parent it gets the given code, else its own ending below the new parent's code, else a free one;
    what is below it follows. Raises LayoutRefused (`unknown_cell`, `unknown_unit`, `wrong_parent`, `code_was_used`).
    """
    with revise(layout) as (base, grid):
        return hand_over_in(grid, taken_codes(base, grid), code, to, new_code)


def hand_over_in(grid: Grid, taken: set[str], code: str, to: str, new_code: str = "") -> str:
    """As `hand_over`, in memory; codes in `taken` are not free, and those given out join them."""
    target = _unit(grid, to)
    if code in grid.cells:
        cell = grid.cells[code]
        if target.level == Level.REGIONAL_GROUP:
            if cell.regional_group != to:
                _change(grid, cell, regional_group=to)
            return code
        if target.level != Level.PARTY_GROUP:
            raise LayoutRefused(_wrong_parent(code, target))
        before, after = grid.units[cell.party_group].parent, target.parent
        new = new_code or (code if before == after else _free_code(code, before, after, taken))
        taken.add(new)
        if (cell.party_group, code) != (to, new):
            _change(grid, cell, party_group=to, code=new)
        return new
    unit = _unit(grid, code)
    if target.level == Level.REGIONAL_GROUP:
        for cell in grid.cells_of(code):
            if cell.regional_group != to:
                _change(grid, cell, regional_group=to)
        return code
    if unit.level == Level.REGIONAL_GROUP or ABOVE[unit.level] != target.level:
        raise LayoutRefused(_wrong_parent(code, target))
    if unit.parent == to and not new_code:
        return code
    new = new_code or _free_code(code, unit.parent, to, taken)
    _check_unused(new, taken, unit.boundary)
    taken.add(new)
    grid.units[new] = replace(unit, code=new, parent=to, former=unit.former or (code,))
    for child in grid.children(code):
        hand_over_in(grid, taken, child.code, new)
    for cell in [each for each in grid.cells.values() if each.party_group == code]:
        hand_over_in(grid, taken, cell.code, new)
    del grid.units[code]
    return new


def rename_unit(layout: Layout, code: str, *, name: str, area_name: str = "", name_en: str = "") -> None:
    """Give an organisation another name; what is empty stays. Raises LayoutRefused (`unknown_unit`)."""
    with revise(layout) as (_base, grid):
        unit = _unit(grid, code)
        grid.units[code] = replace(
            unit,
            name=name or unit.name,
            area_name=area_name or unit.area_name,
            name_en=name_en or unit.name_en,
        )


def begin_unit(
    layout: Layout, code: str, *, parent: str, name: str, area_name: str = "", level: Level
) -> None:
    """A new organisation; cells are handed over to it in the same draft, else the draft is refused.

    Raises LayoutRefused (`unknown_unit`, `wrong_parent`, `code_was_used`).
    """
    with revise(layout) as (base, grid):
        above = _unit(grid, parent)
        _check_unused(code, taken_codes(base, grid), above.boundary)
        if ABOVE[level] != above.level:
            raise LayoutRefused(_wrong_parent(code, above))
        grid.units[code] = UnitPlan(code, level, name, parent, MultiPolygon(), area_name or name)


def dissolve_unit(layout: Layout, code: str, *, into: str = "") -> None:
    """End an organisation; what it has is handed over to another of its level, which takes its place.

    Raises LayoutRefused (`unknown_unit`, `unit_not_empty` when it has parts and nobody to take them).
    """
    with revise(layout) as (base, grid):
        unit, taken = _unit(grid, code), taken_codes(base, grid)
        parts = [child.code for child in grid.children(code)]
        at_end = unit.level in (Level.PARTY_GROUP, Level.REGIONAL_GROUP)
        parts += [cell.code for cell in grid.cells_of(code)] if at_end else []
        if parts and not into:
            told = _("%(feature)s still has %(count)s parts: say who takes them, at %(place)s")
            facts = {"feature": code, "count": len(parts), "place": in_words(unit.boundary)}
            raise LayoutRefused(Fault("unit_not_empty", (code,), told % facts, unit.boundary))
        for part in parts:
            hand_over_in(grid, taken, part, into)
        if into:
            heir = _unit(grid, into)
            grid.units[into] = replace(heir, former=(*heir.former, *(unit.former or (code,))))
        del grid.units[code]


def _change(grid: Grid, cell: CellPlan, **changes: Any) -> None:
    del grid.cells[cell.code]
    add_cell(grid, replace(cell, **changes, former=cell.origin, version=None))


def add_cell(grid: Grid, cell: CellPlan) -> None:
    """Put a cell into the grid. Raises LayoutRefused (`duplicate_code`)."""
    if cell.code in grid.cells:
        told = _("The code %(feature)s occurs twice, at %(first)s and at %(place)s") % {
            "feature": cell.code,
            "first": in_words(grid.cells[cell.code].boundary),
            "place": in_words(cell.boundary),
        }
        raise LayoutRefused(Fault("duplicate_code", (cell.code,), told, cell.boundary))
    grid.cells[cell.code] = cell


def _cell(grid: Grid, code: str) -> CellPlan:
    if code not in grid.cells:
        told = _("There is no cell %(feature)s in force") % {"feature": code}
        raise LayoutRefused(Fault("unknown_cell", (code,), told))
    return grid.cells[code]


def _unit(grid: Grid, code: str) -> UnitPlan:
    if code not in grid.units:
        told = _("There is no organisation %(feature)s in force") % {"feature": code}
        raise LayoutRefused(Fault("unknown_unit", (code,), told))
    return grid.units[code]


def _check_unused(code: str, taken: set[str], place: BaseGeometry) -> None:
    if code in taken:
        told = _("The code %(feature)s means, or meant, another organisation, at %(place)s")
        facts = {"feature": code, "place": in_words(place)}
        raise LayoutRefused(Fault("code_was_used", (code,), told % facts, place))


def _wrong_parent(code: str, target: UnitPlan) -> Fault:
    told = _("%(feature)s cannot stand below %(parent)s (%(level)s)")
    facts = {"feature": code, "parent": target.code, "level": target.level.label}
    return Fault("wrong_parent", (code, target.code), told % facts)


def taken_codes(base: Grid, grid: Grid) -> set[str]:
    """Every code that means something, once did, or will by a draft."""
    district = grid.district
    drafted = {"layout__district": district, "layout__state": LayoutState.DRAFT}
    past = {
        *GridUnit.objects.filter(district=district).values_list("code", flat=True),
        *Cell.objects.filter(district=district).values_list("code", flat=True),
        *LayoutUnit.objects.filter(**drafted).values_list("code", flat=True),
        *LayoutCell.objects.filter(**drafted).values_list("code", flat=True),
    }
    return past | {*base.units, *base.cells, *grid.units, *grid.cells}


def _free_code(code: str, before: str, after: str, taken: set[str]) -> str:
    """The code below another parent: with the same ending if that is free, else with the first free number."""
    ending = code[len(before) :] if code.startswith(before) else code[-3:]
    letters, digits = re.fullmatch(r"(.*?)(\d*)", ending).groups()  # type: ignore[union-attr]
    numbers = (f"{n:0{len(digits)}d}" for n in range(1, 10 ** len(digits)))
    for number in (digits, *numbers):
        if (found := f"{after}{letters}{number}") not in taken:
            return found
    told = _("%(parent)s has no free code left for %(feature)s") % {"parent": after, "feature": code}
    raise LayoutRefused(Fault("no_free_code", (code,), told))
