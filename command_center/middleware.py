"""The pages load nothing from elsewhere and run no inline script; the browser is told so."""

from collections.abc import Callable
from typing import cast

from django.http import HttpRequest, HttpResponse
from pghistory.middleware import HistoryMiddleware

POLICY = "; ".join(
    [
        "default-src 'self'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "connect-src 'self' ws: wss:",
        "object-src 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "form-action 'self'",
    ]
)
# The API browser starts itself with an inline script.
_INLINE_SCRIPT = ("/api/v1/docs",)
# The administration's theme evaluates the expressions in its own templates (Alpine); nothing else may, and no script
# may be inline there either. What people wrote is escaped in these pages and stands in no such attribute.
_EVALUATING = ("/admin/",)


class ContentSecurityPolicy:
    """Adds the policy to every answer."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer with the header set."""
        response = self.get_response(request)
        policy = POLICY
        if request.path.startswith(_INLINE_SCRIPT):
            policy = policy.replace("script-src 'self'", "script-src 'self' 'unsafe-inline'")
        elif request.path.startswith(_EVALUATING):
            policy = policy.replace("script-src 'self'", "script-src 'self' 'unsafe-eval'")
        response.setdefault("Content-Security-Policy", policy)
        return response


class ChineseFirst:
    """Pages are Chinese until someone chooses English; only the field API goes by the device's language."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Leave the choice to the language cookie, or to the default."""
        if not request.path.startswith("/api/v1/"):
            request.META.pop("HTTP_ACCEPT_LANGUAGE", None)
        return self.get_response(request)


class WhoChanged(HistoryMiddleware):
    """Rows that change on the administrator's pages keep who changed them, and on which page.

    There alone: it would add a word to every statement, and a report's are counted.
    """

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, with the person named to the triggers."""
        if request.path.startswith("/admin/"):
            return cast(HttpResponse, super().__call__(request))
        return cast(HttpResponse, self.get_response(request))
