"""Who may see and do what: role × grid subtree × department, decided by the posts a person holds now."""

from collections.abc import Collection, Iterable, Sequence

from django.contrib.auth.models import AnonymousUser
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from gridmap.models import CHAIN, Cell, Element, ElementKind, GridUnit, InForce, Level

from .errors import NotPermitted
from .models import Check, Event, Holding, Part, Post, Report, User, WorkOrder
from .status import MAX_RETURNS, TABLE, Role, Step

DESK_ROLES = frozenset(
    {Role.INTAKE_OPERATOR, Role.DISPATCHER, Role.SHIFT_LEADER, Role.SUPERVISOR, Role.LEADER}
)
AREA_ROLES = DESK_ROLES | {Role.GRID_WORKER, Role.STREET_CHIEF}
# Workers: who is on duty and where, who they are by name, and where they went in a whole shift.
WATCH_ROLES = DESK_ROLES | {Role.STREET_CHIEF}
NAME_ROLES = WATCH_ROLES - {Role.INTAKE_OPERATOR}
TRACK_ROLES = frozenset({Role.SHIFT_LEADER, Role.SUPERVISOR, Role.LEADER})


def current_posts(user: User | AnonymousUser) -> list[Post]:
    """The posts this person holds at this moment, with unit and department; one statement, then kept."""
    if not user.is_authenticated:
        return []
    if not hasattr(user, "_current_posts"):
        user._current_posts = posts_held_now([user.pk]).get(user.pk, [])
    return user._current_posts


def posts_held_now(people: Collection[int]) -> dict[int, list[Post]]:
    """The posts these people hold at this moment, each with unit and department; one statement for all of them.

    Read anew each time: for sockets, which outlive a change of posts. Deactivated accounts hold none.
    """
    now = timezone.now()
    held: dict[int, list[Post]] = {}
    found = (
        Holding.objects.filter(
            Q(until__isnull=True) | Q(until__gt=now), user__in=people, user__is_active=True, since__lte=now
        )
        .select_related("post__unit", "post__department", "post__district", "stands_in_for")
        .defer("post__unit__boundary")
        .order_by("post_id")
    )
    for holding in found:
        holding.post.stood_in_for = holding.stands_in_for
        held.setdefault(holding.user_id, []).append(holding.post)
    return held


def held_now(posts: QuerySet[Post], *, but: Collection[int] = ()) -> QuerySet[Post]:
    """Those of the posts that somebody holds at this moment, other than these people (keys of users)."""
    now = timezone.now()
    holdings = Holding.objects.filter(
        Q(until__isnull=True) | Q(until__gt=now), post=OuterRef("pk"), user__is_active=True, since__lte=now
    ).exclude(user__in=list(but))
    return posts.filter(Exists(holdings))


def in_area(unit: GridUnit, prefix: str = "") -> Q:
    """Cases whose cell lies in the unit's subtree; the cell, not the shape, says so."""
    if unit.level == Level.DISTRICT_COMMITTEE:
        return Q(**{f"{prefix}district_id": unit.district_id})
    return Q(**{f"{prefix}cell__{CHAIN[unit.level - 1]}": unit.pk})


def visible_to(posts: Iterable[Post], *, reporter: User | None = None) -> Q:
    """The condition on Event that a holder of these posts may see it."""
    allowed = Q(pk__in=[])
    for post in posts:
        if post.role in AREA_ROLES:
            allowed |= in_area(post.unit)
            if post.role == Role.GRID_WORKER:
                # Sent to look beyond the own area.
                asked = Check.objects.filter(post=post, done_at__isnull=True, ended_at__isnull=True)
                allowed |= Q(pk__in=asked.values("event"))
        elif post.role == Role.DEPARTMENT_HANDLER:
            called = WorkOrder.objects.filter(post=post, finished_at__isnull=True)
            allowed |= Q(department=post.department_id) & in_area(post.unit)
            allowed |= Q(pk__in=called.exclude(part=Part.LEAD).values("event"))
        elif post.role == Role.RESIDENT and reporter is not None:
            allowed |= Q(pk__in=Report.objects.filter(reporter=reporter).values("event"))
    return allowed


def view_of(posts: Iterable[Post], *, reporter: User) -> tuple[tuple[str, int, int, int, int], ...]:
    """What `visible_to` depends on: whoever has the same view sees the same cases, and may share what shows them."""
    return tuple(
        sorted(
            (
                post.role,
                post.unit_id,
                post.department_id or 0,
                # What a post is sent to, or called to assist in, it alone sees beyond its area.
                post.pk if post.role in (Role.GRID_WORKER, Role.DEPARTMENT_HANDLER) else 0,
                reporter.pk if post.role == Role.RESIDENT else 0,
            )
            for post in posts
        )
    )


