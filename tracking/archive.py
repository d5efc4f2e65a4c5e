"""What `tracking` says when a month of texts and events is archived: may it go, and what is kept of it.

Reports count rows, and so do people's totals; both add what is kept here. Orders keep the shares that
they have: `attribution.py` works none out anew that names an archived text.
"""

import datetime as dt
from collections.abc import Iterator

from django.db import connection

from sending.identity import lower_bound
from sending.models import MAY_HAVE_ARRIVED, State
from tracking.attribution import FARTHEST_BACK
from tracking.models import Purchase


def reasons_to_keep(begin: dt.datetime, end: dt.datetime) -> Iterator[str]:
    """Why the month from `begin` to before `end` must stay, as ends of a sentence."""
    orders = Purchase.objects.filter(
        due_at__isnull=False, ordered_at__gte=begin, ordered_at__lt=end + FARTHEST_BACK
    )
    count = orders.count()
    if count:
        yield f"{count:,} orders may still be credited to its texts: is the ticker running?"


def keep(begin: dt.datetime, end: dt.datetime) -> None:
    """Keep the month's figures, in the transaction that drops it."""
    values = {
        "month": begin.date(),
        "first": lower_bound(begin),
        "end": lower_bound(end),
        "sent": [str(state) for state in MAY_HAVE_ARRIVED if state != State.SENDING],
    }
    with connection.cursor() as cursor:
        for statement in (_FIGURES, _DAYS, _CLICKS):
            cursor.execute(statement, values)


# Ids are compared with constants, on either side of a join: only this month is read.
_TEXTS = """
    sending_sentlog AS text
    WHERE text.id >= %(first)s AND text.id < %(end)s AND text.run_id IS NOT NULL"""
_CLICKED = """
    tracking_trackingevent AS event
    JOIN sending_sentlog AS text ON text.id = event.text_id
    WHERE event.id >= %(first)s AND event.id < %(end)s AND event.kind = 'click'
      AND text.id >= %(first)s AND text.id < %(end)s AND text.run_id IS NOT NULL"""
_SETS = "GROUP BY GROUPING SETS ((text.campaign_id, text.message_id), (text.campaign_id))"
_OF = "text.campaign_id, text.message_id, grouping(text.message_id) AS whole"

_FIGURES = f"""
    INSERT INTO tracking_keptfigures
        (month, campaign_id, message_id, sent, delivered, clicks, machine_clicks, replies, opt_outs)
    SELECT %(month)s, campaign_id, message_id, sum(sent), sum(delivered), sum(clicks),
           sum(machine_clicks), sum(replies), sum(opt_outs)
    FROM (
        SELECT {_OF}, count(*) FILTER (WHERE text.state = ANY(%(sent)s)) AS sent,
               count(*) FILTER (WHERE text.state = 'delivered') AS delivered,
               0 AS clicks, 0 AS machine_clicks, 0 AS replies, 0 AS opt_outs
        FROM {_TEXTS} {_SETS}
        UNION ALL
        SELECT {_OF}, 0, 0, count(DISTINCT event.subscriber_id) FILTER (WHERE event.name = 'click'),
               count(*) FILTER (WHERE event.name <> 'click'), 0, 0
        FROM {_CLICKED} {_SETS}
        UNION ALL
        SELECT text.campaign_id, text.message_id, 0, 0, 0, 0, 0, count(*),
               count(DISTINCT coalesce(reply.subscriber_id, -reply.id)) FILTER (
                   WHERE reply.meaning = 'opt_out' OR possible.status <> 'undone')
        FROM tracking_reply AS reply
        LEFT JOIN tracking_possibleoptout AS possible ON possible.reply_id = reply.id
        JOIN sending_sentlog AS text
            ON text.id = reply.text_id AND text.campaign_id = reply.campaign_id
        WHERE reply.text_id >= %(first)s AND reply.text_id < %(end)s
          AND text.id >= %(first)s AND text.id < %(end)s
        GROUP BY text.campaign_id, text.message_id) AS counted
    WHERE campaign_id IS NOT NULL AND (whole = 1 OR message_id IS NOT NULL)
    GROUP BY campaign_id, message_id, whole"""

_DAYS = f"""
    INSERT INTO tracking_keptday AS kept (campaign_id, day, sent, delivered, clicks)
    SELECT campaign_id, (at AT TIME ZONE 'UTC')::date, sum(sent), sum(delivered), sum(clicks)
    FROM (
        SELECT text.campaign_id, text.sent_at AS at, 1 AS sent, 0 AS delivered, 0 AS clicks
        FROM {_TEXTS} AND text.state = ANY(%(sent)s)
        UNION ALL
        SELECT text.campaign_id, text.changed_at, 0, 1, 0 FROM {_TEXTS} AND text.state = 'delivered'
        UNION ALL
        SELECT text.campaign_id, event.received_at, 0, 0, 1 FROM {_CLICKED} AND event.name = 'click')
        AS happened
    WHERE campaign_id IS NOT NULL AND at IS NOT NULL GROUP BY 1, 2
    ON CONFLICT (campaign_id, day) DO UPDATE SET sent = kept.sent + excluded.sent,
        delivered = kept.delivered + excluded.delivered, clicks = kept.clicks + excluded.clicks"""

_CLICKS = """
    INSERT INTO tracking_keptclicks AS kept (subscriber_id, clicks, first_at, last_at)
    SELECT event.subscriber_id, count(*), min(event.received_at), max(event.received_at)
    FROM tracking_trackingevent AS event
    JOIN subscribers_subscriber AS person
        ON person.id = event.subscriber_id AND person.erased_at IS NULL
    WHERE event.id >= %(first)s AND event.id < %(end)s AND event.kind = 'click'
      AND event.name = 'click' GROUP BY 1
    ON CONFLICT (subscriber_id) DO UPDATE SET clicks = kept.clicks + excluded.clicks,
        first_at = least(kept.first_at, excluded.first_at),
        last_at = greatest(kept.last_at, excluded.last_at)"""
