"""What happened is noted once, for those who ask for it, in the transaction in which it happened."""

import datetime as dt
import json
import threading
from typing import Any

import pytest
from django.db import transaction

from campaigns import lifecycle
from campaigns.models import Link
from sending import outcomes
from sending.gateways.base import Fate, Outcome
from sending.identity import identify, moment_of
from sending.models import Sender, SentLog
from sending.outcomes import Answered
from subscribers import clock, consent, erasure
from subscribers.models import Brand, ConsentSource, Workspace
from tests import sending_world as world
from tests.tracking import shop_world as shop
from tests.tracking.outbound.conftest import make_endpoint, noted
from tracking import receipts, replies
from tracking.models import TrackingEvent
from tracking.outbound import deliveries, payloads
from tracking.outbound.models import OutboundEvent, WebhookDelivery, WebhookEndpoint
from tracking.webhooks.base import Inbound, Receipt

URL = "https://example.com/hooks"


@pytest.fixture
def endpoint(brand: Brand) -> WebhookEndpoint:
    return make_endpoint(brand.workspace, URL)


def depart(brand: Brand, sender: Sender, people: int = 1) -> list[tuple[Any, SentLog]]:
    world.planned_texts(brand, people)
    token, departing = world.pass_gate(brand, sender)
    return [(token, SentLog.objects.get(pk=one.text.id)) for one in departing]


def test_a_receipt_is_noted_with_what_it_says_and_told_twice_it_is_one_event(
    brand: Brand, sender: Sender, endpoint: WebhookEndpoint
) -> None:
    ((token, text),) = depart(brand, sender)
    outcomes.record([Answered(token, Outcome(text.id, Fate.ACCEPTED, provider_id="P1"))])
    OutboundEvent.objects.all().delete()

    for _ in range(2):
        receipts.receive(sender, [Receipt("P1", "delivered", "", text.id, {})])

    event = OutboundEvent.objects.get()
    assert (event.type, event.text_id, event.brand) == ("text.delivered", text.id, brand)
    assert event.facts["campaign"] == text.campaign_id
    assert event.facts["state"] == "delivered"
    assert event.subscriber_id == text.subscriber_id


def test_refused_and_undelivered_texts_are_noted_and_nothing_on_the_way(
    brand: Brand, sender: Sender, endpoint: WebhookEndpoint
) -> None:
    (token, refused), (_, lost) = depart(brand, sender, 2)
    OutboundEvent.objects.all().delete()

    outcomes.record(
        [
            Answered(token, Outcome(refused.id, Fate.FAILED, code="21211")),
            Answered(token, Outcome(lost.id, Fate.ACCEPTED, provider_id="P2")),
        ],
        arrived=[token],
    )
    receipts.receive(sender, [Receipt("P2", "undelivered", "30003", lost.id, {})])

    assert noted() == ["text.failed", "text.undelivered"]
    assert [one.facts["errorCode"] for one in OutboundEvent.objects.order_by("pk")] == [
        "21211",
        "30003",
    ]


def test_a_reply_an_opt_out_and_a_return_are_noted(
    brand: Brand, sender: Sender, endpoint: WebhookEndpoint
) -> None:
    (person,) = world.make_people(brand, 1)
    OutboundEvent.objects.all().delete()

    for number, words in enumerate(("Hello", "STOP", "START")):
        replies.receive(sender, Inbound(f"IN{number}", person.phone, words))

    told = OutboundEvent.objects.order_by("pk").values_list("type", "subscriber_id")
    assert {kind for kind, _ in told} == {
        "reply.received",
        "subscriber.opted_out",
        "subscriber.opted_in",
    }
    assert {who for _, who in told} == {person.pk}
    assert sorted(noted()).count("reply.received") == 3


def test_an_opt_in_that_changes_nothing_is_not_noted(
    brand: Brand, endpoint: WebhookEndpoint
) -> None:
    people = world.make_people(brand, 3)
    world.opt_in(brand, people)
    world.opt_out(brand, people[0])
    world.opt_in(brand, people)  # a list that is read again brings nobody back

    assert sorted(noted()) == ["subscriber.opted_in"] * 3 + ["subscriber.opted_out"]


