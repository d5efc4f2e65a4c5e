"""A forecast with a test share, a hold-out, the platform's daily cap, or a very large audience."""

import datetime as dt
from io import StringIO

import pytest
from django.core.management import call_command
from django.test import Client

from campaigns import variants
from campaigns.models import BrandPolicy, Campaign, PlatformPolicy
from campaigns.variants import Part
from sending import forecast, forecast_words, planning, progress, repeats, samples
from sending.models import DailyTotal, QueuedText, SentLog, State
from subscribers import clock
from subscribers.models import Brand
from tests import sending_world as world
from tests.subscribers.conftest import api_key, make_key

SHORT, LONG = "{{ brand }}: now. Reply STOP to end.", "{{ brand }}: " + "x" * 200 + " STOP to end"


@pytest.fixture
def divided(brand: Brand) -> Campaign:
    """200 people of whom 10 % are held out, and a fifth of the others are in the test."""
    people = world.make_people(brand, 200)
    world.opt_out(brand, people[0])
    return world.make_campaign(brand, SHORT, LONG, launched=False, holdout=10, test_share=20)


def counted(campaign: Campaign) -> dict[Part, int]:
    found = dict.fromkeys(Part, 0)
    for pk in campaign.brand.subscriptions.values_list("subscriber_id", flat=True):
        found[variants.part_of(campaign, pk)] += 1
    return found


def test_both_parts_of_a_test_are_stated(divided: Campaign) -> None:
    parts = counted(divided)

    seen = forecast.of_campaign(divided)

    assert seen.waiting is not None
    assert seen.totals.audience == parts[Part.TEST] + parts[Part.HOLD_OUT]
    assert seen.waiting.people == parts[Part.REST]
    assert seen.waiting.people - seen.waiting.texts <= 1  # who opted out, if she is of them
    assert (seen.waiting.least_credits, seen.waiting.most_credits) == (
        seen.waiting.texts,
        2 * seen.waiting.texts,
    )
    lines = forecast_words.divided(seen)
    assert [line.title for line in lines] == [
        "The test: one of the messages",
        "Wait for the winner",
        "Held out, to measure the effect",
    ]
    assert sum(line.count for line in lines) == 200


def test_the_rest_is_foreseen_as_it_is_then_planned(divided: Campaign) -> None:
    foreseen = forecast.of_campaign(divided).waiting
    world.lifecycle.launch(divided, now=clock.now())
    world.plan(divided)
    assert foreseen is not None

    awaiting = forecast.of_campaign(divided)
    assert awaiting.awaits_winner
    assert awaiting.waiting is None
    assert (awaiting.totals.audience, awaiting.texts) == (foreseen.people, foreseen.texts)
    assert "wait for the winner" in forecast_words.basis(awaiting)
    before = progress.of_campaign(divided).audience

    variants.choose_winner(divided, divided.messages.get(body=SHORT), now=clock.now())
    chosen = forecast.of_campaign(divided)
    assert (chosen.texts, chosen.credits) == (foreseen.texts, foreseen.least_credits)
    planning.plan_due(budget=60)

    assert progress.of_campaign(divided).audience - before == foreseen.people
    with pytest.raises(forecast.NothingToForecast, match="Everybody of this campaign is planned"):
        forecast.of_campaign(divided)


def test_a_hold_out_alone_is_stated(brand: Brand) -> None:
    world.make_people(brand, 100)
    campaign = world.make_campaign(brand, launched=False, holdout=30)
    held = counted(campaign)[Part.HOLD_OUT]

    seen = forecast.of_campaign(campaign)

    assert seen.waiting is None
    assert [(line.title, line.count) for line in forecast_words.divided(seen)] == [
        ("Get the campaign", 100 - held),
        ("Held out, to measure the effect", held),
    ]


def test_an_undivided_audience_has_no_parts(brand: Brand) -> None:
    world.make_people(brand, 3)

    assert (
        forecast_words.divided(forecast.of_campaign(world.make_campaign(brand, launched=False)))
        == []
    )


def test_the_command_and_the_api_tell_both_parts(client: Client, divided: Campaign) -> None:
    waiting = forecast.of_campaign(divided).waiting
    assert waiting is not None
    told = StringIO()
    call_command("forecast", divided.pk, stdout=told)
    key = make_key(divided.brand.workspace)

    answer = client.get(f"/api/campaigns/{divided.pk}/forecast", headers=api_key(key)).json()

    assert "Wait for the winner" in told.getvalue()
    assert f"{waiting.least_credits:,} to {waiting.most_credits:,}" in told.getvalue()
    assert answer["waitForWinner"] == {
        "people": waiting.people,
        "texts": waiting.texts,
        "leastCredits": waiting.least_credits,
        "mostCredits": waiting.most_credits,
    }
    assert answer["oneIn"] == 1


