"""回访: what everyone who reported a case is asked once it is closed."""

from datetime import timedelta

from django.contrib.gis.db import models
from django.core.validators import MinValueValidator
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from gridmap.models import District

from .cases import Event, Report
from .keys import uuid_key
from .people import Post, User


class Way(models.TextChoices):
    """How a reporter is asked."""

    APP = "app", _("In the app")
    DESK = "desk", _("By telephone, from the desk")
    CODE = "code", _("By the code of the report")


class Rating(models.TextChoices):
    SATISFIED = "satisfied", _("Satisfied")
    BASICALLY = "basically", _("Basically satisfied")
    DISSATISFIED = "dissatisfied", _("Dissatisfied")


class CallBackPolicy(models.Model):
    """How long a district waits for an answer, and until when one reopens the case; without a row these defaults."""

    district = models.OneToOneField(
        District,
        models.CASCADE,
        primary_key=True,
        verbose_name=_("district"),
        related_name="call_back_policy",
    )
    answer_days = models.PositiveSmallIntegerField(
        _("days to answer"), default=7, validators=[MinValueValidator(1)]
    )
    reopen_days = models.PositiveSmallIntegerField(
        _("days from closing in which a case is reopened"), default=15
    )

    class Meta:
        verbose_name = _("policy for call-backs")
        verbose_name_plural = _("policies for call-backs")
        constraints = [
            models.CheckConstraint(condition=Q(answer_days__gte=1), name="a_call_back_waits_a_day_at_least")
        ]

    def __str__(self) -> str:
        return str(self.district)

    @property
    def waits(self) -> timedelta:
        """How long an answer is waited for."""
        return timedelta(days=self.answer_days)

    @property
    def reopens(self) -> timedelta:
        """How long after closing a case can be reopened."""
        return timedelta(days=self.reopen_days)


class CallBack(models.Model):
    """One question to one reporter after one closing of the case."""

    id = uuid_key()
    event = models.ForeignKey(Event, models.PROTECT, verbose_name=_("case"), related_name="call_backs")
    report = models.ForeignKey(Report, models.PROTECT, verbose_name=_("report"), related_name="call_backs")
    closing_version = models.PositiveIntegerField(_("version at which the case was closed"))
    way = models.CharField(_("way"), max_length=4, choices=Way)
    closed_at = models.DateTimeField(_("closed"))
    asked_at = models.DateTimeField(_("asked"))
    answer_until = models.DateTimeField(_("waited for until"))
    timed_out_at = models.DateTimeField(_("timed out"), null=True)
    answered_at = models.DateTimeField(_("answered"), null=True)
    rating = models.CharField(_("rating"), max_length=12, choices=Rating, blank=True)
    resolved = models.BooleanField(_("resolved"), null=True)
    reason = models.TextField(_("reason"), max_length=2000, blank=True)
    # Who wrote the answer down; nobody, where it came by code.
    answered_by = models.ForeignKey(
        User, models.PROTECT, verbose_name=_("answered by"), null=True, related_name="call_backs"
    )
    reopened = models.BooleanField(_("reopened the case"), default=False)

    class Meta:
        verbose_name = _("call-back")
        verbose_name_plural = _("call-backs")
        ordering = ["asked_at"]
        indexes = [
            models.Index(
                fields=["answer_until"],
                condition=Q(answered_at__isnull=True, timed_out_at__isnull=True),
                name="call_backs_open",
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["report", "closing_version"], name="a_reporter_is_asked_once_a_closing"
            ),
            models.UniqueConstraint(
                fields=["event"], condition=Q(reopened=True), name="a_case_is_reopened_once"
            ),
            models.CheckConstraint(
                condition=Q(answered_at__isnull=True, rating="", resolved__isnull=True, reopened=False)
                | (Q(answered_at__isnull=False, resolved__isnull=False) & ~Q(rating="")),
                name="an_answered_call_back_has_a_rating",
            ),
            models.CheckConstraint(
                condition=~Q(rating=Rating.DISSATISFIED) | ~Q(reason=""),
                name="who_is_dissatisfied_says_why",
            ),
            models.CheckConstraint(
                condition=Q(answer_until__gt=F("asked_at")), name="a_call_back_leaves_time_to_answer"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event}: {self.get_rating_display() or '…'}"


class ContactAccess(models.Model):
    """Who read the telephone number of a reporter, to call back."""

    report = models.ForeignKey(
        Report, models.PROTECT, verbose_name=_("report"), related_name="contact_accesses"
    )
    by = models.ForeignKey(User, models.PROTECT, verbose_name=_("by"), related_name="contact_accesses")
    post = models.ForeignKey(
        Post, models.PROTECT, verbose_name=_("acting as"), related_name="contact_accesses"
    )
    at = models.DateTimeField(_("at"))

    class Meta:
        verbose_name = _("look at a reporter's contact")
        verbose_name_plural = _("looks at reporters' contacts")
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.by} · {self.report_id}"
