"""The door for positions: from phones into Redis, without a statement to PostgreSQL.

Redis holds the last fix of each shift, for a while, and a stream of all fixes on their way to the tracks
(`tracks`). A fix is answered as stored once the stream has it. Only fixes made within a shift are kept.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any
from uuid import UUID

import numpy as np
import redis
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from fieldops.errors import PositionsUnavailable
from gridmap.coordinates import ImplausiblePosition, UnknownCoordinateSystem, area_of_use, to_wgs84

from .shifts import Duty, as_ms, duty_key, fix_key, read_duties
from .stores import store

STREAM = "grid:tracks"
# What may wait for PostgreSQL: about 150 bytes a fix, so some 50 MB; then phones keep theirs.
MOST_WAITING = 300_000
LAST_FIX_SECONDS = 900
AHEAD_MS = 120_000  # how far a device's clock may be ahead
MOST_IN_A_BATCH = 200
MOST_A_MINUTE = 1_200  # fixes of one person, all devices together: twenty times real time, for catching up
EARTH_RADIUS_M = 6_371_008.8  # mean radius, IUGG

STORED = "stored"
# Why a fix is not kept; `again`: the phone keeps it and sends it later.
REFUSALS: dict[str, str | Promise] = {
    "invalid": _("The fix cannot be read"),
    "unknown_coordinate_system": _("The coordinate system is not known"),
    "implausible_position": _("This is no place where the coordinate system is used"),
    "fix_in_the_future": _("The clock of the device is ahead"),
    "off_duty": _("Not kept: positions are kept only while you are on shift"),
    "throttled": _("Too many positions; send the rest later"),
    "positions_paused": _("The server is catching up; keep the fix and send it later"),
}
AGAIN = frozenset({"throttled", "positions_paused"})

# Several processes may hold a fix of the same shift: the newest stays.
_KEEP_NEWEST = """
local held = redis.call('GET', KEYS[1])
if held and cjson.decode(held)[1] >= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""


@dataclass(slots=True)
class Fix:
    """A fix as it came and, once converted, in WGS-84 degrees; times in milliseconds since 1970."""

    at: int
    x: float
    y: float
    system: str
    accuracy_m: float | None
    battery: int | None
    mock: bool
    lon: float = math.nan
    lat: float = math.nan
    jump: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """What one device of one person sent at once."""

    user_id: int
    device: UUID
    fixes: Sequence[Any]


@dataclass(frozen=True, slots=True)
class LastFix:
    """The newest fix of a shift, in WGS-84 degrees."""

    at: int
    received: int
    lon: float
    lat: float
    accuracy_m: float | None
    battery: int | None
    mock: bool
    jump: bool


def read_fix(given: Any) -> Fix:
    """Read what a device sent as a fix. Raises ValueError whose text is the code of the refusal."""
    try:
        at = parse_datetime(given["at"])
        x, y, system = given["x"], given["y"], given["system"]
        accuracy, battery, mock = given.get("accuracy_m"), given.get("battery"), given.get("mock", False)
    except (KeyError, TypeError, AttributeError, ValueError):
        raise ValueError("invalid") from None
    if at is None:
        raise ValueError("invalid")
    good = (
        at.tzinfo is not None
        and _number(x, -1e9, 1e9)
        and _number(y, -1e9, 1e9)
        and isinstance(mock, bool)
        and (accuracy is None or _number(accuracy, 0, 100_000))
        and (battery is None or (type(battery) is int and 0 <= battery <= 100))
    )
    if not good:
        raise ValueError("invalid")
    try:
        area_of_use(str(system))
        moment = as_ms(at)
    except UnknownCoordinateSystem:
        raise ValueError("unknown_coordinate_system") from None
    except (OverflowError, ValueError):
        raise ValueError("invalid") from None
    return Fix(
        moment,
        float(x),
        float(y),
        system,
        None if accuracy is None else float(accuracy),
        battery,
        mock,
    )


