"""The other side of the cached tiles: a view that returns bytes it holds, behind the same middleware."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

from config.urls import handler400, handler403, handler404, handler500, urlpatterns

HELD: dict[str, tuple[bytes, dict[str, str]]] = {}


def held(request: HttpRequest, key: str) -> HttpResponse:
    """The bytes and headers of a tile."""
    body, headers = HELD[key]
    return HttpResponse(body, headers=headers)


urlpatterns = [path("held/<str:key>", held), *urlpatterns]
__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]
