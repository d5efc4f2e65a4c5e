"""Claims about what is known of people when a decision is made: what counts, and what it costs."""

import datetime as dt
from collections import Counter

from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns.models import BrandPolicy, Campaign, PlatformPolicy, Run
from sending import facts, parking, partitions
from sending.identity import identify
from sending.models import Sender, SentLog, State
from subscribers import clock
from subscribers.models import Brand, Subscriber
from tests import sending_world as world

HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)
FLORIDA, OREGON, VIRGINIA = "305", "503", "757"


def sister(brand: Brand) -> Brand:
    """Another brand of the same workspace."""
    return world.make_brand("ta", workspace=brand.workspace)


def sent(brand: Brand, person: Subscriber, ago: dt.timedelta, **fields: object) -> SentLog:
    return world.make_text(
        brand, State.DELIVERED, subscriber=person, sent_at=clock.now() - ago, **fields
    )


def known(brand: Brand, person: Subscriber) -> facts.Facts:
    return facts.gather(brand, [person.pk], now=clock.now())[person.pk].for_campaign(None)


def test_other_brands_of_the_workspace_are_told_apart_from_the_brand(brand: Brand) -> None:
    (person,) = world.make_people(brand, 1)
    other = sister(brand)
    sent(brand, person, HOUR)
    sent(other, person, 2 * HOUR)
    sent(other, person, 3 * HOUR)
    sent(other, person, 25 * HOUR)

    assert [len(known(brand, person).brand_sent), len(known(brand, person).others_sent)] == [1, 2]
    assert [len(known(other, person).brand_sent), len(known(other, person).others_sent)] == [2, 1]


def test_texts_of_a_sandbox_brand_count_for_no_real_one(brand: Brand) -> None:
    (person,) = world.make_people(brand, 1)
    real = Brand.objects.create(workspace=brand.workspace, slug="real", name="Real")
    sent(brand, person, HOUR)

    assert list(known(real, person).others_sent) == []
    sent(real, person, HOUR)
    assert list(known(brand, person).others_sent) == []


def test_a_cap_by_subject_holds_across_brands_however_many_workers_send(
    brand: Brand, sender: Sender
) -> None:
    """F13 across brands: three texts to each Floridian in a day, whichever brands they are of."""
    other = sister(brand)
    senders = {brand: sender, other: world.make_sender(other)}
    BrandPolicy.objects.update(daily_limit=9)
    PlatformPolicy.objects.update(text_lifetime=dt.timedelta(hours=48))
    people = world.make_people(brand, [world.number(area=FLORIDA) for _ in range(8)])
    world.opt_in(other, people)
    for one in senders:
        for _ in range(3):
            world.plan(world.make_campaign(one))

    def work(one: Brand) -> list[str]:
        gone: list[str] = []
        for _ in range(200):
            batch = world.gate_batch(one, senders[one], at_most=2)
            if not batch.taken and not world.due_soon():
                return gone
            gone += [text.text.to for text in batch.departing]
        raise AssertionError("the queue never empties")

    jobs = [lambda one=one: work(one) for one in senders for _ in range(10)]
    gone = Counter(to for part in world.at_once(*jobs) for to in part)

    assert gone == {person.phone: 3 for person in people}


def test_a_cap_by_brand_does_not_hold_across_brands(brand: Brand, sender: Sender) -> None:
    other = sister(brand)
    (person,) = world.make_people(brand, [world.number(area=VIRGINIA)])
    Subscriber.objects.filter(pk=person.pk).update(jurisdictions=["US", "US-OR"])
    for number in range(1, 4):
        sent(other, person, number * HOUR)
    world.plan(world.make_campaign(brand))

    assert len(world.pass_gate(brand, sender)[1]) == 1


