"""Texts from people: STOP is obeyed at once and confirmed once, START brings back, the rest is kept."""

from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse

from sending import dispatch, outcomes
from sending.gateways.base import Fate, Outcome
from sending.models import QueuedText, Sender, SentLog, State
from sending.outcomes import Answered
from subscribers import clock, consent
from subscribers.models import Brand, ConsentEvent, Subscription, Suppression
from tests import sending_world as world
from tests.sending.conftest import Carrier
from tests.tracking.conftest import inbound
from tracking import replies
from tracking.models import Reply, TrackingEvent
from tracking.webhooks.base import Inbound

Post = Callable[..., HttpResponse]


def says(sender: Sender, phone: str, body: str, provider_id: str = "IN1") -> Reply | None:
    return replies.receive(sender, Inbound(provider_id, phone, body))


def confirmations(**conditions: Any) -> list[SentLog]:
    return list(SentLog.objects.filter(purpose="confirmation", **conditions))


@pytest.mark.parametrize("gateway", ["lime", "mitto", "twilio"])
def test_stop_suppresses_and_cancels_before_the_provider_is_answered(
    brand: Brand, post: Post, gateway: str
) -> None:
    sender = world.make_sender(brand, gateway)
    (text,) = world.planned_texts(brand)

    answer = post(sender, "inbound", inbound(gateway, text.phone, "Stop."))

    assert answer.status_code in (200, 204)
    assert consent.is_suppressed(brand.workspace, text.phone, brand)
    assert Subscription.objects.get().status == Subscription.Status.OPTED_OUT
    assert (world.reload(text).state, world.reload(text).reason) == (State.CANCELLED, "opted_out")
    assert ConsentEvent.objects.filter(kind="opt_out").get().evidence["wording"] == "Stop."
    assert len(confirmations()) == 1


def test_the_confirmation_goes_out_although_the_person_opted_out(
    brand: Brand, sender: Sender, provider: Carrier
) -> None:
    (person,) = world.make_people(brand, 1)
    says(sender, person.phone, "STOP")

    dispatch.drain(brand.pk)

    (sent,) = provider.accepted()
    assert sent["to"] == person.phone
    assert brand.name in sent["body"]
    assert "START" in sent["body"]
    assert confirmations()[0].state == State.ACCEPTED


def test_the_confirmation_is_first_in_the_queue_and_rings(brand: Brand, sender: Sender) -> None:
    (text, *_) = world.planned_texts(brand, 3)
    says(sender, text.phone, "STOP")

    _, (first,) = world.pass_gate(brand, sender, at_most=1)

    assert first.text.id == confirmations()[0].pk


def test_a_confirmation_that_is_minutes_late_is_not_sent(brand: Brand, sender: Sender) -> None:
    (person,) = world.make_people(brand, 1)
    says(sender, person.phone, "STOP")
    SentLog.objects.update(expires_at=clock.now())

    assert world.pass_gate(brand, sender)[1] == []
    assert confirmations()[0].state == State.EXPIRED


def test_the_same_text_told_twice_is_one_reply_and_one_confirmation(
    brand: Brand, sender: Sender
) -> None:
    (person,) = world.make_people(brand, 1)

    assert says(sender, person.phone, "STOP") is not None
    assert says(sender, person.phone, "STOP") is None

    assert (Reply.objects.count(), TrackingEvent.objects.count()) == (1, 1)
    assert len(confirmations()) == 1


def test_a_second_stop_is_not_confirmed_and_leaves_the_first_confirmation(
    brand: Brand, sender: Sender
) -> None:
    (person,) = world.make_people(brand, 1)

    says(sender, person.phone, "STOP", "IN1")
    says(sender, person.phone, "STOP!!", "IN2")

    assert Reply.objects.count() == 2
    assert [text.state for text in confirmations()] == [State.PLANNED]
    assert len(world.pass_gate(brand, sender)[1]) == 1


def test_many_stops_at_once_are_confirmed_once(brand: Brand, sender: Sender) -> None:
    (person,) = world.make_people(brand, 1)

    world.at_once(*[lambda i=i: says(sender, person.phone, "STOP", f"IN{i % 4}") for i in range(8)])

    assert Reply.objects.count() == 4
    assert len(confirmations(state=State.PLANNED)) == 1


def test_stop_from_a_number_without_a_subscriber_suppresses_it(
    brand: Brand, sender: Sender
) -> None:
    stranger = world.number()

    reply = says(sender, stranger, "STOP")

    assert reply is not None
    assert reply.subscriber_id is None
    assert Suppression.objects.get().phone == stranger
    assert [one.text.to for one in world.pass_gate(brand, sender)[1]] == [stranger]


