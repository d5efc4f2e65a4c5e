"""The point of no return: who departs, and who does not."""

import datetime as dt
from collections import Counter
from zoneinfo import ZoneInfo

import pytest

from campaigns import lifecycle, policy
from campaigns.eligibility import Purpose
from campaigns.models import BrandPolicy, PlatformPolicy
from sending import gate, parking, queues
from sending.models import DailyTotal, Departure, QueuedText, Sender, SentLog, State
from subscribers import clock, consent
from subscribers.models import Brand
from tests import sending_world as world

EASTERN = ZoneInfo("America/New_York")


def due_at(text: SentLog) -> dt.datetime:
    return QueuedText.objects.get(pk=text.pk).due_at


def test_who_may_be_texted_departs_on_record(brand: Brand, sender: Sender) -> None:
    (text,) = world.planned_texts(brand)

    token, (departing,) = world.pass_gate(brand, sender)

    row = world.reload(text)
    assert (row.state, row.lease_token, row.sender_id) == (State.SENDING, token, sender.pk)
    assert (departing.text.id, departing.text.to, departing.text.body) == (
        row.pk,
        row.phone,
        row.body,
    )
    assert Departure.objects.get().texts == [row.pk]
    assert not QueuedText.objects.exists()


def test_the_provider_may_deliver_until_the_brands_hours_end(brand: Brand, sender: Sender) -> None:
    world.planned_texts(brand)

    _, (departing,) = world.pass_gate(brand, sender)

    seven_hours = 7 * 3600  # 13:00 to 20:00
    assert seven_hours - 60 < departing.text.validity <= seven_hours


def test_a_stop_after_planning_is_obeyed(brand: Brand, sender: Sender) -> None:
    (text,) = world.planned_texts(brand)
    world.opt_out(brand, text.subscriber)

    _, departing = world.pass_gate(brand, sender)

    assert departing == []
    assert (world.reload(text).state, world.reload(text).reason) == (State.SKIPPED, "opted_out")


@pytest.mark.parametrize("switch", ["campaign", "brand", "platform"])
def test_what_is_switched_off_parks_its_texts_until_it_is_on_again(
    brand: Brand, sender: Sender, switch: str
) -> None:
    (text,) = world.planned_texts(brand)

    def turn(*, on: bool) -> None:
        if switch == "campaign":
            campaign = text.campaign
            campaign.refresh_from_db()
            lifecycle.resume(campaign, now=clock.now()) if on else lifecycle.pause(campaign)
            return
        rules = policy.of_brand(brand) if switch == "brand" else policy.platform()
        rules.sending_enabled = on
        rules.save()

    turn(on=False)
    _, departing = world.pass_gate(brand, sender)
    assert departing == []
    assert due_at(text) == queues.PARKED
    assert parking.unpark() == 0

    turn(on=True)
    assert parking.unpark() == 1
    _, departing = world.pass_gate(brand, sender)
    assert [one.text.id for one in departing] == [text.id]


def test_a_cancelled_campaigns_text_is_cancelled(brand: Brand, sender: Sender) -> None:
    (text,) = world.planned_texts(brand)
    lifecycle.cancel(text.campaign)

    _, departing = world.pass_gate(brand, sender)

    assert departing == []
    assert world.reload(text).state == State.CANCELLED


def test_a_text_that_comes_back_to_a_completed_campaign_still_goes(
    brand: Brand, sender: Sender
) -> None:
    (text,) = world.planned_texts(brand)
    lifecycle.complete(text.campaign)

    _, departing = world.pass_gate(brand, sender)

    assert [one.text.id for one in departing] == [text.id]


def test_outside_the_hours_a_text_is_put_off_to_the_window_in_real_time(
    brand: Brand, sender: Sender
) -> None:
    (text,) = world.planned_texts(brand)
    BrandPolicy.objects.update(opens=dt.time(15))

    _, departing = world.pass_gate(brand, sender)

    here = (clock.now() + brand.clock_shift).astimezone(EASTERN)
    opens = dt.datetime.combine(here.date(), dt.time(15), EASTERN)
    assert departing == []
    assert due_at(text) == opens - brand.clock_shift


