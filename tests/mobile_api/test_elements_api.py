"""Elements, components near, people and segments as a phone meets them."""

from typing import Any

import pytest
from django.contrib.gis.geos import Point
from django.utils import timezone

from devstack.clients import new_id
from fieldops.models import AccessPurpose, ElementAccess, Event, EventClass, Post, SegmentChief, User
from gridmap.models import Cell, Element, Person, RoadSegment, SpecialGroup
from tests.doing import Phone, along, chief_of, holder_of, inside, lay, place, row_in


@pytest.fixture
def worker(cell: Cell) -> Phone:
    return Phone(holder_of(Post.objects.get(role="grid_worker", unit=cell.community)))


def position(cell: Cell) -> dict[str, Any]:
    x, y = inside(cell)
    return {"x": x, "y": y, "system": "WGS84", "accuracy_m": 5}


def test_a_grid_worker_keeps_a_component_current(cell: Cell, worker: Phone) -> None:
    body = {
        "id": new_id(), "kind": "component", "name": "上水井盖", **position(cell),
        "component": {"code": "1502040101900077", "managing": "municipal", "accuracy_class": "A"},
    }  # fmt: skip
    added = worker.post("elements", body)
    assert added.status_code == 201, added.content
    assert worker.post("elements", body).json() == added.json()
    conflict = worker.post("elements", {**body, "name": "别的"})
    assert (conflict.status_code, conflict.json()["code"]) == (409, "submission_conflict")
    taken = worker.post("elements", {**body, "id": new_id()})
    assert (taken.status_code, taken.json()["code"]) == (409, "code_taken")
    element = added.json()["id"]
    assert added.json()["component"]["class"]["key"] == "component/0101"
    marked = worker.post(f"elements/{element}/state", {"id": new_id(), "state": "damaged"})
    assert (marked.status_code, marked.json()["state"]) == (200, "damaged")
    changed = worker.post(f"elements/{element}/change", {"id": new_id(), "note": "盖板开裂"})
    assert (changed.json()["note"], changed.json()["state"]) == ("盖板开裂", "damaged")
    listed = worker.get("elements", cell=cell.code, kind="component").json()
    assert element in {row["id"] for row in listed["elements"]}
    gone = worker.post(f"elements/{element}/gone", {"id": new_id(), "note": "已拆除"})
    assert gone.json()["ended_at"]
    assert element not in {row["id"] for row in worker.get("elements", cell=cell.code).json()["elements"]}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("elements", {"kind": "person", "name": "某人", "x": 1, "y": 1, "system": "WGS84"}),
        ("elements", {"kind": "place", "name": "x", "x": 1, "y": 1}),
        ("elements", {"kind": "place", "name": "\ud800", "x": 1, "y": 1, "system": "WGS84"}),
        ("elements/{}/change", {}),
        ("elements/{}/change", {"position": {"x": 1}}),
        ("elements/{}/state", {"state": "shiny"}),
        ("elements/{}/gone", {"note": " "}),
        ("people", {"name": "某人", "x": 1, "y": 1, "system": "WGS84", "birth_year": 3}),
        ("people/look-up", {"people": ["x"]}),
        ("people/look-up", {"people": [new_id()] * 201}),
        ("people/look-up", {"words": "长" * 501}),
    ],
)
def test_what_is_not_valid_is_told(worker: Phone, path: str, body: dict[str, Any]) -> None:
    answer = worker.post(path.format(new_id()), {"id": new_id(), **body})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")


def test_components_near_a_place(cell: Cell, resident: User, event_class: EventClass) -> None:
    """For everybody who reports, to be named in the report; departments and notes are left out."""
    assert not place(row_in(cell)).faults
    phone = Phone(resident)
    near = phone.get("components/near", **{**position(cell), "within": 5}).json()
    assert near[0].keys() == {"code", "name", "class", "state", "cell", "point", "distance_m"}
    [mine] = [row for row in near if row["code"] == "1502040101900001"]
    assert mine["distance_m"] == 0
    report = {"id": new_id(), "class": mine["class"]["key"], "description": "井盖破损", **position(cell)}
    answer = phone.post("reports", {**report, "component": mine["code"]})
    assert answer.status_code == 201, answer.content
    assert Event.objects.get(pk=answer.json()["event"]["id"]).component.code == mine["code"]
    for wrong in ({"within": 0}, {"within": 201}, {"x": "nan"}, {"system": ""}):
        refused = phone.get("components/near", **{**position(cell), **wrong})
        assert refused.status_code == 400
    assert phone.get("components/near", **{**position(cell), "system": "mine"}).status_code == 422


