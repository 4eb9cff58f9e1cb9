"""The doorbell: a hint over Redis that something waits in PostgreSQL. Losing one costs latency, never a letter.

A small letter is enclosed, so that who waits right before it need not have it read again.
"""

import json
import logging
import time
import zlib
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

import redis
from django.conf import settings

log = logging.getLogger(__name__)
CHANNEL = "grid:doorbell"
MOST_ENCLOSED = 32  # letters with one ring; more are read from PostgreSQL
LEFT_ALONE_SECONDS = 5.0  # a node that did not answer holds up no further step for so long

_unwell: dict[str, float] = {}


@cache
def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=0.5)


class Enclosed(NamedTuple):
    """A letter as it goes with the bell; `holders` held its post when it was written."""

    mailbox: int
    epoch: str
    seq: int
    holders: list[int]
    frame: str


def ring(
    *, letters: Sequence[Enclosed] = (), mailboxes: Iterable[int] = (), cases: Iterable[str] = ()
) -> None:
    """Wake the hubs: these letters were written, these mailboxes changed, these cases on the map. Never raises."""
    woken = set(mailboxes)
    if len(letters) > MOST_ENCLOSED:
        woken.update(letter.mailbox for letter in letters)
        letters = ()
    tell({"letters": letters, "wake": sorted(woken), "cases": list(cases)})


def tell(message: dict[str, Any]) -> None:
    """Tell every hub; each key is a kind that something registered for with `hub.hears`. Never raises.

    Every hub listens on all nodes, so one node is enough: the message picks where to begin, and a node that does not
    answer, or where nobody listens, passes it on to the next.
    """
    text, now = json.dumps(message, ensure_ascii=False), time.monotonic()
    nodes = settings.REALTIME_REDIS_URLS
    begin = zlib.crc32(text.encode()) % len(nodes)
    in_turn = nodes[begin:] + nodes[:begin]
    for url in sorted(in_turn, key=lambda url: _unwell.get(url, 0) > now):
        try:
            if _client(url).publish(CHANNEL, text):
                return
        except redis.RedisError as error:
            _unwell[url] = now + LEFT_ALONE_SECONDS
            log.warning("doorbell not heard, the poll will deliver: %s", error)
