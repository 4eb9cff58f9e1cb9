"""People of the population: masked for those who answer for their area; more only for a stated purpose, on record.

Nothing else reads `Person`. What is masked can be neither searched, sorted nor counted by: the masked list takes a
cell and nothing more, and tells nothing about special groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from fieldops.errors import (
    DomainError,
    ElementRefused,
    NotFound,
    NotPermitted,
    PointOutsideDistrict,
    ReasonMissing,
    UnknownPurpose,
)
from fieldops.lifecycle import Submission, has_words, now
from fieldops.models import AccessAct, AccessPurpose, ElementAccess, ElementAct, Post, User
from fieldops.places import place_of
from fieldops.rights import current_posts, in_area
from fieldops.status import Role
from gridmap.elements import lock_cells_at
from gridmap.models import Cell, Element, ElementKind, GroupMembership, Level, Person, SpecialGroup

from .keeping import begin_act, note_act

# Who goes to people's doors, and who watches over it.
PEOPLE_ROLES = frozenset({Role.GRID_WORKER, Role.SUPERVISOR})
AT_ONCE = 200


def people_posts(user: User) -> list[Post]:
    """The posts through which somebody may look at people."""
    return [post for post in current_posts(user) if post.role in PEOPLE_ROLES]


def _in_areas(posts: Sequence[Post]) -> QuerySet[Element]:
    allowed = Q(pk__in=[])
    for post in posts:
        allowed |= in_area(post.unit)
    return Element.objects.present().filter(allowed, kind=ElementKind.PERSON, person__isnull=False)


def masked_people(user: User, *, cell: str, after: UUID | None = None) -> list[dict[str, Any]]:
    """People of one's area in a cell: a key to ask by, and the family name. At most 200, those after a key.

    Raises NotPermitted when none of one's posts has to do with people.
    """
    posts = people_posts(user)
    if not posts:
        raise NotPermitted
    found = _in_areas(posts).filter(cell__code=cell).order_by("id")
    if after:
        found = found.filter(pk__gt=after)
    rows = found.values_list("pk", "cell__code", "person__name")[:AT_ONCE]
    return [{"id": pk, "cell": code, "name": masked_name(name)} for pk, code, name in rows]


def masked_name(name: str) -> str:
    """The first character, and two stars whatever the length of the rest."""
    return f"{name[:1]}**"


@dataclass(frozen=True)
class Wanted:
    """Whom somebody wants to see, and for what: a purpose of the district's list and their own words.

    `post` says through which of several posts; the first is meant when none is named.
    """

    purpose: str
    words: str
    cell: str = ""
    group: str = ""
    people: tuple[UUID, ...] = ()
    after: UUID | None = None
    post: int | None = None


def look_up(wanted: Wanted, *, by: User) -> tuple[ElementAccess, list[Person]]:
    """The people of one's area, unmasked, with their groups; at most 200, those after a key. Logged, also when refused.

    Raises NotPermitted, ReasonMissing without words, UnknownPurpose, ElementRefused without cell, group or people.
    """
    asked = {
        "cell": wanted.cell,
        "group": wanted.group,
        "people": [str(pk) for pk in wanted.people],
        "after": str(wanted.after) if wanted.after else None,
    }
    access = ElementAccess(
        at=now(),
        act=AccessAct.LOOK_UP,
        by=by,
        words=wanted.words,
        asked={name: value for name, value in asked.items() if value} | {"purpose": wanted.purpose},
    )
    with _on_record(access), transaction.atomic():
        post = _acting(access, people_posts(by), wanted.post)
        if not has_words(wanted.words):
            raise ReasonMissing
        access.purpose = AccessPurpose.objects.filter(
            district=post.district_id, code=wanted.purpose, active=True
        ).first()
        if access.purpose is None:
            raise UnknownPurpose(purpose=wanted.purpose)
        if not (wanted.cell or wanted.group or wanted.people):
            raise ElementRefused(reason="nobody_named")
        found = _in_areas([post])
        if wanted.cell:
            found = found.filter(cell__code=wanted.cell)
        if wanted.group:
            found = found.filter(person__groups__code=wanted.group)
        if wanted.people:
            found = found.filter(pk__in=wanted.people)
        if wanted.after:
            found = found.filter(pk__gt=wanted.after)
        people = list(
            Person.objects.filter(pk__in=found.order_by("id").values("pk")[:AT_ONCE])
            .select_related("element__cell")
            .defer("element__cell__boundary")
            .prefetch_related("groups")
            .order_by("pk")
        )
        access.people = [person.pk for person in people]
        access.save(force_insert=True)
    return access, people


class _on_record:
    """Writes down what was refused, after everything else of it was taken back."""

    def __init__(self, access: ElementAccess) -> None:
        self.access = access

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if isinstance(error, DomainError):
            self.access.refusal, self.access.people = error.code, []
            self.access.save(force_insert=True)


def _acting(access: ElementAccess, posts: Sequence[Post], named: int | None) -> Post:
    for post in posts:
        if named in (None, post.pk):
            access.post = post
            return post
    raise NotPermitted


@dataclass(frozen=True)
class NewPerson:
    """What is known of a person who has come to live in a cell; the position in its declared system."""

    name: str
    x: float
    y: float
    system: str
    accuracy_m: float | None = None
    phone: str = ""
    birth_year: int | None = None
    address: str = ""
    groups: tuple[str, ...] = ()


@transaction.atomic
def register_person(new: NewPerson, *, by: User, submission: Submission) -> Element:
    """Enter a person into one's own area, once for a key.

    Raises NotPermitted outside of it, ElementRefused for an unknown group, SubmissionConflict.
    """
    district, done = begin_act(submission, by=by)
    if done:
        return done
    point = place_of(new.x, new.y, new.system)
    [cell] = lock_cells_at([point], district=district)
    if cell is None:
        raise PointOutsideDistrict(x=new.x, y=new.y, system=new.system)
    element = Element(
        district=district, kind=ElementKind.PERSON, cell_id=cell, changed_by=by, changed_at=now()
    )
    groups = list(SpecialGroup.objects.filter(district=district, code__in=new.groups))
    if len(groups) != len(set(new.groups)):
        raise ElementRefused(reason="unknown_group")
    element.save(force_insert=True)
    person = Person.objects.create(
        element=element,
        district=district,
        name=new.name,
        phone=new.phone,
        birth_year=new.birth_year,
        address=new.address,
        point=point,
        x=new.x,
        y=new.y,
        system=new.system,
        accuracy_m=new.accuracy_m,
    )
    GroupMembership.objects.bulk_create(
        GroupMembership(person=person, group=group, district=district) for group in groups
    )
    return note_act(submission, ElementAct.ADD, element=element, by=by)


def erase_person(element_id: UUID, *, by: User, words: str) -> ElementAccess:
    """Delete all that is personal about somebody; that a person was in the cell, and until when, remains. Logged.

    For who moved away, died, or asks for it. Raises NotPermitted, NotFound outside one's area, ReasonMissing.
    """
    access = ElementAccess(
        at=now(), act=AccessAct.ERASE, by=by, words=words, asked={"people": [str(element_id)]}
    )
    with _on_record(access), transaction.atomic():
        posts = people_posts(by)
        _acting(access, posts, None)
        if not has_words(words):
            raise ReasonMissing
        element = _in_areas(posts).select_for_update(of=("self",)).filter(pk=element_id).first()
        if element is None:
            raise NotFound
        cell = Cell.objects.defer("boundary").get(pk=element.cell_id)
        access.post = next(post for post in posts if post.unit_id in cell.unit_ids)
        Person.objects.filter(pk=element.pk).delete()
        element.ended_at = element.changed_at = access.at
        element.changed_by = by
        element.save(update_fields=["ended_at", "changed_at", "changed_by"])
        access.people = [element.pk]
        access.save(force_insert=True)
    return access


def accesses_visible_to(user: User) -> QuerySet[ElementAccess]:
    """The log, for supervisors alone: of the posts in their area, and of those who acted without any."""
    allowed = Q(pk__in=[])
    for post in current_posts(user):
        if post.role == Role.SUPERVISOR:
            for steps in range(Level.PARTY_GROUP):
                allowed |= Q(**{f"post__unit{'__parent' * steps}": post.unit_id})
            its_people = Post.objects.filter(district=post.district_id, holders=OuterRef("by"))
            allowed |= Q(Exists(its_people), post__isnull=True)
    return ElementAccess.objects.filter(allowed).select_related("by", "post", "purpose")
