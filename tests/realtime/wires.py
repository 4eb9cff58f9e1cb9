"""What socket tests share: clients, frames, and a socket server of one's own."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import websockets
from websockets.asyncio.client import ClientConnection

from devstack.clients import Operator, Phone, new_id
from devstack.places import ROOT, free_port
from devstack.supervisor import Service, Supervisor, accepts
from tests.doing import Served


@contextlib.asynccontextmanager
async def phone(served: Served, username: str) -> AsyncIterator[Phone]:
    async with Phone(served.url, username) as device:
        await device.log_in()
        yield device


@contextlib.asynccontextmanager
async def operator(served: Served, username: str) -> AsyncIterator[Operator]:
    async with Operator(served.url, username) as someone:
        await someone.log_in()
        yield someone


def address(served: Served | str, path: str) -> str:
    url = served if isinstance(served, str) else served.url
    return url.replace("http", "ws", 1) + path


@contextlib.asynccontextmanager
async def field_socket(
    served: Served, device: Phone, *, at: str = "", **how: Any
) -> AsyncIterator[ClientConnection]:
    """A device's socket, at the house's address or another server's."""
    ticket = (await device.post("ticket"))["ticket"]
    path = f"/ws/field?ticket={ticket}&device={device.device}"
    async with websockets.connect(address(at or served, path), **how) as socket:
        yield socket


@contextlib.asynccontextmanager
async def map_socket(
    served: Served, someone: Operator, *, at: str = "", **how: Any
) -> AsyncIterator[ClientConnection]:
    """A live map that said hello."""
    cookie = {"Cookie": f"sessionid={someone.http.cookies['sessionid']}"}
    async with websockets.connect(
        address(at or served, "/ws/map"), origin=at or served.url, additional_headers=cookie, **how
    ) as socket:
        await frame(socket, "hello")
        yield socket


async def frame(socket: ClientConnection, *kinds: str, seconds: float = 10) -> dict[str, Any]:
    async with asyncio.timeout(seconds):
        while True:
            found = json.loads(await socket.recv())
            if found["type"] in kinds:
                return found


async def send(socket: ClientConnection, **content: Any) -> None:
    await socket.send(json.dumps(content))


async def close_code(socket: ClientConnection, *, seconds: float = 10) -> int | None:
    async with asyncio.timeout(seconds):
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                await socket.recv()
    return socket.close_code


async def report(device: Phone, served: Served, *, at: int, **changes: Any) -> dict[str, Any]:
    async with operator(served, "leader") as leader:
        cells = (await leader.get("grid/cells"))["features"]
    ring = cells[at]["geometry"]["coordinates"][0]
    body = {
        "id": new_id(),
        "class": "event/0103",
        "description": "现场情况",
        "x": ring[0][0],
        "y": ring[0][1],
        "system": "WGS84",
        **changes,
    }
    return await device.post("reports", **body)


@contextlib.asynccontextmanager
async def socket_server(served: Served, name: str, **env: str) -> AsyncIterator[str]:
    """One more process for sockets on the house's stores, with other settings; its address."""
    port = free_port()
    argv = [
        *(sys.executable, "-m", "uvicorn", "config.asgi:application", "--port", port, "--lifespan", "off"),
        *("--ws", "realtime.connection:Connection", "--ws-per-message-deflate", "false"),
        *("--ws-ping-interval", "0", "--log-level", "warning", "--timeout-graceful-shutdown", "1"),
    ]
    async with Supervisor(served.log) as supervisor:
        ready = lambda: accepts("127.0.0.1", port)  # noqa: E731
        await supervisor.start(Service(name, argv, {**served.env, **env}, cwd=ROOT, ready=ready))
        yield f"http://127.0.0.1:{port}"
