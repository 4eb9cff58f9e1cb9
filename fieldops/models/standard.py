"""The handling standard: classes of problems, when they are filed, and how long they may take."""

from django.contrib.gis.db import models
from django.core.validators import MinValueValidator
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class Kind(models.TextChoices):
    COMPONENT = "component", _("Component")
    EVENT = "event", _("Event")


class EventClass(models.Model):
    """A minor class (小类) of the handling standard, in one edition of its table."""

    edition = models.CharField(_("edition"), max_length=40)
    kind = models.CharField(_("kind"), max_length=10, choices=Kind)
    major = models.CharField(_("major class"), max_length=2)
    major_name = models.CharField(_("name of the major class"), max_length=60)
    minor = models.CharField(_("minor class"), max_length=3)
    name = models.CharField(_("name"), max_length=100)

    class Meta:
        verbose_name = _("event class")
        verbose_name_plural = _("event classes")
        ordering = ["kind", "major", "minor"]
        constraints = [
            models.UniqueConstraint(
                fields=["edition", "kind", "major", "minor"], name="a_class_code_is_unique_in_its_edition"
            ),
            models.CheckConstraint(
                condition=Q(major__regex=r"^\d{2}$")
                & (Q(minor__regex=r"^\d{2}$") | Q(kind=Kind.COMPONENT, minor__regex=r"^\d{3}$")),
                name="class_codes_have_two_digits_or_a_components_minor_three",
            ),
            # Target of the composite foreign key that ties a component's code to its class.
            models.UniqueConstraint(fields=["id", "kind", "major", "minor"], name="class_and_its_code"),
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.name}"

    @property
    def code(self) -> str:
        """Major and minor: four digits, or five (the district's six stand before them outside this system)."""
        return f"{self.major}{self.minor}"

    @property
    def key(self) -> str:
        """How interfaces name it: `event/0103`."""
        return f"{self.kind}/{self.code}"


class LimitUnit(models.TextChoices):
    MINUTE = "minute", _("minutes")
    HOUR = "hour", _("hours")
    DAY = "day", _("days")


class FilingCondition(models.Model):
    """When a problem of a class is filed (立案条件), when it counts as solved, and how long that may take."""

    event_class = models.ForeignKey(
        EventClass, models.CASCADE, verbose_name=_("event class"), related_name="conditions"
    )
    number = models.PositiveSmallIntegerField(_("number within the class"))
    text = models.TextField(_("filing condition"))
    closing = models.TextField(_("closing condition"))
    handling_units = models.TextField(_("handling units as published"), blank=True)
    supervising_departments = models.TextField(_("supervising departments as published"), blank=True)
    limit_text = models.CharField(_("limit as published"), max_length=40)
    limit_amount = models.PositiveSmallIntegerField(_("limit"), validators=[MinValueValidator(1)])
    limit_unit = models.CharField(_("unit of the limit"), max_length=6, choices=LimitUnit)
    urgent = models.BooleanField(
        _("urgent"), help_text=_("the clock runs continuously, not in working time only")
    )
    limit_action = models.CharField(
        _("what the limit asks for"),
        max_length=20,
        blank=True,
        help_text=_("empty: solve; 制止: stop the act"),
    )

    class Meta:
        verbose_name = _("filing condition")
        verbose_name_plural = _("filing conditions")
        ordering = ["event_class", "number"]
        constraints = [
            models.UniqueConstraint(
                fields=["event_class", "number"], name="a_condition_number_is_unique_in_its_class"
            ),
            models.CheckConstraint(condition=Q(limit_amount__gt=0), name="a_limit_is_positive"),
        ]

    def __str__(self) -> str:
        return self.text
