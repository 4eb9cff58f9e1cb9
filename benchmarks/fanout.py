"""One message to thousands of sockets: our hub, a bare ASGI loop, and plain Channels on both Redis layers.

All on one machine over loopback: a publisher → Redis → one server process → raw clients in a process of their own. The
servers share one core, the clients the other. A delivery is one frame at one client. Ours is `config.asgi` with log-in,
rights and pings as deployed; its message is the `notice` that an operator sends to all open maps.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from statistics import harmonic_mean
from typing import Any

import django
import psutil
import redis.asyncio as redis

from benchmarks import _sides
from benchmarks._crowd import Remote
from benchmarks._rounds import ROUNDS, Bar, interleaved, percentile, quartiles, report, spread, table
from devstack.places import ROOT, VAR, free_port
from devstack.supervisor import Service, Supervisor, accepts
from realtime.doorbell import CHANNEL

PADDING = "x" * 300  # makes a frame about as long as one of the map's
BURSTS = 4  # a round; one lasts half a second and may or may not meet what a server does every five
QUIET_SECONDS = 5  # silent for so long, the rest is lost
SERVER_CPU, CROWD_CPU = (0, 1) if (os.cpu_count() or 1) > 1 else (None, None)
OURS, BARE, PUBSUB, CORE = "ours", "bare ASGI loop", "group_send, pub/sub", "group_send, core"
Publish = Callable[[], Awaitable[None]]


@asynccontextmanager
async def server(name: str, port: int, side: str) -> AsyncIterator[psutil.Process]:
    """A server process, pinned to the servers' core."""
    app = "config.asgi:application" if side == "ours" else "benchmarks._sides:application"
    protocol = "realtime.connection:Connection" if side == "ours" else "auto"
    argv = [
        *(sys.executable, "-m", "uvicorn", app, "--port", port, "--lifespan", "off", "--ws", protocol),
        *("--ws-per-message-deflate", "false", "--ws-ping-interval", "0", "--log-level", "warning"),
        *("--backlog", "4096", "--timeout-graceful-shutdown", "1"),
    ]
    if SERVER_CPU is not None:
        argv = ["taskset", "-c", str(SERVER_CPU), *argv]
    env = {**os.environ, "SIDE": side, "PYTHONPATH": str(ROOT)}
    async with Supervisor(VAR / "log" / "bench") as supervisor:
        service = Service(name, argv, env, cwd=ROOT, ready=lambda: accepts("127.0.0.1", port))
        await supervisor.start(service)
        [(_, process)] = supervisor._running
        yield psutil.Process(process.pid)


def _text() -> str:
    return json.dumps({"type": "notice", "sent": time.monotonic_ns(), "text": PADDING}, separators=(",", ":"))


def publishers(client: redis.Redis) -> dict[str, Publish]:
    """How each side is told to send one message to all."""
    from channels_redis.core import RedisChannelLayer
    from channels_redis.pubsub import RedisPubSubChannelLayer

    hosts = _sides.layers("core")["default"]["CONFIG"]["hosts"]
    layers = {PUBSUB: RedisPubSubChannelLayer(hosts=hosts), CORE: RedisChannelLayer(hosts=hosts)}

    async def ours() -> None:
        notice = {"sent": time.monotonic_ns(), "text": PADDING}
        await client.publish(CHANNEL, json.dumps({"notice": notice}))

    async def bare() -> None:
        await client.publish(_sides.CHANNEL, _text())

    def through(layer: Any) -> Publish:
        async def send() -> None:
            await layer.group_send("all", {"type": "notice", "text": _text()})

        return send

    return {OURS: ours, BARE: bare, **{name: through(layer) for name, layer in layers.items()}}


async def burst(
    crowd: Remote, name: str, publish: Publish, sockets: int, messages: int
) -> tuple[float, float]:
    """Send as fast as can be; deliveries a second until the last one came, and the share that was lost."""
    crowd("reset", name)
    begun = time.monotonic_ns()
    for _ in range(messages):
        await publish()
    told = await settled(crowd, name, sockets * messages)
    seconds = (told["last"] - begun) / 1e9
    return told["all"] / seconds, 1 - told["all"] / (sockets * messages)


