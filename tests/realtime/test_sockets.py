"""The sockets of the running house: mailboxes on phones, frames on the live map."""

import asyncio
import contextlib
import json
from typing import Any

import psycopg
import pytest
import websockets

from devstack.clients import Operator, Refused, new_id, until
from tests.doing import Served, database
from tests.realtime.wires import address, close_code, field_socket, frame, phone, report, send

pytestmark = pytest.mark.usefixtures("served")


async def test_a_letter_reaches_the_desk_at_once_and_only_after_the_cursor(served: Served) -> None:
    async with phone(served, "intake2") as desk, phone(served, "resident1") as resident:
        async with field_socket(served, desk) as socket:
            hello = await frame(socket, "hello")
            [box] = hello["mailboxes"]
            at = {"epoch": box["epoch"], "cursor": box["last_seq"]}
            await send(socket, type="resume", mailboxes={str(box["mailbox"]): at})
            filed = await report(resident, served, at=100)
            letter = await frame(socket, "letter", seconds=4)
            assert (letter["event"], letter["seq"]) == (filed["event"]["id"], box["last_seq"] + 1)
            await send(socket, type="ack", mailbox=box["mailbox"], seq=letter["seq"])
            await send(socket, type="ping")
            await frame(socket, "pong")
        # Back with the cursor it stored: nothing twice, nothing lost.
        await report(resident, served, at=110)
        async with field_socket(served, desk) as socket:
            await frame(socket, "hello")
            at = {"epoch": box["epoch"], "cursor": letter["seq"]}
            await send(socket, type="resume", mailboxes={str(box["mailbox"]): at})
            assert (await frame(socket, "letter"))["seq"] == letter["seq"] + 1


async def test_a_cursor_from_the_future_or_another_epoch_is_reset(served: Served) -> None:
    async with phone(served, "dispatch2") as desk:
        for at in ({"epoch": new_id(), "cursor": 0}, {"epoch": None, "cursor": 10_000}):
            async with field_socket(served, desk) as socket:
                [box] = (await frame(socket, "hello"))["mailboxes"]
                await send(socket, type="resume", mailboxes={str(box["mailbox"]): at})
                reset = await frame(socket, "reset")
                assert (reset["mailbox"], reset["seq"]) == (box["mailbox"], box["last_seq"])


async def test_a_ticket_opens_one_socket_once(served: Served) -> None:
    async with phone(served, "chief001") as chief:
        ticket = (await chief.post("ticket"))["ticket"]
        url = address(served, f"/ws/field?ticket={ticket}&device={chief.device}")
        async with websockets.connect(url) as first:
            await frame(first, "hello")
            async with websockets.connect(url) as second:
                assert await close_code(second) == 4401


@pytest.mark.parametrize(
    "query", ["", "?ticket=x&device=y", "?ticket=forged&device=01981d8e-0000-7000-8000-000000000000"]
)
async def test_without_a_ticket_the_field_socket_is_closed(served: Served, query: str) -> None:
    async with websockets.connect(address(served, f"/ws/field{query}")) as socket:
        assert await close_code(socket) == 4401


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "x",
        "[]",
        "{}",
        '{"type":"resume"}',
        '{"type":"ack","mailbox":-1,"seq":1}',
        "[" * 9000,
        b"\x00",
        "x" * 20_000,
    ],
)
async def test_a_broken_frame_ends_the_connection_and_nothing_else(served: Served, raw: str | bytes) -> None:
    async with phone(served, "chief002") as chief, field_socket(served, chief) as socket:
        await frame(socket, "hello")
        await socket.send(raw)
        assert await close_code(socket) == 4400
        async with field_socket(served, chief) as again:
            await frame(again, "hello")


async def test_what_was_never_sent_cannot_be_acknowledged(served: Served) -> None:
    async with phone(served, "chief003") as chief, field_socket(served, chief) as socket:
        [box] = (await frame(socket, "hello"))["mailboxes"]
        await send(socket, type="ack", mailbox=box["mailbox"], seq=box["last_seq"] + 1)
        assert (await frame(socket, "problem"))["code"] == "not_permitted"


async def test_the_map_is_only_for_our_own_pages_and_staff(served: Served) -> None:
    async with websockets.connect(address(served, "/ws/map"), origin=served.url) as socket:
        assert await close_code(socket) == 4401
    async with Operator(served.url, "dispatch1") as operator:
        await operator.log_in()
        cookie = {"Cookie": f"sessionid={operator.http.cookies['sessionid']}"}
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with websockets.connect(
                address(served, "/ws/map"), origin="http://evil.example", additional_headers=cookie
            ):
                pass
        assert refused.value.response.status_code == 403


