"""督办: reminder, yellow card, red card, by rule and by hand; each wants an answer, and unanswered ones climb.

What is due is found by scanning the database, so nothing hangs on a process or a queue. A card is inserted in the
transaction of its step, under the case's lock and a constraint that lets a rule act once on a subject and a card
climb once: whoever scans, and however often, it is there once or not at all.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Case, Exists, F, OuterRef, Q, QuerySet, TextField, Value, When
from django.db.models.functions import Cast, Concat

from fieldops.clocks.cases import calendar_for
from fieldops.clocks.deadlines import Calendar, Limit, calendar_of, moment_after
from fieldops.clocks.stages import STAGE_OF, due_after, is_urgent
from fieldops.errors import (
    AlreadyAnswered,
    AlreadySupervised,
    IncompleteAnswer,
    NotFound,
    NotPermitted,
    ReasonMissing,
    UnknownAddressee,
)
from fieldops.lifecycle import (
    SYSTEM,
    Actor,
    Submission,
    check_follows,
    has_words,
    lock_event,
    now,
    record,
    replayed,
    take_step,
)
from fieldops.models import (
    Card,
    Event,
    LimitUnit,
    Occasion,
    Part,
    Post,
    StageLimit,
    Supervision,
    SupervisionRule,
    Transition,
    User,
    WorkOrder,
)
from fieldops.rights import acting_post, current_posts, events_visible_to, held_now
from fieldops.status import TABLE, Role, Status, Step
from gridmap.models import CalendarDay, Level

log = logging.getLogger(__name__)
ANSWER_MINUTES = 60  # of a card given by hand
CLOCKS_DIFFER = timedelta(minutes=5)  # clocks of devices are a minute off now and then
AT_ONCE = CHUNK = 500  # cards of one scan; rows read at a time
MOST = 200  # rows of the queue
TEXT = TextField()
WATCHERS = frozenset({Role.DISPATCHER, Role.SHIFT_LEADER, Role.SUPERVISOR, Role.LEADER})
# Who speaks for one of the five organisations; the first that somebody holds.
SPEAKS = (Role.LEADER, Role.SUPERVISOR, Role.STREET_CHIEF, Role.GRID_WORKER)
# At which desk a case waits that no work order names a post for.
WAITS_AT: dict[str, Role] = {
    Status.LOCATED: Role.INTAKE_OPERATOR,
    Status.ACCEPTED: Role.INTAKE_OPERATOR,
    Status.FILED: Role.DISPATCHER,
    Status.ASSIGNED: Role.DISPATCHER,
    Status.VERIFYING: Role.GRID_WORKER,
    Status.HANDLED: Role.STREET_CHIEF,
    Status.CONFIRMED: Role.DISPATCHER,
}
WORKED_ON = (Status.DISPATCHED, Status.TAKEN_ON)


# --- to whom --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Addressee:
    """A post that can be pressed about a case: it has to act, or speaks for the organisation of that level."""

    post: Post
    level: int | None = None
    order: WorkOrder | None = None

    @property
    def level_label(self) -> str:
        """What the level is called; empty for whoever has to act."""
        return str(Level(self.level).label) if self.level else ""


def at_work(event: Event) -> list[Addressee]:
    """The posts with an open order that is not done, the lead's first."""
    orders = event.work_orders.filter(finished_at__isnull=True, handled_at__isnull=True).select_related(
        "post"
    )
    lead_first = sorted(orders, key=lambda order: (order.part != Part.LEAD, order.dispatched_at))
    return [Addressee(order.post, order=order) for order in lead_first]


def whoever_acts(event: Event) -> Addressee | None:
    """The post whose turn it is; the lead's before those beside it."""
    working = at_work(event) if event.status in (*WORKED_ON, Status.DEFERRED) else []
    if working:
        return working[0]
    asked = event.checks.filter(done_at__isnull=True, ended_at__isnull=True).select_related("post").first()
    if asked is not None:
        return Addressee(asked.post)
    role = WAITS_AT.get(event.status)
    at_place = Post.objects.filter(role=role, unit__in=event.cell.unit_ids) if role else Post.objects.none()
    post = at_place.order_by("-unit__level", "pk").first()
    return Addressee(post) if post else None


