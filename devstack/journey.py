"""One report's way to closure, driven through the real HTTP and WebSocket interfaces; prints its timeline."""

import argparse
import asyncio
import contextlib
import json
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import websockets
from rich.console import Console

from .clients import Operator, Phone, new_id, point_in, until

CLASS, DESCRIPTION = "event/0110", "小区东门外的生活垃圾堆在桶边，风一吹到处都是。"
LOCAL = ZoneInfo("Asia/Shanghai")
console = Console(highlight=False, soft_wrap=True)


def demo_people() -> dict[int, str]:
    """Who holds which post in the demo: post id → user name."""
    out = subprocess.run(
        [sys.executable, "manage.py", "demo_logins", "--json"], check=True, capture_output=True, text=True
    ).stdout
    return {post["id"]: person["username"] for person in json.loads(out) for post in person["posts"]}


def say(step: str, text: str, at: str | None = None) -> None:
    """One line of the timeline."""
    moment = datetime.fromisoformat(at).astimezone(LOCAL) if at else datetime.now(LOCAL)
    console.print(f"[dim]{moment:%H:%M:%S.%f}[/dim]"[:-9] + f"[/dim]  [bold]{step:<14}[/bold] {text}")


@contextlib.asynccontextmanager
async def watching_the_map(operator: Operator) -> AsyncIterator[dict[str, dict[str, Any]]]:
    """The newest frame of each case, as the operator's live map receives them."""
    held: dict[str, dict[str, Any]] = {}
    cookie = f"sessionid={operator.http.cookies['sessionid']}"
    address = operator.base_url.replace("http", "ws", 1) + "/ws/map"
    headers = {"Cookie": cookie, "Origin": operator.base_url}
    async with websockets.connect(address, additional_headers=headers) as socket:
        assert json.loads(await socket.recv())["type"] == "hello"

        async def read() -> None:
            async for raw in socket:
                frame = json.loads(raw)
                for event in frame.get("events", []):
                    held[event["id"]] = event

        reader = asyncio.create_task(read())
        try:
            yield held
        finally:
            reader.cancel()


async def next_letter(phone: Phone, kind: str, event: str) -> dict[str, Any]:
    """The letter of this kind about this case; it is acknowledged once it has been dealt with."""
    found: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    async def read() -> None:
        async for letter in phone.letters():
            if letter["kind"] == kind and letter["event"] == event and not found.done():
                found.set_result(letter)

    # The reader goes on after the letter was found: it is the return to the stream that acknowledges it.
    reader = asyncio.create_task(read())
    try:
        async with asyncio.timeout(15):
            letter = await found
            await asyncio.sleep(0.3)
            return letter
    except TimeoutError:
        raise TimeoutError(f"no letter “{kind}” reached {phone.username} within 15 s") from None
    finally:
        reader.cancel()


