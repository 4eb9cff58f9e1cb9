"""One hub a process: hears the doorbell once, reads once, encodes once, writes to its own sockets directly.

PostgreSQL is also asked every few seconds, as the net below the doorbell, and tells by itself when rights end.
"""

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import redis.asyncio as redis
from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY
from django.contrib.sessions.models import Session
from django.db import connection
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from knox.models import AuthToken

from fieldops.models import Post, User
from fieldops.rights import posts_held_now

from . import mail
from .codes import NOT_PERMITTED, SILENT, TOO_MANY, TOO_SLOW
from .connection import framed
from .doorbell import CHANNEL, Enclosed
from .feed import Feed
from .mail import Delivery, Place
from .models import Mailbox
from .threads import in_thread

if TYPE_CHECKING:
    from .consumers import FieldSocket, Socket

log = logging.getLogger(__name__)
PLACES_A_READ = 200
PEOPLE_A_CHECK = 500
BURST_SECONDS = 5.0  # frames a person may save up
OPENING = 5.0  # a new socket counts as so many frames
BUS_SILENCE_SECONDS = 10.0
READ_SECONDS = 15.0


def encoded(frame: dict[str, Any]) -> bytes:
    """A frame as it goes over any number of wires."""
    return framed(mail.as_text(frame))


@dataclass(eq=False)
class Person:
    """Whose sockets these are, and how many frames may come from them."""

    sockets: list["Socket"] = field(default_factory=list)
    allowance: float = 0.0
    counted_at: float = float("-inf")

    def charge(self, cost: float) -> float:
        """Count frames; how many seconds to wait before the next is read."""
        now, rate = asyncio.get_running_loop().time(), settings.REALTIME_FRAMES_PER_SECOND
        saved = self.allowance + (now - self.counted_at) * rate
        self.allowance = min(rate * BURST_SECONDS, saved) - cost
        self.counted_at = now
        return max(0.0, -self.allowance / rate)


@dataclass(eq=False)
class Reader:
    """How far one socket has come in one mailbox."""

    socket: "FieldSocket"
    place: Place
    starts_over: bool = False

    @property
    def is_ready(self) -> bool:
        """Whether the next letter may be written to it now; otherwise it is woken when it may."""
        return not self.starts_over and self.socket.connection.stalled_at is None


@dataclass(frozen=True)
class Standing:
    """What a socket's right to be open hangs on, as of now."""

    posts: dict[int, list[Post]]
    people: dict[int, User]
    tokens: frozenset[str]
    sessions: dict[str, str]


