"""Claims about orders, refunds and other events: kept once, refunds never above, matched in order."""

import datetime as dt
from decimal import Decimal

import pytest

from sending.models import ShortLink
from subscribers import clock, erasure, person_export, upsert
from subscribers.models import Brand, Subscriber
from tests import sending_world as world
from tests.tracking import shop_world as shop
from tests.tracking.shop_world import NOON, code, order, record, refund
from tracking import matching
from tracking.models import AttributionRules, CustomEvent, Purchase, Refund
from tracking.purchases import Event, Kind

pytestmark = pytest.mark.usefixtures("installed")


@pytest.fixture
def person(brand: Brand) -> Subscriber:
    return world.make_people(brand, 1, email="Ada@example.com")[0]


def test_an_order_that_is_told_again_is_one_order(brand: Brand) -> None:
    first, twin = record(order(brand), order(brand))
    (again,) = record(order(brand))

    assert [first.status, twin.status, again.status] == ["accepted", "known", "known"]
    assert {first.id, twin.id, again.id} == {Purchase.objects.get().pk}


def test_an_order_that_is_told_with_another_amount_is_refused(brand: Brand) -> None:
    record(order(brand))

    (again,) = record(order(brand, amount="60"))

    assert code(again) == "order_differs"
    assert Purchase.objects.get().amount == Decimal(50)


def test_two_brands_may_have_orders_of_one_number(brand: Brand) -> None:
    other = world.make_brand("other", workspace=brand.workspace)

    answers = record(order(brand), order(other))

    assert [one.status for one in answers] == ["accepted", "accepted"]


def test_the_same_order_from_two_connections_at_once_is_one_order(brand: Brand) -> None:
    answers = world.at_once(*[lambda: record(order(brand), order(brand, "1002"))] * 4)

    assert sorted(one[0].status for one in answers) == ["accepted", "known", "known", "known"]
    assert Purchase.objects.count() == 2


def test_refunds_are_partial_and_never_above_the_order(brand: Brand) -> None:
    answers = record(
        order(brand),
        refund(brand, amount="20"),
        refund(brand, refund_id="R2", amount="30.01"),
        refund(brand, refund_id="R3", amount="30"),
    )

    assert [one.status for one in answers] == ["accepted", "accepted", "refused", "accepted"]
    assert code(answers[2]) == "refund_too_large"
    assert Purchase.objects.get().refunded == Decimal(50)


def test_a_refund_that_is_told_again_counts_once(brand: Brand) -> None:
    record(order(brand), refund(brand, amount="20"))

    same, twin = record(refund(brand, amount="20"), refund(brand, amount="20"))
    (other,) = record(refund(brand, amount="10"))

    assert [same.status, twin.status, other.status] == ["known", "known", "refused"]
    assert (Purchase.objects.get().refunded, Refund.objects.count()) == (Decimal(20), 1)


def test_refunds_at_once_are_never_above_the_order(brand: Brand) -> None:
    record(order(brand))

    answers = world.at_once(
        *(lambda name=name: record(refund(brand, refund_id=name, amount="20")) for name in "ABCD")
    )

    assert sorted(one[0].status for one in answers) == ["accepted"] * 2 + ["refused"] * 2
    assert Purchase.objects.get().refunded == Decimal(40)


def test_a_refund_of_an_order_that_nobody_knows_is_refused(brand: Brand) -> None:
    other = world.make_brand("other", workspace=brand.workspace)
    record(order(brand))

    (answer,) = record(refund(other, amount="5"))

    assert code(answer) == "unknown_order"


def test_an_event_of_the_future_or_in_another_currency_is_refused(brand: Brand) -> None:
    AttributionRules.objects.create(brand=brand, currency="EUR")

    future, dollars, plain = record(
        order(brand, "1", at=clock.now() + dt.timedelta(minutes=6)),
        order(brand, "2", currency="USD"),
        order(brand, "3"),
    )

    assert code(future) == "in_the_future"
    assert code(dollars) == "wrong_currency"
    assert plain.status == "accepted"
    assert Purchase.objects.get().currency == "EUR"


