"""Planning rows: a broadcast against a long log, tiers, decisions alone, the tick of evergreen pools."""

import os
import time

from django.db import connection

from benchmarks import cpu, world
from benchmarks.sending import crew
from campaigns import lifecycle, policy
from campaigns.eligibility import decide
from campaigns.models import Campaign, Message
from sending import evergreen, facts, planning
from sending.models import EvergreenTurn, SentLog
from subscribers import clock
from subscribers.models import Brand, Subscriber


def against_a_long_log(people: int, log_rows: int) -> dict[str, float]:
    """Planning an audience while the log is long. The log is kept for the next run of the row."""
    brand = _known_world(people, log_rows) or _new_world(people, log_rows)
    campaign = world.broadcast(brand)
    meter = cpu.Meter(python=[os.getpid()])
    seconds = world.planned(campaign)
    return {"seconds": seconds, "people": people, "log_rows": log_rows, **meter.read(people)}


def _new_world(people: int, log_rows: int) -> Brand:
    world.empty()
    brand = world.brand()
    world.sender(brand, "twilio")
    world.people(brand, people)
    world.history(brand, log_rows)
    return brand


def _known_world(people: int, log_rows: int) -> Brand | None:
    """The world of the last run without what it planned, where that is what this one needs."""
    brand = Brand.objects.first()
    texts = SentLog.objects.filter(campaign=None, brand=brand)
    if brand is None or (Subscriber.objects.count(), texts.count()) != (people, log_rows):
        return None
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM sending_sentlog WHERE campaign_id IS NOT NULL")
        cursor.execute("TRUNCATE sending_queuedtext")
        cursor.execute("UPDATE campaigns_campaign SET status = 'cancelled'")
        cursor.execute("VACUUM ANALYZE sending_sentlog")
    return brand


def tiers(people: int) -> dict[str, float]:
    """A large broadcast is planned a chunk at a time: when does the first text leave?

    The workers run meanwhile, as they do in production, and take their share of the machine.
    """
    world.empty()
    brand = world.brand()
    world.sender(brand, "twilio")
    world.people(brand, people)
    with crew(2, 200):
        campaign = world.broadcast(brand)
        began = clock.now()
        seconds = world.planned(campaign)
        world.wait_until(lambda: SentLog.objects.filter(sent_at__isnull=False).exists(), seconds=60)
        with connection.cursor() as cursor:
            cursor.execute("SELECT min(sent_at), count(sent_at) FROM sending_sentlog")
            first, departed = cursor.fetchone()
    return {
        "first_text_after": (first - began).total_seconds(),
        "planned_after": seconds,
        "departed_meanwhile": departed,
    }


def decisions(people: int) -> dict[str, float]:
    """decide() alone, one call a person, facts gathered; a fifth had a text today."""
    world.empty()
    brand = world.brand()
    world.people(brand, people)
    world.history(brand, people, days_ago=0)
    campaign = world.broadcast(brand)
    planning.start_due()
    campaign.refresh_from_db()
    now = clock.now()
    rules = policy.build(brand, campaign, platform_remaining=1, today=now.date())
    ids = list(Subscriber.objects.values_list("pk", flat=True))
    known = facts.gather(brand, ids, now=now, campaigns=[campaign])
    of_all = [person.for_campaign(campaign.pk) for person in known.values()]
    local = now + brand.clock_shift
    began = time.monotonic()
    for one in of_all:
        decide(one, rules, local)
    return {"seconds": time.monotonic() - began, "people": len(of_all)}


def ticks(people: int, messages: int) -> dict[str, float]:
    """One tick of a pool when everybody is due, then when 1 % are."""
    world.empty()
    brand = world.brand()
    world.sender(brand, "twilio")
    world.people(brand, people)
    pool = Campaign.objects.create(brand=brand, name="Pool", kind=Campaign.Kind.EVERGREEN)
    for number in range(messages):
        body = f"{world.BODY} It is offer {number}."
        Message.objects.create(campaign=pool, body=body)
    lifecycle.launch(pool, now=clock.now())
    planning.start_due()
    evergreen.admit(brand)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE sending_evergreenturn")
    meter = cpu.Meter(python=[os.getpid()])
    all_due = _ticked(people)
    used = meter.read(people)
    few = people // 100
    first = EvergreenTurn.objects.order_by("pk")[:few].values("subscriber_id")
    EvergreenTurn.objects.filter(subscriber_id__in=first).update(next_at=clock.now())
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE sending_evergreenturn")
    return {"all_due": all_due, "one_percent_due": _ticked(few), "people": people, **used}


def _ticked(expected: int) -> float:
    began = time.monotonic()
    done = evergreen.tick_due(budget=120)
    seconds = time.monotonic() - began
    if done != expected:
        raise RuntimeError(f"{expected} turns were due, {done} texts planned")
    return seconds
