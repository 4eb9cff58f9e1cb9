from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class RealtimeConfig(AppConfig):
    name = "realtime"
    verbose_name = _("Live delivery")

    def ready(self) -> None:
        from fieldops.lifecycle import transition_recorded

        from . import letters

        transition_recorded.connect(letters.write_letters, dispatch_uid="write_letters")