def test_a_person_is_found_by_click_then_phone_then_e_mail_then_keyword(
    brand: Brand, person: Subscriber
) -> None:
    clicker, caller = world.make_people(brand, 2)
    campaign = shop.campaign_of(brand, utm_campaign="Spring")
    text = shop.text_to(clicker, campaign, sent=NOON)
    ShortLink.objects.create(code="abcdefghij12", text_id=text.id, link_id=1, brand=brand)
    clues = {"phone": caller.phone, "email": "Ada@example.com", "keyword": "spring"}

    record(
        order(brand, "1", click_id="abcdefghij12", **clues),
        order(brand, "2", click_id="nothing", **clues),
        order(brand, "3", email="aDa@example.com", keyword="spring"),
        order(brand, "4", email="nobody@example.com", keyword="spring"),
        order(brand, "5", keyword="autumn"),
    )

    found = {one.order_id: (one.matched_by, one.subscriber_id) for one in Purchase.objects.all()}
    assert found == {
        "1": ("click", clicker.pk),
        "2": ("phone", caller.pk),
        "3": ("email", person.pk),
        "4": ("keyword", None),
        "5": ("", None),
    }


def test_nobody_of_another_brand_or_workspace_is_found(brand: Brand, person: Subscriber) -> None:
    sister = world.make_brand("sister", workspace=brand.workspace)
    stranger = world.make_brand("stranger")
    text = shop.text_to(person, shop.campaign_of(brand, utm_campaign="spring"), sent=NOON)
    ShortLink.objects.create(code="abcdefghij12", text_id=text.id, link_id=1, brand=brand)
    clues = {"click_id": "abcdefghij12", "phone": person.phone, "email": person.email}

    record(*(order(other, keyword="spring", **clues) for other in (sister, stranger)))

    assert set(Purchase.objects.values_list("subscriber", "matched_by")) == {(None, "")}


def test_two_people_with_one_address_are_nobody(brand: Brand, person: Subscriber) -> None:
    world.make_people(brand, 1, email=person.email)

    record(order(brand, email=person.email))

    assert Purchase.objects.get().subscriber is None


def test_a_stranger_who_becomes_a_subscriber_gets_the_order(brand: Brand) -> None:
    record(order(brand, phone="+12125550123"))
    person = upsert.upsert(
        brand.workspace, {"phone": "+12125550123"}, subscribe={brand: True}, evidence={}
    )

    assert matching.match_waiting() == 1

    bought = Purchase.objects.get()
    assert (bought.subscriber_id, bought.matched_by, bought.phone) == (person.pk, "phone", "")
    shop.settle()
    person.refresh_from_db()
    assert person.total_purchases == 1


def test_a_stranger_s_number_is_forgotten_after_a_week(brand: Brand) -> None:
    record(order(brand, phone="+12125550123"))
    Purchase.objects.update(received_at=clock.now() - dt.timedelta(days=8))

    matching.match_waiting()

    assert Purchase.objects.get().phone == ""


def test_other_events_are_kept_once(brand: Brand, person: Subscriber) -> None:
    clue = matching.Clue(brand.pk, phone=person.phone)
    event = Event(brand, Kind.CUSTOM, "E1", NOON, clue, name="visited", properties={"page": "/"})

    answers = [*record(event, event), *record(event)]

    assert [one.status for one in answers] == ["accepted", "known", "known"]
    assert CustomEvent.objects.get().subscriber == person


def test_an_erased_persons_events_keep_no_personal_data(brand: Brand, person: Subscriber) -> None:
    clue = matching.Clue(brand.pk, phone=person.phone)
    record(
        order(brand, phone=person.phone),
        refund(brand, amount="5"),
        Event(brand, Kind.CUSTOM, "E1", NOON, clue, name="visited", properties={"size": "M"}),
    )
    told = person_export.collect(brand.workspace, person.phone)
    assert told["purchases"][0]["order_id"] == "1001"

    erasure.erase(brand.workspace, person.phone, actor="a test", reason="asked")
    shop.settle()
    again = record(order(brand, phone=person.phone), refund(brand, amount="5"))
    record(order(brand, "1002", phone=person.phone))

    assert [one.status for one in again] == ["known", "known"]
    rows = [*Purchase.objects.exclude(order_id="1002").values("order_id", "phone", "email")]
    assert rows == [{"order_id": "", "phone": "", "email": ""}]
    assert Purchase.objects.get(order_id="1002").phone == ""
    assert Refund.objects.get().refund_id == ""
    assert list(CustomEvent.objects.values_list("event_id", "properties")) == [("", {})]
    person.refresh_from_db()
    assert (person.total_purchases, person.last_purchase_at) == (0, None)
