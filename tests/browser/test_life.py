"""Other departments and another class in a real browser: offered as forms, and told in the panel."""

from typing import Any

from playwright.sync_api import expect

from tests.browser.test_supervision import filed as filed  # the case
from tests.browser.test_supervision import open_event, picture


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
