"""Proof of delivery: what became of the letters about a case, and which ones nobody acknowledges."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext as _

from fieldops.models import Event, Post, User, WorkOrder
from fieldops.rights import events_visible_to
from fieldops.status import Role

from .models import Escalation, Letter, LetterKind, Notification, Stage

WATCHERS = frozenset({Role.DISPATCHER, Role.SHIFT_LEADER, Role.SUPERVISOR, Role.LEADER})
MOST = 200


def delivery_of(event: Event) -> list[dict[str, Any]]:
    """Every fact of delivery of a case, in order: sent, received, seen, accepted, and what was done when not."""
    facts: list[dict[str, Any]] = []

    def tell(at: datetime | None, kind: str, label: str, post: Post, order: Any = None) -> None:
        if at is not None:
            facts.append(
                {
                    "at": at.isoformat(),
                    "kind": kind,
                    "label": label,
                    # A resident's post is named after the person.
                    "post": post.get_role_display() if post.role == Role.RESIDENT else post.name,
                    "order": str(order) if order else None,
                }
            )

    # A warning is told as the stage it stands for.
    letters = Letter.objects.filter(event=event).exclude(kind=LetterKind.UNDELIVERED)
    for letter in letters.select_related("mailbox__post"):
        post, order = letter.mailbox.post, letter.payload.get("order")
        what = letter.get_kind_display()
        tell(letter.created_at, "sent", _("Sent: %s") % what, post, order)
        tell(letter.received_at, "received", _("Stored on a device: %s") % what, post, order)
    for order in WorkOrder.objects.filter(event=event).select_related("post"):
        tell(order.seen_at, "seen", _("Opened"), order.post, order.pk)
        tell(order.taken_on_at, "accepted", _("Taken on by the handler"), order.post, order.pk)
    for row in Escalation.objects.filter(event=event).select_related("post"):
        what = row.get_kind_display()
        tell(row.raised_at, f"told_{row.stage}", f"{row.get_stage_display()}: {what}", row.post)
    sent = Notification.objects.filter(escalation__event=event, sent_at__isnull=False)
    for alert in sent.select_related("escalation__post"):
        tell(alert.sent_at, "alerted", _("Alerted by %s") % alert.adapter, alert.escalation.post)
    return sorted(facts, key=lambda fact: fact["at"])


def undelivered(person: User, posts: Sequence[Post]) -> list[dict[str, Any]]:
    """The letters of cases this person watches over that went to the dispatcher and are not acknowledged still.

    The oldest first, at most 200; empty for those who watch over nothing.
    """
    if not any(post.role in WATCHERS for post in posts):
        return []
    told = Escalation.objects.filter(mailbox=OuterRef("mailbox"), seq=OuterRef("seq"))
    open_orders = WorkOrder.objects.filter(taken_on_at__isnull=True, finished_at__isnull=True)
    letters = (
        Letter.objects.filter(
            Exists(told.filter(stage=Stage.DISPATCHER)),
            event__in=events_visible_to(person),
            received_at__isnull=True,
        )
        .filter(
            Q(kind=LetterKind.RECALL)
            | Q(payload__order__isnull=True)
            | Q(payload__order=None)
            | Exists(open_orders.filter(event=OuterRef("event"), post=OuterRef("mailbox")))
        )
        .annotate(at_supervisor=Exists(told.filter(stage=Stage.SUPERVISOR)))
        .select_related("event__event_class", "mailbox__post")
        .order_by("created_at")[:MOST]
    )
    return [
        {
            "event": str(letter.event_id),
            "number": letter.event.number,
            "class": letter.event.event_class.name,
            "letter": letter.get_kind_display(),
            "post": letter.mailbox.post.name,
            "sent_at": letter.created_at.isoformat(),
            "stage": Stage.SUPERVISOR if letter.at_supervisor else Stage.DISPATCHER,
        }
        for letter in letters
    ]
