"""The administrators' page of layouts, as its script asks it: who may not is refused, what is wrong is told with its place."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from fieldops.models import Event, User
from gridmap.layouts import draft_layout, read_grid
from gridmap.models import Cell, District, Layout, LayoutState
from tests.checksums import checksums
from tests.gridmap.squares import cell_code, square_district

pytestmark = pytest.mark.django_db


@pytest.fixture
def administrator(db: None) -> User:
    return User.objects.create_superuser("layout-admin", password="layout-admin-2026")


@pytest.fixture
def square(db: None) -> District:
    return square_district()


@pytest.fixture
def draft(square: District, administrator: User) -> Layout:
    return draft_layout(square, "方格调整", by=administrator)


@pytest.fixture
def office(client: Client, administrator: User) -> Client:
    client.force_login(administrator)
    return client


def page(layout: Layout, part: str) -> str:
    return f"/admin/gridmap/layout/{layout.pk}/{part}"


def edit(office: Client, layout: Layout, **asked: Any) -> Any:
    return office.post(page(layout, "edit"), json.dumps(asked), content_type="application/json")


ACROSS = [[109.805, 40.59], [109.805, 40.65]]


def split(line: list[Any], system: str | None = "WGS84") -> dict[str, Any]:
    declared = {"system": system} if system else {}
    return {"verb": "split", "codes": [cell_code(0, 0)], "line": line, **declared}


def test_a_draft_is_begun_drawn_and_put_in_force(office: Client, square: District) -> None:
    answer = office.post(
        "/admin/gridmap/layout/add/",
        {"district": square.pk, "title": "合并两格", "day": "", "tolerance_m": "0.05"},
    )
    layout = Layout.objects.get(title="合并两格")
    assert answer.status_code == 302
    assert str(layout.pk) in answer.url
    assert office.get(answer.url).status_code == 200
    west, east, north = cell_code(0, 0), cell_code(1, 0), cell_code(0, 1)
    assert edit(office, layout, verb="merge", codes=[west, east]).status_code == 200
    line = [[109.795, 40.615], [109.815, 40.615]]
    assert edit(office, layout, verb="split", codes=[north], line=line, system="WGS84").status_code == 200
    over = edit(office, layout, verb="hand_over", codes=[cell_code(3, 3)], to=cell_code(0, 0)[:12] + "G01")
    assert over.status_code == 200
    told = office.get(page(layout, "state")).json()
    assert told["state"] == "draft"
    assert told["faults"]["features"] == []
    assert len(told["changes"]) >= 4
    shapes = office.get(page(layout, "shapes")).json()
    roles = [feature["properties"]["role"] for feature in shapes["features"]]
    assert (roles.count("begun"), roles.count("ended")) == (4, 4)
    assert east in read_grid(square).cells
    office.post(page(layout, "apply"))
    layout.refresh_from_db()
    assert layout.state == LayoutState.APPLIED
    assert east not in read_grid(square).cells
    after = office.get(page(layout, "shapes")).json()
    roles = [feature["properties"]["role"] for feature in after["features"]]
    assert (roles.count("begun"), roles.count("ended")) == (4, 4)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"verb": "merge", "codes": [cell_code(0, 0), cell_code(3, 3)]}, "not_adjacent"),
        ({"verb": "merge", "codes": [cell_code(1, 0), cell_code(2, 0)]}, "different_owners"),
        ({"verb": "merge", "codes": ["nowhere", cell_code(2, 0)]}, "unknown_cell"),
        (split([[1, 1], [2, 2]]), "line_does_not_divide"),
        (split([[1, 1]]), "not_understood"),
        (split([[109.8, n] for n in range(2_001)]), "not_understood"),
        (split([["nan", 1], [2, 2]]), "implausible_position"),
        (split([[1e308, 0], [-1e308, 1]]), "implausible_position"),
        (split([[40.59, 109.805], [40.65, 109.805]], system="CGCS2000"), "implausible_position"),
        (split(ACROSS, system=None), "unknown_coordinate_system"),
        (split(ACROSS, system="EPSG:3857"), "unknown_coordinate_system"),
        (split([*ACROSS, [109.81, 40.605], [109.80, 40.605]]), "line_crosses_itself"),
        ({"verb": "split", "codes": [cell_code(0, 0), cell_code(1, 0)], "line": []}, "not_understood"),
        ({"verb": "hand_over", "codes": [cell_code(0, 0)], "to": "nobody"}, "unknown_unit"),
        ({"verb": "hand_over", "codes": [cell_code(0, 0), "nowhere"], "to": "150299J2"}, "unknown_unit"),
        ({"verb": "raze", "codes": []}, "not_understood"),
        ({"verb": "merge"}, "not_understood"),
    ],
)
def test_what_is_refused_changes_nothing(
    office: Client, draft: Layout, asked: dict[str, Any], code: str
) -> None:
    before = checksums()
    answer = edit(office, draft, **asked)
    assert answer.status_code == 422
    assert answer.json()["features"][0]["properties"]["code"] == code
    assert checksums() == before


@pytest.mark.parametrize("body", ["", "[]", "7", '{"codes": 7, "verb": 1}', "[" * 100_000])
def test_what_is_no_order_is_not_understood(office: Client, draft: Layout, body: str) -> None:
    answer = office.post(page(draft, "edit"), body, content_type="application/json")
    assert answer.status_code == 422


def test_a_day_that_is_past_begins_no_draft(office: Client, square: District) -> None:
    facts = {"district": square.pk, "title": "昨天", "day": "2001-01-01", "tolerance_m": "0.05"}
    assert office.post("/admin/gridmap/layout/add/", facts).status_code == 200
    assert not Layout.objects.filter(title="昨天").exists()


def test_a_given_up_draft_stays_and_is_drawn_no_more(office: Client, draft: Layout) -> None:
    office.post(page(draft, "discard"))
    draft.refresh_from_db()
    assert draft.state == LayoutState.DISCARDED
    answer = edit(office, draft, verb="merge", codes=[cell_code(0, 0), cell_code(1, 0)])
    assert (answer.status_code, answer.json()["features"][0]["properties"]["code"]) == (422, "layout_settled")
    assert office.get(page(draft, "state")).json()["state"] == "discarded"
    assert office.post(page(draft, "apply"), follow=True).status_code == 200
    assert office.get(page(draft, "apply")).status_code == 403


def test_what_would_move_is_foretold(office: Client, administrator: User, cell: Cell, located: Event) -> None:
    neighbour = (
        Cell.objects.in_force()
        .filter(
            party_group=cell.party_group_id,
            regional_group=cell.regional_group_id,
            boundary__touches=cell.boundary,
        )
        .exclude(pk=cell.pk)
        .first()
    )
    layout = draft_layout(cell.district, "预演", by=administrator)
    assert neighbour is not None
    assert edit(office, layout, verb="merge", codes=[cell.code, neighbour.code]).status_code == 200
    office.cookies["django_language"] = "en"
    told = office.get(page(layout, "state")).json()
    assert "1 open cases move to another cell" in told["effects"]
    located.refresh_from_db()
    assert located.cell_id == cell.pk


def test_who_may_not_sees_nothing_and_changes_nothing(client: Client, draft: Layout, outsider: User) -> None:
    outsider.is_staff = True
    outsider.save()
    client.force_login(outsider)
    parts = ("state", "shapes", "edit", "apply", "discard")
    for part in parts:
        assert client.get(page(draft, part)).status_code == 403
        assert client.post(page(draft, part)).status_code == 403
    assert client.get("/admin/gridmap/layout/add/").status_code == 403
    assert client.get(f"/admin/gridmap/layout/{draft.pk}/change/").status_code == 404
    # With the permission, but without a post in the district.
    outsider.user_permissions.add(
        *Permission.objects.filter(codename__in=["view_layout", "add_layout", "change_layout"])
    )
    client.force_login(User.objects.get(pk=outsider.pk))
    for part in parts:
        assert client.post(page(draft, part)).status_code == 404
    facts = {"district": draft.district_id, "title": "外人", "day": "", "tolerance_m": "0.05"}
    client.post("/admin/gridmap/layout/add/", facts)
    assert Layout.objects.count() == 1
    draft.refresh_from_db()
    assert draft.state == LayoutState.DRAFT
