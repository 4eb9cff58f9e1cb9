"""`manage.py demo_logins [--json]`."""

import io
import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import translation
from rich.console import Console
from rich.table import Table

from fieldops.demo import DISTRICT, PASSWORD
from fieldops.models import Holding
from fieldops.status import Role

SEES = {
    Role.INTAKE_OPERATOR: "live map: accepts reports and files cases",
    Role.DISPATCHER: "live map: names the department, dispatches, closes",
    Role.SHIFT_LEADER: "live map: may do what both desks do",
    Role.SUPERVISOR: "live map: looks on, whole district",
    Role.LEADER: "live map: looks on, whole district",
    Role.GRID_WORKER: "live map of one community; reports from the field, straight to the department",
    Role.STREET_CHIEF: "live map of one street; confirms on site or asks for rework",
    Role.DEPARTMENT_HANDLER: "live map of its cases; takes on, handles or sends back",
    Role.RESIDENT: "field API only: reports, follows own reports",
}


class Command(BaseCommand):
    help = "Print the logins of the demo."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="every person with their posts, as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        holdings = list(
            Holding.objects.filter(post__district=DISTRICT, until__isnull=True)
            .select_related("user", "post__unit", "post__department")
            .defer("post__unit__boundary")
            .order_by("user_id")
        )
        if not holdings:
            raise CommandError("The demo district is not loaded; load_demo does it.")
        self.stdout.write(_as_json(holdings) if options["json"] else _as_table(holdings))


def _as_json(holdings: list[Holding]) -> str:
    people: dict[str, dict[str, Any]] = {}
    for holding in holdings:
        user, post = holding.user, holding.post
        person = people.setdefault(
            user.username,
            {"username": user.username, "name": user.display_name, "password": PASSWORD, "posts": []},
        )
        person["posts"].append(
            {
                "id": post.pk,
                "role": post.role,
                "name": post.name,
                "unit": post.unit.code,
                "department": post.department.code if post.department else None,
            }
        )
    return json.dumps(list(people.values()), ensure_ascii=False)


def _as_table(holdings: list[Holding]) -> str:
    names: dict[str, list[str]] = {}
    for holding in holdings:
        names.setdefault(holding.post.role, []).append(holding.user.username)
    table = Table(
        box=None, pad_edge=False, title=f"Demo logins, all with the password {PASSWORD}", title_justify="left"
    )
    for column in ("login", "who", "what to see"):
        table.add_column(column, no_wrap=True)
    for role, sees in SEES.items():
        if role in names:
            table.add_row(_told(names[role]), _in_both_languages(role), sees)
    table.add_row("admin", "Administrator 系统管理员", "/admin/: every table")
    out = io.StringIO()
    Console(file=out, width=140, highlight=False, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _told(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 2 else f"{names[0]} … {names[-1]} ({len(names)})"


def _in_both_languages(role: Role) -> str:
    labels = []
    for language in ("en", "zh-hans"):
        with translation.override(language):
            labels.append(str(role.label))
    return " ".join(labels)