def _number(value: Any, least: float, most: float) -> bool:
    return type(value) in (int, float) and least <= value <= most


def take(batch: Sequence[Sent]) -> list[list[str]]:
    """Take what devices sent: for each of them a list with a code for each fix, `stored` or one of REFUSALS.

    Three round trips to Redis however many devices; PostgreSQL is asked only for people whose duty Redis does not
    know, for all of them at once. Raises PositionsUnavailable when Redis cannot be reached: nothing is known of the
    fixes then, and the phone sends them again.
    """
    try:
        return _take(batch)
    except redis.RedisError as error:
        raise PositionsUnavailable from error


def _take(batch: Sequence[Sent]) -> list[list[str]]:
    now = as_ms(timezone.now())
    read = [[_read_or_refuse(given, now) for given in sent.fixes] for sent in batch]
    _convert(read)
    duties, counts, waiting = _ask(batch, now)
    shifts = [
        [duties[sent.user_id].shift_at(fix.at) if isinstance(fix, Fix) else None for fix in fixes]
        for sent, fixes in zip(batch, read, strict=True)
    ]
    last = last_fixes({shift for row in shifts for shift in row if shift})
    pipe = store().pipeline(transaction=False)
    codes = []
    kept: dict[str, list[Fix]] = {}
    for sent, fixes, belongs, count in zip(batch, read, shifts, counts, strict=True):
        row = []
        # Newest first, as a phone sends what it kept: what exceeds the measure is the oldest.
        allowance = max(0, MOST_A_MINUTE - (count - len(fixes)))
        for fix, shift in zip(fixes, belongs, strict=True):
            if isinstance(fix, str):
                row.append(fix)
            elif shift is None:
                row.append("off_duty")
            elif waiting >= MOST_WAITING:
                row.append("positions_paused")
            elif allowance <= 0:
                row.append("throttled")
            else:
                allowance -= 1
                waiting += 1
                kept.setdefault(shift, []).append(fix)
                row.append(STORED)
        codes.append(row)
        for shift in dict.fromkeys(filter(None, belongs)):
            fresh = sorted(kept.pop(shift, []), key=lambda fix: fix.at)
            _doubt_jumps(fresh, last.get(shift), duties[sent.user_id].impossible_speed_kmh)
            for fix in fresh:
                pipe.xadd(STREAM, {"f": _entry(shift, sent.device, fix, now)})
            if fresh:
                _remember(pipe, shift, fresh[-1], now)
    pipe.execute()
    return codes


def _read_or_refuse(given: Any, now: int) -> Fix | str:
    try:
        fix = read_fix(given)
    except ValueError as error:
        return str(error)
    return "fix_in_the_future" if fix.at > now + AHEAD_MS else fix


def _convert(read: list[list[Fix | str]]) -> None:
    """To WGS-84, all of one system at once; what is no place of its system becomes the code of its refusal."""
    systems: dict[str, list[tuple[list[Fix | str], int, Fix]]] = {}
    for fixes in read:
        for index, fix in enumerate(fixes):
            if isinstance(fix, Fix):
                systems.setdefault(fix.system, []).append((fixes, index, fix))
    for system, found in systems.items():
        try:
            _convert_all([fix for _fixes, _index, fix in found], system)
        except ImplausiblePosition:
            for fixes, index, fix in found:
                try:
                    _convert_all([fix], system)
                except ImplausiblePosition:
                    fixes[index] = "implausible_position"


def _convert_all(fixes: list[Fix], system: str) -> None:
    lon, lat = to_wgs84(np.array([fix.x for fix in fixes]), np.array([fix.y for fix in fixes]), system)
    for fix, x, y in zip(fixes, np.atleast_1d(lon), np.atleast_1d(lat), strict=True):
        fix.lon, fix.lat = float(x), float(y)


