"""Levels and cells that come in: as a layout, at once or on their day; every broken file changes nothing at all."""

import io
import json
import math
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import shapely
from django.core.management import CommandError, call_command
from django.utils import timezone, translation

from fieldops.geography.boundaries import apply_due, layouts_due
from fieldops.intake import Receipt
from fieldops.models import Event, User
from gridmap.layouts import read_grid
from gridmap.models import Cell, District, GridUnit, Layout, Level
from gridmap.topology import same_area
from tests.checksums import checksums
from tests.gridmap.squares import CODE, box, cell_code, square_district

FILES = Path(__file__).parents[2] / "gridmap" / "files"
LEVELS = ["district", "regional_groups", "streets", "communities", "party_groups", "cells"]
SHANGHAI = ZoneInfo("Asia/Shanghai")
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    with translation.override("en"):
        yield


@pytest.fixture
def square(db: None) -> District:
    return square_district()


def run(layer: str, file: Path, *, district: str = CODE, **options: Any) -> str:
    out = io.StringIO()
    call_command("import_layer", layer, file, district=district, stdout=out, stderr=io.StringIO(), **options)
    return out.getvalue()


def changed_file(room: Path, name: str, change: Callable[[list[dict[str, Any]]], Any]) -> Path:
    """A file beside the others with its features changed."""
    collection = json.loads((FILES / name).read_text())
    change(collection["features"])
    (room / name).write_text(json.dumps(collection))
    return room / name


def shaped(shape: shapely.Geometry) -> dict[str, Any]:
    return dict(shapely.geometry.mapping(shape))


# --- good files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shift", "suffix"), enumerate([".geojson", ".zip", ".gpkg", ".csv"]))
def test_every_level_goes_out_and_comes_back_and_changes_nothing(
    shift: int, suffix: str, tmp_path: Path
) -> None:
    """The whole demo district: each layer in each format, each format in each system."""
    before = checksums()
    district = District.objects.get().pk
    for n, layer in enumerate(LEVELS):
        crs = ["WGS84", "GCJ02", "EPSG:4546", "BD09"][(n + shift) % 4]
        file = tmp_path / f"{layer}{suffix}"
        call_command("export_layer", layer, file, crs=crs, stdout=io.StringIO())
        told = run(layer, file, district=district, replace=True)
        assert f"in {crs}" in told
        assert len(told.splitlines()) == 3, told
        assert "stay as they are" in told
    assert checksums() == before


def test_a_district_comes_in_level_by_level(square: District, tmp_path: Path) -> None:
    """From nothing but its row. Regional groups are unions of streets at first, and of cells once there are cells."""
    for layer in LEVELS:
        call_command(
            "export_layer", layer, tmp_path / f"{layer}.geojson", district=CODE, stdout=io.StringIO()
        )
    Cell.objects.filter(district=square).delete()
    for level in (5, 4, 3, 2, 1):
        GridUnit.objects.filter(district=square, level=level).delete()
    groups = json.loads((tmp_path / "regional_groups.geojson").read_text())
    for n, feature in enumerate(groups["features"]):
        feature["geometry"] = shaped(box(2 * n, 0, 2, 4))
    (tmp_path / "first_groups.geojson").write_text(json.dumps(groups))
    for layer in ("district", "streets", "communities", "party_groups"):
        assert "are added" in run(layer, tmp_path / f"{layer}.geojson")
    assert "2 are added" in run("regional_groups", tmp_path / "first_groups.geojson")
    with pytest.raises(CommandError, match="outside_parent"):
        run("cells", tmp_path / "cells.geojson")
    assert "16 are added" in run("cells", tmp_path / "cells.geojson", units_follow=True)
    for layer in LEVELS:
        assert "Nothing changes" not in run(layer, tmp_path / f"{layer}.geojson", replace=True)
    grid = read_grid(square)
    assert (len(grid.units), len(grid.cells)) == (13, 16)
    for code, area in grid.areas(Level.REGIONAL_GROUP).items():
        assert area.equals(box(0, 2 * int(code[-1]) - 2, 4, 2))


