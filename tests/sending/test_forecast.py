"""A forecast says what planning then does, and writes nothing."""

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import pytest
from django.db import InternalError, connection
from django.test.utils import CaptureQueriesContext

from campaigns import lifecycle, runs
from campaigns.models import BrandPolicy, Campaign, LegalWindow, Message, PlatformPolicy
from sending import evergreen, forecast, planning, pool_forecast, progress
from sending.models import EvergreenTurn, QueuedText, SentLog, State
from subscribers import clock
from subscribers.models import Brand, ConsentSource, Subscriber, Subscription, Suppression
from tests import sending_world as world

BODY = "{% if first_name == 'Nobody' %}{% else %}{{ first_name }}, the sale is on until Sunday evening in every shop. STOP to end{% endif %}"


@pytest.fixture
def small_chunks() -> Iterator[None]:
    """Chunks of 10 people, so that an audience of 25 takes three."""
    whole = planning.CHUNK
    planning.CHUNK = 10
    yield
    planning.CHUNK = whole


def sent_before(brand: Brand, person: Subscriber, *, campaign: Campaign | None = None) -> None:
    at = clock.now() - dt.timedelta(hours=2)
    world.make_text(
        brand, State.DELIVERED, subscriber_id=person.pk, sent_at=at,
        campaign_id=campaign.pk if campaign else None,
    )  # fmt: skip


def everybody(brand: Brand) -> None:
    """An audience with a person for every reason that is about people."""
    people = world.make_people(brand, 12, first_name="Ada")
    world.make_people(
        brand, [world.number(area=world.HAWAII) for _ in range(3)], first_name="Leilani"
    )
    asleep = world.make_people(brand, [world.number(area=world.HAWAII)], first_name="Kai")
    left, unproven, suppressed, silent, landline, nowhere, closed, nameless, full = people[:9]
    world.opt_out(brand, left)
    Subscription.objects.filter(subscriber=unproven).update(status="pending", opted_in_at=None)
    Suppression.objects.create(
        workspace=brand.workspace, phone_hash=suppressed.phone_hash, source=ConsentSource.IMPORT
    )
    Subscriber.objects.exclude(pk=silent.pk).update(last_engagement=clock.now())
    Subscriber.objects.filter(pk=landline.pk).update(number_kind="landline")
    Subscriber.objects.filter(pk=nowhere.pk).update(zones=["No/Where"])
    Subscriber.objects.filter(pk=closed.pk).update(zones=["America/New_York", "Asia/Bangkok"])
    Subscriber.objects.filter(pk=nameless.pk).update(first_name="Nobody")
    Subscriber.objects.filter(pk=people[9].pk).update(first_name="A" * 100)  # two segments
    for _ in range(2):
        sent_before(brand, full)
    sent_before(brand, people[10])
    sent_before(brand, asleep[0])
    BrandPolicy.objects.filter(brand=brand).update(daily_limit=2, engagement_days=30)


def planned(campaign: Campaign) -> dict[tuple[str, str], int]:
    lifecycle.launch(campaign, now=clock.now())
    world.plan(campaign)
    return progress.of_campaign(campaign).by_state_and_reason


def test_a_forecast_counts_what_planning_then_writes(brand: Brand) -> None:
    everybody(brand)
    campaign = world.make_campaign(brand, BODY, launched=False)

    foreseen = forecast.of_campaign(campaign)

    assert foreseen.totals.by_state_and_reason == planned(campaign)
    reasons = {reason for _, reason in foreseen.totals.by_state_and_reason}
    assert reasons == {
        *("", "opted_out", "not_opted_in", "suppressed", "not_engaged", "unreachable"),
        *("error", "no_hours", "bad_content", "daily_limit", "outside_hours"),
    }
    waiting = Counter(
        SentLog.objects.filter(state=State.PLANNED).values_list("segments", flat=True)
    )
    assert foreseen.sizes == waiting
    assert foreseen.credits == sum(size * count for size, count in waiting.items())
    due = QueuedText.objects.values_list("due_at", flat=True)
    hours = Counter(at.replace(minute=0, second=0, microsecond=0) for at in due if at > clock.now())
    assert foreseen.due_by_hour == hours
    assert (foreseen.now, foreseen.texts) == (len(due) - sum(hours.values()), len(due))
    assert foreseen.had_one_today == 3


@pytest.mark.parametrize(
    ("switch", "reason"), [("platform", "platform_off"), ("brand", "brand_off")]
)
def test_what_a_switch_holds_back_waits_for_somebody(
    brand: Brand, switch: str, reason: str
) -> None:
    world.make_people(brand, 3)
    rules = PlatformPolicy if switch == "platform" else BrandPolicy
    rules.objects.update(sending_enabled=False)
    campaign = world.make_campaign(brand, launched=False)

    foreseen = forecast.of_campaign(campaign)

    assert (foreseen.parked, foreseen.now, foreseen.later) == (3, 0, 0)
    assert foreseen.totals.by_state_and_reason == {("planned", reason): 3} == planned(campaign)


