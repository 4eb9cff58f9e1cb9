"""Doubt about the cell: it is stored with the case, shown to the dispatcher, and ended by moving or by a layout."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.gis.geos import Point
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from fieldops import queries
from fieldops.errors import (
    HandlerElsewhere,
    IllegalTransition,
    NotFound,
    NotPermitted,
    PointOutsideDistrict,
    ReasonMissing,
    SameCell,
    StaleVersion,
    UnknownCell,
)
from fieldops.intake import Receipt
from fieldops.models import Event, FilingCondition, Post, User
from fieldops.rights import current_posts
from fieldops.steps import desk, followup, moving
from gridmap.coordinates import metres_per_degree
from gridmap.models import Cell, District
from realtime.models import Letter
from tests.doing import handled, handler_of, holder_of, inside, key, nothing_written, statements

File = Callable[..., Receipt]


@pytest.fixture
def border(cell: Cell) -> tuple[float, float]:
    """A corner that the cell shares with others."""
    return cell.boundary.exterior_ring.coords[0]


@pytest.fixture
def other_street(cell: Cell) -> Cell:
    """A cell of another street."""
    return Cell.objects.exclude(street=cell.street_id).order_by("code").first()


def kinds(post: Post) -> list[str]:
    return list(Letter.objects.filter(mailbox=post.pk).order_by("seq").values_list("kind", flat=True))


# --- at intake ----------------------------------------------------------------------------------------------


def test_a_fix_over_several_cells_is_stored_with_its_doubt(
    file_report: File, resident: User, border: tuple[float, float]
) -> None:
    x, y = border
    event = Event.objects.get(pk=file_report(resident, x=x, y=y, accuracy_m=20).event.pk)
    shares = [one["share"] for one in event.cell_candidates]
    assert len(shares) >= 2
    assert shares == sorted(shares, reverse=True)
    assert 0.9 < sum(shares) <= 1.001
    assert event.cell.code in {one["code"] for one in event.cell_candidates}
    assert event.transitions.get(kind="locate").data["candidates"] == event.cell_candidates
    [frame] = queries.frames(Event.objects.filter(pk=event.pk))
    assert frame["in_doubt"]
    doubt = queries.whole_case(event)["doubt"]
    assert doubt["accuracy_m"] == 20
    assert [one["share"] for one in doubt["candidates"]] == shares
    assert all(one["community"] for one in doubt["candidates"])


def test_a_sure_fix_leaves_no_doubt(file_report: File, resident: User) -> None:
    event = file_report(resident, accuracy_m=2).event
    assert (event.cell_candidates, event.outside_m) == ([], None)
    assert "candidates" not in event.transitions.get(kind="locate").data
    assert queries.whole_case(event)["doubt"] is None


def test_doubt_costs_no_statement(
    file_report: File, grid_worker: User, condition: FilingCondition, border: tuple[float, float]
) -> None:
    x, y = border
    current_posts(grid_worker)
    with CaptureQueriesContext(connection) as captured:
        event = file_report(grid_worker, condition_id=condition.pk, x=x, y=y, accuracy_m=30).event
    assert event.cell_candidates
    assert event.status == "dispatched"
    assert len(statements(captured)) == 8


def test_the_names_of_the_five_organisations_cost_no_further_statement(
    file_report: File, resident: User
) -> None:
    event = file_report(resident).event
    with translation.override("zh-hans"), CaptureQueriesContext(connection) as captured:
        levels = queries.levels_of(event.cell)
    assert len(captured) == 0
    assert [level["level"] for level in levels] == [1, 2, 3, 4, 5, 6]
    assert levels[3]["name"] == Cell.objects.get(pk=event.cell_id).community.name


@pytest.fixture
def outside(db: None) -> Callable[[float], tuple[float, float]]:
    """So many metres west of the district's westernmost point."""
    ring = District.objects.get(pk="150204").units.get(level=1).boundary[0].exterior_ring.coords
    x, y = min(ring)

    def place(metres: float) -> tuple[float, float]:
        return x - metres / metres_per_degree(y)[0], y

    return place


def test_a_place_just_outside_is_flagged_and_waits_for_the_desk(
    file_report: File, grid_worker: User, condition: FilingCondition, outside: Callable[..., Any]
) -> None:
    x, y = outside(40)
    current_posts(grid_worker)
    with CaptureQueriesContext(connection) as captured:
        event = file_report(grid_worker, condition_id=condition.pk, x=x, y=y).event
    assert event.status == "located"
    assert event.outside_m == pytest.approx(40, abs=0.5)
    assert event.transitions.get(kind="locate").data["outside_m"] == event.outside_m
    assert queries.whole_case(event)["doubt"]["outside_m"] == event.outside_m
    assert len(statements(captured)) == 8


def test_how_far_outside_is_the_districts_decision(
    file_report: File, resident: User, outside: Callable[..., Any]
) -> None:
    x, y = outside(150)
    with pytest.raises(PointOutsideDistrict):
        file_report(resident, x=x, y=y)
    assert nothing_written()
    District.objects.filter(pk="150204").update(nearest_cell_m=200)
    resident = User.objects.get(pk=resident.pk)
    assert file_report(resident, x=x, y=y).event.outside_m == pytest.approx(150, abs=1)


