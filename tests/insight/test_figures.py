"""Figures: published ones to the digit, denominators that differ, what is excluded, and what leads nowhere."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Count
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.translation import override

from benchmarks._lives import Life, Walker, World, make_lives, store, world_of
from fieldops.geography.boundaries import apply_layout
from fieldops.intake import Receipt
from fieldops.lifecycle import Submission
from fieldops.models import (
    CheckPolicy,
    Event,
    EventClass,
    FilingCondition,
    Holding,
    Post,
    Rating,
    ResponsibilityRule,
    StageLimit,
    User,
)
from fieldops.status import Step
from fieldops.steps import approvals, desk, fieldwork, followup, joint, reckoning
from gridmap.layouts import draft_layout, hand_over
from gridmap.models import CalendarDay, Cell, District, GridUnit, Level
from insight import exclusions
from insight.describe import describe
from insight.facts import COUNTS
from insight.figures import (
    CASES_A_PAGE,
    DIMENSIONS,
    Period,
    Scope,
    cases_behind,
    count_all,
    count_by,
    count_by_level,
    period_of,
)
from insight.indicators import INDICATORS
from insight.models import DenominatorChoice, Exclusion
from insight.tables import BY, narrow, tabulate
from tests.doing import handled_by, holder_of, key, photo_for

DECEMBER = Period(
    datetime(2016, 11, 30, 16, tzinfo=UTC), datetime(2016, 12, 31, 16, tzinfo=UTC), timezone.now()
)


@pytest.fixture
def world(db: None) -> World:
    return world_of(District.objects.get())


@pytest.fixture
def scope(db: None) -> Scope:
    return Scope(District.objects.get().pk)


def local_day() -> date:
    return timezone.localdate(timezone=ZoneInfo(District.objects.get().time_zone))


class Story(Walker):
    """A life whose steps and moments are told."""

    def tell(self, begin: datetime, steps: list[tuple[Step, timedelta]]) -> Life:
        life = self.born(begin)
        at = begin
        self.take(life, Step.REPORT, at)
        for step, later in steps:
            at += later
            self.take(life, step, at)
        return life


SOON, LATE = timedelta(minutes=1), timedelta(days=400)
TO_THE_FIELD = [(step, SOON) for step in (Step.LOCATE, Step.ACCEPT, Step.FILE, Step.ASSIGN, Step.DISPATCH)]


def percent(code: str, counts: dict[str, int], choice: str = "") -> str:
    value = INDICATORS[code].value(counts, choice)
    assert value is not None
    return f"{100 * value:.2f}"


def test_tianmens_december_comes_out_to_the_digit(world: World, scope: Scope) -> None:
    """Tianmen, 2016-12: 972 to close, 911 closed = 93.72 %, 737 of them in time = 75.82 %."""
    story = Story(world, 1)
    done = [(Step.TAKE_ON, SOON), (Step.HANDLE, SOON), (Step.CONFIRM, SOON), (Step.CLOSE, SOON)]
    lives = []
    begin = DECEMBER.begin + timedelta(days=2)
    lives += [story.tell(begin + n * SOON, TO_THE_FIELD + done) for n in range(737)]
    # Dispatched a year before and handled now: late.
    late = [(Step.TAKE_ON, LATE), *done[1:]]
    lives += [story.tell(begin - LATE + n * SOON, TO_THE_FIELD + late) for n in range(911 - 737)]
    lives += [
        story.tell(begin + n * SOON, [*TO_THE_FIELD, *done[:2]]) for n in range(20)
    ]  # handled, not closed
    short = [one for one in world.conditions if one[1].urgent and one[1].limit_unit == "hour"]
    story.world = World(**{**vars(world), "conditions": short})
    lives += [story.tell(begin + n * SOON, TO_THE_FIELD) for n in range(972 - 911 - 20)]  # fallen due
    store(lives)
    counts = count_all(DECEMBER, scope).counts
    assert (counts["to_close"], counts["closed"], counts["closed_in_time"]) == (972, 911, 737)
    assert percent("closing_rate", counts) == "93.72"
    assert percent("closed_on_time_rate", counts) == "75.82"
    behind = cases_behind(["closed_in_time", "closed"], DECEMBER, scope, page=5)
    assert (behind.total, behind.sums) == (911, {"closed_in_time": 737, "closed": 911})
    assert len(behind.cases) == 911 - 4 * CASES_A_PAGE
    paged = [
        key for page in range(1, 6) for key in cases_behind(["closed"], DECEMBER, scope, page=page).cases
    ]
    assert len(set(paged)) == len(paged) == 911
    assert cases_behind(["closed"], DECEMBER, scope, page=6).cases == {}


def test_xinings_june_comes_out_to_the_digit(world: World, scope: Scope) -> None:
    """Xining Chengzhong, 2024-06: of 670 call-backs 663 resolved = 98.96 %; 614 satisfied, 34 basically = 94.69 %."""
    story = Story(world, 2)
    begin = datetime(2024, 6, 3, 2, tzinfo=UTC)
    steps = [
        *TO_THE_FIELD,
        *(
            (step, SOON)
            for step in (Step.TAKE_ON, Step.HANDLE, Step.CONFIRM, Step.CLOSE, Step.ASK_BACK, Step.RATE)
        ),
    ]
    lives = [story.tell(begin + n * SOON, steps) for n in range(670)]
    for number, life in enumerate(lives):
        life.call_backs = life.call_backs[:1]
        [asked] = life.call_backs
        rated = (
            Rating.SATISFIED if number < 614 else Rating.BASICALLY if number < 648 else Rating.DISSATISFIED
        )
        asked.rating, asked.resolved = rated, number < 663
        asked.reason = "" if rated != Rating.DISSATISFIED else "没有解决"
    store(lives)
    june = period_of(begin.date().replace(day=1), begin.date().replace(day=30), world.district)
    counts = count_all(june, scope).counts
    assert (counts["called_back"], counts["resolved"]) == (670, 663)
    assert (counts["satisfied"], counts["basically"]) == (614, 34)
    assert percent("resolution_rate", counts) == "98.96"
    assert percent("satisfaction_rate", counts) == "94.69"


def test_every_indicator_says_what_it_divides() -> None:
    assert len(INDICATORS) >= 20
    for one in INDICATORS.values():
        assert one.describes and one.denominators
        for below in (one.numerator, *one.denominators.values()):
            assert set(below.weights) <= set(COUNTS)
    assert {code for code, one in INDICATORS.items() if len(one.denominators) > 1} >= {
        "filing_rate",
        "overdue_rate",
        "check_rate",
        "satisfaction_rate",
    }


def test_nothing_divided_by_nothing_is_no_figure(scope: Scope) -> None:
    counts = count_all(DECEMBER, scope).counts
    assert set(counts.values()) == {0}
    assert {one.value(counts) for one in INDICATORS.values()} == {None}


def test_a_district_chooses_its_denominator(dispatched: Event, located: Event) -> None:
    today = local_day()
    scope = Scope(dispatched.district_id)
    counts = count_all(period_of(today, today, dispatched.district), scope).counts
    assert percent("filing_rate", counts) == "50.00"
    assert percent("filing_rate", counts, "accepted") == "100.00"
    DenominatorChoice.objects.create(
        district=dispatched.district, indicator="filing_rate", denominator="accepted"
    )
    with pytest.raises(IntegrityError), transaction.atomic():
        DenominatorChoice.objects.create(
            district=dispatched.district, indicator="filing_rate", denominator="reported"
        )


def test_an_approved_exclusion_changes_the_figures_from_then_on(
    dispatched: Event, shift_leader: User, supervisor: User
) -> None:
    today = local_day()
    scope, before = Scope(dispatched.district_id), timezone.now()
    asked = Exclusion.objects.create(
        event=dispatched, reason="系统演练", asked_by=shift_leader, asked_at=before
    )
    assert count_all(period_of(today, today, dispatched.district), scope).counts["filed"] == 1
    asked.approved, asked.decided_by, asked.decided_at = True, supervisor, timezone.now()
    asked.save()
    assert count_all(period_of(today, today, dispatched.district), scope).counts["filed"] == 0
    as_of = period_of(today, today, dispatched.district, as_of=before)
    assert count_all(as_of, scope).counts["filed"] == 1
    assert Event.objects.filter(pk=dispatched.pk).exists()


def test_nobody_approves_their_own_exclusion(dispatched: Event, shift_leader: User) -> None:
    now = timezone.now()
    with pytest.raises(IntegrityError), transaction.atomic():
        Exclusion.objects.create(
            event=dispatched,
            reason="系统演练",
            asked_by=shift_leader,
            asked_at=now,
            decided_by=shift_leader,
            decided_at=now,
            approved=True,
        )


def test_a_scope_narrows_to_the_area_and_the_department(dispatched: Event) -> None:
    today = local_day()
    period = period_of(today, today, dispatched.district)
    own, other = (
        dispatched.cell.street,
        District.objects.get().units.filter(level=3).exclude(pk=dispatched.cell.street_id).first(),
    )
    district = dispatched.district_id

    def filed(**narrowed: Any) -> int:
        return count_all(period, Scope(district, **narrowed)).counts["filed"]

    assert other is not None
    assert (filed(unit=own), filed(unit=other)) == (1, 0)
    assert (filed(within=(own, other)), filed(within=(other,)), filed(within=())) == (1, 0, 0)
    order = dispatched.work_orders.get()
    assert (filed(department=order.department_id), filed(department=order.department_id + 1)) == (1, 0)
    assert filed(channel="hotline_12345") == 0
    with pytest.raises(KeyError):
        count_by("anything; DROP TABLE", period, Scope(district))
    with pytest.raises(KeyError):
        cases_behind(["anything"], period, Scope(district))


def test_a_case_is_its_leads_whoever_assists(dispatched: Event, dispatcher: User) -> None:
    """The assistants' orders come later, and say nothing of the department that leads."""
    lead = dispatched.work_orders.get()
    others = Post.objects.filter(role="department_handler", unit__level=1).exclude(department=lead.department)
    joint.assist(
        dispatched.pk, by=dispatcher, department_ids=[others.first().department_id], reason="共管路段"
    )
    handler = holder_of(lead.post)
    fieldwork.take_on(lead.pk, by=handler, submission=key())
    submission = key()
    photo_for(submission, handler)
    fieldwork.handle(lead.pk, by=handler, submission=submission)
    today = local_day()
    [line] = count_by(
        "department", period_of(today, today, dispatched.district), Scope(dispatched.district_id)
    )
    assert (line.of, line.counts["handled_in_time"]) == (lead.department_id, 1)


