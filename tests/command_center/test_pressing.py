"""Supervision and call-backs at the command center, over HTTP: what is offered to whom, and what comes of it."""

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from fieldops.models import CallBack, ContactAccess, Event, Supervision, User
from fieldops.steps.supervision import supervise
from fieldops.tasks import ask_reporters_back
from tests.doing import assisted, handler_of, holder_of

CODES = {"card": "yellow", "reason": "居民再次来电"}


@pytest.fixture
def enter() -> Any:
    def enter(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return enter


def act(client: Client, event: Event, action: str, **fields: Any) -> Any:
    return client.post(f"/api/command/events/{event.pk}/{action}", fields, content_type="application/json")


def offered(client: Client, event: Event) -> dict[str, Any]:
    detail = client.get(f"/api/command/events/{event.pk}").json()
    return {
        action["name"]: {field["name"]: field for field in action["fields"]} for action in detail["actions"]
    }


def test_a_card_is_given_and_answered_from_the_panel(
    enter: Any, dispatched: Event, supervisor: User, dispatcher: User, intake_operator: User
) -> None:
    desk = enter(supervisor)
    form = offered(desk, dispatched)["supervise"]
    assert [choice["value"] for choice in form["card"]["choices"]] == ["reminder", "yellow", "red"]
    assert len(form["post"]["choices"]) == 6  # who has to act, and five organisations
    assert "supervise" not in offered(enter(dispatcher), dispatched)
    assert act(enter(dispatcher), dispatched, "supervise", **CODES).status_code == 403
    refused = act(desk, dispatched, "supervise", reason="催办")
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, "#/card")
    detail = act(desk, dispatched, "supervise", **CODES).json()
    [told] = detail["supervisions"]
    assert (told["card"], told["post"], told["answer"]) == (
        "yellow", dispatched.work_orders.get().post.name, None,
    )  # fmt: skip

    handler = enter(handler_of(dispatched))
    assert [row["mine"] for row in handler.get("/api/command/supervisions").json()["supervisions"]] == [True]
    assert [row["mine"] for row in desk.get("/api/command/supervisions").json()["supervisions"]] == [False]
    assert enter(intake_operator).get("/api/command/supervisions").json() == {"supervisions": []}
    form = offered(handler, dispatched)["answer"]
    assert "answer" not in offered(desk, dispatched)
    answer = {
        "supervision": form["supervision"]["value"],
        "received_when": timezone.now().isoformat(),
        "contacted": "班长",
        "measures": "已出动",
        "new_deadline": "2099-01-01T12:00:00+08:00",
    }
    missing = act(handler, dispatched, "answer", supervision=answer["supervision"])
    assert {error["pointer"] for error in missing.json()["errors"]} == {
        "#/received_when", "#/contacted", "#/measures", "#/new_deadline",
    }  # fmt: skip
    assert act(desk, dispatched, "answer", **answer).json()["code"] == "not_found"
    [told] = act(handler, dispatched, "answer", **answer).json()["supervisions"]
    assert told["answer"]["contacted"] == "班长"
    assert act(handler, dispatched, "answer", **answer).json()["code"] == "already_answered"
    assert desk.get("/api/command/supervisions").json() == {"supervisions": []}


def test_who_works_beside_the_lead_is_offered_the_answer(
    enter: Any, dispatched: Event, supervisor: User, dispatcher: User
) -> None:
    _order, other = assisted(dispatched, dispatcher)
    desk, called = enter(supervisor), enter(holder_of(other))
    assert other.pk in [
        choice["value"] for choice in offered(desk, dispatched)["supervise"]["post"]["choices"]
    ]
    assert act(desk, dispatched, "supervise", **CODES, post=other.pk).status_code == 200
    again = act(desk, dispatched, "supervise", **CODES, post=other.pk)
    assert (again.status_code, again.json()["code"]) == (409, "already_supervised")
    assert "answer" in offered(called, dispatched)
    assert "answer" not in offered(enter(holder_of(dispatched.work_orders.get(part="lead").post)), dispatched)


def test_a_desk_calls_back_and_writes_the_answer_down(
    enter: Any, closed: Event, intake_operator: User, dispatcher: User, resident: User
) -> None:
    ask_reporters_back()
    desk = enter(intake_operator)
    [call] = desk.get("/api/command/call-backs").json()["call_backs"]
    assert call["reporter"] == "赵* 138****1234"
    address = f"/api/command/call-backs/{call['id']}/contact"
    assert enter(dispatcher).post(address).status_code == 403
    assert enter(resident).post(address).status_code == 403
    contact = desk.post(address)
    assert (contact.json()["phone"], contact["Cache-Control"]) == ("13800001234", "no-store")
    assert ContactAccess.objects.get().by == intake_operator
    form = offered(desk, closed)["rate"]
    assert len(form["call_back"]["choices"]) == 2  # the caller and the one with a code; not who has the app
    rating = {"call_back": call["id"], "rating": "dissatisfied", "resolved": "false"}
    assert act(desk, closed, "rate", **rating).json()["code"] == "reason_missing"
    detail = act(desk, closed, "rate", **rating, reason="井盖仍缺").json()
    assert (detail["status"], detail["call_backs"][0]["way"]) == ("assigned", "app")
    assert CallBack.objects.get(pk=call["id"]).reopened


def test_open_cards_of_ended_cases_are_moot(enter: Any, dispatched: Event, supervisor: User) -> None:
    supervise(dispatched.pk, by=supervisor, card="red", reason="逾期")
    desk = enter(supervisor)
    assert len(desk.get("/api/command/supervisions").json()["supervisions"]) == 1
    Event.objects.filter(pk=dispatched.pk).update(status="closed")
    assert desk.get("/api/command/supervisions").json()["supervisions"] == []
    assert Supervision.objects.get().answered_at is None


def test_a_desk_replies_to_whom_it_took_a_report_down_for(
    enter: Any, file_report: Any, intake_operator: User, dispatcher: User, outsider: User
) -> None:
    receipt = file_report(intake_operator, matter="utility", external_number="12345-2026-7")
    desk = enter(intake_operator)
    [owed] = desk.get("/api/command/replies").json()["replies"]
    assert (owed["number"], owed["external_number"], owed["matter"]) == (
        receipt.event.number, "12345-2026-7", "utility",
    )  # fmt: skip
    for other in (dispatcher, outsider):
        assert enter(other).get("/api/command/replies").json().get("replies", []) == []
        assert act(enter(other), receipt.event, "reply", report=owed["id"], reason="x").status_code in (
            403,
            404,
        )
    form = offered(desk, receipt.event)["reply"]
    assert form["report"]["choices"] == [{"value": owed["id"], "label": "12345热线 12345-2026-7"}]
    refused = act(desk, receipt.event, "reply", reason="已安排")
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, "#/report")
    detail = act(desk, receipt.event, "reply", report=owed["id"], reason="已安排市政部门处理").json()
    assert detail["reports"][0]["replied_at"] is not None
    assert "reply" not in {action["name"] for action in detail["actions"]}
    again = act(desk, receipt.event, "reply", report=owed["id"], reason="已安排市政部门处理")
    assert (again.status_code, again.json()["code"]) == (409, "already_replied")
    assert desk.get("/api/command/replies").json() == {"replies": []}
