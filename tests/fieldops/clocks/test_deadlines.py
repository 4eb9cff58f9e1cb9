"""The clocks, by hand-worked examples of 2026 and by properties that hold for every case."""

import csv
import os
import re
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldops.clocks.cases import light
from fieldops.clocks.deadlines import Calendar, Clock, Due, Limit, calendar_of, read_hours, working_time
from fieldops.models import Event
from gridmap.models import District

LOCAL = ZoneInfo("Asia/Shanghai")
QINGSHAN = Path(__file__).parents[3] / "fixtures" / "qingshan"


def announced() -> Iterator[tuple[date, bool]]:
    for file in QINGSHAN.glob("calendar_*.csv"):
        for row in csv.DictReader(file.open(encoding="utf-8")):
            yield date.fromisoformat(row["day"]), row["working"] == "yes"


CALENDAR = calendar_of(District(), announced())


def at(text: str) -> datetime:
    """A moment written in local time."""
    return datetime.fromisoformat(text).replace(tzinfo=LOCAL)


def due_at(start: datetime, amount: float, unit: str, urgent: bool, calendar: Calendar) -> Due:
    found = Clock(Limit(amount, unit, urgent), calendar).start(start).due()
    assert found
    return found


# --- worked by hand --------------------------------------------------------------------------------------


def read_moment(text: str) -> datetime:
    """Local time, or UTC where it ends in Z."""
    return datetime.fromisoformat(text) if text.endswith("Z") else at(text)


def read_clock(limit: str, history: str) -> Clock:
    """`+` starts or resumes, `-` pauses, `e` extends, each at a moment."""
    amount, unit, *urgent = limit.split()
    clock = Clock(Limit(float(amount), unit, bool(urgent)), CALENDAR)
    for sign, moment in re.findall(r"([-+e])(\d{4}-\d\d-\d\d \d\d:\d\dZ?)", history):
        change = {"+": clock.start, "-": clock.pause, "e": clock.extend}[sign]
        clock = change(read_moment(moment))
    return clock


EXAMPLES = list(csv.DictReader((Path(__file__).parents[1] / "clock_examples.csv").open(encoding="utf-8")))


@pytest.mark.parametrize("row", EXAMPLES, ids=[f"{row['id']} {row['what']}" for row in EXAMPLES])
def test_the_clock_agrees_with_the_table_worked_by_hand(row: dict[str, str]) -> None:
    found = read_clock(row["limit"], row["history"]).due()
    told = (
        [f"{moment.astimezone(LOCAL):%Y-%m-%d %H:%M}" for moment in (found.at, found.yellow_from)]
        if found
        else ["never", "never"]
    )
    assert told == [row["due"], row["yellow"]]


def test_the_table_is_long_enough_to_trust() -> None:
    assert len(EXAMPLES) >= 60


def test_due_times_beyond_the_announced_holidays_are_provisional() -> None:
    def provisional(start: str, amount: int, *, urgent: bool = False) -> bool:
        return due_at(at(start), amount, "day", urgent, CALENDAR).provisional

    assert CALENDAR.known_until == date(2026, 12, 31)
    assert not provisional("2026-12-30 16:00", 1)
    assert provisional("2026-12-31 16:00", 1)
    assert not provisional("2026-12-31 16:00", 1, urgent=True)
    unknown = calendar_of(District(), [])
    assert due_at(at("2026-11-23 09:00"), 1, "hour", False, unknown).provisional


def colour(now: datetime, limit: Due) -> str:
    return light(Event(status="dispatched", due_at=limit.at, warn_at=limit.yellow_from), now)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        # Two working hours from Friday 17:00; 80 % of them are used up on Monday at 8:36.
        ("2026-11-27 17:59", "green"),
        ("2026-11-28 12:00", "green"),
        ("2026-11-30 08:36", "green"),
        ("2026-11-30 08:37", "yellow"),
        ("2026-11-30 09:00", "yellow"),
        ("2026-11-30 09:01", "red"),
    ],
)
def test_lights_are_measured_in_working_time(now: str, expected: str) -> None:
    assert colour(at(now), due_at(at("2026-11-27 17:00"), 2, "hour", False, CALENDAR)) == expected


@pytest.mark.parametrize(
    ("now", "expected"),
    [("2026-11-28 00:36", "green"), ("2026-11-28 00:37", "yellow"), ("2026-11-28 01:01", "red")],
)
def test_lights_of_urgent_limits_are_measured_in_natural_time(now: str, expected: str) -> None:
    assert colour(at(now), due_at(at("2026-11-27 23:00"), 2, "hour", True, CALENDAR)) == expected


# --- the calendar itself -----------------------------------------------------------------------------------


def test_hours_and_zone_are_the_districts() -> None:
    night_shift = District(work_starts_ends="00:00-06:00, 20:00-24:00", time_zone="Asia/Urumqi")
    calendar = calendar_of(night_shift, [])
    assert calendar.working_day == timedelta(hours=10)
    # Monday 21:00 in Urumqi, two hours later by Shanghai's clocks; the shift goes on after midnight.
    monday = datetime(2026, 11, 23, 21, 0, tzinfo=ZoneInfo("Asia/Urumqi"))
    assert due_at(monday, 4, "hour", False, calendar).at == monday + timedelta(hours=4)


