"""Reading a file that somebody brought into features that can be believed: shapes in WGS-84, text that is text.

The file itself is opened by `reader.py` in a process of its own, with limits on memory and time (settings
`EXCHANGE_…`); nothing of it is trusted here either. All that is wrong is told at once, feature by feature.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from django.conf import settings
from django.utils.translation import gettext as _
from shapely.geometry.base import BaseGeometry

from gridmap.coordinates import ImplausiblePosition, UnknownCoordinateSystem
from gridmap.spreadsheets import from_text

from .faults import Fault, FileRefused, place_of
from .layers import SYSTEM_COLUMN, WKT_WORDS, X_WORDS, Y_WORDS, Column, Layer, find_columns, find_field
from .reader import DRIVERS
from .systems import NoTransformation, System, declared_system, system_of_file

Array = npt.NDArray[np.float64]
READER = Path(__file__).with_name("reader.py")
# Positions are stored in whole multiples of this many degrees (0.1 mm), so that what went out in another system
# comes back as what it was.
GRID = 1e-9
DECIMALS = 9
MOST_FAULTS = 500
ENCODINGS = ("UTF-8", "GBK", "GB18030", "GB2312")
_TRUE, _FALSE = ("1", "true", "t", "yes", "y", "是"), ("", "0", "false", "f", "no", "n", "否")


@dataclass(frozen=True)
class Feature:
    """One feature: its number in the file from 1, its shape in WGS-84 degrees, its values by column.

    `x`, `y` and `system` are a point's position as the file has it, if positions are stored in that system.
    """

    number: int
    shape: BaseGeometry
    values: Mapping[str, str]
    x: float | None = None
    y: float | None = None
    system: str = ""

    @property
    def code(self) -> str:
        """Its code."""
        return self.values["code"]


@dataclass(frozen=True)
class Reading:
    """What a file holds, and how it was understood."""

    features: tuple[Feature, ...]
    layer: str
    system: str
    encoding: str
    encoding_from: str
    columns: Mapping[str, str]


def read_file(
    path: Path,
    layer: Layer,
    *,
    suffix: str = "",
    crs: str = "",
    encoding: str = "",
    file_layer: str = "",
    columns: Mapping[str, str] | None = None,
) -> Reading:
    """Read a layer from a file: GeoJSON, CSV, GeoPackage or zipped Shapefile, by the end of its name or `suffix`.

    `crs` states the system (`WGS84`, `GCJ02`, `BD09`, `CGCS2000`, `EPSG:…`) where the file does not, or where it calls
    itself WGS-84 and is not; `encoding` that of its text; `file_layer` which layer of several; `columns` what
    the file calls a column. Raises FileRefused with everything that is wrong.
    """
    stated = _declared(crs)
    if encoding and encoding.upper() not in ENCODINGS:
        raise FileRefused(Fault("unknown_encoding", _("The encoding is none of %s") % ", ".join(ENCODINGS)))
    raw = _open(
        path, suffix=(suffix or path.suffix).lower(), encoding=encoding.upper(), file_layer=file_layer
    )
    if not raw["rows"]:
        raise FileRefused(Fault("no_features", _("The file holds no features")))
    fields: list[str] = raw["fields"]
    try:
        places = find_columns(layer, fields, columns or {})
    except KeyError as missing:
        told = _("The column %(column)s is missing; the file has: %(fields)s")
        facts = {"column": missing.args[0], "fields": ", ".join(fields[:40])}
        raise FileRefused(Fault("column_missing", told % facts)) from missing
    if raw["driver"] == "CSV":
        raw["rows"] = [[wkb, [from_text(value) for value in row]] for wkb, row in raw["rows"]]
    faults: list[Fault] = []
    values = [_values(n, row, places, layer.columns, faults) for n, (_wkb, row) in enumerate(raw["rows"], 1)]
    shapes = _shapes(raw, layer, values, faults)
    system = _system_of(stated, raw, values)
    features = _place(shapes, values, system, faults)
    if faults:
        where = {feature.number: place_of(feature.shape) for feature in features}
        faults = [replace(f, place=f.place or where.get(f.feature or 0)) for f in faults]
        raise FileRefused(*_in_order(faults))
    return Reading(
        tuple(features),
        layer=raw["layer"],
        system=system.name,
        encoding=raw["encoding"],
        encoding_from=raw["encoding_from"],
        columns={name: fields[place] for name, place in places.items()},
    )


def truth(value: str) -> bool:
    """A yes or no as files write it. Raises ValueError."""
    if value.casefold() in _TRUE:
        return True
    if value.casefold() in _FALSE:
        return False
    raise ValueError(value)


def _in_order(faults: Sequence[Fault]) -> list[Fault]:
    ordered = sorted(faults, key=lambda fault: (fault.feature or 0, fault.code))
    if len(ordered) > MOST_FAULTS:
        more = _("%(count)s more faults are not listed") % {"count": len(ordered) - MOST_FAULTS}
        return [*ordered[:MOST_FAULTS], Fault("more_faults", more)]
    return ordered


# --- the process that opens it -------------------------------------------------------------------------------


def _open(path: Path, *, suffix: str, encoding: str, file_layer: str) -> dict[str, Any]:
    """What `reader.py` answers. Raises FileRefused."""
    if suffix not in DRIVERS:
        told = _("The file is none of: GeoJSON, zipped Shapefile (.zip), GeoPackage (.gpkg), CSV")
        raise FileRefused(Fault("unknown_format", told))
    if path.is_symlink() or not path.is_file():
        raise FileRefused(Fault("no_file", _("There is no such file")))
    if path.stat().st_size > settings.EXCHANGE_FILE_BYTES:
        raise FileRefused(Fault("file_too_large", _most(settings.EXCHANGE_FILE_BYTES)))
    limits = {
        "memory_bytes": settings.EXCHANGE_MEMORY_BYTES,
        "seconds": settings.EXCHANGE_SECONDS,
        "unpacked_bytes": settings.EXCHANGE_UNPACKED_BYTES,
        "features": settings.EXCHANGE_FEATURES,
    }
    with tempfile.TemporaryDirectory(prefix="exchange-") as name:
        room = Path(name)
        (room / "file").mkdir()
        request = {
            "file": str(path.resolve()),
            "suffix": suffix,
            "room": str(room / "file"),
            "encoding": encoding,
            "layer": file_layer,
            "wkt_columns": WKT_WORDS,
            "limits": limits,
        }
        (room / "request.json").write_text(json.dumps(request))
        argv = [sys.executable, "-I", str(READER), str(room / "request.json"), str(room / "answer.json")]
        try:
            done = subprocess.run(
                argv,
                env=_environment(name),
                cwd=name,
                timeout=settings.EXCHANGE_SECONDS * 2,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise FileRefused(_refusal({"refused": "too_much_to_read"})) from error
        answer_file = room / "answer.json"
        if done.returncode != 0 or not answer_file.exists():
            # Killed by its limits, or by a flaw of a library that the file knew how to use.
            raise FileRefused(_refusal({"refused": "too_much_to_read"}))
        answer: dict[str, Any] = json.loads(answer_file.read_text())
    if "refused" in answer:
        raise FileRefused(_refusal(answer))
    return answer


def _environment(room: str) -> dict[str, str]:
    """Nothing of ours but where programs are: no address, no password; GDAL with four drivers and no network."""
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "LANG": "C.UTF-8",
        "HOME": room,
        "TMPDIR": room,
        "OPENBLAS_NUM_THREADS": "1",
        "OGR_SKIP": ",".join(_other_drivers()),
        "GDAL_NUM_THREADS": "1",
        "GDAL_CACHEMAX": "64",
        "GDAL_DISABLE_READDIR_ON_OPEN": "FALSE",
        "GDAL_DRIVER_PATH": "disable",
        "GDAL_HTTP_TIMEOUT": "1",
        "GDAL_HTTP_PROXY": "http://127.0.0.1:9",
        "GDAL_HTTPS_PROXY": "http://127.0.0.1:9",
        "CPL_CURL_ENABLE_VSIMEM": "NO",
        "PROJ_NETWORK": "OFF",
        "OGR_SQLITE_LOAD_EXTENSIONS": "",
        "OGR_SQLITE_LIST_VIRTUAL_OGR": "NO",
        "OGR_GEOJSON_MAX_OBJ_SIZE": "200",
        "SHAPE_RESTORE_SHX": "NO",
    }


@cache
def _other_drivers() -> tuple[str, ...]:
    import pyogrio

    return tuple(sorted(set(pyogrio.list_drivers()) - set(DRIVERS.values())))


def _refusal(answer: Mapping[str, Any]) -> Fault:
    """The reader's word as a fault."""
    code = str(answer["refused"])
    told = {
        "archive_broken": _("The archive is broken or cut off"),
        "archive_unsafe": _("The archive holds what is no plain file of its own: %(member)s"),
        "archive_nested": _("The archive holds another archive: %(member)s"),
        "archive_encrypted": _("The archive is encrypted: %(member)s"),
        "archive_too_large": _("What the archive unpacks to is too large"),
        "shapefile_incomplete": _("The Shapefile %(name)s lacks a part: %(missing)s"),
        "file_broken": _("The file is broken or cut off, or not what its name says: %(told)s"),
        "file_unsafe": _("The file holds a table that would open other files: %(table)s"),
        "too_much_to_read": _("Reading the file takes too much memory or time"),
        "too_many_features": _("The file holds more than %(most)s features"),
        "layer_missing": _("The file has no layer %(layer)s; it has: %(layers)s"),
        "layer_ambiguous": _("The file holds several layers, name one: %(layers)s"),
        "no_layer": _("The file holds no layer"),
        "wrong_encoding": _("The text is not in the encoding %(encoding)s"),
        "mixed_coordinate_systems": _("The file mixes coordinate systems: %(first)s and %(other)s"),
        "system_not_named": _(
            "The file does not name its coordinate system but points elsewhere for it, or says it in another way: "
            "%(told)s; name it (for example EPSG:4546)"
        ),
    }[code]
    facts = {k: ", ".join(map(str, v)) if isinstance(v, list) else v for k, v in answer.items()}
    message = told % facts
    if answer.get("line"):
        message += " · " + _("line %(line)s") % facts
    if answer.get("field"):
        message += " · " + _("column %(field)s") % facts
    if answer.get("likely"):
        message += " · " + _("it is likely %(likely)s") % facts
    return Fault(code, message, feature=answer.get("feature"))


