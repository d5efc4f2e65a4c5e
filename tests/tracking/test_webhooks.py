"""The providers' doors: who may come in, and what each of them says."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from django.http import HttpResponse
from django.test import Client

from sending.models import ProviderMessage, Sender, SentLog, State
from subscribers.models import Brand, Suppression
from tests import sending_world as world
from tests.tracking.conftest import FORM, inbound, signature
from tracking import receipts
from tracking.models import Reply, TrackingEvent, WaitingReceipt

Post = Callable[..., HttpResponse]
EVERY_GATEWAY = pytest.mark.parametrize("gateway", ["lime", "mitto", "twilio"])
DELIVERED = {
    "lime": {"messageId": "P1", "status": "delivered"},
    "mitto": {"messageId": "P1", "deliveryStatus": "Delivered"},
    "twilio": {"MessageSid": "P1", "MessageStatus": "delivered"},
}


def known_text(sender: Sender, provider_id: str = "P1", state: str = State.ACCEPTED) -> SentLog:
    """A text that the provider has under its id."""
    text = world.make_text(sender.brand, state, sender=sender, provider_message_id=provider_id)
    ProviderMessage.objects.create(provider_id=provider_id, sender=sender, text_id=text.pk)
    return text


@EVERY_GATEWAY
def test_a_receipt_with_its_proof_moves_the_text(brand: Brand, post: Post, gateway: str) -> None:
    sender = world.make_sender(brand, gateway)
    text = known_text(sender)

    answer = post(sender, "status", DELIVERED[gateway])

    assert answer.status_code in (200, 204)
    assert world.reload(text).state == State.DELIVERED
    event = TrackingEvent.objects.get()
    assert (event.text_id, event.name, event.brand_id) == (text.pk, "delivered", brand.pk)


def test_twilio_is_answered_with_empty_twiml(brand: Brand, sender: Sender, post: Post) -> None:
    answer = post(sender, "inbound", inbound("twilio", world.number(), "Hello"))

    assert (answer.status_code, answer.content) == (200, b"<Response/>")
    assert answer["Content-Type"].startswith("text/xml")


@pytest.mark.parametrize("what", ["status", "inbound"])
@pytest.mark.parametrize("given", ["", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=", "é"])
def test_a_forged_signature_is_refused_and_nothing_is_stored(
    sender: Sender, post: Post, what: str, given: str
) -> None:
    fields = DELIVERED["twilio"] | inbound("twilio", world.number(), "STOP")

    answer = post(sender, what, fields, signature=given or "none")

    assert answer.status_code == 403
    assert not WaitingReceipt.objects.exists()
    assert not Suppression.objects.exists()


def test_a_signature_holds_for_its_fields_and_its_address_alone(
    sender: Sender, client: Client
) -> None:
    path = f"/webhooks/twilio/{sender.webhook_token}/status"
    fields = DELIVERED["twilio"]
    signed = {"X-Twilio-Signature": signature(path, fields)}

    def status(path: str, fields: dict[str, str]) -> int:
        answer = client.post(path, urlencode(fields), content_type=FORM, headers=signed)
        return answer.status_code

    assert status(path, fields) == 200
    assert status(path, fields | {"MessageStatus": "failed"}) == 403
    assert status(path, fields | {"More": "1"}) == 403
    assert status(f"{path}?text=1", fields) == 403


@pytest.mark.parametrize("secret", ["", "secret-of-mittO", "secret-of-mitto "])
def test_a_wrong_secret_is_refused(brand: Brand, post: Post, secret: str) -> None:
    sender = world.make_sender(brand, "mitto")

    answer = post(sender, "status", DELIVERED["mitto"], secret=secret)

    assert answer.status_code == 403
    assert not WaitingReceipt.objects.exists()


def test_a_mitto_sender_without_a_secret_lets_nobody_in(brand: Brand, post: Post) -> None:
    sender = world.make_sender(brand, "mitto", credentials={"webhook_secret": ""})

    assert post(sender, "status", DELIVERED["mitto"], secret="").status_code == 403


@pytest.mark.parametrize(
    "address",
    [
        "lime/wrong/status",
        "twilio/{token}/status",
        "nobody/{token}/status",
        "lime/{token}%00/status",
    ],
)
def test_an_address_that_is_nobodys_is_not_found(
    brand: Brand, client: Client, address: str
) -> None:
    token = world.make_sender(brand, "lime").webhook_token

    answer = client.post(f"/webhooks/{address.format(token=token)}", DELIVERED["lime"])

    assert answer.status_code == 404


def test_a_webhook_is_only_posted_to(brand: Brand, client: Client) -> None:
    token = world.make_sender(brand, "lime").webhook_token

    assert client.get(f"/webhooks/lime/{token}/status").status_code == 405


@pytest.mark.parametrize(
    ("gateway", "what", "fields"),
    [
        ("twilio", "status", {"MessageSid": "P1"}),
        ("twilio", "status", {"MessageStatus": "sent"}),
        ("twilio", "inbound", {"MessageSid": "P1", "Body": "STOP"}),
        ("twilio", "inbound", {"MessageSid": "P1", "From": "nobody", "Body": "STOP"}),
        ("lime", "status", {"status": "delivered"}),
        ("lime", "inbound", {"mobile": "12125550100", "message": "STOP"}),
        ("mitto", "status", b"{"),
        ("mitto", "status", b"\xff"),
        ("mitto", "status", []),
        ("mitto", "status", ["P1"]),
        ("mitto", "status", {"messageId": 7, "deliveryStatus": "Sent"}),
        ("mitto", "status", b"[" * 100_000),
        ("mitto", "inbound", [{"messageId": "P1", "from": "+12125550100"}]),
        ("mitto", "inbound", {"messageId": "P1", "text": "STOP"}),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_sentence(
    brand: Brand, post: Post, gateway: str, what: str, fields: Any
) -> None:
    answer = post(world.make_sender(brand, gateway), what, fields)

    assert answer.status_code == 400
    assert answer.json()["error"].endswith(".")
    assert not Reply.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        {"messageId": "P1", "deliveryStatus": "Delivered", "updatedAt": "2026-01-01T00:00:00Z"},
        [{"messageId": "P1", "deliveryStatus": "Sent"}, {"messageId": "P1", "status": "Delivered"}],
        {"messageId": "P1", "status": "delivered", "errorcode": None},
    ],
)
def test_mitto_is_understood_in_each_of_its_shapes(brand: Brand, post: Post, body: Any) -> None:
    sender = world.make_sender(brand, "mitto")
    text = known_text(sender)

    assert post(sender, "status", body).status_code == 204
    assert world.reload(text).state == State.DELIVERED


@EVERY_GATEWAY
def test_a_receipt_of_a_text_that_is_not_known_yet_is_kept_and_matched_later(
    brand: Brand, post: Post, gateway: str
) -> None:
    sender = world.make_sender(brand, gateway)

    answer = post(sender, "status", DELIVERED[gateway])
    assert answer.status_code in (200, 204)
    assert WaitingReceipt.objects.count() == 1
    assert receipts.match_waiting() == 0

    text = known_text(sender)
    assert receipts.match_waiting() == 1
    assert world.reload(text).state == State.DELIVERED
    assert not WaitingReceipt.objects.exists()


@EVERY_GATEWAY
def test_another_brands_text_is_never_touched(brand: Brand, post: Post, gateway: str) -> None:
    other = world.make_brand("ta", workspace=brand.workspace)
    theirs = known_text(world.make_sender(other, gateway))
    mine = world.make_sender(brand, gateway)
    named = {
        "lime": DELIVERED["lime"] | {"reference": str(theirs.pk)},
        "mitto": DELIVERED["mitto"] | {"reference": str(theirs.pk)},
        "twilio": DELIVERED["twilio"],
    }
    query = f"?text={theirs.pk}" if gateway == "twilio" else ""

    answer = post(mine, "status", named[gateway], query=query)
    receipts.match_waiting()

    assert answer.status_code in (200, 204)
    assert world.reload(theirs).state == State.ACCEPTED
    assert not TrackingEvent.objects.exists()


@EVERY_GATEWAY
@pytest.mark.parametrize("what", ["status", "inbound"])
def test_nul_bytes_and_broken_characters_are_stored_without_them(
    brand: Brand, post: Post, gateway: str, what: str
) -> None:
    sender = world.make_sender(brand, gateway)
    known_text(sender)
    strange = "\x00" if gateway != "mitto" else "\x00\ud83d"
    fields = DELIVERED[gateway] | inbound(gateway, world.number(), f"STOP{strange}", "P1")
    codes = {"twilio": "ErrorCode", "mitto": "errorcode", "lime": "code"}
    fields |= {codes[gateway]: f"3{strange}0"}
    identity = "MessageSid" if gateway == "twilio" else "messageId"
    fields[identity] = "P1\x00"

    answer = post(sender, what, fields)

    assert answer.status_code in (200, 204)
    if what == "status":
        assert TrackingEvent.objects.get().name == "delivered"
    else:
        assert Reply.objects.get().meaning == Reply.Meaning.OPT_OUT


def test_a_status_that_is_not_known_is_kept_and_moves_nothing(
    brand: Brand, sender: Sender, post: Post
) -> None:
    text = known_text(sender)

    answer = post(sender, "status", DELIVERED["twilio"] | {"MessageStatus": "teleported"})

    assert answer.status_code == 200
    assert world.reload(text).state == State.ACCEPTED
    event = TrackingEvent.objects.get()
    assert (event.name, event.raw["MessageStatus"]) == ("other", "teleported")
