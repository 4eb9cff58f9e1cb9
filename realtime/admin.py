"""Rows an administrator edits; letters and what became of them are not among them."""

from django.contrib import admin

from .models import ContactDetail, DeliveryPolicy, LetterRetention


@admin.register(DeliveryPolicy)
class DeliveryPolicyAdmin(admin.ModelAdmin):
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
class ContactDetailAdmin(admin.ModelAdmin):
    """Where people are reached; the list does not show the addresses."""

    list_display = ["user", "adapter"]
    list_filter = ["adapter"]
    autocomplete_fields = ["user"]


@admin.register(LetterRetention)
class LetterRetentionAdmin(admin.ModelAdmin):
    """When letters are dropped."""

    list_display = ["district", "keep_days", "keep_acknowledged_days", "device_forgotten_days"]
