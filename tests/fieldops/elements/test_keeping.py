"""Keeping elements current: by the grid worker of the area, once for a key, with who and when in the history."""

from collections.abc import Callable
from typing import Any

import pytest
import uuid_utils.compat as uuid

from fieldops.elements.keeping import (
    NewElement,
    Position,
    add_element,
    change_element,
    end_element,
    mark_state,
)
from fieldops.errors import DomainError, NotFound, NotPermitted, SubmissionConflict
from fieldops.lifecycle import Submission
from fieldops.models import ElementSubmission, Post, User
from gridmap.models import Cell, Component, Element, ElementVersion
from tests.doing import holder_of, place, row_in


@pytest.fixture
def worker(cell: Cell) -> User:
    return holder_of(Post.objects.get(role="grid_worker", unit=cell.community))


@pytest.fixture
def cover(cell: Cell) -> Element:
    assert not place(row_in(cell)).faults
    return Element.objects.get(component__code="1502040101900001")


def key(digest: str = "a" * 64) -> Submission:
    return Submission(uuid.uuid7(), digest)


def at(cell: Cell) -> Position:
    return Position(*cell.boundary.point_on_surface.coords, "WGS84", 5)


def school(cell: Cell, **changes: Any) -> NewElement:
    return NewElement(
        **{"kind": "place", "name": "示例小学", "category": "学校", "position": at(cell), **changes}
    )


FACTS = {"code": "1502040101900009", "managing": "municipal", "accuracy_class": "B"}


def test_adding_a_place_and_a_component(cell: Cell, worker: User) -> None:
    added = add_element(school(cell), by=worker, submission=key())
    assert (added.cell_id, added.system, added.accuracy_m, added.changed_by) == (cell.pk, "WGS84", 5, worker)
    cover = add_element(
        school(cell, kind="component", name="井盖", component=FACTS), by=worker, submission=key()
    )
    assert (cover.component.code, cover.state, cover.accuracy_m) == (FACTS["code"], "intact", 1.0)
    assert ElementSubmission.objects.filter(element__in=[added, cover], act="add", by=worker).count() == 2


def test_the_same_again_is_done_once(cell: Cell, worker: User, grid_worker: User) -> None:
    submission = key()
    first = add_element(school(cell), by=worker, submission=submission)
    assert add_element(school(cell), by=worker, submission=submission) == first
    assert Element.objects.filter(name="示例小学").count() == 1
    with pytest.raises(SubmissionConflict):
        add_element(school(cell), by=worker, submission=Submission(submission.id, "b" * 64))
    with pytest.raises(SubmissionConflict):
        end_element(first.pk, by=grid_worker, submission=submission, reason="拆除")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"kind": "person"}, "element_refused"),
        ({"kind": "component"}, "element_refused"),
        ({"component": FACTS}, "element_refused"),
        ({"position": Position(1, 1, "WGS84")}, "point_outside_district"),
        ({"position": Position(1, 1, "")}, "unknown_coordinate_system"),
        ({"kind": "component", "component": {**FACTS, "managing": "nobody"}}, "element_refused"),
        ({"kind": "component", "component": {**FACTS, "code": "1502040101900001"}}, "code_taken"),
    ],
)
def test_what_cannot_be_added(
    cell: Cell, cover: Element, worker: User, changes: dict[str, Any], code: str
) -> None:
    before = Element.objects.count()
    with pytest.raises(DomainError) as refusal:
        add_element(school(cell, **changes), by=worker, submission=key())
    assert refusal.value.code == code
    assert Element.objects.count() == before


def test_a_state_is_marked_and_remembered(cover: Element, worker: User) -> None:
    mark_state(cover.pk, by=worker, submission=key(), state="missing", note="井盖丢失")
    cover.refresh_from_db()
    assert (cover.state, cover.changed_by) == ("missing", worker) and cover.changed_on
    states = (
        ElementVersion.objects.filter(pgh_obj=cover.pk).order_by("pgh_id").values_list("state", flat=True)
    )
    assert list(states) == ["intact", "missing"]
    assert ElementSubmission.objects.get(element=cover).reason == "井盖丢失"


def test_a_change_moves_within_the_area_only(cell: Cell, cover: Element, worker: User) -> None:
    near = Cell.objects.filter(community=cell.community).exclude(pk=cell.pk).first()
    far = Cell.objects.exclude(community=cell.community).first()
    change_element(cover.pk, by=worker, submission=key(), texts={"name": "新井盖"}, position=at(near))
    cover.refresh_from_db()
    assert (cover.cell_id, cover.name) == (near.pk, "新井盖")
    with pytest.raises(NotPermitted):
        change_element(cover.pk, by=worker, submission=key(), position=at(far))
    with pytest.raises(DomainError):
        change_element(cover.pk, by=worker, submission=key(), texts={"name": " "})


def test_what_is_gone_is_gone(cover: Element, worker: User) -> None:
    with pytest.raises(DomainError):
        end_element(cover.pk, by=worker, submission=key(), reason=" ")
    end_element(cover.pk, by=worker, submission=key(), reason="道路改造拆除")
    with pytest.raises(NotFound):
        mark_state(cover.pk, by=worker, submission=key(), state="intact")
    assert Component.objects.filter(pk=cover.pk).exists()


ACTS: list[Callable[[Element, User], Any]] = [
    lambda element, by: change_element(element.pk, by=by, submission=key(), texts={"name": "x"}),
    lambda element, by: mark_state(element.pk, by=by, submission=key(), state="damaged"),
    lambda element, by: end_element(element.pk, by=by, submission=key(), reason="x"),
]


@pytest.mark.parametrize("act", ACTS)
def test_nobody_else_may(
    cover: Element, cell: Cell, outsider: User, resident: User, leader: User, act: Any
) -> None:
    elsewhere = holder_of(Post.objects.filter(role="grid_worker").exclude(unit=cell.community).first())
    handler = User.objects.get(username="dept_municipal")
    for user in (outsider, resident, leader, handler):
        with pytest.raises(NotPermitted):
            act(cover, user)
    with pytest.raises(NotFound):
        act(cover, elsewhere)
