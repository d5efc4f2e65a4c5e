"""What a campaign will cost, and what happens to one that its workspace cannot pay for."""

from collections.abc import Iterator
from typing import Any

import pytest

from campaigns import lifecycle, runs
from campaigns.models import Campaign
from sending import costs, credits, evergreen, planning
from sending.models import CreditAccount, CreditEntry, SentLog
from subscribers import clock
from subscribers.models import Brand, Workspace
from tests import sending_world as world

TWO_SEGMENTS = "x" * 200


@pytest.fixture
def small_chunks() -> Iterator[None]:
    """Chunks of 10 people."""
    whole = planning.CHUNK
    planning.CHUNK = 10
    yield
    planning.CHUNK = whole


def give(brand: Brand, amount: int, *, enforced: bool = True, reference: str = "first") -> None:
    credits.grant(brand.workspace, amount, note="a test", actor="tester", reference=reference)
    CreditAccount.objects.filter(workspace=brand.workspace).update(enforced=enforced)


def figures(brand: Brand) -> tuple[int, int, int]:
    """(available, reserved, spent)"""
    account = CreditAccount.objects.get(workspace=brand.workspace)
    return account.available, account.reserved, account.spent


def test_a_campaign_that_lacks_credits_is_refused_at_launch_with_the_missing_amount(
    brand: Brand,
) -> None:
    give(brand, 15)
    world.make_people(brand, 10)
    campaign = world.make_campaign(brand, TWO_SEGMENTS, launched=False)

    with pytest.raises(
        lifecycle.NotAllowed, match=r"needs 5 more credits.*10 people cost about 20"
    ):
        lifecycle.launch(campaign, now=clock.now())

    campaign.refresh_from_db()
    assert campaign.status == Campaign.Status.DRAFT
    give(brand, 5, reference="second")
    lifecycle.launch(campaign, now=clock.now())
    assert campaign.status == Campaign.Status.SCHEDULED


def test_without_an_account_or_where_it_is_not_enforced_nothing_is_refused(brand: Brand) -> None:
    world.make_people(brand, 3)
    world.plan(world.make_campaign(brand))
    assert not CreditEntry.objects.exists()

    give(brand, 1, enforced=False)
    world.plan(world.make_campaign(brand, weekly_cap=5))

    # What was planned before the account was opened is not counted.
    assert figures(brand) == (-2, 3, 0)
    assert credits.audit(brand.workspace) == []


def test_credits_that_are_gone_when_it_starts_hold_the_campaign(brand: Brand) -> None:
    give(brand, 10)
    world.make_people(brand, 10)
    campaign = world.make_campaign(brand)
    credits.grant(brand.workspace, -4, note="a mistake", actor="tester", reference="taken")

    planning.start_due()

    campaign.refresh_from_db()
    assert (campaign.status, campaign.status_reason) == (
        Campaign.Status.WAITING,
        "It needs 4 more credits.",
    )


def test_of_two_campaigns_that_start_together_the_second_does_not_use_the_firsts_credits(
    brand: Brand,
) -> None:
    give(brand, 15)
    world.make_people(brand, 10)
    first, second = world.make_campaign(brand), world.make_campaign(brand, weekly_cap=2)

    planning.plan_due(budget=60)

    first.refresh_from_db()
    second.refresh_from_db()
    assert first.status == Campaign.Status.RUNNING
    assert (second.status, second.status_reason) == (
        Campaign.Status.WAITING,
        "It needs 5 more credits.",
    )
    assert figures(brand) == (5, 10, 0)


def test_credits_that_run_out_while_planning_pause_the_campaign_where_it_is(
    brand: Brand, small_chunks: None
) -> None:
    give(brand, 25)
    world.make_people(brand, 25)
    campaign = world.make_campaign(brand)
    planning.start_due()
    credits.grant(brand.workspace, -5, note="a mistake", actor="tester", reference="taken")

    planning.plan_due(budget=60)

    campaign.refresh_from_db()
    assert campaign.status == Campaign.Status.PAUSED
    assert campaign.status_reason == "It needs 5 more credits."
    assert figures(brand) == (0, 20, 0)

    give(brand, 5, reference="second")
    lifecycle.resume(campaign, now=clock.now())
    planning.plan_due(budget=60)

    assert figures(brand) == (0, 25, 0)
    assert SentLog.objects.count() == 25


def test_an_evergreen_pool_without_credits_is_paused_and_nobody_loses_a_turn(brand: Brand) -> None:
    give(brand, 3)
    world.make_people(brand, 5)
    campaign = world.make_campaign(brand, kind=Campaign.Kind.EVERGREEN)
    planning.start_due()

    evergreen.tick_due()

    campaign.refresh_from_db()
    assert (campaign.status, campaign.status_reason) == (
        Campaign.Status.PAUSED,
        "It needs 2 more credits.",
    )
    assert not SentLog.objects.exists()
    give(brand, 2, reference="second")
    lifecycle.resume(campaign, now=clock.now())
    evergreen.tick_due()
    assert figures(brand) == (0, 5, 0)


def test_two_brands_that_plan_at_once_do_not_spend_the_same_credits(brand: Brand) -> None:
    other = world.make_brand("ta", workspace=brand.workspace)
    give(brand, 10, enforced=False)
    runs_of = []
    for one in (brand, other):
        world.make_people(one, 10)
        campaign = world.make_campaign(one)
        lifecycle.begin(campaign)
        runs_of.append(runs.open_broadcast(campaign, now=clock.now()))
    CreditAccount.objects.update(enforced=True)

    def plan(run: Any) -> bool:
        try:
            return planning.plan_chunk(run) > 0
        except credits.Short:
            return False

    done = world.at_once(*[lambda run=run: plan(run) for run in runs_of])

    assert sorted(done) == [False, True]
    assert figures(brand) == (0, 10, 0)
    assert credits.differences() == []


def test_an_estimate_is_exact_where_everybody_reads_the_same(brand: Brand) -> None:
    world.make_people(brand, 250)
    campaign = world.make_campaign(brand, TWO_SEGMENTS, launched=False)

    assert costs.of_campaign(campaign) == costs.Estimate(250, 500)


def test_an_estimate_samples_the_whole_audience(brand: Brand) -> None:
    world.make_people(brand, 200, first_name="A")
    world.make_people(brand, 200, first_name="B" * 100)
    campaign = world.make_campaign(brand, "{{ first_name }}" + "x" * 100, launched=False)

    estimate = costs.of_campaign(campaign)

    assert estimate.audience == 400
    assert 550 <= estimate.credits <= 650  # really 600


def test_an_estimate_weighs_the_messages(brand: Brand) -> None:
    world.make_people(brand, 100)
    campaign = world.make_campaign(brand, "x", TWO_SEGMENTS, "y" * 1000, launched=False)
    first, second, third = campaign.messages.order_by("pk")
    for message, weight in ((first, 3), (second, 1), (third, 0)):
        message.weight = weight
        message.save()

    assert costs.of_campaign(campaign).credits == 125


def test_the_credits_of_one_workspace_are_not_anothers(brand: Brand) -> None:
    other = world.make_brand("ta")
    assert other.workspace != brand.workspace
    give(brand, 100)
    give(other, 1, reference="of the other")
    world.make_people(other, 3)
    campaign = world.make_campaign(other, launched=False)

    with pytest.raises(lifecycle.NotAllowed, match="needs 2 more credits"):
        lifecycle.launch(campaign, now=clock.now())

    assert Workspace.objects.count() == 2
