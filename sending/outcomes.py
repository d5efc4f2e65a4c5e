"""A text's state: the only writer. Every change is one guarded statement for a whole batch."""

import datetime as dt
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from sending import arrays
from sending.gateways.base import Fate, Outcome
from sending.models import State

# Seconds before a text that was certainly not sent is tried again (seeds: 5 attempts at most).
BACKOFF = (3, 6, 12, 24, 48)
# What a receipt may say, least advanced first: a row only moves forward.
FORWARD = [
    State.PLANNED,
    State.SENDING,
    State.UNKNOWN,
    State.ACCEPTED,
    State.SENT,
    State.DELIVERED,
]
LEASE_EXPIRED = "lease-expired"  # the worker itself stopped: no attempt
FATE_STATES = {
    Fate.ACCEPTED: State.ACCEPTED,
    Fate.RETRY: State.PLANNED,
    Fate.FAILED: State.FAILED,
    Fate.UNKNOWN: State.UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class NewText:
    """A text as planned: a row of the log, and of the queue while its state is PLANNED."""

    id: UUID
    brand_id: int
    campaign_id: int | None
    run_id: int | None
    message_id: int | None
    subscriber_id: int | None
    purpose: str
    phone: str
    body: str
    segments: int
    state: str
    reason: str
    expires_at: dt.datetime
    lane: int
    due_at: dt.datetime


@transaction.atomic
def plan(texts: Sequence[NewText]) -> int:
    """Add texts to the log and the queue; one that is there already stays as it is.

    Answers how many were new.
    """
    if not texts:
        return 0
    columns = {
        field.name: [getattr(text, field.name) for text in texts] for field in fields(NewText)
    }
    with connection.cursor() as cursor:
        cursor.execute(_INSERT_TEXTS, columns)
        new = {row[0] for row in cursor.fetchall()}
        queued = [text for text in texts if text.state == State.PLANNED and text.id in new]
        cursor.execute(
            _INSERT_QUEUE,
            [
                arrays.ids(text.id for text in queued),
                arrays.literal(text.brand_id for text in queued),
                arrays.literal(text.campaign_id for text in queued),
                arrays.literal(text.subscriber_id for text in queued),
                arrays.literal(int(text.lane) for text in queued),
                arrays.literal(text.due_at for text in queued),
            ],
        )
    return len(new)


def _columns(texts: Sequence[NewText]) -> dict[str, object]:
    """The texts' columns as arrays; empty words and bodies need a list."""
    columns: dict[str, object] = {}
    for field in fields(NewText):
        values = [getattr(text, field.name) for text in texts]
        if field.name == "id":
            columns[field.name] = arrays.ids(values)
        elif field.name in ("body", "reason"):
            columns[field.name] = values
        else:
            columns[field.name] = arrays.literal(values)
    return columns


def depart(
    token: UUID, brand_id: int, senders: dict[UUID, int], *, lease: dt.timedelta
) -> set[UUID]:
    """The point of no return: these texts (id -> sender) leave the queue and may be sent now.

    Answers the ids that departed: those that were planned. Part of the gate's transaction; their
    departure is on record before any call is made.
    """
    if not senders:
        return set()
    ids = arrays.ids(senders)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM sending_queuedtext WHERE id = ANY(%s::uuid[])", [ids])
        cursor.execute(_DEPART, [token, ids, arrays.literal(senders.values()), ids])
        departed = [row[0] for row in cursor.fetchall()]
        cursor.execute(
            "INSERT INTO sending_departure (token, brand_id, texts, expires_at)"
            " VALUES (%s, %s, %s::uuid[], clock_timestamp() + %s)",
            [token, brand_id, arrays.ids(departed), lease],
        )
    return set(departed)


def end(endings: Iterable[tuple[UUID, str, str]]) -> None:
    """Texts (id, state, reason) that will not be sent leave the queue: skipped, expired, cancelled."""
    rows = list(endings)
    if not rows:
        return
    ids = arrays.ids(row[0] for row in rows)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM sending_queuedtext WHERE id = ANY(%s::uuid[])", [ids])
        cursor.execute(_END, [ids, [row[1] for row in rows], [row[2] for row in rows], ids])


@dataclass(frozen=True, slots=True)
class Answered:
    """What a provider answered for one text of the departure `token`."""

    token: UUID
    outcome: Outcome


@transaction.atomic
def record(answers: Sequence[Answered], *, arrived: Collection[UUID] = ()) -> None:
    """Write what providers answered; departures in `arrived` are answered for to the last text.

    Guarded by the token: a worker that outlived its lease can still tell what it knows, but only
    of texts that nobody else touched since. What was certainly not sent goes back to the queue.
    Repeating it (the answer to COMMIT was lost) changes nothing.
    """
    told = [answer.outcome for answer in answers]
    with connection.cursor() as cursor:
        cursor.execute(
            _RECORD,
            {
                "tokens": arrays.ids(answer.token for answer in answers),
                "ids": arrays.ids(outcome.text_id for outcome in told),
                "states": arrays.literal(FATE_STATES[outcome.fate] for outcome in told),
                "providers": [outcome.provider_id[:64] for outcome in told],
                "bulks": [outcome.bulk_id[:64] for outcome in told],
                "codes": [outcome.code[:20] for outcome in told],
                "details": [outcome.detail[:200] for outcome in told],
                "tried": [int(_was_tried(outcome)) for outcome in told],
                "attempts": len(BACKOFF),
            },
        )
        rows = {pk: (state, sender_id) for pk, state, sender_id in cursor.fetchall()}
        _remember_provider_ids(cursor, told, rows)
        _queue_again(cursor, told, rows)
        if arrived:
            cursor.execute("DELETE FROM sending_departure WHERE token = ANY(%s)", [list(arrived)])


def _was_tried(outcome: Outcome) -> bool:
    """A refused sender says nothing about the text: it costs the text no attempt."""
    return not (outcome.stop_sender or outcome.code == LEASE_EXPIRED)


def _remember_provider_ids(
    cursor: Any, told: Sequence[Outcome], rows: dict[UUID, tuple[str, int]]
) -> None:
    known = [outcome for outcome in told if outcome.provider_id and outcome.text_id in rows]
    if known:
        ids = [outcome.text_id for outcome in known]
        providers = [outcome.provider_id[:64] for outcome in known]
        of = arrays.literal(rows[pk][1] for pk in ids)
        cursor.execute(_REMEMBER, [providers, of, arrays.ids(ids)])


def _queue_again(cursor: Any, told: Sequence[Outcome], rows: dict[UUID, tuple[str, int]]) -> None:
    again = [
        outcome
        for outcome in told
        if outcome.fate is Fate.RETRY and rows.get(outcome.text_id, ("",))[0] == State.PLANNED
    ]
    if again:
        values = {
            "ids": [outcome.text_id for outcome in again],
            "waits": [outcome.retry_after for outcome in again],
            "backoff": list(BACKOFF),
        }
        cursor.execute(_REQUEUE, values)
        # The platform's daily cap counts what may have arrived: these did not.
        cursor.execute(_UNCOUNT, [len(again)])


@transaction.atomic
def lose(token: UUID, texts: Sequence[UUID]) -> int:
    """The departure's worker is gone: what it did not answer for may have been sent."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sending_sentlog SET state = 'unknown', reason = 'worker_lost',"
            " attempts = attempts + 1, changed_at = now() WHERE id = ANY(%s) AND lease_token = %s AND state = 'sending'",
            [list(texts), token],
        )
        lost = cursor.rowcount
        cursor.execute("DELETE FROM sending_departure WHERE token = %s", [token])
    return lost


@transaction.atomic
def receive(receipts: Sequence[tuple[UUID, str, str]]) -> set[UUID]:
    """Apply receipts (text id, state, provider's code); answers the ids of texts that exist.

    Rows only move forward, in any order of arrival. A receipt for a text that waits to be tried
    again takes it out of the queue: the provider has it after all.
    """
    ids = [receipt[0] for receipt in receipts]
    with connection.cursor() as cursor:
        # In the gate's order, and by id: two that meet wait for each other in turn.
        cursor.execute(f"{_QUEUED_OF} ORDER BY id FOR UPDATE", [ids])
        cursor.execute(f"{_TEXTS_OF} ORDER BY id FOR NO KEY UPDATE", [ids])
        known = {row[0] for row in cursor.fetchall()}
        cursor.execute(
            _RECEIVE,
            {
                "ids": ids,
                "states": [receipt[1] for receipt in receipts],
                "codes": [receipt[2][:20] for receipt in receipts],
                "order": [str(state) for state in FORWARD],
            },
        )
        moved = [row[0] for row in cursor.fetchall()]
        if moved:
            cursor.execute("DELETE FROM sending_queuedtext WHERE id = ANY(%s)", [moved])
    return known


def cancel_for_person(subscriber_id: int, brand_ids: Collection[int], reason: str) -> int:
    """Cancel what is planned for a person in these brands. Lock the person first."""
    return _cancel(
        "subscriber_id = %s AND brand_id = ANY(%s)", [subscriber_id, list(brand_ids)], reason
    )


def cancel_of_campaign(campaign_id: int, *, at_most: int = 5000) -> int:
    """Cancel planned texts of a cancelled campaign, a part at a time; answers how many."""
    return _cancel(
        "id IN (SELECT id FROM sending_queuedtext WHERE campaign_id = %s LIMIT %s"
        " FOR UPDATE SKIP LOCKED)",
        [campaign_id, at_most],
        "campaign_cancelled",
    )


@transaction.atomic
def _cancel(condition: str, values: list[object], reason: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM sending_queuedtext WHERE {condition} RETURNING id", values)
        ids = [row[0] for row in cursor.fetchall()]
        found = arrays.ids(ids)
        cursor.execute(_END, [found, [State.CANCELLED] * len(ids), [reason] * len(ids), found])
    return len(ids)


_INSERT_TEXTS = """
    INSERT INTO sending_sentlog
        (id, brand_id, campaign_id, run_id, message_id, subscriber_id, purpose, phone, body,
         segments, state, reason, expires_at)
    SELECT * FROM unnest(%(id)s::uuid[], %(brand_id)s::bigint[], %(campaign_id)s::bigint[],
        %(run_id)s::bigint[], %(message_id)s::bigint[], %(subscriber_id)s::bigint[],
        %(purpose)s::text[], %(phone)s::text[], %(body)s::text[], %(segments)s::smallint[],
        %(state)s::text[], %(reason)s::text[], %(expires_at)s::timestamptz[])
    ON CONFLICT (id) DO NOTHING RETURNING id"""

_INSERT_QUEUE = """
    INSERT INTO sending_queuedtext (id, brand_id, campaign_id, subscriber_id, lane, due_at)
    SELECT * FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[], %s::bigint[], %s::smallint[],
        %s::timestamptz[])"""

# `id = ANY` beside the join: only a constant prunes the partitions while planning.
_DEPART = """
    UPDATE sending_sentlog AS text
    SET state = 'sending', reason = '', lease_token = %s, sender_id = given.sender_id,
        sent_at = clock_timestamp(), changed_at = now()
    FROM unnest(%s::uuid[], %s::bigint[]) AS given(id, sender_id)
    WHERE text.id = given.id AND text.id = ANY(%s::uuid[]) AND text.state = 'planned'
    RETURNING text.id"""

_END = """
    UPDATE sending_sentlog AS text
    SET state = given.state, reason = given.reason, changed_at = now()
    FROM unnest(%s::uuid[], %s::text[], %s::text[]) AS given(id, state, reason)
    WHERE text.id = given.id AND text.id = ANY(%s::uuid[]) AND text.state = 'planned'"""

# A receipt may have been faster than the answer: then only what the answer adds is written. A text
# that goes back to the queue loses its token, so that an answer written twice counts once.
_ATTEMPTS = "text.attempts + CASE text.state WHEN 'sending' THEN given.tried ELSE 0 END"
_RECORD = f"""
    UPDATE sending_sentlog AS text
    SET provider_message_id = given.provider_id, bulk_id = given.bulk_id,
        error_code = given.code, error_detail = given.detail, changed_at = now(),
        attempts = {_ATTEMPTS},
        state = CASE
            WHEN text.state NOT IN ('sending', 'unknown') THEN text.state
            WHEN given.state = 'planned' AND {_ATTEMPTS} >= %(attempts)s THEN 'failed'
            ELSE given.state END,
        reason = CASE
            WHEN text.state NOT IN ('sending', 'unknown') THEN text.reason
            WHEN given.state = 'planned' AND {_ATTEMPTS} >= %(attempts)s
            THEN 'too_many_attempts' ELSE '' END,
        sent_at = CASE WHEN given.state IN ('planned', 'failed')
            AND text.state IN ('sending', 'unknown') THEN NULL ELSE text.sent_at END,
        lease_token = CASE WHEN given.state = 'planned'
            AND text.state IN ('sending', 'unknown') THEN NULL ELSE text.lease_token END
    FROM unnest(%(ids)s::uuid[], %(states)s::text[], %(providers)s::text[], %(bulks)s::text[],
                %(codes)s::text[], %(details)s::text[], %(tried)s::smallint[], %(tokens)s::uuid[])
         AS given(id, state, provider_id, bulk_id, code, detail, tried, token)
    WHERE text.id = given.id AND text.id = ANY(%(ids)s::uuid[]) AND text.lease_token = given.token
    RETURNING text.id, text.state, text.sender_id"""

_REMEMBER = """
    INSERT INTO sending_providermessage (provider_id, sender_id, text_id)
    SELECT * FROM unnest(%s::text[], %s::bigint[], %s::uuid[]) ON CONFLICT DO NOTHING"""

_UNCOUNT = """
    UPDATE sending_dailytotal SET sent = greatest(0, sent - %s)
    WHERE day = (now() AT TIME ZONE 'UTC')::date"""

# `backoff` is counted from 1, like `attempts` after the first.
_REQUEUE = """
    INSERT INTO sending_queuedtext (id, brand_id, campaign_id, subscriber_id, lane, due_at)
    SELECT text.id, text.brand_id, text.campaign_id, text.subscriber_id,
           CASE text.purpose WHEN 'campaign' THEN 1 ELSE 0 END,
           clock_timestamp() + make_interval(secs => greatest(
               coalesce(given.wait, 0),
               (%(backoff)s::int[])[greatest(text.attempts, 1)] * (0.8 + 0.4 * random())))
    FROM unnest(%(ids)s::uuid[], %(waits)s::float8[]) AS given(id, wait)
    JOIN sending_sentlog AS text ON text.id = given.id AND text.id = ANY(%(ids)s::uuid[])
    ON CONFLICT (id) DO NOTHING"""

_QUEUED_OF = "SELECT id FROM sending_queuedtext WHERE id = ANY(%s)"
_TEXTS_OF = "SELECT id FROM sending_sentlog WHERE id = ANY(%s)"
_RECEIVE = """
    UPDATE sending_sentlog AS text
    SET state = given.state, changed_at = now(), reason = '',
        error_code = CASE WHEN given.code = '' THEN text.error_code ELSE given.code END,
        sent_at = coalesce(text.sent_at, now())
    FROM (SELECT DISTINCT ON (id) id, state, code
          FROM unnest(%(ids)s::uuid[], %(states)s::text[], %(codes)s::text[])
               AS told(id, state, code)
          ORDER BY id, CASE state WHEN 'undelivered' THEN 99 ELSE
              array_position(%(order)s::text[], state) END DESC) AS given
    WHERE text.id = given.id AND text.id = ANY(%(ids)s::uuid[])
      AND array_position(%(order)s::text[], text.state::text) IS NOT NULL
      AND text.state <> 'delivered'
      AND (given.state = 'undelivered' OR array_position(%(order)s::text[], given.state)
           > array_position(%(order)s::text[], text.state::text))
    RETURNING text.id"""