def test_a_laws_cap_and_a_short_lifetime_are_foreseen_too(brand: Brand) -> None:
    (person,) = world.make_people(brand, 1)
    world.make_people(brand, [world.number(area=world.HAWAII)])
    sent_before(brand, person)
    LegalWindow.objects.update(cap_per_24h=1)
    PlatformPolicy.objects.update(text_lifetime=dt.timedelta(minutes=30))
    campaign = world.make_campaign(brand, launched=False)

    foreseen = forecast.of_campaign(campaign)

    assert foreseen.totals.by_state_and_reason == {
        ("skipped", "legal_cap"): 1,
        ("skipped", "outside_hours"): 1,
    }
    assert foreseen.totals.by_state_and_reason == planned(campaign)


def test_the_rest_of_one_that_has_begun_is_foreseen(brand: Brand, small_chunks: None) -> None:
    world.make_people(brand, 25)
    campaign = world.make_campaign(brand)
    planning.start_due()
    run = runs.open_broadcast(campaign, now=clock.now())
    planning.plan_chunk(run)

    foreseen = forecast.of_campaign(Campaign.objects.get(pk=campaign.pk))

    assert (foreseen.begun, foreseen.totals.audience) == (True, 15)


def test_there_is_nothing_to_foresee_of_what_is_planned_or_over(brand: Brand) -> None:
    world.make_people(brand, 1)
    done = world.make_campaign(brand)
    world.plan(done)
    cancelled = world.make_campaign(brand)
    lifecycle.cancel(cancelled)
    empty = world.make_campaign(brand, launched=False)
    empty.messages.all().delete()

    for campaign, words in ((done, "planned"), (cancelled, "cancelled"), (empty, "no message")):
        with pytest.raises(forecast.NothingToForecast, match=words):
            forecast.of_campaign(campaign)


def test_a_forecast_writes_nothing(brand: Brand) -> None:
    everybody(brand)
    world.make_sender(brand)
    campaign = world.make_campaign(brand, launched=False)
    before = written()

    forecast.of_campaign(campaign)
    pool_forecast.of_pool(world.make_campaign(brand, launched=False, kind="evergreen"))

    after = written()
    after["campaigns_campaign"] -= 1  # the pool
    after["campaigns_message"] -= 1
    assert after == before


