"""Ways out of the house: one file per adapter, named in the setting NOTIFY_ADAPTERS.

An adapter is a module with two functions:

- `check(address)` raises ValueError, in words for people, when it could never send there;
- `send(message, address)` sends, or raises NotSent. It has to end within NOTIFY_TIMEOUT_SECONDS or so, and gives
  `message.key` to the receiver: a message whose success was not noted is sent again, with the same key.
"""

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Protocol
from uuid import UUID

from django.conf import settings


@dataclass(frozen=True)
class Message:
    """What leaves the house: no word of reporters, nothing that was typed in. `key` is its idempotency key."""

    key: UUID
    subject: str
    text: str
    facts: dict[str, str]


class NotSent(Exception):
    """It did not work now; with `for_good` there is no use in trying again."""

    def __init__(self, why: str, *, for_good: bool = False) -> None:
        super().__init__(why)
        self.for_good = for_good


class Adapter(Protocol):
    """What a module named in NOTIFY_ADAPTERS offers."""

    def check(self, address: str) -> None:
        """Raise ValueError when this can never be an address."""

    def send(self, message: Message, address: str) -> None:
        """Send, or raise NotSent."""


@cache
def adapter(name: str) -> Adapter:
    """The adapter of this name; raises KeyError when the installation has none."""
    module: Adapter = import_module(settings.NOTIFY_ADAPTERS[name])
    return module