class Hub:
    """Who is connected to this process, and what woke them. Lives in one event loop."""

    def __init__(self) -> None:
        self.sockets: set[Socket] = set()
        self.feed = Feed()
        self._people: dict[int, Person] = {}
        self._readers: dict[int, set[Reader]] = defaultdict(set)
        self._woken: set[int] = set()
        self._bell = asyncio.Event()
        self._starting: set[asyncio.Task[None]] = set()
        work: list[Callable[[], Awaitable[None]]] = [
            *(partial(self._hear, url) for url in settings.REALTIME_REDIS_URLS),
            self._deliver,
            self._hear_revocations,
            self._poll,
            self._sweep,
            self.feed.run,
        ]
        self._tasks = [asyncio.create_task(_without_end(one)) for one in work]

    async def stop(self) -> None:
        """End the hub's tasks."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- who is connected ---

    def person(self, user_id: int) -> Person:
        """The account of one person's frames and sockets in this process."""
        return self._people.setdefault(user_id, Person())

    def add(self, socket: "Socket") -> None:
        """Keep the socket in sight. A person's oldest gives way to a newer one: after a change of network the old
        ones are the dead ones."""
        person = self.person(socket.user_id)
        person.sockets.append(socket)
        self.sockets.add(socket)
        if len(person.sockets) > settings.REALTIME_SOCKETS_PER_PERSON:
            person.sockets[0].end(TOO_MANY)

    def remove(self, socket: "Socket") -> None:
        """Forget the socket and all it waited for."""
        if socket in self.sockets:
            self.sockets.discard(socket)
            self.person(socket.user_id).sockets.remove(socket)
        socket.left(self)

    # --- letters ---

    def read(self, socket: "FieldSocket", places: Iterable[Place]) -> None:
        """From now on the socket gets the letters after these places, instead of what it got before."""
        self.stop_reading(socket)
        socket.readers = [Reader(socket, place) for place in places]
        for reader in socket.readers:
            self._readers[reader.place.mailbox].add(reader)
        self.wake(reader.place.mailbox for reader in socket.readers)

    def stop_reading(self, socket: "FieldSocket") -> None:
        """No more letters for this socket."""
        for reader in socket.readers:
            waiting = self._readers[reader.place.mailbox]
            waiting.discard(reader)
            if not waiting:
                del self._readers[reader.place.mailbox]
        socket.readers = []

    def wake(self, mailboxes: Iterable[int]) -> None:
        """These mailboxes may have something new for someone here."""
        self._woken.update(box for box in mailboxes if box in self._readers)
        if self._woken:
            self._bell.set()

    def hand_on(self, letter: Enclosed) -> None:
        """Write a letter that came with its bell to those who wait right before it; the others have it read."""
        waiting = self._readers.get(letter.mailbox)
        if not waiting:
            return
        epoch = UUID(letter.epoch)
        before, after = (
            Place(letter.mailbox, epoch, letter.seq - 1),
            Place(letter.mailbox, epoch, letter.seq),
        )
        holders, frame = frozenset(letter.holders), framed(letter.frame)
        for reader in list(waiting):
            if reader.place == before and reader.socket.user_id in holders and reader.is_ready:
                reader.socket.push(frame)
                reader.place = after
            elif reader.place.epoch != epoch or reader.place.cursor < letter.seq:
                self.wake([letter.mailbox])

    async def _deliver(self) -> None:
        """Read what is new once for all who stand at the same place; on a connection of its own, without threads."""
        async with await _dial() as line:
            self.wake(list(self._readers))
            while True:
                await self._bell.wait()
                self._bell.clear()
                woken, self._woken = self._woken, set()
                places: dict[Place, list[Reader]] = defaultdict(list)
                for box in woken:
                    for reader in self._readers.get(box, ()):
                        if reader.is_ready:
                            places[reader.place].append(reader)
                wanted = list(places)
                for begin in range(0, len(wanted), PLACES_A_READ):
                    some = wanted[begin : begin + PLACES_A_READ]
                    async with asyncio.timeout(READ_SECONDS):
                        found = await line.execute(mail.READ, mail.arguments(some))
                        rows = await found.fetchall()
                    for place, delivery in mail.deliveries(some, rows).items():
                        self._hand_out(place, delivery, places[place])

    def _hand_out(self, place: Place, delivery: Delivery, readers: list[Reader]) -> None:
        if delivery.reset and delivery.snapshot is None:
            for reader in readers:
                reader.starts_over = True
            task = asyncio.create_task(self._start_over(place, delivery, readers))
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)
            return
        if delivery.reset:
            reset = {
                "type": "reset",
                "mailbox": place.mailbox,
                "epoch": delivery.epoch,
                "seq": delivery.last_seq,
                "snapshot": delivery.snapshot,
            }
            frames = [(delivery.last_seq, encoded(reset))]
        else:
            frames = [(one["seq"], encoded({"type": "letter", **one})) for one in delivery.letters]
        for reader in readers:
            if reader not in self._readers.get(place.mailbox, ()):
                continue
            if reader.place != place:
                # A letter with its bell overtook this reading, which may have seen more than that one.
                self.wake([place.mailbox])
                continue
            if reader.socket.user_id not in delivery.holders:
                reader.socket.end(NOT_PERMITTED)
                continue
            cursor = place.cursor
            for seq, frame in frames:
                # What a slow reader has not taken waits in PostgreSQL, not here; it is woken when it caught up.
                if reader.socket.connection.stalled_at is not None:
                    break
                reader.socket.push(frame)
                cursor = seq
            reader.place = Place(place.mailbox, delivery.epoch, cursor)
        if delivery.more:
            self.wake([place.mailbox])

    async def _start_over(self, place: Place, delivery: Delivery, readers: list[Reader]) -> None:
        """Beside the letters of the others, for a snapshot takes its time."""
        try:
            self._hand_out(place, await in_thread(mail.start_over)(delivery), readers)
        finally:
            for reader in readers:
                reader.starts_over = False
            self.wake([place.mailbox])

    # --- the doorbell, and the net below it ---

    async def _hear(self, url: str) -> None:
        """Listen on one node; after every (re)connection look at everything, for what was rung meanwhile.

        redis-py's own socket timeout would end an idle subscription, and none at all would never notice a dead one:
        so we ping.
        """
        client = redis.Redis.from_url(url, socket_timeout=None, socket_connect_timeout=3)
        async with client, client.pubsub() as bus:
            await bus.subscribe(CHANNEL)
            self.wake(list(self._readers))
            self.feed.scan()
            pinged = False
            while True:
                message = await bus.get_message(timeout=BUS_SILENCE_SECONDS)
                if message is not None:
                    pinged = False
                    if message["type"] == "message":
                        self._ring(message["data"])
                elif pinged:
                    raise TimeoutError("no answer to a ping")
                else:
                    await bus.ping()
                    pinged = True

    def _ring(self, data: bytes) -> None:
        try:
            for kind, content in json.loads(data).items():
                if content and kind in _hearers:
                    _hearers[kind](self, content)
        except Exception:
            log.exception("a bell that nobody understands")

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(settings.REALTIME_POLL_SECONDS)
            self.feed.scan()
            for box, last_seq in (await _counters(list(self._readers))).items():
                if any(reader.place.cursor != last_seq for reader in self._readers.get(box, ())):
                    self.wake([box])
            await self.recheck(list(self._people))

    async def _sweep(self) -> None:
        """Let go who stays silent, for a dead network does not say so, and who does not read."""
        while True:
            await asyncio.sleep(1)
            now = asyncio.get_running_loop().time()
            for socket in list(self.sockets):
                stalled_at = socket.connection.stalled_at
                if stalled_at is not None and now - stalled_at > settings.REALTIME_SLOW_SECONDS:
                    socket.end(TOO_SLOW)
                elif now - socket.heard_at > settings.REALTIME_SILENCE_SECONDS:
                    socket.end(SILENT)
            for user_id, person in list(self._people.items()):
                if not person.sockets and now - person.counted_at > 2 * BURST_SECONDS:
                    del self._people[user_id]

    # --- rights that end ---

    async def _hear_revocations(self) -> None:
        """PostgreSQL itself says whose log-in, account or posts changed, whoever changed them and with what."""
        async with await _dial() as line:
            await line.execute("LISTEN rights_changed")
            await self.recheck(list(self._people))
            while True:
                told = {notice.payload async for notice in line.notifies(stop_after=1)}
                await self.recheck(list({one.user_id for one in self.sockets if told & one.known_as}))

    async def recheck(self, people: list[int]) -> None:
        """End the sockets of these people that may no longer be open; tell the others what changed."""
        for begin in range(0, len(people), PEOPLE_A_CHECK):
            some = people[begin : begin + PEOPLE_A_CHECK]
            sockets = [one for user in some if user in self._people for one in self._people[user].sockets]
            if sockets:
                standing = await _standing(
                    some,
                    [one.credential for one in sockets if one.by_token],
                    [one.credential for one in sockets if not one.by_token],
                )
                for socket in sockets:
                    if socket in self.sockets:
                        await socket.judge(standing)


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


