"""Writing letters: in the transaction of the change itself, counters last, all in one statement."""

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from fieldops.models import Event, Transition
from fieldops.status import Role, Status, Step

from . import doorbell, mail
from .models import LetterKind

log = logging.getLogger(__name__)

# Who hears of which step. `None` in the second place: the post that the work order names.
_POLICY: dict[Step, tuple[LetterKind, Role | None]] = {
    Step.LOCATE: (LetterKind.INTAKE, Role.INTAKE_OPERATOR),
    # Filing is the last step only where no rule names a department: then, too, the dispatcher decides.
    Step.FILE: (LetterKind.ASSIGNMENT, Role.DISPATCHER),
    Step.ASSIGN: (LetterKind.ASSIGNMENT, Role.DISPATCHER),
    Step.DISPATCH: (LetterKind.DISPATCH, None),
    Step.REWORK: (LetterKind.REWORK, None),
    Step.RECALL: (LetterKind.RECALL, None),
    Step.EXPIRE: (LetterKind.EXPIRED, Role.DISPATCHER),
    Step.SEND_BACK: (LetterKind.SENT_BACK, Role.DISPATCHER),
    Step.ASK_EXTENSION: (LetterKind.REQUEST, Role.SHIFT_LEADER),
    Step.ASK_DEFERRAL: (LetterKind.REQUEST, Role.SHIFT_LEADER),
    Step.EXTEND: (LetterKind.DECISION, None),
    Step.DEFER: (LetterKind.DECISION, None),
    Step.REFUSE: (LetterKind.DECISION, None),
    Step.RESUME: (LetterKind.RESUMED, None),
    Step.VOID: (LetterKind.RECALL, None),
    Step.REOPEN: (LetterKind.ASSIGNMENT, Role.DISPATCHER),
    Step.RECKON: (LetterKind.RECKONED, None),
    Step.VERIFY: (LetterKind.INTAKE, Role.INTAKE_OPERATOR),
    Step.ASSIST: (LetterKind.ASSIST, None),
    Step.WHISTLE: (LetterKind.WHISTLE, None),
    Step.RELEASE: (LetterKind.RELEASED, None),
    Step.ASSIST_BACK: (LetterKind.ASSISTED, Role.DISPATCHER),
    Step.RECLASSIFY: (LetterKind.RECLASSIFIED, None),
    Step.CLOSE_SPECIALLY: (LetterKind.RECALL, None),
    Step.JOIN: (LetterKind.JOINED, None),
}
_INTAKES_TURN = frozenset({Status.LOCATED, Status.ACCEPTED})
# Each of a transaction's steps is about an order of its own, so each is told.
_EACH = frozenset({Step.ASSIST, Step.WHISTLE, Step.RELEASE, Step.RECKON, Step.RECALL})
# After these the reporters who hold a post get their answer.
_ANSWERED = frozenset(
    {
        *(Step.CLOSE, Step.CLOSE_SPECIALLY, Step.SELF_HANDLE, Step.DECLINE, Step.DO_NOT_FILE, Step.VOID),
        Step.MERGE,
    }
)

