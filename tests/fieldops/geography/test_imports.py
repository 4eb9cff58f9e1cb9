"""Layers that come in: what is good goes in as one transaction, what is broken changes nothing."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import shapely
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import translation

from fieldops.geography import imports
from fieldops.models import User
from gridmap.models import Cell, Component, Department, District, ImportRun, RoadSegment
from tests.checksums import checksums
from tests.gridmap.squares import square_district

FILES = Path(__file__).parents[2] / "gridmap" / "files"
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _english() -> Any:
    with translation.override("en"):
        yield


def run(layer: str, file: Path, **options: Any) -> str:
    out = io.StringIO()
    call_command("import_layer", layer, file, stdout=out, stderr=io.StringIO(), **options)
    return out.getvalue()


@pytest.fixture
def components(tmp_path: Path) -> Path:
    """Three components of the demo district, as a table in Chinese words and GBK."""
    district = District.objects.get()
    edition = Component._meta.get_field("event_class").related_model
    kind = edition.objects.filter(kind="component", edition=district.class_edition).first()
    department = Department.objects.first()
    rows = ["部件编码,部件名称,主管部门代码,精度,状态,初始时间,x,y"]
    for n, cell in enumerate(Cell.objects.in_force().order_by("code")[700:703], 1):
        x, y = cell.boundary.point_on_surface.coords
        rows.append(
            f"{district.pk}{kind.major}{kind.minor}9{n:0{7 - len(kind.minor)}d},雨水箅子,{department.code},A,intact,2024-05-0{n},{x},{y}"
        )
    file = tmp_path / "components.csv"
    file.write_bytes("\n".join(rows).encode("gbk"))
    return file


@pytest.fixture
def segments(tmp_path: Path) -> Path:
    features = []
    for n, cell in enumerate(Cell.objects.in_force().order_by("code")[700:702], 1):
        x, y = cell.boundary.point_on_surface.coords
        line = {"type": "LineString", "coordinates": [[x, y], [x + 0.0001, y + 0.00005]]}
        features.append(
            {
                "type": "Feature",
                "geometry": line,
                "properties": {"code": f"S{n}", "name": "友谊大街", "reach_m": 30},
            }
        )
    file = tmp_path / "segments.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    return file


# --- good files ---------------------------------------------------------------------------------------------


def test_components_come_in_and_again_change_nothing(components: Path) -> None:
    told = run("components", components, crs="GCJ02")
    assert "3 features read, in GCJ02, text in GB18030" in told
    assert "3 are added" in told
    kept = Component.objects.get(element__system="GCJ02", element__established_on="2024-05-01")
    assert (kept.element.system, kept.accuracy_class, str(kept.element.established_on)) == (
        "GCJ02",
        "A",
        "2024-05-01",
    )
    before = checksums()
    assert "3 stay as they are" in run("components", components, crs="GCJ02")
    assert checksums() == before


def test_a_dry_run_tells_and_changes_nothing(components: Path) -> None:
    before = checksums()
    told = run("components", components, crs="WGS84", dry_run=True)
    assert "3 are added" in told
    assert "dry run" in told
    assert checksums() == before


def test_components_are_no_draft_of_a_layout(components: Path) -> None:
    before = checksums()
    with pytest.raises(CommandError, match="no_layout"):
        run("components", components, crs="WGS84", draft=True)
    assert checksums() == before


@pytest.mark.parametrize("suffix", [".geojson", ".zip", ".gpkg", ".csv"])
@pytest.mark.parametrize("crs", ["WGS84", "BD09", "EPSG:4546", "EPSG:32649"])
def test_what_goes_out_comes_back_and_changes_nothing(
    components: Path, segments: Path, suffix: str, crs: str, tmp_path: Path
) -> None:
    """In whatever system it went out: where a component was declared to be stays as it was declared."""
    run("components", components, crs="WGS84")
    run("road_segments", segments)
    before = checksums()
    standing = Component.objects.filter(element__ended_at__isnull=True).count()
    drawn = RoadSegment.objects.filter(ended_at__isnull=True).count()
    for layer, count in (("components", standing), ("road_segments", drawn)):
        file = tmp_path / f"{layer}{suffix}"
        call_command("export_layer", layer, file, crs=crs, stdout=io.StringIO())
        assert f"{count} stay as they are" in run(layer, file)
    assert checksums() == before


# --- broken files: component and segment layers ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "options", "told"),
    [
        ("no_system.csv", {}, "no_coordinate_system"),
        ("no_coordinates.csv", {"crs": "WGS84"}, "no_coordinates"),
        ("not_a_number.csv", {"crs": "WGS84"}, "2 (1502990101000002): x or y is no number: 109°48′, 40.6"),
        ("gbk_called_utf8.csv", {"crs": "WGS84", "encoding": "UTF-8"}, "wrong_encoding"),
        ("swapped.csv", {"crs": "WGS84"}, "1 (1502990101000001): x and y are swapped"),
        ("broken_wkt.csv", {"crs": "WGS84"}, "1 (1502990101000001): The feature has no shape"),
        ("outside_district.csv", {"crs": "WGS84"}, "[116.400000, 39.900000]"),
        ("code_malformed.csv", {"crs": "WGS84"}, "1 (15029901): "),
        ("code_twice.csv", {"crs": "WGS84"}, "{code_"),
        ("department_unknown.csv", {"crs": "WGS84"}, "{unknown_department}"),
    ],
)
def test_a_broken_table_changes_nothing(file: str, options: dict[str, str], told: str) -> None:
    before = checksums()
    with pytest.raises(CommandError) as refused:
        run("components", FILES / file, **options)
    assert told in str(refused.value)
    assert "nothing was changed" in str(refused.value)
    assert checksums() == before


def test_faults_are_written_as_geojson(tmp_path: Path) -> None:
    with pytest.raises(CommandError):
        run("components", FILES / "swapped.csv", crs="WGS84", faults=tmp_path / "faults.geojson")
    [fault] = json.loads((tmp_path / "faults.geojson").read_text())["features"]
    assert fault["geometry"] == {"type": "Point", "coordinates": [109.805, 40.605]}
    assert fault["properties"]["feature"] == 1


# --- runs of the page ------------------------------------------------------------------------------------------


@pytest.fixture
def administrator(db: None) -> User:
    return User.objects.get(username="admin")


@pytest.fixture
def uploads(settings: Any, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = str(tmp_path / "media")
    return tmp_path / "media" / "imports"


def brought(
    file: Path, by: User, layer: str = "components", *, district: District | None = None, **facts: Any
) -> ImportRun:
    run = ImportRun(district=district or District.objects.get(), layer=layer, **facts)
    return imports.begin_import(run, SimpleUploadedFile(f"../../{file.name}", file.read_bytes()), by=by)


def test_a_run_is_checked_shown_and_applied(components: Path, administrator: User, uploads: Path) -> None:
    run = brought(components, administrator, crs="WGS84")
    assert run.file_name == "components.csv"
    assert [path.name for path in uploads.iterdir()] == [str(run.pk)]
    before = checksums(apart_from="importrun")
    assert imports.work_on_imports() == 1
    run.refresh_from_db()
    assert (run.state, run.progress, run.summary) == (
        "ready",
        100,
        {"added": 3, "changed": 0, "unchanged": 0},
    )
    assert len(run.preview["features"]) == 3
    assert checksums(apart_from="importrun") == before
    imports.order_import(run.pk, by=administrator)
    assert imports.work_on_imports() == 1
    run.refresh_from_db()
    assert (run.state, run.applied_by) == ("applied", administrator)
    codes = [feature["properties"]["code"] for feature in run.preview["features"]]
    assert Component.objects.filter(code__in=codes).count() == 3
    assert list(uploads.iterdir()) == []


def test_what_was_checked_is_what_is_applied(components: Path, administrator: User, uploads: Path) -> None:
    run = brought(components, administrator, crs="WGS84")
    imports.work_on_imports()
    call_command(
        "import_layer", "components", components, crs="WGS84", stdout=io.StringIO(), stderr=io.StringIO()
    )
    imports.order_import(run.pk, by=administrator)
    imports.work_on_imports()
    run.refresh_from_db()
    assert run.state == "refused"
    assert run.faults[0]["properties"]["code"] == "changed_since"


def test_what_changes_is_told_first(components: Path, administrator: User, uploads: Path) -> None:
    run("components", components, crs="WGS84")
    text = components.read_bytes().decode("gbk")
    before, after = text.rsplit("雨水箅子", 1)
    components.write_bytes(f"{before}污水井盖{after}".encode("gbk"))
    told = brought(components, administrator, crs="WGS84")
    imports.work_on_imports()
    told.refresh_from_db()
    third = text.splitlines()[3].split(",")[0]
    about = [feature["properties"] for feature in told.preview["features"]]
    assert [each["change"] for each in about] == ["changed", "", ""]
    assert (about[0]["code"], about[0]["name"]) == (third, "污水井盖")


def test_what_a_refused_file_draws_and_what_ends_is_kept_for_the_map(
    administrator: User, uploads: Path
) -> None:
    square = square_district()
    told = brought(FILES / "overlap.geojson", administrator, "communities", district=square)
    imports.work_on_imports()
    told.refresh_from_db()
    assert (told.state, told.understood["features"]) == ("refused", 4)
    drawn = shapely.geometry.shape(told.preview["features"][0]["geometry"])
    assert drawn.contains(shapely.geometry.shape(told.faults[0]["geometry"]))
    collection = json.loads((FILES / "cells.geojson").read_text())
    code = collection["features"][1]["properties"]["code"]
    wider = shapely.union_all([shapely.geometry.shape(f["geometry"]) for f in collection["features"][:2]])
    collection["features"][0]["geometry"] = shapely.geometry.mapping(wider)
    del collection["features"][1]
    file = uploads.parent.parent / "cells.geojson"
    file.write_text(json.dumps(collection))
    told = brought(file, administrator, "cells", district=square, units_follow=True)
    imports.work_on_imports()
    told.refresh_from_db()
    assert told.state == "ready", told.faults
    ended = next(f for f in told.preview["features"] if f["properties"]["change"] == "ended")
    assert (ended["properties"]["code"], ended["geometry"]) == (code, None)


def test_a_broken_file_is_refused_and_not_kept(administrator: User, uploads: Path) -> None:
    run = brought(FILES / "swapped.csv", administrator, crs="WGS84")
    imports.work_on_imports()
    run.refresh_from_db()
    assert run.state == "refused"
    assert run.faults[0]["geometry"]["coordinates"] == [109.805, 40.605]
    assert list(uploads.iterdir()) == []


def test_a_kept_file_that_was_changed_is_refused(
    components: Path, administrator: User, uploads: Path
) -> None:
    run = brought(components, administrator, crs="WGS84")
    Path(run.file.path).write_bytes(b"code,name\n")
    imports.work_on_imports()
    run.refresh_from_db()
    assert (run.state, run.faults[0]["properties"]["code"]) == ("refused", "file_changed")


def test_a_run_whose_worker_died_fails(components: Path, administrator: User, uploads: Path) -> None:
    run = brought(components, administrator, crs="WGS84")
    ImportRun.objects.filter(pk=run.pk).update(state="checking", changed_at="2026-01-01T00:00Z")
    imports.work_on_imports()
    run.refresh_from_db()
    assert (run.state, run.faults[0]["properties"]["code"]) == ("failed", "import_stopped")
    assert list(uploads.iterdir()) == []


def test_an_import_that_was_given_up_writes_nothing(
    components: Path, administrator: User, uploads: Path
) -> None:
    """What is written and that it is written are one transaction: no run has failed whose rows are there."""
    run = brought(components, administrator, crs="WGS84")
    imports.work_on_imports()
    imports.order_import(run.pk, by=administrator)
    taken = imports._claim()
    assert taken is not None
    ImportRun.objects.filter(pk=run.pk).update(state="failed")
    before = checksums(apart_from="importrun")
    imports._work_on(taken)
    assert checksums(apart_from="importrun") == before
    assert ImportRun.objects.get(pk=run.pk).faults[0]["properties"]["code"] == "given_up"


def test_a_failure_of_ours_says_so(components: Path, administrator: User, uploads: Path) -> None:
    run = brought(components, administrator, crs="WGS84")
    Path(run.file.path).unlink()
    imports.work_on_imports()
    run.refresh_from_db()
    about = run.faults[0]["properties"]
    assert (run.state, about["code"]) == ("failed", "import_failed")
    assert str(run.pk) in about["message"]


def test_files_that_nobody_applied_are_forgotten(
    components: Path, administrator: User, uploads: Path
) -> None:
    run = brought(components, administrator, crs="WGS84")
    imports.work_on_imports()
    assert imports.forget_files() == 0
    ImportRun.objects.filter(pk=run.pk).update(changed_at="2026-01-01T00:00Z")
    assert imports.forget_files() == 1
    assert list(uploads.iterdir()) == []


def test_who_may_not_sees_nothing_and_applies_nothing(
    client: Client, components: Path, administrator: User, outsider: User, uploads: Path
) -> None:
    from django.contrib.auth.models import Permission

    run = brought(components, administrator, crs="WGS84")
    imports.work_on_imports()
    outsider.is_staff = True
    outsider.save()
    client.force_login(outsider)
    page = f"/admin/gridmap/importrun/{run.pk}"
    for path in ("state", "preview", "current"):
        assert client.get(f"{page}/{path}").status_code == 403
    assert client.post(f"{page}/apply").status_code == 403
    assert client.get("/admin/gridmap/importrun/add/").status_code == 403
    # With the permission, but without a post in the district.
    outsider.user_permissions.add(
        *Permission.objects.filter(codename__in=["view_importrun", "apply_importrun", "add_importrun"])
    )
    client.force_login(User.objects.get(pk=outsider.pk))
    for path in ("state", "preview", "current"):
        assert client.get(f"{page}/{path}").status_code == 404
    assert client.post(f"{page}/apply").status_code == 404
    answer = client.post(
        "/admin/gridmap/importrun/add/", {"district": run.district_id, "layer": "components"}
    )
    assert answer.status_code == 200
    assert ImportRun.objects.count() == 1
    with pytest.raises(imports.FileRefused):
        imports.order_import(run.pk, by=outsider)
    run.refresh_from_db()
    assert run.state == "ready"


@pytest.mark.parametrize("columns", ['{"code":' * 3000 + "1" + "}" * 3000, "[1]", '{"code": 1}', "{"])
def test_names_of_columns_that_are_none_are_told(
    client: Client, components: Path, administrator: User, uploads: Path, columns: str
) -> None:
    client.force_login(administrator)
    facts = {"district": District.objects.get().pk, "layer": "components", "tolerance_m": "0.05"}
    with components.open("rb") as file:
        answer = client.post("/admin/gridmap/importrun/add/", {**facts, "columns": columns, "file": file})
    assert answer.status_code == 200
    assert set(answer.context["adminform"].form.errors) == {"columns"}
    assert not ImportRun.objects.exists()


def test_a_file_too_large_is_refused(
    settings: Any, components: Path, administrator: User, uploads: Path
) -> None:
    settings.EXCHANGE_UPLOAD_BYTES = 10
    with pytest.raises(imports.FileRefused, match="file_too_large"):
        brought(components, administrator)
    assert ImportRun.objects.count() == 0
