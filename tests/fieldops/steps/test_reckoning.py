"""When calendar, working hours or limits change, open deadlines follow: once, and told where a due time moved."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError, call_command

from fieldops.models import Event, Reckoning, StageLimit
from fieldops.steps.reckoning import reckon_deadlines
from gridmap.models import CalendarDay, District
from gridmap.working_days import YearUnknown, announced_days, fill_calendar
from realtime.models import Letter

ZONE = ZoneInfo("Asia/Shanghai")


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZONE)


@pytest.fixture
def case(dispatched: Event) -> Event:
    """Dispatched on Monday at nine with one working day, so due on Tuesday at nine; up to date by the rules."""
    at = local("2026-11-23 09:00")
    condition = dispatched.condition
    condition.limit_amount, condition.limit_unit, condition.urgent = 1, "day", False
    condition.save()
    dispatched.work_orders.update(dispatched_at=at, due_at=local("2026-11-24 09:00"))
    Event.objects.filter(pk=dispatched.pk).update(
        stage_since=at,
        stage_warn_at=local("2026-11-23 09:48"),
        stage_due_at=local("2026-11-23 10:00"),
        due_at=local("2026-11-24 09:00"),
        warn_at=local("2026-11-23 17:24"),
    )
    assert reckon_deadlines() == 0
    return Event.objects.get(pk=dispatched.pk)


def test_a_new_holiday_moves_the_due_time_and_the_timeline_says_so(case: Event) -> None:
    CalendarDay.objects.create(district=case.district, day=date(2026, 11, 24), working=False, name="临时放假")
    assert reckon_deadlines() == 1
    after = Event.objects.get(pk=case.pk)
    assert after.due_at == local("2026-11-25 09:00")
    assert after.warn_at == local("2026-11-23 17:24")  # before the holiday
    assert after.stage_due_at == case.stage_due_at
    assert after.work_orders.get().due_at == after.due_at
    step = after.transitions.latest("version")
    assert (step.kind, step.by, step.reason) == ("reckon", None, "2026-11-24 09:00 → 2026-11-25 09:00")
    assert list(step.data) == ["due_at"]
    letter = Letter.objects.get(kind="reckoned")
    assert letter.mailbox_id == after.work_orders.get().post_id
    # Twice is once; and what is taken back moves it back.
    assert reckon_deadlines() == reckon_deadlines() == 0
    assert after.transitions.filter(kind="reckon").count() == 1
    CalendarDay.objects.filter(day=date(2026, 11, 24)).delete()
    assert reckon_deadlines() == 1
    assert Event.objects.get(pk=case.pk).due_at == case.due_at


def test_changed_working_hours_move_case_and_stage(case: Event) -> None:
    District.objects.filter(pk=case.district_id).update(work_starts_ends="09:30-12:00,13:00-18:30")
    assert reckon_deadlines() == 1
    after = Event.objects.get(pk=case.pk)
    assert after.due_at == local("2026-11-23 18:30")  # eight hours are a working day: due when work stops
    assert after.stage_due_at == local("2026-11-23 10:30")
    assert list(after.transitions.latest("version").data) == ["due_at", "stage_due_at"]


def test_another_limit_of_a_stage_moves_the_stage_alone(case: Event) -> None:
    StageLimit.objects.filter(stage="sign_in", urgent=False).update(minutes=30)
    assert reckon_deadlines() == 1
    after = Event.objects.get(pk=case.pk)
    assert (after.stage_due_at, after.due_at) == (local("2026-11-23 09:30"), case.due_at)
    StageLimit.objects.filter(stage="sign_in").delete()
    assert reckon_deadlines() == 1
    assert Event.objects.get(pk=case.pk).stage_due_at is None


def test_a_year_that_becomes_known_makes_its_deadlines_firm_without_a_step(case: Event) -> None:
    CalendarDay.objects.filter(day__year=2026).delete()
    reckon_deadlines()
    before = Event.objects.get(pk=case.pk)
    assert before.due_provisional
    assert fill_calendar(case.district, 2026) > 30
    assert reckon_deadlines() == 0
    after = Event.objects.get(pk=case.pk)
    assert (after.due_provisional, after.due_at, after.version) == (False, before.due_at, before.version)


def test_urgent_and_ended_cases_stay_where_they_are(case: Event, closed: Event) -> None:
    condition = case.condition
    condition.urgent, condition.limit_amount, condition.limit_unit = True, 24, "hour"
    condition.save()
    Reckoning.objects.all().delete()
    assert (reckon_deadlines(), reckon_deadlines()) == (1, 0)
    due, ended = Event.objects.get(pk=case.pk).due_at, Event.objects.get(pk=closed.pk)
    CalendarDay.objects.create(district=case.district, day=date(2026, 11, 24), working=False)
    assert reckon_deadlines() == 0
    assert Event.objects.get(pk=case.pk).due_at == due
    assert Event.objects.get(pk=closed.pk).due_at == ended.due_at


def test_the_digest_is_kept_only_when_nothing_moves_any_more(case: Event) -> None:
    known = Reckoning.objects.get().digest
    CalendarDay.objects.create(district=case.district, day=date(2026, 11, 24), working=False)
    assert reckon_deadlines() == 1
    assert Reckoning.objects.get().digest == known
    assert reckon_deadlines() == 0
    assert Reckoning.objects.get().digest != known


# --- the calendar ----------------------------------------------------------------------------------------------


def test_the_announced_days_are_those_of_the_demo(db: None) -> None:
    for year in (2025, 2026):
        stored = CalendarDay.objects.filter(day__year=year).values_list("day", "working")
        rule = {day: working for day, working, _name in announced_days(year)}
        assert {day: rule[day] for day, _working in stored} == dict(stored)
        # What the demo leaves out is no exception to the week's rule.
        assert all(not rule[day] and day.weekday() > 4 for day in set(rule) - {day for day, _w in stored})


def test_spring_festival_of_2026() -> None:
    days = {day: (working, name) for day, working, name in announced_days(2026)}
    assert days[date(2026, 2, 14)] == (True, "春节调休上班")
    assert days[date(2026, 2, 17)] == (False, "春节")


def test_filling_keeps_what_people_entered_and_can_be_repeated(db: None) -> None:
    district = District.objects.get()
    CalendarDay.objects.filter(day=date(2026, 2, 17)).update(working=True, name="本区上班")
    CalendarDay.objects.filter(day=date(2026, 2, 18)).delete()
    call_command("fill_calendar", "2026")
    assert CalendarDay.objects.get(district=district, day=date(2026, 2, 17)).name == "本区上班"
    assert not CalendarDay.objects.get(district=district, day=date(2026, 2, 18)).working
    assert fill_calendar(district, 2026) == 0


def test_a_year_nobody_announced_is_refused(db: None) -> None:
    unknown = datetime.now(ZONE).year + 5
    with pytest.raises(YearUnknown):
        list(announced_days(unknown))
    with pytest.raises(CommandError):
        call_command("fill_calendar", str(unknown))
    with pytest.raises(CommandError):
        call_command("fill_calendar", "2026", district="999999")
    assert not CalendarDay.objects.filter(day__year=unknown).exists()
