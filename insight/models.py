"""What a district decides about its figures, and the cases that do not count."""

from django.conf import settings
from django.contrib.gis.db import models
from django.core.exceptions import ValidationError
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from fieldops.models import Event
from gridmap.models import District, GridUnit
from gridmap.models.history import kept_history


class DenominatorChoice(models.Model):
    """Where cities divide by different counts: which one this district takes. Without a row, the first offered."""

    district = models.ForeignKey(
        District, models.CASCADE, verbose_name=_("district"), related_name="denominators"
    )
    indicator = models.CharField(_("indicator"), max_length=40)
    denominator = models.CharField(_("denominator"), max_length=40)

    class Meta:
        verbose_name = _("choice of a denominator")
        verbose_name_plural = _("choices of denominators")
        ordering = ["indicator"]
        constraints = [
            models.UniqueConstraint(
                fields=["district", "indicator"], name="an_indicator_has_one_denominator_in_a_district"
            )
        ]

    def __str__(self) -> str:
        return f"{self.indicator} / {self.denominator}"

    def clean(self) -> None:
        """It is one that the indicator offers."""
        from .indicators import INDICATORS

        one = INDICATORS.get(self.indicator)
        if one is None:
            raise ValidationError({"indicator": _("There is no indicator of this code.")})
        if self.denominator not in one.denominators:
            offered = ", ".join(one.denominators)
            raise ValidationError({"denominator": _("It may be divided by: %s") % offered})


class Subject(models.TextChoices):
    """Who gets a score."""

    DEPARTMENT = "department", _("Departments")
    GRID_WORKER = "grid_worker", _("Grid workers")


class ScorePart(models.Model):
    """What share of a score an indicator has, or the volume. A district without rows takes the usual ones.

    Shares count against their sum; one that is better lower counts as what is missing to 100 %.
    """

    district = models.ForeignKey(
        District, models.CASCADE, verbose_name=_("district"), related_name="score_parts"
    )
    subject = models.CharField(_("whose score"), max_length=12, choices=Subject)
    part = models.CharField(_("part"), max_length=40, help_text=_("code of an indicator, or: volume"))
    weight = models.DecimalField(_("weight"), max_digits=5, decimal_places=2)

    class Meta:
        verbose_name = _("part of a score")
        verbose_name_plural = _("parts of scores")
        ordering = ["district", "subject", "-weight", "part"]
        constraints = [
            models.UniqueConstraint(fields=["district", "subject", "part"], name="a_score_has_a_part_once"),
            models.CheckConstraint(condition=Q(weight__gt=0), name="a_part_of_a_score_weighs_something"),
        ]

    def __str__(self) -> str:
        return f"{self.get_subject_display()}: {self.part} {self.weight}"

    def clean(self) -> None:
        """It is the code of something that is counted."""
        from .indicators import INDICATORS, VOLUME

        if self.part != VOLUME and self.part not in INDICATORS:
            raise ValidationError({"part": _("There is no indicator of this code.")})


class VolumeBand(models.Model):
    """The points for having so many cases to handle in the period, at most; above the last band there are none."""

    district = models.ForeignKey(
        District, models.CASCADE, verbose_name=_("district"), related_name="volume_bands"
    )
    at_most = models.PositiveIntegerField(_("cases at most"))
    points = models.PositiveSmallIntegerField(_("points"))

    class Meta:
        verbose_name = _("band of volume")
        verbose_name_plural = _("bands of volume")
        ordering = ["district", "at_most"]
        constraints = [
            models.UniqueConstraint(fields=["district", "at_most"], name="a_band_of_volume_ends_once"),
            models.CheckConstraint(condition=Q(points__lte=100), name="a_volume_earns_100_points_at_most"),
        ]

    def __str__(self) -> str:
        return f"≤ {self.at_most}: {self.points}"


class Colour(models.TextChoices):
    """How a grade is painted."""

    GREEN = "green", _("green")
    BLUE = "blue", _("blue")
    YELLOW = "yellow", _("yellow")
    RED = "red", _("red")
    BLACK = "black", _("black")


