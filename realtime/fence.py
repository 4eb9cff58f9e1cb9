"""Whether a worker is inside the own area: decided only by fixes that leave no doubt.

A fix decides when its whole circle of doubt lies on one side of the border. What lies across it leaves things as
they were, so noise at a border does not flap.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import pyproj
import shapely
from shapely.geometry.base import BaseGeometry

# Phones give the radius that holds about 68 % of the fixes (Android, `Location.getAccuracy`); twice that, about 95 %.
SURE = 2.0
LEAST_DOUBT_M = 10.0
USABLE_ACCURACY_M = 50.0


class Seen(NamedTuple):
    """A fix as the fence looks at it: how far inside (metres, negative outside), accuracy (metres), trustworthy."""

    depth_m: float
    accuracy_m: float | None
    trusted: bool = True


class Area:
    """An area as metres around its middle (azimuthal equidistant), so that depths are true to a few centimetres."""

    def __init__(self, shape: BaseGeometry) -> None:
        """`shape` in WGS-84 degrees, longitude first."""
        middle = shape.centroid
        self._plane = pyproj.Transformer.from_crs(
            "EPSG:4326",
            f"+proj=aeqd +lon_0={middle.x} +lat_0={middle.y} +datum=WGS84 +units=m",
            always_xy=True,
        )
        to_plane: Any = self._plane.transform
        self._shape = shapely.transform(shape, to_plane, interleaved=False)
        self._border = self._shape.boundary
        shapely.prepare(self._shape)
        shapely.prepare(self._border)

    def depths(self, lon: list[float], lat: list[float]) -> list[float]:
        """How far inside these points (WGS-84 degrees) lie, in metres; negative outside."""
        points = shapely.points(*self._plane.transform(lon, lat))
        away = shapely.distance(self._border, points)
        inside = shapely.covers(self._shape, points)
        return [float(d) if within else -float(d) for d, within in zip(away, inside, strict=True)]


def decide(seen: Seen) -> bool | None:
    """True: surely inside; False: surely outside; None: the fix decides nothing."""
    if not seen.trusted or not seen.accuracy_m or seen.accuracy_m > USABLE_ACCURACY_M:
        return None
    doubt = max(LEAST_DOUBT_M, SURE * seen.accuracy_m)
    return None if abs(seen.depth_m) < doubt else seen.depth_m > 0


def crossings(fixes: Iterable[Seen], *, inside: bool) -> Iterator[tuple[int, bool]]:
    """Where among these fixes (in order of time) the border was crossed: its index, and True for an entry.

    `inside` is where the worker was before them.
    """
    for index, seen in enumerate(fixes):
        now = decide(seen)
        if now is not None and now != inside:
            inside = now
            yield index, now
