"""Which texts led to a purchase, and what part of its revenue is each one's.

A text touches a person by a click, or by being delivered; it counts for an order that comes within
the brand's window after it. The rows are worked out anew, all of a batch by one statement, whenever
they may have changed: an order is due when it comes, after a refund, when something was recorded of
its person, and at set ages, by which late receipts and status calls are in.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

from django.db import connection, transaction

from sending.archive_models import kept_since
from sending.identity import lower_bound
from subscribers.models import Brand
from tracking.purchase_models import (
    CLICK_WINDOW,
    CURRENCY,
    DELIVERY_WINDOW,
    LONGEST_WINDOW,
    AttributionRules,
    Purchase,
)

BATCH = 1000
MOST_BATCHES = 20  # of one tick
# What was being recorded while an order came is committed by the first; by the second every text
# whose fate was unknown is closed (72 hours).
LOOK_AGAIN = (dt.timedelta(minutes=15), dt.timedelta(days=4))
SETTLED_AFTER = LOOK_AGAIN[-1]
# A text's id is as old as its run, which may have been paused for long.
FARTHEST_BACK = LONGEST_WINDOW + dt.timedelta(days=30)
DEFAULTS = {
    "click_window": CLICK_WINDOW,
    "delivery_window": DELIVERY_WINDOW,
    "back": FARTHEST_BACK,
}


def attribute_due() -> int:
    """Credit the purchases that are due (the ticker's job); answers how many."""
    done = 0
    for _ in range(MOST_BATCHES):
        found = _attribute_some()
        done += found
        if found < BATCH:
            break
    return done


@transaction.atomic
def _attribute_some() -> int:
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, [BATCH])
        ids = [row[0] for row in cursor.fetchall()]
        if not ids:
            return 0
        archived = _divide_archived(cursor, ids)
        fresh = [pk for pk in ids if pk not in archived]
        cursor.execute("DELETE FROM tracking_attribution WHERE purchase_id = ANY(%s)", [fresh])
        cursor.execute(
            "INSERT INTO tracking_attribution (purchase_id, brand_id, text_id, campaign_id,"
            f" message_id, touch, touched_at, amount) {shares('purchase.id = ANY(%(ids)s)')}",
            DEFAULTS | {"ids": fresh},
        )
        cursor.execute(_SETTLE, {"ids": ids, "soon": LOOK_AGAIN[0], "last": LOOK_AGAIN[1]})
    return len(ids)


def _divide_archived(cursor: Any, ids: Sequence[int]) -> set[int]:
    """Divide orders anew among the texts that they are credited to, where one of these is archived:
    its rows are gone, and what was found by them stands. Answers which orders these are."""
    since = kept_since()
    if since is None:
        return set()
    cursor.execute(_DIVIDE, {"ids": list(ids), "first": lower_bound(since)})
    return {row[0] for row in cursor.fetchall()}


def shares(condition: str) -> str:
    """The statement that works out the shares of those purchases (alias `purchase`) that meet a
    condition. Columns: purchase, brand, text, campaign, message, touch, its time, amount."""
    return _SHARES.format(condition=condition)


def begin_again(brand: Brand, *, now: dt.datetime) -> int:
    """Credit all purchases of a brand again, after its rules changed; answers how many are due."""
    return Purchase.objects.filter(brand=brand).update(due_at=now)


def currency_of(brand: Brand) -> str:
    """The currency of the brand's orders, such as USD."""
    rules = AttributionRules.objects.filter(brand=brand).values_list("currency", flat=True)
    return rules.first() or CURRENCY


# Equal shares: one text's is the whole, and several are there only where all of them share.
_DIVIDE = """
    WITH old AS (
        SELECT DISTINCT purchase_id FROM tracking_attribution
        WHERE purchase_id = ANY(%(ids)s) AND text_id < %(first)s),
    ranked AS (
        SELECT share.id, (purchase.amount - purchase.refunded) * 100 AS cents,
               count(*) OVER (PARTITION BY share.purchase_id) AS among,
               row_number() OVER (PARTITION BY share.purchase_id
                                  ORDER BY share.touched_at DESC, share.text_id DESC) AS latest
        FROM tracking_attribution AS share
        JOIN old ON old.purchase_id = share.purchase_id
        JOIN tracking_purchase AS purchase ON purchase.id = share.purchase_id),
    divided AS (
        UPDATE tracking_attribution AS share
        SET amount = (div(ranked.cents, ranked.among)
                      + CASE WHEN ranked.latest <= mod(ranked.cents, ranked.among)
                             THEN 1 ELSE 0 END) / 100
        FROM ranked WHERE ranked.id = share.id)
    SELECT purchase_id FROM old"""

