"""Test sends: by the way of every other text, marked, outside counts, never to who said no."""

from typing import Any

import pytest

from campaigns import lifecycle, policy
from campaigns.models import Campaign, Message
from sending import credits, dispatch, facts, outcomes, parking, progress, trials
from sending.gateways.base import Fate, Outcome
from sending.models import (
    CreditAccount,
    CreditEntry,
    CreditHold,
    DailyTotal,
    QueuedText,
    Sender,
    SentLog,
    State,
    TestNumber,
    TestRequest,
)
from sending.outcomes import Answered
from subscribers import clock, consent
from subscribers.models import Brand, ConsentSource
from tests import sending_world as world

STRANGER = "+12125550155"
ASLEEP = "+18085550155"  # in Hawaii, where it is early morning


@pytest.fixture
def campaign(brand: Brand) -> Campaign:
    return world.make_campaign(
        brand, "Hi {{ first_name | default: 'you' }}, from {{ brand }}", launched=False
    )


def send(campaign: Campaign, *numbers: str, key: str = "one", **wishes: Any) -> list[trials.Tested]:
    return trials.send(campaign, numbers, key=key, asked_by="tester", **wishes)


def refuse(brand: Brand, phone: str) -> None:
    consent.opt_out(
        brand.workspace,
        phone,
        brand=brand,
        at=clock.now(),
        source=ConsentSource.KEYWORD,
        reason="a test",
    )


def test_a_test_reaches_a_number_that_never_subscribed(
    campaign: Campaign, sender: Sender, provider: Any
) -> None:
    (told,) = send(campaign, "(212) 555-0155")

    dispatch.drain(campaign.brand_id, seconds=3)

    text = SentLog.objects.get()
    assert (told.number, told.id, told.reason) == (STRANGER, text.id, "")
    assert (text.purpose, text.state, text.run, text.campaign) == (
        "test",
        State.ACCEPTED,
        None,
        campaign,
    )
    assert text.body == f"Hi Alexandra, from {campaign.brand.name}"
    assert [entry["to"] for entry in provider.accepted()] == [STRANGER]


def test_a_test_goes_before_everything_else(campaign: Campaign, sender: Sender) -> None:
    world.planned_texts(campaign.brand, 3)
    (told,) = send(campaign, STRANGER)

    assert QueuedText.objects.get(pk=told.id).lane == QueuedText.Lane.HIGH
    _, (first,) = world.pass_gate(campaign.brand, sender, at_most=1)

    assert first.text.id == told.id


def test_a_test_is_written_for_a_chosen_person_and_a_chosen_message(campaign: Campaign) -> None:
    (person,) = world.make_people(campaign.brand, 1, first_name="Zoe")
    message = Message.objects.create(campaign=campaign, body="Second for {{ first_name }}")

    send(campaign, STRANGER, message=message, person=person)

    text = SentLog.objects.get()
    assert (text.body, text.message) == ("Second for Zoe", message)


def test_the_same_request_again_sends_nothing_twice(campaign: Campaign) -> None:
    first = send(campaign, STRANGER)
    again = send(campaign, STRANGER)
    other = send(campaign, STRANGER, key="two")

    assert first == again
    assert first != other
    assert SentLog.objects.count() == 2
    assert TestRequest.objects.count() == 2


def test_numbers_that_are_given_twice_get_one_test(campaign: Campaign) -> None:
    told = send(campaign, STRANGER, "212-555-0155")

    assert [one.number for one in told] == [STRANGER]


def test_a_suppressed_number_is_answered_with_the_reason(campaign: Campaign) -> None:
    brand = campaign.brand
    (person,) = world.make_people(brand, 1)
    world.opt_out(brand, person)
    refuse(brand, STRANGER)

    told = send(campaign, STRANGER, person.phone, "+12125550177", "hello", "+18005550199")

    assert [(one.number, one.id is None, one.reason) for one in told] == [
        (STRANGER, True, "suppressed"),
        (person.phone, True, "opted_out"),
        ("+12125550177", False, ""),
        ("hello", True, "not_a_number"),
        ("+18005550199", True, "unreachable"),
    ]
    assert SentLog.objects.count() == 1