def test_only_handling_makes_a_closing_count(
    file_report: Callable[..., Receipt], grid_worker: User, condition: FilingCondition, shift_leader: User
) -> None:
    """Ended as a special case or on the spot: neither closed nor to close. Handled before: both."""
    given_up = file_report(grid_worker, condition_id=condition.pk).event
    # Of another class, or it would be held for the same matter.
    other = EventClass.objects.exclude(pk=condition.event_class_id).filter(kind="event").first()
    assert other is not None
    on_the_spot = file_report(
        grid_worker, class_key=other.key, condition_id=other.conditions.first().pk, self_handled=True
    )
    done = key()
    for submission in (Submission(on_the_spot.report.pk), done):
        photo_for(submission, grid_worker)
    fieldwork.handle_on_the_spot(on_the_spot.event.pk, by=grid_worker, submission=done)
    desk.close_specially(given_up.pk, by=shift_leader, closing="special", reason="已纳入改造")
    today = local_day()
    period, scope = period_of(today, today, given_up.district), Scope(given_up.district_id)
    counts = count_all(period, scope).counts
    assert (counts["reported"], counts["to_close"], counts["closed"]) == (2, 0, 0)
    third = (
        EventClass.objects.exclude(pk__in=[other.pk, condition.event_class_id]).filter(kind="event").first()
    )
    assert third is not None
    worked_on = file_report(grid_worker, class_key=third.key, condition_id=third.conditions.first().pk).event
    order = worked_on.work_orders.get()
    handled_by(holder_of(order.post), order)
    desk.close_specially(worked_on.pk, by=shift_leader, closing="special", reason="居民撤回")
    counts = count_all(period_of(today, today, given_up.district), scope).counts
    assert (counts["reported"], counts["to_close"], counts["closed"]) == (3, 1, 1)


