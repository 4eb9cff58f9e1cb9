"""The live map in a real browser: what an operator sees, without reloading."""

from typing import Any

import httpx
import psycopg
import uuid_utils.compat as uuid
from playwright.sync_api import Page, expect

from devstack.clients import PASSWORD
from gridmap.models import CHAIN
from tests.doing import Served, database

MARKER = "id => window.commandCenter.markers().find(m => m.id === id)"


def marker(page: Page, event_id: str, *, status: str) -> dict[str, Any]:
    """The event's marker once it is on the map in this status; polled from outside, as the page forbids eval."""
    for _ in range(100):
        found = page.evaluate(MARKER, event_id)
        if found and found["status"] == status and found["pixel"]:
            return found
        page.wait_for_timeout(100)
    raise AssertionError(f"no marker {status} for {event_id}")


def test_a_new_report_appears_without_reload(log_in: Any, file_over_http: Any) -> None:
    page: Page = log_in("intake1")
    assert page.evaluate("document.createElement('canvas').getContext('webgl')") is None
    page.evaluate("window.notReloaded = true")
    event = file_over_http(110.02, 40.66)["event"]
    row = page.locator(f'[data-testid="event-row"][data-event-id="{event["id"]}"]')
    expect(row).to_be_visible(timeout=10_000)
    x, y = marker(page, event["id"], status="located")["pixel"]
    assert 0 <= x <= 1366
    assert 0 <= y <= 768
    assert page.evaluate("window.notReloaded") is True


def test_the_panel_tells_the_case_and_takes_the_next_step(log_in: Any, file_over_http: Any) -> None:
    page: Page = log_in("intake1")
    event = file_over_http(110.03, 40.65)["event"]
    marker(page, event["id"], status="located")
    page.locator(f'[data-testid="event-row"][data-event-id="{event["id"]}"]').click()
    panel = page.locator('[data-testid="event-panel"]')
    expect(panel).to_contain_text(event["number"])
    expect(panel).to_contain_text("青山区委")
    expect(panel.locator('[data-testid="timeline-entry"]')).to_have_count(2)
    page.locator('[data-testid="action-accept"]').click()
    expect(panel.locator('[data-testid="timeline-entry"][data-kind="accept"]')).to_be_visible(timeout=10_000)
    row = page.locator(f'[data-testid="event-row"][data-event-id="{event["id"]}"]')
    expect(row).to_have_attribute("data-status", "accepted", timeout=10_000)
    marker(page, event["id"], status="accepted")


def test_a_dispatcher_sees_the_doubt_about_the_cell_and_ends_it(log_in: Any, file_over_http: Any) -> None:
    with psycopg.connect(**database("served")) as held:
        corner = held.execute(
            """SELECT ST_X(p), ST_Y(p) FROM (SELECT ST_PointN(ST_ExteriorRing(boundary), 1) AS p
            FROM gridmap_cell WHERE valid_to IS NULL ORDER BY code OFFSET 700 LIMIT 1) cell"""
        ).fetchone()
    assert corner
    page: Page = log_in("dispatch1")
    event = file_over_http(*corner, accuracy_m=25)["event"]
    marker(page, event["id"], status="located")
    page.locator(f'[data-testid="event-row"][data-event-id="{event["id"]}"]').click()
    panel = page.locator('[data-testid="event-panel"]')
    candidates = panel.locator('[data-testid="candidate"]')
    expect(candidates.first).to_be_visible(timeout=10_000)
    expect(candidates.nth(1)).to_be_visible()
    here = panel.locator('[data-testid="candidate"].here')
    expect(here).to_have_count(1)
    page.locator('[data-testid="action-move_cell"]').click()
    choice = page.locator('[data-testid="field-cell"]')
    target = choice.locator("option").nth(1).get_attribute("value")
    assert target
    choice.select_option(target)
    page.locator('[data-testid="field-reason"]').fill("门牌在路北")
    page.locator('[data-testid="action-submit"]').click()
    expect(panel.locator('[data-testid="timeline-entry"][data-kind="move_cell"]')).to_be_visible(
        timeout=10_000
    )
    expect(panel.locator('[data-testid="doubt"]')).to_have_count(0)
    expect(panel).to_contain_text(target)