async def test_frames_show_each_viewer_what_they_may_see(served: Served) -> None:
    async with contextlib.AsyncExitStack() as stack:
        resident = await stack.enter_async_context(phone(served, "resident2"))
        sockets = {}
        for username in ("dispatch1", "chief001"):
            operator = await stack.enter_async_context(Operator(served.url, username))
            await operator.log_in()
            cookie = {"Cookie": f"sessionid={operator.http.cookies['sessionid']}"}
            socket = await stack.enter_async_context(
                websockets.connect(address(served, "/ws/map"), origin=served.url, additional_headers=cookie)
            )
            await frame(socket, "hello")
            sockets[username] = socket
        filed = await report(resident, served, at=1400)  # in a street other than chief001's
        # A new viewer may be told of the last seconds once more; the version says what is new.
        async with asyncio.timeout(4):
            while True:
                shown = await frame(sockets["dispatch1"], "events")
                if (filed["event"]["id"], "located", 2) in [
                    (e["id"], e["status"], e["version"]) for e in shown["events"]
                ]:
                    break
        await send(sockets["chief001"], type="ping")
        with contextlib.suppress(TimeoutError):
            while True:
                seen = await frame(sockets["chief001"], "events", seconds=1)
                assert filed["event"]["id"] not in [e["id"] for e in seen["events"]]


async def test_a_resident_is_not_let_into_the_command_center(served: Served) -> None:
    async with Operator(served.url, "resident1") as resident:
        await resident.log_in()
        with pytest.raises(Refused) as refused:
            await resident.get("events")
        assert refused.value.status == 403


async def test_a_dropped_doorbell_costs_latency_never_a_letter(served: Served) -> None:
    """The letter is written without ringing, as if the process had died between commit and doorbell."""
    async with phone(served, "dispatch1") as desk, field_socket(served, desk) as socket:
        [box] = (await frame(socket, "hello"))["mailboxes"]
        at = {"epoch": box["epoch"], "cursor": box["last_seq"]}
        await send(socket, type="resume", mailboxes={str(box["mailbox"]): at})
        async with phone(served, "resident1") as resident:
            filed = await report(resident, served, at=700)
        with psycopg.connect(**database("served"), autocommit=True) as sql:
            sql.execute(
                "WITH box AS (UPDATE realtime_mailbox SET last_seq = last_seq + 1 WHERE post_id = %s RETURNING last_seq)"
                " INSERT INTO realtime_letter (mailbox_id, seq, kind, event_id, event_version, payload, created_at)"
                " SELECT %s, last_seq, 'assignment', %s, 1, '{}', now() FROM box",
                [box["mailbox"], box["mailbox"], filed["event"]["id"]],
            )
        letter = await frame(socket, "letter", seconds=15)
        assert (letter["seq"], letter["event"]) == (box["last_seq"] + 1, filed["event"]["id"])


async def test_the_acknowledgement_is_on_the_timeline(served: Served) -> None:
    async with phone(served, "worker001") as worker:
        entry = next(c for c in await worker.get("event-classes") if c["key"] == "event/0104")
        filed = await report(
            worker, served, at=300, **{"class": entry["key"], "condition": entry["conditions"][0]["id"]}
        )
        assert filed["event"]["status"] == "dispatched"
    async with Operator(served.url, "dispatch1") as operator:
        await operator.log_in()
        case = await operator.get(f"events/{filed['event']['id']}")
        assert case["work_orders"][0]["received_at"] is None

        holders = await asyncio.to_thread(_people, served)
        post = case["timeline"][-1]["data"]["post"]
        async with phone(served, holders[post]) as handler:

            async def listen() -> None:
                async for _letter in handler.letters():
                    pass

            listener = asyncio.create_task(listen())

            async def received() -> Any:
                return (await operator.get(f"events/{filed['event']['id']}"))["work_orders"][0]["received_at"]

            assert await until(received, seconds=10, what="the acknowledgement")
            listener.cancel()


def _people(served: Served) -> dict[int, str]:
    import subprocess
    import sys

    out = subprocess.run(
        [sys.executable, "manage.py", "demo_logins", "--json"],
        env=served.env,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return {post["id"]: person["username"] for person in json.loads(out) for post in person["posts"]}


async def test_who_was_switched_off_acknowledges_nothing(served: Served) -> None:
    async with phone(served, "dept_sanitation") as handler, field_socket(served, handler) as socket:
        box = (await frame(socket, "hello"))["mailboxes"][0]
        with psycopg.connect(**database("served"), autocommit=True) as sql:
            switch = "UPDATE fieldops_user SET is_active = %s WHERE username = 'dept_sanitation'"
            try:
                sql.execute(switch, [False])
                await send(socket, type="ack", mailbox=box["mailbox"], seq=box["last_seq"])
                assert await close_code(socket) in (4401, 4403)
            finally:
                sql.execute(switch, [True])


async def test_too_large_a_body_is_told_in_the_usual_shape(served: Served) -> None:
    async with phone(served, "worker001") as worker:
        files = {"file": ("photo.jpg", b"x" * 20_500_000, "image/jpeg")}
        answer = await worker.http.post("/api/v1/photos", files=files)
        assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
        assert answer.json()["code"] == "too_large"
