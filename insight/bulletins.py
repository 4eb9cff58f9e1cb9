"""Bulletins (日报、周报、月报): the figures of a past period, read once when it has settled, and kept.

They are made from the same counts as every figure, as of a fixed moment: whenever and however often a bulletin is made,
it says the same. Days are the district's.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Q, QuerySet
from django.utils import timezone

from fieldops.models import Channel, Event, EventClass, Post
from gridmap.models import Cell, Department, District, GridUnit, Level

from .figures import Line, Period, Scope, count_all, count_by, count_by_level, denominators_of, period_of
from .models import Bulletin, BulletinKind
from .scores import score_departments
from .tables import area_of, reading_posts

SETTLED = timedelta(hours=4)  # after midnight: what phones sent late is in by then
CAUGHT_UP = {BulletinKind.DAILY: 7, BulletinKind.WEEKLY: 4, BulletinKind.MONTHLY: 3}
LEVELS = (Level.DISTRICT_COMMITTEE, Level.REGIONAL_GROUP, Level.STREET_COMMITTEE)
_BELOW = {
    Level.DISTRICT_COMMITTEE: Level.STREET_COMMITTEE,
    Level.REGIONAL_GROUP: Level.STREET_COMMITTEE,
    Level.STREET_COMMITTEE: Level.COMMUNITY,
}


def first_day(kind: str, day: date) -> date:
    """The first day of the period that holds this day."""
    if kind == BulletinKind.WEEKLY:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if kind == BulletinKind.MONTHLY else day


def last_day(kind: str, first: date) -> date:
    """The last day of the period that begins with this one."""
    if kind == BulletinKind.WEEKLY:
        return first + timedelta(days=6)
    if kind == BulletinKind.MONTHLY:
        return (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    return first


def before(kind: str, first: date) -> date:
    """The first day of the period before."""
    return first_day(kind, first - timedelta(days=1))


def settled_at(last: date, district: District) -> datetime:
    """The moment that a period's bulletin is as of."""
    return period_of(last, last, district).end + SETTLED


def make_bulletin(unit: GridUnit, kind: str, first: date) -> bool:
    """Make one if there is none; whether it was made now. Raises ValueError for a period that has not settled."""
    first = first_day(kind, first)
    last = last_day(kind, first)
    district = unit.district
    as_of = settled_at(last, district)
    if as_of > timezone.now():
        raise ValueError(f"{last} has not settled")
    if Bulletin.objects.filter(unit=unit, kind=kind, first=first).exists():
        return False
    facts = {"district": district, "last": last, "as_of": as_of, "figures": _read(unit, kind, first, as_of)}
    # Another scheduler may have made it meanwhile: with the same figures.
    _bulletin, made = Bulletin.objects.get_or_create(unit=unit, kind=kind, first=first, defaults=facts)
    return made


def missing_bulletins(at: datetime) -> Iterator[tuple[GridUnit, str, date]]:
    """What should be there by now and is not: of the last days, weeks and months in which there were cases."""
    for district in District.objects.all():
        day = (at - SETTLED).astimezone(ZoneInfo(district.time_zone)).date()
        oldest = (
            Event.objects.filter(district=district)
            .order_by("received_at")
            .values_list("received_at", flat=True)
        )
        begun = oldest.first()
        units = GridUnit.objects.in_force().filter(district=district, level__in=LEVELS).defer("boundary")
        if begun is None:
            continue
        for kind, number in CAUGHT_UP.items():
            wanted, first = [], first_day(kind, day)
            for _each in range(number):
                first = before(kind, first)
                if period_of(first, last_day(kind, first), district).end > begun:
                    wanted.append(first)
            made = Bulletin.objects.filter(district=district, kind=kind, first__in=wanted)
            there = set(made.values_list("unit", "first"))
            for unit in units.select_related("district"):
                yield from ((unit, kind, first) for first in wanted if (unit.pk, first) not in there)


def visible_bulletins(posts: Sequence[Post]) -> QuerySet[Bulletin]:
    """Those of the organisations that these posts answer for, newest first."""
    found = Bulletin.objects.select_related("unit", "district").defer("unit__boundary")
    areas = area_of(posts)
    if areas is None:
        return found.filter(district=reading_posts(posts)[0].district_id)
    streets = Cell.objects.in_force().filter(regional_group__in=[unit.pk for unit in areas])
    whole = set(streets.values_list("street", flat=True))
    split = (
        Cell.objects.in_force()
        .filter(street__in=whole)
        .exclude(regional_group__in=[unit.pk for unit in areas])
    )
    return found.filter(
        Q(unit__in=[unit.pk for unit in areas])
        | Q(unit__in=whole - set(split.values_list("street", flat=True)))
    )


# --- what is read ---------------------------------------------------------------------------------------------------


def _read(unit: GridUnit, kind: str, first: date, as_of: datetime) -> dict[str, Any]:
    district = unit.district
    scope = Scope(district.pk, unit=None if unit.level == Level.DISTRICT_COMMITTEE else unit)
    period = period_of(first, last_day(kind, first), district, as_of=as_of)
    earlier = before(kind, first)
    period_before = Period(
        *_days(earlier, last_day(kind, earlier), district), settled_at(last_day(kind, earlier), district)
    )
    below = _BELOW[Level(unit.level)]
    parts = [line for line in count_by_level(period, scope) if line.level == below]
    units = {
        one.pk: (one.name, one.name_en)
        for one in GridUnit.objects.filter(pk__in=_keys(parts)).defer("boundary")
    }
    departments = count_by("department", period, scope)
    named = {one.pk: (one.name, one.name_en) for one in Department.objects.filter(pk__in=_keys(departments))}
    classes = count_by("class", period, scope)
    titles = {
        one.pk: (f"{one.code} {one.name}", "") for one in EventClass.objects.filter(pk__in=_keys(classes))
    }
    channels = count_by("channel", period, scope)
    return {
        "denominators": denominators_of(district.pk),
        "whole": count_all(period, scope).counts,
        "before": count_all(period_before, scope).counts,
        "parts": _named(parts, units),
        "departments": _named(departments, named),
        "classes": _named(classes, titles),
        "channels": _named(channels, {one.value: (one.value, "") for one in Channel}),
        "scores": {
            str(score.key): [score.points, score.grade, score.colour]
            for score in score_departments(period, scope)
        },
    }


def _days(first: date, last: date, district: District) -> tuple[datetime, datetime]:
    period = period_of(first, last, district)
    return period.begin, period.end


def _keys(lines: Sequence[Line]) -> list[Any]:
    return [line.of for line in lines if line.of is not None]


def _named(lines: Sequence[Line], names: dict[Any, tuple[str, str]]) -> list[dict[str, Any]]:
    return [
        {"key": str(line.of), "name": names[line.of][0], "name_en": names[line.of][1], "counts": line.counts}
        for line in lines
        if line.of in names and any(line.counts.values())
    ]
