"""Files in and out: what is written comes back as it was, and what is hostile or broken is told apart."""

import csv
import io
import json
import socketserver
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from django.core.management import CommandError, call_command
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st

from gridmap.coordinates import UnknownCoordinateSystem
from gridmap.exchange.faults import FileRefused
from gridmap.exchange.layers import LAYERS
from gridmap.exchange.reading import READER, _environment, _garbled, read_file
from gridmap.exchange.systems import declared_system, system_of_file
from gridmap.exchange.writing import Stored, stored_layer, write_file
from gridmap.models import District

FILES = Path(__file__).with_name("files")
SYSTEMS = ("WGS84", "GCJ02", "BD09", "CGCS2000", "EPSG:4546", "EPSG:4525", "EPSG:32649", "EPSG:3857")


@pytest.fixture(autouse=True)
def _english() -> Any:
    with translation.override("en"):
        yield


def told(*args: Any, **options: Any) -> str:
    with pytest.raises(FileRefused) as refused:
        read_file(*args, **options)
    return str(refused.value)


# --- there and back -----------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("suffix", [".geojson", ".zip", ".gpkg", ".csv"])
@pytest.mark.parametrize("crs", ["WGS84", "GCJ02", "BD09", "EPSG:4546", "EPSG:32649"])
def test_a_layer_comes_back_as_it_was(suffix: str, crs: str, tmp_path: Path) -> None:
    """Every vertex to the last bit, every value; Chinese in GBK and in UTF-8."""
    layer, file = LAYERS["streets"], tmp_path / f"streets{suffix}"
    stored = stored_layer(layer, District.objects.get())
    for encoding in ["UTF-8", "GBK"] if suffix in (".zip", ".csv") else ["UTF-8"]:
        write_file(file, layer, stored, declared_system(crs), encoding=encoding)
        reading = read_file(file, layer)
        assert reading.system == crs
        assert len(reading.features) == len(stored.rows) == 11
        for feature, row, shape in zip(reading.features, stored.rows, stored.shapes, strict=True):
            values = {name: str(value) for name, value in zip(stored.columns, row, strict=True)}
            assert {
                k: v for k, v in feature.values.items() if k not in ("virtual", "synthetic", "system")
            } == {k: v for k, v in values.items() if k not in ("virtual", "synthetic")}
            assert "党" in feature.values["name"]
            one, other = shapely.normalize(feature.shape), shapely.normalize(shape)
            assert np.array_equal(shapely.get_coordinates(one), shapely.get_coordinates(other))


@pytest.mark.django_db
def test_a_shapefile_says_its_encoding_and_its_system(tmp_path: Path) -> None:
    """So that QGIS and ArcGIS show the Chinese, and put it in its place, without being asked."""
    file = tmp_path / "communities.zip"
    for encoding, code_page in (("GBK", "GBK"), ("UTF-8", "UTF-8")):
        call_command(
            "export_layer", "communities", file, crs="EPSG:4546", encoding=encoding, stdout=io.StringIO()
        )
        with zipfile.ZipFile(file) as archive:
            assert archive.read("communities.cpg").decode() == code_page
            assert archive.read("communities.prj").startswith(b'PROJCS["CGCS2000_3_Degree_GK_CM_111E"')
            assert "社区".encode(encoding) in archive.read("communities.dbf")


@pytest.mark.parametrize("crs", SYSTEMS)
@given(lon=st.floats(109.5, 112.5), lat=st.floats(39, 42))
def test_every_system_leads_back(crs: str, lon: float, lat: float) -> None:
    system = declared_system(crs)
    back = system.to_wgs84(*system.from_wgs84(np.array([lon]), np.array([lat])))
    assert abs(back[0][0] - lon) < 1e-9
    assert abs(back[1][0] - lat) < 1e-9


@pytest.mark.parametrize("code", [4490, 4525, 4546, 32649])
def test_a_system_is_known_by_what_arcgis_writes(code: int) -> None:
    from pyproj import CRS

    assert system_of_file(CRS.from_epsg(code).to_wkt("WKT1_ESRI")) == declared_system(f"EPSG:{code}")


@pytest.mark.parametrize(
    "crs", ["EPSG:4610", "EPSG:2343", "EPSG:999999", "EPSG:", "Qingshan", "EPSG:４５４６", "/vsicurl/x"]
)
def test_a_system_that_nobody_can_place_is_refused(crs: str) -> None:
    with pytest.raises(UnknownCoordinateSystem):
        declared_system(crs)


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["x.kml", "x"])
def test_another_format_is_not_written(name: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="ends in none of"):
        call_command("export_layer", "streets", tmp_path / name)


