"""Claims about `POST /api/events` and the shops' webhook: row by row, within the key's brands, signed."""

import json
import time
from typing import Any

import pytest
from django.db import transaction
from django.http import HttpResponse
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from subscribers.models import Brand
from tests import sending_world as world
from tests.subscribers.conftest import api_key, make_key
from tests.tracking import shop_world
from tracking import api_event_rows
from tracking.models import Purchase, Shop
from tracking.webhooks.shops import SIGNATURE, TIMESTAMP, sign

pytestmark = pytest.mark.usefixtures("installed")

SECRET = "s3cret"
AT = "2026-11-20T12:00:00Z"


@pytest.fixture
def key(brand: Brand) -> str:
    return make_key(brand.workspace)


@pytest.fixture
def shop(brand: Brand) -> Shop:
    return Shop.objects.create(brand=brand, name="Tea", credentials={"secret": "s3cret"})


def purchase(order_id: str = "1", **fields: Any) -> dict[str, Any]:
    return {"type": "purchase", "orderId": order_id, "amount": "59.90", "at": AT} | fields


def refund(**fields: Any) -> dict[str, Any]:
    known = {"type": "refund", "orderId": "1", "refundId": "R1", "amount": 9.9, "at": AT}
    return known | fields


def post(client: Client, key: str, data: Any) -> HttpResponse:
    return client.post(
        "/api/events", json.dumps(data), content_type="application/json", headers=api_key(key)
    )


def tell(client: Client, shop: Shop, data: Any, *, secret: str = SECRET, late: int = 0):
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    timestamp = str(int(time.time()) - late)
    headers = {TIMESTAMP: timestamp, SIGNATURE: sign(secret, timestamp, body)}
    path = f"/webhooks/events/{shop.token}"
    return client.post(path, body, content_type="application/json", headers=headers)


def test_events_are_answered_row_by_row(client: Client, brand: Brand, key: str) -> None:
    (person,) = world.make_people(brand, 1)
    rows = [
        purchase(brand=brand.slug, phone=person.phone),
        purchase(brand=brand.slug),
        refund(brand=brand.slug),
        {"type": "custom", "name": "visited", "eventId": "E1", "at": AT, "brand": brand.slug},
        {"type": "custom", "name": "visited", "at": AT, "brand": brand.slug},
        purchase("2", amount="1.234"),
        purchase("3", phone="12"),
        purchase("4", at="yesterday"),
        "nothing",
    ]

    answer = post(client, key, {"events": rows})

    told = answer.json()
    assert (answer.status_code, told["accepted"], told["known"], told["refused"]) == (200, 3, 1, 5)
    assert told["results"][0]["matchedBy"] == "phone"
    assert [one.get("field") for one in told["results"][4:]] == [
        *("eventId", "amount", "phone", "at"),
        None,
    ]
    bought = Purchase.objects.get()
    assert (str(bought.amount), str(bought.refunded)) == ("59.90", "9.90")


def test_one_event_needs_no_list_and_its_problem_is_an_error(
    client: Client, brand: Brand, key: str
) -> None:
    assert post(client, key, purchase()).json()["accepted"] == 1

    refused = post(client, key, refund(amount=100))

    assert refused.status_code == 400
    assert refused.json()["code"] == "refund_too_large"
    assert refused.json()["field"] == "amount"


@pytest.mark.parametrize(
    "data", [[], {"events": []}, {"events": "x"}, "x", {"events": [{}] * 1001}]
)
def test_what_is_no_list_of_events_is_refused(client: Client, key: str, data: Any) -> None:
    answer = post(client, key, data)

    assert (answer.status_code, answer.json()["field"]) == (400, "events")


def test_a_thousand_events_are_a_fixed_number_of_statements(
    client: Client, brand: Brand, key: str, django_assert_max_num_queries: Any
) -> None:
    post(client, key, purchase("first"))
    rows = [purchase(str(at)) for at in range(999)] + [refund(orderId="5")]

    with django_assert_max_num_queries(25):
        answer = post(client, key, {"events": rows})

    assert answer.json()["accepted"] == 1000