def test_cells_are_changed_and_what_was_foretold_is_told(square: District, tmp_path: Path) -> None:
    def redrawn(features: list[dict[str, Any]]) -> None:
        features[0]["geometry"] = shaped(box(0, 0, 1.5, 1))
        features[4]["geometry"] = shaped(box(1.5, 0, 0.5, 1))

    file = changed_file(tmp_path, "cells.geojson", redrawn)
    before = checksums()
    told = run("cells", file, replace=True, dry_run=True)
    assert checksums() == before
    assert [line.strip() for line in told.splitlines()] == [
        "16 features read, in WGS84, text in UTF-8",
        f"2 are changed: {cell_code(0, 0)}, {cell_code(1, 0)}",
        "14 stay as they are",
        "2 cell versions end",
        "2 cell versions begin",
        "Nothing was changed: a dry run.",
    ]
    assert run("cells", file, replace=True).splitlines()[1:-1] == told.splitlines()[1:-1]
    assert read_grid(square).cells[cell_code(0, 0)].boundary.equals(box(0, 0, 1.5, 1))
    layout = Layout.objects.get(district=square)
    assert (layout.state, layout.title) == ("applied", "Unit grid cells · cells.geojson")


def test_what_the_file_does_not_say_stays(square: District) -> None:
    """A file without the columns of marks does not change them."""
    Cell.objects.filter(district=square).update(synthetic=True)
    GridUnit.objects.filter(district=square, level=3).update(virtual=True, synthetic=True, name_en="Street")
    assert "16 stay as they are" in run("cells", FILES / "cells.geojson", replace=True)
    run("streets", FILES / "streets.geojson", replace=True)
    street = GridUnit.objects.get(district=square, code="150299001")
    assert (street.virtual, street.synthetic, street.name_en) == (True, True, "Street")


def test_a_layer_comes_into_force_on_its_day(square: District, tmp_path: Path) -> None:
    def renamed(features: list[dict[str, Any]]) -> None:
        features[0]["properties"]["name"] = "新街道党工委"

    file = changed_file(tmp_path, "streets.geojson", renamed)
    today = timezone.localdate(timezone=SHANGHAI)
    before = checksums(apart_from="layout")
    told = run("streets", file, valid_from=today + timedelta(days=9))
    assert f"It comes into force on {today + timedelta(days=9)}" in told
    assert checksums(apart_from="layout") == before
    layout = Layout.objects.get(district=square)
    assert layout.state == "draft"
    local = timezone.localtime(layout.takes_effect_at, SHANGHAI)
    assert (local.date(), local.hour, local.minute) == (today + timedelta(days=9), 0, 0)
    assert not layouts_due(at=layout.takes_effect_at - timedelta(seconds=1))
    [due] = layouts_due(at=layout.takes_effect_at)
    assert apply_due(due)
    assert GridUnit.objects.get(district=square, code="150299001").name == "新街道党工委"
    with pytest.raises(CommandError, match="day_is_past"):
        run("streets", file, valid_from=today - timedelta(days=2))


def test_open_cases_move_and_are_counted(
    cell: Cell, file_report: Callable[..., Receipt], resident: User, tmp_path: Path
) -> None:
    """In the demo district: the cell goes to another party group of its community."""
    event = file_report(resident).event
    file = tmp_path / "cells.geojson"
    call_command("export_layer", "cells", file, stdout=io.StringIO())
    other = GridUnit.objects.filter(parent=cell.community, level=5).exclude(pk=cell.party_group_id).first()
    assert other is not None
    collection = json.loads(file.read_text())
    for feature in collection["features"]:
        if feature["properties"]["code"] == cell.code:
            feature["properties"]["parent"] = other.code
    file.write_text(json.dumps(collection))
    told = run("cells", file, district=cell.district_id, replace=True, units_follow=True)
    assert "1 get another owner or code" in told
    assert "1 open cases move to another cell" in told
    assert Event.objects.select_related("cell").get(pk=event.pk).cell.party_group_id == other.pk


def test_slivers_are_closed_up_to_the_tolerance_asked_for(square: District, tmp_path: Path) -> None:
    def narrowed(features: list[dict[str, Any]]) -> None:
        features[0]["geometry"] = shaped(box(0, 0, 1 - 4e-5, 1))  # 3.4 cm

    file = changed_file(tmp_path, "cells.geojson", narrowed)
    before = checksums()
    with pytest.raises(CommandError, match="gap"):
        run("cells", file, replace=True, tolerance_m=0.01)
    assert checksums() == before
    assert "16 stay as they are" in run("cells", file, replace=True)


@pytest.mark.parametrize("tolerance", [-1.0, 100.5, math.nan, math.inf])
def test_a_tolerance_that_is_none_is_refused(square: District, tolerance: float) -> None:
    before = checksums()
    with pytest.raises(CommandError, match="bad_tolerance"):
        run("cells", FILES / "cells.geojson", replace=True, tolerance_m=tolerance)
    assert checksums() == before


