"""Changing the grid: a draft is drawn up by the verbs below, checked, and put in force as a whole.

A draft is stored as what differs from the layout in force (`Layout`). To work on it both are read into memory as a
`Grid`, codes instead of keys; `revise` writes the difference back. Boundaries are shapely polygons, WGS-84 degrees.

An organisation keeps its code and its parent for ever, since cells of the past name both. Handing one over therefore
begins another, with a code below the new parent, that takes the place of the former (`former`).
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import shapely
import uuid_utils.compat as uuid
from django.contrib.gis.db.models.functions import AsWKB
from django.contrib.gis.geos import GEOSGeometry
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from shapely import MultiPolygon
from shapely.geometry.base import BaseGeometry

from .generator import reading_order
from .models import (
    CHAIN,
    WGS84,
    Cell,
    District,
    GridUnit,
    Layout,
    LayoutCell,
    LayoutState,
    LayoutUnit,
    Level,
)
from .topology import (
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
    share_vertices,
    union,
    wide_parts,
)

CELLS = 6
UNIT_CODE = r"[0-9A-Z]{6,20}"
_ABOVE = {
    Level.DISTRICT_COMMITTEE: None,
    Level.REGIONAL_GROUP: Level.DISTRICT_COMMITTEE,
    Level.STREET_COMMITTEE: Level.DISTRICT_COMMITTEE,
    Level.COMMUNITY: Level.STREET_COMMITTEE,
    Level.PARTY_GROUP: Level.COMMUNITY,
}
_BELOW = {
    Level.DISTRICT_COMMITTEE: Level.STREET_COMMITTEE,
    Level.STREET_COMMITTEE: Level.COMMUNITY,
    Level.COMMUNITY: Level.PARTY_GROUP,
}


class LayoutRefused(Exception):
    """A change of the grid is refused; `faults` says all that is wrong, with the places. Nothing was written."""

    code = "layout_refused"

    def __init__(self, *faults: Fault) -> None:
        self.faults = faults
        super().__init__("\n".join(str(fault) for fault in faults))


class LayoutSettled(Exception):
    """The layout is a draft no longer."""

    code = "layout_settled"


# --- the grid in memory -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class UnitPlan:
    """An organisation: as `GridUnit`, with codes instead of keys. `former`: the ones whose place it takes."""

    code: str
    level: Level
    name: str
    parent: str
    boundary: BaseGeometry
    area_name: str = ""
    name_en: str = ""
    virtual: bool = False
    synthetic: bool = False
    former: tuple[str, ...] = ()


@dataclass(frozen=True)
class CellPlan:
    """A cell: as `Cell`, with codes instead of keys. `version` is the row in force, None for one to be begun."""

    code: str
    party_group: str
    regional_group: str
    boundary: BaseGeometry
    lineage: UUID = field(default_factory=uuid.uuid7)
    synthetic: bool = False
    former: tuple[str, ...] = ()
    version: UUID | None = None

    @property
    def origin(self) -> tuple[str, ...]:
        """The codes in force that it comes from."""
        return (self.code,) if self.version else self.former


@dataclass
class Grid:
    """The organisations and cells of a district by their codes."""

    district: District
    units: dict[str, UnitPlan]
    cells: dict[str, CellPlan]

    def copy(self) -> "Grid":
        """Another grid with the same content."""
        return Grid(self.district, dict(self.units), dict(self.cells))

    def chain(self, cell: CellPlan) -> tuple[str, ...]:
        """The codes of a cell's five organisations, district committee first; empty where one is missing."""
        group = cell.party_group
        community = self.units[group].parent if group in self.units else ""
        street = self.units[community].parent if community in self.units else ""
        committee = self.units[street].parent if street in self.units else ""
        return committee, cell.regional_group, street, community, group

    def of_level(self, level: Level) -> dict[str, UnitPlan]:
        """The organisations of a level."""
        return {code: unit for code, unit in self.units.items() if unit.level == level}

    def children(self, code: str) -> list[UnitPlan]:
        """The organisations right below one, regional groups apart."""
        return [u for u in self.units.values() if u.parent == code and u.level != Level.REGIONAL_GROUP]

    def cells_of(self, code: str) -> list[CellPlan]:
        """The cells of an organisation of whatever level."""
        place = CHAIN_PLACE[self.units[code].level]
        return [cell for cell in self.cells.values() if self.chain(cell)[place] == code]

    def areas(self, level: Level) -> dict[str, BaseGeometry]:
        """What each organisation of a level answers for: its cells, else what is below it, else as drawn."""
        parts: dict[str, list[BaseGeometry]] = defaultdict(list)
        if self.cells:
            for cell in self.cells.values():
                parts[self.chain(cell)[CHAIN_PLACE[level]]].append(cell.boundary)
        elif level in _BELOW:
            for code, area in self.areas(_BELOW[level]).items():
                parts[self.units[code].parent].append(area)
        return {
            code: union(parts[code]) if parts[code] else unit.boundary
            for code, unit in self.of_level(level).items()
        }


