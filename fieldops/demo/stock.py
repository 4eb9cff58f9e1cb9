"""The demo district's stock of elements: components, places, shops at streets, people. All of it is generated.

Streets run along the generated borders of cells. The same seed makes the same stock; every row is marked synthetic,
and no person, telephone or address exists.
"""

import math
import random
from collections.abc import Iterator, Sequence
from datetime import date
from itertools import pairwise
from typing import Any
from uuid import UUID

import shapely
from django.contrib.gis.geos import Point
from django.utils import timezone

from fieldops.models import AccessPurpose, EventClass, Kind, Post, ResponsibilityRule, SegmentChief
from fieldops.status import Role
from gridmap.elements import ComponentRow, lock_cells_at, place_components
from gridmap.models import (
    WGS84,
    AccuracyClass,
    Cell,
    Department,
    District,
    Element,
    ElementKind,
    GroupMembership,
    Person,
    RoadSegment,
    Shop,
    SpecialGroup,
)
from gridmap.segments import SegmentRow, lay_out_segments, side_of

Outlines = dict[UUID, Any]  # of shapely
SEED = 150204
SOURCE = "示范：程序生成"
COMPONENTS, SEGMENTS, PEOPLE, PLACES, FURTHER = 2000, 60, 320, 160, 90
LONGEST_SEGMENT = 0.004  # degrees, some 400 m
# How often a class occurs in a street, by its name in the standard; the others hardly.
COMMON = {
    "路灯": 9,
    "上水井盖": 6,
    "污水井盖": 7,
    "雨水井盖": 6,
    "雨水箅子": 6,
    "消防设施": 4,
    "行道树": 8,
    "果皮箱": 7,
}
PLACE_KINDS = ("小学", "幼儿园", "中学", "农贸市场", "公园", "停车场", "卫生服务站", "老年活动中心")
SHOP_KINDS = ("便利店", "餐馆", "药店", "理发店", "水果店", "五金店", "早餐店", "超市", "文具店")
FURTHER_KINDS = (
    (ElementKind.MATTER, "矛盾纠纷", "示例：邻里噪声调解"),
    (ElementKind.THING, "危险物品", "示例：液化气储存点"),
    (ElementKind.SITUATION, "安全隐患", "示例：冬季路面易结冰"),
)
GROUPS = (
    ("alone", "独居老人", "Elderly living alone"),
    ("disabled", "残疾人", "People with disabilities"),
    ("children", "留守儿童", "Children left behind"),
    ("hardship", "困难家庭", "Households in hardship"),
    ("correction", "社区矫正对象", "People under community correction"),
)
PURPOSES = (
    ("visit", "入户走访", "Household visit"),
    ("care", "关爱帮扶", "Care and support"),
    ("emergency", "应急处置", "Emergency response"),
    ("verify", "信息核实", "Verification of records"),
)


def load_stock(district: District, *, names: Sequence[str]) -> None:
    """Fill the district with elements in a few statements; `names` are those of people who do not exist."""
    chance = random.Random(SEED)  # noqa: S311 — nothing secret hangs on it
    cells, outlines = _cells(district)
    rows = list(planned_components(district, cells, outlines, chance))
    placing = place_components(rows, district=district, by=None, synthetic=True)
    if placing.faults:
        raise ValueError(f"the generated stock is faulty: {placing.faults[:3]}")
    segments = _segments(district, cells, outlines, chance)
    _places(district, cells, outlines, chance)
    _shops(district, segments, chance)
    _people(district, cells, outlines, names, chance)


def _cells(district: District) -> tuple[list[Cell], Outlines]:
    cells = list(Cell.objects.in_force().filter(district=district).order_by("code"))
    return cells, {cell.pk: shapely.from_wkb(bytes(cell.boundary.wkb)) for cell in cells}


def _inside(outline: shapely.Polygon, chance: random.Random) -> tuple[float, float]:
    """A place in the cell, rather near its edge, where streets run."""
    middle = outline.representative_point()
    corners = outline.exterior.coords
    corner = corners[chance.randrange(len(corners) - 1)]
    near = chance.uniform(0.6, 0.97)
    x, y = (m + near * (c - m) for m, c in zip((middle.x, middle.y), corner, strict=True))
    point = (x, y) if shapely.contains_xy(outline, x, y) else (middle.x, middle.y)
    return round(point[0], 7), round(point[1], 7)


