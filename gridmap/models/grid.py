"""WHERE: the five-level organisation and its geography, down to the unit grid cell.

All geometry is WGS-84 longitude/latitude (EPSG:4326), degrees. Relations between levels are rows, never
derived from shapes: a regional group may cross street borders, so it is the cell that names its group.
"""

from datetime import datetime

import uuid_utils.compat as uuid
from django.contrib.gis.db import models
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeOperators
from django.core.exceptions import ValidationError
from django.db.models import Func, Q
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

WGS84 = 4326


class InForce(models.QuerySet):
    """Rows with a validity: `valid_from` inclusive, `valid_to` exclusive, open where it is empty."""

    def in_force(self, at: datetime | None = None) -> "InForce":
        """What is in force at the moment; now, as the partial indexes know it, when none is given."""
        if at is None:
            return self.filter(valid_to__isnull=True)
        return self.filter(Q(valid_to__isnull=True) | Q(valid_to__gt=at), valid_from__lte=at)


class Level(models.IntegerChoices):
    """The five levels of the party-organisation grid, from the top."""

    DISTRICT_COMMITTEE = 1, _("District committee")
    REGIONAL_GROUP = 2, _("Regional-group committee")
    STREET_COMMITTEE = 3, _("Street or town committee")
    COMMUNITY = 4, _("Community (village) organisation")
    PARTY_GROUP = 5, _("Grid party group")


# True while a row is in force, else NULL: what composite foreign keys see, so that they bind the present alone.
def _in_force() -> models.GeneratedField:
    return models.GeneratedField(
        expression=models.Case(models.When(valid_to__isnull=True, then=models.Value(True))),
        output_field=models.BooleanField(null=True),
        db_persist=True,
        editable=False,
    )


def check_ends_after(row: models.Model, *, since: str, until: str) -> None:
    """For `clean`: the database makes no range that runs backwards, not even to look, so a form says it first."""
    begins, ends = getattr(row, since), getattr(row, until)
    if begins is not None and ends is not None and ends <= begins:
        raise ValidationError({until: _("the end has to be after the beginning")})


VALIDITY = Func("valid_from", "valid_to", function="tstzrange", output_field=DateTimeRangeField())


class CodeScheme(models.TextChoices):
    """How the sixteen digits of a component's code divide: district, major class, minor class, serial."""

    SHORT_MINOR = "6+2+2+6", "6+2+2+6"
    LONG_MINOR = "6+2+3+5", "6+2+3+5"


