"""A text's state: the only writer. Every change is one guarded statement for a whole batch."""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from django.db import IntegrityError, connection, transaction

from sending import arrays, credits, statements
from sending.gateways.base import Fate, Outcome
from sending.models import State

# Seconds before a text that was certainly not sent is tried again (seeds: 5 attempts at most).
BACKOFF = (3, 6, 12, 24, 48)
# What a receipt may say, least advanced first: a row only moves forward, so that the order in which
# they arrive does not matter. Where a provider says both of the last two, somebody has the text.
FORWARD = [
    State.PLANNED,
    State.SENDING,
    State.UNKNOWN,
    State.ACCEPTED,
    State.SENT,
    State.UNDELIVERED,
    State.DELIVERED,
]
CLOSED = "closed"  # the reason of an unknown text that is not asked about any more
LEASE_EXPIRED = "lease-expired"  # the worker itself stopped: no attempt
FATE_STATES = {
    Fate.ACCEPTED: State.ACCEPTED,
    Fate.RETRY: State.PLANNED,
    Fate.FAILED: State.FAILED,
    Fate.UNKNOWN: State.UNKNOWN,
}


class NewText(NamedTuple):
    """A text as planned: a row of the log, and of the queue while its state is PLANNED.

    A tuple: of those it takes a third of a dataclass's time to make 100,000, and to turn them into
    columns.
    """

    id: UUID
    subscriber_id: int | None
    phone: str
    body: str
    segments: int
    # What most texts of a batch have in common: written once for all of them (`_columns`).
    brand_id: int
    campaign_id: int | None
    run_id: int | None
    message_id: int | None
    purpose: str
    state: str
    reason: str
    expires_at: dt.datetime
    lane: int
    due_at: dt.datetime


_OWN = NewText._fields[:5]
_COMMON = NewText._fields[5:]


@transaction.atomic
def plan(texts: Sequence[NewText]) -> int:
    """Add texts to the log and the queue; one that is there already stays as it is.

    Answers how many were new. Raises credits.Short where the workspace cannot pay for them; then
    the caller's transaction must end with it.
    """
    if not texts:
        return 0
    columns = _columns(texts)
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statements.PLAN, columns)
        new = texts
    except IntegrityError:
        with connection.cursor() as cursor:
            cursor.execute(statements.PLAN_REST, columns)
            added = {row[0] for row in cursor.fetchall()}
        new = [text for text in texts if text.id in added]
    credits.reserve(new)
    return len(new)


def _columns(texts: Sequence[NewText]) -> dict[str, object]:
    """The texts' columns as arrays: their own, and the place of what they share in the others."""
    kinds: dict[tuple[object, ...], int] = {}
    kind_of = [kinds.setdefault(text[len(_OWN) :], len(kinds) + 1) for text in texts]
    own = zip(*(text[: len(_OWN)] for text in texts), strict=True)
    columns = {"kind": arrays.literal(kind_of)}
    for name, values in zip((*_OWN, *_COMMON), (*own, *zip(*kinds, strict=True)), strict=True):
        columns[name] = _WRITTEN.get(name, arrays.literal)(values)
    return columns


_WRITTEN = {"id": arrays.ids, "body": arrays.words, "reason": arrays.words}


class Leaving(NamedTuple):
    """A text that may be sent now, by this sender, in its brand's departure `token`."""

    id: UUID
    sender_id: int
    token: UUID


def depart(texts: Sequence[Leaving], *, lease: dt.timedelta) -> set[UUID]:
    """The point of no return: these texts leave the queue and may be sent now.

    Answers the ids that departed: those that were planned. Part of the gate's transaction; each
    brand's departure is on record before any call is made.
    """
    if not texts:
        return set()
    ids, senders, tokens = zip(*texts, strict=True)
    with connection.cursor() as cursor:
        cursor.execute(
            statements.DEPART,
            {
                "ids": arrays.ids(ids),
                "senders": arrays.literal(senders),
                "tokens": arrays.ids(tokens),
                "lease": lease,
            },
        )
        return {text_id for (departed,) in cursor.fetchall() for text_id in departed}


def end(endings: Iterable[tuple[UUID, str, str]]) -> None:
    """Texts (id, state, reason) that will not be sent leave the queue: skipped, expired, cancelled."""
    rows = list(endings)
    if not rows:
        return
    ids = arrays.ids(row[0] for row in rows)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM sending_queuedtext WHERE id = ANY(%s::uuid[])", [ids])
        cursor.execute(
            statements.END, [ids, [row[1] for row in rows], [row[2] for row in rows], ids]
        )


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
            statements.RECORD,
            {
                "tokens": arrays.ids(answer.token for answer in answers),
                "ids": arrays.ids(outcome.text_id for outcome in told),
                "states": arrays.literal(FATE_STATES[outcome.fate] for outcome in told),
                "providers": arrays.words(outcome.provider_id[:64] for outcome in told),
                "bulks": arrays.words(outcome.bulk_id[:64] for outcome in told),
                "codes": arrays.words(outcome.code[:20] for outcome in told),
                "details": arrays.words(outcome.detail[:200] for outcome in told),
                "tried": arrays.literal(int(_was_tried(outcome)) for outcome in told),
                "attempts": len(BACKOFF),
            },
        )
        _queue_again(cursor, answers, dict(cursor.fetchall()))
        if arrived:
            cursor.execute("DELETE FROM sending_departure WHERE token = ANY(%s)", [list(arrived)])


