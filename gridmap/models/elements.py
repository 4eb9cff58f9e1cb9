"""WHAT STANDS IN A CELL: people, places, matters, things, situations, organisations, components; road segments.

An `Element` says what it is, where it stands and since when; a component and a person have a row of their own
beside it. Whatever identifies a person stands in `Person` alone, so nothing that reads elements can tell it.
Positions are WGS-84 (EPSG:4326), stored once, with the original x, y, system and accuracy beside them.
"""

import pghistory
import uuid_utils.compat as uuid
from django.conf import settings
from django.contrib.gis.db import models
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import Case, Q, Value, When
from django.db.models.functions import Left, Substr
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..coordinates import DECLARED_SYSTEM
from .grid import WGS84, Cell, CodeScheme, Department, District


class ElementKind(models.TextChoices):
    """The seven elements of a grid: 人地事物情组织部件."""

    PERSON = "person", _("Person")
    PLACE = "place", _("Place")
    MATTER = "matter", _("Matter")
    THING = "thing", _("Thing")
    SITUATION = "situation", _("Situation")
    ORGANISATION = "organisation", _("Organisation")
    COMPONENT = "component", _("Component")


class ComponentState(models.TextChoices):
    """What condition a component is in."""

    INTACT = "intact", _("Intact")
    DAMAGED = "damaged", _("Damaged")
    MISSING = "missing", _("Missing")
    ABANDONED = "abandoned", _("Abandoned")


class AccuracyClass(models.TextChoices):
    """How exactly a component was surveyed."""

    A = "A", _("A: ±0.5 m")
    B = "B", _("B: ±1 m")
    C = "C", _("C: ±10 m")


ACCURACY_METRES = {AccuracyClass.A: 0.5, AccuracyClass.B: 1.0, AccuracyClass.C: 10.0}


class Side(models.TextChoices):
    """A side of a road segment, looking from the first point of its line to the last."""

    LEFT = "left", _("Left")
    RIGHT = "right", _("Right")


class ElementQuerySet(models.QuerySet["Element"]):
    """Elements as they are now."""

    def present(self) -> "ElementQuerySet":
        """Those that are still there."""
        return self.filter(ended_at__isnull=True)


