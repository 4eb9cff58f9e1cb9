"""What the command center's pages ask for and send; session and CSRF token, never the device token."""

import hashlib
import math
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib.gis.db.models import Extent
from django.contrib.gis.geos import Polygon
from django.core.cache import cache
from django.http import FileResponse, HttpResponse
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from fieldops import queries
from fieldops.clocks.cases import overdue_multiple
from fieldops.errors import NotFound
from fieldops.lifecycle import now
from fieldops.models import Event, Photo, Post, User
from fieldops.places import place_of
from fieldops.responsibility.assignment import departments_at
from fieldops.rights import TRACK_ROLES, events_visible_to, may
from fieldops.status import PHASE, TABLE, Phase, Role, Status, Step
from fieldops.steps import approvals, desk, moving, satisfaction, supervision
from gridmap.geojson import grid_geojson
from gridmap.locate import cells_at, moment_of
from gridmap.models import Cell, GridUnit, Level
from gridmap.tiles import drawn_version
from realtime import presence, proof, tracks
from realtime.models import Shift

from . import pressing, steps
from .base import CommandView
from .figures import may_see_figures

MOST_EVENTS = 2000
MOST_SHIFTS = 100


class Session(CommandView):
    """Who looks at the page, and the words it needs."""

    def get(self, request: Request) -> Response:
        """Names, labels and the district, in the viewer's language."""
        district = self.posts[0].district
        extent = GridUnit.objects.filter(district=district, level=Level.DISTRICT_COMMITTEE).aggregate(
            e=Extent("boundary")
        )
        synthetic = GridUnit.objects.filter(district=district, synthetic=True).exists()
        english = (get_language() or "").startswith("en")
        return Response(
            {
                "user": {"name": str(self.person), "posts": [_post(post) for post in self.posts]},
                "district": {
                    "code": district.code,
                    "name": district.name_en if english else district.name,
                    "bbox": extent["e"],
                    "notice": _("Street, community and cell boundaries are synthetic.") if synthetic else "",
                },
                "roles": {role.value: str(role.label) for role in Role},
                "levels": [
                    *({"level": level.value, "label": str(level.label)} for level in Level),
                    {"level": 6, "label": str(Cell._meta.verbose_name)},
                ],
                "statuses": [
                    {
                        "code": status.value,
                        "label": str(status.label),
                        "phase": PHASE[status].value,
                        "open": PHASE[status] not in ("closed", "declined"),
                    }
                    for status in Status
                ],
                "phases": [
                    {"code": phase.value, "label": str(phase.label)}
                    for phase in dict.fromkeys(PHASE.values())
                ],
                "reasons_required": [step.value for step, rule in TABLE.items() if rule.needs_reason],
                "socket": "/ws/map",
                "workers": {
                    "watch": presence.may_watch(self.posts),
                    "replay": any(post.role in TRACK_ROLES for post in self.posts),
                },
                "figures": may_see_figures(self.posts),
            }
        )


def _post(post: Post) -> dict[str, Any]:
    return {
        "role": post.role,
        "label": post.get_role_display(),
        "name": post.name,
        "unit": post.unit.area_name,
        "department": post.department.name if post.department else None,
        "stands_in_for": str(post.stood_in_for) if post.stood_in_for else None,
    }


class Grid(CommandView):
    """The boundaries of one level, as GeoJSON in WGS-84."""

    def get(self, request: Request, level: str) -> HttpResponse:
        """Levels 1 to 5, or `cells`; the same for every viewer of a district, with an ETag."""
        if level not in {"1", "2", "3", "4", "5", "cells"}:
            raise NotFound
        district = self.posts[0].district_id
        key = f"grid:{district}:{level}:{drawn_version(district)}"
        body = cache.get(key)
        if body is None:
            body = grid_geojson(district, level)
            cache.set(key, body, timeout=300)
        response = HttpResponse(body, content_type="application/geo+json")
        response["ETag"] = f'"{hashlib.sha256(body.encode()).hexdigest()[:32]}"'
        response["Cache-Control"] = "private, no-cache"
        return response


