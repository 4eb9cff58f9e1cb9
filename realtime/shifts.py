"""On duty and off duty: clocking in, clocking out, and ending what somebody forgot to end."""

import json
import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from uuid import UUID

import redis
from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils import timezone

from fieldops.errors import AlreadyOnShift, NotOnShift, NotPermitted, SubmissionConflict
from fieldops.models import User
from fieldops.rights import current_posts
from fieldops.status import Role

from .models import Shift, TrackPolicy
from .stores import store

log = logging.getLogger(__name__)
# Who is followed on the map while on duty; desks and departments are not.
FIELD_ROLES = frozenset({Role.GRID_WORKER, Role.STREET_CHIEF})
# Fixes that a phone could not send are taken so long after the end of their shift.
LATE = timedelta(hours=24)
DUTY_SECONDS = 300


@transaction.atomic
def clock_in(shift_id: UUID, *, by: User, post_id: int | None = None) -> Shift:
    """Begin a shift on a post that the person holds; the first of them when none is named.

    The same key again is the same shift. Raises NotPermitted without such a post, AlreadyOnShift,
    SubmissionConflict for a key that is somebody else's.
    """
    known = Shift.objects.filter(pk=shift_id).select_related("post__unit", "user").first()
    if known:
        if known.user_id != by.pk:
            raise SubmissionConflict
        return known
    posts = [post for post in current_posts(by) if post.role in FIELD_ROLES]
    chosen = next((post for post in posts if post_id in (None, post.pk)), None)
    if chosen is None:
        raise NotPermitted
    shift = Shift(pk=shift_id, post=chosen, user=by, started_at=timezone.now())
    try:
        with transaction.atomic():
            shift.save(force_insert=True)
    except IntegrityError:
        known = Shift.objects.filter(pk=shift_id, user=by).first()
        if known:
            return known
        open_one = Shift.objects.filter(user=by, ended_at__isnull=True).first()
        raise (AlreadyOnShift(shift=str(open_one.pk)) if open_one else SubmissionConflict()) from None
    _tell_after_commit(by.pk)
    return shift


@transaction.atomic
def clock_out(*, by: User, shift_id: UUID | None = None) -> Shift:
    """End the shift the person is on; a shift that has ended already, named by its key, is answered as it is.

    Raises NotOnShift.
    """
    shifts = (
        Shift.objects.select_for_update(of=("self",), no_key=True)
        .select_related("post__unit", "user")
        .filter(user=by)
    )
    named = Q(pk=shift_id) if shift_id else Q(ended_at__isnull=True)
    shift = shifts.filter(named).first()
    if shift is None:
        raise NotOnShift
    if shift.ended_at is None:
        shift.ended_at = timezone.now()
        shift.save(update_fields=["ended_at"])
        _tell_after_commit(by.pk)
    return shift


def current_shift(user: User) -> Shift | None:
    """The shift the person is on."""
    return Shift.objects.select_related("post__unit", "user").filter(user=user, ended_at__isnull=True).first()


@transaction.atomic
def end_forgotten_shifts() -> int:
    """End shifts that outlasted the district's longest, and those whose person no longer holds the post."""
    now = timezone.now()
    held = Q(post__holdings__user=F("user"), post__holdings__since__lte=now) & (
        Q(post__holdings__until__isnull=True) | Q(post__holdings__until__gt=now)
    )
    open_ones = Shift.objects.filter(ended_at__isnull=True)
    holding = set(open_ones.filter(held, user__is_active=True).values_list("pk", flat=True))
    longest = dict(TrackPolicy.objects.values_list("district", "longest_shift_hours"))
    usual = TrackPolicy().longest_shift_hours
    ended = 0
    for shift in (
        open_ones.select_related("post")
        .select_for_update(of=("self",), skip_locked=True, no_key=True)
        .order_by("pk")
    ):
        last = shift.started_at + timedelta(hours=longest.get(shift.post.district_id, usual))
        if last > now and shift.pk in holding:
            continue
        shift.ended_at, shift.forgotten = min(last, now), True
        shift.save(update_fields=["ended_at", "forgotten"])
        _tell_after_commit(shift.user_id)
        ended += 1
    return ended


# --- what the door for positions asks a thousand times a second: kept in Redis, true in PostgreSQL ---


@dataclass(frozen=True, slots=True)
class Span:
    """A shift as a stretch of time, in milliseconds since 1970."""

    shift: str
    start: int
    end: int | None

    def holds(self, at: int) -> bool:
        """Whether the moment lies within."""
        return self.start <= at and (self.end is None or at <= self.end)


@dataclass(frozen=True, slots=True)
class Duty:
    """When a person is, and lately was, on duty, and from which speed on a fix is doubted."""

    spans: list[Span]
    impossible_speed_kmh: int

    def shift_at(self, at: int) -> str | None:
        """The shift that a fix of this moment belongs to."""
        return next((span.shift for span in self.spans if span.holds(at)), None)

    def dump(self) -> str:
        """As text."""
        return json.dumps([[asdict(span) for span in self.spans], self.impossible_speed_kmh])

    @classmethod
    def load(cls, text: str) -> "Duty":
        """From text."""
        spans, speed = json.loads(text)
        return cls([Span(**span) for span in spans], speed)


def duty_key(user_id: int) -> str:
    """Where Redis keeps a person's duty."""
    return f"grid:duty:{user_id}"


def fix_key(shift: str) -> str:
    """Where Redis keeps the last fix of a shift."""
    return f"grid:fix:{shift}"


def read_duties(user_ids: Iterable[int]) -> dict[int, Duty]:
    """The duties of these people as PostgreSQL knows them, remembered in Redis; one statement."""
    ids = set(user_ids)
    spans: dict[int, list[Span]] = defaultdict(list)
    speeds: dict[int, int] = {}
    lately = Q(ended_at__isnull=True) | Q(ended_at__gt=timezone.now() - LATE)
    rows = Shift.objects.filter(lately, user__in=ids).order_by("-started_at")
    usual = TrackPolicy().impossible_speed_kmh
    for pk, user, start, end, speed in rows.values_list(
        "pk", "user_id", "started_at", "ended_at", "post__district__track_policy__impossible_speed_kmh"
    ):
        spans[user].append(Span(str(pk), as_ms(start), as_ms(end) if end else None))
        speeds.setdefault(user, speed or usual)
    duties = {user: Duty(spans[user], speeds.get(user, usual)) for user in ids}
    pipe = store().pipeline(transaction=False)
    for user, duty in duties.items():
        pipe.set(duty_key(user), duty.dump(), ex=DUTY_SECONDS)
    pipe.execute()
    return duties


def as_ms(moment: datetime) -> int:
    """Milliseconds since 1970."""
    return round(moment.timestamp() * 1000)


def _tell_after_commit(user_id: int) -> None:
    def tell() -> None:
        try:
            read_duties([user_id])
        except redis.RedisError as error:
            log.warning("duty not remembered, positions wait for Redis anyway: %s", error)

    transaction.on_commit(tell, robust=True)
