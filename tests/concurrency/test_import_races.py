"""An import is ordered twice and worked on by several workers at once."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from fieldops.geography import imports
from fieldops.models import User
from gridmap.exchange.faults import FileRefused
from gridmap.models import District, ImportRun, RoadSegment
from tests.doing import at_once

pytestmark = pytest.mark.usefixtures("committed")
LINES = b'code,name,WKT\nRACE1,\xe5\x8f\x8b\xe8\xb0\x8a\xe5\xa4\xa7\xe8\xa1\x97,"LINESTRING (109.865 40.66,109.867 40.6604)"\n'


@pytest.fixture
def checked(settings: Any, tmp_path: Path) -> Iterator[ImportRun]:
    """An import that may be applied; it and what it brings are taken back afterwards."""
    settings.MEDIA_ROOT = str(tmp_path)
    by = User.objects.get(username="admin")
    run = ImportRun(district=District.objects.get(), layer="road_segments", crs="WGS84")
    imports.begin_import(run, SimpleUploadedFile("lines.csv", LINES), by=by)
    assert imports.work_on_imports() == 1
    run.refresh_from_db()
    assert run.state == "ready", run.faults
    yield run
    ImportRun.objects.filter(pk=run.pk).delete()
    RoadSegment.objects.filter(code="RACE1").delete()


def test_an_import_is_ordered_and_applied_once(checked: ImportRun) -> None:
    by = User.objects.get(username="admin")
    orders = at_once(*[lambda: imports.order_import(checked.pk, by=by)] * 4)
    refused = [each for each in orders if isinstance(each, FileRefused)]
    assert [each.faults[0].code for each in refused] == ["not_ready"] * 3
    assert sorted(at_once(*[imports.work_on_imports] * 4)) == [0, 0, 0, 1]
    checked.refresh_from_db()
    assert (checked.state, checked.summary["added"]) == ("applied", 1)
    assert Counter(RoadSegment.objects.filter(code="RACE1").values_list("code", flat=True)) == {"RACE1": 1}
