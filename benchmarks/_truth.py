"""The cells of many points by plain shapely: no tree and no database, so that it can judge what uses them."""

import numpy as np
import numpy.typing as npt
import shapely


def cells_by_shapely(
    boundaries: npt.NDArray[np.object_], places: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """For each place (degrees) the number of the first boundary that covers it, −1 for none; and how many cover it."""
    first = np.full(len(places), -1, dtype=np.intp)
    count = np.zeros(len(places), dtype=np.intp)
    order = np.argsort(places[:, 0])
    x = places[order, 0]
    for number, boundary in enumerate(boundaries):
        west, south, east, north = boundary.bounds
        near = order[np.searchsorted(x, west) : np.searchsorted(x, east, side="right")]
        near = near[(places[near, 1] >= south) & (places[near, 1] <= north)]
        shapely.prepare(boundary)
        covered = near[shapely.intersects_xy(boundary, places[near, 0], places[near, 1])]
        count[covered] += 1
        first[covered] = np.where(first[covered] < 0, number, first[covered])
    return first, count


def corners_and_midpoints(boundaries: npt.NDArray[np.object_]) -> npt.NDArray[np.float64]:
    """Every vertex and the middle of every edge, each once: where cells meet."""
    rings = shapely.get_rings(boundaries)
    corners, ring = shapely.get_coordinates(rings, return_index=True)
    within = ring[1:] == ring[:-1]
    middles = ((corners[1:] + corners[:-1]) / 2)[within]
    return np.unique(np.concatenate([corners, middles]), axis=0)


def random_places(
    boundaries: npt.NDArray[np.object_], number: int, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Places spread evenly over the boundaries' bounding box and a little beyond it."""
    west, south, east, north = shapely.total_bounds(boundaries)
    wide, high = 0.02 * (east - west), 0.02 * (north - south)
    return rng.uniform((west - wide, south - high), (east + wide, north + high), size=(number, 2))
