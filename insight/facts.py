"""One row per case: what happened to it in a period, as known at a moment. Everything is counted from these rows.

A period is [begin, end). Only steps before its end and recorded by then (`as_of`) are looked at, with what was due at
the time: so a past period comes out the same whenever it is computed, but for exclusions approved since.
"""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from gridmap.models import CHAIN

LEVELS = tuple(f"{unit}_id" for unit in CHAIN)  # from the district committee down


@dataclass(frozen=True)
class Count:
    """Something that is counted: how many of it a case brings, in SQL over the columns of `_CASES`."""

    code: str
    label: Any
    sql: str


def _in(moment: str) -> str:
    return f"({moment} >= %(begin)s)"


TO_CLOSE = f"(voided_at IS NULL AND ({_in('handled_at')} OR (overdue_at_end AND {_in('due_at')})))"
TO_HANDLE = f"(voided_at IS NULL AND {_in('dispatched_at')})"
FILED = _in("filed_at")
# What ended unhandled (in error, as a special case, on the spot) is not closed; to close it was if it had fallen due.
CLOSED = "(closed_at IS NOT NULL AND handled_at IS NOT NULL)"
IN_TIME = "(handled_at <= due_at)"


# One problem is one case: what joined another is none by itself.
BY_ITSELF = "(merging IS NULL OR separating > merging)"
REPORTED = f"({_in('reported_at')} AND {BY_ITSELF})"


def _when(condition: str) -> str:
    return f"({condition})::int"


COUNTS = {
    count.code: count
    for count in (
        Count("reports", _("Reports"), f"CASE WHEN {BY_ITSELF} THEN reports ELSE 0 END"),
        Count(
            "valid_reports",
            _("Valid reports"),
            "CASE WHEN filed_at IS NOT NULL AND voided_at IS NULL THEN reports ELSE 0 END",
        ),
        Count("reported", _("Reported"), _when(REPORTED)),
        Count(
            "responded",
            _("Answered in time at intake"),
            _when(f"{REPORTED} AND answered_at <= coalesce(answer_due_at, answered_at)"),
        ),
        Count("accepted", _("Accepted"), _when(f"{REPORTED} AND accepted_at IS NOT NULL")),
        Count("filed_of_reported", _("Filed"), _when(f"{REPORTED} AND filed_at IS NOT NULL")),
        Count("filed", _("Filed"), _when(FILED)),
        Count(
            "filed_in_time",
            _("Filed in time"),
            _when(f"{FILED} AND accepted_at <= coalesce(answer_due_at, accepted_at)"),
        ),
        Count("filed_right", _("Filed and not voided"), _when(f"{FILED} AND voided_at IS NULL")),
        Count("missed", _("Missed by grid workers"), _when(f"{FILED} AND channel <> 'field_app'")),
        Count("to_dispatch", _("To dispatch"), _when(_in("dispatched_at"))),
        Count(
            "dispatched_right",
            _("Dispatched right at first"),
            _when(f"{_in('dispatched_at')} AND returns = 0 AND recalls = 0"),
        ),
        Count("to_handle", _("To handle"), _when(TO_HANDLE)),
        Count("handled", _("Handled"), _when(f"{TO_HANDLE} AND handled_at IS NOT NULL")),
        Count("handled_in_time", _("Handled in time"), _when(f"{TO_HANDLE} AND {IN_TIME}")),
        Count("extended", _("Extended"), _when(f"{TO_HANDLE} AND extensions > 0")),
        Count("to_close", _("To close"), _when(TO_CLOSE)),
        Count("closed", _("Closed"), _when(f"{TO_CLOSE} AND {CLOSED}")),
        Count("closed_in_time", _("Closed in time"), _when(f"{TO_CLOSE} AND {CLOSED} AND {IN_TIME}")),
        Count("overdue", _("Overdue"), _when(f"{TO_CLOSE} AND {IN_TIME} IS NOT TRUE")),
        Count("reworked", _("Reworked"), _when(f"{TO_CLOSE} AND reworks > 0")),
        Count(
            "handled_in_period",
            _("Handled in the period"),
            _when(f"voided_at IS NULL AND {_in('handled_at')}"),
        ),
        Count(
            "checked",
            _("Checked on site"),
            _when(f"voided_at IS NULL AND {_in('handled_at')} AND checked_at >= handled_at"),
        ),
        Count("returns", _("Sent back"), "returns_in"),
        Count("ping_pong", _("Sent back twice and more"), _when(f"{_in('returned_at')} AND returns > 1")),
        Count("reopened", _("Reopened"), _when(_in("reopened_at"))),
        Count("asked_back", _("Reporters asked back"), "asked_back"),
        Count("called_back", _("Call-backs answered"), "called_back"),
        Count("resolved", _("Resolved, say reporters"), "resolved"),
        Count("satisfied", _("Satisfied"), "satisfied"),
        Count("basically", _("Basically satisfied"), "basically"),
        Count("dissatisfied", _("Dissatisfied"), "dissatisfied"),
        Count("to_reply", _("Replies owed"), "to_reply"),
        Count("replied_in_time", _("Replied in time"), "replied_in_time"),
        Count("supervised", _("Cards given"), "supervised"),
        Count("supervised_answered", _("Cards answered in time"), "supervised_answered"),
        Count("to_verify", _("Verifications to do on site"), "to_verify"),
        Count("verified_in_time", _("Verified on site in time"), "verified_in_time"),
        Count("to_check", _("Checks to do on site"), "to_check"),
        Count("checked_in_time", _("Checked on site in time"), "checked_in_time"),
    )
}

