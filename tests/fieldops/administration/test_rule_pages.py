"""The pages of rules: what a change would do is told before it is saved, and nothing is written until then."""

from datetime import timedelta
from io import BytesIO
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.apps import apps
from django.contrib import admin
from django.test import Client
from django.utils import timezone
from openpyxl import load_workbook

from fieldops.administration.foresight import CHIEFS, REOPENABLE
from fieldops.demo import EDITION
from fieldops.elements.streets import street_chief_of
from fieldops.models import (
    CallBack,
    CallBackPolicy,
    Event,
    EventClass,
    FilingCondition,
    Post,
    ResponsibilityRule,
    SegmentChief,
    StageLimit,
    User,
)
from fieldops.responsibility.assignment import find_responsible
from fieldops.steps import desk
from gridmap.administration import RowAdmin, RuleAdmin, changes_of, foretell, kept_states
from gridmap.models import CalendarDay, Cell, Component, Department, GridUnit
from gridmap.spreadsheets import workbook

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
    backwards = {"valid_from_0": "2026-02-02", "valid_from_1": "00:00", "valid_to_0": "2026-02-01"}
    form = form_of(held, number=9002, **backwards, valid_to_1="00:00")
    shown = pages.post("/admin/fieldops/responsibilityrule/add/", form)
    assert "after the beginning" in shown.content.decode()
    assert not ResponsibilityRule.objects.filter(number=9002).exists()


def test_a_dissolved_organisation_gets_neither_rules_nor_posts_nor_people(
    pages: Client, cell: Cell, grid_worker: User
) -> None:
    gone = GridUnit.objects.create(
        **{"district": cell.district, "level": 5, "code": f"{cell.community.code}G99", "name": "已撤党小组"},
        **{"parent": cell.community, "parent_level": 4, "boundary": cell.party_group.boundary},
        **{"valid_from": timezone.now() - timedelta(days=9), "valid_to": timezone.now()},
    )
    post = Post.objects.create(district=cell.district, role="grid_worker", name="旧岗", unit=gone)
    held = ResponsibilityRule.objects.filter(unit=None).exclude(kind="").first()
    holder = {"user": grid_worker.pk, "since_0": "2026-01-01", "since_1": "08:00", "stands_in_for": ""}
    named = {"district": cell.district_id, "role": "grid_worker", "name": "新岗", "unit": gone.pk}
    no_holders = {"holdings-TOTAL_FORMS": 0, "holdings-INITIAL_FORMS": 0}
    for address, form, field in (
        ("responsibilityrule/add/", form_of(held, number=9003, unit=gone.pk), "unit"),
        ("post/add/", {**named, **no_holders}, "unit"),
        ("holding/add/", {"post": post.pk, **holder}, "post"),
    ):
        shown = pages.post(f"/admin/fieldops/{address}", form)
        assert field in shown.context["adminform"].form.errors, address
    assert not ResponsibilityRule.objects.filter(unit=gone).exists()
    assert list(Post.objects.filter(unit=gone)) == [post]
    assert not post.holdings.exists()


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


def test_no_rule_is_without_a_page() -> None:
    """Whatever keeps its history has a page, but for components, which change by import and in the field."""
    kept = {model for model in apps.get_models() if kept_states(model) is not None}
    assert kept - set(admin.site._registry) == {Component}


def test_every_page_of_rules_has_its_history() -> None:
    """And what has a history is a page of rules, but for names, and for what is looked at only."""
    for model, rows in admin.site._registry.items():
        if isinstance(rows, RuleAdmin):
            assert kept_states(model) is not None, model
        elif kept_states(model) is not None:
            assert isinstance(rows, RowAdmin)


# --- questions ------------------------------------------------------------------------------------------


def who(pages: Client, **asked: Any) -> Any:
    return pages.get("/admin/fieldops/responsibilityrule/who/", asked, follow=True)