def test_a_number_suppressed_in_the_whole_workspace_gets_no_test(campaign: Campaign) -> None:
    consent.opt_out(
        campaign.brand.workspace,
        STRANGER,
        brand=None,
        at=clock.now(),
        source=ConsentSource.OPERATOR,
        reason="a test",
    )
    TestNumber.objects.create(workspace=campaign.brand.workspace, phone=STRANGER)

    assert send(campaign, STRANGER)[0].reason == "suppressed"


@pytest.mark.parametrize("own", [True, False])
def test_who_says_stop_after_the_request_gets_no_test(
    campaign: Campaign, sender: Sender, own: bool
) -> None:
    if own:
        TestNumber.objects.create(workspace=campaign.brand.workspace, phone=STRANGER)
    send(campaign, STRANGER)
    refuse(campaign.brand, STRANGER)

    _, going = world.pass_gate(campaign.brand, sender)

    text = SentLog.objects.get()
    assert going == []
    assert (text.state, text.reason) == (State.SKIPPED, "suppressed")


def test_a_stop_of_a_stranger_and_the_gate_never_pass_each_other_unseen(
    campaign: Campaign, sender: Sender
) -> None:
    """Either the STOP is first and nothing goes, or the departure has committed before it."""
    for number in range(5):
        phone = f"+1212555016{number}"
        send(campaign, phone, key=phone)
        before = clock.now()

        stopped, passed = world.at_once(
            lambda phone=phone: (refuse(campaign.brand, phone), clock.now())[1],
            lambda: world.pass_gate(campaign.brand, sender)[1],
        )

        assert before < stopped
        if passed:
            assert SentLog.objects.get(phone=phone).sent_at < stopped
        else:
            world.all_due()  # it was passed over while the number was held
            assert world.pass_gate(campaign.brand, sender)[1] == []
            assert SentLog.objects.get(phone=phone).state == State.SKIPPED


def test_the_hours_hold_for_a_test(campaign: Campaign) -> None:
    (told,) = send(campaign, ASLEEP)

    assert (told.id, told.reason) == (None, "outside_hours")


def test_the_workspaces_own_numbers_are_tested_at_any_hour(
    campaign: Campaign, sender: Sender
) -> None:
    TestNumber.objects.create(workspace=campaign.brand.workspace, phone=ASLEEP)
    send(campaign, ASLEEP)

    _, going = world.pass_gate(campaign.brand, sender)

    assert [one.text.to for one in going] == [ASLEEP]


def test_another_workspaces_own_numbers_are_not_ours(campaign: Campaign) -> None:
    other = world.make_brand("ta")
    TestNumber.objects.create(workspace=other.workspace, phone=ASLEEP)

    assert send(campaign, ASLEEP)[0].reason == "outside_hours"


def test_the_kill_switches_hold_for_a_test(campaign: Campaign, sender: Sender) -> None:
    send(campaign, STRANGER)
    rules = policy.of_brand(campaign.brand)
    rules.sending_enabled = False
    rules.save()

    assert send(campaign, STRANGER, key="two")[0].reason == "brand_off"
    world.pass_gate(campaign.brand, sender)

    # It does not wait for the switch: a test is wanted now or not at all.
    text = SentLog.objects.get()
    assert (text.state, text.reason) == (State.SKIPPED, "brand_off")
    assert not QueuedText.objects.exists()


@pytest.mark.parametrize("action", ["draft", "pause", "cancel"])
def test_a_campaign_is_tested_in_any_state(campaign: Campaign, sender: Sender, action: str) -> None:
    if action != "draft":
        lifecycle.launch(campaign, now=clock.now())
        getattr(lifecycle, action)(campaign)
    send(campaign, STRANGER)

    _, going = world.pass_gate(campaign.brand, sender)

    assert len(going) == 1


