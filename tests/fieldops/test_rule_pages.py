"""The pages of rules: what a change would do is told before it is saved, and nothing is written until then."""

from typing import Any

import pytest
from django.contrib import admin
from django.test import Client

from fieldops import desk
from fieldops.models import Event, FilingCondition, ResponsibilityRule, StageLimit, User
from gridmap.administration import RowAdmin, RuleAdmin, kept_states
from gridmap.models import CalendarDay, Department

pytestmark = pytest.mark.django_db


@pytest.fixture
def administrator(db: None) -> User:
    return User.objects.get(username="admin")


@pytest.fixture
def pages(client: Client, administrator: User) -> Client:
    client.force_login(administrator)
    client.cookies["django_language"] = "en"
    return client


@pytest.fixture
def assigned(located: Event, intake_operator: User, condition: FilingCondition) -> Event:
    desk.accept(located.pk, by=intake_operator)
    return desk.file(located.pk, by=intake_operator, condition_id=condition.pk)


def form_of(rule: ResponsibilityRule, **changes: Any) -> dict[str, Any]:
    names = ("number", "kind", "major", "minor", "condition", "unit_id", "department_id", "party", "source")
    held = {name.removesuffix("_id"): getattr(rule, name) for name in names}
    given = {**held, "district": rule.district_id, **changes}
    return {name: "" if value is None else value for name, value in given.items()}


def test_a_rule_tells_which_cases_would_go_to_whom_before_it_is_saved(pages: Client, assigned: Event) -> None:
    other = Department.objects.exclude(pk=assigned.department_id).first()
    new = ResponsibilityRule(
        district=assigned.district,
        number=9001,
        kind="event",
        major="01",
        minor="03",
        unit=assigned.cell.party_group,
        department=other,
    )
    address = "/admin/fieldops/responsibilityrule/add/"
    shown = pages.post(address, form_of(new))
    assert "effects" in shown.context, shown.context["adminform"].form.errors
    [owners] = [effect for effect in shown.context["effects"] if "open cases" in effect.title.lower()]
    assert owners.groups == [(assigned.department.name, other.name, 1, [assigned.number])]
    words = shown.content.decode()
    assert assigned.number in words
    assert "saved yet" in words
    assert not ResponsibilityRule.objects.filter(number=9001).exists()
    fields = dict(shown.context["fields"])
    saved = pages.post(address, {**fields, "_checked": "1"}, follow=True)
    assert ResponsibilityRule.objects.get(number=9001).department == other
    assert len(saved.context["messages"]) == 1


def test_a_rule_that_another_one_forbids_is_refused_with_a_reason(pages: Client) -> None:
    held = ResponsibilityRule.objects.filter(unit=None).exclude(kind="").first()
    shown = pages.post("/admin/fieldops/responsibilityrule/add/", form_of(held, number=9002))
    assert shown.status_code == 200
    assert "another rule has this scope at that time" in shown.content.decode()
    both = pages.post("/admin/fieldops/responsibilityrule/add/", form_of(held, number=9002, party="owning"))
    assert "name either a department" in both.content.decode()
    assert not ResponsibilityRule.objects.filter(number=9002).exists()


def test_a_limit_tells_which_deadlines_move(pages: Client, assigned: Event) -> None:
    limit = StageLimit.objects.get(stage="dispatch", urgent=assigned.condition.urgent)
    form = {"district": limit.district_id, "stage": limit.stage, "minutes": limit.minutes * 2}
    if limit.urgent:
        form["urgent"] = "on"
    shown = pages.post(f"/admin/fieldops/stagelimit/{limit.pk}/change/", form)
    [deadlines] = [effect for effect in shown.context["effects"] if "Deadlines" in effect.title]
    [(before, after, number, which)] = deadlines.groups
    assert (number, which) == (1, [f"{assigned.number} (stage)"])
    assert before < after
    assert StageLimit.objects.get(pk=limit.pk).minutes == limit.minutes
    states = kept_states(StageLimit).filter(pgh_obj=limit.pk).count()
    assert states == kept_states(StageLimit).filter(pgh_obj=limit.pk, pgh_label="insert").count()


def test_a_free_day_moves_the_deadlines_of_what_is_worked_on(pages: Client, dispatched: Event) -> None:
    if dispatched.condition.urgent:
        pytest.skip("its limit runs without a break")
    CalendarDay.objects.filter(day=dispatched.due_at.date()).delete()
    form = {"district": dispatched.district_id, "day": dispatched.due_at.date().isoformat(), "name": "假"}
    shown = pages.post("/admin/gridmap/calendarday/add/", form)
    [deadlines] = shown.context["effects"]
    assert {which for *_rest, group in deadlines.groups for which in group} >= {f"{dispatched.number} (case)"}
    assert not CalendarDay.objects.filter(name="假").exists()


def test_who_holds_the_work_is_told(pages: Client, dispatched: Event) -> None:
    post = dispatched.work_orders.get().post
    rows = list(post.holdings.all())
    form: dict[str, Any] = {
        "district": post.district_id,
        "role": post.role,
        "name": post.name,
        "unit": post.unit_id,
        "department": post.department_id,
        "holdings-TOTAL_FORMS": len(rows),
        "holdings-INITIAL_FORMS": len(rows),
    }
    for i, row in enumerate(rows):
        form |= {
            f"holdings-{i}-{name}": value
            for name, value in (
                ("id", row.pk),
                ("post", post.pk),
                ("user", row.user_id),
                ("since_0", f"{row.since:%Y-%m-%d}"),
                ("since_1", f"{row.since:%H:%M:%S}"),
                ("DELETE", "on"),
            )
        }
    shown = pages.post(f"/admin/fieldops/post/{post.pk}/change/", form)
    [effect] = shown.context["effects"]
    assert effect.groups[0][1] == f"{post.name}: –"
    assert post.holdings.count() == len(rows)


def test_deleting_tells_it_too(pages: Client, assigned: Event) -> None:
    rule = ResponsibilityRule.objects.get(number=assigned.responsibility["rule"]["number"])
    shown = pages.get(f"/admin/fieldops/responsibilityrule/{rule.pk}/delete/")
    assert shown.context["effects"][0].total == 1
    assert assigned.number in shown.content.decode()
    assert ResponsibilityRule.objects.filter(pk=rule.pk).exists()
    changelist = pages.get("/admin/fieldops/responsibilityrule/")
    assert "delete_selected" not in changelist.content.decode()


def test_who_is_no_administrator_is_refused(client: Client, outsider: User, dispatcher: User) -> None:
    for person in (outsider, dispatcher):
        client.force_login(person)
        for address in ("", "add/"):
            found = client.get(f"/admin/fieldops/responsibilityrule/{address}", follow=True)
            assert found.status_code == 403


def test_every_page_of_rules_has_its_history() -> None:
    """And what has a history is a page of rules, but for names, and for what is looked at only."""
    for model, rows in admin.site._registry.items():
        if isinstance(rows, RuleAdmin):
            assert kept_states(model) is not None, model
        elif kept_states(model) is not None:
            assert isinstance(rows, RowAdmin)
