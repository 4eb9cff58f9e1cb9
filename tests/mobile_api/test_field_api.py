"""The field API as a phone meets it: HTTP in, HTTP out."""

import io
import json
from datetime import timedelta
from typing import Any

import pytest
import uuid_utils.compat as uuid
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from openapi_spec_validator import validate as validate_openapi
from PIL import Image

from devstack.clients import PASSWORD, new_id
from fieldops.logins import may_try
from fieldops.models import Event, EventClass, FilingCondition, Holding, Photo, Post, Report, Transition, User
from fieldops.steps import approvals
from fieldops.tasks import make_missing_thumbnails
from gridmap.models import Cell, Department
from realtime.models import Letter, Mailbox
from realtime.tickets import CannotTell, redeem_ticket
from tests.doing import Phone, chief_of, handler_of, inside, worker_of


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 24), "red").save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def body(cell: Cell, event_class: EventClass) -> dict[str, Any]:
    x, y = inside(cell)
    return {
        "id": new_id(),
        "class": event_class.key,
        "description": "现场情况说明",
        "x": x,
        "y": y,
        "system": "WGS84",
        "accuracy_m": 9,
    }


def is_problem(answer: Any, status: int, code: str) -> None:
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    told = answer.json()
    assert (told["status"], told["code"], told["type"]) == (status, code, f"urn:problem:{code}")
    assert told["title"]


# --- logging in ---------------------------------------------------------------------------------------


def test_without_a_token_nothing_is_answered(db: None) -> None:
    for path in ("me", "work", "event-classes", "sync"):
        is_problem(Client().get(f"/api/v1/{path}"), 401, "not_authenticated")


def test_a_wrong_password_is_refused(grid_worker: User) -> None:
    wrong = {"username": grid_worker.username, "password": "wrong"}
    answer = Client().post("/api/v1/login", data=json.dumps(wrong), content_type="application/json")
    is_problem(answer, 401, "login_failed")


def test_the_eleventh_log_in_forgets_the_oldest_token(grid_worker: User) -> None:
    phones = []
    for _ in range(11):
        cache.clear()  # log-ins are slowed, too
        phones.append(Phone(grid_worker))
    is_problem(phones[0].get("me"), 401, "authentication_failed")
    assert all(phone.get("me").status_code == 200 for phone in phones[1:])


def test_the_token_of_someone_who_left_acknowledges_nothing(dispatched: Event) -> None:
    handler = handler_of(dispatched)
    device, box = Phone(handler), Mailbox.objects.get(post__holders=handler)
    User.objects.filter(pk=handler.pk).update(is_active=False)
    ack = {"mailbox": box.pk, "device": new_id(), "epoch": str(box.epoch), "seq": 1}
    is_problem(device.post("ack", ack), 401, "authentication_failed")
    assert Letter.objects.get(mailbox=box).received_at is None


def test_words_that_cannot_be_seen_are_no_reason(dispatched: Event) -> None:
    device, order = Phone(handler_of(dispatched)), dispatched.work_orders.get()
    answer = device.post(f"work/{order.pk}/send-back", {"id": new_id(), "note": "\u200b\u200b"})
    is_problem(answer, 400, "invalid")
    assert answer.json()["errors"][0]["pointer"] == "#/note"


def test_guessing_is_slowed(grid_worker: User) -> None:
    wrong = json.dumps({"username": "worker001", "password": "wrong"})
    answers = [Client().post("/api/v1/login", data=wrong, content_type="application/json") for _ in range(11)]
    is_problem(answers[-1], 429, "throttled")
    assert answers[9].status_code == 401


def test_an_outsider_has_a_password_and_no_right(outsider: User) -> None:
    body = {"username": "outsider", "password": "outside-of-everything-9"}
    answer = Client().post("/api/v1/login", data=json.dumps(body), content_type="application/json")
    token = answer.json()["token"]
    for path in ("me", "work", "event-classes"):
        is_problem(
            Client(headers={"Authorization": f"Token {token}"}).get(f"/api/v1/{path}"), 403, "not_permitted"
        )


