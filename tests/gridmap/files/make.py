"""Makes the files beside it: `python tests/gridmap/files/make.py`. Each broken one has one fault, told by its name.

The district is a square of four by four cells of 0.01 degree, south-west corner 109.80 E 40.60 N: two streets
(west, east), four communities (quadrants), four party groups, two regional groups (north, south).
"""

import io
import json
import sqlite3
import struct
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from pyogrio.raw import write

HERE = Path(__file__).parent
DISTRICT, WEST, SOUTH, STEP = "150299", 109.80, 40.60, 0.01
STREETS = {"150299001": "河西街道", "150299002": "河东街道"}
Feature = dict[str, Any]
LINK = {"type": "link", "properties": {"href": "http://127.0.0.1:9/system", "type": "proj4"}}


def box(x: float, y: float, wide: float = 1, high: float = 1) -> shapely.Polygon:
    """A box in cells from the south-west corner."""
    w, s = WEST + x * STEP, SOUTH + y * STEP
    return shapely.box(*np.round([w, s, w + wide * STEP, s + high * STEP], 7))


def feature(code: str, shape: shapely.Geometry | None, **values: Any) -> Feature:
    return {
        "type": "Feature",
        "properties": {"code": code, **values},
        "geometry": None if shape is None else json.loads(shapely.to_geojson(shape)),
    }


def street(code: str, shape: shapely.Geometry | None, **values: Any) -> Feature:
    name = STREETS.get(code, "新街道")
    return feature(code, shape, **{"name": f"{name}党工委", "area_name": name, "parent": DISTRICT, **values})


def streets() -> list[Feature]:
    return [street("150299001", box(0, 0, 2, 4)), street("150299002", box(2, 0, 2, 4))]


def community(code: str, shape: shapely.Geometry | None, **values: Any) -> Feature:
    return feature(
        code,
        shape,
        **{"name": f"社区{code[6:]}党委", "area_name": f"社区{code[6:]}", "parent": code[:9], **values},
    )


def communities() -> list[Feature]:
    return [
        community(f"150299{x + 1:03d}{y + 1:03d}", box(2 * x, 2 * y, 2, 2)) for x in (0, 1) for y in (0, 1)
    ]


def cell_code(x: int, y: int) -> str:
    return f"150299{x // 2 + 1:03d}{y // 2 + 1:03d}{(y % 2) * 2 + x % 2 + 1:03d}"


def cell(x: int, y: int, shape: shapely.Geometry | None = None, **values: Any) -> Feature:
    code = cell_code(x, y)
    group = {"parent": f"{code[:12]}G01", "regional_group": f"150299J{y // 2 + 1}"}
    return feature(values.pop("code", code), shape or box(x, y), **{**group, **values})


def cells() -> list[Feature]:
    return [cell(x, y) for x in range(4) for y in range(4)]


def changed(features: list[Feature], n: int, **changes: Any) -> list[Feature]:
    """The features with one of them different, counted from 1."""
    shape = changes.pop("shape", ...)
    one = features[n - 1]
    one["properties"] |= changes
    if shape is not ...:
        one["geometry"] = None if shape is None else json.loads(shapely.to_geojson(shape))
    return features


def geojson(name: str, features: list[Feature], **more: Any) -> None:
    text = json.dumps({"type": "FeatureCollection", **more, "features": features}, ensure_ascii=False)
    (HERE / name).write_text(text, encoding="utf-8")


def table(name: str, rows: list[list[Any]], encoding: str = "utf-8") -> None:
    (HERE / name).write_bytes("\n".join(",".join(map(str, row)) for row in rows).encode(encoding))


def shapefile(
    features: list[Feature], *, crs: str | None = "EPSG:4490", encoding: str = "UTF-8"
) -> dict[str, bytes]:
    """The parts of a Shapefile by their suffix."""
    names = list(features[0]["properties"])
    columns = [np.array([f["properties"][name] for f in features], object) for name in names]
    shapes = shapely.to_wkb([shapely.geometry.shape(f["geometry"]) for f in features])
    with tempfile.TemporaryDirectory() as room:
        path = Path(room, "layer.shp")
        write(
            path,
            shapes,
            columns,
            names,
            driver="ESRI Shapefile",
            geometry_type="Polygon",
            crs=crs,
            encoding=encoding,
        )
        return {part.suffix: part.read_bytes() for part in Path(room).iterdir()}


