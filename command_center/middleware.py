"""The pages load nothing from elsewhere and run no inline script; the browser is told so."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

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
