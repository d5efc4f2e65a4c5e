"""After an outage: what should have gone meanwhile waits for a person instead of going out late.

The ticker notes in the database when it last planned. When it finds that nobody did for longer than
`PlatformPolicy.late_start`, whatever was due is stale: an offer that ended at noon is not sent at
three because a machine came back. A person resumes it, or cancels it.
"""

import datetime as dt

import structlog
from django.db import connection, transaction
from django.utils.timesince import timesince

from campaigns import lifecycle, policy
from campaigns.models import Campaign
from sending.models import TickerBeat
from subscribers import clock

log = structlog.get_logger("carillon.outage")

QUIET = dt.timedelta(minutes=2)  # without a tick that long, something is wrong


def lag(now: dt.datetime) -> dt.timedelta | None:
    """How long ago the ticker last planned; None where it never has."""
    beat = TickerBeat.objects.filter(pk=1).first()
    return now - beat.at if beat else None


def sentence() -> str:
    """What to tell people of a ticker that stands still; empty where it ticks."""
    now = clock.now()
    since = lag(now)
    if since is None or since <= QUIET:
        return ""
    return f"The ticker has not run for {_words(now - since, now)}."


@transaction.atomic
def look() -> int:
    """Note that the ticker lives; answers how many campaigns wait for a person from now on.

    Call it before anything is planned: what an outage interrupted is held in the transaction that
    ends the outage, so that no failure between the two lets it go on.
    """
    now = clock.now()
    beat, first = TickerBeat.objects.select_for_update().get_or_create(pk=1, defaults={"at": now})
    late = policy.platform().late_start
    held = 0
    if not first and now - beat.at > late:
        held = _hold(beat.at, now, late)
    TickerBeat.objects.filter(pk=1).update(at=now)
    return held


def _hold(since: dt.datetime, until: dt.datetime, late: dt.timedelta) -> int:
    stood = (
        f"Nothing was sent for {_words(since, until)}, until {until:%d %B %H:%M} UTC. Resume it to"
        " go on with what is left, or cancel it."
    )
    with connection.cursor() as cursor:
        cursor.execute(_STALE, {"until": until, "late": late})
        stale = [row[0] for row in cursor.fetchall()]
    held = [one for one in Campaign.objects.filter(pk__in=stale) if lifecycle.hold(one, stood)]
    log.warning(
        "outage",
        seconds=round((until - since).total_seconds()),
        held=[campaign.pk for campaign in held],
    )
    return len(held)


def _words(since: dt.datetime, until: dt.datetime) -> str:
    """'3 hours, 20 minutes', with ordinary spaces."""
    return timesince(since, until).replace("\xa0", " ")


# Broadcasts that were due while nobody ticked. A start counts however late it is, unless somebody
# launched or resumed it just now and so has looked at it. What runs counts if its audience is not yet
# planned, or if a text of it should have gone `late` ago: one that only waits for tomorrow's hours
# was not interrupted.
_STALE = """
    SELECT campaign.id FROM campaigns_campaign AS campaign
    WHERE campaign.status = 'scheduled' AND campaign.starts_at <= %(until)s
      AND greatest(campaign.launched_at, campaign.resumed_at) <= %(until)s - %(late)s
    UNION ALL
    SELECT campaign.id FROM campaigns_campaign AS campaign
    WHERE campaign.status = 'running' AND campaign.kind = 'broadcast'
      AND greatest(campaign.launched_at, campaign.resumed_at) <= %(until)s - %(late)s
      AND (NOT EXISTS (SELECT FROM campaigns_run AS run
                       WHERE run.campaign_id = campaign.id AND run.planned_at IS NOT NULL)
           OR EXISTS (SELECT FROM sending_queuedtext AS queued
                      WHERE queued.campaign_id = campaign.id
                        AND queued.due_at <= %(until)s - %(late)s))
    ORDER BY 1"""