def test_a_click_beside_the_markers_opens_the_cell_that_the_server_names(
    log_in: Any, file_over_http: Any
) -> None:
    page: Page = log_in("leader")
    event = file_over_http(110.035, 40.655)["event"]
    x, y = marker(page, event["id"], status="located")["pixel"]
    with page.expect_response(lambda answer: "/api/command/place?" in answer.url) as asked:
        page.mouse.click(x - 60, y - 60)
    code = asked.value.json()["cell"]
    assert code
    panel = page.locator('[data-testid="cell-panel"]')
    expect(panel).to_be_visible(timeout=10_000)
    expect(panel).to_contain_text(code)


def test_the_panel_of_a_cell_tells_who_answered_for_the_place_on_another_day(
    log_in: Any, served: Served
) -> None:
    page: Page = log_in("leader")
    with psycopg.connect(**database("served")) as connection:
        columns = [
            *("code", "boundary", "lineage", "synthetic", "district_id"),
            *(f"{unit}_id" for unit in CHAIN),
        ]
        kept = ", ".join(columns[1:])
        found = connection.execute(
            f"INSERT INTO gridmap_cell (id, valid_from, valid_to, {', '.join(columns)}) "  # noqa: S608
            f"SELECT gen_random_uuid(), '2001-01-01', '2002-01-01', left(code, -3) || '999', {kept} FROM gridmap_cell "
            "WHERE valid_to IS NULL ORDER BY code LIMIT 1 "
            "RETURNING (SELECT code FROM gridmap_cell WHERE valid_to IS NULL ORDER BY code LIMIT 1)"
        ).fetchone()
    assert found is not None
    [code] = found
    page.evaluate("code => { location.hash = `#cell=${code}`; }", code)
    then = page.locator('[data-testid="cell-then"]')
    former = f"{code[:-3]}999"
    for day, words in (("2001-06-15", former), ("1999-01-01", "不属于任何网格")):
        page.fill('[data-testid="cell-day"]', day)
        expect(then).to_contain_text(words, timeout=10_000)
    expect(then).not_to_contain_text(former)


def test_a_cell_opens_once_and_back_leads_to_it(log_in: Any, served: Served) -> None:
    """Once only: what opens again takes away what somebody has begun to fill in."""
    page: Page = log_in("leader")
    with psycopg.connect(**database("served")) as connection:
        [code] = connection.execute(
            "SELECT code FROM gridmap_cell WHERE valid_to IS NULL ORDER BY code LIMIT 1"
        ).fetchone() or [""]
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate("code => { location.hash = `#cell=${code}`; }", code)
    panel = page.get_by_test_id("cell-panel")
    for times in (1, 2):
        expect(panel.get_by_test_id("cell-elements")).to_be_visible(timeout=10_000)
        page.wait_for_load_state("networkidle")
        assert sum(url.endswith(f"/cells/{code}/elements") for url in asked) == times
        panel.locator(".close").click()
        expect(panel).to_be_hidden()
        page.go_back()


def test_a_hostile_description_stays_text(log_in: Any, file_over_http: Any) -> None:
    page: Page = log_in("intake1")
    hostile = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
    event = file_over_http(110.025, 40.655, hostile)["event"]
    page.locator(f'[data-testid="event-row"][data-event-id="{event["id"]}"]').click()
    expect(page.locator('[data-testid="event-panel"]')).to_contain_text("<script>", timeout=10_000)
    assert page.evaluate("window.hacked") is None


def test_chinese_first_and_english_on_request(log_in: Any) -> None:
    page: Page = log_in("dispatch1")
    assert page.get_attribute("html", "lang") == "zh-hans"
    expect(page.locator("body")).to_contain_text("派遣员")
    expect(page.locator("body")).to_contain_text("合成")
    page.get_by_role("button", name="English").first.click()
    page.wait_for_selector('[data-testid="connection"][data-state="live"]', timeout=20_000)
    assert page.get_attribute("html", "lang") == "en"
    expect(page.locator("body")).to_contain_text("Dispatcher")
    expect(page.locator("body")).to_contain_text("synthetic")


def test_the_five_levels_can_be_shown(log_in: Any) -> None:
    page: Page = log_in("leader")
    for level in range(1, 7):
        toggle = page.locator(f'[data-testid="level-{level}"]')
        expect(toggle).to_be_visible()


def test_residents_and_strangers_see_no_map(page: Page, served: Served) -> None:
    page.goto(served.url)
    page.fill("#id_username", "resident1")
    page.fill("#id_password", PASSWORD)
    page.click("main form button[type=submit]")
    expect(page.locator("body")).to_contain_text("没有岗位")
    page.context.clear_cookies()
    page.goto(served.url)
    assert "/login/" in page.url