@hears("letters")
def _letters(hub: Hub, letters: list[list[Any]]) -> None:
    for one in letters:
        hub.hand_on(Enclosed(*one))


@hears("wake")
def _wake(hub: Hub, mailboxes: list[int]) -> None:
    hub.wake(mailboxes)


@hears("cases")
def _cases_changed(hub: Hub, cases: list[str]) -> None:
    hub.feed.look_at(cases)


@hears("notice")
def _notice(hub: Hub, notice: dict[str, Any]) -> None:
    """Words to everyone at a live map, such as that the system is about to restart."""
    hub.feed.show(encoded({"type": "notice", **notice}))


_hub: tuple[asyncio.AbstractEventLoop, Hub] | None = None


def hub() -> Hub:
    """This process's hub, started with the first socket."""
    global _hub
    loop = asyncio.get_running_loop()
    if _hub is None or _hub[0] is not loop:
        _hub = (loop, Hub())
    return _hub[1]


async def _without_end(work: Callable[[], Awaitable[None]]) -> None:
    """What a hub does, it does again after a second when it failed; the net catches what was missed."""
    while True:
        try:
            await work()
        except (redis.RedisError, psycopg.Error, OSError) as error:
            log.warning("the hub lost a store for now: %s", error)
        except Exception:
            log.exception("the hub stumbled")
        await asyncio.sleep(1)


async def _dial() -> psycopg.AsyncConnection[Any]:
    """A connection to Django's database that lives in the event loop."""
    known = connection.get_connection_params()
    for django_only in ("context", "cursor_factory", "prepare_threshold"):
        known.pop(django_only, None)
    return await psycopg.AsyncConnection.connect(
        **known, autocommit=True, keepalives_idle=10, keepalives_interval=5, keepalives_count=3
    )


@in_thread
def _counters(mailboxes: list[int]) -> dict[int, int]:
    return dict(Mailbox.objects.filter(pk__in=mailboxes).values_list("pk", "last_seq"))


@in_thread
def _standing(people: list[int], digests: list[str], session_keys: list[str]) -> Standing:
    now = timezone.now()
    sessions = Session.objects.filter(session_key__in=session_keys, expire_date__gt=now)
    return Standing(
        posts=posts_held_now(people),
        people=User.objects.filter(is_active=True).in_bulk(people),
        tokens=frozenset(
            AuthToken.objects.filter(digest__in=digests, expiry__gt=now).values_list("digest", flat=True)
        ),
        sessions={one.session_key: one.get_decoded().get(HASH_SESSION_KEY, "") for one in sessions},
    )


def same_login(user: User, opened_with: str | None) -> bool:
    """Whether a session was opened with the person's present password."""
    return opened_with is not None and constant_time_compare(opened_with, user.get_session_auth_hash())
