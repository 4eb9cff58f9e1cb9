"""Supervision, call-backs and replies at the command center: what the case panel offers, and the queues."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import uuid_utils.compat as uuid
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from config.fields import MomentField
from fieldops.lifecycle import Submission
from fieldops.models import Card, Event, Post, Rating, User
from fieldops.rights import may
from fieldops.status import Step
from fieldops.steps import replies, satisfaction, supervision

from .base import CommandView

LONGEST_NAMES = 200


class PressingIn(serializers.Serializer):
    """What these steps may be given; each takes its own part."""

    card = serializers.ChoiceField(Card.choices, required=False)
    supervision = serializers.UUIDField(required=False)
    received_when = MomentField(required=False)
    contacted = serializers.CharField(required=False, max_length=LONGEST_NAMES)
    measures = serializers.CharField(required=False, max_length=2000)
    new_deadline = MomentField(required=False)
    call_back = serializers.UUIDField(required=False)
    report = serializers.UUIDField(required=False)
    rating = serializers.ChoiceField(Rating.choices, required=False)
    resolved = serializers.BooleanField(required=False)


def _need(given: dict[str, Any], *names: str) -> dict[str, Any]:
    missing = [name for name in names if name not in given]
    if missing:
        raise serializers.ValidationError({name: [_("This field is required.")] for name in missing})
    return {name: given[name] for name in names}


def _supervise(event_id: UUID, by: User, given: dict[str, Any]) -> None:
    supervision.supervise(
        event_id,
        by=by,
        reason=given["reason"],
        post_id=given.get("post"),
        version=given.get("version"),
        **_need(given, "card"),
    )


def _answer(event_id: UUID, by: User, given: dict[str, Any]) -> None:
    facts = _need(given, "supervision", "received_when", "contacted", "measures", "new_deadline")
    supervision.answer(facts.pop("supervision"), by=by, submission=Submission(id=uuid.uuid7()), **facts)


def _rate(event_id: UUID, by: User, given: dict[str, Any]) -> None:
    facts = _need(given, "call_back", "rating", "resolved")
    satisfaction.rate_for(
        facts.pop("call_back"), by=by, reason=given["reason"], version=given.get("version"), **facts
    )


def _reply(event_id: UUID, by: User, given: dict[str, Any]) -> None:
    replies.reply(
        _need(given, "report")["report"], by=by, words=given["reason"], version=given.get("version")
    )


DO: dict[str, Callable[[UUID, User, dict[str, Any]], Any]] = {
    Step.SUPERVISE.value: _supervise,
    Step.ANSWER.value: _answer,
    Step.RATE.value: _rate,
    Step.REPLY.value: _reply,
}
YES_NO = [{"value": "true", "label": gettext_lazy("Yes")}, {"value": "false", "label": gettext_lazy("No")}]


def fields(step: Step, event: Event, posts: list[Post]) -> list[dict[str, Any]] | None:
    """The fields of one of these steps; None where there is nothing to take it about."""
    find = {
        Step.SUPERVISE: _to_supervise,
        Step.ANSWER: _to_answer,
        Step.RATE: _to_rate,
        Step.REPLY: _to_reply,
    }
    return find[step](event, posts)


def _field(name: str, label: Any, *, required: bool = True, **more: Any) -> dict[str, Any]:
    return {"name": name, "label": str(label), "required": required, **more}


def _choices(kind: Any) -> list[dict[str, Any]]:
    return [{"value": value, "label": str(label)} for value, label in kind.choices]


def _to_supervise(event: Event, posts: list[Post]) -> list[dict[str, Any]] | None:
    giver = next(post for post in posts if may([post], Step.SUPERVISE, event))
    able = supervision.addressees(event, of=giver)
    if not able:
        return None
    acts = _("has to act")
    told = [{"value": one.post.pk, "label": f"{one.post.name}（{one.level_label or acts}）"} for one in able]
    return [
        _field("card", _("Card"), choices=_choices(Card), value=Card.REMINDER.value),
        _field("post", _("Addressee"), choices=told, value=able[0].post.pk),
        _field("reason", _("Reason")),
    ]


def _to_answer(event: Event, posts: list[Post]) -> list[dict[str, Any]] | None:
    mine = [card for card in supervision.supervisions_of(event, posts) if card["mine"]]
    if not mine:
        return None
    cards = [{"value": card["id"], "label": f"{card['card_label']} → {card['post']}"} for card in mine]
    return [
        _field("supervision", _("Card"), choices=cards, value=cards[0]["value"]),
        _field("received_when", _("When was it received?"), kind="moment"),
        _field("contacted", _("Who was contacted?")),
        _field("measures", _("Measures"), kind="text"),
        _field("new_deadline", _("Done until"), kind="moment"),
    ]


def _to_rate(event: Event, posts: list[Post]) -> list[dict[str, Any]] | None:
    calls = [
        {"value": one["id"], "label": f"{one['reporter']}（{one['way_label']}）"}
        for one in satisfaction.call_backs_of(event)
        if one["way"] in satisfaction.BY_DESK and not one["answered_at"] and not one["timed_out_at"]
    ]
    if not calls:
        return None
    return [
        _field("call_back", _("Reporter"), choices=calls, value=calls[0]["value"]),
        _field("rating", _("Rating"), choices=_choices(Rating), value=None),
        _field("resolved", _("Resolved?"), choices=[{**one, "label": str(one["label"])} for one in YES_NO]),
        _field("reason", _("In the reporter's words; needed from whoever is dissatisfied"), required=False),
    ]


def _to_reply(event: Event, posts: list[Post]) -> list[dict[str, Any]] | None:
    waiting = [
        {
            "value": str(one.pk),
            "label": " ".join(filter(None, [one.get_channel_display(), one.external_number])),
        }
        for one in replies.owed_for(event)
    ]
    if not waiting:
        return None
    return [
        _field("report", _("Addressee"), choices=waiting, value=waiting[0]["value"]),
        _field("reason", _("What the reporter is told; it names nobody"), kind="text"),
    ]


class Supervisions(CommandView):
    """The cards that nobody has answered."""

    def get(self, request: Request) -> Response:
        """One's own first in time, and those of the area one watches over."""
        return Response({"supervisions": supervision.unanswered(self.person, self.posts)})


class CallBacks(CommandView):
    """Reporters to call."""

    def get(self, request: Request) -> Response:
        """The queue of the desks that call, most urgent first, contacts masked."""
        return Response({"call_backs": satisfaction.to_call(self.person, self.posts)})


class Replies(CommandView):
    """Reporters who are owed a reply."""

    def get(self, request: Request) -> Response:
        """What the viewer's desk owes, most urgent first, with how far each case is."""
        return Response({"replies": replies.owed_by(self.person, self.posts)})


class CallBackContact(CommandView):
    """Whom to call."""

    def post(self, request: Request, call_back_id: UUID) -> Response:
        """The name and number of a reporter: personal data, so asking for it leaves a record."""
        response = Response(satisfaction.contact_of(call_back_id, by=self.person))
        response["Cache-Control"] = "no-store"
        return response
