"""One place where errors become HTTP: RFC 9457 problem details with a stable code."""

import logging
import sys
from typing import Any

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler, set_rollback

from fieldops.errors import Conflict, DomainError, NotFound, NotPermitted, Unavailable, Unprocessable

log = logging.getLogger(__name__)
CONTENT_TYPE = "application/problem+json"
# The database is away, restarts, or had to break a deadlock: the same request may succeed soon.
UNAVAILABLE = (OperationalError, InterfaceError)
COME_BACK = {"Retry-After": "3"}
_STATUS: list[tuple[type[DomainError], int]] = [
    (NotPermitted, 403),
    (NotFound, 404),
    (Conflict, 409),
    (Unprocessable, 422),
    (Unavailable, 503),
]


def problem(status: int, code: str, title: str, detail: str = "", **facts: Any) -> dict[str, Any]:
    """The body of a problem; `type` is a URN because nothing is published at an address."""
    body: dict[str, Any] = {"type": f"urn:problem:{code}", "title": title, "status": status, "code": code}
    if detail:
        body["detail"] = detail
    return {**body, **facts}


def problem_response(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler: domain errors and DRF's own, all in the same shape."""
    if isinstance(error, DomainError):
        set_rollback()
        status = next(status for kind, status in _STATUS if isinstance(error, kind))
        body = problem(status, error.code, str(error.title), str(error.detail), **error.facts)
        headers = COME_BACK if isinstance(error, Unavailable) else None
        return Response(body, status=status, content_type=CONTENT_TYPE, headers=headers)
    if isinstance(error, UNAVAILABLE):
        set_rollback()
        log.error("the database does not answer: %s", error)
        return Response(_unavailable(), status=503, content_type=CONTENT_TYPE, headers=COME_BACK)
    response = exception_handler(error, context)
    if response is None:
        return None
    codes = error.get_codes() if isinstance(error, exceptions.APIException) else "error"
    code = codes if isinstance(codes, str) else "error"
    title = str(response.data.get("detail", "")) if isinstance(response.data, dict) else ""
    facts: dict[str, Any] = {}
    if isinstance(error, exceptions.ValidationError):
        code, title, facts = "invalid", _("The content is not valid"), {"errors": _field_errors(error.detail)}
    response.data = problem(response.status_code, code, title or _("Refused"), **facts)
    response.content_type = CONTENT_TYPE
    return response


def _field_errors(detail: Any, pointer: str = "#") -> list[dict[str, str]]:
    if isinstance(detail, dict):
        return [e for key, value in detail.items() for e in _field_errors(value, f"{pointer}/{key}")]
    if isinstance(detail, list):
        found: list[dict[str, str]] = []
        for index, value in enumerate(detail):
            if isinstance(value, exceptions.ErrorDetail):
                found.append({"pointer": pointer, "code": str(value.code), "detail": str(value)})
            else:
                found += _field_errors(value, f"{pointer}/{index}")
        return found
    return [{"pointer": pointer, "code": str(getattr(detail, "code", "invalid")), "detail": str(detail)}]


def _unavailable() -> dict[str, Any]:
    return problem(503, "unavailable", _("The service is away for a moment; send the same again"))


def _plain(status: int, code: str, title: str) -> HttpResponse:
    return JsonResponse(problem(status, code, title), status=status, content_type=CONTENT_TYPE)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """What Django itself refuses: a hostile host, an oversized or broken body."""
    return _plain(400, "bad_request", _("The request cannot be read"))


def forbidden(request: HttpRequest, exception: Exception | None = None, reason: str = "") -> HttpResponse:
    """Refused outside the API views."""
    return _plain(403, "not_permitted", _("You may not do this"))


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """No such address."""
    return _plain(404, "not_found", _("Not found"))


def server_error(request: HttpRequest) -> HttpResponse:
    """Our fault; the log has the rest. Away for a moment is not the same as broken."""
    if isinstance(sys.exception(), UNAVAILABLE):
        return JsonResponse(_unavailable(), status=503, content_type=CONTENT_TYPE, headers=COME_BACK)
    return _plain(500, "server_error", _("The server failed; nothing was stored"))