def test_logging_out_ends_the_token(grid_worker: User) -> None:
    phone = Phone(grid_worker)
    assert phone.get("me").json()["posts"][0]["role"] == "grid_worker"
    assert phone.post("logout").status_code == 204
    is_problem(phone.get("me"), 401, "authentication_failed")


# --- reports ---------------------------------------------------------------------------------------------


def test_a_report_is_answered_with_its_place_and_its_owner(
    grid_worker: User, body: dict[str, Any], condition: FilingCondition, cell: Cell
) -> None:
    answer = Phone(grid_worker).post("reports", {**body, "condition": condition.pk})
    assert answer.status_code == 201
    told = answer.json()
    assert told["cell"] == cell.code
    assert [level["level"] for level in told["levels"]] == [1, 2, 3, 4, 5, 6]
    assert told["event"]["status"] == "dispatched"
    assert told["department"]
    assert told["why"].startswith("rule ")


def test_the_same_submission_twice(grid_worker: User, body: dict[str, Any]) -> None:
    phone = Phone(grid_worker)
    first, again = phone.post("reports", body), phone.post("reports", dict(reversed(body.items())))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["event"] == again.json()["event"]
    is_problem(phone.post("reports", {**body, "description": "另一件事"}), 409, "submission_conflict")
    assert Report.objects.count() == 1


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"x": 116.4, "y": 39.9}, 422, "point_outside_district"),
        ({"class": "event/9999"}, 422, "unknown_class"),
        ({"class": "事件/一"}, 422, "unknown_class"),
        ({"condition": 1_999_999_999}, 422, "unknown_condition"),
        ({"system": "EPSG:2000"}, 422, "unknown_coordinate_system"),
        ({"system": None}, 400, "invalid"),
        ({"x": "NaN"}, 400, "invalid"),
        ({"x": float("inf")}, 400, "parse_error"),
        ({"y": 91}, 422, "implausible_position"),
        ({"x": 40.65, "y": 109.9}, 422, "implausible_position"),
        ({"x": 406962.6, "y": 4502287.4}, 422, "implausible_position"),
        ({"x": 4502287.4, "y": 406962.6, "system": "EPSG:4546"}, 422, "implausible_position"),
        ({"system": ""}, 400, "invalid"),
        ({"id": "7"}, 400, "invalid"),
        ({"id": "00000000-0000-4000-8000-000000000000"}, 400, "invalid"),
        ({"description": ""}, 400, "invalid"),
        ({"description": "a\x00b"}, 400, "invalid"),
        ({"description": "\ud800"}, 400, "invalid"),
        ({"description": "x" * 2001}, 400, "invalid"),
        ({"contact": {"phone": "call me"}}, 400, "invalid"),
        ({"contact": []}, 400, "invalid"),
        ({"accuracy_m": -1}, 400, "invalid"),
        ({"reported_at": "yesterday"}, 400, "invalid"),
        ({"channel": "telepathy"}, 400, "invalid"),
        ({"channel": "hotline_12345"}, 403, "not_permitted"),
    ],
    ids=str,
)
def test_bad_input_gets_a_problem_and_writes_nothing(
    grid_worker: User, body: dict[str, Any], change: dict[str, Any], status: int, code: str
) -> None:
    is_problem(Phone(grid_worker).post("reports", {**body, **change}), status, code)
    assert not Event.objects.exists()
    assert not Report.objects.exists()
    assert not Transition.objects.exists()


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'"x"', b"null", b"\xff\xfe", b'{"id": 1' + b"[" * 5000])
def test_a_broken_payload_gets_a_problem(grid_worker: User, raw: bytes) -> None:
    phone = Phone(grid_worker)
    answer = phone.client.post("/api/v1/reports", data=raw, content_type="application/json")
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    assert not Report.objects.exists()


