"""The doors for providers: who comes in, and what is kept before they are answered.

Receipts come a thousand a second: theirs costs a share of one statement, and they are applied later
(`inbox.py`). A text from a person is applied here: an opt-out has taken effect when the provider
hears that we have it.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from django.db import InterfaceError, OperationalError, connection

from sending.models import Sender
from tracking import inbox, replies
from tracking.applier import applier
from tracking.webhooks.adapters import WEBHOOKS
from tracking.webhooks.base import ForgedError, Request, UnreadableError

log = structlog.get_logger("carillon.webhooks")

MOST_BYTES = 2 * 1024 * 1024  # of one request
REMEMBER = 1.0  # seconds in which a sender's changed secret may go unnoticed
MOST_REMEMBERED = 2000  # senders
LONGEST_TOKEN = 40


@dataclass(frozen=True, slots=True)
class Reply:
    """What a provider is answered."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Known:
    """What the door of receipts needs of a sender."""

    pk: int
    credentials: dict[str, str]
    until: float  # on the monotonic clock


_known: dict[tuple[str, str], _Known] = {}


def status(gateway: str, token: str, told: Request) -> Reply:
    """Delivery receipts. 2xx also for texts that are not known: they are kept."""
    known = _remembered(gateway, token)
    if known is None:
        return _no("There is no such webhook.", 404)
    WEBHOOKS[gateway].verify(told, known.credentials)
    WEBHOOKS[gateway].receipts(told)  # refused here, while the provider listens
    inbox.store(known.pk, query=told.query_string, body=told.body)
    applier.kick()
    return _thanks(gateway)


def inbound(gateway: str, token: str, told: Request) -> Reply:
    """A text from a person. An opt-out has taken effect when this answers."""
    sender = _sender(gateway, token)
    if sender is None:
        return _no("There is no such webhook.", 404)
    WEBHOOKS[gateway].verify(told, sender.credentials)
    replies.receive(sender, WEBHOOKS[gateway].inbound(told))
    return _thanks(gateway)


def answer(
    door: Callable[[str, str, Request], Reply], gateway: str, token: str, told: Request
) -> Reply:
    """Go through a door; what is wrong is told in a sentence, with its status."""
    try:
        return door(gateway, token, told)
    except ForgedError:
        log.warning("webhook_forged", gateway=gateway)
        return _no("The signature or secret is wrong.", 403)
    except UnreadableError as error:
        return _no(str(error), 400)
    except (OperationalError, InterfaceError):
        log.warning("database_away")
        # On the short way nobody else looks whether this thread's connection still works.
        if not connection.in_atomic_block:
            connection.close()
        sentence = "This cannot be stored right now; send it again."
        return _no(sentence, 503, ("Retry-After", "5"))


def refusal(method: str | None, length: str, *, chunked: bool) -> Reply | None:
    """Why a request is not even read: its method, or a size that is not told or too large."""
    if method != "POST":
        return _no("Only POST is understood here.", 405, ("Allow", "POST"))
    if chunked and not length:
        return _no("Send the length of the body (Content-Length).", 411)
    if length.isdecimal() and int(length) > MOST_BYTES:
        return _no(f"Send at most {MOST_BYTES} bytes at a time.", 413)
    return None


def _remembered(gateway: str, token: str) -> _Known | None:
    now = time.monotonic()
    known = _known.get((gateway, token))
    if known and known.until > now:
        return known
    sender = _sender(gateway, token)
    if sender is None:
        _known.pop((gateway, token), None)
        return None
    if len(_known) >= MOST_REMEMBERED:
        _known.clear()
    known = _Known(sender.pk, dict(sender.credentials), now + REMEMBER)
    _known[gateway, token] = known
    return known


def _sender(gateway: str, token: str) -> Sender | None:
    if gateway not in WEBHOOKS or len(token) > LONGEST_TOKEN or "\x00" in token:
        return None  # PostgreSQL refuses to look for a NUL
    senders = Sender.objects.select_related("brand__workspace")
    return senders.filter(gateway=gateway, webhook_token=token).first()


def _no(sentence: str, code: int, *headers: tuple[str, str]) -> Reply:
    return Reply(code, json.dumps({"error": sentence}).encode(), headers=headers)


def _thanks(gateway: str) -> Reply:
    if gateway == "twilio":
        return Reply(200, b"<Response/>", "text/xml")
    return Reply(204)
