"""回复: those who reported through a desk (12345, netizens, walk-ins) are told what came of it, within a limit."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from fieldops.duplicates import reports_of
from fieldops.errors import AlreadyReplied, NotFound
from fieldops.lifecycle import Actor, lock_event, now, record, take_step
from fieldops.models import Event, Post, Report, User
from fieldops.rights import acting_post, events_visible_to
from fieldops.status import TABLE, Status, Step

MOST = 200


@transaction.atomic
def reply(report_id: UUID, *, by: User, words: str, version: int | None = None) -> Event:
    """Write down what a reporter was told; it stands in the history, so it names nobody.

    Raises NotFound where no reply is owed, NotPermitted, ReasonMissing, AlreadyReplied.
    """
    found = Report.objects.filter(pk=report_id, reply_due_at__isnull=False).select_related("event").first()
    if found is None:
        raise NotFound
    event = lock_event(events_visible_to(by), found.event.merged_into_id or found.event_id, version=version)
    actor = Actor(by, acting_post(by, Step.REPLY, event))
    at = now()
    if not Report.objects.filter(pk=report_id, replied_at__isnull=True).update(replied_at=at):
        raise AlreadyReplied
    data = {"report": str(report_id), "external_number": found.external_number}
    record(event, [take_step(event, Step.REPLY, actor=actor, at=at, reason=words, data=data)])
    return event


def owed() -> QuerySet[Report]:
    """The reports that wait for a reply, most urgent first."""
    return Report.objects.filter(reply_due_at__isnull=False, replied_at__isnull=True).order_by("reply_due_at")


def may_reply(posts: Sequence[Post]) -> bool:
    """Whether one of these posts replies to reporters."""
    return any(post.role in TABLE[Step.REPLY].roles for post in posts)


def owed_by(person: User, posts: Sequence[Post]) -> list[dict[str, Any]]:
    """The replies this desk owes, most urgent first, with how far each case is; at most 200. One statement."""
    if not may_reply(posts):
        return []
    found = owed().filter(event__in=events_visible_to(person))
    found = found.select_related("event__event_class", "event__merged_into__event_class")
    return [_told(one) for one in found[:MOST]]


def owed_for(event: Event) -> list[Report]:
    """The reports of one case, and of those that joined it, that wait for a reply."""
    return list(owed().filter(pk__in=reports_of(event).values("pk"))) if event.merged_into_id is None else []


def _told(one: Report) -> dict[str, Any]:
    event = one.event.merged_into or one.event
    return {
        "id": str(one.pk),
        "event": str(event.pk),
        "number": event.number,
        "class": event.event_class.name,
        "status": event.status,
        "status_label": str(Status(event.status).label),
        "channel_label": one.get_channel_display(),
        "external_number": one.external_number,
        "matter": one.matter,
        "matter_label": one.get_matter_display(),
        "reply_due_at": one.reply_due_at.isoformat() if one.reply_due_at else None,
    }
