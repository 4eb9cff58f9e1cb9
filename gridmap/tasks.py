"""What of the grid is slow or timed: done by Celery, found by a scan, so that a lost message costs only time."""

import logging

from celery import shared_task

from . import tiles

log = logging.getLogger(__name__)


@shared_task
def redraw_tiles() -> int:
    """Draw the grids that changed since they were drawn; returns how many."""
    drawn = 0
    for district in tiles.stale_districts():
        try:
            tiles.redraw(district)
            drawn += 1
        except Exception:
            log.exception("the tiles of district %s were not redrawn; the next run meets it again", district)
    if drawn:
        tiles.fold_changes()
    return drawn
