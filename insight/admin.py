"""Rows that say how a district counts and judges; before saving stands which scores they would change."""

from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action

from fieldops.administration.foresight import compared
from gridmap.administration import Forecast, RuleAdmin
from gridmap.models import District

from . import scores
from .figures import Period, Scope, count_all
from .indicators import INDICATORS
from .models import DenominatorChoice, Grade, ScorePart, VolumeBand

RECENT = timedelta(days=30)


def _recent() -> Period:
    now = timezone.now()
    return Period(now - RECENT, now, now)


def _scores() -> dict[str, str]:
    """Of the last 30 days."""
    period = _recent()
    return {
        f"{score.name} ({district})": f"{score.points:.1f} {score.grade}"
        for district in District.objects.all()
        for judge in (scores.score_departments, scores.score_grid_workers)
        for score in judge(period, Scope(district.pk))
        if score.points is not None
    }


def _values() -> dict[str, str]:
    """Of the last 30 days, where there is a choice of what to divide by."""
    period, told = _recent(), {}
    for district in District.objects.all():
        chosen = scores.denominators_of(district.pk)
        counts = count_all(period, Scope(district.pk)).counts
        for one in INDICATORS.values():
            if len(one.denominators) > 1:
                value = one.value(counts, chosen.get(one.code, ""))
                told[f"{one.label} ({district})"] = "" if value is None else f"{100 * value:.2f} %"
    return told


SCORES = Forecast(gettext_lazy("Scores of the last 30 days"), compared(_scores))
VALUES = Forecast(gettext_lazy("Indicators of the last 30 days"), compared(_values))


@admin.register(DenominatorChoice)
class DenominatorChoiceAdmin(RuleAdmin):
    """What a district divides by where cities differ."""

    forecasts = (VALUES, SCORES)
    list_display = ["indicator", "denominator", "district"]


class _ScoreAdmin(RuleAdmin):
    """Rows of scores; where there are none the usual ones hold, and may be filled in to be changed."""

    forecasts = (SCORES,)
    actions_list = [*RuleAdmin.actions_list, "fill_in"]

    @action(description=gettext_lazy("Fill in the usual ones"), url_path="usual", permissions=["add"])
    def fill_in(self, request: HttpRequest) -> HttpResponse:
        """For the districts that have none; shown first."""
        if request.method != "POST":
            rows = [row for district in District.objects.all() for row in self.usual_rows(district)]
            context = {
                **self.admin_site.each_context(request),
                "title": _("Fill in the usual ones"),
                "opts": self.opts,
                "rows": rows,
            }
            return TemplateResponse(request, "admin/fill_in.html", context)
        made = 0
        with transaction.atomic():
            for district in District.objects.select_for_update(no_key=True):
                if not self.model.objects.filter(district=district).exists():
                    made += len(self.model.objects.bulk_create(self.usual_rows(district)))
        messages.success(request, _("%(count)s rows filled in") % {"count": made})
        return HttpResponseRedirect(reverse(f"admin:insight_{self.opts.model_name}_changelist"))

    def usual_rows(self, district: District) -> list[Any]:
        """Not stored yet."""
        raise NotImplementedError


@admin.register(ScorePart)
class ScorePartAdmin(_ScoreAdmin):
    """What a score is made of."""

    list_display = ["subject", "part", "weight", "district"]
    list_filter = ["subject"]

    def usual_rows(self, district: District) -> list[Any]:
        """Both subjects'."""
        return [
            ScorePart(district=district, subject=subject, part=part, weight=weight)
            for subject, parts in scores.USUAL_PARTS.items()
            for part, weight in parts.items()
        ]


@admin.register(VolumeBand)
class VolumeBandAdmin(_ScoreAdmin):
    """Points for volume."""

    list_display = ["at_most", "points", "district"]

    def usual_rows(self, district: District) -> list[Any]:
        """The bands."""
        return [VolumeBand(district=district, at_most=at, points=points) for at, points in scores.USUAL_BANDS]


@admin.register(Grade)
class GradeAdmin(_ScoreAdmin):
    """Grades."""

    list_display = ["name", "at_least", "colour", "district"]

    def usual_rows(self, district: District) -> list[Any]:
        """The five."""
        return [
            Grade(district=district, at_least=at, name=name, colour=colour)
            for at, name, colour in scores.USUAL_GRADES
        ]
