"""Which cell a point lies in."""

from django.contrib.gis.geos import Point
from django.db.models import QuerySet

from .models import CHAIN, Cell


def cells_at(point: Point) -> QuerySet[Cell]:
    """The cells that cover the point (WGS-84), lowest code first, with their five organisations.

    `covers` and not `contains`: a point on a shared border belongs to exactly one cell, the first of these.
    """
    return (
        Cell.objects.filter(boundary__covers=point)
        .select_related("district", *CHAIN)
        .defer("boundary", *(f"{unit}__boundary" for unit in CHAIN))
        .order_by("code")
    )
