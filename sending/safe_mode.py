"""Safe mode: the database is older than what happened, so what may have been sent is unknown.

After a restore the rows say `planned` of texts that left after the backup was taken. Sending them
again would be the one thing that must never happen; losing sight of them the other. So, before any
worker starts: everything that may have been sent since then is `unknown`, which is never sent
again, counts for every cap and is moved on by receipts; what may have begun since waits for a
person; and nothing is sent at all until a person switches it on.
"""

import contextlib
import datetime as dt
from dataclasses import dataclass

import structlog
from django.db import connection, transaction

from campaigns import lifecycle, policy
from campaigns.models import Campaign, Run
from sending import credits, outcomes, planning, queues
from sending.models import SafeMode
from subscribers import clock
from subscribers.models import Brand

log = structlog.get_logger("carillon.safe_mode")

REASON = "safe_mode"
HELD = "Safe mode: it may have been sent since the backup. Look before you resume it."
Kind, Status = Campaign.Kind, Campaign.Status


@dataclass(frozen=True, slots=True)
class Entered:
    """What entering safe mode did. `earlier` is when it was done already: then it did nothing."""

    earlier: dt.datetime | None = None
    waiting: int = 0  # planned texts that may have left
    departed: int = 0  # texts that were on their way
    audience: int = 0  # people of audiences that were still being planned
    held: tuple[str, ...] = ()  # campaigns that wait for a person
    turns: int = 0  # evergreen turns that moved on by their gap


def enter(since: dt.datetime) -> Entered:
    """Make everything that may have been sent since then `unknown` and switch sending off.

    `since`: the moment that the database was restored to, or any moment before; aware. All of it
    happens or nothing. Doing it again for the same restore changes nothing, whatever was planned
    in between. Raises ValueError with a sentence for a moment that is still to come.
    """
    now = clock.now()
    if since > now:
        raise ValueError(f"{since.isoformat()} is still to come on the database's clock.")
    with transaction.atomic():
        _one_at_a_time()
        earlier = SafeMode.objects.filter(entered_at__gte=since).order_by("-entered_at").first()
        if earlier:
            return Entered(earlier=earlier.entered_at)
        done = _enter(since, now)
    log.warning("safe_mode_entered", since=since, waiting=done.waiting, departed=done.departed)
    return done


def _enter(since: dt.datetime, now: dt.datetime) -> Entered:
    departed = outcomes.doubt_departed(REASON)
    waiting = outcomes.doubt_waiting(REASON, since=since, parked=queues.PARKED)
    held = _hold_what_may_have_begun(now)
    audience = sum(_doubt_rest_of_audience(run) for run in _runs_being_planned())
    turns = _move_evergreen_turns(now)
    _switch_off()
    SafeMode.objects.create(since=since, texts=departed + waiting + audience)
    return Entered(None, waiting, departed, audience, tuple(held), turns)


def _one_at_a_time() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [REASON])


def _hold_what_may_have_begun(now: dt.datetime) -> list[str]:
    """Campaigns whose first texts may have left since: of those no row says so."""
    due = Campaign.objects.filter(status=Status.SCHEDULED, starts_at__lte=now).order_by("pk")
    held = [campaign.name for campaign in due if lifecycle.hold(campaign, HELD)]
    begun = Campaign.objects.filter(status=Status.RUNNING, kind=Kind.BROADCAST, runs=None)
    for campaign in begun.order_by("pk"):
        with contextlib.suppress(lifecycle.NotAllowed):
            lifecycle.pause(campaign, HELD)
            held.append(campaign.name)
    return held


def _runs_being_planned() -> list[Run]:
    """Broadcasts whose audience was not planned to its end: the rest may have been, since."""
    open_runs = Run.objects.filter(
        planned_at=None,
        campaign__kind=Kind.BROADCAST,
        campaign__status__in=(Status.RUNNING, Status.PAUSED),
        campaign__messages__weight__gt=0,
    )
    return list(open_runs.select_related("campaign").distinct().order_by("pk"))


def _doubt_rest_of_audience(run: Run) -> int:
    """Plan the rest of a run's audience and call all of it unknown, however late it would be due:
    the hour at which it was planned the first time is lost."""
    cursor = run.cursor
    try:
        while run.planned_at is None:
            planning.plan_chunk(run)
            run.refresh_from_db()
    except credits.Short as short:
        planning.pause_for_want_of_credits(run.campaign, short)
    return outcomes.doubt_of_run(REASON, run.pk, after=cursor)


def _move_evergreen_turns(now: dt.datetime) -> int:
    """Whoever's turn was due may have had a text: the next one is a gap away from now."""
    moved = 0
    pools = Campaign.objects.filter(
        kind=Kind.EVERGREEN, status__in=(Status.RUNNING, Status.PAUSED, Status.WAITING)
    )
    for brand in Brand.objects.filter(pk__in=pools.values("brand")):
        values = {"brand": brand.pk, "next": now + policy.of_brand(brand).evergreen_gap, "now": now}
        with connection.cursor() as cursor:
            cursor.execute(_MOVE_ON, values)
            moved += cursor.rowcount
            cursor.execute(_ADMIT, values)
            moved += cursor.rowcount
    return moved


def _switch_off() -> None:
    everywhere = policy.platform()
    everywhere.sending_enabled = False
    everywhere.save(update_fields=["sending_enabled"])


# The turn counts as taken: the next draw is another one than that which may have been sent.
_MOVE_ON = """
    UPDATE sending_evergreenturn SET next_at = %(next)s, turn = turn + 1
    WHERE brand_id = %(brand)s AND next_at <= %(now)s"""

# Who had no turn in the backup may have got one, and a text, since.
_ADMIT = """
    INSERT INTO sending_evergreenturn (brand_id, subscriber_id, next_at, turn)
    SELECT %(brand)s, subscription.subscriber_id, %(next)s, 1
    FROM subscribers_subscription AS subscription
    WHERE subscription.brand_id = %(brand)s AND subscription.status = 'opted_in'
    ON CONFLICT DO NOTHING"""
