"""People: masked, for a purpose, on record, only in one's own area, and erased without a trace of who it was."""

from collections.abc import Callable
from typing import Any

import pytest
import uuid_utils.compat as uuid
from django.db import DatabaseError, IntegrityError, transaction
from django.utils import timezone

from fieldops.elements import population
from fieldops.elements.population import (
    NewPerson,
    Wanted,
    accesses_visible_to,
    erase_person,
    look_up,
    masked_people,
)
from fieldops.errors import DomainError, NotFound, NotPermitted, UnknownPurpose
from fieldops.lifecycle import Submission
from fieldops.models import AccessPurpose, ElementAccess, ElementSubmission, Post, User
from fieldops.rights import elements_visible_to
from gridmap.elements import standing_in
from gridmap.models import Cell, Element, ElementVersion, GroupMembership, Person, SpecialGroup
from tests.doing import holder_of, refused

VISIT = {"purpose": "visit", "words": "入户走访，核实居住情况"}


@pytest.fixture
def worker(cell: Cell) -> User:
    return holder_of(Post.objects.get(role="grid_worker", unit=cell.community))


@pytest.fixture
def other_worker(cell: Cell) -> User:
    return holder_of(Post.objects.filter(role="grid_worker").exclude(unit=cell.community).first())


@pytest.fixture
def lists(db: None) -> None:
    purpose = {"name": "入户走访", "name_en": "Household visit"}
    AccessPurpose.objects.get_or_create(district_id="150204", code="visit", defaults=purpose)
    for code, name in (("alone", "独居老人"), ("correction", "社区矫正对象")):
        SpecialGroup.objects.get_or_create(district_id="150204", code=code, defaults={"name": name})


@pytest.fixture
def register(worker: User, cell: Cell, lists: None) -> Callable[..., Element]:
    def do(name: str = "示例甲", *, by: User = worker, **changes: Any) -> Element:
        x, y = cell.boundary.point_on_surface.coords
        facts = {"name": name, "x": x, "y": y, "system": "WGS84", "phone": "13900000000", **changes}
        return population.register_person(
            NewPerson(**facts), by=by, submission=Submission(uuid.uuid7(), "d" * 64)
        )

    return do


@pytest.fixture
def person(register: Callable[..., Element]) -> Element:
    return register(address="示例路1号", birth_year=1940, groups=("alone",))


def last_access() -> ElementAccess:
    return ElementAccess.objects.order_by("at").last()


# --- what is masked -------------------------------------------------------------------------------------------


def test_the_masked_list_tells_a_family_name_and_nothing_else(
    person: Element, register: Callable[..., Element], worker: User, cell: Cell
) -> None:
    plain = register("普通人丙丁")
    rows = {row["id"]: row for row in masked_people(worker, cell=cell.code)}
    assert rows[person.pk] == {"id": person.pk, "cell": cell.code, "name": "示**"}
    assert rows[plain.pk].keys() == rows[person.pk].keys() and rows[plain.pk]["name"] == "普**"


def test_no_row_of_the_element_tells_who_it_is(person: Element) -> None:
    """Nor its history, nor what an act left behind: what reads elements cannot leak what is not there."""
    secrets = {"示例甲", "13900000000", "示例路1号", "1940", "alone"}
    rows = [
        *Element.objects.filter(pk=person.pk).values(),
        *ElementVersion.objects.filter(pgh_obj=person.pk).values(),
        *ElementSubmission.objects.filter(element=person).values(),
    ]
    assert len(rows) == 3
    for row in rows:
        assert not any(secret in str(value) for value in row.values() for secret in secrets)
        assert row.get("point") is None and row.get("x") is None


def test_elements_never_contain_people(person: Element, worker: User, supervisor: User) -> None:
    for user in (worker, supervisor):
        visible = elements_visible_to(user)
        assert not visible.filter(kind="person").exists()
        assert not visible.filter(person__name__startswith="示").exists()
        assert not visible.filter(person__groups__code="alone").exists()


