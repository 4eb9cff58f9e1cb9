"""The sockets: field devices with their mailboxes, and the command center's live map."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

from channels.consumer import get_handler_name
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.models import Session
from django.db import InterfaceError, OperationalError
from django.http import parse_cookie
from django.utils import timezone

from fieldops.errors import DomainError
from fieldops.models import Post, User
from fieldops.rights import posts_held_now
from fieldops.status import Phase, Role

from . import mail
from .codes import BAD_FRAME, NO_SUCH_SOCKET, NOT_LOGGED_IN, NOT_PERMITTED, TOO_SLOW, TRY_AGAIN_LATER
from .connection import Connection
from .feed import OVERLAP, REFETCH, Key, View
from .hub import OPENING, Hub, Reader, Standing, encoded, hub, same_login
from .mail import Place
from .threads import in_thread
from .tickets import CannotTell, redeem_ticket

log = logging.getLogger(__name__)
MAX_FRAME = 16_384
UNAVAILABLE = (InterfaceError, OperationalError)
PONG = encoded({"type": "pong"})

Answer = Callable[[Any, dict[str, Any]], Awaitable[None]]


class TurnedAway(Exception):
    """This socket is not for them; `code` says why."""

    def __init__(self, code: int) -> None:
        self.code = code


class Socket(AsyncWebsocketConsumer):
    """What all kinds share: JSON frames, bounds on their size and number, and an end when rights end."""

    answers: ClassVar[dict[str, Answer]] = {}
    by_token: ClassVar[bool]
    user_id: int
    credential: str  # the digest of a device's token, or the key of a session
    known_as: frozenset[str]  # how PostgreSQL names it when rights change
    connection: Connection

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.answers = dict(cls.answers)

    @classmethod
    def on(cls, kind: str) -> Callable[[Answer], Answer]:
        """Register what answers frames of this kind on this sort of socket: `async (socket, frame)`.

        ValueError, KeyError, TypeError from it close the socket with 4400; a DomainError is told as a `problem`.
        The module that registers is imported in `realtime/routing.py`.
        """

        def register(answer: Answer) -> Answer:
            if kind in cls.answers:
                raise RuntimeError(f"two answers to {kind} on {cls.__name__}")
            cls.answers[kind] = answer
            return answer

        return register

    # --- what each kind decides ---

    async def admit(self) -> None:
        """Find out who this is; raises TurnedAway."""
        raise NotImplementedError

    async def opened(self) -> None:
        """After the handshake."""

    async def judge(self, standing: Standing) -> None:
        """Rights may have changed: end, or go on."""
        raise NotImplementedError

    def left(self, hub: Hub) -> None:
        """After the end."""

    # --- how frames go ---

    def push(self, frame: bytes) -> None:
        """Send an encoded frame without waiting; who is too far behind is let go, to come back with its cursor."""
        if not self.connection.push(frame):
            self.end(TOO_SLOW)

    async def send_frame(self, frame: dict[str, Any]) -> None:
        """Send one frame to this socket alone."""
        self.push(encoded(frame))

    def end(self, code: int) -> None:
        """Close, without waiting for a reader that does not read."""
        hub().remove(self)
        self.connection.end(code)

    # --- Channels calls these ---

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Without a look at database connections in a thread for each message, as Channels does: none is used here.

        Without PostgreSQL the client is asked to come back, with its cursor.
        """
        try:
            await getattr(self, get_handler_name(message))(message)
        except UNAVAILABLE as error:
            log.warning("no PostgreSQL for a socket: %s", error)
            self.end(TRY_AGAIN_LATER)

    async def connect(self) -> None:
        """Let the right people in; the others are told why not."""
        if "connection" not in self.scope["extensions"]:
            raise RuntimeError("serve sockets with uvicorn --ws realtime.connection:Connection")
        self.connection = self.scope["extensions"]["connection"]
        try:
            await self.admit()
        except (TurnedAway, *UNAVAILABLE) as refusal:
            await self.accept()
            self.connection.end(refusal.code if isinstance(refusal, TurnedAway) else TRY_AGAIN_LATER)
            return
        self.heard_at = asyncio.get_running_loop().time()
        hub().add(self)
        await asyncio.sleep(hub().person(self.user_id).charge(OPENING))
        await self.accept()
        await self.opened()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Read one frame; anything but a small JSON object of a known kind ends the connection.

        Who sends too many is not read from for a while, so the flood stays with its sender.
        """
        if self.connection.close_sent:
            return
        self.heard_at = asyncio.get_running_loop().time()
        if wait := hub().person(self.user_id).charge(1):
            await asyncio.sleep(wait)
        try:
            if text_data is None or len(text_data) > MAX_FRAME:
                raise ValueError
            frame = json.loads(text_data)
            if not isinstance(frame, dict):
                raise ValueError
            await self.answers[frame["type"]](self, frame)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self.end(BAD_FRAME)
        except DomainError as error:
            await self.send_frame({"type": "problem", "code": error.code, "title": str(error.title)})

    async def disconnect(self, code: int) -> None:
        """Tidy up, also what came to wait after the end."""
        if hasattr(self, "user_id"):
            hub().remove(self)


class Box(NamedTuple):
    """A mailbox as a device is told of it."""

    epoch: UUID
    last_seq: int
    owner: str


class FieldSocket(Socket):
    """A device with a ticket: resumes its mailboxes, gets letters in order, acknowledges what it stored."""

    by_token = True

    async def admit(self) -> None:
        """Redeem the ticket; the mailboxes are those of the posts held now."""
        query = self.scope["query"]
        self.readers: list[Reader] = []
        try:
            self.device = UUID(query.get("device", ""))
            self.user_id, self.credential, self.boxes = await _device_of(query.get("ticket", ""))
            self.known_as = frozenset({f"person:{self.user_id}"})
        except ValueError:
            raise TurnedAway(NOT_LOGGED_IN) from None
        except CannotTell:
            raise TurnedAway(TRY_AGAIN_LATER) from None

    async def opened(self) -> None:
        """Say what there is; the client answers with its cursors."""
        self.connection.on_drained = self._drained
        await self.say_hello()

    async def say_hello(self) -> None:
        """Once, and again when the person got another post."""
        boxes = [
            {"mailbox": pk, "epoch": str(box.epoch), "last_seq": box.last_seq, "owner": box.owner}
            for pk, box in self.boxes.items()
        ]
        await self.send_frame(
            {"type": "hello", "server_time": timezone.now().isoformat(), "mailboxes": boxes}
        )

    async def judge(self, standing: Standing) -> None:
        """Without its token, its account or one of its posts a device has to come back; a new post is told."""
        posts = standing.posts.get(self.user_id, [])
        held = {post.pk for post in posts}
        if self.credential not in standing.tokens or self.user_id not in standing.people:
            self.end(NOT_LOGGED_IN)
        elif not self.boxes.keys() <= held:
            self.end(NOT_PERMITTED)
        elif held - self.boxes.keys():
            self.boxes = await _mailboxes(posts)
            await self.say_hello()

    def _drained(self) -> None:
        hub().wake(self.boxes)

    def left(self, hub: Hub) -> None:
        """Stop delivering."""
        hub.stop_reading(self)


class MapSocket(Socket):
    """The live map of someone logged in to the command center."""

    by_token = False

    async def admit(self) -> None:
        """Staff only."""
        self.audience: Key | None = None
        self.view = View()
        self.viewed_at = float("-inf")
        self.credential = _cookies(self.scope).get(settings.SESSION_COOKIE_NAME, "")
        user, posts = await _viewer_of(self.credential)
        if user is None:
            raise TurnedAway(NOT_LOGGED_IN)
        if not posts:
            raise TurnedAway(NOT_PERMITTED)
        self.user_id, self._admitted = user.pk, (user, posts)
        session = sha256(self.credential.encode()).hexdigest()
        self.known_as = frozenset({f"person:{self.user_id}", f"session:{session}"})

    async def opened(self) -> None:
        """Join first, then say hello: the page takes its snapshot after it, so nothing falls between."""
        self.viewed_at = asyncio.get_running_loop().time()
        counts = await hub().feed.join(self, *self._admitted)
        del self._admitted  # shared by the audience from now on
        await self.send_frame({"type": "hello", "server_time": timezone.now().isoformat()})
        self.push(counts)

    @property
    def posts(self) -> list[Post]:
        """The posts its viewer holds, as last told; without those there is no map."""
        return hub().feed.posts_of(self)

    @property
    def view_is_new(self) -> bool:
        """Whether the page's snapshot may be younger than what the feed has shown."""
        return asyncio.get_running_loop().time() - self.viewed_at < OVERLAP.total_seconds()

    async def judge(self, standing: Standing) -> None:
        """With other posts the page sees other cases: it fetches them anew."""
        posts, user = standing.posts.get(self.user_id, []), standing.people.get(self.user_id)
        if user is None or not same_login(user, standing.sessions.get(self.credential)):
            self.end(NOT_LOGGED_IN)
        elif all(post.role == Role.RESIDENT for post in posts):
            self.end(NOT_PERMITTED)
        else:
            before = self.audience
            counts = await hub().feed.join(self, user, posts)
            if self.audience != before:
                self.push(REFETCH)
                self.push(counts)

    def left(self, hub: Hub) -> None:
        """Leave."""
        hub.feed.leave(self)