class Element(models.Model):
    """One element of the grid, located in a cell: in the one in force as long as it is there itself.

    A person's row says no more than that somebody belongs to the cell: name, place and all else are `Person`'s.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid7, editable=False)
    district = models.ForeignKey(
        District, models.PROTECT, verbose_name=_("district"), related_name="elements"
    )
    kind = models.CharField(_("kind"), max_length=12, choices=ElementKind)
    category = models.CharField(
        _("category"), max_length=40, blank=True, help_text=_("in the district's own words")
    )
    name = models.CharField(_("name"), max_length=120, blank=True)
    cell = models.ForeignKey(Cell, models.PROTECT, verbose_name=_("cell"), related_name="elements")
    point = models.PointField(_("place"), srid=WGS84, null=True, blank=True)
    x = models.FloatField(_("x as declared"), null=True, blank=True)
    y = models.FloatField(_("y as declared"), null=True, blank=True)
    system = models.CharField(_("coordinate system as declared"), max_length=20, blank=True)
    accuracy_m = models.FloatField(_("accuracy, metres"), null=True, blank=True)
    state = models.CharField(_("state"), max_length=10, choices=ComponentState, blank=True)
    established_on = models.DateField(_("initial date"), null=True, blank=True)
    changed_on = models.DateField(_("date of change"), null=True, blank=True)
    source = models.CharField(_("data source"), max_length=120, blank=True)
    note = models.CharField(_("note"), max_length=500, blank=True)
    synthetic = models.BooleanField(_("generated, not surveyed"), default=False)
    ended_at = models.DateTimeField(_("gone since"), null=True, blank=True)
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("changed by"), null=True, related_name="+"
    )
    changed_at = models.DateTimeField(_("last change"), default=timezone.now)

    objects = ElementQuerySet.as_manager()

    class Meta:
        verbose_name = _("element")
        verbose_name_plural = _("elements")
        ordering = ["id"]
        indexes = [
            models.Index(fields=["cell", "kind"], condition=Q(ended_at__isnull=True), name="element_by_cell"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=ElementKind.values), name="an_element_has_a_known_kind"
            ),
            models.CheckConstraint(
                condition=~Q(kind=ElementKind.PERSON)
                | Q(name="", category="", note="", source="", point__isnull=True, x__isnull=True)
                & Q(y__isnull=True, system="", accuracy_m__isnull=True)
                & Q(established_on__isnull=True, changed_on__isnull=True),
                name="what_tells_of_a_person_stands_apart",
            ),
            models.CheckConstraint(
                condition=Q(kind=ElementKind.PERSON)
                | Q(point__isnull=False, x__isnull=False, y__isnull=False, system__regex=DECLARED_SYSTEM),
                name="an_element_has_a_place_and_its_original",
            ),
            models.CheckConstraint(
                condition=Q(kind=ElementKind.COMPONENT, state__in=ComponentState.values)
                | ~Q(kind=ElementKind.COMPONENT) & Q(state=""),
                name="exactly_a_component_has_a_state",
            ),
            # Target of composite foreign keys.
            models.UniqueConstraint(fields=["id", "kind", "district"], name="element_kind_and_district"),
        ]

    def __str__(self) -> str:
        return self.name or str(self.id)


class Component(models.Model):
    """A component (部件): its code, its class in one edition of the standard, and who answers for it.

    The class is a row of the handling standard (`fieldops.EventClass`, kind component); a composite foreign key
    keeps it the one that the code names.
    """

    element = models.OneToOneField(
        Element, models.CASCADE, primary_key=True, verbose_name=_("element"), related_name="component"
    )
    kind = models.GeneratedField(
        expression=Value(ElementKind.COMPONENT.value),
        output_field=models.CharField(max_length=12),
        db_persist=True,
        editable=False,
    )
    district = models.ForeignKey(District, models.PROTECT, verbose_name=_("district"), related_name="+")
    code = models.CharField(_("code"), max_length=16, unique=True)
    scheme = models.CharField(_("scheme of the code"), max_length=7, choices=CodeScheme)
    major = models.GeneratedField(
        expression=Substr("code", 7, 2),
        output_field=models.CharField(_("major class"), max_length=2),
        db_persist=True,
        editable=False,
    )
    minor = models.GeneratedField(
        expression=Case(
            When(scheme=CodeScheme.LONG_MINOR, then=Substr("code", 9, 3)), default=Substr("code", 9, 2)
        ),
        output_field=models.CharField(_("minor class"), max_length=3),
        db_persist=True,
        editable=False,
    )
    event_class = models.ForeignKey(
        "fieldops.EventClass", models.PROTECT, verbose_name=_("class"), related_name="components"
    )
    managing = models.ForeignKey(
        Department, models.PROTECT, verbose_name=_("managing department"), related_name="+"
    )
    owning = models.ForeignKey(
        Department,
        models.PROTECT,
        verbose_name=_("owning department"),
        null=True,
        blank=True,
        related_name="+",
    )
    maintaining = models.ForeignKey(
        Department,
        models.PROTECT,
        verbose_name=_("maintaining department"),
        null=True,
        blank=True,
        related_name="+",
    )
    accuracy_class = models.CharField(_("accuracy class"), max_length=1, choices=AccuracyClass)

    class Meta:
        verbose_name = _("component")
        verbose_name_plural = _("components")
        ordering = ["code"]
        constraints = [
            models.CheckConstraint(
                condition=Q(code__regex=r"^[0-9]{16}$"), name="a_component_code_has_sixteen_digits"
            ),
            models.CheckConstraint(
                condition=Q(district=Left("code", 6)), name="a_component_code_begins_with_its_district"
            ),
            models.CheckConstraint(
                condition=Q(scheme__in=CodeScheme.values), name="a_component_code_has_a_known_scheme"
            ),
            models.CheckConstraint(
                condition=Q(accuracy_class__in=AccuracyClass.values),
                name="a_component_has_a_known_accuracy_class",
            ),
            models.UniqueConstraint(fields=["element", "district"], name="component_and_district"),
        ]

    def __str__(self) -> str:
        return self.code


class SpecialGroup(models.Model):
    """A group of people that needs particular care (特殊人群), as the district names it."""

    district = models.ForeignKey(
        District, models.PROTECT, verbose_name=_("district"), related_name="special_groups"
    )
    code = models.SlugField(_("code"), max_length=20)
    name = models.CharField(_("name"), max_length=40)
    name_en = models.CharField(_("English name"), max_length=80, blank=True)

    class Meta:
        verbose_name = _("special group")
        verbose_name_plural = _("special groups")
        ordering = ["code"]
        constraints = [
            models.UniqueConstraint(
                fields=["district", "code"], name="a_special_group_is_unique_in_its_district"
            ),
            models.UniqueConstraint(fields=["id", "district"], name="special_group_and_district"),
        ]

    def __str__(self) -> str:
        return self.name


class Person(models.Model):
    """All that is personal about an element of kind person. No history is kept of it; erasing deletes the row.

    Read through `fieldops.elements.population` alone, which masks, or asks for a purpose and logs it.
    """

    element = models.OneToOneField(
        Element, models.CASCADE, primary_key=True, verbose_name=_("element"), related_name="person"
    )
    kind = models.GeneratedField(
        expression=Value(ElementKind.PERSON.value),
        output_field=models.CharField(max_length=12),
        db_persist=True,
        editable=False,
    )
    district = models.ForeignKey(District, models.PROTECT, verbose_name=_("district"), related_name="+")
    name = models.CharField(_("name"), max_length=40)
    phone = models.CharField(_("telephone"), max_length=30, blank=True)
    birth_year = models.PositiveSmallIntegerField(
        _("year of birth"), null=True, blank=True, validators=[MinValueValidator(1900)]
    )
    address = models.CharField(_("address"), max_length=120, blank=True)
    point = models.PointField(_("place"), srid=WGS84)
    x = models.FloatField(_("x as declared"))
    y = models.FloatField(_("y as declared"))
    system = models.CharField(_("coordinate system as declared"), max_length=20)
    accuracy_m = models.FloatField(_("accuracy, metres"), null=True, blank=True)
    groups = models.ManyToManyField(
        SpecialGroup, through="GroupMembership", verbose_name=_("special groups"), related_name="people"
    )

    class Meta:
        verbose_name = _("person of the population")
        verbose_name_plural = _("population")
        constraints = [
            models.CheckConstraint(
                condition=Q(system__regex=DECLARED_SYSTEM), name="a_persons_place_names_a_known_system"
            ),
            models.UniqueConstraint(fields=["element", "district"], name="person_and_district"),
        ]

    def __str__(self) -> str:
        return str(self.element_id)


class GroupMembership(models.Model):
    """That a person belongs to a special group."""

    person = models.ForeignKey(Person, models.CASCADE, related_name="memberships")
    group = models.ForeignKey(SpecialGroup, models.PROTECT, related_name="memberships")
    district = models.ForeignKey(District, models.PROTECT, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["person", "group"], name="a_person_is_in_a_group_once")
        ]

    def __str__(self) -> str:
        return str(self.pk)


class RoadSegment(models.Model):
    """A stretch of road that a street chief answers for: a line, and what lies within `reach_m` of it.

    Which side a place lies on follows from the line's direction (`gridmap.segments.side_of`).
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid7, editable=False)
    district = models.ForeignKey(
        District, models.PROTECT, verbose_name=_("district"), related_name="road_segments"
    )
    code = models.CharField(_("code"), max_length=30)
    name = models.CharField(_("name"), max_length=120)
    name_en = models.CharField(_("English name"), max_length=120, blank=True)
    line = models.LineStringField(_("line"), srid=WGS84)
    reach_m = models.PositiveSmallIntegerField(
        _("reach to either side, metres"),
        default=40,
        validators=[MinValueValidator(1), MaxValueValidator(500)],
    )
    synthetic = models.BooleanField(_("generated, not surveyed"), default=False)
    ended_at = models.DateTimeField(_("gone since"), null=True, blank=True)
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("changed by"), null=True, related_name="+"
    )
    changed_at = models.DateTimeField(_("last change"), default=timezone.now)

    class Meta:
        verbose_name = _("road segment")
        verbose_name_plural = _("road segments")
        ordering = ["code"]
        constraints = [
            models.UniqueConstraint(
                fields=["district", "code"], name="a_segment_code_is_unique_in_its_district"
            ),
            models.CheckConstraint(
                condition=Q(reach_m__gte=1, reach_m__lte=500), name="a_segment_reaches_1_to_500_metres"
            ),
            models.UniqueConstraint(fields=["id", "district"], name="segment_and_district"),
        ]

    def __str__(self) -> str:
        return self.name


