"""The clocks: when a limit that began at one moment runs out.

Pure functions: no database, and no time zone but the calendar's. Moments go in with any zone and come out
in UTC. An urgent limit (紧急) runs without a break; any other runs in the district's working time only.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from gridmap.models import District

from .models import LimitUnit

Span = tuple[timedelta, timedelta]
NATURAL = {
    LimitUnit.MINUTE: timedelta(minutes=1),
    LimitUnit.HOUR: timedelta(hours=1),
    LimitUnit.DAY: timedelta(days=1),
}
YELLOW_FROM = 0.8  # of the limit


@dataclass(frozen=True)
class Calendar:
    """When a district works.

    `spans` are the hours of a working day, counted from local midnight, in order. `exceptions` says of single
    days whether they are worked, against the rule of Monday to Friday. Holidays are announced up to
    `known_until`.
    """

    zone: ZoneInfo
    spans: tuple[Span, ...]
    exceptions: Mapping[date, bool]
    known_until: date

    @property
    def working_day(self) -> timedelta:
        """How long a working day is: 480 minutes by default."""
        return sum((ends - begins for begins, ends in self.spans), timedelta())

    def is_worked(self, day: date) -> bool:
        """Whether the district works on this local day."""
        return self.exceptions.get(day, day.weekday() < 5)

    def spans_from(self, moment: datetime) -> Iterator[tuple[datetime, datetime]]:
        """The working time after a moment, span by span, without end, in UTC."""
        day = moment.astimezone(self.zone).date()
        while True:
            if self.is_worked(day):
                midnight = datetime(day.year, day.month, day.day, tzinfo=self.zone)
                for begins, ends in self.spans:
                    # Wall-clock sums first, UTC after: right also where clocks are put forward and back.
                    end = (midnight + ends).astimezone(UTC)
                    if end >= moment:
                        yield max((midnight + begins).astimezone(UTC), moment), end
            day += timedelta(days=1)


@dataclass(frozen=True)
class Due:
    """When a limit runs out, in UTC, and when 80 % of it are used up.

    `provisional` when holidays up to then are not announced yet.
    """

    at: datetime
    yellow_from: datetime
    provisional: bool


def calendar_of(district: District, days: Iterable[tuple[date, bool]]) -> Calendar:
    """The district's calendar, with the given days and whether each is worked as exceptions.

    It is known to the end of the last year that has such a day.

    Raises ValueError when the district's working hours make no sense, ZoneInfoNotFoundError for its zone.
    """
    exceptions = dict(days)
    known_until = date(max(exceptions).year, 12, 31) if exceptions else date.min
    return Calendar(
        ZoneInfo(district.time_zone), read_hours(district.work_starts_ends), exceptions, known_until
    )


@cache
def read_hours(text: str) -> tuple[Span, ...]:
    """Read working hours such as `08:00-12:00,14:00-18:00`; `24:00` is the end of the day.

    Raises ValueError unless they are spans of one day, each beginning after the one before it ended.
    """
    spans = tuple(_read_span(span) for span in text.split(","))
    moments = [moment for span in spans for moment in span]
    if moments[-1] > timedelta(days=1) or any(a >= b for a, b in pairwise(moments)):
        raise ValueError(f"not the hours of a day, in order: {text!r}")
    return spans


def _read_span(text: str) -> Span:
    begins, separator, ends = text.partition("-")
    if not separator:
        raise ValueError(f"not a span of hours: {text!r}")
    return _read_hour(begins), _read_hour(ends)


def _read_hour(text: str) -> timedelta:
    hour, _, minute = text.strip().partition(":")
    if not (hour.isdecimal() and minute.isdecimal() and len(minute) == 2 and int(minute) < 60):
        raise ValueError(f"not a time of day: {text!r}")
    return timedelta(hours=int(hour), minutes=int(minute))


def due_at(start: datetime, amount: float, unit: str, urgent: bool, calendar: Calendar) -> Due:
    """When a limit of `amount` minutes, hours or days that begins at `start` runs out.

    An urgent limit counts natural time, a day being 24 hours. Any other counts working time, a day being a
    working day's worth of it; one that is used up exactly when work stops is due then, not when it resumes.

    Raises ValueError when the amount is not positive or `start` says no time zone.
    """
    if amount <= 0:
        raise ValueError(f"a limit is positive, not {amount}")
    if start.tzinfo is None:
        raise ValueError("the start of a limit needs a time zone")
    start = start.astimezone(UTC)
    if urgent:
        limit = amount * NATURAL[LimitUnit(unit)]
        return Due(start + limit, start + YELLOW_FROM * limit, provisional=False)
    length = calendar.working_day if unit == LimitUnit.DAY else NATURAL[LimitUnit(unit)]
    at = _after(start, amount * length, calendar)
    yellow_from = _after(start, YELLOW_FROM * amount * length, calendar)
    return Due(at, yellow_from, provisional=at.astimezone(calendar.zone).date() > calendar.known_until)


def working_time(start: datetime, end: datetime, calendar: Calendar) -> timedelta:
    """How much working time lies between two moments."""
    total = timedelta()
    for begins, ends in calendar.spans_from(start):
        if begins >= end:
            return total
        total += min(ends, end) - begins
    raise AssertionError("working time has no end")


def _after(start: datetime, working: timedelta, calendar: Calendar) -> datetime:
    """The moment at which that much working time has passed."""
    for begins, ends in calendar.spans_from(start):
        if ends - begins >= working:
            return begins + working
        working -= ends - begins
    raise AssertionError("working time has no end")