def _ask(batch: Sequence[Sent], now: int) -> tuple[dict[int, Duty], list[int], int]:
    """Duties, how many fixes each has sent this minute, and how many wait for the tracks."""
    pipe = store().pipeline(transaction=False)
    pipe.xlen(STREAM)
    for sent in batch:
        minute = f"grid:rate:{sent.user_id}:{now // 60_000}"
        pipe.get(duty_key(sent.user_id))
        pipe.incrby(minute, len(sent.fixes))
        pipe.expire(minute, 120)
    waiting, *answers = pipe.execute()
    duties: dict[int, Duty] = {}
    for sent, text in zip(batch, answers[::3], strict=True):
        if text:
            duties[sent.user_id] = Duty.load(text)
    missing = {sent.user_id for sent in batch} - duties.keys()
    if missing:
        duties |= read_duties(missing)
    return duties, answers[1::3], waiting


def _doubt_jumps(fixes: list[Fix], last: LastFix | None, impossible_kmh: int) -> None:
    """Flag fixes (in order of time) that nobody can have reached from the one before; the last one counts too."""
    known: list[Fix | LastFix] = [*fixes, last] if last else [*fixes]
    known.sort(key=lambda fix: fix.at)
    for before, after in pairwise(known):
        if _kmh(before, after) > impossible_kmh:
            for fix in (before, after):
                if isinstance(fix, Fix) and (fix is after or isinstance(after, LastFix)):
                    fix.jump = True


def _kmh(a: Fix | LastFix, b: Fix | LastFix) -> float:
    """The least speed between two fixes, given their accuracies; within a second counts as a second."""
    way = distance_m((a.lon, a.lat), (b.lon, b.lat)) - (a.accuracy_m or 0) - (b.accuracy_m or 0)
    return max(0.0, way) / max(1.0, abs(b.at - a.at) / 1000) * 3.6


def distance_m(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Metres between two places (WGS-84 degrees, longitude first) on a sphere."""
    lon1, lat1, lon2, lat2 = map(math.radians, (*a, *b))
    h = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * EARTH_RADIUS_M * math.asin(math.sqrt(min(1.0, h)))


def _entry(shift: str, device: UUID, fix: Fix, now: int) -> str:
    return json.dumps(
        [
            *(shift, str(device), fix.at, now, fix.lon, fix.lat, fix.x, fix.y, fix.system),
            *(fix.accuracy_m, fix.battery, fix.mock, fix.jump),
        ]
    )


def _remember(pipe: Any, shift: str, fix: Fix, now: int) -> None:
    text = json.dumps([fix.at, now, fix.lon, fix.lat, fix.accuracy_m, fix.battery, fix.mock, fix.jump])
    pipe.eval(_KEEP_NEWEST, 1, fix_key(shift), fix.at, text, LAST_FIX_SECONDS)


def last_fixes(shifts: set[str]) -> dict[str, LastFix]:
    """The newest fix of each of these shifts, as far as Redis still has one. Raises redis.RedisError."""
    order = list(shifts)
    if not order:
        return {}
    texts = store().mget([fix_key(shift) for shift in order])
    return {shift: LastFix(*json.loads(text)) for shift, text in zip(order, texts, strict=True) if text}


def answer(sent: Sequence[Any], codes: list[str]) -> dict[str, Any]:
    """What the device is told, fix by fix and in the order it sent them."""
    return {
        "server_time": timezone.now().isoformat(),
        "results": [
            {"at": _echo(given), "status": STORED}
            if code == STORED
            else {
                "at": _echo(given),
                "status": "refused",
                "code": code,
                "title": str(REFUSALS[code]),
                "again": code in AGAIN,
            }
            for given, code in zip(sent, codes, strict=True)
        ],
    }


def _echo(given: Any) -> str | None:
    at = given.get("at") if isinstance(given, dict) else None
    return at[:40] if isinstance(at, str) else None


def moment(ms: int) -> datetime:
    """The moment so many milliseconds after 1970, in UTC."""
    return datetime.fromtimestamp(ms / 1000, tz=timezone.get_default_timezone())
