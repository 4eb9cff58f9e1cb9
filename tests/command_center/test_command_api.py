"""The command center's own API and pages."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone, translation

from fieldops import queries
from fieldops.intake import Receipt
from fieldops.models import Event, FilingCondition, Holding, Photo, Post, User
from fieldops.rights import current_posts
from fieldops.steps import approvals, fieldwork
from gridmap.coordinates import from_wgs84
from gridmap.models import Cell, Department
from tests.doing import handler_of, key, photo_for


def logged_in(user: User, language: str = "en") -> Client:
    client = Client()
    client.cookies["django_language"] = language
    client.force_login(user)
    return client


def get(user: User, path: str, **query: Any) -> Any:
    return logged_in(user).get(f"/api/command/{path}", query)


def act(user: User, event: Event, action: str, **fields: Any) -> Any:
    return logged_in(user).post(
        f"/api/command/events/{event.pk}/{action}", data=json.dumps(fields), content_type="application/json"
    )


def test_strangers_and_residents_are_kept_out(db: None, outsider: User, resident: User) -> None:
    assert Client().get("/").status_code == 302
    assert Client().get("/api/command/session").status_code == 403
    for refused in (outsider, resident):
        assert logged_in(refused).get("/").status_code == 403
        for path in ("session", "events", "grid/1"):
            answer = get(refused, path)
            assert (answer.status_code, answer.json()["code"]) == (403, "not_permitted")


def test_a_device_token_does_not_open_the_command_center(dispatcher: User) -> None:
    body = {"username": dispatcher.username, "password": "qingshan-demo-2026"}
    token = (
        Client().post("/api/v1/login", data=json.dumps(body), content_type="application/json").json()["token"]
    )
    assert Client(headers={"Authorization": f"Token {token}"}).get("/api/command/session").status_code == 403


def test_a_step_without_the_csrf_token_is_refused(dispatched: Event, dispatcher: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(dispatcher)
    answer = client.post(
        f"/api/command/events/{dispatched.pk}/close", data="{}", content_type="application/json"
    )
    assert answer.status_code == 403


def test_the_session_speaks_the_viewers_language(dispatcher: User) -> None:
    english = logged_in(dispatcher, "en").get("/api/command/session").json()
    chinese = logged_in(dispatcher, "zh-hans").get("/api/command/session").json()
    assert english["user"]["posts"][0]["label"] == "Dispatcher"
    assert chinese["user"]["posts"][0]["label"] == "派遣员"
    assert "合成" in chinese["district"]["notice"]
    assert [level["level"] for level in chinese["levels"]] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(("level", "count"), [("1", 1), ("3", 11), ("4", 78), ("cells", None)])
def test_boundaries_of_every_level(dispatcher: User, level: str, count: int | None) -> None:
    answer = get(dispatcher, f"grid/{level}")
    features = answer.json()["features"]
    assert len(features) == (count or Cell.objects.count())
    if level != "cells":
        assert all(one["properties"]["name"] and one["properties"]["name_en"] for one in features)
    client = logged_in(dispatcher)
    again = client.get(f"/api/command/grid/{level}", headers={"If-None-Match": answer["ETag"]})
    assert again.status_code == 304


def test_pages_are_chinese_until_someone_chooses_english(db: None) -> None:
    english_browser = Client(headers={"Accept-Language": "en-US,en"})
    assert "用户名" in english_browser.get("/login/").content.decode()
    english_browser.post("/i18n/setlang/", {"language": "en", "next": "/login/"})
    assert "User name" in english_browser.get("/login/").content.decode()


def test_no_other_level_exists(dispatcher: User) -> None:
    for level in ("0", "7", "-1", "1;drop"):
        assert get(dispatcher, f"grid/{level}").status_code == 404


def test_the_snapshot_shows_what_one_may_see(
    dispatched: Event,
    dispatcher: User,
    grid_worker: User,
    file_report: Callable[..., Receipt],
    django_assert_num_queries: Any,
) -> None:
    [frame] = get(dispatcher, "events").json()["events"]
    assert (frame["id"], frame["version"], frame["phase"], frame["light"]) == (
        str(dispatched.pk),
        6,
        "dispatch",
        "green",
    )
    assert get(grid_worker, "events").json()["events"] == []  # another community
    assert get(handler_of(dispatched), "events").json()["events"][0]["id"] == str(dispatched.pk)
    assert get(dispatcher, "events", phases="intake").json()["events"] == []


def test_the_cost_of_a_snapshot_does_not_grow_with_the_cases(
    dispatcher: User, resident: User, file_report: Callable[..., Receipt], django_assert_num_queries: Any
) -> None:
    client = logged_in(dispatcher)
    for cell in Cell.objects.order_by("code")[::200]:
        file_report(resident, at=cell)
    with django_assert_num_queries(4):  # session, user, posts, cases
        assert len(client.get("/api/command/events").json()["events"]) >= 7


BEFORE_DISPATCH = {"assign", "dispatch", "move_cell", "assist", "reclassify"}


def test_a_case_in_full(dispatched: Event, dispatcher: User) -> None:
    case = get(dispatcher, f"events/{dispatched.pk}").json()
    assert [entry["kind"] for entry in case["timeline"]] == [
        "report", "locate", "accept", "file", "assign", "dispatch",
    ]  # fmt: skip
    assert [level["level"] for level in case["levels"]] == [1, 2, 3, 4, 5, 6]
    assert case["responsibility"]["why"].startswith("rule ")
    assert case["work_orders"][0]["sent_at"]
    assert case["work_orders"][0]["received_at"] is None
    fields = {action["name"]: [field["name"] for field in action["fields"]] for action in case["actions"]}
    assert fields == {
        "recall": ["reason"],
        "move_cell": ["cell", "reason"],
        "assist": ["department", "reason"],
        "reclassify": ["reclassified", "reason"],
    }


def test_a_dispatcher_recalls_a_dispatch(dispatched: Event, dispatcher: User) -> None:
    assert act(dispatcher, dispatched, "recall").json()["code"] == "reason_missing"
    case = act(dispatcher, dispatched, "recall", reason="派错片区").json()
    assert (case["status"], case["timeline"][-1]["kind"]) == ("assigned", "recall")
    assert case["work_orders"][0]["recalled_at"]
    assert {action["name"] for action in case["actions"]} == BEFORE_DISPATCH


def test_a_dispatcher_moves_a_case_to_another_cell(located: Event, dispatcher: User, leader: User) -> None:
    case = get(dispatcher, f"events/{located.pk}").json()
    [move] = [action for action in case["actions"] if action["name"] == "move_cell"]
    target = move["fields"][0]["choices"][0]["value"]
    assert act(dispatcher, located, "move_cell", cell=target).json()["code"] == "reason_missing"
    assert act(dispatcher, located, "move_cell", reason="门牌").json()["code"] == "unknown_cell"
    assert act(leader, located, "move_cell", cell=target, reason="门牌").status_code == 403
    case = act(dispatcher, located, "move_cell", cell=target, reason="门牌").json()
    assert (case["cell"], case["timeline"][-1]["kind"]) == (target, "move_cell")


def test_a_click_is_resolved_by_the_server(cell: Cell, leader: User, resident: User, client: Any) -> None:
    corner = cell.boundary.exterior_ring.coords[0]
    covering = Cell.objects.filter(boundary__covers=f"SRID=4326;POINT({corner[0]!r} {corner[1]!r})")
    found = get(leader, "place", x=repr(corner[0]), y=repr(corner[1]), system="WGS84").json()
    assert found["cell"] == min(covering.values_list("code", flat=True))
    assert [level["level"] for level in found["levels"]] == [1, 2, 3, 4, 5, 6]
    x, y = from_wgs84(*cell.boundary.point_on_surface.coords, "EPSG:4546")
    with translation.override("en"):
        names = [level["name"] for level in queries.levels_of(cell)]
    assert names[:5] == [unit.name_en for unit in cell.chain]
    assert "" not in names
    with translation.override("zh-hans"):
        assert queries.levels_of(cell)[0]["name"] == cell.committee.name
    assert get(leader, "place", x=x, y=y, system="EPSG:4546").json()["cell"] == cell.code
    assert get(leader, "place", x=100, y=30, system="WGS84").json() == {"cell": None, "levels": []}
    # On a day before anything was in force, and on one to come.
    where = {"x": x, "y": y, "system": "EPSG:4546"}
    assert get(leader, "place", **where, day="2025-12-31").json()["cell"] is None
    assert get(leader, "place", **where, day="2026-02-01").json()["cell"] == cell.code
    refusals = [
        ({**where, "day": "2999-01-01"}, 400, "invalid"),
        ({**where, "day": "2026-02-30"}, 400, "invalid"),
        ({"x": x, "y": y}, 400, "invalid"),
        ({**where, "system": ""}, 400, "invalid"),
        ({**where, "system": "Mars"}, 422, "unknown_coordinate_system"),
        ({**where, "system": "WGS84"}, 422, "implausible_position"),
        ({**where, "x": "nan"}, 400, "invalid"),
    ]
    for asked, status, code in refusals:
        answer = get(leader, "place", **asked)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert get(resident, "place", **where).status_code == 403


def test_reporters_are_masked(
    file_report: Callable[..., Receipt], resident: User, intake_operator: User
) -> None:
    event = file_report(resident, contact_name="张建国", contact_phone="13800001234").event
    answer = get(intake_operator, f"events/{event.pk}")
    assert answer.json()["reports"][0]["reporter"] == "张** 138****1234"
    assert "13800001234" not in answer.content.decode()


def test_a_residents_name_is_masked_everywhere(located: Event, resident: User, intake_operator: User) -> None:
    assert resident.display_name
    answer = get(intake_operator, f"events/{located.pk}")
    assert resident.display_name not in answer.content.decode()
    assert answer.json()["timeline"][0]["by"].startswith(resident.display_name[0] + "*")


def test_the_desks_take_a_report_to_the_field(
    located: Event, intake_operator: User, dispatcher: User, condition: FilingCondition
) -> None:
    case = get(intake_operator, f"events/{located.pk}").json()
    assert {action["name"] for action in case["actions"]} == {"accept", "decline"}
    case = act(intake_operator, located, "accept", version=case["version"]).json()
    names = {action["name"]: action for action in case["actions"]}
    assert set(names) == {"file", "do_not_file", "ask_verify"}
    assert condition.pk in [choice["value"] for choice in names["file"]["fields"][0]["choices"]]
    case = act(intake_operator, located, "file", condition=condition.pk).json()
    assert case["status"] == "assigned"
    assert case["actions"] == []
    case = get(dispatcher, f"events/{located.pk}").json()
    names = {action["name"]: action for action in case["actions"]}
    assert set(names) == BEFORE_DISPATCH
    case = act(dispatcher, located, "dispatch", post=names["dispatch"]["fields"][0]["value"]).json()
    assert case["status"] == "dispatched"
    assert case["work_orders"][0]["sent_at"]


@pytest.mark.parametrize(
    ("action", "fields", "status", "code"),
    [
        ("decline", {}, 422, "reason_missing"),
        ("file", {"condition": 1}, 409, "illegal_transition"),
        ("accept", {"version": 1}, 409, "stale_version"),
        ("accept", {"version": "x"}, 400, "invalid"),
        ("dispatch", {}, 403, "not_permitted"),
        ("explode", {}, 404, "not_found"),
    ],
)
def test_steps_that_are_refused(
    located: Event, intake_operator: User, action: str, fields: dict[str, Any], status: int, code: str
) -> None:
    answer = act(intake_operator, located, action, **fields)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    located.refresh_from_db()
    assert (located.status, located.version) == ("located", 2)


def test_a_case_out_of_ones_area_is_not_found(dispatched: Event, grid_worker: User) -> None:
    assert grid_worker and get(grid_worker, f"events/{dispatched.pk}").status_code == 404


def test_a_photo_is_shown_to_those_who_see_its_case(
    dispatched: Event, dispatcher: User, grid_worker: User, settings: Any, tmp_path: Any
) -> None:
    settings.MEDIA_ROOT = tmp_path
    (tmp_path / "x.jpg").write_bytes(b"picture")
    report = dispatched.reports.get()
    mine = photo_for(key(), report.reporter)
    Photo.objects.filter(pk=mine.pk).update(submission=report.pk)
    forged = photo_for(key(), dispatcher)
    Photo.objects.filter(pk=forged.pk).update(submission=report.pk)
    case = get(dispatcher, f"events/{dispatched.pk}").json()
    assert [photo["id"] for photo in case["photos"]] == [str(mine.pk)]
    assert get(dispatcher, f"photos/{mine.pk}").status_code == 200
    other = User.objects.get(username="worker078")
    assert get(other, f"photos/{mine.pk}").status_code == 404
    assert get(handler_of(dispatched), f"photos/{forged.pk}").status_code == 404


def test_rights_end_with_the_post(dispatched: Event, dispatcher: User) -> None:
    from django.utils import timezone

    assert len(get(dispatcher, "events").json()["events"]) == 1
    Holding.objects.filter(user=dispatcher).update(until=timezone.now())
    assert get(User.objects.get(pk=dispatcher.pk), "events").status_code == 403
    assert current_posts(User.objects.get(pk=dispatcher.pk)) == []


def test_the_page_says_what_the_browser_may_load(dispatcher: User) -> None:
    answer = logged_in(dispatcher).get("/")
    assert "script-src 'self';" in answer["Content-Security-Policy"]
    assert answer["X-Frame-Options"] == "DENY"
    assert b'id="app"' in answer.content


def test_guessing_at_the_log_in_page_is_slowed(db: None) -> None:
    form = {"username": "dispatch1", "password": "wrong"}
    answers = [Client().post("/login/", form).status_code for _ in range(11)]
    assert answers == [200] * 10 + [429]


def test_administration_has_no_door_of_its_own(db: None, dispatcher: User) -> None:
    answer = Client().get("/admin/")
    assert answer.status_code == 302
    while answer["Location"].startswith("/admin/"):
        answer = Client().get(answer["Location"])
    assert answer["Location"].startswith("/login/?next=/admin/")
    assert logged_in(dispatcher).get("/admin/login/").status_code == 403
    admin = User.objects.get(username="admin")
    for page in (
        "",
        "fieldops/post/",
        "fieldops/responsibilityrule/",
        "gridmap/calendarday/",
        "fieldops/eventclass/",
    ):
        assert logged_in(admin).get(f"/admin/{page}").status_code == 200
    assert logged_in(admin).get("/admin/fieldops/event/").status_code == 404


def test_a_request_is_shown_and_offered_to_the_shift_leader_alone(
    dispatched: Event, shift_leader: User, dispatcher: User
) -> None:
    handler, order = handler_of(dispatched), dispatched.work_orders.get()
    fieldwork.take_on(order.pk, by=handler, submission=key())
    approvals.ask_extension(order.pk, by=handler, submission=key(), reason="等待配件")
    path = f"events/{dispatched.pk}"
    found = get(shift_leader, path).json()
    assert found["request"] == {"label": "Ask for an extension", "reason": "等待配件", "until": None}
    offered = {action["name"] for action in found["actions"]}
    assert {"extend", "refuse", "void"} <= offered
    assert "defer" not in offered
    assert not {"extend", "refuse", "void"} & {a["name"] for a in get(dispatcher, path).json()["actions"]}
    answer = act(shift_leader, dispatched, "extend", reason="同意", version=found["version"])
    assert answer.json()["request"] is None
    assert answer.json()["due_at"] > found["due_at"]


def test_how_far_a_case_is_over_its_limit_is_told_while_it_is(dispatched: Event, dispatcher: User) -> None:
    client = logged_in(dispatcher)
    address = f"/api/command/events/{dispatched.pk}"
    assert client.get(address).json()["overdue_multiple"] is None
    order = dispatched.work_orders.get()
    limit = FilingCondition.objects.create(
        event_class=dispatched.event_class, number=99, text="抢险", closing="排险", urgent=True,
        limit_text="2小时（紧急）", limit_amount=2, limit_unit="hour",
    )  # fmt: skip
    began = timezone.now() - timedelta(hours=5)
    type(order).objects.filter(pk=order.pk).update(dispatched_at=began, due_at=began + timedelta(hours=2))
    Event.objects.filter(pk=dispatched.pk).update(
        condition=limit, warn_at=began + timedelta(minutes=96), due_at=began + timedelta(hours=2)
    )
    assert client.get(address).json()["overdue_multiple"] == 1.5


def test_only_departments_that_serve_the_place_are_offered(
    dispatched: Event, dispatcher: User, cell: Cell
) -> None:
    """Any other could be chosen, but nobody of it could be sent."""
    serving = set(
        Post.objects.filter(role="department_handler", unit__in=cell.unit_ids).values_list(
            "department", flat=True
        )
    )
    assert len(serving) < Department.objects.count()

    def offered(action: str) -> set[int]:
        actions = get(dispatcher, f"events/{dispatched.pk}").json()["actions"]
        [field, *_] = next(one["fields"] for one in actions if one["name"] == action)
        return {choice["value"] for choice in field["choices"]}

    assert offered("assist") == serving - {dispatched.department_id}
    assert act(dispatcher, dispatched, "recall", reason="派错").status_code == 200
    assert offered("assign") == serving
