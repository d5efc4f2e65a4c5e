"""Claims about hold-outs, test shares and the winner: each person is in one part, and stays there."""

from collections import Counter

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from hypothesis import given
from hypothesis import strategies as st

from campaigns import lifecycle, runs, variants
from campaigns.models import Campaign, Run
from campaigns.variants import Part
from sending import evergreen, parking, planning
from sending.models import EvergreenTurn, QueuedText, SentLog, State
from subscribers import clock
from subscribers.models import Brand
from tests import sending_world as world


@given(st.integers(1, 2**40), st.integers(1, 2**40), st.integers(0, 50), st.integers(1, 99))
def test_a_persons_part_is_always_the_same(
    campaign: int, person: int, holdout: int, share: int
) -> None:
    divided = Campaign(pk=campaign, holdout=holdout, test_share=share)
    part = variants.part_of(divided, person)

    assert variants.part_of(divided, person) is part
    # Another test share moves nobody into or out of the hold-out.
    whole = variants.part_of(Campaign(pk=campaign, holdout=holdout), person)
    assert whole is (Part.HOLD_OUT if part is Part.HOLD_OUT else Part.TEST)


def test_parts_are_as_large_as_they_say_and_differ_between_campaigns() -> None:
    one, other = (Campaign(pk=pk, holdout=10, test_share=20) for pk in (1, 2))
    people = range(1, 20_001)

    counted = Counter(variants.part_of(one, person) for person in people)
    assert 1800 < counted[Part.HOLD_OUT] < 2200
    assert 3350 < counted[Part.TEST] < 3850  # 20 % of the other 90 %
    both = sum(
        variants.part_of(one, person) is variants.part_of(other, person) is Part.HOLD_OUT
        for person in people
    )
    assert 140 < both < 270  # as by chance


def test_who_is_held_out_gets_a_row_that_says_so(brand: Brand) -> None:
    people = world.make_people(brand, 60)
    world.opt_out(brand, people[0])
    campaign = world.make_campaign(brand, holdout=30)

    run = world.plan(campaign)

    reasons = dict(SentLog.objects.values_list("subscriber_id", "reason"))
    held = {one.pk for one in people if variants.is_held_out(campaign, one.pk)} - {people[0].pk}
    assert held
    assert {pk for pk, reason in reasons.items() if reason == "hold_out"} == held
    assert reasons[people[0].pk] == "opted_out"  # she would have got nothing anyway
    assert run.audience == 60
    assert QueuedText.objects.count() == 60 - 1 - len(held)
    skipped = SentLog.objects.filter(reason="hold_out").values_list("state", "body").distinct()
    assert list(skipped) == [(State.SKIPPED, "")]


def in_test(brand: Brand, people: int = 60, **fields: int) -> Campaign:
    """A campaign of two messages whose test share is planned."""
    world.make_people(brand, people)
    campaign = world.make_campaign(brand, "A", "B", **{"test_share": 30} | fields)
    planning.plan_due(budget=60)
    campaign.refresh_from_db()
    return campaign


def by_run() -> Counter[int]:
    return Counter(SentLog.objects.values_list("run_id", flat=True))


def test_only_the_test_share_is_planned_among_the_variants(brand: Brand) -> None:
    campaign = in_test(brand)

    planned = dict(SentLog.objects.values_list("subscriber_id", "body"))
    assert all(variants.part_of(campaign, pk) is Part.TEST for pk in planned)
    assert 0 < len(planned) < 60
    assert set(planned.values()) == {"A", "B"}
    assert campaign.runs.get().audience == len(planned)
    assert campaign.runs.get().planned_at is not None


def test_a_campaign_that_awaits_its_winner_is_not_completed(brand: Brand) -> None:
    campaign = in_test(brand)
    QueuedText.objects.all().delete()
    SentLog.objects.update(state=State.DELIVERED)

    parking.close_finished()

    campaign.refresh_from_db()
    assert campaign.status == Campaign.Status.RUNNING
    assert campaign.runs.get().finished_at is not None


def test_the_rest_gets_the_winner_exactly_once(brand: Brand) -> None:
    campaign = in_test(brand, holdout=10)
    before = set(SentLog.objects.values_list("id", flat=True))
    winner = campaign.messages.get(body="B")

    for _ in range(2):
        variants.choose_winner(campaign, winner, now=clock.now())
        planning.plan_due(budget=60)

    new = SentLog.objects.exclude(id__in=before)
    assert {text.body for text in new} == {"B"}
    assert len(before) + new.count() == 60
    assert SentLog.objects.values("subscriber_id").distinct().count() == 60
    test, rest = campaign.runs.order_by("pk")
    assert (test.audience, rest.audience) == (len(before), new.count())
    assert rest.winner == winner
    assert rest.planned_at is not None


