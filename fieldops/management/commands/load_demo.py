"""`manage.py load_demo`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from fieldops.demo import DemoRefused, load_demo
from fieldops.standard import StandardRefused


class Command(BaseCommand):
    help = "Load the demo district Qingshan with people who all have the same known password."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            loaded = load_demo()
        except (DemoRefused, StandardRefused) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            _("The demo district is loaded.") if loaded else _("The demo district is there already.")
        )