# One statement: resolve the addresses, raise each mailbox's counter (made on first use, locked in order of
# its key), number the letters within each mailbox. Nothing that commits later can get a lower number.
# Whatever else the transaction has to prove, it proves before: a counter is locked for no more than a bare commit.
_WRITE = f"""
SET CONSTRAINTS ALL IMMEDIATE;
WITH note AS (
    SELECT * FROM ROWS FROM (jsonb_to_recordset(%(notes)s::jsonb) AS (
        post_id bigint, role text, units bigint[], answers uuid,
        kind text, event uuid, event_version int, payload jsonb
    )) WITH ORDINALITY AS n(post_id, role, units, answers, kind, event, event_version, payload, ord)
), addressed AS (
    SELECT note.ord, note.kind, note.event, note.event_version, note.payload, p.id AS post_id
    FROM note CROSS JOIN LATERAL (
        SELECT note.post_id AS id WHERE note.post_id IS NOT NULL
        UNION
        (SELECT post.id FROM fieldops_post post JOIN gridmap_gridunit unit ON unit.id = post.unit_id
         WHERE post.role = note.role AND post.unit_id = ANY (note.units)
         ORDER BY unit.level DESC, post.id LIMIT 1)
        UNION
        SELECT report.post_id FROM fieldops_report report
        WHERE report.post_id IS NOT NULL AND report.event_id IN (
            SELECT note.answers UNION ALL SELECT id FROM fieldops_event WHERE merged_into_id = note.answers)
    ) p
), counted AS (
    INSERT INTO realtime_mailbox AS box (post_id, epoch, last_seq, pruned_seq)
    SELECT post_id, gen_random_uuid(), count(*), 0 FROM addressed GROUP BY post_id ORDER BY post_id
    ON CONFLICT (post_id) DO UPDATE SET last_seq = box.last_seq + EXCLUDED.last_seq
    RETURNING post_id, epoch, last_seq
), letter AS (
    INSERT INTO realtime_letter (mailbox_id, seq, kind, event_id, event_version, payload, created_at)
    SELECT post_id,
           last_seq - count(*) OVER (PARTITION BY post_id) + row_number() OVER (PARTITION BY post_id ORDER BY ord),
           kind, event, event_version, payload, %(now)s
    FROM addressed JOIN counted USING (post_id)
    RETURNING *
)
SELECT counted.epoch, holder.ids, letter.mailbox_id, letter.seq, letter.kind, letter.event_id,
       letter.event_version, letter.payload::text, letter.created_at
FROM letter JOIN counted ON counted.post_id = letter.mailbox_id
CROSS JOIN LATERAL ({mail.HOLDERS.format(post="letter.mailbox_id")}) holder
ORDER BY letter.mailbox_id, letter.seq;
SET CONSTRAINTS ALL DEFERRED
"""  # noqa: S608


def write_letters(*, recorded: Sequence[tuple[Event, Sequence[Transition]]], **_: Any) -> None:
    """Tell everyone concerned; receiver of `transition_recorded`, so it runs inside its transaction.

    Rings the doorbell after commit. A step that the same use case went past asks nobody for anything:
    a report that went straight through to dispatch leaves no letter at the desks.
    """
    notes = [note for event, transitions in recorded for note in _notes(event, transitions)]
    letters = _write(notes)
    if not letters and any(note.get("role") for note in notes):
        log.warning("case %s: nobody holds the post that %s is for", recorded[0][0].number, notes[0]["role"])
    cases = [str(event.pk) for event, _transitions in recorded]
    transaction.on_commit(lambda: doorbell.ring(letters=letters, cases=cases), robust=True)


def warn_of_undelivered(warnings: Iterable[tuple[int, Event, dict[str, Any]]]) -> None:
    """Tell posts that a letter about a case is not acknowledged; the last statement of its transaction."""
    notes = [
        {
            "post_id": post,
            "units": [],
            "kind": LetterKind.UNDELIVERED.value,
            "event": str(event.pk),
            "event_version": event.version,
            "payload": {**_summary(event), **facts},
        }
        for post, event, facts in warnings
    ]
    letters = _write(notes)
    transaction.on_commit(lambda: doorbell.ring(letters=letters), robust=True)


def _write(notes: list[dict[str, Any]]) -> list[doorbell.Enclosed]:
    if not notes:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_WRITE, {"notes": json.dumps(notes), "now": timezone.now()})
        cursor.nextset()
        return [
            doorbell.Enclosed(row[2], str(epoch), row[3], holders or [], mail.frame_of(*row[2:]))
            for row in cursor.fetchall()
            for epoch, holders in [row[:2]]
        ]