def test_a_key_of_other_brands_writes_nothing(client: Client, brand: Brand, key: str) -> None:
    sister = world.make_brand("sister", workspace=brand.workspace)
    stranger = world.make_brand("stranger")
    post(client, key, purchase(brand=brand.slug))

    for other in (make_key(brand.workspace, sister), make_key(stranger.workspace)):
        for row in (purchase("2", brand=brand.slug), refund(brand=brand.slug)):
            answer = post(client, other, row)
            assert (answer.status_code, answer.json()["code"]) == (400, "unknown_brand")

    assert Purchase.objects.get().refunded == 0


def test_a_key_of_several_brands_must_name_one(client: Client, brand: Brand, key: str) -> None:
    world.make_brand("sister", workspace=brand.workspace)

    assert post(client, key, purchase()).json()["code"] == "unknown_brand"


def test_a_key_needs_the_scope(client: Client, brand: Brand) -> None:
    key = make_key(brand.workspace, scopes=["read", "subscribers"])

    assert post(client, key, purchase()).status_code == 403


def test_events_have_a_quota_of_their_own(client: Client, brand: Brand) -> None:
    key = make_key(brand.workspace, events_per_minute=1)

    answers = [post(client, key, purchase()) for _ in range(2)]

    assert [one.status_code for one in answers] == [200, 429]


def test_a_shop_tells_signed_what_happened(client: Client, shop: Shop) -> None:
    answer = tell(client, shop, {"events": [purchase(), purchase()]})

    assert (answer.status_code, answer.json()["known"]) == (200, 1)
    assert Purchase.objects.get().brand == shop.brand
    assert tell(client, shop, refund(amount=100)).status_code == 422


def test_a_forged_or_late_call_of_a_shop_is_refused(client: Client, shop: Shop) -> None:
    path = f"/webhooks/events/{shop.token}"

    refused = [
        tell(client, shop, purchase(), secret="other"),
        tell(client, shop, purchase(), late=310),
        tell(client, shop, purchase(), late=-310),
        client.post(path, json.dumps(purchase()), content_type="application/json"),
    ]

    assert [one.status_code for one in refused] == [403] * 4
    assert not Purchase.objects.exists()


def test_a_shop_of_another_brand_or_turned_off_is_not_there(client: Client, shop: Shop) -> None:
    other = world.make_brand("other")
    assert tell(client, shop, purchase(brand=other.slug)).status_code == 422
    shop.active = False
    shop.save()

    assert tell(client, shop, purchase()).status_code == 404
    assert not Purchase.objects.exists()


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 10_000, b'"x"', b"null"])
def test_a_shop_s_unreadable_body_is_refused(client: Client, shop: Shop, body: bytes) -> None:
    assert tell(client, shop, body).status_code == 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
ROW = st.fixed_dictionaries(
    {"type": st.sampled_from(["purchase", "refund", "custom"]) | JSON},
    optional={
        "at": st.datetimes().map(lambda at: f"{at.isoformat()}Z") | JSON,
        "orderId": st.sampled_from(["1", "2"]) | JSON,
        "amount": st.sampled_from(["1", 0.5, "1e3", "NaN", -1]) | JSON,
        "refundId": st.sampled_from(["a", "b"]) | JSON,
        "eventId": st.text(max_size=5) | JSON,
        "currency": st.sampled_from(["USD", "EUR"]) | JSON,
        **dict.fromkeys(("brand", "name", "clickId", "phone", "email", "keyword"), JSON),
        "properties": JSON,
    },
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ROW | JSON, min_size=1, max_size=5))
def test_whatever_a_shop_sends_is_answered_row_by_row(brand: Brand, rows: list[Any]) -> None:
    with transaction.atomic():
        told = api_event_rows.take({"events": rows}, {brand.slug: brand})
        shop_world.settle()
        transaction.set_rollback(True)

    assert len(told["results"]) == len(rows)
    assert told["accepted"] + told["known"] + told["refused"] == len(rows)


def test_a_shop_s_secret_is_not_in_the_database(shop: Shop) -> None:
    stored = Shop.objects.extra(select={"raw": "credentials"}).values_list("raw", flat=True).get()

    assert b"s3cret" not in bytes(stored)
