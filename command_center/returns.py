"""推诿 for leaders: between which departments work is passed on, with the cases; a page, and the same as JSON."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET
from rest_framework.request import Request
from rest_framework.response import Response

from fieldops.errors import NotPermitted
from fieldops.models import Post
from fieldops.rights import current_posts
from insight.figures import Scope
from insight.returns import Pair, ping_pong
from insight.tables import area_of, reading_posts

from .base import CommandView
from .figures import Days, check_question, may_see_figures

MOST_CASES = 100  # told of one pair


def _pairs(asked: Days, posts: list[Post]) -> list[Pair]:
    return ping_pong(asked.period, Scope(asked.district.pk, within=area_of(posts)))


@login_required
@require_GET
def page(request: HttpRequest) -> HttpResponse:
    """The pairs, those that pass the most first; each with its classes and cases."""
    posts = current_posts(request.user)
    if not may_see_figures(posts):
        return render(request, "command_center/no_post.html", status=403)
    asked = Days(reading_posts(posts)[0].district, request.GET.dict())
    context: dict[str, Any] = {"form": asked}
    if asked.is_valid():
        context["rows"] = [
            {
                "pair": pair,
                "classes": pair.classes.most_common(3),
                "cases": list(pair.cases.items())[:MOST_CASES],
            }
            for pair in _pairs(asked, posts)
        ]
    return render(request, "command_center/returns.html", context, status=200 if asked.is_valid() else 400)


class Returns(CommandView):
    """The same as JSON."""

    def get(self, request: Request) -> Response:
        """The pairs, those that pass the most first; at most a hundred cases of each."""
        if not may_see_figures(self.posts):
            raise NotPermitted
        asked = Days(reading_posts(self.posts)[0].district, request.query_params.dict())
        check_question(asked)
        return Response(
            {
                "pairs": [
                    {
                        "departments": [
                            {"id": key, "name": name} for key, name in zip(pair.keys, pair.names, strict=True)
                        ],
                        "there": pair.there,
                        "back": pair.back,
                        "classes": [
                            {"name": name, "times": times} for name, times in pair.classes.most_common()
                        ],
                        "cases": [
                            {"id": key, "number": number}
                            for key, number in list(pair.cases.items())[:MOST_CASES]
                        ],
                    }
                    for pair in _pairs(asked, self.posts)
                ]
            }
        )
