"""By which calendar and which limits the open deadlines were computed last."""

from django.contrib.gis.db import models
from django.utils.translation import gettext_lazy as _

from gridmap.models import District


class Reckoning(models.Model):
    """The digest of a district's working hours, calendar and limits of stages that its open deadlines follow."""

    district = models.OneToOneField(
        District, models.CASCADE, primary_key=True, verbose_name=_("district"), related_name="reckoning"
    )
    digest = models.CharField(_("SHA-256 of the rules"), max_length=64)
    at = models.DateTimeField(_("computed"))

    class Meta:
        verbose_name = _("reckoning of deadlines")
        verbose_name_plural = _("reckonings of deadlines")

    def __str__(self) -> str:
        return f"{self.district_id} {self.at:%Y-%m-%d %H:%M}"
