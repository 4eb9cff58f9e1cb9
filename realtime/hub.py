"""One hub a process: hears the doorbell once, wakes its own sockets, and polls as the net below the doorbell."""

import asyncio
import contextlib
import json
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import redis.asyncio as redis
from channels.db import database_sync_to_async
from django.conf import settings
from django.utils import timezone

from fieldops import queries
from fieldops.models import Event, Post, User
from fieldops.rights import current_posts, events_visible_to, reread_posts, visible_to

from .doorbell import CHANNEL
from .models import Mailbox

log = logging.getLogger(__name__)
COALESCE_SECONDS = 0.15
SLOW_SECONDS = 3.0  # a page that takes longer to read one batch is let go
# How far back each look at changed cases reaches beyond the last one: longer than any transaction should be
# open, since a case's time of change is taken before its commit.
OVERLAP = timedelta(seconds=15)


@dataclass(eq=False)
class Viewer:
    """One open map. `held` is the newest version of each case that it was sent or could read at its beginning."""

    user: User
    send: Callable[[dict[str, Any]], Awaitable[None]]
    close: Callable[[], Coroutine[Any, Any, None]]
    district: str
    held: dict[str, int] = field(default_factory=dict)


class Hub:
    """Who is connected to this process, and what woke them. Lives in one event loop."""

    def __init__(self) -> None:
        self._bells: dict[int, set[asyncio.Event]] = defaultdict(set)
        self._viewers: set[Viewer] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._looked_until = timezone.now()
        self._last_seq: dict[int, int] = {}
        self._tasks = [
            asyncio.create_task(self._hear(), name="hub-doorbell"),
            asyncio.create_task(self._poll(), name="hub-poll"),
            asyncio.create_task(self._show(), name="hub-map"),
        ]

    async def stop(self) -> None:
        """End the hub's tasks."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- mailboxes ---

    @contextlib.contextmanager
    def listening(self, mailboxes: Iterable[int]) -> Any:
        """An event that is set whenever one of these mailboxes may have something new."""
        bell = asyncio.Event()
        ids = list(mailboxes)
        for box in ids:
            self._bells[box].add(bell)
        try:
            yield bell
        finally:
            for box in ids:
                self._bells[box].discard(bell)
                if not self._bells[box]:
                    del self._bells[box]
                    self._last_seq.pop(box, None)

    def wake(self, mailboxes: Iterable[int]) -> None:
        """These mailboxes may have something new."""
        for box in mailboxes:
            for bell in self._bells.get(box, ()):
                bell.set()

    # --- maps ---

    async def add_viewer(self, viewer: Viewer) -> None:
        """From now on the viewer gets frames of what changes, and is told of what it may no longer see."""
        viewer.held = await _versions(viewer.user)
        self._viewers.add(viewer)

    def serves(self, viewer: Viewer) -> bool:
        """Whether the viewer still gets frames; one that was let go must not look alive."""
        return viewer in self._viewers

    def remove_viewer(self, viewer: Viewer) -> None:
        """No more frames."""
        self._viewers.discard(viewer)

    def map_changed(self) -> None:
        """Look what changed on the map, soon."""
        self._changed.set()

    async def _show(self) -> None:
        """Send what changed, coalesced: the latest state of a case, not every step."""
        while True:
            await self._changed.wait()
            await asyncio.sleep(COALESCE_SECONDS)
            self._changed.clear()
            try:
                await self._show_changes()
            except Exception:
                log.exception("the map feed stumbled; the poll will come back to it")

    async def _show_changes(self) -> None:
        if not self._viewers:
            self._looked_until = timezone.now()
            return
        since, until = self._looked_until - OVERLAP, timezone.now()
        audiences: dict[tuple[Any, ...], list[Viewer]] = defaultdict(list)
        for viewer, key in await _audiences(list(self._viewers)):
            audiences[key].append(viewer)
        for viewers in audiences.values():
            frames, gone = await _frames_since(viewers[0].user, viewers[0].district, since)
            await asyncio.gather(*(self._send(viewer, frames, gone) for viewer in viewers))
        self._looked_until = until

    async def _send(self, viewer: Viewer, frames: list[dict[str, Any]], gone: list[str]) -> None:
        fresh = [frame for frame in frames if viewer.held.get(frame["id"], 0) < frame["version"]]
        lost = [event for event in gone if viewer.held.pop(event, None)]
        try:
            async with asyncio.timeout(SLOW_SECONDS):
                if fresh:
                    viewer.held |= {frame["id"]: frame["version"] for frame in fresh}
                    await viewer.send({"type": "events", "events": fresh})
                if lost:
                    await viewer.send({"type": "gone", "ids": lost})
        except Exception:
            # Better a page that reconnects and takes a new snapshot than one that silently missed something.
            # Closing waits for the same full pipe, so nobody waits for it.
            self._viewers.discard(viewer)
            closing: asyncio.Task[None] = asyncio.create_task(viewer.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    # --- the doorbell and the net below it ---

    async def _hear(self) -> None:
        """Listen to Redis; after every (re)connection wake everyone, for what was rung meanwhile."""
        delay = 0.2
        while True:
            try:
                client = redis.Redis.from_url(
                    settings.REDIS_URL, socket_timeout=None, socket_connect_timeout=3
                )
                async with client, client.pubsub() as bus:
                    await bus.subscribe(CHANNEL)
                    self.wake(list(self._bells))
                    self._changed.set()
                    delay = 0.2
                    async for message in bus.listen():
                        if message["type"] == "message":
                            self._ring(json.loads(message["data"]))
            except (redis.RedisError, OSError, ValueError) as error:
                log.warning("no doorbell for now, polling: %s", error)
            await asyncio.sleep(delay)
            delay = min(delay * 2, 5.0)

    def _ring(self, message: dict[str, Any]) -> None:
        for kind, content in message.items():
            if content and kind in _hearers:
                _hearers[kind](self, content)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(settings.REALTIME_POLL_SECONDS)
            try:
                counters = await _counters(list(self._bells))
            except Exception:
                log.exception("poll failed")
                continue
            self.wake(box for box, seq in counters.items() if seq != self._last_seq.get(box))
            self._last_seq = counters
            self._changed.set()


Hearer = Callable[[Hub, Any], None]
_hearers: dict[str, Hearer] = {}


def hears(kind: str) -> Callable[[Hearer], Hearer]:
    """Register what a hub does with the content under this key of a doorbell message; it must not block."""

    def register(hearer: Hearer) -> Hearer:
        if kind in _hearers:
            raise RuntimeError(f"two hearers of {kind}")
        _hearers[kind] = hearer
        return hearer

    return register


@hears("wake")
def _wake(hub: Hub, mailboxes: list[int]) -> None:
    hub.wake(mailboxes)


@hears("district")
def _map_changed(hub: Hub, district: str) -> None:
    hub.map_changed()


_hub: tuple[asyncio.AbstractEventLoop, Hub] | None = None


def hub() -> Hub:
    """This process's hub, started with the first socket."""
    global _hub
    loop = asyncio.get_running_loop()
    if _hub is None or _hub[0] is not loop:
        _hub = (loop, Hub())
    return _hub[1]


