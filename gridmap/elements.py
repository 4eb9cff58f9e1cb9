"""Elements: placed in cells, looked up near a place or on a day, moved along when boundaries change.

Positions come in declared systems, degrees or metres as the system has it, and are stored as WGS-84.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
from django.contrib.gis.db.models.functions import Distance
from django.contrib.gis.geos import Point, Polygon
from django.contrib.gis.measure import D
from django.db import connection, models, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext as _

from .coordinates import ImplausiblePosition, UnknownCoordinateSystem, to_wgs84
from .models import (
    ACCURACY_METRES,
    WGS84,
    AccuracyClass,
    Cell,
    CodeScheme,
    Component,
    ComponentState,
    Department,
    District,
    Element,
    ElementKind,
    ElementVersion,
)

BATCH = 5000
METRES_PER_DEGREE = 111_195.0  # of latitude, on the sphere of mean radius


# --- codes --------------------------------------------------------------------------------------------------


class ComponentCode(NamedTuple):
    """A component's sixteen digits, taken apart."""

    district: str
    major: str
    minor: str
    serial: str

    def __str__(self) -> str:
        return "".join(self)


class BadComponentCode(ValueError):
    """Not sixteen digits."""


def parse_component_code(code: str, scheme: str) -> ComponentCode:
    """Take a code apart by its scheme, a `CodeScheme`. Raises BadComponentCode when it has not sixteen digits."""
    if not re.fullmatch(r"[0-9]{16}", code):
        raise BadComponentCode(code)
    end = 11 if scheme == CodeScheme.LONG_MINOR else 10
    return ComponentCode(code[:6], code[6:8], code[8:end], code[end:])


# --- components come in ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ComponentRow:
    """A component as a file or a device states it; nothing in it is trusted yet.

    `x`, `y` are in the declared `system`. Departments are named by their codes in the district.
    """

    code: str
    name: str
    x: float
    y: float
    system: str
    managing: str
    owning: str = ""
    maintaining: str = ""
    state: str = ComponentState.INTACT.value
    accuracy_class: str = AccuracyClass.C.value
    established_on: date | None = None
    changed_on: date | None = None
    source: str = ""
    note: str = ""


class Fault(NamedTuple):
    """What is wrong with a row: its place in the sequence, counted from 0, a stable code, words for people."""

    row: int
    code: str
    message: str


