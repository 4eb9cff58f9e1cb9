"""核实 and 核查: who was sent to look, what they found, and when; and by which policy."""

from django.contrib.gis.db import models
from django.core.validators import MaxValueValidator
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from gridmap.models import District

from .cases import Event
from .keys import uuid_key
from .people import Post, User
from .standard import Kind


class CheckKind(models.TextChoices):
    VERIFY = "verify", _("Verification before filing (核实)")
    CHECK = "check", _("Check after handling (核查)")


class Found(models.TextChoices):
    """What somebody on site says of the report, or of the handling."""

    CONFIRMED = "confirmed", _("It is so")
    REFUTED = "refuted", _("It is not so")


class Sent(models.TextChoices):
    """Why this post was asked."""

    ON_DUTY = "on_duty", _("Nearest on duty in the cell")
    NEIGHBOUR = "neighbour", _("On duty in a neighbouring cell")
    POST = "post", _("The cell's own post; nobody is on duty")
    CHIEF = "chief", _("Street chief")
    DESK = "desk", _("The desk")
    NOT_DRAWN = "not_drawn", _("The desk; the lot did not fall on the case")


class Check(models.Model):
    """One task to look at one case. `person` is whom it was meant for, where somebody on duty was chosen."""

    id = uuid_key()
    event = models.ForeignKey(Event, models.PROTECT, verbose_name=_("case"), related_name="checks")
    kind = models.CharField(_("kind"), max_length=6, choices=CheckKind)
    post = models.ForeignKey(Post, models.PROTECT, verbose_name=_("post"), related_name="checks")
    person = models.ForeignKey(
        User, models.PROTECT, verbose_name=_("person"), null=True, related_name="checks_asked"
    )
    sent = models.CharField(_("why this post"), max_length=10, choices=Sent)
    asked_at = models.DateTimeField(_("asked"))
    due_at = models.DateTimeField(_("due"))
    done_at = models.DateTimeField(_("done"), null=True)
    done_by = models.ForeignKey(
        User, models.PROTECT, verbose_name=_("done by"), null=True, related_name="checks_done"
    )
    outcome = models.CharField(_("outcome"), max_length=10, choices=Found, blank=True)
    note = models.TextField(_("note"), max_length=2000, blank=True)
    # Distance (m) and flags of the fix it was answered from; the fix itself is in the step.
    metres_away = models.PositiveIntegerField(_("metres from the case"), null=True)
    flags = models.JSONField(_("flags"), default=list)
    ended_at = models.DateTimeField(_("ended without an answer"), null=True)

    class Meta:
        verbose_name = _("check on site")
        verbose_name_plural = _("checks on site")
        ordering = ["asked_at"]
        indexes = [
            models.Index(
                fields=["post"],
                condition=Q(done_at__isnull=True, ended_at__isnull=True),
                name="open_checks_of_a_post",
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["event"],
                condition=Q(done_at__isnull=True, ended_at__isnull=True),
                name="a_case_has_one_open_check",
            ),
            models.CheckConstraint(
                condition=Q(done_at__isnull=True, outcome="")
                | (Q(done_at__isnull=False, ended_at__isnull=True) & ~Q(outcome="")),
                name="a_check_that_is_done_has_an_outcome",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.get_kind_display()} → {self.post}"


class Checker(models.TextChoices):
    """Whose word closes a handled case."""

    CHIEF = "chief", _("The street chief")
    WORKER = "worker", _("A worker on site")
    BOTH = "both", _("A worker, then the street chief")
    DESK = "desk", _("The dispatcher's desk")


class CheckPolicy(models.Model):
    """Who looks at handled cases of a class, and how many of them; the most specific class wins.

    Those that are not drawn are confirmed by the dispatcher's desk, but what failed once, or was reopened, is always
    looked at. Without a row the street chief looks at all.
    """

    district = models.ForeignKey(
        District, models.CASCADE, verbose_name=_("district"), related_name="check_policies"
    )
    kind = models.CharField(_("kind"), max_length=10, choices=Kind, blank=True)
    major = models.CharField(_("major class"), max_length=2, blank=True)
    minor = models.CharField(_("minor class"), max_length=3, blank=True)
    checker = models.CharField(_("who checks"), max_length=6, choices=Checker, default=Checker.CHIEF)
    percent = models.PositiveSmallIntegerField(
        _("percent of the cases"), default=100, validators=[MaxValueValidator(100)]
    )

    class Meta:
        verbose_name = _("policy for checks")
        verbose_name_plural = _("policies for checks")
        ordering = ["district", "kind", "major", "minor"]
        constraints = [
            models.UniqueConstraint(
                fields=["district", "kind", "major", "minor"], name="a_class_has_one_policy_for_checks"
            ),
            models.CheckConstraint(
                condition=(Q(minor="") | ~Q(major="")) & (Q(major="") | ~Q(kind="")),
                name="a_policy_for_checks_names_minor_major_and_kind",
            ),
            models.CheckConstraint(condition=Q(percent__lte=100), name="no_more_than_all_are_checked"),
        ]

    def __str__(self) -> str:
        return f"{self.kind}/{self.major}{self.minor}: {self.get_checker_display()} {self.percent} %"