def test_people_for_a_purpose(cell: Cell, worker: Phone, resident: User) -> None:
    AccessPurpose.objects.get_or_create(district_id="150204", code="visit", defaults={"name": "入户走访"})
    SpecialGroup.objects.get_or_create(district_id="150204", code="alone", defaults={"name": "独居老人"})
    body = {"id": new_id(), "name": "示例甲", "phone": "13900000000", "groups": ["alone"], **position(cell)}
    made = worker.post("people", body)
    assert (made.status_code, made.json()["name"]) == (201, "示**")
    assert worker.post("people", body).json() == made.json()
    assert worker.post("people", {**body, "phone": ""}).json()["code"] == "submission_conflict"
    masked = worker.get("people", cell=cell.code)
    assert "13900000000" not in masked.content.decode() and "alone" not in masked.content.decode()
    lists = worker.get("people/lists").json()
    assert "visit" in {row["code"] for row in lists["purposes"]}
    wanted = {"purpose": "visit", "words": "入户走访", "people": [made.json()["id"]]}
    shown = worker.post("people/look-up", wanted)
    [person] = shown.json()["people"]
    assert (person["name"], person["groups"]) == ("示例甲", ["alone"])
    assert shown["Cache-Control"] == "no-store"
    assert ElementAccess.objects.get(pk=shown.json()["access"]).people
    for wrong, code in (({"words": ""}, "reason_missing"), ({"purpose": "x"}, "unknown_purpose")):
        assert worker.post("people/look-up", {**wanted, **wrong}).json()["code"] == code
    stranger = Phone(resident)
    assert stranger.post("people/look-up", wanted).status_code == 403
    assert stranger.get("people", cell=cell.code).status_code == 403
    assert stranger.get("people/lists").status_code == 403
    assert ElementAccess.objects.filter(by=resident, refusal="not_permitted").exists()
    gone = worker.post(f"people/{made.json()['id']}/erase", {"words": "已迁出"})
    assert gone.status_code == 204
    assert not Person.objects.filter(pk=made.json()["id"]).exists()


def test_nothing_but_the_cell_sifts_masked_people(cell: Cell, worker: Phone) -> None:
    """Filters, orders and searches that are not offered change nothing: they could tell what is masked."""
    SpecialGroup.objects.get_or_create(district_id="150204", code="alone", defaults={"name": "独居老人"})
    for name, groups in (("示例甲", ["alone"]), ("普通乙", [])):
        worker.post("people", {"id": new_id(), "name": name, "groups": groups, **position(cell)})
    plain = worker.get("people", cell=cell.code).json()
    for probe in ("group", "groups", "person__groups__code", "name", "search", "q", "ordering", "phone"):
        assert worker.get("people", cell=cell.code, **{probe: "alone"}).json() == plain
        listed = worker.get("elements", cell=cell.code, **{probe: "alone"}).json()
        assert listed == worker.get("elements", cell=cell.code).json()
    assert worker.get("elements", kind="person").status_code == 400


def test_a_street_chiefs_segments(cell: Cell, located: Event, worker: Phone) -> None:
    lay(along(cell))
    post = Post.objects.get(role="street_chief", unit=cell.street)
    SegmentChief.objects.create(
        segment=RoadSegment.objects.get(code="T-1"), post=post, district=cell.district, since=timezone.now()
    )
    Event.objects.filter(pk=located.pk).update(point=Point(*inside(cell), srid=4326))
    mine = [row for row in Phone(chief_of(located)).get("segments").json() if row["code"] == "T-1"]
    assert [case["number"] for case in mine[0]["cases"]] == [located.number]
    assert worker.get("segments").json() == []


def test_one_works_in_ones_own_area(cell: Cell, worker: Phone) -> None:
    far = Cell.objects.exclude(community=cell.community).first()
    answer = worker.post("elements", {"id": new_id(), "kind": "place", "name": "远处", **position(far)})
    assert (answer.status_code, answer.json()["code"]) == (403, "not_permitted")
    assert not Element.objects.filter(name="远处").exists()
