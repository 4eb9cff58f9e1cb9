"""The layers that are exchanged, and what the columns of their files are called.

A column is found by its own name, by its first ten letters (all that a Shapefile keeps of it) or by a usual
Chinese word, whatever the case; whoever imports may name it in the file's own words instead.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from gridmap.models import Level

AREA = ("Polygon", "MultiPolygon")
# In every file that is written: no format can name GCJ-02 or BD-09, and CSV can name no system at all.
SYSTEM_COLUMN = "system"
SHAPEFILE_NAME = 10


class LayerName(StrEnum):
    """What a layer is called in commands and addresses."""

    DISTRICT = "district"
    REGIONAL_GROUPS = "regional_groups"
    STREETS = "streets"
    COMMUNITIES = "communities"
    PARTY_GROUPS = "party_groups"
    CELLS = "cells"
    ROAD_SEGMENTS = "road_segments"
    COMPONENTS = "components"


@dataclass(frozen=True)
class Column:
    """A column: its name, what else it may be called, how long its text may be, whether a value is needed."""

    name: str
    words: tuple[str, ...] = ()
    longest: int = 120
    needed: bool = False


@dataclass(frozen=True)
class Layer:
    """A layer: what is drawn in it, and its columns."""

    name: LayerName
    label: str | Promise
    level: Level | None
    shapes: tuple[str, ...]
    columns: tuple[Column, ...]


_CODE = Column(
    "code", ("编码", "代码", "编号", "网格编码", "单元网格编码", "部件编码", "标识码", "bm", "dm"), 20, True
)
_NAME = Column("name", ("名称", "组织名称", "机构名称", "mc"), 80, True)
_AREA_NAME = Column("area_name", ("区域名称", "地名", "辖区名称", "行政区名称"), 80)
_NAME_EN = Column("name_en", ("英文名称", "英文名"))
_PARENT = Column("parent", ("上级", "上级编码", "上级代码", "所属编码", "parent_code"), 20, True)
_REPLACES = Column("replaces", ("替代", "原编码", "代替编码"), 2000)
_VIRTUAL = Column("virtual", ("虚拟", "虚拟单位"), 5)
_SYNTHETIC = Column("synthetic", ("模拟", "示意"), 5)
_SYSTEM = Column(SYSTEM_COLUMN, ("坐标系", "坐标系统", "coordinate_system"), 20)
_UNIT = (_CODE, _NAME, _AREA_NAME, _NAME_EN, _PARENT, _REPLACES, _VIRTUAL, _SYNTHETIC, _SYSTEM)
_CELL = (
    _CODE,
    Column("parent", ("党小组", "综合党小组", "网格党小组", "上级", "上级编码", "party_group"), 20, True),
    Column("regional_group", ("区域集团", "区域集团编码", "集团编码"), 20, True),
    _REPLACES,
    _SYNTHETIC,
    _SYSTEM,
)
_SEGMENT = (
    Column("code", _CODE.words, 30, True),
    Column("name", ("名称", "路名", "路段名称", "mc"), 120, True),
    _NAME_EN,
    Column("reach_m", ("覆盖宽度", "辐射距离"), 5),
    _SYSTEM,
)
_COMPONENT = (
    Column("code", _CODE.words, 16, True),
    Column("name", ("名称", "部件名称", "mc"), 120, True),
    Column("managing", ("主管部门", "主管部门代码", "deptcode1"), 20, True),
    Column("owning", ("权属单位", "权属单位代码", "deptcode2"), 20),
    Column("maintaining", ("养护单位", "养护单位代码", "deptcode3"), 20),
    Column("state", ("状态", "部件状态", "objstate"), 10),
    Column("accuracy_class", ("精度", "精度等级", "数据精度"), 1),
    Column("established_on", ("初始时间", "初始日期", "ordate"), 10),
    Column("changed_on", ("变更时间", "变更日期", "chdate"), 10),
    Column("source", ("数据来源", "datasource"), 120),
    Column("note", ("备注",), 500),
    _SYSTEM,
)


def _units(name: LayerName, label: Promise, level: Level) -> Layer:
    top = level == Level.DISTRICT_COMMITTEE
    return Layer(
        name, label, level, AREA, tuple(column for column in _UNIT if not (top and column is _PARENT))
    )


LAYERS: dict[str, Layer] = {
    layer.name: layer
    for layer in (
        _units(LayerName.DISTRICT, _("District"), Level.DISTRICT_COMMITTEE),
        _units(LayerName.REGIONAL_GROUPS, _("Regional groups"), Level.REGIONAL_GROUP),
        _units(LayerName.STREETS, _("Streets and towns"), Level.STREET_COMMITTEE),
        _units(LayerName.COMMUNITIES, _("Communities and villages"), Level.COMMUNITY),
        _units(LayerName.PARTY_GROUPS, _("Grid party groups"), Level.PARTY_GROUP),
        Layer(LayerName.CELLS, _("Unit grid cells"), None, AREA, _CELL),
        Layer(LayerName.ROAD_SEGMENTS, _("Road segments"), None, ("LineString", "MultiLineString"), _SEGMENT),
        Layer(LayerName.COMPONENTS, _("Components"), None, ("Point", "MultiPoint"), _COMPONENT),
    )
}
# Columns with coordinates in a CSV; WKT may be of any shape.
X_WORDS = ("x", "lon", "lng", "longitude", "经度", "x坐标", "东坐标", "coordx")
Y_WORDS = ("y", "lat", "latitude", "纬度", "y坐标", "北坐标", "coordy")
WKT_WORDS = ("wkt", "geometry", "geom", "the_geom", "几何", "图形")


def find_columns(layer: Layer, fields: Sequence[str], named: Mapping[str, str]) -> dict[str, int]:
    """Where each of the layer's columns stands among a file's fields; `named` says so in the file's own words.

    Raises KeyError with the column's name when a needed one is not there, or one that was named.
    """
    folded = [_fold(field) for field in fields]
    found: dict[str, int] = {}
    for column in layer.columns:
        words = (
            [_fold(named[column.name])]
            if column.name in named
            else [*map(_fold, (column.name, *column.words))]
        )
        words += [word[:SHAPEFILE_NAME] for word in words if len(word) > SHAPEFILE_NAME]
        place = next((folded.index(word) for word in words if word in folded), None)
        if place is not None:
            found[column.name] = place
        elif column.needed or column.name in named:
            raise KeyError(column.name)
    return found


def find_field(words: Sequence[str], fields: Sequence[str]) -> int | None:
    """Where the first field with one of these names stands."""
    folded = [_fold(field) for field in fields]
    return next((folded.index(word) for word in words if word in folded), None)


def _fold(name: str) -> str:
    return name.strip().casefold()
