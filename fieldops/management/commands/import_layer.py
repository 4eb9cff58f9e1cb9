"""`manage.py import_layer LAYER FILE [--crs SYSTEM] [--encoding ENCODING] [--dry-run] …`."""

import json
from argparse import ArgumentParser
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from fieldops.geography.imports import Options, bring_in, in_words
from fieldops.models import User
from gridmap.exchange.faults import FileRefused
from gridmap.exchange.layers import LAYERS
from gridmap.exchange.reading import ENCODINGS
from gridmap.management.commands.export_layer import the_district


class Command(BaseCommand):
    help = (
        "Read a layer from a file and put it into the grid, all of it or nothing: GeoJSON, zipped Shapefile (.zip), "
        "GeoPackage (.gpkg) or CSV. Whatever is wrong is told feature by feature, with its place."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("layer", choices=list(LAYERS))
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--crs", default="", help="WGS84, GCJ02, BD09, CGCS2000 or EPSG:…, where the file is silent"
        )
        parser.add_argument("--encoding", default="", help=f"of the text: {', '.join(ENCODINGS)}")
        parser.add_argument("--file-layer", default="", help="which layer, where the file holds several")
        parser.add_argument(
            "--column",
            action="append",
            default=[],
            metavar="COLUMN=NAME",
            help="what the file calls one of our columns; may be repeated",
        )
        parser.add_argument(
            "--tolerance-m", type=float, default=0.05, help="slivers up to this width are closed"
        )
        parser.add_argument(
            "--replace", action="store_true", help="the file is the whole layer: the rest ends"
        )
        parser.add_argument("--units-follow", action="store_true", help="areas follow their cells")
        parser.add_argument(
            "--valid-from", type=date.fromisoformat, help="the local day it comes into force, YYYY-MM-DD"
        )
        parser.add_argument(
            "--draft",
            action="store_true",
            help="draw up a layout and leave it: `layout show`, `layout apply`",
        )
        parser.add_argument("--district", default="", help="its code, where there are several")
        parser.add_argument("--by", default="", help="login of who answers for it")
        parser.add_argument(
            "--dry-run", action="store_true", help="tell what would change, and change nothing"
        )
        parser.add_argument("--faults", type=Path, help="write the faults there, as GeoJSON")

    def handle(self, *args: Any, layer: str, file: Path, **options: Any) -> None:
        district = the_district(options["district"])
        by = User.objects.filter(username=options["by"]).first() if options["by"] else None
        if options["by"] and by is None:
            raise CommandError(_("There is nobody of this login: %s") % options["by"])
        columns = dict(pair.partition("=")[::2] for pair in options["column"])
        names = (
            "crs",
            "encoding",
            "file_layer",
            "tolerance_m",
            "replace",
            "units_follow",
            "valid_from",
        )
        wanted = Options(**{name: options[name] for name in names}, columns=columns)
        dry_run = options["dry_run"]
        try:
            with _progress(self.stderr) as progress:
                task = progress.add_task(_("Import"), total=100)
                outcome = bring_in(
                    file,
                    LAYERS[layer],
                    district,
                    wanted,
                    by=by,
                    draft=options["draft"],
                    dry_run=dry_run,
                    told=lambda percent: progress.update(task, completed=percent),
                )
        except FileRefused as refused:
            if options["faults"]:
                features = [fault.as_json() for fault in refused.faults]
                text = json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False)
                options["faults"].write_text(text, encoding="utf-8")
            told = _("Refused; nothing was changed.")
            raise CommandError(f"{told}\n{refused}") from refused
        reading = outcome.reading
        facts = {"count": len(reading.features), "system": reading.system, "encoding": reading.encoding}
        self.stdout.write(_("%(count)s features read, in %(system)s, text in %(encoding)s") % facts)
        for line in in_words(outcome.summary, outcome.effects, outcome.changes):
            self.stdout.write(f"  {line}")
        if outcome.layout is not None and outcome.layout.takes_effect_at is not None:
            self.stdout.write(_("It comes into force on %s") % options["valid_from"])
        if options["draft"] and outcome.layout is not None and not dry_run:
            self.stdout.write(_("A draft, not in force: %s") % outcome.layout.pk)
            return
        self.stdout.write(_("Nothing was changed: a dry run.") if dry_run else _("Done."))


def _progress(stream: Any) -> Progress:
    console = Console(file=stream, stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console, transient=True)
