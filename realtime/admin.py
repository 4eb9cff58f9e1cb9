"""Rows an administrator edits; letters and what became of them are not among them. Shifts, and who read tracks, are
looked at only.
"""

from django.contrib import admin
from django.http import HttpRequest

from gridmap.administration import RowAdmin, RuleAdmin

from .models import ContactDetail, DeliveryPolicy, LetterRetention, Shift, TrackAccess, TrackPolicy


@admin.register(DeliveryPolicy)
class DeliveryPolicyAdmin(RuleAdmin):
    """Who is told, and when, of a letter that nobody acknowledges."""

    list_display = [
        "district",
        "kind",
        "recipient_after",
        "dispatcher_after",
        "supervisor_after",
        "adapters",
    ]


@admin.register(ContactDetail)
class ContactDetailAdmin(RowAdmin):
    """Where people are reached; the list does not show the addresses."""

    list_display = ["user", "adapter"]
    list_filter = ["adapter"]
    autocomplete_fields = ["user"]


@admin.register(LetterRetention)
class LetterRetentionAdmin(RuleAdmin):
    """When letters are dropped."""

    list_display = ["district", "keep_days", "keep_acknowledged_days", "device_forgotten_days"]


class ReadOnly(RowAdmin):
    """To look at."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Never."""
        return False


@admin.register(TrackPolicy)
class TrackPolicyAdmin(RuleAdmin):
    """How long tracks are kept, and what is doubted."""

    list_display = ["district", "keep_days", "longest_shift_hours", "impossible_speed_kmh"]


@admin.register(Shift)
class ShiftAdmin(ReadOnly):
    """Who was on duty when."""

    list_display = ["user", "post", "started_at", "ended_at", "forgotten"]
    list_select_related = ["user", "post"]
    date_hierarchy = "started_at"


@admin.register(TrackAccess)
class TrackAccessAdmin(ReadOnly):
    """Who looked at whose track, when, and why."""

    list_display = ["at", "by", "post", "shift", "purpose"]
    list_select_related = ["by", "post", "shift__user", "shift__post"]
    date_hierarchy = "at"
