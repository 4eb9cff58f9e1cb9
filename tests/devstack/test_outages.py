"""Parts of the house die under connected phones, and phones die under the house: every letter arrives, and once."""

import asyncio
import contextlib
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import redis

from devstack.clients import Operator, new_id, point_in, until
from devstack.durable import Dies, DurablePhone, Link, Wish
from devstack.places import Place, free_port
from devstack.soak import House
from devstack.stack import django_environment, start_servers
from devstack.supervisor import Supervisor

HANDLER = "dept_municipal"


@dataclass
class Scene:
    """A house of its own, a worker who reports, and a handler's phone that has to hear of it."""

    house: House
    worker: DurablePhone
    handler: DurablePhone
    link: Link
    body: dict[str, Any]
    places: Iterator[tuple[float, float]]

    def dispatch(self) -> str:
        """Put a report that goes straight to the handler into the worker's outbox, under the key that is answered."""
        key, (x, y) = new_id(), next(self.places)
        self.worker.put(Wish(key, "reports", {**self.body, "id": key, "x": x, "y": y}))
        return key

    def stored(self, key: str) -> bool:
        with self.house.database() as sql:
            return sql.execute("SELECT 1 FROM fieldops_report WHERE id = %s", [key]).fetchone() is not None

    def committed(self) -> set[tuple[Any, ...]]:
        with self.house.database() as sql:
            return set(
                sql.execute(
                    "SELECT l.mailbox_id, l.seq, l.event_id::text FROM realtime_letter l"
                    " JOIN fieldops_holding h ON h.post_id = l.mailbox_id JOIN fieldops_user u ON u.id = h.user_id"
                    " WHERE u.username = %s",
                    [HANDLER],
                ).fetchall()
            )

    def received(self) -> set[tuple[Any, ...]]:
        return set(self.handler.rows("SELECT mailbox, seq, event FROM letter"))

    async def agree(self, *, letters: int) -> None:
        """Both sides hold the same, nothing was shown twice, nothing waits, everything is acknowledged."""

        async def same() -> bool:
            with contextlib.suppress(Exception):
                committed = await asyncio.to_thread(self.committed)
                waiting = self.worker.rows("SELECT 1 FROM outbox WHERE state = 'waiting'")
                return len(committed) >= letters and committed == self.received() and not waiting
            return False

        await until(same, seconds=60, what="both sides agree")
        shown = Counter(self.handler.rows("SELECT * FROM shown"))
        assert set(shown.values()) <= {1}
        assert {state for (state,) in self.worker.rows("SELECT state FROM outbox")} == {"sent"}

        async def acknowledged() -> bool:
            with self.house.database() as sql:
                return not sql.execute(
                    "SELECT 1 FROM realtime_letter l JOIN fieldops_holding h ON h.post_id = l.mailbox_id"
                    " JOIN fieldops_user u ON u.id = h.user_id WHERE u.username = %s AND l.received_at IS NULL",
                    [HANDLER],
                ).fetchall()

        await until(acknowledged, seconds=30, what="everything is acknowledged")


async def _reports(worker: DurablePhone, url: str) -> tuple[dict[str, Any], Iterator[tuple[float, float]]]:
    """What is reported, and places far enough apart that none is taken for the other's."""
    async with Operator(url, "leader") as desk, httpx.AsyncClient(base_url=url, timeout=30) as http:
        await desk.log_in()
        cells = (await desk.get("grid/cells"))["features"]
        token = dict(worker.rows("SELECT name, value FROM fact"))["token"]
        headers = {"Authorization": f"Token {token}"}
        classes = (await http.get("/api/v1/event-classes", headers=headers)).json()
    entry = next(one for one in classes if one["key"] == "event/0103")
    body = {"class": entry["key"], "condition": entry["conditions"][0]["id"], "description": "路面损坏"}
    return {**body, "system": "WGS84", "accuracy_m": 5}, (point_in(cell) for cell in cells[::15])


@contextlib.asynccontextmanager
async def running(base: Path) -> AsyncIterator[Scene]:
    """The house as it is deployed, on stores that keep their promises, so that they may be killed."""
    port = free_port()
    place = Place(base, base / "log")
    given = {name: os.environ.pop(name) for name in ("DATABASE_URL", "REDIS_URL") if name in os.environ}
    async with Supervisor(place.log) as supervisor, contextlib.AsyncExitStack() as stack:
        try:
            env = await django_environment(supervisor, place, durable=True)
        finally:
            os.environ.update(given)
        env |= {"DJANGO_DEMO": "1", "REALTIME_POLL_SECONDS": "1", "REALTIME_SILENCE_SECONDS": "4"}
        assert (
            await supervisor.run_beside([sys.executable, "-m", "devstack.prepare", str(base / "logins")], env)
            == 0
        )
        await start_servers(supervisor, place, env, port=port, kept_up=True)
        direct = f"http://127.0.0.1:{port}"
        link = await stack.enter_async_context(Link(port))
        worker = DurablePhone(file=base / "worker.sqlite", username="worker001", url=direct)
        handler = DurablePhone(file=base / "handler.sqlite", username=HANDLER, url=link.url)
        for phone in (worker, handler):
            await phone.log_in(direct)
        lives = [asyncio.create_task(phone.live()) for phone in (worker, handler)]
        scene = Scene(House(supervisor, env, port), worker, handler, link, *await _reports(worker, direct))
        await asyncio.wait_for(handler.connected.wait(), 20)
        yield scene
        for life in lives:
            life.cancel()
        await asyncio.gather(*lives, return_exceptions=True)