class District(models.Model):
    """A tenant: calendar, time zone, code scheme and rights hang on it, so a second district is rows."""

    code = models.CharField(_("code"), max_length=6, primary_key=True, help_text="GB/T 2260, 6 digits")
    name = models.CharField(_("name"), max_length=40)
    name_en = models.CharField(_("English name"), max_length=80)
    time_zone = models.CharField(_("time zone"), max_length=40, default="Asia/Shanghai")
    cell_code_pattern = models.CharField(
        _("cell code pattern"),
        max_length=80,
        default=r"^\d{15}$",
        help_text="6+3+3+3 digits here; other cities differ",
    )
    work_starts_ends = models.CharField(
        _("working hours"),
        max_length=80,
        default="08:00-12:00,14:00-18:00",
        help_text="local time, comma separated",
    )
    class_edition = models.CharField(_("edition of the event classes in force"), max_length=40, blank=True)
    component_code_scheme = models.CharField(
        _("scheme of component codes"),
        max_length=7,
        choices=CodeScheme,
        default=CodeScheme.SHORT_MINOR,
        help_text=_("goes with the edition of the classes"),
    )
    closes_on_confirmation = models.BooleanField(_("a confirmed case closes at once"), default=True)
    nearest_cell_m = models.PositiveSmallIntegerField(
        _("nearest cell within, metres"),
        default=100,
        help_text=_("how far outside a place may lie to be given to the nearest cell; 0: never"),
    )
    boundary_note = models.CharField(_("note on the boundaries"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("district")
        verbose_name_plural = _("districts")
        constraints = [
            models.CheckConstraint(
                condition=Q(code__regex=r"^\d{6}$"), name="a_district_code_has_six_digits"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class GridUnit(models.Model):
    """One node of the five-level organisation, with the area it answers for.

    `parent` is the organisation above; for a street that is the district committee, because a street may
    lie in several regional groups: which one answers is a fact of each cell. Its area at an earlier moment is
    the union of the cells that named it then. A unit that was dissolved keeps its row, and its code for ever.
    """

    district = models.ForeignKey(District, models.PROTECT, verbose_name=_("district"), related_name="units")
    level = models.PositiveSmallIntegerField(_("level"), choices=Level)
    code = models.CharField(_("code"), max_length=20)
    name = models.CharField(_("name of the organisation"), max_length=80)
    area_name = models.CharField(_("name of the area"), max_length=80)
    name_en = models.CharField(_("English name"), max_length=120, blank=True)
    parent = models.ForeignKey(
        "self",
        models.PROTECT,
        verbose_name=_("organisation above"),
        null=True,
        blank=True,
        related_name="children",
    )
    parent_level = models.PositiveSmallIntegerField(null=True, blank=True, editable=False)
    boundary = models.MultiPolygonField(_("boundary"), srid=WGS84)
    synthetic = models.BooleanField(_("generated, not surveyed"), default=False)
    virtual = models.BooleanField(_("virtual unit"), default=False)
    valid_from = models.DateTimeField(_("in force from"), default=timezone.now)
    valid_to = models.DateTimeField(_("in force until"), null=True, blank=True)
    in_force = _in_force()

    objects = InForce.as_manager()

    class Meta:
        verbose_name = _("grid organisation")
        verbose_name_plural = _("grid organisations")
        ordering = ["level", "code"]
        constraints = [
            models.UniqueConstraint(
                fields=["district", "code"], name="a_unit_code_is_unique_in_its_district"
            ),
            models.CheckConstraint(
                condition=Q(level=Level.DISTRICT_COMMITTEE, parent__isnull=True, parent_level__isnull=True)
                | Q(
                    level=Level.REGIONAL_GROUP,
                    parent__isnull=False,
                    parent_level__isnull=False,
                    parent_level=Level.DISTRICT_COMMITTEE,
                )
                | Q(
                    level=Level.STREET_COMMITTEE,
                    parent__isnull=False,
                    parent_level__isnull=False,
                    parent_level=Level.DISTRICT_COMMITTEE,
                )
                | Q(
                    level=Level.COMMUNITY,
                    parent__isnull=False,
                    parent_level__isnull=False,
                    parent_level=Level.STREET_COMMITTEE,
                )
                | Q(
                    level=Level.PARTY_GROUP,
                    parent__isnull=False,
                    parent_level__isnull=False,
                    parent_level=Level.COMMUNITY,
                ),
                name="a_unit_stands_below_the_right_level",
            ),
            models.CheckConstraint(
                condition=Q(valid_to__isnull=True) | Q(valid_to__gt=models.F("valid_from")),
                name="a_unit_ends_after_it_began",
            ),
            # Targets of the composite foreign keys that the second migration adds in SQL.
            models.UniqueConstraint(fields=["id", "level"], name="unit_and_level"),
            models.UniqueConstraint(fields=["id", "parent"], name="unit_and_parent"),
            models.UniqueConstraint(fields=["id", "district"], name="unit_and_district"),
            models.UniqueConstraint(fields=["id", "in_force"], name="unit_in_force"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def spoken_name(self) -> str:
        """The name in the reader's language; the Chinese one where there is no English."""
        english = (get_language() or "").startswith("en")
        return self.name_en if english and self.name_en else self.name


class Cell(models.Model):
    """One version of a unit grid cell (单元网格), the smallest area of responsibility.

    A row is what held from `valid_from` until `valid_to`: code, boundary, organisations. What changes ends it
    and begins another of the same `lineage`, so a closed case keeps the cell, and the owners, of its day. It
    names its five organisations itself; database constraints keep them consistent with the organisation tree.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid7, editable=False)
    lineage = models.UUIDField(_("identity across versions"), default=uuid.uuid7, editable=False)
    valid_from = models.DateTimeField(_("in force from"), default=timezone.now)
    valid_to = models.DateTimeField(_("in force until"), null=True, blank=True)
    district = models.ForeignKey(District, models.PROTECT, verbose_name=_("district"), related_name="cells")
    code = models.CharField(_("code"), max_length=20)
    party_group = models.ForeignKey(
        GridUnit, models.PROTECT, verbose_name=_("grid party group"), related_name="+"
    )
    community = models.ForeignKey(GridUnit, models.PROTECT, verbose_name=_("community"), related_name="+")
    street = models.ForeignKey(GridUnit, models.PROTECT, verbose_name=_("street"), related_name="+")
    regional_group = models.ForeignKey(
        GridUnit, models.PROTECT, verbose_name=_("regional group"), related_name="+"
    )
    # With the composite foreign keys of the first migration, this alone proves the group's level.
    regional_group_level = models.GeneratedField(
        expression=models.Value(Level.REGIONAL_GROUP.value),
        output_field=models.PositiveSmallIntegerField(),
        db_persist=True,
        editable=False,
    )
    committee = models.ForeignKey(
        GridUnit, models.PROTECT, verbose_name=_("district committee"), related_name="+"
    )
    boundary = models.PolygonField(_("boundary"), srid=WGS84)
    synthetic = models.BooleanField(_("generated, not surveyed"), default=False)
    in_force = _in_force()

    objects = InForce.as_manager()

    class Meta:
        verbose_name = _("unit grid cell")
        verbose_name_plural = _("unit grid cells")
        ordering = ["code"]
        constraints = [
            models.UniqueConstraint(
                fields=["district", "code"],
                condition=Q(valid_to__isnull=True),
                name="a_cell_code_is_unique_in_its_district",
            ),
            models.CheckConstraint(
                condition=Q(valid_to__isnull=True) | Q(valid_to__gt=models.F("valid_from")),
                name="a_cell_version_ends_after_it_began",
            ),
            # Target of composite foreign keys.
            models.UniqueConstraint(fields=["id", "in_force"], name="cell_in_force"),
            ExclusionConstraint(
                name="a_cell_code_means_one_cell_at_a_time",
                expressions=[
                    ("district", RangeOperators.EQUAL),
                    ("code", RangeOperators.EQUAL),
                    (VALIDITY, RangeOperators.OVERLAPS),
                ],
            ),
            ExclusionConstraint(
                name="a_cell_has_one_version_at_a_time",
                expressions=[("lineage", RangeOperators.EQUAL), (VALIDITY, RangeOperators.OVERLAPS)],
            ),
        ]

    def __str__(self) -> str:
        return self.code

    @property
    def chain(self) -> "list[GridUnit]":
        """The five organisations that answer for this cell, district committee first."""
        return [self.committee, self.regional_group, self.street, self.community, self.party_group]

    @property
    def unit_ids(self) -> list[int]:
        """Their ids, district committee first."""
        return [
            self.committee_id,
            self.regional_group_id,
            self.street_id,
            self.community_id,
            self.party_group_id,
        ]


class Department(models.Model):
    """A body that handles cases: a bureau, a service centre, an owner of components, a street office."""

    district = models.ForeignKey(
        District, models.PROTECT, verbose_name=_("district"), related_name="departments"
    )
    code = models.CharField(_("code"), max_length=20)
    name = models.CharField(_("name"), max_length=80)
    name_en = models.CharField(_("English name"), max_length=120, blank=True)

    class Meta:
        verbose_name = _("department")
        verbose_name_plural = _("departments")
        ordering = ["code"]
        constraints = [
            models.UniqueConstraint(
                fields=["district", "code"], name="a_department_code_is_unique_in_its_district"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class CalendarDay(models.Model):
    """A day on which work differs from the week's rule: a public holiday, or a make-up working day (调休)."""

    district = models.ForeignKey(
        District, models.CASCADE, verbose_name=_("district"), related_name="calendar_days"
    )
    day = models.DateField(_("day"))
    working = models.BooleanField(_("is a working day"))
    name = models.CharField(_("name"), max_length=40, blank=True)

    class Meta:
        verbose_name = _("calendar day")
        verbose_name_plural = _("calendar days")
        ordering = ["day"]
        constraints = [
            models.UniqueConstraint(fields=["district", "day"], name="a_day_is_ruled_once_in_a_district")
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.name}"


CHAIN = ("committee", "regional_group", "street", "community", "party_group")