def test_which_rule_holds_here_and_which_it_beats(
    pages: Client, cell: Cell, event_class: EventClass, condition: FilingCondition
) -> None:
    assert who(pages).status_code == 200
    middle = cell.boundary.point_on_surface
    for place in (cell.code, f"{middle.x}, {middle.y}", f"{middle.x}，{middle.y}"):
        shown = who(pages, event_class=event_class.pk, place=place, condition=condition.number)
        ranked = shown.context["ranked"]
        expected = find_responsible(event_class, cell, condition=condition)
        assert expected is not None
        assert (ranked[0]["rule"].number, ranked[0]["department"]) == (
            expected.why["rule"]["number"],
            expected.department,
        )
        assert ranked[1]["rule"].number == expected.why["over"]["number"]
        assert ranked[0]["told"] in shown.content.decode()
    ResponsibilityRule.objects.all().delete()
    assert "No rule fits" in who(pages, event_class=event_class.pk, place=cell.code).content.decode()


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"place": "' OR 1=1 --"}, "place"),
        ({"place": "nan,nan"}, "place"),
        ({"place": "inf,1e999"}, "place"),
        ({"place": "1,2,3"}, "place"),
        ({"place": "0,0"}, "place"),
        ({"place": "150204\x00"}, "place"),
        ({"event_class": "999999999999999999999"}, "event_class"),
        ({"condition": "-1"}, "condition"),
        ({"condition": "99999999999"}, "condition"),
        ({"condition": "77"}, "condition"),
        ({"component": "9" * 16}, "component"),
        ({"component": "<script>"}, "component"),
    ],
)
def test_a_question_that_makes_no_sense_is_told_where(
    pages: Client, cell: Cell, event_class: EventClass, asked: dict[str, str], field: str
) -> None:
    shown = who(pages, **{"event_class": event_class.pk, "place": cell.code, **asked})
    assert shown.status_code == 200
    assert list(shown.context["form"].errors) == [field]
    assert "<script>" not in shown.content.decode().split('data-testid="ask"')[1].split("</form>")[0]


def test_what_nobody_answers_for_is_listed_and_written_down(pages: Client) -> None:
    address = "/admin/fieldops/responsibilityrule/coverage/"
    assert pages.get(address, follow=True).context["total"] == 0
    ResponsibilityRule.objects.exclude(kind="component").delete()
    Department.objects.update(name="=HYPERLINK(1)")
    shown = pages.get(address, {"street": "150204003"}, follow=True)
    events = EventClass.objects.filter(edition=EDITION, kind="event").count()
    assert shown.context["total"] == events
    sheet = pages.get(address, {"street": "150204003", "everything": "on", "xlsx": "1"}, follow=True)
    rows = list(load_workbook(BytesIO(sheet.content)).active.values)
    assert len(rows) == 190 + 1
    assert {row[4] for row in rows[1:]} == {"'=HYPERLINK(1)", None}


def test_the_questions_are_an_administrators(client: Client, outsider: User, dispatcher: User) -> None:
    for person in (outsider, dispatcher):
        client.force_login(person)
        for name in ("who", "coverage"):
            assert client.get(f"/admin/fieldops/responsibilityrule/{name}/", follow=True).status_code == 403


# --- spreadsheets ----------------------------------------------------------------------------------------


def sheet_of(pages: Client, kind: str) -> list[list[Any]]:
    out = pages.get(f"/admin/{kind}/sheet/", follow=True)
    assert out.status_code == 200
    return [list(row) for row in load_workbook(BytesIO(out.content)).active.values]


def bring(pages: Client, kind: str, rows: list[list[Any]]) -> Any:
    file = BytesIO(workbook(rows[0], rows[1:]))
    file.name = "rules.xlsx"
    return pages.post(f"/admin/{kind}/bring/", {"file": file})


def rule_kinds() -> list[str]:
    return sorted(
        model._meta.label_lower.replace(".", "/")
        for model, rows in admin.site._registry.items()
        if isinstance(rows, RuleAdmin)
    )


