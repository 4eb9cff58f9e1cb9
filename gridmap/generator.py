"""Draw the parts of a district that no public map shows: streets, communities, party groups, cells.

Only a district's outline and its official codes are public. Everything this module draws inside the
outline is synthetic and has to be labelled so wherever it is shown.

Coordinates are WGS-84 longitude and latitude in degrees (EPSG:4326), on a grid of 1e-7 degree (about 1 cm).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from shapely import MultiPolygon, Polygon


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
    """Read one district's GCJ-02 outline, repair it and return it in WGS-84."""
    raise NotImplementedError


def load_divisions(folder: Path) -> Divisions:
    """Read a district's division rows, English names, street seeds and regional groups."""
    raise NotImplementedError


def generate_district(boundary: Polygon, divisions: Divisions, *, seed: int) -> DistrictPlan:
    """Draw streets, communities, party groups and cells inside `boundary` (WGS-84 degrees)."""
    raise NotImplementedError