async def steady(
    crowd: Remote, name: str, publish: Publish, sockets: int, rate: float, seconds: float
) -> dict[str, Any]:
    """Send at an even rate; what the crowd tells afterwards, with how long the last message took to reach all."""
    crowd("reset", name)
    messages = max(2, round(rate * seconds))
    begun = time.monotonic()
    for number in range(messages):
        await asyncio.sleep(max(0.0, begun + number / rate - time.monotonic()))
        sent = time.monotonic_ns()
        await publish()
    told = await settled(crowd, name, sockets * messages)
    told["behind"] = (told["last"] - sent) / 1e9
    told["lost"] = sockets * messages - told["all"]
    return told


async def settled(crowd: Remote, name: str, expected: int) -> dict[str, Any]:
    """Wait until all came, or nothing more comes."""
    before, quiet_since = -1, time.monotonic()
    while True:
        await asyncio.sleep(0.05)
        told = crowd("tell", name)
        if told["all"] >= expected:
            return dict(told)
        if told["all"] != before:
            before, quiet_since = told["all"], time.monotonic()
        elif time.monotonic() - quiet_since > QUIET_SECONDS:
            return dict(told)


def memory(process: psutil.Process) -> int:
    """Bytes that belong to the process alone."""
    return int(process.memory_full_info().uss)


async def thousand(crowd: Remote, headers: list[str], tell: dict[str, Publish], rounds: int) -> list[Bar]:
    """1,000 sockets on each side."""
    sockets = len(headers)
    sides = {OURS: "ours", BARE: "bare", PUBSUB: "pubsub", CORE: "core"}
    rates: dict[str, list[float]] = {name: [] for name in sides}
    losses: dict[str, list[float]] = {name: [] for name in sides}
    delays: dict[str, list[float]] = {OURS: [], BARE: []}
    middles: dict[str, list[float]] = {OURS: [], BARE: []}
    footprint = {}
    async with AsyncExitStack() as stack:
        for name, side in sides.items():
            port = free_port()
            process = await stack.enter_async_context(server(side, port, side))
            crowd("open", name + " first", port, "/ws/map", headers[:20], name == OURS)
            await asyncio.sleep(0.5)
            before = memory(process)
            given = headers if name == OURS else [""] * sockets
            crowd("close", name + " first")
            crowd("open", name, port, "/ws/map", given, name == OURS)
            await asyncio.sleep(0.5)
            footprint[name] = (memory(process) - before) / sockets / 1000
        for name in sides:
            await burst(crowd, name, tell[name], sockets, 3)
        for _, name in interleaved(list(sides), rounds):
            messages = 4 if name in (PUBSUB, CORE) else 60
            some = [await burst(crowd, name, tell[name], sockets, messages) for _ in range(BURSTS)]
            rates[name].append(harmonic_mean([rate for rate, _ in some]))
            losses[name] += [lost for _, lost in some]
        half = quartiles(rates[BARE])[1] / sockets / 2
        missing = 0
        for _, name in interleaved([OURS, BARE], rounds):
            told = await steady(crowd, name, tell[name], sockets, half, 2)
            delays[name].append(percentile(told["delays"], 0.99))
            middles[name].append(percentile(told["delays"], 0.5))
            missing += told["lost"] if name == OURS else 0
        for name in sides:
            crowd("close", name)
    print(f"{sockets} sockets; latency at {half:.1f} messages/s, half of what the bare loop sustains")
    rows = [
        (
            name,
            spread(rates[name]),
            f"{max(losses[name]):.1%}",
            spread([1000 * one for one in middles[name]], 1) if name in middles else "–",
            spread([1000 * one for one in delays[name]], 1) if name in delays else "–",
            f"{footprint[name]:.1f}",
        )
        for name in sides
    ]
    table(["side", "deliveries/s", "lost at most", "p50 ms", "p99 ms", "kB an idle socket"], rows)
    best = [max(pair) for pair in zip(rates[PUBSUB], rates[CORE], strict=True)]
    return [
        Bar("1,000 sockets: × group_send", _ratios(rates[OURS], best), 15),
        Bar("1,000 sockets: × bare loop", _ratios(rates[OURS], rates[BARE]), 0.7),
        Bar("1,000 sockets: lost", [max(losses[OURS]) * sockets * 60 + missing], 0, at_least=False),
        Bar("1,000 sockets: p99 × bare loop's", _ratios(delays[OURS], delays[BARE]), 2, at_least=False),
        Bar("kB an idle socket", [footprint[OURS]], 40, at_least=False),
    ]


