"""推诿: pairs between which work is passed on, told to those who answer for the area, and to nobody else."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from fieldops.models import Event, Post, User
from fieldops.status import Role
from fieldops.steps import desk, fieldwork, moving
from gridmap.models import Cell
from insight import exclusions
from insight.figures import Period, Scope
from insight.returns import Pair, ping_pong
from tests.doing import handler_of, holder_of, key


@pytest.fixture
def passed_on(dispatched: Event, dispatcher: User) -> Event:
    """From the first department to another, which sends it back as well: to the first again."""
    first = dispatched.department_id
    other = Post.objects.filter(role=Role.DEPARTMENT_HANDLER, unit__level=1).exclude(department=first)[0]
    for department in (other.department_id, first):
        order = dispatched.work_orders.get(finished_at__isnull=True)
        fieldwork.send_back(order.pk, by=handler_of(dispatched), submission=key(), reason="非我单位职责")
        desk.assign(dispatched.pk, by=dispatcher, department_id=department, reason="改派")
        desk.dispatch(dispatched.pk, by=dispatcher)
    dispatched.refresh_from_db()
    return dispatched


def pairs_of(event: Event, *, within: Any = None) -> list[Pair]:
    now = timezone.now()
    period = Period(event.received_at - timedelta(hours=1), now + timedelta(hours=1), now)
    return ping_pong(period, Scope(event.district_id, within=within))


def test_a_pair_is_told_with_both_ways_and_its_cases(passed_on: Event) -> None:
    [pair] = pairs_of(passed_on)
    assert (pair.there, pair.back, pair.times) == (1, 1, 2)
    assert passed_on.department_id in pair.keys
    assert pair.cases == {passed_on.pk: passed_on.number}
    assert list(pair.classes.values()) == [2]


def test_a_department_that_gets_its_case_again_is_in_no_pair(dispatched: Event, dispatcher: User) -> None:
    order = dispatched.work_orders.get()
    fieldwork.send_back(order.pk, by=handler_of(dispatched), submission=key(), reason="地点有误")
    desk.assign(dispatched.pk, by=dispatcher, department_id=dispatched.department_id, reason="补正")
    desk.dispatch(dispatched.pk, by=dispatcher)
    assert pairs_of(dispatched) == []


def test_only_the_area_counts_and_what_is_excluded_does_not(
    passed_on: Event, shift_leader: User, leader: User
) -> None:
    street = passed_on.cell.street
    elsewhere = type(street).objects.filter(level=street.level).exclude(pk=street.pk)[0]
    assert len(pairs_of(passed_on, within=(street,))) == 1
    assert pairs_of(passed_on, within=(elsewhere,)) == []
    assert pairs_of(passed_on, within=()) == []
    asked = exclusions.ask(passed_on.pk, by=shift_leader, reason="演练")
    exclusions.decide(asked.pk, by=leader, approved=True)
    assert pairs_of(passed_on) == []


def test_a_past_return_is_its_areas_wherever_the_case_lies_now(passed_on: Event, dispatcher: User) -> None:
    street, then = passed_on.cell.street, timezone.now()
    desk.recall(passed_on.pk, by=dispatcher, reason="位置有误")
    elsewhere = Cell.objects.in_force().exclude(street=street).order_by("code")[0]
    moving.move_to_cell(passed_on.pk, by=dispatcher, code=elsewhere.code, reason="位置有误")
    for as_of, where in ((then, street), (timezone.now(), elsewhere.street)):
        period = Period(passed_on.received_at - timedelta(hours=1), as_of + timedelta(hours=1), as_of)
        found = {
            unit.pk: len(ping_pong(period, Scope(passed_on.district_id, within=(unit,))))
            for unit in (street, elsewhere.street)
        }
        assert {key for key, pairs in found.items() if pairs} == {where.pk}


def test_three_statements(passed_on: Event, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(3):
        pairs_of(passed_on)


def test_a_leader_reads_them_in_both_languages_and_as_json(
    client: Client, leader: User, passed_on: Event
) -> None:
    client.force_login(leader)
    for language, heading in (("zh-hans", "部门间推诿"), ("en", "Passed on between departments")):
        client.cookies["django_language"] = language
        answer = client.get("/figures/returns")
        assert answer.status_code == 200
        assert heading in answer.content.decode()
        assert passed_on.number in answer.content.decode()
    [told] = client.get("/api/command/returns").json()["pairs"]
    assert (told["there"], told["back"]) == (1, 1)
    assert told["cases"] == [{"id": str(passed_on.pk), "number": passed_on.number}]
    wrong = client.get("/api/command/returns", {"first": "2026-02-01", "last": "2026-01-01"})
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid")
    assert client.get("/figures/returns", {"first": "x"}).status_code == 400


def test_a_leader_of_another_street_reads_of_none(client: Client, passed_on: Event) -> None:
    elsewhere = Post.objects.filter(role=Role.LEADER, unit__level=3).exclude(unit=passed_on.cell.street)
    client.force_login(holder_of(elsewhere[0]))
    assert client.get("/api/command/returns").json() == {"pairs": []}


@pytest.mark.parametrize("who", ["outsider", "resident", "dispatcher", "grid_worker", "department_handler"])
def test_others_are_refused(
    request: pytest.FixtureRequest, client: Client, who: str, passed_on: Event
) -> None:
    client.force_login(request.getfixturevalue(who))
    assert client.get("/api/command/returns").status_code == 403
    assert client.get("/figures/returns").status_code == 403
