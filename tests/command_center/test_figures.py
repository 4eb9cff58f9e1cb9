"""Figures at the command center: who reads them and of what, numbers that lead to their cases, questions that make no sense."""

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.utils import timezone

from fieldops.models import Event, Post, User
from fieldops.queries import masked_name
from fieldops.status import Role
from fieldops.steps import moving
from gridmap.models import Cell
from tests.doing import holder_of


def today_of(event: Event) -> dict[str, str]:
    day = timezone.localdate(timezone=ZoneInfo(event.district.time_zone)).isoformat()
    return {"first": day, "last": day}


@pytest.fixture
def today(dispatched: Event) -> dict[str, str]:
    return today_of(dispatched)


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
        {"first": "9999-12-31", "last": "9999-12-31"},
        {"first": "0001-01-01", "last": "0001-01-01"},
        {"as_of": "9999-12-31T23:59:59+00:00"},
        {"as_of": "0001-01-01T00:00:00+12:00"},
        {"by": "department", "key": "x"},
        {"by": "channel", "key": "pigeon"},
        {"by": "community", "key": "0"},
        {"page": "0"},
        {"page": "9" * 30},
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


@pytest.mark.parametrize("by", ["department", "post", "class", "reporter", "handler", "checker", "sent"])
def test_a_row_that_does_not_exist_is_empty(
    client: Client, leader: User, dispatched: Event, today: dict[str, str], by: str
) -> None:
    client.force_login(leader)
    for key in ("0", "-1", "9" * 30):
        behind = client.get("/api/command/figures/cases", {"count": "filed", "by": by, "key": key, **today})
        assert (behind.json()["total"], behind.json()["cases"]) == (0, []), key


def test_a_moment_to_come_lets_nothing_fall_due(client: Client, leader: User, dispatched: Event) -> None:
    """Nobody is late yet, whatever moment is asked for."""
    day = timezone.localdate(timezone=ZoneInfo(dispatched.district.time_zone))
    days = {"first": day.isoformat(), "last": (day + timedelta(days=200)).isoformat()}
    assert figures(client, leader, **days)["whole"]["figures"]["overdue_rate"]["above"] == 0
    figures(client, leader, expect=400, as_of=f"{days['last']}T00:00:00", **days)


def test_what_a_number_brings_together_is_told_case_by_case(
    client: Client, leader: User, dispatched: Event, today: dict[str, str]
) -> None:
    client.force_login(leader)
    asked = {"count": "filed,reports", **today}
    told = client.get("/api/command/figures/cases", asked).json()
    assert (told["total"], told["sums"], told["elsewhere"]) == (1, {"filed": 1, "reports": 1}, 0)
    assert told["cases"][0]["brings"] == {"filed": 1, "reports": 1}
    page = client.get("/figures/cases", asked).content.decode()
    assert dispatched.number in page and "figure-pages" not in page
    assert client.get("/api/command/figures/cases", {**asked, "page": 2}).json()["cases"] == []


def test_a_case_that_lies_elsewhere_now_is_counted_and_not_shown(
    client: Client, located: Event, dispatcher: User
) -> None:
    """The figures of a past moment are its street's; who answers for the street sees the case no more."""
    street = located.cell.street
    before = timezone.now().isoformat()
    elsewhere = Cell.objects.in_force().exclude(street=street).order_by("code")[0]
    moving.move_to_cell(located.pk, by=dispatcher, code=elsewhere.code, reason="位置有误")
    client.force_login(holder_of(Post.objects.get(role=Role.LEADER, unit=street)))
    asked = {"count": "reported", "as_of": before, **today_of(located)}
    told = client.get("/api/command/figures/cases", asked).json()
    assert (told["total"], told["elsewhere"], told["cases"]) == (1, 1, [])
    assert located.number not in client.get("/figures/cases", asked).content.decode()


def test_of_the_public_only_the_first_character_is_told(
    client: Client, leader: User, located: Event, resident: User
) -> None:
    [row] = figures(client, leader, by="reporter", **today_of(located))["rows"]
    assert row["key"] == str(resident.pk)
    assert row["name"] == masked_name(str(resident)) != str(resident)


@pytest.mark.parametrize("key", ["x", "999999999999999999999999", "0"])
def test_a_row_that_is_none_has_no_cases(client: Client, leader: User, dispatched: Event, key: str) -> None:
    client.force_login(leader)
    answer = client.get("/api/command/figures/cases", {"count": "filed", "by": "community", "key": key})
    assert answer.status_code == 400


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
