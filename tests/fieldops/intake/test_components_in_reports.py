"""A report that names a component: the case stands where the component stands, in its cell, within the budget."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from fieldops.errors import DomainError
from fieldops.intake import receive
from fieldops.models import Event, EventClass, FilingCondition, User
from fieldops.queries import whole_case
from gridmap.models import Cell, Component, District, Element
from tests.doing import draft_of, place, refused, row_in, statements

METRE = 1 / 111_195


@pytest.fixture
def cover(cell: Cell) -> Component:
    row = row_in(cell, owning="water_affairs")
    assert not place(row).faults
    return Component.objects.get(code=row.code)


@pytest.fixture
def cover_class(db: None) -> EventClass:
    return EventClass.objects.get(kind="component", major="01", minor="01")


def test_the_case_stands_where_the_component_stands(
    cover: Component, cell: Cell, cover_class: EventClass, resident: User
) -> None:
    middle = cell.boundary.point_on_surface
    receipt = receive(draft_of(resident, cell, cover_class, component=cover.code, y=middle.y + 60 * METRE))
    event = Event.objects.get(pk=receipt.event.pk)
    assert (event.component, event.cell, event.point.coords) == (cover, cell, cover.element.point.coords)
    assert receipt.report.y == middle.y + 60 * METRE
    told = whole_case(event)["component"]
    assert (told["code"], told["class"], len(told["departments"])) == (cover.code, "上水井盖", 2)


@pytest.mark.parametrize("straight", [True, False])
def test_it_costs_no_further_statement(
    cover: Component, cell: Cell, cover_class: EventClass, grid_worker: User, resident: User, straight: bool
) -> None:
    condition = FilingCondition.objects.filter(event_class=cover_class).first()
    who = grid_worker if straight else resident
    draft = draft_of(who, cell, cover_class, component=cover.code, condition_id=condition.pk)
    with CaptureQueriesContext(connection) as seen:
        receipt = receive(draft)
    assert receipt.event.status == ("dispatched" if straight else "located")
    assert len(statements(seen)) == (8 if straight else 7)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"component": "1502040101999999"}, "unknown_component"),
        ({"component": "nonsense"}, "unknown_component"),
        ({"y": 120}, "component_elsewhere"),
        ({"y": 220, "accuracy_m": 5000.0}, "component_elsewhere"),
    ],
)
def test_a_component_one_cannot_mean(
    cover: Component, cell: Cell, cover_class: EventClass, resident: User, changes: dict[str, Any], code: str
) -> None:
    """Unknown, or too far away, whatever a device says of its own accuracy."""
    if "y" in changes:
        changes = {**changes, "y": cell.boundary.point_on_surface.y + changes["y"] * METRE}
    before = Event.objects.count()
    with pytest.raises(DomainError) as refusal:
        receive(draft_of(resident, cell, cover_class, **{"component": cover.code, **changes}))
    assert refusal.value.code == code
    assert Event.objects.count() == before


def test_a_component_is_of_the_class_that_is_reported(
    cover: Component, cell: Cell, event_class: EventClass, resident: User
) -> None:
    """Of a component's class its own; an event's class may concern any."""
    other = EventClass.objects.get(kind="component", major="01", minor="02")
    with pytest.raises(DomainError) as refusal:
        receive(draft_of(resident, cell, other, component=cover.code))
    assert refusal.value.code == "component_of_another_class"
    assert receive(draft_of(resident, cell, event_class, component=cover.code)).event.component == cover


def test_what_is_gone_is_not_meant(
    cover: Component, cell: Cell, cover_class: EventClass, resident: User
) -> None:
    Element.objects.filter(pk=cover.pk).update(ended_at="2026-01-01T00:00Z")
    with pytest.raises(DomainError) as refusal:
        receive(draft_of(resident, cell, cover_class, component=cover.code))
    assert refusal.value.code == "unknown_component"


def test_a_cases_component_is_of_its_district(cover: Component, located: Event) -> None:
    District.objects.create(code="150203", name="昆都仑区", name_en="Kundulun")
    refused(
        lambda: Event.objects.filter(pk=located.pk).update(component=cover, district="150203"),
        "of_its_district",
    )