class GridCell(CommandView):
    """One cell, as GeoJSON in WGS-84: the map has tiles of the others."""

    def get(self, request: Request, code: str) -> HttpResponse:
        """A FeatureCollection of the cell in force with this code, or of none."""
        body = grid_geojson(self.posts[0].district_id, "cells", code=code)
        return HttpResponse(body, content_type="application/geo+json", headers={"Cache-Control": "no-store"})


class CommaSeparated(serializers.ListField):
    """Several values as one of a query."""

    def get_value(self, dictionary: Any) -> Any:
        """Take them apart."""
        given = dictionary.get(self.field_name)
        return serializers.empty if given is None else given.split(",")


class ViewIn(serializers.Serializer):
    """What a map looks at: west, south, east, north in degrees of WGS-84, and phases."""

    area = CommaSeparated(
        child=serializers.FloatField(min_value=-180, max_value=180),
        min_length=4,
        max_length=4,
        required=False,
    )
    phases = CommaSeparated(child=serializers.ChoiceField(Phase.choices), required=False)

    def validate_area(self, area: list[float]) -> list[float]:
        """West before east, south before north, all of them numbers."""
        west, south, east, north = area
        if not (west <= east and -90 <= south <= north <= 90):
            raise serializers.ValidationError(_("That is no area."))
        return area


class PlaceIn(serializers.Serializer):
    """A place on the map, in a declared system, and the local day it is asked for."""

    x = serializers.FloatField()
    y = serializers.FloatField()
    system = serializers.CharField(max_length=20)
    day = serializers.DateField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """NaN is a float, but no place."""
        if not (math.isfinite(attrs["x"]) and math.isfinite(attrs["y"])):
            raise serializers.ValidationError(_("Must be a finite number."), code="finite")
        return attrs


class Place(CommandView):
    """Which cell a place lies in; the map asks it for a click, so that a border answers as everywhere."""

    def get(self, request: Request) -> Response:
        """The cell in force today, or at the end of `day`, with its five organisations; none outside."""
        given = PlaceIn(data=request.query_params)
        given.is_valid(raise_exception=True)
        asked, district = given.validated_data, self.posts[0].district
        point = place_of(asked["x"], asked["y"], asked["system"])
        try:
            at = moment_of(asked["day"], district) if "day" in asked else None
        except ValueError:
            raise serializers.ValidationError({"day": _("This day is still to come.")}) from None
        cell = cells_at(point, at=at).filter(district=district).first()
        return Response(
            {"cell": cell.code if cell else None, "levels": queries.levels_of(cell) if cell else []}
        )


class Events(CommandView):
    """The snapshot of the live map."""

    def get(self, request: Request) -> Response:
        """Open cases and those that ended within a day, newest first, at most 2,000; `area` and `phases` narrow."""
        given = ViewIn(data=request.query_params)
        given.is_valid(raise_exception=True)
        view = given.validated_data
        shown = queries.shown_on_map(events_visible_to(self.person))
        if "area" in view:
            shown = shown.filter(point__coveredby=Polygon.from_bbox(view["area"]))
        if "phases" in view:
            shown = shown.filter(
                status__in=[status for status, its in PHASE.items() if its in view["phases"]]
            )
        found = queries.frames(shown.order_by("-received_at")[: MOST_EVENTS + 1])
        return Response({"truncated": len(found) > MOST_EVENTS, "events": found[:MOST_EVENTS]})


def _visible(person: User, event_id: UUID) -> Event:
    event = (
        events_visible_to(person)
        .select_related("event_class", "condition", "department", "district", "cell")
        .filter(pk=event_id)
        .first()
    )
    if event is None:
        raise NotFound
    return event


class EventDetail(CommandView):
    """One case in full."""

    def get(self, request: Request, event_id: UUID) -> Response:
        """Facts, timeline with proof of delivery, and what this viewer may do now."""
        return Response(_detail(_visible(self.person, event_id), self.posts))


