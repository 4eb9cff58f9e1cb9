"""Where each front end answers."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import include, path, reverse
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView


def only_field_api(endpoints: list[tuple[str, str, str, Any]]) -> list[tuple[str, str, str, Any]]:
    """The published schema describes what field devices use, not the command center's own page."""
    return [endpoint for endpoint in endpoints if endpoint[0].startswith("/api/v1/")]


def admin_login(request: HttpRequest, extra_context: object = None) -> HttpResponse:
    """One door: administrators log in where everyone does, where guessing is slowed."""
    if request.user.is_authenticated:
        raise PermissionDenied
    # Where the person wanted to go, not here: whoever is logged in is refused here. The log-in page checks it.
    return redirect_to_login(request.GET.get("next") or reverse("admin:index"))


admin.site.login = admin_login  # type: ignore[method-assign]

urlpatterns = [
    path("admin/", admin.site.urls),
    path("i18n/", include("django.conf.urls.i18n")),
    path("api/v1/schema", SpectacularAPIView.as_view(), name="schema"),
    path("api/v1/docs", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
    path("api/v1/", include("mobile_api.urls")),
    path("", include("map_services.urls")),
    path("", include("command_center.urls")),
]
handler400 = "config.problems.bad_request"
handler403 = "config.problems.forbidden"
handler404 = "config.problems.not_found"
handler500 = "config.problems.server_error"
