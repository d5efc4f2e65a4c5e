"""Claims about `GET /api/events`: everything once, in one order, behind the wall, at a fixed cost."""

import datetime as dt
import random
from typing import Any

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext

from campaigns.models import Campaign
from sending.models import Sender, SentLog, State
from subscribers import clock
from subscribers.models import Brand, Subscriber
from tests import sending_world as world
from tests.subscribers.conftest import api_key, make_key
from tests.tracking import shop_world as shop
from tests.tracking.shop_world import DAY, HOUR, order, record, refund
from tracking import happened, replies
from tracking.happened import Kind, Position, Wanted
from tracking.models import CustomEvent, Purchase, Refund, Reply, TrackingEvent
from tracking.purchases import Event
from tracking.webhooks.base import Inbound

pytestmark = pytest.mark.usefixtures("installed")


@pytest.fixture
def person(brand: Brand) -> Subscriber:
    return world.make_people(brand, 1)[0]


@pytest.fixture
def campaign(brand: Brand) -> Campaign:
    made = shop.campaign_of(brand)
    Campaign.objects.filter(pk=made.pk).update(launched_at=clock.now() - DAY)
    return made


@pytest.fixture
def text(person: Subscriber, campaign: Campaign) -> SentLog:
    sent = clock.now() - HOUR
    return shop.text_to(person, campaign, sent=sent, delivered=sent)


@pytest.fixture
def everything(brand: Brand, sender: Sender, person: Subscriber, text: SentLog) -> None:
    """One event of each kind, all of one person."""
    now = clock.now()
    shop.click(text, now)
    replies.receive(sender, Inbound("IN1", person.phone, "Love it"))
    Reply.objects.update(campaign=text.campaign_id, text_id=text.pk)
    known = {"at": now, "phone": person.phone}
    record(order(brand, "1", amount="30", **known), refund_now(brand), custom(brand, **known))
    shop.settle()


def refund_now(brand: Brand) -> Event:
    made = refund(brand, "1", amount="10")
    return Event(**{name: getattr(made, name) for name in made.__slots__} | {"at": clock.now()})


def custom(brand: Brand, *, at: dt.datetime, phone: str) -> Event:
    clue = shop.Clue(brand.pk, phone=phone)
    return Event(brand, shop.Kind.CUSTOM, "E1", at, clue, name="visited", properties={"page": "/"})


def get(client: Client, key: str, query: str = "") -> HttpResponse:
    return client.get(f"/api/events{query}", headers=api_key(key))


def told(client: Client, key: str, query: str = "") -> list[dict[str, Any]]:
    answer = get(client, key, query)
    assert answer.status_code == 200, answer.content
    return answer.json()["results"]


def test_each_kind_is_listed_with_what_it_is(
    client: Client, brand: Brand, person: Subscriber, text: SentLog, everything: None
) -> None:
    found = {one["type"]: one for one in told(client, make_key(brand.workspace))}

    assert found.keys() == {str(kind) for kind in Kind}
    assert {one["subscriber"] for one in found.values()} == {person.pk}
    assert {one["brand"] for one in found.values()} == {brand.slug}
    click, bought = found["click"], found["purchase"]
    assert (click["text"], click["campaign"]) == (str(text.pk), text.campaign_id)
    assert click["data"]["machine"] is False
    assert (bought["campaign"], bought["data"]["orderId"]) == (text.campaign_id, "1")
    assert (bought["data"]["amount"], bought["data"]["refunded"]) == ("30.00", "10.00")
    assert [(one["amount"], one["touch"]) for one in bought["data"]["credited"]] == [
        ("20.00", "click")
    ]
    assert (found["refund"]["data"]["amount"], found["refund"]["data"]["orderId"]) == ("10.00", "1")
    assert found["custom"]["data"]["properties"] == {"page": "/"}
    assert found["reply"]["data"]["body"] == "Love it"


