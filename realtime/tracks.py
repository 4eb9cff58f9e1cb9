"""Tracks: fixes go from the stream in Redis into partitions in PostgreSQL, are replayed for a reason, and expire.

Any number of writers may run. A fix leaves the stream only after its transaction committed; what a writer left
behind when it died is taken over by another, and the key of a point makes a second writing change nothing.
"""

import json
import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from time import monotonic
from typing import Any, NamedTuple
from uuid import UUID

import redis
import shapely
from django.contrib.gis.geos import Point
from django.db import DataError, IntegrityError, connection, transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django.utils import timezone

from fieldops.errors import NotFound, ReasonMissing
from fieldops.models import Post, User
from fieldops.rights import TRACK_ROLES, current_posts, posts_within, workers_of
from gridmap.models import CHAIN, Cell, District, GridUnit

from . import fence
from .models import AreaCrossing, Shift, TrackAccess, TrackPoint, TrackPolicy
from .positions import STREAM, moment
from .stores import store

log = logging.getLogger(__name__)
GROUP = "tracks"
MOST_AT_ONCE = 2000
ABANDONED_MS = 15_000
AREA_SECONDS = 600
DAYS_AHEAD = 7
MOST_REPLAYED = 5000  # points a replay shows, besides the doubtful ones; more are thinned out evenly
PARTITION = re.compile(r"^realtime_trackpoint_(\d{8})$")


class Entry(NamedTuple):
    """A fix on its way, as `positions` puts it into the stream; times in milliseconds since 1970."""

    shift: str
    device: str
    at: int
    received: int
    lon: float
    lat: float
    x: float
    y: float
    system: str
    accuracy_m: float | None
    battery: int | None
    mock: bool
    jump: bool


@dataclass(frozen=True)
class Written:
    """What one round did. `lag_ms`: the age of the oldest fix it wrote, from its receipt to the commit."""

    fixes: int
    lag_ms: int


# --- writing ------------------------------------------------------------------------------------------


def write_some(consumer: str, *, block_ms: int = 500) -> Written:
    """One round: take over what was abandoned, else wait for new fixes; write them; let them go.

    `block_ms` has to stay below the patience of `stores.store`. Raises redis.RedisError or django.db.Error; the fixes
    then stay where they are.
    """
    found = _take_some(consumer, block_ms)
    if not found:
        return Written(0, 0)
    entries = [entry for _id, fields in found if (entry := _read(fields))]
    try:
        written = write(entries)
    except (DataError, IntegrityError):
        # One that PostgreSQL cannot take must not hold up the others; a partition may have gone meanwhile.
        _days.clear()
        written = sum(_write_alone(entry) for entry in entries)
    ids = [entry_id for entry_id, _fields in found]
    pipe = store().pipeline()
    pipe.xack(STREAM, GROUP, *ids)
    pipe.xdel(STREAM, *ids)
    pipe.execute()
    oldest = min((entry.received for entry in entries), default=0)
    return Written(written, round(timezone.now().timestamp() * 1000) - oldest if entries else 0)


def _take_some(consumer: str, block_ms: int) -> list[tuple[str, dict[str, str]]]:
    try:
        _next, abandoned, *_deleted = store().xautoclaim(
            STREAM, GROUP, consumer, min_idle_time=ABANDONED_MS, count=MOST_AT_ONCE
        )
        if abandoned:
            return [(entry_id, fields) for entry_id, fields in abandoned if fields]
        fresh = store().xreadgroup(GROUP, consumer, {STREAM: ">"}, count=MOST_AT_ONCE, block=block_ms)
    except redis.ResponseError as error:
        if "NOGROUP" not in str(error):
            raise
        # Redis began anew, or this is the first writer ever.
        try:
            store().xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        except redis.ResponseError as rival:
            if "BUSYGROUP" not in str(rival):
                raise
        return []
    return [pair for _stream, pairs in fresh or [] for pair in pairs]


def _read(fields: dict[str, str]) -> Entry | None:
    try:
        return Entry(*json.loads(fields["f"]))
    except (KeyError, ValueError, TypeError):
        log.error("not a fix, dropped from the stream: %.200r", fields)
        return None


def _write_alone(entry: Entry) -> int:
    try:
        return write([entry])
    except (DataError, IntegrityError):
        log.exception("a fix that cannot be stored is dropped: shift %s, %s", entry.shift, entry.at)
        return 0


