"""Reading mailboxes: the same code for sockets and for GET /sync."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, transaction
from django.utils import timezone

from fieldops.errors import NotPermitted
from fieldops.models import Post
from fieldops.queries import waiting_at
from fieldops.steps import fieldwork

from .models import LetterKind, Mailbox

WINDOW = 100  # letters a read
# What puts an open work order into a hand.
DISPATCHES = frozenset({LetterKind.DISPATCH, LetterKind.REWORK, LetterKind.ASSIST, LetterKind.WHISTLE})


@dataclass(frozen=True)
class Place:
    """How far a reader has come in a mailbox. Without an epoch only the beginning is a place."""

    mailbox: int
    epoch: UUID | None
    cursor: int


@dataclass(frozen=True)
class Delivery:
    """Letters after a place. `reset`: the place cannot be served, the reader starts over: see `start_over`.

    `holders` are the people who hold the post at the moment of reading.
    """

    mailbox: int
    epoch: UUID
    last_seq: int
    reset: bool
    letters: list[dict[str, Any]]
    more: bool
    holders: frozenset[int]
    snapshot: dict[str, Any] | None = None


# Who holds a post at the moment of the statement.
HOLDERS = """
    SELECT array_agg(h.user_id) AS ids
    FROM fieldops_holding h JOIN fieldops_user person ON person.id = h.user_id AND person.is_active
    WHERE h.post_id = {post} AND h.since <= now() AND (h.until IS NULL OR h.until > now())
"""

# One statement, so one snapshot: counters, letters and holders of every place fit together.
READ = f"""
SELECT place.n, box.epoch, box.last_seq, box.pruned_seq, holder.ids, letter.*
FROM unnest(%(mailboxes)s::bigint[], %(cursors)s::bigint[]) WITH ORDINALITY AS place(mailbox, seq, n)
JOIN realtime_mailbox box ON box.post_id = place.mailbox
CROSS JOIN LATERAL ({HOLDERS.format(post="box.post_id")}) holder
LEFT JOIN LATERAL (
    SELECT l.seq, l.kind, l.event_id, l.event_version, l.payload::text, l.created_at
    FROM realtime_letter l WHERE l.mailbox_id = box.post_id AND l.seq > place.seq
    ORDER BY l.seq LIMIT %(window)s
) letter ON true
ORDER BY place.n, letter.seq
"""  # noqa: S608


def arguments(places: Sequence[Place]) -> dict[str, Any]:
    """What READ is given."""
    return {
        "mailboxes": [place.mailbox for place in places],
        "cursors": [place.cursor for place in places],
        "window": WINDOW + 1,
    }


def deliveries(places: Sequence[Place], rows: Iterable[Sequence[Any]]) -> dict[Place, Delivery]:
    """What the rows of READ say; a mailbox that does not exist is left out."""
    found = {}
    for number, group in groupby(rows, key=itemgetter(0)):
        place, lines = places[number - 1], list(group)
        _, epoch, last_seq, pruned_seq, holders = lines[0][:5]
        known = place.epoch == epoch if place.epoch is not None else place.cursor == 0
        reset = not known or not pruned_seq <= place.cursor <= last_seq
        letters = [] if reset else [line[5:] for line in lines if line[5] is not None]
        found[place] = Delivery(
            place.mailbox,
            epoch,
            last_seq,
            reset,
            [_as_frame(place.mailbox, *letter) for letter in letters[:WINDOW]],
            len(letters) > WINDOW,
            frozenset(holders or ()),
        )
    return found


def _as_frame(
    mailbox: int, seq: int, kind: str, event: UUID, event_version: int, payload: str, created_at: Any
) -> dict[str, Any]:
    """A letter as it goes over the wire."""
    return {
        "mailbox": mailbox,
        "seq": seq,
        "kind": kind,
        "event": str(event),
        "event_version": event_version,
        "payload": json.loads(payload),
        "created_at": created_at.isoformat(),
    }


def frame_of(*letter: Any) -> str:
    """The text of the frame in which a letter goes over any number of wires; the columns are those of READ."""
    return as_text({"type": "letter", **_as_frame(*letter)})


def as_text(frame: dict[str, Any]) -> str:
    """JSON as short as it gets."""
    return json.dumps(frame, ensure_ascii=False, default=str, separators=(",", ":"))


def read_letters(mailbox_id: int, *, epoch: UUID | None, cursor: int) -> Delivery:
    """The letters after the cursor, in order, at most a window of them; after a reset none, but a snapshot.

    Raises Mailbox.DoesNotExist.
    """
    place = Place(mailbox_id, epoch, cursor)
    with connection.cursor() as sql:
        sql.execute(READ, arguments([place]))
        found = deliveries([place], sql.fetchall())
    if place not in found:
        raise Mailbox.DoesNotExist
    return start_over(found[place]) if found[place].reset else found[place]


def start_over(delivery: Delivery) -> Delivery:
    """The same with a snapshot: what waits at the post when letter `last_seq` was the newest.

    Number and snapshot are read in one REPEATABLE READ transaction, so a reader that takes the snapshot for the
    truth and goes on from the number misses nothing.
    """
    with transaction.atomic():
        with connection.cursor() as sql:
            # Inside another transaction that one's snapshot rules.
            if not connection.savepoint_ids:
                sql.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        box = Mailbox.objects.select_related("post__unit").get(pk=delivery.mailbox)
        snapshot = json.loads(json.dumps(waiting_at(box.post), cls=DjangoJSONEncoder))
    return replace(delivery, epoch=box.epoch, last_seq=box.last_seq, reset=True, snapshot=snapshot)


def open_mailboxes(posts: Iterable[Post]) -> list[Mailbox]:
    """The mailboxes of these posts, made on first use."""
    ids = [post.pk for post in posts]
    Mailbox.objects.bulk_create([Mailbox(post_id=pk) for pk in sorted(ids)], ignore_conflicts=True)
    return list(Mailbox.objects.filter(pk__in=ids).order_by("pk"))


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
        sql.execute(
            """
            UPDATE realtime_letter SET received_at = %(now)s
            WHERE mailbox_id = %(box)s AND seq <= %(seq)s AND received_at IS NULL
            RETURNING kind, payload->>'order'
            """,
            {"box": mailbox_id, "seq": acked, "now": now},
        )
        received = [UUID(order) for kind, order in sql.fetchall() if kind in DISPATCHES and order]
    if received:
        fieldwork.note_received(received, at=now)
    return acked