def speaks_for(event: Event, level: int) -> Addressee | None:
    """The post that speaks for the cell's organisation of this level, if somebody holds one."""
    held = held_now(Post.objects.filter(unit=event.cell.unit_ids[level - 1], role__in=SPEAKS))
    posts = sorted(held, key=lambda post: (SPEAKS.index(Role(post.role)), post.pk))
    return Addressee(posts[0], level) if posts else None


def next_upwards(event: Event, level: int | None) -> Addressee | None:
    """The next of the cell's organisations above this level that has somebody; None above the district's."""
    for higher in range((level or Level.PARTY_GROUP + 1) - 1, 0, -1):
        found = speaks_for(event, higher)
        if found:
            return found
    return None


def addressees(event: Event, *, of: Post) -> list[Addressee]:
    """Whom the holder of a post can press about a case: who has to act, who else works on it, organisations from below.

    Nobody gives a card to an organisation above the own; that is what an unanswered card climbs for.
    """
    acts = whoever_acts(event)
    beside = [one for one in at_work(event) if acts is None or one.post != acts.post]
    levels = range(Level.PARTY_GROUP, of.unit.level - 1, -1)
    organisations = (speaks_for(event, level) for level in levels)
    return [one for one in (acts, *beside, *organisations) if one]


# --- by hand --------------------------------------------------------------------------------------------


@transaction.atomic
def supervise(
    event_id: UUID,
    *,
    by: User,
    card: str,
    reason: str,
    post_id: int | None = None,
    answer_minutes: int = ANSWER_MINUTES,
    version: int | None = None,
) -> Supervision:
    """A card by hand, to whoever has to act or to the named post among `addressees`.

    Raises ReasonMissing, UnknownAddressee, AlreadySupervised while the same card waits there for its answer.
    """
    event = lock_event(events_visible_to(by), event_id, version=version)
    post = acting_post(by, Step.SUPERVISE, event)
    actor = Actor(by, post)
    check_follows(event, Step.SUPERVISE)
    if not has_words(reason):
        raise ReasonMissing(step=Step.SUPERVISE.value)
    able = addressees(event, of=post)
    to = next((one for one in able if post_id is None or one.post.pk == post_id), None)
    if to is None:
        raise UnknownAddressee(post=post_id)
    if _waiting().filter(event=event, post=to.post, card=card, by__isnull=False).exists():
        raise AlreadySupervised(post=to.post.pk, card=card)
    at = now()
    given = Supervision(
        event=event,
        work_order=to.order,
        card=Card(card),
        level=to.level,
        post=to.post,
        by=by,
        by_post=post,
        reason=reason,
        asked_at=at,
        answer_due_at=_answer_due(event, answer_minutes, at=at),
    )
    given.save(force_insert=True)
    record(event, [_step(event, given, actor)])
    return given


def _answer_due(event: Event, minutes: int, *, at: datetime) -> datetime:
    due = due_after(minutes, at=at, urgent=is_urgent(event), calendar=calendar_for(event))
    if due is None:
        raise AssertionError("a limit that runs will run out")
    return due.at


def _step(event: Event, given: Supervision, actor: Actor, **data: Any) -> Transition:
    facts = {
        "supervision": str(given.pk),
        "card": given.card,
        "post": given.post_id,
        "post_name": given.post.name,
        "level": given.level,
        "answer_due_at": given.answer_due_at.isoformat(),
        **data,
    }
    return take_step(
        event,
        Step.SUPERVISE,
        actor=actor,
        at=given.asked_at,
        reason=given.reason,
        work_order=given.work_order,
        data=facts,
    )


# --- the answer -----------------------------------------------------------------------------------------


