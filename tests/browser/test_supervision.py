"""Cards and call-backs in a real browser: given, found in the queue, answered; a reporter's number shown on request."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import psycopg
import uuid_utils.compat as uuid
from playwright.sync_api import Page, expect

from devstack.clients import PASSWORD
from tests.browser.pages import PLACES, open_event, picture
from tests.doing import Served, database


def leave(page: Page) -> None:
    page.context.clear_cookies()


def test_a_card_is_given_waits_in_the_queue_and_is_answered(log_in: Any, filed: dict[str, Any]) -> None:
    page: Page = log_in("supervisor")
    panel = open_event(page, filed)
    panel.get_by_test_id("action-supervise").click()
    panel.get_by_test_id("field-card").select_option("yellow")
    panel.get_by_test_id("field-reason").fill("居民再次来电，请立即处理")
    picture(page, "supervise")
    panel.get_by_test_id("action-submit").click()
    card = panel.get_by_test_id("supervision-card")
    expect(card).to_have_attribute("data-card", "yellow", timeout=10_000)

    leave(page)
    page = log_in(filed["handler"])
    row = page.locator(f'[data-testid="supervision-row"][data-event-id="{filed["id"]}"]')
    row.wait_for(state="attached", timeout=15_000)
    page.get_by_test_id("supervision-count").click()
    expect(row).to_contain_text("待本岗位答复")
    picture(page, "queue")
    row.locator("button").click()
    panel = page.get_by_test_id("event-panel")
    panel.get_by_test_id("action-answer").click(timeout=10_000)
    received = datetime.now(ZoneInfo("Asia/Shanghai"))
    panel.get_by_test_id("field-received_when").fill(f"{received:%Y-%m-%dT%H:%M}")
    panel.get_by_test_id("field-contacted").fill("环卫二班")
    panel.get_by_test_id("field-measures").fill("已派两人一车")
    panel.get_by_test_id("field-new_deadline").fill("2099-01-05T08:30")
    picture(page, "answer")
    panel.get_by_test_id("action-submit").click()
    expect(panel.get_by_test_id("supervision-card")).to_contain_text("已派两人一车", timeout=10_000)
    # Typed in the district's zone, although this browser stands in New York.
    expect(panel.get_by_test_id("supervision-card")).to_contain_text("08:30")
    expect(panel.get_by_test_id("supervision-card")).to_contain_text(f"{received:%H:%M}")
    panel.get_by_test_id("supervision-card").scroll_into_view_if_needed()
    picture(page, "answered")


def test_a_desk_calls_a_reporter(log_in: Any, filed: dict[str, Any]) -> None:
    with psycopg.connect(**database("served"), autocommit=True) as sql:
        sql.execute(
            "UPDATE fieldops_report SET contact_name = '赵敏', contact_phone = '13800001234' WHERE id = %s",
            [filed["report"]],
        )
        sql.execute(
            "INSERT INTO fieldops_callback (id, event_id, report_id, closing_version, way, closed_at, asked_at,"
            " answer_until, rating, reason, reopened) VALUES"
            " (%s, %s, %s, 1, 'desk', now(), now(), now() + interval '7 days', '', '', false)",
            [uuid.uuid7(), filed["id"], filed["report"]],
        )
    page: Page = log_in("intake2")
    row = page.locator(f'[data-testid="call-back-row"][data-event-id="{filed["id"]}"]')
    row.wait_for(state="attached", timeout=15_000)
    page.get_by_test_id("call-back-count").click()
    expect(row).to_contain_text("赵* 138****1234")
    row.get_by_test_id("show-contact").click()
    expect(row.get_by_test_id("contact")).to_have_text("赵敏 13800001234", timeout=10_000)
    picture(page, "call")
    row.locator("button").first.click()
    panel = page.get_by_test_id("event-panel")
    panel.get_by_test_id("action-rate").click(timeout=10_000)
    panel.get_by_test_id("field-rating").select_option("satisfied")
    panel.get_by_test_id("field-resolved").select_option("true")
    picture(page, "rate")
    panel.get_by_test_id("action-submit").click()
    entry = panel.get_by_test_id("call-back-entry")
    expect(entry).to_contain_text("满意", timeout=10_000)
    entry.scroll_into_view_if_needed()
    picture(page, "rated")


def test_a_desk_replies_to_a_caller(log_in: Any, served: Served) -> None:
    with httpx.Client(base_url=served.url, timeout=20) as http:
        who = {"username": "intake2", "password": PASSWORD}
        http.headers["Authorization"] = f"Token {http.post('/api/v1/login', json=who).json()['token']}"
        x, y = next(PLACES)
        body = {
            "id": str(uuid.uuid7()),
            "class": "event/0105",
            "description": "来电反映沿街垃圾",
            "x": x,
            "y": y,
        }
        more = {"system": "WGS84", "external_number": "BT-12345-88", "matter": "emergency"}
        event = http.post("/api/v1/reports", json=body | more).json()["event"]
    page: Page = log_in("intake2")
    row = page.locator(f'[data-testid="reply-row"][data-event-id="{event["id"]}"]')
    row.wait_for(state="attached", timeout=15_000)
    page.get_by_test_id("reply-count").click()
    expect(row).to_contain_text("BT-12345-88")
    picture(page, "reply-queue")
    row.locator("button").first.click()
    panel = page.get_by_test_id("event-panel")
    panel.get_by_test_id("action-reply").click(timeout=10_000)
    panel.get_by_test_id("field-reason").fill("已派环卫人员，两小时内清理完毕")
    picture(page, "reply")
    panel.get_by_test_id("action-submit").click()
    expect(panel).to_contain_text("已回复", timeout=10_000)
    picture(page, "replied")
    row.wait_for(state="detached", timeout=15_000)
