"""Supervision and call-backs on phones: one's own cards, one's own reports, and a door for those without a name."""

from typing import Any

import pytest
import uuid_utils.compat as uuid
from django.utils import timezone
from rest_framework.test import APIClient

from fieldops.models import CallBack, Event, Report, Supervision, User
from fieldops.steps.satisfaction import code_for_receipt
from fieldops.steps.supervision import supervise
from fieldops.tasks import ask_reporters_back
from tests.doing import handler_of


@pytest.fixture
def phone() -> Any:
    def phone(user: User | None = None) -> APIClient:
        client = APIClient()
        if user is not None:
            client.force_authenticate(user)
        return client

    return phone


def test_a_card_is_answered_on_the_phone(
    phone: Any, dispatched: Event, supervisor: User, resident: User, outsider: User
) -> None:
    card = supervise(dispatched.pk, by=supervisor, card="reminder", reason="催办")
    handler = phone(handler_of(dispatched))
    [row] = handler.get("/api/v1/supervisions").json()["supervisions"]
    assert (row["id"], row["mine"], row["card"]) == (str(card.pk), True, "reminder")
    assert phone(resident).get("/api/v1/supervisions").json() == {"supervisions": []}
    assert phone(outsider).get("/api/v1/supervisions").status_code == 403
    answer = {
        "id": str(uuid.uuid7()),
        "received_when": timezone.now().isoformat(),
        "contacted": "班长",
        "measures": "已出动",
        "new_deadline": "2099-01-01T12:00:00+08:00",
    }
    address = f"/api/v1/supervisions/{card.pk}/answer"
    assert phone(supervisor).post(address, answer, format="json").status_code == 404
    first = handler.post(address, answer, format="json")
    assert (first.status_code, first.json()["kind"]) == (200, "answer")
    assert handler.post(address, answer, format="json").json() == first.json()
    other = {**answer, "measures": "又说"}
    assert handler.post(address, other, format="json").json()["code"] == "submission_conflict"
    assert Supervision.objects.get().measures == "已出动"


def test_a_resident_rates_the_result(phone: Any, closed: Event, resident: User, other_resident: User) -> None:
    app = phone(resident)
    assert app.get("/api/v1/call-backs").json() == {"call_backs": []}
    ask_reporters_back()
    [row] = app.get("/api/v1/call-backs").json()["call_backs"]
    assert row["number"] == closed.number
    rating = {"id": str(uuid.uuid7()), "rating": "dissatisfied", "resolved": False, "reason": "坑还在"}
    address = f"/api/v1/call-backs/{row['id']}/answer"
    assert phone(other_resident).post(address, rating, format="json").status_code == 404
    assert phone().post(address, rating, format="json").status_code == 401
    silent = {**rating, "reason": " "}
    assert app.post(address, silent, format="json").json()["code"] in ("invalid", "reason_missing")
    first = app.post(address, rating, format="json")
    assert (first.status_code, first.json()["kind"]) == (200, "rate")
    assert app.post(address, rating, format="json").json() == first.json()
    assert app.get("/api/v1/call-backs").json() == {"call_backs": []}
    closed.refresh_from_db()
    assert closed.status == "assigned"


def test_an_anonymous_reporter_gets_a_code_and_uses_it(
    phone: Any, closed: Event, intake_operator: User, resident: User
) -> None:
    ask_reporters_back()
    one = CallBack.objects.get(event=closed, way="code")
    told = phone(intake_operator).get(f"/api/v1/reports/{one.report_id}").json()
    code = told["call_back_code"]
    assert code == code_for_receipt(one.report)
    own = Report.objects.get(event=closed, reporter=resident)
    assert phone(resident).get(f"/api/v1/reports/{own.pk}").json()["call_back_code"] is None
    door, rating = phone(), {"rating": "satisfied", "resolved": True}
    wrong = [
        door.post("/api/v1/call-backs/code", {**rating, "number": number, "code": tried}, format="json")
        for number, tried in ((closed.number, "AAAA-BBBB-CCCC-DDDD"), ("20990101000001", code))
    ]
    assert [answer.status_code for answer in wrong] == [404, 404]
    assert wrong[0].content == wrong[1].content
    right = {**rating, "number": closed.number, "code": code.lower()}
    answer = door.post("/api/v1/call-backs/code", right, format="json")
    assert (answer.status_code, answer.json()["reopened"]) == (200, False)
    one.refresh_from_db()
    assert one.rating == "satisfied"


def test_guessing_codes_is_slowed(phone: Any, closed: Event) -> None:
    ask_reporters_back()
    guess = {"number": closed.number, "code": "A" * 16, "rating": "satisfied", "resolved": True}
    answers = [
        phone().post("/api/v1/call-backs/code", guess, format="json").status_code for _try in range(12)
    ]
    assert (answers[0], answers[-1]) == (404, 429)