def test_a_text_that_cannot_go_before_it_expires_is_expired(brand: Brand, sender: Sender) -> None:
    (text,) = world.planned_texts(brand)
    BrandPolicy.objects.update(opens=dt.time(15))
    SentLog.objects.update(expires_at=clock.now() + dt.timedelta(minutes=90))

    world.pass_gate(brand, sender)

    assert (world.reload(text).state, world.reload(text).reason) == (
        State.EXPIRED,
        "outside_hours",
    )


@pytest.mark.parametrize(
    "purpose", [one for one in Purpose if one is not Purpose.OPT_IN]
)  # nobody here is pending
def test_a_text_that_waited_too_long_is_not_sent_any_more(
    brand: Brand, sender: Sender, purpose: Purpose
) -> None:
    (text,) = world.planned_texts(brand)
    SentLog.objects.update(expires_at=clock.now() - dt.timedelta(seconds=1), purpose=purpose)

    _, departing = world.pass_gate(brand, sender)

    assert departing == []
    assert world.reload(text).state == State.EXPIRED
    assert DailyTotal.objects.get().sent == 0


def test_who_is_being_changed_by_somebody_is_passed_over_and_comes_a_moment_later(
    brand: Brand, sender: Sender
) -> None:
    """An opt-out that is under way must neither be waited for nor be overtaken."""
    busy, free = world.planned_texts(brand, 2)

    with world.elsewhere(lambda: consent.lock_people([busy.subscriber_id])):
        _, departing = world.pass_gate(brand, sender)

    assert [one.text.id for one in departing] == [free.id]
    waiting = QueuedText.objects.get()
    assert waiting.pk == busy.id
    assert clock.now() < waiting.due_at < clock.now() + dt.timedelta(seconds=1)
    world.all_due()
    assert [one.text.id for one in world.pass_gate(brand, sender)[1]] == [busy.id]


def test_a_text_whose_sender_has_nothing_left_makes_way_for_a_moment(
    brand: Brand, sender: Sender
) -> None:
    texts = world.planned_texts(brand, 5)

    share = gate.Share(brand, [sender], {sender.pk: 2}, at_most=5)
    (batch,) = gate.pass_gate([share])

    assert (batch.taken, len(batch.departing)) == (5, 2)
    assert world.states() == {State.SENDING: 2, State.PLANNED: 3}
    assert QueuedText.objects.filter(due_at__gt=clock.now()).count() == len(texts) - 2


def test_several_brands_pass_together_each_by_its_own_rules(brand: Brand, sender: Sender) -> None:
    asleep = world.make_brand("asleep", workspace=brand.workspace)
    stranger = world.make_brand("stranger")
    shares = [gate.Share(brand, [sender], {sender.pk: 9}, 9)]
    for one in (asleep, stranger):
        own = world.make_sender(one)
        shares.append(gate.Share(one, [own], {own.pk: 9}, 9))
    for one in (brand, asleep, stranger):
        world.planned_texts(one, 3)
    BrandPolicy.objects.filter(brand=asleep).update(sending_enabled=False)

    batches = gate.pass_gate(shares)

    assert [(one.brand, one.taken, len(one.departing)) for one in batches] == [
        (brand, 3, 3), (asleep, 3, 0), (stranger, 3, 3),
    ]  # fmt: skip
    for batch in (batches[0], batches[2]):
        texts = SentLog.objects.filter(lease_token=batch.token)
        assert set(texts.values_list("brand", flat=True)) == {batch.brand.pk}
        departure = Departure.objects.get(token=batch.token)
        assert (departure.brand, set(departure.texts)) == (
            batch.brand,
            {one.text.id for one in batch.departing},
        )
    assert Departure.objects.count() == 2
    assert QueuedText.objects.filter(due_at=queues.PARKED).count() == 3


def test_a_person_of_two_brands_passes_with_one_of_them_at_a_time(
    brand: Brand, sender: Sender
) -> None:
    """The caps of the law count across brands, so neither may overlook the other's text."""
    other = world.make_brand("sister", workspace=brand.workspace)
    own = world.make_sender(other)
    people = world.make_people(brand, 2)
    world.opt_in(other, people)
    for one in (brand, other):
        world.plan(world.make_campaign(one))
    shares = [
        gate.Share(brand, [sender], {sender.pk: 9}, 9),
        gate.Share(other, [own], {own.pk: 9}, 9),
    ]

    first = gate.pass_gate(shares)
    second = gate.pass_gate(shares)

    assert [len(batch.departing) for batch in first] == [2, 0]
    assert [len(batch.departing) for batch in second] == [0, 2]


