"""Cells in time: what the database holds true of versions, and what lay where at a moment."""

from datetime import timedelta

import pytest
import uuid_utils.compat as uuid
from django.db import IntegrityError, transaction
from django.utils import timezone

from gridmap.locate import cells_at
from gridmap.models import Cell
from tests.doing import next_version


def test_a_moment_has_one_version(cell: Cell) -> None:
    before = timezone.now()
    new = next_version(cell)
    inside = cell.boundary.point_on_surface
    assert [found.pk for found in cells_at(inside)] == [new.pk]
    assert [found.pk for found in cells_at(inside, at=before)] == [cell.pk]
    assert [found.pk for found in cells_at(inside, at=new.valid_from)] == [new.pk]
    assert new.lineage == cell.lineage


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"lineage": uuid.uuid7()}, "a_cell_code_means_one_cell_at_a_time"),
        ({"code": "150204999999999"}, "a_cell_has_one_version_at_a_time"),
    ],
)
def test_versions_do_not_overlap_in_time(cell: Cell, changes: dict, constraint: str) -> None:
    early = timezone.now() - timedelta(days=3)

    def reach_back() -> None:
        new = next_version(cell, **changes)
        Cell.objects.filter(pk=new.pk).update(valid_from=early)

    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        reach_back()


def test_a_version_ends_after_it_began(cell: Cell) -> None:
    with pytest.raises(IntegrityError, match="a_cell_version_ends_after_it_began"), transaction.atomic():
        Cell.objects.filter(pk=cell.pk).update(valid_to=cell.valid_from)
