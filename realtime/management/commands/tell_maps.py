"""Words to everyone at a live map, such as that the system is about to restart."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from realtime import doorbell


class Command(BaseCommand):
    """Shown for a minute on the pages that are open now; nothing is stored."""

    help = __doc__ or ""

    def add_arguments(self, parser: CommandParser) -> None:
        """The words."""
        parser.add_argument("text")

    def handle(self, *_: Any, text: str, **__: Any) -> None:
        """Ring."""
        doorbell.tell({"notice": {"text": text[:500]}})
