"""Elements and road segments on the live map come as tiles, when they are wanted; the server says what a mark means."""

from typing import Any

import psycopg
from playwright.sync_api import Page, Response, expect

from tests.doing import Served, database


def tile_of(layer: str) -> Any:
    def is_one(answer: Response) -> bool:
        return f"/{layer}/" in answer.url and "/tiles/" in answer.url

    return is_one


def test_elements_show_when_they_are_wanted_and_tell_what_they_are(
    log_in: Any, served: Served, file_over_http: Any
) -> None:
    with psycopg.connect(**database("served")) as connection:
        # One that stands alone, so that the click means it.
        found = connection.execute(
            "SELECT e.id::text, c.code, ST_X(e.point), ST_Y(e.point) FROM gridmap_element e "
            "JOIN gridmap_cell c ON c.id = e.cell_id WHERE e.kind = 'component' AND e.ended_at IS NULL "
            "AND NOT EXISTS (SELECT FROM gridmap_element o WHERE o.id <> e.id AND o.ended_at IS NULL "
            "AND ST_DWithin(o.point, e.point, 0.0004)) AND NOT EXISTS (SELECT FROM fieldops_event v "
            "WHERE v.is_open AND ST_DWithin(v.point, e.point, 0.0004)) ORDER BY e.id LIMIT 1"
        ).fetchone()
    assert found is not None
    element, code, lon, lat = found
    page: Page = log_in("leader")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    # A case near by takes the map there.
    case = file_over_http(lon + 0.0015, lat)["event"]["id"]
    page.evaluate("id => { location.hash = `#event=${id}`; }", case)
    page.wait_for_timeout(700)
    assert not [url for url in asked if "/elements/" in url or "/road-segments/" in url]
    with page.expect_response(tile_of("road-segments")) as answer:
        page.check('[data-testid="layer-road-segments"]')
    assert answer.value.status == 200
    with page.expect_response(tile_of("elements")) as answer:
        page.check('[data-testid="layer-elements"]')
    assert answer.value.status == 200

    def pixel() -> tuple[int, int]:
        x, y = page.evaluate("place => window.commandCenter.pixelAt(place)", [lon, lat])
        return x, y

    for _ in range(4):
        page.mouse.move(*pixel())
        page.mouse.wheel(0, -300)
        page.wait_for_timeout(500)
    # The finer tile comes when it comes: one clicks again.
    for _ in range(40):
        page.mouse.click(*pixel())
        page.wait_for_timeout(500)
        if any(f"/api/command/elements/{element}" in url for url in asked):
            break
    panel = page.locator('[data-testid="cell-panel"]')
    expect(panel).to_contain_text(code, timeout=10_000)
