"""Providers are asked about texts in doubt and about silent ones; what they say moves texts forward."""

import datetime as dt
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sending import dispatch, lookups, outcomes
from sending.gateways import registry
from sending.gateways.base import Account, Answer, LookedUp
from sending.models import ProviderMessage, Sender, SentLog, State, StatusLookup
from subscribers import clock
from subscribers.models import Brand
from tests import sending_world as world
from tests.sending.carrier.conftest import Running

EVERY_GATEWAY = pytest.mark.parametrize("name", sorted(registry.GATEWAYS))
LOOKS_UP = sorted(name for name, gateway in registry.GATEWAYS.items() if gateway.looks_up)
THAT_LOOKS_UP = pytest.mark.parametrize("name", LOOKS_UP)
MINUTE, HOUR = dt.timedelta(minutes=1), dt.timedelta(hours=1)
FIELDS = {"mitto": ("messageId", "deliveryStatus"), "twilio": ("sid", "status")}
# (gateway, the provider's word) -> ours, None where it says nothing certain.
SAYS = {
    ("mitto", "Pending"): "accepted",
    ("mitto", "Sent"): "sent",
    ("mitto", "Delivered"): "delivered",
    ("mitto", "Failure"): "undelivered",
    ("mitto", "Lost"): None,
    ("twilio", "queued"): "accepted",
    ("twilio", "accepted"): "accepted",
    ("twilio", "scheduled"): "accepted",
    ("twilio", "sending"): "accepted",
    ("twilio", "sent"): "sent",
    ("twilio", "delivered"): "delivered",
    ("twilio", "read"): "delivered",
    ("twilio", "undelivered"): "undelivered",
    ("twilio", "failed"): "undelivered",
    ("twilio", "canceled"): None,
    ("twilio", ""): None,
}


@pytest.fixture(autouse=True)
def from_the_start() -> Iterator[None]:
    lookups._walked = None
    yield
    lookups._walked = None


@pytest.fixture
def provider(balanced: None, carrier_server: Running, settings: Any) -> Running:
    """The fake carrier, without an audit afterwards: here time goes by by hand."""
    carrier_server.post("/_carrier/reset", {})
    settings.FAKE_CARRIER_URL = carrier_server.url
    return carrier_server


def account(name: str) -> Account:
    return Account(
        "https://provider.example", "71441", world.CREDENTIALS[name], "https://x.example"
    )


def body(name: str, provider_id: str, status: str, **more: Any) -> bytes:
    names = FIELDS[name]
    return json.dumps({names[0]: provider_id, names[1]: status, **more}).encode()


@EVERY_GATEWAY
def test_a_question_sends_nothing_and_shows_no_secret(name: str) -> None:
    gateway = registry.get(name)
    call = gateway.lookup_call(UUID(int=1), "SM/1?x=ö", account(name))

    assert (call is not None) is gateway.looks_up
    assert gateway.lookup_call(UUID(int=1), "", account(name)) is None
    if call:
        assert (call.method, call.body, call.texts) == ("GET", None, ())
        assert call.url.startswith("https://provider.example/")
        assert "SM%2F1%3Fx%3D%C3%B6" in call.url
        secrets = world.CREDENTIALS[name].values()
        assert not any(secret in repr(call) for secret in secrets)


@pytest.mark.parametrize(("name", "word"), SAYS)
def test_the_providers_words_are_ours(name: str, word: str) -> None:
    found = registry.get(name).read_lookup(Answer(200, {}, body(name, "id-1", word)))

    state = SAYS[name, word]
    assert found == (LookedUp("id-1", state) if state else None)


@EVERY_GATEWAY
@given(
    status=st.sampled_from([200, 200, 200, 201, 204, 302, 400, 401, 404, 429, 500, 503]),
    said=st.binary(max_size=60)
    | st.dictionaries(
        st.sampled_from([name for names in FIELDS.values() for name in names] + ["error_code"]),
        st.none() | st.integers() | st.lists(st.text(max_size=3), max_size=2) | st.text(max_size=9),
    ).map(lambda fields: json.dumps(fields).encode()),
)
def test_any_answer_is_read_and_only_a_success_says_anything(
    name: str, status: int, said: bytes
) -> None:
    found = registry.get(name).read_lookup(Answer(status, {}, said))

    assert found is None or (status == 200 and found.provider_id)


