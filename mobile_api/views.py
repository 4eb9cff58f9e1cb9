"""The HTTP API of field devices: thin views around the use cases."""

from typing import Any
from uuid import UUID

from django.contrib.auth import authenticate
from django.contrib.auth.signals import user_logged_in
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from knox.models import AuthToken
from knox.settings import knox_settings
from rest_framework import exceptions, status
from rest_framework.authentication import BaseAuthentication
from rest_framework.parsers import MultiPartParser
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import UserRateThrottle
from rest_framework.views import APIView

from fieldops import logins, queries
from fieldops.errors import NotFound, NotPermitted
from fieldops.intake import Draft, Receipt, channel_for, receive
from fieldops.lifecycle import Submission
from fieldops.models import Event, EventClass, Report, Transition, User
from fieldops.photos import store_photo
from fieldops.responsibility.assignment import explain
from fieldops.rights import current_posts, events_visible_to
from fieldops.status import Role, Status
from fieldops.steps import approvals, fieldwork, followup, joint, satisfaction
from realtime import mail, positions, shifts, tickets
from realtime.models import Shift, TrackPolicy

from . import serializers as s

Problem = {"default": s.ProblemOut}


class FieldView(APIView):
    """Someone with a token who holds at least one post."""

    throttle_classes = [UserRateThrottle]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse accounts without a post."""
        super().initial(request, *args, **kwargs)
        if not isinstance(request.user, User) or not current_posts(request.user):
            raise NotPermitted
        self.person = request.user


def _read(kind: type[Any], request: Request) -> dict[str, Any]:
    given = kind(data=request.data)
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)


def _address(request: Request) -> str:
    return str(UserRateThrottle().get_ident(request))


class Login(APIView):
    """Change a password for a token."""

    authentication_classes: list[type[BaseAuthentication]] = []
    permission_classes = [AllowAny]

    def get_authenticate_header(self, request: Request) -> str:
        """Makes a failed log-in a 401."""
        return "Token"

    @extend_schema(request=s.LoginIn, responses={200: s.LoginOut, **Problem})
    def post(self, request: Request) -> Response:
        """Log in; the token goes into `Authorization: Token …`."""
        given = _read(s.LoginIn, request)
        if not logins.may_try(given["username"], _address(request)):
            raise exceptions.Throttled(wait=logins.WINDOW_SECONDS)
        user = authenticate(request, username=given["username"], password=given["password"])
        if not isinstance(user, User):
            raise exceptions.AuthenticationFailed(_("User name or password is wrong."), code="login_failed")
        instance, token = _new_token(user)
        user_logged_in.send(sender=User, request=request, user=user)
        return Response(s.LoginOut({"token": token, "expires_at": instance.expiry, "user": _me(user)}).data)


@transaction.atomic
def _new_token(user: User) -> tuple[AuthToken, str]:
    """A token; the oldest beyond the limit go, so that a lost phone never bars the way to a new one."""
    User.objects.select_for_update().get(pk=user.pk)
    kept = AuthToken.objects.filter(user=user).order_by("-created")
    surplus = kept[knox_settings.TOKEN_LIMIT_PER_USER - 1 :]
    AuthToken.objects.filter(pk__in=[token.pk for token in surplus]).delete()
    created: tuple[AuthToken, str] = AuthToken.objects.create(user)
    return created


class Logout(APIView):
    """Give a token back, also when one's posts have ended."""

    @extend_schema(request=None, responses={204: None, **Problem})
    def post(self, request: Request) -> Response:
        """Forget the token this request came with."""
        request.auth.delete()
        return Response(status=status.HTTP_204_NO_CONTENT)


def _me(user: User) -> dict[str, Any]:
    return {"id": user.pk, "name": str(user), "posts": current_posts(user)}