# --- how it is understood -----------------------------------------------------------------------------------


def test_columns_are_found_by_chinese_words_and_gbk_is_recognised() -> None:
    reading = read_file(FILES / "components_gbk.csv", LAYERS["components"], crs="GCJ02")
    first = reading.features[0]
    assert (reading.encoding, reading.encoding_from) == ("GB18030", "found")
    assert first.values == {"code": "1502990101000001", "name": "雨水箅子", "managing": "d01"}
    assert (first.x, first.y, first.system) == (109.802, 40.601, "GCJ02")
    assert first.shape.x < 109.80


def test_a_file_of_wgs_84_is_taken_as_what_is_stated() -> None:
    """GCJ-02 has no name in any format, so what is passed on as such always calls itself WGS-84."""
    as_it_is = read_file(FILES / "streets.geojson", LAYERS["streets"])
    shifted = read_file(FILES / "streets.geojson", LAYERS["streets"], crs="GCJ02")
    assert as_it_is.features[0].shape.distance(shifted.features[0].shape.centroid) == 0
    assert as_it_is.features[0].shape.centroid.distance(shifted.features[0].shape.centroid) > 0.003


def test_what_is_stated_may_not_contradict_the_file() -> None:
    assert "coordinate_system_contradicted" in told(
        FILES / "streets_gbk.zip", LAYERS["streets"], crs="EPSG:4546"
    )


def test_a_layer_of_several_is_named() -> None:
    reading = read_file(FILES / "two_layers.gpkg", LAYERS["streets"], file_layer="other")
    assert reading.layer == "other"
    assert "layer_missing" in told(FILES / "two_layers.gpkg", LAYERS["streets"], file_layer="third")


def test_a_layer_is_named_as_windows_packed_it() -> None:
    """Names in GBK, and nothing in the archive that says so."""
    reading = read_file(FILES / "names_in_gbk.zip", LAYERS["streets"], file_layer="街道")
    assert reading.features[0].values["area_name"] == "河西街道"


@pytest.mark.parametrize(
    ("name", "system"),
    [
        ("GCJ02", "GCJ02"),
        ("urn:ogc:def:crs:OGC:1.3:CRS84", "WGS84"),
        ("urn:ogc:def:crs:EPSG::4326", "WGS84"),
        ("urn:ogc:def:crs:EPSG::4490", "CGCS2000"),
        ("EPSG:4490", "CGCS2000"),
    ],
)
def test_the_system_a_geojson_names_is_the_one_it_is_read_in(name: str, system: str, tmp_path: Path) -> None:
    """GDAL takes what it does not know for WGS-84: several hundred metres off, in silence."""
    collection = json.loads((FILES / "streets.geojson").read_text())
    collection["crs"] = {"type": "name", "properties": {"name": name}}
    (tmp_path / "streets.geojson").write_text(json.dumps(collection))
    assert read_file(tmp_path / "streets.geojson", LAYERS["streets"]).system == system


def test_a_column_may_be_named() -> None:
    columns = {"name_en": "area_name"}
    reading = read_file(FILES / "streets.geojson", LAYERS["streets"], columns=columns)
    assert reading.features[0].values["name_en"] == "河西街道"
    assert "column_missing" in told(
        FILES / "streets.geojson", LAYERS["streets"], columns={"name_en": "title"}
    )


@pytest.mark.parametrize("text", ["河西街道党工委", "ＡＢ\u3000栋", "Ping'an café", "网格·一", "", "㐀㐁"])
def test_what_people_write_is_not_garbled(text: str) -> None:
    assert not _garbled(text)


@pytest.mark.parametrize(
    "text",
    [
        "河西街道".encode().decode("latin-1"),
        "河西街道".encode("gbk").decode("latin-1"),
        "河西街道党工委办".encode().decode("gbk", "replace"),
        "河\ufffd街道",
        "河西\x00",
        "河西\x07街道",
    ],
)
def test_what_nobody_writes_is(text: str) -> None:
    assert _garbled(text)


# --- what is hostile ----------------------------------------------------------------------------------------


def test_the_reader_gets_nothing_of_ours_and_four_drivers() -> None:
    environment = _environment("/room")
    assert not {"DATABASE_URL", "REDIS_URL", "DJANGO_SECRET_KEY"} & set(environment)
    skipped = environment["OGR_SKIP"].split(",")
    assert {"OGR_VRT", "KML", "OpenFileGDB", "PMTiles"} <= set(skipped)
    assert not {"GeoJSON", "ESRI Shapefile", "GPKG", "CSV"} & set(skipped)
    assert "import django" not in READER.read_text()
    assert "gridmap" not in READER.read_text()


