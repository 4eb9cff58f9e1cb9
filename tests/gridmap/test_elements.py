"""Elements in cells: what the database holds true, codes of both editions, placing, history, moving along."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.contrib.gis.geos import Point
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from fieldops.models import EventClass
from gridmap.bulk import locate_many
from gridmap.elements import (
    BadComponentCode,
    components_near,
    parse_component_code,
    relocate_elements,
    standing_at,
    standing_in,
)
from gridmap.models import (
    Cell,
    CodeScheme,
    Component,
    ComponentVersion,
    Department,
    District,
    Element,
    ElementKind,
    ElementVersion,
)
from tests.doing import a_transaction_later, next_version, place, refused, row_in

DIGITS = st.text("0123456789", min_size=16, max_size=16)


@pytest.fixture
def placed(cell: Cell) -> Component:
    assert not place(row_in(cell)).faults
    return Component.objects.get(code="1502040101900001")


# --- codes ----------------------------------------------------------------------------------------------------


@given(code=DIGITS, scheme=st.sampled_from(CodeScheme.values))
def test_a_code_falls_into_its_parts_and_back(code: str, scheme: str) -> None:
    parts = parse_component_code(code, scheme)
    assert [len(part) for part in parts] == [int(n) for n in scheme.split("+")]
    assert str(parts) == code


@given(
    code=st.text(max_size=20).filter(lambda text: not (len(text) == 16 and text.isascii() and text.isdigit()))
)
def test_what_has_not_sixteen_digits_is_no_code(code: str) -> None:
    with pytest.raises(BadComponentCode):
        parse_component_code(code, CodeScheme.SHORT_MINOR)


@pytest.mark.parametrize("scheme", CodeScheme.values)
def test_the_database_takes_codes_apart_alike(placed: Component, scheme: str) -> None:
    """With a class of three digits in the newer scheme, and never with a class the code does not name."""
    parts = parse_component_code("1502040101234567", scheme)
    kind = EventClass.objects.get_or_create(
        edition="x", kind="component", major=parts.major, minor=parts.minor, defaults={"name": "井盖"}
    )[0]
    changes = {"code": "1502040101234567", "scheme": scheme, "event_class": kind}
    Component.objects.filter(pk=placed.pk).update(**changes)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    placed.refresh_from_db()
    assert (placed.major, placed.minor) == (parts.major, parts.minor)
    other = EventClass.objects.create(edition="x", kind="component", major="09", minor="09")
    refused(
        lambda: Component.objects.filter(pk=placed.pk).update(event_class=other),
        "a_component_code_names_its_class",
    )


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"code": "15020401019000"}, "a_component_code_has_sixteen_digits"),
        ({"code": "150204010190000x"}, "a_component_code_has_sixteen_digits"),
        ({"code": "1502030101900001"}, "a_component_code_begins_with_its_district"),
        ({"code": "1502040102900001"}, "a_component_code_names_its_class"),
        ({"scheme": "6+2+3+5"}, "a_component_code_names_its_class"),
        ({"scheme": "6+3+3+4"}, "a_component_code_has_a_known_scheme"),
        ({"accuracy_class": "D"}, "a_component_has_a_known_accuracy_class"),
    ],
)
def test_a_component_cannot_be_wrong(placed: Component, changes: dict[str, Any], constraint: str) -> None:
    refused(lambda: Component.objects.filter(pk=placed.pk).update(**changes), constraint)


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"kind": "tree"}, "an_element_has_a_known_kind"),
        ({"point": None}, "an_element_has_a_place_and_its_original"),
        ({"system": "EPSG"}, "an_element_has_a_place_and_its_original"),
        ({"state": ""}, "exactly_a_component_has_a_state"),
        ({"state": "fine"}, "exactly_a_component_has_a_state"),
        ({"kind": "thing", "state": ""}, "a_component_is_an_element_of_its_district"),
        ({"kind": "person", "state": ""}, "what_tells_of_a_person_stands_apart"),
    ],
)
def test_an_element_cannot_be_wrong(placed: Component, changes: dict[str, Any], constraint: str) -> None:
    refused(lambda: Element.objects.filter(pk=placed.pk).update(**changes), constraint)


@pytest.mark.parametrize("role", ["managing", "owning", "maintaining"])
def test_its_departments_are_of_its_district(placed: Component, role: str) -> None:
    elsewhere = District.objects.create(code="150203", name="昆都仑区", name_en="Kundulun")
    department = Department.objects.create(district=elsewhere, code="municipal", name="别区市政")
    refused(
        lambda: Component.objects.filter(pk=placed.pk).update(**{role: department}),
        "department_is_of_the_district",
    )


# --- placing ----------------------------------------------------------------------------------------------------


def test_placing_adds_changes_and_leaves_alone(cell: Cell, grid_worker: Any) -> None:
    rows = [row_in(cell, n) for n in (900_001, 900_002)]
    assert (done := place(*rows, by=grid_worker)) and (done.added, done.changed, done.unchanged) == (2, 0, 0)
    again = place(rows[0], replace(rows[1], state="damaged", owning="water_affairs"), by=grid_worker)
    assert (again.added, again.changed, again.unchanged) == (0, 1, 1)
    component = Component.objects.get(code=rows[1].code)
    element = component.element
    assert (element.cell_id, element.state, element.accuracy_m) == (cell.pk, "damaged", 10.0)
    assert (element.x, element.y, element.system) == (rows[1].x, rows[1].y, "WGS84")
    assert (component.owning.code, component.event_class.name) == ("water_affairs", "上水井盖")


def test_a_shifted_position_is_stored_twice_over(cell: Cell) -> None:
    """In WGS-84, and as it was declared."""
    from gridmap.coordinates import wgs84_to_gcj02

    x, y = wgs84_to_gcj02(*cell.boundary.point_on_surface.coords)
    assert not place(row_in(cell, x=float(x), y=float(y), system="GCJ02")).faults
    element = Element.objects.get(component__code="1502040101900001")
    assert (element.cell_id, element.x, element.system) == (cell.pk, x, "GCJ02")
    assert abs(element.point.x - cell.boundary.point_on_surface.x) < 1e-7


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"code": "15020401"}, "bad_code"),
        ({"code": "1502030101900001"}, "code_of_another_district"),
        ({"code": "1502049901900001"}, "unknown_class"),
        ({"managing": "nobody"}, "unknown_department"),
        ({"maintaining": "nobody"}, "unknown_department"),
        ({"state": "shiny"}, "unknown_state"),
        ({"accuracy_class": "E"}, "unknown_accuracy_class"),
        ({"name": " "}, "name_missing"),
        ({"name": "井" * 121}, "bad_text"),
        ({"note": "\0"}, "bad_text"),
        ({"system": "EPSG:1"}, "unknown_coordinate_system"),
        ({"x": float("nan")}, "implausible_position"),
        ({"x": 1e9, "system": "GCJ02"}, "implausible_position"),
        ({"x": 111.0}, "point_outside_district"),
    ],
)
def test_one_fault_and_nothing_is_written(cell: Cell, changes: dict[str, Any], code: str) -> None:
    before = Element.objects.count()
    good = row_in(cell, 900_002)
    done = place(good, replace(row_in(cell), **changes))
    assert [(fault.row, fault.code) for fault in done.faults] == [(1, code)]
    assert Element.objects.count() == before


def test_a_code_comes_once_in_a_file(cell: Cell) -> None:
    assert [fault.code for fault in place(row_in(cell), row_in(cell)).faults] == ["code_twice"] * 2


def test_placing_costs_the_same_for_any_number(cell: Cell, django_assert_num_queries: Any) -> None:
    for count in (1, 60):
        rows = [row_in(cell, 900_100 + count * 100 + n) for n in range(count)]
        # district, its lock, departments, classes, cells, their lock, those there, elements, components, savepoints
        with django_assert_num_queries(11):
            place(*rows)


# --- near -------------------------------------------------------------------------------------------------------


def test_the_nearest_come_first_and_the_far_do_not(cell: Cell) -> None:
    middle = cell.boundary.point_on_surface
    metre = 1 / 111_195
    place(
        row_in(cell, 900_001, y=middle.y + 9 * metre),
        row_in(cell, 900_002, y=middle.y - 4 * metre),
        row_in(cell, 900_003, y=middle.y + 10.2 * metre),
    )
    near = [c for c in components_near(middle, within_m=10, district="150204") if c.code[10:] >= "900001"]
    assert [c.code[-1] for c in near] == ["2", "1"]
    assert near[0].distance_m.m == pytest.approx(4, abs=0.02)
    Element.objects.filter(pk=near[0].pk).update(ended_at=timezone.now())
    again = components_near(middle, within_m=10, district="150204")
    assert near[0].pk not in {c.pk for c in again}


# --- history ------------------------------------------------------------------------------------------------------


def test_what_changed_when_and_by_whom(cell: Cell, placed: Component, grid_worker: Any) -> None:
    a_transaction_later()
    place(row_in(cell, state="missing", managing="traffic_police"), by=grid_worker)
    versions = ElementVersion.objects.filter(pgh_obj=placed.pk).order_by("pgh_id")
    assert [(v.state, v.changed_by) for v in versions] == [("intact", None), ("missing", grid_worker)]
    managed = ComponentVersion.objects.filter(pgh_obj=placed.pk).order_by("pgh_id")
    assert [v.managing.code for v in managed] == ["municipal", "traffic_police"]
    place(row_in(cell, state="missing", managing="traffic_police"))
    assert versions.count() == 2


def test_which_elements_were_in_a_cell_on_a_day(cell: Cell, placed: Component) -> None:
    other = Cell.objects.in_force().exclude(pk=cell.pk).order_by("code").first()
    x, y = other.boundary.point_on_surface.coords
    a_transaction_later()
    a_transaction_later()
    place(row_in(cell, name="搬走的井盖", x=x, y=y))
    a_transaction_later()
    a_transaction_later()
    now = timezone.now()
    Element.objects.filter(pk=placed.pk).update(ended_at=now)
    before, between = now - timedelta(days=3), now - timedelta(days=1)

    def names(place: Cell, at: Any) -> list[str]:
        return [version.name for version in standing_at(place, at) if version.pgh_obj_id == placed.pk]

    assert (names(cell, before), names(other, before)) == (["上水井盖"], [])
    assert (names(cell, between), names(other, between)) == ([], ["搬走的井盖"])
    assert (names(cell, now), names(other, now)) == ([], [])
    assert names(cell, before - timedelta(days=30)) == []


@pytest.mark.parametrize("model", [ElementVersion, ComponentVersion])
@pytest.mark.parametrize("change", [lambda rows: rows.update(pgh_label="x"), lambda rows: rows.delete()])
def test_history_is_append_only(placed: Component, model: Any, change: Callable[[Any], Any]) -> None:
    with pytest.raises(DatabaseError, match="Cannot update or delete"), transaction.atomic():
        change(model.objects.filter(pgh_obj=placed.pk))


# --- boundaries change --------------------------------------------------------------------------------------------


def test_elements_move_along_with_boundaries(cell: Cell, placed: Component, supervisor: Any) -> None:
    gone = place(row_in(cell, 900_002)) and Element.objects.get(component__code="1502040101900002")
    Element.objects.filter(pk=gone.pk).update(ended_at=timezone.now())
    assert placed.pk in {element.pk for element in standing_in([cell.pk])}
    new = next_version(cell)
    moved = relocate_elements([cell.pk], by=supervisor)
    placed.element.refresh_from_db()
    gone.refresh_from_db()
    assert moved[ElementKind.COMPONENT] >= 1
    assert (placed.element.cell_id, placed.element.changed_by) == (new.pk, supervisor)
    assert gone.cell_id == cell.pk
    assert not standing_in([cell.pk]).exists()


def test_on_a_border_elements_go_to_the_cell_that_everything_else_goes_to(cell: Cell) -> None:
    """A hair off an edge the nearest cell is not the one that covers the place: distances are rounded."""
    corners = np.array(cell.boundary.exterior_ring.coords)
    places = np.concatenate([corners[1:], (corners[1:] + corners[:-1]) / 2])
    cells = locate_many(places[:, 0], places[:, 1], district=cell.district)
    inside = [(x, y, found) for (x, y), found in zip(places.tolist(), cells, strict=True) if found]
    elements = Element.objects.bulk_create(
        Element(
            **{"district": cell.district, "kind": "place", "name": f"{x} {y}", "cell_id": found},
            **{"point": Point(x, y, srid=4326), "x": x, "y": y, "system": "WGS84"},
        )
        for x, y, found in inside
    )
    assert {cell.pk} < {element.cell_id for element in elements}
    before = {element.pk: element.cell_id for element in elements}
    replaced = {found: next_version(Cell.objects.get(pk=found)).pk for found in set(before.values())}
    relocate_elements(replaced, by=None)
    after = dict(Element.objects.filter(pk__in=before).values_list("pk", "cell_id"))
    assert after == {pk: replaced[found] for pk, found in before.items()}


def test_an_element_is_not_placed_in_a_cell_of_the_past(cell: Cell, placed: Component) -> None:
    other = Cell.objects.in_force().exclude(pk=cell.pk).order_by("code").first()
    Cell.objects.filter(pk=other.pk).update(valid_to=timezone.now())
    with pytest.raises(IntegrityError, match="is not in force"), transaction.atomic():
        Element.objects.filter(pk=placed.pk).update(cell=other)