# The join is the last word on privacy: what was not made within the shift is not kept, whatever Redis believed.
_INSERT = """
INSERT INTO realtime_trackpoint
    (shift_id, device_id, fix_at, received_at, point, x, y, system, accuracy_m, battery, mock, jump)
SELECT p.shift, p.device, to_timestamp(p.at / 1000.0), to_timestamp(p.received / 1000.0),
       ST_SetSRID(ST_MakePoint(p.lon, p.lat), 4326), p.x, p.y, p.system, p.accuracy_m, p.battery, p.mock, p.jump
FROM unnest(%s::uuid[], %s::uuid[], %s::bigint[], %s::bigint[], %s::float8[], %s::float8[], %s::float8[],
            %s::float8[], %s::text[], %s::float8[], %s::smallint[], %s::boolean[], %s::boolean[])
     AS p(shift, device, at, received, lon, lat, x, y, system, accuracy_m, battery, mock, jump)
JOIN realtime_shift s ON s.id = p.shift AND to_timestamp(p.at / 1000.0) >= s.started_at - interval '1 ms'
     AND (s.ended_at IS NULL OR to_timestamp(p.at / 1000.0) <= s.ended_at + interval '1 ms')
ON CONFLICT DO NOTHING
RETURNING shift_id, device_id, (extract(epoch FROM fix_at) * 1000)::bigint
"""


def write(entries: list[Entry]) -> int:
    """Store these fixes and the crossings they prove; returns how many were new. Three statements, however many."""
    if not entries:
        return 0
    # Before and apart: making a partition locks the table of shifts, and held together with points of a shift
    # that would be one half of a deadlock with whoever ends it.
    _make_sure_of_days({moment(entry.at).date() for entry in entries})
    return _write(entries)


@transaction.atomic
def _write(entries: list[Entry]) -> int:
    with connection.cursor() as sql:
        sql.execute(_INSERT, [list(column) for column in zip(*entries, strict=True)])
        new = {(str(shift), str(device), at) for shift, device, at in sql.fetchall()}
    fresh = [entry for entry in entries if (entry.shift, entry.device, entry.at) in new]
    _note_crossings(fresh)
    return len(new)


def _note_crossings(entries: list[Entry]) -> None:
    by_shift: dict[str, list[Entry]] = defaultdict(list)
    for entry in sorted(entries, key=lambda entry: entry.at):
        by_shift[entry.shift].append(entry)
    newest = AreaCrossing.objects.filter(shift=OuterRef("pk")).order_by("-number")
    shifts = (
        Shift.objects.filter(pk__in=by_shift)
        .select_related("post__unit")
        .defer("post__unit__boundary")
        .annotate(number=Subquery(newest.values("number")[:1]), crossed_at=Subquery(newest.values("at")[:1]))
    )
    found: list[AreaCrossing] = []
    for shift in shifts:
        area = _area_of(shift.post.unit)
        # What comes late, from before the last crossing, decides nothing any more.
        fixes = [
            entry
            for entry in by_shift[str(shift.pk)]
            if shift.crossed_at is None or moment(entry.at) > shift.crossed_at
        ]
        if area is None or not fixes:
            continue
        depths = area.depths([entry.lon for entry in fixes], [entry.lat for entry in fixes])
        seen = [
            fence.Seen(depth, entry.accuracy_m, trusted=not (entry.mock or entry.jump))
            for depth, entry in zip(depths, fixes, strict=True)
        ]
        number = shift.number or 0
        for index, _entered in fence.crossings(seen, inside=number % 2 == 1):
            number += 1
            entry = fixes[index]
            found.append(
                AreaCrossing(
                    shift=shift,
                    number=number,
                    at=moment(entry.at),
                    point=Point(entry.lon, entry.lat, srid=4326),
                    accuracy_m=entry.accuracy_m or 0.0,
                )
            )
    # Of two writers with fixes of one shift the first decides; the next fix shows the other where things stand.
    AreaCrossing.objects.bulk_create(found, ignore_conflicts=True)


_areas: dict[int, tuple[float, fence.Area | None]] = {}


def _area_of(unit: GridUnit) -> fence.Area | None:
    """The cells in force of this unit as one area, remembered for ten minutes; None when it has none."""
    made, area = _areas.get(unit.pk, (-AREA_SECONDS, None))
    if monotonic() - made > AREA_SECONDS:
        cells = Cell.objects.in_force().filter(**{CHAIN[unit.level - 1]: unit.pk})
        shapes = [shapely.from_wkb(bytes(cell.wkb)) for cell in cells.values_list("boundary", flat=True)]
        area = fence.Area(shapely.union_all(shapes)) if shapes else None
        _areas[unit.pk] = monotonic(), area
    return area


# --- partitions and their end --------------------------------------------------------------------------

_days: set[date] = set()


def _make_sure_of_days(days: Iterable[date]) -> None:
    missing = set(days) - _days
    if missing:
        make_partitions(missing)
        _days.update(missing)


