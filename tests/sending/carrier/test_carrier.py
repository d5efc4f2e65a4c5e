"""The three gateways through the transport against the fake carrier, and its books against theirs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import parse_qs, parse_qsl
from uuid import uuid4

import pytest
from twilio.request_validator import RequestValidator

from sending.carrier import behaviour
from sending.gateways import registry
from sending.gateways.base import Account, Answer, Fate, Outcome, Text, without_answer
from sending.gateways.transport import Transport

TOKEN = "token-of-twilio"
TRAFFIC_ACCOUNT = "3b1e7f0a-0000-4000-8000-00000000000a"
CREDENTIALS = {
    "lime": {
        "user": "user-one",
        "api_id": "key-one",
        "reference_parameter": "reference",
        "message_id_field": "messageId",
    },
    "mitto": {
        "api_key": "key-two",
        "traffic_account_id": TRAFFIC_ACCOUNT,
        "webhook_secret": "secret",
    },
    "twilio": {"account_sid": "AC0001", "auth_token": TOKEN},
}
ADDRESSES = {"lime": "71441", "mitto": "Carillon", "twilio": "+14155550199"}
EVERY_GATEWAY = pytest.mark.parametrize("name", sorted(registry.GATEWAYS))
PREFIXES = iter(range(200_000, 1_000_000))


@pytest.fixture(scope="module")
def transport() -> Iterator[Transport]:
    with Transport() as opened:
        yield opened


def number(last_four: str = "1234") -> str:
    """A number that no other test texts."""
    return f"+1{next(PREFIXES)}{last_four}"


def account(carrier: Any, name: str, *, callback_url: str = "", **changes: str) -> Account:
    credentials = CREDENTIALS[name] | changes
    return Account(carrier.url, ADDRESSES[name], credentials, callback_url)


def send(
    transport: Transport, sender: Account, name: str, numbers: Sequence[str], **options: Any
) -> dict[str, Outcome]:
    """The outcome by number."""
    gateway = registry.get(name)
    texts = [Text(uuid4(), to, f"Hello {to}", 3600) for to in numbers]
    by_id = {text.id: text.to for text in texts}
    outcomes: dict[str, Outcome] = {}
    settings: dict[str, Any] = {"in_flight": 20, "timeout": 10.0} | options
    for call, result in transport.exchange(gateway.calls(texts, sender), **settings):
        answered = isinstance(result, Answer)
        for outcome in gateway.read(call, result) if answered else without_answer(call, result):
            outcomes[by_id[outcome.text_id]] = outcome
    assert len(outcomes) == len(numbers)
    return outcomes


def in_ledger(carrier: Any, numbers: Sequence[str]) -> Counter[str]:
    return Counter(entry["to"] for entry in carrier.entries() if entry["to"] in set(numbers))


@EVERY_GATEWAY
def test_what_is_accepted_is_in_the_ledger_once_before_the_answer(
    carrier: Any, transport: Transport, name: str
) -> None:
    numbers = [number() for _ in range(40)]
    outcomes = send(transport, account(carrier, name), name, numbers)

    assert {outcome.fate for outcome in outcomes.values()} == {Fate.ACCEPTED}
    entries = {entry["to"]: entry for entry in carrier.entries() if entry["to"] in outcomes}
    assert in_ledger(carrier, numbers) == Counter(numbers)
    for to, outcome in outcomes.items():
        entry = entries[to]
        assert (entry["gateway"], entry["from"]) == (name, ADDRESSES[name])
        assert (entry["provider_id"], entry["body"]) == (outcome.provider_id, f"Hello {to}")
        assert entry["bulk_id"] == outcome.bulk_id
        assert entry["segments"] == 1


def test_our_id_is_in_the_ledger_where_the_wire_carries_it(
    carrier: Any, transport: Transport, receiver: Any
) -> None:
    for name, carried in [("lime", True), ("twilio", True), ("mitto", False)]:
        to = number()
        sender = account(carrier, name, callback_url=receiver.url)
        outcome = send(transport, sender, name, [to])[to]
        (entry,) = [entry for entry in carrier.entries() if entry["to"] == to]
        assert entry["reference"] == (str(outcome.text_id) if carried else "")
    carrier.wait_until_quiet()


# last four digits -> (fate at Lime, at Mitto, at Twilio), whether it is in the ledger
MAGIC: dict[str, tuple[tuple[Fate, Fate, Fate], bool]] = {
    "0429": ((Fate.RETRY,) * 3, False),
    "0500": ((Fate.UNKNOWN,) * 3, False),
    "0501": ((Fate.UNKNOWN,) * 3, True),
    "0503": ((Fate.RETRY,) * 3, False),
    "0408": ((Fate.UNKNOWN,) * 3, False),
    "0409": ((Fate.UNKNOWN,) * 3, True),
    "0104": ((Fate.UNKNOWN,) * 3, False),
    "0105": ((Fate.UNKNOWN,) * 3, True),
    "0400": ((Fate.FAILED, Fate.UNKNOWN, Fate.FAILED), False),
    "0610": ((Fate.FAILED, Fate.UNKNOWN, Fate.FAILED), False),
    "0200": ((Fate.ACCEPTED, Fate.UNKNOWN, Fate.UNKNOWN), True),
    "0201": ((Fate.ACCEPTED, Fate.UNKNOWN, Fate.UNKNOWN), True),
    "0004": ((Fate.ACCEPTED,) * 3, True),
}


@pytest.mark.parametrize(("place", "name"), list(enumerate(sorted(registry.GATEWAYS))))
@pytest.mark.parametrize("last_four", sorted(MAGIC))
def test_each_magic_number_gives_the_outcome_of_the_table(
    carrier: Any, transport: Transport, *, place: int, name: str, last_four: str
) -> None:
    to = number(last_four)
    outcome = send(transport, account(carrier, name), name, [to], timeout=0.7)[to]
    fates, accepted = MAGIC[last_four]
    assert outcome.fate is fates[place]
    assert in_ledger(carrier, [to]) == Counter([to] if accepted else [])
    assert outcome.suppress is (name == "twilio" and last_four == "0610")


@EVERY_GATEWAY
@pytest.mark.parametrize(("last_four", "refusals"), [("0429", 2), ("0503", 1)])
def test_a_busy_provider_accepts_after_a_while(
    carrier: Any, transport: Transport, *, name: str, last_four: str, refusals: int
) -> None:
    to = number(last_four)
    for _ in range(refusals):
        outcome = send(transport, account(carrier, name), name, [to])[to]
        assert (outcome.fate, outcome.retry_after) == (Fate.RETRY, 1.0)
    assert send(transport, account(carrier, name), name, [to])[to].fate is Fate.ACCEPTED
    assert in_ledger(carrier, [to]) == Counter([to])


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("lime", {"api_id": "wrong-key", "stop_errors": "invalid user"}),
        ("mitto", {"api_key": "wrong-key"}),
        ("twilio", {"auth_token": "wrong-token"}),
    ],
)
def test_wrong_keys_stop_the_sender(
    carrier: Any, transport: Transport, name: str, changes: dict[str, str]
) -> None:
    to = number()
    outcome = send(transport, account(carrier, name, **changes), name, [to])[to]
    assert (outcome.fate, outcome.stop_sender) == (Fate.RETRY, True)
    assert not in_ledger(carrier, [to])


@EVERY_GATEWAY
def test_books_agree_after_a_crowd_with_all_kinds_of_trouble(
    carrier: Any, transport: Transport, name: str
) -> None:
    """No text twice; what is accepted was taken, what is retried or failed was not."""
    trouble = [four for four in sorted(behaviour.MAGIC) if four not in ("0408", "0409")]
    numbers = [number(four) for four in trouble for _ in range(3)] + [number() for _ in range(100)]
    carrier.post("/_carrier/knobs", {"error_rate": 0.2, "error_ending": "cut"})
    outcomes = send(transport, account(carrier, name), name, numbers)
    taken = in_ledger(carrier, numbers)

    assert not [to for to, times in taken.items() if times > 1]
    for to, outcome in outcomes.items():
        if outcome.fate is Fate.ACCEPTED:
            assert taken[to] == 1
        if outcome.fate in (Fate.RETRY, Fate.FAILED):
            assert taken[to] == 0


@pytest.mark.parametrize("shape", list(behaviour.BulkShape))
def test_a_bulk_answer_of_any_shape_loses_nothing(
    carrier: Any, transport: Transport, shape: behaviour.BulkShape
) -> None:
    carrier.post("/_carrier/knobs", {"gateway": "mitto", "bulk_shape": shape.value})
    numbers = [number() for _ in range(6)]
    outcomes = list(send(transport, account(carrier, "mitto"), "mitto", numbers).values())

    assert in_ledger(carrier, numbers) == Counter(numbers)
    unknown = [outcome.fate is Fate.UNKNOWN for outcome in outcomes]
    expected = {"duplicated": 2, "foreign": 1, "short": 6, "long": 6}.get(shape.value, 0)
    assert unknown.count(True) == expected
    # Nothing in the confirmed answer tells a reordered one from a whole one: the fates are right,
    # the ids are not.
    if shape is not behaviour.BulkShape.REORDERED:
        ids = {entry["provider_id"]: entry["to"] for entry in carrier.entries()}
        for to, outcome in zip(numbers, outcomes, strict=True):
            assert not outcome.provider_id or ids[outcome.provider_id] == to


@pytest.mark.parametrize(("last_four", "states"), [
    ("1234", ["sent", "delivered"]),
    ("0004", ["sent", "undelivered"]),
    ("0003", ["delivered", "sent"]),
    ("0002", ["sent"] * 5 + ["delivered"] * 5),
    ("0005", []),
])  # fmt: skip
def test_twilios_receipts_are_signed_and_come_in_the_order_of_the_table(
    carrier: Any, transport: Transport, receiver: Any, last_four: str, states: list[str]
) -> None:
    to = number(last_four)
    sender = account(carrier, "twilio", callback_url=f"{receiver.url}/hooks/1")
    outcome = send(transport, sender, "twilio", [to])[to]
    carrier.wait_until_quiet()

    forms = [dict(parse_qsl(got.body.decode())) for got in receiver.got]
    assert [form["MessageStatus"] for form in forms] == states
    for got, form in zip(receiver.got, forms, strict=True):
        assert got.path == f"/hooks/1/status?text={outcome.text_id}"
        assert (form["MessageSid"], form["To"]) == (outcome.provider_id, to)
        assert form.get("ErrorCode") == (
            "30005" if form["MessageStatus"] == "undelivered" else None
        )
        signature = got.headers["x-twilio-signature"]
        validator = RequestValidator(TOKEN)
        assert validator.validate(receiver.url + got.path, form, signature)
        assert not validator.validate(receiver.url + got.path + "0", form, signature)


def test_mittos_receipts_come_in_arrays_with_the_registered_headers(
    carrier: Any, transport: Transport, receiver: Any
) -> None:
    webhook = {"gateway": "mitto", "address": "Carillon", "headers": {"X-Hook": "abc"}}
    carrier.post("/_carrier/webhooks", webhook | {"receipts_url": f"{receiver.url}/m"})
    numbers = [number() for _ in range(120)] + [number("0004")]
    outcomes = send(transport, account(carrier, "mitto"), "mitto", numbers)
    carrier.wait_until_quiet()

    arrays = [json.loads(got.body) for got in receiver.got]
    assert all(1 <= len(array) <= 100 for array in arrays)
    assert {got.headers["x-hook"] for got in receiver.got} == {"abc"}
    last = {receipt["messageId"]: receipt["deliveryStatus"] for a in arrays for receipt in a}
    expected = {outcome.provider_id: "Delivered" for outcome in outcomes.values()}
    assert last == expected | {outcomes[numbers[-1]].provider_id: "Failure"}


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_limes_receipts_come_under_the_names_that_were_registered(
    carrier: Any, transport: Transport, receiver: Any, method: str
) -> None:
    webhook = {"gateway": "lime", "address": "71441", "fields": {"status": "dlr"}}
    where = {"receipts_url": f"{receiver.url}/l?k=1", "method": method}
    carrier.post("/_carrier/webhooks", webhook | where)
    to = number()
    outcome = send(transport, account(carrier, "lime"), "lime", [to])[to]
    carrier.wait_until_quiet()

    assert [got.method for got in receiver.got] == [method] * 2
    raw = [got.path.partition("?k=1&")[2] or got.body.decode() for got in receiver.got]
    assert [dict(parse_qsl(form)) for form in raw] == [
        {"reference": str(outcome.text_id), "messageId": outcome.provider_id, "dlr": state}
        for state in ("sent", "delivered")
    ]


@EVERY_GATEWAY
def test_a_person_replies_to_the_first_text_only(
    carrier: Any, transport: Transport, receiver: Any, name: str
) -> None:
    webhook = {"gateway": name, "address": ADDRESSES[name], "inbound_url": f"{receiver.url}/in"}
    carrier.post("/_carrier/webhooks", webhook)
    to = number("0774")
    for _ in range(2):
        send(transport, account(carrier, name), name, [to])
    carrier.wait_until_quiet()

    said = [inbound(name, got) for got in receiver.got if got.path == "/in"]
    assert said == [(to, ADDRESSES[name], "STOP"), (to, ADDRESSES[name], "START")]


def inbound(name: str, got: Any) -> tuple[str, str, str]:
    """(from, to, text) of an inbound post."""
    if name == "mitto":
        document = json.loads(got.body)
        return document["from"], document["to"], document["text"]
    form = dict(parse_qsl(got.body.decode()))
    if name == "lime":
        return f"+{form['mobile']}", form["shortcode"], form["message"]
    signature = got.headers["x-twilio-signature"]
    url = f"http://{got.headers['host']}{got.path}"
    assert RequestValidator(TOKEN).validate(url, form, signature)
    return form["From"], form["To"], form["Body"]


def test_an_inbound_text_can_be_asked_for(carrier: Any, receiver: Any) -> None:
    webhook = {"gateway": "mitto", "address": "Carillon", "inbound_url": receiver.url}
    carrier.post("/_carrier/webhooks", webhook)
    wanted = {"gateway": "mitto", "address": "Carillon", "from": "+14155550100", "text": "Hi"}
    carrier.post("/_carrier/inbound", wanted)
    carrier.wait_until_quiet()
    assert [inbound("mitto", got) for got in receiver.got] == [("+14155550100", "Carillon", "Hi")]


def test_a_callback_is_tried_again_after_an_error_of_the_receiver(
    carrier: Any, transport: Transport, receiver: Any
) -> None:
    receiver.statuses = [500, 503]
    sender = account(carrier, "twilio", callback_url=receiver.url)
    before = carrier.get("/_carrier/stats")["callbacks"]["given_up"]
    send(transport, sender, "twilio", [number()])
    stats = carrier.wait_until_quiet()
    assert [parse_qs(got.body.decode())["MessageStatus"] for got in receiver.got] == (
        [["sent"]] * 3 + [["delivered"]]
    )
    assert stats["callbacks"]["given_up"] == before


def test_a_status_can_be_looked_up_by_id(carrier: Any, transport: Transport) -> None:
    to = number("0004")
    outcome = send(transport, account(carrier, "mitto"), "mitto", [to])[to]
    key = {"X-Mitto-API-Key": "k"}
    base = "/api/v1.1/Messages"
    assert carrier.fetch(f"{base}/{outcome.provider_id}", key)[1]["deliveryStatus"] == "Failure"
    assert carrier.fetch(f"{base}/01KCNONE", key)[0] == 404
    assert carrier.fetch(f"{base}/{outcome.provider_id}")[0] == 401

    outcome = send(transport, account(carrier, "twilio"), "twilio", [to])[to]
    basic = {"Authorization": "Basic QUMwMDAxOnRva2Vu"}
    url = f"/2010-04-01/Accounts/AC0001/Messages/{outcome.provider_id}.json"
    assert carrier.fetch(url, basic)[1]["status"] == "undelivered"
    assert carrier.fetch(url)[1]["code"] == 20003


def test_the_log_is_paged_by_line(carrier: Any, transport: Transport) -> None:
    send(transport, account(carrier, "mitto"), "mitto", [number() for _ in range(5)])
    everything = carrier.get("/_carrier/log?limit=10000")
    page = carrier.get("/_carrier/log?after=1&limit=3")
    assert page == {"lines": everything["lines"][1:4], "next": 4}
    end = everything["next"]
    assert carrier.get(f"/_carrier/log?after={end}") == {"lines": [], "next": end}
    assert carrier.get("/_carrier/stats")["accepted_total"] == end
