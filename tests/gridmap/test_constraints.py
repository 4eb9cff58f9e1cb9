"""What the database itself refuses: cells and organisations that contradict each other."""

import pytest

from fieldops.models import Event, Post
from gridmap.models import Cell, Department, District, GridUnit, Level
from tests.doing import refused


def other(level: Level, than: GridUnit) -> GridUnit:
    """One that contradicts in one way only: a community of the same street, a party group of another community."""
    others = GridUnit.objects.filter(level=level).exclude(pk=than.pk)
    if level == Level.COMMUNITY:
        return others.filter(parent=than.parent_id).first()
    return others.exclude(parent=than.parent_id).first() or others.first()


@pytest.mark.parametrize(
    ("field", "level", "constraint"),
    [
        ("community", Level.COMMUNITY, "a_cells_party_group_is_of_its_community"),
        ("street", Level.STREET_COMMITTEE, "a_cells_community_is_of_its_street"),
        ("party_group", Level.PARTY_GROUP, "a_cells_party_group_is_of_its_community"),
        ("regional_group", Level.STREET_COMMITTEE, "a_cells_group_is_a_regional_group"),
    ],
)
def test_a_cell_cannot_contradict_the_tree(cell: Cell, field: str, level: Level, constraint: str) -> None:
    wrong = other(level, getattr(cell, field))
    refused(lambda: Cell.objects.filter(pk=cell.pk).update(**{field: wrong}), constraint)


def test_a_unit_stands_below_the_right_level(cell: Cell) -> None:
    for claimed, constraint in [
        (Level.STREET_COMMITTEE, "a_parent_has_the_level_it_is_said_to_have"),
        (Level.REGIONAL_GROUP, "a_unit_stands_below_the_right_level"),
        (None, "a_unit_stands_below_the_right_level"),
    ]:
        made = GridUnit(
            district=cell.district,
            level=Level.COMMUNITY,
            code="150204001999",
            name="新社区党组织",
            area_name="新社区",
            parent=cell.regional_group,
            parent_level=claimed,
            boundary=cell.community.boundary,
        )
        refused(made.save, constraint)


def test_a_cell_code_follows_the_districts_scheme(cell: Cell) -> None:
    shorter = cell.code[:14]
    refused(
        lambda: Cell.objects.filter(pk=cell.pk).update(code=shorter), "does not follow the scheme of district"
    )
    District.objects.filter(pk=cell.district_id).update(cell_code_pattern=r"^\d{14,15}$")
    assert Cell.objects.filter(pk=cell.pk).update(code=shorter) == 1


def test_nothing_crosses_into_another_district(located: Event) -> None:
    cell = Cell.objects.order_by("code").last()
    elsewhere = District.objects.create(code="150203", name="昆都仑区", name_en="Kundulun")
    department = Department.objects.create(district=elsewhere, code="X", name="别区部门")
    refused(
        lambda: Cell.objects.filter(pk=cell.pk).update(district=elsewhere),
        "a_cells_committee_is_of_its_district|an_elements_cell_is_of_its_district",
    )
    refused(
        lambda: GridUnit.objects.filter(pk=cell.community_id).update(district=elsewhere),
        "a_parent_is_of_the_same_district",
    )
    refused(
        lambda: Event.objects.filter(pk=located.pk).update(department=department),
        "a_cases_department_is_of_its_district",
    )
    refused(
        lambda: Post.objects.filter(role="department_handler").update(department=department),
        "a_posts_department_is_of_its_district",
    )


def test_a_street_lies_in_the_groups_of_its_cells(db: None) -> None:
    groups = Cell.objects.values_list("street", "regional_group").distinct()
    by_street: dict[int, set[int]] = {}
    for street, group in groups:
        by_street.setdefault(street, set()).add(group)
    assert max(len(found) for found in by_street.values()) > 1
