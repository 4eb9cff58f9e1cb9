"""Elements on the live map: counts, a cell's elements now and on a day, history; the log for supervisors."""

from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.utils import timezone

from fieldops.elements.population import Wanted, look_up
from fieldops.errors import NotPermitted
from fieldops.models import User
from gridmap.models import Cell, Element
from tests.doing import a_transaction_later, place, row_in


@pytest.fixture
def component(cell: Cell) -> Element:
    assert not place(row_in(cell)).faults
    return Element.objects.get(component__code="1502040101900001")


def ask(user: User, path: str, **query: Any) -> Any:
    client = Client()
    client.force_login(user)
    return client.get(f"/api/command/{path}", query)


def test_counts_by_cell_and_kind_without_people(component: Element, cell: Cell, leader: User) -> None:
    before = ask(leader, "elements/counts").json()["cells"][cell.code]["component"]
    Element.objects.create(kind="person", district_id="150204", cell=cell)
    place(row_in(cell, 900_002))
    counts = ask(leader, "elements/counts").json()
    assert counts["cells"][cell.code]["component"] == before + 1
    assert "person" not in {kind["kind"] for kind in counts["kinds"]}
    assert not any("person" in kinds for kinds in counts["cells"].values())


def test_a_cells_elements_and_their_history(component: Element, cell: Cell, leader: User) -> None:
    a_transaction_later()
    place(row_in(cell, state="damaged"), by=leader)
    rows = ask(leader, f"cells/{cell.code}/elements").json()["elements"]
    [row] = [row for row in rows if row["id"] == str(component.pk)]
    assert (row["state_label"], row["component"]["code"]) == ("破损", "1502040101900001")
    detail = ask(leader, f"elements/{component.pk}").json()
    assert [(v["state"], v["by"]) for v in detail["history"]] == [("damaged", str(leader)), ("intact", None)]
    yesterday = timezone.localdate(timezone=ZoneInfo(cell.district.time_zone)) - timedelta(days=1)
    stood = ask(leader, f"cells/{cell.code}/elements", on=yesterday.isoformat()).json()["elements"]
    assert [row["state"] for row in stood if row["id"] == str(component.pk)] == ["intact"]
    long_ago = ask(leader, f"cells/{cell.code}/elements", on="2026-02-01").json()["elements"]
    assert long_ago == []
    assert ask(leader, f"cells/{cell.code}/elements", on="yesterday").status_code == 400
    today = ask(leader, f"cells/{cell.code}/elements", on=(yesterday + timedelta(days=1)).isoformat())
    assert [row["state"] for row in today.json()["elements"] if row["id"] == str(component.pk)] == ["damaged"]
    to_come = ask(leader, f"cells/{cell.code}/elements", on=(yesterday + timedelta(days=2)).isoformat())
    assert (to_come.status_code, to_come.json()["errors"][0]["pointer"]) == (400, "#/on")


def test_what_begins_at_midnight_is_no_element_of_the_day_before(
    component: Element, cell: Cell, leader: User
) -> None:
    """A layout takes effect with a day: at the end of the one before, its cells were not there yet."""
    zone = ZoneInfo(cell.district.time_zone)
    today = timezone.localdate(timezone=zone)
    midnight = datetime.combine(today, time(), zone)
    before = today - timedelta(days=1)
    Cell.objects.filter(pk=cell.pk).update(valid_from=midnight)
    assert ask(leader, f"cells/{cell.code}/elements", on=before.isoformat()).status_code == 404
    assert ask(leader, f"cells/{cell.code}/elements", on=today.isoformat()).status_code == 200


def test_what_one_may_not_see_is_not_found(
    component: Element, cell: Cell, resident: User, outsider: User
) -> None:
    for user in (resident, outsider):
        assert ask(user, "elements/counts").status_code == 403
        assert ask(user, f"elements/{component.pk}").status_code == 403
    handler = User.objects.get(username="dept_health")
    assert ask(handler, f"elements/{component.pk}").status_code == 404
    assert ask(handler, f"cells/{cell.code}/elements", on="2026-06-01").status_code == 404
    person = Element.objects.create(kind="person", district_id="150204", cell=cell)
    supervisor = User.objects.get(username="supervisor")
    assert ask(supervisor, f"elements/{person.pk}").status_code == 404
    shown = ask(supervisor, f"cells/{cell.code}/elements").json()["elements"]
    assert str(person.pk) not in {row["id"] for row in shown}


def test_the_log_is_for_supervisors(cell: Cell, supervisor: User, leader: User, resident: User) -> None:
    with pytest.raises(NotPermitted):
        look_up(Wanted(purpose="visit", words="看看", cell=cell.code), by=resident)
    rows = ask(supervisor, "people-accesses").json()["accesses"]
    assert (rows[0]["refusal"], rows[0]["people"]) == ("not_permitted", [])
    assert ask(supervisor, "people-accesses", before=rows[0]["id"]).json()["accesses"] == rows[1:]
    for user in (leader, resident, User.objects.get(username="admin")):
        assert ask(user, "people-accesses").status_code == 403
    assert ask(supervisor, "people-accesses", before="x").status_code == 400