def test_every_kind_of_rule_goes_out_and_comes_back_as_it_was(pages: Client) -> None:
    kinds = rule_kinds()
    assert len(kinds) > 10
    for kind in kinds:
        rows = sheet_of(pages, kind)
        if len(rows) == 1:
            continue
        shown = bring(pages, kind, rows[:60])
        brought = shown.context.get("brought")
        assert brought is not None, (kind, shown.context.get("refused"))
        assert (brought.new, brought.changed, brought.faults) == (0, 0, []), kind


def test_a_sheet_is_checked_then_written_in_one_piece(pages: Client, assigned: Event) -> None:
    kind = "fieldops/responsibilityrule"
    rows = sheet_of(pages, kind)
    heading = rows[0]
    other = Department.objects.exclude(pk=assigned.department_id).first()
    new = {
        "district": assigned.district_id,
        "number": 9001,
        "kind": "event",
        "major": "01",
        "minor": "03",
        "unit": assigned.cell.party_group.code,
        "department": other.code,
    }
    sheet = [heading, rows[1], [new.get(name) for name in heading]]
    shown = bring(pages, kind, sheet)
    assert (shown.context["brought"].new, shown.context["brought"].same) == (1, 1)
    assert shown.context["effects"][0].groups == [
        (assigned.department.name, other.name, 1, [assigned.number])
    ]
    assert not ResponsibilityRule.objects.filter(number=9001).exists()
    kept = shown.context["rows"]
    forged = pages.post(f"/admin/{kind}/bring/", {"rows": kept[:-4] + "AAAA"})
    assert forged.context["refused"]
    elsewhere = pages.post("/admin/fieldops/stagelimit/bring/", {"rows": kept})
    assert elsewhere.context["refused"]
    assert pages.post(f"/admin/{kind}/bring/", {"rows": kept}).status_code == 302
    made = ResponsibilityRule.objects.get(number=9001)
    assert (made.department, made.unit) == (other, assigned.cell.party_group)
    [state] = kept_states(ResponsibilityRule).filter(pgh_obj=made.pk)
    assert state.pgh_context["url"].endswith("/bring/")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"department": "nowhere"}, "does not exist"),
        ({"department": ""}, "name either a department"),
        ({"number": "many"}, ""),
        ({"number": "-1"}, ""),
        ({"number": "1e400"}, ""),
        ({"number": "99999999999999999999"}, ""),
        ({"major": "", "minor": "03"}, ""),
        ({"valid_from": "yesterday"}, ""),
        ({"valid_from": "2026-02-02 00:00:00"}, "with its zone"),
        ({"valid_from": "2026-02-02T00:00:00Z", "valid_to": "2026-02-01T00:00:00Z"}, "after the beginning"),
        ({"unit": "' OR 1=1"}, "does not exist"),
        ({"district": "999999"}, ""),
        ({"number": "1"}, ""),
        ({"number": "2"}, "says the same"),
    ],
)
def test_faults_are_named_by_row_and_nothing_is_written(
    pages: Client, changes: dict[str, str], words: str
) -> None:
    kind = "fieldops/responsibilityrule"
    rows = sheet_of(pages, kind)
    heading, first = rows[0], rows[2]
    bad = [changes.get(name, value) for name, value in zip(heading, first, strict=True)]
    if "number" not in changes:
        bad[heading.index("number")] = 9002
    good = [*first]
    good[heading.index("source")] = "changed"
    shown = bring(pages, kind, [heading, good, bad])
    [(row, told), *_] = shown.context["brought"].faults
    assert row == 3
    assert words in told
    assert not ResponsibilityRule.objects.filter(source="changed").exists()


def test_columns_that_are_none_are_named(pages: Client) -> None:
    shown = bring(pages, "fieldops/responsibilityrule", [["number", "password"], [1, "x"]])
    assert "password" in shown.context["refused"]
    assert "district" in shown.context["refused"]
    assert bring(pages, "fieldops/responsibilityrule", [["number"]]).context["refused"]
    assert pages.post("/admin/fieldops/responsibilityrule/bring/").context["refused"]