class Me(FieldView):
    """Who one is."""

    @extend_schema(responses={200: s.MeOut, **Problem})
    def get(self, request: Request) -> Response:
        """Name and posts; the id of a post is the id of its mailbox."""
        return Response(s.MeOut(_me(self.person)).data)


class Catalogue(FieldView):
    """The event classes in force."""

    @extend_schema(responses={200: s.CatalogueOut(many=True), **Problem})
    def get(self, request: Request) -> Response:
        """All classes with their filing conditions; answers with an ETag."""
        edition = current_posts(self.person)[0].district.class_edition
        classes = EventClass.objects.filter(edition=edition).prefetch_related("conditions")
        rows = [
            {
                "key": c.key,
                "kind": c.kind,
                "major_name": c.major_name,
                "name": c.name,
                "conditions": list(c.conditions.all()),
            }
            for c in classes
        ]
        return Response(s.CatalogueOut(rows, many=True).data)


class Reports(FieldView):
    """The door for reports."""

    @extend_schema(request=s.ReportIn, responses={201: s.ReportOut, 200: s.ReportOut, **Problem})
    def post(self, request: Request) -> Response:
        """File a report: 201 when stored now, 200 with the stored result when it had come before."""
        given = _read(s.ReportIn, request)
        post, channel = channel_for(current_posts(self.person), given.get("channel", ""))
        contact = given.get("contact") or {}
        receipt = receive(
            Draft(
                id=given["id"],
                digest=s.digest_of(given),
                reporter=self.person,
                post=post,
                channel=channel,
                class_key=given["class"],
                condition_id=given.get("condition"),
                component=given.get("component", ""),
                self_handled=given.get("self_handled", False),
                description=given["description"],
                x=given["x"],
                y=given["y"],
                system=given["system"],
                accuracy_m=given.get("accuracy_m"),
                device_time=given.get("reported_at"),
                external_number=given.get("external_number", ""),
                matter=given.get("matter", ""),
                contact_name=contact.get("name", ""),
                contact_phone=contact.get("phone", ""),
            )
        )
        made = status.HTTP_200_OK if receipt.replayed else status.HTTP_201_CREATED
        return Response(s.ReportOut(_receipt(receipt)).data, status=made)


def _case(event: Event) -> dict[str, Any]:
    return {
        "id": event.pk,
        "number": event.number,
        "status": event.status,
        "status_label": str(Status(event.status).label),
        "version": event.version,
        "due_at": event.due_at,
    }


def _receipt(receipt: Receipt) -> dict[str, Any]:
    event = receipt.event
    return {
        "id": receipt.report.pk,
        "event": _case(event),
        "merged_into": _case(event.merged_into) if event.merged_into else None,
        "cell": event.cell.code,
        "levels": queries.levels_of(event.cell),
        "department": event.department.name if event.department else None,
        "why": explain(event.responsibility),
        "received_at": receipt.report.received_at,
        "call_back_code": satisfaction.code_for_receipt(receipt.report),
    }


class ReportDetail(FieldView):
    """The reporter's own view of what became of a report."""

    @extend_schema(responses={200: s.ReportOut, **Problem})
    def get(self, request: Request, report_id: UUID) -> Response:
        """One's own report."""
        report = (
            Report.objects.filter(pk=report_id, reporter=self.person)
            .select_related("event__cell", "event__department", "event__event_class", "event__merged_into")
            .first()
        )
        if report is None:
            raise NotFound
        return Response(s.ReportOut(_receipt(Receipt(report.event, report, replayed=True))).data)


class Work(FieldView):
    """What waits for one."""

    @extend_schema(responses={200: s.WorkOut, **Problem})
    def get(self, request: Request) -> Response:
        """Open work orders of one's posts, and for street chiefs what to confirm on site."""
        posts = current_posts(self.person)
        chiefs = [post for post in posts if post.role == Role.STREET_CHIEF]
        found = {
            "as_of": timezone.now(),
            "orders": queries.open_work([p for p in posts if p.role == Role.DEPARTMENT_HANDLER]),
            "checks": queries.open_checks([p for p in posts if p.role == Role.GRID_WORKER]),
            "confirmations": queries.waiting_for_confirmation(events_visible_to(self.person), chiefs=chiefs)
            if chiefs
            else [],
        }
        return Response(s.WorkOut(found).data)


