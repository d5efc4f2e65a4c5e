"""What a decision needs to know of many people: two queries, whatever their number."""

import datetime as dt
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, replace
from uuid import UUID

from django.db import connection

from campaigns.eligibility import DAY, WEEK, Facts
from campaigns.models import Campaign
from sending import arrays
from sending.identity import lower_bound
from sending.models import MAY_HAVE_ARRIVED
from subscribers.models import Brand

# A text may be sent this long after its id's time: how long it may wait, and a day to be safe.
LONGEST_WAIT = dt.timedelta(hours=48)


@dataclass(frozen=True, slots=True)
class Person:
    """A subscriber as the planner and the gate see one."""

    subscriber_id: int
    phone: str
    fields: dict[str, str]  # what a message may mention
    facts: Facts  # without the campaign's texts: see `for_campaign`
    by_campaign: dict[int, list[dt.datetime]]

    def for_campaign(self, campaign_id: int | None) -> Facts:
        """The facts with this campaign's texts of the last 7 days."""
        sent = self.by_campaign.get(campaign_id) if campaign_id else None
        return replace(self.facts, campaign_sent=sent) if sent else self.facts

    def count(self, campaign_id: int | None, moment: dt.datetime) -> None:
        """Note a text that is about to depart, so that the next decision counts it."""
        self.facts.brand_sent.append(moment)  # type: ignore[attr-defined]
        if campaign_id:
            self.by_campaign.setdefault(campaign_id, []).append(moment)


def gather(
    brand: Brand,
    subscriber_ids: Collection[int],
    *,
    now: dt.datetime,
    campaigns: Collection[Campaign] = (),
) -> dict[int, Person]:
    """Everybody's facts by subscriber id, with what they had of these campaigns in the last 7 days.

    `now`: the database's clock; facts tell the brand's.
    """
    ids = arrays.literal(sorted(set(subscriber_ids)))
    sent = _sent(brand, ids, campaigns, now)
    with connection.cursor() as cursor:
        cursor.execute(_PEOPLE, [brand.name, brand.pk, brand.pk, ids])
        rows = cursor.fetchall()
    return {row[0]: _person(row, sent.get(row[0], ()), brand) for row in rows}


def _person(row: tuple, sent: Collection[tuple[int | None, dt.datetime]], brand: Brand) -> Person:
    (pk, phone, kind, zones, jurisdictions, engaged, status, opted_in_at, suppressed) = row[:9]
    brand_sent: list[dt.datetime] = []
    by_campaign: dict[int, list[dt.datetime]] = {}
    for campaign_id, moment in sent:
        of = by_campaign.setdefault(campaign_id, []) if campaign_id else brand_sent
        of.append(moment + brand.clock_shift)
    facts = Facts(
        subscription=status,
        has_evidence=opted_in_at is not None,
        suppressed=suppressed,
        number_kind=kind,
        zones=tuple(zones),
        jurisdictions=tuple(jurisdictions),
        last_engagement=engaged,
        brand_sent=brand_sent,
    )
    fields = {"first_name": row[9], "last_name": row[10], "name": row[11], "brand": row[12]}
    return Person(pk, phone, fields, facts, by_campaign)


def _sent(
    brand: Brand, ids: str, campaigns: Collection[Campaign], now: dt.datetime
) -> dict[int, list[tuple[int | None, dt.datetime]]]:
    """By subscriber: (None, instant) of the brand's last day, (campaign, instant) of its last week."""
    values = {
        "ids": ids,
        "brand": brand.pk,
        "day": now - DAY,
        "day_ids": lower_bound(now - DAY - LONGEST_WAIT),
        "campaigns": [campaign.pk for campaign in campaigns],
        "week": now - WEEK,
        "week_ids": _since(campaigns, now),
        "states": [str(state) for state in MAY_HAVE_ARRIVED],
    }
    found: dict[int, list[tuple[int | None, dt.datetime]]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(
            f"{_DAY} UNION ALL {_WEEK} ORDER BY 3" if campaigns else f"{_DAY} ORDER BY 3", values
        )
        for subscriber_id, campaign_id, moment in cursor.fetchall():
            found[subscriber_id].append((campaign_id, moment))
    return found


def _since(campaigns: Collection[Campaign], now: dt.datetime) -> UUID:
    """The least id that a text of these campaigns may have and count: none is older than its launch.

    So a broadcast, which nobody has had before, reads nobody's week.
    """
    week = now - WEEK - LONGEST_WAIT
    launches = [campaign.launched_at or week for campaign in campaigns]
    return lower_bound(max(week, min(launches, default=week)))


_PEOPLE = """
    SELECT person.id, person.phone, person.number_kind, person.zones, person.jurisdictions,
        person.last_engagement, subscription.status, subscription.opted_in_at,
        EXISTS (SELECT FROM subscribers_suppression AS no WHERE no.phone_hash = person.phone_hash
                AND (no.brand_id IS NULL OR no.brand_id = brand.id)),
        person.first_name, person.last_name, person.name, brand.name
    FROM subscribers_subscriber AS person
    CROSS JOIN (SELECT %s::text AS name, %s::bigint AS id) AS brand
    LEFT JOIN subscribers_subscription AS subscription
        ON subscription.subscriber_id = person.id AND subscription.brand_id = %s
    WHERE person.id = ANY(%s::bigint[])"""

# Sandbox, confirmation and other answers are outside the caps: only campaign texts count.
_DAY = """
    SELECT subscriber_id, NULL::bigint, sent_at FROM sending_sentlog
    WHERE subscriber_id = ANY(%(ids)s::bigint[]) AND id >= %(day_ids)s AND brand_id = %(brand)s
      AND sent_at > %(day)s AND state = ANY(%(states)s) AND purpose = 'campaign'"""
_WEEK = """
    SELECT subscriber_id, campaign_id, sent_at FROM sending_sentlog
    WHERE subscriber_id = ANY(%(ids)s::bigint[]) AND id >= %(week_ids)s AND brand_id = %(brand)s
      AND campaign_id = ANY(%(campaigns)s) AND sent_at > %(week)s AND state = ANY(%(states)s)
      AND purpose = 'campaign'"""
