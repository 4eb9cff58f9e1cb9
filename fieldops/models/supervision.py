"""督办: who is pressed when a case slips, by which rule or by whose hand, and what they answered."""

from django.contrib.gis.db import models
from django.core.validators import MinValueValidator
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from gridmap.models import District, Level

from .cases import Event, WorkOrder
from .keys import uuid_key
from .people import Post, User
from .rules import Stage


class Card(models.TextChoices):
    """How hard somebody is pressed."""

    REMINDER = "reminder", _("Reminder")
    YELLOW = "yellow", _("Yellow card")
    RED = "red", _("Red card")


class Occasion(models.TextChoices):
    """What a rule of supervision looks at."""

    CASE = "case", _("The case's limit")
    STAGE = "stage", _("The limit of a stage")
    UNANSWERED = "unanswered", _("A supervision without an answer")


class SupervisionRule(models.Model):
    """At so many percent of a limit, a card to whoever has to act, or to one of the five organisations of the cell.

    80 % is where the light turns yellow, 100 % the due time, and each 100 beyond one limit more, in the same kind of
    time as the limit. A supervision that was not answered in time climbs by the rule of its card: the next
    organisation upwards that has somebody gets the card named here.
    """

    district = models.ForeignKey(
        District, models.CASCADE, verbose_name=_("district"), related_name="supervision_rules"
    )
    occasion = models.CharField(_("of what"), max_length=10, choices=Occasion)
    stage = models.CharField(
        _("stage"), max_length=10, choices=Stage, blank=True, help_text=_("for the limit of a stage alone")
    )
    unanswered = models.CharField(
        _("the card without an answer"),
        max_length=8,
        choices=Card,
        blank=True,
        help_text=_("for a supervision without an answer alone"),
    )
    percent = models.PositiveIntegerField(
        _("at percent of the limit"), default=100, help_text=_("80, or 100 and more")
    )
    card = models.CharField(_("card"), max_length=8, choices=Card)
    level = models.PositiveSmallIntegerField(
        _("to the organisation of level"),
        choices=Level,
        null=True,
        blank=True,
        help_text=_(
            "empty: to whoever has to act; for a supervision without an answer, the next one upwards"
        ),
    )
    answer_minutes = models.PositiveIntegerField(
        _("to be answered within, minutes"),
        default=60,
        validators=[MinValueValidator(1)],
        help_text=_("of working time; of an urgent case, without a break"),
    )
    since = models.DateTimeField(_("for limits that run out since"), default=timezone.now)

    class Meta:
        verbose_name = _("rule of supervision")
        verbose_name_plural = _("rules of supervision")
        ordering = ["district", "occasion", "stage", "percent"]
        constraints = [
            models.UniqueConstraint(
                fields=["district", "occasion", "stage", "unanswered", "percent", "level"],
                name="an_occasion_has_one_rule_of_supervision",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=Q(percent=80) | Q(percent__gte=100),
                name="a_supervision_comes_with_the_yellow_light_or_later",
            ),
            models.CheckConstraint(
                condition=Q(occasion=Occasion.CASE, stage="", unanswered="")
                | (Q(occasion=Occasion.STAGE, unanswered="") & ~Q(stage=""))
                | (Q(occasion=Occasion.UNANSWERED, stage="", percent=100, level=None) & ~Q(unanswered="")),
                name="a_rule_of_supervision_says_of_what",
            ),
            models.CheckConstraint(condition=Q(answer_minutes__gt=0), name="an_answer_has_time"),
        ]

    def __str__(self) -> str:
        return f"{self.why} → {self.get_card_display()}"

    @property
    def why(self) -> str:
        """What it acts on, in words."""
        if self.unanswered:
            return str(_("No answer to: %(card)s") % {"card": self.get_unanswered_display()})
        of = [self.get_occasion_display(), self.get_stage_display(), f"{self.percent} %"]
        return " · ".join(filter(None, of))


