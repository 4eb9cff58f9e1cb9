"""TELL: PostgreSQL is the truth of what was sent; everything else is only a doorbell."""

import uuid_utils.compat as uuid
from django.conf import settings
from django.contrib.gis.db import models
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db.models import F, Q
from django.db.models.functions import Mod
from django.db.models.lookups import Exact
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from fieldops.models import Event, Post, User
from gridmap.coordinates import DECLARED_SYSTEM
from gridmap.models import WGS84, District
from gridmap.models.history import kept_history

from . import notify


class Mailbox(models.Model):
    """The counter of one post's letters. `epoch` changes when history is lost (a restored backup)."""

    post = models.OneToOneField(Post, models.CASCADE, primary_key=True, related_name="mailbox")
    epoch = models.UUIDField(default=uuid.uuid4, editable=False)
    last_seq = models.BigIntegerField(default=0)
    pruned_seq = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = _("mailbox")
        verbose_name_plural = _("mailboxes")
        constraints = [
            models.CheckConstraint(
                condition=Q(pruned_seq__gte=0) & Q(pruned_seq__lte=F("last_seq")),
                name="a_mailbox_prunes_no_further_than_it_wrote",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.post_id} @ {self.last_seq}"


class MailboxAck(models.Model):
    """How far one device has stored a mailbox durably. Apart from the counter, so acks never block writers."""

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="acks")
    device_id = models.UUIDField()
    epoch = models.UUIDField()
    acked_seq = models.BigIntegerField(default=0)
    last_seen = models.DateTimeField()

    class Meta:
        verbose_name = _("acknowledgement")
        verbose_name_plural = _("acknowledgements")
        constraints = [
            models.UniqueConstraint(
                fields=["mailbox", "device_id"], name="a_device_acknowledges_a_mailbox_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.mailbox_id}/{self.device_id} ≤ {self.acked_seq}"


class LetterKind(models.TextChoices):
    """What the recipient is asked to do or told."""

    INTAKE = "intake", _("A report waits at the intake desk")
    ASSIGNMENT = "assignment", _("A case waits for dispatch")
    DISPATCH = "dispatch", _("You are dispatched")
    REWORK = "rework", _("The case came back for rework")
    RECALL = "recall", _("Your dispatch is recalled")
    EXPIRED = "expired", _("A dispatch was not taken on in time")
    UNDELIVERED = "undelivered", _("A letter is not acknowledged")
    CONFIRM = "confirm", _("Confirm on site")
    REQUEST = "request", _("A department asks for a decision")
    DECISION = "decision", _("What you asked for is decided")
    RESUMED = "resumed", _("Deferred work goes on")
    MOVED = "moved", _("The case moved to another cell")
    SENT_BACK = "sent_back", _("A department sent the case back")
    ANSWER = "answer", _("Your report has an answer")
    SUPERVISION = "supervision", _("A supervision wants your answer")
    REPLY = "reply", _("A supervision is answered")
    CALL_BACK = "call_back", _("Are you satisfied?")
    VERIFY = "verify", _("Verify a report on site")
    CHECK = "check", _("Check on site what was handled")
    ASSIST = "assist", _("You are called to assist")
    WHISTLE = "whistle", _("You are called to the spot")
    RELEASED = "released", _("Your assistance is over")
    ASSISTED = "assisted", _("An assisting department answered")
    RECLASSIFIED = "reclassified", _("The class of your case changed")
    JOINED = "joined", _("Another report of your case came in")
    RECKONED = "reckoned", _("The due time has moved")


class Letter(models.Model):
    """One thing a recipient must see; numbered without gaps within its mailbox."""

    pk = models.CompositePrimaryKey("mailbox_id", "seq")
    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="letters")
    seq = models.BigIntegerField()
    kind = models.CharField(max_length=12, choices=LetterKind)
    event = models.ForeignKey(Event, models.PROTECT, related_name="letters")
    event_version = models.PositiveIntegerField()
    payload = models.JSONField()
    created_at = models.DateTimeField()
    received_at = models.DateTimeField(null=True)  # first acknowledged: stored durably on a device

    class Meta:
        verbose_name = _("letter")
        verbose_name_plural = _("letters")
        indexes = [
            models.Index(fields=["created_at"], name="letter_by_age"),
            models.Index(
                fields=["kind", "created_at"],
                condition=Q(received_at__isnull=True),
                name="letters_not_received",
            ),
        ]
        constraints = [models.CheckConstraint(condition=Q(seq__gt=0), name="letters_count_from_one")]

    def __str__(self) -> str:
        return f"{self.mailbox_id}#{self.seq} {self.kind}"


# --- proof of delivery ------------------------------------------------------------------------------


class Stage(models.TextChoices):
    """How far it went with a letter that no device acknowledges."""

    RECIPIENT = "recipient", _("The recipient is alerted")
    DISPATCHER = "dispatcher", _("The dispatcher is told")
    SUPERVISOR = "supervisor", _("The supervisor is told")


class DeliveryPolicy(models.Model):
    """After how long a letter of a kind that no device acknowledged goes to whom.

    Without a row the defaults hold for dispatch, rework and recall, and letters of other kinds go to nobody.
    """

    district = models.ForeignKey(
        District, models.CASCADE, verbose_name=_("district"), related_name="delivery_policies"
    )
    kind = models.CharField(_("kind of letter"), max_length=12, choices=LetterKind)
    recipient_after = models.PositiveIntegerField(_("alert the recipient after, seconds"), default=60)
    dispatcher_after = models.PositiveIntegerField(_("tell the dispatcher after, seconds"), default=180)
    supervisor_after = models.PositiveIntegerField(_("tell the supervisor after, seconds"), default=600)
    adapters = ArrayField(
        models.CharField(max_length=20),
        verbose_name=_("ways to alert"),
        default=list,
        blank=True,
        help_text=_("names from the setting NOTIFY_ADAPTERS, separated by commas; empty: all"),
    )
    since = models.DateTimeField(_("for letters written since"), default=timezone.now)

    class Meta:
        verbose_name = _("delivery policy")
        verbose_name_plural = _("delivery policies")
        constraints = [
            models.UniqueConstraint(
                fields=["district", "kind"], name="a_kind_of_letter_has_one_policy_in_a_district"
            ),
            models.CheckConstraint(
                condition=Q(recipient_after__lt=F("dispatcher_after"))
                & Q(dispatcher_after__lt=F("supervisor_after")),
                name="each_stage_comes_after_the_one_before",
            ),
            models.CheckConstraint(
                condition=~Q(kind=LetterKind.UNDELIVERED), name="a_warning_is_not_warned_of"
            ),
        ]

    def __str__(self) -> str:
        return self.get_kind_display()

    def clean(self) -> None:
        """Only adapters that the installation has."""
        unknown = sorted(set(self.adapters) - set(settings.NOTIFY_ADAPTERS))
        if unknown:
            raise ValidationError({"adapters": _("There is no such adapter: %s") % ", ".join(unknown)})


class ContactDetail(models.Model):
    """Where an adapter reaches a person; nothing else is known of them here."""

    user = models.ForeignKey(User, models.CASCADE, verbose_name=_("person"), related_name="contact_details")
    adapter = models.CharField(_("adapter"), max_length=20)
    address = models.CharField(_("address"), max_length=300)

    class Meta:
        verbose_name = _("contact detail")
        verbose_name_plural = _("contact details")
        constraints = [
            models.UniqueConstraint(
                fields=["user", "adapter"], name="an_adapter_reaches_a_person_at_one_address"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} · {self.adapter}"

    def clean(self) -> None:
        """Only where the adapter could send."""
        try:
            notify.adapter(self.adapter).check(self.address)
        except KeyError:
            raise ValidationError({"adapter": _("There is no such adapter: %s") % self.adapter}) from None
        except ValueError as error:
            raise ValidationError({"address": str(error)}) from error


class Escalation(models.Model):
    """One stage that one letter reached without being acknowledged. Outlives the letter."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid7, editable=False)
    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="escalations")
    seq = models.BigIntegerField()
    stage = models.CharField(max_length=12, choices=Stage)
    kind = models.CharField(max_length=12, choices=LetterKind)
    event = models.ForeignKey(Event, models.PROTECT, related_name="escalations")
    post = models.ForeignKey(Post, models.PROTECT, related_name="+")  # who is told
    raised_at = models.DateTimeField()

    class Meta:
        verbose_name = _("escalation")
        verbose_name_plural = _("escalations")
        constraints = [
            models.UniqueConstraint(fields=["mailbox", "seq", "stage"], name="a_letter_reaches_a_stage_once"),
        ]

    def __str__(self) -> str:
        return f"{self.mailbox_id}#{self.seq} → {self.stage}"


class Notification(models.Model):
    """One message that leaves the house. Its key goes along with every try: who gets it twice can tell."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid7, editable=False)
    escalation = models.ForeignKey(Escalation, models.CASCADE, related_name="notifications")
    adapter = models.CharField(max_length=20)
    recipient = models.ForeignKey(User, models.CASCADE, related_name="+")
    tries = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True)  # empty once it is sent, or given up
    sent_at = models.DateTimeField(null=True)
    problem = models.CharField(max_length=200, blank=True)

    class Meta:
        verbose_name = _("notification")
        verbose_name_plural = _("notifications")
        indexes = [
            models.Index(
                fields=["next_try_at"], condition=Q(next_try_at__isnull=False), name="notifications_to_send"
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["escalation", "adapter", "recipient"], name="a_stage_alerts_a_person_once_each_way"
            ),
            models.CheckConstraint(
                condition=Q(sent_at__isnull=True) | Q(next_try_at__isnull=True), name="what_is_sent_is_done"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.adapter} {self.id}"


class LetterRetention(models.Model):
    """When a district's letters are dropped. Without a row the defaults hold."""

    district = models.OneToOneField(
        District,
        models.CASCADE,
        primary_key=True,
        verbose_name=_("district"),
        related_name="letter_retention",
    )
    keep_days = models.PositiveIntegerField(
        _("days kept at most"), default=90, help_text=_("acknowledged or not")
    )
    keep_acknowledged_days = models.PositiveIntegerField(
        _("days kept once every device has acknowledged"), default=30
    )
    device_forgotten_days = models.PositiveIntegerField(
        _("days after which a silent device is not waited for"), default=30
    )

    class Meta:
        verbose_name = _("retention of letters")
        verbose_name_plural = _("retention of letters")
        constraints = [
            models.CheckConstraint(
                condition=Q(keep_acknowledged_days__gt=0)
                & Q(keep_acknowledged_days__lte=F("keep_days"))
                & Q(device_forgotten_days__gt=0),
                name="acknowledged_letters_go_no_later_than_others",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.district_id}"


# --- on duty, and where -----------------------------------------------------------------------------


class TrackPolicy(models.Model):
    """What a district keeps of its workers' positions, and for how long; without a row these defaults hold."""

    district = models.OneToOneField(
        District, models.CASCADE, primary_key=True, verbose_name=_("district"), related_name="track_policy"
    )
    keep_days = models.PositiveSmallIntegerField(_("tracks are kept, days"), default=90)
    longest_shift_hours = models.PositiveSmallIntegerField(
        _("longest shift, hours"), default=14, help_text=_("a shift nobody ended is ended by then")
    )
    impossible_speed_kmh = models.PositiveSmallIntegerField(
        _("impossible speed, km/h"), default=150, help_text=_("a faster jump between two fixes is flagged")
    )

    class Meta:
        verbose_name = _("policy for tracks")
        verbose_name_plural = _("policies for tracks")
        constraints = [
            models.CheckConstraint(
                condition=Q(keep_days__gte=1, keep_days__lte=730), name="tracks_are_kept_a_day_to_two_years"
            ),
            models.CheckConstraint(
                condition=Q(longest_shift_hours__gte=1, longest_shift_hours__lte=24),
                name="a_shift_lasts_a_day_at_most",
            ),
            models.CheckConstraint(
                condition=Q(impossible_speed_kmh__gte=20), name="an_impossible_speed_is_faster_than_walking"
            ),
        ]

    def __str__(self) -> str:
        return str(self.district)


class Shift(models.Model):
    """A person on duty on a post, from clocking in to clocking out; its key is made by the device.

    Positions are kept only within a shift.
    """

    id = models.UUIDField(primary_key=True)
    post = models.ForeignKey(Post, models.PROTECT, verbose_name=_("post"), related_name="shifts")
    user = models.ForeignKey(User, models.PROTECT, verbose_name=_("person"), related_name="shifts")
    started_at = models.DateTimeField(_("clocked in"))
    ended_at = models.DateTimeField(_("clocked out"), null=True, blank=True)
    forgotten = models.BooleanField(_("ended by the system"), default=False)

    class Meta:
        verbose_name = _("shift")
        verbose_name_plural = _("shifts")
        ordering = ["-started_at"]
        indexes = [
            models.Index(fields=["user", "-started_at"], name="shift_by_person"),
            models.Index(fields=["post", "-started_at"], name="shift_by_post"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["user"], condition=Q(ended_at__isnull=True), name="a_person_is_on_one_shift_at_a_time"
            ),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True) | Q(ended_at__gte=F("started_at")),
                name="a_shift_ends_after_it_began",
            ),
            models.CheckConstraint(
                condition=Q(forgotten=False) | Q(ended_at__isnull=False),
                name="only_an_ended_shift_was_forgotten",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} · {self.post} · {self.started_at:%Y-%m-%d %H:%M}"


class TrackPoint(models.Model):
    """One fix of a shift. Partitioned by the day (UTC) of `fix_at`; `tracks` makes and drops the partitions.

    The key makes a fix that is written twice one row. `point` is WGS-84; x, y and system are as they were sent.
    """

    pk = models.CompositePrimaryKey("shift_id", "fix_at", "device_id")
    shift = models.ForeignKey(Shift, models.PROTECT, related_name="track")
    device_id = models.UUIDField()
    fix_at = models.DateTimeField()  # the device's clock
    received_at = models.DateTimeField()
    point = models.PointField(srid=WGS84, spatial_index=False)
    x = models.FloatField()
    y = models.FloatField()
    system = models.CharField(max_length=20)
    accuracy_m = models.FloatField(null=True)
    battery = models.PositiveSmallIntegerField(null=True)  # per cent
    mock = models.BooleanField()  # the device says that the place was set by an app
    jump = models.BooleanField()  # an impossible speed from or to its neighbour in time

    class Meta:
        verbose_name = _("point of a track")
        verbose_name_plural = _("points of tracks")
        constraints = [
            models.CheckConstraint(
                condition=Q(battery__isnull=True) | Q(battery__lte=100), name="a_battery_is_full_at_100"
            ),
            models.CheckConstraint(
                condition=Q(accuracy_m__isnull=True) | Q(accuracy_m__gte=0), name="an_accuracy_is_a_radius"
            ),
            models.CheckConstraint(
                condition=Q(system__regex=DECLARED_SYSTEM), name="a_fix_names_its_coordinate_system"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.shift_id} {self.fix_at:%H:%M:%S}"


class AreaCrossing(models.Model):
    """A worker entered or left the cells of the own area. The first crossing of a shift is an entry, and whether
    one is follows from its number: two entries in a row cannot be written down.
    """

    pk = models.CompositePrimaryKey("shift_id", "number")
    shift = models.ForeignKey(Shift, models.PROTECT, related_name="crossings")
    number = models.PositiveIntegerField()
    entered = models.GeneratedField(
        expression=Exact(Mod(F("number"), 2), 1), output_field=models.BooleanField(), db_persist=True
    )
    at = models.DateTimeField()
    point = models.PointField(srid=WGS84, spatial_index=False)
    accuracy_m = models.FloatField()

    class Meta:
        verbose_name = _("crossing of the border")
        verbose_name_plural = _("crossings of the border")
        constraints = [
            models.CheckConstraint(condition=Q(number__gte=1), name="crossings_count_from_one"),
        ]

    def __str__(self) -> str:
        return f"{self.shift_id} #{self.number}"


class TrackAccess(models.Model):
    """Who looked at whose track, when, and why: written before the track is read, never changed."""

    id = models.BigAutoField(primary_key=True)
    shift = models.ForeignKey(Shift, models.PROTECT, verbose_name=_("shift"), related_name="accesses")
    by = models.ForeignKey(User, models.PROTECT, verbose_name=_("by"), related_name="track_accesses")
    post = models.ForeignKey(Post, models.PROTECT, verbose_name=_("acting as"), related_name="track_accesses")
    at = models.DateTimeField(_("when"))
    purpose = models.CharField(_("purpose"), max_length=200)

    class Meta:
        verbose_name = _("access to a track")
        verbose_name_plural = _("accesses to tracks")
        ordering = ["-at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(purpose__regex=r"\S\s*\S"), name="a_track_is_read_for_a_stated_purpose"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.by} → {self.shift}"


class DeliveryPolicyChange(kept_history(DeliveryPolicy)):  # type: ignore[misc]
    """A state of a delivery policy's row."""


class LetterRetentionChange(kept_history(LetterRetention)):  # type: ignore[misc]
    """A state of a row of how long letters are kept."""


class TrackPolicyChange(kept_history(TrackPolicy)):  # type: ignore[misc]
    """A state of a row of how long tracks are kept."""
