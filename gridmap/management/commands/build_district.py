"""`manage.py build_district [--folder FOLDER] [--seed N] [--reset]`."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from gridmap.loading import SEED, DistrictInUse, build_district


class Command(BaseCommand):
    help = (
        "Draw a district's streets, communities, party groups and cells inside its outline and store them. "
        "Everything inside the outline is synthetic; the same seed draws the same district."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--folder",
            type=Path,
            default=Path(settings.BASE_DIR, "fixtures", "qingshan"),
            help="outline, official divisions and seeds of the district (default: the demo district)",
        )
        parser.add_argument(
            "--seed", type=int, default=SEED, help=f"of the chance it draws by (default {SEED})"
        )
        parser.add_argument("--reset", action="store_true", help="draw it anew; refused once it has cases")

    def handle(self, *args: Any, folder: Path, seed: int, reset: bool, **options: Any) -> None:
        try:
            district, drawn = build_district(folder, seed=seed, reset=reset)
        except (OSError, ValueError, DistrictInUse) as error:
            raise CommandError(str(error)) from error
        facts = {"district": district, "units": district.units.count(), "cells": district.cells.count()}
        if drawn:
            self.stdout.write(_("%(district)s drawn: %(units)s organisations, %(cells)s cells") % facts)
        else:
            self.stdout.write(
                _("%(district)s is there already: %(units)s organisations, %(cells)s cells") % facts
            )
