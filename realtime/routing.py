"""Which socket answers where. Browsers must come from our own pages; devices bring a ticket."""

from typing import Any
from urllib.parse import parse_qsl

from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import OriginValidator
from django.conf import settings
from django.urls import path, re_path

from . import whereabouts  # noqa: F401 — registers its frames
from .consumers import FieldSocket, MapSocket, NoSuchSocket


def _with_query(app: Any) -> Any:
    async def inner(scope: dict[str, Any], receive: Any, send: Any) -> Any:
        query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")))
        return await app({**scope, "query": query}, receive, send)

    return inner


class SameOrigin:
    """Lets a browser in only from the host it is talking to; the session cookie alone proves nothing."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        """Check the Origin header against Host and the trusted origins."""
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        allowed = [f"http://{host}", f"https://{host}", *settings.CSRF_TRUSTED_ORIGINS]
        return await OriginValidator(self.app, allowed)(scope, receive, send)


async def only_sockets(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Whoever comes without asking for a WebSocket is told so."""
    headers = [(b"content-type", b"text/plain"), (b"upgrade", b"websocket"), (b"connection", b"upgrade")]
    await send({"type": "http.response.start", "status": 426, "headers": headers})
    await send({"type": "http.response.body", "body": b"Only WebSockets are answered here.\n"})


application = ProtocolTypeRouter(
    {
        "http": only_sockets,
        "websocket": URLRouter(
            [
                path("ws/field", _with_query(FieldSocket.as_asgi())),
                path("ws/map", SameOrigin(MapSocket.as_asgi())),
                re_path("", NoSuchSocket.as_asgi()),
            ]
        ),
    }
)
