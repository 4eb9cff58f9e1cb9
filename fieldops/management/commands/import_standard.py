"""`manage.py import_standard FILE --edition NAME`."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from fieldops.standard import COLUMNS, StandardRefused, import_standard


class Command(BaseCommand):
    help = f"Load a published handling standard from a CSV file with the columns {', '.join(COLUMNS)}."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--edition", required=True, help="the name of this edition of the table")

    def handle(self, *args: Any, file: Path, edition: str, **options: Any) -> None:
        try:
            loaded = import_standard(file, edition=edition)
        except OSError as error:
            raise CommandError(str(error)) from error
        except StandardRefused as refused:
            for line, column, message in refused.faults:
                where = ", ".join(
                    [*([_("line %(line)s") % {"line": line}] if line else []), *filter(None, [column])]
                )
                self.stderr.write(f"{where}: {message}" if where else message)
            told = _("nothing was loaded: %(count)s faults in %(file)s")
            raise CommandError(told % {"count": len(refused.faults), "file": file}) from None
        told = _("%(edition)s: %(classes)s classes with %(conditions)s conditions")
        self.stdout.write(told % {"edition": edition, **loaded._asdict()})
