"""The stored district, judged by PostGIS: the cells tile it, and every organisation is the union of its cells."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from fieldops.models import Event
from gridmap.loading import DistrictInUse, build_district
from gridmap.models import CHAIN, Cell, District, GridUnit, Level

QINGSHAN = Path(__file__).parents[2] / "fixtures" / "qingshan"
CODE = "150204"

pytestmark = pytest.mark.django_db


def asked(sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())


# --- the tiling ----------------------------------------------------------------------------------------------


def test_the_cells_cover_the_district_without_a_gap_and_no_more() -> None:
    [(valid, equal, difference)] = asked(
        """
        WITH cells AS (SELECT ST_Union(boundary) AS area FROM gridmap_cell WHERE district_id = %s)
        SELECT (SELECT bool_and(ST_IsValid(boundary)) FROM gridmap_cell WHERE district_id = %s),
               ST_Equals(cells.area, unit.boundary), ST_Area(ST_SymDifference(cells.area, unit.boundary))
        FROM cells, gridmap_gridunit AS unit WHERE unit.district_id = %s AND unit.level = 1
        """,
        CODE,
        CODE,
        CODE,
    )
    assert valid
    assert equal
    assert difference == 0


def test_no_two_cells_overlap() -> None:
    """The interiors of no pair meet; those that share an edge are counted to see that pairs were looked at."""
    [(neighbours, overlaps)] = asked(
        """
        SELECT count(*) FILTER (WHERE ST_Relate(a.boundary, b.boundary, 'F***1****')),
               count(*) FILTER (WHERE ST_Relate(a.boundary, b.boundary, 'T********'))
        FROM gridmap_cell AS a JOIN gridmap_cell AS b
            ON a.boundary && b.boundary AND a.code < b.code AND a.district_id = b.district_id
        WHERE a.district_id = %s
        """,
        CODE,
    )
    assert overlaps == 0
    assert neighbours > Cell.objects.filter(district=CODE).count()


@pytest.mark.parametrize(("level", "column"), list(zip(Level, CHAIN, strict=True)))
def test_an_organisations_area_is_the_union_of_its_cells(level: Level, column: str) -> None:
    rows = asked(
        f"""
        WITH areas AS MATERIALIZED (
            SELECT {column}_id AS unit, ST_Union(boundary) AS area FROM gridmap_cell GROUP BY 1
        )
        SELECT unit.code, ST_Equals(unit.boundary, areas.area),
               ST_Area(ST_SymDifference(unit.boundary, areas.area))
        FROM gridmap_gridunit AS unit LEFT JOIN areas ON areas.unit = unit.id
        WHERE unit.district_id = %s AND unit.level = %s
        """,  # noqa: S608 — the column is one of CHAIN
        CODE,
        level,
    )
    assert rows
    assert [code for code, equal, difference in rows if not equal or difference != 0] == []


# --- codes and relations -------------------------------------------------------------------------------------


def test_the_five_levels_are_there_with_their_official_codes() -> None:
    with (QINGSHAN / "divisions.csv").open(encoding="utf-8") as file:
        official = {(row["level"], row["code"]) for row in csv.DictReader(file)}
    levels = {
        Level.DISTRICT_COMMITTEE: "district",
        Level.STREET_COMMITTEE: "street",
        Level.COMMUNITY: "community",
    }
    stored = GridUnit.objects.filter(district=CODE, level__in=levels).values_list("level", "code")
    assert {(levels[Level(level)], code) for level, code in stored} == official
    assert GridUnit.objects.filter(level=Level.STREET_COMMITTEE).count() == 11
    assert GridUnit.objects.filter(level=Level.COMMUNITY).count() == 78
    assert 4 <= GridUnit.objects.filter(level=Level.REGIONAL_GROUP).count() <= 6
    assert GridUnit.objects.filter(level=Level.PARTY_GROUP).count() > 78 * 2
    assert list(
        GridUnit.objects.filter(level=Level.COMMUNITY, virtual=True).values_list("code", flat=True)
    ) == ["150204401498"]


def test_cells_have_codes_of_15_digits_that_begin_with_their_communitys() -> None:
    cells = list(Cell.objects.filter(district=CODE).values_list("code", "community__code"))
    assert 1400 <= len(cells) <= 1600
    assert all(len(code) == 15 and code.isdecimal() and code[:12] == community for code, community in cells)
    numbers: dict[str, list[int]] = {}
    for code, community in sorted(cells):
        numbers.setdefault(community, []).append(int(code[12:]))
    assert all(held == list(range(1, len(held) + 1)) for held in numbers.values())


def test_a_cells_organisations_stand_above_each_other() -> None:
    for cell in Cell.objects.filter(district=CODE).select_related(*CHAIN):
        assert [unit.level for unit in cell.chain] == list(Level)
        assert cell.party_group.parent_id == cell.community_id
        assert cell.community.parent_id == cell.street_id
        assert cell.street.parent_id == cell.regional_group.parent_id == cell.committee_id


def test_regional_groups_cross_streets_and_streets_lie_in_several() -> None:
    streets: dict[str, set[str]] = {}
    groups: dict[str, set[str]] = {}
    pairs = Cell.objects.filter(district=CODE).values_list("regional_group__code", "street__code").distinct()
    for group, street in pairs:
        streets.setdefault(group, set()).add(street)
        groups.setdefault(street, set()).add(group)
    shared = {street for street, held in groups.items() if len(held) > 1}
    assert shared
    assert any(len(held) > 1 and held & shared for held in streets.values())


def test_all_that_was_drawn_is_labelled_synthetic() -> None:
    assert not Cell.objects.filter(synthetic=False).exists()
    assert list(GridUnit.objects.filter(synthetic=False).values_list("code", flat=True)) == [CODE]


@pytest.mark.parametrize(
    ("column", "level"),
    [
        ("party_group", Level.PARTY_GROUP),
        ("community", Level.COMMUNITY),
        ("street", Level.STREET_COMMITTEE),
        ("regional_group", Level.STREET_COMMITTEE),
        ("committee", Level.REGIONAL_GROUP),
    ],
)
def test_a_cell_cannot_name_an_organisation_that_is_not_above_it(column: str, level: Level) -> None:
    first = Cell.objects.filter(district=CODE).order_by("code")[:1]
    elsewhere = GridUnit.objects.filter(district=CODE, level=level).latest("code")

    @transaction.atomic
    def hand_over() -> None:
        Cell.objects.filter(pk__in=first).update(**{column: elsewhere})
        connection.check_constraints()

    with pytest.raises(IntegrityError, match="a_cells_"):
        hand_over()


# --- drawing -------------------------------------------------------------------------------------------------


@pytest.fixture
def square(tmp_path: Path) -> Path:
    """Another district: 4 km square, one street, two communities, one group. Rows and files, no code."""
    west, south, side = 110.5, 40.5, 0.04
    ring = [
        [west, south],
        [west + side, south],
        [west + side, south + side],
        [west, south + side],
        [west, south],
    ]
    outline = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    (tmp_path / "boundary_gcj02.geojson").write_text(json.dumps(outline))
    tables = {
        "divisions": """level,code,name,parent_code
