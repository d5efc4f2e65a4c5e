"""Consent: the only writer of subscriptions, suppressions and their evidence.

Whoever decides whether a text may start locks the person first (`lock_people`), and so does every
change here: nothing starts after an opt-out has committed.
"""

import datetime as dt
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection, transaction
from django.db.models import Value
from django.db.models.functions import Greatest

from subscribers.models import (
    Brand,
    ConsentEvent,
    ConsentSource,
    Subscriber,
    Subscription,
    Suppression,
    Workspace,
)
from subscribers.secrets import phone_hash

# Only the person brings himself back: by keyword, or on the provider's list at a later date.
BRINGS_BACK = (ConsentSource.KEYWORD, ConsentSource.LIST_SYNC)
# That lifts what he said himself. What an operator, an import or a provider suppressed stays.
LIFTED_BY_NEWER_OPT_IN = (ConsentSource.KEYWORD, ConsentSource.FREE_TEXT, ConsentSource.API)


@dataclass(frozen=True, slots=True)
class OptIn:
    """One person's consent as a source tells it; `at` is an aware datetime."""

    subscriber_id: int
    phone_hash: bytes
    at: dt.datetime
    evidence: dict[str, Any] = field(default_factory=dict)


def lock_people(subscriber_ids: Iterable[int]) -> None:
    """Lock subscribers until the transaction ends, in one order, so that two never deadlock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM subscribers_subscriber WHERE id = ANY(%s::bigint[]) ORDER BY id"
            " FOR NO KEY UPDATE",
            [sorted(set(subscriber_ids))],
        )


def lock_numbers(hashes: Iterable[bytes]) -> None:
    """Lock numbers until the transaction ends, for texts to who is no subscriber. After `lock_people`.

    `hashes` are the numbers' keyed hashes: there may be no row to lock.
    """
    keys = sorted(int.from_bytes(hashed[:8], "big", signed=True) for hashed in set(hashes))
    with connection.cursor() as cursor:
        for key in keys:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [key])


def opt_in(
    subscriber: Subscriber, brand: Brand, *, at: dt.datetime, source: str, evidence: dict[str, Any]
) -> bool:
    """Record one opt-in; True when the person is subscribed to the brand afterwards."""
    row = OptIn(subscriber.pk, bytes(subscriber.phone_hash), at, evidence)
    opt_in_many(brand, [row], source=source)
    return Subscription.objects.filter(
        subscriber=subscriber, brand=brand, status=Subscription.Status.OPTED_IN
    ).exists()


@transaction.atomic
def opt_in_many(brand: Brand, rows: Sequence[OptIn], *, source: str) -> list[int]:
    """Record opt-ins to one brand; answers the subscribers whose subscription changed.

    An opt-in changes nothing where the person opted out at the same time or later, so a list can
    be read again and again. The evidence is kept either way.
    """
    if not rows:
        return []
    lock_people(row.subscriber_id for row in rows)
    values = {
        "workspace": brand.workspace_id,
        "brand": brand.pk,
        "source": source,
        "brings_back": source in BRINGS_BACK,
        "liftable": list(LIFTED_BY_NEWER_OPT_IN),
        "ids": [row.subscriber_id for row in rows],
        "hashes": [row.phone_hash for row in rows],
        "times": [row.at for row in rows],
        "evidence": [json.dumps(row.evidence) for row in rows],
    }
    with connection.cursor() as cursor:
        cursor.execute(_INSERT_OPT_IN_EVENTS, values)
        cursor.execute(_UPSERT_SUBSCRIPTIONS, values)
        changed = [row[0] for row in cursor.fetchall()]
        if source in BRINGS_BACK:
            cursor.execute(_LIFT_OLDER_SUPPRESSIONS, values)
    return changed


@transaction.atomic
def opt_out(
    workspace: Workspace,
    phone: str,
    *,
    brand: Brand | None,
    at: dt.datetime,
    source: str,
    reason: str,
    evidence: dict[str, Any] | None = None,
) -> Subscriber | None:
    """Suppress a number in a brand, or in the whole workspace where `brand` is None.

    Works for numbers without a subscriber too. Answers the subscriber, if there is one. Repeating
    it is harmless. `phone` is E.164, `at` an aware datetime.
    """
    subscriber = (
        Subscriber.objects.select_for_update(no_key=True)
        .filter(workspace=workspace, phone=phone)
        .first()
    )
    hashed = phone_hash(workspace.pk, phone)
    lock_numbers([hashed])
    ConsentEvent.objects.bulk_create(
        [
            ConsentEvent(
                workspace=workspace,
                brand=brand,
                phone_hash=hashed,
                subscriber=subscriber,
                kind=ConsentEvent.Kind.OPT_OUT,
                source=source,
                occurred_at=at,
                evidence=evidence or {},
            )
        ],
        ignore_conflicts=True,
    )
    with connection.cursor() as cursor:
        cursor.execute(
            _UPSERT_SUPPRESSION,
            {
                "workspace": workspace.pk,
                "brand": brand and brand.pk,
                "hash": hashed,
                "phone": phone,
                "source": source,
                "reason": reason[:200],
                "at": at,
                "liftable": list(LIFTED_BY_NEWER_OPT_IN),
            },
        )
    if subscriber:
        _leave(subscriber, brand, at)
    return subscriber


def _leave(subscriber: Subscriber, brand: Brand | None, at: dt.datetime) -> None:
    subscriptions = Subscription.objects.filter(subscriber=subscriber)
    if brand:
        Subscription.objects.bulk_create(
            [Subscription(subscriber=subscriber, brand=brand)], ignore_conflicts=True
        )
        subscriptions = subscriptions.filter(brand=brand)
    else:
        Subscriber.objects.filter(pk=subscriber.pk).update(status=Subscriber.Status.OPTOUT)
    subscriptions.update(
        status=Subscription.Status.OPTED_OUT,
        opted_out_at=Greatest("opted_out_at", Value(at)),
        updated_at=at,
    )


def is_suppressed(workspace: Workspace, phone: str, brand: Brand | None) -> bool:
    """Whether a number must not be texted for a brand (or at all, where `brand` is None)."""
    rows = Suppression.objects.filter(
        workspace=workspace, phone_hash=phone_hash(workspace.pk, phone)
    )
    return any(row.brand_id is None or (brand and row.brand_id == brand.pk) for row in rows)


_ROWS = """unnest(%(ids)s::bigint[], %(hashes)s::bytea[], %(times)s::timestamptz[],
    %(evidence)s::text[]) AS given(subscriber_id, phone_hash, occurred_at, evidence)"""

_INSERT_OPT_IN_EVENTS = f"""
    INSERT INTO subscribers_consentevent
        (workspace_id, brand_id, subscriber_id, phone_hash, kind, source, occurred_at, evidence)
    SELECT %(workspace)s, %(brand)s, subscriber_id, phone_hash, 'opt_in', %(source)s, occurred_at,
           evidence::jsonb
    FROM {_ROWS}
    ON CONFLICT DO NOTHING"""

_UPSERT_SUBSCRIPTIONS = f"""
    INSERT INTO subscribers_subscription AS known
        (subscriber_id, brand_id, status, opted_in_at)
    SELECT DISTINCT ON (subscriber_id) subscriber_id, %(brand)s, 'opted_in', occurred_at
    FROM {_ROWS}
    ORDER BY subscriber_id, occurred_at DESC
    ON CONFLICT (subscriber_id, brand_id) DO UPDATE
    SET status = 'opted_in', opted_in_at = EXCLUDED.opted_in_at, updated_at = now()
    WHERE (known.status <> 'opted_out'
           OR %(brings_back)s AND known.opted_out_at < EXCLUDED.opted_in_at)
      AND (known.status <> 'opted_in' OR known.opted_in_at < EXCLUDED.opted_in_at)
    RETURNING subscriber_id"""

_LIFT_OLDER_SUPPRESSIONS = f"""
    DELETE FROM subscribers_suppression AS lifted USING {_ROWS}
    WHERE lifted.phone_hash = given.phone_hash AND lifted.brand_id = %(brand)s
      AND lifted.source = ANY(%(liftable)s) AND lifted.created_at < given.occurred_at"""

# The latest word counts: a repeated opt-out renews the date that a later opt-in must pass. What an
# operator or a provider said stays theirs, whoever spoke first.
_UPSERT_SUPPRESSION = """
    INSERT INTO subscribers_suppression AS known
        (workspace_id, brand_id, phone_hash, phone, source, reason, created_at)
    VALUES (%(workspace)s, %(brand)s, %(hash)s, %(phone)s, %(source)s, %(reason)s, %(at)s)
    ON CONFLICT (phone_hash, brand_id) DO UPDATE
    SET phone = EXCLUDED.phone, created_at = greatest(known.created_at, EXCLUDED.created_at),
        (source, reason) = (
            SELECT EXCLUDED.source, EXCLUDED.reason WHERE known.source = ANY(%(liftable)s)
            UNION ALL
            SELECT known.source, known.reason WHERE NOT known.source = ANY(%(liftable)s))"""
