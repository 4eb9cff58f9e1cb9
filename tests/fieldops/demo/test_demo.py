"""The demo district: everything has somebody responsible, everybody can log in, and nothing is made twice."""

import csv
import io
import json
from itertools import cycle
from pathlib import Path
from random import Random

import pytest
from django.conf import LazySettings, settings
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command
from django.db.models import Count, Q
from pytest_django import DjangoAssertNumQueries

from fieldops.demo import DISTRICT, EDITION, PASSWORD, DemoRefused, load_demo
from fieldops.demo.stock import SEED, _cells, planned_components
from fieldops.models import (
    Channel,
    EventClass,
    FilingCondition,
    Holding,
    IntakePolicy,
    Kind,
    Post,
    ResponsibilityRule,
    SegmentChief,
    User,
)
from fieldops.responsibility.assignment import find_responsible
from fieldops.rights import current_posts
from fieldops.status import Role
from gridmap.models import (
    CHAIN,
    CalendarDay,
    Cell,
    Component,
    Department,
    District,
    Element,
    ElementKind,
    GridUnit,
    Level,
    Person,
    RoadSegment,
    Shop,
)

QINGSHAN = Path(settings.BASE_DIR, "fixtures", "qingshan")

pytestmark = pytest.mark.django_db


def cell_in(unit: str) -> Cell:
    held = GridUnit.objects.get(district=DISTRICT, code=unit)
    return (
        Cell.objects.filter(**{CHAIN[held.level - 1]: held})
        .select_related("district", *CHAIN)
        .order_by("code")[0]
    )


def responsible(class_key: str, unit: str) -> str:
    kind, _, code = class_key.partition("/")
    event_class = EventClass.objects.get(edition=EDITION, kind=kind, major=code[:2], minor=code[2:])
    assignment = find_responsible(event_class, cell_in(unit))
    assert assignment is not None
    return assignment.department.code


