"""The elements of the grid for the live map: how many of which kind in a cell, what they are, what they were."""

from typing import Any
from uuid import UUID

from django.db.models import Count
from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from fieldops.elements.population import accesses_visible_to
from fieldops.errors import NotFound, NotPermitted
from fieldops.queries import departments_of
from fieldops.rights import cells_visible_to, elements_visible_to
from fieldops.status import Role
from gridmap.elements import standing_at
from gridmap.locate import moment_of
from gridmap.models import Component, ComponentState, Element, ElementKind, ElementVersion

from .base import CommandView

MOST = 300
MOST_ACCESSES = 200
KINDS = [kind for kind in ElementKind if kind != ElementKind.PERSON]


class Counts(CommandView):
    """How many elements of which kind stand in which cell."""

    def get(self, request: Request) -> Response:
        """Of the cells one answers for; people are not counted."""
        cells: dict[str, dict[str, int]] = {}
        counted = elements_visible_to(self.person).values_list("cell__code", "kind").annotate(n=Count("pk"))
        for cell, kind, number in counted.order_by():
            cells.setdefault(cell, {})[kind] = number
        kinds = [{"kind": kind.value, "label": str(kind.label)} for kind in KINDS]
        return Response({"kinds": kinds, "cells": cells})


class DayIn(serializers.Serializer):
    """A day, judged in the district's zone."""

    on = serializers.DateField(required=False)


class InCell(CommandView):
    """The elements of one cell."""

    def get(self, request: Request, code: str) -> Response:
        """What stands there now, or what stood there at the end of the day `on`; at most 300."""
        day = DayIn(data=request.query_params)
        day.is_valid(raise_exception=True)
        on = day.validated_data.get("on")
        if on is None:
            found = (
                elements_visible_to(self.person)
                .filter(cell__code=code)
                .select_related(*_OF_COMPONENTS)
                .order_by("kind", "category", "name", "id")
            )
            rows = [_element(element) for element in found[: MOST + 1]]
        else:
            try:
                end = moment_of(on, self.posts[0].district) or timezone.now()
            except ValueError:
                raise serializers.ValidationError({"on": _("This day is still to come.")}) from None
            cell = cells_visible_to(self.person).in_force(end).filter(code=code).defer("boundary").first()
            if cell is None:
                raise NotFound
            stood = standing_at(cell, end).exclude(kind=ElementKind.PERSON)
            rows = [_version(version) for version in stood.order_by("kind", "category", "name")[: MOST + 1]]
        return Response({"truncated": len(rows) > MOST, "elements": rows[:MOST]})


class Detail(CommandView):
    """One element with what it was."""

    def get(self, request: Request, element_id: UUID) -> Response:
        """Facts, and every version with who made it."""
        element = (
            elements_visible_to(self.person)
            .select_related(*_OF_COMPONENTS, "cell")
            .defer("cell__boundary")
            .filter(pk=element_id)
            .first()
        )
        if element is None:
            raise NotFound
        versions = ElementVersion.objects.filter(pgh_obj=element_id).select_related("changed_by")
        history = [
            {
                **_version(version),
                "at": version.pgh_created_at.isoformat(),
                "by": str(version.changed_by) if version.changed_by else None,
            }
            for version in versions.order_by("-pgh_id")[:100]
        ]
        return Response(
            {
                **_element(element),
                "cell": element.cell.code,
                "note": element.note,
                "source": element.source,
                "history": history,
            }
        )


class Accesses(CommandView):
    """Who looked at people, for what, and who was refused: for supervisors."""

    def get(self, request: Request) -> Response:
        """The newest 200, or those before the entry that `before` names."""
        if not any(post.role == Role.SUPERVISOR for post in self.posts):
            raise NotPermitted
        found = accesses_visible_to(self.person).order_by("-id")
        before = serializers.UUIDField(allow_null=True).run_validation(request.query_params.get("before"))
        if before:
            found = found.filter(pk__lt=before)
        rows = [
            {
                "id": str(access.pk),
                "at": access.at.isoformat(),
                "act": access.act,
                "act_label": access.get_act_display(),
                "by": str(access.by),
                "post": access.post.name if access.post else None,
                "purpose": access.purpose.name if access.purpose else None,
                "words": access.words,
                "asked": access.asked,
                "people": [str(pk) for pk in access.people],
                "refusal": access.refusal,
            }
            for access in found[:MOST_ACCESSES]
        ]
        return Response({"accesses": rows})


_OF_COMPONENTS = [f"component{path}" for path in ("__event_class", "__managing", "__owning", "__maintaining")]


def _facts(row: Any) -> dict[str, Any]:
    return {
        "kind": row.kind,
        "kind_label": str(ElementKind(row.kind).label),
        "category": row.category,
        "name": row.name,
        "state": row.state,
        "state_label": str(ComponentState(row.state).label) if row.state else "",
        "synthetic": row.synthetic,
    }


def _element(element: Element) -> dict[str, Any]:
    component: Component | None = getattr(element, "component", None)
    return {
        "id": str(element.pk),
        **_facts(element),
        "point": [round(element.point.x, 7), round(element.point.y, 7)] if element.point else None,
        "component": {
            "code": component.code,
            "class": component.event_class.name,
            "departments": departments_of(component),
        }
        if component
        else None,
    }


def _version(version: ElementVersion) -> dict[str, Any]:
    gone = version.ended_at
    return {"id": str(version.pgh_obj_id), **_facts(version), "ended_at": gone.isoformat() if gone else None}