def _was_tried(outcome: Outcome) -> bool:
    """A refused sender says nothing about the text: it costs the text no attempt."""
    return not (outcome.stop_sender or outcome.code == LEASE_EXPIRED)


def _queue_again(cursor: Any, answers: Sequence[Answered], states: Mapping[UUID, str]) -> None:
    again = [
        answer
        for answer in answers
        if answer.outcome.fate is Fate.RETRY and states.get(answer.outcome.text_id) == State.PLANNED
    ]
    if again:
        values = {
            "ids": [answer.outcome.text_id for answer in again],
            "waits": [answer.outcome.retry_after for answer in again],
            "backoff": list(BACKOFF),
        }
        cursor.execute(statements.REQUEUE, values)
        # The platform's daily cap counts what may have arrived: these did not.
        cursor.execute(statements.UNCOUNT, [arrays.ids(answer.token for answer in again)])


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
    ids = arrays.ids(receipt[0] for receipt in receipts)
    with connection.cursor() as cursor:
        # In the gate's order, and by id: two that meet wait for each other in turn.
        cursor.execute(f"{statements.QUEUED_OF} ORDER BY id FOR UPDATE", [ids])
        cursor.execute(f"{statements.TEXTS_OF} ORDER BY id FOR NO KEY UPDATE", [ids])
        known = {row[0] for row in cursor.fetchall()}
        cursor.execute(
            statements.RECEIVE,
            {
                "ids": ids,
                "states": arrays.literal(receipt[1] for receipt in receipts),
                "codes": arrays.words(receipt[2][:20] for receipt in receipts),
                "order": arrays.literal(FORWARD),
            },
        )
        moved = dict(cursor.fetchall())
        if moved:
            cursor.execute("DELETE FROM sending_queuedtext WHERE id = ANY(%s)", [list(moved)])
        if any(moved.values()):  # sent after all, though we were told that it was not
            cursor.execute(statements.COUNT, [sum(moved.values())])
    return known


def cancel_for_person(subscriber_id: int, brand_ids: Collection[int], reason: str) -> int:
    """Cancel a person's planned texts of campaigns of these brands. Lock the person first.

    What answers the person has no campaign and stays: an opt-out's confirmation above all. They are
    found in the log, whose index by person the queue would repeat with each text.
    """
    return _cancel(
        "id IN (SELECT id FROM sending_sentlog WHERE subscriber_id = %s AND state = 'planned')"
        " AND brand_id = ANY(%s) AND campaign_id IS NOT NULL",
        [subscriber_id, list(brand_ids)],
        reason,
    )


def cancel_texts(ids: Collection[UUID], reason: str) -> int:
    """Cancel those of these texts that are planned, whatever they are for; answers how many."""
    return _cancel("id = ANY(%s::uuid[])", [arrays.ids(ids)], reason)


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
        cursor.execute(
            statements.END, [found, [State.CANCELLED] * len(ids), [reason] * len(ids), found]
        )
    return len(ids)


def queue_again(
    ids: Collection[UUID], *, first: UUID, lifetime: dt.timedelta, longest: dt.timedelta
) -> set[UUID]:
    """Plan texts anew that were certainly not sent: failed or expired; answers which those were.

    They start over: no attempts, due now, `lifetime` to live, but no longer than `longest` after
    the time of their id. Those before `first` stay. They pass the gate like any other.
    """
    values = {"ids": arrays.ids(ids), "first": first, "lifetime": lifetime, "longest": longest}
    with connection.cursor() as cursor:
        cursor.execute(statements.QUEUE_AGAIN, values)
        return {row[0] for row in cursor.fetchall()}


def doubt_departed(reason: str) -> int:
    """Nobody will answer for any departure: their texts become unknown. Only without workers."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statements.DOUBT_DEPARTED, [reason])
        doubted = cursor.rowcount
        cursor.execute("DELETE FROM sending_departure")
    return doubted


def doubt_waiting(reason: str, *, since: dt.datetime, parked: dt.datetime) -> int:
    """What waits and may have been sent since then becomes unknown and leaves the queue.

    Kept: what is due later, what had expired by then, what belongs to a cancelled campaign. What
    is `parked` may have been resumed since: it counts as due.
    """
    with connection.cursor() as cursor:
        values = {"reason": reason, "since": since, "parked": parked}
        cursor.execute(statements.DOUBT_WAITING, values)
        return cursor.fetchone()[0]


def doubt_of_run(reason: str, run_id: int, *, after: int) -> int:
    """Planned texts of a run to people after subscriber `after` become unknown, whenever due."""
    with connection.cursor() as cursor:
        values = {"reason": reason, "run": run_id, "after": after}
        cursor.execute(statements.DOUBT_OF_RUN, values)
        return cursor.fetchone()[0]


def close_unknown(ids: Collection[UUID]) -> int:
    """Nobody will ask about these unknown texts again; a receipt still moves them."""
    with connection.cursor() as cursor:
        cursor.execute(statements.CLOSE_UNKNOWN, {"ids": arrays.ids(ids), "reason": CLOSED})
        return cursor.rowcount