def test_errors_name_the_field(grid_worker: User, body: dict[str, Any]) -> None:
    del body["system"]
    answer = Phone(grid_worker).post("reports", body)
    assert [(e["pointer"], e["code"]) for e in answer.json()["errors"]] == [("#/system", "required")]


def test_a_form_is_not_accepted_where_json_is_wanted(grid_worker: User) -> None:
    answer = Phone(grid_worker).client.post("/api/v1/reports", {"id": "1"})
    is_problem(answer, 415, "unsupported_media_type")


def test_a_report_is_shown_to_its_reporter_alone(
    resident: User, other_resident: User, body: dict[str, Any]
) -> None:
    assert Phone(resident).post("reports", body).status_code == 201
    assert Phone(resident).get(f"reports/{body['id']}").json()["event"]["status"] == "located"
    is_problem(Phone(other_resident).get(f"reports/{body['id']}"), 404, "not_found")


def test_one_report_over_http_costs_eight_statements_beside_authentication(
    grid_worker: User, body: dict[str, Any], condition: FilingCondition
) -> None:
    phone = Phone(grid_worker)
    with CaptureQueriesContext(connection) as who:
        assert phone.get("me").status_code == 200
    with CaptureQueriesContext(connection) as whole:
        assert phone.post("reports", {**body, "condition": condition.pk}).status_code == 201
    control = ("SAVEPOINT", "RELEASE")
    sent = [q["sql"] for q in whole.captured_queries if not q["sql"].startswith(control)]
    assert len(sent) - len(who.captured_queries) == 8, "\n".join(sent)


# --- work ----------------------------------------------------------------------------------------------------


def test_from_work_order_to_closure_over_http(dispatched: Event) -> None:
    phone = Phone(handler_of(dispatched))
    [order] = phone.get("work").json()["orders"]
    assert order["event"]["number"] == dispatched.number
    assert phone.post(f"work/{order['id']}/seen").json()["seen_at"]
    assert phone.post(f"work/{order['id']}/take-on", {"id": new_id()}).json()["status"] == "taken_on"
    key = new_id()
    is_problem(phone.post(f"work/{order['id']}/handled", {"id": key}), 422, "photo_missing")
    assert phone.photo(key, picture()).status_code == 201
    handled = phone.post(f"work/{order['id']}/handled", {"id": key, "note": "已清运"})
    assert handled.json()["status"] == "handled"
    assert phone.post(f"work/{order['id']}/handled", {"id": key, "note": "已清运"}).json() == handled.json()
    is_problem(
        phone.post(f"work/{order['id']}/handled", {"id": key, "note": "别的"}), 409, "submission_conflict"
    )
    is_problem(phone.post(f"work/{order['id']}/take-on", {"id": new_id()}), 409, "illegal_transition")

    chief = Phone(chief_of(dispatched))
    [waiting] = chief.get("work").json()["confirmations"]
    x, y = waiting["point"]
    half = {"id": new_id(), "resolved": True, "x": x}
    is_problem(chief.post(f"events/{waiting['id']}/confirm", half), 400, "invalid")
    is_problem(
        chief.post(f"events/{waiting['id']}/confirm", {"id": new_id(), "resolved": False}),
        422,
        "reason_missing",
    )
    word = {"id": new_id(), "resolved": True, "x": x, "y": y, "system": "WGS84", "accuracy_m": 6}
    assert chief.post(f"events/{waiting['id']}/confirm", word).json()["status"] == "confirmed"
    dispatched.refresh_from_db()
    assert dispatched.status == "closed"
    assert chief.get("work").json()["confirmations"] == []


def test_sending_back_wants_a_reason(dispatched: Event) -> None:
    phone = Phone(handler_of(dispatched))
    [order] = phone.get("work").json()["orders"]
    is_problem(phone.post(f"work/{order['id']}/send-back", {"id": new_id()}), 400, "invalid")
    answer = phone.post(f"work/{order['id']}/send-back", {"id": new_id(), "note": "不属我部门"})
    assert answer.json()["status"] == "filed"