def test_stop_to_one_brand_leaves_the_others_texts(brand: Brand, sender: Sender) -> None:
    other = world.make_brand("ta", workspace=brand.workspace)
    (person,) = world.make_people(brand, 1)
    world.opt_in(other, [person])
    for each in (brand, other):
        world.plan(world.make_campaign(each))

    says(sender, person.phone, "STOP")

    assert SentLog.objects.get(brand=other).state == State.PLANNED
    assert not consent.is_suppressed(brand.workspace, person.phone, other)


def test_another_workspaces_subscriber_of_that_number_is_not_touched(
    brand: Brand, sender: Sender
) -> None:
    theirs = world.make_brand("ta")
    phone = world.number()
    world.make_people(theirs, [phone])
    world.make_people(brand, [phone])

    says(sender, phone, "STOP")

    assert Subscription.objects.get(brand=theirs).status == Subscription.Status.OPTED_IN
    assert not consent.is_suppressed(theirs.workspace, phone, theirs)


def test_start_brings_a_person_back_and_the_next_stop_is_confirmed_again(
    brand: Brand, sender: Sender
) -> None:
    (person,) = world.make_people(brand, 1)

    says(sender, person.phone, "STOP", "IN1")
    says(sender, person.phone, "START", "IN2")
    assert not consent.is_suppressed(brand.workspace, person.phone, brand)
    assert Subscription.objects.get().status == Subscription.Status.OPTED_IN
    world.plan(world.make_campaign(brand))
    assert SentLog.objects.get(purpose="campaign").state == State.PLANNED

    says(sender, person.phone, "STOP", "IN3")
    bodies = [text.body for text in confirmations()]
    assert len(bodies) == 3
    assert len([body for body in bodies if "unsubscribed" in body]) == 2


@pytest.mark.parametrize(
    ("body", "meaning"),
    [
        ("please stop texting me", Reply.Meaning.OTHER),
        ("Great, thanks!", Reply.Meaning.OTHER),
        ("\N{THUMBS UP SIGN}", Reply.Meaning.OTHER),
        ("", Reply.Meaning.OTHER),
        ("x" * 5000, Reply.Meaning.OTHER),
        ("help", Reply.Meaning.HELP),
        ("start", Reply.Meaning.OPT_IN),
        ("  unsubscribe ", Reply.Meaning.OPT_OUT),
    ],
)
def test_a_text_is_kept_with_what_it_means(
    brand: Brand, sender: Sender, body: str, meaning: Reply.Meaning
) -> None:
    (person,) = world.make_people(brand, 1)

    says(sender, person.phone, body)

    reply = Reply.objects.get()
    assert (reply.meaning, reply.body) == (meaning, body[:4000])
    assert TrackingEvent.objects.get().name == meaning
    left = Subscription.objects.get().status == Subscription.Status.OPTED_OUT
    assert left is (meaning == Reply.Meaning.OPT_OUT or body == "please stop texting me")


def test_a_reply_belongs_to_the_last_text_that_may_have_arrived(
    brand: Brand, sender: Sender
) -> None:
    (person,) = world.make_people(brand, 1)
    first = world.plan(world.make_campaign(brand))
    token, (departing,) = world.pass_gate(brand, sender)
    outcomes.record([Answered(token, Outcome(departing.text.id, Fate.ACCEPTED))], arrived=[token])
    world.plan(world.make_campaign(brand))  # planned, not sent

    reply = says(sender, person.phone, "Great, thanks!")

    assert reply is not None
    assert (reply.campaign_id, reply.text_id) == (first.campaign_id, departing.text.id)
    assert reply.subscriber_id == person.pk


@pytest.mark.parametrize("gateway", ["lime", "mitto"])
@pytest.mark.parametrize("phone", ["+12125550123", "+447911123456", "+306912345678"])
def test_a_number_without_its_plus_is_the_same_person(
    brand: Brand, post: Post, gateway: str, phone: str
) -> None:
    (person,) = world.make_people(brand, [phone])
    sender = world.make_sender(brand, gateway)
    fields = inbound(gateway, phone, "STOP")
    fields = {name: value.removeprefix("+") for name, value in fields.items()}

    assert post(sender, "inbound", fields).status_code == 204

    assert Reply.objects.get().subscriber_id == person.pk
    assert consent.is_suppressed(brand.workspace, phone, brand)


def test_a_stop_frees_the_queue_of_everything_but_the_confirmation(
    brand: Brand, sender: Sender
) -> None:
    (person,) = world.make_people(brand, 1)
    for _ in range(3):
        world.plan(world.make_campaign(brand))

    says(sender, person.phone, "STOP")

    assert [row.pk for row in QueuedText.objects.all()] == [confirmations()[0].pk]
