"""A layout comes into force: open cases follow, closed ones stay, and what was foretold is what happens."""

from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np
import pytest
import shapely
import uuid_utils.compat as uuid
from django.contrib.auth.models import Permission
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fieldops.errors import BoundariesRefused, LayoutNotADraft, NotFound, NotPermitted, UnitInUse
from fieldops.geography.boundaries import apply_due, apply_layout, effects_in_words, layouts_due, what_if
from fieldops.intake import Receipt
from fieldops.models import Event, EventClass, FilingCondition, Holding, Post, ResponsibilityRule, User
from fieldops.steps import approvals, desk, fieldwork
from gridmap.bulk import read_cells
from gridmap.layouts import (
    Grid,
    check_layout,
    discard_layout,
    dissolve_unit,
    draft_layout,
    hand_over,
    merge_cells,
    read_grid,
    split_cell,
)
from gridmap.locate import nearest_heir
from gridmap.models import CHAIN, Cell, Department, District, Element, GridUnit, Layout, Level
from gridmap.topology import same_area
from realtime.models import Letter
from tests.doing import handled, holder_of, key

File = Callable[..., Receipt]


@pytest.fixture
def administrator(db: None) -> User:
    """The district's administrator: a permission, not a post."""
    user = User.objects.create_user("grid-admin", password="grid-admin-2026", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="change_layout"))
    return user


@pytest.fixture
def elsewhere(cell: Cell) -> GridUnit:
    """A party group of another street."""
    return GridUnit.objects.filter(level=Level.PARTY_GROUP).exclude(parent__parent=cell.street_id).first()


@pytest.fixture
def layout(cell: Cell, elsewhere: GridUnit) -> Layout:
    """The cell goes to the party group of another street."""
    layout = draft_layout(cell.district, "移交邻街", by=None)
    hand_over(layout, cell.code, to=elsewhere.code)
    return layout


def kept(event: Event) -> Event:
    return Event.objects.select_related("cell", "department").get(pk=event.pk)


def test_an_open_case_moves_with_a_step_that_says_from_where_to_where(
    layout: Layout, dispatched: Event, administrator: User, elsewhere: GridUnit
) -> None:
    letters = Letter.objects.count()
    apply_layout(layout.pk, by=administrator)
    event = kept(dispatched)
    assert (event.cell.party_group_id, event.cell.valid_to) == (elsewhere.pk, None)
    assert (event.status, event.version) == ("dispatched", dispatched.version + 1)
    step = event.transitions.latest("version")
    assert (step.kind, step.reason, step.by, step.post) == ("move_cell", "移交邻街", administrator, None)
    assert (step.data["from"], step.data["to"]) == (dispatched.cell.code, event.cell.code)
    assert step.data["layout"] == str(layout.pk)
    assert event.department == dispatched.department, "what is dispatched stays with who has it"
    assert Letter.objects.count() == letters + 1
    connection.check_constraints()


def test_what_its_post_does_not_reach_any_more_is_recalled_and_told_to_both(
    layout: Layout, dispatched: Event, administrator: User, dispatcher: User
) -> None:
    order = dispatched.work_orders.get()
    Post.objects.filter(pk=order.post_id).update(unit=dispatched.cell.street_id)
    foretold = what_if(layout)
    applied = apply_layout(layout.pk, by=administrator)
    assert (foretold["recalled"], foretold["cases"]) == (1, {"assigned": 1})
    assert {**applied.effects, "posts": [], "faults": []} == foretold
    assert "1 件已派遣案件被撤回：其岗位不负责新的单元网格" in effects_in_words(applied.effects)
    event = kept(dispatched)
    order.refresh_from_db()
    assert (event.status, event.due_at) == ("assigned", None)
    assert order.recalled_at == order.finished_at == applied.settled_at
    steps = event.transitions.filter(version__gt=dispatched.version).order_by("version")
    assert list(steps.values_list("kind", "work_order"))[:2] == [("recall", order.pk), ("move_cell", None)]
    letters = Letter.objects.filter(event=event, event_version=event.version)
    desk_post = dispatcher.posts.get(role="dispatcher")
    assert {(letter.mailbox_id, letter.kind) for letter in letters} >= {(order.post_id, "recall")}
    assert letters.filter(mailbox=desk_post.pk, kind__in=["moved", "assignment"]).count() == 1
    Post.objects.filter(pk=order.post_id).update(unit=event.cell.street_id)
    desk.dispatch(event.pk, by=dispatcher, post_id=order.post_id)
    connection.check_constraints()