@pytest.mark.parametrize(
    "path", ["/vsicurl/http://127.0.0.1/x.geojson", "/vsizip//etc/x.zip", "/etc", "missing.csv"]
)
def test_only_a_plain_file_is_opened(path: str) -> None:
    assert "no_file" in told(Path(path), LAYERS["streets"], suffix=".geojson")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "streets.geojson").symlink_to(FILES / "streets.geojson")
    assert "no_file" in told(tmp_path / "streets.geojson", LAYERS["streets"])


@pytest.mark.parametrize("place", ["file", "shape"])
@pytest.mark.parametrize("key", ["crs", "\\u0063Rs"])
def test_no_address_in_a_file_is_asked(place: str, key: str, tmp_path: Path) -> None:
    """GDAL alone fetches the system from there."""
    asked: list[Any] = []

    class Listener(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            asked.append(self.request.recv(100))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/system"
        collection = json.loads((FILES / "streets.geojson").read_text())
        bearer = collection if place == "file" else collection["features"][1]["geometry"]
        bearer["KEY"] = {"type": "link", "properties": {"href": address, "type": "proj4"}}
        file = tmp_path / "streets.geojson"
        file.write_text(json.dumps(collection).replace('"KEY"', f'"{key}"'))
        assert address in told(file, LAYERS["streets"])
        server.shutdown()
    assert asked == []


@pytest.mark.django_db
def test_a_table_that_goes_out_holds_no_formula_and_comes_back(tmp_path: Path) -> None:
    names = ["=HYPERLINK(A1)", "+1", "-1", "@SUM(A1)", "\t=1", "友谊大街"]
    rows = [(f"S{n}", name, "", 30) for n, name in enumerate(names)]
    line = shapely.LineString([(109.86, 40.66), (109.87, 40.66)])
    stored = Stored(("code", "name", "name_en", "reach_m"), rows, np.array([line] * len(rows), object))
    file = tmp_path / "segments.csv"
    write_file(file, LAYERS["road_segments"], stored, declared_system("WGS84"))
    with file.open(encoding="utf-8-sig", newline="") as table:
        cells = [row["name"] for row in csv.DictReader(table)]
    assert cells == ["'=HYPERLINK(A1)", "'+1", "'-1", "'@SUM(A1)", "'\t=1", "友谊大街"]
    reading = read_file(file, LAYERS["road_segments"])
    assert [feature.values["name"] for feature in reading.features] == [name.strip() for name in names]


def test_what_lies_beside_the_file_is_left_alone(tmp_path: Path) -> None:
    """A database beside a GeoPackage named as its journal would be played back into it."""
    import pyogrio

    layer = LAYERS["streets"]
    (tmp_path / "a.csv").write_text('code,name,parent,WKT\n1,a,1,"POLYGON ((0 0,1 0,1 1,0 0))"\n')
    (tmp_path / "a.csvt").write_text("Real,Real,Real,Real\n")
    assert pyogrio.read_info(tmp_path / "a.csv")["dtypes"][0] == "float64"
    assert read_file(tmp_path / "a.csv", layer, crs="WGS84").features[0].code == "1"


def test_a_file_larger_than_the_limits_is_refused(settings: Any, tmp_path: Path) -> None:
    settings.EXCHANGE_FILE_BYTES = 500
    assert "file_too_large" in told(FILES / "streets.geojson", LAYERS["streets"])
    settings.EXCHANGE_FILE_BYTES, settings.EXCHANGE_FEATURES = 1_000_000, 1
    assert "too_many_features" in told(FILES / "streets.geojson", LAYERS["streets"])
    settings.EXCHANGE_FEATURES, settings.EXCHANGE_MEMORY_BYTES = 10, 60_000_000
    assert "too_much_to_read" in told(FILES / "streets.geojson", LAYERS["streets"])


def test_deep_nesting_is_survived(tmp_path: Path) -> None:
    file = tmp_path / "deep.geojson"
    file.write_text('{"type":"FeatureCollection","features":' + "[" * 200_000)
    assert "file_broken" in told(file, LAYERS["streets"]) or "too_much_to_read" in told(
        file, LAYERS["streets"]
    )


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    collection = json.loads((FILES / "cells.geojson").read_text())
    for feature in collection["features"]:
        feature["properties"]["parent"] = ""
    (tmp_path / "cells.geojson").write_text(json.dumps(collection))
    lines = told(tmp_path / "cells.geojson", LAYERS["cells"]).splitlines()
    assert len(lines) == 16
    assert lines[0] == "1 (150299001001001): parent is empty {value_missing} [109.805000, 40.605000]"