def test_the_local_day_may_be_behind_utc_too() -> None:
    """Monday 17:00 there is Tuesday in UTC; an hour of Monday's work is left all the same."""
    zone = ZoneInfo("America/Los_Angeles")
    monday = datetime(2026, 11, 23, 17, 0, tzinfo=zone)
    calendar = calendar_of(District(time_zone=zone.key), [])
    assert due_at(monday, 1, "hour", False, calendar).at == monday + timedelta(hours=1)


def test_working_time_follows_clocks_put_forward() -> None:
    """In Berlin, 29 March 2026 had no hour from 2 to 3: that day's shift was an hour shorter."""
    berlin = calendar_of(
        District(work_starts_ends="00:00-04:00", time_zone="Europe/Berlin"), [(date(2026, 3, 29), True)]
    )
    begins = datetime(2026, 3, 29, tzinfo=ZoneInfo("Europe/Berlin"))
    assert working_time(begins, begins + timedelta(days=1), berlin) == timedelta(hours=3)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "08:00",
        "8-12",
        "08:00-07:00",
        "08:00-08:00",
        "08:00-12:00,11:00-13:00",
        "08:00-25:00",
        "08:60-09:00",
    ],
)
def test_hours_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not (a span|a time|the hours)"):
        read_hours(text)


