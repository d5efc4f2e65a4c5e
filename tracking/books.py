"""Do the orders balance? Refunds against orders, and what is credited to texts against both.

Orders that are due, or whose person is about to be counted, are left out: their shares are on their
way. Every statement is one look.
"""

import datetime as dt

from django.db import connection, transaction

from sending.books import Scope
from sending.differences import counted, sentence
from tracking import attribution

LATELY = dt.timedelta(days=31)  # of shares that are worked out again: older texts may be archived


def differences(scope: Scope) -> list[str]:
    """What differs, as sentences, of the scope's brand or of all; `since` is the order's time."""
    settled = scope.values | attribution.DEFAULTS | {"lately": LATELY}
    found: list[str] = []
    with transaction.atomic(), connection.cursor() as cursor:
        for says, statement in _CHECKS.items():
            cursor.execute(counted(statement), settled)
            found += sentence(says, cursor.fetchall())
    return found


_OF_SCOPE = """
    (%(brand)s::bigint IS NULL OR purchase.brand_id = %(brand)s) AND purchase.ordered_at >= %(since)s"""
_SETTLED = f"""
    {_OF_SCOPE} AND (purchase.due_at IS NULL OR purchase.due_at > clock_timestamp())
    AND NOT EXISTS (SELECT FROM tracking_touchedperson AS touched
        WHERE touched.subscriber_id = purchase.subscriber_id)"""
# Nothing more is awaited of these.
_FINAL = f"""{_SETTLED} AND purchase.due_at IS NULL
    AND purchase.ordered_at > clock_timestamp() - %(lately)s::interval"""

# What is wrong -> a statement that finds the ids of such rows.
_CHECKS: dict[str, str] = {
    "orders have another sum of refunds than their refunds": f"""
        SELECT purchase.id FROM tracking_purchase AS purchase
        LEFT JOIN (SELECT purchase_id, sum(amount) AS amount FROM tracking_refund
                   GROUP BY purchase_id) AS back ON back.purchase_id = purchase.id
        WHERE {_OF_SCOPE} AND purchase.refunded <> coalesce(back.amount, 0)""",
    "orders are credited to texts with more or less than their amount": f"""
        SELECT purchase.id FROM tracking_purchase AS purchase
        JOIN (SELECT purchase_id, sum(amount) AS amount FROM tracking_attribution
              GROUP BY purchase_id) AS credited ON credited.purchase_id = purchase.id
        WHERE {_SETTLED} AND credited.amount <> purchase.amount - purchase.refunded""",
    "orders are credited to texts or campaigns of another brand": """
        SELECT purchase.id FROM tracking_attribution AS share
        JOIN tracking_purchase AS purchase ON purchase.id = share.purchase_id
        JOIN campaigns_campaign AS campaign ON campaign.id = share.campaign_id
        WHERE (share.brand_id, campaign.brand_id) <> (purchase.brand_id, purchase.brand_id)""",
    "orders would be credited to other texts today": f"""
        SELECT DISTINCT coalesce(fresh.id, kept.purchase_id) AS id
        FROM ({attribution.shares(_FINAL)})
            AS fresh(id, brand_id, text_id, campaign_id, message_id, touch, touched_at, amount)
        FULL JOIN (
            SELECT share.* FROM tracking_attribution AS share
            JOIN tracking_purchase AS purchase ON purchase.id = share.purchase_id
            WHERE {_FINAL}) AS kept
            ON kept.purchase_id = fresh.id
            AND coalesce(kept.text_id, %(first)s) = coalesce(fresh.text_id, %(first)s)
        WHERE (kept.campaign_id, kept.amount) IS DISTINCT FROM (fresh.campaign_id, fresh.amount)""",
}
