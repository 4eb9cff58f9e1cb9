"""Who is responsible: one winner for every case, whatever rules the constraints let in, and a reason for it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from fieldops.models import EventClass, FilingCondition, Party, ResponsibilityRule
from fieldops.responsibility.assignment import explain, find_responsible, fitting_rules
from gridmap.models import Cell, Component, Department, GridUnit
from tests.doing import place, refused, row_in, statements

pytestmark = pytest.mark.django_db
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
MOMENTS = [None, *(BEGAN + timedelta(days=days) for days in (0, 10, 20, 30))]
LABELS = {1: "district", 2: "group", 3: "street", 4: "community", 5: "party group"}


@dataclass
class Rules:
    """Rules beside none of the demo's, numbered in the order they are made."""

    cell: Cell
    number: Iterator[int] = field(default_factory=lambda: count(1))

    def __call__(self, **scope: Any) -> ResponsibilityRule:
        if "party" not in scope:
            scope.setdefault("department", Department.objects.order_by("pk")[0])
        return ResponsibilityRule.objects.create(
            district=self.cell.district, number=next(self.number), **scope
        )


@pytest.fixture
def rules(cell: Cell) -> Rules:
    ResponsibilityRule.objects.all().delete()
    return Rules(cell)


@pytest.fixture
def component(cell: Cell) -> Component:
    row = row_in(cell, owning="water_affairs")
    assert not place(row).faults
    return Component.objects.select_related("event_class", "managing", "owning", "maintaining").get(
        code=row.code
    )


def rank(rule: ResponsibilityRule) -> tuple[int, ...]:
    """Written down once more, without SQL: class, condition, area, party."""
    return (
        sum(map(bool, (rule.kind, rule.major, rule.minor))),
        rule.condition or 0,
        rule.unit.level if rule.unit else 0,
        ["", "managing", "owning", "maintaining"].index(rule.party),
    )


def fits(
    rule: ResponsibilityRule,
    event_class: EventClass,
    cell: Cell,
    condition: FilingCondition | None,
    component: Component | None,
    at: datetime,
) -> bool:
    return (
        rule.kind in ("", event_class.kind)
        and rule.major in ("", event_class.major)
        and rule.minor in ("", event_class.minor)
        and rule.condition in (None, condition.number if condition else None)
        and (rule.unit is None or rule.unit.pk in cell.unit_ids)
        and (not rule.party or getattr(component, f"{rule.party}_id", None) is not None)
        and (rule.valid_from is None or rule.valid_from <= at)
        and (rule.valid_to is None or at < rule.valid_to)
    )


@pytest.mark.parametrize("seed", range(8))
def test_no_two_rules_that_the_constraints_accept_ever_stand_equal(
    rules: Rules, cell: Cell, component: Component, seed: int
) -> None:
    chance = Random(seed)
    other = Cell.objects.exclude(street=cell.street_id).order_by("code")[0]
    units = list(GridUnit.objects.filter(pk__in=[*cell.unit_ids, *other.unit_ids]))
    departments = list(Department.objects.all()[:4])
    classes = list(EventClass.objects.filter(edition=cell.district.class_edition, minor__in=["01", "03"])[:6])
    let_in = refused_ones = 0
    for _ in range(220):
        a_class = chance.choice(classes)
        depth = chance.randrange(4)
        party = chance.choice(["", "", *Party.values])
        begin, end = chance.choice(MOMENTS), chance.choice(MOMENTS)
        try:
            with transaction.atomic():
                rules(
                    kind=a_class.kind if depth else "",
                    major=a_class.major if depth > 1 else "",
                    minor=a_class.minor if depth > 2 else "",
                    condition=chance.choice([None, 1, 2]) if depth > 2 else None,
                    unit=chance.choice([None, *units]),
                    party=party,
                    department=None if party else chance.choice(departments),
                    valid_from=begin,
                    valid_to=end,
                )
            let_in += 1
        except IntegrityError:
            refused_ones += 1
    assert let_in > 60
    assert refused_ones > 20
    kept = list(ResponsibilityRule.objects.select_related("unit"))
    answered = 0
    for _ in range(40):
        a_class = chance.choice(classes)
        at = BEGAN + timedelta(days=chance.randrange(-5, 40), hours=chance.choice([0, 7]))
        where = chance.choice([cell, other])
        what = chance.choice([None, component])
        condition = chance.choice([None, *a_class.conditions.all()])
        fitting = sorted(
            (rule for rule in kept if fits(rule, a_class, where, condition, what, at)),
            key=rank,
            reverse=True,
        )
        assert len({rank(rule) for rule in fitting}) == len(fitting)
        given = {"condition": condition, "component": what, "at": at}
        assert [rule.pk for rule in fitting_rules(a_class, where, **given)] == [rule.pk for rule in fitting]
        found = find_responsible(a_class, where, **given)
        assert (found.why["rule"]["number"] if found else None) == (fitting[0].number if fitting else None)
        if found:
            winner = fitting[0]
            meant = getattr(what, winner.party) if winner.party else winner.department
            assert found.department == meant
        answered += bool(fitting)
    assert answered > 20


