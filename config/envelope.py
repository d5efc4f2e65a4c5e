"""The one shape of an API error: `{"error": sentence, "code": stable, "field": name or null}`."""

from collections.abc import Iterator
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from redis import RedisError
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

SENTENCES = {
    "not_found": "There is no such thing here, or your key does not cover it.",
    "too_large": "The request is too large; send less at a time.",
    "unavailable": "The service cannot answer right now; try again in a few seconds.",
}

UNAVAILABLE = (OperationalError, InterfaceError, RedisError)


def body(error: str, code: str, field: str | None = None) -> dict[str, Any]:
    """An error's JSON."""
    return {"error": error, "code": code, "field": field}


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler. What it does not know stays an exception (500, logged)."""
    if isinstance(error, Http404):
        error = exceptions.NotFound(SENTENCES["not_found"])
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    elif isinstance(error, RequestDataTooBig):
        return Response(body(SENTENCES["too_large"], "too_large"), status=413)
    elif isinstance(error, UNAVAILABLE):
        set_rollback()
        return Response(
            body(SENTENCES["unavailable"], "unavailable"), status=503, headers={"Retry-After": "5"}
        )
    if not isinstance(error, exceptions.APIException):
        return None
    set_rollback()
    field, detail = next(_problems(error.detail), (None, error.default_detail))
    code = getattr(detail, "code", None) or error.default_code
    answer = Response(body(str(detail), code, field), status=error.status_code)
    if getattr(error, "auth_header", None):
        answer["WWW-Authenticate"] = error.auth_header
    if getattr(error, "wait", None):
        answer["Retry-After"] = str(int(error.wait) + 1)
    return answer


def _problems(detail: Any, field: str | None = None) -> Iterator[tuple[str | None, Any]]:
    """Each problem of a possibly nested detail, with its dotted field."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            own = None if name == "non_field_errors" else str(name)
            yield from _problems(inner, ".".join(part for part in (field, own) if part) or None)
    elif isinstance(detail, list):
        for inner in detail:
            yield from _problems(inner, field)
    else:
        yield field, detail


def not_found(request: HttpRequest, exception: Exception) -> Any:
    """404 for paths that no route knows: JSON for the API, Django's page elsewhere."""
    if request.path.startswith("/api/"):
        return JsonResponse(body(SENTENCES["not_found"], "not_found"), status=404)
    from django.views.defaults import page_not_found

    return page_not_found(request, exception)
