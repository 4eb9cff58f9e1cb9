"""The administrator's pages: one theme in both languages, under our content security policy."""

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Page, expect

from devstack.clients import PASSWORD
from tests.doing import Served, database

FILES = Path(__file__).parents[1] / "gridmap" / "files"
LIMITS = b"district,stage,urgent,minutes\n150204,accept,0,45\n150204,nowhere,0,-1\n"
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


# --- rules --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["zh-hans", "en"])
def test_a_rule_is_asked_for_and_checked_before_it_is_saved(administer: Any, language: str) -> None:
    page = administer("fieldops/responsibilityrule/", language=language)
    shoot(page, f"rules-{language}")
    page = administer("fieldops/responsibilityrule/who/", language=language)
    page.fill("#id_place", "109.87, 40.66")
    page.click('[data-testid="ask"] button')
    expect(page.locator('[data-testid="ranked"] tbody tr').nth(1)).to_be_visible(timeout=10_000)
    shoot(page, f"who-{language}")
    page = administer("fieldops/responsibilityrule/coverage/?everything=on", language=language)
    assert page.locator("table tbody tr").count() == 500
    shoot(page, f"coverage-{language}")
    page = administer("fieldops/stagelimit/bring/", language=language)
    page.set_input_files('input[type="file"]', {"name": "l.csv", "mimeType": "text/csv", "buffer": LIMITS})
    page.click('[data-testid="check"]')
    page.wait_for_selector('[data-testid="faults"]')
    shoot(page, f"bring-{language}")
    page = administer("fieldops/stagelimit/1/change/", language=language)
    minutes = page.input_value("#id_minutes")
    page.fill("#id_minutes", str(int(minutes) + 7))
    page.click('[name="_save"]')
    page.wait_for_selector('[data-testid="effect"]')
    shoot(page, f"check-{language}")
    page.click('[data-testid="back"]')
    assert page.input_value("#id_minutes") == minutes
    page.fill("#id_minutes", str(int(minutes) + 7))
    page.click('[name="_continue"]')
    page.click('[data-testid="save"]')
    page.wait_for_selector("#id_minutes")
    assert page.input_value("#id_minutes") == str(int(minutes) + 7)
    assert administer.complaints == []


# --- imports ------------------------------------------------------------------------------------------------


def bring(page: Page, layer: str, file: Path, crs: str = "") -> None:
    page.select_option("#id_layer", layer)
    page.set_input_files("#id_file", file)
    page.fill("#id_crs", crs)
    page.click('[name="_save"]')
    page.wait_for_selector('[data-testid="state"]')


def wait_for(page: Page, state: str) -> None:
    page.wait_for_selector(f'[data-testid="state"][data-state="{state}"]', timeout=60_000)


@pytest.mark.parametrize("language", ["zh-hans", "en"])
def test_a_good_file_is_checked_shown_on_the_map_and_applied(
    administer: Any, language: str, tmp_path: Path
) -> None:
    """Through Caddy, the pages, and the worker that runs beside them."""
    collection = {"type": "FeatureCollection", "features": []}
    for n, (x, y) in enumerate([(109.865, 40.66), (109.872, 40.662)]):
        line = {"type": "LineString", "coordinates": [[x, y], [x + 0.002, y + 0.0004]]}
        facts = {"code": f"{language}-{n}", "name": "友谊大街", "reach_m": 30}
        collection["features"].append({"type": "Feature", "geometry": line, "properties": facts})  # type: ignore[attr-defined]
    file = tmp_path / "road_segments.geojson"
    file.write_text(json.dumps(collection))
    page = administer("gridmap/importrun/add/", language=language)
    shoot(page, f"import-form-{language}")
    bring(page, "road_segments", file)
    wait_for(page, "ready")
    page.wait_for_function("window.importPage?.proposed() === 2")
    assert "2" in page.inner_text('[data-testid="summary"]')
    assert page.evaluate("window.importPage.altered()") == [f"{language}-0", f"{language}-1"]
    assert page.locator('[data-testid="changes"] button').count() == 2
    shoot(page, f"import-ready-{language}")
    page.click('[data-testid="apply"]')
    wait_for(page, "applied")
    assert page.is_hidden("#apply")
    shoot(page, f"import-applied-{language}")
    administer("gridmap/importrun/", language=language)
    shoot(page, f"imports-{language}")
    assert administer.complaints == []