def test_each_part_of_the_order_counts_before_the_next(
    rules: Rules, cell: Cell, component: Component
) -> None:
    """A rule that says more of one part loses to whoever says more of an earlier one."""
    a_class = component.event_class
    condition = a_class.conditions.first()
    scope = {"kind": a_class.kind, "major": a_class.major, "minor": a_class.minor}
    made = [
        rules(**scope, condition=condition.number),
        rules(**scope, unit=cell.party_group, party="owning"),
        rules(**scope, unit=cell.party_group, party="managing"),
        rules(**scope, unit=cell.party_group),
        rules(**scope, unit=cell.street),
        rules(**scope, party="owning"),
        rules(**scope),
        rules(kind=a_class.kind, major=a_class.major, unit=cell.party_group),
        rules(kind=a_class.kind, unit=cell.community),
        rules(unit=cell.party_group),
        rules(),
    ]
    rules(**scope, party="maintaining")  # which this component does not name
    rules(**scope, condition=condition.number + 1)
    found = fitting_rules(a_class, cell, condition=condition, component=component)
    assert [rule.number for rule in found] == [rule.number for rule in made]


def test_a_rule_may_mean_the_department_that_the_component_names(
    rules: Rules, cell: Cell, component: Component
) -> None:
    rules(kind="component")
    rules(kind="component", party="owning")
    with CaptureQueriesContext(connection) as seen:
        found = find_responsible(component.event_class, cell, component=component)
        assert found is not None
        assert found.department.code == "water_affairs"
    assert len(statements(seen)) == 1
    with translation.override("en"):
        assert explain(found.why) == (
            "rule 2: components (the component's owning department), over rule 1: components"
        )
    without = find_responsible(component.event_class, cell)
    assert without is not None
    assert without.why == {"rule": {"number": 1, "kind": "component", "class": "", "unit": ""}}


def test_the_reason_names_the_winner_and_what_it_beat(rules: Rules, cell: Cell) -> None:
    a_class = EventClass.objects.get(kind="event", major="01", minor="03")
    rules(kind="event", major="01", minor="03")
    rules(kind="event", major="01", minor="03", condition=1, unit=cell.street)
    found = find_responsible(a_class, cell, condition=a_class.conditions.get(number=1))
    assert found is not None
    street = cell.street.area_name
    with translation.override("en"):
        assert explain(found.why) == f"rule 2: class 0103, condition 1 in {street}, over rule 1: class 0103"
    with translation.override("zh-hans"):
        assert explain(found.why) == f"规则 2：{street}的类别 0103（立案条件 1），优先于规则 1：类别 0103"


def test_a_rule_holds_for_its_time_and_another_follows_it(rules: Rules, cell: Cell) -> None:
    a_class = EventClass.objects.get(kind="event", major="01", minor="03")
    first, second = Department.objects.order_by("pk")[:2]
    turn = BEGAN + timedelta(days=10)
    rules(kind="event", department=first, valid_to=turn)
    rules(kind="event", department=second, valid_from=turn)
    for at, expected in ((turn - timedelta(microseconds=1), first), (turn, second)):
        found = find_responsible(a_class, cell, at=at)
        assert found is not None
        assert found.department == expected


@pytest.mark.parametrize(
    ("scope", "constraint"),
    [
        ({"kind": "event", "valid_to": BEGAN}, "a_scope_has_one_responsible_department_at_a_time"),
        ({"minor": "03"}, "a_minor_names_its_major_and_a_major_its_kind"),
        ({"kind": "event", "major": "01", "condition": 1}, "a_condition_is_one_of_a_minor_class"),
        ({"kind": "other"}, "a_rule_has_a_known_kind"),
        ({"party": "other"}, "a_rule_names_a_department_or_a_party_of_the_component"),
        ({"department": None}, "a_rule_names_a_department_or_a_party_of_the_component"),
        ({"valid_from": BEGAN, "valid_to": BEGAN - timedelta(1)}, "a_rule_ends|range lower bound"),
    ],
)
def test_what_a_rule_cannot_say(rules: Rules, scope: dict[str, Any], constraint: str) -> None:
    rules(kind="event")
    refused(lambda: rules(**scope), constraint)