# --- broken files ---------------------------------------------------------------------------------------------------

# file, layer, what is told: the feature by number and code, the place, the code of the fault.
BROKEN = [
    # side by side
    ("overlap.geojson", "communities", ["1 (150299001001)", "109.821000, 40.6", "{overlap}"]),
    ("gap.geojson", "communities", ["1 (150299001001)", "109.819000, 40.615000", "{gap}"]),
    ("outside_parent.geojson", "communities", ["1 (150299001001)", "109.797500, 40.6", "{outside_parent}"]),
    ("cells_overlap.geojson", "cells", ["6 (150299001001004)", "109.820500, 40.615000", "{overlap}"]),
    ("cells_gap.geojson", "cells", ["1 (150299001001001)", "109.815000, 40.615000", "{gap}"]),
    ("group_cuts_cells.geojson", "regional_groups", ["1 (150299J1)", "109.805000, 40.6175", "{cuts_cells}"]),
    # each shape by itself
    (
        "self_crossing.geojson",
        "communities",
        ["1 (150299001001)", "109.810000, 40.610000", "{self_crossing}"],
    ),
    ("flat_polygon.geojson", "communities", ["1 (150299001001)", "109.810000, 40.600000", "{empty}"]),
    ("empty_polygon.geojson", "communities", ["2 (150299001002)", "{empty_geometry}"]),
    ("no_geometry.geojson", "communities", ["2 (150299001002)", "{empty_geometry}"]),
    ("three_corners.geojson", "streets", ["1 (150299001)", "{empty_geometry}"]),
    ("nan.geojson", "streets", ["2 (150299002)", "{empty_geometry}"]),
    ("infinite.geojson", "streets", ["character 149", "1e999", "{file_broken}"]),
    ("wrong_type.geojson", "streets", ["2 (150299002)", "109.830000, 40.6200", "{wrong_geometry_type}"]),
    ("line_as_area.geojson", "streets", ["2 (150299002)", "109.8", "LineString", "{wrong_geometry_type}"]),
    # codes
    (
        "cell_code_malformed.geojson",
        "cells",
        ["3 (15029900100X003)", "109.805000, 40.625", "{malformed_code}"],
    ),
    ("cell_code_short.geojson", "cells", ["3 (1502990010)", "109.805000, 40.625000", "{malformed_code}"]),
    ("cell_code_twice.geojson", "cells", ["2 (150299001001001)", "109.805000, 40.605", "{duplicate_code}"]),
    (
        "cell_code_of_another_community.geojson",
        "cells",
        ["1 (150299002001009)", "150299001001", "109.805000, 40.605000", "{code_contradicts_parent}"],
    ),
    ("cell_parent_unknown.geojson", "cells", ["5 (150299001001002)", "109.815", "{unknown_parent}"]),
    ("street_code_twice.geojson", "streets", ["2 (150299001)", "109.830000, 40.62", "{duplicate_code}"]),
    ("street_parent_unknown.geojson", "streets", ["2 (150299002)", "150298", "{unknown_parent}"]),
    # where it lies
    ("swapped_axes.geojson", "streets", ["2 (150299002)", "(40.6, 109.84)", "{axes_swapped}"]),
    ("swapped_metres.zip", "streets", ["1 (150299001)", "(4.499e+06, 398428)", "{axes_swapped}"]),
    ("not_where_it_says.geojson", "streets", ["2 (150299002)", "(400000, 4.4", "{outside_area_of_use}"]),
    ("other_zone.zip", "streets", ["1 (150299001)", "(3.7501e+07, 4", "{outside_area_of_use}"]),
    ("out_of_china.geojson", "streets", ["2 (150299002)", "2.350000, 48.850000", "{outside_parent}"]),
    ("mixed_systems.geojson", "streets", ["2 (150299002)", "EPSG:4546", "{mixed_coordinate_systems}"]),
    ("without_prj.zip", "streets", ["EPSG:4546", "{no_coordinate_system}"]),
    ("system_unknown.geojson", "streets", ["EPSG:4610", "{no_transformation}"]),
    ("system_by_address.geojson", "streets", ["http://127.0.0.1:9/system", "{system_not_named}"]),
    ("system_by_address_beside_a_shape.geojson", "streets", ["http://127.0.0.1:9/", "{system_not_named}"]),
    ("system_beside_a_shape.geojson", "streets", ["– and EPSG:4490", "{mixed_coordinate_systems}"]),
    ("system_of_nobody.geojson", "streets", ["EPSG:999999", "{unknown_coordinate_system}"]),
    # text and columns
    ("column_missing.geojson", "streets", ["column name", "{column_missing}"]),
    ("name_empty.geojson", "streets", ["2 (150299002)", "109.830000, 40.620000", "{value_missing}"]),
    ("name_too_long.geojson", "streets", ["2 (150299002)", "109.830000, 40.620000", "{value_too_long}"]),
    ("name_garbled.geojson", "streets", ["2 (150299002)", "109.830000, 40.620000", "{wrong_encoding}"]),
    ("cpg_says_utf8_text_is_gbk.zip", "streets", ["1: ", "column name", "{wrong_encoding}"]),
    ("cpg_says_gbk_text_is_utf8.zip", "streets", ["1: ", "column name", "{wrong_encoding}"]),
    ("no_features.geojson", "streets", ["{no_features}"]),
    # broken and hostile files
    ("truncated.geojson", "streets", ["line 1, after character 272", "{file_broken}"]),
    ("truncated.gpkg", "streets", ["{file_broken}"]),
    ("truncated.zip", "streets", ["{archive_broken}"]),
    ("shp_cut_off.zip", "streets", [".shp is cut off", "{file_broken}"]),
    ("lying.zip", "streets", ["{archive_broken}"]),
    ("bomb.zip", "streets", ["{archive_too_large}"]),
    ("nested.zip", "streets", ["more.zip", "{archive_nested}"]),
    ("climbs_out.zip", "streets", ["../../evil.shp", "{archive_unsafe}"]),
    ("absolute.zip", "streets", ["/etc/evil.prj", "{archive_unsafe}"]),
    ("link.zip", "streets", ["streets.prj", "{archive_unsafe}"]),
    ("opens_other_files.gpkg", "streets", ["spy", "{file_unsafe}"]),
    ("opens_other_files_in_disguise.gpkg", "streets", ["spy", "{file_unsafe}"]),
    ("virtual.geojson", "streets", ["{file_broken}"]),
    ("html.geojson", "streets", ["{file_broken}"]),
    ("text.gpkg", "streets", ["{file_broken}"]),
    ("two_layers.gpkg", "streets", ["streets, other", "{layer_ambiguous}"]),
    ("two_shapefiles.zip", "streets", ["a, b", "{layer_ambiguous}"]),
    ("two_of_one_name.zip", "streets", ["a/streets, b/streets", "{layer_ambiguous}"]),
    ("names_in_gbk.zip", "streets", ["社区, 街道", "{layer_ambiguous}"]),
    ("without_dbf.zip", "streets", [".dbf", "{shapefile_incomplete}"]),
    ("without_shp.zip", "streets", [".shp", "{shapefile_incomplete}"]),
    ("without_shx.zip", "streets", [".shx", "{shapefile_incomplete}"]),
]


