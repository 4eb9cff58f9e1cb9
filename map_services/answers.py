"""Refusals as HTTP: problem details, as everywhere in the project."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from config.problems import CONTENT_TYPE, problem

View = Callable[..., HttpResponse]


class Refused(Exception):
    """What was asked is not answered: an HTTP status, a stable code, words for people."""

    def __init__(
        self,
        status: int,
        code: str,
        title: str | Promise,
        detail: str = "",
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code)
        self.status, self.code, self.title, self.detail = status, code, title, detail
        self.headers = headers or {}


def bad_parameter(name: str, why: str | Promise) -> Refused:
    """400: a parameter of the query cannot be used."""
    return Refused(400, "invalid_parameter", _("A parameter cannot be used"), f"{name}: {why}")


def not_found() -> Refused:
    """404: there is no such thing, or the reader may not see it; the two are not told apart."""
    return Refused(404, "not_found", _("Not found"))


def read_only(view: View) -> View:
    """Answer GET, HEAD and OPTIONS; what is refused becomes problem details."""

    @csrf_exempt  # who wants to write is told that nobody can, not that a token is missing
    @functools.wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            if request.method == "OPTIONS":
                return HttpResponse(status=204, headers={"Allow": "GET, HEAD, OPTIONS"})
            if request.method not in ("GET", "HEAD"):
                told = _("Only reading is possible here")
                raise Refused(405, "method_not_allowed", told, headers={"Allow": "GET, HEAD, OPTIONS"})
            return view(request, *args, **kwargs)
        except Refused as refusal:
            body = problem(refusal.status, refusal.code, str(refusal.title), refusal.detail)
            return JsonResponse(
                body, status=refusal.status, content_type=CONTENT_TYPE, headers=dict(refusal.headers)
            )

    return answer