# --- what goes wrong ------------------------------------------------------------------------------------


async def redis_is_away_so_every_doorbell_is_lost(scene: Scene) -> None:
    away = asyncio.create_task(scene.house.supervisor.interrupt("redis", seconds=4))
    scene.dispatch()
    await asyncio.sleep(1)
    scene.dispatch()
    await away


async def redis_connections_are_killed(scene: Scene) -> None:
    scene.dispatch()
    with redis.Redis.from_url(scene.house.env["REDIS_URL"]) as client:
        for kind in ("normal", "pubsub"):
            client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
    scene.dispatch()


async def the_web_process_is_killed_between_commit_and_doorbell(scene: Scene) -> None:
    """Redis stands still, so whoever has committed waits at the bell; there it is killed."""
    bell = scene.house.supervisor.process_of("redis")
    os.kill(bell, signal.SIGSTOP)
    try:
        key = scene.dispatch()

        async def committed() -> bool:
            return await asyncio.to_thread(scene.stored, key)

        await until(committed, seconds=20, what="the commit")
        await scene.house.supervisor.interrupt("pages", how=signal.SIGKILL)
    finally:
        os.kill(bell, signal.SIGCONT)


async def postgresql_is_restarted(scene: Scene) -> None:
    scene.dispatch()
    away = asyncio.create_task(
        scene.house.supervisor.interrupt("postgresql", how=signal.SIGINT, seconds=2, within=60)
    )
    await asyncio.sleep(1)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{scene.house.port}", timeout=20) as http:
        for path in ("/api/v1/me", "/healthz"):
            answer = await http.get(path, headers={"Authorization": "Token " + "0" * 64})
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "3"), answer.text
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert answer.json()["code"] == "unavailable"
    await away
    scene.dispatch()


async def postgresql_crashes(scene: Scene) -> None:
    scene.dispatch()
    await scene.house.supervisor.interrupt("postgresql", how=signal.SIGKILL, within=60)
    scene.dispatch()


async def the_socket_processes_are_killed(scene: Scene) -> None:
    scene.dispatch()
    os.kill(scene.house.supervisor.process_of("live"), signal.SIGKILL)
    scene.dispatch()


async def the_connection_is_half_open(scene: Scene) -> None:
    silent = asyncio.create_task(scene.link.interrupt(7, silent=True))
    await asyncio.sleep(0.1)
    scene.dispatch()
    await silent


async def the_phone_dies_before_storing(scene: Scene) -> None:
    deaths, scene.handler.dies = scene.handler.deaths, Dies.BEFORE_STORING
    scene.dispatch()
    await _died(scene, deaths)


async def the_phone_dies_after_storing_and_before_the_acknowledgement(scene: Scene) -> None:
    deaths, scene.handler.dies = scene.handler.deaths, Dies.BEFORE_ACKNOWLEDGING
    scene.dispatch()
    await _died(scene, deaths)


async def _died(scene: Scene, before: int) -> None:
    async def dead() -> bool:
        return scene.handler.deaths > before

    await until(dead, seconds=20, what="the phone's death")


async def the_network_comes_and_goes(scene: Scene) -> None:
    for seconds, silent in ((0.2, False), (2.5, False), (0.5, True), (3.0, True)):
        scene.dispatch()
        await scene.link.interrupt(seconds, silent=silent)


TROUBLES: list[Callable[[Scene], Awaitable[None]]] = [
    redis_is_away_so_every_doorbell_is_lost,
    redis_connections_are_killed,
    the_web_process_is_killed_between_commit_and_doorbell,
    postgresql_is_restarted,
    postgresql_crashes,
    the_socket_processes_are_killed,
    the_connection_is_half_open,
    the_phone_dies_before_storing,
    the_phone_dies_after_storing_and_before_the_acknowledgement,
    the_network_comes_and_goes,
]


async def test_every_letter_arrives_once_whatever_dies(tmp_path: Path) -> None:
    """One house and one phone go through all of it, one trouble after the other."""
    tmp_path.chmod(0o711)
    async with running(tmp_path) as scene:
        letters = 0
        for trouble in TROUBLES:
            before = len(scene.worker.rows("SELECT 1 FROM outbox"))
            await trouble(scene)
            letters += len(scene.worker.rows("SELECT 1 FROM outbox")) - before
            try:
                await scene.agree(letters=letters)
            except Exception as error:
                raise AssertionError(f"after: {trouble.__name__}") from error
        assert len(scene.committed()) == letters == len(scene.received())
        assert scene.handler.resets == 0
