"""Receipts: each kept once, each text moved forward, whatever comes first."""

import datetime as dt
from typing import Any

import pytest

from sending import dispatch, outcomes
from sending.gateways.base import Fate, Outcome
from sending.models import ProviderMessage, QueuedText, Sender, SentLog, State, UnknownCode
from sending.outcomes import Answered
from subscribers import clock
from subscribers.models import Brand
from tests import sending_world as world
from tests.sending.conftest import Carrier
from tracking import inbox, receipts
from tracking.models import TrackingEvent, WaitingReceipt
from tracking.webhooks.base import Receipt
from tracking.webhooks.mitto import HEADER


def on_record(sender: Sender, text: SentLog, provider_id: str = "P1") -> None:
    ProviderMessage.objects.create(provider_id=provider_id, sender=sender, text_id=text.pk)


def names() -> list[str]:
    return sorted(TrackingEvent.objects.values_list("name", flat=True))


def test_a_receipt_told_five_times_is_one_event(brand: Brand, sender: Sender) -> None:
    text = world.make_text(brand, State.ACCEPTED, sender=sender)
    on_record(sender, text)

    for _ in range(5):
        receipts.receive(sender, [Receipt("P1", State.SENT), Receipt("P1", State.SENT)])

    assert names() == ["sent"]
    assert world.reload(text).state == State.SENT


def test_an_unknown_code_told_five_times_is_counted_once(brand: Brand, sender: Sender) -> None:
    text = world.make_text(brand, State.ACCEPTED, sender=sender)
    on_record(sender, text)

    for _ in range(5):
        receipts.receive(sender, [Receipt("P1", State.UNDELIVERED, "39999")] * 2)

    counted = UnknownCode.objects.get()
    assert (counted.code, counted.source, counted.count) == ("39999", "receipt", 1)


def test_a_receipt_that_says_filtered_stops_its_sender(brand: Brand, sender: Sender) -> None:
    on_record(sender, world.make_text(brand, State.ACCEPTED, sender=sender))

    receipts.receive(sender, [Receipt("P1", State.UNDELIVERED, "30007")])

    sender.refresh_from_db()
    assert sender.status == Sender.Status.STOPPED


def test_receipts_in_reverse_are_both_kept_and_the_text_stays_delivered(
    brand: Brand, sender: Sender
) -> None:
    text = world.make_text(brand, State.ACCEPTED, sender=sender)
    on_record(sender, text)

    receipts.receive(sender, [Receipt("P1", State.DELIVERED)])
    receipts.receive(sender, [Receipt("P1", State.SENT)])

    assert names() == ["delivered", "sent"]
    assert world.reload(text).state == State.DELIVERED


def test_an_event_lies_at_the_time_of_its_text(brand: Brand, sender: Sender) -> None:
    (text,) = world.planned_texts(brand)
    on_record(sender, text)

    receipts.receive(sender, [Receipt("P1", State.DELIVERED, "0", raw={"status": "ok"})])

    event = TrackingEvent.objects.get()
    assert event.pk.int >> 80 == text.pk.int >> 80
    assert (event.text_id, event.subscriber_id) == (text.pk, text.subscriber_id)
    assert (event.code, event.raw) == ("0", {"status": "ok"})


def test_our_reference_finds_a_text_before_the_answer_came(brand: Brand, sender: Sender) -> None:
    (text,) = world.planned_texts(brand)
    token, _ = world.pass_gate(brand, sender)

    receipts.receive(sender, [Receipt("P1", State.DELIVERED, text_id=text.pk)])
    outcomes.record(
        [Answered(token, Outcome(text.pk, Fate.ACCEPTED, provider_id="P1"))], arrived=[token]
    )

    assert world.reload(text).state == State.DELIVERED
    assert not WaitingReceipt.objects.exists()


def test_receipts_that_came_before_the_answer_are_matched_by_the_ticker(
    brand: Brand, sender: Sender
) -> None:
    (text,) = world.planned_texts(brand)
    token, _ = world.pass_gate(brand, sender)
    for state in (State.DELIVERED, State.SENT, State.SENT):
        receipts.receive(sender, [Receipt("P1", state)])
    assert receipts.match_waiting() == 0
    assert WaitingReceipt.objects.count() == 2

    outcomes.record(
        [Answered(token, Outcome(text.pk, Fate.ACCEPTED, provider_id="P1"))], arrived=[token]
    )

    assert receipts.match_waiting() == 2
    assert world.reload(text).state == State.DELIVERED
    assert names() == ["delivered", "sent"]
    assert not WaitingReceipt.objects.exists()


def test_a_receipt_resolves_an_unknown_text(brand: Brand, sender: Sender) -> None:
    (text,) = world.planned_texts(brand)
    token, _ = world.pass_gate(brand, sender)
    outcomes.lose(token, [text.pk])

    receipts.receive(sender, [Receipt("P1", State.SENT, text_id=text.pk)])

    assert (world.reload(text).state, world.reload(text).reason) == (State.SENT, "")


def test_a_receipt_of_a_text_that_waits_for_a_retry_ends_the_waiting(
    brand: Brand, sender: Sender
) -> None:
    (text,) = world.planned_texts(brand)
    token, _ = world.pass_gate(brand, sender)
    outcomes.record(
        [Answered(token, Outcome(text.pk, Fate.RETRY, code="http-429"))], arrived=[token]
    )

    receipts.receive(sender, [Receipt("P1", State.DELIVERED, text_id=text.pk)])

    assert world.reload(text).state == State.DELIVERED
    assert not QueuedText.objects.exists()