CHAIN_PLACE = {level: place for place, level in enumerate(Level)}


def read_grid(district: District) -> Grid:
    """The grid in force; two statements."""
    units = {
        unit.code: UnitPlan(
            code=unit.code,
            level=Level(unit.level),
            name=unit.name,
            parent=unit.above or "",
            boundary=shapely.from_wkb(bytes(unit.shape)),
            area_name=unit.area_name,
            name_en=unit.name_en,
            virtual=unit.virtual,
            synthetic=unit.synthetic,
        )
        for unit in GridUnit.objects.in_force()
        .filter(district=district)
        .annotate(shape=AsWKB("boundary"), above=models.F("parent__code"))
        .defer("boundary")
        .order_by("level", "code")
    }
    rows = (
        Cell.objects.in_force()
        .filter(district=district)
        .order_by("code")
        .values_list(
            *("code", "party_group__code", "regional_group__code"),
            *(AsWKB("boundary"), "lineage", "synthetic", "id"),
        )
    )
    cells = {
        code: CellPlan(code, group, regional, shapely.from_wkb(bytes(shape)), lineage, synthetic, (), version)
        for code, group, regional, shape, lineage, synthetic, version in rows
    }
    return Grid(district, units, cells)


def read_draft(layout: Layout) -> tuple[Grid, Grid, list[Fault]]:
    """The grid in force, what the draft makes of it, and faults `layout_outdated` where the two do not fit any more."""
    base = read_grid(layout.district)
    target = base.copy()
    faults: list[Fault] = []

    def outdated(code: str, shape: BaseGeometry) -> None:
        if any(code in fault.features for fault in faults):
            return
        told = _("%(feature)s was changed by another layout meanwhile, at %(place)s")
        facts = {"feature": code, "place": in_words(shape)}
        faults.append(Fault("layout_outdated", (code,), told % facts, shape))

    here = {cell.version: cell.code for cell in base.cells.values()}
    for version, code, shape in layout.ends.values_list("id", "code", AsWKB("boundary")):
        if version in here:
            del target.cells[here[version]]
        else:
            outdated(code, shapely.from_wkb(bytes(shape)))
    for unit in layout.units.annotate(shape=AsWKB("boundary")).order_by("level", "code"):
        boundary = shapely.from_wkb(bytes(unit.shape))
        begins = unit.change == LayoutUnit.Change.BEGIN
        if (unit.code in base.units) == begins:
            outdated(unit.code, boundary)
        if unit.change == LayoutUnit.Change.DISSOLVE:
            target.units.pop(unit.code, None)
            continue
        target.units[unit.code] = UnitPlan(
            code=unit.code,
            level=Level(unit.level),
            name=unit.name,
            parent=unit.parent,
            boundary=boundary,
            area_name=unit.area_name,
            name_en=unit.name_en,
            virtual=unit.virtual,
            synthetic=unit.synthetic,
            former=tuple(unit.former),
        )
    for row in layout.cells.annotate(shape=AsWKB("boundary")).order_by("code"):
        shape = shapely.from_wkb(bytes(row.shape))
        if row.code in target.cells:
            outdated(row.code, shape)
        target.cells[row.code] = CellPlan(
            *(row.code, row.party_group, row.regional_group, shape),
            lineage=row.lineage,
            synthetic=row.synthetic,
            former=tuple(row.former),
        )
    return base, target, faults


# --- drafts -------------------------------------------------------------------------------------------------------


