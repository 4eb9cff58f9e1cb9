"""Cells of any number for measurements: a jittered grid whose neighbours share every vertex."""

import numpy as np
import numpy.typing as npt
import shapely

Array = npt.NDArray[np.float64]

WEST, SOUTH = 100.0, 30.0
SIZE = 0.0035  # degrees: about 300 m, as unit grid cells of a city
BENDS = 5  # points within an edge, so that a cell has 24 vertices
PER_DEGREE = 10_000_000


def make_cells(number: int, *, seed: int = 1) -> npt.NDArray[np.object_]:
    """At least so many polygons (WGS-84 degrees) that tile a region without gap or overlap.

    Corners are jittered by up to a fifth of a cell, edges bent; coordinates are multiples of 1e-7 degree.
    """
    rng = np.random.default_rng(seed)
    rows = round(number**0.5)
    columns = -(-number // rows)
    y, x = np.mgrid[0 : rows + 1, 0 : columns + 1].astype(float)
    corners = np.stack([x, y], axis=-1) + rng.uniform(-0.2, 0.2, (rows + 1, columns + 1, 2))
    across = _bent(corners[:, :-1], corners[:, 1:], rng)
    up = _bent(corners[:-1], corners[1:], rng)
    sides = [across[:-1], up[:, 1:], across[1:, :, ::-1], up[:, :-1, ::-1]]
    # The last point of each side is the first of the next.
    rings = np.concatenate([side[:, :, :-1] for side in sides], axis=2).reshape(-1, 4 * (BENDS + 1), 2)
    return shapely.polygons(np.rint((rings * SIZE + (WEST, SOUTH)) * PER_DEGREE) / PER_DEGREE)


def _bent(start: Array, end: Array, rng: np.random.Generator) -> Array:
    """Lines from start to end, both included, with points in between a little off the straight."""
    along = np.linspace(0, 1, BENDS + 2)[:, None]
    lines = start[..., None, :] + along * (end - start)[..., None, :]
    off = rng.uniform(-0.03, 0.03, lines.shape)
    off[..., [0, -1], :] = 0
    return lines + off