def _most(size: int) -> str:
    return _("The file is larger than %(size)s MB") % {"size": size // 1_000_000}


# --- text ----------------------------------------------------------------------------------------------------


def _values(
    n: int, row: Sequence[Any], places: Mapping[str, int], columns: Sequence[Column], faults: list[Fault]
) -> dict[str, str]:
    """A feature's values as text, stripped."""
    values = {name: _text(row[place]) for name, place in places.items()}
    key = values.get("code", "")[:40]
    for column in columns:
        value = values.get(column.name, "")
        facts = {"column": column.name, "value": value[:60], "longest": column.longest}
        if column.needed and not value:
            faults.append(Fault("value_missing", _("%(column)s is empty") % facts, n, key))
        elif len(value) > column.longest:
            told = _("%(column)s has more than %(longest)s characters: %(value)s")
            faults.append(Fault("value_too_long", told % facts, n, key))
        elif _garbled(value):
            told = _("%(column)s is garbled, read in a wrong encoding: %(value)s")
            faults.append(Fault("wrong_encoding", told % facts, n, key))
        elif column.name in ("virtual", "synthetic") and value.casefold() not in (*_TRUE, *_FALSE):
            told = _("%(column)s is neither yes nor no: %(value)s")
            faults.append(Fault("value_not_understood", told % facts, n, key))
    return values


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _garbled(text: str) -> bool:
    """What no one wrote: signs of a failed decoding, control characters, or Chinese in the wrong one's clothes."""
    if text.isascii():
        return not text.isprintable()
    if any(sign == "\ufffd" or (not sign.isprintable() and sign != "\u3000") for sign in text):
        return True
    return any(
        _is_chinese(text, worn, meant) for worn in ("latin-1", "cp1252", "gbk") for meant in ("utf-8", "gbk")
    )


def _is_chinese(text: str, worn: str, meant: str) -> bool:
    if worn == meant:
        return False
    try:
        found = text.encode(worn).decode(meant)
    except UnicodeError:
        return False
    signs = [sign for sign in found if not sign.isascii()]
    return len(signs) > 1 and all("\u4e00" <= sign <= "\u9fff" for sign in signs)


# --- shapes --------------------------------------------------------------------------------------------------


def _shapes(
    raw: Mapping[str, Any], layer: Layer, values: Sequence[Mapping[str, str]], faults: list[Fault]
) -> list[BaseGeometry | None]:
    """The shapes in the file's own coordinates, of the layer's kind; None, and a fault, for what is none."""
    shapes = _points_of_columns(raw, values, faults) if not raw["geometry"] else None
    if shapes is None:
        wkb = [bytes.fromhex(one) if one else None for one, _row in raw["rows"]]
        with np.errstate(invalid="ignore"):
            shapes = list(shapely.from_wkb(np.array(wkb, object), on_invalid="ignore"))
    flagged = {fault.feature for fault in faults if fault.code == "not_a_number"}
    for n, shape in enumerate(shapes, 1):
        if n in flagged:
            shapes[n - 1] = None
            continue
        key = values[n - 1].get("code", "")
        if shape is None or shape.is_empty:
            faults.append(
                Fault("empty_geometry", _("The feature has no shape, or none that can be read"), n, key)
            )
        elif shape.geom_type not in layer.shapes:
            told = _("The shape is a %(found)s; %(layer)s are %(wanted)s")
            facts = {"found": shape.geom_type, "layer": layer.label, "wanted": " / ".join(layer.shapes)}
            faults.append(Fault("wrong_geometry_type", told % facts, n, key, place_of(shape)))
            shape = None
        elif layer.shapes[0] != "Polygon" and shape.geom_type.startswith("Multi"):
            parts = list(shapely.get_parts(shape))
            if len(parts) != 1:
                told = _("The shape has %(count)s parts; it may have one") % {"count": len(parts)}
                faults.append(Fault("several_parts", told, n, key, place_of(shape)))
            shape = parts[0]
        shapes[n - 1] = None if shape is None or shape.is_empty else shape
    return shapes


def _points_of_columns(
    raw: Mapping[str, Any], values: Sequence[Mapping[str, str]], faults: list[Fault]
) -> list[BaseGeometry | None]:
    """Points of a table's columns x and y."""
    at_x, at_y = find_field(X_WORDS, raw["fields"]), find_field(Y_WORDS, raw["fields"])
    if at_x is None or at_y is None:
        told = _("The table has neither columns x and y nor a column wkt; it has: %(fields)s")
        raise FileRefused(Fault("no_coordinates", told % {"fields": ", ".join(raw["fields"][:40])}))
    points: list[BaseGeometry | None] = []
    for n, (_wkb, row) in enumerate(raw["rows"], 1):
        x, y = _number(row[at_x]), _number(row[at_y])
        points.append(None if x is None or y is None else shapely.Point(x, y))
        if x is None or y is None:
            told = _("x or y is no number: %(x)s, %(y)s") % {
                "x": str(row[at_x])[:30],
                "y": str(row[at_y])[:30],
            }
            faults.append(Fault("not_a_number", told, n, values[n - 1].get("code", "")))
    return points


def _number(value: Any) -> float | None:
    text = _text(value)
    return float(text) if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", text, re.ASCII) else None


# --- places --------------------------------------------------------------------------------------------------


def _declared(crs: str) -> System | None:
    try:
        return declared_system(crs) if crs.strip() else None
    except UnknownCoordinateSystem as error:
        raise FileRefused(_unknown(crs, error)) from error


def _unknown(name: str, error: UnknownCoordinateSystem) -> Fault:
    if isinstance(error, NoTransformation):
        told = _("How %(system)s lies to WGS-84 is not public; have the file converted to CGCS2000 first")
    else:
        told = _("The coordinate system %(system)s is not known")
    return Fault(error.code, told % {"system": name[:120]})


def _system_of(stated: System | None, raw: Mapping[str, Any], values: Sequence[Mapping[str, str]]) -> System:
    """The one system of the file: as stated, else by its column, else its own. Raises FileRefused.

    What calls itself WGS-84 gives way to what is stated: GeoJSON says so unasked, and there is no other way to
    pass on GCJ-02. Any other contradiction is one.
    """
    column = _declared(_one_system(values))
    own = None
    if raw["crs"]:
        try:
            own = system_of_file(raw["crs"])
        except UnknownCoordinateSystem as error:
            if stated is None and column is None:
                raise FileRefused(_unknown(raw["crs"], error)) from error
    system = stated or column
    if system is None and own is None:
        told = _("The file names no coordinate system; state it (for example EPSG:4546, GCJ02, BD09)")
        raise FileRefused(Fault("no_coordinate_system", told))
    if system is None:
        assert own is not None  # noqa: S101
        return own
    for other in (column, own):
        if other and other.name != system.name and not (other is own and other.name == "WGS84"):
            told = _("%(stated)s was stated, but the file says %(own)s")
            facts = {"stated": system.name, "own": other.name}
            raise FileRefused(Fault("coordinate_system_contradicted", told % facts))
    return system


def _one_system(values: Sequence[Mapping[str, str]]) -> str:
    """What the column `system` says of every feature. Raises FileRefused when they differ."""
    first = values[0].get(SYSTEM_COLUMN, "")
    for n, feature in enumerate(values, 1):
        if feature.get(SYSTEM_COLUMN, "") != first:
            told = _("The file mixes coordinate systems: %(first)s and %(other)s")
            facts = {"first": first or "–", "other": feature.get(SYSTEM_COLUMN) or "–"}
            raise FileRefused(Fault("mixed_coordinate_systems", told % facts, n, feature.get("code", "")))
    return first


def _place(
    shapes: Sequence[BaseGeometry | None],
    values: Sequence[Mapping[str, str]],
    system: System,
    faults: list[Fault],
) -> list[Feature]:
    """The features in WGS-84, those that have a place."""
    there = [n for n, shape in enumerate(shapes) if shape is not None]
    raw = np.array([shapes[n] for n in there], object)
    moved: list[BaseGeometry | None]
    try:
        moved = list(_moved(raw, system))
    except ImplausiblePosition:
        moved = [
            _moved_or_told(shape, n, values[n], system, faults) for shape, n in zip(raw, there, strict=True)
        ]
    features = []
    for n, before, shape in zip(there, raw, moved, strict=True):
        if shape is not None:
            point = before if system.own and isinstance(before, shapely.Point) else None
            x, y = (point.x, point.y) if point else (None, None)
            features.append(Feature(n + 1, shape, values[n], x, y, system.name))
    return features


def _moved(shapes: npt.NDArray[Any], system: System) -> npt.NDArray[Any]:
    def move(xy: Array) -> Array:
        moved = np.column_stack(system.to_wgs84(xy[:, 0], xy[:, 1])).astype(np.float64)
        return moved.round(DECIMALS)

    return np.asarray(shapely.transform(shapes, move))


def _moved_or_told(
    shape: BaseGeometry, n: int, values: Mapping[str, str], system: System, faults: list[Fault]
) -> BaseGeometry | None:
    try:
        return _moved(np.array([shape], object), system)[0]
    except ImplausiblePosition as error:
        x, y = shapely.get_coordinates(shape)[error.index]
        told = {
            "not_finite": _("A coordinate is no number"),
            "axes_swapped": _("x and y are swapped"),
            "outside_area_of_use": _("The place lies outside the area of %(system)s"),
        }[error.reason]
        message = f"{told % {'system': system.name}} · ({x:g}, {y:g})"
        faults.append(
            Fault(error.reason, message, n + 1, values.get("code", ""), _meant(x, y, error, system))
        )
        return None


def _meant(x: float, y: float, error: ImplausiblePosition, system: System) -> dict[str, Any] | None:
    """Where it would lie with the axes the right way round."""
    if error.reason != "axes_swapped" or not (math.isfinite(x) and math.isfinite(y)):
        return None
    lon, lat = system.to_wgs84(np.array([y]), np.array([x]))
    return place_of(shapely.Point(lon[0], lat[0]))
