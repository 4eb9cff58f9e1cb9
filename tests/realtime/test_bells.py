"""Letters that come with their bell: written at once to who waits right before them, read from PostgreSQL otherwise."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from websockets.asyncio.client import ClientConnection

from devstack.clients import new_id
from realtime import doorbell, mail
from realtime.doorbell import Enclosed
from tests.doing import Served, database
from tests.realtime.wires import field_socket, frame, phone, report, send, socket_server

pytestmark = pytest.mark.usefixtures("served")

WRITE = """
WITH box AS (UPDATE realtime_mailbox SET last_seq = last_seq + 1 WHERE post_id = %s RETURNING post_id, last_seq)
INSERT INTO realtime_letter AS l (mailbox_id, seq, kind, event_id, event_version, payload, created_at)
SELECT post_id, last_seq, 'assignment', %s, 1, '{}', now() FROM box
RETURNING l.mailbox_id, l.seq, l.kind, l.event_id, l.event_version, l.payload::text, l.created_at
"""


@dataclass
class Desk:
    """A dispatcher's open socket at a process that polls never, and what can be put into its mailbox."""

    socket: ClientConnection
    person: int
    event: str
    box: dict[str, Any]

    def write(self) -> Enclosed:
        """A letter in PostgreSQL, as its bell would enclose it; nothing rings."""
        with psycopg.connect(**database("served"), autocommit=True) as sql:
            [row] = sql.execute(WRITE, [self.box["mailbox"], self.event]).fetchall()
        return Enclosed(row[0], self.box["epoch"], row[1], [self.person], mail.frame_of(*row))

    async def ring(self, *letters: Enclosed) -> None:
        await asyncio.to_thread(doorbell.ring, letters=letters)

    async def letters_until_pong(self) -> list[int]:
        """The numbers of what came before the answer to a ping."""
        await asyncio.sleep(0.3)
        await send(self.socket, type="ping")
        came = []
        while (found := await frame(self.socket, "letter", "reset", "pong"))["type"] != "pong":
            came.append(found["seq"] if found["type"] == "letter" else found["type"])
        return came


@contextlib.asynccontextmanager
async def desk(served: Served) -> AsyncIterator[Desk]:
    with psycopg.connect(**database("served")) as sql:
        [person] = sql.execute("SELECT id FROM fieldops_user WHERE username = 'dispatch1'").fetchone() or ()
    async with (
        phone(served, "resident1") as resident,
        phone(served, "dispatch1") as device,
        socket_server(served, "bells", REALTIME_POLL_SECONDS="600") as alone,
    ):
        event = (await report(resident, served, at=720))["event"]["id"]
        async with field_socket(served, device, at=alone) as socket:
            [box] = (await frame(socket, "hello"))["mailboxes"]
            at = {"epoch": box["epoch"], "cursor": box["last_seq"]}
            await send(socket, type="resume", mailboxes={str(box["mailbox"]): at})
            yield Desk(socket, person, event, box)


async def test_a_letter_in_order_is_not_read_again_and_comes_once(served: Served) -> None:
    """PostgreSQL is told of the letter only afterwards, so it cannot have come from there."""
    async with desk(served) as it:
        assert await it.letters_until_pong() == []
        seq = it.box["last_seq"] + 1
        text = mail.as_text({"type": "letter", "seq": seq, "mailbox": it.box["mailbox"], "event": it.event})
        enclosed = Enclosed(it.box["mailbox"], it.box["epoch"], seq, [it.person], text)
        await it.ring(enclosed)
        assert await it.letters_until_pong() == [seq]
        assert it.write().seq == seq
        await it.ring(enclosed)
        await it.ring(enclosed, it.write())
        assert await it.letters_until_pong() == [seq + 1]


async def test_a_letter_ahead_of_its_reader_waits_for_those_before_it(served: Served) -> None:
    async with desk(served) as it:
        first, second, third = it.write(), it.write(), it.write()
        await it.ring(second)
        await it.ring(third, first)
        assert await it.letters_until_pong() == [first.seq, second.seq, third.seq]


async def test_a_bell_that_overtakes_a_reading_takes_nothing_from_it(served: Served) -> None:
    """The second bell has the first letter too read; the first bell may come while that reading is on its way."""
    async with desk(served) as it:
        written = []
        for pause in [0.0, 0.0002, 0.0005, 0.001, 0.002] * 8:
            first, second = await asyncio.to_thread(lambda: (it.write(), it.write()))
            await it.ring(second)
            await asyncio.sleep(pause)
            await it.ring(first)
            written += [first.seq, second.seq]
            came = [(await frame(it.socket, "letter", seconds=3))["seq"] for _ in (first, second)]
            assert came == written[-2:]
        assert await it.letters_until_pong() == []


async def test_who_did_not_hold_the_post_when_it_was_written_gets_no_letter_with_a_bell(
    served: Served,
) -> None:
    """PostgreSQL decides then; here it has nothing, so nothing comes."""
    async with desk(served) as it:
        seq = it.box["last_seq"] + 1
        stranger = Enclosed(
            it.box["mailbox"], it.box["epoch"], seq, [it.person + 10_000], '{"type":"letter"}'
        )
        await it.ring(stranger)
        await it.ring(stranger._replace(holders=[]))
        assert await it.letters_until_pong() == []


async def test_a_letter_of_another_epoch_is_not_handed_on(served: Served) -> None:
    async with desk(served) as it:
        letter = it.write()
        await it.ring(letter._replace(epoch=new_id(), frame='{"type":"letter","seq":0}'))
        assert await it.letters_until_pong() == [letter.seq], "woken, so read from PostgreSQL"


@pytest.mark.parametrize("bell", [[1], ["x"], [[1, 2]], [[1, "no epoch", 3, [], ""]], {"a": 1}, 7])
async def test_a_bell_that_nobody_understands_harms_nothing(served: Served, bell: Any) -> None:
    async with desk(served) as it:
        await asyncio.to_thread(doorbell.tell, {"letters": bell})
        letter = it.write()
        await it.ring(letter)
        assert await it.letters_until_pong() == [letter.seq]


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_bells_lost_late_and_doubled_leave_each_letter_once_in_order(served: Served, seed: int) -> None:
    luck = random.Random(seed)
    async with desk(served) as it:
        written, held_back = [], []
        for _ in range(60):
            letter = await asyncio.to_thread(it.write)
            written.append(letter.seq)
            fate = luck.choice(["heard", "heard", "late", "lost", "doubled"])
            if fate == "late":
                held_back.append(letter)
            elif fate != "lost":
                await it.ring(*luck.sample([letter] * (1 + (fate == "doubled")), 1 + (fate == "doubled")))
            if held_back and luck.random() < 0.3:
                await it.ring(held_back.pop(luck.randrange(len(held_back))))
        await asyncio.to_thread(doorbell.ring, mailboxes=[it.box["mailbox"]])
        assert await it.letters_until_pong() == written
