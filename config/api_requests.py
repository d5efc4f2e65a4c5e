"""What happens to every API request around its view: the key's quota, and POSTs that happen once."""

from collections.abc import Callable
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, JsonResponse
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import SAFE_METHODS

from config import envelope
from subscribers import clock, idempotency, throttling
from subscribers.key_models import ApiKey
from subscribers.tenancy import ApiKeyAuthentication

MOST_BYTES = 2 * 1024 * 1024  # of a body, where the view sets no other limit (`most_bytes`)
TOO_OFTEN = "Your key's requests of this minute are used up; try again in {} seconds."


class ApiMiddleware:
    """Wraps the views below /api/. A request without a valid key goes on: the view refuses it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        quota: throttling.Quota | None = getattr(request, "quota", None)
        if quota:
            for name, value in quota.headers().items():
                response.headers[name] = value
        return response

    def process_view(
        self, request: HttpRequest, view: Any, arguments: Any, named: dict[str, Any]
    ) -> HttpResponse | None:
        if not request.path.startswith("/api/"):
            return None
        try:
            return self._admit(request, view, lambda: view(request, *arguments, **named))
        except envelope.UNAVAILABLE:
            told = envelope.body(envelope.SENTENCES["unavailable"], "unavailable")
            return JsonResponse(told, status=503, headers={"Retry-After": "5"})

    def _admit(
        self, request: HttpRequest, view: Any, run: Callable[[], HttpResponse]
    ) -> HttpResponse | None:
        view_class = getattr(view, "cls", None)
        refused = _body_refused(request, getattr(view_class, "most_bytes", MOST_BYTES))
        if refused:
            return refused
        key = _key_of(request)
        if key is None:
            return None
        request.api_key = key  # type: ignore[attr-defined]
        key.used(clock.now())
        # Reading has the common quota everywhere: a view's own is for what is posted.
        of_view = getattr(view_class, "rate_policy", throttling.DEFAULT)
        policy = throttling.DEFAULT if request.method in SAFE_METHODS else of_view
        quota = throttling.count(key, policy)
        request.quota = quota  # type: ignore[attr-defined]
        if quota and quota.refused:
            sentence = TOO_OFTEN.format(quota.resets_in)
            return JsonResponse(envelope.body(sentence, "throttled"), status=429)
        given = request.headers.get(idempotency.HEADER)
        if request.method != "POST" or given is None:
            return None
        return _once(request, key, given, run)


def _body_refused(request: HttpRequest, most: int) -> HttpResponse | None:
    """A body whose size is not told or too large: it would be read as none, or into memory."""
    length = request.META.get("CONTENT_LENGTH") or ""
    if not length and request.headers.get("Transfer-Encoding"):
        told = envelope.body("Send the length of the body (Content-Length).", "length_required")
        return JsonResponse(told, status=411)
    if length.isdecimal() and int(length) > most:
        told = envelope.body(envelope.SENTENCES["too_large"], "too_large")
        return JsonResponse(told, status=413)
    return None


def _key_of(request: HttpRequest) -> ApiKey | None:
    try:
        found = ApiKeyAuthentication().authenticate(request)  # type: ignore[arg-type]
    except AuthenticationFailed:
        return None
    return found[1] if found else None


def _once(
    request: HttpRequest, key: ApiKey, given: str, view: Callable[[], HttpResponse]
) -> HttpResponse:
    def answer() -> HttpResponse:
        response = view()
        render = getattr(response, "render", None)
        return render() if callable(render) else response

    try:
        return idempotency.once(request, key, given, answer)
    except idempotency.Refused as refused:
        headers = {"Retry-After": "1"} if refused.status == 409 else {}
        told = envelope.body(refused.sentence, refused.code)
        return JsonResponse(told, status=refused.status, headers=headers)
    except RequestDataTooBig:
        return JsonResponse(envelope.body(envelope.SENTENCES["too_large"], "too_large"), status=413)