class Seen(FieldView):
    """A work order was opened."""

    @extend_schema(request=None, responses={200: s.SeenOut, **Problem})
    def post(self, request: Request, order_id: UUID) -> Response:
        """Only the first time counts."""
        return Response(s.SeenOut(fieldwork.note_seen(order_id, by=self.person)).data)


def _submission(
    request: Request, kind: type[s.StepIn], about: UUID, step: str
) -> tuple[dict[str, Any], Submission]:
    given = _read(kind, request)
    digest = s.digest_of({**given, "about": about, "step": step})
    return given, Submission(id=given["id"], digest=digest, device_time=given.get("at"))


def _step(step: Transition) -> Response:
    return Response(s.StepOut(step).data)


def _fix(given: dict[str, Any]) -> followup.Fix | None:
    if "x" not in given:
        return None
    return followup.Fix(given["x"], given["y"], given["system"], given.get("accuracy_m"))


class TakeOn(FieldView):
    """接单."""

    @extend_schema(request=s.StepIn, responses={200: s.StepOut, **Problem})
    def post(self, request: Request, order_id: UUID) -> Response:
        """Take a work order on."""
        _given, submission = _submission(request, s.StepIn, order_id, "take_on")
        return _step(fieldwork.take_on(order_id, by=self.person, submission=submission))


class Handled(FieldView):
    """处置完成."""

    @extend_schema(request=s.StepIn, responses={200: s.StepOut, **Problem})
    def post(self, request: Request, order_id: UUID) -> Response:
        """Say that it is handled; at least one photo with this step's id as `submission` must have arrived."""
        given, submission = _submission(request, s.StepIn, order_id, "handle")
        return _step(fieldwork.handle(order_id, by=self.person, submission=submission, note=given["note"]))


class SendBack(FieldView):
    """回退."""

    @extend_schema(request=s.SendBackIn, responses={200: s.StepOut, **Problem})
    def post(self, request: Request, order_id: UUID) -> Response:
        """Send a work order back as not one's responsibility, with the reason."""
        given, submission = _submission(request, s.SendBackIn, order_id, "send_back")
        return _step(
            fieldwork.send_back(order_id, by=self.person, submission=submission, reason=given["note"])
        )


class AskExtension(FieldView):
    """申请延期."""

    @extend_schema(request=s.SendBackIn, responses={200: s.StepOut, **Problem})
    def post(self, request: Request, order_id: UUID) -> Response:
        """Ask for one original limit more, with the reason; a shift leader decides."""
        given, submission = _submission(request, s.SendBackIn, order_id, "ask_extension")
        return _step(
            approvals.ask_extension(order_id, by=self.person, submission=submission, reason=given["note"])
        )


class AskDeferral(FieldView):
    """申请挂账."""

    @extend_schema(request=s.DeferralIn, responses={200: s.StepOut, **Problem})
    def post(self, request: Request, order_id: UUID) -> Response:
        """Ask to let the work rest until a time within a year, with the reason; a shift leader decides."""
        given, submission = _submission(request, s.DeferralIn, order_id, "ask_deferral")
        return _step(
            approvals.ask_deferral(
                order_id,
                by=self.person,
                submission=submission,
                reason=given["note"],
                until=given["until"],
            )
        )


class Resume(FieldView):
    """恢复办理."""

    @extend_schema(request=s.StepIn, responses={200: s.StepOut, **Problem})
    def post(self, request: Request, order_id: UUID) -> Response:
        """Go on with deferred work before its day; the clock goes on where it stood."""
        given, submission = _submission(request, s.StepIn, order_id, "resume")
        return _step(
            approvals.resume_order(order_id, by=self.person, submission=submission, note=given["note"])
        )