@database_sync_to_async
def _counters(mailboxes: list[int]) -> dict[int, int]:
    return dict(Mailbox.objects.filter(pk__in=mailboxes).values_list("pk", "last_seq"))


@database_sync_to_async
def _versions(user: User) -> dict[str, int]:
    """The version of each case that a snapshot taken now would show."""
    shown = queries.shown_on_map(events_visible_to(user))
    return {str(pk): version for pk, version in shown.values_list("pk", "version")}


@database_sync_to_async
def _audiences(viewers: list[Viewer]) -> list[tuple[Viewer, tuple[Any, ...]]]:
    """Viewers with the same rights see the same frames; rights are read anew for every batch."""
    found = []
    for viewer in viewers:
        key = (viewer.district, *sorted(_scope(post, viewer.user) for post in reread_posts(viewer.user)))
        found.append((viewer, key))
    return found


def _scope(post: Post, user: User) -> tuple[str, int, int, int]:
    personal = user.pk if post.role == "resident" else 0
    return post.role, post.unit_id, post.department_id or 0, personal


@database_sync_to_async
def _frames_since(user: User, district: str, since: datetime) -> tuple[list[dict[str, Any]], list[str]]:
    """Frames of what changed and may be seen, and the ids of what changed and may not (any longer)."""
    changed = Event.objects.filter(district=district, updated_at__gte=since)
    seen = queries.frames(changed.filter(visible_to(current_posts(user), reporter=user)))
    visible = {frame["id"] for frame in seen}
    gone = [str(pk) for pk in changed.values_list("pk", flat=True) if str(pk) not in visible]
    return seen, gone
