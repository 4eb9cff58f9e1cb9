"""LAYOUTS: what is to become of the grid, drawn up as a draft, put in force as a whole, and kept.

Geometry is WGS-84 longitude/latitude, degrees. A draft names organisations by their codes: those that it begins are no
rows yet.
"""

import uuid_utils.compat as uuid
from django.conf import settings
from django.contrib.gis.db import models
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .grid import WGS84, Cell, District, GridUnit, Level


class LayoutState(models.TextChoices):
    """What became of a layout."""

    DRAFT = "draft", _("Draft")
    APPLIED = "applied", _("In force")
    DISCARDED = "discarded", _("Discarded")


class Layout(models.Model):
    """A change of boundaries: which cell versions end, which begin, and what happens to the organisations.

    A draft with a moment is put in force by itself when that has come, unless it is refused then; `refusal` says why.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid7, editable=False)
    district = models.ForeignKey(District, models.PROTECT, verbose_name=_("district"), related_name="layouts")
    title = models.CharField(_("title"), max_length=120)
    state = models.CharField(_("state"), max_length=10, choices=LayoutState, default=LayoutState.DRAFT)
    tolerance_m = models.FloatField(
        _("tolerance, metres"), default=0.05, validators=[MinValueValidator(0), MaxValueValidator(100)]
    )
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("made by"), null=True, related_name="+"
    )
    made_at = models.DateTimeField(_("made"), default=timezone.now)
    takes_effect_at = models.DateTimeField(
        _("takes effect"), null=True, blank=True, help_text=_("empty: when somebody puts it in force")
    )
    refusal = models.TextField(_("why it was refused"), blank=True)
    settled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        verbose_name=_("put in force or discarded by"),
        null=True,
        related_name="+",
    )
    settled_at = models.DateTimeField(_("put in force or discarded"), null=True, blank=True)
    effects = models.JSONField(_("what it moved"), default=dict, blank=True)
    ends = models.ManyToManyField(Cell, verbose_name=_("cells that end"), related_name="ended_by")

    class Meta:
        verbose_name = _("layout")
        verbose_name_plural = _("layouts")
        ordering = ["-made_at"]
        indexes = [
            models.Index(
                fields=["takes_effect_at"], condition=Q(state=LayoutState.DRAFT), name="layouts_to_come"
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(state=LayoutState.DRAFT, settled_at__isnull=True)
                | Q(state__in=[LayoutState.APPLIED, LayoutState.DISCARDED], settled_at__isnull=False),
                name="a_layout_is_settled_at_a_moment",
            ),
            models.CheckConstraint(
                condition=Q(tolerance_m__gte=0, tolerance_m__lte=100), name="a_tolerance_is_0_to_100_metres"
            ),
        ]

    def __str__(self) -> str:
        return self.title


class LayoutCell(models.Model):
    """A cell version that a layout begins; `cell` once it is in force."""

    layout = models.ForeignKey(Layout, models.CASCADE, verbose_name=_("layout"), related_name="cells")
    code = models.CharField(_("code"), max_length=20)
    party_group = models.CharField(_("grid party group"), max_length=20)
    regional_group = models.CharField(_("regional group"), max_length=20)
    lineage = models.UUIDField(_("identity across versions"))
    former = ArrayField(models.CharField(max_length=20), verbose_name=_("former codes"), default=list)
    boundary = models.PolygonField(_("boundary"), srid=WGS84)
    synthetic = models.BooleanField(_("generated, not surveyed"), default=False)
    cell = models.OneToOneField(
        Cell, models.PROTECT, verbose_name=_("cell"), null=True, related_name="begun_by"
    )

    class Meta:
        verbose_name = _("cell of a layout")
        verbose_name_plural = _("cells of a layout")
        ordering = ["code"]
        constraints = [
            models.UniqueConstraint(fields=["layout", "code"], name="a_layout_begins_a_cell_code_once"),
        ]

    def __str__(self) -> str:
        return self.code


class LayoutUnit(models.Model):
    """An organisation that a layout begins, describes anew or dissolves; `unit` once it is one.

    `former` are the organisations whose posts and rules it takes over. The boundary counts only where there are no
    cells: else it is the union of them.
    """

    class Change(models.TextChoices):
        """What happens to it."""

        BEGIN = "begin", _("Begins")
        DESCRIBE = "describe", _("Is described anew")
        DISSOLVE = "dissolve", _("Is dissolved")

    layout = models.ForeignKey(Layout, models.CASCADE, verbose_name=_("layout"), related_name="units")
    change = models.CharField(_("change"), max_length=10, choices=Change)
    level = models.PositiveSmallIntegerField(_("level"), choices=Level)
    code = models.CharField(_("code"), max_length=20)
    name = models.CharField(_("name of the organisation"), max_length=80)
    area_name = models.CharField(_("name of the area"), max_length=80)
    name_en = models.CharField(_("English name"), max_length=120, blank=True)
    parent = models.CharField(_("organisation above"), max_length=20, blank=True)
    former = ArrayField(models.CharField(max_length=20), verbose_name=_("former codes"), default=list)
    boundary = models.MultiPolygonField(_("boundary"), srid=WGS84)
    virtual = models.BooleanField(_("virtual unit"), default=False)
    synthetic = models.BooleanField(_("generated, not surveyed"), default=False)
    unit = models.ForeignKey(
        GridUnit, models.PROTECT, verbose_name=_("grid organisation"), null=True, related_name="+"
    )

    class Meta:
        verbose_name = _("organisation of a layout")
        verbose_name_plural = _("organisations of a layout")
        ordering = ["level", "code"]
        constraints = [
            models.UniqueConstraint(fields=["layout", "code"], name="a_layout_changes_a_unit_once"),
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.name}"