def test_sheets_are_an_administrators(client: Client, outsider: User, dispatcher: User) -> None:
    for person in (outsider, dispatcher):
        client.force_login(person)
        for name in ("sheet", "bring"):
            address = f"/admin/fieldops/responsibilityrule/{name}/"
            assert client.get(address, follow=True).status_code == 403
            assert client.post(address, follow=True).status_code == 403


# --- history ----------------------------------------------------------------------------------------------


def test_a_history_is_told_in_words_and_outlives_its_row(
    pages: Client, outsider: User, event_class: EventClass
) -> None:
    rule = ResponsibilityRule.objects.filter(kind="event").exclude(department=None).first()
    assert rule is not None
    before, other = rule.department, Department.objects.exclude(pk=rule.department_id)[0]
    address, form = f"/admin/fieldops/responsibilityrule/{rule.pk}/", form_of(rule, department=other.pk)
    assert pages.post(f"{address}change/", {**form, "_checked": "1"}).status_code == 302
    [changed, *_added] = changes_of(rule)
    assert ("department", str(before), str(other)) in [
        (str(n), was, now) for n, was, now in changed["fields"]
    ]
    page = pages.get(f"{address}history/").content.decode()
    assert str(before) in page and str(other) in page and "admin" in page
    pages.post(f"{address}delete/", {"post": "yes"})
    assert not ResponsibilityRule.objects.filter(pk=rule.pk).exists()
    all_of_them = pages.get("/admin/fieldops/responsibilityrule/changes/", follow=True)
    [deleted, changed, *_rest] = all_of_them.context["changes"]
    assert (deleted["label"], str(deleted["by"])) == ("deleted", str(User.objects.get(username="admin")))
    assert deleted["row"] == changed["row"] and str(rule.number) in deleted["row"]
    pages.force_login(outsider)
    refused = pages.get("/admin/fieldops/responsibilityrule/changes/", follow=True)
    assert refused.status_code == 403


def test_every_kind_of_rule_tells_its_changes(pages: Client) -> None:
    for kind in rule_kinds():
        assert pages.get(f"/admin/{kind}/changes/", follow=True).status_code == 200, kind


def test_whose_street_and_until_when_is_told(pages: Client, dispatched: Event) -> None:
    """A street chief's segment, and the days to have a case reopened, are looked at before they are changed."""
    there = SegmentChief.objects.filter(post__unit__in=dispatched.cell.unit_ids, until=None).first()
    assert there is not None
    Event.objects.filter(pk=dispatched.pk).update(point=there.segment.line.interpolate_normalized(0.5))
    dispatched.refresh_from_db()
    chief = street_chief_of(dispatched)
    assert chief is not None
    held = SegmentChief.objects.filter(post=chief, until=None)
    [effect] = foretell(lambda: held.delete(), (CHIEFS,))[1]
    assert [(was, now) for was, now, _count, which in effect.groups if dispatched.number in which] == [
        (chief.name, "")
    ]
    assert street_chief_of(dispatched) == chief, "it was taken back"
    district = dispatched.district
    asked = CallBack.objects.create(
        event=dispatched,
        report=dispatched.reports.get(),
        closing_version=dispatched.version,
        closed_at=timezone.now(),
        asked_at=timezone.now(),
        answer_until=timezone.now() + timedelta(days=1),
        way="app",
    )

    def fewer() -> None:
        CallBackPolicy.objects.update_or_create(district=district, defaults={"reopen_days": 0})

    [effect] = foretell(fewer, (REOPENABLE,))[1]
    local = asked.closed_at.astimezone(ZoneInfo(district.time_zone))
    assert [(now, which) for _was, now, _count, which in effect.groups] == [
        (f"{local:%Y-%m-%d}", [dispatched.number])
    ]
