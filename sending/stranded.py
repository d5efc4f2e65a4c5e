"""Texts that nothing can carry: they wait for a sender until they expire, and then say so.

Everything else that waits meets the gate, which lets it expire; without a sender that may be used
nothing is claimed, so nothing meets the gate.
"""

from django.db import connection

from sending import outcomes
from sending.models import State

NO_SENDER = "no_sender"  # none is in use
SENDERS_FAILING = "senders_failing"  # the circuit of each is open
ACCOUNT_CAP = "account_cap"  # what does not fail has used up its account's day


def expire_stranded(at_most: int = 1000) -> int:
    """End overdue texts of brands without a sender that may be used (the ticker's job).

    At most so many of each brand; answers how many there were.
    """
    with connection.cursor() as cursor:
        values = {
            "at_most": at_most,
            "none": NO_SENDER,
            "failing": SENDERS_FAILING,
            "cap": ACCOUNT_CAP,
        }
        cursor.execute(_STRANDED, values)
        found = cursor.fetchall()
    outcomes.end((pk, State.EXPIRED, reason) for pk, reason in found)
    return len(found)


# The day of an account is what `accounts.remember_use` last wrote.
_STRANDED = """
    WITH stuck AS (
        SELECT brand.id AS brand_id,
               CASE WHEN count(sender.id) = 0 THEN %(none)s
                    WHEN max(sender.share) = 0 THEN %(failing)s ELSE %(cap)s END AS reason
        FROM subscribers_brand AS brand
        LEFT JOIN sending_sender AS sender ON sender.brand_id = brand.id
            AND sender.status = 'active' AND sender.weight > 0
        LEFT JOIN sending_provideraccount AS account ON account.id = sender.account_id
        GROUP BY brand.id
        HAVING bool_or(sender.share > 0 AND (account.daily_cap IS NULL
            OR account.used_on IS DISTINCT FROM (now() AT TIME ZONE 'UTC')::date
            OR account.used < account.daily_cap)) IS NOT TRUE)
    SELECT text.id, stuck.reason
    FROM stuck
    CROSS JOIN LATERAL (
        SELECT queued.id FROM sending_queuedtext AS queued
        WHERE queued.brand_id = stuck.brand_id AND queued.due_at <= now()
        ORDER BY queued.lane, queued.due_at LIMIT %(at_most)s) AS due
    JOIN sending_sentlog AS text ON text.id = due.id AND text.expires_at <= now()"""