@transaction.atomic
def answer(
    supervision_id: UUID,
    *,
    by: User,
    received_when: datetime,
    contacted: str,
    measures: str,
    new_deadline: datetime,
    submission: Submission,
) -> Transition:
    """The addressed post says when it received the card, whom it contacted, what it does, and until when.

    Whom it contacted stays with the supervision: a step holds no personal data. Raises NotFound for another post's,
    AlreadyAnswered also where the case ended since, IncompleteAnswer.
    """
    mine = Supervision.objects.filter(pk=supervision_id, post__in=current_posts(by))
    asked = mine.select_related("post").first()
    if asked is None:
        raise NotFound
    if asked.post.role not in TABLE[Step.ANSWER].roles:
        raise NotPermitted(step=Step.ANSWER.value)
    done = replayed(submission, asked.event_id, by=by)
    event = lock_event(Event.objects.all(), asked.event_id)
    done = done or replayed(submission, asked.event_id, by=by)
    if done:
        return done
    asked = Supervision.objects.select_for_update(of=("self",)).select_related("post").get(pk=supervision_id)
    if asked.answered_at is not None or asked.ended_at is not None:
        raise AlreadyAnswered
    at = now()
    if not (has_words(contacted) and has_words(measures)):
        raise IncompleteAnswer
    while_it_waited = asked.asked_at - CLOCKS_DIFFER <= received_when <= at + CLOCKS_DIFFER
    if not while_it_waited or new_deadline <= at:
        raise IncompleteAnswer(received_when=received_when.isoformat(), new_deadline=new_deadline.isoformat())
    asked.answered_at, asked.answered_by = at, by
    asked.received_when, asked.new_deadline = received_when, new_deadline
    asked.contacted, asked.measures = contacted, measures
    step = take_step(
        event,
        Step.ANSWER,
        actor=Actor(by, asked.post),
        at=at,
        reason=measures,
        work_order=asked.work_order,
        data={
            "supervision": str(asked.pk),
            "card": asked.card,
            "by_post": asked.by_post_id,
            "received_when": received_when.isoformat(),
            "new_deadline": new_deadline.isoformat(),
        },
        submission=submission,
    )
    asked.save(
        update_fields=[
            "answered_at",
            "answered_by",
            "received_when",
            "new_deadline",
            "contacted",
            "measures",
        ]
    )
    record(event, [step])
    return step


def _waiting() -> QuerySet[Supervision]:
    """The cards that want an answer."""
    return Supervision.objects.filter(answered_at__isnull=True, ended_at__isnull=True)


# --- by rule --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Due:
    """What a rule has to act on: a subject whose moment has come."""

    rule: SupervisionRule
    event_id: UUID
    subject: str
    order: WorkOrder | None = None
    unanswered: Supervision | None = None


def due_by_rule(*, at: datetime) -> Iterator[Due]:
    """Every subject on which a rule has to act at this moment and has not acted."""
    for rule in SupervisionRule.objects.select_related("district").order_by("pk"):
        yield from _due(rule, at)


def _due(rule: SupervisionRule, at: datetime, event_id: UUID | None = None) -> Iterator[Due]:
    """Those of one rule, of one case or of all."""
    find = {Occasion.CASE: _cases, Occasion.STAGE: _stages, Occasion.UNANSWERED: _unanswered}
    return find[Occasion(rule.occasion)](rule, at, Q() if event_id is None else Q(event=event_id))


def _cases(rule: SupervisionRule, at: datetime, of: Q) -> Iterator[Due]:
    """Orders whose case has used up so much of its limit. An extension makes it another subject."""
    moment = "event__warn_at" if rule.percent < 100 else "event__due_at"
    orders = (
        WorkOrder.objects.filter(
            of,
            event__district=rule.district_id,
            event__status__in=WORKED_ON,
            finished_at__isnull=True,
            handled_at__isnull=True,
        )
        .annotate(
            # An order beside the lead's has a time of its own.
            moment=Case(When(part=Part.LEAD, then=F(moment)), default=F("due_at")),
            subject=_joined(Cast("pk", TEXT), Value(":"), Cast("extensions", TEXT)),
        )
        .filter(_not_acted(rule), moment__gte=rule.since, moment__lte=at)
        .select_related("event__condition", "post")
    )
    reached = _Reached(rule, at)
    for order in orders.order_by("moment").iterator(CHUNK):
        condition = order.event.condition
        if condition is None:  # the database has it otherwise
            continue
        limit = Limit(condition.limit_amount, condition.limit_unit, condition.urgent)
        if reached(order.moment, limit):
            yield Due(rule, order.event_id, order.subject, order=order)