@pytest.mark.parametrize(
    "candidates",
    [
        {"cell": 1},
        [{"cell": "a", "code": "1", "share": 0.5}],
        [{"cell": "a", "code": "1", "share": 0.5}, {"cell": "b", "code": "2", "share": 1.5}],
        [{"cell": "a", "code": "1", "share": 0.5}, {"cell": "b", "code": "2", "share": 0}],
        [{"cell": "a", "code": "1", "share": 0.5}, {"cell": "b", "share": 0.5}],
    ],
)
def test_the_database_keeps_no_nonsense_for_doubt(located: Event, candidates: Any) -> None:
    with pytest.raises(IntegrityError, match="a_case_in_doubt"), transaction.atomic():
        Event.objects.filter(pk=located.pk).update(cell_candidates=candidates)


# --- moving -------------------------------------------------------------------------------------------------


def test_the_dispatcher_ends_the_doubt(
    file_report: File, resident: User, dispatcher: User, border: tuple[float, float]
) -> None:
    x, y = border
    event = file_report(resident, x=x, y=y, accuracy_m=20).event
    candidates = event.cell_candidates
    target = next(one["code"] for one in candidates if one["code"] != event.cell.code)
    offered = [cell.code for cell in moving.cells_to_move_to(event)]
    assert set(offered[: len(candidates) - 1]) == {one["code"] for one in candidates} - {event.cell.code}
    assert event.cell.code not in offered
    version = event.version
    moved = moving.move_to_cell(event.pk, by=dispatcher, code=target, reason="门牌在路北", version=version)
    stored = Event.objects.get(pk=event.pk)
    assert (stored.cell.code, stored.cell_candidates, stored.status) == (target, [], "located")
    assert stored.version == moved.version == version + 1
    step = stored.transitions.get(kind="move_cell")
    assert (step.data["from"], step.data["to"], step.reason) == (event.cell.code, target, "门牌在路北")
    assert step.data["candidates"] == candidates
    assert step.by == dispatcher


def filed(located: Event, intake_operator: User, condition: FilingCondition) -> Event:
    desk.accept(located.pk, by=intake_operator)
    return desk.file(located.pk, by=intake_operator, condition_id=condition.pk)


def test_what_is_not_dispatched_yet_is_assigned_anew_and_says_why(
    located: Event, intake_operator: User, dispatcher: User, condition: FilingCondition, other_street: Cell
) -> None:
    from fieldops.models import ResponsibilityRule
    from gridmap.models import Department

    event = filed(located, intake_operator, condition)
    assert event.status == "assigned"
    department = Department.objects.exclude(pk=event.department_id).first()
    ResponsibilityRule.objects.create(
        district_id="150204",
        number=9000,
        kind="event",
        major="01",
        minor="03",
        unit=other_street.street,
        department=department,
    )
    moving.move_to_cell(event.pk, by=dispatcher, code=other_street.code, reason="走错路口")
    stored = Event.objects.get(pk=event.pk)
    assert (stored.status, stored.cell, stored.department) == ("assigned", other_street, department)
    assert stored.responsibility["rule"]["number"] == 9000
    steps = list(stored.transitions.order_by("version").values_list("kind", "by__username"))
    assert steps[-2:] == [("move_cell", "dispatch1"), ("assign", None)]
    assert "9000" in queries.whole_case(stored)["responsibility"]["why"]


def test_a_department_named_by_hand_stays(
    located: Event, intake_operator: User, dispatcher: User, condition: FilingCondition, other_street: Cell
) -> None:
    from gridmap.models import Department

    event = filed(located, intake_operator, condition)
    department = Department.objects.exclude(pk=event.department_id).first()
    desk.assign(event.pk, by=dispatcher, department_id=department.pk, reason="约定")
    moving.move_to_cell(event.pk, by=dispatcher, code=other_street.code, reason="走错路口")
    stored = Event.objects.get(pk=event.pk)
    assert (stored.department, stored.responsibility) == (department, {"by_hand": "约定"})


def test_a_dispatched_case_keeps_its_department_and_its_handler_hears_of_it(
    dispatched: Event, dispatcher: User, other_street: Cell
) -> None:
    order = dispatched.work_orders.get()
    if order.post.unit_id not in other_street.unit_ids:
        pytest.skip("the demo's handler of this class serves one street only")
    moving.move_to_cell(dispatched.pk, by=dispatcher, code=other_street.code, reason="走错路口")
    stored = Event.objects.get(pk=dispatched.pk)
    assert (stored.status, stored.department) == ("dispatched", dispatched.department)
    assert kinds(order.post) == ["dispatch", "moved"]
    letter = Letter.objects.get(mailbox=order.post_id, kind="moved")
    assert letter.payload["cell"] == other_street.code
    assert letter.payload["from"] == dispatched.cell.code
    assert handler_of(stored).posts.get() == order.post