def test_a_campaign_is_completed_after_its_rest(brand: Brand) -> None:
    campaign = in_test(brand)
    variants.choose_winner(campaign, campaign.messages.get(body="A"), now=clock.now())
    parking.close_finished()
    campaign.refresh_from_db()
    assert campaign.status == Campaign.Status.RUNNING
    planning.plan_due(budget=60)
    QueuedText.objects.all().delete()
    SentLog.objects.update(state=State.DELIVERED)

    parking.close_finished()

    campaign.refresh_from_db()
    assert campaign.status == Campaign.Status.COMPLETED


def test_who_joined_since_the_test_is_of_the_rest(brand: Brand) -> None:
    campaign = in_test(brand, 20)
    world.make_people(brand, 40)
    variants.choose_winner(campaign, campaign.messages.get(body="A"), now=clock.now())

    planning.plan_due(budget=60)

    assert SentLog.objects.values("subscriber_id").distinct().count() == 60
    assert SentLog.objects.count() == 60


def test_another_winner_is_refused(brand: Brand) -> None:
    campaign = in_test(brand)
    first, second = campaign.messages.order_by("pk")
    variants.choose_winner(campaign, first, now=clock.now())

    with pytest.raises(lifecycle.NotAllowed, match="Another message was chosen"):
        variants.choose_winner(campaign, second, now=clock.now())
    with pytest.raises(IntegrityError), transaction.atomic():
        runs.open_rest(campaign, winner=second, now=clock.now())
    planning.plan_due(budget=60)


def test_two_who_choose_at_once_open_one_run(brand: Brand) -> None:
    campaign = in_test(brand)
    winner = campaign.messages.get(body="A")

    def choose() -> None:
        variants.choose_winner(Campaign.objects.get(pk=campaign.pk), winner, now=clock.now())

    world.at_once(*[choose] * 4)

    assert Run.objects.filter(winner=winner).count() == 1
    planning.plan_due(budget=60)


def test_a_winner_cannot_be_chosen_too_early_too_late_or_of_another_campaign(brand: Brand) -> None:
    world.make_people(brand, 5)
    campaign = world.make_campaign(brand, "A", "B", test_share=50)
    winner = campaign.messages.get(body="A")
    other = world.make_campaign(brand, "C", launched=False).messages.get()

    with pytest.raises(lifecycle.NotAllowed, match="runs or is paused"):
        variants.choose_winner(campaign, winner, now=clock.now())
    planning.start_due()
    with pytest.raises(lifecycle.NotAllowed, match="not planned yet"):
        variants.choose_winner(campaign, winner, now=clock.now())
    planning.plan_due(budget=60)
    with pytest.raises(lifecycle.NotAllowed, match="none of the campaign's"):
        variants.choose_winner(campaign, other, now=clock.now())
    lifecycle.cancel(campaign)
    with pytest.raises(lifecycle.NotAllowed, match="runs or is paused"):
        variants.choose_winner(campaign, winner, now=clock.now())
    plain = world.make_campaign(brand, launched=False)
    with pytest.raises(lifecycle.NotAllowed, match="no test share"):
        variants.choose_winner(plain, plain.messages.get(), now=clock.now())


def test_a_planner_of_the_rest_that_is_killed_goes_on(brand: Brand) -> None:
    campaign = in_test(brand)
    variants.choose_winner(campaign, campaign.messages.get(body="A"), now=clock.now())
    world.killed_at_the_end_of(lambda: planning.plan_due(budget=60))

    planning.plan_due(budget=60)

    assert SentLog.objects.values("subscriber_id").distinct().count() == 60
    assert sum(by_run().values()) == 60


def test_who_is_held_out_of_a_pool_gets_none_of_its_messages(brand: Brand) -> None:
    people = world.make_people(brand, 40)
    pool = world.make_campaign(brand, "Tea", kind=Campaign.Kind.EVERGREEN, holdout=50)
    planning.start_due()

    evergreen.tick_due()

    got = set(SentLog.objects.values_list("subscriber_id", flat=True))
    assert got == {one.pk for one in people if not variants.is_held_out(pool, one.pk)}
    assert EvergreenTurn.objects.count() == 40


def test_only_a_broadcast_has_a_test_share(brand: Brand) -> None:
    with pytest.raises(ValidationError, match="Only a broadcast"):
        Campaign(brand=brand, name="x", kind=Campaign.Kind.EVERGREEN, test_share=10).full_clean()
