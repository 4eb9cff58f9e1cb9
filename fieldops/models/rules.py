"""What a district decides by rows: who is responsible, what goes straight through, how long a stage may last."""

from django.contrib.gis.db import models
from django.core.validators import MinValueValidator
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from gridmap.models import Department, District, GridUnit

from .standard import Kind


class ResponsibilityRule(models.Model):
    """Class × area → department. The most specific rule wins: first by class, then by area.

    An empty field means *any*. Two rules of the same specificity cannot both match one case: at most one
    minor, one major, one kind and one unit of each level fit it, and a scope is unique.
    """

    district = models.ForeignKey(District, models.CASCADE, verbose_name=_("district"), related_name="rules")
    number = models.PositiveIntegerField(_("number"))
    kind = models.CharField(_("kind"), max_length=10, choices=Kind, blank=True)
    major = models.CharField(_("major class"), max_length=2, blank=True)
    minor = models.CharField(_("minor class"), max_length=3, blank=True)
    unit = models.ForeignKey(
        GridUnit, models.CASCADE, verbose_name=_("area"), null=True, blank=True, related_name="rules"
    )
    department = models.ForeignKey(
        Department, models.PROTECT, verbose_name=_("department"), related_name="rules"
    )
    source = models.CharField(_("source"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("responsibility rule")
        verbose_name_plural = _("responsibility rules")
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(
                fields=["district", "number"], name="a_rule_number_is_unique_in_its_district"
            ),
            models.UniqueConstraint(
                fields=["district", "kind", "major", "minor", "unit"],
                name="a_scope_has_one_responsible_department",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=(Q(minor="") | ~Q(major="")) & (Q(major="") | ~Q(kind="")),
                name="a_minor_names_its_major_and_a_major_its_kind",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.number}: {self.kind}/{self.major}{self.minor} {self.unit or ''} → {self.department}"


class Channel(models.TextChoices):
    FIELD_APP = "field_app", _("Field app (手机E通)")
    RESIDENT_APP = "resident_app", _("Resident mini-program (法治青山)")
    HOTLINE_12345 = "hotline_12345", _("12345 hotline")
    NETIZEN_MESSAGE = "netizen_message", _("Netizen message")
    SERVICE_HALL = "service_hall", _("Service hall, walk-in")


class IntakePolicy(models.Model):
    """Whether reports of a channel are accepted, filed, assigned and dispatched without a desk in between.

    Straight through needs a stated filing condition and a responsible department; else a desk decides.
    """

    district = models.ForeignKey(
        District, models.CASCADE, verbose_name=_("district"), related_name="intake_policies"
    )
    channel = models.CharField(_("channel"), max_length=20, choices=Channel)
    straight_through = models.BooleanField(_("straight through"), default=False)

    class Meta:
        verbose_name = _("intake policy")
        verbose_name_plural = _("intake policies")
        constraints = [
            models.UniqueConstraint(
                fields=["district", "channel"], name="a_channel_has_one_policy_in_a_district"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_channel_display()}: {self.straight_through}"


class Stage(models.TextChoices):
    """A stretch of a case's way that one party answers for."""

    ACCEPT = "accept", _("Acceptance")
    DISPATCH = "dispatch", _("Dispatching")
    SIGN_IN = "sign_in", _("Taking on")
    VERIFY = "verify", _("Verification on site")
    CHECK = "check", _("Check on site")


class StageLimit(models.Model):
    """How long a stage of a case may last. Without a row: for ever.

    The minutes of an urgent case run without a break, those of any other in the district's working time. A case
    whose filing condition is not known yet is none of the urgent ones.
    """

    district = models.ForeignKey(
        District, models.CASCADE, verbose_name=_("district"), related_name="stage_limits"
    )
    stage = models.CharField(_("stage"), max_length=10, choices=Stage)
    urgent = models.BooleanField(_("urgent"))
    minutes = models.PositiveIntegerField(_("minutes"), validators=[MinValueValidator(1)])

    class Meta:
        verbose_name = _("limit of a stage")
        verbose_name_plural = _("limits of stages")
        ordering = ["district", "stage", "urgent"]
        constraints = [
            models.UniqueConstraint(
                fields=["district", "stage", "urgent"], name="a_stage_has_one_limit_of_each_kind"
            ),
            models.CheckConstraint(condition=Q(minutes__gt=0), name="a_stage_limit_is_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.get_stage_display()}: {self.minutes} min"
