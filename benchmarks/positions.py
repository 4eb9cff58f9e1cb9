"""Positions of 1,000 devices at 1 Hz through real sockets, into the tracks.

Real uvicorn, Redis, PostgreSQL and writer; the devices and this program run on the same machine. Every statement that
PostgreSQL ran is counted by PostgreSQL itself (log_statement), by the process that sent it.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import django
import psutil
import uuid_utils.compat as uuid
import websockets

os.environ.setdefault("DJANGO_SECRET_KEY", "bench-positions")
os.environ["REALTIME_SILENCE_SECONDS"] = "120"
django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.utils import timezone  # noqa: E402
from knox.models import AuthToken  # noqa: E402

from benchmarks._rounds import percentile, table  # noqa: E402
from devstack.places import VAR, free_port  # noqa: E402
from devstack.supervisor import accepts  # noqa: E402
from fieldops.demo import load_demo  # noqa: E402
from fieldops.models import Holding, Post, User  # noqa: E402
from realtime import positions, shifts, tickets  # noqa: E402
from realtime.models import Shift, TrackPoint  # noqa: E402
from realtime.stores import store  # noqa: E402

LOG = VAR / "log" / "bench" / "postgresql.log"


def people(count: int) -> list[User]:
    """So many grid workers on duty, spread over the communities."""
    posts = list(Post.objects.filter(role="grid_worker").order_by("pk"))
    users = User.objects.bulk_create(
        User(username=f"bench{n:05}", display_name=f"员{n}") for n in range(count)
    )
    now = timezone.now()
    Holding.objects.bulk_create(
        Holding(post=posts[n % len(posts)], user=user, since=now - timedelta(days=1))
        for n, user in enumerate(users)
    )
    Shift.objects.bulk_create(
        Shift(pk=uuid.uuid7(), post=posts[n % len(posts)], user=user, started_at=now - timedelta(minutes=5))
        for n, user in enumerate(users)
    )
    shifts.read_duties([user.pk for user in users])
    return users


def watch_statements() -> str:
    """A role of its own for the process with the sockets, whose statements PostgreSQL logs; its DATABASE_URL."""
    with connection.cursor() as sql:
        sql.execute("CREATE ROLE sockets SUPERUSER LOGIN")
        sql.execute("ALTER ROLE sockets SET log_statement = 'all'")
        sql.execute("ALTER SYSTEM SET log_line_prefix = 'by %u: '")
        sql.execute("SELECT pg_reload_conf()")
    return os.environ["DATABASE_URL"].replace("//app", "//sockets")


def statements() -> tuple[int, int]:
    """How many that role has run so far, and how many of them were about shifts or tracks."""
    ours = [
        line for line in LOG.read_text(errors="replace").splitlines() if line.startswith("by sockets: LOG:")
    ]
    return len(ours), sum("realtime_shift" in line or "realtime_track" in line for line in ours)


async def device(
    address: str, number: int, seconds: int, begin: asyncio.Event, ready: Any, told: Any
) -> None:
    """One phone: a fix each second, and the answer to each."""
    async with websockets.connect(address, ping_interval=None, compression=None, open_timeout=60) as socket:
        await socket.recv()
        ready()
        await begin.wait()
        start = asyncio.get_running_loop().time() + (number % 100) / 100
        for second in range(seconds):
            await asyncio.sleep(max(0, start + second - asyncio.get_running_loop().time()))
            fix = {
                "type": "position",
                "at": datetime.now(UTC).isoformat(),
                "x": 109.9 + number * 1e-5 + second * 1e-5,
                "y": 40.65,
                "system": "WGS84",
                "accuracy_m": 8,
                "battery": 80,
            }
            sent = time.perf_counter()
            await socket.send(json.dumps(fix))
            while True:
                answer = json.loads(await socket.recv())
                if answer["type"] == "positions_result":
                    break
            told(answer["results"][0].get("code", "stored"), time.perf_counter() - sent)


async def load(users: list[User], seconds: int, sockets: str, live: psutil.Process) -> dict[str, Any]:
    """All phones at once; what they were answered, and what it cost."""
    counted: dict[str, int] = {}
    waits: list[float] = []
    lags: list[float] = []
    open_ones = 0
    begin, all_open = asyncio.Event(), asyncio.Event()

    def ready() -> None:
        nonlocal open_ones
        open_ones += 1
        if open_ones == len(users):
            all_open.set()

    def told(code: str, wait: float) -> None:
        counted[code] = counted.get(code, 0) + 1
        waits.append(wait)

    async with asyncio.TaskGroup() as group:
        for n, user in enumerate(users):
            ticket = await asyncio.to_thread(ticket_of, user)
            address = f"{sockets}/ws/field?ticket={ticket}&device={uuid.uuid4()}"
            group.create_task(device(address, n, seconds, begin, ready, told))
        await all_open.wait()
        await asyncio.sleep(3)
        asked, cpu, at = statements(), live.cpu_times(), time.perf_counter()
        begin.set()
        while sum(counted.values()) < len(users) * seconds:
            await asyncio.sleep(0.25)
            if oldest := store().xrange(positions.STREAM, count=1):
                lags.append(time.time() - json.loads(oldest[0][1]["f"])[3] / 1000)
        took, after, asked_after = time.perf_counter() - at, live.cpu_times(), statements()
    spent = after.user + after.system - cpu.user - cpu.system
    return {
        "counted": counted,
        "waits": waits,
        "lags": lags or [0.0],
        "seconds": took,
        "cpu": spent / took,
        "statements": asked_after[0] - asked[0],
        "about_positions": asked_after[1] - asked[1],
    }


def ticket_of(user: User) -> str:
    """A ticket as the field API issues it."""
    token, _text = AuthToken.objects.create(user)
    return tickets.issue_ticket(user, token)


def main() -> int:
    """Run it and print the account."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=30)
    given = parser.parse_args()
    call_command("migrate", interactive=False, verbosity=0)
    load_demo(allow=True)
    users = people(given.devices)
    port = free_port()
    env = {**os.environ, "DATABASE_URL": watch_statements(), "DJANGO_SECRET_KEY": settings.SECRET_KEY}
    serve = ["-m", "uvicorn", "config.asgi:application", "--port", str(port), "--lifespan", "off"]
    serve += ["--ws", "realtime.connection:Connection", "--ws-ping-interval", "0", "--log-level", "warning"]
    live = subprocess.Popen([sys.executable, *serve], env=env)
    writer = subprocess.Popen([sys.executable, "manage.py", "write_tracks"])
    try:
        while not asyncio.run(accepts("127.0.0.1", port)):
            time.sleep(0.1)
        shifts.read_duties([user.pk for user in users])
        found = asyncio.run(load(users, given.seconds, f"ws://127.0.0.1:{port}", psutil.Process(live.pid)))
        deadline = time.monotonic() + 30
        while (kept := TrackPoint.objects.count()) < found["counted"].get(
            "stored", 0
        ) and time.monotonic() < deadline:
            time.sleep(0.2)
    finally:
        live.terminate()
        writer.terminate()
    sent, stored = given.devices * given.seconds, found["counted"].get("stored", 0)
    waits, lags = found["waits"], found["lags"]
    rows = [
        ("devices × seconds", f"{given.devices} × {given.seconds}"),
        ("sent", f"{sent:,}"),
        ("answered as stored", f"{stored:,}"),
        (
            "refused",
            ", ".join(f"{n} {code}" for code, n in found["counted"].items() if code != "stored") or "0",
        ),
        ("points in PostgreSQL", f"{kept:,}"),
        ("lost (stored and not there)", f"{stored - kept:,}"),
        ("positions a second", f"{sent / found['seconds']:,.0f}"),
        (
            "answer, median / p99, ms",
            f"{statistics.median(waits) * 1000:.0f} / {percentile(waits, 0.99) * 1000:.0f}",
        ),
        ("CPU of the process with the sockets, share of a core", f"{found['cpu']:.2f}"),
        ("its SQL statements about positions", f"{found['about_positions']}"),
        ("its other SQL statements a second (poll, rights)", f"{found['statements'] / found['seconds']:.1f}"),
        (
            "oldest fix still in the stream, median / most, s",
            f"{statistics.median(lags):.2f} / {max(lags):.2f}",
        ),
    ]
    table(["positions", ""], rows)
    account = {"sent": sent, "stored": stored, "lost": stored - kept, "sql": found["about_positions"]}
    account |= {"cpu": round(found["cpu"], 3), "lag_s": round(statistics.median(lags), 3)}
    print(json.dumps({"bench": "positions", "bars": [], "account": account}), flush=True)
    return 0 if stored == kept == sent else 1


if __name__ == "__main__":
    sys.exit(main())
