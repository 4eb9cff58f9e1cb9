"""Figures for leaders: a page of them, the cases behind each, and the same as JSON."""

from dataclasses import replace
from datetime import date, timedelta
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from fieldops.errors import NotPermitted
from fieldops.models import Event, Post
from fieldops.rights import current_posts, events_visible_to
from gridmap.models import Department, District, GridUnit, Level
from insight.facts import COUNTS
from insight.figures import CASES_A_PAGE, Behind, Period, Scope, cases_behind, period_of
from insight.indicators import INDICATORS
from insight.tables import BY, Figure, Row, area_of, narrow, reading_posts, tabulate

from .base import CommandView

LONGEST_PERIOD = timedelta(days=366)
FIRST_DAY, LAST_DAY = date(2000, 1, 1), date(2999, 12, 31)
MOST_PAGES = 100_000
BY_LABELS = {
    **{level.name.lower(): level.label for level in Level},
    "department": _("Department"),
    "post": _("Post that handled"),
    "class": _("Class"),
    "channel": _("Channel"),
    "reporter": _("Who reported"),
    "handler": _("Who handled"),
    "checker": _("Who checked"),
    "sent": _("Who was sent on site"),
}


class Days(forms.Form):
    """A period in local days; without an answer the present month."""

    first = forms.DateField(
        label=_("First day"), widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    last = forms.DateField(
        label=_("Last day"), widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )

    def __init__(self, district: District, data: Any) -> None:
        today = timezone.localdate(timezone=ZoneInfo(district.time_zone))
        super().__init__({"first": today.replace(day=1), "last": today, **data})
        self.district = district

    def clean(self) -> dict[str, Any]:
        """A period that begins before it ends and is no longer than a year, in a century that has calendars."""
        given = super().clean() or {}
        first, last = given.get("first"), given.get("last")
        if first and last:
            if not timedelta() <= last - first <= LONGEST_PERIOD:
                raise forms.ValidationError(_("The period ends after it begins, and is a year at most."))
            if first < FIRST_DAY or last > LAST_DAY:
                raise forms.ValidationError(_("There are figures of the years 2000 to 2999."))
        return given

    @cached_property
    def period(self) -> Period:
        """The days as moments, as known now or at the moment asked for; the same whenever it is asked of one form."""
        given = self.cleaned_data
        return period_of(given["first"], given["last"], self.district, as_of=given.get("as_of"))


class Question(Days):
    """What figures are wanted."""

    by = forms.ChoiceField(label=_("By"), choices=[(by, BY_LABELS[by]) for by in BY])
    unit = forms.ModelChoiceField(GridUnit.objects.none(), label=_("Area"), required=False)
    department = forms.ModelChoiceField(Department.objects.none(), label=_("Department"), required=False)
    as_of = forms.DateTimeField(required=False, widget=forms.HiddenInput)
    count = forms.CharField(required=False, widget=forms.HiddenInput)
    key = forms.CharField(required=False, widget=forms.HiddenInput)
    page = forms.IntegerField(required=False, min_value=1, max_value=MOST_PAGES, widget=forms.HiddenInput)

    def __init__(self, district: District, data: Any) -> None:
        super().__init__(district, {"by": "street_committee", **data})
        units = district.units.filter(level__lte=4).defer("boundary").order_by("level", "code")
        self.fields["unit"].queryset = units  # type: ignore[attr-defined]
        self.fields["department"].queryset = Department.objects.filter(district=district)  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """A row and counts that there are, and a moment at which something was known of the period."""
        given = super().clean()
        if given.get("count") and set(given["count"].split(",")) - set(COUNTS):
            raise forms.ValidationError(_("There is no such count."))
        as_of, dated = given.get("as_of"), given.get("first") and given.get("last")
        if as_of and dated and not self.period.begin <= as_of <= timezone.now():
            raise forms.ValidationError(
                _("What is known of a period is known between its beginning and now.")
            )
        try:
            self._narrowed = self._narrow(given)
        except (ValueError, GridUnit.DoesNotExist) as error:
            raise forms.ValidationError(_("There is no such row.")) from error
        return given

    def _narrow(self, given: dict[str, Any]) -> Scope:
        unit, department = given.get("unit"), given.get("department")
        whole = Scope(self.district.pk, unit=unit, department=department.pk if department else None)
        return narrow(whole, given["by"], given["key"]) if given.get("key") and given.get("by") else whole

    def scope(self, posts: list[Post]) -> Scope:
        """Which cases, within what these posts answer for."""
        return replace(self._narrowed, within=area_of(posts))


def may_see_figures(posts: list[Post]) -> bool:
    """Whether one of these posts reads figures, of the district or of its part."""
    return area_of(posts) != ()


@login_required
@require_GET
def page(request: HttpRequest) -> HttpResponse:
    """The table; every number leads to its cases."""
    posts = current_posts(request.user)
    if not may_see_figures(posts):
        return render(request, "command_center/no_post.html", status=403)
    asked = Question(reading_posts(posts)[0].district, request.GET.dict())
    context: dict[str, Any] = {"form": asked, "zone": asked.district.time_zone}
    if asked.is_valid():
        given = asked.cleaned_data
        table = tabulate(given["by"], asked.period, asked.scope(posts))
        kept = {
            name: value
            for name, value in (
                ("first", given["first"].isoformat()),
                ("last", given["last"].isoformat()),
                ("by", given["by"]),
                ("unit", given["unit"].pk if given["unit"] else ""),
                ("department", given["department"].pk if given["department"] else ""),
                ("as_of", asked.period.as_of.isoformat()),
            )
            if value
        }
        context |= {
            "whole": [_shown(one, table.whole, kept) for one in table.whole.figures],
            "indicators": list(INDICATORS.values()),
            "rows": [
                {"name": row.name, "figures": [_shown(one, row, kept) for one in row.figures]}
                for row in table.rows
            ],
            "by_label": BY_LABELS[given["by"]],
            "as_of": asked.period.as_of,
        }
    return render(request, "command_center/figures.html", context, status=200 if asked.is_valid() else 400)


def _shown(one: Figure, row: Row, kept: dict[str, Any]) -> dict[str, Any]:
    def leading_to(counts: tuple[str, ...]) -> str:
        return "cases?" + urlencode(
            {**kept, "count": ",".join(counts), **({"key": row.key} if row.key else {})}
        )

    return {
        "indicator": one.indicator,
        "percent": None if one.value is None else f"{100 * one.value:.2f}",
        "value": one.value,
        "above": f"{one.above:g}",
        "below": f"{one.below:g}",
        "above_cases": leading_to(one.counts_above),
        "below_cases": leading_to(one.counts_below),
    }


@login_required
@require_GET
def cases(request: HttpRequest) -> HttpResponse:
    """The cases that a number was counted from, as far as this reader may see them."""
    posts = current_posts(request.user)
    if not may_see_figures(posts):
        return render(request, "command_center/no_post.html", status=403)
    asked = Question(reading_posts(posts)[0].district, request.GET.dict())
    context: dict[str, Any] = {"form": asked, "zone": asked.district.time_zone}
    if not asked.is_valid() or not asked.cleaned_data["count"]:
        return render(request, "command_center/figure_cases.html", context, status=400)
    behind, events, page = _behind(asked, posts, request.user)
    query = request.GET.copy()
    query.pop("page", None)
    context |= {
        "counted": [(COUNTS[code].label, number) for code, number in behind.sums.items()],
        "cases": [(one, list(behind.cases[one.pk].values())) for one in events],
        "total": behind.total,
        "elsewhere": len(behind.cases) - len(events),
        "query": query.urlencode(),
        "page": page,
        "last_page": max(1, -(-behind.total // CASES_A_PAGE)),
    }
    return render(request, "command_center/figure_cases.html", context)


def _behind(asked: Question, posts: list[Post], person: Any) -> tuple[Behind, list[Event], int]:
    """What was counted, those cases of the page that this person may see, and the number of the page."""
    page = asked.cleaned_data["page"] or 1
    behind = cases_behind(asked.cleaned_data["count"].split(","), asked.period, asked.scope(posts), page=page)
    seen = events_visible_to(person).select_related("event_class", "department", "cell")
    found = seen.defer("cell__boundary").in_bulk(list(behind.cases))
    return behind, [found[key] for key in behind.cases if key in found], page


class Figures(CommandView):
    """The same as JSON."""

    def get(self, request: Request) -> Response:
        """Every indicator, all together and line by line."""
        if not may_see_figures(self.posts):
            raise NotPermitted
        asked = _asked(self.posts, request)
        table = tabulate(asked.cleaned_data["by"], asked.period, asked.scope(self.posts))
        return Response(
            {
                "begin": asked.period.begin,
                "end": asked.period.end,
                "as_of": asked.period.as_of,
                "indicators": [
                    {
                        "code": one.code,
                        "label": str(one.label),
                        "better": one.better.value,
                        "describes": one.describes,
                    }
                    for one in INDICATORS.values()
                ],
                "whole": _line(table.whole),
                "rows": [_line(row) for row in table.rows],
            }
        )


class FigureCases(CommandView):
    """The cases behind a count, as JSON."""

    def get(self, request: Request) -> Response:
        """How many, what they bring together, and of 200 a page their numbers, states and what each brings."""
        if not may_see_figures(self.posts):
            raise NotPermitted
        asked = _asked(self.posts, request)
        if not asked.cleaned_data["count"]:
            raise serializers.ValidationError({"count": [_("This field is required.")]})
        behind, events, page = _behind(asked, self.posts, self.person)
        return Response(
            {
                "count": " + ".join(str(COUNTS[code].label) for code in behind.sums),
                "sums": behind.sums,
                "total": behind.total,
                "page": page,
                "elsewhere": len(behind.cases) - len(events),
                "cases": [
                    {"id": one.pk, "number": one.number, "status": one.status, "brings": behind.cases[one.pk]}
                    for one in events
                ],
            }
        )


def check_question(asked: forms.Form) -> None:
    """The same errors as on the page, as problem details."""
    if not asked.is_valid():
        raise serializers.ValidationError(
            {name: [str(one) for one in errors] for name, errors in asked.errors.items()}
        )


def _asked(posts: list[Post], request: Request) -> Question:
    asked = Question(reading_posts(posts)[0].district, request.query_params.dict())
    check_question(asked)
    return asked


def _line(row: Row) -> dict[str, Any]:
    return {
        "key": row.key,
        "name": row.name,
        "figures": {
            one.indicator.code: {"value": one.value, "above": one.above, "below": one.below}
            for one in row.figures
        },
    }
