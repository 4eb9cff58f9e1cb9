"""Reading mailboxes: the same code for sockets and for GET /sync."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from fieldops.errors import NotPermitted
from fieldops.models import Post

from .models import Letter, Mailbox

WINDOW = 100  # letters a read


@dataclass(frozen=True)
class Delivery:
    """Letters after a cursor. `reset`: the cursor cannot be served, the reader starts over from `last_seq`."""

    mailbox: int
    epoch: UUID
    last_seq: int
    reset: bool
    letters: list[dict[str, Any]]
    more: bool


def open_mailboxes(posts: Iterable[Post]) -> list[Mailbox]:
    """The mailboxes of these posts, made on first use."""
    ids = [post.pk for post in posts]
    Mailbox.objects.bulk_create([Mailbox(post_id=pk) for pk in sorted(ids)], ignore_conflicts=True)
    return list(Mailbox.objects.filter(pk__in=ids).order_by("pk"))


def read_letters(mailbox_id: int, *, epoch: UUID | None, cursor: int) -> Delivery:
    """The letters after the cursor, in order, at most a window of them; counter and letters of one snapshot."""
    with transaction.atomic():
        with connection.cursor() as sql:
            # Inside another transaction that one's snapshot rules.
            if not connection.savepoint_ids:
                sql.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        box = Mailbox.objects.get(pk=mailbox_id)
        known = epoch == box.epoch if epoch is not None else cursor == 0
        if not known or cursor < box.pruned_seq or cursor > box.last_seq:
            return Delivery(box.pk, box.epoch, box.last_seq, True, [], False)
        found = list(Letter.objects.filter(mailbox=box, seq__gt=cursor).order_by("seq")[: WINDOW + 1])
    more = len(found) > WINDOW
    return Delivery(
        box.pk, box.epoch, box.last_seq, False, [as_frame(letter) for letter in found[:WINDOW]], more
    )


def as_frame(letter: Letter) -> dict[str, Any]:
    """A letter as it goes over the wire."""
    return {
        "mailbox": letter.mailbox_id,
        "seq": letter.seq,
        "kind": letter.kind,
        "event": str(letter.event_id),
        "event_version": letter.event_version,
        "payload": letter.payload,
        "created_at": letter.created_at.isoformat(),
    }


@transaction.atomic
def acknowledge(mailbox_id: int, *, device: UUID, epoch: UUID, seq: int) -> int:
    """The device stored everything up to and with `seq` durably; returns how far it stands now.

    Cumulative, so a late or repeated acknowledgement changes nothing. Raises NotPermitted for letters
    that were never written, or of another epoch.
    """
    now = timezone.now()
    box = Mailbox.objects.get(pk=mailbox_id)
    if epoch != box.epoch or seq > box.last_seq:
        raise NotPermitted(mailbox=mailbox_id, last_seq=box.last_seq)
    with connection.cursor() as sql:
        sql.execute(
            """
            INSERT INTO realtime_mailboxack AS ack (mailbox_id, device_id, epoch, acked_seq, last_seen)
            VALUES (%(box)s, %(device)s, %(epoch)s, %(seq)s, %(now)s)
            ON CONFLICT (mailbox_id, device_id) DO UPDATE SET
                acked_seq = CASE WHEN ack.epoch = EXCLUDED.epoch
                                 THEN greatest(ack.acked_seq, EXCLUDED.acked_seq) ELSE EXCLUDED.acked_seq END,
                epoch = EXCLUDED.epoch, last_seen = EXCLUDED.last_seen
            RETURNING acked_seq
            """,
            {"box": mailbox_id, "device": device, "epoch": epoch, "seq": seq, "now": now},
        )
        [[acked]] = sql.fetchall()
    Letter.objects.filter(mailbox=box, seq__lte=acked, received_at__isnull=True).update(received_at=now)
    return acked
