"""Claims about outages: what should have gone meanwhile waits for a person."""

import datetime as dt

import pytest

from campaigns import lifecycle
from campaigns.models import Campaign, PlatformPolicy
from sending import outage, parking, planning, queue_state
from sending.models import QueuedText, Sender, State, TickerBeat
from subscribers import clock
from subscribers.models import Brand
from tests import sending_world as world

Status = Campaign.Status
HOUR = dt.timedelta(hours=1)
MINUTE = dt.timedelta(minutes=1)


def tick() -> None:
    planning.plan_due(budget=30)


def stood_still(for_: dt.timedelta) -> None:
    """Let the ticker have ticked so long ago, and everything else have happened before that."""
    TickerBeat.objects.update_or_create(pk=1, defaults={"at": clock.now() - for_})
    before = clock.now() - for_ - MINUTE
    Campaign.objects.exclude(launched_at=None).update(launched_at=before)
    QueuedText.objects.filter(due_at__lte=clock.now()).update(due_at=before)


def half_planned(brand: Brand, monkeypatch: pytest.MonkeyPatch) -> Campaign:
    """A running broadcast of which two of five people are planned."""
    world.make_people(brand, 5)
    campaign = world.make_campaign(brand)
    planning.start_due()
    monkeypatch.setattr(planning, "CHUNK", 2)
    tick_once = planning.runs.open_broadcast(campaign, now=clock.now())
    planning.plan_chunk(tick_once)
    campaign.refresh_from_db()
    return campaign


def status(campaign: Campaign) -> str:
    campaign.refresh_from_db()
    return campaign.status


def test_planning_that_an_outage_interrupted_waits_for_a_person(
    brand: Brand, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = half_planned(brand, monkeypatch)
    stood_still(3 * HOUR)

    tick()

    assert status(campaign) == Status.WAITING
    assert "Nothing was sent for 3 hours, until" in campaign.status_reason
    assert "Resume it" in campaign.status_reason
    assert campaign.runs.get().audience == 2


def test_after_a_person_resumes_it_the_rest_is_planned_and_each_person_once(
    brand: Brand, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = half_planned(brand, monkeypatch)
    stood_still(3 * HOUR)
    tick()

    lifecycle.resume(campaign, now=clock.now())
    tick()
    parking.follow_campaigns()

    assert status(campaign) == Status.RUNNING
    assert campaign.runs.get().audience == 5
    assert len(world.pass_gate(brand, sender)[1]) == 5


def test_a_short_interruption_goes_on_by_itself(
    brand: Brand, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = half_planned(brand, monkeypatch)
    stood_still(59 * MINUTE)

    tick()

    assert status(campaign) == Status.RUNNING
    assert campaign.runs.get().audience == 5


def test_texts_that_should_have_gone_an_hour_ago_wait_with_their_campaign(
    brand: Brand, sender: Sender
) -> None:
    world.make_people(brand, 3)
    campaign = world.make_campaign(brand)
    world.plan(campaign)
    stood_still(2 * HOUR)

    tick()

    assert status(campaign) == Status.WAITING
    assert world.pass_gate(brand, sender)[1] == []
    parking.follow_campaigns()
    assert world.states() == {State.PLANNED: 3}
    assert status(campaign) == Status.WAITING  # not completed: it waits

    lifecycle.resume(campaign, now=clock.now())
    parking.follow_campaigns()
    assert len(world.pass_gate(brand, sender)[1]) == 3


def test_a_campaign_that_only_waits_for_tomorrows_hours_was_not_interrupted(brand: Brand) -> None:
    world.make_people(brand, [world.number(area=world.HAWAII)])
    campaign = world.make_campaign(brand)
    world.plan(campaign)
    assert QueuedText.objects.filter(due_at__gt=clock.now()).count() == 1
    stood_still(2 * HOUR)

    tick()

    assert status(campaign) == Status.RUNNING


def test_a_start_that_fell_into_an_outage_waits_for_a_person_however_late_it_is(
    brand: Brand,
) -> None:
    campaign = world.make_campaign(brand)
    stood_still(2 * HOUR)
    Campaign.objects.update(starts_at=clock.now() - 5 * MINUTE)

    tick()

    assert status(campaign) == Status.WAITING
    lifecycle.resume(campaign, now=clock.now())
    tick()
    assert status(campaign) in (Status.RUNNING, Status.COMPLETED)


def test_what_is_launched_during_an_outage_starts_when_it_ends(brand: Brand) -> None:
    world.make_people(brand, 1)
    stood_still(2 * HOUR)
    campaign = world.make_campaign(brand)

    tick()

    assert status(campaign) == Status.RUNNING


def test_a_pool_goes_on_after_an_outage(brand: Brand) -> None:
    pool = world.make_campaign(brand, kind=Campaign.Kind.EVERGREEN)
    planning.start_due()
    stood_still(5 * HOUR)

    tick()

    assert status(pool) == Status.RUNNING


def test_an_outage_that_ends_while_it_is_noted_is_found_again(
    brand: Brand, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = half_planned(brand, monkeypatch)
    stood_still(2 * HOUR)

    world.killed_at_the_end_of(outage.look)
    assert status(campaign) == Status.RUNNING

    assert outage.look() == 1
    assert outage.look() == 0
    assert status(campaign) == Status.WAITING


def test_how_long_is_too_long_is_the_installations_rule(
    brand: Brand, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = half_planned(brand, monkeypatch)
    PlatformPolicy.objects.update(late_start=4 * HOUR)
    stood_still(3 * HOUR)

    tick()

    assert status(campaign) == Status.RUNNING


def test_a_ticker_that_stands_still_is_shown_with_the_queue(brand: Brand) -> None:
    assert outage.lag(clock.now()) is None
    outage.look()
    assert not any("ticker" in one for one in queue_state.held_back_by(brand))

    stood_still(12 * MINUTE)

    assert "The ticker has not run for 12 minutes. Nothing is planned or rung." in (
        queue_state.held_back_by(brand)
    )
