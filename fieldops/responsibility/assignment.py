"""Who is responsible: the most specific rule wins, and says why. Two rules never stand equal (`ResponsibilityRule`)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import BigIntegerField, Case, Exists, F, OuterRef, Q, QuerySet, Subquery, Value, When
from django.utils.translation import gettext as _

from fieldops.lifecycle import now
from fieldops.models import EventClass, FilingCondition, Party, Post, ResponsibilityRule
from fieldops.status import Role
from gridmap.models import Cell, Component, Department

# From the most specific to the least; each entry counts only where those before it are equal.
ORDER = (
    Case(When(~Q(minor=""), then=3), When(~Q(major=""), then=2), When(~Q(kind=""), then=1), default=0).desc(),
    F("condition").desc(nulls_last=True),
    F("unit__level").desc(nulls_last=True),
    Case(
        When(party=Party.MAINTAINING, then=3),
        When(party=Party.OWNING, then=2),
        When(party=Party.MANAGING, then=1),
        default=0,
    ).desc(),
)


@dataclass(frozen=True)
class Assignment:
    """The department a rule names, the handler's post there for this cell, and the reason as data."""

    department: Department
    post_id: int | None
    why: dict[str, Any]


def find_responsible(
    event_class: EventClass,
    cell: Cell,
    *,
    condition: FilingCondition | None = None,
    component: Component | None = None,
    at: datetime | None = None,
) -> Assignment | None:
    """The department responsible for this in this cell at the moment, or None when no rule fits.

    One statement, where the departments of the component have been read with it.
    """
    fitting = fitting_rules(event_class, cell, condition=condition, component=component, at=at)
    ranked = list(
        fitting.annotate(handler=Subquery(handlers(OuterRef("answers"), cell.unit_ids).values("pk")[:1]))[:2]
    )
    if not ranked:
        return None
    winner = ranked[0]
    why = {"rule": scope_of(winner)}
    if len(ranked) > 1:
        why["over"] = scope_of(ranked[1])
    department: Department = getattr(component if winner.party else winner, winner.party or "department")
    return Assignment(department=department, post_id=winner.handler, why=why)


def fitting_rules(
    event_class: EventClass,
    cell: Cell,
    *,
    condition: FilingCondition | None = None,
    component: Component | None = None,
    at: datetime | None = None,
) -> QuerySet[ResponsibilityRule]:
    """Every rule that fits, the most specific first; `answers` is the id of the department it means."""
    return rules_for(
        district=cell.district_id,
        event_class=(event_class.kind, event_class.major, event_class.minor),
        condition=condition.number if condition else None,
        units=cell.unit_ids,
        parties={party: getattr(component, f"{party}_id", None) for party in Party.values},
        at=at or now(),
    )


def rules_for(
    *,
    district: Any,
    event_class: tuple[Any, Any, Any],
    condition: Any,
    units: Iterable[Any],
    parties: Mapping[str, Any],
    at: datetime,
) -> QuerySet[Any]:
    """The same of plain values, or of an outer statement's columns (`OuterRef`): so many cases are answered at once.

    `event_class` is kind, major and minor; `condition` a number; `parties` ids of departments by `Party`.
    """
    kind, major, minor = event_class
    in_area = Q(unit__isnull=True)
    for unit in units:
        in_area |= Q(unit=unit)
    named = [When(party=party, then=_as_id(department)) for party, department in parties.items()]
    by_condition = Q(condition__isnull=True)
    if condition is not None:
        by_condition |= Q(condition=condition)
    return (
        ResponsibilityRule.objects.filter(
            in_area,
            by_condition,
            Q(valid_from__isnull=True) | Q(valid_from__lte=at),
            Q(valid_to__isnull=True) | Q(valid_to__gt=at),
            district=district,
            kind__in=["", kind],
            major__in=["", major],
            minor__in=["", minor],
        )
        .annotate(answers=Case(*named, default=F("department_id"), output_field=BigIntegerField()))
        .filter(answers__isnull=False)
        .select_related("department", "unit")
        .defer("unit__boundary")
        .order_by(*ORDER)
    )


def _as_id(department: Any) -> Any:
    return department if isinstance(department, OuterRef) else Value(department, BigIntegerField())


def handlers(department: Department | OuterRef, units: Sequence[int]) -> QuerySet[Post]:
    """The posts of a department that handle cases in a cell with these organisations, closest first."""
    return Post.objects.filter(role=Role.DEPARTMENT_HANDLER, department=department, unit__in=units).order_by(
        "-unit__level", "pk"
    )


def departments_at(cell: Cell) -> QuerySet[Department]:
    """The departments that can be sent to this cell: one of their posts serves it."""
    serving = handlers(OuterRef("pk"), cell.unit_ids)
    return Department.objects.filter(Exists(serving), district=cell.district_id)


def scope_of(rule: ResponsibilityRule) -> dict[str, Any]:
    """What a rule is about, as a case keeps it: the rule may change afterwards."""
    scope = {
        "number": rule.number,
        "kind": rule.kind,
        "class": f"{rule.major}{rule.minor}",
        "unit": rule.unit.area_name if rule.unit else "",
    }
    if rule.condition:
        scope["condition"] = rule.condition
    if rule.party:
        scope["party"] = rule.party
    return scope


def explain(why: dict[str, Any]) -> str:
    """The reason in the reader's language: “rule 12: class 0103 in 先锋道街道, over rule 4: class 0103”."""
    if not why:
        return ""
    if "by_hand" in why:
        return _("decided by the dispatcher: %(reason)s") % {"reason": why["by_hand"]}
    told = told_scope(why["rule"])
    if "over" in why:
        return _("%(winner)s, over %(other)s") % {"winner": told, "other": told_scope(why["over"])}
    return told


def told_scope(scope: dict[str, Any]) -> str:
    """A scope in the reader's language: “rule 12: class 0103 in 先锋道街道”."""
    kinds = {"event": _("events"), "component": _("components"), "": _("everything")}
    what = _("class %(code)s") % {"code": scope["class"]} if scope["class"] else kinds[scope["kind"]]
    if "condition" in scope:
        what = _("%(what)s, condition %(number)s") % {"what": what, "number": scope["condition"]}
    facts = {"number": scope["number"], "what": what, "unit": scope["unit"]}
    told = _("rule %(number)s: %(what)s in %(unit)s") if scope["unit"] else _("rule %(number)s: %(what)s")
    if "party" in scope:
        party = Party(scope["party"]).label
        return _("%(rule)s (the component's %(party)s)") % {"rule": told % facts, "party": party}
    return told % facts
