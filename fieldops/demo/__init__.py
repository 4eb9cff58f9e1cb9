"""The demo district as rows: Qingshan with its calendar, standard, departments, rules, posts and people.

Real are the outline, the official codes and names, the holidays and the published standard. Departments' duties
and people are invented. Everyone has the same known password, so this never runs by accident in an installation.
"""

import csv
from collections.abc import Iterator
from datetime import date
from itertools import count
from pathlib import Path

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.utils import timezone

from fieldops.models import (
    Card,
    Channel,
    EventClass,
    FilingCondition,
    Holding,
    IntakePolicy,
    Kind,
    Occasion,
    Post,
    ResponsibilityRule,
    Stage,
    StageLimit,
    SupervisionRule,
    User,
)
from fieldops.standard import import_standard
from fieldops.status import Role
from gridmap.loading import build_district
from gridmap.models import CalendarDay, Department, District, GridUnit, Level

from .stock import load_stock

DISTRICT = "150204"
EDITION = "运城市标准（示范）"
PASSWORD = "qingshan-demo-2026"  # noqa: S105 — known to everyone, and only ever set where a demo is allowed
BOUNDARY_NOTE = "街道、社区、网格的边界均为合成数据，不代表真实辖区；仅区界依据公开数据，精度约100米。"
QINGSHAN = Path(settings.BASE_DIR, "fixtures", "qingshan")
STANDARD = Path(settings.BASE_DIR, "fixtures", "standard", "yuncheng.csv")
LABEL = "（示范）"
STAGE_MINUTES = (
    (Stage.ACCEPT, 15, 5),
    (Stage.DISPATCH, 15, 5),
    (Stage.SIGN_IN, 60, 10),
    (Stage.VERIFY, 30, 30),
    (Stage.CHECK, 30, 30),
)
SPEAKERS = (
    (Level.REGIONAL_GROUP, "书记", "region"),
    (Level.STREET_COMMITTEE, "书记", "street"),
    (Level.COMMUNITY, "书记", "community"),
    (Level.PARTY_GROUP, "组长", "group"),
)

# Nobody is called like that: a family name and one of the 24 solar terms.
FAMILY_NAMES = "白陈丁方高韩金康李马牛潘秦任苏田王徐杨云张郑周"
SOLAR_TERMS = (
    "立春雨水惊蛰春分清明谷雨立夏小满芒种夏至小暑大暑立秋处暑白露秋分寒露霜降立冬小雪大雪冬至小寒大寒"
)
GIVEN_NAMES = [SOLAR_TERMS[i : i + 2] for i in range(0, len(SOLAR_TERMS), 2)]


class DemoRefused(Exception):
    """Known passwords were not created, because this is no demo."""


@transaction.atomic
def load_demo(*, password: str = PASSWORD, allow: bool | None = None) -> bool:
    """Load the whole demo district, or nothing; return whether it was loaded now.

    A district that has posts already is left as it is, with all that people changed in it.

    Raises DemoRefused unless `allow`, which is by default the setting DEMO.
    """
    if Post.objects.filter(district=DISTRICT).exists():
        return False
    if not (settings.DEMO if allow is None else allow):
        raise DemoRefused("logins with a known password are made only where the setting DEMO is on")
    district, _drawn = build_district(QINGSHAN)
    import_standard(STANDARD, edition=EDITION)
    district.class_edition, district.boundary_note = EDITION, BOUNDARY_NOTE
    district.save(update_fields=["class_edition", "boundary_note"])
    CalendarDay.objects.bulk_create(_calendar(district), ignore_conflicts=True)
    IntakePolicy.objects.bulk_create(
        IntakePolicy(district=district, channel=channel, straight_through=channel == Channel.FIELD_APP)
        for channel in Channel
    )
    StageLimit.objects.bulk_create(
        StageLimit(district=district, stage=stage, urgent=urgent, minutes=minutes)
        for stage, ordinary, in_urgent_cases in STAGE_MINUTES
        for urgent, minutes in ((False, ordinary), (True, in_urgent_cases))
    )
    SupervisionRule.objects.bulk_create(_supervision_rules(district))
    units = {unit.code: unit for unit in district.units.defer("boundary")}
    departments = Department.objects.bulk_create(
        Department(district=district, code=row["code"], name=row["name"], name_en=row["name_en"])
        for row in _rows("departments")
    )
    offices = {row["code"]: units[row["office_of"]] for row in _rows("departments") if row["office_of"]}
    ResponsibilityRule.objects.bulk_create(_rules(district, departments, offices, units))
    _people(district, departments, offices, units, password)
    names = [FAMILY_NAMES[i % len(FAMILY_NAMES)] + GIVEN_NAMES[i % len(GIVEN_NAMES)] for i in range(500)]
    load_stock(district, names=names[300:])
    return True