@pytest.mark.parametrize("amount", [0, -1])
def test_a_limit_is_positive(amount: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        due_at(at("2026-11-23 09:00"), amount, "hour", False, CALENDAR)


def test_a_start_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        due_at(datetime(2026, 11, 23, 9, 0), 1, "hour", False, CALENDAR)  # noqa: DTZ001


# --- properties --------------------------------------------------------------------------------------------

# Around Spring Festival, around National Day, and into the year not announced yet.
DAYS = st.dates(date(2026, 2, 10), date(2026, 3, 1)) | st.dates(date(2026, 9, 15), date(2027, 1, 5))
MOMENTS = st.builds(datetime.combine, DAYS, st.times(), st.just(LOCAL))
MINUTES = st.integers(1, 15 * 480)
URGENT = st.booleans()
DAYS_OFF = {day for day, working in announced() if not working}
MADE_UP = {day for day, working in announced() if working}
for_any = settings(deadline=None, max_examples=60)


def runs_out(start: datetime, minutes: float, urgent: bool, calendar: Calendar = CALENDAR) -> datetime:
    return due_at(start, minutes, "minute", urgent, calendar).at


def is_worked(moment: datetime) -> bool:
    """Whether the minute before `moment` is worked, told without the code under test."""
    local = moment.astimezone(LOCAL) - timedelta(microseconds=1)
    on_duty = local.date() in MADE_UP or (local.weekday() < 5 and local.date() not in DAYS_OFF)
    return on_duty and (8 <= local.hour < 12 or 14 <= local.hour < 18)


@for_any
@given(MOMENTS, MINUTES, MINUTES, URGENT)
def test_one_limit_after_another_is_their_sum(start: datetime, a: int, b: int, urgent: bool) -> None:
    assert runs_out(runs_out(start, a, urgent), b, urgent) == runs_out(start, a + b, urgent)


@for_any
@given(MOMENTS, st.timedeltas(timedelta(0), timedelta(days=20)), MINUTES, MINUTES, URGENT)
def test_later_or_longer_is_never_due_sooner(
    start: datetime, wait: timedelta, a: int, b: int, urgent: bool
) -> None:
    assert runs_out(start, a, urgent) <= runs_out(start + wait, a, urgent)
    assert runs_out(start, a, urgent) < runs_out(start, a + b, urgent)


@for_any
@given(MOMENTS, MINUTES)
def test_a_working_limit_is_never_due_in_free_time(start: datetime, minutes: int) -> None:
    assert is_worked(runs_out(start, minutes, urgent=False))


@for_any
@given(MOMENTS, st.integers(1, 100))
def test_the_time_until_due_holds_exactly_the_limit(start: datetime, steps: int) -> None:
    """Counted step by step, 20 minutes each, beginning on one."""
    step = timedelta(minutes=20)
    start = start.replace(minute=0, second=0, microsecond=0).astimezone(UTC)
    end = runs_out(start, steps * 20, urgent=False)
    assert sum(is_worked(start + i * step) for i in range(1, (end - start) // step + 1)) == steps
    assert working_time(start, end, CALENDAR) == steps * step


@for_any
@given(MOMENTS, MINUTES, URGENT, st.sampled_from(["UTC", "America/Los_Angeles", "Pacific/Auckland"]))
def test_the_zone_a_moment_is_written_in_does_not_matter(
    start: datetime, minutes: int, urgent: bool, zone: str
) -> None:
    assert runs_out(start.astimezone(ZoneInfo(zone)), minutes, urgent) == runs_out(start, minutes, urgent)


@pytest.fixture(params=["America/Los_Angeles", "Pacific/Auckland"])
def server_elsewhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    assert os.environ["TZ"] == request.param
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("server_elsewhere")
@pytest.mark.parametrize("row", EXAMPLES[::5], ids=[row["id"] for row in EXAMPLES[::5]])
def test_where_the_server_stands_does_not_matter(row: dict[str, str]) -> None:
    test_the_clock_agrees_with_the_table_worked_by_hand(row)


@for_any
@given(MOMENTS, MINUTES, URGENT)
def test_a_light_turns_yellow_when_80_percent_are_used_up(
    start: datetime, minutes: int, urgent: bool
) -> None:
    limit = due_at(start, minutes, "minute", urgent, CALENDAR)
    assert limit.yellow_from == runs_out(start, minutes * 0.8, urgent)
    assert start <= limit.yellow_from <= limit.at


# --- pauses and extensions ---------------------------------------------------------------------------------

GAPS = st.lists(st.timedeltas(timedelta(minutes=1), timedelta(days=4)), min_size=1, max_size=8)


def run_and_rest(start: datetime, gaps: list[timedelta], minutes: int, urgent: bool) -> Clock:
    """A clock that runs, rests, runs… for these lengths, and runs on at the end."""
    clock, moment = Clock(Limit(minutes, "minute", urgent), CALENDAR).start(start), start
    for gap in gaps[: len(gaps) // 2 * 2]:
        moment += gap
        clock = clock.pause(moment) if clock.is_running else clock.start(moment)
    return clock


@for_any
@given(
    MOMENTS,
    MINUTES,
    st.timedeltas(timedelta(0), timedelta(days=3)),
    st.timedeltas(timedelta(0), timedelta(days=9)),
    URGENT,
)
def test_a_pause_moves_the_due_time_by_its_own_length(
    start: datetime, minutes: int, before: timedelta, rest: timedelta, urgent: bool
) -> None:
    """By as much time of the limit's own kind as the pause holds, if the limit had not run out before."""
    plain = Clock(Limit(minutes, "minute", urgent), CALENDAR).start(start)
    paused = plain.pause(start + before).start(start + before + rest)
    if plain.used(start + before) >= plain.granted:
        assert paused.due() == plain.due()
        return
    lost = rest if urgent else working_time(start + before, start + before + rest, CALENDAR)
    longer = Clock(Limit(minutes + lost / timedelta(minutes=1), "minute", urgent), CALENDAR).start(start)
    due, expected = paused.due(), longer.due()
    assert due and expected
    assert abs(due.at - expected.at) < timedelta(milliseconds=1) or working_time(
        min(due.at, expected.at), max(due.at, expected.at), CALENDAR
    ) < timedelta(milliseconds=1)


@for_any
@given(MOMENTS, GAPS, MINUTES, URGENT)
def test_time_used_never_shrinks_and_is_what_was_granted_when_due(
    start: datetime, gaps: list[timedelta], minutes: int, urgent: bool
) -> None:
    clock = run_and_rest(start, gaps, minutes, urgent)
    moments = [start + i * timedelta(hours=7) for i in range(80)]
    used = [clock.used(moment) for moment in moments]
    assert used[0] == timedelta()
    assert used == sorted(used)
    due = clock.due()
    assert due
    assert clock.used(due.at) == clock.granted
    assert clock.overdue_multiple(due.at) == 0 <= clock.overdue_multiple(due.at + timedelta(days=30))
    assert start <= due.yellow_from <= due.at


@for_any
@given(MOMENTS, MINUTES, URGENT)
def test_an_extension_is_one_limit_more(start: datetime, minutes: int, urgent: bool) -> None:
    clock = Clock(Limit(minutes, "minute", urgent), CALENDAR).start(start)
    twice = clock.extend(start).extend(start).due()
    assert twice
    assert twice.at == runs_out(start, 3 * minutes, urgent)


def test_what_a_clock_refuses() -> None:
    clock = read_clock("2 hour", "+2026-11-23 08:00")
    for refused, why in [
        (lambda: clock.start(at("2026-11-23 09:00")), "runs already"),
        (lambda: clock.pause(at("2026-11-23 07:00")), "in order of time"),
        (lambda: clock.pause(at("2026-11-23 09:00")).pause(at("2026-11-23 09:30")), "stands still already"),
        (lambda: clock.extend(at("2026-11-23 10:01")), "has run out"),
        (
            lambda: (
                clock.extend(at("2026-11-23 09:00"))
                .extend(at("2026-11-23 09:00"))
                .extend(at("2026-11-23 09:00"))
            ),
            "at most 2",
        ),
    ]:
        with pytest.raises(ValueError, match=why):
            refused()


def test_the_overdue_multiple() -> None:
    """超时倍数: two hours granted, five used."""
    clock = read_clock("2 hour", "+2026-11-23 08:00")
    assert clock.overdue_multiple(at("2026-11-23 09:00")) == 0
    assert clock.overdue_multiple(at("2026-11-23 15:00")) == 1.5
