"""The page of figures in a real browser: from the live map, a number opens its cases, a case opens on the map."""

from typing import Any

from playwright.sync_api import Page, expect


def test_a_leader_goes_from_the_map_to_figures_to_a_case(log_in: Any, file_over_http: Any) -> None:
    case = file_over_http(110.012, 40.651)["event"]
    page: Page = log_in("leader")
    page.get_by_test_id("figures").click()
    expect(page.get_by_test_id("figures-whole")).to_contain_text("立案率")
    table = page.get_by_test_id("figures-table")
    expect(table.locator("tbody tr").first).to_be_visible()
    # All reported, of all streets together.
    page.locator(".tile", has_text="响应率").locator("a").last.click()
    cases = page.get_by_test_id("figure-cases")
    expect(cases).to_contain_text(case["number"])
    cases.get_by_role("link", name=case["number"]).click()
    expect(page.get_by_test_id("event-panel")).to_contain_text(case["number"], timeout=10_000)