@transaction.atomic
def make_partitions(days: Iterable[date]) -> int:
    """Make the partitions of these days (UTC) that are not there; returns how many it made."""
    there = set(partitions())
    missing = sorted(set(days) - there)
    if not missing:
        return 0
    with connection.cursor() as sql:
        sql.execute("SELECT pg_advisory_xact_lock(hashtext('realtime_trackpoint'))")
        for day in missing:
            sql.execute(
                f"CREATE TABLE IF NOT EXISTS realtime_trackpoint_{day:%Y%m%d} PARTITION OF realtime_trackpoint "
                f"FOR VALUES FROM ('{day} 00:00+00') TO ('{day + timedelta(days=1)} 00:00+00')"
            )
    return len(missing)


def make_partitions_ahead() -> int:
    """Those of yesterday, for what comes late, and of the next days; returns how many it made."""
    today = timezone.now().date()
    return make_partitions(today + timedelta(days=n) for n in range(-1, DAYS_AHEAD + 1))


def partitions() -> Iterator[date]:
    """The days (UTC) that have a partition."""
    with connection.cursor() as sql:
        sql.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'realtime_trackpoint'::regclass"
        )
        for [name] in sql.fetchall():
            if found := PARTITION.match(name):
                yield datetime.strptime(found[1], "%Y%m%d").replace(tzinfo=UTC).date()


def keep_tracks() -> tuple[int, int]:
    """Make the partitions of the days to come, drop what every district's policy lets go, and delete what only
    some districts' do; returns partitions dropped and points deleted.
    """
    now = timezone.now()
    today = now.date()
    make_partitions_ahead()
    usual = TrackPolicy().keep_days
    days = {
        code: keep or usual for code, keep in District.objects.values_list("code", "track_policy__keep_days")
    }
    longest = max(days.values(), default=usual)
    dropped = 0
    for day in sorted(partitions()):
        if day + timedelta(days=1 + longest) <= today:
            with transaction.atomic(), connection.cursor() as sql:
                # Readers and writers wait behind this; rather than hold them up, try again tomorrow.
                sql.execute("SET LOCAL lock_timeout = '3s'")
                sql.execute(f"DROP TABLE realtime_trackpoint_{day:%Y%m%d}")
            _days.discard(day)
            dropped += 1
    deleted = 0
    for code, keep in days.items():
        if keep < longest:
            with connection.cursor() as sql:
                sql.execute(
                    "DELETE FROM realtime_trackpoint t USING realtime_shift s JOIN fieldops_post p ON p.id = s.post_id "
                    "WHERE t.shift_id = s.id AND p.district_id = %s AND t.fix_at < %s",
                    [code, datetime.combine(today - timedelta(days=keep), datetime.min.time(), UTC)],
                )
                deleted += sql.rowcount
    return dropped, deleted


# --- reading, for a reason -----------------------------------------------------------------------------


def shifts_visible_to(user: User) -> QuerySet[Shift]:
    """The shifts whose tracks this person may replay: shift leaders, supervisors and leaders, in their area."""
    return Shift.objects.filter(workers_of(current_posts(user), TRACK_ROLES, "post__"))


@transaction.atomic
def replay(shift_id: UUID, *, by: User, purpose: str) -> dict[str, Any]:
    """The track of a shift, oldest fix first, with the crossings of the border; who asked and why is written down.

    Raises NotFound for a shift one may not see, ReasonMissing without a purpose.
    """
    shift = (
        shifts_visible_to(by)
        .select_related("post__unit", "user")
        .defer("post__unit__boundary")
        .filter(pk=shift_id)
        .first()
    )
    if shift is None:
        raise NotFound
    purpose = purpose.strip()
    if len(purpose) < 2:
        raise ReasonMissing
    TrackAccess.objects.create(
        shift=shift, by=by, post=_through(by, shift.post), at=timezone.now(), purpose=purpose
    )
    points = list(TrackPoint.objects.filter(shift=shift).order_by("fix_at"))
    every = -(-len(points) // MOST_REPLAYED) or 1
    return {
        "shift": {
            "id": str(shift.pk),
            "name": str(shift.user),
            "post": shift.post.name,
            "started_at": shift.started_at.isoformat(),
            "ended_at": shift.ended_at.isoformat() if shift.ended_at else None,
        },
        "points": [
            {
                "at": point.fix_at.isoformat(),
                "point": [round(point.point.x, 6), round(point.point.y, 6)],
                "accuracy_m": point.accuracy_m,
                "battery": point.battery,
                "mock": point.mock,
                "jump": point.jump,
            }
            for index, point in enumerate(points)
            if index % every == 0 or index == len(points) - 1 or point.mock or point.jump
        ],
        "fixes": len(points),
        "crossings": [
            {"at": crossing.at.isoformat(), "entered": crossing.entered, "point": list(crossing.point.coords)}
            for crossing in AreaCrossing.objects.filter(shift=shift).order_by("number")
        ],
    }


def _through(user: User, watched: Post) -> Post:
    """The post that gives this person the right to this track."""
    return next(
        post
        for post in current_posts(user)
        if post.role in TRACK_ROLES and Post.objects.filter(posts_within(post.unit), pk=watched.pk).exists()
    )
