"""Who is responsible: the most specific rule wins, first by class, then by area, and says why."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.utils.translation import gettext as _

from gridmap.models import Cell, Department

from .models import EventClass, Post, ResponsibilityRule
from .status import Role


@dataclass(frozen=True)
class Assignment:
    """The department a rule names, the handler's post there for this cell, and the reason as data."""

    department: Department
    post_id: int | None
    why: dict[str, Any]


def find_responsible(event_class: EventClass, cell: Cell) -> Assignment | None:
    """The department responsible for this class in this cell, or None when no rule fits. One statement."""
    units = cell.unit_ids
    fitting = list(
        ResponsibilityRule.objects.filter(
            Q(kind="") | Q(kind=event_class.kind),
            Q(major="") | Q(major=event_class.major),
            Q(minor="") | Q(minor=event_class.minor),
            Q(unit__isnull=True) | Q(unit__in=units),
            district_id=cell.district_id,
        )
        .select_related("department", "unit")
        .annotate(handler=Subquery(handlers(OuterRef("department"), units).values("pk")[:1]))
    )
    if not fitting:
        return None
    fitting.sort(key=_specificity, reverse=True)
    winner = fitting[0]
    why = {"rule": _scope(winner)}
    if len(fitting) > 1:
        why["over"] = _scope(fitting[1])
    return Assignment(department=winner.department, post_id=winner.handler, why=why)


def handlers(department: Department | OuterRef, units: Sequence[int]) -> QuerySet[Post]:
    """The posts of a department that handle cases in a cell with these organisations, closest first."""
    return Post.objects.filter(role=Role.DEPARTMENT_HANDLER, department=department, unit__in=units).order_by(
        "-unit__level", "pk"
    )


def _specificity(rule: ResponsibilityRule) -> tuple[int, int]:
    by_class = 3 if rule.minor else 2 if rule.major else 1 if rule.kind else 0
    return by_class, rule.unit.level if rule.unit else 0


def _scope(rule: ResponsibilityRule) -> dict[str, Any]:
    return {
        "number": rule.number,
        "kind": rule.kind,
        "class": f"{rule.major}{rule.minor}",
        "unit": rule.unit.area_name if rule.unit else "",
    }


def explain(why: dict[str, Any]) -> str:
    """The reason in the reader's language: “rule 12: class 0103 in 先锋道街道, over rule 4: class 0103”."""
    if not why:
        return ""
    if "by_hand" in why:
        return _("decided by the dispatcher: %(reason)s") % {"reason": why["by_hand"]}
    told = _told(why["rule"])
    if "over" in why:
        return _("%(winner)s, over %(other)s") % {"winner": told, "other": _told(why["over"])}
    return told


def _told(scope: dict[str, Any]) -> str:
    kinds = {"event": _("events"), "component": _("components"), "": _("everything")}
    what = _("class %(code)s") % {"code": scope["class"]} if scope["class"] else kinds[scope["kind"]]
    facts = {"number": scope["number"], "what": what, "unit": scope["unit"]}
    if scope["unit"]:
        return _("rule %(number)s: %(what)s in %(unit)s") % facts
    return _("rule %(number)s: %(what)s") % facts
