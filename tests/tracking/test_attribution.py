"""Claims about which texts are credited with an order: windows, models, late facts, an oracle."""

import contextlib
import datetime as dt
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns.models import Campaign
from sending.models import SentLog, ShortLink, State
from subscribers import clock
from subscribers.models import Brand, Subscriber
from tests import sending_world as world
from tests.tracking import shop_world as shop
from tests.tracking.shop_world import DAY, HOUR, NOON, order, record, refund, settle, shares
from tracking import attribution, receipts
from tracking.models import Attribution, AttributionRules, Purchase
from tracking.webhooks.base import Receipt

pytestmark = pytest.mark.usefixtures("installed")

MICRO = dt.timedelta(microseconds=1)
LONG_AGO = NOON - 10 * DAY


@pytest.fixture
def person(brand: Brand) -> Subscriber:
    return world.make_people(brand, 1)[0]


@pytest.fixture
def campaign(brand: Brand) -> Campaign:
    return shop.campaign_of(brand)


@pytest.mark.parametrize(
    ("clicked", "counts"),
    [
        (NOON, True),
        (NOON + MICRO, False),
        (NOON - 5 * DAY, True),
        (NOON - 5 * DAY - MICRO, False),
    ],
)
def test_a_click_counts_for_five_days(
    brand: Brand, person: Subscriber, campaign: Campaign, clicked: dt.datetime, counts: bool
) -> None:
    text = shop.text_to(person, campaign, sent=LONG_AGO)
    shop.click(text, clicked)

    record(order(brand, phone=person.phone))
    settle()

    assert shares() == ({text.id: Decimal(50)} if counts else {})


@pytest.mark.parametrize(
    ("delivered", "counts"),
    [(NOON, True), (NOON - 12 * HOUR, True), (NOON - 12 * HOUR - MICRO, False)],
)
def test_a_delivery_counts_for_twelve_hours(
    brand: Brand, person: Subscriber, campaign: Campaign, delivered: dt.datetime, counts: bool
) -> None:
    text = shop.text_to(person, campaign, sent=NOON - DAY, delivered=delivered)

    record(order(brand, phone=person.phone))
    settle()

    assert shares() == ({text.id: Decimal(50)} if counts else {})


def test_a_text_that_did_not_arrive_or_came_after_the_order_gets_nothing(
    brand: Brand, person: Subscriber, campaign: Campaign
) -> None:
    shop.text_to(person, campaign, sent=NOON - HOUR)
    shop.text_to(person, campaign, sent=NOON + HOUR, delivered=NOON + HOUR)

    record(order(brand, phone=person.phone))
    settle()

    assert shares() == {}


def test_the_brands_own_windows_count(brand: Brand, person: Subscriber, campaign: Campaign) -> None:
    AttributionRules.objects.create(brand=brand, click_window=HOUR, delivery_window=HOUR)
    text = shop.text_to(person, campaign, sent=NOON - 3 * HOUR, delivered=NOON - 2 * HOUR)
    shop.click(text, NOON - 2 * HOUR)

    record(order(brand, phone=person.phone), order(brand, "2", at=NOON - HOUR, phone=person.phone))
    settle()

    credited = Attribution.objects.values_list("purchase__order_id", flat=True)
    assert list(credited) == ["2"]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("last_touch", {2: "10.00"}),
        ("first_touch", {0: "10.00"}),
        ("linear", {0: "3.33", 1: "3.33", 2: "3.34"}),
    ],
)
def test_each_model_credits_the_whole_amount(
    brand: Brand,
    person: Subscriber,
    campaign: Campaign,
    model: str,
    expected: dict[int, str],
) -> None:
    AttributionRules.objects.create(brand=brand, model=model)
    texts = [shop.text_to(person, campaign, sent=LONG_AGO) for _ in range(3)]
    for text, ago in zip(texts, (3, 2, 1), strict=True):
        shop.click(text, NOON - ago * HOUR)

    record(order(brand, amount="10", phone=person.phone))
    settle()

    assert shares() == {texts[at].id: Decimal(amount) for at, amount in expected.items()}


def test_two_purchases_after_one_click_are_both_its_texts(
    brand: Brand, person: Subscriber, campaign: Campaign
) -> None:
    text = shop.text_to(person, campaign, sent=LONG_AGO)
    shop.click(text, NOON - HOUR)

    record(order(brand, "1", phone=person.phone), order(brand, "2", phone=person.phone))
    settle()

    assert [one.text_id for one in Attribution.objects.all()] == [text.id, text.id]


