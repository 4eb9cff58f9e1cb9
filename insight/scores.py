"""Scores and grades (评分、等级) of departments and grid workers: weighted indicators that open their cases.

What a city weighs is rows (`ScorePart`, `VolumeBand`, `Grade`); a district without rows takes the usual ones below.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fieldops.models import Holding
from fieldops.status import Role
from gridmap.models import CHAIN, Cell, GridUnit, Level

from .figures import Line, Period, Scope, count_by, count_by_level, denominators_of
from .indicators import INDICATORS, VOLUME, Better
from .models import Grade, ScorePart, Subject, VolumeBand
from .tables import names_of

USUAL_PARTS: Mapping[Subject, Mapping[str, float]] = {
    Subject.DEPARTMENT: {
        VOLUME: 10,
        "closing_rate": 30,
        "handled_on_time_rate": 30,
        "rework_rate": 30,
    },
    Subject.GRID_WORKER: {
        "valid_report_rate": 40,
        "missed_rate": 20,
        "verified_on_time_rate": 20,
        "checked_on_time_rate": 20,
    },
}
USUAL_BANDS: Sequence[tuple[int, int]] = ((50, 100), (100, 90), (200, 75), (500, 60), (1000, 40))
USUAL_GRADES: Sequence[tuple[float, str, str]] = (
    (90, "A", "green"),
    (75, "B", "blue"),
    (60, "C", "yellow"),
    (40, "D", "red"),
    (0, "E", "black"),
)
# Of a grid worker what was missed is counted over the community, tasks on site over who was sent, the rest over who
# reported.
_OF_WORKERS = {"missed_rate": "community", "verified_on_time_rate": "sent", "checked_on_time_rate": "sent"}


@dataclass(frozen=True)
class Part:
    """One part of a score: points of 100 (None where nothing was there to judge), and the row that opens its cases.

    `by` and `key` name the row as `tabulate` does.
    """

    code: str
    weight: float
    points: float | None
    above: float
    below: float
    counts_above: tuple[str, ...]
    counts_below: tuple[str, ...]
    by: str
    key: str


@dataclass(frozen=True)
class Score:
    """The weighted mean of the parts that could be judged, 0 to 100, and its grade; None without any, or any case."""

    key: int
    name: str
    points: float | None
    grade: str
    colour: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Rules:
    """What a district weighs, or the usual."""

    parts: Mapping[str, float]
    bands: Sequence[tuple[int, int]]
    grades: Sequence[tuple[float, str, str]]
    denominators: Mapping[str, str]


def rules_of(district: str, subject: Subject) -> Rules:
    """The rows of a district; where it has none of a sort, the usual ones. Four statements."""
    parts = dict(ScorePart.objects.filter(district=district, subject=subject).values_list("part", "weight"))
    bands = VolumeBand.objects.filter(district=district).order_by("at_most").values_list("at_most", "points")
    grades = Grade.objects.filter(district=district).order_by("-at_least")
    return Rules(
        {part: float(weight) for part, weight in parts.items()} or USUAL_PARTS[subject],
        list(bands) or USUAL_BANDS,
        [(float(at), name, colour) for at, name, colour in grades.values_list("at_least", "name", "colour")]
        or USUAL_GRADES,
        denominators_of(district),
    )


def score_departments(period: Period, scope: Scope) -> list[Score]:
    """Every department that had a case in the period, best first."""
    rules = rules_of(scope.district, Subject.DEPARTMENT)
    lines = {line.of: line for line in count_by("department", period, scope) if line.of is not None}
    scores = []
    for key, name in names_of("department", lines).items():
        found = {"department": (lines[key], str(key))}
        scores.append(_score(key, name, rules, found, {}, "department"))
    return _best_first(scores)


def score_grid_workers(period: Period, scope: Scope) -> list[Score]:
    """Everybody who held a grid worker's post in the period in the area of `scope`, best first.

    Reports count for who sent them, tasks for who was sent, what was missed for the community of the post held last.
    """
    rules = rules_of(scope.district, Subject.GRID_WORKER)
    wanted = {_OF_WORKERS.get(part, "reporter") for part in rules.parts}
    lines: dict[str, dict[Any, Line]] = {}
    for by in wanted - {"community"}:
        lines[by] = {line.of: line for line in count_by(by, period, scope)}
    if "community" in wanted:
        communities = [line for line in count_by_level(period, scope) if line.level == Level.COMMUNITY]
        lines["community"] = {line.of: line for line in communities}
    scores = []
    for holding in _workers(period, scope):
        keys = {"reporter": holding.user_id, "sent": holding.user_id, "community": holding.post.unit_id}
        found = {by: (lines[by][keys[by]], str(keys[by])) for by in wanted if keys[by] in lines[by]}
        scores.append(_score(holding.user_id, str(holding.user), rules, found, _OF_WORKERS, "reporter"))
    return _best_first(scores)


def _workers(period: Period, scope: Scope) -> list[Holding]:
    """The last holding of each person, of posts that lie wholly in the area."""
    held = Holding.objects.filter(
        post__role=Role.GRID_WORKER,
        post__district=scope.district,
        since__lt=period.end,
        stands_in_for__isnull=True,
    ).exclude(until__lte=period.begin)
    if scope.within is not None:
        held = held.filter(post__unit__in=_units_in(scope.within))
    if scope.unit is not None:
        held = held.filter(post__unit__in=_units_in((scope.unit,)))
    last = {holding.user_id: holding for holding in held.select_related("user", "post").order_by("since")}
    return list(last.values())


def _units_in(areas: Sequence[GridUnit]) -> set[int]:
    """The areas, and the communities and party groups below them: a regional group has no whole streets."""
    found = {area.pk for area in areas}
    for area in areas:
        column = f"{CHAIN[area.level - 1]}_id"
        below = CHAIN[max(area.level, Level.STREET_COMMITTEE) :]
        cells = Cell.objects.in_force().filter(**{column: area.pk})
        for row in cells.values_list(*(f"{unit}_id" for unit in below)).distinct():
            found.update(row)
    return found


def _score(
    key: int,
    name: str,
    rules: Rules,
    found: Mapping[str, tuple[Line, str]],
    ways: Mapping[str, str],
    usual_way: str,
) -> Score:
    parts = []
    for code, weight in rules.parts.items():
        by = ways.get(code, usual_way)
        line, row = found.get(by, (None, ""))
        parts.append(_part(code, weight, rules, line, by, row))
    judged = [part for part in parts if part.points is not None]
    if not any(part.above or part.below for part in judged):
        judged = []  # no case at all: nobody is good or bad for that
    weights = sum(part.weight for part in judged)
    points = sum(part.weight * (part.points or 0) for part in judged) / weights if weights else None
    reached = next(((n, c) for at, n, c in rules.grades if points is not None and points >= at), ("", ""))
    return Score(key, name, points, *reached, tuple(parts))


def _part(code: str, weight: float, rules: Rules, line: Line | None, by: str, row: str) -> Part:
    if code == VOLUME:
        volume = line.counts["to_handle"] if line else 0
        points = next((float(each) for at_most, each in rules.bands if volume <= at_most), 0.0)
        return Part(code, weight, points, volume, 0, ("to_handle",), (), by, row)
    one = INDICATORS[code]
    below = one.denominator(rules.denominators.get(code, ""))
    sums = (tuple(one.numerator.weights), tuple(below.weights))
    if line is None or not below.of(line.counts):
        return Part(code, weight, None, 0, 0, *sums, by, row)
    above, under = one.numerator.of(line.counts), below.of(line.counts)
    reached = above / under if one.better is Better.HIGHER else 1 - above / under
    return Part(code, weight, 100 * min(max(reached, 0), 1), above, under, *sums, by, row)


def _best_first(scores: list[Score]) -> list[Score]:
    return sorted(scores, key=lambda score: (score.points is None, -(score.points or 0), score.name))
