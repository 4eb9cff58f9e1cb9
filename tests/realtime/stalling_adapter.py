"""An adapter that writes the key of every message to the file $SENT_KEYS and, with $STALLS, never comes back."""

import os
import time
from pathlib import Path

from realtime.notify import Message


def check(address: str) -> None:
    """Anything will do."""


def send(message: Message, address: str) -> None:
    with Path(os.environ["SENT_KEYS"]).open("a") as file:
        file.write(f"{message.key}\n")
    while os.environ.get("STALLS"):
        time.sleep(1)
