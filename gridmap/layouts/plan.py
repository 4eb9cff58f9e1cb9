"""The grid in memory: codes instead of keys, boundaries as shapely polygons in WGS-84 degrees."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import shapely
import uuid_utils.compat as uuid
from django.contrib.gis.db.models.functions import AsWKB
from django.contrib.gis.geos import GEOSGeometry
from django.db import models
from shapely import MultiPolygon
from shapely.geometry.base import BaseGeometry

from gridmap.models import WGS84, Cell, District, GridUnit, Level
from gridmap.topology import Fault, union

CELLS = 6
CHAIN_PLACE = {level: place for place, level in enumerate(Level)}
ABOVE = {
    Level.DISTRICT_COMMITTEE: None,
    Level.REGIONAL_GROUP: Level.DISTRICT_COMMITTEE,
    Level.STREET_COMMITTEE: Level.DISTRICT_COMMITTEE,
    Level.COMMUNITY: Level.STREET_COMMITTEE,
    Level.PARTY_GROUP: Level.COMMUNITY,
}
BELOW = {
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
        elif level in BELOW:
            for code, area in self.areas(BELOW[level]).items():
                parts[self.units[code].parent].append(area)
        return {
            code: union(parts[code]) if parts[code] else unit.boundary
            for code, unit in self.of_level(level).items()
        }


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


def as_geos(shape: BaseGeometry) -> Any:
    """A shapely geometry (WGS-84) as a field takes it."""
    return GEOSGeometry(memoryview(shapely.to_wkb(shape)), srid=WGS84)


def multi(shape: BaseGeometry) -> MultiPolygon:
    """An area as organisations have it, of however many parts."""
    return MultiPolygon(shapely.get_parts(shape).tolist())