@pytest.mark.parametrize(
    ("query", "kinds"),
    [
        ("type=click", {"click"}),
        ("type=click&type=refund", {"click", "refund"}),
        ("brand=wswd", {str(kind) for kind in Kind}),
        ("brand=other", set()),
        ("campaign={campaign}", {"click", "reply", "purchase", "refund"}),
        ("campaign=0", set()),
        ("subscriber={person}", {str(kind) for kind in Kind}),
        ("subscriber=0", set()),
        ("since={soon}", set()),
        ("until={soon}", {str(kind) for kind in Kind}),
        ("until=2020-01-01T00:00:00Z", set()),
    ],
)
def test_filters_leave_what_they_say(
    client: Client, person: Subscriber, everything: None, query: str, kinds: set[str]
) -> None:
    soon = f"{clock.now() + HOUR:%Y-%m-%dT%H:%M:%SZ}"
    query = query.format(campaign=Campaign.objects.get().pk, person=person.pk, soon=soon)

    found = told(client, make_key(person.workspace), f"?{query}")

    assert {one["type"] for one in found} == kinds


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        ("kind=click", 400, "There is no such filter; there are: brand, campaign"),
        ("type=call", 400, "call"),
        ("since=yesterday", 400, "Give a moment with its time zone"),
        ("since=2026-11-22T09:30:00", 400, "Give a moment with its time zone"),
        ("campaign=x", 400, "integer"),
        ("limit=501", 400, "500"),
        ("cursor=bm9uc2Vuc2U", 404, "This cursor is not one of ours"),
        ("cursor=WyIyMDI2LTExLTIyVDA5OjMwOjAwWiIsICJyZXBseSIsICJ4Il0=", 404, "This cursor"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(
    client: Client, brand: Brand, query: str, status: int, says: str
) -> None:
    answer = get(client, make_key(brand.workspace), f"?{query}")

    assert answer.status_code == status
    assert says in answer.json()["error"]


def test_what_is_older_than_a_week_needs_to_be_asked_for(
    client: Client, brand: Brand, person: Subscriber
) -> None:
    record(order(brand, at=clock.now(), phone=person.phone))
    Purchase.objects.update(received_at=clock.now() - 8 * DAY)
    key = make_key(brand.workspace)

    assert told(client, key) == []
    assert len(told(client, key, "?since=2020-01-01T00:00:00Z")) == 1
    assert len(told(client, key, f"?subscriber={person.pk}")) == 1


def test_pages_hold_every_event_once_in_one_order(
    client: Client, brand: Brand, sender: Sender, text: SentLog
) -> None:
    """Many at the same instant: as they are that come in one request."""
    dice = random.Random(7)
    now = clock.now()
    moments = [now - dt.timedelta(minutes=n) for n in range(4)]
    record(*[order(brand, str(n), at=now, amount="5") for n in range(12)])
    for n in range(12):
        event = shop.click(text, now + dt.timedelta(seconds=n))
        TrackingEvent.objects.filter(pk=event.pk).update(received_at=dice.choice(moments))
        replies.receive(sender, Inbound(f"IN{n}", text.phone, "Hello"))
        bought = Purchase.objects.order_by("pk")[n]
        bought.refunds.create(refund_key=bytes([n]), amount=1, refunded_at=now)
        CustomEvent.objects.create(brand=brand, event_key=bytes([n]), name="x", happened_at=now)
    for model in (Reply, Purchase, Refund, CustomEvent):
        for row in model.objects.all():
            model.objects.filter(pk=row.pk).update(received_at=dice.choice(moments))
    key = make_key(brand.workspace)
    whole = told(client, key, "?limit=500")
    assert len(whole) == 60

    paged: list[dict[str, Any]] = []
    query: str | None = "/api/events?limit=7"
    while query:
        answer = client.get(query, headers=api_key(key)).json()
        paged += answer["results"]
        query = answer["next"]

    assert paged == whole
    assert len({(one["type"], one["id"]) for one in paged}) == 60
    recorded = [one["recordedAt"] for one in paged]
    assert recorded == sorted(recorded, reverse=True)


def test_a_key_of_another_brand_or_workspace_sees_nothing_of_it(
    client: Client, brand: Brand, person: Subscriber, text: SentLog, everything: None
) -> None:
    sister = world.make_brand("sister", workspace=brand.workspace)
    stranger = world.make_brand("stranger")
    keys = (make_key(sister.workspace, sister), make_key(stranger.workspace))
    queries = ("", f"?campaign={text.campaign_id}", f"?subscriber={person.pk}", "?brand=wswd")

    assert [told(client, key, query) for key in keys for query in queries] == [[]] * 8


def test_a_page_costs_the_same_number_of_queries_however_many_events_there_are(
    client: Client, brand: Brand, text: SentLog, everything: None
) -> None:
    wanted = Wanted([brand.pk], clock.now() - DAY)
    with CaptureQueriesContext(connection) as few:
        assert len(happened.page(wanted, after=None, most=50)) == 5
    now = clock.now()
    record(*[order(brand, f"N{n}", at=now, amount="5", phone=text.phone) for n in range(30)])
    for n in range(30):
        shop.click(text, now + dt.timedelta(seconds=n))

    with CaptureQueriesContext(connection) as many:
        assert len(happened.page(wanted, after=None, most=100)) == 65

    assert len(many) == len(few)


def test_the_newest_of_a_brand_are_found_by_indexes(brand: Brand, everything: None) -> None:
    """Each branch by an index that has the brand first (refunds: their arrival)."""
    wanted = Wanted([brand.pk], clock.now() - DAY)
    after = Position(clock.now(), "reply", "5")
    with CaptureQueriesContext(connection) as asked:
        happened.page(wanted, after=after, most=50)
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        cursor.execute(f"EXPLAIN {asked[0]['sql']}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
        cursor.execute("SET enable_seqscan = on")

    for index in ("purchase_by_arrival", "custom_event_by_arrival", "reply_of_brand"):
        assert index in plan, plan
    assert "brand_id_received_at_idx" in plan  # of a partition of the events
    assert "refund" in plan
    assert "Seq Scan" not in plan


def test_reading_does_not_use_up_the_quota_of_events(client: Client, brand: Brand) -> None:
    key = make_key(brand.workspace, events_per_minute=1, per_minute=50)

    assert {get(client, key).status_code for _ in range(4)} == {200}


def test_texts_whose_row_is_gone_still_have_their_events(
    client: Client, brand: Brand, text: SentLog, everything: None
) -> None:
    SentLog.objects.filter(state=State.DELIVERED).delete()

    found = {one["type"]: one for one in told(client, make_key(brand.workspace))}

    assert found["click"]["campaign"] is None
    assert found["purchase"]["campaign"] == text.campaign_id
