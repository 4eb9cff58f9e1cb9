"""Positions through the running house: from a phone's socket to the map of those who may see it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
import pytest
import websockets
from websockets.asyncio.client import ClientConnection

from devstack.clients import Operator, new_id
from tests.doing import Served, database
from tests.realtime.wires import address, close_code, field_socket, frame, phone, send

pytestmark = pytest.mark.usefixtures("served")


@contextlib.asynccontextmanager
async def map_socket(served: Served, username: str) -> AsyncIterator[ClientConnection]:
    async with Operator(served.url, username) as operator:
        await operator.log_in()
        cookie = {"Cookie": f"sessionid={operator.http.cookies['sessionid']}"}
        async with websockets.connect(
            address(served, "/ws/map"), origin=served.url, additional_headers=cookie
        ) as socket:
            await frame(socket, "hello")
            await send(socket, type="watch_workers")
            yield socket


def fix(ago: float = 0, **changes: Any) -> dict[str, Any]:
    at = (datetime.now(UTC) - timedelta(seconds=ago)).isoformat()
    return {"at": at, "x": 109.9, "y": 40.65, "system": "WGS84", "accuracy_m": 6, **changes}


pages: WeakKeyDictionary[ClientConnection, dict[str, Any]] = WeakKeyDictionary()


async def workers(socket: ClientConnection, wanted: Any, seconds: float = 8) -> dict[str, Any]:
    """What the page holds, once it is as wanted: rows by shift, with their places."""
    rows = pages.setdefault(socket, {})
    async with asyncio.timeout(seconds):
        while True:
            told = await frame(socket, "workers", seconds=seconds)
            if told["reset"]:
                rows.clear()
            for row in told["on_duty"]:
                rows.setdefault(row["id"], {}).update(row)
            for shift, place in told["places"].items():
                rows[shift]["place"] = place
            for shift in told["gone"]:
                rows.pop(shift, None)
            if wanted(rows):
                return rows


async def test_from_the_socket_of_a_phone_to_map_track_and_replay(served: Served) -> None:
    async with contextlib.AsyncExitStack() as stack:
        worker = await stack.enter_async_context(phone(served, "worker010"))
        socket = await stack.enter_async_context(field_socket(served, worker))
        await frame(socket, "hello")
        await send(socket, type="position", **fix())
        [refused] = (await frame(socket, "positions_result"))["results"]
        assert (refused["status"], refused["code"]) == ("refused", "off_duty")

        key = new_id()
        await send(socket, type="shift_start", id=key)
        assert (await frame(socket, "shift"))["id"] == key
        dispatcher = await stack.enter_async_context(map_socket(served, "dispatch1"))
        intake = await stack.enter_async_context(map_socket(served, "intake1"))
        await workers(dispatcher, lambda rows: key in rows and rows[key]["place"][0] is None)

        await send(socket, type="position", **fix(battery=55))
        assert [r["status"] for r in (await frame(socket, "positions_result"))["results"]] == ["stored"]
        rows = await workers(dispatcher, lambda rows: key in rows and rows[key]["place"][0] == 109.9)
        assert rows[key]["place"][2] == 6 and rows[key]["place"][4:] == [55, False, False, True]
        masked = await workers(intake, lambda rows: key in rows and rows[key]["place"][0] == 109.9)
        assert masked[key]["name"] == rows[key]["name"][0] + "*" * (len(rows[key]["name"]) - 1)

        await send(socket, type="positions", positions=[fix(-1, x=109.901), {"at": "x"}])
        assert [r["status"] for r in (await frame(socket, "positions_result"))["results"]] == [
            "stored",
            "refused",
        ]
        async with asyncio.timeout(10):
            while await asyncio.to_thread(points, key) < 2:
                await asyncio.sleep(0.1)

        await send(socket, type="shift_end")
        assert (await frame(socket, "shift"))["ended_at"]
        await workers(dispatcher, lambda rows: key not in rows)


def points(shift: str) -> int:
    with psycopg.connect(**database("served"), autocommit=True) as sql:
        return sql.execute(
            "SELECT count(*) FROM realtime_trackpoint WHERE shift_id = %s", [shift]
        ).fetchone()[0]


@pytest.mark.parametrize("username", ["dept_municipal", "worker001"])
async def test_who_may_not_see_workers_is_told_so(served: Served, username: str) -> None:
    async with map_socket(served, username) as socket:
        assert (await frame(socket, "problem"))["code"] == "not_permitted"


async def test_a_chief_of_another_street_sees_none(served: Served) -> None:
    async with phone(served, "worker011") as worker, field_socket(served, worker) as socket:
        await frame(socket, "hello")
        key = new_id()
        await send(socket, type="shift_start", id=key)
        await frame(socket, "shift")
        street = worker.me["posts"][0]["unit"]
        seen = {}
        async with contextlib.AsyncExitStack() as stack:
            for number in range(1, 12):
                chief = await stack.enter_async_context(map_socket(served, f"chief{number:03}"))
                seen[number] = {row["id"] for row in (await frame(chief, "workers"))["on_duty"]}
        assert sum(key in rows for rows in seen.values()) == 1, street
        await send(socket, type="shift_end", id=key)
        await frame(socket, "shift")


@pytest.mark.parametrize(
    "content",
    [
        {"type": "positions"},
        {"type": "positions", "positions": []},
        {"type": "positions", "positions": [{}] * 201},
        {"type": "positions", "positions": "x"},
        {"type": "shift_start"},
        {"type": "shift_start", "id": "x"},
        {"type": "shift_start", "id": "019ab6b0-0000-7000-8000-000000000000", "post": "1"},
    ],
)
async def test_a_broken_frame_ends_the_connection(served: Served, content: dict[str, Any]) -> None:
    async with phone(served, "chief002") as chief, field_socket(served, chief) as socket:
        await frame(socket, "hello")
        await socket.send(json.dumps(content))
        assert await close_code(socket) == 4400