def draft_layout(
    district: District,
    title: str,
    *,
    by: Any,
    takes_effect_at: datetime | None = None,
    tolerance_m: float = TOLERANCE_M,
) -> Layout:
    """Begin an empty draft."""
    return Layout.objects.create(
        district=district,
        title=title,
        made_by=by,
        takes_effect_at=takes_effect_at,
        tolerance_m=tolerance_m,
    )


def day_begins(day: date, district: District) -> datetime | None:
    """The first moment of a local day to come; None for today: at once. Raises ValueError for a day that is past."""
    zone = ZoneInfo(district.time_zone)
    today = timezone.now().astimezone(zone).date()
    if day <= today:
        if day < today:
            raise ValueError(f"{day} is past")
        return None
    return datetime.combine(day, time(), zone).astimezone(UTC)


@transaction.atomic
def discard_layout(layout: Layout, *, by: Any) -> None:
    """Give a draft up; it stays to be looked at. Raises LayoutSettled."""
    layout = lock_draft(layout.pk)
    layout.state, layout.settled_by, layout.settled_at = LayoutState.DISCARDED, by, timezone.now()
    layout.save(update_fields=["state", "settled_by", "settled_at"])


def lock_draft(layout_id: UUID) -> Layout:
    """Lock a layout and read it under the lock. Raises LayoutSettled when it is a draft no longer."""
    layout = (
        Layout.objects.select_for_update(of=("self",)).select_related("district").filter(pk=layout_id).first()
    )
    if layout is None or layout.state != LayoutState.DRAFT:
        raise LayoutSettled(_("This layout is no draft any more"))
    return layout


@contextmanager
def revise(layout: Layout) -> Iterator[tuple[Grid, Grid]]:
    """The grid in force and the draft's, to be changed in place; written back at the end, all or nothing.

    Raises LayoutSettled, and LayoutRefused when the draft does not fit the layout in force any more.
    """
    with transaction.atomic():
        locked = lock_draft(layout.pk)
        base, target, faults = read_draft(locked)
        if faults:
            raise LayoutRefused(*faults)
        yield base, target
        _store_draft(locked, base, target)


def _store_draft(layout: Layout, base: Grid, target: Grid) -> None:
    kept = {cell.version for cell in target.cells.values()}
    ended: list[Any] = [cell.version for cell in base.cells.values() if cell.version not in kept]
    layout.ends.set(ended)
    layout.cells.all().delete()
    LayoutCell.objects.bulk_create(
        LayoutCell(
            layout=layout,
            code=cell.code,
            party_group=cell.party_group,
            regional_group=cell.regional_group,
            lineage=cell.lineage,
            former=list(cell.former),
            boundary=as_geos(cell.boundary),
            synthetic=cell.synthetic,
        )
        for cell in target.cells.values()
        if cell.version is None
    )
    layout.units.all().delete()
    LayoutUnit.objects.bulk_create(
        LayoutUnit(
            layout=layout,
            change=change,
            level=unit.level,
            code=unit.code,
            name=unit.name,
            area_name=unit.area_name,
            name_en=unit.name_en,
            parent=unit.parent,
            former=list(unit.former),
            boundary=as_geos(_multi(unit.boundary)),
            virtual=unit.virtual,
            synthetic=unit.synthetic,
        )
        for change, unit in _unit_changes(base, target)
    )


def _unit_changes(base: Grid, target: Grid) -> Iterator[tuple[str, UnitPlan]]:
    for code, unit in target.units.items():
        if code not in base.units:
            yield LayoutUnit.Change.BEGIN, unit
        elif unit != base.units[code]:
            yield LayoutUnit.Change.DESCRIBE, unit
    for code, unit in base.units.items():
        if code not in target.units:
            yield LayoutUnit.Change.DISSOLVE, unit


def as_geos(shape: BaseGeometry) -> Any:
    """A shapely geometry (WGS-84) as a field takes it."""
    return GEOSGeometry(memoryview(shapely.to_wkb(shape)), srid=WGS84)


def _multi(shape: BaseGeometry) -> MultiPolygon:
    return MultiPolygon(shapely.get_parts(shape).tolist())