# Its organisations and its class as they were where they changed later; `{people}` only where somebody asks for them.
_CASES = """
WITH concerned AS NOT MATERIALIZED (
    SELECT e.id, e.event_class_id, e.cell_id FROM fieldops_event e
    WHERE e.district_id = %(district)s AND e.received_at < %(until)s
        AND (e.is_open OR e.updated_at >= %(begin)s OR e.id IN (
            SELECT event_id FROM fieldops_report WHERE reply_due_at >= %(begin)s AND replied_at IS NULL))
),
steps AS (
    SELECT t.event_id,
        min(t.occurred_at) FILTER (WHERE t.kind = 'report') AS reported_at,
        min(t.occurred_at) FILTER (WHERE t.kind = 'accept') AS accepted_at,
        min(t.occurred_at) FILTER (WHERE t.kind IN ('accept', 'decline')) AS answered_at,
        min(t.stage_due_at) FILTER (WHERE t.kind IN ('accept', 'decline')) AS answer_due_at,
        min(t.occurred_at) FILTER (WHERE t.kind = 'file') AS filed_at,
        min(t.occurred_at) FILTER (WHERE t.kind = 'dispatch') AS dispatched_at,
        max(t.occurred_at) FILTER (WHERE t.kind IN ('confirm', 'check') AND t.post_id IN (
            SELECT id FROM fieldops_post WHERE role IN ('grid_worker', 'street_chief'))) AS checked_at,
        max(t.occurred_at) FILTER (WHERE t.kind = 'send_back') AS returned_at,
        max(t.occurred_at) FILTER (WHERE t.kind = 'reopen') AS reopened_at,
        max(t.occurred_at) FILTER (WHERE t.kind = 'void') AS voided_at,
        max(t.version) FILTER (WHERE t.to_status = 'closed' AND t.from_status <> 'closed') AS closing,
        max(t.version) FILTER (WHERE t.kind = 'reopen') AS reopening,
        max(t.version) FILTER (WHERE t.kind = 'merge') AS merging,
        max(t.version) FILTER (WHERE t.kind = 'separate') AS separating,
        max(t.occurred_at) FILTER (WHERE t.to_status = 'closed' AND t.from_status <> 'closed') AS closed_last,
        count(*) FILTER (WHERE t.kind = 'send_back') AS returns,
        count(*) FILTER (WHERE t.kind = 'send_back' AND t.occurred_at >= %(begin)s) AS returns_in,
        count(*) FILTER (WHERE t.kind = 'recall') AS recalls,
        count(*) FILTER (WHERE t.kind = 'extend') AS extensions,
        count(*) FILTER (WHERE t.kind = 'rework') AS reworks
    FROM concerned JOIN fieldops_transition t ON t.event_id = concerned.id
    WHERE t.occurred_at < %(until)s AND t.recorded_at <= %(as_of)s
    GROUP BY t.event_id
),
orders AS (
    SELECT DISTINCT ON (w.event_id) w.event_id, w.department_id, w.post_id, w.due_at,
        CASE WHEN w.handled_at < %(until)s THEN w.handled_at END AS handled_at,
        w.finished_at IS NULL OR w.finished_at >= %(until)s AS open, w.finished_at > w.due_at AS ended_late
    FROM concerned JOIN fieldops_workorder w ON w.event_id = concerned.id
    WHERE w.part = 'lead' AND w.dispatched_at < %(until)s
    ORDER BY w.event_id, w.dispatched_at DESC, w.id DESC
),
reports AS (
    SELECT r.event_id, count(*) FILTER (WHERE r.received_at >= %(begin)s) AS reports,
        (array_agg(r.channel ORDER BY r.received_at, r.id))[1] AS channel,
        count(*) FILTER (WHERE r.replied_at >= %(begin)s AND r.replied_at < %(until)s OR (
            r.reply_due_at >= %(begin)s AND r.reply_due_at < %(until)s
            AND (r.replied_at IS NULL OR r.replied_at >= %(until)s))) AS to_reply,
        count(*) FILTER (WHERE r.replied_at >= %(begin)s AND r.replied_at < %(until)s
            AND r.replied_at <= r.reply_due_at) AS replied_in_time
    FROM concerned JOIN fieldops_report r ON r.event_id = concerned.id
    WHERE r.received_at < %(until)s GROUP BY r.event_id
),
asked AS (
    SELECT event_id, count(*) FILTER (WHERE asked_at >= %(begin)s) AS asked_back,
        count(*) FILTER (WHERE answered) AS called_back,
        count(*) FILTER (WHERE answered AND resolved) AS resolved,
        count(*) FILTER (WHERE answered AND rating = 'satisfied') AS satisfied,
        count(*) FILTER (WHERE answered AND rating = 'basically') AS basically,
        count(*) FILTER (WHERE answered AND rating = 'dissatisfied') AS dissatisfied
    FROM (
        SELECT b.*, b.answered_at >= %(begin)s AND b.answered_at < %(until)s AS answered
        FROM fieldops_callback b
        WHERE b.asked_at < %(until)s AND (b.asked_at >= %(begin)s OR b.answered_at >= %(begin)s)
    ) asked GROUP BY event_id
),
cards AS (
    SELECT s.event_id, count(*) AS supervised, count(*) FILTER (WHERE s.answered_at <= s.answer_due_at
        AND s.answered_at < %(until)s) AS supervised_answered
    FROM fieldops_supervision s
    WHERE s.asked_at >= %(begin)s AND s.asked_at < %(until)s GROUP BY s.event_id
),
tasks AS (
    SELECT event_id{sent}, count(*) FILTER (WHERE kind = 'verify') AS to_verify,
        count(*) FILTER (WHERE kind = 'verify' AND in_time) AS verified_in_time,
        count(*) FILTER (WHERE kind = 'check') AS to_check,
        count(*) FILTER (WHERE kind = 'check' AND in_time) AS checked_in_time
    FROM (
        SELECT event_id, kind, coalesce(done_by_id, person_id) AS sent_id,
            done_at <= due_at AND done_at < %(until)s AS in_time
        FROM fieldops_check
        WHERE asked_at >= %(begin)s AND asked_at < %(until)s AND (due_at < %(until)s OR done_at < %(until)s)
            AND (ended_at IS NULL OR ended_at >= %(until)s)
    ) c GROUP BY event_id{sent}
),
changed AS (
    SELECT t.event_id,
        (array_agg(t.data -> 'from_units' ORDER BY t.version) FILTER (WHERE t.kind = 'move_cell'))[1] AS units,
        (array_agg((t.data -> 'before' ->> 'condition')::bigint ORDER BY t.version)
            FILTER (WHERE t.kind = 'reclassify'))[1] AS condition_id
    FROM fieldops_transition t
    WHERE t.kind IN ('move_cell', 'reclassify') AND (t.occurred_at >= %(until)s OR t.recorded_at > %(as_of)s)
    GROUP BY t.event_id
),
cases AS (
    SELECT steps.*, coalesce(condition.event_class_id, concerned.event_class_id) AS event_class_id,
        orders.department_id, orders.post_id, orders.handled_at,
        CASE WHEN steps.closing > coalesce(reopening, 0) THEN closed_last END AS closed_at,
        CASE WHEN orders.open AND orders.handled_at IS NULL THEN (
            SELECT t.due_at FROM fieldops_transition t
            WHERE t.event_id = concerned.id AND t.occurred_at < %(until)s AND t.recorded_at <= %(as_of)s
            ORDER BY t.version DESC LIMIT 1
        ) ELSE orders.due_at END AS due_at,
        orders.handled_at IS NULL AND (orders.open OR orders.ended_late) AS unhandled,
        {organisations},
        {people},
        coalesce(reports, 0) AS reports, channel, coalesce(to_reply, 0) AS to_reply,
        coalesce(replied_in_time, 0) AS replied_in_time,
        coalesce(asked_back, 0) AS asked_back, coalesce(called_back, 0) AS called_back,
        coalesce(resolved, 0) AS resolved, coalesce(satisfied, 0) AS satisfied,
        coalesce(basically, 0) AS basically, coalesce(dissatisfied, 0) AS dissatisfied,
        coalesce(supervised, 0) AS supervised, coalesce(supervised_answered, 0) AS supervised_answered,
        coalesce(to_verify, 0) AS to_verify, coalesce(verified_in_time, 0) AS verified_in_time,
        coalesce(to_check, 0) AS to_check, coalesce(checked_in_time, 0) AS checked_in_time
    FROM concerned JOIN steps ON steps.event_id = concerned.id
    JOIN gridmap_cell cell ON cell.id = concerned.cell_id
    LEFT JOIN orders ON orders.event_id = concerned.id LEFT JOIN reports ON reports.event_id = concerned.id
    LEFT JOIN asked ON asked.event_id = concerned.id LEFT JOIN cards ON cards.event_id = concerned.id
    LEFT JOIN tasks ON tasks.event_id = concerned.id
    LEFT JOIN changed ON changed.event_id = concerned.id
    LEFT JOIN fieldops_filingcondition condition ON condition.id = changed.condition_id
    WHERE concerned.id NOT IN (SELECT event_id FROM insight_exclusion WHERE approved AND decided_at <= %(as_of)s)
),
facts AS (
    SELECT *, unhandled AND due_at < %(until)s AS overdue_at_end FROM cases
)
"""
_ORGANISATIONS = ", ".join(
    f"coalesce((changed.units ->> {number})::bigint, cell.{column}) AS {column}"
    for number, column in enumerate(LEVELS)
)
_WHO = {
    "reporter": "(SELECT r.reporter_id FROM fieldops_report r WHERE r.event_id = concerned.id "
    "ORDER BY r.received_at, r.id LIMIT 1) AS reporter_id",
    "handler": "(SELECT t.by_id FROM fieldops_transition t WHERE t.event_id = concerned.id AND t.kind = 'handle' "
    "AND t.occurred_at < %(until)s AND t.recorded_at <= %(as_of)s ORDER BY t.version DESC LIMIT 1) AS handler_id",
    "checker": "(SELECT t.by_id FROM fieldops_transition t WHERE t.event_id = concerned.id AND t.kind = 'confirm' "
    "AND t.occurred_at < %(until)s AND t.recorded_at <= %(as_of)s ORDER BY t.version DESC LIMIT 1) AS checker_id",
}
_WHO["sent"] = "tasks.sent_id AS sent_id"
_NOBODY = "NULL::bigint AS nobody"


def case_facts(*, who: str = "") -> str:
    """The WITH part of a statement, ending in the relation `facts`; who: its `reporter`, `handler` or `checker`, too.

    With who `sent` a case has a row for each person that was sent to look at it, with that person's tasks.
    Parameters: district, begin, end, as_of, and until (the earlier of end and as_of).
    """
    sent = ", sent_id" if who == "sent" else ""
    return _CASES.format(organisations=_ORGANISATIONS, people=_WHO.get(who, _NOBODY), sent=sent)
