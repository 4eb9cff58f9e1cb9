"""The doorbell: a hint over Redis that something waits in PostgreSQL. Losing one costs latency, never a letter."""

import json
import logging
from collections.abc import Iterable
from functools import cache
from typing import Any

import redis
from django.conf import settings

log = logging.getLogger(__name__)
CHANNEL = "grid:doorbell"


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=0.5)


def ring(*, mailboxes: Iterable[int] = (), district: str | None = None) -> None:
    """Wake the hubs: these mailboxes have letters, this district's map has changed. Never raises."""
    tell({"wake": sorted(mailboxes), "district": district})


def tell(message: dict[str, Any]) -> None:
    """Tell every hub; each key is a kind that something registered for with `hub.hears`. Never raises."""
    try:
        _client().publish(CHANNEL, json.dumps(message))
    except redis.RedisError as error:
        log.warning("doorbell not heard, the poll will deliver: %s", error)
