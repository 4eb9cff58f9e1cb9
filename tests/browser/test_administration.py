"""The administrator's pages: one theme in both languages, under our content security policy."""

import os
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from devstack.clients import PASSWORD
from tests.conftest import Served

SHOTS = os.environ.get("ADMIN_SCREENSHOTS")


@pytest.fixture
def administer(page: Page, served: Served) -> Any:
    """Log in as the administrator and open a page of the administration; complaints of the browser are gathered."""
    complaints: list[str] = []
    page.on(
        "console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))

    def enter(path: str = "", *, language: str = "zh-hans") -> Page:
        page.context.add_cookies([{"name": "django_language", "value": language, "url": served.url}])
        page.goto(f"{served.url}/admin/{path}")
        if "/login/" in page.url:
            page.fill("#id_username", "admin")
            page.fill("#id_password", PASSWORD)
            page.click("main form button[type=submit]")
        page.wait_for_selector("#page")
        return page

    enter.complaints = complaints  # type: ignore[attr-defined]
    return enter


def shoot(page: Page, name: str) -> None:
    if SHOTS:
        page.wait_for_timeout(400)
        page.screenshot(path=Path(SHOTS, f"{name}.png"))


@pytest.mark.parametrize("language", ["zh-hans", "en"])
def test_the_pages_stand_in_both_languages_and_break_no_policy(administer: Any, language: str) -> None:
    page = administer(language=language)
    words = page.inner_text("body")
    wanted = {
        "zh-hans": ["网格地理", "权责规则", "平安青山 · 管理"],
        "en": ["Grid geography", "Responsibility rules", "Administration"],
    }
    for word in wanted[language]:
        assert word.casefold() in words.casefold()
    shoot(page, f"index-{language}")
    for name, path in {
        "districts": "gridmap/district/",
        "units": "gridmap/gridunit/",
        "rules": "fieldops/responsibilityrule/",
        "department": "gridmap/department/1/change/",
        "posts": "fieldops/post/",
        "people": "fieldops/user/",
        "calendar": "gridmap/calendarday/",
        "history": "gridmap/district/150204/history/",
    }.items():
        administer(path, language=language)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        shoot(page, f"{name}-{language}")
    assert administer.complaints == []
