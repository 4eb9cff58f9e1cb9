"""`scripts/soak`: the whole house under random kills, and phones that lose their way; then every set is compared.

Real stores, servers and worker; people with durable phones behind links that are cut or go silent; a dispatcher who
recalls. At the end everything is healed and has to agree: what was committed is what the phones stored, nothing twice.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import environ
import httpx
import psutil
import psycopg
import redis.asyncio as redis

from .clients import Operator, Refused, new_id, photo_of, point_in
from .console import console
from .demo import NotPrepared
from .durable import Dies, DurablePhone, Link, Wish, only_read
from .places import free_port, scratch_place
from .stack import django_environment, start_servers
from .stores import Missing
from .supervisor import ServiceFailed, Supervisor, run_until_told

# Refusals that belong to the story: the dispatcher recalled what the handler was about to do.
EXPECTED_REFUSALS = {"illegal_transition", "not_found", "not_permitted"}
QUICK = {"REALTIME_POLL_SECONDS": "2", "REALTIME_SILENCE_SECONDS": "8"}
SETTLE_SECONDS = 300


def say(text: str) -> None:
    """One line with the time."""
    console.print(f"[dim]{time.strftime('%H:%M:%S')}[/dim] {text}")


@dataclass
class House:
    """What runs, and how its parts are reached beside the public address."""

    supervisor: Supervisor
    env: dict[str, str]
    port: int

    def database(self) -> psycopg.Connection[Any]:
        """A connection of our own, past the house."""
        held = environ.Env.db_url_config(self.env["DATABASE_URL"])
        facts = {"host": held["HOST"], "port": held["PORT"] or None, "user": held["USER"] or None}
        secret = {"password": held["PASSWORD"]} if held["PASSWORD"] else {}
        return psycopg.connect(dbname=held["NAME"], autocommit=True, **facts, **secret)


# --- people -----------------------------------------------------------------------------------------


class District:
    """The people with their phones."""

    def __init__(self, house: House, directory: Path, chance: random.Random, *, every: float) -> None:
        self.house, self.directory, self.chance, self.every = house, directory, chance, every
        self.phones: list[DurablePhone] = []
        self.links: list[Link] = []
        self.recalled = 0
        self.reporting = True

    async def arrive(self, stack: contextlib.AsyncExitStack, people: dict[str, str]) -> None:
        """Give everybody a phone and a link of their own."""
        for username, role in people.items():
            link = await stack.enter_async_context(Link(self.house.port))
            reactions = {"department_handler": self._handle, "street_chief": self._confirm}
            file = self.directory / f"{username}.sqlite"
            phone = DurablePhone(file=file, username=username, url=link.url)
            phone.react = reactions.get(role, only_read)
            await phone.log_in(f"http://127.0.0.1:{self.house.port}")
            self.phones.append(phone)
            self.links.append(link)

    def _handle(self, letter: dict[str, Any]) -> list[Wish]:
        order = letter["payload"].get("order")
        if letter["kind"] not in ("dispatch", "rework") or not order:
            return []
        step, wait = new_id(), self.chance.uniform(0.5, 4)
        content = base64.b64encode(photo_of("soak")).decode()
        return [
            Wish(f"seen-{order}", f"work/{order}/seen", {}, after=wait / 2),
            Wish(key := new_id(), f"work/{order}/take-on", {"id": key}, after=wait),
            Wish(new_id(), "photos", {"submission": step, "content": content}, after=wait + 1),
            Wish(step, f"work/{order}/handled", {"id": step, "note": "已处置"}, after=wait + 1.5),
        ]

    def _confirm(self, letter: dict[str, Any]) -> list[Wish]:
        if letter["kind"] != "confirm":
            return []
        key, resolved = new_id(), self.chance.random() > 0.15
        body = {"id": key, "resolved": resolved, "note": "" if resolved else "仍有残留"}
        return [Wish(key, f"events/{letter['event']}/confirm", body, after=self.chance.uniform(0.5, 3))]

    async def report(self, cells: list[Any], classes: list[Any]) -> None:
        """Workers file reports, dispatched straight to the field, as long as it is asked for."""
        workers = [phone for phone in self.phones if phone.username.startswith("worker")]
        while self.reporting:
            entry, (x, y) = self.chance.choice(classes), point_in(self.chance.choice(cells))
            key = new_id()
            body = {
                **{
                    "id": key,
                    "class": entry["key"],
                    "condition": self.chance.choice(entry["conditions"])["id"],
                },
                **{"description": entry["name"], "x": x, "y": y, "system": "WGS84", "accuracy_m": 8},
            }
            with contextlib.suppress(Exception):  # a phone that is off takes no report
                self.chance.choice(workers).put(Wish(key, "reports", body))
            await asyncio.sleep(self.chance.expovariate(1 / self.every))

    async def recall(self) -> None:
        """A dispatcher withdraws a dispatch now and then, and sends it out again."""
        while self.reporting:
            with contextlib.suppress(Refused, httpx.HTTPError, KeyError, OSError):
                async with Operator(f"http://127.0.0.1:{self.house.port}", "dispatch1") as desk:
                    await desk.log_in()
                    while self.reporting:
                        await asyncio.sleep(self.chance.uniform(1, 4))
                        found = (await desk.get("events?phase=dispatch"))["events"]
                        under_way = [frame for frame in found if frame["status"] == "dispatched"]
                        if not under_way:
                            continue
                        with contextlib.suppress(Refused):
                            event = self.chance.choice(under_way)["id"]
                            await desk.act(event, "recall", reason="改派")
                            self.recalled += 1
                            await desk.act(event, "dispatch")
            await asyncio.sleep(2)


# --- what goes wrong --------------------------------------------------------------------------------


class Trouble:
    """Kills and partitions, one after the other, by chance."""

    def __init__(self, house: House, district: District, chance: random.Random) -> None:
        self.house, self.district, self.chance = house, district, chance
        self.met: Counter[str] = Counter()
        self._links: set[asyncio.Task[None]] = set()

    async def go_on(self) -> None:
        """Until cancelled; what is under way is then waited for."""
        kinds: list[tuple[str, Callable[[], Awaitable[None]], int]] = [
            ("web process killed", self._kill_web, 4),
            ("socket process killed", self._kill_live, 4),
            ("all web processes killed", self._kill_all_web, 2),
            ("worker killed", self._kill_worker, 1),
            ("Redis stopped and started", self._stop_redis, 2),
            ("Redis connections killed", self._cut_redis, 3),
            ("PostgreSQL restarted", self._restart_postgresql, 2),
            ("PostgreSQL crashed", self._crash_postgresql, 1),
            ("PostgreSQL connections killed", self._cut_postgresql, 2),
            ("phones cut off", lambda: self._partition(silent=False), 5),
            ("phones half-open", lambda: self._partition(silent=True), 5),
            ("phones died before storing", lambda: self._die(Dies.BEFORE_STORING), 3),
            ("phones died before acknowledging", lambda: self._die(Dies.BEFORE_ACKNOWLEDGING), 3),
            ("phones died", lambda: self._die(Dies.AT_ONCE), 2),
        ]
        first = list(kinds)
        self.chance.shuffle(first)
        while True:
            # Each kind once, then by weight.
            name, act, _ = (
                first.pop() if first else self.chance.choices(kinds, [kind[2] for kind in kinds])[0]
            )
            say(name)
            await act()
            self.met[name] += 1
            await asyncio.sleep(self.chance.uniform(1, 6))

    async def over(self) -> None:
        """Wait for the partitions that are under way."""
        await asyncio.gather(*self._links)

    def _child_of(self, name: str) -> None:
        with contextlib.suppress(psutil.Error, KeyError):
            children = psutil.Process(self.house.supervisor.process_of(name)).children()
            workers = [child for child in children if "resource_tracker" not in " ".join(child.cmdline())]
            if workers:
                self.chance.choice(workers).kill()

    async def _kill_web(self) -> None:
        self._child_of("pages")

    async def _kill_live(self) -> None:
        self._child_of("live")

    async def _kill_all_web(self) -> None:
        for name in ("pages", "live"):
            with contextlib.suppress(KeyError):
                await self.house.supervisor.interrupt(name, how=signal.SIGKILL, seconds=0.5)

    async def _kill_worker(self) -> None:
        with contextlib.suppress(KeyError):
            await self.house.supervisor.interrupt("worker", how=signal.SIGKILL, seconds=1)

    async def _stop_redis(self) -> None:
        await self.house.supervisor.interrupt("redis", seconds=self.chance.uniform(0, 6))

    async def _cut_redis(self) -> None:
        async with redis.Redis.from_url(self.house.env["REDIS_URL"]) as client:
            for kind in ("normal", "pubsub"):
                await client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")

    async def _restart_postgresql(self) -> None:
        how, seconds = signal.SIGINT, self.chance.uniform(0, 3)
        await self.house.supervisor.interrupt("postgresql", how=how, seconds=seconds, within=60)

    async def _crash_postgresql(self) -> None:
        await self.house.supervisor.interrupt("postgresql", how=signal.SIGKILL, within=60)

    async def _cut_postgresql(self) -> None:
        with self.house.database() as sql:
            sql.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )

    async def _partition(self, *, silent: bool) -> None:
        for link in self.chance.sample(self.district.links, len(self.district.links) // 3):
            task = asyncio.create_task(link.interrupt(self.chance.uniform(0, 10), silent=silent))
            self._links.add(task)
            task.add_done_callback(self._links.discard)

    async def _die(self, how: Dies) -> None:
        for phone in self.chance.sample(self.district.phones, len(self.district.phones) // 4):
            phone.dies = how


# --- the account ------------------------------------------------------------------------------------

LETTERS = """
SELECT box.post_id, box.epoch::text, letter.seq, letter.event_id::text, letter.kind, letter.event_version
FROM realtime_mailbox box JOIN realtime_letter letter ON letter.mailbox_id = box.post_id
WHERE box.post_id = ANY (%s)
"""
NOT_ACKNOWLEDGED = """
SELECT count(*) FROM realtime_letter letter WHERE letter.mailbox_id = ANY (%s) AND letter.received_at IS NULL
"""
KNOWN = """
SELECT id::text FROM fieldops_report UNION ALL SELECT id::text FROM fieldops_transition
UNION ALL SELECT id::text FROM fieldops_photo
"""


def account(house: House, district: District, trouble: Trouble, *, seconds: float, seed: int) -> int:
    """Compare every set, print it, and return the exit code."""
    places = [row for phone in district.phones for row in phone.rows("SELECT mailbox FROM place")]
    with house.database() as sql:
        mine = "SELECT p.id FROM fieldops_post p JOIN fieldops_holding h ON h.post_id = p.id"
        names = [phone.username for phone in district.phones]
        boxes = [
            row[0]
            for row in sql.execute(
                f"{mine} JOIN fieldops_user u ON u.id = h.user_id WHERE u.username = ANY (%s)",
                [names],
            )
        ]
        committed = set(sql.execute(LETTERS, [boxes]).fetchall())
        unacknowledged = sql.execute(NOT_ACKNOWLEDGED, [boxes]).fetchone()
        known = {row[0] for row in sql.execute(KNOWN)}
        twice = sql.execute(
            "SELECT count(*) FROM (SELECT event_id FROM fieldops_report GROUP BY event_id HAVING count(*) > 1) x"
        ).fetchone()
    received = {
        row for phone in district.phones
        for row in phone.rows("SELECT mailbox, epoch, seq, event, kind, version FROM letter")
    }  # fmt: skip
    shown = Counter(row for phone in district.phones for row in phone.rows("SELECT * FROM shown"))
    delays = [row[0] for phone in district.phones for row in phone.rows("SELECT delay FROM letter")]
    outbox = [
        row for phone in district.phones for row in phone.rows("SELECT id, path, state, answer FROM outbox")
    ]
    states = Counter(state for _id, _path, state, _answer in outbox)
    refusals = Counter(answer for *_, state, answer in outbox if state == "refused")
    keyed = [(key, state) for key, path, state, _ in outbox if not path.endswith("/seen")]
    missing = [key for key, state in keyed if state == "sent" and key not in known]
    phantom = [key for key, state in keyed if state == "refused" and key in known]
    gaps = _gaps(committed)
    faults = {
        "lost": len(committed - received),
        "never sent": len(received - committed),
        "duplicated to the user": sum(count - 1 for count in shown.values()),
        "gaps in a mailbox": gaps,
        "not acknowledged": unacknowledged[0] if unacknowledged else -1,
        "still in an outbox": states["waiting"],
        "answered and not stored": len(missing),
        "refused and yet stored": len(phantom),
        "refused without a reason of the story": sum(
            count for code, count in refusals.items() if code not in EXPECTED_REFUSALS
        ),
        "cases of two reports": twice[0] if twice else -1,
        "resets": sum(phone.resets for phone in district.phones),
    }
    console.print()
    for name, count in sorted(trouble.met.items()):
        console.print(f"  {count:4d} × {name}")
    rows: list[tuple[str, Any]] = [
        ("seconds, seed", f"{seconds:.0f}, {seed}"),
        ("phones, deaths of phones", f"{len(district.phones)}, {sum(p.deaths for p in district.phones)}"),
        ("submissions: sent, refused", f"{states['sent']}, {states['refused']} {dict(refusals)}"),
        ("recalls", district.recalled),
        ("letters sent (committed)", len(committed)),
        ("letters acknowledged", len(committed) - faults["not acknowledged"]),
        ("mailboxes", len({row[0] for row in places})),
        *faults.items(),
    ]
    if delays:
        ordered = sorted(delays)
        rows.append(("delay commit → stored, median", f"{ordered[len(ordered) // 2]:.3f} s"))
        rows.append(("delay, 99 of 100", f"{ordered[int(len(ordered) * 0.99)]:.3f} s"))
        rows.append(("longest delay", f"{ordered[-1]:.1f} s"))
    console.print()
    for title, value in rows:
        console.print(f"  {title:42s} {value}", highlight=False, markup=False)
    bars = [{"name": name, "value": count, "bar": 0, "holds": count == 0} for name, count in faults.items()]
    bars.append({"name": "letters sent", "value": len(committed), "bar": 1, "holds": len(committed) >= 1})
    facts: dict[str, Any] = {
        "seconds": round(seconds),
        "seed": seed,
        "acknowledged": len(committed) - faults["not acknowledged"],
    }
    facts |= {"longest_delay_s": round(max(delays, default=0), 1), "trouble": dict(trouble.met)}
    print(json.dumps({"bench": "soak", "bars": bars, **facts}, ensure_ascii=False), flush=True)
    return 0 if all(bar["holds"] for bar in bars) else 1


def _gaps(committed: set[tuple[Any, ...]]) -> int:
    seqs: dict[int, list[int]] = {}
    for box, _epoch, seq, *_ in committed:
        seqs.setdefault(box, []).append(seq)
    return sum(sorted(found) != list(range(1, len(found) + 1)) for found in seqs.values())


# --- all of it --------------------------------------------------------------------------------------


async def run(*, minutes: float, seed: int, every: float) -> int:
    """Live for so long with trouble, heal, settle, compare; return the exit code."""
    chance, port = random.Random(seed), free_port()
    with scratch_place("soak") as place:
        async with Supervisor(place.log) as supervisor, contextlib.AsyncExitStack() as stack:
            env = await django_environment(supervisor, place, durable=True)
            env |= {"DJANGO_DEMO": "1", "PYTHONUNBUFFERED": "1", **QUICK}
            logins = place.base / "logins.txt"
            if await supervisor.run_beside([sys.executable, "-m", "devstack.prepare", str(logins)], env):
                raise NotPrepared
            await start_servers(supervisor, place, env, port=port, kept_up=True)
            house = House(supervisor, env, port)
            district = District(house, place.base, random.Random(seed + 1), every=every)
            await district.arrive(stack, _people(house, chance))
            say(f"{len(district.phones)} phones, {minutes:g} minutes, seed {seed}")
            cells, classes = await _catalogue(port)
            lives = [asyncio.create_task(phone.live()) for phone in district.phones]
            work = [
                asyncio.create_task(district.report(cells, classes)),
                asyncio.create_task(district.recall()),
            ]
            trouble = Trouble(house, district, chance)
            begun = time.monotonic()
            troubling = asyncio.create_task(trouble.go_on())
            try:
                await _go_on(minutes * 60, [*lives, *work, troubling])
                troubling.cancel()
                await asyncio.gather(troubling, return_exceptions=True)
                await trouble.over()
                say("healed; waiting until both sides agree")
                district.reporting = False
                await asyncio.wait(work, timeout=30)
                await _settle(house, district)
            finally:
                for task in (*lives, *work, troubling):
                    task.cancel()
                _, stuck = await asyncio.wait((*lives, *work, troubling), timeout=30)
                if stuck:
                    say(f"{len(stuck)} of the people did not stop")
            return account(house, district, trouble, seconds=time.monotonic() - begun, seed=seed)


async def _go_on(seconds: float, tasks: list[asyncio.Task[Any]]) -> None:
    done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    for task in done:
        task.result()


def _people(house: House, chance: random.Random) -> dict[str, str]:
    with house.database() as sql:
        rows = sql.execute(
            "SELECT u.username, min(p.role) FROM fieldops_user u JOIN fieldops_holding h ON h.user_id = u.id"
            " JOIN fieldops_post p ON p.id = h.post_id"
            " WHERE p.role IN ('grid_worker', 'department_handler', 'street_chief') GROUP BY 1 ORDER BY 1"
        ).fetchall()
    people = dict(rows)
    workers = chance.sample([name for name, role in rows if role == "grid_worker"], 6)
    return {name: role for name, role in people.items() if role != "grid_worker" or name in workers}


async def _catalogue(port: int) -> tuple[list[Any], list[Any]]:
    async with Operator(f"http://127.0.0.1:{port}", "leader") as desk:
        await desk.log_in()
        cells = (await desk.get("grid/cells"))["features"]
    who = {"username": "worker001", "password": "qingshan-demo-2026"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/api/v1/", timeout=20) as http:
        token = (await http.post("login", json=who)).json()["token"]
        found = (await http.get("event-classes", headers={"Authorization": f"Token {token}"})).json()
    return cells, [entry for entry in found if entry["conditions"]]


async def _settle(house: House, district: District) -> None:
    """Until no outbox holds anything and every letter is acknowledged, for a while; at most five minutes."""
    deadline, quiet = time.monotonic() + SETTLE_SECONDS, 0
    while time.monotonic() < deadline and quiet < 4:
        await asyncio.sleep(1)
        waiting = sum(
            phone.rows("SELECT count(*) FROM outbox WHERE state = 'waiting'")[0][0]
            for phone in district.phones
        )
        behind = await asyncio.to_thread(_behind, house, [phone.username for phone in district.phones])
        quiet = quiet + 1 if waiting == 0 and behind == 0 else 0


def _behind(house: House, usernames: list[str]) -> int:
    with house.database() as sql:
        found = sql.execute(
            "SELECT count(*) FROM realtime_letter l JOIN fieldops_holding h ON h.post_id = l.mailbox_id"
            " JOIN fieldops_user u ON u.id = h.user_id WHERE u.username = ANY (%s) AND l.received_at IS NULL",
            [usernames],
        ).fetchone()
    return found[0] if found else 0


def main() -> int:
    """Return 0 when every set agrees, 1 when one does not or the house did not stand up."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    option = parser.add_argument
    option("--minutes", type=float, default=3, help="how long the trouble goes on (default 3)")
    option("--seed", type=int, default=150204, help="what goes wrong, and when")
    option("--every", type=float, default=0.5, help="seconds between reports, on average")
    arguments = parser.parse_args()
    try:
        return run_until_told(run(minutes=arguments.minutes, seed=arguments.seed, every=arguments.every))
    except (Missing, NotPrepared, ServiceFailed) as problem:
        console.print(str(problem), style="red", markup=False, soft_wrap=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
