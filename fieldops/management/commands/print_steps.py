"""Print the table of steps for people, in English and Chinese: docs/steps.md is this."""

from collections.abc import Iterable
from typing import Any

from django.core.management import BaseCommand
from django.utils.translation import override

from fieldops.status import IN_A_CELL, ONCE_FILED, ONCE_LOCATED, TABLE, Role, Rule, Status, Step

HEAD = """\
# Steps 案卷流程

*Who may take which step, from where to where, and what it needs.* Printed from `fieldops/status.py` by
`manage.py print_steps > docs/steps.md`; a test keeps the two equal. A step without a role is the system's; one without
a target leaves the state alone. Who of the named roles may act on one case also depends on its area, its department
and, where it is handled, on the district's policy of checks (`CheckPolicy`).

| step 步骤 | from 自 | to 至 | who 由谁 | needs 要件 |
|---|---|---|---|---|
"""
NAMED = {
    frozenset(IN_A_CELL): ("*any open state*", "任一未结状态"),
    frozenset(ONCE_LOCATED): ("*any but merged, open or ended*", "任一状态，含已结，并案除外"),
    frozenset(ONCE_FILED): ("*any, once filed*", "立案后任一状态"),
}


def steps_for_people() -> str:
    """The whole page."""
    rows = (
        (
            _both(Step(step)),
            _states(rule),
            _both(rule.target) if rule.target else "—",
            _roles(rule.roles),
            _needs(rule),
        )
        for step, rule in TABLE.items()
    )
    return HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _both(choice: Any) -> str:
    with override("en"):
        english = str(choice.label)
    with override("zh-hans"):
        return f"{english} {choice.label}"


def _states(rule: Rule) -> str:
    if rule.sources in NAMED:
        return " ".join(NAMED[rule.sources])  # type: ignore[index]
    return "<br>".join(_both(status) for status in Status if status in rule.sources) or "—"


def _roles(roles: Iterable[Role]) -> str:
    held = set(roles)
    if held == set(Role) - {Role.RESIDENT}:
        return "whoever is asked 被问者"
    return "<br>".join(_both(role) for role in Role if role in held) or "system 系统"


def _needs(rule: Rule) -> str:
    needs = [
        *(["reason 理由"] if rule.needs_reason else []),
        *(["photo 照片"] if rule.needs_photo else []),
        *([f"approval: {_both(rule.asks_for)} 须批准"] if rule.asks_for else []),
        *([f"a request 须有申请 ({', '.join(sorted(rule.answers))})"] if rule.answers else []),
    ]
    return "<br>".join(needs) or "—"


class Command(BaseCommand):
    """`manage.py print_steps`."""

    help = "Print the table of steps, as in docs/steps.md."

    def handle(self, *args: Any, **options: Any) -> None:
        """Print it."""
        self.stdout.write(steps_for_people(), ending="")
