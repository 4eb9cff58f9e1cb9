"""The rows of a district that an administrator edits; geometry comes in by import, not by a form."""

from django.contrib import admin

from .administration import RowAdmin
from .models import CalendarDay, Department, District, GridUnit


@admin.register(District)
class DistrictAdmin(RowAdmin):
    """Districts."""

    list_display = ["code", "name", "time_zone", "class_edition"]


@admin.register(Department)
class DepartmentAdmin(RowAdmin):
    """Departments."""

    list_display = ["code", "name", "name_en"]
    search_fields = ["code", "name"]


@admin.register(CalendarDay)
class CalendarDayAdmin(RowAdmin):
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