class NoSuchSocket(AsyncWebsocketConsumer):
    """Any other address."""

    async def connect(self) -> None:
        """Say so, and close."""
        await self.accept()
        await self.close(NO_SUCH_SOCKET)


# --- what answers which frame; other modules add theirs ---


async def _ping(socket: Socket, frame: dict[str, Any]) -> None:
    socket.push(PONG)


for _sort in (FieldSocket, MapSocket):
    _sort.on("ping")(_ping)


@FieldSocket.on("resume")
async def _resume(socket: FieldSocket, frame: dict[str, Any]) -> None:
    cursors = {
        int(box): (UUID(at["epoch"]) if at.get("epoch") else None, natural(at["cursor"]))
        for box, at in frame["mailboxes"].items()
    }
    hub().read(socket, [Place(box, *cursors.get(box, (None, 0))) for box in socket.boxes])


@FieldSocket.on("ack")
async def _ack(socket: FieldSocket, frame: dict[str, Any]) -> None:
    mailbox = natural(frame["mailbox"])
    if not await _acknowledge(socket, mailbox, socket.boxes[mailbox].epoch, natural(frame["seq"])):
        socket.end(NOT_PERMITTED)


@MapSocket.on("subscribe")
async def _subscribe(socket: MapSocket, frame: dict[str, Any]) -> None:
    """From now on frames of this view; `subscribed` comes before the first of them."""
    area, phases = frame.get("area"), frame.get("phases")
    if area is not None:
        west, south, east, north = (_number(edge) for edge in area)
        if not (-180 <= west <= east <= 180 and -90 <= south <= north <= 90):
            raise ValueError
        area = (west, south, east, north)
    socket.view = View(area, None if phases is None else frozenset(Phase(phase).value for phase in phases))
    socket.viewed_at = asyncio.get_running_loop().time()
    await socket.send_frame({"type": "subscribed", "id": natural(frame.get("id", 0))})