def test_what_rests_is_recalled_when_it_goes_on(
    layout: Layout, dispatched: Event, administrator: User, shift_leader: User, dispatcher: User
) -> None:
    order = dispatched.work_orders.get()
    handler = holder_of(order.post)
    fieldwork.take_on(order.pk, by=handler, submission=key())
    until = timezone.now() + timedelta(days=3)
    approvals.ask_deferral(order.pk, by=handler, submission=key(), reason="等材料", until=until)
    approvals.defer(dispatched.pk, by=shift_leader)
    Post.objects.filter(pk=order.post_id).update(unit=dispatched.cell.street_id)
    assert what_if(layout)["recalled"] == 0
    apply_layout(layout.pk, by=administrator)
    assert kept(dispatched).status == "deferred"
    approvals.resume(dispatched.pk, by=shift_leader)
    event = kept(dispatched)
    order.refresh_from_db()
    assert (event.status, event.due_at, event.deferred_until) == ("assigned", None, None)
    assert order.recalled_at and order.recalled_at == order.finished_at
    kinds = list(event.transitions.order_by("version").values_list("kind", flat=True))
    assert kinds[-3:] == ["resume", "recall", "assign"]
    letters = Letter.objects.filter(event=event, event_version=event.version)
    told = set(letters.values_list("mailbox_id", "kind"))
    assert told == {(order.post_id, "recall"), (dispatcher.posts.get(role="dispatcher").pk, "assignment")}
    Post.objects.filter(pk=order.post_id).update(unit=event.cell.street_id)
    desk.dispatch(event.pk, by=dispatcher, post_id=order.post_id)


def test_a_handled_case_is_looked_at_by_whoever_has_the_place_now(
    layout: Layout, dispatched: Event, administrator: User, elsewhere: GridUnit
) -> None:
    event = handled(dispatched)
    before = event.checks.get().post
    apply_layout(layout.pk, by=administrator)
    event = kept(dispatched)
    check = event.checks.get(ended_at__isnull=True)
    assert (before.unit_id in event.cell.unit_ids, check.post.unit_id) == (False, event.cell.street_id)
    assert (event.checked_by, event.transitions.latest("version").data["check_before"]) == (
        "street_chief",
        before.pk,
    )
    connection.check_constraints()


def test_a_closed_case_keeps_the_cell_of_its_day(
    layout: Layout, located: Event, intake_operator: User, administrator: User
) -> None:
    desk.decline(located.pk, by=intake_operator, reason="不属城市管理")
    closed = kept(located)
    apply_layout(layout.pk, by=administrator)
    after = kept(located)
    assert (after.cell_id, after.version, after.updated_at) == (
        closed.cell_id,
        closed.version,
        closed.updated_at,
    )
    assert after.cell.valid_to is not None


def test_a_case_not_yet_dispatched_is_assigned_anew_and_told_why(
    layout: Layout,
    located: Event,
    intake_operator: User,
    condition: FilingCondition,
    administrator: User,
    elsewhere: GridUnit,
) -> None:
    desk.accept(located.pk, by=intake_operator)
    event = desk.file(located.pk, by=intake_operator, condition_id=condition.pk)
    other = Department.objects.exclude(pk=event.department_id).first()
    scope = {"kind": "event", "major": "01", "minor": "03", "unit": elsewhere.parent.parent}
    ResponsibilityRule.objects.create(district=event.district, number=9001, department=other, **scope)
    foretold = what_if(layout)
    applied = apply_layout(layout.pk, by=administrator)
    assert foretold["reassigned"] == [{"from": event.department.name, "to": other.name, "cases": 1}]
    assert applied.effects["reassigned"] == foretold["reassigned"]
    event = kept(event)
    assert (event.status, event.department) == ("assigned", other)
    assert event.responsibility["rule"]["number"] == 9001
    kinds = list(event.transitions.order_by("version").values_list("kind", flat=True))
    assert kinds[-2:] == ["move_cell", "assign"]