def test_another_senders_id_of_the_same_spelling_is_another_text(brand: Brand) -> None:
    one, other = world.make_sender(brand, "lime"), world.make_sender(brand, "twilio")
    first, second = (world.make_text(brand, State.ACCEPTED, sender=each) for each in (one, other))
    on_record(one, first)
    on_record(other, second)

    receipts.receive(other, [Receipt("P1", State.DELIVERED)])

    assert (world.reload(first).state, world.reload(second).state) == (
        State.ACCEPTED,
        State.DELIVERED,
    )


def test_a_reference_to_another_brands_text_counts_as_unknown(brand: Brand, sender: Sender) -> None:
    other = world.make_brand("ta", workspace=brand.workspace)
    theirs = world.make_text(other, State.ACCEPTED)

    receipts.receive(sender, [Receipt("P1", State.DELIVERED, text_id=theirs.pk)])

    assert world.reload(theirs).state == State.ACCEPTED
    assert WaitingReceipt.objects.get().provider_id == "P1"


def test_an_id_longer_than_we_keep_is_still_found(brand: Brand, sender: Sender) -> None:
    (text,) = world.planned_texts(brand)
    token, _ = world.pass_gate(brand, sender)
    long = "P" * 100
    outcomes.record([Answered(token, Outcome(text.pk, Fate.ACCEPTED, provider_id=long))])

    receipts.receive(sender, [Receipt(long, State.DELIVERED)])

    assert world.reload(text).state == State.DELIVERED


def test_receipts_of_texts_that_never_appear_are_given_up_after_a_week(
    brand: Brand, sender: Sender
) -> None:
    receipts.receive(sender, [Receipt("OLD", State.SENT), Receipt("NEW", State.SENT)])
    WaitingReceipt.objects.filter(provider_id="OLD").update(
        received_at=clock.now() - receipts.KEEP_WAITING - dt.timedelta(minutes=1)
    )

    receipts.match_waiting()

    assert WaitingReceipt.objects.get().provider_id == "NEW"


def test_a_thousand_receipts_in_one_call_take_a_moment(brand: Brand, sender: Sender) -> None:
    world.planned_texts(brand, 500)
    token, departing = world.pass_gate(brand, sender)
    ids = [one.text.id for one in departing]
    outcomes.record(
        [Answered(token, Outcome(pk, Fate.ACCEPTED, provider_id=str(pk))) for pk in ids],
        arrived=[token],
    )
    told = [Receipt(str(pk), state) for pk in ids for state in (State.DELIVERED, State.SENT)]
    started = clock.now()

    receipts.receive(sender, told)

    assert clock.now() - started < dt.timedelta(seconds=2)
    assert world.states() == {State.DELIVERED: 500}
    assert TrackingEvent.objects.count() == 1000


def test_the_same_receipts_at_once_and_the_ticker_do_no_harm(brand: Brand, sender: Sender) -> None:
    texts = [world.make_text(brand, State.ACCEPTED, sender=sender) for _ in range(40)]
    told = [Receipt(str(text.pk), State.DELIVERED) for text in texts]
    receipts.receive(sender, told)
    for text in texts:
        on_record(sender, text, str(text.pk))

    world.at_once(
        receipts.match_waiting,
        receipts.match_waiting,
        lambda: receipts.receive(sender, told),
        lambda: receipts.receive(sender, told[::-1]),
    )

    assert world.states() == {State.DELIVERED: 40}
    assert TrackingEvent.objects.count() == 40
    receipts.match_waiting()
    assert not WaitingReceipt.objects.exists()


RECEIPTS = {  # last digits -> (state, events)
    "1234": (State.DELIVERED, ["delivered", "sent"]),
    "0002": (State.DELIVERED, ["delivered", "sent"]),  # each five times
    "0003": (State.DELIVERED, ["delivered", "sent"]),  # in reverse
    "0004": (State.UNDELIVERED, ["sent", "undelivered"]),
    "0005": (State.ACCEPTED, []),  # none
}


@pytest.mark.parametrize("gateway", ["lime", "mitto", "twilio"])
def test_the_carriers_receipts_arrive_through_the_web(
    brand: Brand, provider: Carrier, live_server: Any, settings: Any, gateway: str
) -> None:
    settings.PUBLIC_URL = live_server.url
    # The carrier is the session's: other tests' servers are gone, and it has given those up.
    before = provider.running.wait_until_quiet()["callbacks"]["given_up"]
    sender = world.make_sender(brand, gateway)
    webhooks = f"{live_server.url}/webhooks/{gateway}/{sender.webhook_token}"
    provider.running.post(
        "/_carrier/webhooks",
        {
            "gateway": gateway,
            "address": sender.address,
            "receipts_url": f"{webhooks}/status",
            "headers": {HEADER: world.CREDENTIALS["mitto"]["webhook_secret"]},
        },
    )
    numbers = {digits: world.number(digits) for digits in RECEIPTS}
    world.planned_texts(brand, list(numbers.values()))

    dispatch.drain(brand.pk)
    stats = provider.running.wait_until_quiet()
    inbox.apply_due()
    receipts.match_waiting()

    assert stats["callbacks"]["given_up"] == before
    texts = {text.phone: text for text in SentLog.objects.all()}
    for digits, (state, events) in RECEIPTS.items():
        text = texts[numbers[digits]]
        told = TrackingEvent.objects.filter(text_id=text.pk).values_list("name", flat=True)
        assert (text.state, sorted(told)) == (state, events)
    assert not WaitingReceipt.objects.exists()