def test_a_persons_click_is_noted_and_a_machines_is_not(
    brand: Brand, endpoint: WebhookEndpoint
) -> None:
    (text,) = world.planned_texts(brand)
    link = Link.objects.create(
        message=text.message,
        url="https://a.example/",
        destination="https://a.example/?u=1",
        position=1,
    )
    OutboundEvent.objects.all().delete()
    for second, name in enumerate(("click", "prefetch")):
        TrackingEvent.objects.create(
            id=identify(moment_of(text.id), "click", second),
            brand=brand,
            text_id=text.id,
            kind="click",
            name=name,
            raw={"link": link.pk},
        )

    event = OutboundEvent.objects.get()
    assert event.type == "click.created"
    assert event.facts["url"] == "https://a.example/?u=1"
    assert event.facts["campaign"] == text.campaign_id


def test_a_click_that_began_a_scan_is_not_told(brand: Brand, endpoint: WebhookEndpoint) -> None:
    clicks = [
        TrackingEvent.objects.create(
            id=identify(clock.now(), "click", name), brand=brand, kind="click", name="click", raw={}
        )
        for name in ("scan", "person")
    ]
    deliveries.spread()
    assert not WebhookDelivery.objects.exists()  # it is not known yet

    TrackingEvent.objects.filter(pk=clicks[0].pk).update(name="burst")
    OutboundEvent.objects.update(recorded_at=clock.now() - dt.timedelta(seconds=11))
    WebhookEndpoint.objects.update(created_at=clock.now() - dt.timedelta(days=1))
    deliveries.spread()

    assert WebhookDelivery.objects.get().event.source == str(clicks[1].pk)


def test_a_campaign_that_ends_is_noted(brand: Brand, endpoint: WebhookEndpoint) -> None:
    campaign = world.make_campaign(brand)
    lifecycle.begin(campaign)
    assert noted() == []

    lifecycle.complete(campaign)
    lifecycle.complete(campaign)  # has ended already

    event = OutboundEvent.objects.get()
    assert (event.type, event.facts["name"]) == ("campaign.completed", "Sale")


@pytest.mark.parametrize(
    "fields",
    [{"enabled": False}, {"event_types": ["click.created"]}],
    ids=["switched off", "asks for something else"],
)
def test_what_nobody_asked_for_is_not_noted(brand: Brand, fields: dict[str, Any]) -> None:
    make_endpoint(brand.workspace, URL, **fields)

    world.make_people(brand, 1)
    world.make_text(brand, "failed")

    assert noted() == []


def test_another_workspaces_and_another_brands_endpoint_are_told_nothing(brand: Brand) -> None:
    other = Workspace.objects.create(slug="other", name="Other")
    world.make_brand("theirs", workspace=other)
    sister = world.make_brand("ta", workspace=brand.workspace)
    theirs = make_endpoint(other, URL)
    sisters = make_endpoint(brand.workspace, URL, brand=sister)
    ours = make_endpoint(brand.workspace, URL, brand=brand)

    world.make_text(brand, "failed")
    deliveries.spread()

    assert [one.endpoint for one in WebhookDelivery.objects.all()] == [ours]
    assert {theirs, sisters} == set(WebhookEndpoint.objects.exclude(pk=ours.pk))


def test_an_opt_out_of_everything_is_told_to_a_brand_only_of_its_own_people(brand: Brand) -> None:
    sister = world.make_brand("ta", workspace=brand.workspace)
    ours = make_endpoint(brand.workspace, URL, brand=brand, event_types=["subscriber.opted_out"])
    make_endpoint(brand.workspace, URL, brand=sister, event_types=["subscriber.opted_out"])
    (person,) = world.make_people(brand, 1)

    consent.opt_out(
        brand.workspace,
        person.phone,
        brand=None,
        at=clock.now(),
        source=ConsentSource.OPERATOR,
        reason="",
    )
    deliveries.spread()

    assert [one.endpoint for one in WebhookDelivery.objects.all()] == [ours]


def test_what_is_taken_back_was_never_noted(brand: Brand, endpoint: WebhookEndpoint) -> None:
    text = world.make_text(brand, "sent")

    world.killed_at_the_end_of(lambda: SentLog.objects.filter(pk=text.pk).update(state="delivered"))

    assert noted() == []