def test_a_refund_takes_its_part_of_the_revenue_back(
    brand: Brand, person: Subscriber, campaign: Campaign
) -> None:
    text = shop.text_to(person, campaign, sent=NOON - HOUR, delivered=NOON - HOUR)
    record(order(brand, phone=person.phone))
    settle()

    record(refund(brand, amount="12.50"))
    settle()

    assert shares() == {text.id: Decimal("37.50")}


def test_a_machine_s_click_counts_only_for_the_order_that_it_led_to(
    brand: Brand, person: Subscriber, campaign: Campaign
) -> None:
    text = shop.text_to(person, campaign, sent=LONG_AGO)
    ShortLink.objects.create(code="abcdefghij12", text_id=text.id, link_id=1, brand=brand)
    shop.click(text, NOON - HOUR, "too_soon")

    record(order(brand, "1", phone=person.phone), order(brand, "2", click_id="abcdefghij12"))
    settle()

    assert [one.purchase.order_id for one in Attribution.objects.all()] == ["2"]


def test_a_click_that_is_recorded_after_the_order_is_credited(
    brand: Brand, person: Subscriber, campaign: Campaign
) -> None:
    text = shop.text_to(person, campaign, sent=LONG_AGO)
    record(order(brand, phone=person.phone))
    settle()
    assert shares() == {}

    shop.click(text, NOON - HOUR)
    settle()

    assert shares() == {text.id: Decimal(50)}


def test_a_click_that_is_being_recorded_while_the_order_is_credited_is_not_missed(
    brand: Brand, person: Subscriber, campaign: Campaign
) -> None:
    text = shop.text_to(person, campaign, sent=LONG_AGO)
    record(order(brand, phone=person.phone))

    with transaction.atomic():
        shop.click(text, NOON - HOUR)
        world.at_once(settle)
        assert Attribution.objects.count() == 0
    settle()

    assert shares() == {text.id: Decimal(50)}


def test_a_receipt_that_comes_after_the_order_is_credited(
    brand: Brand, person: Subscriber, campaign: Campaign, sender: Any
) -> None:
    now = clock.now()
    text = shop.text_to(person, campaign, sent=now - HOUR, sender=sender)
    record(order(brand, at=now, phone=person.phone))
    settle()
    assert shares() == {}

    receipts.receive(sender, [Receipt("P1", State.DELIVERED, text_id=text.id)])
    settle()

    assert shares() == {text.id: Decimal(50)}


def test_what_no_receipt_told_is_looked_at_again_when_every_text_is_final(
    brand: Brand, person: Subscriber, campaign: Campaign
) -> None:
    text = shop.text_to(person, campaign, sent=NOON - HOUR)
    record(order(brand, phone=person.phone))
    settle()
    SentLog.objects.update(state=State.DELIVERED, changed_at=NOON)  # a status call said so
    assert attribution.attribute_due() == 0

    old = clock.now() - attribution.SETTLED_AFTER
    Purchase.objects.update(received_at=old, due_at=clock.now())
    settle()

    assert shares() == {text.id: Decimal(50)}
    assert Purchase.objects.get().due_at is None


def test_changed_rules_credit_all_orders_again(
    brand: Brand, person: Subscriber, campaign: Campaign
) -> None:
    text = shop.text_to(person, campaign, sent=LONG_AGO)
    shop.click(text, NOON - 6 * DAY)
    record(order(brand, phone=person.phone))
    settle()
    assert shares() == {}

    AttributionRules.objects.create(brand=brand, click_window=7 * DAY)
    attribution.begin_again(brand, now=clock.now())
    settle()

    assert shares() == {text.id: Decimal(50)}


def test_texts_of_another_brand_are_never_credited(
    brand: Brand, person: Subscriber, campaign: Campaign
) -> None:
    sister = world.make_brand("sister", workspace=brand.workspace)
    world.opt_in(sister, [person])
    shop.click(shop.text_to(person, campaign, sent=NOON - HOUR, delivered=NOON), NOON)

    record(order(sister, phone=person.phone))
    settle()

    assert shares() == {}


def test_a_keyword_credits_the_latest_campaign_of_the_name(brand: Brand) -> None:
    fields = {"utm_campaign": "spring"}
    campaign = shop.campaign_of(brand, **fields)
    later = shop.campaign_of(brand, **fields)
    Campaign.objects.filter(pk=later.pk).update(launched_at=NOON + DAY)

    record(order(brand, keyword="Spring"))
    settle()

    share = Attribution.objects.get()
    assert (share.campaign_id, share.text_id, share.amount) == (campaign.pk, None, Decimal(50))