class Shop(models.Model):
    """An organisation or a place that stands at a road segment, on one of its sides."""

    element = models.OneToOneField(
        Element, models.CASCADE, primary_key=True, verbose_name=_("element"), related_name="shop"
    )
    element_kind = models.CharField(max_length=12, choices=ElementKind, editable=False)
    district = models.ForeignKey(District, models.PROTECT, verbose_name=_("district"), related_name="+")
    segment = models.ForeignKey(
        RoadSegment, models.PROTECT, verbose_name=_("road segment"), related_name="shops"
    )
    side = models.CharField(_("side"), max_length=5, choices=Side)
    house_number = models.CharField(_("house number"), max_length=20, blank=True)

    class Meta:
        verbose_name = _("shop")
        verbose_name_plural = _("shops")
        ordering = ["segment", "side", "house_number"]
        constraints = [
            models.CheckConstraint(
                condition=Q(element_kind__in=[ElementKind.ORGANISATION, ElementKind.PLACE]),
                name="a_shop_is_an_organisation_or_a_place",
            ),
            models.CheckConstraint(condition=Q(side__in=Side.values), name="a_shop_stands_on_a_side"),
        ]

    def __str__(self) -> str:
        return f"{self.segment} {self.house_number}"


# --- history, written by triggers: every state an element was in, by whom and from when ----------------------


