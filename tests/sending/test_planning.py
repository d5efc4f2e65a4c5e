"""Planning a broadcast: everybody of the audience, each once, with the reason where nothing is sent."""

import datetime as dt
import time
from collections import Counter
from collections.abc import Callable
from zoneinfo import ZoneInfo

import pytest
from django.db import connection, transaction

from campaigns import lifecycle, runs
from campaigns.models import BrandPolicy, Campaign, Message, PlatformPolicy, Run
from sending import planning, queues
from sending.identity import identify
from sending.models import QueuedText, Sender, SentLog, State
from subscribers import clock
from subscribers.models import Brand, Subscriber
from tests import sending_world as world

HAWAII_TIME = ZoneInfo("Pacific/Honolulu")


@pytest.fixture
def small_chunks() -> Callable[[], None]:
    """Chunks of 10 people, so that an audience of 25 takes three."""
    whole = planning.CHUNK
    planning.CHUNK = 10
    yield
    planning.CHUNK = whole


def begun(brand: Brand, **fields: object) -> Run:
    """The run of a broadcast that has begun, of which nothing is planned."""
    campaign = world.make_campaign(brand, **fields)
    planning.start_due()
    return runs.open_broadcast(campaign, now=clock.now())


def test_everybody_of_the_audience_is_planned_once(brand: Brand, small_chunks: None) -> None:
    people = world.make_people(brand, 25)
    other = world.make_brand("ta", workspace=brand.workspace)
    world.make_people(other, 3)

    run = world.plan(world.make_campaign(brand))

    planned = SentLog.objects.values_list("subscriber_id", flat=True)
    assert Counter(planned) == Counter(one.pk for one in people)
    assert (run.audience, run.planned_at is None) == (25, False)
    assert set(SentLog.objects.values_list("id", flat=True)) == {
        identify(run.started_at, "run", run.pk, one.pk) for one in people
    }


def test_a_chunk_that_somebody_else_planned_meanwhile_is_prepared_anew(
    brand: Brand, small_chunks: None
) -> None:
    people = world.make_people(brand, 25)
    run = begun(brand)
    chunk = planning.prepare(run, after=0)
    planning.plan_chunk(run)

    assert planning.plan_chunk(run, chunk) == 10

    assert SentLog.objects.count() == 20
    assert Run.objects.get().cursor == people[19].pk


def test_preparing_ahead_leaves_no_connection_behind(brand: Brand, small_chunks: None) -> None:
    world.make_people(brand, 25)
    before = connections_to_the_database()

    run = world.plan(world.make_campaign(brand))

    assert run.audience == 25
    until = time.monotonic() + 10  # a server process ends a moment after its connection
    while connections_to_the_database() > before and time.monotonic() < until:
        time.sleep(0.05)
    assert connections_to_the_database() == before


def connections_to_the_database() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return cursor.fetchone()[0]


def test_a_planner_that_is_killed_goes_on_where_it_was(brand: Brand, small_chunks: None) -> None:
    people = world.make_people(brand, 25)
    run = begun(brand)
    planning.plan_chunk(run)

    world.killed_at_the_end_of(lambda: planning.plan_chunk(run))
    assert SentLog.objects.count() == 10

    world.plan(run.campaign)
    assert Counter(SentLog.objects.values_list("phone", flat=True)) == Counter(
        one.phone for one in people
    )


def test_a_chunk_that_is_planned_again_adds_nothing(brand: Brand, small_chunks: None) -> None:
    world.make_people(brand, 8)
    run = begun(brand)
    assert planning.plan_chunk(run) == 8
    Run.objects.update(cursor=0, audience=0)  # as if the note of how far it came were lost

    assert planning.plan_chunk(run) == 0

    assert SentLog.objects.count() == QueuedText.objects.count() == 8


def test_launching_twice_sends_once(brand: Brand) -> None:
    world.make_people(brand, 3)
    campaign = world.make_campaign(brand)
    lifecycle.launch(campaign, now=clock.now())

    world.plan(campaign)
    lifecycle.launch(campaign, now=clock.now())
    world.plan(campaign)

    assert SentLog.objects.count() == 3
    assert Run.objects.count() == 1


