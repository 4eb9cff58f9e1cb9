"""The administrator's form of exports: a layer of a district as a file that can be read again."""

import tempfile
from pathlib import Path
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.http import FileResponse, HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from gridmap.coordinates import ImplausiblePosition, UnknownCoordinateSystem
from gridmap.exchange.layers import LAYERS
from gridmap.exchange.reading import ENCODINGS
from gridmap.exchange.writing import NoLayoutOfThatDay, export_layer
from gridmap.models import District

SYSTEMS = ["WGS84", "CGCS2000", "GCJ02", "BD09", "EPSG:4546", "EPSG:4525"]
FORMATS = {
    ".geojson": "GeoJSON",
    ".zip": gettext_lazy("Shapefile, zipped"),
    ".gpkg": "GeoPackage",
    ".csv": "CSV",
}


class ExportForm(forms.Form):
    """Which layer, and how it is to be written."""

    district = forms.ModelChoiceField(
        District.objects.none(),
        label=gettext_lazy("district"),
        empty_label=None,
        widget=UnfoldAdminSelectWidget,
    )
    layer = forms.ChoiceField(label=gettext_lazy("layer"), widget=UnfoldAdminSelectWidget)
    suffix = forms.ChoiceField(
        label=gettext_lazy("format"), choices=list(FORMATS.items()), widget=UnfoldAdminSelectWidget
    )
    crs = forms.CharField(
        label=gettext_lazy("coordinate system"),
        initial="WGS84",
        max_length=40,
        widget=UnfoldAdminTextInputWidget(attrs={"list": "systems", "autocomplete": "off"}),
        help_text=gettext_lazy("WGS84, GCJ02, BD09, CGCS2000 or EPSG:…"),
    )
    encoding = forms.ChoiceField(
        label=gettext_lazy("encoding of the text"),
        choices=[(name, name) for name in ENCODINGS],
        widget=UnfoldAdminSelectWidget,
        help_text=gettext_lazy("of a Shapefile or CSV"),
    )
    on = forms.DateField(
        label=gettext_lazy("as it was on"),
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"type": "date"}),
        help_text=gettext_lazy("organisations and cells only; empty: as it is"),
    )

    def __init__(self, asked: Any, districts: QuerySet[District]) -> None:
        super().__init__(asked)
        self.fields["district"].queryset = districts  # type: ignore[attr-defined]
        self.fields["layer"].choices = [(name, layer.label) for name, layer in LAYERS.items()]  # type: ignore[attr-defined]


def answer_export(
    request: HttpRequest, districts: QuerySet[District], context: dict[str, Any]
) -> HttpResponseBase:
    """The form; asked, the file, or the form with what is wrong."""
    form = ExportForm(request.GET or None, districts)
    if form.is_valid():
        asked = form.cleaned_data
        day = f"-{asked['on']}" if asked["on"] else ""
        name = f"{asked['layer']}-{asked['district'].pk}{day}{asked['suffix']}"
        with tempfile.TemporaryDirectory(prefix="export-") as room:
            path = Path(room) / name
            try:
                export_layer(
                    *(path, LAYERS[asked["layer"]], asked["district"]),
                    crs=asked["crs"],
                    encoding=asked["encoding"],
                    on=asked["on"],
                )
            except NoLayoutOfThatDay as refused:
                form.add_error("on", str(refused))
            except (UnknownCoordinateSystem, ImplausiblePosition) as refused:
                form.add_error("crs", str(refused))
            except UnicodeEncodeError:
                form.add_error("encoding", _("This encoding lacks a sign of the layer"))
            else:
                return FileResponse(path.open("rb"), as_attachment=True, filename=name)
    return TemplateResponse(request, "admin/export.html", {**context, "form": form, "systems": SYSTEMS})