@pytest.mark.parametrize(
    "told", [{"name": "示例甲"}, {"note": "独居"}, {"category": "alone"}, {"source": "派出所"}, {"x": 109.9}]
)
def test_the_database_keeps_it_apart(person: Element, told: dict[str, Any]) -> None:
    refused(
        lambda: Element.objects.filter(pk=person.pk).update(**told), "what_tells_of_a_person_stands_apart"
    )


# --- whom one may see -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "who", ["dept_municipal", "resident1", "chief001", "leader", "intake1", "dispatch1", "shift"]
)
def test_those_who_have_nothing_to_do_with_people_are_refused_and_written_down(
    person: Element, cell: Cell, who: str
) -> None:
    user = User.objects.get(username=who)
    with pytest.raises(NotPermitted):
        masked_people(user, cell=cell.code)
    with pytest.raises(NotPermitted):
        look_up(Wanted(**VISIT, cell=cell.code), by=user)
    access = last_access()
    assert (access.by, access.post, access.refusal, access.people) == (user, None, "not_permitted", [])


def test_an_outsider_is_refused_and_written_down(person: Element, cell: Cell, outsider: User) -> None:
    with pytest.raises(NotPermitted):
        look_up(Wanted(**VISIT, people=(person.pk,)), by=outsider)
    with pytest.raises(NotPermitted):
        erase_person(person.pk, by=outsider, words="删除")
    assert ElementAccess.objects.filter(by=outsider, refusal="not_permitted").count() == 2


def test_one_sees_the_people_of_ones_own_area(person: Element, cell: Cell, other_worker: User) -> None:
    assert masked_people(other_worker, cell=cell.code) == []
    for wanted in ({"cell": cell.code}, {"people": (person.pk,)}, {"group": "alone"}):
        access, people = look_up(Wanted(**VISIT, **wanted), by=other_worker)
        assert person.pk not in {found.pk for found in people}
        assert person.pk not in access.people
    with pytest.raises(NotFound):
        erase_person(person.pk, by=other_worker, words="搬走")
    assert last_access().refusal == "not_found"


# --- for what, on record ----------------------------------------------------------------------------------------


def test_a_look_shows_everything_and_is_written_down(person: Element, worker: User, cell: Cell) -> None:
    access, [found] = look_up(Wanted(**VISIT, cell=cell.code, group="alone"), by=worker)
    assert (found.name, found.phone, found.birth_year) == ("示例甲", "13900000000", 1940)
    stored = ElementAccess.objects.get(pk=access.pk)
    assert (stored.by, stored.post.role, stored.purpose.code) == (worker, "grid_worker", "visit")
    assert (stored.words, stored.people, stored.refusal) == (VISIT["words"], [person.pk], "")
    assert stored.asked == {"cell": cell.code, "group": "alone", "purpose": "visit"}
    assert "示例甲" not in str(list(ElementAccess.objects.values()))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"words": " "}, "reason_missing"),
        ({"words": "\u200b\u3164"}, "reason_missing"),
        ({"purpose": "curiosity"}, "unknown_purpose"),
        ({"purpose": ""}, "unknown_purpose"),
        ({"cell": ""}, "element_refused"),
        ({"post": 1}, "not_permitted"),
    ],
)
def test_without_a_purpose_nobody_is_shown(
    person: Element, worker: User, cell: Cell, changes: dict[str, Any], code: str
) -> None:
    with pytest.raises(DomainError) as refusal:
        look_up(Wanted(**{**VISIT, "cell": cell.code, **changes}), by=worker)
    access = last_access()
    assert (refusal.value.code, access.refusal, access.by, access.people) == (code, code, worker, [])


def test_a_purpose_that_was_withdrawn_is_none(person: Element, worker: User, cell: Cell) -> None:
    AccessPurpose.objects.update(active=False)
    with pytest.raises(UnknownPurpose):
        look_up(Wanted(**VISIT, cell=cell.code), by=worker)


