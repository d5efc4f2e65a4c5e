"""`/healthz`: this process lives. `/readyz`: it can do its work, or why not. `/metrics`: figures.

A middleware, so that a probe needs neither a valid Host header nor the database for /healthz.
"""

from collections.abc import Callable

import redis
from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse

from campaigns.models import PlatformPolicy
from config import metrics


class HealthMiddleware:
    """Answers the probes and passes everything else on."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path == "/healthz":
            return JsonResponse({"status": "ok"})
        if request.path == "/readyz":
            return ready()
        if request.path == "/metrics":
            return metrics.page(request)
        return self.get_response(request)


def ready() -> JsonResponse:
    """200 when PostgreSQL and Valkey answer, else 503 with each one's state.

    Sending that was switched off on purpose is a note and no failure: the web still answers.
    """
    checks = {"postgresql": _postgresql(), "valkey": _valkey()}
    ok = all(state == "ok" for state in checks.values())
    note = _switched_off() if checks["postgresql"] == "ok" else ""
    notes = {"note": note} if note else {}
    return JsonResponse(
        {"status": "ok" if ok else "unavailable", **checks, **notes}, status=200 if ok else 503
    )


def _switched_off() -> str:
    off = PlatformPolicy.objects.filter(sending_enabled=False).first()
    if off is None:
        return ""
    why = f": {off.off_reason}" if off.off_reason else ""
    return f"sending is switched off for the whole installation{why}"


def _postgresql() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return "unreachable: nothing can be read or planned until it is back"
    return "ok"


def _valkey() -> str:
    try:
        redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=2, socket_timeout=2).ping()
    except redis.RedisError:
        return "unreachable: nothing is sent until it is back"
    return "ok"
