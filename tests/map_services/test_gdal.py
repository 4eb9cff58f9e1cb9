"""GDAL's OAPIF driver, which QGIS is built on, reads the served house."""

from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pyogrio
import pyproj
import pytest
import shapely
from pyogrio.raw import read

from devstack.clients import PASSWORD
from tests.doing import Served

CELLS = 1531


@pytest.fixture
def service(served: Served) -> Iterator[str]:
    options = {
        "GDAL_HTTP_USERPWD": f"leader:{PASSWORD}",
        "GDAL_HTTP_AUTH": "BASIC",
        "GDAL_HTTP_TIMEOUT": "30",
    }
    pyogrio.set_gdal_config_options(options)
    yield f"OAPIF:{served.url}/ogc/"
    pyogrio.set_gdal_config_options(dict.fromkeys(options))


def geometries(found: Any) -> Any:
    return shapely.from_wkb(found[2])


def test_gdal_finds_the_collections(service: str) -> None:
    names = {name for name, _kind in pyogrio.list_layers(service)}
    assert {"district-committees", "regional-groups", "streets", "communities", "party-groups"} <= names
    assert {"cells", "road-segments", "components", "cases"} <= names


def test_gdal_reads_all_cells_over_pages(service: str) -> None:
    found = read(service, layer="cells", PAGE_SIZE=500)
    assert pyproj.CRS(found[0]["crs"]).to_authority() == ("OGC", "CRS84")
    cells = geometries(found)
    assert len(cells) == CELLS
    assert shapely.coverage_is_valid(cells)
    west, south, east, north = shapely.total_bounds(cells)
    assert 109 < west < east < 111
    assert 40 < south < north < 41.5
    assert {"code", "community", "street", "valid_from"} <= set(found[0]["fields"])


def test_gdal_reads_every_collection_whole(service: str, served: Served) -> None:
    for name, kind in pyogrio.list_layers(service):
        found = read(service, layer=name, PAGE_SIZE=700)
        answer = httpx.get(f"{served.url}/ogc/collections/{name}/items?limit=1", auth=("leader", PASSWORD))
        assert len(found[2]) == answer.json()["numberMatched"], name
        assert not len(found[2]) or kind in ("Point", "LineString", "Polygon", "MultiPolygon"), name


def test_gdal_asks_for_a_box_and_for_values(service: str) -> None:
    whole = geometries(read(service, layer="cells"))
    west, south, east, north = whole[700].bounds
    some = geometries(read(service, layer="cells", bbox=(west, south, east, north)))
    assert 0 < len(some) < 50
    near = whole[shapely.intersects(whole, shapely.box(west, south, east, north))]
    assert {shapely.to_wkb(shapely.normalize(one)) for one in near} == {
        shapely.to_wkb(shapely.normalize(one)) for one in some
    }
    [code] = read(service, layer="communities", max_features=1, columns=["code"])[3][0]
    found = read(service, layer="cells", where=f"community = '{code}'")
    assert 0 < len(found[2]) < 100
    assert set(found[3][list(found[0]["fields"]).index("community")]) == {code}


@pytest.mark.parametrize(
    ("code", "metres"), [("4546", True), ("3857", True), ("4490", False), ("4326", False)]
)
def test_gdal_understands_the_axes_of_every_system(service: str, code: str, metres: bool) -> None:
    plain = geometries(read(service, layer="streets"))
    found = read(service, layer="streets", CRS=f"EPSG:{code}")
    there = geometries(found)
    if code != "4326":  # which GDAL takes as CRS84
        assert pyproj.CRS(found[0]["crs"]).to_epsg() == int(code)
    # GDAL hands over east before north, whatever the authority says.
    to = pyproj.Transformer.from_crs(4326, int(code), always_xy=True)
    expected = shapely.transform(plain, to.transform, interleaved=False)
    assert np.all(shapely.hausdorff_distance(there, expected) < (0.05 if metres else 5e-7))


def test_gdal_asks_for_a_moment(service: str, served: Served) -> None:
    then = f"OAPIF_COLLECTION:{served.url}/ogc/collections/cells?datetime=2020-01-01T00:00:00Z"
    assert len(read(then)[2]) == 0
    now = f"OAPIF_COLLECTION:{served.url}/ogc/collections/cells?datetime=2026-06-30"
    assert len(read(now)[2]) == CELLS


def test_gdal_without_a_password_is_refused(served: Served) -> None:
    with pytest.raises(pyogrio.errors.DataSourceError):
        read(f"OAPIF:{served.url}/ogc/", layer="cells")
