"""A draft is stored as what differs from the layout in force; to work on it both are read as a `Grid`."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import shapely
from django.contrib.gis.db.models.functions import AsWKB
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from shapely.geometry.base import BaseGeometry

from gridmap.models import District, Layout, LayoutCell, LayoutState, LayoutUnit, Level
from gridmap.topology import TOLERANCE_M, Fault, in_words

from .plan import CellPlan, Grid, LayoutRefused, UnitPlan, as_geos, multi, read_grid


class LayoutSettled(Exception):
    """The layout is a draft no longer."""

    code = "layout_settled"


def draft_layout(
    district: District,
    title: str,
    *,
    by: Any,
    takes_effect_at: datetime | None = None,
    tolerance_m: float = TOLERANCE_M,
) -> Layout:
    """Begin an empty draft. Raises ValidationError for a title or a tolerance that is none."""
    layout = Layout(
        district=district,
        title=title,
        made_by=by,
        takes_effect_at=takes_effect_at,
        tolerance_m=tolerance_m,
    )
    layout.full_clean(exclude=["made_by", "settled_by"])
    layout.save(force_insert=True)
    return layout


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
            boundary=as_geos(multi(unit.boundary)),
            virtual=unit.virtual,
            synthetic=unit.synthetic,
        )
        for change, unit in unit_changes(base, target)
    )


def unit_changes(base: Grid, target: Grid) -> Iterator[tuple[str, UnitPlan]]:
    """Which organisations begin, are described anew, and end: a `LayoutUnit.Change` and the plan of each."""
    for code, unit in target.units.items():
        if code not in base.units:
            yield LayoutUnit.Change.BEGIN, unit
        elif unit != base.units[code]:
            yield LayoutUnit.Change.DESCRIBE, unit
    for code, unit in base.units.items():
        if code not in target.units:
            yield LayoutUnit.Change.DISSOLVE, unit
