"""Campaigns to which too many people answer with an opt-out pause by themselves."""

from collections.abc import Sequence

from django.db import connection

from campaigns import brakes
from campaigns.brakes import Cause, Share, Watched
from sending import arrays, strain
from sending.strain import Counted, Stretch
from subscribers import clock


def brake() -> int:
    """Pause campaigns with too many opt-outs (the ticker's job); answers how many.

    Texts are counted only where the opt-outs would be too many for the smallest sample.
    """
    paused = 0
    for some in brakes.watched(clock.now()):
        stretches = strain.stretches(some)
        opted_out = _opted_out(some, stretches)
        suspect = [one for one in some if _suspect(one, opted_out.get(one.campaign_id, 0))]
        chosen = {one.campaign_id for one in suspect}
        counted = strain.count([one for one in stretches if one.campaign_id in chosen])
        for one in suspect:
            texted = counted.get(one.campaign_id, Counted()).sent
            share = Share(Cause.OPT_OUTS, opted_out[one.campaign_id], texted)
            if brakes.too_much(one, share):
                paused += brakes.pull(one, share)
    return paused


def _suspect(one: Watched, opted_out: int) -> bool:
    limit = one.limits.get(Cause.OPT_OUTS)
    return limit is not None and opted_out > 0 and 100 * opted_out >= limit * one.sample


def _opted_out(some: Sequence[Watched], stretches: Sequence[Stretch]) -> dict[int, int]:
    """By campaign, the texts that were answered with an opt-out and are among those counted."""
    if not stretches:
        return {}
    brand_of = {one.campaign_id: one.brand_id for one in some}
    values = [
        arrays.literal(brand_of[one.campaign_id] for one in stretches),
        arrays.literal(one.campaign_id for one in stretches),
        arrays.literal(one.since for one in stretches),
        arrays.ids(one.first for one in stretches),
        arrays.ids(one.end for one in stretches),
    ]
    with connection.cursor() as cursor:
        cursor.execute(_OPTED_OUT, values)
        return dict(cursor.fetchall())


# By the index of a brand's latest replies. A text that was sent before the window does not count,
# nor does the answer to it: else the first answers after a pause would weigh all at once.
_OPTED_OUT = """
    WITH stretch AS MATERIALIZED (
        SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[], %s::uuid[], %s::uuid[])
            AS given(brand_id, campaign_id, since, first, final)),
    brand AS (SELECT brand_id, min(since) AS since FROM stretch GROUP BY brand_id),
    told AS MATERIALIZED (
        SELECT DISTINCT reply.campaign_id, reply.text_id
        FROM brand CROSS JOIN LATERAL (
            SELECT campaign_id, text_id FROM tracking_reply
            WHERE brand_id = brand.brand_id AND received_at > brand.since
              AND meaning = 'opt_out' AND text_id IS NOT NULL) AS reply)
    SELECT stretch.campaign_id, count(*)
    FROM told
    JOIN stretch ON stretch.campaign_id = told.campaign_id
        AND told.text_id >= stretch.first AND told.text_id < stretch.final
    JOIN sending_sentlog AS text ON text.id = told.text_id AND text.sent_at > stretch.since
    GROUP BY stretch.campaign_id"""
