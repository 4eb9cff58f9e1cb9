"""Debian's Chromium, without WebGL: the command center's PCs are old."""

import os
import shutil
from typing import Any

import httpx
import psycopg
import pytest
import uuid_utils.compat as uuid
from playwright.sync_api import Page

from devstack.clients import PASSWORD
from tests.browser.pages import PLACES
from tests.doing import Served, database

# Playwright's synchronous API runs an event loop of its own beside Django's.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"


@pytest.fixture(scope="session", autouse=True)
def _house_before_browser(served: Served) -> None:
    """Django keeps a connection per event loop: the databases are made before the driver starts its own."""


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    quiet = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-3d-apis",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
    ]
    return {**browser_type_launch_args, "executable_path": shutil.which("chromium"), "args": quiet}


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    size = {"width": 1366, "height": 768}
    return {**browser_context_args, "viewport": size, "locale": "en-US", "timezone_id": "America/New_York"}


@pytest.fixture
def file_over_http(served: Served) -> Any:
    """File a resident's report through the public API; answers what the resident is told."""
    with httpx.Client(base_url=served.url, timeout=20) as http:
        token = http.post("/api/v1/login", json={"username": "resident3", "password": PASSWORD}).json()[
            "token"
        ]
        http.headers["Authorization"] = f"Token {token}"

        def file(
            x: float, y: float, description: str = "井盖缺失，夜间有人险些跌落", **more: Any
        ) -> dict[str, Any]:
            body = {"id": str(uuid.uuid7()), "class": "component/0101", "description": description, **more}
            answer = http.post("/api/v1/reports", json={**body, "x": x, "y": y, "system": "WGS84"})
            assert answer.status_code == 201, answer.text
            return answer.json()

        yield file


@pytest.fixture
def filed(served: Served) -> dict[str, Any]:
    """A worker's report that went straight to a department, and who works there."""
    with httpx.Client(base_url=served.url, timeout=20) as http:
        who = {"username": "worker003", "password": PASSWORD}
        http.headers["Authorization"] = f"Token {http.post('/api/v1/login', json=who).json()['token']}"
        entry = next(c for c in http.get("/api/v1/event-classes").json() if c["key"] == "event/0105")
        body = {"id": str(uuid.uuid7()), "class": "event/0105", "description": "沿街垃圾堆积"}
        x, y = next(PLACES)
        place = {"x": x, "y": y, "system": "WGS84", "accuracy_m": 5}
        report = http.post(
            "/api/v1/reports", json={**body, **place, "condition": entry["conditions"][0]["id"]}
        ).json()
    assert report["event"]["status"] == "dispatched"
    with psycopg.connect(**database("served"), autocommit=True) as sql:
        [(handler,)] = sql.execute(
            "SELECT u.username FROM fieldops_workorder o JOIN fieldops_holding h ON h.post_id = o.post_id"
            " JOIN fieldops_user u ON u.id = h.user_id WHERE o.event_id = %s",
            [report["event"]["id"]],
        ).fetchall()
    return {**report["event"], "report": report["id"], "handler": handler}


@pytest.fixture
def log_in(page: Page, served: Served) -> Any:
    """Log in through the page, as people do, and wait for the live map."""

    def enter(username: str) -> Page:
        page.goto(served.url)
        page.fill("#id_username", username)
        page.fill("#id_password", PASSWORD)
        page.click("main form button[type=submit]")
        page.wait_for_selector('[data-testid="connection"][data-state="live"]', timeout=20_000)
        for _ in range(300):  # polled from outside, as the page forbids eval
            if page.evaluate("window.commandCenter?.ready"):
                return page
            page.wait_for_timeout(100)
        raise AssertionError("the map is not ready")

    return enter