def test_the_log_is_append_only(person: Element, worker: User, cell: Cell) -> None:
    access, _people = look_up(Wanted(**VISIT, cell=cell.code), by=worker)
    rows = ElementAccess.objects.filter(pk=access.pk)
    for change in (
        lambda: rows.update(words="没看过"),
        lambda: rows.delete(),
        lambda: ElementAccess.objects.all()._raw_delete("default"),
    ):
        with pytest.raises(DatabaseError, match="Cannot update or delete"), transaction.atomic():
            change()


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"words": ""}, "an_access_has_a_post_and_words"),
        ({"post": None}, "an_access_has_a_post_and_words"),
        ({"purpose": None}, "a_look_up_has_a_purpose"),
        ({"refusal": "not_permitted"}, "a_refused_access_shows_nobody"),
    ],
)
def test_the_database_wants_a_whole_entry(
    person: Element, worker: User, cell: Cell, changes: dict[str, Any], constraint: str
) -> None:
    facts = {
        "at": timezone.now(), "act": "look_up", "by": worker, "post": worker.posts.first(),
        "purpose": AccessPurpose.objects.get(code="visit"), "words": "走访", "people": [person.pk],
    }  # fmt: skip
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        ElementAccess.objects.create(**{**facts, **changes})


def test_only_supervisors_read_the_log(
    person: Element, worker: User, leader: User, supervisor: User, resident: User, outsider: User, cell: Cell
) -> None:
    access, _people = look_up(Wanted(**VISIT, cell=cell.code), by=worker)
    with pytest.raises(NotPermitted):
        look_up(Wanted(**VISIT, cell=cell.code), by=resident)
    assert {a.by for a in accesses_visible_to(supervisor)} >= {worker, resident}
    for user in (worker, leader, resident, outsider, User.objects.get(username="shift")):
        assert not accesses_visible_to(user).exists()
    street = Post.objects.create(
        district=cell.district, role="supervisor", name="街道督查员", unit=cell.street
    )
    elsewhere = Post.objects.create(
        district=cell.district, role="supervisor", name="别街督查员",
        unit=Cell.objects.exclude(street=cell.street).first().street,
    )  # fmt: skip
    for post, sees in ((street, True), (elsewhere, False)):
        holder = User.objects.create_user(post.name)
        post.holdings.create(user=holder, since=timezone.now())
        assert accesses_visible_to(holder).filter(pk=access.pk).exists() is sees


# --- erasing ------------------------------------------------------------------------------------------------------


def test_erasing_leaves_that_somebody_was_there(
    person: Element, worker: User, cell: Cell, supervisor: User
) -> None:
    access = erase_person(person.pk, by=worker, words="已迁出")
    assert not Person.objects.filter(pk=person.pk).exists()
    assert not GroupMembership.objects.filter(person=person.pk).exists()
    person.refresh_from_db()
    assert (person.cell_id, person.ended_at, person.changed_by) == (cell.pk, access.at, worker)
    assert ElementVersion.objects.filter(pgh_obj=person.pk).count() == 2
    assert (access.act, access.people, access.words) == ("erase", [person.pk], "已迁出")
    assert person.pk not in {row["id"] for row in masked_people(worker, cell=cell.code)}
    assert not standing_in([cell.pk]).filter(pk=person.pk).exists()
    with pytest.raises(NotFound):
        erase_person(person.pk, by=supervisor, words="再删")


# --- registering --------------------------------------------------------------------------------------------------


def test_a_person_is_registered_in_ones_own_area(
    register: Callable[..., Element], other_worker: User, supervisor: User
) -> None:
    before = Element.objects.count()
    for user in (other_worker, supervisor):
        with pytest.raises(NotPermitted):
            register(by=user)
    with pytest.raises(DomainError):
        register(groups=("alone", "nobles"))
    assert Element.objects.count() == before
