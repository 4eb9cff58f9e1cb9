"""Who answers for which class in which street: the set-based answer is the one that a case would get."""

from random import Random

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from fieldops.demo import EDITION
from fieldops.models import EventClass, ResponsibilityRule
from fieldops.responsibility.assignment import find_responsible
from fieldops.responsibility.coverage import pairs, places_with_owner
from gridmap.models import Cell, GridUnit, Level

pytestmark = pytest.mark.django_db


def test_every_class_in_every_street_is_a_pair_with_an_owner() -> None:
    streets = GridUnit.objects.filter(level=Level.STREET_COMMITTEE)
    with CaptureQueriesContext(connection) as seen:
        found = list(pairs())
    assert len(seen) == 3
    assert len(found) == EventClass.objects.filter(edition=EDITION).count() * streets.count() == 190 * 11
    assert not any(pair.without for pair in found)
    cells = Cell.objects.in_force().count()
    assert sum(pair.cells for pair in found) == 190 * cells
    assert list(pairs(only_without=True)) == []


def test_it_says_what_a_case_there_would_be_told() -> None:
    """Also where the rules tell the parts of a street apart."""
    chance = Random(3)
    ResponsibilityRule.objects.filter(
        pk__in=chance.sample(list(ResponsibilityRule.objects.values_list("pk", flat=True)), 60)
    ).delete()
    rows = list(places_with_owner().select_related("event_class"))
    differing = 0
    for row in chance.sample(rows, 120):
        cells = Cell.objects.in_force().filter(street=row.street_id, regional_group=row.regional_group_id)
        for name in ("community", "party_group"):
            unit = getattr(row, f"{name}_id")
            named = ResponsibilityRule.objects.filter(unit__level__in=[4, 5]).values("unit")
            cells = cells.filter(**{name: unit}) if unit else cells.exclude(**{f"{name}__in": named})
        assert cells.count() == row.cells
        found = find_responsible(row.event_class, cells.order_by("?").first())
        assert row.owner == (found.department.pk if found else None)
        differing += row.community_id is not None
    assert differing


def test_pairs_without_an_owner_are_named_with_their_cells() -> None:
    ResponsibilityRule.objects.exclude(unit__level=Level.COMMUNITY).delete()
    rule = ResponsibilityRule.objects.select_related("unit__parent").get()
    mine = [pair for pair in pairs(street=rule.unit.parent.code) if pair.event_class.major == rule.major]
    inside = Cell.objects.in_force().filter(community=rule.unit).count()
    kinds = {pair.event_class.kind for pair in mine}
    assert kinds == {"event", "component"}
    for pair in mine:
        owned = pair.event_class.kind == rule.kind and rule.minor in ("", pair.event_class.minor)
        assert dict(pair.owners) == ({rule.department.name: inside} if owned else {})
    streets = Cell.objects.in_force().filter(street=rule.unit.parent).count()
    assert {pair.cells for pair in mine} == {streets}
    without = list(pairs(kind="event", only_without=True))
    assert len(without) == EventClass.objects.filter(edition=EDITION, kind="event").count() * 11
