"""The other side of the cached tiles: a view that returns bytes it holds, behind the same middleware.

It asks nobody who reads, and has an address of the same form in the same place among the addresses.
"""

from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from config.urls import handler400, handler403, handler404, handler500
from config.urls import urlpatterns as addresses

HELD: dict[tuple[str, ...], tuple[bytes, dict[str, str]]] = {}


def held(request: HttpRequest, *, district: str, layer: str, z: str, x: str, y: str) -> HttpResponse:
    """The bytes and headers of a tile."""
    body, headers = HELD[district, layer, z, x, y]
    return HttpResponse(body, headers=headers)


_held = path("", include([path("held/<str:district>/<str:layer>/<str:z>/<str:x>/<str:y>", held)]))
# Before the tiles stand the same others as before this.
urlpatterns = [*addresses[:-2], addresses[-2], _held, addresses[-1]]
__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]
