"""Planning rows: a broadcast against a long log, tiers, decisions alone, the tick of evergreen pools."""

import os
import time
from collections.abc import Sequence

from django.db import connection

from benchmarks import cpu, world
from benchmarks.sending import crew
from campaigns import lifecycle, policy
from campaigns.eligibility import decide
from campaigns.models import Campaign, Message
from sending import evergreen, facts, planning
from sending.models import SentLog
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

    The workers run meanwhile, as they do in production, and take their share of the machine. It ends
    when a text has left: how long the rest takes is the row `plan`.
    """
    world.empty()
    brand = world.brand()
    world.sender(brand, "twilio")
    world.people(brand, people)
    with crew(2, 200):
        world.broadcast(brand)
        planning.start_due()
        began = clock.now()
        planned = 0
        while not SentLog.objects.filter(sent_at__isnull=False).exists():
            planned += planning.plan_due(budget=planning.BUDGET_SECONDS)
        with connection.cursor() as cursor:
            cursor.execute("SELECT min(sent_at) FROM sending_sentlog")
            first = cursor.fetchone()[0]
    return {"first_text_after": (first - began).total_seconds(), "planned_meanwhile": planned}


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
    """One tick of a pool when everybody is due, when nobody is, and when 1 % are.

    The second one looks for people without a turn, as every half a minute.
    """
    brand = _pool_of(people, messages)
    meter = cpu.Meter(python=[os.getpid()])
    all_due = _ticked(people)
    used = meter.read(people)
    evergreen._admitted_at.clear()  # noqa: SLF001
    nobody_due = _ticked(0)
    few = people // 100
    _make_due(brand, few)
    meter = cpu.Meter(python=[os.getpid()])
    some_due = _ticked(few)
    return {
        "all_due": all_due,
        "one_percent_due": some_due,
        "nobody_due": nobody_due,
        "people": people,
        **used,
        **{f"one_percent_{name}": value for name, value in meter.read(few).items()},
    }


def tick_growth(sizes: Sequence[int]) -> dict[str, float]:
    """What a thousand due people cost in ever larger brands, and how far apart the dearest and the
    cheapest are.

    In seconds of processor time of all that take part: those do not depend on what else runs.
    """
    told: dict[str, float] = {}
    for size in sizes:
        measured = ticks(size, 20)
        told |= {
            f"all_due_{size}_cpu_per_1000": measured["cpu_per_10000_texts"] / 10,
            f"all_due_{size}_seconds": measured["all_due"],
            f"one_percent_{size}_cpu_per_1000": measured["one_percent_cpu_per_10000_texts"] / 10,
            f"one_percent_{size}_seconds": measured["one_percent_due"],
            f"nobody_due_{size}_seconds": measured["nobody_due"],
        }
    costs = [told[f"all_due_{size}_cpu_per_1000"] for size in sizes]
    return {"spread": max(costs) / min(costs) - 1, **told}


def _pool_of(people: int, messages: int) -> Brand:
    """A brand whose one pool has never ticked; everybody is due."""
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
    evergreen._admitted_at.clear()  # noqa: SLF001
    evergreen.admit(brand)
    _settle()
    return brand


def _make_due(brand: Brand, people: int) -> None:
    """So many, spread over all of the brand's people."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sending_evergreenturn SET next_at = now() WHERE brand_id = %s"
            " AND subscriber_id IN (SELECT subscriber_id FROM sending_evergreenturn"
            "                       WHERE brand_id = %s ORDER BY hashint8(subscriber_id) LIMIT %s)",
            [brand.pk, brand.pk, people],
        )
    _settle()


def _settle() -> None:
    """As autovacuum leaves the tables, some time after so many rows changed."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE sending_evergreenturn, sending_sentlog, sending_queuedtext")


def _ticked(expected: int) -> float:
    began = time.monotonic()
    done = evergreen.tick_due(budget=600)
    seconds = time.monotonic() - began
    if done != expected:
        raise RuntimeError(f"{expected} turns were due, {done} texts planned")
    return seconds
