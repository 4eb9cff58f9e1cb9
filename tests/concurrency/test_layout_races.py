"""Boundaries change while reports come in, cases are moved, and another layout wants the same cells."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction

from fieldops.errors import BoundariesChanged, BoundariesRefused, SameCell
from fieldops.geography.boundaries import apply_layout
from fieldops.intake import receive
from fieldops.models import Event, EventClass, User
from fieldops.steps import moving
from gridmap.layouts import draft_layout, hand_over
from gridmap.models import Cell, Element, GridUnit, Layout, Level
from tests.doing import CASE_TABLES, at_once, draft_of

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture
def kind() -> EventClass:
    return EventClass.objects.get(kind="event", major="01", minor="03")


@pytest.fixture
def cell() -> Iterator[Cell]:
    """A cell whose versions are taken back afterwards."""
    cell = Cell.objects.in_force().select_related("district", "party_group").order_by("code")[5]
    areas = dict(GridUnit.objects.values_list("pk", "boundary"))
    yield cell
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {CASE_TABLES} CASCADE")
        Layout.objects.all().delete()
        # Going back in time is nothing that the database allows by itself.
        cursor.execute("SET LOCAL session_replication_role = replica")
        Element.objects.filter(cell__lineage=cell.lineage).update(cell=cell)
        Cell.objects.filter(lineage=cell.lineage).exclude(pk=cell.pk).delete()
        Cell.objects.filter(pk=cell.pk).update(valid_to=None)
    for pk, boundary in areas.items():
        GridUnit.objects.filter(pk=pk).update(boundary=boundary)


@pytest.fixture
def elsewhere(cell: Cell) -> GridUnit:
    """A party group of another community."""
    groups = GridUnit.objects.filter(level=Level.PARTY_GROUP, district=cell.district)
    return groups.exclude(parent=cell.community_id).order_by("code").first()


def handed_over(cell: Cell, to: GridUnit) -> Layout:
    layout = draft_layout(cell.district, f"移交{to.code}", by=None)
    hand_over(layout, Cell.objects.in_force().get(lineage=cell.lineage).code, to=to.code)
    return layout


def all_is_in_order(lineage: Any, count: int) -> None:
    events = list(Event.objects.select_related("cell"))
    assert len(events) == count
    for event in events:
        assert event.cell.valid_to is None
        versions = list(event.transitions.order_by("version").values_list("version", flat=True))
        assert versions == list(range(1, event.version + 1))
    assert not Element.objects.present().filter(cell__lineage=lineage, cell__valid_to__isnull=False).exists()


def test_no_report_ends_in_a_cell_that_a_layout_ended_meanwhile(
    cell: Cell, elsewhere: GridUnit, kind: EventClass
) -> None:
    """Reports keep coming in while their cell is handed over, back and forth."""
    reporter = User.objects.get(username="resident1")
    for to in (elsewhere, cell.party_group) * 2:
        layout = handed_over(cell, to)
        drafts = [draft_of(reporter, cell, kind) for _ in range(4)]
        results = at_once(
            *(lambda one=one: receive(one) for one in drafts),
            lambda layout=layout: apply_layout(layout.pk, by=None),
        )
        assert not [result for result in results if isinstance(result, Exception)], results
    all_is_in_order(cell.lineage, 16)


def test_a_dispatcher_and_a_layout_move_the_same_cases(
    cell: Cell, elsewhere: GridUnit, kind: EventClass
) -> None:
    """Into the cell that ends and out of it, while it ends: nobody hangs, and each case lies in force."""
    reporter, dispatcher = (User.objects.get(username=name) for name in ("resident1", "dispatch1"))
    near = (
        Cell.objects.in_force()
        .filter(community=cell.community_id)
        .exclude(pk=cell.pk)
        .order_by("code")
        .first()
    )
    inside = [receive(draft_of(reporter, cell, kind)).event for _ in range(3)]
    beside = [receive(draft_of(reporter, near, kind)).event for _ in range(3)]
    layout = handed_over(cell, elsewhere)

    def go(event: Event, code: str) -> Event:
        return moving.move_to_cell(event.pk, by=dispatcher, code=code, reason="走错路口")

    results = at_once(
        *(lambda one=one: go(one, near.code) for one in inside),
        *(lambda one=one: go(one, cell.code) for one in beside),
        lambda: apply_layout(layout.pk, by=None),
    )
    refused = [result for result in results if isinstance(result, Exception)]
    assert all(getattr(error, "code", "") in _TOLD for error in refused), refused
    assert isinstance(results[-1], Layout)
    all_is_in_order(cell.lineage, 6)


_TOLD = {BoundariesChanged.code, SameCell.code, "unknown_cell", "not_found"}


def test_of_two_layouts_for_one_cell_one_wins(cell: Cell, elsewhere: GridUnit, kind: EventClass) -> None:
    reporter = User.objects.get(username="resident1")
    receive(draft_of(reporter, cell, kind))
    other = (
        GridUnit.objects.filter(level=Level.PARTY_GROUP)
        .exclude(parent__in=[cell.community_id, elsewhere.parent_id])
        .first()
    )
    rivals = [handed_over(cell, elsewhere), handed_over(cell, other)]
    results = at_once(*(lambda one=one: apply_layout(one.pk, by=None) for one in rivals))
    assert sorted(type(result).__name__ for result in results) == ["BoundariesRefused", "Layout"]
    [refused] = [result for result in results if isinstance(result, BoundariesRefused)]
    assert "layout_outdated" in str(refused.detail)
    assert Layout.objects.filter(state="applied").count() == 1
    assert Cell.objects.filter(lineage=cell.lineage).count() == 2
    all_is_in_order(cell.lineage, 1)
