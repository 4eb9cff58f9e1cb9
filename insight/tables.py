"""Figures as a table that people read: named lines, an indicator a column, each with what was divided by what."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import Exists, OuterRef
from django.utils.translation import get_language

from fieldops.models import Channel, EventClass, Holding, Post, User
from fieldops.queries import masked_name
from fieldops.status import Role
from gridmap.models import Department, GridUnit, Level

from .figures import Line, Period, Scope, count_all, count_by, count_by_level, denominators_of
from .indicators import INDICATORS, Indicator

FIGURE_ROLES = frozenset({Role.SHIFT_LEADER, Role.SUPERVISOR, Role.LEADER})
LEVELS = {level.name.lower(): level for level in Level}
PEOPLE = ("reporter", "handler", "checker", "sent")
BY = (*LEVELS, "department", "post", "class", "channel", *PEOPLE)


@dataclass(frozen=True)
class Figure:
    """One value, and the counts above and below it."""

    indicator: Indicator
    value: float | None
    above: float
    below: float
    counts_above: tuple[str, ...]
    counts_below: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """A line with its name; `key` narrows to it, empty for all together."""

    key: str
    name: str
    figures: list[Figure]


@dataclass(frozen=True)
class Table:
    """All together first, then line by line."""

    whole: Row
    rows: list[Row]


def reading_posts(posts: Sequence[Post]) -> list[Post]:
    """Those that read figures, of one district: where somebody has posts in several, of the first."""
    reading = [post for post in posts if post.role in FIGURE_ROLES]
    return [post for post in reading if post.district_id == reading[0].district_id]


def area_of(posts: Sequence[Post]) -> tuple[GridUnit, ...] | None:
    """What these posts may see figures of: subtrees, none (an empty tuple), or None for the whole of their district."""
    units = tuple(post.unit for post in reading_posts(posts))
    return None if any(unit.level == Level.DISTRICT_COMMITTEE for unit in units) else units


def tabulate(by: str, period: Period, scope: Scope, *, codes: Sequence[str] = ()) -> Table:
    """A row for each organisation of a level, department, post, class, channel or person (`by`, one of BY).

    `codes`: which indicators; all of them by default. Raises KeyError for what there is not.
    """
    wanted = [INDICATORS[code] for code in codes] or list(INDICATORS.values())
    chosen = denominators_of(scope.district)

    def figures(line: Line) -> list[Figure]:
        return [_figure(one, line, chosen.get(one.code, "")) for one in wanted]

    if by in LEVELS:
        lines = [line for line in count_by_level(period, scope) if line.level == LEVELS[by]]
    else:
        lines = count_by(by, period, scope)
    lines = [line for line in lines if line.of is not None and any(line.counts.values())]
    names = names_of(by, [line.of for line in lines])
    rows = [Row(str(line.of), names.get(line.of, str(line.of)), figures(line)) for line in lines]
    return Table(Row("", "", figures(count_all(period, scope))), sorted(rows, key=lambda row: row.name))


def narrow(scope: Scope, by: str, key: str) -> Scope:
    """The scope of one row. Raises ValueError or GridUnit.DoesNotExist for a row that cannot be."""
    if by in LEVELS:
        return replace(
            scope, row=GridUnit.objects.defer("boundary").get(pk=int(key), district=scope.district)
        )
    if by in PEOPLE:
        return replace(scope, person=(by, int(key)))
    if by == "channel":
        return replace(scope, channel=Channel(key).value)
    field = "event_class" if by == "class" else by
    return replace(scope, **{field: int(key)})  # type: ignore[arg-type]


def _figure(one: Indicator, line: Line, choice: str) -> Figure:
    below = one.denominator(choice)
    return Figure(
        one,
        one.value(line.counts, choice),
        one.numerator.of(line.counts),
        below.of(line.counts),
        tuple(one.numerator.weights),
        tuple(below.weights),
    )


def names_of(by: str, keys: Iterable[Any]) -> dict[Any, str]:
    """What the rows of a table by one of BY are called in the reader's language; one statement at most.

    Of the public only the first character of a name is told, as with a case.
    """
    english = (get_language() or "").startswith("en")
    if by in LEVELS:
        units = GridUnit.objects.filter(pk__in=keys).defer("boundary")
        return {unit.pk: (english and unit.name_en) or unit.name for unit in units}
    if by == "department":
        departments = Department.objects.filter(pk__in=keys)
        return {one.pk: (english and one.name_en) or one.name for one in departments}
    if by == "post":
        posts = Post.objects.filter(pk__in=keys).select_related("unit").defer("unit__boundary")
        return {one.pk: f"{one.name} ({one.unit.area_name})" for one in posts}
    if by == "class":
        return {one.pk: f"{one.code} {one.name}" for one in EventClass.objects.filter(pk__in=keys)}
    if by == "channel":
        return {one.value: str(one.label) for one in Channel}
    staff = Holding.objects.filter(user=OuterRef("pk")).exclude(post__role=Role.RESIDENT)
    people = User.objects.filter(pk__in=keys).annotate(staff=Exists(staff))
    return {one.pk: str(one) if one.staff else masked_name(str(one)) for one in people}
