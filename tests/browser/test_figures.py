"""The page of figures in a real browser: from the live map, a number opens its cases, a case opens on the map."""

from typing import Any

from playwright.sync_api import Page, expect

from tests.doing import Served


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


def test_a_case_is_excluded_by_two(log_in: Any, file_over_http: Any, served: Served) -> None:
    number = file_over_http(110.012, 40.652)["event"]["number"]
    page: Page = log_in("supervisor")
    page.goto(f"{served.url}/figures/")
    page.locator(".tile", has_text="响应率").locator("a").last.click()
    page.get_by_role("row", name=number).get_by_role("link", name="申请剔除…").click()
    assert page.input_value('[name="number"]') == number
    page.fill('[name="reason"]', "演练数据，不计入考核")
    page.get_by_test_id("exclusion-form").get_by_role("button").click()
    row = page.get_by_test_id("exclusions").get_by_role("row", name=number)
    expect(row).to_contain_text("待他人审批")
    page.context.clear_cookies()
    page = log_in("leader")
    page.goto(f"{served.url}/figures/exclusions")
    row = page.get_by_test_id("exclusions").get_by_role("row", name=number)
    row.get_by_role("button", name="批准", exact=True).click()
    expect(row).to_contain_text("已批准")


def test_scores_lead_to_their_cases(log_in: Any, file_over_http: Any, served: Served) -> None:
    file_over_http(110.013, 40.651)
    page: Page = log_in("leader")
    page.goto(f"{served.url}/figures/")
    page.get_by_role("link", name="评分").click()
    expect(page.get_by_test_id("scores")).to_be_visible()
    page.select_option('[name="subject"]', "grid_worker")
    page.get_by_test_id("scores-form").get_by_role("button").click()
    expect(page.get_by_test_id("scores").locator("tbody tr").nth(5)).to_be_visible()
