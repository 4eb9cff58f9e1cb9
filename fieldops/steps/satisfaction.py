"""回访: everyone who reported a closed case is asked; who is dissatisfied has it reopened, once.

In the app, by telephone from a desk, or, where nobody left a number, by the code that came with the receipt.
"""

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.utils.crypto import constant_time_compare, salted_hmac

from fieldops.clocks.cases import stop_clock
from fieldops.duplicates import reports_of
from fieldops.errors import AlreadyAnswered, CallBackOver, NotFound, ReasonMissing
from fieldops.lifecycle import (
    SYSTEM,
    Actor,
    Submission,
    has_words,
    lock_event,
    now,
    record,
    replayed,
    take_step,
)
from fieldops.models import (
    CallBack,
    CallBackPolicy,
    Channel,
    ContactAccess,
    Event,
    Post,
    Rating,
    Report,
    Transition,
    User,
    Way,
)
from fieldops.rights import acting_post, events_visible_to
from fieldops.status import TABLE, Status, Step
from gridmap.models import District

from .anew import begin_anew
from .checks import HAD_THE_WORD
from .moving import CHANGED

APPS = (Channel.RESIDENT_APP, Channel.FIELD_APP)
BY_DESK = (Way.DESK, Way.CODE)
CODE_BYTES = 10  # 80 bits: nobody guesses them through a door that counts
AT_ONCE = 500
MOST = 200


# --- asking ---------------------------------------------------------------------------------------------


def not_asked_yet(*, at: datetime) -> list[UUID]:
    """Closed cases, of the time in which an answer is waited for, about which their reporters were not asked."""
    closing = Transition.objects.filter(event=OuterRef("pk"), to_status=Status.CLOSED).exclude(
        from_status=Status.CLOSED
    )
    found: list[UUID] = []
    for district in District.objects.all():
        events = (
            Event.objects.filter(
                district=district, status=Status.CLOSED, updated_at__gte=at - policy_of(district.pk).waits
            )
            .annotate(closed_by=Subquery(closing.order_by("-version").values("version")[:1]))
            .filter(
                ~Exists(CallBack.objects.filter(event=OuterRef("pk"), closing_version=OuterRef("closed_by")))
            )
        )
        found += events.order_by("updated_at").values_list("pk", flat=True)[:AT_ONCE]
    return found


@transaction.atomic
def ask_back(event_id: UUID, *, at: datetime | None = None) -> int:
    """Ask every reporter of a closed case, each once for this closing; returns how many are asked now."""
    event = lock_event(Event.objects.all(), event_id)
    closing = _closing(event)
    if event.status != Status.CLOSED or closing is None:
        return 0
    at = at or now()
    # Who reported it more than once is asked once, for the first report.
    reporters: dict[object, Report] = {}
    for report in reports_of(event):
        reporters.setdefault(_reporter_of(report), report)
    asked = [
        CallBack(
            event=event,
            report=report,
            closing_version=closing.version,
            way=way_to(report),
            closed_at=closing.recorded_at,
            asked_at=at,
            answer_until=at + policy_of(event.district_id).waits,
        )
        for report in reporters.values()
    ]
    CallBack.objects.bulk_create(asked, ignore_conflicts=True)
    ours = CallBack.objects.filter(pk__in=[one.pk for one in asked]).count()
    if ours:
        data = {"ways": sorted({str(one.way) for one in asked}), "asked": ours}
        record(event, [take_step(event, Step.ASK_BACK, actor=SYSTEM, at=at, data=data)])
    return ours


def way_to(report: Report) -> Way:
    """How the reporter can be reached."""
    if report.channel in APPS:
        return Way.APP
    return Way.DESK if report.contact_phone else Way.CODE


def _reporter_of(report: Report) -> tuple[Way, object]:
    """Whom a call-back about this report reaches: one with a code is somebody of their own."""
    way = way_to(report)
    return way, {Way.APP: report.reporter_id, Way.DESK: report.contact_phone, Way.CODE: report.pk}[way]


def time_out(*, at: datetime) -> int:
    """End the call-backs that nobody answered; returns how many."""
    waiting = CallBack.objects.filter(
        answer_until__lte=at, answered_at__isnull=True, timed_out_at__isnull=True
    )
    return waiting.update(timed_out_at=at)


def policy_of(district: str) -> CallBackPolicy:
    """The district's policy, or the defaults."""
    return CallBackPolicy.objects.filter(pk=district).first() or CallBackPolicy(district_id=district)


