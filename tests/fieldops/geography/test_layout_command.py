"""`manage.py layout`: a draft is begun, drawn, shown, put in force or given up, all from a shell."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.utils import translation

from gridmap.coordinates import from_wgs84
from gridmap.layouts import read_grid
from gridmap.models import District, Layout, LayoutCell, LayoutState
from tests.checksums import checksums
from tests.gridmap.squares import CODE, cell_code, square_district

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    with translation.override("en"):
        yield


@pytest.fixture
def square(db: None) -> District:
    return square_district()


def layout(*words: object) -> list[str]:
    out = io.StringIO()
    call_command("layout", f"--district={CODE}", *map(str, words), stdout=out)
    return out.getvalue().splitlines()


ACROSS = "109.805 40.59, 109.805 40.65"
NO_LINES = [
    ("1 1, 2 2", "--system", "WGS84"),
    ("nonsense", "--system", "WGS84"),
    ("nan nan, 2 2", "--system", "WGS84"),
    ("1 1", "--system", "WGS84"),
    ("109.79 40.605, 109.82 40.605, 109.815 40.61, 109.815 40.59", "--system", "WGS84"),
    (ACROSS,),
    (ACROSS, "--system", "wgs 84"),
    (ACROSS, "--system", "EPSG:4546"),
    ("40.59 109.805, 40.65 109.805", "--system", "CGCS2000"),
]


def test_a_draft_from_begin_to_force(square: District) -> None:
    [draft] = layout("begin", "合并与拆分")
    west, east, below = cell_code(0, 0), cell_code(1, 0), cell_code(0, 1)
    assert layout("merge", draft, west, east) == [west]
    parts = layout("split", draft, west, "--line", "109.805 40.59, 109.805 40.65", "--system", "WGS84")
    assert len(parts) == 2
    assert layout("list") == [f"{draft}  {CODE}  Draft  -  合并与拆分"]
    shown = layout("show", draft)
    assert shown[0] == "合并与拆分 · Draft"
    assert f"Cell {east} ends" in shown
    assert "2 cell versions end" in shown
    before = read_grid(square)
    assert west in before.cells and east in before.cells, "a draft changes nothing"
    layout("apply", draft)
    after = read_grid(square)
    assert set(parts) <= set(after.cells)
    assert below in after.cells
    assert layout("list") == []
    assert "In force" in layout("list", "--all")[0]
    assert layout("show", draft)[0].endswith("In force")


def test_a_line_is_taken_in_the_system_it_was_surveyed_in(square: District) -> None:
    east, north = from_wgs84(np.array([109.805, 109.805]), np.array([40.59, 40.65]), "EPSG:4546")
    [draft] = layout("begin", "测绘线")
    line = ", ".join(f"{x:.3f} {y:.3f}" for x, y in zip(east, north, strict=True))
    layout("split", draft, cell_code(0, 0), "--line", line, "--system", "EPSG:4546")
    drawn = LayoutCell.objects.filter(layout=draft).order_by("code")
    assert [cell.boundary.extent[::2] for cell in drawn] == [
        pytest.approx((109.80, 109.805), abs=1e-7),
        pytest.approx((109.805, 109.81), abs=1e-7),
    ]


def test_a_cell_is_handed_over_and_a_draft_given_up(square: District) -> None:
    [draft] = layout("begin", "移交", "--valid-from", "2999-01-01")
    cell = cell_code(0, 0)
    group = read_grid(square).cells[cell_code(3, 3)].party_group
    [code] = layout("hand-over", draft, cell, "--to", group)
    assert code != cell
    assert "2999-01-01" in layout("list")[0]
    assert any("gets another owner" in line for line in layout("show", draft))
    layout("discard", draft)
    assert Layout.objects.get(pk=draft).state == LayoutState.DISCARDED
    with pytest.raises(CommandError, match="no draft any more"):
        layout("apply", draft)
    assert cell in read_grid(square).cells


def test_a_refused_verb_changes_nothing_and_says_where(square: District, tmp_path: Path) -> None:
    [draft] = layout("begin", "错误")
    before = checksums()
    faults = tmp_path / "faults.geojson"
    with pytest.raises(CommandError, match="nothing was changed") as refused:
        layout("--faults", faults, "merge", draft, cell_code(0, 0), cell_code(3, 3))
    assert "no neighbours" in str(refused.value)
    [fault] = json.loads(faults.read_text())["features"]
    assert fault["geometry"]["type"] in ("Polygon", "MultiPolygon")
    group = read_grid(square).cells[cell_code(3, 3)].party_group
    for words in (
        *(("split", draft, cell_code(0, 0), "--line", *line) for line in NO_LINES),
        ("hand-over", draft, cell_code(0, 0), "nowhere", "--to", group),
        ("show", UUID(int=1)),
        ("begin", "昨天", "--valid-from", "2001-01-01"),
        ("begin", "长" * 121),
        ("begin", ""),
        *(("begin", "宽", f"--tolerance-m={width}") for width in ("nan", "inf", "-1", "101")),
        ("--by", "nobody", "apply", draft),
    ):
        with pytest.raises(CommandError):
            layout(*words)
    assert checksums() == before


def test_a_file_becomes_a_draft(square: District, tmp_path: Path) -> None:
    call_command("export_layer", "cells", tmp_path / "cells.geojson", district=CODE, stdout=io.StringIO())
    collection = json.loads((tmp_path / "cells.geojson").read_text())
    kept = collection["features"][0]
    kept["properties"]["code"] = kept["properties"]["code"][:-3] + "099"
    kept["properties"]["replaces"] = cell_code(0, 0)
    (tmp_path / "cells.geojson").write_text(json.dumps(collection))
    out = io.StringIO()
    call_command(
        "import_layer",
        "cells",
        tmp_path / "cells.geojson",
        district=CODE,
        draft=True,
        replace=True,
        stdout=out,
    )
    draft = Layout.objects.get(district=square)
    assert draft.state == LayoutState.DRAFT
    assert f"A draft, not in force: {draft.pk}" in out.getvalue()
    assert cell_code(0, 0) in read_grid(square).cells
    layout("apply", draft.pk)
    assert kept["properties"]["code"] in read_grid(square).cells