# Refunds lock purchases too, in the order of their ids.
_TAKE = """
    SELECT id FROM tracking_purchase
    WHERE due_at <= clock_timestamp() ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED"""

_SETTLE = """
    UPDATE tracking_purchase SET due_at = CASE
        WHEN received_at + %(soon)s > clock_timestamp() THEN received_at + %(soon)s
        WHEN received_at + %(last)s > clock_timestamp() THEN received_at + %(last)s END
    WHERE id = ANY(%(ids)s)"""

# A click that led to the order was a person's, whatever it was taken for. A receipt that came after
# the order says that the text had arrived, not when: then the time that it was sent at counts.
# Shares are whole cents; what is left over goes to the latest texts, a cent each.
_SHARES = """
    WITH due AS MATERIALIZED (
        SELECT purchase.id, purchase.brand_id, purchase.subscriber_id, purchase.ordered_at,
               purchase.click_text_id, purchase.keyword,
               purchase.amount - purchase.refunded AS net,
               purchase.ordered_at - coalesce(rules.click_window, %(click_window)s) AS clicked_from,
               purchase.ordered_at - coalesce(rules.delivery_window, %(delivery_window)s)
                   AS delivered_from,
               (lpad(to_hex((extract(epoch FROM purchase.ordered_at - %(back)s) * 1000)::bigint),
                     12, '0') || repeat('0', 20))::uuid AS first_text,
               coalesce(rules.model, 'last_touch') AS model
        FROM tracking_purchase AS purchase
        LEFT JOIN tracking_attributionrules AS rules ON rules.brand_id = purchase.brand_id
        WHERE {condition}),
    touches AS (
        SELECT due.id, text.id AS text_id, text.campaign_id, text.message_id,
               event.received_at AS at, true AS clicked
        FROM due
        JOIN tracking_trackingevent AS event
            ON event.subscriber_id = due.subscriber_id AND event.kind = 'click'
            AND event.brand_id = due.brand_id
        JOIN sending_sentlog AS text ON text.id = event.text_id AND text.purpose = 'campaign'
        WHERE event.received_at BETWEEN due.clicked_from AND due.ordered_at
          AND (event.name = 'click' OR event.text_id = due.click_text_id)
        UNION ALL
        SELECT due.id, text.id, text.campaign_id, text.message_id, arrived.at, false
        FROM due
        JOIN sending_sentlog AS text
            ON text.subscriber_id = due.subscriber_id AND text.id >= due.first_text
            AND text.brand_id = due.brand_id AND text.purpose = 'campaign'
            AND text.state = 'delivered' AND text.sent_at <= due.ordered_at
        CROSS JOIN LATERAL (
            SELECT CASE WHEN text.changed_at <= due.ordered_at
                        THEN text.changed_at ELSE text.sent_at END AS at) AS arrived
        WHERE arrived.at >= due.delivered_from),
    texts AS (
        SELECT id, text_id, campaign_id, message_id, bool_or(clicked) AS clicked,
               min(at) AS first_at, max(at) AS last_at
        FROM touches GROUP BY id, text_id, campaign_id, message_id),
    ranked AS (
        SELECT texts.*, count(*) OVER (PARTITION BY id) AS among,
               row_number() OVER (PARTITION BY id ORDER BY last_at DESC, text_id DESC) AS latest,
               row_number() OVER (PARTITION BY id ORDER BY first_at, text_id) AS earliest
        FROM texts)
    SELECT due.id, due.brand_id, ranked.text_id, ranked.campaign_id, ranked.message_id,
           CASE WHEN ranked.clicked THEN 'click' ELSE 'delivery' END,
           CASE WHEN due.model = 'first_touch' THEN ranked.first_at ELSE ranked.last_at END,
           CASE WHEN due.model <> 'linear' THEN due.net ELSE
               (div(due.net * 100, ranked.among)
                + CASE WHEN ranked.latest <= mod(due.net * 100, ranked.among) THEN 1 ELSE 0 END)
               / 100 END
    FROM due JOIN ranked ON ranked.id = due.id
    WHERE due.model = 'linear' OR (due.model = 'first_touch' AND ranked.earliest = 1)
       OR (due.model = 'last_touch' AND ranked.latest = 1)
    UNION ALL
    SELECT due.id, due.brand_id, NULL, named.id, NULL, 'keyword', NULL, due.net
    FROM due CROSS JOIN LATERAL (
        SELECT campaign.id FROM campaigns_campaign AS campaign
        WHERE campaign.brand_id = due.brand_id AND campaign.launched_at <= due.ordered_at
          AND lower(campaign.utm_campaign) = lower(due.keyword)
        ORDER BY campaign.launched_at DESC, campaign.id DESC LIMIT 1) AS named
    WHERE due.subscriber_id IS NULL AND due.keyword <> ''"""
