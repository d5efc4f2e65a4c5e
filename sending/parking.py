"""What follows when a person pauses, resumes or cancels: the queue is made to agree.

The gate looks at the switches for every batch, so a pause works at once; texts that meet it are
parked. Here they come back, cancelled campaigns are emptied and finished ones closed.
"""

from django.db import connection
from django.db.models import Q

from campaigns import lifecycle, policy, runs, variants
from campaigns.models import Campaign, Run
from sending import outcomes, queues
from sending.identity import lower_bound
from sending.models import QueuedText, SentLog, State
from subscribers import clock

MILLISECOND_IDS = 1 << 80  # ids of one millisecond
RESTING = (Campaign.Status.PAUSED, Campaign.Status.WAITING)


def follow_campaigns() -> None:
    """Make the queue agree with the campaigns' states (the ticker's job)."""
    unpark()
    empty_cancelled()
    close_finished()


def unpark() -> int:
    """What was parked is due again once its campaign, brand and the platform are on."""
    if not policy.platform().sending_enabled:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(_UNPARK, [queues.PARKED])
        return cursor.rowcount


def empty_cancelled() -> int:
    """Cancel the planned texts of cancelled campaigns."""
    cancelled = Campaign.objects.filter(
        status=Campaign.Status.CANCELLED, pk__in=QueuedText.objects.values("campaign_id")
    )
    return sum(outcomes.cancel_of_campaign(campaign.pk) for campaign in cancelled[:20])


def close_finished() -> None:
    """Finish runs of which nothing is in the queue or on its way, and with them broadcasts."""
    done = (
        Run.objects.filter(finished_at=None)
        .filter(Q(planned_at__isnull=False) | Q(campaign__status=Campaign.Status.CANCELLED))
        # A broadcast is completed with its run, and one that rests cannot be: it waits.
        .exclude(campaign__kind=Campaign.Kind.BROADCAST, campaign__status__in=RESTING)
        .exclude(campaign_id__in=QueuedText.objects.exclude(campaign=None).values("campaign_id"))
        .select_related("campaign")
        .order_by("pk")
    )
    for run in done[:50]:
        # Both states in one look: a refused text goes back to the queue between two.
        if texts_of(run).filter(state__in=(State.PLANNED, State.SENDING)).exists():
            continue
        runs.finish(run, now=clock.now())
        if run.campaign.kind == Campaign.Kind.BROADCAST and not _goes_on(run.campaign):
            lifecycle.complete(run.campaign)


def _goes_on(campaign: Campaign) -> bool:
    """Whether the rest of a broadcast's audience is still to be planned or sent."""
    if campaign.test_share is None:
        return False
    return variants.awaits_winner(campaign) or campaign.runs.filter(finished_at=None).exists()


def texts_of(run: Run):
    """A run's texts: they all have its start as their time, so they are one range of ids."""
    first = lower_bound(run.started_at)
    return SentLog.objects.filter(
        id__gte=first, id__lt=type(first)(int=first.int + MILLISECOND_IDS), run_id=run.pk
    )


_UNPARK = """
    UPDATE sending_queuedtext AS queued SET due_at = now()
    WHERE queued.due_at = %s
      AND (queued.campaign_id IS NULL OR EXISTS (SELECT FROM campaigns_campaign AS campaign
           WHERE campaign.id = queued.campaign_id
             AND campaign.status IN ('running', 'completed')))
      AND NOT EXISTS (SELECT FROM campaigns_brandpolicy AS policy
           WHERE policy.brand_id = queued.brand_id AND NOT policy.sending_enabled)"""