# --- verbs --------------------------------------------------------------------------------------------------------


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
        _add(grid, made)
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
    `line_does_not_divide`, or the faults of parts that do not tile the cell.
    """
    with revise(layout) as (base, grid):
        cell = _cell(grid, code)
        if line is not None:
            pieces = _faces(cell.boundary, [line])
            if len(pieces) < 2:
                told = _("The line does not divide %(feature)s, at %(place)s")
                facts = {"feature": code, "place": in_words(line if not line.is_empty else None)}
                raise LayoutRefused(Fault("line_does_not_divide", (code,), told % facts, line))
        else:
            pieces = _fitted(cell, parts, layout.tolerance_m)
        pieces = [pieces[i] for i in reading_order(np.array([piece.centroid.coords[0] for piece in pieces]))]
        taken = _taken(base, grid)
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
            _add(
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
    what is below it follows. Raises LayoutRefused (`unknown_cell`, `unknown_unit`, `wrong_parent`).
    """
    with revise(layout) as (base, grid):
        return _hand_over(grid, _taken(base, grid), code, to, new_code)


def _hand_over(grid: Grid, taken: set[str], code: str, to: str, new_code: str = "") -> str:
    target = _unit(grid, to)
    if code in grid.cells:
        cell = grid.cells[code]
        if target.level == Level.REGIONAL_GROUP:
            _change(grid, cell, regional_group=to)
            return code
        if target.level != Level.PARTY_GROUP:
            raise LayoutRefused(_wrong_parent(code, target))
        before, after = grid.units[cell.party_group].parent, target.parent
        new = new_code or (code if before == after else _free_code(code, before, after, taken))
        taken.add(new)
        _change(grid, cell, party_group=to, code=new)
        return new
    unit = _unit(grid, code)
    if target.level == Level.REGIONAL_GROUP:
        for cell in grid.cells_of(code):
            if cell.regional_group != to:
                _change(grid, cell, regional_group=to)
        return code
    if unit.level == Level.REGIONAL_GROUP or _ABOVE[unit.level] != target.level:
        raise LayoutRefused(_wrong_parent(code, target))
    if unit.parent == to and not new_code:
        return code
    new = new_code or _free_code(code, unit.parent, to, taken)
    taken.add(new)
    grid.units[new] = replace(unit, code=new, parent=to, former=unit.former or (code,))
    for child in grid.children(code):
        _hand_over(grid, taken, child.code, new)
    for cell in [each for each in grid.cells.values() if each.party_group == code]:
        _hand_over(grid, taken, cell.code, new)
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
    """A new organisation; cells are handed over to it in the same draft, else the draft is refused."""
    with revise(layout) as (_base, grid):
        above = _unit(grid, parent)
        if _ABOVE[level] != above.level:
            raise LayoutRefused(_wrong_parent(code, above))
        grid.units[code] = UnitPlan(code, level, name, parent, MultiPolygon(), area_name or name)


def dissolve_unit(layout: Layout, code: str, *, into: str = "") -> None:
    """End an organisation; what it has is handed over to another of its level, which takes its place.

    Raises LayoutRefused (`unknown_unit`, `unit_not_empty` when it has parts and nobody to take them).
    """
    with revise(layout) as (base, grid):
        unit, taken = _unit(grid, code), _taken(base, grid)
        parts = [child.code for child in grid.children(code)]
        at_end = unit.level in (Level.PARTY_GROUP, Level.REGIONAL_GROUP)
        parts += [cell.code for cell in grid.cells_of(code)] if at_end else []
        if parts and not into:
            told = _("%(feature)s still has %(count)s parts: say who takes them, at %(place)s")
            facts = {"feature": code, "count": len(parts), "place": in_words(unit.boundary)}
            raise LayoutRefused(Fault("unit_not_empty", (code,), told % facts, unit.boundary))
        for part in parts:
            _hand_over(grid, taken, part, into)
        if into:
            heir = _unit(grid, into)
            grid.units[into] = replace(heir, former=(*heir.former, *(unit.former or (code,))))
        del grid.units[code]


def _change(grid: Grid, cell: CellPlan, **changes: Any) -> None:
    del grid.cells[cell.code]
    _add(grid, replace(cell, **changes, former=cell.origin, version=None))


def _add(grid: Grid, cell: CellPlan) -> None:
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


