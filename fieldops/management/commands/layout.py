"""`manage.py layout VERB …`: boundaries change as a draft, then at once."""

import json
from argparse import ArgumentParser
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import shapely
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils.translation import gettext as _

from fieldops.errors import BoundariesRefused, DomainError
from fieldops.geography.boundaries import apply_layout, effects_in_words, what_if
from fieldops.models import User
from fieldops.places import line_of
from gridmap.layouts import (
    LayoutRefused,
    LayoutSettled,
    check_layout,
    day_begins,
    diff,
    differences_in_words,
    discard_layout,
    draft_layout,
    hand_over,
    merge_cells,
    split_cell,
)
from gridmap.management.commands.export_layer import the_district
from gridmap.models import Layout, LayoutState
from gridmap.topology import TOLERANCE_M, as_geojson


class Command(BaseCommand):
    help = (
        "Change boundaries: begin a draft (or import_layer … --draft), merge, split and hand over cells in it, "
        "see what it would do, then apply or discard it. Every verb is one transaction; whatever is wrong is told "
        "with its place."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--district", default="", help="its code, where there are several")
        parser.add_argument("--by", default="", help="login of who answers for it")
        parser.add_argument("--faults", type=Path, help="write the faults there, as GeoJSON")
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser(
            "list", help="the drafts, newest first; with --all the settled ones, too"
        ).add_argument("--all", action="store_true")
        begin = verbs.add_parser("begin", help="an empty draft; prints its id")
        begin.add_argument("title")
        begin.add_argument(
            "--valid-from", type=date.fromisoformat, help="the local day it comes into force, YYYY-MM-DD"
        )
        begin.add_argument(
            "--tolerance-m", type=float, default=TOLERANCE_M, help="slivers up to this width close"
        )

        def verb(name: str, told: str) -> ArgumentParser:
            of_one: ArgumentParser = verbs.add_parser(name, help=told)
            of_one.add_argument("layout", type=UUID, help="its id")
            return of_one

        verb("show", "what it changes, what that moves, and what speaks against it")
        merge = verb("merge", "make one cell of neighbours with the same owners")
        merge.add_argument("cells", nargs="+", metavar="CELL")
        merge.add_argument(
            "--code", default="", help="of the cell they make; by default the lowest of theirs"
        )
        split = verb("split", "cut a cell along a line")
        split.add_argument("cell")
        split.add_argument("--line", required=True, metavar="'X Y, X Y…'", help="its corners")
        split.add_argument(
            "--system", required=True, help="the coordinate system of the corners: WGS84, GCJ02, EPSG:4546…"
        )
        split.add_argument("--code", action="append", default=[], help="of each part, in reading order")
        over = verb("hand-over", "give cells or organisations to another organisation")
        over.add_argument("what", nargs="+", metavar="CODE")
        over.add_argument(
            "--to", required=True, help="code of the new owner; of a cell a party or regional group"
        )
        verb("apply", "put it in force now, with the open cases and the elements")
        verb("discard", "give it up")

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        by = User.objects.filter(username=options["by"]).first() if options["by"] else None
        if options["by"] and by is None:
            raise CommandError(_("There is nobody of this login: %s") % options["by"])
        try:
            if verb in ("list", "begin"):
                self._of_all(verb, options, by)
            else:
                self._of_one(verb, _layout(options["layout"]), options, by)
        except BoundariesRefused as refused:
            self._refuse(str(refused.detail), refused.facts["faults"], options["faults"])
        except LayoutRefused as refused:
            self._refuse(str(refused), as_geojson(refused.faults), options["faults"])
        except ValidationError as refused:
            raise CommandError(" ".join(refused.messages)) from refused
        except (LayoutSettled, DomainError) as refused:
            raise CommandError(str(refused)) from refused

    def _of_all(self, verb: str, options: dict[str, Any], by: User | None) -> None:
        if verb == "begin":
            district = the_district(options["district"])
            day = options["valid_from"]
            try:
                moment = day_begins(day, district) if day else None
            except ValueError as error:
                raise CommandError(_("The day %s is past") % day) from error
            layout = draft_layout(
                district, options["title"], by=by, takes_effect_at=moment, tolerance_m=options["tolerance_m"]
            )
            self.stdout.write(str(layout.pk))
            return
        shown = Layout.objects.select_related("district")
        if not options["all"]:
            shown = shown.filter(state=LayoutState.DRAFT)
        if options["district"]:
            shown = shown.filter(district=options["district"])
        for layout in shown:
            told = [
                str(layout.pk),
                layout.district_id,
                layout.get_state_display(),
                _day(layout),
                layout.title,
            ]
            self.stdout.write("  ".join(told))

    def _of_one(self, verb: str, layout: Layout, options: dict[str, Any], by: User | None) -> None:
        match verb:
            case "show":
                self._show(layout, options["faults"])
            case "merge":
                self.stdout.write(merge_cells(layout, options["cells"], code=options["code"]))
            case "split":
                line = _line(options["line"], options["system"])
                self._lines(split_cell(layout, options["cell"], line=line, codes=options["code"]))
            case "hand-over":
                with transaction.atomic():
                    self._lines([hand_over(layout, code, to=options["to"]) for code in options["what"]])
            case "apply":
                self._lines(effects_in_words(apply_layout(layout.pk, by=by).effects))
            case "discard":
                discard_layout(layout, by=by)

    def _show(self, layout: Layout, faults_to: Path | None) -> None:
        self._lines([f"{layout.title} · {layout.get_state_display()}", *differences_in_words(diff(layout))])
        if layout.state != LayoutState.DRAFT:
            self._lines(effects_in_words(layout.effects))
            return
        faults = check_layout(layout)
        if faults:
            told = "\n".join(map(str, faults))
            self._refuse(told, as_geojson(faults), faults_to)
        effects = what_if(layout)
        self._lines(effects_in_words(effects))
        if effects["posts"]:
            self._lines([_("These posts belong to what is dissolved: %s") % ", ".join(effects["posts"])])

    def _lines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.stdout.write(line)

    def _refuse(self, told: str, faults: dict[str, Any], faults_to: Path | None) -> None:
        if faults_to:
            faults_to.write_text(json.dumps(faults, ensure_ascii=False), encoding="utf-8")
        raise CommandError(_("Refused; nothing was changed.") + "\n" + told)


def _layout(pk: UUID) -> Layout:
    try:
        return Layout.objects.select_related("district").get(pk=pk)
    except Layout.DoesNotExist as error:
        raise CommandError(_("There is no such layout: %s") % pk) from error


def _day(layout: Layout) -> str:
    moment = layout.settled_at or layout.takes_effect_at
    return moment.astimezone(ZoneInfo(layout.district.time_zone)).date().isoformat() if moment else "-"


def _line(text: str, system: str) -> shapely.LineString:
    try:
        corners = [(float(x), float(y)) for x, y in (corner.split() for corner in text.split(","))]
        return line_of(corners, system)
    except ValueError as error:
        raise CommandError(_("This is no line: %s") % text) from error