district,159999,方区,1599
street,159999001,东街街道,159999
community,159999001001,甲社区居委会,159999001
community,159999001002,乙社区居委会,159999001
""",
        "names_en": """code,name_en
159999,Square District
159999001,East Street Subdistrict
159999001001,First Community
159999001002,Second Community
""",
        "street_seeds": "code,lon,lat\n159999001,110.51,40.51\n",
        "regional_groups": "code,name,name_en,streets,reach_m\n159999J01,方区域集团,Square Group,159999001,0\n",
    }
    for name, text in tables.items():
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    return tmp_path


def rows_of(district: District) -> tuple[list[int], list[Any]]:
    return (
        list(district.units.order_by("code").values_list("pk", flat=True)),
        list(district.cells.order_by("code").values_list("pk", flat=True)),
    )


def test_a_second_district_is_files_and_rows(square: Path) -> None:
    qingshan = rows_of(District.objects.get(pk=CODE))
    district, drawn = build_district(square)
    assert drawn
    assert (district.code, district.name, district.name_en) == ("159999", "方区", "Square District")
    assert district.cells.count() > 10
    assert district.units.get(level=Level.STREET_COMMITTEE).area_name == "东街街道"
    connection.check_constraints()
    assert rows_of(District.objects.get(pk=CODE)) == qingshan


def test_drawing_again_leaves_it_as_it_is(square: Path) -> None:
    district, _drawn = build_district(square)
    before = rows_of(district)
    assert build_district(square, seed=7) == (district, False)
    assert rows_of(district) == before


def test_drawing_anew_keeps_the_organisations_and_makes_other_cells(square: Path) -> None:
    district, _drawn = build_district(square)
    kept = dict(district.units.filter(level__lt=Level.PARTY_GROUP).values_list("code", "pk"))
    _units, cells = rows_of(district)
    assert build_district(square, seed=7, reset=True) == (district, True)
    assert dict(district.units.filter(level__lt=Level.PARTY_GROUP).values_list("code", "pk")) == kept
    assert not set(rows_of(district)[1]) & set(cells)


def test_a_district_with_cases_is_not_drawn_anew(located: Event) -> None:
    before = rows_of(located.district)
    with pytest.raises(DistrictInUse, match=r"\d"):
        build_district(QINGSHAN, reset=True)
    assert rows_of(located.district) == before


def test_the_command_says_what_it_did(square: Path) -> None:
    def told(**options: Any) -> str:
        out = io.StringIO()
        call_command("build_district", folder=square, stdout=out, **options)
        return out.getvalue()

    cells = 0
    for text in (told(), told(), told(reset=True)):
        assert "方区" in text
        cells = Cell.objects.filter(district="159999").count()
        assert str(cells) in text
    assert told() != told(reset=True)


def test_the_command_refuses_a_folder_without_a_district(tmp_path: Path) -> None:
    with pytest.raises(CommandError):
        call_command("build_district", folder=tmp_path)
