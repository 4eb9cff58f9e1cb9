"""A living district for the demo: reports through the public API, operators at the desks, phones in the field.

Everything goes through the interfaces that people use; nothing here touches the database.
"""

import argparse
import asyncio
import contextlib
import math
import random
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import uuid_utils.compat as uuid
import websockets
from rich.console import Console
from shapely.geometry import shape

from .clients import Operator, Phone, Refused, new_id, point_in
from .journey import demo_people

console = Console(highlight=False, soft_wrap=True)
METRES_A_FIX = 8
WORDS = [
    "居民反映，请尽快处理。",
    "巡查发现，影响通行。",
    "昨夜大风后出现，需现场查看。",
    "位于小区出入口附近，老人出行不便。",
    "雪后结冰路段旁，存在安全隐患。",
    "沿街商户反映多次。",
]
NAMES = [
    ("王秀兰", "13900001111"),
    ("李强", "13700002222"),
    ("其其格", "15000003333"),
    ("巴特尔", "15100004444"),
]


class District:
    """The simulated people and the pace they live at."""

    def __init__(self, base_url: str, *, every: float, seed: int) -> None:
        self.base_url, self.every = base_url, every
        self.chance = random.Random(seed)
        self._communities: dict[str, Any] = {}
        self._map_asked = asyncio.Lock()
        self.counts = {"reports": 0, "dispatched": 0, "closed": 0, "refused": 0}

    async def run(self) -> None:
        """Live until cancelled."""
        people = demo_people()
        names = sorted(set(people.values()))
        workers = self.chance.sample([n for n in names if n.startswith("worker")], 6)
        reporters = [*workers, "resident1", "resident2"]
        handlers = [n for n in names if n.startswith("dept_")]
        chiefs = [n for n in names if n.startswith("chief")]
        async with asyncio.TaskGroup() as group:
            group.create_task(self._guard(self._intake_desk, "intake1"))
            group.create_task(self._guard(self._dispatch_desk, "dispatch1"))
            group.create_task(self._guard(self._report, reporters))
            for name in self.chance.sample([n for n in names if n.startswith("worker")], 20):
                group.create_task(self._guard(self._patrol, name))
            for name in handlers:
                group.create_task(self._guard(self._handle, name))
            for name in chiefs:
                group.create_task(self._guard(self._confirm, name))
            group.create_task(self._tell())

    async def _guard(self, life: Any, *arguments: Any) -> None:
        """A simulated person who meets an error tries again, as people do."""
        await asyncio.sleep(self.chance.uniform(0, 5))
        while True:
            try:
                await life(*arguments)
            except (Refused, httpx.HTTPError, OSError, websockets.WebSocketException) as error:
                self.counts["refused"] += 1
                console.print(f"[dim]simulator: {error}[/dim]")
            await asyncio.sleep(self.chance.uniform(2, 6))

    async def _pause(self, low: float, high: float) -> None:
        await asyncio.sleep(self.chance.uniform(low, high))

    async def _report(self, reporters: list[str]) -> None:
        async with contextlib.AsyncExitStack() as stack:
            phones = [await stack.enter_async_context(Phone(self.base_url, name)) for name in reporters]
            for phone in phones:
                await phone.log_in()
            catalogue = [entry for entry in await phones[0].get("event-classes") if entry["conditions"]]
            operator = await stack.enter_async_context(Operator(self.base_url, "intake2"))
            await operator.log_in()
            cells = (await operator.get("grid/cells"))["features"]
            while True:
                phone = self.chance.choice(phones)
                await self._file_one(phone, self.chance.choice(catalogue), self.chance.choice(cells))
                await asyncio.sleep(self.chance.expovariate(1 / self.every))

    async def _file_one(self, phone: Phone, entry: dict[str, Any], cell: dict[str, Any]) -> None:
        x, y = point_in(cell)
        resident = phone.username.startswith("resident")
        body: dict[str, Any] = {
            "id": new_id(),
            "class": entry["key"],
            "description": f"{entry['name']}。{self.chance.choice(WORDS)}",
            "x": x,
            "y": y,
            "system": "WGS84",
            "accuracy_m": round(self.chance.uniform(3, 40), 1),
        }
        if resident:
            name, telephone = self.chance.choice(NAMES)
            body["contact"] = {"name": name, "phone": telephone}
        else:
            body["condition"] = self.chance.choice(entry["conditions"])["id"]
        if self.chance.random() < 0.5:
            await phone.take_photo(body["id"], entry["key"])
        await phone.post("reports", **body)
        self.counts["reports"] += 1

    async def _patrol(self, username: str) -> None:
        """On duty, from one place of the own community to another, by bicycle; now and then out of it."""
        await self._pause(0, 90)  # not everybody logs in at once
        async with Phone(self.base_url, username) as phone:
            await phone.log_in()
            if (await phone.get("shift"))["shift"] is None:
                await phone.post("shift/start", id=new_id())
            await phone.patrol(self._walk(await self._home(phone.me["posts"][0]["unit"])))

    async def _home(self, unit: str) -> Any:
        """The area of a community, by its name."""
        async with self._map_asked:
            if not self._communities:
                async with Operator(self.base_url, "leader") as operator:
                    await operator.log_in()
                    for one in (await operator.get("grid/4"))["features"]:
                        self._communities[one["properties"]["name"]] = shape(one["geometry"])
        return self._communities[unit]

    async def _walk(self, home: Any) -> AsyncIterator[dict[str, Any]]:
        """A fix every two seconds, with a phone's noise; degrees."""
        x, y = home.representative_point().coords[0]
        west, south, east, north = home.buffer(0.002).bounds
        battery = self.chance.uniform(30, 100)
        while True:
            to_x, to_y = self.chance.uniform(west, east), self.chance.uniform(south, north)
            accuracy = self.chance.choice([4, 6, 8, 12, 20, 35])
            steps = max(1, round(math.hypot(to_x - x, to_y - y) / METRES_A_FIX * 90_000))
            for step in range(1, steps + 1):
                noise = accuracy / 2 / 90_000
                yield {
                    "at": datetime.now(UTC).isoformat(),
                    "x": x + (to_x - x) * step / steps + self.chance.gauss(0, noise),
                    "y": y + (to_y - y) * step / steps + self.chance.gauss(0, noise),
                    "system": "WGS84",
                    "accuracy_m": accuracy,
                    "battery": round(battery),
                }
                battery = max(5.0, battery - 0.002)
                await asyncio.sleep(2)
            x, y = to_x, to_y
            await self._pause(5, 40)

    async def _intake_desk(self, username: str) -> None:
        async with Operator(self.base_url, username) as operator:
            await operator.log_in()
            while True:
                for frame in reversed((await operator.get("events?phase=intake"))["events"]):
                    await self._pause(1, 4)
                    case = await operator.get(f"events/{frame['id']}")
                    actions = {action["name"]: action for action in case["actions"]}
                    with contextlib.suppress(Refused):
                        if "accept" in actions:
                            if self.chance.random() < 0.06:
                                await operator.act(
                                    frame["id"], "decline", reason="不属于城市管理受理范围，已告知诉求人。"
                                )
                                continue
                            case = await operator.act(frame["id"], "accept", version=case["version"])
                            actions = {action["name"]: action for action in case["actions"]}
                        if "file" in actions:
                            [field] = actions["file"]["fields"]
                            condition = field["value"] or self.chance.choice(field["choices"])["value"]
                            await operator.act(
                                frame["id"], "file", condition=condition, version=case["version"]
                            )
                await self._pause(3, 6)

    async def _dispatch_desk(self, username: str) -> None:
        async with Operator(self.base_url, username) as operator:
            await operator.log_in()
            while True:
                for frame in reversed((await operator.get("events?phase=dispatch"))["events"]):
                    if frame["status"] != "assigned":
                        continue
                    await self._pause(1, 4)
                    case = await operator.get(f"events/{frame['id']}")
                    action = next((a for a in case["actions"] if a["name"] == "dispatch"), None)
                    if action and action["fields"][0]["choices"]:
                        with contextlib.suppress(Refused):
                            post = action["fields"][0]["value"]
                            await operator.act(frame["id"], "dispatch", post=post, version=case["version"])
                            self.counts["dispatched"] += 1
                await self._pause(3, 6)

    async def _handle(self, username: str) -> None:
        async with Phone(self.base_url, username) as phone:
            await phone.log_in()
            async with asyncio.TaskGroup() as group:
                async for letter in phone.letters():
                    if letter["kind"] in ("dispatch", "rework"):
                        group.create_task(self._work(phone, letter["payload"]["order"]))

    async def _work(self, phone: Phone, order: str) -> None:
        # A letter that comes again after a lost acknowledgement, or an order already dealt with, is refused.
        with contextlib.suppress(Refused, httpx.HTTPError):
            await self._pause(2, 10)
            await phone.post(f"work/{order}/seen")
            await self._pause(1, 8)
            await phone.post(f"work/{order}/take-on", id=new_id())
            await self._pause(10, 90)
            key = str(uuid.uuid7())
            await phone.take_photo(key, "handled")
            await phone.post(f"work/{order}/handled", id=key, note="已处置完毕。")

    async def _confirm(self, username: str) -> None:
        async with Phone(self.base_url, username) as phone:
            await phone.log_in()
            async with asyncio.TaskGroup() as group:
                async for letter in phone.letters():
                    if letter["kind"] == "confirm":
                        group.create_task(self._look(phone, letter))

    async def _look(self, phone: Phone, letter: dict[str, Any]) -> None:
        with contextlib.suppress(Refused, httpx.HTTPError):
            await self._pause(5, 40)
            resolved = self.chance.random() > 0.08
            x, y = letter["payload"]["point"]
            await phone.post(
                f"events/{letter['event']}/confirm",
                id=new_id(),
                resolved=resolved,
                note="现场已恢复。" if resolved else "现场仍有残留，需返工。",
                x=x + self.chance.gauss(0, 1e-4),
                y=y + self.chance.gauss(0, 1e-4),
                system="WGS84",
                accuracy_m=10,
            )
            self.counts["closed"] += resolved

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(30)
            console.print(
                "[dim]simulator: " + ", ".join(f"{k} {v}" for k, v in self.counts.items()) + "[/dim]"
            )


def main() -> int:
    """Run until stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--every", type=float, default=3.0, help="seconds between reports, on average")
    parser.add_argument("--seed", type=int, default=150204)
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(
            District(arguments.base_url.rstrip("/"), every=arguments.every, seed=arguments.seed).run()
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
