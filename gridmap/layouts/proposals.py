"""A draft out of a whole layer: the organisations of a level, or the cells, from a file."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import shapely
import uuid_utils.compat as uuid
from django.db import transaction
from django.utils.translation import gettext as _
from shapely.geometry.base import BaseGeometry

from gridmap.models import District, GridUnit, Layout, Level
from gridmap.topology import (
    TOLERANCE_M,
    Coded,
    Fault,
    check_codes,
    check_filling,
    check_overlaps,
    check_shapes,
    check_tiling,
    close_slivers,
    gather,
    in_words,
    same_area,
    union,
    wide_parts,
)

from .checks import UNIT_CODE, check_grid
from .drafts import draft_layout, revise
from .edits import add_cell, hand_over_in, taken_codes
from .plan import ABOVE, BELOW, CELLS, CellPlan, Grid, LayoutRefused, UnitPlan, multi


@dataclass(frozen=True)
class LayerRow:
    """One feature of an imported layer: an organisation, or a cell (its `parent` is the party group).

    `replaces` are former codes whose place it takes, so that lineage, posts and rules go on. What is None, or not said,
    stays as it is in force.
    """

    code: str
    shape: BaseGeometry | None
    name: str = ""
    area_name: str = ""
    name_en: str = ""
    parent: str = ""
    regional_group: str = ""
    replaces: tuple[str, ...] = ()
    virtual: bool | None = None
    synthetic: bool | None = None


@transaction.atomic
def propose_layer(
    district: District,
    level: int,
    rows: Sequence[LayerRow],
    *,
    by: Any,
    title: str = "",
    replace_all: bool = False,
    units_follow: bool = False,
    tolerance_m: float = TOLERANCE_M,
    takes_effect_at: datetime | None = None,
) -> Layout:
    """Draw up a layout from a layer of organisations (level 1–5) or cells (6).

    Rows are taken by their code: a known one is changed, a new one begins. With `replace_all` the rows are the whole
    layer, and what is not listed ends. Organisations have to be unions of whole parts of the level below; what changes
    its parent so is handed over, with a code below the new one. Cells have to lie in the organisations they name,
    unless `units_follow`: these are unions of their cells in any case. Where there is nothing below, areas stand as
    drawn. Slivers up to the tolerance (metres) are closed.

    Raises LayoutRefused with all that is wrong; nothing is written then.
    """
    layout = draft_layout(
        *(district, title or _("Import")), by=by, takes_effect_at=takes_effect_at, tolerance_m=tolerance_m
    )
    with revise(layout) as (base, grid):
        faults = check_shapes(
            [(row.code, row.shape) for row in rows],
            types=["Polygon", "MultiPolygon"],
        )
        faults += _check_rows(grid, level, rows)
        if faults:
            raise LayoutRefused(*faults)
        if level == CELLS:
            _take_cells(base, grid, rows, replace_all, units_follow, tolerance_m)
        else:
            _take_units(base, grid, Level(level), rows, replace_all, tolerance_m)
        faults = check_grid(base, grid, tolerance_m=tolerance_m)
        if faults:
            raise LayoutRefused(*faults)
    return layout


def _check_rows(grid: Grid, level: int, rows: Sequence[LayerRow]) -> list[Fault]:
    coded = [Coded(row.code, row.parent, row.shape) for row in rows]
    if level == CELLS:
        groups = grid.of_level(Level.PARTY_GROUP)
        faults = check_codes(*(coded,), pattern=grid.district.cell_code_pattern, parents=groups, nested=False)
        regional = grid.of_level(Level.REGIONAL_GROUP)
        for row in rows:
            if row.parent in groups and not row.code.startswith(groups[row.parent].parent):
                community = groups[row.parent].parent
                faults += check_codes(
                    [Coded(row.code, community, row.shape)], pattern=".*", parents=[community]
                )
            if row.regional_group not in regional:
                faults += check_codes(
                    [Coded(row.code, row.regional_group, row.shape)], pattern=".*", parents=regional
                )
        known: Iterable[str] = grid.cells
    else:
        above = ABOVE[Level(level)]
        parents = None if above is None else grid.of_level(above)
        faults = check_codes(coded, pattern=UNIT_CODE, parents=parents)
        known = grid.of_level(Level(level))
        ended = set(
            GridUnit.objects.filter(district=grid.district, valid_to__isnull=False).values_list(
                "code", flat=True
            )
        )
        for row in rows:
            if (row.code in grid.units and row.code not in known) or row.code in ended:
                told = _("The code %(feature)s means, or meant, another organisation, at %(place)s")
                facts = {"feature": row.code, "place": in_words(row.shape)}
                faults.append(Fault("code_was_used", (row.code,), told % facts, row.shape))
        if level == Level.DISTRICT_COMMITTEE:
            for row in rows:
                if row.code != grid.district.code:
                    told = _("The code %(feature)s is not that of the district, %(parent)s, at %(place)s")
                    facts = {
                        "feature": row.code,
                        "parent": grid.district.code,
                        "place": in_words(row.shape),
                    }
                    faults.append(Fault("code_contradicts_parent", (row.code,), told % facts, row.shape))
    for row in rows:
        for former in row.replaces:
            if former not in known:
                told = _("%(feature)s replaces %(former)s, which is not in force, at %(place)s")
                facts = {"feature": row.code, "former": former, "place": in_words(row.shape)}
                faults.append(Fault("unknown_former", (row.code, former), told % facts, row.shape))
    return faults


def _take_cells(
    base: Grid,
    grid: Grid,
    rows: Sequence[LayerRow],
    replace_all: bool,
    units_follow: bool,
    tolerance_m: float,
) -> None:
    listed = {row.code for row in rows}
    gone = {former for row in rows for former in row.replaces} - listed
    for code in base.cells:
        if code in listed or code in gone or replace_all:
            del grid.cells[code]
    for row in rows:
        add_cell(grid, _planned(base, row, rows, gone, tolerance_m))
    drawn = {code: cell.boundary for code, cell in grid.cells.items()}
    outline = base.areas(Level.DISTRICT_COMMITTEE).get(base.district.code)
    faults = check_tiling(drawn, outline, tolerance_m=tolerance_m, parent=base.district.code)
    if not units_follow:
        faults += _outside_owners(base, rows, tolerance_m)
    if faults:
        raise LayoutRefused(*faults)
    # What stays keeps its border to the last digit, so the new cells have to fill what is left.
    kept = {cell.version for cell in grid.cells.values()}
    left = [cell.boundary for cell in base.cells.values() if cell.version not in kept]
    new = {code: cell.boundary for code, cell in grid.cells.items() if cell.version is None}
    frame = union(left) if left else outline
    for code, shape in close_slivers(new, outline=frame, tolerance_m=tolerance_m).items():
        grid.cells[code] = replace(grid.cells[code], boundary=max(shapely.get_parts(shape), key=shapely.area))


def _planned(
    base: Grid, row: LayerRow, rows: Sequence[LayerRow], gone: set[str], tolerance_m: float
) -> CellPlan:
    """The cell of a row: the one in force where no more than slivers differ, else one to be begun."""
    assert row.shape is not None  # noqa: S101 — checked before
    parts = shapely.get_parts(row.shape)
    if len(parts) != 1:
        told = _("%(feature)s has %(count)s parts; a cell is in one piece, at %(place)s")
        facts = {"feature": row.code, "count": len(parts), "place": in_words(row.shape)}
        raise LayoutRefused(Fault("several_parts", (row.code,), told % facts, row.shape))
    known = base.cells.get(row.code)
    synthetic = _said(row.synthetic, known.synthetic if known else None)
    kept = (row.parent, row.regional_group, synthetic)
    same_owners = known is not None and kept == (known.party_group, known.regional_group, known.synthetic)
    if known and same_owners and same_area(known.boundary, parts[0], tolerance_m=tolerance_m):
        return known
    former = known
    if known is None and len(row.replaces) == 1 and row.replaces[0] in gone:
        heirs = [other for other in rows if row.replaces[0] in other.replaces]
        former = base.cells[row.replaces[0]] if len(heirs) == 1 else None
    return CellPlan(
        *(row.code, row.parent, row.regional_group, parts[0]),
        lineage=former.lineage if former else uuid.uuid7(),
        synthetic=synthetic,
        former=row.replaces or ((row.code,) if known else ()),
    )


def _said(said: bool | None, known: bool | None) -> bool:
    return bool(known if said is None else said)


def _outside_owners(base: Grid, rows: Sequence[LayerRow], tolerance_m: float) -> list[Fault]:
    """Cells that reach beyond the party group or the regional group they name, as these lie now."""
    faults = []
    for level, name in ((Level.PARTY_GROUP, "parent"), (Level.REGIONAL_GROUP, "regional_group")):
        areas = base.areas(level)
        for row in rows:
            owner = getattr(row, name)
            beyond: Any = shapely.difference(row.shape, areas[owner])
            for part, metres in wide_parts(beyond, tolerance_m):
                told = _("%(feature)s reaches beyond its organisation %(parent)s, at %(place)s")
                facts = {"feature": row.code, "parent": owner, "place": in_words(part)}
                faults.append(Fault("outside_parent", (row.code, owner), told % facts, part, metres))
    return faults


def _take_units(
    base: Grid, grid: Grid, level: Level, rows: Sequence[LayerRow], replace_all: bool, tolerance_m: float
) -> None:
    listed = {row.code for row in rows}
    replaced = {former for row in rows for former in row.replaces} - listed
    areas = base.areas(level)
    ending = [code for code in areas if code in replaced or (replace_all and code not in listed)]
    for row in rows:
        assert row.shape is not None  # noqa: S101 — checked before
        known = grid.units.get(row.code)
        if known and known.parent != row.parent and level != Level.DISTRICT_COMMITTEE:
            told = _(
                "%(feature)s keeps its parent %(parent)s; below another it needs another code, at %(place)s"
            )
            facts = {"feature": row.code, "parent": known.parent, "place": in_words(row.shape)}
            raise LayoutRefused(Fault("code_contradicts_parent", (row.code,), told % facts, row.shape))
        grid.units[row.code] = UnitPlan(
            code=row.code,
            level=level,
            name=row.name or (known.name if known else row.code),
            parent=row.parent if level != Level.DISTRICT_COMMITTEE else "",
            boundary=known.boundary if known and base.cells else multi(row.shape),
            area_name=row.area_name or (known.area_name if known else "") or row.name,
            name_en=row.name_en or (known.name_en if known else ""),
            virtual=_said(row.virtual, known.virtual if known else None),
            synthetic=_said(row.synthetic, known.synthetic if known else None),
            former=tuple(former for former in row.replaces if former in replaced),
        )
    wanted = {code: area for code, area in areas.items() if code not in ending and code not in listed}
    wanted |= {row.code: row.shape for row in rows if row.shape is not None}
    parts, code = _parts_below(base, level)
    faults = _check_within_parents(base, grid, level, wanted, tolerance_m)
    belongs, cut = gather(wanted, parts, tolerance_m=tolerance_m, code=code)
    if faults or cut:
        raise LayoutRefused(*faults, *cut)
    if not parts:
        closed = close_slivers(wanted, tolerance_m=tolerance_m)
        for each, area in closed.items():
            if each in listed or not same_area(area, grid.units[each].boundary, tolerance_m=0):
                grid.units[each] = replace(grid.units[each], boundary=multi(area))
    elif level != Level.DISTRICT_COMMITTEE:
        taken = taken_codes(base, grid)
        for part, whole in belongs.items():
            _regroup(grid, taken, level, part, whole)
    for code in ending:
        if grid.children(code) or grid.cells_of(code):
            told = _("%(feature)s still has parts, but is not listed, at %(place)s")
            facts = {"feature": code, "place": in_words(areas[code])}
            raise LayoutRefused(Fault("unit_not_empty", (code,), told % facts, areas[code]))
        del grid.units[code]


def _parts_below(base: Grid, level: Level) -> tuple[dict[str, BaseGeometry], str]:
    """What organisations of a level are made of, and the fault when a border cuts one."""
    if level in BELOW and (below := base.areas(BELOW[level])):
        return below, "cuts_units"
    if level == Level.REGIONAL_GROUP and not base.cells:
        return base.areas(Level.STREET_COMMITTEE), "cuts_units"
    return {code: cell.boundary for code, cell in base.cells.items()}, "cuts_cells"


def _check_within_parents(
    base: Grid, grid: Grid, level: Level, wanted: Mapping[str, BaseGeometry], tolerance_m: float
) -> list[Fault]:
    """Whether siblings tile their parent, and all together the district."""
    above = ABOVE[level]
    faults = check_overlaps(wanted, tolerance_m=tolerance_m)
    if above is None:
        parts, _code = _parts_below(base, level)
        outline = union(parts.values()) if parts else None
        return faults + check_filling(wanted, outline, tolerance_m=tolerance_m, parent=grid.district.code)
    for parent, area in grid.areas(above).items():
        siblings = {code: shape for code, shape in wanted.items() if grid.units[code].parent == parent}
        faults += check_filling(siblings, area, tolerance_m=tolerance_m, parent=parent)
    return faults


def _regroup(grid: Grid, taken: set[str], level: Level, part: str, whole: str) -> None:
    """Put a part, known by its code in force, below the organisation that its place says."""
    if level == Level.REGIONAL_GROUP:
        if part not in grid.cells or grid.cells[part].regional_group != whole:
            hand_over_in(grid, taken, part, whole)
    elif level == Level.PARTY_GROUP:
        if grid.cells[part].party_group != whole:
            hand_over_in(grid, taken, part, whole)
    elif grid.units[part].parent != whole:
        hand_over_in(grid, taken, part, whole)
