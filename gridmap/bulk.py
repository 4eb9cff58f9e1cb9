"""Which cells many points lie in: the answers of `gridmap.locate`, computed in this process.

For imports and replays. One statement reads the cells of a district; from then on nothing is asked of the database.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
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
        place, cell = self._boxes_hit(places)
        if len(places) > len(self.ids):
            shapely.prepare(self.boundaries)
        covered = shapely.intersects_xy(self.boundaries[cell], *places[place].T)
        first = np.full(len(places), len(self.ids), dtype=np.intp)
        np.minimum.at(first, place[covered], cell[covered])
        first[first == len(self.ids)] = -1
        return first

    def _boxes_hit(self, places: Array) -> tuple[Numbers, Numbers]:
        """Pairs of a place and a cell whose box holds it, cell by cell; the tree is built of the fewer."""
        points: Any = shapely.points(places)
        if len(places) < len(self.ids):
            cell, place = shapely.STRtree(points).query(self.boundaries)
            return place, cell
        place, cell = self._tree.query(points)
        # Cell by cell, its prepared shape stays at hand.
        order = np.argsort(cell, kind="stable")
        return place[order], cell[order]


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
