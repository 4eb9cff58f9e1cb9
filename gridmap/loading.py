"""From the drawn plan of a district to its rows."""

from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import shapely
from django.contrib.gis.geos import GEOSGeometry
from django.db import connection, transaction
from django.db.models import ProtectedError
from django.utils.translation import gettext as _

from .generator import DistrictPlan, PlannedUnit, generate_district, load_boundary, load_divisions
from .models import WGS84, Cell, District, GridUnit, Level
from .tiles import redraw

SEED = 150204
IN_FORCE_FROM = datetime(2026, 1, 1, tzinfo=ZoneInfo("Asia/Shanghai"))  # of what is drawn, not surveyed


class DistrictInUse(Exception):
    """A district cannot be drawn anew: cases or posts refer to what would vanish."""


@transaction.atomic
def build_district(folder: Path, *, seed: int = SEED, reset: bool = False) -> tuple[District, bool]:
    """Draw the district that `folder` describes and store it; return it and whether it was drawn now.

    A district that has its cells already is left as it is, unless `reset`: then it is drawn anew. Its units
    stay the same rows by their codes; its cells become new ones.

    Raises DistrictInUse when a case refers to one of its cells, or anything to a unit it would not have any
    more; nothing has changed then.
    """
    divisions = load_divisions(folder)
    district, _made = District.objects.get_or_create(
        code=divisions.district.code,
        defaults={"name": divisions.district.name, "name_en": divisions.district.name_en},
    )
    drawn = district.cells.exists()
    if drawn and not reset:
        return district, False
    try:
        district.cells.all().delete()
        plan = generate_district(load_boundary(folder / "boundary_gcj02.geojson"), divisions, seed=seed)
        district.units.exclude(code__in=[unit.code for unit in plan.units]).delete()
    except ProtectedError as error:
        told = _("%(district)s is in use: %(count)s rows refer to what would vanish")
        raise DistrictInUse(told % {"district": district, "count": len(error.protected_objects)}) from error
    _store(plan, district)
    redraw(district.pk)
    return district, True


def _store(plan: DistrictPlan, district: District) -> None:
    units: dict[str, GridUnit] = {}
    for level in Level:
        made = [_unit(planned, district, units) for planned in plan.units if planned.level == level]
        GridUnit.objects.bulk_create(
            made,
            update_conflicts=True,
            unique_fields=["district", "code"],
            update_fields=[
                *("level", "name", "area_name", "name_en", "parent", "parent_level"),
                *("boundary", "synthetic", "virtual"),
            ],
        )
        units |= {unit.code: unit for unit in made}
    committee = units[district.code]
    Cell.objects.bulk_create(
        Cell(
            district=district,
            code=cell.code,
            party_group=units[cell.party_group],
            community=units[cell.community],
            street=units[cell.street],
            regional_group=units[cell.regional_group],
            committee=committee,
            boundary=_geos(cell.boundary),
            synthetic=True,
            valid_from=IN_FORCE_FROM,
        )
        for cell in plan.cells
    )
    with connection.cursor() as cursor:
        # Until autovacuum comes round, a table that was just filled is searched from end to end.
        cursor.execute("ANALYZE gridmap_gridunit, gridmap_cell")


def _unit(planned: PlannedUnit, district: District, units: dict[str, GridUnit]) -> GridUnit:
    parent = units[planned.parent_code] if planned.parent_code else None
    return GridUnit(
        district=district,
        level=planned.level,
        code=planned.code,
        name=planned.name,
        area_name=planned.area_name,
        name_en=planned.name_en,
        parent=parent,
        parent_level=parent.level if parent else None,
        boundary=_geos(planned.boundary),
        synthetic=planned.synthetic,
        virtual=planned.virtual,
        valid_from=IN_FORCE_FROM,
    )


def _geos(geometry: shapely.Geometry) -> Any:
    return GEOSGeometry(memoryview(shapely.to_wkb(geometry)), srid=WGS84)
