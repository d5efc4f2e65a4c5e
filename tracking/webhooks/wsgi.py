"""The short way for receipts: before Django makes a request of them.

Sessions, accounts, the routes and the request's log line cost five times what a receipt does, and
a provider may tell a thousand a second. What they are answered is decided in `doors.py` either way.
"""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from django.conf import settings

from tracking.webhooks import doors
from tracking.webhooks.adapters import WEBHOOKS
from tracking.webhooks.base import Request

type Environ = dict[str, Any]
type StartResponse = Callable[[str, list[tuple[str, str]]], Any]
type Application = Callable[[Environ, StartResponse], Iterable[bytes]]


class ReceiptsFirst:
    """A WSGI application that takes `/webhooks/<gateway>/<token>/status` and passes on the rest."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if not (path.startswith("/webhooks/") and path.endswith("/status")):
            return self._application(environ, start_response)
        parts = path.split("/")
        if len(parts) != 5:
            return self._application(environ, start_response)
        reply = _reply(environ, path, parts[2], parts[3])
        headers = [("Content-Length", str(len(reply.body))), *reply.headers]
        if reply.body:
            headers.append(("Content-Type", reply.content_type))
        start_response(f"{reply.status} {HTTPStatus(reply.status).phrase}", headers)
        return [reply.body]


def _reply(environ: Environ, path: str, gateway: str, token: str) -> doors.Reply:
    length = environ.get("CONTENT_LENGTH") or ""
    refusal = doors.refusal(
        environ["REQUEST_METHOD"], length, chunked="HTTP_TRANSFER_ENCODING" in environ
    )
    if refusal:
        return refusal
    query = environ.get("QUERY_STRING", "")
    told = Request(
        url=f"{settings.PUBLIC_URL}{path}{'?' if query else ''}{query}",
        headers=_proof(environ, gateway),
        body=environ["wsgi.input"].read(int(length)) if length.isdecimal() else b"",
        query_string=query,
    )
    return doors.answer(doors.status, gateway, token, told)


def _proof(environ: Environ, gateway: str) -> dict[str, str]:
    """The one header that the gateway's adapter looks at."""
    name = WEBHOOKS[gateway].proof_header if gateway in WEBHOOKS else ""
    value = environ.get(f"HTTP_{name.upper().replace('-', '_')}")
    return {} if value is None else {name: value}
