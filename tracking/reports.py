"""What became of a campaign or a brand: texts, clicks, replies, orders and what they are worth.

Everything is counted from rows, and added to what is kept of archived months (`archive.py`). A run's
texts and what is recorded of them are one range of ids, so a report costs what was sent, not what
there is. Of an archived month there are days, no minutes; a person who clicked counts once in it. Days and minutes are UTC; revenue is less refunds.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import Q

from campaigns.models import Campaign, Message, Run
from sending import arrays
from sending.identity import lower_bound
from sending.models import MAY_HAVE_ARRIVED, State
from sending.parking import MILLISECOND_IDS
from subscribers.models import Brand
from tracking.kept_models import KeptFigures

LONGEST_BY_MINUTE = dt.timedelta(days=1)
LONGEST_BY_DAY = dt.timedelta(days=366)
LONGEST_BRAND_DAYS = 92
# In a brand's report, clicks count on texts of runs that ended up to so long before.
CLICKED_WITHIN = dt.timedelta(days=30)
MOST_CAMPAIGNS = 100  # that a brand's report lists
DAY, MINUTE = "day", "minute"


@dataclass(slots=True)
class Figures:
    """What became of some texts. `clicks`: different people who followed a link."""

    sent: int = 0
    delivered: int = 0
    clicks: int = 0
    machine_clicks: int = 0  # visits by previews and scanners, which are not in `clicks`
    replies: int = 0
    opt_outs: int = 0  # people, who are among the replies too
    purchases: int = 0
    revenue: Decimal = Decimal(0)


@dataclass(slots=True)
class Moment:
    """A minute or a day, by when each thing happened. `clicks` are people's visits."""

    at: dt.datetime
    sent: int
    delivered: int
    clicks: int
    purchases: int
    revenue: Decimal


@dataclass(slots=True)
class CampaignReport:
    """Of the whole, and of each message in their order."""

    totals: Figures
    messages: list[tuple[Message, Figures]]


@dataclass(frozen=True, slots=True)
class Credited:
    """Orders that are credited to a campaign, or to the campaigns of a segment."""

    id: int | None
    name: str
    purchases: int
    revenue: Decimal


@dataclass(slots=True)
class BrandReport:
    """`orders` and `revenue` are all the brand's; `moments` and the lists what texts are credited with."""

    orders: int
    revenue: Decimal
    moments: list[Moment]
    campaigns: list[Credited] = field(default_factory=list)
    segments: list[Credited] = field(default_factory=list)


def of_campaign(campaign: Campaign) -> CampaignReport:
    """The figures of a campaign and of each of its messages. A person counts once in either."""
    values = _spans(campaign.runs.all()) | {"campaign": campaign.pk}
    totals = Figures()
    listed = list(campaign.messages.order_by("pk"))
    messages = {message.pk: Figures() for message in listed}
    with connection.cursor() as cursor:
        for statement, names in _FIGURES.items():
            cursor.execute(statement, values)
            for whole, message_id, *counted in cursor.fetchall():
                figures = totals if whole else messages.get(message_id)
                for name, value in zip(names, counted, strict=True):
                    if figures:
                        setattr(figures, name, value)
    for kept in KeptFigures.objects.filter(campaign=campaign):
        figures = messages.get(kept.message_id) if kept.message_id else totals
        if figures:
            _add(figures, kept)
    return CampaignReport(totals, [(one, messages[one.pk]) for one in listed])


def _add(figures: Figures, kept: KeptFigures) -> None:
    for name in ("sent", "delivered", "clicks", "machine_clicks", "replies", "opt_outs"):
        setattr(figures, name, getattr(figures, name) + getattr(kept, name))