def _closing(event: Event) -> Transition | None:
    steps = event.transitions.filter(to_status=Status.CLOSED).exclude(from_status=Status.CLOSED)
    return steps.order_by("-version").first()


# --- answering ------------------------------------------------------------------------------------------


@transaction.atomic
def rate(
    call_back_id: UUID, *, by: User, rating: str, resolved: bool, reason: str = "", submission: Submission
) -> Transition:
    """The reporter's own word, in the app. Raises NotFound for somebody else's, AlreadyAnswered, CallBackOver."""
    asked = CallBack.objects.filter(pk=call_back_id, report__reporter=by, way=Way.APP).first()
    if asked is None:
        raise NotFound
    done = replayed(submission, asked.event_id, by=by)
    event = lock_event(Event.objects.all(), asked.event_id)
    done = done or replayed(submission, asked.event_id, by=by)
    if done:
        return done
    post = asked.report.post
    return _take_down(event, call_back_id, Actor(by, post), rating, resolved, reason, submission)


@transaction.atomic
def rate_for(
    call_back_id: UUID,
    *,
    by: User,
    rating: str,
    resolved: bool,
    reason: str = "",
    version: int | None = None,
) -> Event:
    """A desk writes down what a reporter without an app said, by telephone or at the counter."""
    asked = CallBack.objects.filter(pk=call_back_id, way__in=BY_DESK).first()
    if asked is None:
        raise NotFound
    event = lock_event(events_visible_to(by), asked.event_id, version=version)
    actor = Actor(by, acting_post(by, Step.RATE, event))
    _take_down(event, call_back_id, actor, rating, resolved, reason)
    return event


@transaction.atomic
def rate_by_code(number: str, code: str, *, rating: str, resolved: bool, reason: str = "") -> Transition:
    """An anonymous reporter's word. A wrong code, another case's and an unknown case are all the same NotFound."""
    given = "".join(code.split()).replace("-", "").upper()
    meant = None
    # Every candidate is compared, so that the time tells nothing; the newest closing is meant.
    told = Q(event__number=number) | Q(
        report__event__number=number
    )  # the case may have joined another one since
    for one in CallBack.objects.filter(told, way=Way.CODE).order_by("closing_version"):
        if constant_time_compare(code_of(one.report_id), given):
            meant = one
    if meant is None:
        raise NotFound
    event = lock_event(Event.objects.all(), meant.event_id)
    return _take_down(event, meant.pk, SYSTEM, rating, resolved, reason)


def code_of(report_id: UUID) -> str:
    """The code of a report, for its receipt: sixteen letters and digits that only this installation can make."""
    digest = salted_hmac("fieldops.satisfaction.code", str(report_id), algorithm="sha256").digest()
    return base64.b32encode(digest[:CODE_BYTES]).decode()


def code_for_receipt(report: Report) -> str | None:
    """What a reporter is given who can be reached in no other way; four groups, to be read out."""
    if way_to(report) != Way.CODE:
        return None
    code = code_of(report.pk)
    return "-".join(code[at : at + 4] for at in range(0, len(code), 4))


def has_reopened(step: Transition) -> bool:
    """Whether the answer that this step tells of reopened the case."""
    return CallBack.objects.filter(pk=step.data["call_back"], reopened=True).exists()


def _take_down(
    event: Event,
    call_back_id: UUID,
    actor: Actor,
    rating: str,
    resolved: bool,
    reason: str,
    submission: Submission | None = None,
) -> Transition:
    """Store the answer; who is dissatisfied because nothing is solved has the case reopened, once and in time."""
    asked = CallBack.objects.select_for_update().get(pk=call_back_id)
    if asked.answered_at is not None:
        raise AlreadyAnswered
    if asked.timed_out_at is not None:
        raise CallBackOver
    if rating == Rating.DISSATISFIED and not has_words(reason):
        raise ReasonMissing(step=Step.RATE.value)
    at = now()
    asked.answered_at, asked.answered_by = at, actor.user
    asked.rating, asked.resolved, asked.reason = Rating(rating), resolved, reason
    data = {"call_back": str(asked.pk), "rating": rating, "resolved": resolved, "way": asked.way}
    step = take_step(event, Step.RATE, actor=actor, at=at, data=data, submission=submission)
    steps = [step]
    changed: list[str] = []
    if rating == Rating.DISSATISFIED and not resolved and _can_be_reopened(event, asked, at=at):
        asked.reopened = True
        more, changed = _reopen(event, actor, reason, at=at)
        steps += more
    asked.save(update_fields=["answered_at", "answered_by", "rating", "resolved", "reason", "reopened"])
    record(event, steps, changed=changed)
    return step