def _stages(rule: SupervisionRule, at: datetime, of: Q) -> Iterator[Due]:
    """Cases that have been in a stage for so long."""
    moment = "stage_warn_at" if rule.percent < 100 else "stage_due_at"
    limits = StageLimit.objects.filter(district=rule.district_id, stage=rule.stage)
    minutes = dict(limits.values_list("urgent", "minutes"))
    events = (
        Event.objects.annotate(event=F("pk"))
        .filter(
            of,
            district=rule.district_id,
            status__in=[s for s, stage in STAGE_OF.items() if stage == rule.stage],
        )
        .annotate(
            moment=F(moment),
            subject=_joined(Cast("pk", TEXT), Value(f":{rule.stage}:"), Cast("stage_since", TEXT)),
        )
        .filter(_not_acted(rule), moment__gte=rule.since, moment__lte=at)
        .select_related("condition")
    )
    reached = _Reached(rule, at)
    for event in events.order_by("moment").iterator(CHUNK):
        urgent = is_urgent(event)
        if urgent in minutes and reached(event.moment, Limit(minutes[urgent], LimitUnit.MINUTE, urgent)):
            yield Due(rule, event.pk, event.subject)


def _unanswered(rule: SupervisionRule, at: datetime, of: Q) -> Iterator[Due]:
    """Cards without an answer in time, about open cases, that have not climbed; the district's own go no further."""
    cards = (
        _waiting()
        .filter(
            of,
            event__district=rule.district_id,
            event__is_open=True,
            card=rule.unanswered,
            answer_due_at__gte=rule.since,
            answer_due_at__lte=at,
            followed_by__isnull=True,
        )
        .exclude(level=Level.DISTRICT_COMMITTEE)
    )
    for card in cards.select_related("work_order").order_by("answer_due_at").iterator(CHUNK):
        yield Due(rule, card.event_id, f"unanswered:{card.pk}", order=card.work_order, unanswered=card)


def _joined(*parts: Any) -> Concat:
    return Concat(*parts, output_field=TEXT)


def _not_acted(rule: SupervisionRule) -> Q:
    return Q(~Exists(Supervision.objects.filter(rule=rule, subject=OuterRef("subject"))))


class _Reached:
    """Whether a limit that ran out has also run on for as long as the rule says."""

    def __init__(self, rule: SupervisionRule, at: datetime) -> None:
        self.rule, self.at = rule, at

    @cached_property
    def calendar(self) -> Calendar:
        days = CalendarDay.objects.filter(district=self.rule.district_id)
        return calendar_of(self.rule.district, days.values_list("day", "working"))

    def __call__(self, moment: datetime, limit: Limit) -> bool:
        if self.rule.percent <= 100:
            return True
        beyond = (self.rule.percent - 100) / 100 * limit.length(self.calendar)
        return moment_after(moment, beyond, self.calendar, urgent=limit.urgent) <= self.at