def test_what_was_foretold_is_what_happens(
    layout: Layout, dispatched: Event, cell: Cell, file_report: File, resident: User, administrator: User
) -> None:
    file_report(resident)
    foretold = what_if(layout)
    assert foretold["cases"] == {"dispatched": 1, "located": 1}
    assert sum(foretold["departments"].values()) == 2
    assert foretold["faults"] == foretold["posts"] == []
    assert sum(foretold["elements"].values()) == Element.objects.present().filter(cell=cell).count() > 0
    assert Layout.objects.get(pk=layout.pk).effects == {}
    applied = apply_layout(layout.pk, by=administrator)
    assert {**applied.effects, "posts": [], "faults": []} == foretold
    assert not Element.objects.present().filter(cell__valid_to__isnull=False).exists()


def test_each_half_of_a_split_cell_keeps_its_own_cases(
    cell: Cell, file_report: File, resident: User, administrator: User
) -> None:
    west, south, east, north = cell.boundary.extent
    line = shapely.LineString([((west + east) / 2, south - 1), ((west + east) / 2, north + 1)])
    layout = draft_layout(cell.district, "拆分", by=None)
    codes = split_cell(layout, cell.code, line=line)
    halves = [shapely.from_wkb(bytes(row.boundary.wkb)) for row in layout.cells.order_by("code")]
    events = []
    for half in halves:
        x, y = half.representative_point().coords[0]
        events.append(file_report(resident, x=x, y=y).event)
    apply_layout(layout.pk, by=administrator)
    assert [kept(event).cell.code for event in events] == sorted(codes)


def test_a_case_that_was_put_into_its_cell_by_hand_stays_with_what_becomes_of_it(
    layout: Layout, located: Event, administrator: User
) -> None:
    away = Cell.objects.order_by("code")[3].boundary.point_on_surface
    Event.objects.filter(pk=located.pk).update(point=away)
    apply_layout(layout.pk, by=administrator)
    assert kept(located).cell.lineage == located.cell.lineage


def test_a_border_drawn_anew_takes_no_case_that_was_put_elsewhere_by_hand(cell: Cell) -> None:
    """A neighbour that reaches a hair into the cell now is no heir of it."""
    former = shapely.from_wkb(bytes(cell.boundary.wkb))
    west, south, east, north = former.bounds
    neighbour = shapely.box(west - 0.01, south, west + 1e-9, north)
    areas = np.array([neighbour, former], object)
    assert nearest_heir(former, areas, shapely.Point(west - 0.005, (south + north) / 2)) == 1
    assert nearest_heir(neighbour, areas, shapely.Point(east, north)) == 0


def test_a_layout_is_applied_once_and_a_discarded_one_never(layout: Layout, administrator: User) -> None:
    apply_layout(layout.pk, by=administrator)
    with pytest.raises(LayoutNotADraft):
        apply_layout(layout.pk, by=administrator)
    other = draft_layout(layout.district, "另", by=None)
    discard_layout(other, by=administrator)
    with pytest.raises(LayoutNotADraft):
        apply_layout(other.pk, by=administrator)
    with pytest.raises(NotFound):
        apply_layout(uuid.uuid7(), by=administrator)


def test_a_layout_that_another_overtook_is_refused_and_nothing_changes(
    layout: Layout, cell: Cell, dispatched: Event, administrator: User
) -> None:
    rival = draft_layout(cell.district, "另", by=None)
    street = GridUnit.objects.filter(level=Level.REGIONAL_GROUP).exclude(pk=cell.regional_group_id).first()
    hand_over(rival, cell.code, to=street.code)
    apply_layout(rival.pk, by=administrator)
    before = kept(dispatched)
    with pytest.raises(BoundariesRefused) as refused:
        apply_layout(layout.pk, by=administrator)
    [fault] = refused.value.facts["faults"]["features"]
    assert fault["properties"]["code"] == "layout_outdated"
    assert fault["geometry"] is not None
    assert kept(dispatched).version == before.version
    assert what_if(layout)["faults"]


def test_only_who_may_change_layouts_puts_one_in_force(
    layout: Layout, outsider: User, dispatcher: User, leader: User
) -> None:
    for person in (outsider, dispatcher, leader):
        with pytest.raises(NotPermitted):
            apply_layout(layout.pk, by=person)
    assert Layout.objects.get(pk=layout.pk).state == "draft"