def _notes(event: Event, transitions: Sequence[Transition]) -> Iterator[dict[str, Any]]:
    summary = _summary(event)
    for one in transitions[:-1]:
        # Who assists hears of it, and who was released or called back, whatever came with it.
        if one.kind in _EACH:
            yield _by_policy(event, one, summary)
    last = transitions[-1]
    step = Step(last.kind)
    if step == Step.MOVE_CELL:
        yield from _moved(event, last, summary)
    if step in _POLICY:
        yield _by_policy(event, last, summary)
    if "check_post" in last.data:
        yield _to_a_post(
            last.data["check_post"], _CHECK[last.data["check_role"], event.status], event, last, summary
        )
    for post in last.data.get("posts", ()):
        yield _to_a_post(post, LetterKind.RELEASED, event, last, summary)
    for post in last.data.get("beside", ()):
        yield _to_a_post(post, LetterKind.DECISION, event, last, summary)
    if step == Step.SUPERVISE:
        yield _to_a_post(last.data["post"], LetterKind.SUPERVISION, event, last, summary)
    if step == Step.ANSWER:
        yield _to_a_post(last.data["by_post"], LetterKind.REPLY, event, last, summary)
    if step in _ANSWERED or step == Step.ASK_BACK:
        yield {
            "answers": str(event.pk),
            "units": [],
            "kind": (LetterKind.CALL_BACK if step == Step.ASK_BACK else LetterKind.ANSWER).value,
            "event": str(event.pk),
            "event_version": event.version,
            "payload": {
                **summary,
                "reason": last.reason,
                **({"into": last.data["number"]} if step == Step.MERGE else {}),
            },
        }


# A task to look: before filing, or after handling.
_CHECK = {
    (role.value, status.value): kind
    for role in Role
    for status, kind in (
        (Status.VERIFYING, LetterKind.VERIFY),
        (Status.HANDLED, LetterKind.CHECK if role == Role.GRID_WORKER else LetterKind.CONFIRM),
    )
}


def _by_policy(event: Event, step: Transition, summary: dict[str, Any]) -> dict[str, Any]:
    kind, role = _POLICY[Step(step.kind)]
    order = step.work_order
    return {
        "post_id": order.post_id if role is None and order else None,
        "role": role.value if role else "",
        "units": event.cell.unit_ids,
        "kind": kind.value,
        "event": str(event.pk),
        "event_version": event.version,
        "payload": {
            **summary,
            "order": str(order.pk) if order else None,
            "reason": step.reason,
            **({"due_at": step.data["order_due_at"]} if "order_due_at" in step.data else {}),
        },
    }


def _to_a_post(
    post: int | None, kind: LetterKind, event: Event, step: Transition, summary: dict[str, Any]
) -> dict[str, Any]:
    """About a supervision, to its post; the answer to one by rule goes to the supervisor."""
    return {
        "post_id": post,
        "role": "" if post else Role.SUPERVISOR.value,
        "units": event.cell.unit_ids,
        "kind": kind.value,
        "event": str(event.pk),
        "event_version": event.version,
        "payload": {**summary, "reason": step.reason, **step.data},
    }


def _moved(event: Event, step: Transition, summary: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Whose turn it is hears of the new place, and who was asked to look there and is not any more."""
    told: list[tuple[int | None, Role | None]] = []
    asked = step.data.get("check_kept") or step.data.get("check_before")
    if asked:
        told.append((asked, None))
    elif step.work_order is None:
        told.append((None, Role.INTAKE_OPERATOR if event.status in _INTAKES_TURN else Role.DISPATCHER))
    if step.work_order is not None:
        told.append((step.work_order.post_id, None))
    for post, role in told:
        yield {
            "post_id": post,
            "role": role.value if role else "",
            "units": event.cell.unit_ids,
            "kind": LetterKind.MOVED.value,
            "event": str(event.pk),
            "event_version": event.version,
            "payload": {
                **summary,
                "order": str(step.work_order_id) if step.work_order_id else None,
                "reason": step.reason,
                "from": step.data["from"],
            },
        }


def _summary(event: Event) -> dict[str, Any]:
    return {
        "number": event.number,
        "status": event.status,
        "class": event.event_class.name,
        "cell": event.cell.code,
        "point": [round(event.point.x, 7), round(event.point.y, 7)],
        "description": event.description[:200],
        "due_at": event.due_at.isoformat() if event.due_at else None,
    }