class Supervision(models.Model):
    """One card: to whom, about which case, why, and the answer it wants.

    `subject` is what a rule acts on once: an order with its extensions, or a stage that began at a moment.
    """

    id = uuid_key()
    event = models.ForeignKey(Event, models.PROTECT, verbose_name=_("case"), related_name="supervisions")
    work_order = models.ForeignKey(
        WorkOrder, models.PROTECT, verbose_name=_("work order"), null=True, related_name="supervisions"
    )
    card = models.CharField(_("card"), max_length=8, choices=Card)
    level = models.PositiveSmallIntegerField(_("level"), choices=Level, null=True)
    post = models.ForeignKey(
        Post, models.PROTECT, verbose_name=_("addressed to"), related_name="supervisions"
    )
    rule = models.ForeignKey(
        SupervisionRule, models.SET_NULL, verbose_name=_("rule"), null=True, related_name="supervisions"
    )
    subject = models.CharField(_("what it is about"), max_length=100, blank=True)
    follows = models.ForeignKey(
        "self", models.PROTECT, verbose_name=_("after the unanswered"), null=True, related_name="followed_by"
    )
    by = models.ForeignKey(User, models.PROTECT, verbose_name=_("by"), null=True, related_name="supervisions")
    by_post = models.ForeignKey(
        Post, models.PROTECT, verbose_name=_("acting as"), null=True, related_name="supervisions_given"
    )
    reason = models.TextField(_("reason"), max_length=2000, blank=True)
    asked_at = models.DateTimeField(_("asked"))
    answer_due_at = models.DateTimeField(_("to be answered until"))
    answered_at = models.DateTimeField(_("answered"), null=True)
    answered_by = models.ForeignKey(
        User, models.PROTECT, verbose_name=_("answered by"), null=True, related_name="supervisions_answered"
    )
    received_when = models.DateTimeField(_("when it was received"), null=True)
    contacted = models.CharField(_("who was contacted"), max_length=200, blank=True)
    measures = models.TextField(_("measures"), max_length=2000, blank=True)
    new_deadline = models.DateTimeField(_("will be done until"), null=True)
    # The case ended before it was answered, and began anew since.
    ended_at = models.DateTimeField(_("ended without an answer"), null=True)

    class Meta:
        verbose_name = _("supervision")
        verbose_name_plural = _("supervisions")
        ordering = ["asked_at"]
        indexes = [
            models.Index(
                fields=["answer_due_at"],
                condition=Q(answered_at__isnull=True, ended_at__isnull=True),
                name="supervisions_unanswered",
            ),
            models.Index(fields=["post", "-asked_at"], name="supervision_by_post"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "subject"],
                condition=Q(rule__isnull=False),
                name="a_rule_supervises_a_subject_once",
            ),
            models.UniqueConstraint(
                fields=["follows"],
                condition=Q(follows__isnull=False),
                name="a_supervision_climbs_once",
            ),
            models.UniqueConstraint(
                fields=["event", "post", "card"],
                condition=Q(by__isnull=False, answered_at__isnull=True, ended_at__isnull=True),
                name="a_card_by_hand_waits_for_its_answer",
            ),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True) | Q(answered_at__isnull=True),
                name="a_supervision_is_answered_or_ended",
            ),
            models.CheckConstraint(
                condition=~Q(subject="") | Q(by__isnull=False), name="a_supervision_is_by_rule_or_by_hand"
            ),
            models.CheckConstraint(
                condition=Q(answered_at__isnull=True, answered_by__isnull=True, received_when__isnull=True)
                | (
                    Q(answered_at__isnull=False, answered_by__isnull=False, received_when__isnull=False)
                    & ~Q(contacted="")
                    & ~Q(measures="")
                    & Q(new_deadline__isnull=False)
                ),
                name="an_answer_is_complete",
            ),
            models.CheckConstraint(
                condition=Q(answer_due_at__gt=F("asked_at")), name="a_supervision_leaves_time_to_answer"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.get_card_display()} → {self.post}"
