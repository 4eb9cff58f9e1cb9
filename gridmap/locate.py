"""Which cell a point lies in."""

from datetime import datetime

from django.contrib.gis.geos import Point
from django.db.models import QuerySet

from .models import CHAIN, Cell


def cells_at(point: Point, *, at: datetime | None = None) -> QuerySet[Cell]:
    """The cells in force (now, or at a moment) that cover the point (WGS-84), lowest code first, with their owners.

    `covers` and not `contains`: a point on a shared border belongs to exactly one cell, the first of these.
    """
    return (
        Cell.objects.in_force(at)
        .filter(boundary__covers=point)
        .select_related("district", *CHAIN)
        .defer("boundary", *(f"{unit}__boundary" for unit in CHAIN))
        .order_by("code")
    )