def known(name: str) -> list[dict[str, str]]:
    with (QINGSHAN / f"{name}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


# --- responsibility ----------------------------------------------------------------------------------------


def test_every_class_has_a_department_in_every_street() -> None:
    """Each street has a rule for either kind; so no pair of class and street is without one."""
    rules = ResponsibilityRule.objects.filter(district=DISTRICT, major="", unit__level=Level.STREET_COMMITTEE)
    streets = GridUnit.objects.filter(district=DISTRICT, level=Level.STREET_COMMITTEE)
    assert set(rules.values_list("kind", "unit")) == {
        (kind, street.pk) for kind in Kind for street in streets
    }


def test_every_rule_names_a_department_with_a_post_for_its_whole_area() -> None:
    cells = Cell.objects.filter(district=DISTRICT)
    for rule in ResponsibilityRule.objects.filter(district=DISTRICT).select_related("unit"):
        posts = rule.department.posts.filter(role=Role.DEPARTMENT_HANDLER).select_related("unit")
        answered = Q(pk__in=[])
        for post in posts:
            answered |= Q(**{CHAIN[post.unit.level - 1]: post.unit})
        area = Q(**{CHAIN[rule.unit.level - 1]: rule.unit}) if rule.unit else Q()
        assert not cells.filter(area).exclude(answered).exists(), rule


def test_classes_are_answered_for_one_by_one() -> None:
    """All classes, each in one street, all streets in turn."""
    streets = GridUnit.objects.filter(district=DISTRICT, level=Level.STREET_COMMITTEE)
    cells = [cell_in(street.code) for street in streets]
    classes = EventClass.objects.filter(edition=EDITION)
    assert (len(classes), len(cells)) == (190, 11)
    for event_class, cell in zip(classes, cycle(cells), strict=False):
        assignment = find_responsible(event_class, cell)
        assert assignment is not None, (event_class, cell)
        assert assignment.post_id is not None, (event_class, cell, assignment.department)


@pytest.mark.parametrize(
    ("class_key", "unit", "department"),
    [
        # What the standard names first.
        ("component/0101", "150204001", "water"),
        ("event/0192", "150204001", "sanitation"),
        # What it leaves to the street: each street's own office, which beats the fallback for all events.
        ("event/0405", "150204003", "office003"),
        ("event/0405", "150204100", "office100"),
        ("component/0123", "150204008", "office008"),
        # What the district decides itself, instead of the standard.
        ("event/0126", "150204001", "water_affairs"),
        # An area beats the whole district for the same class: the industrial park, a town.
        ("event/0192", "150204401", "office401"),
        ("event/0192", "150204101", "office101"),
        # A regional group's rule for a class beats the street's for all events.
        ("event/0405", "150204J02", "enforcement"),
        # A community's rule for a major class does so, too, but not where the class itself has one.
        ("event/0401", "150204005032", "market"),
        ("event/0492", "150204005032", "enforcement"),
        # The smallest area of all.
        ("event/0301", "150204007025G01", "housing"),
        ("event/0301", "150204007025G02", "ecology"),
    ],
)
def test_the_most_specific_rule_wins(class_key: str, unit: str, department: str) -> None:
    assert responsible(class_key, unit) == department


def test_rules_say_where_they_come_from() -> None:
    rules = ResponsibilityRule.objects.filter(district=DISTRICT)
    assert not rules.filter(source="").exists()
    rule = rules.get(kind="component", major="01", minor="01", unit=None)
    assert rule.source == f"{EDITION}：运城市城市节约用水中心"


def test_the_handling_units_named_first_are_all_known() -> None:
    published = {
        condition.handling_units.partition("、")[0]
        for condition in FilingCondition.objects.filter(event_class__edition=EDITION, number=1)
    }
    assert published == {row["published"] for row in known("handling_units")}


# --- people ------------------------------------------------------------------------------------------------


def test_every_area_and_department_has_its_post_with_a_holder() -> None:
    posts = Post.objects.filter(district=DISTRICT)
    held = {post.pk for post in posts.filter(holdings__until__isnull=True)}
    assert held == {post.pk for post in posts}

    def areas(role: Role) -> set[str]:
        return set(posts.filter(role=role).values_list("unit__code", flat=True))

    def units(level: Level) -> set[str]:
        return set(GridUnit.objects.filter(district=DISTRICT, level=level).values_list("code", flat=True))

    assert areas(Role.GRID_WORKER) == units(Level.COMMUNITY)
    assert areas(Role.STREET_CHIEF) == units(Level.STREET_COMMITTEE)
    handled = posts.filter(role=Role.DEPARTMENT_HANDLER).values_list("department__code", flat=True)
    assert sorted(handled) == sorted(Department.objects.values_list("code", flat=True))
    offices = {row["code"]: row["office_of"] or DISTRICT for row in known("departments")}
    handlers = posts.filter(role=Role.DEPARTMENT_HANDLER).values_list("department__code", "unit__code")
    assert dict(handlers) == offices
    assert set(posts.values_list("role", flat=True)) == set(Role.values)


@pytest.mark.parametrize(
    ("username", "role", "unit"),
    [
        ("intake1", Role.INTAKE_OPERATOR, "150204"),
        ("intake2", Role.INTAKE_OPERATOR, "150204"),
        ("dispatch2", Role.DISPATCHER, "150204"),
        ("shift", Role.SHIFT_LEADER, "150204"),
        ("worker001", Role.GRID_WORKER, "150204001021"),
        ("worker078", Role.GRID_WORKER, "150204401498"),
        ("chief011", Role.STREET_CHIEF, "150204401"),
        ("dept_sanitation", Role.DEPARTMENT_HANDLER, "150204"),
        ("dept_office100", Role.DEPARTMENT_HANDLER, "150204100"),
        ("resident3", Role.RESIDENT, "150204"),
    ],
)
def test_people_log_in_and_hold_their_post(username: str, role: Role, unit: str) -> None:
    user = authenticate(username=username, password=PASSWORD)
    assert isinstance(user, User)
    [post] = current_posts(user)
    assert (post.role, post.unit.code) == (role, unit)


def test_two_people_hold_one_desk() -> None:
    desks = Post.objects.filter(district=DISTRICT, role__in=[Role.INTAKE_OPERATOR, Role.DISPATCHER])
    assert [desk.holders.count() for desk in desks] == [2, 2]


def test_people_have_names_of_their_own() -> None:
    names = list(User.objects.filter(posts__district=DISTRICT).values_list("display_name", flat=True))
    assert len(names) == len(set(names)) > 120
    assert User.objects.get(username="admin").is_superuser


# --- the rest, and loading it ------------------------------------------------------------------------------


def test_the_district_has_its_standard_calendar_and_policies() -> None:
    district = District.objects.get(pk=DISTRICT)
    assert district.class_edition == EDITION
    assert "合成" in district.boundary_note
    straight = IntakePolicy.objects.filter(district=district, straight_through=True)
    assert list(straight.values_list("channel", flat=True)) == [Channel.FIELD_APP]
    assert IntakePolicy.objects.filter(district=district).count() == len(Channel)
    days = CalendarDay.objects.filter(district=district, day__year=2026)
    assert days.filter(working=False).count() == 33
    assert days.filter(working=True).count() == 6
    assert days.get(day="2026-10-10").working


def test_loading_again_changes_nothing_and_is_quick(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    ResponsibilityRule.objects.filter(number=1).update(source="changed by an administrator")
    with django_assert_num_queries(3):  # two of them the savepoint
        assert load_demo(allow=True) is False
    assert ResponsibilityRule.objects.get(number=1).source == "changed by an administrator"


@pytest.fixture
def nobody() -> None:
    SegmentChief.objects.all().delete()
    Holding.objects.all().delete()
    Post.objects.all().delete()


@pytest.mark.usefixtures("nobody")
def test_known_passwords_are_made_in_a_demo_only(settings: LazySettings) -> None:
    settings.DEMO = False
    with pytest.raises(DemoRefused):
        load_demo()
    with pytest.raises(CommandError):
        call_command("load_demo")
    assert not Post.objects.exists()


# --- demo_logins -------------------------------------------------------------------------------------------


def logins(*options: str) -> str:
    out = io.StringIO()
    call_command("demo_logins", *options, stdout=out)
    return out.getvalue()


def test_the_logins_are_told() -> None:
    told = logins()
    assert PASSWORD in told
    for username in ("admin", "intake1", "dispatch1", "worker001", "chief011", "resident1"):
        assert username in told
    assert "Dispatcher" in told
    assert "派遣员" in told


def test_the_logins_are_told_to_programs() -> None:
    people = json.loads(logins("--json"))
    assert len(people) == User.objects.filter(posts__district=DISTRICT).count()
    [handler] = [person for person in people if person["username"] == "dept_water"]
    [post] = handler["posts"]
    assert post["department"] == "water"
    assert Post.objects.get(pk=post["id"]).role == post["role"] == Role.DEPARTMENT_HANDLER


@pytest.mark.usefixtures("nobody")
def test_without_a_demo_there_are_no_logins_to_tell() -> None:
    with pytest.raises(CommandError):
        logins()


def test_the_stock_is_synthetic_and_the_same_again() -> None:
    """Every kind is there and says that it is made up; the codes and places are those of the seed."""
    kinds = dict(Element.objects.values_list("kind").annotate(n=Count("pk")).order_by())
    assert kinds["component"] == 2000 and kinds["person"] == 320 and len(kinds) == len(ElementKind)
    assert not Element.objects.filter(synthetic=False).exists()
    assert RoadSegment.objects.filter(synthetic=True).count() == 60
    assert {shop.side for shop in Shop.objects.all()} == {"left", "right"}
    assert not Person.objects.exclude(name__endswith="（示范）").exists()
    assert SegmentChief.objects.count() == 60
    places = Component.objects.order_by("code").values_list("code", "element__x", "element__y")
    district = District.objects.get(pk=DISTRICT)
    again = [
        (row.code, row.x, row.y) for row in planned_components(district, *_cells(district), Random(SEED))
    ]
    assert sorted(again) == list(places)