def natural(value: Any) -> int:
    """A whole number from 0 to 2^63 - 1; ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise ValueError
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError
    return float(value)


@in_thread
def _device_of(ticket: str) -> tuple[int, str, dict[int, Box]]:
    """Person, token and mailboxes of a ticket. Raises ValueError, and CannotTell without Redis."""
    token = redeem_ticket(ticket)
    if token is None:
        raise ValueError
    posts = posts_held_now([token.user_id]).get(token.user_id, [])
    return token.user_id, token.digest, _open(posts)


def _open(posts: list[Post]) -> dict[int, Box]:
    names = {post.pk: post.name for post in posts}
    return {box.pk: Box(box.epoch, box.last_seq, names[box.pk]) for box in mail.open_mailboxes(posts)}


_mailboxes = in_thread(_open)


@in_thread
def _acknowledge(socket: FieldSocket, mailbox: int, epoch: UUID, seq: int) -> bool:
    """False when the post is not theirs any more, which nobody may have told us yet."""
    if mailbox not in {post.pk for post in posts_held_now([socket.user_id]).get(socket.user_id, [])}:
        return False
    mail.acknowledge(mailbox, device=socket.device, epoch=epoch, seq=seq)
    return True


def _cookies(scope: dict[str, Any]) -> dict[str, str]:
    sent = b"; ".join(value for name, value in scope["headers"] if name == b"cookie")
    return parse_cookie(sent.decode("latin-1"))


@in_thread
def _viewer_of(session_key: str) -> tuple[User | None, list[Post]]:
    """Who is logged in with this session, and with which posts they may look at the map."""
    session = Session.objects.filter(session_key=session_key, expire_date__gt=timezone.now()).first()
    held = session.get_decoded() if session else {}
    user = User.objects.filter(pk=str(held.get(SESSION_KEY, 0)), is_active=True).first()
    if user is None or not same_login(user, held.get(HASH_SESSION_KEY)):
        return None, []
    posts = posts_held_now([user.pk]).get(user.pk, [])
    return user, posts if any(post.role != Role.RESIDENT for post in posts) else []
