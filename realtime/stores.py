"""The connection to Redis that synchronous code shares."""

from functools import cache
from typing import Any

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry


@cache
def store() -> Any:
    """Redis, as text. Refuses within a second when it is not there: what needs it has a polite answer for that.

    Untyped, because redis-py declares every answer as possibly awaitable.
    """
    return redis.Redis.from_url(
        settings.REDIS_URL,
        decode_responses=True,
        socket_timeout=1,
        socket_connect_timeout=0.5,
        # One more try, for a connection that a restart of Redis has cut.
        retry=Retry(NoBackoff(), 1),
    )