class Confirm(FieldView):
    """现场确认."""

    @extend_schema(request=s.ConfirmIn, responses={200: s.StepOut, **Problem})
    def post(self, request: Request, event_id: UUID) -> Response:
        """The street chief's word from the spot; not resolved sends it back for rework and wants a note."""
        given, submission = _submission(request, s.ConfirmIn, event_id, "confirm")
        step = followup.confirm(
            event_id,
            by=self.person,
            resolved=given["resolved"],
            submission=submission,
            note=given["note"],
            fix=_fix(given),
        )
        return _step(step)


class CheckDone(FieldView):
    """核实、核查反馈."""

    @extend_schema(request=s.CheckIn, responses={200: s.StepOut, **Problem})
    def post(self, request: Request, check_id: UUID) -> Response:
        """What was found on site; a photo with this step's id as `submission` must have arrived."""
        given, submission = _submission(request, s.CheckIn, check_id, "check")
        step = followup.report_check(
            check_id,
            by=self.person,
            found=given["found"],
            submission=submission,
            note=given["note"],
            fix=_fix(given),
        )
        return _step(step)


class Arrived(FieldView):
    """到场."""

    @extend_schema(request=s.ArriveIn, responses={200: s.StepOut, **Problem})
    def post(self, request: Request, order_id: UUID) -> Response:
        """A department that was whistled for is on the spot."""
        given, submission = _submission(request, s.ArriveIn, order_id, "arrive")
        fix = followup.Fix(given["x"], given["y"], given["system"], given.get("accuracy_m"))
        return _step(fieldwork.arrive(order_id, by=self.person, submission=submission, fix=fix))


class SelfHandled(FieldView):
    """自行处置."""

    @extend_schema(request=s.SelfHandledIn, responses={200: s.StepOut, **Problem})
    def post(self, request: Request, event_id: UUID) -> Response:
        """Put right by its reporter: a photo of the report (before) and one of this step (after) must have arrived."""
        given, submission = _submission(request, s.SelfHandledIn, event_id, "self_handle")
        step = fieldwork.handle_on_the_spot(
            event_id,
            by=self.person,
            submission=submission,
            condition_id=given.get("condition"),
            note=given["note"],
        )
        return _step(step)


class Whistle(FieldView):
    """吹哨."""

    @extend_schema(responses={200: s.DepartmentOut(many=True), **Problem})
    def get(self, request: Request, event_id: UUID) -> Response:
        """The departments that can be called: they serve the place and have no order of the case."""
        return Response(s.DepartmentOut(joint.able_to_come(event_id, by=self.person), many=True).data)

    @extend_schema(request=s.WhistleIn, responses={200: s.StepOut, **Problem})
    def post(self, request: Request, event_id: UUID) -> Response:
        """Call departments to the spot."""
        given, submission = _submission(request, s.WhistleIn, event_id, "whistle")
        step = joint.whistle(
            event_id,
            by=self.person,
            department_ids=given["departments"],
            reason=given["note"],
            submission=submission,
        )
        return _step(step)


class Photos(FieldView):
    """Photos come apart from the record they belong to."""

    parser_classes = [MultiPartParser]

    @extend_schema(request=s.PhotoIn, responses={201: s.PhotoOut, **Problem})
    def post(self, request: Request) -> Response:
        """Store a photo; JPEG, PNG or WebP up to 12 MB."""
        given = _read(s.PhotoIn, request)
        photo = store_photo(
            given["id"],
            by=self.person,
            submission=given["submission"],
            upload=given["file"],
            sha256=given["sha256"],
            device_time=given.get("taken_at"),
        )
        return Response(s.PhotoOut(photo).data, status=status.HTTP_201_CREATED)