def test_no_event_is_lost_where_a_slow_transaction_commits_last(
    brand: Brand, endpoint: WebhookEndpoint
) -> None:
    """The slow one has the lower id and commits after the fast one's event was spread."""
    texts = [world.make_text(brand, "sent") for _ in range(2)]
    wrote, may_commit = threading.Event(), threading.Event()

    def slow() -> None:
        with transaction.atomic():
            SentLog.objects.filter(pk=texts[0].pk).update(state="delivered")
            wrote.set()
            assert may_commit.wait(20)

    def fast() -> None:
        assert wrote.wait(20)
        SentLog.objects.filter(pk=texts[1].pk).update(state="delivered")
        assert deliveries.spread() == 1
        may_commit.set()

    world.at_once(slow, fast)
    assert deliveries.spread() == 1

    told = WebhookDelivery.objects.values_list("event__text_id", flat=True)
    assert set(told) == {text.id for text in texts}


def test_two_couriers_that_spread_at_once_make_each_delivery_once(
    brand: Brand, endpoint: WebhookEndpoint
) -> None:
    for _ in range(60):
        world.make_text(brand, "failed")

    def spread() -> int:
        return sum(deliveries.spread(at_most=7) for _ in range(12))

    assert sum(world.at_once(spread, spread, spread)) == 60
    assert WebhookDelivery.objects.count() == 60


def test_an_order_is_noted_once_and_told_with_the_texts_that_it_is_credited_to(
    brand: Brand, endpoint: WebhookEndpoint
) -> None:
    person = world.make_people(brand, 1)[0]
    text = shop.text_to(person, shop.campaign_of(brand), sent=shop.NOON, delivered=shop.NOON)
    OutboundEvent.objects.all().delete()

    for _ in range(2):
        shop.record(shop.order(brand, at=shop.NOON + shop.HOUR, amount="30", phone=person.phone))
    shop.settle()
    assert noted() == ["purchase.recorded"]
    event = OutboundEvent.objects.get()
    assert deliveries.spread() == 0  # it is not known yet whom to credit
    OutboundEvent.objects.update(recorded_at=clock.now() - dt.timedelta(seconds=11))

    assert deliveries.spread() == 1
    assert "1001" not in json.dumps(event.facts)
    told = json.loads(payloads.build([event.pk])[event.pk].body)["data"]
    assert (told["subscriber"], told["phone"], told["orderId"]) == (person.pk, person.phone, "1001")
    assert (told["amount"], told["currency"], told["matchedBy"]) == ("30.00", "USD", "phone")
    assert told["credited"] == [
        {
            "text": str(text.pk),
            "campaign": text.campaign_id,
            "message": text.message_id,
            "touch": "delivery",
            "amount": "30.00",
        }
    ]


def test_a_refund_is_noted_with_its_order(brand: Brand, endpoint: WebhookEndpoint) -> None:
    shop.record(shop.order(brand, amount="30"), shop.refund(brand, amount="10"))
    shop.record(shop.refund(brand, amount="10"))

    assert noted() == ["purchase.recorded", "refund.recorded"]
    event = OutboundEvent.objects.get(type="refund.recorded")
    told = json.loads(payloads.build([event.pk])[event.pk].body)["data"]
    assert (told["amount"], told["refunded"], told["orderId"], told["refundId"]) == (
        "10.00", "10.00", "1001", "R1",
    )  # fmt: skip
    assert (told["subscriber"], told["phone"], told["credited"]) == (None, None, [])


def test_an_order_of_an_erased_person_tells_neither_number_nor_order_id(
    brand: Brand, endpoint: WebhookEndpoint
) -> None:
    person = world.make_people(brand, 1)[0]
    shop.record(shop.order(brand, amount="30", phone=person.phone))
    event = OutboundEvent.objects.get(type="purchase.recorded")

    erasure.erase(brand.workspace, person.phone, actor="a test", reason="asked")

    told = json.loads(payloads.build([event.pk])[event.pk].body)["data"]
    assert (told["phone"], told["orderId"], told["amount"]) == (None, None, "30.00")


def test_orders_are_told_to_their_brand_alone(brand: Brand) -> None:
    sister = world.make_brand("sister", workspace=brand.workspace)
    make_endpoint(brand.workspace, URL, brand=sister)
    make_endpoint(world.make_brand("stranger").workspace, URL)

    shop.record(shop.order(brand), shop.refund(brand, amount="10"))

    assert noted() == []
