"""One dispatch to one device: from its COMMIT to the frame at the device, beside the barest thing that could be done.

Ours: a grid worker's report that goes straight through to a department's post, by `intake.receive` with its letters,
the doorbell, the hub of `config.asgi`, and a device's socket. Bare: `INSERT; COMMIT` of a row of the same size, a Redis
publish, and a process that writes it to a plain socket; its time begins before the INSERT. Both commit without fsync:
what a disk costs is the same for both and would flatter the ratio.
"""

import argparse
import asyncio
import json
import math
import os
import random
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import django
import psycopg
import redis
from django.contrib.gis.geos import Point

from benchmarks._crowd import _masked, open_socket
from benchmarks._rounds import ROUNDS, Bar, interleaved, percentile, report, spread, table
from benchmarks.fanout import SERVER_CPU, server
from devstack.places import ROOT, VAR, free_port
from devstack.supervisor import Service, Supervisor, accepts

OURS, BARE = "ours", "bare"
CHANNEL = "bench:raw"
SIZE = 700  # bytes of a letter's frame, about
STEP = 0.00075  # degrees


class Frames:
    """Frames of one socket, read as they come; blocking."""

    def __init__(self, sock: socket.socket, rest: bytes = b"") -> None:
        self.socket, self.rest = sock, rest
        sock.settimeout(10)

    def next(self) -> dict[str, Any]:
        """The next frame."""
        while True:
            if len(self.rest) >= 2:
                length, begin = self.rest[1], 2
                if length == 126 and len(self.rest) >= 4:
                    length, begin = struct.unpack_from("!H", self.rest, 2)[0], 4
                elif length == 127 and len(self.rest) >= 10:
                    length, begin = struct.unpack_from("!Q", self.rest, 2)[0], 10
                if len(self.rest) >= begin + length and (length < 126 or begin > 2):
                    text, self.rest = self.rest[begin : begin + length], self.rest[begin + length :]
                    return dict(json.loads(text))
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionError("the server hung up")
            self.rest += more

    def letter(self) -> dict[str, Any]:
        """The next letter."""
        while True:
            found = self.next()
            if found["type"] == "letter":
                return found

    def say(self, **frame: Any) -> None:
        """Send a small frame."""
        self.socket.sendall(_masked(json.dumps(frame).encode()))


async def raw(port: int) -> None:
    """The bare side's process: from Redis to whoever is connected."""
    import redis.asyncio as bus

    writers: list[asyncio.StreamWriter] = []

    async def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    async with (
        bus.Redis.from_url(os.environ["REDIS_URL"], socket_timeout=None) as client,
        client.pubsub() as ear,
    ):
        await ear.subscribe(CHANNEL)
        await asyncio.start_server(take, "127.0.0.1", port)
        async for message in ear.listen():
            if message["type"] == "message":
                for writer in writers:
                    writer.write(message["data"])


def bare_side(port: int) -> Callable[[], float]:
    """Seconds of one bare dispatch."""
    from django.db import connection

    known = connection.get_connection_params()
    for django_only in ("context", "cursor_factory", "prepare_threshold"):
        known.pop(django_only, None)
    line = psycopg.connect(**known, prepare_threshold=0)
    line.execute("CREATE TABLE IF NOT EXISTS bench_letter (id bigserial PRIMARY KEY, payload jsonb)")
    line.commit()
    client = redis.Redis.from_url(os.environ["REDIS_URL"])
    sock = socket.create_connection(("127.0.0.1", port))
    payload = json.dumps({"text": "x" * SIZE})

    def once() -> float:
        begun = time.perf_counter()
        line.execute("INSERT INTO bench_letter (payload) VALUES (%s)", [payload])
        line.commit()
        client.publish(CHANNEL, payload)
        missing = len(payload)
        while missing:
            missing -= len(sock.recv(65536))
        return time.perf_counter() - begun

    return once


def _apart(areas: Iterable[Any]) -> list[tuple[float, float]]:
    """Places in these areas, in any order, far enough from each other (60 m) to be no near cases."""
    places = []
    for area in areas:
        west, south, east, north = area.extent
        inside = area.prepared
        for column in range(math.ceil(west / STEP), math.floor(east / STEP) + 1):
            for row in range(math.ceil(south / STEP), math.floor(north / STEP) + 1):
                if inside.contains(Point(column * STEP, row * STEP, srid=area.srid)):
                    places.append((column * STEP, row * STEP))
    random.Random(5).shuffle(places)
    return places


