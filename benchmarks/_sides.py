"""The other sides of the socket measurements: a bare ASGI loop, and plain Channels on both layers of channels_redis.

`SIDE` names the side, `REDIS_URL` the node; `uvicorn benchmarks._sides:application` serves it.
"""

import asyncio
import os
from typing import Any

import redis.asyncio as redis

SIDE, NODE = os.environ.get("SIDE", ""), os.environ["REDIS_URL"]
LAYERS = {
    "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
    "core": "channels_redis.core.RedisChannelLayer",
}
CHANNEL = "bench:bare"


def layers(kind: str) -> dict[str, Any]:
    """CHANNEL_LAYERS for one layer; without redis-py's own socket timeout, which ends idle connections."""
    return {
        "default": {
            "BACKEND": LAYERS[kind],
            "CONFIG": {"hosts": [{"address": NODE, "socket_timeout": None}]},
        }
    }


class Bare:
    """The least an ASGI application can do: keep each `send`, await one after the other."""

    def __init__(self) -> None:
        self.sends: list[Any] = []
        self.task: asyncio.Task[None] | None = None

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """One socket."""
        self.task = self.task or asyncio.create_task(self.hear())
        await receive()
        await send({"type": "websocket.accept"})
        self.sends.append(send)
        try:
            while (await receive())["type"] != "websocket.disconnect":
                pass
        finally:
            self.sends.remove(send)

    async def hear(self) -> None:
        """From Redis to every socket."""
        async with redis.Redis.from_url(NODE, socket_timeout=None) as client, client.pubsub() as bus:
            await bus.subscribe(CHANNEL)
            async for message in bus.listen():
                if message["type"] == "message":
                    frame = {"type": "websocket.send", "text": message["data"].decode()}
                    for send in self.sends:
                        await send(frame)


def _plain() -> Any:
    from django.conf import settings

    settings.configure(CHANNEL_LAYERS=layers(SIDE))
    from channels.generic.websocket import AsyncWebsocketConsumer

    class Plain(AsyncWebsocketConsumer):
        groups = ["all"]

        async def notice(self, event: dict[str, Any]) -> None:
            await self.send(event["text"])

    return Plain.as_asgi()


application: Any = Bare() if SIDE == "bare" else _plain() if SIDE in LAYERS else None