def _wrong_parent(code: str, target: UnitPlan) -> Fault:
    told = _("%(feature)s cannot stand below %(parent)s (%(level)s)")
    facts = {"feature": code, "parent": target.code, "level": target.level.label}
    return Fault("wrong_parent", (code, target.code), told % facts)


def _taken(base: Grid, grid: Grid) -> set[str]:
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


# --- layers that are imported ----------------------------------------------------------------------------------------


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
        above = _ABOVE[Level(level)]
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
        _add(grid, _planned(base, row, rows, gone, tolerance_m))
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
            boundary=known.boundary if known and base.cells else _multi(row.shape),
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
                grid.units[each] = replace(grid.units[each], boundary=_multi(area))
    elif level != Level.DISTRICT_COMMITTEE:
        taken = _taken(base, grid)
        for part, whole in belongs.items():
            _regroup(grid, taken, level, part, whole)
    for code in ending:
        if grid.children(code) or any(
            code in self_chain for self_chain in map(grid.chain, grid.cells.values())
        ):
            told = _("%(feature)s still has parts, but is not listed, at %(place)s")
            facts = {"feature": code, "place": in_words(areas[code])}
            raise LayoutRefused(Fault("unit_not_empty", (code,), told % facts, areas[code]))
        del grid.units[code]


def _parts_below(base: Grid, level: Level) -> tuple[dict[str, BaseGeometry], str]:
    """What organisations of a level are made of, and the fault when a border cuts one."""
    if level in _BELOW and (below := base.areas(_BELOW[level])):
        return below, "cuts_units"
    if level == Level.REGIONAL_GROUP and not base.cells:
        return base.areas(Level.STREET_COMMITTEE), "cuts_units"
    return {code: cell.boundary for code, cell in base.cells.items()}, "cuts_cells"


def _check_within_parents(
    base: Grid, grid: Grid, level: Level, wanted: Mapping[str, BaseGeometry], tolerance_m: float
) -> list[Fault]:
    """Whether siblings tile their parent, and all together the district."""
    above = _ABOVE[level]
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
            _hand_over(grid, taken, part, whole)
    elif level == Level.PARTY_GROUP:
        if grid.cells[part].party_group != whole:
            _hand_over(grid, taken, part, whole)
    elif grid.units[part].parent != whole:
        _hand_over(grid, taken, part, whole)


# --- checking and comparing -------------------------------------------------------------------------------------------


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
        above = _ABOVE[unit.level]
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


@dataclass(frozen=True)
class Difference:
    """One line of what a layout changes: `added`, `changed`, `moved` (another owner), `ended`; level 6 are cells."""

    change: str
    level: int
    code: str
    former: tuple[str, ...] = ()
    owner: str = ""
    former_owner: str = ""


def diff(layout: Layout) -> list[Difference]:
    """What a draft changes, level by level; of one in force, what it changed."""
    if layout.state != LayoutState.DRAFT:
        return list(_differences_stored(layout))
    base, target, _faults = read_draft(layout)
    found = []
    heirs = {former for unit in target.units.values() for former in unit.former}
    for change, unit in _unit_changes(base, target):
        if change == LayoutUnit.Change.BEGIN:
            what = "moved" if unit.former else "added"
            found.append(Difference(what, unit.level, unit.code, unit.former, unit.parent))
        elif change == LayoutUnit.Change.DESCRIBE:
            found.append(Difference("changed", unit.level, unit.code))
        elif unit.code not in heirs:
            found.append(Difference("ended", unit.level, unit.code))
    by_lineage = {cell.lineage: cell for cell in base.cells.values()}
    begun = [cell for cell in target.cells.values() if cell.version is None]
    for cell in begun:
        before = by_lineage.get(cell.lineage)
        if before is None:
            found.append(Difference("added", CELLS, cell.code, cell.former, cell.party_group))
            continue
        owners = (before.party_group, before.regional_group)
        moved = owners != (cell.party_group, cell.regional_group)
        found.append(
            Difference(
                *("moved" if moved else "changed", CELLS, cell.code, (before.code,)),
                owner=cell.party_group,
                former_owner=before.party_group,
            )
        )
    lineages = {cell.lineage for cell in target.cells.values()}
    for before in base.cells.values():
        if before.lineage not in lineages:
            found.append(Difference("ended", CELLS, before.code, (), "", before.party_group))
    return sorted(found, key=lambda each: (each.level, each.code, each.change))


