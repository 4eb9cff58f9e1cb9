"""Whether what a draft makes of the grid in force is a grid."""

from collections.abc import Mapping

from django.utils.translation import gettext as _

from gridmap.models import Layout, Level
from gridmap.topology import Coded, Fault, check_codes, check_shapes, check_tiling, in_words, union

from .drafts import read_draft
from .plan import ABOVE, CellPlan, Grid

UNIT_CODE = r"[0-9A-Z]{6,20}"


def check_layout(layout: Layout) -> list[Fault]:
    """All that speaks against putting the draft in force now, as far as the grid is concerned."""
    base, target, faults = read_draft(layout)
    return faults or check_grid(base, target, tolerance_m=layout.tolerance_m)


def check_grid(base: Grid, target: Grid, *, tolerance_m: float) -> list[Fault]:
    """Whether what a draft makes of the grid in force is a grid: codes, owners, and one cell for every place."""
    begun = {code: cell for code, cell in target.cells.items() if cell.version is None}
    kept = {cell.version for cell in target.cells.values()}
    ended = [cell for cell in base.cells.values() if cell.version not in kept]
    areas = {code: cell.boundary for code, cell in begun.items()}
    faults = check_shapes(areas.items(), types=["Polygon"])
    faults += _check_codes_of(target, begun)
    faults += _check_units(base, target)
    if faults:
        return faults
    if ended:
        outline = union(cell.boundary for cell in ended)
        if not begun:
            told = _("%(parent)s would have no cell there any more, at %(place)s")
            facts = {"parent": target.district.code, "place": in_words(outline)}
            return [Fault("gap", tuple(cell.code for cell in ended), told % facts, outline)]
        return check_tiling(areas, outline, tolerance_m=tolerance_m, parent=target.district.code)
    if begun and base.cells:
        return check_tiling(
            {code: cell.boundary for code, cell in target.cells.items()}, tolerance_m=tolerance_m
        )
    return []


def _check_codes_of(target: Grid, begun: Mapping[str, CellPlan]) -> list[Fault]:
    faults = []
    for cell in begun.values():
        committee, _regional, _street, community, group = target.chain(cell)
        parent = community if committee else group
        coded = [Coded(cell.code, parent, cell.boundary)]
        known = [parent] if committee else []
        faults += check_codes(coded, pattern=target.district.cell_code_pattern, parents=known)
        regional = target.units.get(cell.regional_group)
        if regional is None or regional.level != Level.REGIONAL_GROUP:
            coded = [Coded(cell.code, cell.regional_group, cell.boundary)]
            faults += check_codes(coded, pattern=".*", parents=[])
    return faults


def _check_units(base: Grid, target: Grid) -> list[Fault]:
    faults = []
    for code, unit in target.units.items():
        above = ABOVE[unit.level]
        if code not in base.units:
            parents = None if above is None else target.of_level(above)
            faults += check_codes(
                [Coded(code, unit.parent, unit.boundary)], pattern=UNIT_CODE, parents=parents
            )
        elif above is not None and unit.parent not in target.units:
            told = _("%(feature)s would stand below %(parent)s, which ends, at %(place)s")
            facts = {"feature": code, "parent": unit.parent, "place": in_words(unit.boundary)}
            faults.append(Fault("unknown_parent", (code,), told % facts, unit.boundary))
    if target.cells:
        owners = {code for cell in target.cells.values() for code in target.chain(cell)}
        for code, unit in target.units.items():
            if code not in owners:
                told = _("%(feature)s would have no cell, at %(place)s")
                facts = {"feature": code, "place": in_words(unit.boundary)}
                shown = None if unit.boundary.is_empty else unit.boundary
                faults.append(Fault("unit_without_cells", (code,), told % facts, shown))
    return faults
