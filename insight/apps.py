"""The room as Django knows it."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class InsightConfig(AppConfig):
    """Reads the rooms below; nothing below knows of it."""

    name = "insight"
    verbose_name = _("indicators")
    default_auto_field = "django.db.models.BigAutoField"