def test_an_organisation_with_people_in_its_posts_is_not_dissolved(
    cell: Cell, grid_worker: User, administrator: User
) -> None:
    group = cell.party_group
    heir = GridUnit.objects.filter(parent=group.parent).exclude(pk=group.pk).first()
    post = Post.objects.create(district=cell.district, role="grid_worker", name="撤并网格员", unit=group)
    Holding.objects.create(post=post, user=grid_worker, since=timezone.now())
    held = sorted(post.name for post in Post.objects.filter(unit=group))
    assert "撤并网格员" in held
    layout = draft_layout(cell.district, "撤并", by=None)
    dissolve_unit(layout, group.code, into=heir.code)
    # Nobody takes its place when the draft does not say so.
    layout.units.update(former=[])
    assert sorted(what_if(layout)["posts"]) == held
    with pytest.raises(UnitInUse) as refused:
        apply_layout(layout.pk, by=administrator)
    assert sorted(refused.value.facts["posts"]) == held
    assert Layout.objects.get(pk=layout.pk).state == "draft"
    assert GridUnit.objects.get(pk=group.pk).valid_to is None


def test_posts_and_rules_go_to_who_takes_the_place(
    cell: Cell, grid_worker: User, administrator: User, condition: FilingCondition
) -> None:
    community = cell.community
    street = GridUnit.objects.filter(level=Level.STREET_COMMITTEE).exclude(pk=cell.street_id).first()
    post = Post.objects.get(role="grid_worker", unit=community)
    department = Department.objects.first()
    rule = ResponsibilityRule.objects.create(
        district=cell.district, number=9002, kind="event", major="01", unit=community, department=department
    )
    layout = draft_layout(cell.district, "整建制划转", by=None)
    code = hand_over(layout, community.code, to=street.code)
    apply_layout(layout.pk, by=administrator)
    post.refresh_from_db()
    rule.refresh_from_db()
    assert (post.unit.code, rule.unit.code) == (code, code)
    connection.check_constraints()


def test_a_draft_waits_for_its_day_and_a_refusal_is_kept(
    layout: Layout, cell: Cell, administrator: User
) -> None:
    now = timezone.now()
    Layout.objects.filter(pk=layout.pk).update(takes_effect_at=now)
    later = draft_layout(cell.district, "以后", by=None, takes_effect_at=now + timedelta(days=1))
    rival = draft_layout(cell.district, "另", by=None, takes_effect_at=now)
    group = GridUnit.objects.filter(level=Level.REGIONAL_GROUP).exclude(pk=cell.regional_group_id).first()
    hand_over(rival, cell.code, to=group.code)
    due = list(layouts_due(at=timezone.now()))
    assert {one.pk for one in due} == {layout.pk, rival.pk}
    assert [apply_due(one) for one in due] == [True, False]
    refused = Layout.objects.get(pk=due[1].pk)
    assert cell.code in refused.refusal
    assert not layouts_due(at=timezone.now()).exists()
    assert Layout.objects.get(pk=later.pk).state == "draft"


def test_no_case_is_opened_in_a_cell_of_yesterday(
    layout: Layout, dispatched: Event, administrator: User
) -> None:
    before = dispatched.cell_id
    apply_layout(layout.pk, by=administrator)
    connection.check_constraints()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS an_open_case_lies_in_a_cell_in_force IMMEDIATE")
    with pytest.raises(IntegrityError, match="an_open_case_lies_in_a_cell_in_force"), transaction.atomic():
        Event.objects.filter(pk=dispatched.pk).update(cell=before)


def test_what_is_in_force_names_what_is_in_force(cell: Cell) -> None:
    for unit in (cell.party_group, cell.regional_group, cell.community):
        with pytest.raises(IntegrityError, match="in_force"):
            end(unit)


@transaction.atomic
def end(unit: GridUnit) -> None:
    GridUnit.objects.filter(pk=unit.pk).update(valid_to=timezone.now())
    connection.check_constraints()


# --- whatever is done -----------------------------------------------------------------------------------------------


