"""Positions on the sockets: what phones send, gathered before the door; what maps are shown, once a second.

One of each a process. Nothing here asks PostgreSQL for a single fix.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

import redis
from channels.db import database_sync_to_async
from django.utils import timezone

from fieldops.errors import NotPermitted, PositionsUnavailable
from fieldops.models import Post, User
from fieldops.rights import WATCH_ROLES, posts_held_now

from . import positions, presence, shifts
from .consumers import FieldSocket, MapSocket
from .hub import encoded, hub
from .models import Shift

log = logging.getLogger(__name__)
GATHER_SECONDS = 0.2
SHOW_SECONDS = 1.0
ROSTER_SECONDS = 3.0  # who is on duty, and who may know it, is asked of PostgreSQL so often
ALIVE_SECONDS = presence.ONLINE_SECONDS / 5

# A thread of their own: a Redis that does not answer holds up positions, and neither letters nor maps.
_apart = ThreadPoolExecutor(max_workers=2, thread_name_prefix="positions")


def _aside(work: Callable[..., Any]) -> Callable[..., Any]:
    return database_sync_to_async(work, thread_sensitive=False, executor=_apart)


# --- in: phones -----------------------------------------------------------------------------------------


class Gatherer:
    """Takes what phones send within a fifth of a second to the door at once: a thousand phones, five trips a second."""

    def __init__(self) -> None:
        self._waiting: list[tuple[positions.Sent, asyncio.Future[list[str]]]] = []
        self._going: asyncio.Task[None] | None = None

    async def take(self, sent: positions.Sent) -> list[str]:
        """A code for each fix. Raises PositionsUnavailable."""
        done: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        self._waiting.append((sent, done))
        if self._going is None:
            self._going = asyncio.create_task(self._go())
        return await done

    async def _go(self) -> None:
        while self._waiting:
            await asyncio.sleep(GATHER_SECONDS)
            batch, self._waiting = self._waiting, []
            try:
                answers = await _aside(positions.take)([sent for sent, _done in batch])
            except Exception as error:
                if not isinstance(error, PositionsUnavailable):
                    log.exception("positions could not be taken")
                for _sent, done in batch:
                    if not done.done():
                        done.set_exception(PositionsUnavailable())
                continue
            for (_sent, done), codes in zip(batch, answers, strict=True):
                if not done.done():  # its socket may have gone meanwhile
                    done.set_result(codes)
        self._going = None


T = TypeVar("T")
_made: dict[type[Any], tuple[asyncio.AbstractEventLoop, Any]] = {}


def _of_this_loop(kind: type[T]) -> T:
    """The one of this process (of this event loop)."""
    loop = asyncio.get_running_loop()
    if kind not in _made or _made[kind][0] is not loop:
        _made[kind] = loop, kind()
    return _made[kind][1]


# --- signs of life --------------------------------------------------------------------------------------


class SignsOfLife:
    """Tells `presence` whose devices are connected to this process. Runs while there are any."""

    def __init__(self) -> None:
        self._going: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """A device sent something."""
        if self._going is None or self._going.done():
            self._going = asyncio.create_task(self._go())

    async def _go(self) -> None:
        while heard := {one.user_id for one in hub().sockets if isinstance(one, FieldSocket)}:
            with contextlib.suppress(redis.RedisError):  # its absence is told by those who need it
                await _aside(presence.note_online)(heard)
            await asyncio.sleep(ALIVE_SECONDS)


_ping = FieldSocket.answers["ping"]


async def _ping_and_live(socket: FieldSocket, frame: dict[str, Any]) -> None:
    _of_this_loop(SignsOfLife).begin()
    await _ping(socket, frame)


FieldSocket.answers["ping"] = _ping_and_live


@FieldSocket.on("position")
async def _position(socket: FieldSocket, frame: dict[str, Any]) -> None:
    await _take(socket, [frame])


@FieldSocket.on("positions")
async def _positions(socket: FieldSocket, frame: dict[str, Any]) -> None:
    fixes = frame["positions"]
    if not isinstance(fixes, list) or not 0 < len(fixes) <= positions.MOST_IN_A_BATCH:
        raise ValueError
    await _take(socket, fixes)


async def _take(socket: FieldSocket, fixes: Sequence[Any]) -> None:
    _of_this_loop(SignsOfLife).begin()
    codes = await _of_this_loop(Gatherer).take(positions.Sent(socket.user_id, socket.device, fixes))
    await socket.send_frame({"type": "positions_result", **positions.answer(fixes, codes)})


@FieldSocket.on("shift_start")
async def _shift_start(socket: FieldSocket, frame: dict[str, Any]) -> None:
    post = frame.get("post")
    if post is not None and type(post) is not int:
        raise ValueError
    await _tell_shift(socket, await _aside(_start)(socket.user_id, UUID(frame["id"]), post))


@FieldSocket.on("shift_end")
async def _shift_end(socket: FieldSocket, frame: dict[str, Any]) -> None:
    named = UUID(frame["id"]) if frame.get("id") else None
    await _tell_shift(socket, await _aside(_end)(socket.user_id, named))


def _start(person: int, shift_id: UUID, post: int | None) -> Shift:
    return shifts.clock_in(shift_id, by=User.objects.get(pk=person), post_id=post)


def _end(person: int, shift_id: UUID | None) -> Shift:
    return shifts.clock_out(by=User.objects.get(pk=person), shift_id=shift_id)


async def _tell_shift(socket: FieldSocket, shift: Shift) -> None:
    await socket.send_frame({"type": "shift", **as_frame(shift)})


def as_frame(shift: Shift) -> dict[str, Any]:
    """A shift as its person is told."""
    return {
        "id": str(shift.pk),
        "post": shift.post_id,
        "started_at": shift.started_at.isoformat(),
        "ended_at": shift.ended_at.isoformat() if shift.ended_at else None,
        "server_time": timezone.now().isoformat(),
    }


# --- out: maps ------------------------------------------------------------------------------------------


@dataclass
class Audience:
    """Viewers with the same rights: the same people at the same places, encoded once."""

    posts: list[Post]
    viewers: set[MapSocket] = field(default_factory=set)
    joining: set[MapSocket] = field(default_factory=set)
    roster: dict[str, dict[str, Any]] = field(default_factory=dict)  # who is on duty now
    told: dict[str, dict[str, Any]] = field(default_factory=dict)  # of whom the viewers were told
    places: dict[str, list[Any]] = field(default_factory=dict)


Key = tuple[tuple[str, int], ...]


class Show:
    """Shows workers to the maps that asked for them. Runs while there are any."""

    def __init__(self) -> None:
        self._watching: set[MapSocket] = set()
        self._audiences: dict[Key, Audience] = {}
        self._going: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()

    def add(self, socket: MapSocket) -> None:
        """Everything at once, then what changes."""
        self.remove(socket)
        self._watching.add(socket)
        self._hurry.set()
        if self._going is None or self._going.done():
            self._going = asyncio.create_task(self._go())

    def remove(self, socket: MapSocket) -> None:
        """No more."""
        self._watching.discard(socket)
        for audience in self._audiences.values():
            audience.viewers.discard(socket)
            audience.joining.discard(socket)

    async def _go(self) -> None:
        clock = asyncio.get_running_loop().time
        asked = float("-inf")
        while self._watching:
            try:
                for socket in self._watching - hub().sockets:
                    self.remove(socket)
                if clock() - asked >= ROSTER_SECONDS or self._hurry.is_set():
                    self._hurry.clear()
                    await self._ask()
                    asked = clock()
                for audience in list(self._audiences.values()):
                    await self._tell(audience)
            except redis.RedisError as error:
                log.warning("nobody knows where workers are: %s", error)
            except Exception:
                log.exception("the map of workers stumbled; it goes on")
            await asyncio.sleep(SHOW_SECONDS)

    async def _ask(self) -> None:
        """Sort the viewers by their rights, read anew, and ask who is on duty for each sort."""
        people = {socket: socket.user_id for socket in self._watching}
        held, rosters = await _aside(_who_sees_whom)(set(people.values()))
        audiences: dict[Key, Audience] = {}
        for socket, person in people.items():
            if socket not in self._watching:
                continue
            key = _key(held.get(person, []))
            before = self._audiences.get(key, Audience([]))
            audience = audiences.setdefault(
                key, Audience(held.get(person, []), told=before.told, places=before.places)
            )
            audience.roster = rosters[key]
            (audience.viewers if socket in before.viewers else audience.joining).add(socket)
        self._audiences = audiences

    async def _tell(self, audience: Audience) -> None:
        places = await _aside(presence.places)(list(audience.roster.values()))
        change = _change(audience, places)
        audience.told, audience.places = audience.roster, places
        if change and audience.viewers:
            frame = encoded({"type": "workers", **change})
            for socket in audience.viewers:
                socket.push(frame)
        if audience.joining:
            whole = {"reset": True, "on_duty": list(audience.roster.values()), "places": places, "gone": []}
            frame = encoded({"type": "workers", **whole})
            for socket in audience.joining:
                socket.push(frame)
            audience.viewers |= audience.joining
            audience.joining = set()


def _change(audience: Audience, places: dict[str, list[Any]]) -> dict[str, Any] | None:
    """What the audience does not know yet."""
    facts = [row for shift, row in audience.roster.items() if audience.told.get(shift) != row]
    moved = {shift: place for shift, place in places.items() if audience.places.get(shift) != place}
    gone = [shift for shift in audience.told if shift not in audience.roster]
    if not (facts or moved or gone):
        return None
    return {"reset": False, "on_duty": facts, "places": moved, "gone": gone}


def _key(posts: list[Post]) -> Key:
    return tuple(sorted((post.role, post.unit_id) for post in posts if post.role in WATCH_ROLES))


def _who_sees_whom(people: set[int]) -> tuple[dict[int, list[Post]], dict[Key, dict[str, dict[str, Any]]]]:
    held = posts_held_now(people)
    sorts = {_key(posts): posts for posts in [*held.values(), []]}
    return held, {key: presence.roster(posts) for key, posts in sorts.items()}


@MapSocket.on("watch_workers")
async def _watch(socket: MapSocket, frame: dict[str, Any]) -> None:
    held = await _aside(posts_held_now)([socket.user_id])
    if not presence.may_watch(held.get(socket.user_id, [])):
        raise NotPermitted
    _of_this_loop(Show).add(socket)


@MapSocket.on("unwatch_workers")
async def _unwatch(socket: MapSocket, frame: dict[str, Any]) -> None:
    _of_this_loop(Show).remove(socket)
