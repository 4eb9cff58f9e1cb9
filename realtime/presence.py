"""Who is on line, on duty, and where: for the live map and for choosing whom to send.

On duty is a fact of PostgreSQL, the place is the last fix in Redis. Without Redis people are on duty at no known
place.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from time import time
from typing import Any

import redis
from django.contrib.gis.geos import Point
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery

from fieldops.models import Post
from fieldops.queries import masked_name
from fieldops.rights import NAME_ROLES, WATCH_ROLES, workers_of
from fieldops.status import Role
from fieldops.steps.checks import Worker
from gridmap.models import Cell

from .models import AreaCrossing, Shift
from .positions import LastFix, distance_m, last_fixes
from .stores import store

log = logging.getLogger(__name__)
ONLINE = "grid:online"
ONLINE_SECONDS = 30  # on line: a ping or a fix came so lately
FRESH_MS = 180_000  # an older fix does not say who is nearest
# Whom to send: an open task counts like so much more way, and so does a device that gives no sign of life.
TASK_METRES = 200
SILENT_METRES = 1000


# --- on line --------------------------------------------------------------------------------------------


def note_online(people: Iterable[int]) -> None:
    """These people's devices gave a sign of life. Raises redis.RedisError."""
    seen = time()
    heard: dict[str, float] = {str(person): seen for person in people}
    pipe = store().pipeline(transaction=False)
    if heard:
        pipe.zadd(ONLINE, heard)
    pipe.zremrangebyscore(ONLINE, 0, seen - ONLINE_SECONDS)
    pipe.execute()


def people_online() -> set[int]:
    """Whose devices gave a sign of life lately, in whichever process. Raises redis.RedisError."""
    return {int(person) for person in store().zrangebyscore(ONLINE, time() - ONLINE_SECONDS, "+inf")}


# --- whom to send ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OnDuty:
    """Someone who could be sent. `open_orders` counts their checks as well.

    `distance_m` is None where no fresh fix says how far away they are.
    """

    shift: Shift
    open_orders: int
    distance_m: float | None
    fix: LastFix | None
    online: bool


def workers_on_duty(cell: Cell, *, near: Point | None = None, role: Role = Role.GRID_WORKER) -> list[OnDuty]:
    """Who is on duty for this cell, the best to send first; those whose place is not known come last.

    By the way to the place (WGS-84; default: the cell's middle), to which open work and a silent device add. One
    statement, and two questions to Redis that may stay unanswered. Mock and impossible fixes tell no distance.
    """
    place = near or cell.boundary.point_on_surface
    shifts = list(
        Shift.objects.filter(ended_at__isnull=True, post__role=role, post__unit__in=cell.unit_ids)
        .select_related("post__unit", "user")
        .defer("post__unit__boundary")
        .annotate(
            orders=Count(
                "post__work_orders", filter=Q(post__work_orders__finished_at__isnull=True), distinct=True
            ),
            checks=Count(
                "user__checks_asked",
                filter=Q(user__checks_asked__done_at__isnull=True, user__checks_asked__ended_at__isnull=True),
                distinct=True,
            ),
        )
    )
    try:
        fixes, online = last_fixes({str(shift.pk) for shift in shifts}), people_online()
    except redis.RedisError as error:
        log.warning("on duty, but nobody knows where: %s", error)
        fixes, online = {}, set()
    found = []
    for shift in shifts:
        fix = fixes.get(str(shift.pk))
        away = distance_m((fix.lon, fix.lat), (place.x, place.y)) if fix and _tells_place(fix) else None
        found.append(
            OnDuty(shift, shift.orders + shift.checks, away, fix, shift.user_id in online or _just_heard(fix))
        )
    return sorted(found, key=lambda one: (one.distance_m is None, _weighed_metres(one)))


def _weighed_metres(one: OnDuty) -> float:
    return (one.distance_m or 0) + TASK_METRES * one.open_orders + (0 if one.online else SILENT_METRES)


def whom_to_send(cell: Cell, near: Point) -> list[Worker]:
    """The grid workers on duty for a cell, the best to send first: for `fieldops.steps.checks`."""
    return [Worker(one.shift.post_id, one.shift.user_id) for one in workers_on_duty(cell, near=near)]


def _tells_place(fix: LastFix) -> bool:
    return not (fix.mock or fix.jump) and time() * 1000 - fix.at < FRESH_MS


def _just_heard(fix: LastFix | None) -> bool:
    return fix is not None and time() * 1000 - fix.received < ONLINE_SECONDS * 1000


# --- what a viewer of the map may know ------------------------------------------------------------------


def may_watch(posts: Iterable[Post]) -> bool:
    """Whether one of these posts may see workers on the map at all."""
    return any(post.role in WATCH_ROLES for post in posts)


def roster(posts: list[Post]) -> dict[str, dict[str, Any]]:
    """Who is on duty in the area of these posts, by shift: what does not change with every fix; one statement.

    Names are masked for those whose work needs none. `inside`: in the own area, as far as fixes have proved it.
    """
    crossings = AreaCrossing.objects.filter(shift=OuterRef("pk")).order_by("-number")
    shifts: QuerySet[Shift] = (
        Shift.objects.filter(workers_of(posts, WATCH_ROLES, "post__"), ended_at__isnull=True)
        .select_related("post__unit", "user")
        .defer("post__unit__boundary")
        .annotate(inside=Subquery(crossings.values("entered")[:1]))
        .order_by("started_at")
    )
    named = any(post.role in NAME_ROLES for post in posts)
    return {
        str(shift.pk): {
            "id": str(shift.pk),
            "name": str(shift.user) if named else masked_name(str(shift.user)),
            "person": shift.user_id,
            "post": shift.post.name,
            "role": shift.post.role,
            "unit": shift.post.unit.area_name,
            "since": shift.started_at.isoformat(),
            "inside": shift.inside,  # type: ignore[attr-defined]
        }
        for shift in shifts
    }


def places(shifts: Iterable[dict[str, Any]]) -> dict[str, list[Any]]:
    """Where those of a roster are: [longitude, latitude, accuracy (m), time (ms since 1970), battery (%), mock, jump,
    on line], WGS-84, None in place of what is not known. Raises redis.RedisError.
    """
    rows = list(shifts)
    fixes, online = last_fixes({row["id"] for row in rows}), people_online()
    found: dict[str, list[Any]] = {}
    for row in rows:
        fix = fixes.get(row["id"])
        connected = row["person"] in online or _just_heard(fix)
        found[row["id"]] = (
            [
                round(fix.lon, 6),
                round(fix.lat, 6),
                fix.accuracy_m,
                fix.at,
                fix.battery,
                fix.mock,
                fix.jump,
                connected,
            ]
            if fix
            else [None, None, None, None, None, False, False, connected]
        )
    return found
