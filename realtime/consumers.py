"""The sockets: field devices with their mailboxes, and the command center's live map."""

import asyncio
import contextlib
import functools
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar
from uuid import UUID

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.utils import timezone

from fieldops.errors import DomainError
from fieldops.models import User
from fieldops.rights import current_posts, reread_posts
from fieldops.status import Role

from . import mail
from .hub import Viewer, hub
from .models import Mailbox
from .tickets import redeem_ticket

log = logging.getLogger(__name__)
NOT_LOGGED_IN, NOT_PERMITTED, BAD_FRAME, SILENT, TOO_SLOW = 4401, 4403, 4400, 4408, 4409
MAX_FRAME = 16_384

Answer = Callable[[Any, dict[str, Any]], Awaitable[None]]


class Socket(AsyncWebsocketConsumer):
    """What both kinds share: JSON frames, a bound on their size, ping and pong, and an end to silence."""

    answers: ClassVar[dict[str, Answer]] = {}

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

    async def connect(self) -> None:
        """Let the right people in."""
        self._silence = asyncio.create_task(self._watch_silence())
        self._heard = asyncio.get_running_loop().time()
        await self.accept()
        await self.opened()

    async def opened(self) -> None:
        """After the handshake."""

    def serves(self) -> bool:
        """Whether this socket still gets what it is for; one that was let go must not look alive."""
        return True

    async def closed(self) -> None:
        """After the end."""

    async def send_frame(self, frame: dict[str, Any]) -> None:
        """Send one frame."""
        await self.send(json.dumps(frame, ensure_ascii=False, default=str))

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Read one frame; anything but a small JSON object ends the connection."""
        self._heard = asyncio.get_running_loop().time()
        try:
            if text_data is None or len(text_data) > MAX_FRAME:
                raise ValueError
            frame = json.loads(text_data)
            if not isinstance(frame, dict):
                raise ValueError
            await self.answers[frame["type"]](self, frame)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            await self.close(BAD_FRAME)
        except DomainError as error:
            await self.send_frame({"type": "problem", "code": error.code, "title": str(error.title)})

    async def disconnect(self, code: int) -> None:
        """Tidy up."""
        if hasattr(self, "_silence"):
            self._silence.cancel()
            await self.closed()

    async def _watch_silence(self) -> None:
        """A dead network does not say so: whoever stays silent too long is let go."""
        while True:
            await asyncio.sleep(settings.REALTIME_SILENCE_SECONDS / 4)
            if asyncio.get_running_loop().time() - self._heard > settings.REALTIME_SILENCE_SECONDS:
                await self.close(SILENT)
                return


class FieldSocket(Socket):
    """A device with a ticket: resumes its mailboxes, gets letters in order, acknowledges what it stored."""

    async def connect(self) -> None:
        """Redeem the ticket; the mailboxes are those of the posts held now."""
        query = self.scope["query"]
        user = await database_sync_to_async(redeem_ticket)(query.get("ticket", ""))
        try:
            self.device = UUID(query.get("device", ""))
        except ValueError:
            user = None
        if user is None:
            await self.accept()
            await self.close(NOT_LOGGED_IN)
            return
        self.user = user
        self.pump: asyncio.Task[None] | None = None
        await super().connect()

    async def opened(self) -> None:
        """Say what there is; the client answers with its cursors."""
        self.boxes = {box.pk: box for box in await _open_mailboxes(self.user)}
        await self.send_frame(
            {
                "type": "hello",
                "server_time": timezone.now().isoformat(),
                "mailboxes": [
                    {
                        "mailbox": box.pk,
                        "epoch": str(box.epoch),
                        "last_seq": box.last_seq,
                        "owner": box.post.name,
                    }
                    for box in self.boxes.values()
                ],
            }
        )

    def resume(self, cursors: dict[int, tuple[UUID | None, int]]) -> None:
        """Deliver from these cursors on; a mailbox left out starts at its beginning."""
        if self.pump:
            self.pump.cancel()
        self.pump = asyncio.create_task(
            self._deliver({box: cursors.get(box, (None, 0)) for box in self.boxes})
        )

    async def _deliver(self, cursors: dict[int, tuple[UUID | None, int]]) -> None:
        """Listen first, then read: what is written in between rings the bell that is already hung."""
        try:
            with hub().listening(cursors) as bell:
                while True:
                    bell.clear()
                    for box in list(cursors):
                        cursors[box] = await self._catch_up(box, *cursors[box])
                    await bell.wait()
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("delivery stopped; the device comes back with its cursor")
            with contextlib.suppress(Exception):
                await self.close(1011)

    async def _catch_up(self, box: int, epoch: UUID | None, cursor: int) -> tuple[UUID, int]:
        if box not in {post.pk for post in await _posts(self.user)}:
            await self.close(NOT_PERMITTED)
            raise asyncio.CancelledError
        while True:
            found = await database_sync_to_async(mail.read_letters)(box, epoch=epoch, cursor=cursor)
            epoch = found.epoch
            if found.reset:
                await self.send_frame(
                    {
                        "type": "reset",
                        "mailbox": box,
                        "epoch": epoch,
                        "seq": found.last_seq,
                        "snapshot": found.snapshot,
                    }
                )
                cursor = found.last_seq
            for letter in found.letters:
                await self.send_frame({"type": "letter", **letter})
                cursor = letter["seq"]
            if not found.more:
                return epoch, cursor

    async def closed(self) -> None:
        """Stop delivering."""
        if self.pump:
            self.pump.cancel()


class MapSocket(Socket):
    """The live map of someone logged in to the command center."""

    async def connect(self) -> None:
        """Staff only."""
        user = self.scope["user"]
        posts = await _posts(user) if user.is_authenticated else []
        staff = [post for post in posts if post.role != Role.RESIDENT]
        if not staff:
            await self.accept()
            await self.close(NOT_PERMITTED if user.is_authenticated else NOT_LOGGED_IN)
            return
        self.viewer = Viewer(
            user=user,
            send=self.send_frame,
            close=functools.partial(self.close, TOO_SLOW),
            district=staff[0].district_id,
        )
        await super().connect()

    async def opened(self) -> None:
        """Join first, then say hello: the page takes its snapshot after it, so nothing falls between."""
        await hub().add_viewer(self.viewer)
        await self.send_frame({"type": "hello", "server_time": timezone.now().isoformat()})

    def serves(self) -> bool:
        """Whether the hub still serves this page."""
        return hub().serves(self.viewer)

    async def closed(self) -> None:
        """Leave."""
        hub().remove_viewer(self.viewer)


# --- what answers which frame; other modules add theirs ---


async def _ping(socket: Socket, frame: dict[str, Any]) -> None:
    if socket.serves():
        await socket.send_frame({"type": "pong"})
    else:
        await socket.close(TOO_SLOW)


for _sort in (FieldSocket, MapSocket):
    _sort.on("ping")(_ping)


@FieldSocket.on("resume")
async def _resume(socket: FieldSocket, frame: dict[str, Any]) -> None:
    socket.resume(
        {
            int(box): (UUID(at["epoch"]) if at.get("epoch") else None, natural(at["cursor"]))
            for box, at in frame["mailboxes"].items()
        }
    )


@FieldSocket.on("ack")
async def _ack(socket: FieldSocket, frame: dict[str, Any]) -> None:
    box = socket.boxes[frame["mailbox"]]
    if box.pk not in {post.pk for post in await _posts(socket.user)}:
        await socket.close(NOT_PERMITTED)
        return
    await database_sync_to_async(mail.acknowledge)(
        box.pk, device=socket.device, epoch=box.epoch, seq=natural(frame["seq"])
    )


def natural(value: Any) -> int:
    """A whole number from 0 to 2^63 - 1; ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise ValueError
    return value


@database_sync_to_async
def _posts(user: User) -> list[Any]:
    return reread_posts(user)


@database_sync_to_async
def _open_mailboxes(user: User) -> list[Mailbox]:
    boxes = mail.open_mailboxes(current_posts(user))
    names = {post.pk: post for post in current_posts(user)}
    for box in boxes:
        box.post = names[box.pk]
    return boxes