def zipped(name: str, members: dict[str, bytes], stem: str = "streets") -> None:
    """A zip of the parts; a name that is no suffix is taken as it is. The same bytes each time."""
    with zipfile.ZipFile(HERE / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for part, data in sorted(members.items()):
            info = zipfile.ZipInfo(f"{stem}{part}" if part.rfind(".") == 0 else part, (2026, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)


def geopackage(layers: dict[str, list[Feature]]) -> bytes:
    with tempfile.TemporaryDirectory() as room:
        path = Path(room, "file.gpkg")
        for n, (layer, features) in enumerate(layers.items()):
            names = list(features[0]["properties"])
            columns = [np.array([f["properties"][name] for f in features], object) for name in names]
            shapes = shapely.to_wkb([shapely.geometry.shape(f["geometry"]) for f in features])
            write(
                *(path, shapes, columns, names),
                layer=layer,
                driver="GPKG",
                geometry_type="Polygon",
                crs="EPSG:4490",
                append=n > 0,
            )
        database = sqlite3.connect(path)
        database.execute("UPDATE gpkg_contents SET last_change = '2026-01-01T00:00:00Z'")
        database.commit()
        database.execute("VACUUM")
        database.close()
        return path.read_bytes()


def stand_in(name: str) -> str:
    """As many ASCII signs as the name has bytes in GBK, so that they can take each other's place in a zip."""
    return "".join(sign if sign.isascii() else f"{ord(sign) % 100:02d}" for sign in name)


def turned(shape: shapely.Geometry) -> shapely.Geometry:
    return shapely.transform(shape, lambda xy: xy[:, ::-1])


def good() -> None:
    geojson("streets.geojson", streets())
    geojson("communities.geojson", communities())
    geojson("cells.geojson", cells())
    zipped("streets_gbk.zip", shapefile(streets(), encoding="GBK"))
    rows = [
        ["编码", "名称", "主管部门", "x", "y"],
        *([f"15029901010000{n:02d}", "雨水箅子", "d01", 109.801 + n / 1000, 40.601] for n in (1, 2, 3)),
    ]
    table("components_gbk.csv", rows, "gbk")


def topology() -> None:
    geojson("overlap.geojson", changed(communities(), 1, shape=box(0, 0, 2.2, 2)))
    geojson("gap.geojson", changed(communities(), 1, shape=box(0, 0, 1.8, 2)))
    geojson("outside_parent.geojson", changed(communities(), 1, shape=box(-0.5, 0, 2.5, 2)))
    bow = shapely.Polygon([(109.80, 40.60), (109.82, 40.62), (109.82, 40.60), (109.80, 40.62)])
    geojson("self_crossing.geojson", changed(communities(), 1, shape=bow))
    geojson("empty_polygon.geojson", changed(communities(), 2, shape=shapely.Polygon()))
    geojson("no_geometry.geojson", changed(communities(), 2, shape=None))
    flat = shapely.Polygon([(109.80, 40.60), (109.82, 40.60), (109.81, 40.60)])
    geojson("flat_polygon.geojson", changed(communities(), 1, shape=flat))
    geojson("cell_code_malformed.geojson", changed(cells(), 3, code="15029900100X003"))
    geojson("cell_code_short.geojson", changed(cells(), 3, code="1502990010"))
    geojson("cell_code_twice.geojson", changed(cells(), 2, code=cell_code(0, 0)))
    geojson("cell_code_of_another_community.geojson", changed(cells(), 1, code="150299002001009"))
    geojson("cell_parent_unknown.geojson", changed(cells(), 5, parent="150299001001G99"))
    geojson("cells_overlap.geojson", changed(cells(), 6, shape=box(1, 1, 1.1, 1)))
    geojson("cells_gap.geojson", [f for n, f in enumerate(cells(), 1) if n != 6])
    geojson("street_code_twice.geojson", changed(streets(), 2, code="150299001"))
    geojson("street_parent_unknown.geojson", changed(streets(), 2, parent="150298"))
    group = {"name": "集团党工委", "area_name": "集团", "parent": DISTRICT}
    geojson(
        "group_cuts_cells.geojson",
        [
            feature("150299J1", box(0, 0, 4, 1.5), **group),
            feature("150299J2", box(0, 1.5, 4, 2.5), **group),
        ],
    )


def shapes_and_places() -> None:
    geojson("wrong_type.geojson", changed(streets(), 2, shape=shapely.Point(109.83, 40.62)))
    lines = changed(streets(), 2, shape=shapely.LineString([(109.82, 40.60), (109.84, 40.64)]))
    geojson("line_as_area.geojson", lines)
    geojson("out_of_china.geojson", changed(streets(), 2, shape=shapely.box(2.3, 48.8, 2.4, 48.9)))
    geojson("swapped_axes.geojson", changed(streets(), 2, shape=turned(box(2, 0, 2, 4))))
    geojson(
        "not_where_it_says.geojson",
        changed(streets(), 2, shape=shapely.box(398428, 4496845, 400000, 4499000)),
    )
    text = (HERE / "streets.geojson").read_text()
    (HERE / "nan.geojson").write_text(text.replace("[109.84, 40.6]", "[NaN, 40.6]", 1))
    (HERE / "infinite.geojson").write_text(text.replace("[109.84, 40.6]", "[1e999, 40.6]", 1))
    (HERE / "truncated.geojson").write_text(text[: len(text) // 2])
    (HERE / "three_corners.geojson").write_text(
        json.dumps(
            {
                "type": "FeatureCollection",
                "features": [
                    {
                        **street("150299001", box(0, 0)),
                        "geometry": {"type": "Polygon", "coordinates": [[[109.8, 40.6], [109.81, 40.6]]]},
                    }
                ],
            }
        )
    )
    geojson("no_features.geojson", [])
    mixed = changed(streets(), 2, system="EPSG:4546", shape=shapely.box(398428, 4496845, 400000, 4499000))
    changed(mixed, 1, system="WGS84")
    geojson("mixed_systems.geojson", mixed)
    geojson("column_missing.geojson", [feature("150299001", box(0, 0, 2, 4))])
    geojson("name_empty.geojson", changed(streets(), 2, name=" "))
    geojson("name_too_long.geojson", changed(streets(), 2, name="长" * 300))
    geojson("name_garbled.geojson", changed(streets(), 2, name="河东街道党工委".encode().decode("latin-1")))
    geojson("system_unknown.geojson", streets(), crs={"type": "name", "properties": {"name": "EPSG:4610"}})
    geojson("system_by_address.geojson", streets(), crs=LINK)
    beside = streets()
    beside[1]["geometry"]["crs"] = {"type": "name", "properties": {"name": "EPSG:4490"}}
    geojson("system_beside_a_shape.geojson", beside)
    beside[1]["geometry"]["crs"] = LINK
    geojson("system_by_address_beside_a_shape.geojson", beside)
    geojson(
        "system_of_nobody.geojson", streets(), crs={"type": "name", "properties": {"name": "EPSG:999999"}}
    )
    (HERE / "html.geojson").write_text("<!doctype html><title>403</title>")
    source = '<OGRVRTDataSource><OGRVRTLayer name="x"><SrcDataSource>/etc/passwd</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>'
    (HERE / "virtual.geojson").write_text(source)


def shapefiles() -> None:
    parts = shapefile(streets())
    for part in (".dbf", ".shx", ".shp"):
        zipped(f"without_{part[1:]}.zip", {k: v for k, v in parts.items() if k != part})
    zipped("without_prj.zip", {k: v for k, v in parts.items() if k != ".prj"})
    gbk = shapefile(streets(), encoding="GBK")
    zipped("cpg_says_utf8_text_is_gbk.zip", {**gbk, ".cpg": b"UTF-8"})
    zipped("cpg_says_gbk_text_is_utf8.zip", {**parts, ".cpg": b"GBK"})
    zipped(
        "swapped_metres.zip",
        shapefile([street("150299001", shapely.box(4496845, 398428, 4499000, 400000))], crs="EPSG:4546"),
    )
    zipped(
        "other_zone.zip",
        shapefile([street("150299001", shapely.box(37500000, 4496845, 37501000, 4499000))], crs="EPSG:4546"),
    )
    zipped("shp_cut_off.zip", {**parts, ".shp": parts[".shp"][:150]})
    zipped(
        "two_shapefiles.zip", {f"a{k}": v for k, v in parts.items()} | {f"b{k}": v for k, v in parts.items()}
    )
    twins = {f"{folder}/streets{k}": v for folder in "ab" for k, v in parts.items()}
    zipped("two_of_one_name.zip", twins)
    both = {f"{stem}{k}": v for stem in ("街道", "社区") for k, v in gbk.items()}
    zipped("names_in_gbk.zip", dict(zip(map(stand_in, both), both.values(), strict=True)))
    whole = (HERE / "names_in_gbk.zip").read_bytes()
    for member in both:
        whole = whole.replace(stand_in(member).encode(), member.encode("gbk"))
    (HERE / "names_in_gbk.zip").write_bytes(whole)
    zipped("climbs_out.zip", {**parts, "../../evil.shp": b"x"})
    zipped("absolute.zip", {**parts, "/etc/evil.prj": b"x"})
    zipped("nested.zip", {**parts, "more.zip": b"PK"})
    zipped("bomb.zip", {**parts, ".dbf": parts[".dbf"] + bytes(30_000_000)})
    with zipfile.ZipFile(HERE / "link.zip", "w") as archive:
        for part, data in sorted(parts.items()):
            if part != ".prj":
                archive.writestr(zipfile.ZipInfo(f"streets{part}", (2026, 1, 1, 0, 0, 0)), data)
        link = zipfile.ZipInfo("streets.prj", (2026, 1, 1, 0, 0, 0))
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    whole = io.BytesIO((HERE / "streets_gbk.zip").read_bytes()).getvalue()
    (HERE / "truncated.zip").write_bytes(whole[: len(whole) * 2 // 3])
    lying = bytearray(whole)
    at = lying.rindex(b"PK\x01\x02")
    lying[at + 24 : at + 28] = struct.pack("<I", 7)  # the last part's size, untrue
    (HERE / "lying.zip").write_bytes(lying)


def geopackages() -> None:
    whole = geopackage({"streets": streets()})
    (HERE / "truncated.gpkg").write_bytes(whole[: len(whole) // 2])
    (HERE / "two_layers.gpkg").write_bytes(geopackage({"streets": streets(), "other": streets()}))
    (HERE / "text.gpkg").write_text("编码,名称\n")
    with tempfile.TemporaryDirectory() as room:
        path = Path(room, "file.gpkg")
        path.write_bytes(whole)
        database = sqlite3.connect(path)
        database.execute("PRAGMA writable_schema = ON")
        database.execute(
            "INSERT INTO sqlite_master (type, name, tbl_name, rootpage, sql) VALUES ('table', 'spy', 'spy', 0,"
            " 'CREATE VIRTUAL TABLE spy USING VirtualOGR(''/etc/passwd'')')"
        )
        database.commit()
        database.close()
        (HERE / "opens_other_files.gpkg").write_bytes(path.read_bytes())
        database = sqlite3.connect(path)
        database.execute("PRAGMA writable_schema = ON")
        database.execute(
            "UPDATE sqlite_master SET sql = replace(sql, 'CREATE VIRTUAL', 'CREATE/**/VIRTUAL') WHERE name = 'spy'"
        )
        database.commit()
        database.close()
        (HERE / "opens_other_files_in_disguise.gpkg").write_bytes(path.read_bytes())


def tables() -> None:
    head, row = (
        ["code", "name", "managing", "x", "y"],
        ["1502990101000001", "雨水箅子", "d01", 109.805, 40.605],
    )
    table("no_system.csv", [head, row])
    table("no_coordinates.csv", [head[:3], row[:3]])
    table("not_a_number.csv", [head, row, ["1502990101000002", "雨水箅子", "d01", "109°48′", 40.6]])
    table("gbk_called_utf8.csv", [head, row], "gbk")
    table("swapped.csv", [head, [*row[:3], 40.605, 109.805]])
    table("broken_wkt.csv", [["code", "name", "managing", "wkt"], [*row[:3], "POINT(109.805"]])
    table("outside_district.csv", [head, [*row[:3], 116.4, 39.9]])
    table("code_twice.csv", [head, row, row])
    table("department_unknown.csv", [head, [*row[:2], "d99", *row[3:]]])
    table("code_malformed.csv", [head, ["15029901", *row[1:]]])


if __name__ == "__main__":
    for old in HERE.iterdir():
        if old != Path(__file__):
            old.unlink()
    for make in (good, topology, shapes_and_places, shapefiles, geopackages, tables):
        make()
    print(len(list(HERE.iterdir())) - 1, "files", file=sys.stderr)
