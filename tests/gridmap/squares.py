"""A district of four by four square cells, by hand: two streets, four communities, four party groups, two groups.

The south-west corner lies at 109.80 E 40.60 N, a cell measures 0.01 degree; `box` counts in cells.
"""

import numpy as np
import shapely

from gridmap.layouts import CELLS, CellPlan, LayerRow, UnitPlan, as_geos
from gridmap.models import CHAIN, Cell, District, GridUnit, Level

CODE, WEST, SOUTH, STEP = "150299", 109.80, 40.60, 0.01


def box(x: float, y: float, wide: float = 1, high: float = 1) -> shapely.Polygon:
    bounds = [WEST + x * STEP, SOUTH + y * STEP, WEST + (x + wide) * STEP, SOUTH + (y + high) * STEP]
    return shapely.box(*np.round(bounds, 9))


def cell_code(x: int, y: int) -> str:
    return f"{CODE}{x // 2 + 1:03d}{y // 2 + 1:03d}{(y % 2) * 2 + x % 2 + 1:03d}"


def unit_rows(level: Level) -> list[LayerRow]:
    """The rows of a level, as an import would bring them."""
    if level == Level.DISTRICT_COMMITTEE:
        return [LayerRow(CODE, box(0, 0, 4, 4), name="方区委")]
    if level == Level.REGIONAL_GROUP:
        return [
            LayerRow(f"{CODE}J{n}", box(0, 2 * n - 2, 4, 2), name=f"集团{n}", parent=CODE) for n in (1, 2)
        ]
    if level == Level.STREET_COMMITTEE:
        return [
            LayerRow(f"{CODE}{n:03d}", box(2 * n - 2, 0, 2, 4), name=f"街道{n}", parent=CODE) for n in (1, 2)
        ]
    tail = "" if level == Level.COMMUNITY else "G01"
    return [
        LayerRow(
            f"{CODE}{x:03d}{y:03d}{tail}",
            box(2 * x - 2, 2 * y - 2, 2, 2),
            name=f"组织{x}{y}{tail}",
            parent=f"{CODE}{x:03d}{y:03d}" if tail else f"{CODE}{x:03d}",
        )
        for x in (1, 2)
        for y in (1, 2)
    ]


def cell_row(x: int, y: int, shape: shapely.Geometry | None = None, **facts: object) -> LayerRow:
    code = cell_code(x, y)
    row = {"parent": f"{code[:12]}G01", "regional_group": f"{CODE}J{y // 2 + 1}", "code": code, **facts}
    return LayerRow(shape=shape or box(x, y), **row)  # type: ignore[arg-type]


def cell_rows() -> list[LayerRow]:
    return [cell_row(x, y) for x in range(4) for y in range(4)]


def square_district(*, cells: bool = True) -> District:
    """The district, stored as if it had always been there."""
    district = District.objects.create(code=CODE, name="方区", name_en="Square District", class_edition="")
    units: dict[str, GridUnit] = {}
    for level in Level:
        for row in unit_rows(level):
            above = units.get(row.parent)
            units[row.code] = GridUnit.objects.create(
                district=district,
                level=level,
                code=row.code,
                name=row.name,
                area_name=row.name,
                parent=above,
                parent_level=above.level if above else None,
                boundary=as_geos(shapely.MultiPolygon([row.shape])),
            )
    for row in cell_rows() if cells else []:
        chain = (CODE, row.regional_group, row.code[:9], row.code[:12], row.parent)
        Cell.objects.create(
            district=district,
            code=row.code,
            boundary=as_geos(row.shape),
            **{name: units[code] for name, code in zip(CHAIN, chain, strict=True)},
        )
    return district


__all__ = [
    "CELLS",
    "CODE",
    "CellPlan",
    "UnitPlan",
    "box",
    "cell_code",
    "cell_row",
    "cell_rows",
    "square_district",
    "unit_rows",
]
