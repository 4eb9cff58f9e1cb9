"""The rows of a district that an administrator edits; geometry comes in by import, not by a form."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from .administration import RowAdmin, RuleAdmin
from .models import (
    CalendarDay,
    Department,
    District,
    Element,
    ElementKind,
    GridUnit,
    RoadSegment,
    SpecialGroup,
)


@admin.register(District)
class DistrictAdmin(RuleAdmin):
    """Districts."""

    list_display = ["code", "name", "time_zone", "class_edition"]


@admin.register(Department)
class DepartmentAdmin(RowAdmin):
    """Departments."""

    list_display = ["code", "name", "name_en"]
    search_fields = ["code", "name"]


@admin.register(CalendarDay)
class CalendarDayAdmin(RuleAdmin):
    """Public holidays and make-up working days."""

    list_display = ["day", "working", "name"]
    list_filter = ["working"]
    date_hierarchy = "day"


@admin.register(GridUnit)
class GridUnitAdmin(RowAdmin):
    """Names of the organisations; their areas are read-only here."""

    list_display = ["code", "name", "level", "parent"]
    list_filter = ["level"]
    search_fields = ["code", "name", "area_name"]
    list_select_related = ["parent"]
    fields = ["code", "level", "name", "area_name", "name_en", "virtual", "synthetic"]
    readonly_fields = ["code", "level", "synthetic"]

    def has_add_permission(self, request: object) -> bool:
        """Units come with their geography."""
        return False


@admin.register(SpecialGroup)
class SpecialGroupAdmin(RowAdmin):
    """Names of special groups; who belongs to them is no administrator's business."""

    list_display = ["code", "name", "name_en"]


@admin.register(RoadSegment)
class RoadSegmentAdmin(RowAdmin):
    """Names and reach of road segments; their lines come in by import."""

    list_display = ["code", "name", "reach_m", "synthetic", "ended_at"]
    search_fields = ["code", "name"]
    fields = ["code", "name", "name_en", "reach_m", "synthetic"]
    readonly_fields = ["code", "synthetic"]

    def has_add_permission(self, request: object) -> bool:
        """Segments come with their geography."""
        return False


@admin.register(Element)
class ElementAdmin(RowAdmin):
    """Elements to look at, without people: they change in the field and by import, where it is written who did it."""

    list_display = ["name", "kind", "category", "component", "state", "changed_at", "ended_at"]
    list_filter = ["kind", "state"]
    search_fields = ["name", "component__code"]
    list_select_related = ["component"]
    fields = [
        "name",
        "kind",
        "category",
        "state",
        "x",
        "y",
        "system",
        "accuracy_m",
        "source",
        "note",
        "ended_at",
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Element]:
        """Never a person."""
        return super().get_queryset(request).exclude(kind=ElementKind.PERSON)

    def has_add_permission(self, request: object) -> bool:
        """By import or from the field."""
        return False

    def has_change_permission(self, request: object, obj: object = None) -> bool:
        """Likewise."""
        return False

    def has_delete_permission(self, request: object, obj: object = None) -> bool:
        """An element ends, it is not deleted."""
        return False
