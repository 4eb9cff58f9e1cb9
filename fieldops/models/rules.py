"""What a district decides by rows: who is responsible, what goes straight through, how long a stage may last."""

from django.contrib.gis.db import models
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import RangeOperators
from django.core.validators import MinValueValidator
from django.db.models import Q, Value
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from gridmap.models import Department, District, GridUnit
from gridmap.models.grid import VALIDITY, check_ends_after

from .standard import Kind


class Party(models.TextChoices):
    """Who answers for a component, as its own row says."""

    MANAGING = "managing", _("managing department")
    OWNING = "owning", _("owning department")
    MAINTAINING = "maintaining", _("maintaining department")


class ResponsibilityRule(models.Model):
    """Class × filing condition × area × party of the component → department, for a time. The most specific wins.

    An empty field means *any*; an empty end of the validity means without end there. `party` names a department
    of the component that the case is about, instead of a fixed one: such a rule fits only where there is one.

    Compared first by class, then by condition, area and party (`fieldops.responsibility.assignment.ORDER`).
    Two rules that fit one case at one moment never stand equal: a case has one class, one condition and one
    organisation of each level, so equal ones would have the same scope at the same time, which the exclusion
    constraint forbids.
    """

    district = models.ForeignKey(District, models.CASCADE, verbose_name=_("district"), related_name="rules")
    number = models.PositiveIntegerField(_("number"))
    kind = models.CharField(_("kind"), max_length=10, choices=Kind, blank=True)
    major = models.CharField(_("major class"), max_length=2, blank=True)
    minor = models.CharField(_("minor class"), max_length=3, blank=True)
    condition = models.PositiveSmallIntegerField(
        _("number of the filing condition"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_("within the class; empty: any"),
    )
    unit = models.ForeignKey(
        GridUnit,
        models.CASCADE,
        verbose_name=_("area"),
        null=True,
        blank=True,
        related_name="rules",
        limit_choices_to={"valid_to__isnull": True},
    )
    department = models.ForeignKey(
        Department, models.PROTECT, verbose_name=_("department"), null=True, blank=True, related_name="rules"
    )
    party = models.CharField(
        _("department of the component"),
        max_length=11,
        choices=Party,
        blank=True,
        help_text=_("instead of a department: the one that the component names"),
    )
    valid_from = models.DateTimeField(_("in force from"), null=True, blank=True)
    valid_to = models.DateTimeField(_("in force until"), null=True, blank=True)
    source = models.CharField(_("source"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("responsibility rule")
        verbose_name_plural = _("responsibility rules")
        ordering = ["number"]
        indexes = [models.Index(fields=["district", "kind", "major", "minor"], name="rule_by_class")]
        constraints = [
            models.UniqueConstraint(
                fields=["district", "number"], name="a_rule_number_is_unique_in_its_district"
            ),
            ExclusionConstraint(
                name="a_scope_has_one_responsible_department_at_a_time",
                expressions=[
                    ("district", RangeOperators.EQUAL),
                    ("kind", RangeOperators.EQUAL),
                    ("major", RangeOperators.EQUAL),
                    ("minor", RangeOperators.EQUAL),
                    (Coalesce("condition", 0), RangeOperators.EQUAL),
                    (
                        Coalesce("unit", Value(0), output_field=models.BigIntegerField()),
                        RangeOperators.EQUAL,
                    ),
                    ("party", RangeOperators.EQUAL),
                    (VALIDITY, RangeOperators.OVERLAPS),
                ],
                violation_error_message=_("another rule has this scope at that time"),
            ),
            models.CheckConstraint(
                condition=(Q(minor="") | ~Q(major="")) & (Q(major="") | ~Q(kind="")),
                name="a_minor_names_its_major_and_a_major_its_kind",
            ),
            models.CheckConstraint(
                condition=Q(condition__isnull=True) | Q(condition__gt=0) & ~Q(minor=""),
                name="a_condition_is_one_of_a_minor_class",
            ),
            models.CheckConstraint(condition=Q(kind__in=["", *Kind.values]), name="a_rule_has_a_known_kind"),
            models.CheckConstraint(
                condition=Q(party="", department__isnull=False)
                | Q(party__in=Party.values, department__isnull=True),
                name="a_rule_names_a_department_or_a_party_of_the_component",
                violation_error_message=_("name either a department or a department of the component"),
            ),
            models.CheckConstraint(
                condition=Q(valid_from__isnull=True)
                | Q(valid_to__isnull=True)
                | Q(valid_to__gt=models.F("valid_from")),
                name="a_rule_ends_after_it_began",
            ),
        ]

    def __str__(self) -> str:
        who = self.department or self.get_party_display()
        return f"{self.number}: {self.kind}/{self.major}{self.minor} {self.unit or ''} → {who}"

    def clean(self) -> None:
        """It ends after it began."""
        check_ends_after(self, since="valid_from", until="valid_to")


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
