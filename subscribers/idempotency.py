"""A POST with an `Idempotency-Key` happens once: whoever repeats it gets the first answer.

The answer is written in the transaction of what the request did, under a lock that PostgreSQL
releases when the process dies: so there is never an effect without its answer, nor a key that
waits for a process that is gone.
"""

import datetime as dt
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse

from subscribers import clock
from subscribers.key_models import ApiKey, FirstAnswer

KEPT = dt.timedelta(hours=24)
HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
_GIVEN = re.compile(r"[\x21-\x7e]{1,200}")
ERASED = (
    b'{"error":"This was done once; its answer was erased together with a person in it.",'
    b'"code":"answer_erased","field":null}'
)
# These answers say that nothing was tried: the same request may succeed later.
NOT_KEPT = frozenset({401, 403, 408, 429})


@dataclass(frozen=True, slots=True)
class Refused(Exception):
    """The request is not run. `status`, `code` and a sentence for the client."""

    status: int
    code: str
    sentence: str


class _Undone(Exception):
    """Take back what the request did: its answer is an error."""


def once(
    request: HttpRequest, key: ApiKey, given: str, answer: Callable[[], HttpResponse]
) -> HttpResponse:
    """Run `answer`, or repeat what it answered to the same key, path and body before.

    Raises Refused where the key was used for another request, or the first one still runs.
    """
    if not _GIVEN.fullmatch(given):
        raise Refused(400, "idempotency_key", f"{HEADER} is 1 to 200 visible ASCII characters.")
    if request.content_type == "application/x-ndjson":
        raise Refused(
            400, "idempotency_key", f"A stream can be repeated as it is: send it without {HEADER}."
        )
    asked = _hash(request)
    kept: list[HttpResponse] = []
    try:
        with transaction.atomic():
            _lock(key, given)
            first = FirstAnswer.objects.filter(
                key=key, given=given, answered_at__gt=clock.now() - KEPT
            ).first()
            if first:
                return _again(first, asked)
            kept.append(answer())
            if kept[0].status_code >= 400:
                raise _Undone
            _keep(key, given, asked, kept[0])
    except _Undone:
        if kept[0].status_code < 500 and kept[0].status_code not in NOT_KEPT:
            _keep(key, given, asked, kept[0])
    return kept[0]


def forget_old() -> int:
    """Delete answers that are no longer repeated (the ticker's job); answers how many."""
    old = FirstAnswer.objects.filter(answered_at__lt=clock.now() - KEPT)
    return old.filter(pk__in=old.values("pk")[:10_000]).delete()[0]


def erase(workspace_id: int, phone: str) -> int:
    """Empty the answers to a workspace's keys that hold a number (E.164); answers how many.

    Their keys stay used: who repeats such a request is told so, and the person is not made anew.
    """
    with connection.cursor() as cursor:
        # Answers are kept a day, so there are never many.
        cursor.execute(_ERASE, [ERASED, workspace_id, phone.encode()])
        return cursor.rowcount


_ERASE = """
    UPDATE subscribers_firstanswer AS answer
    SET status = 410, content_type = 'application/json', body = %s
    FROM subscribers_apikey AS key
    WHERE key.id = answer.key_id AND key.workspace_id = %s
        AND position(%s::bytea IN answer.body) > 0"""


def _hash(request: HttpRequest) -> bytes:
    """Raises RequestDataTooBig."""
    told = f"{request.method} {request.get_full_path()}\n".encode() + request.body
    return hashlib.sha256(told).digest()


def _lock(key: ApiKey, given: str) -> None:
    digest = hashlib.sha256(f"{key.prefix} {given}".encode()).digest()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_try_advisory_xact_lock(%s)", [int.from_bytes(digest[:8], signed=True)]
        )
        if not cursor.fetchone()[0]:
            raise Refused(
                409, "in_progress", "The first request with this key still runs; try again soon."
            )


def _again(first: FirstAnswer, asked: bytes) -> HttpResponse:
    if bytes(first.request) != asked:
        raise Refused(
            422,
            "idempotency_key_reused",
            f"This {HEADER} came with another request before: use a new one.",
        )
    return HttpResponse(
        bytes(first.body),
        status=first.status,
        content_type=first.content_type,
        headers={REPLAYED: "true"},
    )


def _keep(key: ApiKey, given: str, asked: bytes, told: HttpResponse) -> None:
    """An answer older than a day gives way to a new one."""
    FirstAnswer.objects.update_or_create(
        key=key,
        given=given,
        defaults={
            "request": asked,
            "status": told.status_code,
            "content_type": told.headers.get("Content-Type", "application/json")[:100],
            "body": told.content,
            "answered_at": clock.now(),
        },
    )
