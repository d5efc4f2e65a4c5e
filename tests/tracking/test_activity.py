"""Claims about what is kept of a person's clicks and purchases: counted once, never lost."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from sending.models import Sender, SentLog
from subscribers import clock, upsert
from subscribers.models import Brand, Subscriber
from tests import sending_world as world
from tests.tracking import shop_world as shop
from tests.tracking.shop_world import DAY, HOUR, NOON, order, record, refund, settle
from tests.tracking.test_clicks import follow, shorts
from tracking import replies
from tracking.models import TouchedPerson
from tracking.webhooks.base import Inbound

pytestmark = pytest.mark.usefixtures("installed")


@pytest.fixture
def person(brand: Brand) -> Subscriber:
    return world.make_people(brand, 1)[0]


@pytest.fixture
def text(brand: Brand, person: Subscriber) -> SentLog:
    return shop.text_to(person, shop.campaign_of(brand), sent=NOON - DAY)


@transaction.atomic
def tell(brand: Brand, person: Subscriber, **fields: Any) -> None:
    """An integrator writes fields of a person."""
    upsert.upsert(brand.workspace, {"phone": person.phone, **fields}, subscribe={}, evidence={})


def known(person: Subscriber, *names: str) -> Any:
    settle()
    person.refresh_from_db()
    values = tuple(getattr(person, name) for name in names)
    return values if len(values) > 1 else values[0]


def test_a_followed_link_counts_and_a_machine_s_visit_does_not(
    client: Client, brand: Brand
) -> None:
    first, second = shorts(brand, 2)
    follow(client, first.code)
    follow(client, second.code, agent="Slackbot")

    settle()

    counted = dict(Subscriber.objects.values_list("pk", "total_clicks"))
    of = dict(SentLog.objects.values_list("id", "subscriber_id"))
    assert counted == {of[first.text_id]: 1, of[second.text_id]: 0}
    clicker = Subscriber.objects.get(pk=of[first.text_id])
    assert clicker.has_clicked
    assert clicker.first_click_at == clicker.last_engagement is not None


def test_clicks_and_orders_make_first_last_and_totals(
    brand: Brand, person: Subscriber, text: SentLog
) -> None:
    shop.click(text, NOON - 2 * HOUR)
    shop.click(text, NOON - HOUR)
    record(
        order(brand, "1", phone=person.phone),
        order(brand, "2", at=NOON + DAY, amount="9.99", phone=person.phone),
        refund(brand, "1", amount="20"),
    )

    assert known(person, "total_clicks", "total_purchases", "total_revenue") == (
        *(2, 2),
        Decimal("39.99"),
    )
    assert known(person, "first_click_at", "first_purchase_at", "last_purchase_at") == (
        *(NOON - 2 * HOUR, NOON),
        NOON + DAY,
    )
    assert known(person, "last_engagement", "has_clicked", "has_purchased") == (
        *(NOON + DAY, True),
        True,
    )


def test_counting_again_changes_nothing(brand: Brand, person: Subscriber, text: SentLog) -> None:
    shop.click(text, NOON)
    record(order(brand, phone=person.phone))
    before = known(person, "total_clicks", "total_revenue", "updated_at")

    TouchedPerson.objects.create(subscriber=person)

    assert known(person, "total_clicks", "total_revenue", "updated_at") == before


def test_a_refund_after_the_count_lowers_the_revenue(brand: Brand, person: Subscriber) -> None:
    record(order(brand, phone=person.phone))
    assert known(person, "total_revenue") == Decimal(50)

    record(refund(brand, amount="50"))

    assert known(person, "total_revenue", "total_purchases") == (Decimal(0), 1)


def test_what_an_integrator_told_is_never_lowered(
    brand: Brand, person: Subscriber, text: SentLog
) -> None:
    told = {
        "total_clicks": 7,
        "total_revenue": Decimal("900.00"),
        "first_click_at": NOON - 30 * DAY,
        "last_engagement": NOON + 3 * DAY,
    }
    tell(brand, person, **told)
    shop.click(text, NOON)
    record(order(brand, phone=person.phone), refund(brand, amount="10"))

    assert known(person, *told) == tuple(told.values())
    assert known(person, "total_purchases", "last_purchase_at") == (1, NOON)


def test_a_lower_number_of_an_integrator_is_mended_by_the_next_count(
    brand: Brand, person: Subscriber, text: SentLog
) -> None:
    shop.click(text, NOON)
    shop.click(text, NOON + HOUR)
    settle()
    tell(brand, person, total_clicks=0)

    shop.click(text, NOON + 2 * HOUR)

    assert known(person, "total_clicks") == 3


def test_a_click_that_commits_during_a_count_is_counted_by_the_next(
    brand: Brand, person: Subscriber, text: SentLog
) -> None:
    shop.click(text, NOON)
    with transaction.atomic():
        shop.click(text, NOON + HOUR)
        world.at_once(settle)
        (counted,) = world.at_once(lambda: Subscriber.objects.get(pk=person.pk).total_clicks)
        assert counted == 1
    assert known(person, "total_clicks") == 2


def test_counts_at_once_agree(brand: Brand, person: Subscriber, text: SentLog) -> None:
    for hours in range(8):
        shop.click(text, NOON + hours * HOUR)

    world.at_once(settle, settle, settle)

    assert known(person, "total_clicks") == 8


def test_a_reply_is_engagement_and_an_opt_out_is_none(
    brand: Brand, person: Subscriber, sender: Sender
) -> None:
    replies.receive(sender, Inbound("IN1", person.phone, "Stop texting me"))
    assert known(person, "last_engagement") is None

    replies.receive(sender, Inbound("IN2", person.phone, "Love it"))

    assert clock.now() - known(person, "last_engagement") < dt.timedelta(minutes=1)
