"""The one door for reports, whatever channel they come through."""

from .door import Receipt, receive
from .draft import Draft, channel_for

__all__ = ["Draft", "Receipt", "channel_for", "receive"]