@dataclass(frozen=True)
class Placing:
    """What became of rows: how many were added, changed, left as they were; or why nothing was written.

    `changes` says of each code that was not left as it was whether it was `added` or `changed`.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    faults: tuple[Fault, ...] = ()
    changes: Mapping[str, str] = field(default_factory=dict, compare=False)


def placing_of(rows: Sequence[Any], *, added: Iterable[Any], changed: Iterable[Any]) -> Placing:
    """What became of rows, by the codes of what was added and changed."""
    changes = {each.code: "added" for each in added} | {each.code: "changed" for each in changed}
    times = Counter(changes.values())
    return Placing(times["added"], times["changed"], len(rows) - len(changes), changes=changes)


@transaction.atomic
def place_components(
    rows: Sequence[ComponentRow], *, district: District, by: models.Model | None, synthetic: bool = False
) -> Placing:
    """Add or change components by their codes, all or none: with any fault nothing is written.

    Each stands in the cell in force that covers it, on a shared border in the one of the lowest code. A component
    that was gone and comes again is there again. A constant number of statements, whatever the number of rows.
    """
    # One at a time in a district, so that no two add the same code.
    district = District.objects.select_for_update(no_key=True).get(pk=district.pk)
    faults: list[Fault] = []
    codes = _check_codes(rows, district, faults)
    classes = _classes(district)
    departments = dict(Department.objects.filter(district=district).values_list("code", "pk"))
    _check_facts(rows, codes, classes, departments, faults)
    points = wgs84_points([(row.x, row.y, row.system) for row in rows], faults)
    cells = lock_cells_at(points, district=district)
    faults += [
        Fault(n, "point_outside_district", _("The place lies outside the district"))
        for n, cell in enumerate(cells)
        if cell is None and points[n] is not None
    ]
    if faults:
        return Placing(faults=tuple(sorted(faults)))
    there = {
        component.code: component
        for component in Component.objects.select_related("element")
        .select_for_update(no_key=True)
        .filter(code__in=[row.code for row in rows])
        .order_by("pk")
    }
    now = timezone.now()
    added: list[Component] = []
    changed: list[Component] = []
    for row, point, cell in zip(rows, points, cells, strict=True):
        code = parse_component_code(row.code, district.component_code_scheme)
        component = there.get(row.code) or Component(element=Element(district=district, synthetic=synthetic))
        element = component.element
        facts = {
            "kind": ElementKind.COMPONENT.value,
            "name": row.name,
            "cell_id": cell,
            "point": point,
            "x": float(row.x),
            "y": float(row.y),
            "system": row.system,
            "accuracy_m": ACCURACY_METRES[AccuracyClass(row.accuracy_class)],
            "state": row.state,
            "established_on": row.established_on,
            "changed_on": row.changed_on,
            "source": row.source,
            "note": row.note,
            "ended_at": None,
        }
        particulars = {
            "district_id": district.pk,
            "code": row.code,
            "scheme": district.component_code_scheme,
            "event_class_id": classes[code.major, code.minor],
            "managing_id": departments[row.managing],
            "owning_id": departments[row.owning] if row.owning else None,
            "maintaining_id": departments[row.maintaining] if row.maintaining else None,
            "accuracy_class": row.accuracy_class,
        }
        if _take_over(element, facts) | _take_over(component, particulars):
            element.changed_by_id, element.changed_at = by.pk if by else None, now
            (changed if row.code in there else added).append(component)
    write = [*added, *changed]
    _store([component.element for component in write])
    Component.objects.bulk_create(
        write,
        batch_size=BATCH,
        update_conflicts=True,
        unique_fields=["element"],
        update_fields=["scheme", "event_class", "managing", "owning", "maintaining", "accuracy_class"],
    )
    return placing_of(rows, added=added, changed=changed)


def _check_codes(
    rows: Sequence[ComponentRow], district: District, faults: list[Fault]
) -> list[ComponentCode | None]:
    times = Counter(row.code for row in rows)
    codes: list[ComponentCode | None] = []
    for n, row in enumerate(rows):
        codes.append(None)
        try:
            code = parse_component_code(row.code, district.component_code_scheme)
        except BadComponentCode:
            faults.append(Fault(n, "bad_code", _("A component's code has sixteen digits")))
            continue
        if code.district != district.pk:
            faults.append(Fault(n, "code_of_another_district", _("The code begins with another district")))
        elif times[row.code] > 1:
            faults.append(Fault(n, "code_twice", _("The code comes more than once")))
        else:
            codes[-1] = code
    return codes


def _classes(district: District) -> dict[tuple[str, str], int]:
    """The component classes of the edition in force: major and minor → key of the row in the standard."""
    standard = Component._meta.get_field("event_class").related_model
    found = standard._default_manager.filter(edition=district.class_edition, kind=ElementKind.COMPONENT.value)
    return {(major, minor): pk for major, minor, pk in found.values_list("major", "minor", "pk")}


_LONGEST = {"name": 120, "source": 120, "note": 500, "system": 20}


def _check_facts(
    rows: Sequence[ComponentRow],
    codes: Sequence[ComponentCode | None],
    classes: Mapping[tuple[str, str], int],
    departments: Mapping[str, int],
    faults: list[Fault],
) -> None:
    for n, (row, code) in enumerate(zip(rows, codes, strict=True)):
        if code and (code.major, code.minor) not in classes:
            faults.append(Fault(n, "unknown_class", _("There is no such event class")))
        for named in {row.managing, row.owning or row.managing, row.maintaining or row.managing}:
            if named not in departments:
                faults.append(
                    Fault(n, "unknown_department", _("There is no department %(code)s") % {"code": named})
                )
        if row.state not in ComponentState.values:
            faults.append(Fault(n, "unknown_state", _("A component has no such state")))
        if row.accuracy_class not in AccuracyClass.values:
            faults.append(Fault(n, "unknown_accuracy_class", _("The accuracy class is A, B or C")))
        if not row.name.strip():
            faults.append(Fault(n, "name_missing", _("The name is missing")))
        for each in fields(row):
            text = getattr(row, each.name)
            if isinstance(text, str) and ("\0" in text or len(text) > _LONGEST.get(each.name, 120)):
                told = _("%(field)s is too long or is no text") % {"field": each.name}
                faults.append(Fault(n, "bad_text", told))


def _take_over(row: models.Model, facts: Mapping[str, Any]) -> bool:
    """Set the fields; whether any of them was different, or the row is new."""
    different = row._state.adding
    for name, value in facts.items():
        if getattr(row, name) != value:
            setattr(row, name, value)
            different = True
    return different


def _store(elements: Sequence[Element]) -> None:
    Element.objects.bulk_create(
        elements,
        batch_size=BATCH,
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=[
            *("name", "category", "cell", "point", "x", "y", "system", "accuracy_m", "state"),
            *("established_on", "changed_on", "source", "note", "ended_at", "changed_by", "changed_at"),
        ],
    )


# --- places ---------------------------------------------------------------------------------------------------


def wgs84_points(
    positions: Sequence[tuple[float, float, str]], faults: list[Fault] | None = None
) -> list[Point | None]:
    """Points in WGS-84 of positions (x, y, declared system); None, and a fault, for what is no position."""
    faults = [] if faults is None else faults
    points: list[Point | None] = [None] * len(positions)
    by_system: dict[str, list[int]] = {}
    for n, (_x, _y, system) in enumerate(positions):
        by_system.setdefault(system, []).append(n)
    for system, numbers in by_system.items():
        x, y = np.array([positions[n][:2] for n in numbers], float).T
        try:
            lon, lat = (np.atleast_1d(degrees) for degrees in to_wgs84(x, y, system))
        except UnknownCoordinateSystem:
            told = _("The coordinate system is not known")
            faults += [Fault(n, UnknownCoordinateSystem.code, told) for n in numbers]
        except ImplausiblePosition:
            # It names the first alone; one by one tells them all.
            for n in numbers:
                points[n] = _plausible(n, positions[n], faults)
        else:
            for n, east, north in zip(numbers, lon, lat, strict=True):
                points[n] = Point(float(east), float(north), srid=WGS84)
    return points


def _plausible(n: int, position: tuple[float, float, str], faults: list[Fault]) -> Point | None:
    try:
        lon, lat = to_wgs84(*position)
    except ImplausiblePosition as wrong:
        told = _("The position is not where %(system)s is used") % {"system": position[2]}
        faults.append(Fault(n, wrong.code, f"{told}（{wrong.reason}）"))
        return None
    return Point(float(lon), float(lat), srid=WGS84)


_CELLS = """
SELECT found.id FROM unnest(%s::float8[], %s::float8[]) WITH ORDINALITY AS place (x, y, n)
LEFT JOIN LATERAL (
    SELECT id FROM gridmap_cell WHERE valid_to IS NULL AND district_id = %s
        AND ST_Covers(boundary, ST_SetSRID(ST_MakePoint(x, y), 4326))
    ORDER BY code COLLATE "C" LIMIT 1
) found ON true ORDER BY n
"""
_LOCK_CELLS = "SELECT id FROM gridmap_cell WHERE id = ANY (%s) AND valid_to IS NULL ORDER BY id FOR SHARE"


def lock_cells_at(points: Sequence[Point | None], *, district: District) -> list[UUID | None]:
    """The cell in force that covers each point, held in force until the end of the transaction; None outside."""
    x = [point.x if point else None for point in points]
    y = [point.y if point else None for point in points]
    with connection.cursor() as cursor:
        while True:
            cursor.execute(_CELLS, [x, y, district.pk])
            cells = [row[0] for row in cursor.fetchall()]
            wanted = sorted(set(cells) - {None})
            cursor.execute(_LOCK_CELLS, [wanted])
            if len(cursor.fetchall()) == len(wanted):
                return cells
            # A boundary changed in between: what was found is no longer in force.


def square_around(point: Point, metres: float) -> Polygon:
    """A box (WGS-84) that holds everything within so many metres of the point, for an index to begin with."""
    high = metres / METRES_PER_DEGREE * 1.01
    wide = high / max(math.cos(math.radians(point.y)), 0.01)
    box = Polygon.from_bbox((point.x - wide, point.y - high, point.x + wide, point.y + high))
    box.srid = WGS84
    return box


def components_near(point: Point, *, within_m: float, district: str) -> QuerySet[Any]:
    """The components that stand within so many metres of the point (WGS-84), nearest first, as `distance_m`."""
    box = square_around(point, within_m)
    return (
        Component.objects.filter(district=district, element__ended_at__isnull=True)
        .filter(element__point__bboverlaps=box, element__point__distance_lte=(point, D(m=within_m)))
        .annotate(distance_m=Distance("element__point", point))
        .select_related("element__cell", "event_class", "managing", "owning", "maintaining")
        .defer("element__cell__boundary")
        .order_by("distance_m", "code")
    )


# --- when boundaries change ---------------------------------------------------------------------------------------


def standing_in(cells: Iterable[UUID]) -> QuerySet[Element]:
    """The elements there in these cells, people included, with their `place`: for counting what a draft would move.

    Tells where people live: for counts only, never to be shown row by row.
    """
    return (
        Element.objects.present()
        .filter(cell__in=list(cells))
        .annotate(place=Coalesce("point", "person__point"))
    )


_RELOCATE = """
UPDATE gridmap_element SET cell_id = moved.cell, changed_by_id = %(by)s, changed_at = now()
FROM (
    -- The distance alone would decide otherwise than `covers` a rounding error off a border.
    SELECT e.id, coalesce(
        (SELECT c.id FROM gridmap_cell c WHERE c.valid_to IS NULL AND c.district_id = e.district_id
            AND ST_Covers(c.boundary, coalesce(e.point, p.point)) ORDER BY c.code COLLATE "C" LIMIT 1),
        (SELECT c.id FROM gridmap_cell c WHERE c.valid_to IS NULL AND c.district_id = e.district_id
            ORDER BY c.boundary <-> coalesce(e.point, p.point), c.code COLLATE "C" LIMIT 1)
    ) AS cell
    FROM gridmap_element e LEFT JOIN gridmap_person p ON p.element_id = e.id
    WHERE e.cell_id = ANY (%(cells)s) AND e.ended_at IS NULL
) moved
WHERE gridmap_element.id = moved.id AND moved.cell <> gridmap_element.cell_id RETURNING kind
"""


def relocate_elements(cells: Iterable[UUID], *, by: models.Model | None) -> dict[str, int]:
    """Move the elements of these cells, which are in force no longer, to those in force; return how many by kind.

    Each goes to the cell that covers its place, where none does to the nearest. Elements that are gone keep the
    cell of their day. One statement; call it in the transaction that ended the cells and began the others.
    """
    with connection.cursor() as cursor:
        cursor.execute(_RELOCATE, {"cells": list(cells), "by": by.pk if by else None})
        return dict(Counter(row[0] for row in cursor.fetchall()))


# --- history ------------------------------------------------------------------------------------------------------


def standing_at(cell: Cell, at: datetime) -> QuerySet[ElementVersion]:
    """The elements that were in this version of a cell at the moment, as they were recorded then."""
    later = ElementVersion.objects.filter(pgh_obj=OuterRef("pgh_obj"), pgh_created_at__lte=at).filter(
        Q(pgh_created_at__gt=OuterRef("pgh_created_at"))
        | Q(pgh_created_at=OuterRef("pgh_created_at"), pgh_id__gt=OuterRef("pgh_id"))
    )
    return (
        ElementVersion.objects.filter(cell=cell, pgh_created_at__lte=at)
        .filter(Q(ended_at__isnull=True) | Q(ended_at__gt=at))
        .filter(~Exists(later))
    )
