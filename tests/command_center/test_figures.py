"""Figures at the command center: who reads them and of what, numbers that lead to their cases, questions that make no sense."""

from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.utils import timezone

from fieldops.models import Event, Post, User
from fieldops.status import Role
from tests.doing import holder_of


@pytest.fixture
def today(dispatched: Event) -> dict[str, str]:
    day = timezone.localdate(timezone=ZoneInfo(dispatched.district.time_zone)).isoformat()
    return {"first": day, "last": day}


def figures(client: Client, who: User, expect: int = 200, **asked: Any) -> Any:
    client.force_login(who)
    answer = client.get("/api/command/figures", asked)
    assert answer.status_code == expect, answer.content
    return answer.json()


def test_a_leader_reads_figures_and_opens_their_cases(
    client: Client, leader: User, dispatched: Event, located: Event, today: dict[str, str]
) -> None:
    told = figures(client, leader, by="street_committee", **today)
    assert told["whole"]["figures"]["filing_rate"] == {"value": 0.5, "above": 1, "below": 2}
    assert len(told["indicators"]) == len(told["whole"]["figures"])
    [row] = told["rows"]
    assert (row["key"], row["name"]) == (str(dispatched.cell.street_id), dispatched.cell.street.name)
    asked = {"by": "street_committee", "key": row["key"], **today}
    behind = client.get("/api/command/figures/cases", {"count": "filed", **asked}).json()
    assert [one["id"] for one in behind["cases"]] == [str(dispatched.pk)]
    both = client.get("/api/command/figures/cases", {"count": "reported", **asked}).json()
    assert {one["id"] for one in both["cases"]} == {str(dispatched.pk), str(located.pk)}


def test_who_answers_for_a_part_reads_of_that_part(
    client: Client, dispatched: Event, today: dict[str, str]
) -> None:
    own = holder_of(Post.objects.get(role=Role.LEADER, unit=dispatched.cell.street))
    assert figures(client, own, **today)["whole"]["figures"]["filing_rate"]["below"] == 1
    elsewhere = Post.objects.filter(role=Role.LEADER, unit__level=3).exclude(unit=dispatched.cell.street)
    other = holder_of(elsewhere[0])
    told = figures(client, other, unit=dispatched.cell.street_id, **today)
    assert told["whole"]["figures"]["filing_rate"]["below"] == 0
    assert told["rows"] == []
    behind = client.get("/api/command/figures/cases", {"count": "reported", **today})
    assert behind.json()["cases"] == []


@pytest.mark.parametrize("who", ["outsider", "resident", "dispatcher", "grid_worker", "department_handler"])
def test_others_are_refused(
    request: pytest.FixtureRequest, client: Client, who: str, today: dict[str, str]
) -> None:
    person = request.getfixturevalue(who)
    figures(client, person, expect=403, **today)
    assert client.get("/api/command/figures/cases", {"count": "filed", **today}).status_code == 403
    assert client.get("/figures/").status_code == 403
    assert client.get("/figures/cases", {"count": "filed"}).status_code == 403


@pytest.mark.parametrize(
    "wrong",
    [
        {"first": "yesterday"},
        {"first": "2026-12-31", "last": "2026-01-01"},
        {"first": "2020-01-01", "last": "2026-01-01"},
        {"by": "1; DROP TABLE fieldops_event"},
        {"unit": "x"},
        {"unit": "999999999"},
        {"as_of": "soon"},
        {"count": "filed,passwords"},
    ],
)
def test_a_question_that_makes_no_sense_is_answered_so(
    client: Client, leader: User, wrong: dict[str, str]
) -> None:
    client.force_login(leader)
    for address in ("/api/command/figures", "/api/command/figures/cases", "/figures/", "/figures/cases"):
        asked = {"count": "filed", **wrong}
        answer = client.get(address, asked)
        assert answer.status_code == 400, (address, answer.content)
        if address.startswith("/api/"):
            assert answer["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("key", ["x", "999999999999999999999999", "0"])
def test_a_row_that_is_none_has_no_cases(client: Client, leader: User, dispatched: Event, key: str) -> None:
    client.force_login(leader)
    answer = client.get("/api/command/figures/cases", {"count": "filed", "by": "community", "key": key})
    assert answer.status_code in (400, 422)


def test_every_way_to_divide_a_table_is_answered(
    client: Client, leader: User, dispatched: Event, today: dict[str, str]
) -> None:
    from command_center.figures import BY_LABELS

    for by in BY_LABELS:
        told = figures(client, leader, by=by, **today)
        assert told["whole"]["figures"]["filing_rate"]["above"] == 1
        for row in told["rows"]:
            asked = {"by": by, "key": row["key"], "count": "filed", **today}
            behind = client.get("/api/command/figures/cases", asked)
            assert len(behind.json()["cases"]) == row["figures"]["filing_rate"]["above"], by
