"""Exclusions (剔除): a case that does not count, because one person asked for it with a reason and another approved.

Only figures change, and only as of a moment after the approval; the case itself is never touched.
"""

from uuid import UUID

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils.translation import gettext_lazy as _

from fieldops.errors import Conflict, NotFound, NotPermitted, Unprocessable
from fieldops.lifecycle import has_words, lock_event, now
from fieldops.models import Event, Post, User
from fieldops.rights import covers, current_posts, events_visible_to
from fieldops.status import Role

from .models import Exclusion
from .tables import FIGURE_ROLES

DECIDING = frozenset({Role.SUPERVISOR, Role.LEADER})
MOST_SHOWN = 500


class AlreadyExcluded(Conflict):
    """It is asked for, or approved, already."""

    code = "already_excluded"
    title = _("This case is excluded already, or somebody asked for it")


class AlreadyDecided(Conflict):
    """Somebody was faster."""

    code = "exclusion_decided"
    title = _("This exclusion is decided already")


class OwnExclusion(NotPermitted):
    """Two pairs of eyes."""

    code = "own_exclusion"
    title = _("Another person decides what you asked for")


class ReasonNeeded(Unprocessable):
    """A figure that changed has to say why."""

    code = "reason_missing"
    title = _("Say why")


@transaction.atomic
def ask(event_id: UUID, *, by: User, reason: str) -> Exclusion:
    """Ask that a case does not count.

    Raises NotFound, NotPermitted, ReasonNeeded, AlreadyExcluded.
    """
    event = lock_event(events_visible_to(by), event_id)
    _check_role(by, event, FIGURE_ROLES)
    if not has_words(reason):
        raise ReasonNeeded
    if event.exclusions.exclude(approved=False).exists():
        raise AlreadyExcluded
    return Exclusion.objects.create(event=event, reason=reason.strip(), asked_by=by, asked_at=now())


@transaction.atomic
def decide(exclusion_id: int, *, by: User, approved: bool, note: str = "") -> Exclusion:
    """Approve or refuse what another person asked for; a refusal says why.

    Raises NotFound, NotPermitted, OwnExclusion, ReasonNeeded, AlreadyDecided.
    """
    found = visible_to(by).filter(pk=exclusion_id).select_for_update(of=("self",)).first()
    if found is None:
        raise NotFound
    _check_role(by, found.event, DECIDING)
    if found.approved is not None:
        raise AlreadyDecided
    if found.asked_by_id == by.pk:
        raise OwnExclusion
    if not approved and not has_words(note):
        raise ReasonNeeded
    found.approved, found.decided_by, found.decided_at, found.note = approved, by, now(), note.strip()
    found.save(update_fields=["approved", "decided_by", "decided_at", "note"])
    return found


def visible_to(person: User) -> QuerySet[Exclusion]:
    """Those of the cases that this person may see, open ones first, with who asked and who decided."""
    events = events_visible_to(person)
    found = Exclusion.objects.filter(event__in=events.values("pk")).defer("event__cell__boundary")
    found = found.select_related("event__cell", "event__event_class", "asked_by", "decided_by")
    return found.order_by(F("decided_at").desc(nulls_first=True), "-asked_at")


def decidable_by(person: User, posts: list[Post], exclusion: Exclusion) -> bool:
    """Whether this person decides it, by one of these posts."""
    return (
        exclusion.approved is None
        and exclusion.asked_by_id != person.pk
        and any(post.role in DECIDING and covers(post, exclusion.event) for post in posts)
    )


def _check_role(person: User, event: Event, roles: frozenset[Role]) -> None:
    if not any(post.role in roles and covers(post, event) for post in current_posts(person)):
        raise NotPermitted