class Grade(models.Model):
    """From how many points on a score is of this grade; the highest that is reached holds."""

    district = models.ForeignKey(District, models.CASCADE, verbose_name=_("district"), related_name="grades")
    name = models.CharField(_("grade"), max_length=10)
    at_least = models.DecimalField(_("points at least"), max_digits=5, decimal_places=2)
    colour = models.CharField(_("colour"), max_length=6, choices=Colour)

    class Meta:
        verbose_name = _("grade")
        verbose_name_plural = _("grades")
        ordering = ["district", "-at_least"]
        constraints = [
            models.UniqueConstraint(fields=["district", "at_least"], name="grades_begin_at_different_points"),
            models.UniqueConstraint(fields=["district", "name"], name="a_grade_is_one_in_its_district"),
            models.CheckConstraint(
                condition=Q(at_least__gte=0, at_least__lte=100), name="a_grade_begins_within_100_points"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ≥ {self.at_least}"


class Exclusion(models.Model):
    """A case that does not count: asked for by one person, approved by another. Its facts stay as they are."""

    event = models.ForeignKey(Event, models.PROTECT, verbose_name=_("case"), related_name="exclusions")
    reason = models.TextField(_("reason"), max_length=2000)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("asked by"), related_name="+"
    )
    asked_at = models.DateTimeField(_("asked"))
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("decided by"), null=True, related_name="+"
    )
    decided_at = models.DateTimeField(_("decided"), null=True)
    approved = models.BooleanField(_("approved"), null=True)
    note = models.TextField(_("note"), max_length=2000, blank=True)

    class Meta:
        verbose_name = _("exclusion from the figures")
        verbose_name_plural = _("exclusions from the figures")
        ordering = ["-asked_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(approved__isnull=True, decided_by__isnull=True, decided_at__isnull=True)
                | Q(approved__isnull=False, decided_by__isnull=False, decided_at__isnull=False),
                name="an_exclusion_is_decided_by_somebody",
            ),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True) | ~Q(decided_by=F("asked_by")),
                name="nobody_approves_their_own_exclusion",
            ),
            models.UniqueConstraint(
                fields=["event"],
                condition=Q(approved__isnull=True) | Q(approved=True),
                name="a_case_is_excluded_once",
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="an_exclusion_has_a_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.event}: {self.approved}"


class BulletinKind(models.TextChoices):
    """How long a bulletin looks back."""

    DAILY = "daily", _("Daily")
    WEEKLY = "weekly", _("Weekly")
    MONTHLY = "monthly", _("Monthly")


class Bulletin(models.Model):
    """The figures of an organisation's past day, week or month, kept as they were read then.

    Documents are made from it in the reader's language. No names of people are in it.
    """

    district = models.ForeignKey(
        District, models.CASCADE, verbose_name=_("district"), related_name="bulletins"
    )
    unit = models.ForeignKey(
        GridUnit, models.PROTECT, verbose_name=_("grid organisation"), related_name="bulletins"
    )
    kind = models.CharField(_("kind"), max_length=7, choices=BulletinKind)
    first = models.DateField(_("first day"))
    last = models.DateField(_("last day"))
    as_of = models.DateTimeField(_("as of"))
    made_at = models.DateTimeField(_("made"), auto_now_add=True)
    figures = models.JSONField(_("figures"))

    class Meta:
        verbose_name = _("bulletin")
        verbose_name_plural = _("bulletins")
        ordering = ["-first", "kind", "unit"]
        constraints = [
            models.UniqueConstraint(
                fields=["unit", "kind", "first"], name="a_period_has_one_bulletin_of_an_organisation"
            ),
            models.CheckConstraint(condition=Q(last__gte=F("first")), name="a_bulletin_covers_whole_days"),
        ]

    def __str__(self) -> str:
        return f"{self.unit} {self.get_kind_display()} {self.first}"


class DenominatorChoiceChange(kept_history(DenominatorChoice)):  # type: ignore[misc]
    """A state of a choice of a denominator."""


class ScorePartChange(kept_history(ScorePart)):  # type: ignore[misc]
    """A state of a part of a score."""


class VolumeBandChange(kept_history(VolumeBand)):  # type: ignore[misc]
    """A state of a band of volume."""


class GradeChange(kept_history(Grade)):  # type: ignore[misc]
    """A state of a grade."""
