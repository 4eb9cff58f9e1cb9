"""Who sees which elements."""

from typing import Any

import pytest

from fieldops.models import Post, User
from fieldops.rights import elements_visible_to
from gridmap.models import Cell, Element
from tests.doing import holder_of, place, row_in


@pytest.fixture
def stock(cell: Cell) -> dict[str, Element]:
    """One element of every kind in the cell; the component is municipal's."""
    assert not place(row_in(cell)).faults
    middle = cell.boundary.point_on_surface
    facts: dict[str, Any] = {"district_id": "150204", "cell": cell, "system": "WGS84"}
    facts |= {"x": middle.x, "y": middle.y, "point": middle}
    made = {
        kind: Element.objects.create(kind=kind, name=f"示例{kind}", **facts)
        for kind in ("place", "matter", "thing", "situation", "organisation")
    }
    made["component"] = Element.objects.get(component__code="1502040101900001")
    made["person"] = Element.objects.create(kind="person", district_id="150204", cell=cell)
    return made


def seen_by(user: User, stock: dict[str, Element]) -> set[str]:
    visible = set(elements_visible_to(user).values_list("pk", flat=True))
    return {kind for kind, element in stock.items() if element.pk in visible}


ALL_BUT_PEOPLE = {"place", "matter", "thing", "situation", "organisation", "component"}


def test_who_answers_for_an_area_sees_its_elements_but_no_people(
    stock: dict[str, Element], cell: Cell, leader: User, supervisor: User
) -> None:
    worker = holder_of(Post.objects.get(role="grid_worker", unit=cell.community))
    chief = holder_of(Post.objects.get(role="street_chief", unit=cell.street))
    for user in (leader, supervisor, worker, chief):
        assert seen_by(user, stock) == ALL_BUT_PEOPLE


def test_a_department_sees_its_components_and_what_stands_openly(stock: dict[str, Element]) -> None:
    openly = {"place", "thing", "organisation"}
    assert seen_by(User.objects.get(username="dept_municipal"), stock) == openly | {"component"}
    assert seen_by(User.objects.get(username="dept_health"), stock) == openly


def test_nobody_else_sees_any(stock: dict[str, Element], cell: Cell, outsider: User, resident: User) -> None:
    elsewhere = holder_of(Post.objects.filter(role="grid_worker").exclude(unit=cell.community).first())
    for user in (outsider, resident, elsewhere):
        assert seen_by(user, stock) == set()
