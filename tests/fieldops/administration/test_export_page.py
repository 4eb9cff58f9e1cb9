"""The administrators' form of exports: what is downloaded can be brought back; who may not gets no file."""

import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone, translation

from fieldops.geography.boundaries import apply_layout
from fieldops.models import User
from gridmap.layouts import draft_layout, merge_cells
from gridmap.models import District
from tests.checksums import checksums
from tests.gridmap.squares import CODE, cell_code, square_district

SHANGHAI = ZoneInfo("Asia/Shanghai")
PAGE = "/admin/gridmap/importrun/export/"
ASKED = {"layer": "cells", "suffix": ".geojson", "crs": "WGS84", "encoding": "UTF-8", "on": ""}
pytestmark = pytest.mark.django_db


@pytest.fixture
def administrator(db: None) -> User:
    return User.objects.get(username="admin")


@pytest.fixture
def office(client: Client, administrator: User) -> Client:
    client.force_login(administrator)
    client.cookies["django_language"] = "en"
    return client


@pytest.fixture
def square(db: None) -> District:
    return square_district()


def download(office: Client, room: Path, **asked: Any) -> Path:
    answer = office.get(PAGE, {**ASKED, **asked})
    assert answer.headers["Content-Disposition"].startswith("attachment"), answer.content.decode()[-500:]
    name = answer.headers["Content-Disposition"].split('"')[1]
    (room / name).write_bytes(b"".join(answer.streaming_content))  # type: ignore[arg-type]
    return room / name


def codes_in(file: Path) -> set[str]:
    return {feature["properties"]["code"] for feature in json.loads(file.read_text())["features"]}


@pytest.mark.parametrize(
    ("suffix", "crs", "encoding"),
    [
        (".geojson", "CGCS2000", "UTF-8"),
        (".zip", "EPSG:4546", "GBK"),
        (".gpkg", "GCJ02", "UTF-8"),
        (".csv", "BD09", "GBK"),
    ],
)
def test_every_layer_is_downloaded_and_brought_back_and_changes_nothing(
    office: Client, square: District, tmp_path: Path, suffix: str, crs: str, encoding: str
) -> None:
    before = checksums(apart_from="session")
    for layer in ("district", "regional_groups", "streets", "communities", "party_groups", "cells"):
        file = download(
            office, tmp_path, district=CODE, layer=layer, suffix=suffix, crs=crs, encoding=encoding
        )
        assert file.name == f"{layer}-{CODE}{suffix}"
        told = io.StringIO()
        with translation.override("en"):
            call_command(
                "import_layer", layer, file, district=CODE, replace=True, stdout=told, stderr=io.StringIO()
            )
        assert "stay as they are" in told.getvalue()
        assert f"in {crs}" in told.getvalue()
    assert checksums(apart_from="session") == before


def test_a_layer_as_it_was_before_a_layout(
    office: Client, square: District, administrator: User, tmp_path: Path
) -> None:
    long_ago = timezone.now() - timedelta(days=400)
    square.units.update(valid_from=long_ago)
    square.cells.update(valid_from=long_ago)
    gone = cell_code(1, 0)
    layout = draft_layout(square, "并格", by=administrator)
    merge_cells(layout, [cell_code(0, 0), gone])
    apply_layout(layout.pk, by=administrator)
    today = timezone.localdate(timezone=SHANGHAI)
    then = download(office, tmp_path, district=CODE, on=today - timedelta(days=2))
    assert then.name == f"cells-{CODE}-{today - timedelta(days=2)}.geojson"
    assert (len(codes_in(then)), gone in codes_in(then)) == (16, True)
    for day in ("", today):
        now = download(office, tmp_path, district=CODE, on=day)
        assert (len(codes_in(now)), gone in codes_in(now)) == (15, False)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"crs": "EPSG:4610"}, "EPSG:4610"),
        ({"crs": "EPSG:32601"}, "EPSG:32601"),
        ({"crs": ""}, "This field is required"),
        ({"layer": "../../etc"}, "Select a valid choice"),
        ({"suffix": ".kml"}, "Select a valid choice"),
        ({"on": "2999-01-01"}, "still to come"),
        ({"on": "2026-02-30"}, "Enter a valid date"),
        ({"on": "2026-02-20", "layer": "components"}, "organisations and cells only"),
    ],
)
def test_what_cannot_be_written_is_told_and_no_file_comes(
    office: Client, square: District, wrong: dict[str, str], told: str
) -> None:
    answer = office.get(PAGE, {**ASKED, "district": CODE, **wrong})
    assert answer.status_code == 200
    assert "Content-Disposition" not in answer.headers
    assert told in answer.content.decode()


def test_a_sign_that_the_encoding_lacks_is_told(office: Client, square: District, tmp_path: Path) -> None:
    square.units.filter(level=3).update(name="𠮷祥街道")
    asked = {**ASKED, "district": CODE, "layer": "streets", "suffix": ".csv", "encoding": "GBK"}
    answer = office.get(PAGE, asked)
    assert "This encoding lacks a sign of the layer" in answer.content.decode()


def test_who_may_not_gets_no_file(client: Client, square: District, outsider: User) -> None:
    client.cookies["django_language"] = "en"
    outsider.is_staff = True
    outsider.save()
    client.force_login(outsider)
    asked = {**ASKED, "district": CODE}
    assert client.get(PAGE, asked).status_code == 403
    # With the permission, but without a post in the district.
    outsider.user_permissions.add(Permission.objects.get(codename="view_importrun"))
    client.force_login(User.objects.get(pk=outsider.pk))
    answer = client.get(PAGE, asked)
    assert "Content-Disposition" not in answer.headers
    assert "Select a valid choice" in answer.content.decode()


def test_components_are_known_as_they_are_now(square: District, tmp_path: Path) -> None:
    """From a shell the same; and no layout is drawn up of them."""
    with translation.override("en"), pytest.raises(CommandError, match="organisations and cells only"):
        call_command(
            "export_layer",
            "components",
            tmp_path / "c.csv",
            district=CODE,
            on=timezone.localdate(timezone=SHANGHAI),
        )
    assert not (tmp_path / "c.csv").exists()
