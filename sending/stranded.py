"""Texts that nothing can carry: they wait for a sender until they expire, and then say so.

Everything else that waits meets the gate, which lets it expire; without an active sender nothing is
claimed, so nothing meets the gate.
"""

from django.db import connection

from sending import outcomes
from sending.models import State

REASON = "no_sender"


def expire_stranded(at_most: int = 1000) -> int:
    """End overdue texts of brands without an active sender (the ticker's job); answers how many."""
    with connection.cursor() as cursor:
        cursor.execute(_STRANDED, [at_most])
        ids = [row[0] for row in cursor.fetchall()]
    outcomes.end((pk, State.EXPIRED, REASON) for pk in ids)
    return len(ids)


_STRANDED = """
    SELECT text.id
    FROM (SELECT DISTINCT brand_id FROM sending_queuedtext) AS waiting
    CROSS JOIN LATERAL (
        SELECT queued.id FROM sending_queuedtext AS queued
        WHERE queued.brand_id = waiting.brand_id AND queued.due_at <= now()
        ORDER BY queued.lane, queued.due_at LIMIT %s) AS due
    JOIN sending_sentlog AS text ON text.id = due.id AND text.expires_at <= now()
    WHERE NOT EXISTS (SELECT FROM sending_sender AS sender
                      WHERE sender.brand_id = waiting.brand_id AND sender.status = 'active'
                        AND sender.weight > 0)"""
