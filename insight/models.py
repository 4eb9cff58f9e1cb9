"""What a district decides about its figures, and the cases that do not count."""

from django.conf import settings
from django.contrib.gis.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from fieldops.models import Event
from gridmap.models import District


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
