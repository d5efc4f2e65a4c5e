"""How running campaigns fare: errors and undelivered texts, and the pause where they are too many.

A run's texts are one range of ids, and the second half of an id is a hash. So a part of the range
is a fair sample of the run, and looking costs at most `MOST_ROWS` a run however large it is.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from campaigns import brakes
from campaigns.brakes import Cause, Share, Watched
from sending import arrays
from sending.identity import lower_bound
from subscribers import clock

MOST_ROWS = 25_000  # of one run: 0.1 s; all of 500,000 take 1.3 s
LAST_RUNS = 100  # of one campaign: a pool has a run for every tick that drew somebody
# An id's hash begins with 12 bits behind the version (`identity.py`).
PARTS = 1 << 12
FIRST_PART = 0x8 << 76
ONE_PART = 1 << 64


@dataclass(frozen=True, slots=True)
class Counted:
    """Texts of a campaign that were sent, or failed, within its window."""

    sent: int = 0  # may have arrived
    failed: int = 0
    unknown: int = 0
    delivered: int = 0
    undelivered: int = 0

    def shares(self) -> list[Share]:
        """What of it may pause the campaign."""
        return [
            Share(Cause.ERRORS, self.failed + self.unknown, self.sent + self.failed),
            Share(Cause.UNDELIVERED, self.undelivered, self.delivered + self.undelivered),
        ]


@dataclass(frozen=True, slots=True)
class Stretch:
    """The ids of one run, or of a sample of it, whose texts count when sent after `since`."""

    campaign_id: int
    since: dt.datetime
    first: UUID
    end: UUID


def brake() -> int:
    """Pause campaigns with too many errors or undelivered texts (the ticker's job): how many."""
    paused = 0
    for some in brakes.watched(clock.now()):
        counted = count(stretches(some))
        for one in some:
            shares = counted.get(one.campaign_id, Counted()).shares()
            worst = next((share for share in shares if brakes.too_much(one, share)), None)
            if worst:
                paused += brakes.pull(one, worst)
    return paused


def stretches(some: Sequence[Watched]) -> list[Stretch]:
    """The ids to look at: of each campaign's latest runs that are open or within its window."""
    by_id = {one.campaign_id: one for one in some}
    with connection.cursor() as cursor:
        cursor.execute(
            _RUNS,
            [list(by_id), [one.window for one in some], LAST_RUNS],
        )
        return [
            _stretch(by_id[campaign_id], started_at, audience)
            for campaign_id, started_at, audience in cursor.fetchall()
        ]


def count(of: Sequence[Stretch]) -> dict[int, Counted]:
    """Count texts by campaign, in one statement."""
    if not of:
        return {}
    values = [
        arrays.literal(one.campaign_id for one in of),
        arrays.literal(one.since for one in of),
        arrays.ids(one.first for one in of),
        arrays.ids(one.end for one in of),
    ]
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, values)
        return {campaign_id: Counted(*counts) for campaign_id, *counts in cursor.fetchall()}


def _stretch(one: Watched, started_at: dt.datetime, audience: int) -> Stretch:
    parts = min(PARTS, max(1, PARTS * MOST_ROWS // max(1, audience)))
    base = lower_bound(started_at).int + FIRST_PART
    return Stretch(one.campaign_id, one.since, UUID(int=base), UUID(int=base + parts * ONE_PART))


_RUNS = """
    SELECT given.campaign_id, run.started_at, run.audience
    FROM unnest(%s::bigint[], %s::interval[]) AS given(campaign_id, span)
    CROSS JOIN LATERAL (
        SELECT started_at, audience FROM campaigns_run
        WHERE campaign_id = given.campaign_id
          AND (finished_at IS NULL OR started_at > now() - given.span)
        ORDER BY started_at DESC LIMIT %s) AS run"""

# A text that failed has no time of sending; it changed when its provider refused it.
_COUNT = """
    SELECT given.campaign_id,
           sum(text.sent)::bigint, sum(text.failed)::bigint, sum(text.unknown)::bigint,
           sum(text.delivered)::bigint, sum(text.undelivered)::bigint
    FROM unnest(%s::bigint[], %s::timestamptz[], %s::uuid[], %s::uuid[])
         AS given(campaign_id, since, first, final)
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE state NOT IN ('failed', 'sending')) AS sent,
               count(*) FILTER (WHERE state = 'failed') AS failed,
               count(*) FILTER (WHERE state = 'unknown') AS unknown,
               count(*) FILTER (WHERE state = 'delivered') AS delivered,
               count(*) FILTER (WHERE state = 'undelivered') AS undelivered
        FROM sending_sentlog
        WHERE id >= given.first AND id < given.final AND campaign_id = given.campaign_id
          AND purpose = 'campaign' AND state IN ('failed', 'unknown', 'accepted', 'sent', 'delivered', 'undelivered')
          AND coalesce(sent_at, changed_at) > given.since) AS text
    GROUP BY given.campaign_id"""