def _rows(name: str) -> Iterator[dict[str, str]]:
    with (QINGSHAN / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _supervision_rules(district: District) -> Iterator[SupervisionRule]:
    """A reminder with the yellow light, a yellow card when due, a red one a limit later; unanswered ones climb."""
    of = Occasion
    for occasion, scope, percent, card, level, minutes in (
        (of.CASE, "", 80, Card.REMINDER, None, 60),
        (of.CASE, "", 100, Card.YELLOW, Level.COMMUNITY, 60),
        (of.CASE, "", 200, Card.RED, Level.STREET_COMMITTEE, 60),
        (of.STAGE, Stage.ACCEPT, 100, Card.REMINDER, None, 15),
        (of.STAGE, Stage.DISPATCH, 100, Card.REMINDER, None, 15),
        (of.STAGE, Stage.SIGN_IN, 100, Card.REMINDER, None, 30),
        (of.STAGE, Stage.VERIFY, 100, Card.REMINDER, None, 15),
        (of.STAGE, Stage.CHECK, 100, Card.REMINDER, None, 15),
        (of.UNANSWERED, Card.REMINDER, 100, Card.YELLOW, None, 60),
        (of.UNANSWERED, Card.YELLOW, 100, Card.RED, None, 120),
        (of.UNANSWERED, Card.RED, 100, Card.RED, None, 240),
    ):
        yield SupervisionRule(
            district=district,
            occasion=occasion,
            stage=scope if occasion == of.STAGE else "",
            unanswered=scope if occasion == of.UNANSWERED else "",
            percent=percent,
            card=card,
            level=level,
            answer_minutes=minutes,
        )


def _calendar(district: District) -> Iterator[CalendarDay]:
    for file in sorted(QINGSHAN.glob("calendar_*.csv")):
        for row in _rows(file.stem):
            yield CalendarDay(
                district=district,
                day=date.fromisoformat(row["day"]),
                working=row["working"] == "yes",
                name=row["name"],
            )


def _rules(
    district: District,
    departments: list[Department],
    offices: dict[str, GridUnit],
    units: dict[str, GridUnit],
) -> Iterator[ResponsibilityRule]:
    """The district's own rules first; then each street office for its street; then what the standard says."""
    named = {department.code: department for department in departments}
    decided: set[tuple[str, str, str]] = set()
    for row in _rows("rules"):
        if not row["unit"]:
            decided.add((row["kind"], row["major"], row["minor"]))
        yield ResponsibilityRule(
            district=district,
            number=int(row["number"]),
            kind=row["kind"],
            major=row["major"],
            minor=row["minor"],
            unit=units[row["unit"]] if row["unit"] else None,
            department=named[row["department"]],
            source=row["source"],
        )
    number = count(101)
    for code, street in offices.items():
        for kind in Kind:
            source = f"{EDITION}：所属街办、各产权单位"
            yield ResponsibilityRule(
                district=district,
                number=next(number),
                kind=kind,
                unit=street,
                department=named[code],
                source=source,
            )
    handled_by = {row["published"]: row["department"] for row in _rows("handling_units")}
    number = count(1001)
    for condition in FilingCondition.objects.filter(event_class__edition=EDITION, number=1).select_related(
        "event_class"
    ):
        event_class: EventClass = condition.event_class
        first = condition.handling_units.partition("、")[0]
        scope = (event_class.kind, event_class.major, event_class.minor)
        # An empty department is the street's own office, which the rules above name.
        if handled_by[first] and scope not in decided:
            yield ResponsibilityRule(
                district=district,
                number=next(number),
                kind=event_class.kind,
                major=event_class.major,
                minor=event_class.minor,
                department=named[handled_by[first]],
                source=f"{EDITION}：{first}",
            )


def _people(
    district: District,
    departments: list[Department],
    offices: dict[str, GridUnit],
    units: dict[str, GridUnit],
    password: str,
) -> None:
    """Posts, who holds them, and the administrator, who holds none."""
    committee = units[district.code]
    communities = [unit for unit in units.values() if unit.level == Level.COMMUNITY]
    streets = [unit for unit in units.values() if unit.level == Level.STREET_COMMITTEE]
    names = (FAMILY_NAMES[i % len(FAMILY_NAMES)] + GIVEN_NAMES[i % len(GIVEN_NAMES)] for i in count())
    hashed = make_password(password)
    posts: list[tuple[Post, list[User]]] = []

    def person(username: str) -> User:
        return User(username=username, display_name=next(names), password=hashed)

    def post(
        role: Role, name: str, unit: GridUnit, *held_by: User, department: Department | None = None
    ) -> None:
        made = Post(district=district, role=role, name=name, unit=unit, department=department)
        posts.append((made, list(held_by)))

    post(Role.INTAKE_OPERATOR, "受理席", committee, person("intake1"), person("intake2"))
    post(Role.DISPATCHER, "派遣席", committee, person("dispatch1"), person("dispatch2"))
    post(Role.SHIFT_LEADER, "值班长", committee, person("shift"))
    post(Role.SUPERVISOR, "督查员", committee, person("supervisor"))
    post(Role.LEADER, "区领导", committee, person("leader"))
    for number, unit in enumerate(sorted(communities, key=lambda unit: unit.code), start=1):
        post(Role.GRID_WORKER, f"{unit.area_name}网格员", unit, person(f"worker{number:03}"))
    for number, unit in enumerate(sorted(streets, key=lambda unit: unit.code), start=1):
        post(Role.STREET_CHIEF, f"{unit.area_name}街长", unit, person(f"chief{number:03}"))
    for department in departments:
        post(
            Role.DEPARTMENT_HANDLER,
            f"{department.name.removesuffix(LABEL)}处置岗",
            offices.get(department.code, committee),
            person(f"dept_{department.code}"),
            department=department,
        )
    for number in (1, 2, 3):
        resident = person(f"resident{number}")
        post(Role.RESIDENT, f"居民 {resident.display_name}", committee, resident)
    # Who speaks for the organisations below the district.
    for level, title, username in SPEAKERS:
        for number, unit in enumerate(
            sorted((unit for unit in units.values() if unit.level == level), key=lambda unit: unit.code),
            start=1,
        ):
            post(Role.LEADER, f"{unit.name}{title}", unit, person(f"{username}{number:03}"))

    administrator = User(
        username="admin", display_name="系统管理员", password=hashed, is_staff=True, is_superuser=True
    )
    User.objects.bulk_create([administrator, *(user for _post, held_by in posts for user in held_by)])
    Post.objects.bulk_create(post for post, _held_by in posts)
    since = timezone.now()
    Holding.objects.bulk_create(
        Holding(post=post, user=user, since=since) for post, held_by in posts for user in held_by
    )
