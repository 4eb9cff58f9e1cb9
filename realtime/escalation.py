"""Letters that no device acknowledges: alert the recipient, then tell the dispatcher, then the supervisor.

Everything is found by scanning the database, so nothing hangs on a process or a queue. A stage is recorded before
anything is sent, under a constraint that lets it be recorded once; what has to leave the house is a row of its own
(`Notification`), claimed by a conditional update and sent outside any transaction.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from fieldops.models import Post
from fieldops.status import Role

from . import mail, notify
from .letters import warn_of_undelivered
from .models import ContactDetail, DeliveryPolicy, Escalation, Letter, LetterKind, Notification, Stage

log = logging.getLogger(__name__)
AT_ONCE = 200
# What nobody may miss is escalated also where no row says how.
ALWAYS = sorted(kind.value for kind in (*mail.DISPATCHES, LetterKind.RECALL))
DEFAULT = DeliveryPolicy()
TOLD: dict[str, Role] = {Stage.DISPATCHER: Role.DISPATCHER, Stage.SUPERVISOR: Role.SUPERVISOR}

# What is late: letters nobody acknowledged, whose matter still stands, at a stage they did not reach yet. A rival
# scan's letters are skipped; should its rows become visible only now, the constraint stops the second one.
LATE = """
WITH policy AS (
    SELECT district_id, kind, recipient_after, dispatcher_after, supervisor_after, since
    FROM realtime_deliverypolicy
    UNION ALL
    SELECT d.code, k.kind, %(recipient)s, %(dispatcher)s, %(supervisor)s, '-infinity'
    FROM gridmap_district d CROSS JOIN unnest(%(kinds)s::text[]) AS k (kind)
    WHERE NOT EXISTS (
        SELECT FROM realtime_deliverypolicy own WHERE own.district_id = d.code AND own.kind = k.kind)
)
SELECT letter.mailbox_id, letter.seq, stage.name
FROM policy
JOIN realtime_letter letter ON letter.kind = policy.kind AND letter.received_at IS NULL
    AND letter.created_at >= policy.since
    AND letter.created_at <= %(now)s - policy.recipient_after * interval '1 second'
JOIN fieldops_post post ON post.id = letter.mailbox_id AND post.district_id = policy.district_id
CROSS JOIN LATERAL (VALUES
    (1, 'recipient', policy.recipient_after),
    (2, 'dispatcher', policy.dispatcher_after),
    (3, 'supervisor', policy.supervisor_after)
) stage (n, name, after)
LEFT JOIN fieldops_workorder work ON work.id = (letter.payload->>'order')::uuid
WHERE letter.created_at <= %(now)s - stage.after * interval '1 second'
  AND (letter.kind = 'recall' OR work.id IS NULL
       OR (work.taken_on_at IS NULL AND work.finished_at IS NULL))
  AND NOT EXISTS (
      SELECT FROM fieldops_supervision card JOIN fieldops_event about ON about.id = card.event_id
      WHERE card.id = (letter.payload->>'supervision')::uuid
        AND (coalesce(card.answered_at, card.ended_at) IS NOT NULL OR about.is_open IS NULL))
  AND NOT EXISTS (
      SELECT FROM fieldops_check task
      WHERE task.id = (letter.payload->>'check')::uuid AND coalesce(task.done_at, task.ended_at) IS NOT NULL)
  AND NOT EXISTS (
      SELECT FROM realtime_escalation done
      WHERE done.mailbox_id = letter.mailbox_id AND done.seq = letter.seq AND done.stage = stage.name)
