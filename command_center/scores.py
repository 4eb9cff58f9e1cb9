"""Scores of departments and grid workers: a page, each part leading to its cases, and the same as JSON."""

from typing import Any

from django import forms
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET
from rest_framework.request import Request
from rest_framework.response import Response

from fieldops.errors import NotPermitted
from fieldops.models import Post
from fieldops.rights import current_posts
from gridmap.models import District
from insight.figures import Period, Scope
from insight.indicators import INDICATORS
from insight.models import Subject
from insight.scores import Part, Score, score_departments, score_grid_workers
from insight.tables import area_of, reading_posts

from .base import CommandView
from .figures import Days, check_question, may_see_figures

VOLUME_LABEL = _("Volume")


class ScoreQuestion(Days):
    """Whose scores, of which days; without an answer departments."""

    subject = forms.ChoiceField(label=_("Of"), choices=Subject)
    field_order = ("subject",)

    def __init__(self, district: District, data: Any) -> None:
        super().__init__(district, {"subject": "department", **data})


def _scores(asked: ScoreQuestion, posts: list[Post]) -> tuple[Period, list[Score]]:
    period, scope = asked.period, Scope(asked.district.pk, within=area_of(posts))
    of_departments = asked.cleaned_data["subject"] == Subject.DEPARTMENT
    return period, (score_departments if of_departments else score_grid_workers)(period, scope)


def _label(part: Part) -> str:
    return str(INDICATORS[part.code].label if part.code in INDICATORS else VOLUME_LABEL)


def _headings(score: Score) -> list[tuple[str, float]]:
    """The parts, and the share of each in percent."""
    whole = sum(part.weight for part in score.parts)
    return [(_label(part), 100 * part.weight / whole) for part in score.parts]


@login_required
@require_GET
def page(request: HttpRequest) -> HttpResponse:
    """Best first; the counts of each part lead to their cases."""
    posts = current_posts(request.user)
    if not may_see_figures(posts):
        return render(request, "command_center/no_post.html", status=403)
    asked = ScoreQuestion(reading_posts(posts)[0].district, request.GET.dict())
    context: dict[str, Any] = {"form": asked}
    if asked.is_valid():
        period, found = _scores(asked, posts)
        # The cases as of the same moment.
        days = {name: asked.cleaned_data[name].isoformat() for name in ("first", "last")}
        days["as_of"] = period.as_of.isoformat()
        context |= {
            "headings": _headings(found[0]) if found else [],
            "rows": [{"score": one, "parts": [_linked(part, days) for part in one.parts]} for one in found],
        }
    return render(request, "command_center/scores.html", context, status=200 if asked.is_valid() else 400)


def _linked(part: Part, days: dict[str, str]) -> dict[str, Any]:
    def leading_to(counts: tuple[str, ...]) -> str:
        asked = {**days, "by": part.by, "key": part.key, "count": ",".join(counts)}
        return "cases?" + urlencode(asked) if part.key and counts else ""

    return {
        "points": part.points,
        "above": f"{part.above:g}",
        "below": f"{part.below:g}" if part.counts_below else "",
        "above_cases": leading_to(part.counts_above),
        "below_cases": leading_to(part.counts_below),
    }


class Scores(CommandView):
    """The same as JSON."""

    def get(self, request: Request) -> Response:
        """Best first, with the parts that make each score."""
        if not may_see_figures(self.posts):
            raise NotPermitted
        asked = ScoreQuestion(reading_posts(self.posts)[0].district, request.query_params.dict())
        check_question(asked)
        period, found = _scores(asked, self.posts)
        return Response(
            {
                "as_of": period.as_of,
                "scores": [
                    {
                        "key": one.key,
                        "name": one.name,
                        "points": one.points,
                        "grade": one.grade,
                        "parts": [
                            {
                                "code": part.code,
                                "label": _label(part),
                                "weight": part.weight,
                                "points": part.points,
                                "above": part.above,
                                "below": part.below,
                            }
                            for part in one.parts
                        ],
                    }
                    for one in found
                ],
            }
        )