def test_a_test_that_waited_too_long_expires(campaign: Campaign, sender: Sender) -> None:
    send(campaign, STRANGER)
    SentLog.objects.update(expires_at=clock.now())

    world.pass_gate(campaign.brand, sender)

    assert SentLog.objects.get().state == State.EXPIRED


def test_a_test_is_outside_caps_totals_and_runs(campaign: Campaign, sender: Sender) -> None:
    brand = campaign.brand
    rules = policy.of_brand(brand)
    rules.daily_limit = 1
    rules.save()
    (person,) = world.make_people(brand, 1)
    for key in "abc":
        send(campaign, person.phone, key=key)
    assert len(world.pass_gate(brand, sender)[1]) == 3

    run = world.plan(_launched(campaign))
    _, going = world.pass_gate(brand, sender)

    assert len(going) == 1
    known = facts.gather(brand, [person.pk], now=clock.now())[person.pk]
    assert len(known.facts.brand_sent) == 1
    assert progress.of_campaign(campaign).audience == run.audience == 1
    assert SentLog.objects.filter(subscriber=person, purpose="test").count() == 3
    # What leaves the installation counts in the installation's total, as confirmations do.
    assert DailyTotal.objects.get().sent == 4


def _launched(campaign: Campaign) -> Campaign:
    lifecycle.launch(campaign, now=clock.now())
    return campaign


def test_a_test_does_not_keep_its_campaign_from_finishing_for_long(
    campaign: Campaign, sender: Sender
) -> None:
    world.make_people(campaign.brand, 1)
    world.plan(_launched(campaign))
    send(campaign, STRANGER)
    token, going = world.pass_gate(campaign.brand, sender)
    outcomes.record([Answered(token, Outcome(one.text.id, Fate.ACCEPTED)) for one in going])

    parking.follow_campaigns()

    campaign.refresh_from_db()
    assert campaign.status == Campaign.Status.COMPLETED


def test_a_test_that_is_tried_again_stays_in_its_lane(campaign: Campaign, sender: Sender) -> None:
    send(campaign, STRANGER)
    token, (going,) = world.pass_gate(campaign.brand, sender)

    outcomes.record([Answered(token, Outcome(going.text.id, Fate.RETRY))])

    assert QueuedText.objects.get().lane == QueuedText.Lane.HIGH


def test_a_test_costs_credits_and_is_refused_without(campaign: Campaign, sender: Sender) -> None:
    brand = campaign.brand
    credits.grant(brand.workspace, 2, note="a test", actor="tester", reference="one")
    CreditAccount.objects.update(enforced=True)
    send(campaign, STRANGER, "+12125550156")
    with pytest.raises(credits.Short, match="1 more credits"):
        send(campaign, STRANGER, key="two")
    assert SentLog.objects.count() == 2

    token, going = world.pass_gate(brand, sender)
    outcomes.record([Answered(token, Outcome(one.text.id, Fate.ACCEPTED)) for one in going])
    CreditHold.objects.update(due_at=clock.now())
    credits.settle_due()

    account = CreditAccount.objects.get()
    assert (account.available, account.reserved, account.spent) == (0, 0, 2)
    assert credits.audit(brand.workspace) == []
    assert str(CreditEntry.objects.latest("pk").hold) == f"a test of campaign {campaign.pk}"


def test_a_message_that_cannot_be_written_is_refused(campaign: Campaign) -> None:
    message = Message.objects.create(campaign=campaign, body="{% if %}")

    with pytest.raises(trials.content.BadContent):
        send(campaign, STRANGER, message=message)


def test_a_campaign_without_a_message_has_nothing_to_test(brand: Brand) -> None:
    silent = Campaign.objects.create(brand=brand, name="Silent")

    with pytest.raises(lifecycle.NotAllowed, match="no message"):
        send(silent, STRANGER)