ORDER BY letter.created_at, letter.mailbox_id, letter.seq, stage.n
LIMIT %(most)s
FOR UPDATE OF letter SKIP LOCKED
"""


@transaction.atomic
def escalate(*, at: datetime | None = None) -> int:
    """Record every stage that is due and tell whom it concerns; returns how many were recorded.

    `at` is the moment to judge by, now unless a test says otherwise.
    """
    now = at or timezone.now()
    with connection.cursor() as sql:
        sql.execute(
            LATE,
            {
                "now": now,
                "most": AT_ONCE,
                "kinds": ALWAYS,
                "recipient": DEFAULT.recipient_after,
                "dispatcher": DEFAULT.dispatcher_after,
                "supervisor": DEFAULT.supervisor_after,
            },
        )
        late = sql.fetchall()
    if not late:
        return 0
    letters = _letters(late)
    rows = [
        Escalation(
            mailbox_id=box,
            seq=seq,
            stage=stage,
            kind=letters[box, seq].kind,
            event=letters[box, seq].event,
            post=post,
            raised_at=now,
        )
        for box, seq, stage in late
        if (post := _who_is_told(letters[box, seq], stage)) is not None
    ]
    raised = _record(rows)
    _queue_notifications(raised, now)
    warnings = [
        (row.post_id, row.event, _facts(letters[row.mailbox_id, row.seq], row))
        for row in raised
        if row.stage in TOLD
    ]
    if warnings:
        warn_of_undelivered(warnings)
    return len(raised)


def _letters(late: Sequence[tuple[int, int, str]]) -> dict[tuple[int, int], Letter]:
    wanted = Q(pk__in=[])
    for box, seq in {(box, seq) for box, seq, _stage in late}:
        wanted |= Q(mailbox=box, seq=seq)
    found = Letter.objects.filter(wanted).select_related(
        "mailbox__post", "event__cell", "event__event_class", "event__district"
    )
    return {(letter.mailbox_id, letter.seq): letter for letter in found.defer("event__cell__boundary")}


def _who_is_told(letter: Letter, stage: str) -> Post | None:
    if stage == Stage.RECIPIENT:
        return letter.mailbox.post
    at_place = Post.objects.filter(role=TOLD[stage], unit__in=letter.event.cell.unit_ids)
    post = at_place.order_by("-unit__level", "pk").first()
    if post is None:
        log.warning("case %s: nobody holds the post that %s is for", letter.event.number, stage)
    return post


def _record(rows: list[Escalation]) -> list[Escalation]:
    """Insert what no rival has recorded; only what is ours now is told."""
    Escalation.objects.bulk_create(rows, ignore_conflicts=True)
    ours = set(Escalation.objects.filter(pk__in=[row.pk for row in rows]).values_list("pk", flat=True))
    return [row for row in rows if row.pk in ours]


def _facts(letter: Letter, row: Escalation) -> dict[str, Any]:
    return {
        "order": letter.payload.get("order"),
        "letter": letter.kind,
        "post": letter.mailbox.post.name,
        "sent_at": letter.created_at.isoformat(),
        "stage": row.stage,
    }


def _queue_notifications(raised: Sequence[Escalation], now: datetime) -> None:
    policies = {(p.district_id, p.kind): p for p in DeliveryPolicy.objects.all()}
    wanted = []
    for row in raised:
        policy = policies.get((row.event.district_id, row.kind))
        adapters = (policy.adapters if policy else []) or list(settings.NOTIFY_ADAPTERS)
        holders = row.post.holdings.filter(
            Q(until__isnull=True) | Q(until__gt=now), since__lte=now, user__is_active=True
        ).values("user")
        reachable = ContactDetail.objects.filter(user__in=holders, adapter__in=adapters)
        wanted += [
            Notification(escalation=row, adapter=way.adapter, recipient_id=way.user_id, next_try_at=now)
            for way in reachable
        ]
    Notification.objects.bulk_create(wanted)


# --- what leaves the house --------------------------------------------------------------------------

CLAIM = """
UPDATE realtime_notification SET tries = tries + 1, next_try_at = %(lease)s
WHERE id IN (
    SELECT id FROM realtime_notification WHERE next_try_at <= %(now)s
    ORDER BY next_try_at LIMIT %(most)s FOR UPDATE SKIP LOCKED
)
RETURNING id
"""
MOST_TRIES = 8
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=10)
SENT_AT_ONCE = 8


def send_notifications(*, at: datetime | None = None) -> int:
    """Send what is due to be sent; returns how many were sent.

    A claim is a lease: who dies between sending and noting it leaves the row to the next scan, which sends it
    again with the same key.
    """
    now = at or timezone.now()
    lease = now + timedelta(seconds=3 * settings.NOTIFY_TIMEOUT_SECONDS)
    with connection.cursor() as sql:
        sql.execute(CLAIM, {"now": now, "lease": lease, "most": SENT_AT_ONCE})
        claimed = [row[0] for row in sql.fetchall()]
    if not claimed:
        return 0
    rows = list(
        Notification.objects.filter(pk__in=claimed).select_related(
            "escalation__event__event_class", "escalation__event__cell__street", "escalation__mailbox__post"
        )
    )
    ways = {
        (way.user_id, way.adapter): way.address
        for way in ContactDetail.objects.filter(user__in=[row.recipient_id for row in rows])
    }
    with translation.override(settings.LANGUAGE_CODE):
        jobs = [(row, _message(row), ways.get((row.recipient_id, row.adapter), "")) for row in rows]
    # Side by side, so that one slow receiver costs the others nothing.
    with ThreadPoolExecutor(SENT_AT_ONCE) as threads:
        ends = list(threads.map(lambda job: _try(*job), jobs))
    for row, problem in zip(rows, ends, strict=True):
        _note(row, problem, now)
    return sum(problem is None for problem in ends)


def _message(row: Notification) -> notify.Message:
    """Number, class, street and what is asked; never what a reporter wrote, nor who reported."""
    escalation = row.escalation
    event = escalation.event
    facts = {
        "number": event.number,
        "class": event.event_class.name,
        "place": event.cell.street.area_name,
        "post": escalation.mailbox.post.name,
        "letter": str(LetterKind(escalation.kind).label),
    }
    if escalation.stage == Stage.RECIPIENT:
        text = _("Case %(number)s (%(class)s, %(place)s): %(letter)s. Please open the app and confirm.")
    else:
        text = _("Case %(number)s (%(class)s, %(place)s): %(post)s has not received: %(letter)s.")
    facts["stage"] = escalation.stage
    return notify.Message(key=row.pk, subject=_("Case %(number)s") % facts, text=text % facts, facts=facts)


def _try(row: Notification, message: notify.Message, address: str) -> notify.NotSent | None:
    if not address:
        return notify.NotSent("the contact is gone", for_good=True)
    try:
        notify.adapter(row.adapter).send(message, address)
    except notify.NotSent as problem:
        return problem
    except KeyError:
        return notify.NotSent("no such adapter", for_good=True)
    except Exception as error:  # an adapter's fault must not hold up the others
        log.exception("adapter %s", row.adapter)
        return notify.NotSent(type(error).__name__)
    return None


def _note(row: Notification, problem: notify.NotSent | None, now: datetime) -> None:
    """Only who still holds the claim notes the end of it."""
    claim = Notification.objects.filter(pk=row.pk, tries=row.tries, sent_at__isnull=True)
    if problem is None:
        claim.update(sent_at=timezone.now(), next_try_at=None, problem="")
        return
    over = problem.for_good or row.tries >= MOST_TRIES
    if over:
        log.error("notification %s by %s given up: %s", row.pk, row.adapter, problem)
    pause = min(FIRST_PAUSE * 2 ** (row.tries - 1), LONGEST_PAUSE)
    claim.update(next_try_at=None if over else now + pause, problem=str(problem)[:200])
