"""Reads one file that nobody vouches for, in a process of its own: `python -I reader.py REQUEST ANSWER`.

It knows nothing of the project, has no database and no secret, opens nothing but the file it is given, and dies at
the limits set in the request. Both arguments are JSON files; the answer is either what the file holds, geometry as
it is (WKB, hexadecimal), or `{"refused": code, …facts}`.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import sqlite3
import stat
import struct
import sys
import warnings
import zipfile
import zlib
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

# The formats, by the end of a file's name, and GDAL's word for each.
DRIVERS = {
    ".geojson": "GeoJSON",
    ".json": "GeoJSON",
    ".zip": "ESRI Shapefile",
    ".gpkg": "GPKG",
    ".csv": "CSV",
}
PARTS = (".shp", ".shx", ".dbf", ".prj", ".cpg")
NEEDED_PARTS = (".shp", ".shx", ".dbf")
ARCHIVES = (".zip", ".gz", ".tgz", ".tar", ".bz2", ".xz", ".7z", ".rar", ".zst", ".kmz", ".jar")
CHUNK = 1 << 20
CHINESE = "GB18030"  # holds GBK and GB2312
MOST_MEMBERS = 200
CRS_MEMBERS = ("crs", "type", "properties", "name", "code", "href", "url", "urn")
SPATIAL_INDEX = re.compile(
    r"""CREATE VIRTUAL TABLE ("(?:[^"]|"")+"|\w+) USING rtree ?\([\w, ]+\)""", re.IGNORECASE
)
BROKEN_ARCHIVE = (
    *(zipfile.BadZipFile, zlib.error, struct.error),
    *(EOFError, OSError, ValueError, NotImplementedError, RuntimeError),
)


class Refused(Exception):
    """The file cannot be read; the code says why."""

    def __init__(self, code: str, **facts: Any) -> None:
        super().__init__(code)
        self.answer = {"refused": code, **facts}


def main(request_file: str, answer_file: str) -> None:
    """Read what the request names and write the answer."""
    request = json.loads(Path(request_file).read_text())
    _limit(request["limits"])
    try:
        answer = read(request)
    except Refused as refused:
        answer = refused.answer
    except MemoryError:
        answer = {"refused": "too_much_to_read"}
    Path(answer_file).write_text(json.dumps(answer))


