"""The administrator's page of imports: bring a file, watch it being checked, look at the map, apply it."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from fieldops.geography.imports import (
    begin_import,
    districts_of,
    in_words,
    may_apply,
    order_import,
    progress_of,
    runs_of,
)
from fieldops.tasks import work_on_imports
from gridmap.administration import RowAdmin
from gridmap.exchange.faults import FileRefused
from gridmap.exchange.layers import LAYERS
from gridmap.exchange.reading import ENCODINGS
from gridmap.geojson import grid_geojson
from gridmap.models import ImportRun, ImportState

from .export_page import SYSTEMS, answer_export

MOST_OF_COLUMNS = 4000


class ColumnsField(forms.JSONField):
    """Names of columns; what is too long for that is not even read: deep nesting would stop the reader."""

    def to_python(self, value: Any) -> Any:
        """As written. Raises ValidationError."""
        return super().to_python(value if len(value or "") <= MOST_OF_COLUMNS else "{")

    def bound_data(self, data: Any, initial: Any) -> Any:
        """What is shown again."""
        return super().bound_data(data, initial) if len(data or "") <= MOST_OF_COLUMNS else ""


class ImportForm(forms.ModelForm):
    """What somebody says of a file they bring."""

    layer = forms.ChoiceField(label=gettext_lazy("layer"), widget=UnfoldAdminSelectWidget)
    file = forms.FileField(
        label=gettext_lazy("file"),
        widget=UnfoldAdminFileFieldWidget,
        help_text=gettext_lazy("GeoJSON, zipped Shapefile (.zip), GeoPackage (.gpkg) or CSV, up to 19 MB"),
    )
    encoding = forms.ChoiceField(
        label=gettext_lazy("encoding of the text"),
        required=False,
        choices=[("", "—"), *((name, name) for name in ENCODINGS)],
        widget=UnfoldAdminSelectWidget,
        help_text=gettext_lazy("empty: as the file says"),
    )
    crs = forms.CharField(
        label=gettext_lazy("coordinate system"),
        required=False,
        max_length=40,
        widget=UnfoldAdminTextInputWidget(attrs={"list": "systems", "autocomplete": "off"}),
        help_text=gettext_lazy("WGS84, GCJ02, BD09, CGCS2000 or EPSG:…; empty: as the file says"),
    )

    class Meta:
        model = ImportRun
        field_classes = {"columns": ColumnsField}
        fields = [
            *("district", "layer", "file", "crs", "encoding", "file_layer", "columns"),
            *("replace", "tolerance_m", "units_follow", "valid_from"),
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["layer"].choices = [(name, layer.label) for name, layer in LAYERS.items()]  # type: ignore[attr-defined]

    def clean_columns(self) -> dict[str, str]:
        """Only names for names."""
        columns = self.cleaned_data["columns"] or {}
        if not isinstance(columns, dict) or not all(isinstance(v, str) for v in columns.values()):
            raise forms.ValidationError(_("Write it as in the example"))
        return columns


@admin.register(ImportRun)
class ImportRunAdmin(RowAdmin):
    """Imports: begun by whoever may add one, applied by whoever has the permission for it, changed by nobody."""

    form = ImportForm
    add_form_template = "admin/import_add.html"
    change_form_template = "admin/import_run.html"
    list_display = ["file_name", "shown_layer", "district", "state", "started_by", "started_at"]
    list_filter = ["state"]
    list_select_related = ["district", "started_by"]
    actions_list = ["export"]

    @action(description=gettext_lazy("Export"), url_path="export", permissions=["view"])
    def export(self, request: HttpRequest) -> HttpResponseBase:
        """A layer of one of the person's districts as a file."""
        return answer_export(
            request,
            districts_of(request.user),  # type: ignore[arg-type]
            {**self.admin_site.each_context(request), "title": _("Export a layer"), "opts": self.opts},
        )

    @admin.display(description=gettext_lazy("layer"))
    def shown_layer(self, run: ImportRun) -> str:
        """The layer by its name."""
        return str(LAYERS[run.layer].label)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ImportRun]:
        """Those of the person's districts."""
        return runs_of(request.user).defer("preview", "faults")  # type: ignore[arg-type]

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Never: a run is what it was."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Never: who brought what is kept."""
        return False

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Only the person's own districts are offered, and taken."""
        if db_field.name == "district":
            kwargs["queryset"] = districts_of(request.user)  # type: ignore[arg-type]
            kwargs["initial"] = kwargs["queryset"].first()
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The form, with the systems people use to choose from."""
        try:
            return super().add_view(request, form_url, {**(extra_context or {}), "systems": SYSTEMS})
        except FileRefused as refused:
            messages.error(request, str(refused.faults[0].message))
            return HttpResponseRedirect(request.path)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Keep the file and call the worker; it finds the file by itself should the call be lost."""
        begin_import(obj, form.cleaned_data["file"], by=request.user)  # type: ignore[arg-type]
        transaction.on_commit(work_on_imports.delay)

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponse:
        """To the page of the run."""
        return HttpResponseRedirect(reverse("admin:gridmap_importrun_change", args=[obj.pk]))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        """With the addresses its script asks."""
        run = kwargs.get("obj")
        if run is not None:
            names = ("state", "preview", "current", "apply")
            context["addresses"] = {n: reverse(f"admin:import_{n}", args=[run.pk]) for n in names}
            context["layer_label"] = LAYERS[run.layer].label
        return super().render_change_form(request, context, *args, **kwargs)

    def get_urls(self) -> list[Any]:
        """What the page's script asks, and the order to apply."""
        views = {
            "state": self.state_view,
            "preview": self.preview_view,
            "current": self.current_view,
            "apply": self.apply_view,
        }
        own = [
            path(f"<uuid:run_id>/{name}", self.admin_site.admin_view(view), name=f"import_{name}")
            for name, view in views.items()
        ]
        return [*own, *super().get_urls()]

    def state_view(self, request: HttpRequest, run_id: Any) -> HttpResponse:
        """How far it is, what was found, and whether the person may apply it."""
        run = self._run(request, run_id)
        allowed = run.state == ImportState.READY and may_apply(run, request.user)  # type: ignore[arg-type]
        return JsonResponse(
            {
                "state": run.state,
                "label": run.get_state_display(),
                "progress": progress_of(run),
                "understood": run.understood,
                "summary": in_words(run.summary, run.effects) if run.summary else [],
                "faults": {"type": "FeatureCollection", "features": run.faults},
                "may_apply": allowed,
            }
        )

    def preview_view(self, request: HttpRequest, run_id: Any) -> HttpResponse:
        """What is proposed, GeoJSON in WGS-84."""
        run = self._run(request, run_id)
        return JsonResponse(run.preview or {"type": "FeatureCollection", "features": []})

    def current_view(self, request: HttpRequest, run_id: Any) -> HttpResponse:
        """What is in force of the same layer, GeoJSON in WGS-84; streets, for what is no area."""
        run = self._run(request, run_id)
        level = LAYERS[run.layer].level
        which = str(level.value) if level else "cells" if run.layer == "cells" else "3"
        return HttpResponse(grid_geojson(run.district_id, which), content_type="application/geo+json")

    def apply_view(self, request: HttpRequest, run_id: Any) -> HttpResponse:
        """Have it applied."""
        run = self._run(request, run_id)
        if request.method != "POST" or not request.user.has_perm("gridmap.apply_importrun"):
            raise PermissionDenied
        try:
            order_import(run.pk, by=request.user)  # type: ignore[arg-type]
        except FileRefused as refused:
            messages.error(request, str(refused.faults[0].message))
        else:
            transaction.on_commit(work_on_imports.delay)
        return HttpResponseRedirect(reverse("admin:gridmap_importrun_change", args=[run.pk]))

    def _run(self, request: HttpRequest, run_id: Any) -> ImportRun:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return get_object_or_404(runs_of(request.user), pk=run_id)  # type: ignore[arg-type]