def test_ending_a_case_after_it_fell_due_does_not_take_it_out(
    file_report: Callable[..., Receipt], grid_worker: User, condition: FilingCondition, shift_leader: User
) -> None:
    given_up = file_report(grid_worker, condition_id=condition.pk).event
    late = timezone.now() - timedelta(minutes=1)
    given_up.work_orders.update(dispatched_at=late - timedelta(hours=1), due_at=late)
    desk.close_specially(given_up.pk, by=shift_leader, closing="special", reason="已纳入改造")
    day = late.astimezone(ZoneInfo(given_up.district.time_zone)).date()
    period = period_of(day, day, given_up.district)
    counts = count_all(period, Scope(given_up.district_id)).counts
    assert (counts["to_close"], counts["closed"], counts["overdue"]) == (1, 0, 1)


def test_ending_a_deferred_case_does_not_make_it_overdue(dispatched: Event, shift_leader: User) -> None:
    """Its clock stood still: what was due before the deferral is not held against anybody."""
    order = dispatched.work_orders.get()
    handler = holder_of(order.post)
    fieldwork.take_on(order.pk, by=handler, submission=key())
    until = timezone.now() + timedelta(days=3)
    approvals.ask_deferral(order.pk, by=handler, submission=key(), reason="等材料", until=until)
    approvals.defer(dispatched.pk, by=shift_leader)
    order.refresh_from_db()
    before = order.due_at
    desk.close_specially(dispatched.pk, by=shift_leader, closing="special", reason="已纳入改造")
    order.refresh_from_db()
    assert order.due_at >= before and order.due_at > order.finished_at