def differences_in_words(differences: Iterable[Difference]) -> list[str]:
    """Each line for people."""
    words = {
        "added": _("%(what)s %(code)s begins"),
        "changed": _("%(what)s %(code)s is drawn or described anew"),
        "moved": _("%(what)s %(code)s gets another owner"),
        "ended": _("%(what)s %(code)s ends"),
    }
    told = []
    for line in differences:
        what = _("Cell") if line.level == CELLS else Level(line.level).label
        text = words[line.change] % {"what": what, "code": line.code}
        former = [code for code in line.former if code != line.code]
        if line.owner and line.former_owner and line.owner != line.former_owner:
            text += _(": from %(from)s to %(to)s") % {"from": line.former_owner, "to": line.owner}
        if former:
            text += _(", out of %(former)s") % {"former": ", ".join(former)}
        told.append(text)
    return told


def _differences_stored(layout: Layout) -> Iterator[Difference]:
    words = {"begin": "added", "describe": "changed", "dissolve": "ended"}
    for unit in layout.units.all():
        yield Difference(words[unit.change], unit.level, unit.code, tuple(unit.former), unit.parent)
    ended = {cell.lineage: cell for cell in layout.ends.select_related("party_group").defer("boundary")}
    for cell in layout.cells.defer("boundary"):
        before = ended.pop(cell.lineage, None)
        if before is None:
            yield Difference("added", CELLS, cell.code, tuple(cell.former), cell.party_group)
        else:
            moved = before.party_group.code != cell.party_group
            yield Difference(
                *("moved" if moved else "changed", CELLS, cell.code, (before.code,)),
                owner=cell.party_group,
                former_owner=before.party_group.code,
            )
    for before in ended.values():
        yield Difference("ended", CELLS, before.code, (), "", before.party_group.code)


# --- putting in force ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PutInForce:
    """What was done: the cells that ended and began by their codes, and who took whose place."""

    ended: dict[str, UUID]
    begun: dict[str, UUID]
    heirs: dict[int, int]


def put_in_force(layout: Layout, base: Grid, target: Grid, *, at: datetime) -> PutInForce:
    """End and begin cell versions and organisations as the draft says; areas become the unions of their cells.

    For `fieldops.boundaries.apply_layout`, which holds the locks and moves what lies in the cells.
    """
    ended = {c.code: c.version for c in base.cells.values() if c.version} | {}
    kept = {cell.version for cell in target.cells.values()}
    ended = {code: version for code, version in ended.items() if version not in kept}
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
        unit.code for change, unit in _unit_changes(base, target) if change == LayoutUnit.Change.DISSOLVE
    ]
    GridUnit.objects.filter(district=layout.district, code__in=dissolved).update(valid_to=at)
    return PutInForce(ended, {code: cell.pk for code, cell in stored.items()}, heirs)


def _put_units_in_force(
    layout: Layout, base: Grid, target: Grid, at: datetime
) -> tuple[dict[str, int], dict[int, int]]:
    ids = dict(GridUnit.objects.in_force().filter(district=layout.district).values_list("code", "id"))
    heirs: dict[int, int] = {}
    changes = sorted(_unit_changes(base, target), key=lambda each: each[1].level)
    for change, unit in changes:
        facts: dict[str, Any] = {
            name: getattr(unit, name) for name in ("name", "area_name", "name_en", "virtual", "synthetic")
        }
        if change == LayoutUnit.Change.DESCRIBE:
            GridUnit.objects.filter(pk=ids[unit.code]).update(
                **facts, boundary=as_geos(_multi(unit.boundary))
            )
        elif change == LayoutUnit.Change.BEGIN:
            made = GridUnit.objects.create(
                district=layout.district,
                level=unit.level,
                code=unit.code,
                parent_id=ids.get(unit.parent),
                parent_level=_ABOVE[unit.level],
                boundary=as_geos(_multi(unit.boundary)),
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
                    GridUnit.objects.filter(pk=ids[code]).update(boundary=as_geos(_multi(area)))
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
