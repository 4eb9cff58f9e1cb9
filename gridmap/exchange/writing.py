"""Writing a layer as it is stored: GeoJSON, zipped Shapefile, GeoPackage or CSV, in any coordinate system.

What is written can be read again by `read_file`, and changes nothing then. The column `system` names the system
in every file, since no format can name GCJ-02 or BD-09 and a CSV can name none at all. A text of a CSV that a
spreadsheet program would take for a formula has an apostrophe before it, which `read_file` takes away.
"""

import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from django.db.models import Case, F, QuerySet, Value, When
from django.utils.translation import gettext as _
from pyogrio.raw import write

from gridmap.locate import moment_of
from gridmap.models import Cell, Component, District, GridUnit, RoadSegment
from gridmap.spreadsheets import as_text

from .layers import SYSTEM_COLUMN, Layer, LayerName
from .reader import DRIVERS, PARTS
from .systems import System, declared_system

SUFFIXES = (".geojson", ".zip", ".gpkg", ".csv")


@dataclass(frozen=True)
class Stored:
    """A layer as it is stored: the names of its columns, its values row by row, its shapes in WGS-84."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    shapes: npt.NDArray[Any]


class NoLayoutOfThatDay(ValueError):
    """The day is still to come, or the layer is only known as it is now."""


def export_layer(
    path: Path, layer: Layer, district: District, *, crs: str, encoding: str = "UTF-8", on: date | None = None
) -> tuple[int, System]:
    """Write a layer as it is, or was on a local day; return the number of features, and the system by its name.

    Raises as `write_file`, NoLayoutOfThatDay, and UnknownCoordinateSystem.
    """
    system = declared_system(crs)
    at = None
    if on is not None:
        if layer.name in (LayerName.COMPONENTS, LayerName.ROAD_SEGMENTS):
            raise NoLayoutOfThatDay(_("Of a past day there are organisations and cells only."))
        try:
            at = moment_of(on, district)
        except ValueError as error:
            raise NoLayoutOfThatDay(_("This day is still to come.")) from error
    stored = stored_layer(layer, district, at=at)
    write_file(path, layer, stored, system, encoding=encoding)
    return len(stored.rows), system


def stored_layer(layer: Layer, district: District, *, at: datetime | None = None) -> Stored:
    """What is in force now, or was at a moment; components and road segments as they are now."""
    query, columns, shape = _query(layer, district, at)
    found = list(query.values_list(shape, *columns.values()))
    shapes = shapely.from_wkb(np.array([bytes(row[0].wkb) for row in found], object))
    return Stored(tuple(columns), [tuple(map(_plain, row[1:])) for row in found], shapes)


def write_file(path: Path, layer: Layer, stored: Stored, system: System, *, encoding: str = "UTF-8") -> None:
    """Write the file, its format by the end of its name; `encoding` is that of a Shapefile's or a CSV's text.

    Raises ValueError for another format, ImplausiblePosition when a place lies outside the system's area,
    UnicodeEncodeError when the encoding lacks a sign.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path.name}: the name ends in none of {', '.join(SUFFIXES)}")

    def move(lonlat: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.column_stack(system.from_wgs84(lonlat[:, 0], lonlat[:, 1]))

    shapes = shapely.transform(stored.shapes, move)
    with tempfile.TemporaryDirectory(prefix="exchange-") as name:
        room = Path(name)
        made = room / f"{layer.name}{'.shp' if suffix == '.zip' else suffix}"
        _write(made, DRIVERS[suffix], layer, stored, shapes, system, encoding)
        if suffix == ".csv" and encoding != "UTF-8":
            made.write_bytes(made.read_text(encoding="utf-8").encode(encoding))
        if suffix == ".zip":
            made = _zipped(made)
        shutil.move(made, path)


def _write(
    path: Path,
    driver: str,
    layer: Layer,
    stored: Stored,
    shapes: npt.NDArray[Any] | None,
    system: System,
    encoding: str,
) -> None:
    names = [*stored.columns, SYSTEM_COLUMN]
    columns = [_array(values) for values in zip(*stored.rows, strict=True)] or [
        np.array([], object) for _name in stored.columns
    ]
    columns.append(np.array([system.name] * len(stored.rows), object))
    options: dict[str, Any] = {}
    if driver == "CSV":
        columns = [
            np.array([as_text(value) for value in column.tolist()], column.dtype) for column in columns
        ]
        if layer.shapes[0] == "Point":
            names += ["x", "y"]
            columns += list(shapely.get_coordinates(shapes).T.copy())
            shapes = None
        options = {"WRITE_BOM": "YES" if encoding == "UTF-8" else "NO", "STRING_QUOTING": "IF_AMBIGUOUS"}
        options |= {} if shapes is None else {"GEOMETRY": "AS_WKT"}
    elif driver == "GeoJSON":
        options = {"RFC7946": "NO", "COORDINATE_PRECISION": "12"}
    with warnings.catch_warnings():
        # That GCJ-02 and BD-09 have no name in these formats is known: the column says it.
        warnings.simplefilter("ignore")
        write(
            path,
            None if shapes is None else shapely.to_wkb(shapes),
            columns,
            names,
            layer=layer.name.value,
            driver=driver,
            geometry_type=layer.shapes[-1]
            if driver in ("GPKG", "GeoJSON") and _multi(shapes)
            else layer.shapes[0],
            crs=system.for_gdal,
            encoding=encoding if driver == "ESRI Shapefile" else None,
            **options,
        )


def _multi(shapes: npt.NDArray[Any] | None) -> bool:
    return shapes is not None and any(shape.geom_type.startswith("Multi") for shape in shapes)


def _array(values: Sequence[Any]) -> npt.NDArray[Any]:
    kinds = {type(value) for value in values}
    return np.array(
        values, {frozenset({bool}): bool, frozenset({int}): np.int32}.get(frozenset(kinds), object)
    )


def _zipped(shapefile: Path) -> Path:
    packed = shapefile.with_suffix(".zip")
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in PARTS:
            if (found := shapefile.with_suffix(part)).exists():
                archive.write(found, found.name)
    return packed


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _query(
    layer: Layer, district: District, at: datetime | None
) -> tuple[QuerySet[Any], dict[str, str], str]:
    """The rows, the columns of the file with the fields they come from, and the field of the shape."""
    if layer.level is not None:
        units = GridUnit.objects.in_force(at).filter(district=district, level=layer.level).order_by("code")
        names = ("code", "name", "area_name", "name_en", "virtual", "synthetic")
        parent = {} if layer.name == LayerName.DISTRICT else {"parent": "parent__code"}
        return units, {name: name for name in names} | parent, "boundary"
    if layer.name == LayerName.CELLS:
        cells = Cell.objects.in_force(at).filter(district=district).order_by("code")
        chain = {"parent": "party_group__code", "regional_group": "regional_group__code"}
        more = {"street": "street__code", "community": "community__code", "synthetic": "synthetic"}
        return cells, {"code": "code"} | chain | more, "boundary"
    if layer.name == LayerName.ROAD_SEGMENTS:
        segments = RoadSegment.objects.filter(district=district, ended_at__isnull=True).order_by("code")
        return segments, {name: name for name in ("code", "name", "name_en", "reach_m")}, "line"
    components = Component.objects.filter(district=district, element__ended_at__isnull=True).order_by("code")
    components = components.annotate(
        owning_code=Case(When(owning=None, then=Value("")), default=F("owning__code")),
        maintaining_code=Case(When(maintaining=None, then=Value("")), default=F("maintaining__code")),
    )
    named = {"managing": "managing__code", "owning": "owning_code", "maintaining": "maintaining_code"}
    element = {n: f"element__{n}" for n in ("state", "established_on", "changed_on", "source", "note")}
    whole = {"code": "code", "name": "element__name"} | named | {"accuracy_class": "accuracy_class"} | element
    return components, whole, "element__point"