class ElementVersion(
    pghistory.create_event_model(  # type: ignore[misc]
        Element,
        pghistory.InsertEvent(),
        pghistory.UpdateEvent(),
        exclude=["point"],
        level=pghistory.Statement,
        context_field=None,
        append_only=True,
        obj_field=pghistory.ObjForeignKey(related_name="+"),
        meta={
            "indexes": [
                models.Index(fields=["pgh_obj", "pgh_created_at"], name="element_version_by_time"),
                models.Index(fields=["cell", "pgh_created_at"], name="element_version_by_cell"),
            ]
        },
    )
):
    """An element as it was from `pgh_created_at` until the next version; written by a trigger, never changed."""


class ComponentVersion(
    pghistory.create_event_model(  # type: ignore[misc]
        Component,
        pghistory.InsertEvent(),
        pghistory.UpdateEvent(),
        fields=["code", "event_class", "managing", "owning", "maintaining", "accuracy_class"],
        level=pghistory.Statement,
        context_field=None,
        append_only=True,
        obj_field=pghistory.ObjForeignKey(related_name="+"),
        meta={
            "indexes": [models.Index(fields=["pgh_obj", "pgh_created_at"], name="component_version_by_time")]
        },
    )
):
    """The same for what only a component has; `changed_by` of the element's version of that moment says who."""