def our_side(port: int) -> Callable[[], tuple[float, float]]:
    """Seconds of one real dispatch: from its COMMIT, and from the first statement of its use case."""
    from django.db import transaction
    from django.db.models import F
    from knox.models import AuthToken
    from uuid_utils.compat import uuid4, uuid7

    from fieldops.intake import Draft, receive
    from fieldops.models import Channel, Event, EventClass, Post, User
    from fieldops.rights import posts_held_now
    from gridmap.models import Cell
    from realtime.models import Mailbox
    from realtime.tickets import issue_ticket

    worker = User.objects.get(username="worker001")
    [worker_post] = posts_held_now([worker.pk])[worker.pk]
    kind = EventClass.objects.get(kind="event", major="01", minor="03")
    condition = kind.conditions.first()
    street = Cell.objects.filter(community=worker_post.unit_id).first().street_id
    places = _apart(cell.boundary for cell in Cell.objects.filter(street=street))

    free: list[tuple[float, float]] = []

    def file() -> tuple[float, float, Any]:
        if not free:
            # The places are used again as if days had passed: what lies there is no near case any more.
            Event.objects.update(received_at=F("received_at") - timedelta(days=2))
            free.extend(places)
        x, y = free.pop()
        draft = Draft(
            id=uuid7(),
            digest="d" * 64,
            reporter=worker,
            post=worker_post,
            channel=Channel.FIELD_APP,
            class_key=kind.key,
            condition_id=condition.pk,
            description="混凝土坡道占用道路，" * 5,
            x=x,
            y=y,
            system="WGS84",
        )
        begun = time.perf_counter()
        with transaction.atomic():
            event = receive(draft).event
            commit = time.perf_counter()
        return begun, commit, event

    _, _, event = file()
    order = event.work_orders.get(finished_at__isnull=True)
    handler = Post.objects.get(pk=order.post_id).holders.first()
    token, _ = AuthToken.objects.create(handler)
    sock, rest = open_socket(port, f"/ws/field?ticket={issue_ticket(handler, token)}&device={uuid4()}", "")
    device = Frames(sock, rest)
    while device.next()["type"] != "hello":
        pass
    box = Mailbox.objects.get(pk=order.post_id)
    at = {"epoch": str(box.epoch), "cursor": box.last_seq}
    device.say(type="resume", mailboxes={str(box.pk): at})

    def once() -> tuple[float, float]:
        begun, commit, event = file()
        letter = device.letter()
        came = time.perf_counter()
        assert letter["event"] == str(event.pk), "another dispatch than the one just committed"
        device.say(type="ping")
        return came - commit, came - begun

    return once


async def measure(rounds: int, each: int) -> None:
    """Rounds of both sides in turn; the device reads in this process, which sleeps until its frame comes."""
    ports = {OURS: free_port(), BARE: free_port()}
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(server("dispatch", ports[OURS], "ours"))
        supervisor = await stack.enter_async_context(Supervisor(VAR / "log" / "bench"))
        argv = [sys.executable, "-m", "benchmarks.dispatch", "--raw", ports[BARE]]
        if SERVER_CPU is not None:
            argv = ["taskset", "-c", str(SERVER_CPU), *argv]
        await supervisor.start(
            Service("raw", argv, dict(os.environ), cwd=ROOT, ready=lambda: accepts("127.0.0.1", ports[BARE]))
        )
        await asyncio.to_thread(_measure, ports, rounds, each)


def _measure(ports: dict[str, int], rounds: int, each: int) -> None:
    ours, bare = our_side(ports[OURS]), bare_side(ports[BARE])
    for _ in range(40):
        ours(), bare()
    times: dict[str, list[list[float]]] = {OURS: [], BARE: []}
    whole: list[float] = []
    for _, side in interleaved([OURS, BARE], rounds):
        if side == OURS:
            both = [ours() for _ in range(each)]
            times[OURS].append([one for one, _ in both])
            whole += [one for _, one in both]
        else:
            times[BARE].append([bare() for _ in range(each)])
    rows = []
    for side, name in (
        (OURS, "COMMIT → frame at the device"),
        (BARE, "bare INSERT; COMMIT → publish → socket"),
    ):
        shares = [spread([1000 * percentile(one, share) for one in times[side]], 2) for share in (0.5, 0.99)]
        rows.append((name, *shares))
    rows.append(
        (
            "whole report, from its first statement",
            *(f"{1000 * percentile(whole, share):.2f}" for share in (0.5, 0.99)),
        )
    )
    print(f"{rounds} rounds of {each} dispatches on each side, all of them came")
    table(["way", "p50 ms", "p99 ms"], rows)
    ratios = {
        share: [
            percentile(one, share) / percentile(other, share)
            for one, other in zip(times[OURS], times[BARE], strict=True)
        ]
        for share in (0.5, 0.99)
    }
    print(f"p50 × bare: {spread(ratios[0.5], 2)}\n")
    report("dispatch", [Bar("p99 × bare", ratios[0.99], 2, at_least=False)])


def main() -> None:
    """Prepare the demo district, then measure; `--raw PORT` is the bare side's own process."""
    parser = argparse.ArgumentParser(prog="scripts/bench dispatch", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--each", type=int, default=200)
    parser.add_argument("--raw", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.raw:
        asyncio.run(raw(given.raw))
        return
    django.setup()
    from benchmarks._people import settle

    settle()
    asyncio.run(measure(given.rounds, given.each))


if __name__ == "__main__":
    main()