def test_more_time_and_rest_are_asked_for_from_the_phone(dispatched: Event) -> None:
    phone = Phone(handler_of(dispatched))
    [order] = phone.get("work").json()["orders"]
    path = f"work/{order['id']}"
    asked = {"id": new_id(), "note": "等待配件"}
    is_problem(phone.post(f"{path}/extension", asked), 409, "illegal_transition")
    phone.post(f"{path}/take-on", {"id": new_id()})
    is_problem(phone.post(f"{path}/extension", {"id": new_id()}), 400, "invalid")
    is_problem(phone.post(f"{path}/deferral", asked), 400, "invalid")
    far = {**asked, "until": "2031-01-01T00:00:00Z"}
    is_problem(phone.post(f"{path}/deferral", far), 422, "not_deferrable")
    assert phone.post(f"{path}/extension", asked).json()["status"] == "taken_on"
    assert phone.post(f"{path}/extension", asked).json()["kind"] == "ask_extension"
    dispatched.refresh_from_db()
    assert dispatched.asked_for == "extend"


def test_deferred_work_goes_on_from_the_phone(
    dispatched: Event, shift_leader: User, grid_worker: User
) -> None:
    phone = Phone(handler_of(dispatched))
    [order] = phone.get("work").json()["orders"]
    path = f"work/{order['id']}"
    phone.post(f"{path}/take-on", {"id": new_id()})
    is_problem(phone.post(f"{path}/resume", {"id": new_id()}), 409, "illegal_transition")
    until = (timezone.now() + timedelta(days=30)).isoformat()
    phone.post(f"{path}/deferral", {"id": new_id(), "note": "冬季", "until": until})
    approvals.defer(dispatched.pk, by=shift_leader)
    is_problem(Phone(grid_worker).post(f"{path}/resume", {"id": new_id()}), 404, "not_found")
    asked = {"id": new_id(), "note": "配件到了"}
    assert phone.post(f"{path}/resume", asked).json()["status"] == "taken_on"
    assert phone.post(f"{path}/resume", asked).json()["kind"] == "resume"
    is_problem(phone.post(f"{path}/resume", {**asked, "note": "又"}), 409, "submission_conflict")
    dispatched.refresh_from_db()
    assert dispatched.deferred_until is None
    assert dispatched.due_at is not None


def test_a_time_without_a_zone_is_refused(dispatched: Event) -> None:
    """Read as the server's it would be eight hours off."""
    phone = Phone(handler_of(dispatched))
    [order] = phone.get("work").json()["orders"]
    path = f"work/{order['id']}"
    phone.post(f"{path}/take-on", {"id": new_id()})
    tomorrow = (timezone.now() + timedelta(days=1)).replace(microsecond=0, tzinfo=None).isoformat()
    asked = {"id": new_id(), "note": "冬季", "until": tomorrow}
    answer = phone.post(f"{path}/deferral", asked)
    is_problem(answer, 400, "invalid")
    assert [(e["pointer"], e["code"]) for e in answer.json()["errors"]] == [("#/until", "zone")]
    assert phone.post(f"{path}/deferral", {**asked, "until": f"{tomorrow}+08:00"}).status_code == 200


def test_a_community_learns_whom_it_can_whistle_to_the_spot(
    dispatched: Event, cell: Cell, leader: User, outsider: User
) -> None:
    path = f"events/{dispatched.pk}/whistle"
    phone = Phone(worker_of(cell))
    found = phone.get(path).json()
    serving = Post.objects.filter(role="department_handler", unit__in=cell.unit_ids).values("department")
    able = Department.objects.filter(pk__in=serving).exclude(pk=dispatched.department_id)
    assert {one["id"] for one in found} == set(able.values_list("pk", flat=True))
    assert able.count() < Department.objects.count() - 1  # some serve other streets alone
    called = {"id": new_id(), "departments": [found[0]["id"], found[1]["id"]], "note": "联合到场"}
    assert phone.post(path, called).json()["kind"] == "whistle"
    assert not {one["id"] for one in phone.get(path).json()} & set(called["departments"])
    is_problem(Phone(leader).get(path), 403, "not_permitted")
    Holding.objects.create(
        post=Post.objects.filter(role="grid_worker").exclude(unit__in=cell.unit_ids).first(),
        user=outsider,
        since=timezone.now() - timedelta(days=1),
    )
    outsider.set_password(PASSWORD)
    outsider.save()
    is_problem(Phone(outsider).get(path), 404, "not_found")


