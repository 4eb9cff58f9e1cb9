"""FILES THAT CAME IN: who brought which file, what was found in it, and what became of it."""

import uuid_utils.compat as uuid
from django.conf import settings
from django.contrib.gis.db import models
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .grid import District
from .layouts import Layout

MOST_TOLERANCE_M = 100


class ImportState(models.TextChoices):
    """What has become of a file."""

    WAITING = "waiting", _("Waiting to be checked")
    CHECKING = "checking", _("Being checked")
    REFUSED = "refused", _("Refused")
    READY = "ready", _("Ready to be applied")
    ORDERED = "ordered", _("Waiting to be applied")
    APPLYING = "applying", _("Being applied")
    APPLIED = "applied", _("Applied")
    FAILED = "failed", _("Failed")


class ImportRun(models.Model):
    """A file with a layer, from its upload to its end. The file is deleted when that has come, or after some days.

    It is kept under the run's key, with nothing of the sender's in the name. `summary` is what the change would do, and
    did; `faults` and the preview are GeoJSON in WGS-84.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid7, editable=False)
    district = models.ForeignKey(District, models.PROTECT, verbose_name=_("district"), related_name="imports")
    layer = models.CharField(_("layer"), max_length=20)
    file = models.FileField(_("file"), upload_to="imports", blank=True)
    file_name = models.CharField(_("name of the file"), max_length=200, editable=False)
    sha256 = models.CharField(_("SHA-256 of the file"), max_length=64, editable=False)
    crs = models.CharField(
        _("coordinate system"),
        max_length=40,
        blank=True,
        help_text=_("WGS84, GCJ02, BD09, CGCS2000 or EPSG:…; empty: as the file says"),
    )
    encoding = models.CharField(
        _("encoding of the text"), max_length=10, blank=True, help_text=_("empty: as the file says")
    )
    file_layer = models.CharField(
        _("layer within the file"), max_length=100, blank=True, help_text=_("where the file holds several")
    )
    columns = models.JSONField(
        _("names of columns"),
        default=dict,
        blank=True,
        help_text=_('where the file calls them otherwise: {"code": "ID", "name": "TITLE"}'),
    )
    tolerance_m = models.FloatField(
        _("tolerance, metres"),
        default=0.05,
        validators=[MinValueValidator(0), MaxValueValidator(MOST_TOLERANCE_M)],
        help_text=_("gaps and overlaps that are nowhere wider are closed"),
    )
    replace = models.BooleanField(
        _("the file is the whole layer"),
        default=True,
        help_text=_("organisations and cells: what is not in it ends"),
    )
    units_follow = models.BooleanField(
        _("organisations follow their cells"),
        default=False,
        help_text=_("areas of the organisations become the union of their new cells"),
    )
    valid_from = models.DateField(
        _("in force from"), null=True, blank=True, help_text=_("a local day; empty: at once")
    )
    language = models.CharField(_("language"), max_length=10, editable=False)
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("brought by"), related_name="+"
    )
    started_at = models.DateTimeField(_("brought"), default=timezone.now, editable=False)
    state = models.CharField(_("state"), max_length=10, choices=ImportState, default=ImportState.WAITING)
    progress = models.PositiveSmallIntegerField(_("progress, percent"), default=0)
    changed_at = models.DateTimeField(_("last change"), default=timezone.now)
    understood = models.JSONField(_("how the file was understood"), default=dict, blank=True)
    faults = models.JSONField(_("faults"), default=list, blank=True)
    summary = models.JSONField(_("what changes"), default=dict, blank=True)
    effects = models.JSONField(_("what it moves"), default=dict, blank=True)
    layout = models.OneToOneField(
        Layout, models.PROTECT, verbose_name=_("layout"), null=True, related_name="brought_by"
    )
    preview = models.JSONField(_("preview"), default=dict, blank=True)
    applied_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("applied by"), null=True, related_name="+"
    )

    class Meta:
        verbose_name = _("import")
        verbose_name_plural = _("imports")
        ordering = ["-started_at"]
        permissions = [("apply_importrun", "Can apply import")]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=ImportState.values), name="an_import_has_a_known_state"
            ),
            models.CheckConstraint(
                condition=~Q(state__in=[ImportState.ORDERED, ImportState.APPLYING, ImportState.APPLIED])
                | Q(applied_by__isnull=False),
                name="an_import_is_applied_by_someone",
            ),
            models.CheckConstraint(condition=Q(progress__lte=100), name="progress_is_a_percentage"),
        ]

    def __str__(self) -> str:
        return self.file_name