def _detail(event: Event, posts: list[Post]) -> dict[str, Any]:
    whole = queries.whole_case(event)
    for order in whole["work_orders"]:
        order["sent_at"] = order["dispatched_at"]  # the letter is written with the order
    return {
        **whole,
        "overdue_multiple": overdue_multiple(event, now()),
        "delivery": proof.delivery_of(event),
        "supervisions": supervision.supervisions_of(event, posts),
        "call_backs": satisfaction.call_backs_of(event),
        "actions": _actions(event, posts),
    }


class ActionIn(pressing.PressingIn, steps.StepsIn):
    """What a step may be given; each step takes its own part."""

    version = serializers.IntegerField(required=False, min_value=1)
    reason = serializers.CharField(required=False, allow_blank=True, max_length=2000, default="")
    condition = serializers.IntegerField(required=False, min_value=1, max_value=2**31 - 1)
    department = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=2**31 - 1)
    post = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=2**31 - 1)
    cell = serializers.CharField(required=False, max_length=20, default="")


_DO: dict[str, Callable[[UUID, User, dict[str, Any]], Any]] = {
    "accept": lambda pk, by, a: desk.accept(pk, by=by, note=a["reason"], version=a.get("version")),
    "decline": lambda pk, by, a: desk.decline(pk, by=by, reason=a["reason"], version=a.get("version")),
    "file": lambda pk, by, a: desk.file(
        pk, by=by, condition_id=a.get("condition"), reason=a["reason"], version=a.get("version")
    ),
    "do_not_file": lambda pk, by, a: desk.do_not_file(
        pk, by=by, reason=a["reason"], version=a.get("version")
    ),
    "assign": lambda pk, by, a: desk.assign(
        pk, by=by, department_id=a.get("department"), reason=a["reason"], version=a.get("version")
    ),
    "dispatch": lambda pk, by, a: desk.dispatch(pk, by=by, post_id=a.get("post"), version=a.get("version")),
    "recall": lambda pk, by, a: desk.recall(pk, by=by, reason=a["reason"], version=a.get("version")),
    "extend": lambda pk, by, a: approvals.extend(pk, by=by, note=a["reason"], version=a.get("version")),
    "defer": lambda pk, by, a: approvals.defer(pk, by=by, note=a["reason"], version=a.get("version")),
    "refuse": lambda pk, by, a: approvals.refuse(pk, by=by, reason=a["reason"], version=a.get("version")),
    "resume": lambda pk, by, a: approvals.resume(pk, by=by, note=a["reason"], version=a.get("version")),
    "void": lambda pk, by, a: desk.void(pk, by=by, reason=a["reason"], version=a.get("version")),
    "move_cell": lambda pk, by, a: moving.move_to_cell(
        pk, by=by, code=a["cell"], reason=a["reason"], version=a.get("version")
    ),
    "close": lambda pk, by, a: desk.close(pk, by=by, note=a["reason"], version=a.get("version")),
    **pressing.DO,
    **steps.DO,
}


class EventAction(CommandView):
    """A step that a desk takes."""

    def post(self, request: Request, event_id: UUID, action: str) -> Response:
        """Take it, and answer the case anew."""
        if action not in _DO:
            raise NotFound
        given = ActionIn(data=request.data)
        given.is_valid(raise_exception=True)
        _DO[action](event_id, self.person, given.validated_data)
        return Response(_detail(_visible(self.person, event_id), self.posts))


def _actions(event: Event, posts: list[Post]) -> list[dict[str, Any]]:
    """What this viewer may do with the case now, with the fields each step takes."""
    return [
        {"name": step.value, "label": str(step.label), "fields": fields}
        for step in Step
        if step.value in _DO and may(posts, step, event)
        for fields in [_fields(step, event, posts)]
        if fields is not None
    ]


