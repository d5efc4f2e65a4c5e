"""Providers' requests: each stored once before it is answered, and applied soon after, many at once.

An event is applied in the transaction that says so. A process that dies in between leaves it as it
was, and applying it twice would change nothing: receipts only move texts forward, each counts once.
"""

import datetime as dt
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from django.conf import settings
from django.db import DataError, IntegrityError, connection, transaction

from sending.models import Sender
from subscribers import clock
from tracking import kept_connection, receipts
from tracking.together import Together
from tracking.webhooks import base
from tracking.webhooks.adapters import WEBHOOKS

log = structlog.get_logger("carillon.inbox")

BATCH = 1000  # events
BATCH_BYTES = 4 * 1024 * 1024  # of bodies, beside the first: what one batch may cost in memory
FORGET_AT_MOST = 20_000


@dataclass(frozen=True, slots=True)
class _Event:
    key: bytes
    sender_id: int
    query: str
    body: bytes


def store(sender_id: int, *, query: str, body: bytes) -> None:
    """Keep a verified request of a sender; the same one again is one row.

    Threads that come at the same time share a statement and its commit. Raises OperationalError or
    InterfaceError where the database is away: then the provider must not hear that we have it.
    """
    told = hashlib.sha256(f"{sender_id}\x00{query}\x00".encode())
    told.update(body)
    _writer.add(_Event(told.digest(), sender_id, query, body))


def _insert(events: Sequence[_Event]) -> None:
    """In the order of the keys: two processes that are told the same wait, but not for each other."""
    ordered = sorted(events, key=lambda event: event.key)
    values = [
        [event.key for event in ordered],
        [event.sender_id for event in ordered],
        [event.query for event in ordered],
        [event.body for event in ordered],
    ]
    kept_connection.use(lambda: _execute(values))


def _execute(values: list[list[Any]]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_STORE, values)


_writer: Together[_Event] = Together(_insert)


def apply_due(*, seconds: float = 1.0) -> int:
    """Apply what is stored until nothing is left or so many seconds are over; answers how many.

    The ticker's job, and that of each web process's applier (`applier.py`): any number at once.
    """
    until = time.monotonic() + seconds
    applied = 0
    while True:
        count = _apply_batch()
        applied += count
        if not count or time.monotonic() > until:
            return applied


def forget_applied() -> int:
    """Delete the keys of events that were applied long ago (the ticker's job): so long (KEEP_INBOX_DAYS)
    the same request is known again without a look at its receipts."""
    old = clock.now() - dt.timedelta(days=settings.KEEP_INBOX_DAYS)
    with connection.cursor() as cursor:
        cursor.execute(_FORGET, [old, FORGET_AT_MOST])
        return cursor.rowcount


@transaction.atomic
def _apply_batch() -> int:
    with connection.cursor() as cursor:
        cursor.execute(_DUE, [BATCH, BATCH_BYTES])
        events = [_Event(*row) for row in cursor.fetchall()]
    if not events:
        return 0
    senders = _senders({event.sender_id for event in events})
    readable, problems = [], {}
    for event in events:
        try:
            readable.append((event, _read(senders, event)))
        except base.UnreadableError as error:
            problems[event.key] = str(error)
    problems |= _receive(readable)
    _applied(events, problems)
    return len(events)


def _senders(ids: set[int]) -> dict[int, Sender]:
    found = Sender.objects.filter(pk__in=ids).select_related("brand__workspace")
    return {sender.pk: sender for sender in found.defer("credentials")}


def _read(senders: dict[int, Sender], event: _Event) -> list[tuple[Sender, base.Receipt]]:
    sender = senders.get(event.sender_id)
    if sender is None:
        raise base.UnreadableError("Its sender is gone.")
    told = base.Request(url="", headers={}, body=event.body, query_string=event.query)
    return [(sender, receipt) for receipt in WEBHOOKS[sender.gateway].receipts(told)]


def _receive(
    readable: Sequence[tuple[_Event, list[tuple[Sender, base.Receipt]]]],
) -> dict[bytes, str]:
    """Apply all, or each alone where the database refuses one; answers the refused ones' errors."""
    try:
        with transaction.atomic():
            receipts.receive_all([one for _, told in readable for one in told])
    except (DataError, IntegrityError) as error:
        if len(readable) == 1:
            return {readable[0][0].key: type(error).__name__}
        return {key: why for one in readable for key, why in _receive([one]).items()}
    return {}


def _applied(events: Sequence[_Event], problems: dict[bytes, str]) -> None:
    """What has a problem keeps its body, to be looked at, until it is forgotten."""
    for key, why in problems.items():
        log.error("event_not_applied", key=key.hex(), problem=why)
    values: dict[str, Any] = {
        "keys": [event.key for event in events],
        "bad": list(problems),
        "why": [why[:100] for why in problems.values()],
    }
    with connection.cursor() as cursor:
        cursor.execute(_APPLIED, values)


_STORE = """
    INSERT INTO tracking_inboundevent (key, sender_id, query, body)
    SELECT * FROM unnest(%s::bytea[], %s::bigint[], %s::text[], %s::bytea[])
    ON CONFLICT (key) DO NOTHING"""

_DUE = """
    WITH due AS MATERIALIZED (
        SELECT key, sender_id, query, body FROM tracking_inboundevent
        WHERE applied_at IS NULL LIMIT %s FOR UPDATE SKIP LOCKED),
    sized AS (
        SELECT *, sum(octet_length(body)) OVER (ORDER BY key) - octet_length(body) AS before
        FROM due)
    SELECT key, sender_id, query, body FROM sized WHERE before < %s"""

_APPLIED = """
    UPDATE tracking_inboundevent AS event
    SET applied_at = clock_timestamp(), problem = coalesce(bad.why, ''),
        query = CASE WHEN bad.key IS NULL THEN '' ELSE event.query END,
        body = CASE WHEN bad.key IS NULL THEN '' ELSE event.body END
    FROM unnest(%(keys)s::bytea[]) AS given(key)
    LEFT JOIN unnest(%(bad)s::bytea[], %(why)s::text[]) AS bad(key, why) ON bad.key = given.key
    WHERE event.key = given.key"""

_FORGET = """
    DELETE FROM tracking_inboundevent WHERE key IN (
        SELECT key FROM tracking_inboundevent WHERE applied_at < %s LIMIT %s)"""
