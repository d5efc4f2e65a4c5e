"""Twilio's adapter before a Twilio that nobody here wrote: Prism, from Twilio's own document."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

import pytest

from campaigns import policy
from sending import dispatch, lookups, pipeline
from sending.gateways.base import Answer, Text
from sending.gateways.transport import Transport
from sending.gateways.twilio import STATUSES, Twilio
from sending.models import Sender, SentLog, State
from subscribers.models import Brand
from tests import sending_world as world
from tests.sending.carrier.conftest import Running
from tests.sending.gateways import prism
from tests.sending.gateways.prism import MESSAGES, Prism

ACCOUNT = "AC" + "0123456789abcdef" * 2
SERVICE = "MG" + "0123456789abcdef" * 2
SID = re.compile(r"(SM|MM)[0-9a-fA-F]{32}")
BODIES = {
    "ordinary": "Brand: 20% off & more: a=1+b? Reply STOP to opt out.",
    "not ASCII": "Marke: Grüße, 50 € ¡olé! 日本語 🎉\nنص & ✓ Reply STOP to opt out.",
    "long": ("Long " * 400)[:1507] + " Reply STOP to opt out.",
}

# Prism and the document are fetched when they are first asked for.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    try:
        return prism.installed()
    except prism.Absent as absent:
        if os.environ.get("CI") or os.environ.get("PRISM") == "required":
            pytest.fail(f"Twilio's document judges nothing. {absent}")
        pytest.skip(str(absent))


@pytest.fixture(scope="module")
def twilio(document: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prism]:
    with prism.running(document, tmp_path_factory.mktemp("prism")) as running:
        yield running


@pytest.fixture
def between(document: dict[str, Any], carrier_server: Running, tmp_path: Path) -> Iterator[Prism]:
    """Prism that passes on to the fake carrier what the document allows, both ways."""
    carrier_server.post("/_carrier/reset", {})
    with prism.running(document, tmp_path, before=carrier_server.url) as running:
        yield running


@pytest.fixture
def sender(brand: Brand, twilio: Prism, settings: Any) -> Sender:
    """A sandbox brand's provider is Prism instead of the fake carrier."""
    settings.FAKE_CARRIER_URL = twilio.url
    settings.PUBLIC_URL = "https://texts.example"
    rules = policy.of_brand(brand)
    rules.most_segments = 10
    rules.save()
    return world.make_sender(brand, credentials={"account_sid": ACCOUNT})


def send(brand: Brand, *bodies: str) -> list[SentLog]:
    """A text of each body through a worker's whole way, in their order."""
    world.make_people(brand, 1)
    for body in bodies:
        world.plan(world.make_campaign(brand, body))
    dispatch.drain(brand.pk, seconds=20)
    texts = list(SentLog.objects.order_by("campaign"))
    assert len(texts) == len(bodies)
    return texts


def statuses(document: dict[str, Any]) -> set[str]:
    return set(document["components"]["schemas"]["message_enum_status"]["enum"])


def form_of(document: dict[str, Any]) -> dict[str, Any]:
    content = document["paths"][MESSAGES]["post"]["requestBody"]["content"]
    return dict(content["application/x-www-form-urlencoded"]["schema"]["properties"])


@pytest.mark.parametrize("service", ["", SERVICE], ids=["from a number", "from a service"])
def test_what_a_worker_sends_is_what_the_document_allows(
    service: str, brand: Brand, sender: Sender
) -> None:
    if service:
        sender.credentials |= {"messaging_service_sid": service}
        sender.save()

    texts = send(brand, *BODIES.values())

    assert [(text.state, text.body) for text in texts] == [
        (State.ACCEPTED, body) for body in BODIES.values()
    ]
    sids = {text.provider_message_id for text in texts}
    assert all(SID.fullmatch(sid) for sid in sids)
    assert len(sids) == len(BODIES)


def test_the_judge_is_awake(brand: Brand, sender: Sender) -> None:
    """An account that no document would allow: every text is refused, and says so."""
    sender.credentials |= {"account_sid": "AC0001"}
    sender.save()

    (text,) = send(brand, BODIES["ordinary"])

    assert (text.state, text.error_code, text.provider_message_id) == (State.FAILED, "http-422", "")


def test_every_field_of_a_request_stands_in_the_document(
    brand: Brand, sender: Sender, document: dict[str, Any]
) -> None:
    account = pipeline.account(brand, sender)
    (call,) = Twilio().calls([Text(uuid4(), "+12125550100", "Hi", 900)], account)

    sent = parse_qs((call.body or b"").decode(), strict_parsing=True)

    assert sent.keys() == {"To", "From", "Body", "ValidityPeriod", "StatusCallback"}
    assert sent.keys() <= form_of(document).keys()


def test_every_status_of_the_document_is_known_or_says_nothing_certain(
    document: dict[str, Any],
) -> None:
    inbound = {"receiving", "received"}

    assert statuses(document) - STATUSES.keys() == inbound | {"canceled", "partially_delivered"}
    assert STATUSES.keys() <= statuses(document)


def test_look_ups_are_what_the_document_allows_and_are_understood(
    brand: Brand, sender: Sender
) -> None:
    """Prism answers what the schema holds, chance says which: each is read, or says nothing."""
    account = pipeline.account(brand, sender)
    sid = "SM" + "0123456789abcdef" * 2
    questions = [Twilio().lookup_call(uuid4(), sid, account) for _ in range(40)]
    calls = [call for call in questions if call]

    with Transport() as transport:
        answers = [answer for _, answer in transport.exchange(calls, in_flight=4, timeout=20)]

    assert len(answers) == 40
    for answer in answers:
        assert isinstance(answer, Answer)
        assert answer.status == 200, answer.body
        said = json.loads(answer.body)
        told = Twilio().read_lookup(answer)
        known = STATUSES.get(said["status"] or "")
        assert (told.state if told else None) == known
        assert told is None or (told.provider_id, told.code) == (
            said["sid"],
            "" if said["error_code"] is None else str(said["error_code"]),
        )


def test_an_accepted_text_is_looked_up_by_its_sid(brand: Brand, sender: Sender) -> None:
    texts = send(brand, *BODIES.values())
    order = [State.ACCEPTED, State.SENT, State.DELIVERED, State.UNDELIVERED]

    for text in texts:
        told = lookups.refresh(text)
        after = world.reload(text)
        assert order.index(after.state) >= order.index(text.state)
        assert after.state == State.ACCEPTED or told


def test_the_fake_carrier_answers_as_the_document_says(
    brand: Brand, sender: Sender, between: Prism, settings: Any
) -> None:
    """Prism in between refuses a request and an answer that the document does not have."""
    settings.FAKE_CARRIER_URL = between.url

    texts = send(brand, *BODIES.values())

    assert [text.state for text in texts] == [State.ACCEPTED] * 3
    assert all(lookups.refresh(text) for text in texts)
