"""What browser tests do on pages."""

import os
from typing import Any

from playwright.sync_api import Page, expect

# Far enough apart that none is taken for the other's.
PLACES = iter(
    [
        (110.022, 40.648),
        (110.015, 40.652),
        (110.02, 40.655),
        (110.025, 40.658),
        (110.01, 40.65),
        (110.03, 40.652),
    ]
)


def picture(page: Page, name: str) -> None:
    """Keep what the page looks like, where somebody wants to see it."""
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        page.screenshot(path=f"{folder}/{name}.png")


def open_event(page: Page, event: dict[str, Any]) -> Any:
    page.evaluate("id => { location.hash = `#event=${id}` }", event["id"])
    panel = page.get_by_test_id("event-panel")
    expect(panel.get_by_test_id("event-number")).to_have_text(event["number"], timeout=10_000)
    return panel
