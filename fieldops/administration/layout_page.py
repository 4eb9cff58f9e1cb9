"""The administrator's page of layouts: draw a draft on the map, see what it would do, put it in force or give it up."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import shapely
from django import forms
from django.contrib import admin, messages
from django.contrib.gis.geos import GEOSGeometry
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _
from shapely.geometry.base import BaseGeometry
from unfold.widgets import UnfoldAdminDateWidget

from fieldops.errors import DomainError
from fieldops.geography.boundaries import MAY_APPLY, apply_layout, effects_in_words, what_if
from fieldops.geography.imports import districts_of
from fieldops.places import line_of
from gridmap.administration import RowAdmin
from gridmap.layouts import (
    Grid,
    LayoutRefused,
    LayoutSettled,
    UnitPlan,
    check_layout,
    day_begins,
    diff,
    differences_in_words,
    discard_layout,
    hand_over,
    merge_cells,
    read_draft,
    split_cell,
)
from gridmap.models import Layout, LayoutState, Level
from gridmap.topology import Fault, as_geojson

MOST_LINES = 400
MOST_CORNERS = 2_000


class LayoutForm(forms.ModelForm):
    """What a draft begins with."""

    day = forms.DateField(
        label=gettext_lazy("in force from"),
        required=False,
        widget=UnfoldAdminDateWidget,
        help_text=gettext_lazy("a local day to come; empty: when somebody puts it in force"),
    )

    class Meta:
        model = Layout
        fields = ["district", "title", "day", "tolerance_m"]

    def clean(self) -> dict[str, Any]:
        """The day as the moment it begins in the district."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        day, district = cleaned.get("day"), cleaned.get("district")
        cleaned["moment"] = None
        if day and district:
            try:
                cleaned["moment"] = day_begins(day, district)
            except ValueError:
                self.add_error("day", _("The day %s is past") % day)
        return cleaned


@admin.register(Layout)
class LayoutAdmin(RowAdmin):
    """Layouts: drawn by whoever may add one, changed, put in force and given up by whoever may change one."""

    form = LayoutForm
    list_display = ["title", "district", "state", "takes_effect_at", "made_by", "made_at", "settled_at"]
    list_filter = ["state"]
    list_select_related = ["district", "made_by"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Layout]:
        """Those of the person's districts."""
        return Layout.objects.filter(district__in=districts_of(request.user))  # type: ignore[arg-type]

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Never: a draft that is given up stays to be looked at."""
        return False

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Only the person's own districts are offered, and taken."""
        if db_field.name == "district":
            kwargs["queryset"] = districts_of(request.user)  # type: ignore[arg-type]
            kwargs["initial"] = kwargs["queryset"].first()
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Begin the draft."""
        obj.made_by, obj.takes_effect_at = request.user, form.cleaned_data["moment"]
        super().save_model(request, obj, form, change)

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponse:
        """To its map."""
        return HttpResponseRedirect(_page_of(obj))

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The map, with the addresses its script asks."""
        layout = self.get_object(request, object_id)
        if layout is None:
            raise Http404
        if not self.has_view_permission(request, layout):
            raise PermissionDenied
        names = ("state", "shapes", "edit", "apply", "discard")
        context = {
            **self.admin_site.each_context(request),
            "title": layout.title,
            "opts": self.opts,
            "original": layout,
            "addresses": {name: reverse(f"admin:layout_{name}", args=[layout.pk]) for name in names},
            "may_change": layout.state == LayoutState.DRAFT and request.user.has_perm(MAY_APPLY),
        }
        return TemplateResponse(request, "admin/layout.html", context)

    def get_urls(self) -> list[Any]:
        """What the page's script asks and orders."""
        views: dict[str, Callable[..., HttpResponse]] = {
            "state": self.state_view,
            "shapes": self.shapes_view,
            "edit": self.edit_view,
            "apply": self.apply_view,
            "discard": self.discard_view,
        }
        own = [
            path(f"<uuid:layout_id>/{name}", self.admin_site.admin_view(view), name=f"layout_{name}")
            for name, view in views.items()
        ]
        return [*own, *super().get_urls()]

    def state_view(self, request: HttpRequest, layout_id: Any) -> HttpResponse:
        """What it changes, what that would move, and what speaks against it."""
        layout = self._layout(request, layout_id)
        draft = layout.state == LayoutState.DRAFT
        faults = check_layout(layout) if draft else []
        effects = layout.effects if not draft else {} if faults else what_if(layout)
        lines = differences_in_words(diff(layout))
        in_the_way = [layout.refusal] if layout.refusal else []
        if posts := effects.get("posts"):
            in_the_way.append(_("These posts belong to what is dissolved: %s") % ", ".join(posts))
        return JsonResponse(
            {
                "state": layout.state,
                "label": layout.get_state_display(),
                "changes": lines[:MOST_LINES],
                "more": max(0, len(lines) - MOST_LINES),
                "effects": effects_in_words(effects),
                "in_the_way": in_the_way,
                "faults": as_geojson(faults),
            }
        )

    def shapes_view(self, request: HttpRequest, layout_id: Any) -> HttpResponse:
        """Cells as GeoJSON in WGS-84: what stays (`there`), `begun` and `ended`; who may own a cell."""
        layout = self._layout(request, layout_id)
        base, target, _faults = read_draft(layout)
        english = get_language() == "en"
        units = base.units | target.units

        def name(code: str) -> str:
            unit = units.get(code)
            return _name(unit, english) if unit else code

        features = [
            {
                "type": "Feature",
                "id": f"{role}-{code}",
                "geometry": json.loads(shapely.to_geojson(shape)),
                "properties": {
                    "role": role,
                    "code": code,
                    "owner": name(group),
                    "regional_group": name(regional),
                },
            }
            for role, code, group, regional, shape in _drawn(layout, base, target)
        ]
        owners = [
            {"code": unit.code, "name": _name(unit, english)}
            for level in (Level.PARTY_GROUP, Level.REGIONAL_GROUP)
            for unit in target.of_level(level).values()
        ]
        return JsonResponse({"type": "FeatureCollection", "features": features, "owners": owners})

    def edit_view(self, request: HttpRequest, layout_id: Any) -> HttpResponse:
        """Merge, split or hand over, as JSON says: `verb`, `codes`, `line` (corners) and its `system`, `to`.

        Answers 422 with the faults as GeoJSON when it is refused.
        """
        layout = self._layout(request, layout_id, change=True)
        try:
            _edit(layout, json.loads(request.body))
        except LayoutRefused as refused:
            return JsonResponse(as_geojson(refused.faults), status=422)
        except LayoutSettled as settled:
            return JsonResponse(as_geojson([Fault(settled.code, (), str(settled))]), status=422)
        except DomainError as refused:
            return JsonResponse(as_geojson([Fault(refused.code, (), str(refused.title))]), status=422)
        except (ValueError, TypeError, KeyError, RecursionError):
            return JsonResponse(
                as_geojson([Fault("not_understood", (), _("This was not understood"))]), status=422
            )
        return JsonResponse({})

    def apply_view(self, request: HttpRequest, layout_id: Any) -> HttpResponse:
        """Put it in force now."""
        layout = self._layout(request, layout_id, change=True)
        try:
            apply_layout(layout.pk, by=request.user)  # type: ignore[arg-type]
        except DomainError as refused:
            messages.error(request, str(refused.detail or refused.title))
        return HttpResponseRedirect(_page_of(layout))

    def discard_view(self, request: HttpRequest, layout_id: Any) -> HttpResponse:
        """Give it up."""
        layout = self._layout(request, layout_id, change=True)
        try:
            discard_layout(layout, by=request.user)
        except LayoutSettled as settled:
            messages.error(request, str(settled))
        return HttpResponseRedirect(_page_of(layout))

    def _layout(self, request: HttpRequest, layout_id: Any, *, change: bool = False) -> Layout:
        if not self.has_view_permission(request):
            raise PermissionDenied
        if change and (request.method != "POST" or not request.user.has_perm(MAY_APPLY)):
            raise PermissionDenied
        return get_object_or_404(self.get_queryset(request).select_related("district"), pk=layout_id)