def of_brand(brand: Brand, first: dt.date, last: dt.date) -> BrandReport:
    """The brand's days from `first` to `last`, both included, in UTC."""
    begin, end = _midnight(first), _midnight(last + dt.timedelta(days=1))
    alive = Q(finished_at=None) | Q(finished_at__gte=begin - CLICKED_WITHIN)
    runs = Run.objects.filter(alive, brand=brand, started_at__lt=end)
    window = {"brand": brand.pk, "begin": begin, "end": end, "most": MOST_CAMPAIGNS}
    with connection.cursor() as cursor:
        cursor.execute(_ORDERS, window)
        orders, revenue = cursor.fetchone()
        cursor.execute(_BY_CAMPAIGN, window)
        campaigns = [Credited(*row) for row in cursor.fetchall()]
        cursor.execute(_BY_SEGMENT, window)
        segments = [Credited(*row) for row in cursor.fetchall()]
    series = _series(_spans(runs) | window | {"campaign": None, "unit": DAY})
    return BrandReport(orders, revenue, series, campaigns, segments)


def moments_of_campaign(
    campaign: Campaign, unit: str, begin: dt.datetime, end: dt.datetime
) -> list[Moment]:
    """A campaign's minutes or days with anything in them, from `begin` to before `end`."""
    values = {"brand": campaign.brand_id, "campaign": campaign.pk, "unit": unit}
    return _series(_spans(campaign.runs.all()) | values | {"begin": begin, "end": end})


def _series(values: dict[str, Any]) -> list[Moment]:
    with connection.cursor() as cursor:
        cursor.execute(_SERIES, values)
        return [Moment(*row) for row in cursor.fetchall()]


def total(moments: Iterable[Moment]) -> dict[str, Any]:
    """The sums of a series."""
    listed = list(moments)
    names = [one.name for one in fields(Moment) if one.name != "at"]
    return {name: sum(getattr(one, name) for one in listed) for name in names}


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), dt.UTC)


def _spans(runs: Any) -> dict[str, Any]:
    """Each run's range of ids, and the states of a text that was sent."""
    listed: Sequence[tuple[int, dt.datetime]] = list(runs.values_list("pk", "started_at"))
    bounds = [lower_bound(started) for _, started in listed]
    return {
        "runs": arrays.literal(pk for pk, _ in listed),
        "firsts": arrays.ids(bounds),
        "finals": arrays.ids(type(one)(int=one.int + MILLISECOND_IDS) for one in bounds),
        "sent": [str(state) for state in MAY_HAVE_ARRIVED if state != State.SENDING],
    }


_SPANS = (
    "unnest(%(runs)s::bigint[], %(firsts)s::uuid[], %(finals)s::uuid[]) AS span(run, first, final)"
)
_TEXTS = f"""
    {_SPANS} CROSS JOIN LATERAL (
        SELECT id, message_id, state, sent_at, changed_at FROM sending_sentlog
        WHERE id >= span.first AND id < span.final AND run_id = span.run) AS text"""
_CLICKS = f"""
    {_SPANS} CROSS JOIN LATERAL (
        SELECT text_id, name, subscriber_id, received_at FROM tracking_trackingevent
        WHERE id >= span.first AND id < span.final AND kind = 'click') AS event
    JOIN sending_sentlog AS text ON text.id = event.text_id AND text.run_id = span.run"""
_BY_MESSAGE = "GROUP BY GROUPING SETS ((text.message_id), ())"

# Each answers, for the whole and for each message: 1 or 0, the message, and the named figures.
_FIGURES: dict[str, tuple[str, ...]] = {
    f"""
    SELECT grouping(text.message_id), text.message_id,
           count(*) FILTER (WHERE text.state = ANY(%(sent)s)),
           count(*) FILTER (WHERE text.state = 'delivered')
    FROM {_TEXTS} {_BY_MESSAGE}""": ("sent", "delivered"),
    f"""
    SELECT grouping(text.message_id), text.message_id,
           count(DISTINCT event.subscriber_id) FILTER (WHERE event.name = 'click'),
           count(*) FILTER (WHERE event.name <> 'click')
    FROM {_CLICKS} {_BY_MESSAGE}""": ("clicks", "machine_clicks"),
    f"""
    SELECT grouping(text.message_id), text.message_id, count(*),
           count(DISTINCT coalesce(reply.subscriber_id, -reply.id)) FILTER (
               WHERE reply.meaning = 'opt_out' OR possible.status <> 'undone')
    FROM tracking_reply AS reply
    LEFT JOIN tracking_possibleoptout AS possible ON possible.reply_id = reply.id
    LEFT JOIN sending_sentlog AS text ON text.id = reply.text_id
    WHERE reply.campaign_id = %(campaign)s {_BY_MESSAGE}""": ("replies", "opt_outs"),
    f"""
    SELECT grouping(text.message_id), text.message_id, count(DISTINCT text.purchase_id),
           coalesce(sum(text.amount), 0)
    FROM tracking_attribution AS text
    WHERE text.campaign_id = %(campaign)s {_BY_MESSAGE}""": ("purchases", "revenue"),
}