def _limit(limits: dict[str, int]) -> None:
    for what, most in (
        (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_CPU, limits["seconds"]),
        (resource.RLIMIT_FSIZE, limits["unpacked_bytes"] * 4),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def read(request: dict[str, Any]) -> dict[str, Any]:
    """What the file holds. Raises Refused."""
    source, room, limits = Path(request["file"]), Path(request["room"]), request["limits"]
    driver = DRIVERS[request["suffix"]]
    found: dict[str, Any] = {"driver": driver, "encoding": "UTF-8", "encoding_from": "format"}
    if driver == "ESRI Shapefile":
        path = _unpack(source, room, request.get("layer"), limits)
        _check_shapefile(path)
    elif driver == "GPKG":
        path = room / "file.gpkg"
        _copy(source, path, limits)
        _check_geopackage(path)
    else:
        path = room / ("file.csv" if driver == "CSV" else "file.geojson")
        text, how = _text(source, request.get("encoding"))
        found |= how
        path.write_text(text, encoding="utf-8", newline="")
        if driver == "GeoJSON":
            named = _named_system(text)
            return found | _open(path, driver, request) | ({"crs": named} if named else {})
    return found | _open(path, driver, request)


# --- what lies around the file -------------------------------------------------------------------------------


def _copy(source: Path, target: Path, limits: dict[str, int]) -> None:
    """Into a room of its own, so that nothing beside it is opened along with it."""
    with source.open("rb") as one, target.open("wb") as other:
        shutil.copyfileobj(one, other, CHUNK)
    if target.stat().st_size > limits["unpacked_bytes"]:
        raise Refused("too_much_to_read")


def _unpack(source: Path, room: Path, layer: str | None, limits: dict[str, int]) -> Path:
    """The parts of one shapefile out of a zip, under names of our own; the rest is left in it."""
    try:
        archive = zipfile.ZipFile(source)
    except BROKEN_ARCHIVE as error:
        raise Refused("archive_broken") from error
    with archive:
        members = archive.infolist()
        if len(members) > MOST_MEMBERS:
            raise Refused("archive_unsafe", member=f"{len(members)} members")
        for member in members:
            _check_member(member)
        if sum(member.file_size for member in members) > limits["unpacked_bytes"]:
            raise Refused("archive_too_large", most=limits["unpacked_bytes"])
        stems: dict[str, dict[str, zipfile.ZipInfo]] = {}
        for member in members:
            path = PurePosixPath(_name_of_member(member))
            if path.suffix.lower() in PARTS and not path.name.startswith("._"):
                stem = str(path.with_suffix(""))
                stems.setdefault(stem, {})[path.suffix.lower()] = member
        # By the bare name, where that is one's alone.
        bare = Counter(PurePosixPath(stem).name for stem in stems)
        named = {
            name if bare[name := PurePosixPath(stem).name] == 1 else stem: parts
            for stem, parts in stems.items()
        }
        name = _choose(sorted(named), layer)
        missing = [part for part in NEEDED_PARTS if part not in named[name]]
        if missing:
            raise Refused("shapefile_incomplete", name=name, missing=missing)
        left = limits["unpacked_bytes"]
        for part, member in named[name].items():
            left = _unpack_member(archive, member, room / f"file{part}", left, limits)
    return room / "file.shp"


def _name_of_member(member: zipfile.ZipInfo) -> str:
    """Its name; Windows packs Chinese ones in GBK and does not say so, and Python takes them for code page 437."""
    name = member.filename
    if member.flag_bits & 0x800 or name.isascii():
        return name
    for encoding in ("UTF-8", CHINESE):
        try:
            return name.encode("cp437").decode(encoding)
        except UnicodeError:
            continue
    return name


def _check_member(member: zipfile.ZipInfo) -> None:
    name = member.filename
    path = PurePosixPath(name.replace("\\", "/"))
    kind = stat.S_IFMT(member.external_attr >> 16)
    if path.is_absolute() or ".." in path.parts or ":" in name or "\0" in name:
        raise Refused("archive_unsafe", member=name)
    if kind and not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise Refused("archive_unsafe", member=name)
    if path.suffix.lower() in ARCHIVES:
        raise Refused("archive_nested", member=name)
    if member.flag_bits & 0x1:
        raise Refused("archive_encrypted", member=name)


def _unpack_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, left: int, limits: dict[str, int]
) -> int:
    """What it says it holds is not believed: what comes out is counted."""
    try:
        with archive.open(member) as packed, target.open("wb") as out:
            while chunk := packed.read(CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise Refused("archive_too_large", most=limits["unpacked_bytes"])
                out.write(chunk)
    except BROKEN_ARCHIVE as error:
        raise Refused("archive_broken", member=member.filename) from error
    return left


def _check_shapefile(path: Path) -> None:
    """A shapefile states its own length; one that is shorter was cut off."""
    for part in (".shp", ".shx"):
        data = path.with_suffix(part)
        with data.open("rb") as file:
            head = file.read(28)
        if len(head) < 28 or int.from_bytes(head[24:28], "big") * 2 > data.stat().st_size:
            raise Refused("file_broken", told=f"{part} is cut off")


def _check_geopackage(path: Path) -> None:
    """Tables that SQLite computes by a module could open other files; only the spatial index may be one."""
    try:
        with sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True) as database:
            # As SQLite itself understands them: their text may be written in many ways.
            modules = dict(database.execute("SELECT name, sql FROM sqlite_master").fetchall())
            for _schema, name, kind, *_rest in database.execute("PRAGMA table_list").fetchall():
                if kind == "virtual" and not SPATIAL_INDEX.fullmatch(modules.get(name) or ""):
                    raise Refused("file_unsafe", table=name)
            if database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise Refused("file_broken", told="quick_check")
    except sqlite3.DatabaseError as error:
        raise Refused("file_broken", told=str(error)) from error


# --- text ----------------------------------------------------------------------------------------------------


def _text(source: Path, encoding: str | None) -> tuple[str, dict[str, str]]:
    """What a text file says, and its encoding: by a mark at its beginning, as stated, or as it fits."""
    data = source.read_bytes()
    if data.startswith(b"\xef\xbb\xbf"):
        text, used, told = _decode(data[3:], "UTF-8"), "UTF-8", "mark"
    elif data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text, used, told = _decode(data, "UTF-16"), "UTF-16", "mark"
    elif encoding:
        text, used, told = _decode(data, encoding), encoding, "stated"
    else:
        try:
            text, used, told = _decode(data, "UTF-8"), "UTF-8", "found"
        except Refused:
            text, used, told = _decode(data, CHINESE), CHINESE, "found"
    if "\0" in text:
        raise Refused("file_broken", told="NUL")
    return text, {"encoding": used, "encoding_from": told}


