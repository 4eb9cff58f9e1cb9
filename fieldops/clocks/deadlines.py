"""The clocks: when a limit that began at one moment runs out.

Pure functions: no database, and no time zone but the calendar's. Moments go in with any zone and come out
in UTC. An urgent limit (紧急) runs without a break; any other runs in the district's working time only.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from fieldops.models import LimitUnit
from fieldops.status import MAX_EXTENSIONS
from gridmap.models import District

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


@dataclass(frozen=True)
class Limit:
    """So many minutes, hours or days: of natural time when urgent (紧急), else of working time.

    A day is 24 hours of the one and a working day's worth of the other. Raises ValueError unless positive.
    """

    amount: float
    unit: str
    urgent: bool = False

    def __post_init__(self) -> None:
        if self.amount <= 0:
            raise ValueError(f"a limit is positive, not {self.amount}")

    def length(self, calendar: Calendar) -> timedelta:
        """How much of its kind of time it grants."""
        if self.unit == LimitUnit.DAY and not self.urgent:
            return self.amount * calendar.working_day
        return self.amount * NATURAL[LimitUnit(self.unit)]


@dataclass(frozen=True)
class Clock:
    """A limit being used up: it counts in `runs` and stands still between them; the last run may still go on.

    One department's clock for one case. Sent back (回退) it pauses; dispatched to the same department again it
    resumes; another department has a clock of its own. Each extension (延期) grants one original limit more.
    """

    limit: Limit
    calendar: Calendar
    runs: tuple[tuple[datetime, datetime | None], ...] = ()
    extensions: int = 0

    def __post_init__(self) -> None:
        moments = [moment for run in self.runs for moment in run if moment is not None]
        if any(moment.tzinfo is None for moment in moments):
            raise ValueError("the moments of a clock need a time zone")
        if any(a > b for a, b in pairwise(moments)) or any(end is None for _begin, end in self.runs[:-1]):
            raise ValueError("a clock runs, stops, and runs again, in order of time")

    @property
    def is_running(self) -> bool:
        """Whether it counts now."""
        return bool(self.runs) and self.runs[-1][1] is None

    def start(self, at: datetime) -> "Clock":
        """Begin, or go on after a pause. Raises ValueError when it runs already."""
        if self.is_running:
            raise ValueError("this clock runs already")
        return replace(self, runs=(*self.runs, (at, None)))

    def pause(self, at: datetime) -> "Clock":
        """Stand still from now on. Raises ValueError when it does so already."""
        if not self.is_running:
            raise ValueError("this clock stands still already")
        return replace(self, runs=(*self.runs[:-1], (self.runs[-1][0], at)))

    def extend(self, at: datetime) -> "Clock":
        """One original limit more. Raises ValueError for the third time, or once the clock has run out."""
        if self.extensions >= MAX_EXTENSIONS:
            raise ValueError(f"a limit is extended at most {MAX_EXTENSIONS} times")
        if self.used(at) > self.granted:
            raise ValueError("a limit that has run out is not extended")
        return replace(self, extensions=self.extensions + 1)

    @property
    def granted(self) -> timedelta:
        """The limit with its extensions."""
        return (1 + self.extensions) * self.limit.length(self.calendar)

    def used(self, at: datetime) -> timedelta:
        """How much has been used up by then."""
        return sum((self._between(begin, min(end or at, at)) for begin, end in self._begun(at)), timedelta())

    def overdue_multiple(self, at: datetime) -> float:
        """超时倍数: (used − granted) / granted; 0 for a clock in time."""
        return max((self.used(at) - self.granted) / self.granted, 0.0)

    def due(self) -> "Due | None":
        """When it runs out, or ran out; None while it stands still before that."""
        at, yellow_from = self._reaches(self.granted), self._reaches(YELLOW_FROM * self.granted)
        if at is None or yellow_from is None:
            return None
        beyond = at.astimezone(self.calendar.zone).date() > self.calendar.known_until
        return Due(at, yellow_from, provisional=beyond and not self.limit.urgent)

    def _begun(self, at: datetime) -> Iterator[tuple[datetime, datetime | None]]:
        return ((begin, end) for begin, end in self.runs if begin < at)

    def _between(self, begin: datetime, end: datetime) -> timedelta:
        return end - begin if self.limit.urgent else working_time(begin, end, self.calendar)

    def _reaches(self, amount: timedelta) -> datetime | None:
        """The moment at which so much is used up, if the runs there are get that far."""
        for begin, end in self.runs:
            counted = None if end is None else self._between(begin, end)
            if counted is None or counted >= amount:
                return moment_after(begin, amount, self.calendar, urgent=self.limit.urgent)
            amount -= counted
        return None


def working_time(start: datetime, end: datetime, calendar: Calendar) -> timedelta:
    """How much working time lies between two moments."""
    total = timedelta()
    for begins, ends in calendar.spans_from(start):
        if begins >= end:
            return total
        total += min(ends, end) - begins
    raise AssertionError("working time has no end")


def moment_after(start: datetime, amount: timedelta, calendar: Calendar, *, urgent: bool) -> datetime:
    """The moment, in UTC, at which so much time has passed: without a break where it is urgent, else working time."""
    begin = start.astimezone(UTC)
    return begin + amount if urgent else _after(begin, amount, calendar)


def _after(start: datetime, working: timedelta, calendar: Calendar) -> datetime:
    """The moment at which that much working time has passed."""
    for begins, ends in calendar.spans_from(start):
        if ends - begins >= working:
            return begins + working
        working -= ends - begins
    raise AssertionError("working time has no end")
