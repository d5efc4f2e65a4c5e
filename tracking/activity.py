"""Counting what people did: of those of whom something was recorded, all of it anew, from the rows.

Whatever records a click, a reply or a purchase adds the person to a list in the same transaction.
Taking people off the list comes first and counting them second, so nothing is missed; and because
they are counted and not added to, nothing counts twice. What a machine clicked does not count.
"""

from collections.abc import Sequence

from django.db import connection, transaction

from subscribers import activity, clock, consent
from subscribers.activity import Activity
from tracking.attribution import SETTLED_AFTER

BATCH = 1000
MOST_BATCHES = 20  # of one tick


def count_touched() -> int:
    """Count the activity of people on the list (the ticker's job); answers how many people."""
    people = 0
    for _ in range(MOST_BATCHES):
        taken, counted = _count_some()
        people += counted
        if taken < BATCH:
            break
    return people


@transaction.atomic
def _count_some() -> tuple[int, int]:
    """(places of the list that were taken, people that they were of)."""
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, [BATCH])
        taken = [row[0] for row in cursor.fetchall()]
        people = sorted(set(taken))
        if not people:
            return 0, 0
        consent.lock_people(people)
        cursor.execute(_COUNT, {"people": people})
        counted = [Activity(*row) for row in cursor.fetchall()]
        activity.record(counted, now=clock.now())
        _remember(cursor, counted)
        cursor.execute(_DUE, {"people": people, "recent": SETTLED_AFTER})
    return len(taken), len(people)


def _remember(cursor: object, counted: Sequence[Activity]) -> None:
    cursor.execute(  # type: ignore[attr-defined]
        _REMEMBER,
        [
            [one.id for one in counted],
            [one.clicks for one in counted],
            [one.purchases for one in counted],
            [one.revenue for one in counted],
        ],
    )


_TAKE = """
    DELETE FROM tracking_touchedperson WHERE id IN (
        SELECT id FROM tracking_touchedperson ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED)
    RETURNING subscriber_id"""

# An opt-out is no engagement, in whatever words.
_COUNT = """
    SELECT touched.id, clicked.total + coalesce(archived.clicks, 0),
           least(clicked.first, archived.first_at), bought.total, bought.revenue, bought.first,
           bought.last, greatest(clicked.last, archived.last_at, bought.last, replied.last),
           before.clicks, before.purchases, before.revenue
    FROM unnest(%(people)s::bigint[]) AS touched(id)
    LEFT JOIN tracking_countedperson AS before ON before.subscriber_id = touched.id
    LEFT JOIN tracking_keptclicks AS archived ON archived.subscriber_id = touched.id
    CROSS JOIN LATERAL (
        SELECT count(*) AS total, min(received_at) AS first, max(received_at) AS last
        FROM tracking_trackingevent
        WHERE subscriber_id = touched.id AND kind = 'click' AND name = 'click') AS clicked
    CROSS JOIN LATERAL (
        SELECT count(*) AS total, coalesce(sum(amount - refunded), 0) AS revenue,
               min(ordered_at) AS first, max(ordered_at) AS last
        FROM tracking_purchase WHERE subscriber_id = touched.id) AS bought
    CROSS JOIN LATERAL (
        SELECT max(received_at) AS last FROM tracking_reply AS reply
        WHERE reply.subscriber_id = touched.id AND reply.meaning <> 'opt_out'
          AND NOT EXISTS (SELECT FROM tracking_possibleoptout AS possible
              WHERE possible.reply_id = reply.id AND possible.status <> 'undone')) AS replied
    JOIN subscribers_subscriber AS person ON person.id = touched.id AND person.erased_at IS NULL"""

_REMEMBER = """
    INSERT INTO tracking_countedperson (subscriber_id, clicks, purchases, revenue)
    SELECT * FROM unnest(%s::bigint[], %s::integer[], %s::integer[], %s::numeric[])
    ON CONFLICT (subscriber_id) DO UPDATE SET clicks = excluded.clicks,
        purchases = excluded.purchases, revenue = excluded.revenue"""

# What was recorded may be a touch of an order that came meanwhile.
_DUE = """
    UPDATE tracking_purchase SET due_at = clock_timestamp()
    WHERE id IN (
        SELECT id FROM tracking_purchase
        WHERE subscriber_id = ANY(%(people)s) AND received_at > clock_timestamp() - %(recent)s
        ORDER BY id FOR UPDATE)"""