def test_nothing_is_loaded_from_elsewhere_and_nothing_is_blocked(
    page: Page, log_in: Any, served: Served
) -> None:
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    log_in("dispatch1")
    assert [url for url in asked if not url.startswith((served.url, "data:", "blob:"))] == []
    assert complaints == []


def test_a_dispatch_that_no_device_stores_comes_onto_the_dispatchers_screen(
    log_in: Any, served: Served
) -> None:
    with psycopg.connect(**database("served"), autocommit=True) as sql:
        hurry = (
            "UPDATE realtime_deliverypolicy SET recipient_after = %s, dispatcher_after = %s, since = now()"
            " WHERE kind = 'dispatch'"
        )
        sql.execute(hurry, [0, 1])
        try:
            with httpx.Client(base_url=served.url, timeout=20) as http:
                who = {"username": "worker002", "password": PASSWORD}
                token = http.post("/api/v1/login", json=who).json()["token"]
                http.headers["Authorization"] = f"Token {token}"
                entry = next(c for c in http.get("/api/v1/event-classes").json() if c["key"] == "event/0104")
                body = {"id": str(uuid.uuid7()), "class": "event/0104", "description": "无人接收"}
                place = {"x": 110.01, "y": 40.655, "system": "WGS84", "accuracy_m": 5}
                filed = http.post(
                    "/api/v1/reports", json={**body, **place, "condition": entry["conditions"][0]["id"]}
                ).json()
            assert filed["event"]["status"] == "dispatched"
            page: Page = log_in("dispatch2")
            row = page.locator(f'[data-testid="undelivered-row"][data-event-id="{filed["event"]["id"]}"]')
            row.wait_for(state="attached", timeout=30_000)
            expect(page.locator('[data-testid="undelivered-count"]')).to_contain_text("未送达")
            page.locator('[data-testid="undelivered-count"]').click()
            row.locator("button").click()
            panel = page.locator('[data-testid="event-panel"]')
            fact = panel.locator('[data-testid="delivery-fact"]')
            expect(fact.locator("visible=true").first).to_be_visible(timeout=10_000)
            kinds = [one.get_attribute("data-kind") for one in fact.all()]
            assert kinds == ["told_dispatcher", "told_recipient", "sent"]
        finally:
            sql.execute(hurry, [86400, 86401])


def test_the_list_can_follow_the_map_and_the_counts_stay_whole(log_in: Any, file_over_http: Any) -> None:
    here, elsewhere = file_over_http(110.02, 40.66)["event"], file_over_http(109.9, 40.65)["event"]
    page: Page = log_in("leader")
    rows = {
        event["id"]: page.locator(f'[data-testid="event-row"][data-event-id="{event["id"]}"]')
        for event in (here, elsewhere)
    }
    rows[here["id"]].click(timeout=10_000)  # brings the map near
    page.get_by_test_id("panel-close").click()
    for _ in range(4):
        page.wait_for_timeout(500)  # the animation before
        page.locator(".ol-zoom-in").click()
    page.get_by_test_id("in-view").check()
    expect(rows[here["id"]]).to_be_visible()
    expect(rows[elsewhere["id"]]).to_have_count(0, timeout=10_000)
    intake = page.get_by_test_id("count-intake")
    before = int(intake.inner_text())
    unseen = file_over_http(109.9, 40.65)["event"]
    expect(intake).to_have_text(str(before + 1), timeout=10_000)
    expect(page.locator(f'[data-testid="event-row"][data-event-id="{unseen["id"]}"]')).to_have_count(0)
    page.get_by_test_id("in-view").uncheck()
    expect(page.locator(f'[data-testid="event-row"][data-event-id="{unseen["id"]}"]')).to_be_visible(
        timeout=10_000
    )


def test_the_phase_filter_narrows_what_is_subscribed_to(log_in: Any, file_over_http: Any) -> None:
    page: Page = log_in("leader")
    page.get_by_test_id("phase-filter").select_option("closed")
    expect(page.locator('[data-testid="event-row"][data-phase="intake"]')).to_have_count(0, timeout=10_000)
    event = file_over_http(110.02, 40.66)["event"]
    page.get_by_test_id("phase-filter").select_option("open")
    row = page.locator(f'[data-testid="event-row"][data-event-id="{event["id"]}"]')
    expect(row).to_be_visible(timeout=10_000)
