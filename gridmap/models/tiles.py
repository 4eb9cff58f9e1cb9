"""WHAT TILES ARE MADE OF: the grid as it is drawn at each zoom, and which version of a layer is in force.

Drawn shapes are web Mercator (EPSG:3857), metres at the equator.
"""

from django.contrib.gis.db import models
from django.contrib.postgres.indexes import GistIndex
from django.utils.translation import gettext_lazy as _

from .grid import District

WEB_MERCATOR = 3857


class LayerChange(models.Model):
    """That a layer of a district changed so many times; triggers write it in the transaction of the change.

    The sum of `times` is the layer's version: it grows with every commit that touches the layer, in whatever order
    they come, and no writer waits for another, as they would at one counter. `gridmap.tiles.fold_changes` adds old
    rows up.
    """

    # No foreign key: a district that is deleted changes its layers, too.
    district = models.CharField(_("district"), max_length=6)
    layer = models.CharField(_("layer"), max_length=20)
    times = models.BigIntegerField(_("times"), default=1)

    class Meta:
        verbose_name = _("change of a layer")
        verbose_name_plural = _("changes of layers")
        indexes = [models.Index(fields=["district", "layer"], include=["times"], name="changes_of_a_layer")]

    def __str__(self) -> str:
        return f"{self.district} {self.layer} {self.times}"


class Drawing(models.Model):
    """Which version of a district's grid its shapes were drawn from."""

    district = models.OneToOneField(
        District, models.CASCADE, primary_key=True, verbose_name=_("district"), related_name="drawing"
    )
    version = models.BigIntegerField(_("version"))
    cells_from = models.PositiveSmallIntegerField(_("cells are drawn from zoom"))
    drawn_at = models.DateTimeField(_("drawn"), auto_now=True)

    class Meta:
        verbose_name = _("drawn grid")
        verbose_name_plural = _("drawn grids")

    def __str__(self) -> str:
        return f"{self.district_id} v{self.version}"


class Shape(models.Model):
    """A unit (level 1 to 5) or a cell (6) in force, as it is drawn at one zoom; derived, never edited."""

    district = models.ForeignKey(District, models.CASCADE, related_name="+")
    level = models.PositiveSmallIntegerField(_("level"))
    zoom = models.PositiveSmallIntegerField(_("zoom"))
    code = models.CharField(_("code"), max_length=20)
    name = models.CharField(_("name"), max_length=80, blank=True)
    name_en = models.CharField(_("English name"), max_length=120, blank=True)
    outline = models.GeometryField(_("outline"), srid=WEB_MERCATOR, spatial_index=False)
    label = models.PointField(_("place of the label"), srid=WEB_MERCATOR, spatial_index=False)

    class Meta:
        verbose_name = _("drawn shape")
        verbose_name_plural = _("drawn shapes")
        indexes = [GistIndex(fields=["level", "zoom", "outline"], name="shape_by_zoom_and_place")]

    def __str__(self) -> str:
        return f"{self.code} z{self.zoom}"
