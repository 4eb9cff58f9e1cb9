"""Clients as their users have them: a phone on the field API and its socket, an operator on the command center."""

import asyncio
import contextlib
import hashlib
import io
import json
import os
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import httpx
import uuid_utils.compat as uuid
import websockets
from PIL import Image, ImageDraw
from shapely.geometry import shape

PASSWORD = os.environ.get("DEMO_PASSWORD", "qingshan-demo-2026")


class Refused(Exception):
    """The server answered a problem."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        try:
            self.problem: dict[str, Any] = response.json()
        except ValueError:
            self.problem = {"title": response.text[:200]}
        where = f"{response.request.method} {response.request.url.path}"
        super().__init__(
            f"{where} → {self.status} {self.problem.get('code', '')} {self.problem.get('title', '')}"
        )


def _answer(response: httpx.Response) -> Any:
    if response.is_error:
        raise Refused(response)
    return response.json() if response.content else None


def photo_of(text: str) -> bytes:
    """A small JPEG that says what it stands for."""
    image = Image.new("RGB", (640, 480), tuple(90 + secrets.randbelow(90) for _ in range(3)))
    ImageDraw.Draw(image).text((20, 20), text.encode("ascii", "replace").decode(), fill="white")
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=70)
    return buffer.getvalue()


@dataclass
class Phone:
    """A field device: token, mailboxes, and what it has stored of them."""

    base_url: str
    username: str
    device: UUID = field(default_factory=uuid4)
    token: str = ""
    me: dict[str, Any] = field(default_factory=dict)
    cursors: dict[int, dict[str, Any]] = field(default_factory=dict)

    async def __aenter__(self) -> "Phone":
        self.http = httpx.AsyncClient(
            base_url=self.base_url, timeout=20, headers={"Accept-Language": "zh-hans"}
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def log_in(self) -> None:
        """Trade the password for a token."""
        body = {"username": self.username, "password": PASSWORD}
        answer = _answer(await self.http.post("/api/v1/login", json=body))
        self.token, self.me = answer["token"], answer["user"]
        self.http.headers["Authorization"] = f"Token {self.token}"

    async def get(self, path: str) -> Any:
        """Read."""
        return _answer(await self.http.get(f"/api/v1/{path}"))

    async def post(self, path: str, **body: Any) -> Any:
        """Send JSON."""
        return _answer(await self.http.post(f"/api/v1/{path}", json=body))

    async def take_photo(self, submission: str, text: str) -> Any:
        """Send a photo for a record with this key."""
        content = photo_of(text)
        form = {
            "id": str(uuid.uuid7()),
            "submission": submission,
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        files = {"file": ("photo.jpg", content, "image/jpeg")}
        return _answer(await self.http.post("/api/v1/photos", data=form, files=files))

    async def letters(self) -> AsyncIterator[dict[str, Any]]:
        """Letters as they come, acknowledged after the caller has dealt with each; reconnects by itself."""
        delay = 0.3
        while True:
            with contextlib.suppress(OSError, websockets.WebSocketException, httpx.HTTPError):
                async for letter in self._connected():
                    delay = 0.3
                    yield letter
            await asyncio.sleep(delay)
            delay = min(delay * 2, 5.0)

    async def _connected(self) -> AsyncIterator[dict[str, Any]]:
        ticket = (await self.post("ticket"))["ticket"]
        address = f"{self.base_url.replace('http', 'ws', 1)}/ws/field?ticket={ticket}&device={self.device}"
        async with websockets.connect(address, open_timeout=10, ping_interval=None) as socket:
            beat = asyncio.create_task(self._beat(socket))
            try:
                async for raw in socket:
                    frame = json.loads(raw)
                    if frame["type"] == "hello":
                        known = {str(box): at for box, at in self.cursors.items()}
                        await socket.send(json.dumps({"type": "resume", "mailboxes": known}))
                        for box in frame["mailboxes"]:
                            held = self.cursors.get(box["mailbox"], {})
                            # The acknowledgement of what is stored may have been lost with the last connection.
                            if held.get("cursor") and held["epoch"] == box["epoch"]:
                                ack = {"type": "ack", "mailbox": box["mailbox"], "seq": held["cursor"]}
                                await socket.send(json.dumps(ack))
                            self.cursors.setdefault(box["mailbox"], {"epoch": box["epoch"], "cursor": 0})
                    elif frame["type"] == "reset":
                        self.cursors[frame["mailbox"]] = {"epoch": frame["epoch"], "cursor": frame["seq"]}
                    elif frame["type"] == "letter":
                        yield frame
                        self.cursors[frame["mailbox"]]["cursor"] = frame["seq"]
                        ack = {"type": "ack", "mailbox": frame["mailbox"], "seq": frame["seq"]}
                        await socket.send(json.dumps(ack))
            finally:
                beat.cancel()

    async def patrol(self, fixes: AsyncIterator[dict[str, Any]]) -> None:
        """Send fixes through a socket as they come; each is answered before the next is asked for."""
        ticket = (await self.post("ticket"))["ticket"]
        address = f"{self.base_url.replace('http', 'ws', 1)}/ws/field?ticket={ticket}&device={self.device}"
        async with websockets.connect(address, open_timeout=10, ping_interval=None) as socket:
            async for fix in fixes:
                await socket.send(json.dumps({"type": "position", **fix}))
                while json.loads(await socket.recv())["type"] != "positions_result":
                    pass

    async def _beat(self, socket: Any) -> None:
        while True:
            await asyncio.sleep(10)
            await socket.send('{"type":"ping"}')


@dataclass
class Operator:
    """Someone at the command center: a session cookie, a CSRF token, the pages' own API."""

    base_url: str
    username: str

    async def __aenter__(self) -> "Operator":
        self.http = httpx.AsyncClient(base_url=self.base_url, timeout=20)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def log_in(self) -> None:
        """Through the log-in page."""
        await self.http.get("/login/")
        form = {
            "username": self.username,
            "password": PASSWORD,
            "csrfmiddlewaretoken": self.http.cookies["csrftoken"],
            "next": "/",
        }
        answer = await self.http.post("/login/", data=form, headers={"Referer": self.base_url})
        if answer.status_code != 302:
            raise Refused(answer)

    async def get(self, path: str) -> Any:
        """Read."""
        return _answer(await self.http.get(f"/api/command/{path}"))

    async def act(self, event: str, action: str, **fields: Any) -> Any:
        """Take a step; answers the case anew."""
        headers = {"X-CSRFToken": self.http.cookies["csrftoken"], "Referer": self.base_url}
        return _answer(
            await self.http.post(f"/api/command/events/{event}/{action}", json=fields, headers=headers)
        )


def new_id() -> str:
    """A key for a submission."""
    return str(uuid.uuid7())


def point_in(feature: dict[str, Any]) -> tuple[float, float]:
    """A place inside a GeoJSON feature, longitude and latitude."""
    point = shape(feature["geometry"]).representative_point()
    return point.x, point.y


async def until(condition: Any, *, seconds: float, what: str) -> Any:
    """Wait for a coroutine function to answer something true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = await condition()
        if found:
            return found
        await asyncio.sleep(0.1)
    raise TimeoutError(f"{what}: not within {seconds:.0f} s")
