from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class RealtimeConfig(AppConfig):
    name = "realtime"
    verbose_name = _("Live delivery")

    def ready(self) -> None:
        from fieldops.lifecycle import transition_recorded
        from fieldops.steps.checks import ask_whom

        from . import letters, presence

        transition_recorded.connect(letters.write_letters, dispatch_uid="write_letters")
        ask_whom(presence.whom_to_send)
