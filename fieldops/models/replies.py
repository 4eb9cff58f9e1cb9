"""回复: what somebody is owed who reported through a desk, by when, after which kind of matter."""

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from gridmap.models import District


class Matter(models.TextChoices):
    """As the 12345 hotline sorts what it hands over (GB/T 33358); how long a reply may take depends on it."""

    EMERGENCY = "emergency", _("Emergency")
    UTILITY = "utility", _("Public utilities")
    GENERAL = "general", _("General matter")
    COMPLEX = "complex", _("Complex matter")


REPLY_HOURS = {Matter.EMERGENCY: 2, Matter.UTILITY: 24, Matter.GENERAL: 7 * 24, Matter.COMPLEX: 15 * 24}


class ReplyLimit(models.Model):
    """How many hours, of natural time, a reply may take; without a row those of `REPLY_HOURS` hold."""

    district = models.ForeignKey(
        District, models.CASCADE, verbose_name=_("district"), related_name="reply_limits"
    )
    matter = models.CharField(_("kind of matter"), max_length=10, choices=Matter)
    hours = models.PositiveSmallIntegerField(_("hours"), validators=[MinValueValidator(1)])

    class Meta:
        verbose_name = _("limit for replies")
        verbose_name_plural = _("limits for replies")
        ordering = ["district", "hours"]
        constraints = [
            models.UniqueConstraint(fields=["district", "matter"], name="a_kind_of_matter_has_one_limit"),
            models.CheckConstraint(condition=Q(hours__gte=1), name="a_reply_has_an_hour_at_least"),
        ]

    def __str__(self) -> str:
        return f"{self.get_matter_display()}: {self.hours} h"
