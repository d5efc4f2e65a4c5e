"""Provider webhooks: `/webhooks/<gateway>/<sender's token>/status` and `/inbound`."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from tracking.webhooks import doors
from tracking.webhooks.base import Request


@csrf_exempt
def status(request: HttpRequest, gateway: str, token: str) -> HttpResponse:
    """Delivery receipts; a web server's process takes a shorter way to the same door: `wsgi.py`."""
    return _through(doors.status, request, gateway, token)


@csrf_exempt
def inbound(request: HttpRequest, gateway: str, token: str) -> HttpResponse:
    """A text from a person."""
    return _through(doors.inbound, request, gateway, token)


def _through(
    door: Callable[[str, str, Request], doors.Reply],
    request: HttpRequest,
    gateway: str,
    token: str,
) -> HttpResponse:
    length, chunked = request.META.get("CONTENT_LENGTH"), "HTTP_TRANSFER_ENCODING" in request.META
    reply = doors.refusal(request.method, length or "", chunked=chunked)
    if reply is None:
        told = Request(
            url=f"{settings.PUBLIC_URL}{request.get_full_path()}",
            headers=request.headers,
            body=request.body,
            query_string=request.META.get("QUERY_STRING", ""),
        )
        reply = doors.answer(door, gateway, token, told)
    return HttpResponse(
        reply.body,
        status=reply.status,
        content_type=reply.content_type if reply.body else None,
        headers=dict(reply.headers),
    )


urlpatterns = [
    path("<str:gateway>/<str:token>/status", status, name="webhook-status"),
    path("<str:gateway>/<str:token>/inbound", inbound, name="webhook-inbound"),
]
