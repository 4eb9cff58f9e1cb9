"""Django's ORM from the event loop: on a few threads of its own, each with a connection, beside the loop's."""

from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from channels.db import database_sync_to_async

P = ParamSpec("P")
T = TypeVar("T")
_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="sockets-orm")


def in_thread(work: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """Make a coroutine function of one that uses the ORM; four run at a time in a process."""
    return database_sync_to_async(work, thread_sensitive=False, executor=_threads)