def test_who_waits_because_of_the_platforms_cap_is_told(brand: Brand) -> None:
    """The cap leaves room for what was not sent today and is not due for others."""
    world.make_people(brand, 20)
    world.make_sender(brand)
    other = world.make_brand("other")
    for _ in range(3):
        world.make_text(other)
    now = clock.now()
    QueuedText.objects.update(due_at=now - dt.timedelta(minutes=1))
    DailyTotal.objects.update_or_create(day=now.date(), defaults={"sent": 5})
    PlatformPolicy.objects.update(daily_cap=15)
    campaign = world.make_campaign(brand, launched=False)

    seen = forecast.of_campaign(campaign)

    assert (seen.day_cap, seen.cap_left) == (15, 7)
    assert seen.outflow is not None
    assert round(seen.outflow.capped) == 13
    assert sum(
        line for hour, line in seen.outflow.by_hour.items() if hour.date() == now.date()
    ) == (pytest.approx(7))
    [told] = [one for one in forecast_words.warnings(seen) if "the installation sends" in one]
    assert told.startswith("13 people (65.0 %) wait for the next day: the installation sends 15")
    assert "room for 7 more" in told


def test_a_cap_with_room_says_nothing(brand: Brand) -> None:
    world.make_people(brand, 20)
    world.make_sender(brand)

    seen = forecast.of_campaign(world.make_campaign(brand, launched=False))

    assert seen.outflow is not None
    assert (seen.outflow.capped, seen.ahead) == (0, 0)
    assert not [one for one in forecast_words.warnings(seen) if "the installation sends" in one]


def test_a_very_large_audience_is_worked_out_from_a_part_and_it_says_so(
    brand: Brand, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.make_people(brand, 600)
    campaign = world.make_campaign(brand, launched=False)
    monkeypatch.setattr(samples, "MOST_DECIDED", 200)
    monkeypatch.setattr(planning, "CHUNK", 100)

    seen = forecast.of_campaign(campaign)

    assert seen.step == 3
    assert seen.totals.audience % 3 == 0
    assert 480 < seen.totals.audience < 720
    assert seen.texts == seen.totals.audience == seen.credits
    assert "one person in 3" in forecast_words.warnings(seen)[0]
    assert forecast.of_campaign(campaign).totals.audience == seen.totals.audience


def test_an_audience_of_exactly_the_limit_is_worked_out_whole(
    brand: Brand, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.make_people(brand, 30)
    campaign = world.make_campaign(brand, launched=False)
    monkeypatch.setattr(samples, "MOST_DECIDED", 30)

    seen = forecast.of_campaign(campaign)

    assert (seen.step, seen.totals.audience) == (1, 30)


def test_a_large_brand_with_a_small_audience_is_worked_out_whole(
    brand: Brand, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = world.make_people(brand, 50)
    staff = brand.workspace.manual_lists.create(name="staff")
    staff.members.bulk_create(
        staff.members.model(manual_list=staff, subscriber=one) for one in people[:45]
    )
    campaign = world.make_campaign(brand, launched=False)
    campaign.exclude_lists.add(staff)
    monkeypatch.setattr(samples, "MOST_DECIDED", 10)

    seen = forecast.of_campaign(campaign)

    assert (seen.step, seen.totals.audience) == (1, 5)


def test_earlier_runs_that_are_too_large_to_be_held_are_looked_up(
    brand: Brand, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.make_people(brand, 8)
    world.plan(world.make_campaign(brand))
    SentLog.objects.update(state=State.DELIVERED, sent_at=clock.now())
    QueuedText.objects.all().delete()
    campaign = world.make_campaign(brand, launched=False)
    held = forecast.of_campaign(campaign)
    monkeypatch.setattr(repeats, "MOST_HELD", 7)

    looked_up = forecast.of_campaign(campaign)

    assert held.repeated == looked_up.repeated == 8
    assert held.repeats == looked_up.repeats


def test_groups_of_people_who_are_due_at_moments_of_their_own_stay_few(
    brand: Brand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or there would be as many of them in memory as people who had a text lately."""
    now = clock.now()
    for place, one in enumerate(world.make_people(brand, 30)):
        at = now - dt.timedelta(hours=2, seconds=place)
        world.make_text(brand, State.DELIVERED, subscriber_id=one.pk, sent_at=at)
    BrandPolicy.objects.filter(brand=brand).update(daily_limit=1)
    campaign = world.make_campaign(brand, launched=False)
    exact = forecast.of_campaign(campaign)
    monkeypatch.setattr(forecast, "MOST_GROUPS", 5)
    monkeypatch.setattr(planning, "CHUNK", 10)

    seen = forecast.of_campaign(campaign)

    assert (seen.later, seen.due_by_hour) == (30, exact.due_by_hour)
    assert seen.totals == exact.totals
