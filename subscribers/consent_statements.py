"""The SQL of consent: sets of people at once. Used by the writers of consent alone."""

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from subscribers import arrays
from subscribers.models import Brand


@dataclass(frozen=True, slots=True)
class OptIn:
    """One person's consent as a source tells it; `at` is an aware datetime."""

    subscriber_id: int
    phone_hash: bytes
    at: dt.datetime
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OptOut:
    """Somebody's opt-out as a source tells it: the number (E.164) and its evidence."""

    phone: str
    evidence: dict[str, Any] = field(default_factory=dict)


def values_of(brand: Brand, rows: Sequence[OptIn], source: str, kind: str) -> dict[str, Any]:
    """What the statements over `ROWS` take."""
    return {
        "workspace": brand.workspace_id,
        "brand": brand.pk,
        "source": source,
        "kind": kind,
        "ids": arrays.literal(row.subscriber_id for row in rows),
        "hashes": arrays.hashes(row.phone_hash for row in rows),
        "times": arrays.literal(row.at.isoformat() for row in rows),
        "evidence": evidence_of(rows),
    }


def evidence_of(rows: Sequence[OptIn] | Sequence[OptOut]) -> str:
    """The rows' evidence as `jsonb[]`. Many share one, which is written once."""
    told = {id(row.evidence): row.evidence for row in rows}
    written = {key: json.dumps(evidence) for key, evidence in told.items()}
    return arrays.words([written[id(row.evidence)] for row in rows])


# As literals: psycopg escapes arrays element by element, and PostgreSQL takes 20 microseconds for
# each row of `json_to_recordset`; both took longer than the rows.
ROWS = """unnest(%(ids)s::bigint[], %(hashes)s::bytea[], %(times)s::timestamptz[],
    %(evidence)s::jsonb[]) AS given(subscriber_id, phone_hash, occurred_at, evidence)"""

INSERT_EVENTS = f"""
    INSERT INTO subscribers_consentevent
        (workspace_id, brand_id, subscriber_id, phone_hash, kind, source, occurred_at, evidence,
         wording_id)
    SELECT %(workspace)s, %(brand)s, subscriber_id, phone_hash, %(kind)s, %(source)s, occurred_at,
           evidence,
           (SELECT wording.id FROM subscribers_consentwording AS wording
            WHERE wording.brand_id = %(brand)s AND wording.valid_from <= occurred_at
            ORDER BY wording.valid_from DESC, wording.id DESC LIMIT 1)
    FROM {ROWS}
    ON CONFLICT DO NOTHING
    RETURNING subscriber_id"""

# Who is asked for a YES is not subscribed by what a list says of an earlier day.
UPSERT_SUBSCRIPTIONS = f"""
    INSERT INTO subscribers_subscription AS known
        (subscriber_id, brand_id, status, opted_in_at)
    SELECT DISTINCT ON (subscriber_id) subscriber_id, %(brand)s, 'opted_in', occurred_at
    FROM {ROWS}
    ORDER BY subscriber_id, occurred_at DESC
    ON CONFLICT (subscriber_id, brand_id) DO UPDATE
    SET status = 'opted_in', opted_in_at = EXCLUDED.opted_in_at, updated_at = now()
    WHERE (known.status <> 'opted_out'
           OR %(brings_back)s AND known.opted_out_at < EXCLUDED.opted_in_at)
      AND (known.status <> 'opted_in' OR known.opted_in_at < EXCLUDED.opted_in_at)
      AND (%(brings_back)s OR NOT EXISTS (SELECT FROM subscribers_optinrequest AS request
          WHERE request.subscriber_id = known.subscriber_id AND request.brand_id = known.brand_id
            AND request.requested_at >= EXCLUDED.opted_in_at))
    RETURNING subscriber_id"""

# Who left the whole workspace and returns to one brand has left the others still: that is written
# down as evidence too, so that no operator's undo can pass it by.
SPREAD_OLDER_SUPPRESSIONS = f"""
    WITH spread AS (
        SELECT DISTINCT lifted.workspace_id, other.id AS brand_id, lifted.phone_hash, lifted.phone,
               lifted.source, lifted.reason, lifted.created_at, given.subscriber_id
        FROM subscribers_suppression AS lifted
        JOIN {ROWS} ON given.phone_hash = lifted.phone_hash
        JOIN subscribers_brand AS other
            ON other.workspace_id = lifted.workspace_id AND other.id <> %(brand)s
        WHERE lifted.brand_id IS NULL AND lifted.source = ANY(%(liftable)s)
          AND lifted.created_at < given.occurred_at),
    told AS (
        INSERT INTO subscribers_consentevent
            (workspace_id, brand_id, subscriber_id, phone_hash, kind, source, occurred_at, evidence)
        SELECT workspace_id, brand_id, subscriber_id, phone_hash, 'opt_out', source, created_at,
               jsonb_build_object('part_of', 'an opt-out of the whole workspace')
        FROM spread
        ON CONFLICT DO NOTHING)
    INSERT INTO subscribers_suppression
        (workspace_id, brand_id, phone_hash, phone, source, reason, created_at)
    SELECT workspace_id, brand_id, phone_hash, phone, source, reason, created_at FROM spread
    ON CONFLICT DO NOTHING"""

LIFT_OLDER_SUPPRESSIONS = f"""
    DELETE FROM subscribers_suppression AS lifted USING {ROWS}
    WHERE lifted.phone_hash = given.phone_hash
      AND (lifted.brand_id = %(brand)s OR lifted.brand_id IS NULL)
      AND lifted.source = ANY(%(liftable)s) AND lifted.created_at < given.occurred_at"""

# A person is opted out as a whole while a suppression of the whole workspace stands.
ACTIVATE = """
    UPDATE subscribers_subscriber AS person SET status = 'ACTIVE'
    WHERE person.id = ANY(%(ids)s::bigint[]) AND person.status = 'OPTOUT'
      AND NOT EXISTS (SELECT FROM subscribers_suppression AS no
          WHERE no.phone_hash = person.phone_hash AND no.brand_id IS NULL)"""

NUMBERS = """unnest(%(phones)s::text[], %(hashes)s::bytea[], %(ids)s::bigint[],
    %(evidence)s::jsonb[]) AS given(phone, phone_hash, subscriber_id, evidence)"""

INSERT_OPT_OUTS = f"""
    INSERT INTO subscribers_consentevent
        (workspace_id, brand_id, subscriber_id, phone_hash, kind, source, occurred_at, evidence)
    SELECT %(workspace)s, %(brand)s, subscriber_id, phone_hash, 'opt_out', %(source)s, %(at)s,
           evidence
    FROM {NUMBERS}
    ON CONFLICT DO NOTHING"""

# The latest word counts: a repeated opt-out renews the date that a later opt-in must pass. What an
# operator or a provider said stays theirs, whoever spoke first.
UPSERT_SUPPRESSIONS = f"""
    INSERT INTO subscribers_suppression AS known
        (workspace_id, brand_id, phone_hash, phone, source, reason, created_at)
    SELECT %(workspace)s, %(brand)s, phone_hash, phone, %(source)s, %(reason)s, %(at)s
    FROM {NUMBERS} ORDER BY phone_hash
    ON CONFLICT (phone_hash, brand_id) DO UPDATE
    SET phone = EXCLUDED.phone, created_at = greatest(known.created_at, EXCLUDED.created_at),
        (source, reason) = (
            SELECT EXCLUDED.source, EXCLUDED.reason WHERE known.source = ANY(%(liftable)s)
            UNION ALL
            SELECT known.source, known.reason WHERE NOT known.source = ANY(%(liftable)s))"""
