"""What of delivery is timed."""

from celery import shared_task
from django.db import connection
from django.utils import timezone

from . import escalation, shifts, tracks
from .models import LetterRetention, Mailbox

# A letter goes when it is too old, or when it is old enough and every device that is still about has stored it.
# What goes is always the oldest part. The counter is locked last and for a moment only.
PRUNE = """
WITH waits AS (
    SELECT min(ack.acked_seq) AS acked FROM realtime_mailboxack ack
    JOIN realtime_mailbox box ON box.post_id = ack.mailbox_id
    WHERE ack.mailbox_id = %(box)s AND ack.epoch = box.epoch
      AND ack.last_seen > %(now)s - %(forgotten)s * interval '1 day'
), newest AS (
    SELECT max(letter.seq) AS seq FROM realtime_letter letter, waits
    WHERE letter.mailbox_id = %(box)s AND (
        letter.created_at < %(now)s - %(keep)s * interval '1 day'
        OR (letter.created_at < %(now)s - %(keep_acked)s * interval '1 day' AND letter.seq <= waits.acked))
), gone AS (
    DELETE FROM realtime_letter letter USING newest
    WHERE letter.mailbox_id = %(box)s AND letter.seq <= newest.seq RETURNING 1
), counted AS (
    UPDATE realtime_mailbox box SET pruned_seq = newest.seq FROM newest
    WHERE box.post_id = %(box)s AND newest.seq > box.pruned_seq
)
SELECT count(*) FROM gone
"""


@shared_task
def prune_letters() -> int:
    """Drop letters as each district's row of `LetterRetention` says; a device that comes back later gets a snapshot."""
    now, dropped = timezone.now(), 0
    rows = {row.district_id: row for row in LetterRetention.objects.all()}
    boxes = Mailbox.objects.order_by("pk").values_list("pk", "post__district")
    for box, district in boxes:
        held = rows.get(district) or LetterRetention()
        with connection.cursor() as sql:
            sql.execute(
                PRUNE,
                {
                    "box": box,
                    "now": now,
                    "keep": held.keep_days,
                    "keep_acked": held.keep_acknowledged_days,
                    "forgotten": held.device_forgotten_days,
                },
            )
            dropped += sql.fetchone()[0]
    return dropped


@shared_task
def escalate_undelivered() -> int:
    """Go one stage further with every letter that nobody acknowledged in time."""
    return escalation.escalate()


@shared_task
def send_notifications() -> int:
    """Send what has to leave the house."""
    return escalation.send_notifications()


@shared_task
def keep_tracks() -> tuple[int, int]:
    """Partitions made ahead, and dropped when their time is over."""
    return tracks.keep_tracks()


@shared_task
def end_forgotten_shifts() -> int:
    """Nobody stays on duty, and followed, because of a forgotten button."""
    return shifts.end_forgotten_shifts()
