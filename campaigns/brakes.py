"""Campaigns that pause by themselves: who is watched, how large a share is too large, the pause.

The counting is done where the rows are: errors and receipts in `sending`, opt-outs in `tracking`.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

import structlog
from django.db import connection, transaction

from campaigns import lifecycle
from campaigns.models import AutomaticPause, Campaign

log = structlog.get_logger("carillon.brakes")

Cause = AutomaticPause.Cause
CHUNK = 500  # campaigns that are counted at a time

WORDS = {
    Cause.ERRORS: "of the texts failed or have no known end",
    Cause.UNDELIVERED: "of the texts were not delivered",
    Cause.OPT_OUTS: "of the people texted opted out",
}
ADVICE = {
    Cause.ERRORS: "Look at Failed texts and the senders",
    Cause.UNDELIVERED: "Look at the error codes and the list",
    Cause.OPT_OUTS: "Look at the replies, the message and the list",
}


@dataclass(frozen=True, slots=True)
class Watched:
    """A running campaign that may pause by itself. Texts sent before `since` do not count."""

    campaign_id: int
    brand_id: int
    since: dt.datetime
    window: dt.timedelta
    resumed_at: dt.datetime | None
    sample: int
    limits: dict[Cause, Decimal]  # in percent; a cause without one pauses nothing


@dataclass(frozen=True, slots=True)
class Share:
    """`bad` of `of` texts, counted over all of a campaign's texts or over a fair sample of them."""

    cause: Cause
    bad: int
    of: int

    @property
    def percent(self) -> float:
        return 100 * self.bad / self.of if self.of else 0.0


def watched(now: dt.datetime) -> Iterator[list[Watched]]:
    """Running campaigns that a run of the window belongs to, some at a time. `now`: the database's.

    What was paused by a person or by itself and resumed counts from there on.
    """
    after = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_WATCHED, {"now": now, "after": after, "chunk": CHUNK})
            rows = cursor.fetchall()
        if not rows:
            return
        yield [_watched(row, now) for row in rows]
        if len(rows) < CHUNK:
            return
        after = rows[-1][0]


def too_much(one: Watched, share: Share) -> bool:
    """Whether a campaign must pause: its share has reached the limit, of texts enough to tell."""
    limit = one.limits.get(share.cause)
    return limit is not None and share.of >= one.sample and share.percent >= limit


@transaction.atomic
def pull(one: Watched, share: Share) -> bool:
    """Pause a campaign, with the figures on record. False where a person was faster."""
    campaign = Campaign.objects.select_for_update().get(pk=one.campaign_id)
    if campaign.status != Campaign.Status.RUNNING or campaign.resumed_at != one.resumed_at:
        return False
    lifecycle.pause(campaign, sentence(one, share))
    AutomaticPause.objects.create(
        campaign=campaign,
        cause=share.cause,
        bad=share.bad,
        of=share.of,
        limit=one.limits[share.cause],
        since=one.since,
    )
    log.error(
        "campaign_paused_itself",
        campaign=campaign.pk,
        brand=one.brand_id,
        cause=share.cause.value,
        bad=share.bad,
        of=share.of,
        limit=float(one.limits[share.cause]),
    )
    return True


def sentence(one: Watched, share: Share) -> str:
    """What a marketer reads: the figures and what to do, within 200 characters."""
    return (
        f"Paused by itself: {share.bad:,} of {share.of:,} ({share.percent:.1f} %)"
        f" {WORDS[share.cause]}, the limit is {one.limits[share.cause].normalize():f} %."
        f" {ADVICE[share.cause]}, then resume or cancel."
    )


def _watched(row: tuple, now: dt.datetime) -> Watched:
    campaign_id, brand_id, window, resumed_at, sample, *limits = row
    start = now - window
    given = zip((Cause.ERRORS, Cause.UNDELIVERED, Cause.OPT_OUTS), limits, strict=True)
    return Watched(
        campaign_id,
        brand_id,
        max(start, resumed_at) if resumed_at else start,
        window,
        resumed_at,
        sample,
        {cause: limit for cause, limit in given if limit is not None},
    )


_WATCHED = """
    SELECT campaign.id, campaign.brand_id, policy.pause_window, campaign.resumed_at,
           policy.pause_sample, policy.pause_at_errors, policy.pause_at_undelivered,
           policy.pause_at_opt_outs
    FROM campaigns_campaign AS campaign
    JOIN campaigns_brandpolicy AS policy ON policy.brand_id = campaign.brand_id
    WHERE campaign.status = 'running' AND campaign.id > %(after)s
      AND (policy.pause_at_errors IS NOT NULL OR policy.pause_at_undelivered IS NOT NULL
           OR policy.pause_at_opt_outs IS NOT NULL)
      AND EXISTS (SELECT FROM campaigns_run AS run WHERE run.campaign_id = campaign.id
                  AND (run.finished_at IS NULL OR run.started_at > %(now)s - policy.pause_window))
    ORDER BY campaign.id LIMIT %(chunk)s"""