def accepted(brand: Brand, name: str, numbers: list[str], ago: dt.timedelta) -> list[SentLog]:
    """Texts that the carrier took so long ago, without a receipt since."""
    world.make_sender(brand, name)
    texts = world.planned_texts(brand, numbers)
    dispatch.drain(brand.pk, seconds=20)
    SentLog.objects.update(sent_at=clock.now() - ago)
    assert {world.reload(text).state for text in texts} == {State.ACCEPTED}
    return texts


@THAT_LOOKS_UP
def test_silent_texts_are_asked_about_and_moved_forward(
    brand: Brand, provider: Running, name: str
) -> None:
    numbers = [world.number("1234"), world.number("0004"), world.number("0005")]
    texts = accepted(brand, name, numbers, 20 * MINUTE)

    told = lookups.resolve_unknown()

    assert told == 3
    states = [world.reload(text).state for text in texts]
    assert states == [State.DELIVERED, State.UNDELIVERED, State.SENT]
    assert world.reload(texts[1]).error_code == {"twilio": "30005", "mitto": ""}[name]


def test_who_was_just_sent_a_text_is_given_time(brand: Brand, provider: Running) -> None:
    accepted(brand, "twilio", [world.number()], 10 * MINUTE)

    assert lookups.resolve_unknown() == 0
    assert not StatusLookup.objects.exists()


def test_lime_is_never_asked(brand: Brand, provider: Running) -> None:
    accepted(brand, "lime", [world.number()], 20 * MINUTE)

    assert lookups.resolve_unknown() == 0
    assert not StatusLookup.objects.exists()


def doubtful(sender: Sender, provider_id: str = "", **fields: Any) -> SentLog:
    """An unknown text, sent a minute ago, that the provider knows by this id."""
    values = {"sender": sender, "sent_at": clock.now() - MINUTE, "reason": "worker_lost"} | fields
    text = world.make_text(sender.brand, State.UNKNOWN, provider_message_id=provider_id, **values)
    if provider_id:
        ProviderMessage.objects.create(provider_id=provider_id, sender=sender, text_id=text.pk)
    return text


@THAT_LOOKS_UP
def test_a_text_in_doubt_is_asked_about_at_once(brand: Brand, provider: Running, name: str) -> None:
    (text,) = accepted(brand, name, [world.number()], MINUTE)
    SentLog.objects.update(state=State.UNKNOWN, reason="worker_lost")

    assert lookups.resolve_unknown() == 1

    assert (world.reload(text).state, world.reload(text).reason) == (State.DELIVERED, "")


def test_without_the_providers_id_there_is_nothing_to_ask(brand: Brand, sender: Sender) -> None:
    text = doubtful(sender)

    assert lookups.resolve_unknown() == 0

    assert world.reload(text).state == State.UNKNOWN
    assert not StatusLookup.objects.exists()


@THAT_LOOKS_UP
def test_a_text_that_the_provider_does_not_find_stays_in_doubt(
    brand: Brand, provider: Running, name: str
) -> None:
    text = doubtful(world.make_sender(brand, name), "nowhere")

    assert lookups.resolve_unknown() == 0

    assert (world.reload(text).state, world.reload(text).reason) == (State.UNKNOWN, "worker_lost")
    assert StatusLookup.objects.get().text_id == text.pk


def test_a_text_is_asked_about_once_an_hour(
    brand: Brand, sender: Sender, provider: Running
) -> None:
    doubtful(sender, "nowhere")

    for _ in range(3):
        lookups.resolve_unknown()
    assert StatusLookup.objects.get().times == 1

    StatusLookup.objects.update(asked_at=clock.now() - HOUR)
    lookups.resolve_unknown()
    assert StatusLookup.objects.get().times == 2