def _can_be_reopened(event: Event, asked: CallBack, *, at: datetime) -> bool:
    """Once a case, and while the district's time since the closing lasts; not what is open again already."""
    return (
        event.status in TABLE[Step.REOPEN].sources
        and at <= asked.closed_at + policy_of(event.district_id).reopens
        and not CallBack.objects.filter(event=event, reopened=True).exists()
    )


def _reopen(event: Event, actor: Actor, reason: str, *, at: datetime) -> tuple[list[Transition], list[str]]:
    """The case goes to the dispatcher again; whoever checked it does not check it the next time."""
    checked = event.transitions.filter(kind__in=HAD_THE_WORD, by__isnull=False).order_by("-version").first()
    event.excluded_checker = checked.by if checked else None
    data = {"excluded_checker": event.excluded_checker_id}
    steps = [take_step(event, Step.REOPEN, actor=actor, at=at, reason=reason, data=data)]
    steps += begin_anew(event, at=at, reason=reason)
    if event.department_id is not None and steps[-1].kind != Step.ASSIGN:
        why = {"why": event.responsibility}
        steps.append(take_step(event, Step.ASSIGN, actor=SYSTEM, at=at, reason=reason, data=why))
    stop_clock(event)
    return steps, ["excluded_checker", *CHANGED, "due_at", "warn_at", "due_provisional"]


# --- reading --------------------------------------------------------------------------------------------


def open_call_backs() -> QuerySet[CallBack]:
    """Those that are still waited for."""
    return CallBack.objects.filter(answered_at__isnull=True, timed_out_at__isnull=True).select_related(
        "event__event_class", "report"
    )


def own_call_backs(person: User) -> list[CallBack]:
    """What a reporter is asked in the app, oldest first."""
    return list(open_call_backs().filter(report__reporter=person, way=Way.APP).order_by("asked_at")[:MOST])


def may_rate(posts: Sequence[Post]) -> bool:
    """Whether one of these posts calls reporters back."""
    return any(post.role in TABLE[Step.RATE].roles for post in posts)


def to_call(person: User, posts: Sequence[Post]) -> list[dict[str, Any]]:
    """Reporters who are to be called from this desk, most urgent first, with masked contacts; at most 200."""
    if not may_rate(posts):
        return []
    found = open_call_backs().filter(way=Way.DESK, event__in=events_visible_to(person))
    return [_told(one) for one in found.order_by("answer_until")[:MOST]]


def call_backs_of(event: Event) -> list[dict[str, Any]]:
    """All call-backs about a case, oldest first."""
    return [_told(one) for one in event.call_backs.select_related("event__event_class", "report")]


def _told(one: CallBack) -> dict[str, Any]:
    return {
        "id": str(one.pk),
        "event": str(one.event_id),
        "number": one.event.number,
        "class": one.event.event_class.name,
        "way": one.way,
        "way_label": one.get_way_display(),
        "reporter": one.report.masked_contact or one.report.get_channel_display(),
        "asked_at": one.asked_at.isoformat(),
        "answer_until": one.answer_until.isoformat(),
        "timed_out_at": one.timed_out_at.isoformat() if one.timed_out_at else None,
        "answered_at": one.answered_at.isoformat() if one.answered_at else None,
        "rating": one.rating,
        "rating_label": one.get_rating_display() if one.rating else None,
        "resolved": one.resolved,
        "reason": one.reason,
        "reopened": one.reopened,
    }


@transaction.atomic
def contact_of(call_back_id: UUID, *, by: User) -> dict[str, str]:
    """The name and number to call; personal data, so asking for it leaves a record.

    Raises NotFound, NotPermitted for whoever calls nobody back.
    """
    asked = open_call_backs().filter(pk=call_back_id, way=Way.DESK, event__in=events_visible_to(by)).first()
    if asked is None:
        raise NotFound
    event = Event.objects.select_related("cell").get(pk=asked.event_id)
    post = acting_post(by, Step.RATE, event)
    ContactAccess.objects.create(report=asked.report, by=by, post=post, at=now())
    return {"name": asked.report.contact_name, "phone": asked.report.contact_phone}