@transaction.atomic
def supervise_by_rule(due: Due, *, at: datetime) -> bool:
    """Give the card that is due; False when a rival scan was faster, it is moot, or nobody is there to have it."""
    event = lock_event(Event.objects.all(), due.event_id)
    # Judged again under the lock: what was found before it may be answered, handled or supervised by now.
    still = next((one for one in _due(due.rule, at, event.pk) if one.subject == due.subject), None)
    if still is None:
        return False
    rule, asked = still.rule, still.unanswered
    if asked is not None:
        to = next_upwards(event, asked.level)
    elif rule.level is not None:
        to = speaks_for(event, rule.level) or next_upwards(event, rule.level)
    elif still.order is not None:
        to = Addressee(still.order.post, order=still.order)
    else:
        to = whoever_acts(event)
    if to is None:
        log.warning("case %s: nobody is there for the card of rule %s", event.number, rule.pk)
        return False
    given = Supervision(
        event=event,
        work_order=still.order or to.order,
        card=rule.card,
        level=to.level,
        post=to.post,
        rule=rule,
        subject=still.subject,
        follows=asked,
        asked_at=at,
        answer_due_at=_answer_due(event, rule.answer_minutes, at=at),
    )
    Supervision.objects.bulk_create([given], ignore_conflicts=True)
    if not Supervision.objects.filter(pk=given.pk).exists():
        return False
    facts = {"occasion": rule.occasion, "stage": rule.stage, "percent": rule.percent}
    record(event, [_step(event, given, SYSTEM, **facts, **({"follows": str(asked.pk)} if asked else {}))])
    return True


def supervise_by_rules(*, at: datetime | None = None) -> int:
    """Give every card that is due, each in a transaction of its own; returns how many."""
    moment = at or now()
    given = 0
    # Only cards that were given count: what nobody is there for stays due and must not bar the way.
    for due in due_by_rule(at=moment):
        try:
            given += supervise_by_rule(due, at=moment)
        except Exception:
            log.exception("case %s got no card; the next run meets it again", due.event_id)
        if given == AT_ONCE:
            break
    return given


# --- reading --------------------------------------------------------------------------------------------


def supervisions_of(event: Event, posts: Sequence[Post]) -> list[dict[str, Any]]:
    """The cards about a case, oldest first; `mine` where one of these posts has to answer."""
    return [_told(card, posts) for card in _with_names(Supervision.objects.filter(event=event))]


def unanswered(person: User, posts: Sequence[Post]) -> list[dict[str, Any]]:
    """The open cards this person is asked to answer, and, for who watches over an area, those of its open cases.

    One's own first, the most urgent first; at most 200.
    """
    wanted = Q(post__in=list(posts))
    if any(post.role in WATCHERS for post in posts):
        wanted |= Q(event__in=events_visible_to(person))
    cards = _with_names(_waiting().filter(wanted, event__is_open=True))
    others = Case(When(post__in=list(posts), then=False), default=True)
    return [_told(card, posts) for card in cards.order_by(others, "answer_due_at")[:MOST]]


def _with_names(cards: QuerySet[Supervision]) -> QuerySet[Supervision]:
    named = cards.select_related("event__event_class", "post", "by", "by_post", "answered_by", "rule")
    return named.order_by("asked_at")


def _told(card: Supervision, posts: Sequence[Post]) -> dict[str, Any]:
    answered = (
        {
            "at": card.answered_at.isoformat(),
            "by": str(card.answered_by),
            "received_when": card.received_when.isoformat() if card.received_when else None,
            "contacted": card.contacted,
            "measures": card.measures,
            "new_deadline": card.new_deadline.isoformat() if card.new_deadline else None,
        }
        if card.answered_at
        else None
    )
    return {
        "id": str(card.pk),
        "event": str(card.event_id),
        "number": card.event.number,
        "class": card.event.event_class.name,
        "card": card.card,
        "card_label": card.get_card_display(),
        "level": card.level,
        "level_label": card.get_level_display() if card.level else None,
        "post": card.post.name,
        "by": card.by_post.name if card.by_post else None,
        "reason": card.reason or (card.rule.why if card.rule else ""),
        "asked_at": card.asked_at.isoformat(),
        "answer_due_at": card.answer_due_at.isoformat(),
        "ended_at": card.ended_at.isoformat() if card.ended_at else None,
        "mine": any(post.pk == card.post_id for post in posts) and not (card.answered_at or card.ended_at),
        "answer": answered,
    }
