"""Whole lists of numbers that must not be texted, a batch a transaction. Part of `consent`'s writers."""

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from subscribers import consent
from subscribers.models import Brand, Workspace
from subscribers.secrets import phone_hash


@dataclass(frozen=True, slots=True)
class Unwanted:
    """A number (E.164) and why it must not be texted."""

    phone: str
    reason: str


@transaction.atomic
def suppress_many(
    workspace: Workspace,
    rows: Sequence[Unwanted],
    *,
    brand: Brand | None,
    at: dt.datetime,
    source: str,
    evidence: dict[str, Any],
) -> set[str]:
    """Suppress different numbers in a brand, or the workspace where it is None; answers the new ones.

    A number that others than its owner suppressed already stays as it is, with its reason; what
    its owner said becomes a suppression that no START lifts, and counts as known.
    """
    if not rows:
        return set()
    values = {
        "workspace": workspace.pk,
        "brand": brand and brand.pk,
        "source": source,
        "at": at,
        "phones": [row.phone for row in rows],
        "hashes": [phone_hash(workspace.pk, row.phone) for row in rows],
        "reasons": [row.reason[:200] for row in rows],
        "evidence": json.dumps(evidence),
        "liftable": list(consent.LIFTED_BY_NEWER_OPT_IN),
    }
    with connection.cursor() as cursor:
        cursor.execute(_PEOPLE, values)
        people = [row[0] for row in cursor.fetchall()]
        consent.lock_people(people)
        consent.lock_numbers(values["hashes"])
        cursor.execute(_SUPPRESS, values)
        touched = dict(cursor.fetchall())
        cursor.execute(_TELL, values | {"touched": list(touched)})
        # Whoever was found locked: of somebody who arrived since, the suppression says enough.
        cursor.execute(_LEAVE, values | {"people": people})
        if brand is None:
            cursor.execute(
                "UPDATE subscribers_subscriber SET status = 'OPTOUT' WHERE id = ANY(%s::bigint[])",
                [people],
            )
    return {phone for phone, new in touched.items() if new}


_GIVEN = """unnest(%(phones)s::text[], %(hashes)s::bytea[], %(reasons)s::text[])
    AS given(phone, phone_hash, reason)"""

_PEOPLE = """
    SELECT id FROM subscribers_subscriber
    WHERE workspace_id = %(workspace)s AND phone = ANY(%(phones)s)"""

_SUPPRESS = f"""
    INSERT INTO subscribers_suppression AS known
        (workspace_id, brand_id, phone_hash, phone, source, reason, created_at)
    SELECT %(workspace)s, %(brand)s, phone_hash, phone, %(source)s, reason, %(at)s FROM {_GIVEN}
    ORDER BY phone_hash
    ON CONFLICT (phone_hash, brand_id) DO UPDATE
    SET phone = EXCLUDED.phone, source = EXCLUDED.source, reason = EXCLUDED.reason,
        created_at = greatest(known.created_at, EXCLUDED.created_at)
    WHERE known.source = ANY(%(liftable)s)
    RETURNING phone, xmax = 0"""

_TELL = f"""
    INSERT INTO subscribers_consentevent
        (workspace_id, brand_id, subscriber_id, phone_hash, kind, source, occurred_at, evidence)
    SELECT %(workspace)s, %(brand)s, person.id, given.phone_hash, 'opt_out', %(source)s, %(at)s,
           %(evidence)s::jsonb || jsonb_build_object('reason', given.reason)
    FROM {_GIVEN}
    LEFT JOIN subscribers_subscriber AS person
        ON person.workspace_id = %(workspace)s AND person.phone = given.phone
    WHERE given.phone = ANY(%(touched)s)
    ON CONFLICT DO NOTHING"""

_LEAVE = """
    UPDATE subscribers_subscription SET status = 'opted_out', updated_at = %(at)s,
        opted_out_at = greatest(opted_out_at, %(at)s)
    WHERE subscriber_id = ANY(%(people)s::bigint[])
      AND (%(brand)s::bigint IS NULL OR brand_id = %(brand)s::bigint)
      AND status <> 'opted_out'"""
