"""Runs: the only writer of a run's progress."""

import datetime as dt

from django.db import connection, transaction
from django.db.models import F

from campaigns.models import Campaign, Message, Run


def whole_milliseconds(moment: dt.datetime) -> dt.datetime:
    """The moment without what an id cannot hold."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@transaction.atomic
def open_broadcast(campaign: Campaign, *, now: dt.datetime) -> Run:
    """The run that a broadcast is planned by, made at its first call (whoever calls it first).

    There is one, and a second one for those who waited for the winner.
    """
    Campaign.objects.select_for_update().get(pk=campaign.pk)
    run = Run.objects.filter(campaign=campaign).order_by("-pk").first()
    return run or Run.objects.create(
        campaign=campaign, brand_id=campaign.brand_id, started_at=whole_milliseconds(now)
    )


def open_rest(campaign: Campaign, *, winner: Message, now: dt.datetime, because: str = "") -> Run:
    """The run of those who waited for the winner: a campaign has one at most, by constraint.

    A run of its own, as the caps look for texts by the time in their ids.
    """
    return Run.objects.create(
        campaign=campaign,
        brand_id=campaign.brand_id,
        started_at=whole_milliseconds(now),
        winner=winner,
        winner_because=because,
    )


def coming_tick(campaign: Campaign, *, now: dt.datetime, drawn: int) -> Run:
    """A run of an evergreen pool for the `drawn` people of one tick; everybody is planned with it.

    Its number is taken, so that its texts can be named; its row comes with them (`open_tick`).
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence('campaigns_run', 'id'))")
        (number,) = cursor.fetchone()
    return Run(
        pk=number,
        campaign=campaign,
        brand=campaign.brand,
        started_at=whole_milliseconds(now),
        planned_at=now,
        audience=drawn,
    )


def open_tick(run: Run) -> bool:
    """Add a coming run of a pool; whether it is there: not where another began in its millisecond."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO campaigns_run"
            " (id, campaign_id, brand_id, started_at, planned_at, audience, cursor)"
            " VALUES (%s, %s, %s, %s, %s, %s, 0) ON CONFLICT (campaign_id, started_at) DO NOTHING",
            [run.pk, run.campaign_id, run.brand_id, run.started_at, run.planned_at, run.audience],
        )
        return bool(cursor.rowcount)


def advance(run: Run, *, cursor: int, added: int) -> None:
    """Note that the audience is planned up to and including subscriber `cursor`.

    Call it in the transaction that plans them: a killed planner goes on exactly there.
    """
    Run.objects.filter(pk=run.pk).update(cursor=cursor, audience=F("audience") + added)
    run.cursor = cursor


def end_of_audience(run: Run, *, now: dt.datetime) -> None:
    """Note that everybody is planned."""
    Run.objects.filter(pk=run.pk, planned_at=None).update(planned_at=now)


def finish(run: Run, *, now: dt.datetime) -> None:
    """Note that no text of the run is in the queue or on its way any more."""
    Run.objects.filter(pk=run.pk, finished_at=None).update(finished_at=now)
