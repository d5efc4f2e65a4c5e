"""The whole loop against the fake carrier: what each answer makes of a text, at which pace, or not at all."""

import contextlib
import datetime as dt
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from campaigns.eligibility import Purpose
from sending import dispatch, queues
from sending.models import Departure, QueuedText, Sender, SentLog, State
from subscribers.models import Brand, ConsentSource, Suppression
from tests import sending_world as world
from tests.sending import buckets
from tests.sending.conftest import Carrier
from tests.sending.valkey_proxy import ValkeyProxy

EVERY_GATEWAY = pytest.mark.parametrize("gateway", ["lime", "mitto", "twilio"])
NOBODY_LISTENS = "redis://127.0.0.1:1/0"

A, F, X = State.ACCEPTED, State.FAILED, State.UNKNOWN
# Last digits -> texts in the carrier's ledger, and the state at (lime, mitto, twilio). Lime and
# Mitto document no error of a single text; Lime calls every 200 without an error accepted.
MAGIC: dict[str, tuple[int, tuple[State, State, State]]] = {
    "1234": (1, (A, A, A)),
    "0429": (1, (A, A, A)),
    "0503": (1, (A, A, A)),
    "0500": (0, (X, X, X)),
    "0501": (1, (X, X, X)),
    "0408": (0, (X, X, X)),
    "0409": (1, (X, X, X)),
    "0104": (0, (X, X, X)),
    "0105": (1, (X, X, X)),
    "0201": (1, (A, X, X)),
    "0200": (1, (A, X, X)),
    "0400": (0, (F, X, F)),
    "0610": (0, (F, X, F)),
}
GATEWAYS = ("lime", "mitto", "twilio")


@pytest.fixture(autouse=True)
def running(provider: Carrier) -> Carrier:
    provider.turn(hang=0.3)
    return provider


def send_everything(brand: Brand) -> None:
    """Drain, let time pass, drain again: until nothing waits that time alone would bring."""
    for _ in range(8):
        queues.valkey().delete(queues.RINGING)  # nobody else waits for a turn
        dispatch.drain(brand.pk, seconds=20)
        if not QueuedText.objects.filter(brand=brand, due_at__lt=queues.PARKED).exists():
            return
        world.all_due()
    raise AssertionError("something never leaves the queue")


@EVERY_GATEWAY
def test_every_answer_ends_in_the_state_that_it_means(
    brand: Brand, provider: Carrier, gateway: str
) -> None:
    numbers = {digits: world.number(digits) for digits in MAGIC}
    # One bad number decides for a whole call of Mitto's: each gets a brand, and calls, of its own.
    groups = [[one] for one in numbers.values()] if gateway == "mitto" else [[*numbers.values()]]
    brands = [
        world.make_brand(f"brand{place}", workspace=brand.workspace) for place in range(len(groups))
    ]
    for each, group in zip(brands, groups, strict=True):
        world.make_sender(each, gateway)
        world.planned_texts(each, group)

    for each in brands:
        send_everything(each)

    ended = dict(SentLog.objects.values_list("phone", "state"))
    accepted = provider.accepted_by_number()
    place = GATEWAYS.index(gateway)
    assert {digits: ended[phone] for digits, phone in numbers.items()} == {
        digits: states[place] for digits, (_, states) in MAGIC.items()
    }
    assert {digits: accepted[phone] for digits, phone in numbers.items()} == {
        digits: count for digits, (count, _) in MAGIC.items()
    }
    assert not Departure.objects.exists()


def test_who_opted_out_at_twilio_is_suppressed_here(brand: Brand, sender: Sender) -> None:
    (text,) = world.planned_texts(brand, [world.number("0610")])

    send_everything(brand)

    suppression = Suppression.objects.get()
    assert (suppression.phone, suppression.brand_id) == (text.phone, brand.pk)
    assert suppression.source == ConsentSource.PROVIDER
    assert world.reload(text).error_code == "21610"


@EVERY_GATEWAY
def test_wrong_credentials_stop_the_sender_and_lose_nothing(
    brand: Brand, provider: Carrier, gateway: str
) -> None:
    names = {"lime": "api_id", "mitto": "api_key", "twilio": "auth_token"}
    wrong = world.make_sender(brand, gateway, credentials={names[gateway]: "wrong-one"})
    world.planned_texts(brand, 5)

    dispatch.drain(brand.pk, seconds=20)

    wrong.refresh_from_db()
    assert wrong.status == Sender.Status.STOPPED
    assert wrong.status_reason
    assert "wrong-one" not in wrong.status_reason
    assert world.states(attempts=0) == {State.PLANNED: 5}
    assert provider.accepted() == []

    wrong.credentials = world.CREDENTIALS[gateway]
    wrong.status = Sender.Status.ACTIVE
    wrong.save()
    world.all_due()
    send_everything(brand)
    assert world.states() == {State.ACCEPTED: 5}


def test_a_stopped_senders_texts_leave_by_another(brand: Brand, provider: Carrier) -> None:
    world.make_sender(brand, "twilio", credentials={"auth_token": "wrong-one"})
    other = world.make_sender(brand, "lime")
    world.planned_texts(brand, 20)

    send_everything(brand)

    assert world.states(sender=other) == {State.ACCEPTED: 20}