def _shift(person: User, shift: Shift | None) -> Response:
    district = current_posts(person)[0].district_id
    policy = TrackPolicy.objects.filter(district=district).first() or TrackPolicy()
    return Response(
        s.ShiftStateOut({"shift": shift, "keep_days": policy.keep_days, "server_time": timezone.now()}).data
    )


class CurrentShift(FieldView):
    """On duty or not."""

    @extend_schema(responses={200: s.ShiftStateOut, **Problem})
    def get(self, request: Request) -> Response:
        """The shift one is on, or null; positions are kept only within a shift, for `keep_days` days."""
        return _shift(self.person, shifts.current_shift(self.person))


class ShiftStart(FieldView):
    """上岗."""

    @extend_schema(request=s.ShiftStartIn, responses={200: s.ShiftStateOut, **Problem})
    def post(self, request: Request) -> Response:
        """Clock in; from now on positions are taken."""
        given = _read(s.ShiftStartIn, request)
        return _shift(self.person, shifts.clock_in(given["id"], by=self.person, post_id=given.get("post")))


class ShiftEnd(FieldView):
    """下岗."""

    @extend_schema(request=s.ShiftEndIn, responses={200: s.ShiftStateOut, **Problem})
    def post(self, request: Request) -> Response:
        """Clock out; from now on positions are refused."""
        given = _read(s.ShiftEndIn, request)
        return _shift(self.person, shifts.clock_out(by=self.person, shift_id=given.get("id")))


class Positions(FieldView):
    """Where one is, or was, while on duty."""

    @extend_schema(request=s.PositionsIn, responses={200: s.PositionsOut, **Problem})
    def post(self, request: Request) -> Response:
        """Up to 200 fixes, newest first; each is answered for itself, and none waits for another."""
        given = _read(s.PositionsIn, request)
        fixes = given["positions"]
        [codes] = positions.take([positions.Sent(self.person.pk, given["device"], fixes)])
        return Response(positions.answer(fixes, codes))


class Ticket(FieldView):
    """A ticket for one socket."""

    @extend_schema(request=None, responses={200: s.TicketOut, **Problem})
    def post(self, request: Request) -> Response:
        """Good once, for a few seconds, at /ws/field?ticket=…"""
        ticket = tickets.issue_ticket(self.person, request.auth)
        return Response(s.TicketOut({"ticket": ticket, "expires_in": tickets.SECONDS}).data)


def _own_mailbox(person: User, mailbox: int) -> int:
    posts = [post for post in current_posts(person) if post.pk == mailbox]
    if not posts:
        raise NotFound
    mail.open_mailboxes(posts)
    return mailbox


class Sync(FieldView):
    """For a phone that can hold no socket: the same letters over HTTP."""

    @extend_schema(
        parameters=[
            OpenApiParameter("mailbox", int, required=True),
            OpenApiParameter("epoch", UUID),
            OpenApiParameter("cursor", int),
        ],
        responses={200: s.SyncOut, **Problem},
    )
    def get(self, request: Request) -> Response:
        """The letters after the cursor, at most a window of them."""
        given = s.SyncIn(data=request.query_params)
        given.is_valid(raise_exception=True)
        data = given.validated_data
        box = _own_mailbox(self.person, data["mailbox"])
        found = mail.read_letters(box, epoch=data.get("epoch"), cursor=data["cursor"])
        return Response(s.SyncOut(found).data)


class Ack(FieldView):
    """Stored durably on the device."""

    @extend_schema(request=s.AckIn, responses={200: s.AckOut, **Problem})
    def post(self, request: Request) -> Response:
        """Acknowledge everything up to and with `seq`."""
        given = _read(s.AckIn, request)
        box = _own_mailbox(self.person, given["mailbox"])
        acked = mail.acknowledge(box, device=given["device"], epoch=given["epoch"], seq=given["seq"])
        return Response(s.AckOut({"mailbox": box, "acked_seq": acked}).data)
