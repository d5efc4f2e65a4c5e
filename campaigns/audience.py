"""Whom a campaign is for: its segment less its exclusions, as one filter over the brand's people."""

import datetime as dt
from collections.abc import Collection, Iterable

import structlog
from django.db import connection

from campaigns.models import Campaign
from subscribers import segments
from subscribers.models import Brand
from subscribers.segments import people
from subscribers.segments.sql import Condition
from subscribers.segments.tree import All, AnyOf, ListRule, Node, Not, SegmentRule

log = structlog.get_logger("carillon.audience")

MOST_EXCLUSIONS = 20


def filters(campaign_ids: Iterable[int]) -> dict[int, Node]:
    """The filters of these campaigns, by id; none for a campaign that is for everybody."""
    with connection.cursor() as cursor:
        cursor.execute(_FILTERS, [list(campaign_ids)])
        return {
            pk: combine(segment, excluded_segments, excluded_lists)
            for pk, segment, excluded_segments, excluded_lists in cursor.fetchall()
            if segment or excluded_segments or excluded_lists
        }


def combine(
    segment: int | None, excluded_segments: Iterable[int], excluded_lists: Iterable[int]
) -> Node:
    """In the segment (where there is one), and in and on none of the others; ids."""
    out: list[Node] = [SegmentRule(pk) for pk in excluded_segments]
    out += [ListRule(pk) for pk in excluded_lists]
    within: tuple[Node, ...] = (SegmentRule(segment),) if segment else ()
    return All((*within, Not(AnyOf(tuple(out))))) if out else All(within)


def condition(campaign: Campaign, *, now: dt.datetime) -> Condition | None:
    """A campaign's filter as SQL over `person`, None for everybody. `now`: the brand's clock.

    Raises segments.Invalid where the filter cannot be read.
    """
    found = filters([campaign.pk]).get(campaign.pk)
    if found is None:
        return None
    return people.condition(found, campaign.brand.workspace_id, now=now)


def count(campaign: Campaign, *, now: dt.datetime) -> int:
    """How many people of the brand are opted in and in the audience. `now`: the brand's clock."""
    found = filters([campaign.pk]).get(campaign.pk)
    return count_of(found, campaign.brand, now=now)


def count_of(node: Node | None, brand: Brand, *, now: dt.datetime) -> int:
    """The same for a filter that may not be any campaign's yet."""
    if node is None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM subscribers_subscription"
                " WHERE brand_id = %s AND status = 'opted_in'",
                [brand.pk],
            )
            return cursor.fetchone()[0]
    return people.count(node, brand.workspace_id, now=now, brand=brand)


def membership(
    brand: Brand, wanted: dict[int, Node], subscriber_ids: Collection[int], *, now: dt.datetime
) -> dict[int, set[int] | None]:
    """Which of these people are in the audience of each campaign of the brand that has a filter.

    `wanted`: their filters (`filters`). None: it cannot be read, so nobody may be taken to be in it.
    A number of queries that depends on neither people nor campaigns. `now`: the brand's clock.
    """
    readable = _compile(wanted, brand, now) if wanted else {}
    found: dict[int, set[int] | None] = dict.fromkeys(wanted)
    return found | people.within(readable, subscriber_ids)


def _compile(wanted: dict[int, Node], brand: Brand, now: dt.datetime) -> dict[int, Condition]:
    try:
        return people.conditions(wanted, brand.workspace_id, now=now)
    except segments.Invalid:
        log.warning("audience_unreadable", brand=brand.pk)
    readable = {}
    for pk, node in wanted.items():  # one of them is broken: the others go on
        try:
            readable[pk] = people.condition(node, brand.workspace_id, now=now)
        except segments.Invalid:
            log.exception("audience_unreadable", campaign=pk)
    return readable


_FILTERS = """
    SELECT campaign.id, campaign.segment_id,
        ARRAY(SELECT segment_id FROM campaigns_campaign_exclude_segments
              WHERE campaign_id = campaign.id ORDER BY 1),
        ARRAY(SELECT manuallist_id FROM campaigns_campaign_exclude_lists
              WHERE campaign_id = campaign.id ORDER BY 1)
    FROM campaigns_campaign AS campaign WHERE campaign.id = ANY(%s::bigint[])"""