def test_two_planners_at_once_plan_nobody_twice(brand: Brand, small_chunks: None) -> None:
    people = world.make_people(brand, 95)
    world.make_campaign(brand)

    planned = world.at_once(*[lambda: planning.plan_due(budget=30)] * 4)

    assert sum(planned) == 95
    assert Counter(SentLog.objects.values_list("subscriber_id", flat=True)) == Counter(
        one.pk for one in people
    )
    assert Run.objects.get().audience == 95


def test_who_is_passed_over_has_a_row_with_the_reason(brand: Brand) -> None:
    fine, left, toll_free, confused, closed = world.make_people(brand, 5)
    world.opt_out(brand, left)
    Subscriber.objects.filter(pk=toll_free.pk).update(number_kind="toll_free")
    Subscriber.objects.filter(pk=confused.pk).update(zones=["No/Where"])
    Subscriber.objects.filter(pk=closed.pk).update(
        zones=["America/New_York", "Asia/Bangkok"]  # no hour suits both
    )

    world.plan(world.make_campaign(brand))

    found = {
        row.subscriber_id: (row.state, row.reason, row.body == "") for row in SentLog.objects.all()
    }
    assert found == {
        fine.pk: (State.PLANNED, "", False),
        left.pk: (State.SKIPPED, "opted_out", True),
        toll_free.pk: (State.SKIPPED, "unreachable", True),
        confused.pk: (State.SKIPPED, "error", True),
        closed.pk: (State.SKIPPED, "no_hours", True),
    }
    assert QueuedText.objects.count() == 1


def test_who_still_sleeps_is_due_at_the_real_instant_of_their_morning(brand: Brand) -> None:
    (person,) = world.make_people(brand, [world.number(area=world.HAWAII)])

    world.plan(world.make_campaign(brand))

    text, queued = SentLog.objects.get(), QueuedText.objects.get()
    there = (clock.now() + brand.clock_shift).astimezone(HAWAII_TIME)
    nine = dt.datetime.combine(there.date(), dt.time(9), HAWAII_TIME)
    assert (text.subscriber_id, text.state, text.reason) == (
        person.pk,
        State.PLANNED,
        "outside_hours",
    )
    assert queued.due_at == nine - brand.clock_shift
    assert clock.now() < queued.due_at < clock.now() + dt.timedelta(hours=3)


def test_who_cannot_be_texted_before_the_text_expires_is_skipped(brand: Brand) -> None:
    PlatformPolicy.objects.update(text_lifetime=dt.timedelta(minutes=30))
    world.make_people(brand, [world.number(area=world.HAWAII)])

    world.plan(world.make_campaign(brand))

    text = SentLog.objects.get()
    assert (text.state, text.reason) == (State.SKIPPED, "outside_hours")


def test_a_start_missed_by_more_than_an_hour_waits_for_a_person(brand: Brand) -> None:
    world.make_people(brand, 1)
    now = clock.now()
    late = world.make_campaign(brand, starts_at=now - dt.timedelta(minutes=61))
    in_time = world.make_campaign(brand, starts_at=now - dt.timedelta(minutes=59))
    early = world.make_campaign(brand, starts_at=now + dt.timedelta(minutes=5))

    planning.plan_due()

    for campaign in (late, in_time, early):
        campaign.refresh_from_db()
    assert (late.status, in_time.status, early.status) == ("waiting", "running", "scheduled")
    assert set(SentLog.objects.values_list("campaign_id", flat=True)) == {in_time.pk}

    lifecycle.resume(late, now=clock.now())
    assert world.plan(late).audience == 1


def test_variants_are_drawn_by_weight_and_stay_the_same(brand: Brand, small_chunks: None) -> None:
    people = world.make_people(brand, 400)
    campaign = world.make_campaign(brand, "A", "B", "C", launched=False)
    a, b, c = campaign.messages.order_by("pk")
    Message.objects.filter(pk=b.pk).update(weight=3)
    Message.objects.filter(pk=c.pk).update(weight=0)
    lifecycle.launch(campaign, now=clock.now())

    run = world.plan(campaign)

    drawn = dict(SentLog.objects.values_list("subscriber_id", "message_id"))
    share = Counter(drawn.values())[b.pk] / len(people)
    assert set(drawn.values()) == {a.pk, b.pk}
    assert 0.66 < share < 0.84  # 3 of 4, give or take four standard deviations
    messages = list(campaign.messages.filter(weight__gt=0).order_by("pk"))
    assert drawn == {one.pk: planning.choose(messages, run.pk, one.pk).pk for one in people}


