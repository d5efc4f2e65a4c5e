"""Whatever a provider or a shop sends: events, or a known refusal; never a number that is none."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import re
from decimal import Decimal
from functools import partial
from random import Random
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.exceptions import ValidationError

from sending.models import State
from subscribers import phones
from subscribers.models import Brand
from tests import nasty
from tests.nasty import THOROUGH
from tracking import api_event_rows
from tracking.purchases import MOST_EVENTS, Answer, Event, Kind
from tracking.webhooks.base import ForgedError, Inbound, Receipt, Request, UnreadableError, Webhook
from tracking.webhooks.lime import Lime
from tracking.webhooks.mitto import HEADER, MOST_RECEIPTS, Mitto
from tracking.webhooks.twilio import Twilio

E164 = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)


def request(body: bytes, query: str = "", **headers: str) -> Request:
    return Request(f"https://texts.example/webhooks/x?{query}", headers, body, query)


def assert_understood(webhook: Webhook, told: Request, secrets: dict[str, str]) -> None:
    """The adapter's three methods keep their contract, whatever was told."""
    with contextlib.suppress(ForgedError, UnreadableError):
        webhook.verify(told, secrets)
    try:
        receipts = webhook.receipts(told)
    except UnreadableError as error:
        assert_a_sentence(error)
    else:
        assert 0 < len(receipts) <= MOST_RECEIPTS
        for receipt in receipts[:3]:
            assert_storable(receipt)
    try:
        inbound = webhook.inbound(told)
    except UnreadableError as error:
        assert_a_sentence(error)
    else:
        assert_from_a_person(inbound)


def assert_a_sentence(error: Exception) -> None:
    assert str(error).endswith(".")
    assert len(str(error).splitlines()) == 1


def assert_words(said: str) -> None:
    assert "\0" not in said
    said.encode()


def assert_storable(receipt: Receipt) -> None:
    assert receipt.provider_id
    assert_words(receipt.provider_id)
    assert receipt.state is None or receipt.state in State.values
    assert len(receipt.code) <= 20
    assert_words(receipt.code)
    kept = json.dumps(receipt.raw, ensure_ascii=False)
    assert len(receipt.raw) <= 5
    assert all(len(word) <= 100 for word in receipt.raw.values())
    assert "\\u0000" not in kept
    assert_words(kept)


def assert_from_a_person(inbound: Inbound) -> None:
    assert inbound.provider_id
    assert_words(inbound.provider_id)
    assert_words(inbound.body)
    try:
        number = phones.parse(inbound.phone).e164
    except phones.InvalidPhone:
        return
    assert E164.fullmatch(number), ascii(number)


TWILIO = {
    "MessageSid": "SM1", "MessageStatus": "delivered", "ErrorCode": "30003", "From": "+12125550100",
    "RawDlrDoneDate": "2611281300", "To": "+14155550199", "Body": "Hello",
}  # fmt: skip
LIME = {
    "messageId": "L1", "status": "delivered", "reference": "0196-", "code": "7",
    "mobile": "12125550100", "message": "Hello",
}  # fmt: skip
MITTO = {
    "messageId": "M1", "deliveryStatus": "Delivered", "status": "Failure", "errorcode": "12",
    "updatedAt": "2026-11-28", "from": "12125550100", "text": "Hello",
}  # fmt: skip
SHOP = {
    "type": "purchase", "brand": "shop", "at": "2026-11-28T13:00:00Z", "orderId": "7", "amount": "20.5",
    "currency": "USD", "refundId": "8", "eventId": "9", "name": "viewed", "clickId": "abcdefghij",
    "phone": "+12125550100", "email": "ada@example.com", "keyword": "spring",
}  # fmt: skip


def form(valid: dict[str, str], random: Random) -> bytes:
    return urlencode(nasty.pairs(random, valid), errors="surrogatepass").encode()


def document(valid: dict[str, str], random: Random, *, key: str = "") -> bytes:
    """One object, or up to two of them, under a key perhaps."""

    def one() -> str:
        if random.random() < 0.05:
            return random.choice(nasty.SPELT)
        return nasty.spelt(nasty.pairs(random, valid), random)

    if random.random() < 0.8:
        return one().encode()
    many = f"[{','.join(one() for _ in range(random.randrange(3)))}]"
    return (f'{{"{key}":{many}}}' if key else many).encode()