def test_a_past_period_keeps_the_class_of_the_time(dispatched: Event, dispatcher: User) -> None:
    today, before = local_day(), timezone.now()
    scope, old = Scope(dispatched.district_id), dispatched.event_class_id
    wanted = FilingCondition.objects.filter(
        event_class__edition=dispatched.event_class.edition, event_class__kind="event"
    ).exclude(event_class=old)[0]
    desk.reclassify(
        dispatched.pk,
        by=dispatcher,
        class_key=wanted.event_class.key,
        condition_id=wanted.pk,
        reason="类别有误",
    )
    for as_of, expected in ((before, old), (None, wanted.event_class_id)):
        period = period_of(today, today, dispatched.district, as_of=as_of)
        assert [line.of for line in count_by("class", period, scope)] == [expected]


def test_a_past_period_keeps_the_organisations_of_the_time(dispatched: Event) -> None:
    today, before = local_day(), timezone.now()
    scope, old = Scope(dispatched.district_id), dispatched.cell
    group = GridUnit.objects.filter(level=Level.PARTY_GROUP).exclude(parent__parent=old.street_id)[0]
    layout = draft_layout(dispatched.district, "移交邻街", by=None)
    hand_over(layout, old.code, to=group.code)
    apply_layout(layout.pk, by=None)
    for as_of, expected in ((before, old.street_id), (None, group.parent.parent_id)):
        period = period_of(today, today, dispatched.district, as_of=as_of)
        lines = count_by_level(period, scope)
        assert [line.of for line in lines if line.level == Level.STREET_COMMITTEE] == [expected]


@pytest.mark.parametrize(("checker", "on_site"), [("desk", 0), ("chief", 1)])
def test_a_word_from_the_desk_is_no_check_on_site(
    dispatched: Event, dispatcher: User, checker: str, on_site: int
) -> None:
    CheckPolicy.objects.create(district=dispatched.district, checker=checker)
    order = dispatched.work_orders.get()
    handler = holder_of(order.post)
    fieldwork.take_on(order.pk, by=handler, submission=key())
    submission = key()
    photo_for(submission, handler)
    fieldwork.handle(order.pk, by=handler, submission=submission)
    dispatched.refresh_from_db()
    who = dispatcher if checker == "desk" else holder_of(dispatched.checks.get().post)
    followup.confirm(dispatched.pk, by=who, resolved=True, submission=key(), fix=None)
    today = local_day()
    counts = count_all(period_of(today, today, dispatched.district), Scope(dispatched.district_id)).counts
    assert (counts["handled_in_period"], counts["checked"]) == (1, on_site)


def test_figures_of_every_level_are_one_statement(dispatched: Event) -> None:
    today = local_day()
    with CaptureQueriesContext(connection) as asked:
        count_by_level(period_of(today, today, dispatched.district), Scope(dispatched.district_id))
    assert len(asked) == 1


def test_the_page_of_indicators_is_the_registry() -> None:
    with override("en"):
        assert Path(settings.BASE_DIR, "docs", "indicators.md").read_text(encoding="utf-8") == describe()