@pytest.mark.parametrize(
    "name",
    ["{{", "\N{PILE OF POO}" * 100, "x" * 100, "\x07"],
    ids=["liquid", "emoji", "long", "bell"],
)
def test_a_strange_name_is_only_a_name(brand: Brand, name: str) -> None:
    strange, plain = world.make_people(brand, 2)
    Subscriber.objects.filter(pk=strange.pk).update(first_name=name)

    world.plan(world.make_campaign(brand, "Hi {{ first_name | default: 'you' }}!"))

    bodies = dict(SentLog.objects.values_list("subscriber_id", "body"))
    assert bodies == {strange.pk: f"Hi {name}!", plain.pk: "Hi you!"}


@pytest.mark.parametrize(
    "body",
    [
        "{{ first_name",
        "{{ nobody }}",
        "{% for i in (1..100) %}{{ first_name }} and {{ first_name }} again, {% endfor %}",
        "{% if first_name == 'Ann' %}{% else %}fine{% endif %}",
        "{{ first_name | date: '%' }}",
        "{{ first_name | divided_by: 0 }}",
    ],
)
def test_a_text_that_cannot_be_written_fails_alone(brand: Brand, body: str) -> None:
    ann, bob = world.make_people(brand, 2, first_name="Ann")
    Subscriber.objects.filter(pk=bob.pk).update(first_name="Bob")
    world.make_campaign(brand, body)
    fine = world.make_campaign(brand, "Fine.")

    planning.plan_due(budget=60)

    by_campaign = SentLog.objects.filter(campaign=fine)
    assert {row.state for row in by_campaign} == {State.PLANNED}
    assert SentLog.objects.exclude(campaign=fine).count() == 2
    broken = SentLog.objects.exclude(campaign=fine).get(subscriber=ann)
    assert (broken.state, broken.reason, broken.body) == (State.SKIPPED, "bad_content", "")


def test_a_campaign_that_lost_its_messages_is_paused_and_holds_up_nobody(brand: Brand) -> None:
    world.make_people(brand, 2)
    empty = world.make_campaign(brand)
    fine = world.make_campaign(brand)
    empty.messages.update(weight=0)

    planning.plan_due(budget=60)

    empty.refresh_from_db()
    assert empty.status == Campaign.Status.PAUSED
    assert "message" in empty.status_reason
    assert set(SentLog.objects.values_list("campaign_id", flat=True)) == {fine.pk}


def test_a_paused_campaign_is_planned_no_further_and_goes_on_when_resumed(
    brand: Brand, small_chunks: None
) -> None:
    world.make_people(brand, 25)
    run = begun(brand)
    planning.plan_chunk(run)
    lifecycle.pause(run.campaign)

    assert planning.plan_due(budget=60) == 0
    assert SentLog.objects.count() == 10

    lifecycle.resume(run.campaign, now=clock.now())
    assert planning.plan_due(budget=60) == 15


def test_a_chunk_under_way_when_the_campaign_is_paused_parks_its_texts(brand: Brand) -> None:
    world.make_people(brand, 3)
    run = begun(brand)
    lifecycle.pause(run.campaign)

    planning.plan_chunk(run)

    assert set(QueuedText.objects.values_list("due_at", flat=True)) == {queues.PARKED}
    assert set(SentLog.objects.values_list("reason", flat=True)) == {"campaign_paused"}


def test_a_cancelled_campaign_is_not_planned(brand: Brand) -> None:
    world.make_people(brand, 3)
    lifecycle.cancel(world.make_campaign(brand))

    assert planning.plan_due() == 0
    assert not SentLog.objects.exists()


def test_one_call_plans_no_longer_than_its_budget(brand: Brand, small_chunks: None) -> None:
    world.make_people(brand, 25)
    world.make_campaign(brand)

    assert planning.plan_due(budget=0) == 0
    assert planning.plan_due(budget=60) == 25


def test_planning_does_not_hold_up_the_brands_sending(brand: Brand, sender: Sender) -> None:
    world.planned_texts(brand, 3)
    BrandPolicy.objects.update(daily_limit=9)
    run = begun(brand)

    def send() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '2s'")
        return len(world.pass_gate(brand, sender)[1])

    with transaction.atomic():
        planning.plan_chunk(run)
        departed = world.at_once(send)

    assert departed == [3]
