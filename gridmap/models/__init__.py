"""WHERE: the grid and its versions. One file a subject; each is imported here, where Django looks."""

from .grid import CHAIN, VALIDITY, WGS84, CalendarDay, Cell, Department, District, GridUnit, InForce, Level

__all__ = [
    "CHAIN",
    "VALIDITY",
    "WGS84",
    "CalendarDay",
    "Cell",
    "Department",
    "District",
    "GridUnit",
    "InForce",
    "Level",
]
