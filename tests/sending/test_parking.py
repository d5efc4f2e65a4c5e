"""What follows when a person pauses, resumes or cancels, and when a campaign is done."""

import datetime as dt

import pytest

from campaigns import lifecycle, policy
from campaigns.models import Campaign, PlatformPolicy, Run
from sending import outcomes, parking, queues
from sending.gateways.base import Fate, Outcome
from sending.models import QueuedText, Sender, State
from sending.outcomes import Answered
from subscribers import clock
from subscribers.models import Brand
from tests import sending_world as world

Status = Campaign.Status


def send_all(brand: Brand, sender: Sender, fate: Fate = Fate.ACCEPTED) -> None:
    token, departing = world.pass_gate(brand, sender)
    told = [Answered(token, Outcome(one.text.id, fate, code="x")) for one in departing]
    outcomes.record(told, arrived=[token])


def parked() -> int:
    return QueuedText.objects.filter(due_at=queues.PARKED).count()


def test_only_what_is_on_again_comes_back(brand: Brand, sender: Sender) -> None:
    first, second = world.planned_texts(brand, 1)[0], None
    second = world.planned_texts(brand, 1)[0]
    for text in (first, second):
        lifecycle.pause(text.campaign)
    world.pass_gate(brand, sender)
    assert parked() == 3  # the second campaign has both people

    lifecycle.resume(second.campaign, now=clock.now())

    assert parking.unpark() == 2
    assert parked() == 1
    assert QueuedText.objects.get(due_at=queues.PARKED).campaign_id == first.campaign_id


@pytest.mark.parametrize("platform", [True, False])
def test_while_brand_or_platform_is_off_nothing_comes_back(
    brand: Brand, sender: Sender, platform: bool
) -> None:
    world.planned_texts(brand, 2)
    other = world.make_brand("ta", workspace=brand.workspace)
    world.make_text(other)
    QueuedText.objects.update(due_at=queues.PARKED)
    if platform:
        PlatformPolicy.objects.update(sending_enabled=False)
    else:
        own = policy.of_brand(brand)
        own.sending_enabled = False
        own.save()

    assert parking.unpark() == (0 if platform else 1)


def test_a_cancelled_campaign_is_emptied_whatever_its_texts_wait_for(
    brand: Brand, sender: Sender
) -> None:
    texts = world.planned_texts(brand, 3)
    other = world.make_text(brand)
    QueuedText.objects.filter(pk=texts[0].pk).update(due_at=queues.PARKED)
    later = clock.now() + dt.timedelta(hours=1)
    QueuedText.objects.filter(pk=texts[1].pk).update(due_at=later)
    lifecycle.cancel(texts[0].campaign)

    assert parking.empty_cancelled() == 3

    assert world.states(reason="campaign_cancelled") == {State.CANCELLED: 3}
    assert QueuedText.objects.get().pk == other.pk


def test_cancelling_leaves_what_has_departed(brand: Brand, sender: Sender) -> None:
    gone, _ = world.planned_texts(brand, 2)
    world.pass_gate(brand, sender, at_most=1)
    lifecycle.cancel(gone.campaign)

    parking.follow_campaigns()

    assert world.states() == {State.SENDING: 1, State.CANCELLED: 1}


def test_a_large_campaign_is_cancelled_in_parts(brand: Brand) -> None:
    texts = world.planned_texts(brand, 5)

    parts = [outcomes.cancel_of_campaign(texts[0].campaign_id, at_most=2) for _ in range(4)]

    assert parts == [2, 2, 1, 0]


def test_a_broadcast_is_completed_when_nothing_is_left_to_do(brand: Brand, sender: Sender) -> None:
    campaign = world.planned_texts(brand, 3)[0].campaign

    parking.close_finished()
    campaign.refresh_from_db()
    assert campaign.status == Status.RUNNING

    send_all(brand, sender)
    parking.close_finished()
    campaign.refresh_from_db()
    assert campaign.status == Status.COMPLETED
    assert Run.objects.get().finished_at is not None


@pytest.mark.parametrize("fate", [None, Fate.RETRY])
def test_a_broadcast_with_a_text_on_its_way_or_to_be_retried_is_not_completed(
    brand: Brand, sender: Sender, fate: Fate | None
) -> None:
    campaign = world.planned_texts(brand, 1)[0].campaign
    if fate:
        send_all(brand, sender, fate)
    else:
        world.pass_gate(brand, sender)

    parking.close_finished()

    campaign.refresh_from_db()
    assert campaign.status == Status.RUNNING


def test_a_broadcast_that_is_not_planned_to_its_end_is_not_completed(brand: Brand) -> None:
    world.make_people(brand, 2)
    campaign = world.make_campaign(brand)
    run = world.plan(campaign)
    Run.objects.filter(pk=run.pk).update(planned_at=None)
    outcomes.cancel_of_campaign(campaign.pk)

    parking.close_finished()

    campaign.refresh_from_db()
    assert campaign.status == Status.RUNNING


def test_a_broadcast_paused_after_its_last_text_is_completed_once_resumed(
    brand: Brand, sender: Sender
) -> None:
    campaign = world.planned_texts(brand, 1)[0].campaign
    send_all(brand, sender)
    lifecycle.pause(campaign)
    parking.follow_campaigns()
    campaign.refresh_from_db()
    assert campaign.status == Status.PAUSED

    lifecycle.resume(campaign, now=clock.now())
    parking.follow_campaigns()

    campaign.refresh_from_db()
    assert campaign.status == Status.COMPLETED


def test_a_run_of_a_cancelled_campaign_ends_and_the_campaign_stays_cancelled(
    brand: Brand,
) -> None:
    campaign = world.planned_texts(brand, 2)[0].campaign
    lifecycle.cancel(campaign)

    parking.follow_campaigns()

    campaign.refresh_from_db()
    assert campaign.status == Status.CANCELLED
    assert Run.objects.get().finished_at is not None


def test_a_campaign_is_never_completed_while_a_refusal_is_written_down(brand: Brand) -> None:
    """The text leaves "sending" and enters the queue in one moment: no look may fall in between."""
    for round_ in range(12):
        each = world.make_brand(f"round{round_}", workspace=brand.workspace)
        its = world.make_sender(each)
        campaign = world.planned_texts(each, 60)[0].campaign
        token, departing = world.pass_gate(each, its)
        told = [
            Answered(token, Outcome(one.text.id, Fate.RETRY, code="lease-expired"))
            for one in departing
        ]

        world.at_once(
            lambda token=token, told=told: outcomes.record(told, arrived=[token]),
            lambda: [parking.close_finished() for _ in range(6)],
        )

        campaign.refresh_from_db()
        assert campaign.status == Status.RUNNING
        lifecycle.cancel(campaign)
        parking.follow_campaigns()
