"""Workers on the live map, and the replay of a shift, in a real browser."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
import uuid_utils.compat as uuid
from playwright.sync_api import Page, expect

from devstack.clients import PASSWORD
from tests.doing import Served, database


@pytest.fixture
def worker(served: Served) -> Iterator[dict[str, Any]]:
    """Somebody on duty who went east for half a minute, one fix of it set by an app."""
    with httpx.Client(base_url=served.url, timeout=20) as http:
        login = http.post("/api/v1/login", json={"username": "worker030", "password": PASSWORD}).json()
        http.headers["Authorization"] = f"Token {login['token']}"
        shift = str(uuid.uuid7())
        assert http.post("/api/v1/shift/start", json={"id": shift}).status_code == 200
        begin = datetime.now(UTC)
        fixes = [
            {
                "at": (begin + timedelta(seconds=n)).isoformat(),  # a phone's clock may be a little ahead
                "x": 109.990 + n * 0.0002,
                "y": 40.66 + (n % 7) * 0.0001,
                "system": "WGS84",
                "accuracy_m": 25,
                "battery": 64,
                "mock": n == 20,
            }
            for n in range(31)
        ]
        answer = http.post("/api/v1/positions", json={"device": str(uuid.uuid4()), "positions": fixes[::-1]})
        assert [result["status"] for result in answer.json()["results"]] == ["stored"] * 31
        yield {"name": login["user"]["name"], "shift": shift}
        http.post("/api/v1/shift/end", json={"id": shift})


def shown(page: Page, shift: str) -> dict[str, Any]:
    """The worker once the map shows them; polled from outside, as the page forbids eval."""
    for _ in range(100):
        found = page.evaluate("id => window.commandCenter.workers().find(w => w.id === id)", shift)
        if found and found["pixel"]:
            return found
        page.wait_for_timeout(100)
    raise AssertionError("the worker is not on the map")


def test_a_worker_on_the_map_and_the_replay_of_the_shift(log_in: Any, worker: dict[str, Any]) -> None:
    page: Page = log_in("shift")
    found = shown(page, worker["shift"])
    assert found["name"] == worker["name"]
    expect(page.get_by_test_id("on-duty")).not_to_have_text("0")
    page.mouse.click(*found["pixel"])
    panel = page.get_by_test_id("worker-panel")
    expect(panel).to_contain_text(worker["name"])
    expect(page.get_by_test_id("worker-facts")).to_contain_text("64 %")
    expect(page.get_by_test_id("worker-facts")).to_contain_text("± 25 m")

    page.get_by_test_id("replay-load").click()
    assert page.get_by_test_id("player").is_hidden()  # not without a purpose
    page.get_by_test_id("replay-purpose").fill("核查投诉 12345-0001")
    page.get_by_test_id("replay-load").click()
    slider = page.get_by_test_id("slider")
    expect(slider).to_be_visible()
    assert slider.get_attribute("max") == "30"
    first = page.get_by_test_id("moment").inner_text()
    slider.fill("20")
    expect(page.get_by_test_id("moment")).to_contain_text("模拟定位")
    assert page.get_by_test_id("moment").inner_text() != first
    with psycopg.connect(**database("served"), autocommit=True) as sql:
        rows = sql.execute(
            "SELECT u.username, a.purpose FROM realtime_trackaccess a JOIN fieldops_user u ON u.id = a.by_id"
            " WHERE a.shift_id = %s",
            [worker["shift"]],
        ).fetchall()
    assert rows == [("shift", "核查投诉 12345-0001")]
    page.get_by_test_id("worker-close").click()
    expect(panel).to_be_hidden()


def test_who_may_not_replay_is_not_offered_it_and_sees_masked_names(
    log_in: Any, worker: dict[str, Any]
) -> None:
    page: Page = log_in("intake1")
    assert shown(page, worker["shift"])["name"] == worker["name"][0] + "*" * (len(worker["name"]) - 1)
    expect(page.get_by_test_id("tracks")).to_have_count(0)
    page.mouse.click(*shown(page, worker["shift"])["pixel"])
    expect(page.get_by_test_id("worker-facts")).to_be_visible()
    expect(page.get_by_test_id("replay-load")).to_have_count(0)


def test_a_department_sees_no_workers(log_in: Any, worker: dict[str, Any]) -> None:
    page: Page = log_in("dept_municipal")
    expect(page.get_by_test_id("layer-workers")).to_have_count(0)
    assert page.evaluate("window.commandCenter.workers()") == []
