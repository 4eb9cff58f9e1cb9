"""The process that takes fixes from Redis to PostgreSQL; any number of them may run."""

import os
import signal
import socket
import threading
from typing import Any

import redis
from django.core.management.base import BaseCommand
from django.db import Error, close_old_connections, connection

from realtime import tracks

PAUSE_SECONDS = 0.5  # gathers what comes, so that a thousand phones cost two transactions a second
LONGEST_WAIT = 10.0


class Command(BaseCommand):
    help = "Write positions from Redis into the tracks, until told to stop."

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()
        for told in (signal.SIGTERM, signal.SIGINT):
            signal.signal(told, lambda *_: stop.set())
        ahead = False
        consumer = f"{socket.gethostname()}:{os.getpid()}"
        wait = PAUSE_SECONDS
        while not stop.is_set():
            try:
                close_old_connections()
                if not ahead:
                    tracks.make_partitions_ahead()
                    ahead = True
                tracks.write_some(consumer)
                wait = PAUSE_SECONDS
            except (redis.RedisError, Error) as error:
                # Nothing is lost: fixes stay in the stream, and when that is full, in the phones.
                self.stderr.write(f"tracks wait: {error}")
                connection.close()
                wait = min(wait * 2, LONGEST_WAIT)
            stop.wait(wait)
