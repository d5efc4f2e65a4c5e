"""A campaign's totals, counted where its texts change (`count_models.py`); many rows made few."""

from django.db import connection
from django.db.models import Sum

from campaigns.models import Campaign
from sending.count_models import CampaignCount

FEW = 20  # rows that a reader may sum up beside the squashed ones
AT_MOST = 500  # campaigns at a time


def of_campaign(campaign: Campaign) -> list[tuple[str, str, int]]:
    """How many of a campaign's texts are in each state for each reason; nothing that is 0."""
    rows = CampaignCount.objects.filter(campaign=campaign).values_list("state", "reason")
    return [one for one in rows.annotate(Sum("texts")).order_by() if one[2]]


def squash() -> int:
    """Make one row of many for each state and reason (the ticker's job); answers how many went.

    One statement: a reader sees the rows before or the rows after. What is added meanwhile stays.
    """
    with connection.cursor() as cursor:
        cursor.execute(_SQUASH, [FEW, AT_MOST])
        return int(cursor.fetchone()[0])


_SQUASH = """
    WITH many AS (
        SELECT campaign_id FROM sending_campaigncount WHERE NOT squashed
        GROUP BY campaign_id HAVING count(*) > %s ORDER BY count(*) DESC LIMIT %s),
    gone AS (
        DELETE FROM sending_campaigncount
        WHERE campaign_id IN (SELECT campaign_id FROM many)
        RETURNING campaign_id, state, reason, texts),
    kept AS (
        INSERT INTO sending_campaigncount (campaign_id, state, reason, texts, squashed)
        SELECT campaign_id, state, reason, sum(texts), true FROM gone
        GROUP BY 1, 2, 3 HAVING sum(texts) <> 0)
    SELECT count(*) FROM gone"""