@pytest.mark.parametrize(("file", "layer", "told"), BROKEN, ids=[name for name, *_rest in BROKEN])
def test_a_broken_file_is_refused_and_the_database_is_what_it_was(
    square: District, settings: Any, file: str, layer: str, told: list[str]
) -> None:
    settings.EXCHANGE_UNPACKED_BYTES = 20_000_000
    before = checksums()
    with pytest.raises(CommandError) as refused:
        run(layer, FILES / file, replace=True)
    assert checksums() == before
    lines = str(refused.value).split("\n")
    assert lines[0] == "Refused; nothing was changed."
    assert any(all(word in line for word in told) for line in lines[1:]), lines


def test_every_broken_file_is_among_them() -> None:
    """Tables are tried with components, in test_imports.py."""
    good = {"streets.geojson", "communities.geojson", "cells.geojson", "streets_gbk.zip", "make.py"}
    there = {path.name for path in FILES.iterdir() if path.suffix != ".csv"}
    assert there - good == {name for name, *_rest in BROKEN}


def test_faults_are_places_on_a_map(square: District, tmp_path: Path) -> None:
    with pytest.raises(CommandError):
        run("cells", FILES / "cells_overlap.geojson", replace=True, faults=tmp_path / "faults.geojson")
    fault = json.loads((tmp_path / "faults.geojson").read_text())["features"][0]
    assert (fault["properties"]["code"], fault["properties"]["feature"]) == ("overlap", 6)
    assert same_area(shapely.geometry.shape(fault["geometry"]), box(2, 1, 0.1, 1))