def neighbour(grid: Grid, code: str) -> str | None:
    cell = grid.cells[code]
    for other in grid.cells.values():
        same = (other.party_group, other.regional_group) == (cell.party_group, cell.regional_group)
        if same and other.code != code and cell.boundary.intersection(other.boundary).length > 0:
            return other.code
    return None


def change(district: District, verb: str, number: int, turn: float) -> Layout | None:
    """One verb on a cell chosen by number."""
    grid = read_grid(district)
    layout = draft_layout(district, verb, by=None)
    code = sorted(grid.cells)[number % len(grid.cells)]
    if verb == "merge":
        other = neighbour(grid, code)
        if other is None:
            return None
        merge_cells(layout, [code, other])
    elif verb == "split":
        middle = grid.cells[code].boundary.representative_point()
        across = np.array([np.cos(turn), np.sin(turn)])
        ends = [np.array(middle.coords[0]) - across, np.array(middle.coords[0]) + across]
        split_cell(layout, code, line=shapely.LineString(ends))
    elif verb == "hand over":
        groups = sorted(grid.of_level(Level.PARTY_GROUP))
        hand_over(layout, code, to=groups[number * 7 % len(groups)])
    else:
        group = grid.cells[code].party_group
        communities = sorted(grid.of_level(Level.COMMUNITY))
        hand_over(layout, group, to=communities[number * 7 % len(communities)])
    return layout


def applied(layout: Layout) -> bool:
    """Put in force, unless it would leave an organisation without cells."""
    faults = check_layout(layout)
    if faults:
        assert {fault.code for fault in faults} == {"unit_without_cells"}
        return False
    apply_layout(layout.pk, by=None)
    connection.check_constraints()
    return True


VERBS = st.sampled_from(["merge", "split", "hand over", "hand over a group"])


@given(
    steps=st.lists(st.tuples(VERBS, st.integers(0, 5000), st.floats(0, 3.1)), min_size=2, max_size=4),
    points=st.lists(st.tuples(st.integers(0, 1530), st.floats(0.2, 0.8)), min_size=3, max_size=3),
)
@settings(
    max_examples=3,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_whatever_is_done_the_cells_tile_the_district(
    steps: list[tuple[str, int, float]],
    points: list[tuple[int, float]],
    cell: Cell,
    file_report: File,
    resident: User,
    intake_operator: User,
    event_class: EventClass,
) -> None:
    with transaction.atomic():
        district = cell.district
        cells = list(Cell.objects.in_force().order_by("code"))
        before = read_grid(district)
        area = shapely.coverage_union_all([one.boundary for one in before.cells.values()])
        chosen = [cells[number % len(cells)] for number, _share in points] + [
            cells[number % len(cells)] for _verb, number, _turn in steps
        ]
        events = [file_report(resident, at=one).event for one in chosen]
        desk.decline(events[0].pk, by=intake_operator, reason="不属城市管理")
        closed = kept(events[0])
        moments: list[datetime] = [timezone.now()]
        for verb, number, turn in steps:
            layout = change(district, verb, number, turn)
            if layout is not None and applied(layout):
                moments.append(timezone.now())
        grid = read_grid(district)
        shapes = np.array([one.boundary for one in grid.cells.values()], object)
        assert shapely.coverage_is_valid(shapes)
        assert same_area(shapely.coverage_union_all(shapes), area, tolerance_m=0)
        for level in Level:
            for code, whole in grid.areas(level).items():
                assert whole.equals(grid.units[code].boundary), code
        inside = shapely.get_coordinates(
            shapely.point_on_surface([one.boundary for one in before.cells.values()])
        )
        for moment in moments:
            index = read_cells(district, at=moment)
            assert (index.locate(*inside.T) >= 0).all()
            # Each place once, unless a new border runs through it.
            hits, _cells = shapely.STRtree(index.boundaries).query(shapely.points(inside), predicate="within")
            assert len(hits) == len(set(hits.tolist())) > len(inside) - 10
        for event in events[1:]:
            now = kept(event)
            assert now.cell.valid_to is None
            assert now.cell.boundary.covers(now.point)
            chain = Cell.objects.select_related(*CHAIN).get(pk=now.cell_id).chain
            assert all(unit.valid_to is None for unit in chain)
        assert (kept(closed).cell_id, kept(closed).version) == (closed.cell_id, closed.version)
        transaction.set_rollback(True)
