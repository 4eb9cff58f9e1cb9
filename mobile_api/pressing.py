"""Supervision and call-backs on phones: cards to answer, and what reporters say of the result."""

from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from config.fields import MomentField
from fieldops import logins
from fieldops.models import Rating
from fieldops.rights import current_posts
from fieldops.steps import satisfaction, supervision

from . import serializers as s
from .views import FieldView, Problem, _address, _read, _step, _submission


class AnswerIn(s.StepIn):
    """The answer to a card: when it was received, who was contacted, what is done, and until when."""

    note = None  # type: ignore[assignment]
    received_when = MomentField()
    contacted = s.TextField(max_length=200)
    measures = s.TextField(max_length=2000)
    new_deadline = MomentField(help_text="In the future.")


class AnswerOut(serializers.Serializer):
    """What was answered."""

    at = serializers.DateTimeField()
    by = serializers.CharField()
    received_when = serializers.DateTimeField()
    contacted = serializers.CharField()
    measures = serializers.CharField()
    new_deadline = serializers.DateTimeField()


class SupervisionOut(serializers.Serializer):
    """A card that one is asked to answer, or watches over."""

    id = serializers.UUIDField()
    event = serializers.UUIDField()
    number = serializers.CharField()
    vars()["class"] = serializers.CharField()
    card = serializers.CharField()
    card_label = serializers.CharField()
    level = serializers.IntegerField(allow_null=True)
    level_label = serializers.CharField(allow_null=True)
    post = serializers.CharField()
    by = serializers.CharField(allow_null=True)
    reason = serializers.CharField()
    asked_at = serializers.DateTimeField()
    answer_due_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)
    mine = serializers.BooleanField()
    answer = AnswerOut(allow_null=True)


class SupervisionsOut(serializers.Serializer):
    """The open cards, most urgent first."""

    supervisions = SupervisionOut(many=True)


class RatingIn(serializers.Serializer):
    """What a reporter says of the result; who is dissatisfied says why."""

    rating = s.NamedChoiceField(Rating.choices)
    resolved = serializers.BooleanField()
    reason = s.TextField(max_length=2000, allow_blank=True, default="")


class OwnRatingIn(RatingIn, s.StepIn):
    """The same, with the device's key of this step."""

    note = None  # type: ignore[assignment]


class CodeRatingIn(RatingIn):
    """The same, with the number of the case and the code of the receipt."""

    number = serializers.CharField(max_length=20)
    code = serializers.CharField(max_length=40)


class CallBackOut(serializers.Serializer):
    """A question about a closed case of one's own."""

    id = serializers.UUIDField()
    event = serializers.UUIDField(source="event_id")
    number = serializers.CharField(source="event.number")
    vars()["class"] = serializers.CharField(source="event.event_class.name")
    report = serializers.UUIDField(source="report_id")
    closed_at = serializers.DateTimeField()
    asked_at = serializers.DateTimeField()
    answer_until = serializers.DateTimeField()


class CallBacksOut(serializers.Serializer):
    """What one is asked, oldest first."""

    call_backs = CallBackOut(many=True)


class ThanksOut(serializers.Serializer):
    """The answer is kept."""

    reopened = serializers.BooleanField(help_text="The case goes to the dispatcher again.")
    recorded_at = serializers.DateTimeField()


class Supervisions(FieldView):
    """督办."""

    @extend_schema(responses={200: SupervisionsOut, **Problem})
    def get(self, request: Request) -> Response:
        """The open cards of one's posts, and of the area one watches over."""
        found = supervision.unanswered(self.person, current_posts(self.person))
        return Response(SupervisionsOut({"supervisions": found}).data)


class AnswerSupervision(FieldView):
    """督办答复."""

    @extend_schema(request=AnswerIn, responses={200: s.StepOut, **Problem})
    def post(self, request: Request, supervision_id: UUID) -> Response:
        """Answer a card of one's own post."""
        given, submission = _submission(request, AnswerIn, supervision_id, "answer")
        return _step(
            supervision.answer(
                supervision_id,
                by=self.person,
                submission=submission,
                received_when=given["received_when"],
                contacted=given["contacted"],
                measures=given["measures"],
                new_deadline=given["new_deadline"],
            )
        )


class CallBacks(FieldView):
    """回访."""

    @extend_schema(responses={200: CallBacksOut, **Problem})
    def get(self, request: Request) -> Response:
        """What one is asked about one's own reports."""
        return Response(CallBacksOut({"call_backs": satisfaction.own_call_backs(self.person)}).data)


class AnswerCallBack(FieldView):
    """满意度评价."""

    @extend_schema(request=OwnRatingIn, responses={200: s.StepOut, **Problem})
    def post(self, request: Request, call_back_id: UUID) -> Response:
        """Rate the result; dissatisfied and not resolved has the case reopened, once and in time."""
        given, submission = _submission(request, OwnRatingIn, call_back_id, "rate")
        return _step(
            satisfaction.rate(
                call_back_id,
                by=self.person,
                submission=submission,
                rating=given["rating"],
                resolved=given["resolved"],
                reason=given["reason"],
            )
        )


class AnswerByCode(APIView):
    """For who reported without a name."""

    authentication_classes: list[type[BaseAuthentication]] = []
    permission_classes = [AllowAny]

    @extend_schema(request=CodeRatingIn, responses={200: ThanksOut, **Problem})
    def post(self, request: Request) -> Response:
        """Rate the result with the code of the receipt; a wrong number and a wrong code are answered alike."""
        given: dict[str, Any] = _read(CodeRatingIn, request)
        if not logins.may_try(f"call-back:{given['number']}", _address(request)):
            raise exceptions.Throttled(wait=logins.WINDOW_SECONDS)
        step = satisfaction.rate_by_code(
            given["number"],
            given["code"],
            rating=given["rating"],
            resolved=given["resolved"],
            reason=given["reason"],
        )
        reopened = satisfaction.has_reopened(step)
        return Response(ThanksOut({"reopened": reopened, "recorded_at": timezone.now()}).data)