def _fields(step: Step, event: Event, posts: list[Post]) -> list[dict[str, Any]] | None:
    if step.value in pressing.DO:
        return pressing.fields(step, event, posts)
    if step.value in steps.DO:
        return steps.fields(step, event, posts)
    reason = {"name": "reason", "label": _("Reason"), "required": TABLE[step].needs_reason}
    if step == Step.FILE:
        choices = [
            {"value": condition.pk, "label": f"{condition.text}（{condition.limit_text}）"}
            for condition in event.event_class.conditions.all()
        ]
        return [
            {
                "name": "condition",
                "label": _("Filing condition"),
                "required": event.condition_id is None,
                "value": event.condition_id,
                "choices": choices,
            },
            reason,
        ]
    if step == Step.ASSIGN:
        departments = departments_at(event.cell)
        return [
            {
                "name": "department",
                "label": _("Responsible department"),
                "required": False,
                "value": None,
                "empty_label": _("by the rules"),
                "choices": [{"value": d.pk, "label": d.name} for d in departments],
            },
            reason,
        ]
    if step == Step.DISPATCH:
        choices = [{"value": post.pk, "label": post.name} for post in desk.posts_to_dispatch_to(event)]
        value = choices[0]["value"] if choices else None
        return [{"name": "post", "label": _("Post"), "required": True, "value": value, "choices": choices}]
    if step == Step.MOVE_CELL:
        shares = {one["code"]: f"（{one['share']:.0%}）" for one in event.cell_candidates}
        cells = [
            {
                "value": cell.code,
                "label": f"{cell.code} {cell.community.area_name}{shares.get(cell.code, '')}",
            }
            for cell in moving.cells_to_move_to(event)
        ]
        label = Cell._meta.verbose_name
        return [{"name": "cell", "label": label, "required": True, "value": None, "choices": cells}, reason]
    return [reason] if TABLE[step].needs_reason else []


class Undelivered(CommandView):
    """Letters that no device acknowledges, for those who can do something about it."""

    def get(self, request: Request) -> Response:
        """The queue, oldest first."""
        return Response({"letters": proof.undelivered(self.person, self.posts)})


class PhotoFile(CommandView):
    """A photo, for those who may see the case it belongs to."""

    def get(self, request: Request, photo_id: UUID) -> FileResponse:
        """The picture, or its thumbnail with `?size=thumbnail` once there is one."""
        photo = Photo.objects.filter(pk=photo_id).first()
        if photo is None or not queries.photo_visible_to(photo, self.person, events_visible_to(self.person)):
            raise NotFound
        small = request.query_params.get("size") == "thumbnail" and photo.thumbnail
        file = photo.thumbnail if small else photo.file
        response = FileResponse(file.open("rb"))
        response["Cache-Control"] = "private, max-age=86400" if small else "private, no-cache"
        response["X-Content-Type-Options"] = "nosniff"
        return response


class Shifts(CommandView):
    """Whose tracks this viewer may replay."""

    def get(self, request: Request) -> Response:
        """The newest shifts, of `?person=` where one is named; what is in a track is not told here."""
        shifts = tracks.shifts_visible_to(self.person).select_related("user", "post")
        person = request.query_params.get("person", "")
        if person:
            shifts = (
                shifts.filter(user=int(person)) if person.isdecimal() and len(person) < 10 else shifts.none()
            )
        return Response({"shifts": [_shift(shift) for shift in shifts[:MOST_SHIFTS]]})


def _shift(shift: Shift) -> dict[str, Any]:
    return {
        "id": str(shift.pk),
        "person": shift.user_id,
        "name": str(shift.user),
        "post": shift.post.name,
        "started_at": shift.started_at.isoformat(),
        "ended_at": shift.ended_at.isoformat() if shift.ended_at else None,
        "forgotten": shift.forgotten,
    }


class ReplayIn(serializers.Serializer):
    """Why somebody's way is looked at."""

    purpose = serializers.CharField(min_length=2, max_length=200)


class Replay(CommandView):
    """Somebody's way through a shift: personal data, so asking for it leaves a record."""

    def post(self, request: Request, shift_id: UUID) -> Response:
        """Write down who asks and why, and answer the track."""
        given = ReplayIn(data=request.data)
        given.is_valid(raise_exception=True)
        response = Response(tracks.replay(shift_id, by=self.person, purpose=given.validated_data["purpose"]))
        response["Cache-Control"] = "no-store"
        return response