async def run(base_url: str) -> None:
    """Drive the journey; raises with what failed."""
    people = demo_people()
    async with contextlib.AsyncExitStack() as stack:
        resident = await stack.enter_async_context(Phone(base_url, "resident1"))
        intake = await stack.enter_async_context(Operator(base_url, "intake1"))
        dispatcher = await stack.enter_async_context(Operator(base_url, "dispatch1"))
        for someone in (resident, intake, dispatcher):
            await someone.log_in()
        live = await stack.enter_async_context(watching_the_map(dispatcher))
        await _someone_is_on_duty(stack, base_url)

        catalogue = {entry["key"]: entry for entry in await resident.get("event-classes")}
        x, y = point_in(secrets.choice((await intake.get("grid/cells"))["features"]))
        event_class = catalogue[CLASS]
        report = {
            "id": new_id(),
            "class": CLASS,
            "description": DESCRIPTION,
            "x": x,
            "y": y,
            "system": "WGS84",
            "accuracy_m": 12,
            "contact": {"name": "张建国", "phone": "13800001234"},
        }
        filed = await resident.post("reports", **report)
        event = filed["event"]["id"]
        say("report 上报", f"{filed['event']['number']}  {DESCRIPTION}", filed["received_at"])
        say(
            "locate 定位",
            f"cell {filed['cell']}: " + " › ".join(level["name"] for level in filed["levels"][:5]),
        )
        again = await resident.post("reports", **report)
        assert again["event"]["id"] == event, "the same submission made another case"
        await until(_shown(live, event, "located"), seconds=10, what="the case on the live map")
        say("live map 地图", "the marker is there, without reload")

        await intake.act(event, "accept")
        condition = event_class["conditions"][0]
        case = await intake.act(event, "file", condition=condition["id"])
        say(
            "file 立案",
            f"{event_class['key']} {event_class['name']}: {condition['text']}（{condition['limit_text']}）",
        )
        say("assign 分派", f"{case['responsibility']['department']} — {case['responsibility']['why']}")

        case = await dispatcher.get(f"events/{event}")
        choices = next(a for a in case["actions"] if a["name"] == "dispatch")["fields"][0]
        case = await dispatcher.act(event, "dispatch", post=choices["value"], version=case["version"])
        order = case["work_orders"][-1]
        say("dispatch 派遣", f"to {order['post']}, due {_local(order['due_at'])}", order["dispatched_at"])

        handler = await stack.enter_async_context(Phone(base_url, people[choices["value"]]))
        await handler.log_in()
        letter = await next_letter(handler, "dispatch", event)
        case = await until(_received(dispatcher, event), seconds=5, what="the acknowledgement")
        order = case["work_orders"][-1]
        say("letter 送达", f"#{letter['seq']} on {handler.me['name']}'s phone", order["sent_at"])
        say("ack 回执", "stored on the phone", order["received_at"])

        await handler.post(f"work/{order['id']}/seen")
        step = await handler.post(f"work/{order['id']}/take-on", id=new_id())
        say("take on 接单", handler.me["name"], step["recorded_at"])
        key = new_id()
        await handler.take_photo(key, "handled")
        step = await handler.post(f"work/{order['id']}/handled", id=key, note="已清运，桶身已冲洗。")
        say("handle 处置", "with a photo", step["recorded_at"])

        chief = await _chief_of(stack, base_url, people, filed["levels"][2]["name"])
        await next_letter(chief, "confirm", event)
        spot = {"x": report["x"], "y": report["y"], "system": "WGS84", "accuracy_m": 8}
        step = await chief.post(
            f"events/{event}/confirm", id=new_id(), resolved=True, note="现场干净。", **spot
        )
        say(
            "confirm 确认",
            f"{chief.me['name']}, {chief.me['posts'][0]['name']}, on site",
            step["recorded_at"],
        )

        closed = await resident.get(f"reports/{report['id']}")
        assert closed["event"]["status"] == "closed", f"the case ended {closed['event']['status']}"
        await next_letter(resident, "answer", event)
        await until(_shown(live, event, "closed"), seconds=10, what="the closed case on the live map")
        case = await dispatcher.get(f"events/{event}")
        say("close 结案", "the reporter has the answer", case["timeline"][-1]["occurred_at"])
        kinds = [entry["kind"] for entry in case["timeline"]]
        wanted = [
            "report",
            "locate",
            "accept",
            "file",
            "assign",
            "dispatch",
            "take_on",
            "handle",
            "confirm",
            "close",
        ]
        assert kinds == wanted, f"history {kinds}"
        console.print(f"[green]closed:[/green] {len(kinds)} steps, each one transition: {' → '.join(kinds)}")


async def _someone_is_on_duty(stack: contextlib.AsyncExitStack, base_url: str) -> None:
    """A grid worker clocks in and is where the phone says; off duty, positions are refused."""
    worker = await stack.enter_async_context(Phone(base_url, "worker001"))
    await worker.log_in()
    fix = {"x": 109.9, "y": 40.65, "system": "WGS84", "accuracy_m": 8, "battery": 80}

    async def send() -> str:
        at = datetime.now(LOCAL).isoformat()
        body = {"device": str(worker.device), "positions": [{"at": at, **fix}]}
        [result] = (await worker.post("positions", **body))["results"]
        return result.get("code", result["status"])

    started = await worker.post("shift/start", id=new_id())
    assert await send() == "stored", "a position on duty was not taken"
    say(
        "on duty 上岗",
        f"{worker.me['name']}, {worker.me['posts'][0]['name']}",
        started["shift"]["started_at"],
    )
    await worker.post("shift/end", id=started["shift"]["id"])
    assert await send() == "off_duty", "a position was taken off duty"


def _shown(live: dict[str, dict[str, Any]], event: str, status: str) -> Any:
    async def look() -> bool:
        return live.get(event, {}).get("status") == status

    return look


def _received(operator: Operator, event: str) -> Any:
    async def look() -> Any:
        case = await operator.get(f"events/{event}")
        return case if case["work_orders"][-1]["received_at"] else None

    return look


async def _chief_of(
    stack: contextlib.AsyncExitStack,
    base_url: str,
    people: dict[int, str],
    street: str,
) -> Phone:
    """The street chief of the case's street."""
    for username in sorted({name for name in people.values() if name.startswith("chief")}):
        chief = await stack.enter_async_context(Phone(base_url, username))
        await chief.log_in()
        if any(street.startswith(post["unit"]) for post in chief.me["posts"]):
            return chief
    raise LookupError(f"no street chief for {street}")


def _local(iso: str) -> str:
    return f"{datetime.fromisoformat(iso).astimezone(LOCAL):%m-%d %H:%M}"


def main() -> int:
    """Exit 0 when the case closed, 1 with what failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-url", required=True)
    arguments = parser.parse_args()
    try:
        asyncio.run(run(arguments.base_url.rstrip("/")))
    except Exception as error:
        console.print(f"[red]failed:[/red] {type(error).__name__}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
