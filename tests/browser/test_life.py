"""Other departments and another class in a real browser: offered as forms, and told in the panel."""

from typing import Any

import httpx
import psycopg
import uuid_utils.compat as uuid
from playwright.sync_api import expect

from devstack.clients import PASSWORD
from tests.browser.pages import open_event, picture
from tests.doing import Served, database


def test_an_assistant_is_called_and_the_class_changes(log_in: Any, filed: dict[str, Any]) -> None:
    page = log_in("dispatch1")
    panel = open_event(page, filed)
    panel.get_by_test_id("action-assist").click()
    panel.get_by_test_id("field-department").select_option(index=1)
    panel.get_by_test_id("field-reason").fill("共管路段")
    panel.get_by_test_id("action-submit").click()
    expect(panel.get_by_test_id("work-order")).to_have_count(2)
    expect(panel.get_by_test_id("work-order").last).to_contain_text("协办")
    panel.get_by_test_id("action-reclassify").click()
    panel.get_by_test_id("field-reclassified").select_option(index=5)
    panel.get_by_test_id("field-reason").fill("类别有误")
    picture(page, "life-form")
    panel.get_by_test_id("action-submit").click()
    entry = panel.locator("[data-kind=reclassify]")
    expect(entry).to_contain_text("已用")
    entry.scroll_into_view_if_needed()
    picture(page, "life-timeline")


def test_a_case_joins_the_near_one_that_goes_on(log_in: Any, served: Served, filed: dict[str, Any]) -> None:
    with psycopg.connect(**database("served")) as sql:
        [(x, y)] = sql.execute(
            "SELECT st_x(point), st_y(point) FROM fieldops_event WHERE id = %s", [filed["id"]]
        ).fetchall()
    with httpx.Client(base_url=served.url, timeout=20) as http:
        who = {"username": "resident2", "password": PASSWORD}
        http.headers["Authorization"] = f"Token {http.post('/api/v1/login', json=who).json()['token']}"
        body = {"id": str(uuid.uuid7()), "class": "event/0105", "description": "又有人堆垃圾"}
        place = {"x": x, "y": y, "system": "WGS84", "accuracy_m": 5}
        again = http.post("/api/v1/reports", json={**body, **place}).json()
        assert again["event"]["status"] == "located"
        page = log_in("intake1")
        panel = open_event(page, again["event"])
        panel.get_by_test_id("action-merge").click()
        choice = panel.get_by_test_id("field-into")
        expect(choice).to_contain_text(filed["number"])
        choice.select_option(filed["id"])
        picture(page, "merge-form")
        panel.get_by_test_id("action-submit").click()
        link = panel.get_by_test_id("merged-into")
        expect(link).to_have_text(filed["number"])
        picture(page, "merged")
        link.click()
        expect(panel.get_by_test_id("event-number")).to_have_text(filed["number"])
        expect(panel.locator("[data-kind=join]")).to_contain_text(again["event"]["number"])
        picture(page, "joined")
        assert http.get(f"/api/v1/reports/{body['id']}").json()["merged_into"]["number"] == filed["number"]