def test_strangers_do_not_even_learn_that_an_order_exists(
    dispatched: Event, grid_worker: User, resident: User
) -> None:
    order = dispatched.work_orders.get()
    for stranger in (grid_worker, resident):
        phone = Phone(stranger)
        is_problem(phone.post(f"work/{order.pk}/take-on", {"id": new_id()}), 404, "not_found")
    is_problem(
        Phone(resident).post(f"events/{dispatched.pk}/confirm", {"id": new_id(), "resolved": True}),
        404,
        "not_found",
    )


# --- photos -----------------------------------------------------------------------------------------------------


def test_the_same_photo_twice_is_one(grid_worker: User, settings: Any, tmp_path: Any) -> None:
    settings.MEDIA_ROOT = tmp_path
    phone, key = Phone(grid_worker), new_id()
    for _ in range(2):
        assert phone.photo(key, picture(), id=key).status_code == 201
    assert Photo.objects.count() == 1
    other = Image.new("RGB", (5, 5), "blue")
    buffer = io.BytesIO()
    other.save(buffer, "PNG")
    is_problem(phone.photo(key, buffer.getvalue(), id=key), 409, "submission_conflict")


@pytest.mark.parametrize(
    "content", [b"not a picture", b"<svg onload=alert(1)>", b"GIF89a" + b"\0" * 50, picture()[:200]], ids=str
)
def test_what_is_no_photo_is_refused(grid_worker: User, content: bytes, settings: Any, tmp_path: Any) -> None:
    settings.MEDIA_ROOT = tmp_path
    is_problem(Phone(grid_worker).photo(new_id(), content), 422, "bad_photo")
    assert not Photo.objects.exists()
    assert list(tmp_path.rglob("*.*")) == []


def test_a_sum_that_differs_is_refused(grid_worker: User) -> None:
    is_problem(Phone(grid_worker).photo(new_id(), picture(), sha256="0" * 64), 422, "bad_photo")


# --- mailboxes ---------------------------------------------------------------------------------------------------


def test_a_phone_without_a_socket_misses_nothing(dispatched: Event) -> None:
    phone = Phone(handler_of(dispatched))
    [post] = phone.get("me").json()["posts"]
    found = phone.get("sync", mailbox=post["mailbox"]).json()
    assert [(letter["seq"], letter["kind"]) for letter in found["letters"]] == [(1, "dispatch")]
    ack = {"mailbox": post["mailbox"], "device": str(uuid.uuid4()), "epoch": found["epoch"], "seq": 1}
    assert phone.post("ack", ack).json()["acked_seq"] == 1
    assert Letter.objects.get().received_at is not None
    again = phone.get("sync", mailbox=post["mailbox"], epoch=found["epoch"], cursor=1).json()
    assert (again["letters"], again["reset"]) == ([], False)
    is_problem(phone.post("ack", {**ack, "seq": 7}), 403, "not_permitted")


def test_someone_elses_mailbox_does_not_exist(dispatched: Event, grid_worker: User) -> None:
    box = Mailbox.objects.get()
    is_problem(Phone(grid_worker).get("sync", mailbox=box.pk), 404, "not_found")
    ack = {"mailbox": box.pk, "device": str(uuid.uuid4()), "epoch": str(box.epoch), "seq": 1}
    is_problem(Phone(grid_worker).post("ack", ack), 404, "not_found")
    is_problem(Phone(grid_worker).get("sync", mailbox="x"), 400, "invalid")


# --- the catalogue and the schema -----------------------------------------------------------------------------------