def _named_system(text: str) -> str:
    """The system a GeoJSON names, empty where it names none.

    GDAL would fetch one that is given by an address, take one that it does not know for WGS-84, and overlook one that
    is named beside a single shape; so none of it is left to GDAL.
    """
    named: set[str] = set()

    def watch(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        kept = {key.casefold(): value for key, value in pairs if key.casefold() in CRS_MEMBERS}
        named.update(
            _name_of(value) for key, value in pairs if key.casefold() == "crs" and isinstance(value, dict)
        )
        return kept

    try:
        whole = json.loads(text, object_pairs_hook=watch, parse_float=lambda _number: None)
    except json.JSONDecodeError as error:
        told = f"{error.msg}, line {error.lineno}, after character {error.colno - 1}"
        raise Refused("file_broken", told=told) from error
    except RecursionError as error:
        raise Refused("file_broken", told="nested too deeply") from error
    crs = whole.get("crs") if isinstance(whole, dict) else None
    system = _name_of(crs) if isinstance(crs, dict) else ""
    if named - {system}:
        raise Refused("mixed_coordinate_systems", first=system or "–", other=min(named - {system}))
    return system


def _name_of(crs: dict[str, Any]) -> str:
    facts = crs.get("properties")
    facts = facts if isinstance(facts, dict) else {}
    kind = str(crs.get("type")).casefold()
    if kind == "name" and isinstance(facts.get("name"), str):
        return str(facts["name"]).strip()[:200]
    if kind == "epsg" and isinstance(facts.get("code"), int):
        return f"EPSG:{facts['code']}"
    raise Refused("system_not_named", told=json.dumps(crs, ensure_ascii=False)[:200])


def _decode(data: bytes, encoding: str) -> str:
    try:
        text = data.decode(encoding)
    except (UnicodeDecodeError, LookupError) as error:
        line = data[: error.start].count(b"\n") + 1 if isinstance(error, UnicodeDecodeError) else 0
        raise Refused("wrong_encoding", encoding=encoding, line=line) from error
    if encoding.upper().startswith("GB") and _is_utf8(data):
        raise Refused("wrong_encoding", encoding=encoding, line=1, likely="UTF-8")
    return text


def _is_utf8(data: bytes) -> bool:
    """Whether there is Chinese in it, as UTF-8; Chinese in GBK is next to never valid UTF-8."""
    try:
        return sum(ord(sign) > 0x2E7F for sign in data.decode()) > 1
    except UnicodeDecodeError:
        return False


# --- GDAL ----------------------------------------------------------------------------------------------------


def _choose(names: list[str], wanted: str | None) -> str:
    if wanted:
        if wanted not in names:
            raise Refused("layer_missing", layer=wanted, layers=names[:50])
        return wanted
    if len(names) != 1:
        raise Refused("layer_ambiguous" if names else "no_layer", layers=names[:50])
    return names[0]


def _open(path: Path, driver: str, request: dict[str, Any]) -> dict[str, Any]:
    warnings.simplefilter("ignore")
    import pyogrio
    from pyogrio.errors import DataSourceError

    try:
        layers = [str(name) for name, _type in pyogrio.list_layers(path)]
        layer = layers[0] if driver == "ESRI Shapefile" else _choose(layers, request.get("layer"))
        about = pyogrio.read_info(path, layer=layer)
        if about["driver"] != driver:
            raise Refused("file_broken", told=about["driver"])
        if about["features"] > request["limits"]["features"]:
            raise Refused("too_many_features", most=request["limits"]["features"])
        return {"layer": layer, **_read(path, layer, driver, request)}
    except Refused:
        raise
    except (DataSourceError, pyogrio.errors.DataLayerError, RuntimeError, ValueError, OSError) as error:
        raise Refused("file_broken", told=_first_line(error, path)) from error


def _first_line(error: Exception, path: Path) -> str:
    """What GDAL says, without its advice to programmers."""
    return str(error).replace(str(path), path.name).split(".; ")[0][:300]


def _read(path: Path, layer: str, driver: str, request: dict[str, Any]) -> dict[str, Any]:
    from pyogrio.raw import read as read_layer

    options: dict[str, Any] = {}
    if driver == "CSV":
        options = {"AUTODETECT_TYPE": "NO", "KEEP_GEOM_COLUMNS": "YES", "EMPTY_STRING_AS_NULL": "YES"}
        options["GEOM_POSSIBLE_NAMES"] = ",".join(request["wkt_columns"])
    elif driver == "ESRI Shapefile":
        options = {"encoding": "ISO-8859-1"}  # one sign a byte, so that the bytes can be had back
    most = request["limits"]["features"]
    about, numbers, geometry, columns = read_layer(
        path,
        layer=layer,
        return_fids=True,
        force_2d=True,
        datetime_as_string=True,
        max_features=most + 1,
        **options,
    )
    names = [str(name) for name in about["fields"]]
    rows = [[_plain(value) for value in row] for row in zip(*columns, strict=True)] or [[] for _ in numbers]
    found: dict[str, Any] = {}
    if driver == "ESRI Shapefile":
        names, rows, found = _text_of_shapefile(path, names, rows, request.get("encoding"))
    elif (
        request.get("encoding")
        and driver == "GPKG"
        and request["encoding"].upper().replace("-", "") != "UTF8"
    ):
        raise Refused("wrong_encoding", encoding=request["encoding"], likely="UTF-8")
    shapes = (
        [None] * len(rows) if geometry is None else [g.hex() if g is not None else None for g in geometry]
    )
    return found | {
        "crs": about["crs"],
        "fields": names,
        "geometry": geometry is not None,
        "rows": [[wkb, row] for wkb, row in zip(shapes, rows, strict=True)],
    }


def _plain(value: Any) -> Any:
    """A value that JSON can hold; whole numbers without a point, so that a code stored as a number stays one."""
    if value is None or isinstance(value, str):
        return value
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float):
        if value != value:
            return None
        return int(value) if value.is_integer() and abs(value) < 1e18 else value
    return value if isinstance(value, bool | int) else str(value)


