"""The administrator's questions to the rules of responsibility: who would it be here, and who answers for nothing."""

from typing import Any

from django import forms
from django.db.models import OuterRef, Subquery
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from fieldops.models import EventClass, FilingCondition, Kind, Post
from fieldops.responsibility.assignment import fitting_rules, handlers, scope_of, told_scope
from fieldops.responsibility.coverage import pairs
from gridmap.locate import locate
from gridmap.models import Cell, Component, Department, District, GridUnit, Level
from gridmap.spreadsheets import XLSX, workbook

MOST_SHOWN = 500


class WhoForm(forms.Form):
    """A class, a place, and what else a rule may ask for."""

    event_class = forms.ChoiceField(label=gettext_lazy("event class"), widget=UnfoldAdminSelectWidget)
    place = forms.CharField(
        label=gettext_lazy("place"),
        max_length=60,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("code of a cell, or longitude, latitude (WGS-84)"),
    )
    condition = forms.IntegerField(
        label=gettext_lazy("number of the filing condition"),
        required=False,
        min_value=1,
        max_value=32767,
        widget=UnfoldAdminIntegerFieldWidget,
    )
    component = forms.RegexField(
        r"^[0-9]{16}$",
        label=gettext_lazy("code of the component"),
        required=False,
        widget=UnfoldAdminTextInputWidget,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        editions = District.objects.values("class_edition")
        classes = EventClass.objects.filter(edition__in=editions)
        self.fields["event_class"].choices = [  # type: ignore[attr-defined]
            (one.pk, f"{one.get_kind_display()} {one}") for one in classes
        ]

    def clean_event_class(self) -> EventClass:
        """The class itself."""
        return EventClass.objects.get(pk=self.cleaned_data["event_class"])

    def clean_place(self) -> Cell:
        """The cell in force that the code means, or the point lies in."""
        place = self.cleaned_data["place"].strip().replace("，", ",")
        cells = Cell.objects.in_force().defer("boundary")
        if "," in place:
            try:
                lon, lat = (float(part) for part in place.split(","))
            except ValueError as error:
                raise forms.ValidationError(_("no such place")) from error
            if not (-180 <= lon <= 180 and -90 <= lat <= 90):
                raise forms.ValidationError(_("no such place"))
            found = [
                location.cell
                for district in District.objects.all()
                if (location := locate(lon, lat, district=district)) is not None
            ]
        else:
            found = list(cells.filter(code=place)[:1])
        if not found:
            raise forms.ValidationError(_("no such place"))
        return found[0]

    def clean(self) -> dict[str, Any]:
        """The condition of the class, and the component, where they are named."""
        said = super().clean() or {}
        if (number := said.get("condition")) is not None and "event_class" in said:
            said["condition"] = FilingCondition.objects.filter(
                event_class=said["event_class"], number=number
            ).first()
            if said["condition"] is None:
                self.add_error("condition", _("the class has no such condition"))
        if code := said.get("component"):
            said["component"] = (
                Component.objects.select_related("managing", "owning", "maintaining")
                .filter(code=code)
                .first()
            )
            if said["component"] is None:
                self.add_error("component", _("no such component"))
        return said


class CoverageForm(forms.Form):
    """Which pairs to list."""

    kind = forms.ChoiceField(
        label=gettext_lazy("kind"),
        required=False,
        choices=[("", "—"), *Kind.choices],
        widget=UnfoldAdminSelectWidget,
    )
    street = forms.ChoiceField(label=gettext_lazy("street"), required=False, widget=UnfoldAdminSelectWidget)
    everything = forms.BooleanField(
        label=gettext_lazy("also pairs with an owner"), required=False, widget=UnfoldBooleanWidget
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        streets = GridUnit.objects.in_force().filter(level=Level.STREET_COMMITTEE)
        self.fields["street"].choices = [  # type: ignore[attr-defined]
            ("", "—"),
            *streets.order_by("code").values_list("code", "area_name"),
        ]


def who_page(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """Which rule holds for this class here, and which it beats."""
    asked = bool(request.GET)
    form = WhoForm(request.GET if asked else None)
    ranked: list[dict[str, Any]] = []
    if asked and form.is_valid():
        ranked = _ranked(**form.cleaned_data)
        context |= {"answered": True, "cell": form.cleaned_data["place"]}
    context |= {"title": _("Who is responsible?"), "form": form, "ranked": ranked}
    return TemplateResponse(request, "admin/who_is_responsible.html", context)


def _ranked(
    event_class: EventClass,
    place: Cell,
    condition: FilingCondition | None,
    component: Component | str,
) -> list[dict[str, Any]]:
    posts = handlers(OuterRef("answers"), place.unit_ids).values("pk")[:1]
    rules: list[Any] = list(
        fitting_rules(
            event_class,
            place,
            condition=condition or None,
            component=component or None,  # type: ignore[arg-type]
        ).annotate(handler=Subquery(posts))
    )
    departments = Department.objects.in_bulk({rule.answers for rule in rules})
    names = dict(Post.objects.filter(pk__in={rule.handler for rule in rules}).values_list("pk", "name"))
    return [
        {
            "rule": rule,
            "told": told_scope(scope_of(rule)),
            "department": departments[rule.answers],
            "post": names.get(rule.handler, ""),
        }
        for rule in rules
    ]


def coverage_page(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """The pairs of class and street without an owner, on the page or as a spreadsheet."""
    form = CoverageForm(request.GET)
    said = form.cleaned_data if form.is_valid() else {}
    found = list(
        pairs(
            kind=said.get("kind", ""),
            street=said.get("street", ""),
            only_without=not said.get("everything"),
        )
    )
    headings = [_("kind"), _("code"), _("name"), _("street"), _("department"), _("cells"), _("without owner")]
    rows = [
        (
            str(Kind(pair.event_class.kind).label),
            pair.event_class.code,
            pair.event_class.name,
            pair.street,
            pair.told,
            pair.cells,
            pair.without,
        )
        for pair in found
    ]
    if "xlsx" in request.GET:
        return HttpResponse(
            workbook(headings, rows),
            content_type=XLSX,
            headers={"Content-Disposition": 'attachment; filename="coverage.xlsx"'},
        )
    context |= {
        "title": _("Classes without an owner"),
        "form": form,
        "headings": headings,
        "rows": rows[:MOST_SHOWN],
        "total": len(rows),
        "query": request.GET.urlencode(),
    }
    return TemplateResponse(request, "admin/coverage.html", context)