def test_sandboxes_and_others_never_pass_together(brand: Brand, sender: Sender) -> None:
    real = world.make_brand("real", workspace=brand.workspace)
    Brand.objects.filter(pk=real.pk).update(sandbox=False, clock_shift=dt.timedelta(0))
    real.refresh_from_db()
    own = world.make_sender(real)
    shares = [
        gate.Share(brand, [sender], {sender.pk: 9}, 9),
        gate.Share(real, [own], {own.pk: 9}, 9),
    ]
    for one in (brand, real):
        world.make_text(one)

    with pytest.raises(ValueError, match="apart"):
        gate.pass_gate(shares)

    assert world.states() == {State.PLANNED: 2}


def test_when_nobody_departs_no_departure_is_left_behind(brand: Brand, sender: Sender) -> None:
    (text,) = world.planned_texts(brand)
    world.opt_out(brand, text.subscriber)

    world.pass_gate(brand, sender)

    assert not Departure.objects.exists()


def test_a_decision_that_fails_skips_that_person_alone(brand: Brand, sender: Sender) -> None:
    broken, fine = world.planned_texts(brand, 2)
    type(broken.subscriber).objects.filter(pk=broken.subscriber_id).update(zones=["No/Where"])

    _, departing = world.pass_gate(brand, sender)

    assert [one.text.id for one in departing] == [fine.id]
    assert (world.reload(broken).state, world.reload(broken).reason) == (State.SKIPPED, "error")


def test_two_campaigns_in_one_batch_share_a_persons_daily_limit(sender: Sender) -> None:
    brand = sender.brand
    BrandPolicy.objects.update(daily_limit=1)
    PlatformPolicy.objects.update(text_lifetime=dt.timedelta(hours=48))
    people = world.make_people(brand, 5)
    for _ in range(2):
        world.plan(world.make_campaign(brand))

    _, departing = world.pass_gate(brand, sender)

    assert Counter(one.text.to for one in departing) == Counter(one.phone for one in people)
    day_later = clock.now() + dt.timedelta(hours=24)
    waits = [abs(one.due_at - day_later) for one in QueuedText.objects.all()]
    assert len(waits) == 5
    assert max(waits) < dt.timedelta(minutes=1)


def test_an_unknown_text_counts_for_the_daily_limit_and_a_refused_one_does_not(
    brand: Brand, sender: Sender
) -> None:
    BrandPolicy.objects.update(daily_limit=1)
    PlatformPolicy.objects.update(text_lifetime=dt.timedelta(hours=48))
    (person,) = world.make_people(brand, 1)
    for _ in range(2):
        world.plan(world.make_campaign(brand))
    world.pass_gate(brand, sender)
    world.all_due()
    SentLog.objects.filter(state=State.SENDING).update(state=State.UNKNOWN)
    assert world.pass_gate(brand, sender)[1] == []

    world.all_due()
    SentLog.objects.filter(state=State.UNKNOWN).update(state=State.FAILED, sent_at=None)
    assert [one.text.to for one in world.pass_gate(brand, sender)[1]] == [person.phone]


def test_what_answers_a_person_counts_for_no_limit(brand: Brand, sender: Sender) -> None:
    BrandPolicy.objects.update(daily_limit=1)
    (text,) = world.planned_texts(brand)
    now = clock.now()
    world.make_text(
        brand, State.ACCEPTED, purpose="confirmation", subscriber=text.subscriber, sent_at=now
    )

    _, departing = world.pass_gate(brand, sender)

    assert [one.text.id for one in departing] == [text.pk]


def test_the_platforms_cap_puts_the_rest_off_to_tomorrow_in_real_time(
    brand: Brand, sender: Sender
) -> None:
    PlatformPolicy.objects.update(daily_cap=3, text_lifetime=dt.timedelta(hours=48))
    world.planned_texts(brand, 5)

    _, departing = world.pass_gate(brand, sender)

    midnight = dt.datetime.combine(clock.now().date() + dt.timedelta(days=1), dt.time(), dt.UTC)
    assert len(departing) == 3
    assert [one.due_at for one in QueuedText.objects.all()] == [midnight, midnight]
    assert DailyTotal.objects.get().sent == 3