_SERIES = f"""
    SELECT date_trunc(%(unit)s, at, 'UTC') AS moment, sum(sent), sum(delivered), sum(clicks),
           count(DISTINCT purchase_id), sum(revenue)
    FROM (
        SELECT text.sent_at AS at, 1 AS sent, 0 AS delivered, 0 AS clicks,
               NULL::bigint AS purchase_id, 0.00 AS revenue
        FROM {_TEXTS} WHERE text.state = ANY(%(sent)s)
        UNION ALL
        SELECT text.changed_at, 0, 1, 0, NULL, 0 FROM {_TEXTS} WHERE text.state = 'delivered'
        UNION ALL
        SELECT event.received_at, 0, 0, 1, NULL, 0 FROM {_CLICKS} WHERE event.name = 'click'
        UNION ALL
        SELECT kept.day::timestamp AT TIME ZONE 'UTC', kept.sent, kept.delivered, kept.clicks, NULL, 0
        FROM tracking_keptday AS kept JOIN campaigns_campaign AS campaign
            ON campaign.id = kept.campaign_id AND campaign.brand_id = %(brand)s
        WHERE %(unit)s = 'day'
          AND (%(campaign)s::bigint IS NULL OR kept.campaign_id = %(campaign)s)
          AND kept.day >= (%(begin)s AT TIME ZONE 'UTC')::date
        UNION ALL
        SELECT purchase.ordered_at, 0, 0, 0, purchase.id, share.amount
        FROM tracking_purchase AS purchase
        JOIN tracking_attribution AS share ON share.purchase_id = purchase.id
        WHERE purchase.brand_id = %(brand)s AND purchase.ordered_at >= %(begin)s
          AND purchase.ordered_at < %(end)s
          AND (%(campaign)s::bigint IS NULL OR share.campaign_id = %(campaign)s)) AS happened
    WHERE at >= %(begin)s AND at < %(end)s
    GROUP BY moment ORDER BY moment"""

_ORDERS = """
    SELECT count(*), coalesce(sum(amount - refunded), 0) FROM tracking_purchase
    WHERE brand_id = %(brand)s AND ordered_at >= %(begin)s AND ordered_at < %(end)s"""
_CREDITED = """
    FROM tracking_purchase AS purchase
    JOIN tracking_attribution AS share ON share.purchase_id = purchase.id
    JOIN campaigns_campaign AS campaign ON campaign.id = share.campaign_id
    LEFT JOIN subscribers_segment AS segment ON segment.id = campaign.segment_id
    WHERE purchase.brand_id = %(brand)s AND purchase.ordered_at >= %(begin)s
      AND purchase.ordered_at < %(end)s"""
_BY_CAMPAIGN = f"""
    SELECT campaign.id, campaign.name, count(DISTINCT purchase.id), sum(share.amount) AS revenue
    {_CREDITED} GROUP BY campaign.id ORDER BY revenue DESC, campaign.id LIMIT %(most)s"""
_BY_SEGMENT = f"""
    SELECT segment.id, coalesce(segment.name, 'Everybody'), count(DISTINCT purchase.id),
           sum(share.amount) AS revenue
    {_CREDITED} GROUP BY segment.id ORDER BY revenue DESC, segment.id LIMIT %(most)s"""