def _text_of_shapefile(
    path: Path, names: list[str], rows: list[list[Any]], stated: str | None
) -> tuple[list[str], list[list[Any]], dict[str, str]]:
    """Names and values in the encoding that was stated, or the .cpg names, or that fits all of them."""
    code_page = path.with_suffix(".cpg")
    named = _code_page(code_page.read_bytes()[:40]) if code_page.exists() else None
    if stated:
        candidates, told = [stated], "stated"
    elif named:
        candidates, told = [named], "cpg"
    else:
        candidates, told = ["UTF-8", CHINESE], "found"
    for encoding in candidates:
        try:
            fields = [_decode_name(name, encoding) for name in names]
            values = [
                [_decode_value(value, encoding, n, fields[i]) for i, value in enumerate(row)]
                for n, row in enumerate(rows, 1)
            ]
        except Refused:
            if encoding == candidates[-1]:
                raise
            continue
        every = b"\n".join(v.encode("latin-1") for row in rows for v in row if isinstance(v, str))
        if encoding.upper().startswith("GB") and _is_utf8(every):
            row = next(n for n, row in enumerate(rows, 1) if any(_not_ascii(value) for value in row))
            raise Refused("wrong_encoding", encoding=encoding, feature=row, likely="UTF-8")
        return fields, values, {"encoding": encoding, "encoding_from": told}
    raise AssertionError("unreachable")


def _not_ascii(value: Any) -> bool:
    return isinstance(value, str) and not value.isascii()


def _code_page(text: bytes) -> str:
    """What a .cpg means, in Python's words; ESRI writes some as a bare number."""
    name = text.decode("ascii", "replace").strip().upper()
    number = name.removeprefix("ANSI").removeprefix("OEM").strip(" -_")
    if number in ("936", "GBK", "GB2312", "GB18030", "54936", "20936"):
        return CHINESE
    if number in ("65001", "UTF8", "UTF-8"):
        return "UTF-8"
    return f"cp{number}" if number.isdecimal() else name


def _decode_name(name: str, encoding: str) -> str:
    """Names end after ten bytes, if need be in the middle of a sign."""
    try:
        return name.encode("latin-1").decode(encoding, "strict" if len(name) < 9 else "ignore")
    except (UnicodeError, LookupError) as error:
        raise Refused("wrong_encoding", encoding=encoding) from error


def _decode_value(value: Any, encoding: str, feature: int, field: str) -> Any:
    if not isinstance(value, str) or value.isascii():
        return value
    try:
        return value.encode("latin-1").decode(encoding)
    except (UnicodeError, LookupError) as error:
        raise Refused("wrong_encoding", encoding=encoding, feature=feature, field=field) from error


if __name__ == "__main__":
    os.umask(0o077)
    main(sys.argv[1], sys.argv[2])
