"""Which cells many points lie in: the answers of `gridmap.locate`, computed in this process.

For imports and replays. One statement reads the cells of a district; from then on nothing is asked of the database.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from uuid import UUID

import numpy as np
import numpy.typing as npt
import shapely
from django.contrib.gis.db.models.functions import AsWKB
from django.db.models.functions import Collate

from .models import Cell, District

Array = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.intp]


@dataclass(frozen=True)
class CellIndex:
    """Cells in memory, in the order of their codes (by bytes), to look many places up in.

    `boundaries` are shapely polygons, WGS-84 degrees.
    """

    ids: list[UUID]
    codes: list[str]
    boundaries: npt.NDArray[np.object_]

    @cached_property
    def _tree(self) -> shapely.STRtree:
        return shapely.STRtree(self.boundaries)

    def locate(self, lon: npt.ArrayLike, lat: npt.ArrayLike) -> Numbers:
        """The number of the cell of each place (WGS-84 degrees), −1 where no cell covers it.

        A place on a shared border belongs to the first of its cells, that with the lowest code.
        """
        places = np.column_stack([np.asarray(lon, float), np.asarray(lat, float)])
        # Neighbours one after the other find the same part of the tree still at hand: up to twice as fast.
        order = _along_rows(places, len(self.ids))
        points = shapely.points(places[order])
        point, cell = self._tree.query(points, predicate="intersects")
        first = np.full(len(places), len(self.ids), dtype=np.intp)
        np.minimum.at(first, order[point], cell)
        first[first == len(self.ids)] = -1
        return first


def read_cells(district: District | str, *, at: datetime | None = None) -> CellIndex:
    """The cells of a district in force now, or at a moment; one statement."""
    rows = (
        Cell.objects.in_force(at)
        .filter(district=district)
        .order_by(Collate("code", "C"))
        .values_list("id", "code", AsWKB("boundary"))
    )
    ids, codes, shapes = [], [], []
    for cell, code, wkb in rows.iterator(chunk_size=10_000):
        ids.append(cell)
        codes.append(code)
        shapes.append(bytes(wkb))
    return CellIndex(ids, codes, shapely.from_wkb(np.array(shapes, dtype=object)))


def locate_many(
    lon: npt.ArrayLike, lat: npt.ArrayLike, *, district: District | str, at: datetime | None = None
) -> list[UUID | None]:
    """The cell of each place (WGS-84 degrees), None where no cell of the district covers it.

    In force now, or at a moment. For several rounds keep what `read_cells` returns.
    """
    index = read_cells(district, at=at)
    return [index.ids[number] if number >= 0 else None for number in index.locate(lon, lat)]


def _along_rows(places: Array, rows_times_columns: int) -> Numbers:
    """The order that runs along rows, to and fro, of a grid with about so many squares over the places."""
    finite: npt.NDArray[np.bool_] = np.all(np.isfinite(places), axis=1)
    if not finite.any():
        return np.arange(len(places))
    low, high = places[finite].min(axis=0), places[finite].max(axis=0)
    side = max(1, int(rows_times_columns**0.5))
    spread = np.where(high > low, high - low, 1)
    square = np.where(finite[:, None], (places - low) / spread * side, 0).astype(np.int64)
    column = np.where(square[:, 1] % 2, side - square[:, 0], square[:, 0])
    return np.argsort(square[:, 1] * (side + 1) + column, kind="stable")
