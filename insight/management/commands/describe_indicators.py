"""`manage.py describe_indicators`: write docs/indicators.md."""

from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils.translation import override

from insight.describe import describe


class Command(BaseCommand):
    """Writes the page."""

    help = "Write docs/indicators.md from the registry of indicators."

    def handle(self, *args: object, **options: object) -> None:
        """In English."""
        with override("en"):
            Path(settings.BASE_DIR, "docs", "indicators.md").write_text(describe(), encoding="utf-8")