def test_a_case_does_not_slip_away_from_the_post_that_works_on_it(
    dispatched: Event, dispatcher: User, other_street: Cell
) -> None:
    order = dispatched.work_orders.get()
    Post.objects.filter(pk=order.post_id).update(unit=dispatched.cell.street_id)
    with pytest.raises(HandlerElsewhere):
        moving.move_to_cell(dispatched.pk, by=dispatcher, code=other_street.code, reason="走错路口")
    desk.recall(dispatched.pk, by=dispatcher, reason="走错路口")
    moving.move_to_cell(dispatched.pk, by=dispatcher, code=other_street.code, reason="走错路口")
    assert Event.objects.get(pk=dispatched.pk).cell == other_street


def test_a_handled_case_waits_for_the_chief_of_its_new_street(
    dispatched: Event, dispatcher: User, other_street: Cell
) -> None:
    order = dispatched.work_orders.get()
    Post.objects.filter(pk=order.post_id).update(unit=dispatched.cell.committee_id)
    event = handled(dispatched)
    old, new = (
        Post.objects.get(role="street_chief", unit=at)
        for at in (event.cell.street_id, other_street.street_id)
    )
    before = event.checks.get()
    assert before.post == old
    moving.move_to_cell(event.pk, by=dispatcher, code=other_street.code, reason="走错路口")
    after = event.checks.get(ended_at__isnull=True)
    before.refresh_from_db()
    assert (after.post, after.sent, before.ended_at is not None) == (new, "chief", True)
    step = event.transitions.get(kind="move_cell")
    assert (step.data["check_before"], step.data["check_post"], step.data["check"]) == (
        old.pk,
        new.pk,
        str(after.pk),
    )
    assert (kinds(old), kinds(new)) == (["confirm", "moved"], ["confirm"])
    with pytest.raises(NotFound):
        followup.confirm(event.pk, by=holder_of(old), resolved=True, submission=key())
    followup.confirm(event.pk, by=holder_of(new), resolved=True, submission=key())
    event.refresh_from_db()
    assert event.status == "closed"


def test_within_the_street_its_chief_keeps_the_task(dispatched: Event, dispatcher: User) -> None:
    event = handled(dispatched)
    near = Cell.objects.in_force().filter(street=event.cell.street_id).exclude(pk=event.cell_id).first()
    assert near is not None
    moving.move_to_cell(event.pk, by=dispatcher, code=near.code, reason="在邻格")
    check = event.checks.get()
    assert check.ended_at is None
    assert kinds(check.post) == ["confirm", "moved"]


def test_the_worker_of_the_new_cell_is_sent_to_verify(
    located: Event, intake_operator: User, dispatcher: User, other_street: Cell
) -> None:
    desk.accept(located.pk, by=intake_operator)
    event = followup.ask_verification(located.pk, by=intake_operator)
    before = event.checks.get().post
    moving.move_to_cell(event.pk, by=dispatcher, code=other_street.code, reason="走错路口")
    after = event.checks.get(ended_at__isnull=True).post
    assert (before.unit_id in event.cell.unit_ids, after.unit_id in other_street.unit_ids) == (True, True)
    assert (kinds(before), kinds(after)) == (["verify", "moved"], ["verify"])
    assert Event.objects.get(pk=event.pk).status == "verifying"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code": "150204999999999"}, UnknownCell),
        ({"code": ""}, UnknownCell),
        ({"reason": " "}, ReasonMissing),
        ({"version": 99}, StaleVersion),
    ],
)
def test_a_bad_move_is_refused_and_nothing_changes(
    located: Event, dispatcher: User, other_street: Cell, changes: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        moving.move_to_cell(
            located.pk, **{"by": dispatcher, "code": other_street.code, "reason": "走错路口", **changes}
        )
    assert Event.objects.get(pk=located.pk).cell == located.cell
    assert not located.transitions.filter(kind="move_cell").exists()


def test_a_case_does_not_move_to_where_it_is(located: Event, dispatcher: User) -> None:
    with pytest.raises(SameCell):
        moving.move_to_cell(located.pk, by=dispatcher, code=located.cell.code, reason="走错路口")


def test_only_dispatchers_move_cases(
    located: Event, intake_operator: User, grid_worker: User, leader: User, outsider: User, other_street: Cell
) -> None:
    for refused, error in [
        (intake_operator, NotPermitted),
        (leader, NotPermitted),
        (grid_worker, NotFound),
        (outsider, NotFound),
    ]:
        with pytest.raises(error):
            moving.move_to_cell(located.pk, by=refused, code=other_street.code, reason="走错路口")


def test_a_declined_case_stays_where_it_was(
    located: Event, intake_operator: User, dispatcher: User, other_street: Cell
) -> None:
    desk.decline(located.pk, by=intake_operator, reason="不属城市管理")
    with pytest.raises(IllegalTransition):
        moving.move_to_cell(located.pk, by=dispatcher, code=other_street.code, reason="走错路口")


def test_the_place_itself_stays(located: Event, dispatcher: User, other_street: Cell, cell: Cell) -> None:
    moving.move_to_cell(located.pk, by=dispatcher, code=other_street.code, reason="走错路口")
    assert Event.objects.get(pk=located.pk).point.distance(Point(*inside(cell), srid=4326)) < 1e-9