def events_visible_to(user: User) -> QuerySet[Event]:
    """Every read of cases begins here."""
    return Event.objects.filter(visible_to(current_posts(user), reporter=user))


# What of the grid stands openly in the street; matters and situations are for those who answer for the area.
OPEN_KINDS = (ElementKind.PLACE, ElementKind.THING, ElementKind.ORGANISATION)


def elements_visible_to(user: User) -> QuerySet[Element]:
    """Every read of elements begins here: those that are there, in the areas of one's posts, never a person.

    A department's handlers see the components it manages, owns or maintains, and what stands openly in the street.
    Nobody sees people this way, for whatever purpose: they are `population`'s.
    """
    allowed = Q(pk__in=[])
    for post in current_posts(user):
        if post.role in AREA_ROLES:
            allowed |= in_area(post.unit)
        elif post.role == Role.DEPARTMENT_HANDLER:
            its = Q(kind__in=OPEN_KINDS)
            for relation in ("managing", "owning", "maintaining"):
                its |= Q(**{f"component__{relation}": post.department_id})
            allowed |= its & in_area(post.unit)
    return Element.objects.present().exclude(kind=ElementKind.PERSON).filter(allowed)


def cells_visible_to(user: User) -> InForce:
    """Every version of the cells that somebody answers for, those of the past included: for history."""
    allowed = Q(pk__in=[])
    for post in current_posts(user):
        if post.role in AREA_ROLES:
            allowed |= Q(**{CHAIN[post.unit.level - 1]: post.unit_id})
    return Cell.objects.filter(allowed)


def covers(post: Post, event: Event) -> bool:
    """Whether the case's cell lies in the post's area (reads `event.cell`)."""
    return post.district_id == event.district_id and post.unit_id in event.cell.unit_ids


def acting_post(user: User, step: Step, event: Event) -> Post:
    """The post through which this person may take this step on this case.

    Raises NotPermitted when none of their posts gives the right.
    """
    for post in current_posts(user):
        if _gives_right(post, step, event):
            return post
    raise NotPermitted(step=step.value)


def may(posts: Sequence[Post], step: Step, event: Event) -> bool:
    """Whether one of these posts could take this step on this case now."""
    return TABLE[step].follows(event.status, event.asked_for) and any(
        _gives_right(post, step, event) for post in posts
    )


def _gives_right(post: Post, step: Step, event: Event) -> bool:
    if post.role not in TABLE[step].roles:
        return False
    if step == Step.ANSWER:
        # The right is the card itself, wherever the case lies and whoever leads it.
        return True
    if not covers(post, event):
        return False
    if post.role == Role.DEPARTMENT_HANDLER:
        return post.department_id == event.department_id
    if step in (Step.CONFIRM, Step.REWORK):
        return post.role in _WORD_OF[event.checked_by]
    if step in (Step.VERIFY, Step.CHECK):
        # A worker's right is the task itself.
        return post.role != Role.GRID_WORKER
    if step == Step.WHISTLE:
        return post.unit.level >= Level.COMMUNITY
    if step == Step.ASSIGN and event.returns >= MAX_RETURNS:
        return post.unit.level == Level.DISTRICT_COMMITTEE
    return True


_DESK = frozenset({Role.DISPATCHER, Role.SHIFT_LEADER})
# Who may say so where a handled case awaits the word of this role.
_WORD_OF: dict[str, frozenset[Role]] = {
    "": frozenset({Role.STREET_CHIEF}),
    Role.STREET_CHIEF: frozenset({Role.STREET_CHIEF}),
    Role.GRID_WORKER: frozenset(),
    Role.DISPATCHER: _DESK,
    Role.SHIFT_LEADER: _DESK,
}


def posts_within(unit: GridUnit, prefix: str = "") -> Q:
    """Posts whose area lies in the unit's subtree; the cells in force say what lies below what."""
    if unit.level == Level.DISTRICT_COMMITTEE:
        return Q(**{f"{prefix}district_id": unit.district_id})
    cells = Cell.objects.in_force().filter(**{CHAIN[unit.level - 1]: unit.pk})
    within = Q(pk__in=[])
    for below in CHAIN[unit.level - 1 :]:
        within |= Q(**{f"{prefix}unit__in": cells.values(below)})
    return within


def workers_of(posts: Iterable[Post], roles: frozenset[Role], prefix: str = "") -> Q:
    """The condition on Post that a holder of these posts may know of its workers what `roles` are for."""
    allowed = Q(pk__in=[])
    for post in posts:
        if post.role in roles:
            allowed |= posts_within(post.unit, prefix)
    return allowed
