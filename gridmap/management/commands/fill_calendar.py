"""`manage.py fill_calendar YEAR [--district CODE]`."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from gridmap.models import District
from gridmap.working_days import YearUnknown, fill_calendar


class Command(BaseCommand):
    help = (
        "Enter a year's public holidays and make-up working days; what people entered stays. "
        "Open deadlines are computed anew within a minute, and provisional ones become firm."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("year", type=int)
        parser.add_argument("--district", help="code of one district (default: every district)")

    def handle(self, *args: Any, year: int, district: str | None, **options: Any) -> None:
        found = District.objects.filter(pk=district) if district else District.objects.all()
        if not found:
            raise CommandError(_("There is no such district."))
        for one in found:
            try:
                entered = fill_calendar(one, year)
            except YearUnknown as error:
                raise CommandError(
                    _("The holidays of %(year)s are not known: due times in it stay provisional.")
                    % {"year": year}
                ) from error
            facts = {"district": one, "year": year, "days": entered}
            self.stdout.write(_("%(district)s, %(year)s: %(days)s days entered") % facts)
