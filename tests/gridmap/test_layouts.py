"""Drafts: what the verbs draw up, what an imported layer becomes, and what is refused, with the place."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

import pytest
import shapely
from django.db import connection
from django.utils import timezone, translation

from gridmap import layouts
from gridmap.layouts import (
    CELLS,
    Difference,
    LayerRow,
    LayoutRefused,
    LayoutSettled,
    check_layout,
    diff,
    draft_layout,
    hand_over,
    merge_cells,
    propose_layer,
    put_in_force,
    read_draft,
    read_grid,
    split_cell,
)
from gridmap.models import Cell, District, GridUnit, Layout, Level
from gridmap.topology import Fault, same_area
from tests.gridmap.squares import CODE, box, cell_code, cell_row, cell_rows, square_district, unit_rows

pytestmark = pytest.mark.django_db
A, B = cell_code(0, 0), cell_code(1, 0)  # neighbours in one party group
G11, G12, G21 = f"{CODE}001001G01", f"{CODE}001002G01", f"{CODE}002001G01"


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    with translation.override("en"):
        yield


@pytest.fixture
def district() -> District:
    return square_district()


@pytest.fixture
def layout(district: District) -> Layout:
    return draft_layout(district, "试", by=None)


def apply(layout: Layout, at: datetime | None = None) -> None:
    """Put in force what concerns the grid alone, and let the database have its word."""
    base, target, faults = read_draft(layout)
    assert faults == layouts.check_grid(base, target, tolerance_m=layout.tolerance_m) == []
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
    put_in_force(layout, base, target, at=at or timezone.now())
    connection.check_constraints()


def refused(call: object, code: str, *features: str) -> Fault:
    with pytest.raises(LayoutRefused) as error:
        call()  # type: ignore[operator]
    [fault] = error.value.faults
    assert (fault.code, fault.features) == (code, features)
    assert all(feature in fault.message for feature in features)
    return fault


def at(fault: Fault, wanted: shapely.Geometry) -> None:
    assert shapely.hausdorff_distance(fault.place, wanted) < 1e-9


def tiles(district: District) -> None:
    """The grid in force is a coverage of the district, and every organisation the union of its cells."""
    grid = read_grid(district)
    shapes = [cell.boundary for cell in grid.cells.values()]
    assert shapely.coverage_is_valid(shapes)
    assert same_area(shapely.union_all(shapes), box(0, 0, 4, 4), tolerance_m=0)
    for level in Level:
        for code, area in grid.areas(level).items():
            assert area.equals(grid.units[code].boundary), code


# --- verbs --------------------------------------------------------------------------------------------------------


def test_cells_are_merged(district: District, layout: Layout) -> None:
    assert merge_cells(layout, [B, A]) == A
    assert Cell.objects.in_force().filter(district=district).count() == 16
    assert diff(layout) == [
        Difference("added", CELLS, A, (A, B), G11),
        Difference("ended", CELLS, A, (), "", G11),
        Difference("ended", CELLS, B, (), "", G11),
    ]
    before = timezone.now()
    apply(layout)
    tiles(district)
    grid = read_grid(district)
    assert len(grid.cells) == 15
    assert grid.cells[A].boundary.equals(box(0, 0, 2, 1))
    assert Cell.objects.in_force(before).filter(district=district).count() == 16


def test_only_neighbours_with_the_same_owners_are_merged(layout: Layout) -> None:
    far = cell_code(1, 1)
    at(
        refused(lambda: merge_cells(layout, [A, far]), "not_adjacent", A, far),
        shapely.union(box(0, 0), box(1, 1)),
    )
    other = cell_code(2, 0)
    at(refused(lambda: merge_cells(layout, [B, other]), "different_owners", B, other), box(1, 0, 2, 1))
    refused(lambda: merge_cells(layout, [A, "150299009009009"]), "unknown_cell", "150299009009009")
    assert not layout.ends.exists()


def test_a_cell_is_split_by_a_line_and_its_neighbours_get_the_corner(
    district: District, layout: Layout
) -> None:
    line = shapely.LineString([(109.799, 40.6033), (109.811, 40.6047)])
    codes = split_cell(layout, A, line=line)
    assert codes == [A, f"{CODE}001001005"]
    apply(layout)
    tiles(district)
    grid = read_grid(district)
    assert len(grid.cells) == 17
    assert len(shapely.get_coordinates(grid.cells[B].boundary)) == 6
    assert grid.cells[A].lineage != grid.cells[codes[1]].lineage
    assert Cell.objects.filter(district=district, code=B).count() == 1, "a corner is no change"


def test_a_line_has_to_cross_the_cell(layout: Layout) -> None:
    line = shapely.LineString([(109.801, 40.60), (109.805, 40.605)])
    at(refused(lambda: split_cell(layout, A, line=line), "line_does_not_divide", A), line)


def test_a_cell_is_split_into_parts_and_slivers_are_closed(district: District, layout: Layout) -> None:
    split_cell(
        layout,
        A,
        parts=[box(0, 0, 0.5 - 1e-6), box(0.5, 0, 0.5)],
        codes=[f"{CODE}001001011", f"{CODE}001001012"],
    )
    apply(layout)
    tiles(district)
    assert {code for code in read_grid(district).cells if code[12] == "0" and code[13] == "1"} == {
        f"{CODE}001001011",
        f"{CODE}001001012",
    }


def test_parts_have_to_tile_the_cell(layout: Layout) -> None:
    parts = [box(0, 0, 0.4), box(0.5, 0, 0.5)]
    with pytest.raises(LayoutRefused) as error:
        split_cell(layout, A, parts=parts)
    [fault] = error.value.faults
    assert fault.code == "gap"
    at(fault, box(0.4, 0, 0.1))


def test_a_cell_is_handed_over(district: District, layout: Layout) -> None:
    lineage = Cell.objects.get(code=A, district=district).lineage
    new = hand_over(layout, A, to=G12)
    assert new == f"{CODE}001002005"
    assert diff(layout) == [Difference("moved", CELLS, new, (A,), G12, G11)]
    apply(layout)
    tiles(district)
    cell = Cell.objects.in_force().get(lineage=lineage)
    assert (cell.code, cell.community.code, cell.party_group.code) == (new, f"{CODE}001002", G12)


def test_a_community_is_handed_over_with_all_below_it(district: District, layout: Layout) -> None:
    assert hand_over(layout, f"{CODE}001001", to=f"{CODE}002") == f"{CODE}002003"
    apply(layout)
    tiles(district)
    moved = Cell.objects.in_force().filter(district=district, community__code=f"{CODE}002003")
    assert sorted(moved.values_list("code", "party_group__code")) == [
        (f"{CODE}002003{n:03d}", f"{CODE}002003G01") for n in (1, 2, 3, 4)
    ]
    assert set(moved.values_list("street__code", flat=True)) == {f"{CODE}002"}
    ended = GridUnit.objects.get(code=f"{CODE}001001", district=district)
    assert ended.valid_to is not None
    assert ended.boundary.num_coords


def test_a_street_goes_to_a_regional_group(district: District, layout: Layout) -> None:
    assert hand_over(layout, f"{CODE}001", to=f"{CODE}J1") == f"{CODE}001"
    assert {line.change for line in diff(layout)} == {"moved"}
    assert len(diff(layout)) == 4
    apply(layout)
    tiles(district)


def test_what_an_owner_has_already_is_not_given_to_it_again(layout: Layout) -> None:
    assert hand_over(layout, A, to=G11) == A
    assert hand_over(layout, A, to=f"{CODE}J1") == A
    assert (diff(layout), layout.ends.count(), layout.cells.count()) == ([], 0, 0)


def test_a_code_that_means_an_organisation_is_not_given_to_another(layout: Layout) -> None:
    taken = f"{CODE}002001"
    refused(
        lambda: hand_over(layout, f"{CODE}001001", to=f"{CODE}002", new_code=taken), "code_was_used", taken
    )
    refused(
        lambda: layouts.begin_unit(
            layout, f"{CODE}001001", parent=f"{CODE}002", name="新", level=Level.COMMUNITY
        ),
        "code_was_used",
        f"{CODE}001001",
    )
    assert diff(layout) == []


def test_what_cannot_stand_there_is_refused(layout: Layout) -> None:
    refused(lambda: hand_over(layout, A, to=f"{CODE}001"), "wrong_parent", A, f"{CODE}001")
    refused(lambda: hand_over(layout, G11, to=f"{CODE}001"), "wrong_parent", G11, f"{CODE}001")
    refused(lambda: hand_over(layout, A, to="150299999"), "unknown_unit", "150299999")


def test_a_unit_is_dissolved_into_another_and_renamed(district: District, layout: Layout) -> None:
    fault = refused(lambda: layouts.dissolve_unit(layout, f"{CODE}J1"), "unit_not_empty", f"{CODE}J1")
    at(fault, box(0, 0, 4, 2))
    layouts.dissolve_unit(layout, f"{CODE}J1", into=f"{CODE}J2")
    layouts.rename_unit(layout, f"{CODE}J2", name="合并集团")
    apply(layout)
    tiles(district)
    assert GridUnit.objects.in_force().get(district=district, level=2).name == "合并集团"


def test_a_unit_without_cells_is_refused(layout: Layout) -> None:
    layouts.begin_unit(layout, f"{CODE}001003", parent=f"{CODE}001", name="新社区", level=Level.COMMUNITY)
    [fault] = check_layout(layout)
    assert (fault.code, fault.features) == ("unit_without_cells", (f"{CODE}001003",))
    group = f"{CODE}001003G01"
    layouts.begin_unit(layout, group, parent=f"{CODE}001003", name="新小组", level=Level.PARTY_GROUP)
    assert hand_over(layout, A, to=group) == f"{CODE}001003001"
    assert check_layout(layout) == []
    apply(layout)


def test_a_settled_layout_is_not_touched(layout: Layout) -> None:
    layouts.discard_layout(layout, by=None)
    with pytest.raises(LayoutSettled):
        merge_cells(layout, [A, B])
    with pytest.raises(LayoutSettled):
        layouts.discard_layout(layout, by=None)


def test_a_draft_that_another_overtook_is_told_where(district: District, layout: Layout) -> None:
    rival = draft_layout(district, "另", by=None)
    merge_cells(layout, [A, B])
    split_cell(rival, A, line=shapely.LineString([(109.79, 40.605), (109.82, 40.605)]))
    apply(rival)
    [fault] = check_layout(layout)
    assert (fault.code, fault.features) == ("layout_outdated", (A,))
    at(fault, box(0, 0))
    with pytest.raises(LayoutRefused):
        hand_over(layout, cell_code(3, 3), to=G21)


def test_drafts_that_do_not_meet_are_both_applied(district: District, layout: Layout) -> None:
    rival = draft_layout(district, "另", by=None)
    split_cell(layout, A, line=shapely.LineString([(109.805, 40.59), (109.805, 40.62)]))
    split_cell(rival, cell_code(0, 1), line=shapely.LineString([(109.805, 40.60), (109.805, 40.63)]))
    apply(layout)
    apply(rival)
    tiles(district)


# --- layers that are imported ----------------------------------------------------------------------------------------


def test_what_is_there_changes_nothing(district: District) -> None:
    for level in Level:
        assert diff(propose_layer(district, level, unit_rows(level), by=None, replace_all=True)) == [
            Difference("changed", level, row.code) for row in unit_rows(level) if level == 0
        ]
    assert diff(propose_layer(district, CELLS, cell_rows(), by=None, replace_all=True)) == []


def test_a_first_layer_of_cells_is_taken(db: None) -> None:
    district = square_district(cells=False)
    layout = propose_layer(district, CELLS, cell_rows(), by=None)
    assert [line.change for line in diff(layout)] == ["added"] * 16
    apply(layout)
    tiles(district)


def test_units_stand_as_drawn_where_there_are_no_cells(db: None) -> None:
    district = square_district(cells=False)
    rows = unit_rows(Level.PARTY_GROUP)
    rows[0] = replace(rows[0], shape=box(0, 0, 2, 1))
    rows.append(replace(rows[0], code=f"{CODE}001001G02", shape=box(0, 1, 2, 1)))
    apply(propose_layer(district, Level.PARTY_GROUP, rows, by=None))
    areas = read_grid(district).units
    assert areas[f"{CODE}001001G02"].boundary.equals(box(0, 1, 2, 1))
    assert areas[f"{CODE}001001"].boundary.equals(box(0, 0, 2, 2))


def test_party_groups_regroup_cells(district: District) -> None:
    rows = unit_rows(Level.PARTY_GROUP)
    rows[0] = replace(rows[0], shape=box(0, 0, 2, 1))
    rows.append(replace(rows[0], code=f"{CODE}001001G02", shape=box(0, 1, 2, 1), name="新组"))
    layout = propose_layer(district, Level.PARTY_GROUP, rows, by=None)
    assert [(line.change, line.code) for line in diff(layout) if line.level == CELLS] == [
        ("moved", cell_code(0, 1)),
        ("moved", cell_code(1, 1)),
    ]
    apply(layout)
    tiles(district)
    assert Cell.objects.in_force().filter(party_group__code=f"{CODE}001001G02").count() == 2


def test_communities_regroup_party_groups_and_what_moves_gets_new_codes(district: District) -> None:
    streets = [
        replace(row, shape=box(0, 2 * n, 4, 2)) for n, row in enumerate(unit_rows(Level.STREET_COMMITTEE))
    ]
    layout = propose_layer(district, Level.STREET_COMMITTEE, streets, by=None)
    assert {line.change for line in diff(layout) if line.level >= Level.COMMUNITY} == {"moved"}
    apply(layout)
    tiles(district)
    chain = (
        Cell.objects.in_force()
        .filter(district=district)
        .values_list("code", "street__code", "community__code")
    )
    assert all(
        code.startswith(community) and community.startswith(street) for code, street, community in chain
    )


def test_regional_groups_are_unions_of_whole_cells(district: District) -> None:
    def groups(border: float) -> list[LayerRow]:
        one, two = unit_rows(Level.REGIONAL_GROUP)
        return [replace(one, shape=box(0, 0, 4, border)), replace(two, shape=box(0, border, 4, 4 - border))]

    with pytest.raises(LayoutRefused) as error:
        propose_layer(district, Level.REGIONAL_GROUP, groups(1.5), by=None)
    assert {fault.code for fault in error.value.faults} == {"cuts_cells"}
    assert len(error.value.faults) == 4
    assert all(fault.place.area == pytest.approx(0.5 * 0.01**2) for fault in error.value.faults)
    layout = propose_layer(district, Level.REGIONAL_GROUP, groups(1), by=None)
    assert [line.change for line in diff(layout) if line.level == CELLS] == ["moved"] * 4
    apply(layout)
    tiles(district)


def test_a_community_that_cuts_a_party_group_is_refused(district: District) -> None:
    rows = unit_rows(Level.COMMUNITY)
    rows[0] = replace(rows[0], shape=box(0, 0, 2, 1.5))
    rows[1] = replace(rows[1], shape=box(0, 1.5, 2, 2.5))
    fault = refused(
        lambda: propose_layer(district, Level.COMMUNITY, rows, by=None), "cuts_units", f"{CODE}001001", G11
    )
    at(fault, box(0, 1.5, 2, 0.5))


@pytest.mark.parametrize(
    ("changes", "code", "place"),
    [
        ({"shape": box(0, 0, 2.2, 2)}, "overlap", box(2, 0, 0.2, 2)),
        ({"shape": box(0, 0, 1.8, 2)}, "gap", box(1.8, 0, 0.2, 2)),
        ({"shape": box(-0.5, 0, 2.5, 2)}, "outside_parent", box(-0.5, 0, 0.5, 2)),
        ({"shape": None}, "empty", None),
        ({"code": f"{CODE}001００9"}, "malformed_code", box(0, 0, 2, 2)),
        ({"code": f"{CODE}001002"}, "duplicate_code", None),
        ({"parent": f"{CODE}009"}, "unknown_parent", box(0, 0, 2, 2)),
        ({"parent": f"{CODE}002"}, "code_contradicts_parent", box(0, 0, 2, 2)),
        ({"replaces": (f"{CODE}001077",)}, "unknown_former", box(0, 0, 2, 2)),
        ({"code": G11}, "code_was_used", box(0, 0, 2, 2)),
    ],
)
def test_a_faulty_layer_of_communities_is_refused(
    district: District, changes: dict, code: str, place: shapely.Geometry | None
) -> None:
    rows = unit_rows(Level.COMMUNITY)
    rows[0] = replace(rows[0], **changes)
    with pytest.raises(LayoutRefused) as error:
        propose_layer(district, Level.COMMUNITY, rows, by=None, replace_all=True)
    faults = [fault for fault in error.value.faults if fault.code == code]
    assert faults
    if place is not None:
        at(faults[0], place)
    assert not Layout.objects.exists()


@pytest.mark.parametrize(
    ("row", "code", "place"),
    [
        (cell_row(1, 1, box(1, 1, 1.1)), "overlap", box(2, 1, 0.1)),
        (cell_row(1, 1, box(1, 1, 0.9)), "gap", box(1.9, 1, 0.1)),
        (cell_row(1, 1, shapely.MultiPolygon([box(1, 1, 0.4), box(1.5, 1, 0.5)])), "several_parts", None),
        (cell_row(1, 1, code="15029900100X003"), "malformed_code", box(1, 1)),
        (cell_row(1, 1, code=f"{CODE}002001009"), "code_contradicts_parent", box(1, 1)),
        (cell_row(1, 1, parent=f"{CODE}00100199"), "unknown_parent", box(1, 1)),
        (cell_row(1, 1, regional_group=f"{CODE}J9"), "unknown_parent", box(1, 1)),
        (
            cell_row(1, 1, parent=G21, code=f"{CODE}002001009", replaces=(cell_code(1, 1),)),
            "outside_parent",
            box(1, 1),
        ),
    ],
)
def test_a_faulty_layer_of_cells_is_refused(
    district: District, row: LayerRow, code: str, place: shapely.Geometry | None
) -> None:
    rows = [row if other.code == cell_code(1, 1) else other for other in cell_rows()]
    with pytest.raises(LayoutRefused) as error:
        propose_layer(district, CELLS, rows, by=None, replace_all=True)
    faults = [fault for fault in error.value.faults if fault.code == code]
    assert faults, error.value
    if place is not None:
        at(faults[0], place)


def test_units_may_follow_the_cells(district: District) -> None:
    row = cell_row(1, 1, parent=G21, code=f"{CODE}002001009", replaces=(cell_code(1, 1),))
    rows = [row if other.code == cell_code(1, 1) else other for other in cell_rows()]
    layout = propose_layer(district, CELLS, rows, by=None, replace_all=True, units_follow=True)
    lineage = Cell.objects.get(district=district, code=cell_code(1, 1)).lineage
    apply(layout)
    tiles(district)
    assert Cell.objects.in_force().get(lineage=lineage).code == f"{CODE}002001009"


def test_part_of_a_layer_may_come_and_slivers_to_what_stays_are_closed(district: District) -> None:
    sliver = 4e-7  # 3 cm
    rows = [
        cell_row(0, 0, shapely.box(109.8, 40.6, 109.815 + sliver, 40.61)),
        cell_row(1, 0, shapely.box(109.815, 40.6, 109.82 - sliver, 40.61)),
    ]
    layout = propose_layer(district, CELLS, rows, by=None)
    apply(layout)
    tiles(district)


def test_a_new_code_that_replaces_one_goes_on_with_its_lineage(district: District) -> None:
    lineage = Cell.objects.get(district=district, code=A).lineage
    row = cell_row(0, 0, code=f"{CODE}001001077", replaces=(A,))
    apply(propose_layer(district, CELLS, [row], by=None))
    assert Cell.objects.in_force().get(lineage=lineage).code == f"{CODE}001001077"
    tiles(district)
