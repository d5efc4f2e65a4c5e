"""The short way for links that are followed: before Django makes a request of them.

Sessions, accounts, the routes and the request's log line cost several times what a click does.
What is answered is decided in `clicks.py` either way.
"""

import re
from collections.abc import Iterable
from http import HTTPStatus

from django.conf import settings

from tracking import clicks
from tracking.scanners import Visit
from tracking.webhooks.wsgi import Application, Environ, StartResponse

_PATH = re.compile(rf"/(?:l/)?({clicks.CODE.pattern})")
_PURPOSES = {f"HTTP_{name.upper().replace('-', '_')}": name for name in clicks.scanners.PURPOSES}


class LinksFirst:
    """A WSGI application that takes `/l/<code>` and `/<code>` and passes on the rest."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        followed = _PATH.fullmatch(environ.get("PATH_INFO", ""))
        if followed is None or environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return self._application(environ, start_response)
        reply = clicks.answer(followed[1], _visit(environ))
        body = reply.body.encode()
        headers = [("Content-Length", str(len(body))), ("X-Content-Type-Options", "nosniff")]
        if body:
            headers.append(("Content-Type", "text/plain; charset=utf-8"))
        if settings.SECURE_HSTS_SECONDS and environ.get("HTTP_X_FORWARDED_PROTO") == "https":
            told = f"max-age={settings.SECURE_HSTS_SECONDS}"
            headers.append(("Strict-Transport-Security", told))
        status = f"{reply.status} {HTTPStatus(reply.status).phrase}"
        start_response(status, [*headers, *reply.headers.items()])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def _visit(environ: Environ) -> Visit:
    return Visit(
        method=environ["REQUEST_METHOD"],
        address=clicks.address_of(
            environ.get("HTTP_X_FORWARDED_FOR", ""), environ.get("REMOTE_ADDR", "")
        ),
        agent=environ.get("HTTP_USER_AGENT", ""),
        headers={name: environ[key] for key, name in _PURPOSES.items() if key in environ},
    )
