"""Elements on the live map: numbers by cell at a click, what stands in a cell, the component of a case."""

from typing import Any

import psycopg
from playwright.sync_api import Page, expect

from tests.doing import Served, database


def test_elements_are_counted_and_listed(log_in: Any, served: Served) -> None:
    page: Page = log_in("leader")
    page.click('[data-testid="elements"] summary')
    box = page.locator('[data-testid="element-component"]')
    expect(box).to_be_visible(timeout=10_000)
    expect(page.locator('[data-testid="element-person"]')).to_have_count(0)
    box.check()
    for _ in range(100):
        numbers = page.evaluate("window.commandCenter.elementNumbers()")
        if numbers:
            break
        page.wait_for_timeout(100)
    with psycopg.connect(**database("served")) as connection:
        counted = connection.execute(
            "SELECT c.code, count(*) FROM gridmap_element e JOIN gridmap_cell c ON c.id = e.cell_id "
            "WHERE e.kind = 'component' AND e.ended_at IS NULL GROUP BY c.code"
        ).fetchall()
    assert numbers == dict(counted)
    code, number = counted[0]
    for shown in (f"#cell={code}", "#", f"#cell={code}"):
        page.evaluate("shown => { location.hash = shown; }", shown)
    listed = page.locator('[data-testid="cell-elements"]')
    expect(listed).to_contain_text(f"({number})", timeout=10_000)
    page.wait_for_load_state("networkidle")
    expect(listed).to_have_count(1)
    box.uncheck()
    page.wait_for_timeout(200)
    assert page.evaluate("window.commandCenter.elementNumbers()") == {}