def planned_components(
    district: District, cells: Sequence[Cell], outlines: Outlines, chance: random.Random
) -> Iterator[ComponentRow]:
    """Components of the classes of the edition in force, spread over the cells."""
    classes = list(
        EventClass.objects.filter(edition=district.class_edition, kind=Kind.COMPONENT).order_by(
            "major", "minor"
        )
    )
    rules = ResponsibilityRule.objects.filter(
        district=district, unit=None, condition=None, party="", kind__in=["", Kind.COMPONENT]
    )
    managing = {
        (rule.major, rule.minor): rule.department.code
        for rule in rules.select_related("department").order_by("number")
        if rule.department
    }
    owners = sorted(Department.objects.filter(district=district).values_list("code", flat=True))
    weights = [COMMON.get(each.name, 1) for each in classes]
    serials: dict[str, int] = {}
    for number in range(COMPONENTS):
        cell = cells[number * len(cells) // COMPONENTS]
        kind = chance.choices(classes, weights)[0]
        serials[kind.code] = serials.get(kind.code, 0) + 1
        department = (
            managing.get((kind.major, kind.minor)) or managing.get((kind.major, "")) or managing["", ""]
        )
        x, y = _inside(outlines[cell.pk], chance)
        yield ComponentRow(
            code=f"{district.pk}{kind.code}{serials[kind.code]:0{10 - len(kind.code)}}",
            name=kind.name,
            x=x,
            y=y,
            system="WGS84",
            managing=department,
            owning=chance.choice(owners) if chance.random() < 0.3 else department,
            maintaining=department if chance.random() < 0.9 else "",
            state=chance.choices(("intact", "damaged", "missing", "abandoned"), (94, 4, 1, 1))[0],
            accuracy_class=chance.choices(AccuracyClass.values, (2, 6, 2))[0],
            established_on=date(chance.randint(2009, 2024), chance.randint(1, 12), chance.randint(1, 28)),
            source=SOURCE,
        )


def _segments(
    district: District, cells: Sequence[Cell], outlines: Outlines, chance: random.Random
) -> list[RoadSegment]:
    """Stretches of borders between cells, the same number in every street, each with the street's chief."""
    by_street: dict[int, list[Cell]] = {}
    for cell in cells:
        by_street.setdefault(cell.street_id, []).append(cell)
    chiefs = {
        post.unit_id: post
        for post in Post.objects.filter(district=district, role=Role.STREET_CHIEF).order_by("-pk")
    }
    rows, chief_of = [], {}
    for number in range(SEGMENTS):
        street = sorted(by_street)[number % len(by_street)]
        # City cells are small: there the streets are.
        small = sorted(by_street[street], key=lambda cell: outlines[cell.pk].area)
        cell = small[(number // len(by_street) * 7) % max(len(small) // 2, 1)]
        code = f"{district.pk}L{number + 1:03}"
        row = SegmentRow(
            code=code,
            name=f"示例{number + 1}号路段",
            name_en=f"Sample segment {number + 1}",
            line=list(_stretch(outlines[cell.pk])),
            system="WGS84",
            reach_m=chance.choice((25, 30, 40)),
        )
        rows.append(row)
        chief_of[code] = chiefs[street]
    placing = lay_out_segments(rows, district=district, by=None, synthetic=True)
    if placing.faults:
        raise ValueError(f"the generated segments are faulty: {placing.faults[:3]}")
    segments = list(RoadSegment.objects.filter(district=district).order_by("code"))
    since = timezone.now()
    SegmentChief.objects.bulk_create(
        SegmentChief(segment=segment, post=chief_of[segment.code], district=district, since=since)
        for segment in segments
    )
    return segments


def _stretch(outline: shapely.Polygon) -> Iterator[Any]:
    """The border from its first corner on, for some hundred metres and no more than a third of the way round."""
    corners = list(outline.exterior.coords)
    left = min(LONGEST_SEGMENT, outline.exterior.length / 3)
    yield corners[0]
    for start, end in pairwise(corners):
        yield end
        left -= math.dist(start, end)
        if left <= 0:
            return


def _element(district: District, kind: str, at: Any, **facts: Any) -> Element:
    return Element(
        district=district,
        kind=kind,
        point=Point(at, srid=WGS84),
        x=at[0],
        y=at[1],
        system="WGS84",
        source=SOURCE,
        synthetic=True,
        **facts,
    )


def _places(district: District, cells: Sequence[Cell], outlines: Outlines, chance: random.Random) -> None:
    made = []
    for number, cell in enumerate(chance.sample(list(cells), PLACES)):
        category = PLACE_KINDS[number % len(PLACE_KINDS)]
        name = f"示例{category}{number // len(PLACE_KINDS) + 1}"
        facts = {"cell": cell, "category": category, "name": name}
        made.append(_element(district, ElementKind.PLACE, _inside(outlines[cell.pk], chance), **facts))
    for number, cell in enumerate(chance.sample(list(cells), FURTHER)):
        kind, category, name = FURTHER_KINDS[number % len(FURTHER_KINDS)]
        facts = {"cell": cell, "category": category, "name": f"{name}（{number + 1}）"}
        made.append(_element(district, kind, _inside(outlines[cell.pk], chance), **facts))
    Element.objects.bulk_create(made)


def _shops(district: District, segments: Sequence[RoadSegment], chance: random.Random) -> None:
    """Some on either side of every segment, even house numbers on the right."""
    planned = []
    for segment in segments:
        line = shapely.LineString(segment.line.coords)
        for number in range(chance.randint(3, 6)):
            spot = line.interpolate((number + 0.5) / 7, normalized=True)
            off = chance.choice((-1, 1)) * 0.00012
            point = Point(round(spot.x + off, 7), round(spot.y + off / 2, 7), srid=WGS84)
            planned.append((segment, number, point))
    places = lock_cells_at([point for _segment, _number, point in planned], district=district)
    elements, shops = [], []
    for (segment, number, point), cell in zip(planned, places, strict=True):
        if cell is None:
            continue
        category = chance.choice(SHOP_KINDS)
        name = f"示例{category}（{segment.code[-3:]}-{number + 1}）"
        facts = {"cell_id": cell, "category": category, "name": name}
        element = _element(district, ElementKind.ORGANISATION, point.coords, **facts)
        side = side_of(segment.line, point)
        elements.append(element)
        shops.append(
            Shop(
                element=element,
                element_kind=element.kind,
                district=district,
                segment=segment,
                side=side,
                house_number=str(2 * number + (2 if side == "right" else 1)),
            )
        )
    Element.objects.bulk_create(elements)
    Shop.objects.bulk_create(shops)


def _people(
    district: District,
    cells: Sequence[Cell],
    outlines: Outlines,
    names: Sequence[str],
    chance: random.Random,
) -> None:
    groups = SpecialGroup.objects.bulk_create(
        SpecialGroup(district=district, code=code, name=name, name_en=name_en)
        for code, name, name_en in GROUPS
    )
    AccessPurpose.objects.bulk_create(
        AccessPurpose(district=district, code=code, name=name, name_en=name_en)
        for code, name, name_en in PURPOSES
    )
    elements, people, memberships = [], [], []
    for number in range(PEOPLE):
        cell = chance.choice(cells)
        element = Element(district=district, kind=ElementKind.PERSON, cell=cell, synthetic=True)
        x, y = _inside(outlines[cell.pk], chance)
        person = Person(
            element=element,
            district=district,
            name=f"{names[number % len(names)]}（示范）",
            phone=f"000-0000-{number:04}",
            birth_year=chance.randint(1934, 2020),
            address=f"示例小区{number % 40 + 1}号楼",
            point=Point(x, y, srid=WGS84),
            x=x,
            y=y,
            system="WGS84",
        )
        elements.append(element)
        people.append(person)
        if chance.random() < 0.3:
            group = chance.choice(groups)
            memberships.append(GroupMembership(person=person, group=group, district=district))
    Element.objects.bulk_create(elements)
    Person.objects.bulk_create(people)
    GroupMembership.objects.bulk_create(memberships)
