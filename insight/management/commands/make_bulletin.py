"""`manage.py make_bulletin KIND DAY [--unit CODE]`: the bulletins of the period that holds a day, where missing."""

from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from gridmap.models import GridUnit
from insight.bulletins import LEVELS, make_bulletin
from insight.models import BulletinKind


class Command(BaseCommand):
    help = "Make the bulletins of the day, week or month that holds a local day; those that are there stay as they are."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("kind", choices=BulletinKind.values)
        parser.add_argument("day", type=date.fromisoformat, help="YYYY-MM-DD")
        parser.add_argument(
            "--unit", default="", help="code of one organisation; without it all that get bulletins"
        )

    def handle(self, *args: Any, kind: str, day: date, unit: str, **options: Any) -> None:
        units = (
            GridUnit.objects.in_force().filter(level__in=LEVELS).select_related("district").defer("boundary")
        )
        found = list(units.filter(code=unit) if unit else units)
        if not found:
            raise CommandError(_("There is no organisation %(feature)s in force") % {"feature": unit})
        try:
            made = sum(make_bulletin(one, kind, day) for one in found)
        except ValueError as error:
            raise CommandError(_("This period has not ended, or not settled yet")) from error
        self.stdout.write(_("%(count)s bulletins made") % {"count": made})