def written() -> Counter[str]:
    """Rows of every table that a plan writes, and whatever else there is."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'p')"
            " AND NOT relispartition AND relname ~ '^(subscribers|campaigns|sending|tracking)'"
        )
        counts: Counter[str] = Counter()
        for (table,) in cursor.fetchall():
            cursor.execute(f"SELECT count(*) FROM {table}")
            counts[table] = cursor.fetchone()[0]
        return counts


def test_the_database_refuses_whatever_a_forecast_would_write(brand: Brand) -> None:
    with pytest.raises(InternalError, match="read-only"), forecast.reading_only():
        Brand.objects.update(name="Changed")


def test_where_people_are_is_told_apart(brand: Brand) -> None:
    world.make_people(brand, 2)
    world.make_people(brand, [world.number(area=world.HAWAII)])

    places = forecast.of_campaign(world.make_campaign(brand, launched=False)).places

    new_york, hawaii = places["America/New_York",], places["Pacific/Honolulu",]
    assert (new_york.people, new_york.now, new_york.later) == (2, 2, 0)
    assert (hawaii.people, hawaii.now, hawaii.later) == (1, 0, 1)
    there = (hawaii.first_at + brand.clock_shift).astimezone(ZoneInfo("Pacific/Honolulu"))
    assert (there.hour, there.minute) == (9, 0)


def test_it_takes_as_long_as_the_senders_in_use_need(brand: Brand) -> None:
    world.make_people(brand, 40, first_name="A" * 100)
    campaign = world.make_campaign(brand, BODY, launched=False)
    assert forecast.of_campaign(campaign).outflow is None

    world.make_sender(brand, rate=2)
    world.make_sender(brand, "mitto", rate=50, status="paused")
    foreseen = forecast.of_campaign(campaign)

    assert (foreseen.rate, foreseen.credits) == (2, 80)
    assert foreseen.outflow.done_at - foreseen.at == dt.timedelta(seconds=40)
    assert (foreseen.outflow.put_off, foreseen.outflow.too_late) == (0, 0)


def test_who_will_not_get_it_in_time_is_told(brand: Brand) -> None:
    world.make_people(brand, 40)
    PlatformPolicy.objects.update(text_lifetime=dt.timedelta(seconds=30))
    world.make_sender(brand, rate=1)

    outflow = forecast.of_campaign(world.make_campaign(brand, launched=False)).outflow

    assert outflow.too_late == pytest.approx(10)


def test_what_the_brand_has_due_already_leaves_before(brand: Brand) -> None:
    world.make_people(brand, 1)
    for _ in range(3):
        world.make_text(brand, segments=2)
    world.make_sender(brand, rate=1)

    foreseen = forecast.of_campaign(world.make_campaign(brand, launched=False))

    assert foreseen.ahead == 6
    assert foreseen.outflow.done_at - foreseen.at == dt.timedelta(seconds=7)


def delivered(campaign: Campaign) -> None:
    """Plan a broadcast and let it have arrived three days ago."""
    world.plan(campaign)
    at = clock.now() - dt.timedelta(days=3)
    SentLog.objects.filter(campaign=campaign).update(state=State.DELIVERED, sent_at=at)
    QueuedText.objects.all().delete()
    Campaign.objects.filter(pk=campaign.pk).update(status="completed")


def test_the_same_text_sent_before_is_noticed_whatever_its_spaces(brand: Brand) -> None:
    had = world.make_people(brand, 3)
    first = world.make_campaign(brand, "Hi  there,\n{{ first_name | default: 'you' }}")
    other = world.make_campaign(brand, "Something else")
    delivered(first)
    delivered(other)
    world.make_people(brand, 2)
    world.opt_out(brand, had[0])

    foreseen = forecast.of_campaign(
        world.make_campaign(brand, "hi there, {{ first_name | default: 'you' }} ", launched=False)
    )

    assert foreseen.repeated == 2
    assert [(one.campaign.pk, one.people) for one in foreseen.repeats] == [(first.pk, 2)]


def test_the_same_text_of_a_pool_is_noticed_too(brand: Brand) -> None:
    people = world.make_people(brand, 3)
    pool = world.make_campaign(brand, "Again", kind="evergreen")
    sent_before(brand, people[0], campaign=pool)
    SentLog.objects.update(message_id=pool.messages.get().pk)

    foreseen = forecast.of_campaign(world.make_campaign(brand, "Again", launched=False))

    assert (foreseen.repeated, foreseen.repeats[0].campaign) == (1, pool)


def test_campaigns_at_the_same_time_are_compared(brand: Brand, small_chunks: None) -> None:
    world.make_people(brand, 25)
    soon = clock.now() + dt.timedelta(hours=3)
    near = world.make_campaign(brand, starts_at=soon)
    world.make_campaign(brand, starts_at=clock.now() + dt.timedelta(days=5))
    world.make_campaign(world.make_brand("ta"), starts_at=soon)

    foreseen = forecast.of_campaign(world.make_campaign(brand, launched=False))

    assert [(one.campaign, one.people) for one in foreseen.overlaps] == [(near, 25)]


def test_a_start_to_come_is_foreseen_at_its_hour(brand: Brand) -> None:
    world.make_people(brand, 1)
    (person,) = world.make_people(brand, 1)
    BrandPolicy.objects.update(daily_limit=1)
    sent_before(brand, person)
    starts_at = clock.now() + dt.timedelta(hours=23)

    foreseen = forecast.of_campaign(world.make_campaign(brand, launched=False, starts_at=starts_at))

    assert foreseen.at >= starts_at.replace(microsecond=0)
    assert (foreseen.now, foreseen.later) == (2, 0)


def test_queries_do_not_grow_with_the_audience(brand: Brand) -> None:
    campaign = world.make_campaign(brand, launched=False)
    world.make_people(brand, 5)
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as captured:
            forecast.of_campaign(campaign)
        counts.append(len(captured))
        world.make_people(brand, 200)

    assert counts[0] == counts[1]


def test_a_pools_forecast_counts_what_the_next_tick_writes(brand: Brand) -> None:
    everybody(brand)
    resting = world.make_people(brand, 1, first_name="Ada", last_engagement=clock.now())
    EvergreenTurn.objects.create(
        brand=brand, subscriber=resting[0], next_at=clock.now() + dt.timedelta(days=1)
    )
    other = world.make_campaign(brand, "One", "Two", kind="evergreen")
    campaign = world.make_campaign(brand, BODY, "{{ brand }}", launched=False, kind="evergreen")
    lifecycle.begin(other)

    foreseen = pool_forecast.of_pool(campaign)

    lifecycle.launch(campaign, now=clock.now())
    lifecycle.begin(campaign)
    evergreen.tick_due(budget=60)
    assert foreseen.totals.by_state_and_reason == progress.of_campaign(campaign).by_state_and_reason
    assert foreseen.others == SentLog.objects.filter(campaign=other).count() > 0
    assert (foreseen.due, foreseen.resting) == (14, 1)  # who is opted in; one rests
    assert foreseen.due == foreseen.others + foreseen.totals.audience + foreseen.nothing.total()
    assert foreseen.nothing["daily_limit"] == 1


def test_a_pool_without_a_message_or_that_is_over_is_not_foreseen(brand: Brand) -> None:
    pool = world.make_campaign(brand, launched=False, kind="evergreen")
    Message.objects.all().delete()
    with pytest.raises(forecast.NothingToForecast, match="no message"):
        pool_forecast.of_pool(pool)
    lifecycle.cancel(pool)
    with pytest.raises(forecast.NothingToForecast, match="cancelled"):
        pool_forecast.of_pool(pool)