async def five_thousand(
    crowd: Remote, headers: list[str], tell: dict[str, Publish], rounds: int
) -> list[Bar]:
    """5,000 sockets, one process a side."""
    sockets = len(headers)
    sides = {OURS: "ours", BARE: "bare"}
    rates: dict[str, list[float]] = {name: [] for name in sides}
    lost: dict[str, float] = dict.fromkeys(sides, 0)
    async with AsyncExitStack() as stack:
        for name, side in sides.items():
            port = free_port()
            await stack.enter_async_context(server(f"{side}-many", port, side))
            given = headers if name == OURS else [""] * sockets
            crowd("open", name, port, "/ws/map", given, name == OURS)
        for name in sides:
            await burst(crowd, name, tell[name], sockets, 2)
        for _, name in interleaved(list(sides), rounds):
            rate, share = await burst(crowd, name, tell[name], sockets, 15)
            rates[name].append(rate)
            lost[name] += share
        # A burst is the loop busy all the time: no steady rate above it can be kept up. Half of it, kept up for
        # seconds, must leave nothing behind.
        highest = quartiles(rates[BARE])[1] / sockets
        told = await steady(crowd, OURS, tell[OURS], sockets, highest / 2, 6)
        for name in sides:
            crowd("close", name)
    rows = [(name, spread(rates[name]), f"{lost[name]:.1%}") for name in sides]
    print(f"{sockets} sockets, one process")
    table(["side", "deliveries/s", "lost"], rows)
    print(
        f"ours at {highest / 2:.1f} messages/s ({highest / 2 * sockets:,.0f} deliveries/s) for 6 s: "
        f"p50 {1000 * percentile(told['delays'], 0.5):.0f} ms, p99 {1000 * percentile(told['delays'], 0.99):.0f} ms, "
        f"the last message at all after {1000 * told['behind']:.0f} ms, lost {told['lost']}\n"
    )
    return [
        Bar("5,000 sockets: × bare loop", _ratios(rates[OURS], rates[BARE]), 0.5),
        Bar("5,000 sockets: lost", [lost[OURS] + told["lost"]], 0, at_least=False),
        Bar(
            "5,000 sockets: intervals behind at half the bare loop's rate",
            [told["behind"] * highest / 2],
            1,
            at_least=False,
        ),
    ]


def _ratios(ours: list[float], theirs: list[float]) -> list[float]:
    return [one / other for one, other in zip(ours, theirs, strict=True)]


async def measure(headers: list[str], sockets: int, rounds: int) -> None:
    """Everything, in one run."""
    crowd = Remote(CROWD_CPU)
    try:
        async with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
            tell = publishers(client)
            bars = await thousand(crowd, headers[:sockets], tell, rounds)
            bars += await five_thousand(crowd, headers, tell, rounds)
    finally:
        crowd.go()
    report("fanout", bars)


def main() -> None:
    """Prepare a database with people to log in, then measure."""
    parser = argparse.ArgumentParser(prog="scripts/bench fanout", description=__doc__)
    parser.add_argument("--sockets", type=int, default=1000)
    parser.add_argument("--many", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    django.setup()
    from benchmarks._people import cookies, settle

    settle()
    headers = [f"Cookie: {one}\r\n" for one in cookies(given.many)]
    asyncio.run(measure(headers, given.sockets, given.rounds))


if __name__ == "__main__":
    main()
