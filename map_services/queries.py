"""Reading what is asked of a collection; whatever cannot be used is refused by name."""

import math
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib.gis.geos import GEOSGeometry
from django.http import QueryDict
from django.utils.translation import gettext as _

from .answers import bad_parameter
from .collections import Collection, Property, Span
from .crs import CRS84, OFFERED, Crs, NotInCrs, area_of

LIMIT, MOST = 100, 2000
PARAMETERS = ("bbox", "bbox-crs", "crs", "datetime", "limit", "cursor", "f")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


@dataclass(frozen=True)
class Query:
    """What is asked: a page of the features in an area, at a time, with certain values, in a system."""

    crs: Crs
    limit: int
    area: GEOSGeometry | None
    span: Span | None
    values: dict[str, Any]
    cursor: UUID | int | None


def one_of_each(given: QueryDict, allowed: tuple[str, ...]) -> dict[str, str]:
    """The parameters by name. Raises Refused for unknown ones and for what comes twice."""
    for name in given:
        if name not in allowed:
            raise bad_parameter(name[:40], _("there is no such parameter here"))
        if len(given.getlist(name)) > 1:
            raise bad_parameter(name, _("it comes more than once"))
    found = {name: str(given[name]) for name in given}
    for name, value in found.items():
        if "\0" in value or len(value) > 500:
            raise bad_parameter(name, _("the value cannot be used"))
    return found


def read_query(given: QueryDict, collection: Collection, zone: ZoneInfo) -> Query:
    """What is asked of a collection; days are those of the district's zone. Raises Refused."""
    asked = {name: prop for name, prop in collection.properties.items() if prop.queryable}
    found = one_of_each(given, (*PARAMETERS, *asked))
    box_crs = read_crs(found, "bbox-crs")
    return Query(
        crs=read_crs(found, "crs"),
        limit=_limit(found.get("limit")),
        area=_area(found["bbox"], box_crs) if "bbox" in found else None,
        span=_span(found["datetime"], zone, collection) if "datetime" in found else None,
        values={prop.field: _value(name, found[name], prop) for name, prop in asked.items() if name in found},
        cursor=read_key(found["cursor"], collection, "cursor") if "cursor" in found else None,
    )


def read_crs(found: dict[str, str], name: str) -> Crs:
    """The system a parameter names; longitude and latitude where it is left out."""
    try:
        return OFFERED[found[name]] if name in found else CRS84
    except KeyError as error:
        raise bad_parameter(name, _("this system is not offered")) from error


def read_key(text: str, collection: Collection, name: str) -> UUID | int:
    """A feature's key. Raises Refused."""
    try:
        if collection.key is int:
            if not (text.isascii() and text.isdigit() and len(text) <= 18):
                raise ValueError
            return int(text)
        return UUID(text)
    except ValueError as error:
        raise bad_parameter(name, _("the value cannot be used")) from error


def next_page(given: QueryDict, cursor: object) -> str:
    """The query that goes on after this key."""
    kept = {name: value for name, value in given.items() if name != "cursor"}
    return urlencode({**kept, "cursor": str(cursor)})


def _limit(text: str | None) -> int:
    if text is None:
        return LIMIT
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise bad_parameter("limit", _("a whole number from 1"))
    return min(int(text), MOST)


def _area(text: str, crs: Crs) -> GEOSGeometry:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) not in (4, 6) or not all(_NUMBER.fullmatch(part) for part in parts):
        raise bad_parameter("bbox", _("four numbers, or six with heights"))
    numbers = [float(part) for part in parts]
    if not all(math.isfinite(number) for number in numbers):
        raise bad_parameter("bbox", _("four numbers, or six with heights"))
    if len(numbers) == 6:
        numbers = [numbers[i] for i in (0, 1, 3, 4)]
    try:
        return area_of((numbers[0], numbers[1], numbers[2], numbers[3]), crs)
    except NotInCrs as error:
        raise bad_parameter("bbox", _("no area of this system")) from error


def _span(text: str, zone: ZoneInfo, collection: Collection) -> Span:
    ends = text.split("/")
    try:
        if len(ends) == 1:
            if _DAY.fullmatch(text):
                end_of_day = _end_of(text, zone)
                # A version held "on a day" when it did at its end, so that today is what holds now.
                versions = collection.time == "validity"
                return Span(end_of_day if versions else _begin_of(text, zone), end_of_day)
            return Span(_moment(text), _moment(text))
        begin, end = ends
        span = Span(
            None if begin in ("", "..") else _begin_of(begin, zone),
            None if end in ("", "..") else _end_of(end, zone),
        )
    except (ValueError, OverflowError) as error:
        told = _("a date, a date with time and zone, or two of them with / between, .. for open")
        raise bad_parameter("datetime", told) from error
    if span.begin and span.end and span.begin > span.end:
        raise bad_parameter("datetime", _("it ends before it begins"))
    return span


def _moment(text: str) -> datetime:
    if not _MOMENT.fullmatch(text):
        raise ValueError(text)
    return datetime.fromisoformat(text.upper()).astimezone(UTC)


def _begin_of(text: str, zone: ZoneInfo) -> datetime:
    if _DAY.fullmatch(text):
        return datetime.combine(date.fromisoformat(text), time(), zone).astimezone(UTC)
    return _moment(text)


def _end_of(text: str, zone: ZoneInfo) -> datetime:
    if _DAY.fullmatch(text):
        following = date.fromisoformat(text) + timedelta(days=1)
        return datetime.combine(following, time(), zone).astimezone(UTC) - timedelta(microseconds=1)
    return _moment(text)


def _value(name: str, text: str, prop: Property) -> Any:
    if prop.type == "boolean":
        if text not in ("true", "false"):
            raise bad_parameter(name, "true, false")
        return text == "true"
    if prop.type == "integer":
        if not re.fullmatch(r"-?\d{1,9}", text, re.ASCII):
            raise bad_parameter(name, _("a whole number"))
        return int(text)
    return text