def test_a_tick_asks_a_bounded_number_and_the_next_one_goes_on(
    brand: Brand, sender: Sender, provider: Running
) -> None:
    many = lookups.AT_MOST + 10
    for number in range(many):
        doubtful(sender, f"nowhere-{number}")

    lookups.resolve_unknown()
    assert StatusLookup.objects.count() == lookups.AT_MOST
    lookups.resolve_unknown()
    assert StatusLookup.objects.count() == many


def test_a_provider_that_is_away_costs_a_question_and_nothing_else(
    brand: Brand, sender: Sender, settings: Any
) -> None:
    settings.FAKE_CARRIER_URL = "http://127.0.0.1:1"
    text = doubtful(sender, "SM1")

    assert lookups.resolve_unknown() == 0

    assert world.reload(text).state == State.UNKNOWN
    assert StatusLookup.objects.get().times == 1


def test_a_sender_that_was_refused_asks_nothing(brand: Brand, sender: Sender) -> None:
    doubtful(sender, "SM1")
    Sender.objects.update(status=Sender.Status.STOPPED)

    lookups.resolve_unknown()

    assert not StatusLookup.objects.exists()


@pytest.fixture
def always_says() -> Iterator[Callable[[bytes], str]]:
    """always_says(body) is the address of a provider that answers every question so."""
    told: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said = told[-1]
            self.send_response(200)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def say(said: bytes) -> str:
        told.append(said)
        return f"http://127.0.0.1:{server.server_port}"

    yield say
    server.shutdown()
    server.server_close()


def test_an_answer_about_another_text_changes_nothing(
    brand: Brand, sender: Sender, settings: Any, always_says: Callable[[bytes], str]
) -> None:
    settings.FAKE_CARRIER_URL = always_says(body("twilio", "SM-other", "delivered"))
    text, same = doubtful(sender, "SM1"), doubtful(sender, "SM-other")

    assert lookups.resolve_unknown() == 1

    assert world.reload(text).state == State.UNKNOWN
    assert world.reload(same).state == State.DELIVERED


def test_a_code_that_is_told_when_asked_means_what_it_means_in_a_receipt(
    brand: Brand, sender: Sender, settings: Any, always_says: Callable[[bytes], str]
) -> None:
    said = body("twilio", "SM1", "undelivered", error_code=30007)
    settings.FAKE_CARRIER_URL = always_says(said)
    text = doubtful(sender, "SM1")

    assert lookups.resolve_unknown() == 1

    sender.refresh_from_db()
    assert sender.status == Sender.Status.STOPPED
    assert sender.status_reason == "30007 in a receipt: filtered"
    assert world.reload(text).state == State.UNDELIVERED


def test_what_is_unknown_for_three_days_is_closed_and_a_receipt_still_moves_it(
    brand: Brand, sender: Sender
) -> None:
    now = clock.now()
    old = doubtful(sender, "SM1", sent_at=now - 72 * HOUR - MINUTE)
    nameless = doubtful(sender, sent_at=now - 72 * HOUR - MINUTE)
    younger = doubtful(sender, sent_at=now - 71 * HOUR)

    lookups.resolve_unknown()

    assert not StatusLookup.objects.exists()
    assert world.states(reason="closed") == {State.UNKNOWN: 2}
    assert world.reload(nameless).reason == "closed"
    assert world.reload(younger).reason == "worker_lost"
    changed = world.reload(old).changed_at
    lookups.resolve_unknown()
    assert world.reload(old).changed_at == changed

    outcomes.receive([(old.pk, State.DELIVERED, "")])
    assert (world.reload(old).state, world.reload(old).reason) == (State.DELIVERED, "")


def test_a_final_text_is_never_closed_or_asked_about(brand: Brand, sender: Sender) -> None:
    asked = (State.UNKNOWN, State.ACCEPTED, State.SENT)
    for state in set(State) - set(asked):
        text = doubtful(sender, f"SM-{state}", sent_at=clock.now() - 80 * HOUR)
        SentLog.objects.filter(pk=text.pk).update(state=state)
    before = world.states()

    lookups.resolve_unknown()

    assert world.states() == before
    assert not SentLog.objects.filter(reason="closed").exists()
    SentLog.objects.filter(state=State.PLANNED).delete()  # it was never queued