def test_the_catalogue_holds_the_whole_standard(resident: User) -> None:
    answer = Phone(resident).get("event-classes")
    classes = answer.json()
    assert len(classes) == 190
    assert sum(len(entry["conditions"]) for entry in classes) == 519
    assert answer["ETag"]


def test_the_schema_is_valid_openapi_3_and_browsable(db: None) -> None:
    answer = Client().get("/api/v1/schema", headers={"Accept": "application/vnd.oai.openapi+json"})
    schema = json.loads(answer.content)
    validate_openapi(schema)
    assert schema["openapi"].startswith("3.")
    assert {"/api/v1/reports", "/api/v1/work", "/api/v1/sync"} <= set(schema["paths"])
    assert not any(path.startswith("/api/command") for path in schema["paths"])
    assert "ReportIn" in str(schema["components"]["schemas"]) or "Report" in schema["components"]["schemas"]
    page = Client().get("/api/v1/docs")
    assert page.status_code == 200
    assert b"//cdn" not in page.content
    assert b"https://" not in page.content


def test_answers_come_in_the_readers_language(grid_worker: User, body: dict[str, Any]) -> None:
    phone = Phone(grid_worker)
    phone.client.defaults["HTTP_ACCEPT_LANGUAGE"] = "zh-hans"
    answer = phone.client.post(
        "/api/v1/reports",
        data=json.dumps({**body, "x": 0, "y": 0}),
        content_type="application/json",
        headers={"Accept-Language": "zh-hans"},
    )
    assert answer.json()["title"] == "位置不在本辖区内"


@pytest.fixture
def without_redis(settings: Any) -> Any:
    """The cache points where nobody listens."""
    from django.core.cache import caches

    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:9/0"}}
    yield
    caches["default"].close()


def test_without_redis_reports_still_come_in(
    without_redis: None,
    grid_worker: User,
    body: dict[str, Any],
    condition: FilingCondition,
) -> None:
    phone = Phone(grid_worker)
    assert phone.post("reports", {**body, "condition": condition.pk}).status_code == 201
    assert phone.get("work").status_code == 200
    ticket = phone.post("ticket").json()["ticket"]
    with pytest.raises(CannotTell):
        redeem_ticket(ticket)


def test_nesting_without_end_is_a_broken_payload(grid_worker: User) -> None:
    deep = "[" * 5000 + "]" * 5000
    answer = Client().post("/api/v1/login", data=deep, content_type="application/json")
    is_problem(answer, 400, "parse_error")
    answer = Phone(grid_worker).client.post("/api/v1/reports", data=deep, content_type="application/json")
    is_problem(answer, 400, "parse_error")


def test_a_channel_that_is_no_text_is_refused(grid_worker: User, body: dict[str, Any]) -> None:
    is_problem(Phone(grid_worker).post("reports", {**body, "channel": "\ud800"}), 400, "invalid")


def test_guessing_under_other_spellings_is_the_same_guessing(db: None) -> None:
    assert all(may_try("supervisor", "::1") for _ in range(10))
    for spelling in ("supervisor", "SUPERVISOR", "supervisor ", "ｓｕｐｅｒｖｉｓｏｒ"):
        assert not may_try(spelling, "::1")


def test_unreadable_metadata_bars_no_thumbnail(grid_worker: User, settings: Any, tmp_path: Any) -> None:
    settings.MEDIA_ROOT = tmp_path
    phone, buffer = Phone(grid_worker), io.BytesIO()
    Image.new("RGB", (64, 48), "green").save(buffer, "WEBP", exif=b"Exif\0\0GARBAGE")
    assert phone.photo(new_id(), buffer.getvalue()).status_code == 201
    assert make_missing_thumbnails() == 1
    assert Photo.objects.get().thumbnail


def test_who_lost_every_post_can_still_give_the_token_back(grid_worker: User) -> None:
    phone = Phone(grid_worker)
    Holding.objects.filter(user=grid_worker).update(until=timezone.now())
    is_problem(phone.get("me"), 403, "not_permitted")
    assert phone.post("logout").status_code == 204
