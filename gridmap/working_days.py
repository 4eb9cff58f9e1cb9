"""Which days of a year are worked against the week's rule, as the State Council announced them."""

from collections.abc import Iterator
from datetime import date

from chinese_calendar import Holiday
from chinese_calendar.constants import holidays, workdays

from .models import CalendarDay, District


class YearUnknown(ValueError):
    """The holidays of this year are not announced, or not known to the installed calendar yet."""


def announced_days(year: int) -> Iterator[tuple[date, bool, str]]:
    """Each public holiday and each make-up working day: the day, whether it is worked, and its Chinese name.

    Raises YearUnknown. Source: package `chinesecalendar`, after the State Council's yearly notices.
    """
    off = {day: name for day, name in holidays.items() if day.year == year}
    if not off:
        raise YearUnknown(year)
    worked = {day: name for day, name in workdays.items() if day.year == year}
    for day in sorted(off | worked):
        name = Holiday((off | worked)[day]).chinese
        yield day, day in worked, f"{name}调休上班" if day in worked else name


def fill_calendar(district: District, year: int) -> int:
    """Enter a year's days; those that people entered stay as they are. Returns how many are new.

    Raises YearUnknown.
    """
    rows = [
        CalendarDay(district=district, day=day, working=working, name=name)
        for day, working, name in announced_days(year)
    ]
    before = CalendarDay.objects.filter(district=district).count()
    CalendarDay.objects.bulk_create(rows, ignore_conflicts=True)
    return CalendarDay.objects.filter(district=district).count() - before