@THOROUGH
@given(nasty.seeds)
def test_twilio(random: Random) -> None:
    body = nasty.body(random, partial(form, TWILIO))
    proof = {Twilio.proof_header: nasty.latin(random)}

    told = request(body, f"text={nasty.latin(random)}", **proof)

    assert_understood(Twilio(), told, {"auth_token": "token"})


@THOROUGH
@given(nasty.seeds)
def test_lime(random: Random) -> None:
    told = request(nasty.body(random, partial(form, LIME)), nasty.latin(random))

    assert_understood(Lime(), told, {})


@THOROUGH
@given(nasty.seeds)
def test_mitto(random: Random) -> None:
    body = nasty.body(random, partial(document, MITTO))

    told = request(body, **{HEADER: nasty.latin(random)})

    assert_understood(Mitto(), told, {"webhook_secret": "secret"})


@THOROUGH
@given(nasty.seeds)
def test_shops(random: Random) -> None:
    body = nasty.body(random, partial(document, SHOP, key="events"))
    try:
        read = api_event_rows.read(json.loads(body), {"shop": Brand(pk=1, slug="shop")})
    except (ValueError, RecursionError, ValidationError):
        return  # what the door refuses: tests/tracking/test_purchases.py

    assert 0 < len(read) <= MOST_EVENTS
    for event in read:
        if isinstance(event, Answer):
            assert event.problem
        else:
            assert_an_order(event)


def assert_an_order(event: Event) -> None:
    assert event.kind in Kind
    assert event.at.tzinfo is not None
    assert Decimal(0) <= event.amount < Decimal(10) ** 12
    assert not event.clue.phone or E164.fullmatch(event.clue.phone)
    for told in (event.key_id, event.refund_id, event.name, event.currency, event.clue.email):
        assert_words(told)
    assert "\\u0000" not in json.dumps(event.properties)


plain = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)
numbers = st.integers(0, 9999).map(lambda last: f"+1212555{last:04}")


@given(plain, plain, numbers)
def test_what_is_well_formed_comes_through_as_it_was(sid: str, body: str, number: str) -> None:
    def form(**fields: str) -> Request:
        return request(urlencode(fields).encode())

    def document(**fields: str) -> Request:
        return request(json.dumps(fields).encode())

    texts = [
        Twilio().inbound(form(MessageSid=sid, From=number, Body=body)),
        Lime().inbound(form(messageId=sid, mobile=number[1:], message=body)),
        Mitto().inbound(document(messageId=sid, **{"from": number}, text=body)),
    ]
    receipts = [
        *Twilio().receipts(form(MessageSid=sid, MessageStatus="delivered")),
        *Lime().receipts(form(messageId=sid, status="delivered")),
        *Mitto().receipts(document(messageId=sid, deliveryStatus="Delivered")),
    ]

    assert texts == [Inbound(sid, number, body)] * 3
    assert [(one.provider_id, one.state) for one in receipts] == [(sid, State.DELIVERED)] * 3


@given(plain.map(str.strip).filter(bool), st.integers(0, 10**9), numbers)
def test_an_order_comes_through_as_it_was(order: str, cents: int, number: str) -> None:
    at = "2026-11-28T13:00:00+02:00"
    told = {"type": "purchase", "at": at, "orderId": order, "phone": number}
    told |= {"amount": f"{Decimal(cents) / 100:.2f}"}

    (event,) = api_event_rows.read(told, {"shop": Brand(pk=1, slug="shop")})

    assert isinstance(event, Event)
    assert (event.key_id, event.amount, event.clue.phone) == (order, Decimal(cents) / 100, number)
    assert event.at == dt.datetime(2026, 11, 28, 11, tzinfo=dt.UTC)


def test_an_id_of_which_nothing_can_be_kept_is_no_id() -> None:
    """Else two texts of two people would be one, and the second STOP unheard."""
    body = urlencode({"MessageSid": "\0", "From": "+12125550100", "Body": "STOP"}).encode()

    with pytest.raises(UnreadableError, match="MessageSid is missing"):
        Twilio().inbound(request(body))
