"""A public report's whole life by the interfaces people use: the desks' page and the phones."""

from collections.abc import Callable
from typing import Any

import pytest
import uuid_utils.compat as uuid
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from fieldops.lifecycle import Submission
from fieldops.models import CheckPolicy, Event, FilingCondition, Post, User
from gridmap.models import Cell
from insight.figures import Period, Scope
from insight.returns import ping_pong
from tests.doing import go_on_duty, holder_of, inside, photo_for, worker_of


def desk(by: User, event: Event, action: str, **given: Any) -> dict[str, Any]:
    """A step from the page, and the case as the page shows it afterwards."""
    client = Client()
    client.force_login(by)
    answer = client.post(f"/api/command/events/{event.pk}/{action}", given, content_type="application/json")
    assert answer.status_code == 200, answer.json()
    return answer.json()


def phone(by: User, address: str, *, photo: bool = False, **given: Any) -> dict[str, Any]:
    """A step from a phone, with its photo before it."""
    client = APIClient()
    client.force_authenticate(by)
    step = uuid.uuid7()
    if photo:
        photo_for(Submission(step), by)
    answer = client.post(f"/api/v1/{address}", {"id": str(step), **given}, format="json")
    assert answer.status_code == 200, answer.json()
    return answer.json()


def work(by: User) -> dict[str, Any]:
    client = APIClient()
    client.force_authenticate(by)
    return client.get("/api/v1/work").json()


def test_verified_filed_led_assisted_failed_reworked_and_closed(
    located: Event,
    cell: Cell,
    condition: FilingCondition,
    intake_operator: User,
    dispatcher: User,
) -> None:
    CheckPolicy.objects.create(district=cell.district, checker="worker")
    worker, (x, y) = worker_of(cell), inside(cell)
    go_on_duty(worker)
    spot = {"x": x, "y": y, "system": "WGS84", "accuracy_m": 5}
    desk(intake_operator, located, "accept")
    assert desk(intake_operator, located, "ask_verify")["status"] == "verifying"
    [task] = work(worker)["checks"]
    assert (task["kind"], task["person"], task["event"]["id"]) == ("verify", worker.pk, str(located.pk))
    phone(worker, f"checks/{task['id']}/done", photo=True, found="confirmed", **spot)
    assert work(worker)["checks"] == []
    case = desk(intake_operator, located, "file", condition=condition.pk)
    assert (case["status"], case["checks"][0]["outcome"], case["checks"][0]["flags"]) == (
        "assigned",
        "confirmed",
        [],
    )

    case = desk(dispatcher, located, "dispatch")
    located.refresh_from_db()
    other = Post.objects.filter(role="department_handler", unit__level=1).exclude(
        department=located.department_id
    )
    assistant = holder_of(other.first())
    case = desk(dispatcher, located, "assist", department=other.first().department_id, reason="共管路段")
    lead, beside = case["work_orders"]
    assert [lead["part"], beside["part"]] == ["lead", "assist"]
    handler = holder_of(Post.objects.get(name=lead["post"]))
    for person, order in ((handler, lead), (assistant, beside)):
        assert [one["id"] for one in work(person)["orders"]] == [order["id"]]
        phone(person, f"work/{order['id']}/take-on")
    phone(handler, f"work/{lead['id']}/handled", photo=True)
    assert work(handler)["orders"][0]["handled_at"]
    phone(assistant, f"work/{beside['id']}/handled", photo=True)

    [task] = work(worker)["checks"]
    assert task["kind"] == "check"
    phone(worker, f"checks/{task['id']}/done", photo=True, found="refuted", note="坑还在", **spot)
    [again] = work(handler)["orders"]
    phone(handler, f"work/{again['id']}/take-on")
    phone(handler, f"work/{again['id']}/handled", photo=True)
    [task] = work(worker)["checks"]
    phone(worker, f"checks/{task['id']}/done", photo=True, found="confirmed", **spot)
    located.refresh_from_db()
    assert (located.status, located.closing) == ("closed", "normal")
    assert list(located.transitions.order_by("version").values_list("kind", flat=True)) == [
        *("report", "locate", "accept", "ask_verify", "verify", "file", "assign", "dispatch"),
        *("assist", "take_on", "assist_take_on", "lead_handle", "assist_handle", "handle"),
        *("rework", "take_on", "handle", "confirm", "close"),
    ]


def test_a_whistle_from_the_phone(dispatched: Event, cell: Cell) -> None:
    other = Post.objects.filter(role="department_handler", unit__level=1)
    called = other.exclude(department=dispatched.department_id).first()
    phone(
        worker_of(cell),
        f"events/{dispatched.pk}/whistle",
        departments=[called.department_id],
        note="请到现场",
    )
    person, (x, y) = holder_of(called), inside(cell)
    [order] = work(person)["orders"]
    assert order["part"] == "whistle"
    phone(person, f"work/{order['id']}/arrived", x=x, y=y, system="WGS84")
    [order] = work(person)["orders"]
    assert order["arrived_at"]


def test_handled_on_the_spot_from_the_phone(
    file_report: Callable[..., Any], grid_worker: User, condition: FilingCondition
) -> None:
    receipt = file_report(grid_worker, condition_id=condition.pk, self_handled=True)
    photo_for(Submission(receipt.report.pk), grid_worker)
    step = phone(grid_worker, f"events/{receipt.event.pk}/self-handled", photo=True, note="已清理")
    assert step["status"] == "closed"


def test_returned_three_times(dispatched: Event, dispatcher: User) -> None:
    others = Post.objects.filter(role="department_handler", unit__level=1).exclude(
        department=dispatched.department_id
    )
    for post in others.order_by("pk")[:2]:
        order = dispatched.work_orders.get(finished_at__isnull=True)
        phone(holder_of(order.post), f"work/{order.pk}/send-back", note="非我单位")
        desk(dispatcher, dispatched, "assign", department=post.department_id, reason="改派")
        case = desk(dispatcher, dispatched, "dispatch")
    assert case["returns"] == 2
    order = dispatched.work_orders.get(finished_at__isnull=True)
    client = APIClient()
    client.force_authenticate(holder_of(order.post))
    refused = client.post(
        f"/api/v1/work/{order.pk}/send-back", {"id": str(uuid.uuid7()), "note": "非我单位"}, format="json"
    )
    assert (refused.status_code, refused.json()["code"]) == (409, "returns_spent")
    now = timezone.now()
    pairs = ping_pong(Period(dispatched.received_at, now, now), Scope(dispatched.district_id))
    assert sum(pair.times for pair in pairs) >= 1


@pytest.mark.parametrize("action", ["ask_verify", "assist", "release", "reclassify", "close_specially"])
def test_outsiders_reach_none_of_it(dispatched: Event, outsider: User, resident: User, action: str) -> None:
    for person in (outsider, resident):
        client = Client()
        client.force_login(person)
        answer = client.post(
            f"/api/command/events/{dispatched.pk}/{action}", {"reason": "x"}, content_type="application/json"
        )
        assert answer.status_code in (403, 404)
