"""The administrator's pages: who enters, what the browser is allowed, and who changed what."""

from typing import Any

import pytest
from django.db import ProgrammingError
from django.test import Client

from fieldops.models import User
from gridmap.administration import kept_states
from gridmap.models import Department

pytestmark = pytest.mark.django_db


@pytest.fixture
def administrator(db: None) -> User:
    return User.objects.get(username="admin")


def newest_state(department: Department) -> Any:
    return kept_states(Department).filter(pgh_obj=department.pk).order_by("-pgh_id").first()


def test_only_administrators_enter(client: Client, outsider: User, dispatcher: User) -> None:
    assert client.get("/admin/").headers["Location"].startswith("/admin/login/")
    login = client.get("/admin/login/?next=/admin/gridmap/district/")
    assert login.headers["Location"] == "/login/?next=/admin/gridmap/district/"
    for person in (outsider, dispatcher):
        client.force_login(person)
        assert client.get("/admin/", follow=True).status_code == 403


def test_expressions_are_evaluated_there_alone(client: Client, administrator: User) -> None:
    client.force_login(administrator)
    policy = client.get("/admin/").headers["Content-Security-Policy"]
    assert "script-src 'self' 'unsafe-eval';" in policy
    assert "unsafe-eval" not in client.get("/login/").headers["Content-Security-Policy"]
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]


def test_a_change_keeps_who_made_it_and_where(client: Client, administrator: User) -> None:
    client.force_login(administrator)
    department = Department.objects.first()
    page = f"/admin/gridmap/department/{department.pk}/change/"
    form = {
        "district": department.district_id,
        "code": department.code,
        "name": "改了名的局",
        "name_en": "Renamed",
    }
    assert client.post(page, form).status_code == 302
    newest = newest_state(department)
    assert (newest.name, newest.pgh_label) == ("改了名的局", "update")
    assert newest.pgh_context["user"] == administrator.pk
    assert newest.pgh_context["url"] == page
    shown = client.get(f"/admin/gridmap/department/{department.pk}/history/").content.decode()
    assert "系统管理员" in shown
    assert department.name in shown
    assert "改了名的局" in shown


def test_history_is_not_changed(administrator: User) -> None:
    kept = newest_state(Department.objects.first())
    kept.name = "别的"
    with pytest.raises(ProgrammingError, match="Cannot update"):
        kept.save()


def test_what_a_program_writes_is_kept_too() -> None:
    department = Department.objects.first()
    department.name_en = "By a program"
    department.save()
    assert newest_state(department).pgh_context is None