@transaction.atomic
def _edit(layout: Layout, asked: dict[str, Any]) -> None:
    codes = [str(code) for code in asked["codes"]]
    match asked["verb"]:
        case "merge":
            merge_cells(layout, codes)
        case "split":
            [code] = codes
            corners = [(float(x), float(y)) for x, y in asked["line"]]
            if len(corners) > MOST_CORNERS:
                raise ValueError(len(corners))
            split_cell(layout, code, line=line_of(corners, str(asked.get("system", ""))))
        case "hand_over":
            for code in codes:
                hand_over(layout, code, to=str(asked["to"]))
        case _:
            raise ValueError(asked["verb"])


def _name(unit: UnitPlan, english: bool) -> str:
    return (english and unit.name_en) or unit.name


def _drawn(layout: Layout, base: Grid, target: Grid) -> Iterator[tuple[str, str, str, str, BaseGeometry]]:
    """Cells with party and regional group: what a draft leaves, begins and ends; of a settled one, what it did."""
    if layout.state == LayoutState.DRAFT:
        kept = {cell.version for cell in target.cells.values()}
        for cell in target.cells.values():
            role = "there" if cell.version else "begun"
            yield role, cell.code, cell.party_group, cell.regional_group, cell.boundary
        for cell in base.cells.values():
            if cell.version not in kept:
                yield "ended", cell.code, cell.party_group, cell.regional_group, cell.boundary
        return
    for cell in base.cells.values():
        yield "there", cell.code, cell.party_group, cell.regional_group, cell.boundary
    for begun in layout.cells.all():
        yield "begun", begun.code, begun.party_group, begun.regional_group, _shapely(begun.boundary)
    for ended in layout.ends.select_related("party_group", "regional_group"):
        owners = (ended.party_group.code, ended.regional_group.code)
        yield ("ended", ended.code, *owners, _shapely(ended.boundary))


def _shapely(geometry: GEOSGeometry) -> BaseGeometry:
    return shapely.from_wkb(bytes(geometry.wkb))


def _page_of(layout: Layout) -> str:
    return reverse("admin:gridmap_layout_change", args=[layout.pk])
