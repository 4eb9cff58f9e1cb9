"""TELL: PostgreSQL is the truth of what was sent; everything else is only a doorbell."""

import uuid_utils.compat as uuid
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from fieldops.models import Event, Post


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
    CONFIRM = "confirm", _("Confirm on site")
    REQUEST = "request", _("A department asks for a decision")
    DECISION = "decision", _("What you asked for is decided")
    RESUMED = "resumed", _("Deferred work goes on")
    SENT_BACK = "sent_back", _("A department sent the case back")
    ANSWER = "answer", _("Your report has an answer")


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
        indexes = [models.Index(fields=["created_at"], name="letter_by_age")]
        constraints = [models.CheckConstraint(condition=Q(seq__gt=0), name="letters_count_from_one")]

    def __str__(self) -> str:
        return f"{self.mailbox_id}#{self.seq} {self.kind}"