def test_what_happens_and_is_decided_later_changes_no_past_figure(
    dispatched: Event, dispatcher: User, shift_leader: User, supervisor: User
) -> None:
    """Later steps, and changes of calendar, limits, rules, holders, class: the past comes out as it was read then."""
    day, then = local_day(), timezone.now()
    district = dispatched.district

    def read(as_of: datetime) -> dict[str, Any]:
        period = period_of(day, day, district, as_of=as_of)
        found = {
            by: {one.of: one.counts for one in count_by(by, period, Scope(district.pk))} for by in DIMENSIONS
        }
        levels = {(one.level, one.of): one.counts for one in count_by_level(period, Scope(district.pk))}
        return found | {"levels": levels, "whole": count_all(period, Scope(district.pk)).counts}

    past = read(then)
    assert past["whole"]["to_handle"] == 1
    order = dispatched.work_orders.get()
    handler = holder_of(order.post)
    CalendarDay.objects.update_or_create(
        district=district, day=dispatched.due_at.date(), defaults={"working": False, "name": "停工"}
    )
    StageLimit.objects.filter(district=district).update(minutes=1)
    FilingCondition.objects.filter(pk=dispatched.condition_id).update(limit_amount=1)
    reckoning.reckon_deadlines()
    wanted = FilingCondition.objects.filter(event_class__edition=dispatched.event_class.edition)
    other = wanted.filter(event_class__kind="event").exclude(event_class=dispatched.event_class)[0]
    desk.reclassify(
        dispatched.pk,
        by=dispatcher,
        class_key=other.event_class.key,
        condition_id=other.pk,
        reason="类别有误",
    )
    ResponsibilityRule.objects.all().delete()
    handled_by(handler, order)
    Holding.objects.filter(post=order.post).update(until=timezone.now())
    DenominatorChoice.objects.create(district=district, indicator="overdue_rate", denominator="to_handle")
    assert read(then) == past
    assert read(timezone.now())["whole"]["handled"] == 1
    asked = exclusions.ask(dispatched.pk, by=shift_leader, reason="系统演练")
    assert read(then) == past
    assert read(timezone.now())["whole"]["handled"] == 1, "one person's word excludes nothing"
    exclusions.decide(asked.pk, by=supervisor, approved=True)
    assert read(then) == past
    assert read(timezone.now())["whole"]["handled"] == 0


def test_a_day_ends_at_local_midnight(world: World, scope: Scope) -> None:
    """A case of the last microsecond of a day, and one of the first of the next."""
    district = District.objects.get()
    midnight = datetime(2026, 3, 2, 16, tzinfo=UTC)  # 00:00 of the third in Baotou
    story = Story(world, 3)
    store([story.tell(midnight - timedelta(microseconds=1), []), story.tell(midnight, [])])
    found = [
        count_all(period_of(date(2026, 3, day), date(2026, 3, day), district), scope).counts["reported"]
        for day in (1, 2, 3, 4)
    ]
    assert found == [0, 1, 1, 0]


@pytest.mark.parametrize("by", BY)
def test_every_cell_of_a_table_opens_what_it_was_counted_from(world: World, by: str) -> None:
    """All rows, all indicators, of all and of a regional group, whose streets lie in other groups, too."""
    until = timezone.now()
    store(make_lives(world, 150, begin=until - timedelta(days=30), until=until, seed=8))
    period = Period(until - timedelta(days=20), until, until)
    whole = Scope(world.district.pk)
    split = Cell.objects.in_force().values("street").annotate(groups=Count("regional_group", distinct=True))
    assert split.filter(groups__gt=1).exists()
    group = GridUnit.objects.in_force().defer("boundary").filter(level=Level.REGIONAL_GROUP)[0]
    for scope in (whole, replace(whole, unit=group)):
        table = tabulate(by, period, scope)
        assert table.rows
        for row in (table.whole, *table.rows):
            narrowed = narrow(scope, by, row.key) if row.key else scope
            behind = cases_behind(list(COUNTS), period, narrowed)
            assert behind.total == len(behind.cases)
            assert behind.sums == {code: sum(one[code] for one in behind.cases.values()) for code in COUNTS}
            for one in row.figures:
                assert one.above == pytest.approx(one.indicator.numerator.of(behind.sums)), (row.name, one)
                assert one.below == one.indicator.denominator().of(behind.sums), (row.name, one)
