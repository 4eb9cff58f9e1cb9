"""Administrators see elements, and never people."""

import pytest
from django.contrib import admin
from django.test import Client

from fieldops.models import AccessPurpose, ElementAccess, User
from gridmap.models import Element, GroupMembership, Person


@pytest.fixture
def page(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.get(username="admin"))
    return client


def test_people_and_the_log_are_not_administered(page: Client) -> None:
    for model in (Person, GroupMembership, ElementAccess):
        assert not admin.site.is_registered(model)
    person = Element.objects.filter(kind="person").first()
    address = "/admin/gridmap/element/"
    assert str(person.pk) not in page.get(address, {"kind__exact": "person"}).content.decode()
    for probe in ({"q": "示范"}, {"person__name__startswith": "白"}, {"person__groups__code": "alone"}):
        assert str(person.pk) not in page.get(address, probe).content.decode()
    assert page.get(f"{address}{person.pk}/change/").status_code == 302


def test_elements_are_looked_at_and_not_changed(page: Client) -> None:
    component = Element.objects.filter(kind="component").first()
    address = f"/admin/gridmap/element/{component.pk}/change/"
    assert component.name in page.get(address).content.decode()
    assert page.post(address, {"name": "x"}).status_code == 403
    assert page.get("/admin/gridmap/element/add/").status_code == 403
    Element.objects.filter(pk=component.pk).update(
        note="盖板开裂", changed_by=User.objects.get(username="worker001")
    )
    history = page.get(f"/admin/gridmap/element/{component.pk}/history/").content.decode()
    assert "盖板开裂" in history
    assert str(User.objects.get(username="worker001")) in history


@pytest.mark.parametrize(
    "path", ["gridmap/roadsegment", "gridmap/specialgroup", "fieldops/accesspurpose", "fieldops/segmentchief"]
)
def test_the_lists_open(page: Client, path: str) -> None:
    assert page.get(f"/admin/{path}/").status_code == 200
    assert AccessPurpose.objects.exists()
