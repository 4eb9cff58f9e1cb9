"""A phone as it has to be: what it received and what it wants to send lives in a file and survives its death."""

import asyncio
import base64
import contextlib
import hashlib
import json
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import websockets

from .clients import PASSWORD

TABLES = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS place (mailbox INTEGER PRIMARY KEY, epoch TEXT NOT NULL, cursor INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS letter (
    mailbox INTEGER, epoch TEXT, seq INTEGER, event TEXT, kind TEXT, version INTEGER, delay REAL,
    PRIMARY KEY (mailbox, epoch, seq)
);
CREATE TABLE IF NOT EXISTS shown (mailbox INTEGER, event TEXT, kind TEXT, version INTEGER);
CREATE TABLE IF NOT EXISTS outbox (
    n INTEGER PRIMARY KEY, id TEXT UNIQUE, path TEXT, body TEXT, due REAL, state TEXT DEFAULT 'waiting',
    answer TEXT DEFAULT ''
);
"""
BEAT_SECONDS, PATIENCE_SECONDS = 2.0, 5.0


class Dies(StrEnum):
    """When a phone's battery may give out."""

    BEFORE_STORING = "before storing"
    BEFORE_ACKNOWLEDGING = "after storing, before the acknowledgement"
    AT_ONCE = "at once"


class Died(Exception):
    """The process is gone; its file is still there."""


class Link:
    """A TCP connection that can be cut, or go silent without saying so, between a phone and the house."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open = asyncio.Event()
        self._open.set()
        self._refusing = False
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> "Link":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self._cut()

    async def interrupt(self, seconds: float, *, silent: bool) -> None:
        """Nothing passes for so long: connections end at once, or (`silent`) stand half-open."""
        if silent:
            self._open.clear()
        else:
            self._refusing = True
            self._cut()
        try:
            await asyncio.sleep(seconds)
        finally:
            # What hung half-open has been forgotten by one side or the other.
            self._cut()
            self._refusing = False
            self._open.set()

    def _cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        self._writers.add(writer)
        try:
            there_reader, there = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            self._writers.discard(writer)
            writer.transport.abort()
            return
        self._writers.add(there)
        await asyncio.gather(self._pass(reader, there), self._pass(there_reader, writer))
        self._writers -= {writer, there}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        with contextlib.suppress(OSError, RuntimeError):
            writer.close()


@dataclass(frozen=True)
class Wish:
    """Something a phone wants to send, under its own key, `after` so many seconds."""

    key: str
    path: str
    body: dict[str, Any]
    after: float = 0


Reaction = Callable[[dict[str, Any]], list[Wish]]


def only_read(letter: dict[str, Any]) -> list[Wish]:
    """Nothing is done about letters."""
    return []


# What a phone meets while the house, or the way to it, is away.
AWAY = (OSError, TimeoutError, httpx.HTTPError, websockets.WebSocketException, KeyError)


@dataclass(eq=False)
class DurablePhone:
    """One device of one person. `react` says what goes into the outbox together with a letter."""

    file: Path
    username: str
    url: str
    react: Reaction = only_read
    dies: Dies | None = None
    deaths: int = 0
    resets: int = 0
    connected: asyncio.Event = field(default_factory=asyncio.Event)

    # --- the file ---

    @contextlib.contextmanager
    def _opened(self) -> Any:
        self.store = sqlite3.connect(self.file, isolation_level=None)
        try:
            self.store.executescript(TABLES)
            self.device = self._fact("device", lambda: str(uuid4()))
            self.token = self._told("token")
            yield
        finally:
            self.store.close()

    def _fact(self, name: str, make: Callable[[], str]) -> str:
        self.store.execute("INSERT OR IGNORE INTO fact VALUES (?, ?)", [name, make()])
        return self._told(name)

    def _told(self, name: str) -> str:
        row = self.store.execute("SELECT value FROM fact WHERE name = ?", [name]).fetchone()
        return str(row[0]) if row else ""

    @contextlib.contextmanager
    def _transaction(self) -> Any:
        self.store.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.store.execute("ROLLBACK")
            raise
        self.store.execute("COMMIT")

    def put(self, wish: Wish) -> None:
        """Want to send this; it stays until the house has answered."""
        self.store.execute(
            "INSERT OR IGNORE INTO outbox (id, path, body, due) VALUES (?, ?, ?, ?)",
            [wish.key, wish.path, json.dumps(wish.body), time.time() + wish.after],
        )

    def keep(self, letter: dict[str, Any], epoch: str) -> None:
        """Store a letter, show it, and note what it asks for: all of it or nothing, and each letter once."""
        if self.dies == Dies.BEFORE_STORING:
            raise Died
        created = datetime.fromisoformat(letter["created_at"]).timestamp()
        with self._transaction():
            new = self.store.execute(
                "INSERT OR IGNORE INTO letter VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    *(letter["mailbox"], epoch, letter["seq"], letter["event"], letter["kind"]),
                    *(letter["event_version"], time.time() - created),
                ],
            ).rowcount
            if new:
                self.store.execute(
                    "INSERT INTO shown VALUES (?, ?, ?, ?)",
                    [letter["mailbox"], letter["event"], letter["kind"], letter["event_version"]],
                )
                for wish in self.react(letter):
                    self.put(wish)
            self.store.execute(
                "INSERT INTO place VALUES (?, ?, ?) ON CONFLICT (mailbox) DO UPDATE SET cursor = max(cursor, ?)",
                [letter["mailbox"], epoch, letter["seq"], letter["seq"]],
            )
        if self.dies == Dies.BEFORE_ACKNOWLEDGING:
            raise Died

    def _start_over(self, mailbox: int, epoch: str, seq: int) -> None:
        self.resets += 1
        self.store.execute("INSERT OR REPLACE INTO place VALUES (?, ?, ?)", [mailbox, epoch, seq])

    def places(self) -> dict[int, tuple[str, int]]:
        """How far each mailbox is stored."""
        rows = self.store.execute("SELECT mailbox, epoch, cursor FROM place").fetchall()
        return {mailbox: (epoch, cursor) for mailbox, epoch, cursor in rows}

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Read the file from outside, whether the phone is on or not."""
        with contextlib.closing(sqlite3.connect(self.file)) as store:
            return store.execute(query).fetchall()

    # --- its life ---

    async def log_in(self, url: str) -> None:
        """Trade the password for a token, on a better day: it is good for a month."""
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            who = {"username": self.username, "password": PASSWORD}
            answer = (await http.post("/api/v1/login", json=who)).raise_for_status().json()
        with self._opened():
            self._fact("token", lambda: str(answer["token"]))

    async def live(self) -> None:
        """Be on until cancelled; after a death it comes back with what is in the file."""
        while True:
            with self._opened():
                async with httpx.AsyncClient(base_url=self.url, timeout=PATIENCE_SECONDS) as self.http:
                    try:
                        async with asyncio.TaskGroup() as lives:
                            for life in (self._listen, self._upload, self._watch):
                                lives.create_task(life())
                    except* Died:
                        self.deaths += 1
            self.dies = None
            self.connected.clear()
            await asyncio.sleep(0.3)

    async def _watch(self) -> None:
        while self.dies != Dies.AT_ONCE:
            await asyncio.sleep(0.1)
        raise Died

    async def _call(self, method: str, path: str, **arguments: Any) -> Any:
        headers = {"Authorization": f"Token {self.token}"}
        answer = await self.http.request(method, f"/api/v1/{path}", headers=headers, **arguments)
        if answer.is_error:
            raise httpx.HTTPStatusError(answer.text[:200], request=answer.request, response=answer)
        return answer.json()

    async def _listen(self) -> None:
        """Letters by socket; where none can be had, over HTTP."""
        while True:
            for way in (self._by_socket, self._by_http):
                with contextlib.suppress(*AWAY):
                    await way()
                self.connected.clear()
            await asyncio.sleep(0.5)

    async def _by_socket(self) -> None:
        ticket = (await self._call("POST", "ticket"))["ticket"]
        address = f"{self.url.replace('http', 'ws', 1)}/ws/field?ticket={ticket}&device={self.device}"
        async with websockets.connect(
            address, open_timeout=PATIENCE_SECONDS, close_timeout=1, ping_interval=None
        ) as socket:
            beat = asyncio.create_task(self._beat(socket))
            try:
                while True:
                    # Not `wait_for`: before Python 3.12 it may swallow the cancellation of a phone that died.
                    async with asyncio.timeout(PATIENCE_SECONDS):
                        raw = await socket.recv()
                    await self._hear(socket, json.loads(raw))
            finally:
                beat.cancel()

    async def _beat(self, socket: Any) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            await socket.send('{"type":"ping"}')

    async def _hear(self, socket: Any, frame: dict[str, Any]) -> None:
        if frame["type"] == "hello":
            self.epochs = {box["mailbox"]: box["epoch"] for box in frame["mailboxes"]}
            places = {str(box): {"epoch": epoch, "cursor": at} for box, (epoch, at) in self.places().items()}
            await socket.send(json.dumps({"type": "resume", "mailboxes": places}))
            # The acknowledgement of what is stored may have been lost with the last connection.
            for box, (epoch, at) in self.places().items():
                if at and epoch == self.epochs.get(box):
                    await socket.send(json.dumps({"type": "ack", "mailbox": box, "seq": at}))
            self.connected.set()
        elif frame["type"] == "reset":
            self._start_over(frame["mailbox"], frame["epoch"], frame["seq"])
        elif frame["type"] == "letter":
            self.keep(frame, self.epochs[frame["mailbox"]])
            ack = {"type": "ack", "mailbox": frame["mailbox"], "seq": frame["seq"]}
            await socket.send(json.dumps(ack))

    async def _by_http(self) -> None:
        for post in (await self._call("GET", "me"))["posts"]:
            box, more = post["mailbox"], True
            while more:
                epoch, cursor = self.places().get(box, (None, 0))
                known = {"epoch": epoch} if epoch else {}
                found = await self._call("GET", "sync", params={"mailbox": box, "cursor": cursor, **known})
                if found["reset"]:
                    self._start_over(box, found["epoch"], found["last_seq"])
                for letter in found["letters"]:
                    self.keep(letter, found["epoch"])
                more = found["more"]
            at = self.places().get(box)
            if at:
                stored = {"mailbox": box, "device": self.device, "epoch": at[0], "seq": at[1]}
                await self._call("POST", "ack", json=stored)

    async def _upload(self) -> None:
        """Send what waits, in the order it is due; what the house refuses is kept with its reason."""
        while True:
            row = self.store.execute(
                "SELECT n, id, path, body FROM outbox WHERE state = 'waiting' AND due <= ? ORDER BY due, n LIMIT 1",
                [time.time()],
            ).fetchone()
            if row is None:
                await asyncio.sleep(0.1)
                continue
            n, key, path, body = row
            state, answer = "sent", ""
            try:
                await self._send(key, path, json.loads(body))
            except httpx.HTTPStatusError as refused:
                code = refused.response.status_code
                if code >= 500 or code in (408, 425, 429):
                    await asyncio.sleep(float(refused.response.headers.get("Retry-After", 0.5)))
                    continue
                state, answer = "refused", refused.response.json().get("code", str(code))
            except AWAY:
                await asyncio.sleep(0.5)
                continue
            if self.dies == Dies.AT_ONCE:
                raise Died  # the answer came, and nobody wrote it down
            self.store.execute("UPDATE outbox SET state = ?, answer = ? WHERE n = ?", [state, answer, n])

    async def _send(self, key: str, path: str, body: dict[str, Any]) -> None:
        if path != "photos":
            await self._call("POST", path, json=body)
            return
        content = base64.b64decode(body["content"])
        form = {"id": key, "submission": body["submission"], "sha256": hashlib.sha256(content).hexdigest()}
        files = {"file": ("photo.jpg", content, "image/jpeg")}
        await self._call("POST", path, data=form, files=files)