def test_without_a_sender_texts_wait(brand: Brand) -> None:
    sender = world.make_sender(brand, status=Sender.Status.PAUSED)
    world.planned_texts(brand, 3)

    assert dispatch.drain(brand.pk) == 0
    assert world.states() == {State.PLANNED: 3}

    Sender.objects.filter(pk=sender.pk).update(status=Sender.Status.ACTIVE)
    send_everything(brand)
    assert world.states() == {State.ACCEPTED: 3}


def test_a_carrier_that_cannot_be_reached_is_tried_again(
    brand: Brand, sender: Sender, settings: Any, provider: Carrier
) -> None:
    world.planned_texts(brand, 2)
    settings.FAKE_CARRIER_URL = "http://127.0.0.1:1"

    dispatch.drain(brand.pk)

    assert world.states(attempts=1, error_code="connect") == {State.PLANNED: 2}
    settings.FAKE_CARRIER_URL = provider.url
    world.all_due()
    send_everything(brand)
    assert world.states() == {State.ACCEPTED: 2}


def test_an_installation_without_the_providers_address_loses_nothing(
    brand: Brand, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    world.make_sender(brand, "lime")
    Brand.objects.update(sandbox=False, clock_shift=dt.timedelta(0))
    for _ in range(2):
        world.make_text(brand, purpose=Purpose.CONFIRMATION)  # whatever the hour
    settings.PROVIDER_URLS = {**settings.PROVIDER_URLS, "lime": ""}

    assert dispatch.drain(brand.pk) == 0

    assert "LIME_URL" in caplog.text
    assert world.states() == {State.PLANNED: 2}
    assert not Departure.objects.exists()


def test_a_rate_is_kept(brand: Brand, provider: Carrier) -> None:
    world.make_sender(brand, rate=20)
    world.planned_texts(brand, 60)
    started = time.monotonic()

    dispatch.drain(brand.pk, seconds=20)

    took = time.monotonic() - started
    assert world.states() == {State.ACCEPTED: 60}
    assert 1.8 < took < 6.0  # a second's worth at once, then 40 texts at 20 a second


def test_a_text_of_several_segments_costs_as_many_tokens(brand: Brand, provider: Carrier) -> None:
    world.make_sender(brand, rate=20)
    world.make_people(brand, 20)
    world.plan(world.make_campaign(brand, "x" * 400))  # three segments each
    started = time.monotonic()

    dispatch.drain(brand.pk, seconds=20)

    took = time.monotonic() - started
    assert world.states() == {State.ACCEPTED: 20}
    # A second's worth pays for all 20 before their size is known; the debt of 40 is worked off.
    assert 1.8 < took < 6.0


def test_a_stop_while_texts_wait_for_the_rate_is_obeyed(brand: Brand, provider: Carrier) -> None:
    world.make_sender(brand, rate=10)
    texts = world.planned_texts(brand, 11)
    dispatch.drain(brand.pk, seconds=0.05)
    waiting = [text for text in texts if world.reload(text).state == State.PLANNED]
    assert waiting

    for text in waiting:
        world.opt_out(brand, text.subscriber)
    world.all_due()
    send_everything(brand)

    assert all(world.reload(text).state == State.SKIPPED for text in waiting)
    assert not {text.phone for text in waiting} & set(provider.accepted_by_number())


class Valkey:
    """Which Valkey the process believes in; `real` is there."""

    def __init__(self, settings: Any) -> None:
        self._settings = settings
        self.real: str = settings.REDIS_URL

    def use(self, url: str) -> None:
        self._settings.REDIS_URL = url
        if queues._client is not None:
            queues._client.connection_pool.disconnect()
        queues._client = None


@pytest.fixture
def valkey(settings: Any) -> Iterator[Valkey]:
    switch = Valkey(settings)
    yield switch
    switch.use(switch.real)


def test_while_valkey_is_away_nothing_is_sent_and_nothing_lost(
    brand: Brand, sender: Sender, provider: Carrier, valkey: Valkey
) -> None:
    world.planned_texts(brand, 3)
    valkey.use(NOBODY_LISTENS)

    with pytest.raises(redis.RedisError):
        dispatch.drain(brand.pk)

    assert world.states() == {State.PLANNED: 3}
    assert provider.accepted() == []
    valkey.use(valkey.real)
    send_everything(brand)
    assert world.states() == {State.ACCEPTED: 3}


@pytest.mark.parametrize("commands", range(2))
def test_valkey_dying_at_any_command_of_the_loop_loses_nothing(
    brand: Brand, sender: Sender, valkey: Valkey, commands: int
) -> None:
    buckets.take(sender, 1)  # the script is known from now on
    world.planned_texts(brand, 3)
    with ValkeyProxy(valkey.real, scripts=commands) as proxy:
        valkey.use(proxy.url)
        with contextlib.suppress(redis.RedisError):
            dispatch.drain(brand.pk, seconds=0.5)

    assert proxy.left < 0, "the loop asked less often: nothing broke"
    assert not Departure.objects.exists()
    assert set(world.states()) <= {State.ACCEPTED, State.PLANNED}
    valkey.use(valkey.real)
    world.all_due()
    send_everything(brand)
    assert world.states() == {State.ACCEPTED: 3}


def test_draining_twice_at_once_or_for_nothing_does_no_harm(
    brand: Brand, sender: Sender, provider: Carrier
) -> None:
    world.planned_texts(brand, 5)

    assert [dispatch.drain(brand.pk) for _ in range(3)] == [5, 0, 0]

    assert len(provider.accepted()) == 5