def test_the_audit_finds_shares_that_do_not_add_up(
    brand: Brand, person: Subscriber, campaign: Campaign
) -> None:
    now = clock.now()
    text = shop.text_to(person, campaign, sent=now - HOUR, delivered=now - HOUR)
    record(order(brand, at=now, phone=person.phone), order(brand, "2", at=now))
    settle()
    Purchase.objects.update(due_at=None)
    assert "orders" not in _audit()

    Attribution.objects.update(amount=49)
    assert "with more or less than their amount" in _audit()

    Attribution.objects.update(amount=50, text_id=shop.text_to(person, campaign, sent=now).id)
    assert "would be credited to other texts" in _audit()

    Attribution.objects.update(text_id=text.id)
    Purchase.objects.filter(order_id="2").update(refunded=1)
    assert "another sum of refunds" in _audit()


def _audit() -> str:
    told = StringIO()
    with contextlib.suppress(CommandError):
        call_command("audit_ledger", stdout=told)
    return told.getvalue()


MINUTES = st.integers(0, 8 * 24 * 60)
HISTORY = st.lists(
    st.fixed_dictionaries(
        {
            "sent": MINUTES,
            "delivered": st.none() | st.integers(0, 26 * 60),
            "clicks": st.lists(st.tuples(MINUTES, st.booleans()), max_size=3),
        }
    ),
    max_size=5,
)
ORDERS = st.lists(st.tuples(MINUTES, st.integers(0, 100_000)), min_size=1, max_size=3)
START = NOON - 20 * DAY


def _at(minutes: int) -> dt.datetime:
    return START + dt.timedelta(minutes=minutes)


@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    history=HISTORY,
    orders=ORDERS,
    model=st.sampled_from(["last_touch", "first_touch", "linear"]),
)
def test_shares_are_those_of_a_plain_reading_of_the_rules(
    brand: Brand,
    history: list[dict[str, Any]],
    orders: list[tuple[int, int]],
    model: str,
) -> None:
    with transaction.atomic():
        (person,) = world.make_people(brand, 1)
        AttributionRules.objects.create(brand=brand, model=model)
        campaign = shop.campaign_of(brand)
        texts = [_happen(person, campaign, one) for one in history]
        told = [
            order(brand, str(at), at=_at(minutes), amount=str(cents / 100), phone=person.phone)
            for at, (minutes, cents) in enumerate(orders)
        ]
        record(*told)
        settle()
        found = {one.order_id: shares(one) for one in Purchase.objects.filter(subscriber=person)}
        transaction.set_rollback(True)

    for event in told:
        expected = _oracle(texts, event.at, event.amount, model)
        assert found[event.key_id] == expected


def _happen(person: Subscriber, campaign: Campaign, told: dict[str, Any]) -> Any:
    sent = _at(told["sent"])
    delivered = (
        None if told["delivered"] is None else sent + dt.timedelta(minutes=told["delivered"])
    )
    text = shop.text_to(person, campaign, sent=sent, delivered=delivered)
    for minutes, human in dict(told["clicks"]).items():
        shop.click(text, _at(minutes), "click" if human else "burst")
    clicks = [_at(minutes) for minutes, human in dict(told["clicks"]).items() if human]
    return text.id, sent, delivered, clicks


def _oracle(texts: list[Any], ordered: dt.datetime, amount: Decimal, model: str) -> Any:
    touched = []
    for text_id, sent, delivered, clicks in texts:
        at = [one for one in clicks if ordered - 5 * DAY <= one <= ordered]
        if delivered and sent <= ordered:
            arrived = delivered if delivered <= ordered else sent
            at += [arrived] if ordered - arrived <= 12 * HOUR else []
        if at:
            touched.append((text_id, min(at), max(at)))
    if not touched:
        return {}
    if model == "first_touch":
        return {min(touched, key=lambda one: (one[1], one[0]))[0]: amount}
    latest = sorted(touched, key=lambda one: (one[2], one[0]), reverse=True)
    if model == "last_touch":
        return {latest[0][0]: amount}
    each, left = divmod(int(amount * 100), len(latest))
    return {one[0]: Decimal(each + (place < left)) / 100 for place, one in enumerate(latest)}