@pytest.mark.parametrize("language", ["zh-hans", "en"])
def test_the_fault_of_a_broken_file_is_shown_on_the_map(administer: Any, language: str) -> None:
    page = administer("gridmap/importrun/add/", language=language)
    bring(page, "components", FILES / "swapped.csv", "WGS84")
    wait_for(page, "refused")
    fault = page.locator('[data-testid="faults"] button')
    assert "1502990101000001" in fault.inner_text()
    page.wait_for_function("window.importPage?.state === 'refused'")
    fault.click()
    assert page.evaluate("window.importPage.faultsInView()") == 1
    shoot(page, f"import-refused-{language}")
    assert page.is_hidden("#apply")
    assert administer.complaints == []


@pytest.mark.parametrize("language", ["zh-hans", "en"])
def test_a_layer_is_downloaded_and_a_day_to_come_is_told(
    administer: Any, language: str, tmp_path: Path
) -> None:
    page = administer("gridmap/importrun/", language=language)
    page.click('a[href$="/importrun/export/"]')
    page.select_option("#id_layer", "streets")
    page.select_option("#id_suffix", ".zip")
    page.select_option("#id_encoding", "GBK")
    page.fill("#id_crs", "EPSG:4546")
    with page.expect_download() as downloaded:
        page.click('[data-testid="ask"] button')
    assert downloaded.value.suggested_filename == "streets-150204.zip"
    downloaded.value.save_as(tmp_path / "streets.zip")
    assert zipfile.is_zipfile(tmp_path / "streets.zip")
    page.fill("#id_on", "2999-01-01")
    page.click('[data-testid="ask"] button')
    page.wait_for_selector('[data-testid="ask"] .text-red-700')
    shoot(page, f"export-{language}")
    assert administer.complaints == []


# --- layouts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["zh-hans", "en"])
def test_a_layout_is_drawn_on_the_map_and_given_up(administer: Any, language: str) -> None:
    page = administer("gridmap/layout/add/", language=language)
    page.fill("#id_title", "冬季调整")
    page.click('[name="_save"]')
    state = page.locator('[data-testid="state"]')
    page.wait_for_selector('[data-testid="state"][data-state="draft"]')
    with psycopg.connect(**database("served")) as connection:
        found = connection.execute(
            "SELECT code FROM gridmap_cell WHERE valid_to IS NULL ORDER BY code LIMIT 1"
        )
        [code] = found.fetchone() or [""]

    def corners(of: str) -> list[float]:
        return page.evaluate("code => window.layoutPage.pixelOf(code)", of)

    def choose(of: str) -> None:
        west, north, _, south, east, *_ = corners(of)
        canvas = page.locator(".import-map canvas").first.bounding_box()
        page.mouse.click(canvas["x"] + (west + east) / 2, canvas["y"] + (north + south) / 2)
        page.wait_for_timeout(400)

    choose(code)
    assert page.evaluate("window.layoutPage.selected()") == [code]
    page.click('[data-testid="split"]')
    west, north, _, south, east, *_ = corners(code)
    box = page.locator(".import-map canvas").first.bounding_box()
    middle = box["x"] + (west + east) / 2
    page.mouse.click(middle, box["y"] + north - 8)
    page.wait_for_timeout(400)
    page.mouse.dblclick(middle, box["y"] + south + 8)
    page.wait_for_function("window.layoutPage.begun().length === 2")
    shoot(page, f"layout-split-{language}")
    choose(code)
    page.fill('[data-testid="owner"]', "nobody")
    page.click('[data-testid="hand_over"]')
    page.wait_for_selector('[data-testid="faults"] li')
    shoot(page, f"layout-refused-{language}")
    page.click('[data-testid="discard"]')
    page.wait_for_selector('[data-testid="state"][data-state="discarded"]')
    assert state.is_visible()
    assert page.locator('[data-testid="merge"]').count() == 0
    page = administer("gridmap/layout/", language=language)
    assert "冬季调整" in page.inner_text("#page")
    shoot(page, f"layouts-{language}")
    # The one refusal, and Chromium's advice about OpenLayers' canvas.
    expected = ("422", "willReadFrequently")
    assert [one for one in administer.complaints if not any(word in one for word in expected)] == []
