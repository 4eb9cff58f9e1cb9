"""What both interfaces read of times."""

from datetime import datetime
from typing import Any

from django.utils.timezone import is_naive
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers


class MomentField(serializers.DateTimeField):
    """A moment with its zone: without one a guess would be eight hours off."""

    default_error_messages = {"zone": _("Needs a time zone, such as +08:00.")}

    def enforce_timezone(self, value: datetime) -> Any:
        """Refuse a time that says no zone."""
        if is_naive(value):
            self.fail("zone")
        return super().enforce_timezone(value)