def old_run(brand: Brand, person: Subscriber, *, started: dt.timedelta, **fields: object) -> Run:
    """A broadcast that was begun long ago, with a text to the person that was sent an hour ago."""
    now = clock.now()
    start = (now - started).replace(microsecond=0)
    partitions.ensure_ahead(start)
    campaign = world.make_campaign(brand, launched=False)
    Campaign.objects.filter(pk=campaign.pk).update(
        status=Campaign.Status.RUNNING, launched_at=start, starts_at=start
    )
    campaign.refresh_from_db()
    run = Run.objects.create(campaign=campaign, brand=brand, started_at=start, audience=1, **fields)
    SentLog.objects.create(
        id=identify(start, "run", run.pk, person.pk),
        brand=brand,
        campaign=campaign,
        run=run,
        subscriber=person,
        purpose="campaign",
        phone=person.phone,
        state=State.ACCEPTED,
        expires_at=now,
        sent_at=now - HOUR,
    )
    return run


def test_texts_of_a_run_that_was_paused_for_a_month_while_it_was_planned_count(
    brand: Brand,
) -> None:
    (person,) = world.make_people(brand, 1)
    run = old_run(brand, person, started=30 * DAY)

    for planned_at in (None, clock.now() - HOUR):
        Run.objects.filter(pk=run.pk).update(planned_at=planned_at)
        found = facts.gather(brand, [person.pk], now=clock.now(), campaigns=[run.campaign])
        told = found[person.pk].for_campaign(run.campaign_id)
        assert (len(told.brand_sent), len(told.campaign_sent)) == (1, 1)


def test_they_count_for_the_other_brands_of_the_workspace_too(brand: Brand) -> None:
    (person,) = world.make_people(brand, 1)
    old_run(brand, person, started=30 * DAY)

    assert len(known(sister(brand), person).others_sent) == 1


def test_a_run_that_ended_long_ago_does_not_make_the_look_back_longer(brand: Brand) -> None:
    (person,) = world.make_people(brand, 1)
    now = clock.now()
    run = old_run(brand, person, started=30 * DAY, planned_at=now - 12 * DAY)
    assert facts._slow([brand.workspace_id], now, sandbox=True) == now

    Run.objects.filter(pk=run.pk).update(planned_at=None, finished_at=now - 12 * DAY)
    assert facts._slow([brand.workspace_id], now, sandbox=True) == now
    Run.objects.filter(pk=run.pk).update(finished_at=now - DAY)
    assert facts._slow([brand.workspace_id], now, sandbox=True) == run.started_at


def test_a_cancelled_campaign_that_was_never_planned_to_its_end_is_finished(brand: Brand) -> None:
    (person,) = world.make_people(brand, 1)
    run = old_run(brand, person, started=30 * DAY)
    Campaign.objects.update(status=Campaign.Status.CANCELLED)

    parking.follow_campaigns()

    run.refresh_from_db()
    assert run.finished_at is not None
    assert run.campaign.status == Campaign.Status.CANCELLED


def test_a_text_that_waited_as_long_as_any_may_counts_for_its_week(brand: Brand) -> None:
    """Planned a day after its run began, sent two days later, looked at a week later."""
    (person,) = world.make_people(brand, 1)
    age = 10 * DAY - 2 * HOUR
    run = old_run(brand, person, started=age, planned_at=clock.now() - age + DAY - HOUR)
    SentLog.objects.filter(run=run).update(sent_at=clock.now() - 7 * DAY + HOUR)

    found = facts.gather(brand, [person.pk], now=clock.now(), campaigns=[run.campaign])

    assert len(found[person.pk].for_campaign(run.campaign_id).campaign_sent) == 1


def test_facts_cost_as_many_queries_for_many_people_as_for_one(brand: Brand) -> None:
    people = world.make_people(brand, 50)
    sister(brand)
    campaign = world.make_campaign(brand)

    counts, now = [], clock.now()
    for some in (people[:1], people):
        with CaptureQueriesContext(connection) as queries:
            facts.gather(brand, [one.pk for one in some], now=now, campaigns=[campaign])
        counts.append(len(queries))

    assert counts[0] == counts[1] <= 4


def test_slow_runs_are_found_by_their_own_index(brand: Brand) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        cursor.execute(
            f"EXPLAIN {facts._SLOW}",
            [facts.SLOWEST_PLANNING, clock.now(), [brand.workspace_id], brand.sandbox],
        )
        plan = "\n".join(row[0] for row in cursor.fetchall())
        cursor.execute("RESET enable_seqscan")

    assert "run_slow" in plan
