"""`GET /api/messages/{id}`: one text, after its provider was asked where somebody wants to know."""

import datetime as dt
from typing import Any

import pytest
from django.test import Client

from sending import dispatch, lookups
from sending.models import Sender, SentLog, State, StatusLookup
from subscribers import clock
from subscribers.models import Brand
from tests import sending_world as world
from tests.sending.carrier.conftest import Running
from tests.subscribers.conftest import api_key, make_key


@pytest.fixture
def provider(balanced: None, carrier_server: Running, settings: Any) -> Running:
    carrier_server.post("/_carrier/reset", {})
    settings.FAKE_CARRIER_URL = carrier_server.url
    return carrier_server


@pytest.fixture
def text(brand: Brand, provider: Running) -> SentLog:
    """A text that Mitto took, has delivered, and told nothing of."""
    world.make_sender(brand, "mitto")
    (made,) = world.planned_texts(brand, [world.number("1234")])
    dispatch.drain(brand.pk, seconds=20)
    return world.reload(made)


def get(client: Client, brand: Brand, path: str, http: int = 200) -> Any:
    answer = client.get(f"/api/messages/{path}", headers=api_key(make_key(brand.workspace)))
    assert answer.status_code == http, answer.content
    return answer.json()


def asked() -> int:
    return sum(StatusLookup.objects.values_list("times", flat=True))


def wait_until_delivered(provider: Running, client: Client, brand: Brand, text: SentLog) -> Any:
    """Ask until the carrier has delivered it; each time 30 seconds have gone by."""
    for _ in range(50):
        StatusLookup.objects.update(asked_at=clock.now() - dt.timedelta(minutes=1))
        told = get(client, brand, f"{text.pk}?refresh=1")
        if told["state"] == State.DELIVERED:
            return told
    return told


def test_a_text_is_told_as_it_is_known(client: Client, brand: Brand, text: SentLog) -> None:
    told = get(client, brand, str(text.pk))

    assert (told["id"], told["state"]) == (str(text.pk), State.ACCEPTED)
    assert (told["messageId"], told["refreshed"]) == (text.provider_message_id, False)
    assert asked() == 0


def test_refreshing_asks_the_provider_and_moves_the_text(
    client: Client, brand: Brand, provider: Running, text: SentLog
) -> None:
    told = wait_until_delivered(provider, client, brand, text)

    assert (told["state"], told["refreshed"]) == (State.DELIVERED, True)
    assert world.reload(text).state == State.DELIVERED


def test_a_text_is_asked_about_once_in_30_seconds(
    client: Client, brand: Brand, text: SentLog
) -> None:
    first = get(client, brand, f"{text.pk}?refresh=1")
    again = get(client, brand, f"{text.pk}?refresh=1")

    assert (first["refreshed"], again["refreshed"]) == (True, False)
    assert asked() == 1


def test_many_that_ask_at_once_ask_once(brand: Brand, text: SentLog) -> None:
    row = SentLog.objects.select_related("sender").get(pk=text.pk)

    told = world.at_once(*[lambda: lookups.refresh(row)] * 5)

    assert sum(told) <= 1
    assert asked() == 1


def test_a_final_text_and_one_that_the_provider_never_had_are_not_asked_about(
    client: Client, brand: Brand, text: SentLog
) -> None:
    sender = Sender.objects.get(brand=brand)
    final = world.make_text(brand, State.DELIVERED, sender=sender, provider_message_id="M1")
    planned = world.make_text(brand)

    for one in (final, planned):
        assert get(client, brand, f"{one.pk}?refresh=true")["refreshed"] is False
    assert asked() == 0


def test_a_provider_without_a_status_call_is_not_asked(client: Client, brand: Brand) -> None:
    sender = world.make_sender(brand, "lime")
    mine = world.make_text(brand, State.ACCEPTED, sender=sender, provider_message_id="L1")

    assert get(client, brand, f"{mine.pk}?refresh=1")["state"] == State.ACCEPTED
    assert asked() == 0


def test_a_provider_that_is_away_changes_nothing(
    client: Client, brand: Brand, text: SentLog, settings: Any
) -> None:
    settings.FAKE_CARRIER_URL = "http://127.0.0.1:9"

    told = get(client, brand, f"{text.pk}?refresh=1")

    assert (told["state"], told["refreshed"]) == (State.ACCEPTED, False)


def test_another_workspaces_text_is_not_there_and_not_asked_about(
    client: Client, brand: Brand, text: SentLog
) -> None:
    other = world.make_brand("ta")

    get(client, other, f"{text.pk}?refresh=1", http=404)

    assert asked() == 0


def test_a_refresh_that_is_no_yes_or_no_is_refused(
    client: Client, brand: Brand, text: SentLog
) -> None:
    assert get(client, brand, f"{text.pk}?refresh=perhaps", http=400)["field"] == "refresh"
