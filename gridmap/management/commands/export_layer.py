"""`manage.py export_layer LAYER FILE [--crs SYSTEM] [--encoding ENCODING] [--district CODE] [--on DAY]`."""

from argparse import ArgumentParser
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from gridmap.coordinates import ImplausiblePosition, UnknownCoordinateSystem
from gridmap.exchange.layers import LAYERS
from gridmap.exchange.reading import ENCODINGS
from gridmap.exchange.writing import export_layer
from gridmap.models import District


def the_district(code: str) -> District:
    """The one that is named, or the only one there is. Raises CommandError."""
    found = District.objects.filter(code=code) if code else District.objects.all()
    if len(found) != 1:
        raise CommandError(
            _("Name a district: %s") % ", ".join(District.objects.values_list("code", flat=True))
        )
    return found[0]


class Command(BaseCommand):
    help = (
        "Write a layer to a file: GeoJSON (.geojson), zipped Shapefile (.zip), GeoPackage (.gpkg) or CSV (.csv), "
        "in any coordinate system. import_layer reads it again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("layer", choices=list(LAYERS))
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--crs", default="WGS84", help="WGS84, GCJ02, BD09, CGCS2000 or EPSG:… (default WGS84)"
        )
        parser.add_argument(
            "--encoding", default="UTF-8", choices=ENCODINGS, help="of a Shapefile's or CSV's text"
        )
        parser.add_argument("--district", default="", help="its code, where there are several")
        parser.add_argument(
            "--on", type=date.fromisoformat, help="the layout at the end of that day, YYYY-MM-DD"
        )

    def handle(self, *args: Any, layer: str, file: Path, on: date | None, **options: Any) -> None:
        district = the_district(options["district"])
        facts = {"crs": options["crs"], "encoding": options["encoding"], "on": on}
        try:
            count, system = export_layer(file, LAYERS[layer], district, **facts)
        except (UnknownCoordinateSystem, ImplausiblePosition, ValueError, OSError) as error:
            raise CommandError(str(error)) from error
        told = _("%(count)s features written to %(file)s, in %(system)s")
        self.stdout.write(told % {"count": count, "file": file, "system": system.name})
