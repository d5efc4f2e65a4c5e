"""Mitto's wire: bulk answers are read per text, and an index is trusted only in a whole answer."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from sending.gateways.base import Account, Answer, Call, Fate, Outcome, Text
from sending.gateways.mitto import Mitto

TRAFFIC_ACCOUNT = "3b1e7f0a-0000-4000-8000-00000000000a"
ACCOUNT = Account(
    base_url="https://mitto.example",
    address="Carillon",
    credentials={
        "api_key": "key-one",
        "traffic_account_id": TRAFFIC_ACCOUNT,
        "webhook_secret": "secret-two",
    },
    callback_url="https://c.example/h/1",
)
TEXTS = [Text(UUID(int=n), f"+1415555010{n}", f"Hello {n}", 60) for n in range(3)]


def call() -> Call:
    (only,) = Mitto().calls(TEXTS, ACCOUNT)
    return only


def entry(n: int, **changes: Any) -> dict[str, Any]:
    return {"trafficAccountId": TRAFFIC_ACCOUNT, "messageId": f"01KC{n}"} | changes


def read(entries: Any, status: int = 200) -> list[Outcome]:
    body = json.dumps({"bulkId": "bulk-1", "messages": entries}).encode()
    return Mitto().read(call(), Answer(status, {}, body))


def unknown(outcomes: list[Outcome]) -> list[bool]:
    return [outcome.fate is Fate.UNKNOWN for outcome in outcomes]


def test_the_request_is_the_confirmed_one() -> None:
    request = call()
    assert request.method == "POST"
    assert request.url == "https://mitto.example/api/v1.1/Messages/sendmessagesbulk"
    assert dict(request.headers) == {
        "X-Mitto-API-Key": "key-one",
        "Content-Type": "application/json",
    }
    assert json.loads(request.body or b"")["messages"][1] == {
        "trafficAccountId": TRAFFIC_ACCOUNT,
        "destination": "+14155550101",
        "sms": {"text": "Hello 1", "sender": "Carillon"},
    }


def test_a_whole_answer_is_accepted_by_index() -> None:
    outcomes = read([entry(0), entry(1), entry(2)])
    assert [outcome.fate for outcome in outcomes] == [Fate.ACCEPTED] * 3
    assert [outcome.provider_id for outcome in outcomes] == ["01KC0", "01KC1", "01KC2"]
    assert {outcome.bulk_id for outcome in outcomes} == {"bulk-1"}


@pytest.mark.parametrize(
    "entries",
    [[], [entry(0)], [entry(0), entry(1)], [entry(n) for n in range(4)]],
    ids=["empty", "one", "short", "long"],
)
def test_with_more_or_fewer_entries_no_index_is_trusted(entries: list[Any]) -> None:
    outcomes = read(entries)
    assert unknown(outcomes) == [True] * 3
    assert {outcome.code for outcome in outcomes} == {"not-mapped"}
    assert {outcome.bulk_id for outcome in outcomes} == {"bulk-1"}
    assert not any(outcome.provider_id for outcome in outcomes)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ({"trafficAccountId": TRAFFIC_ACCOUNT}, "no-id"),
        ({"trafficAccountId": TRAFFIC_ACCOUNT, "messageId": ""}, "no-id"),
        ({"trafficAccountId": TRAFFIC_ACCOUNT, "error": {"code": 5}}, "no-id"),
        (None, "no-id"),
        ("01KC1", "no-id"),
        (entry(1, messageId=True), "no-id"),
        (entry(1, messageId={"id": 1}), "no-id"),
        (entry(1, trafficAccountId="another"), "not-mapped"),
        (entry(1, trafficAccountId=None), "not-mapped"),
        (entry(1, destination="+14155550102"), "not-mapped"),
    ],
)
def test_an_entry_that_does_not_fit_concerns_its_own_text(bad: Any, code: str) -> None:
    outcomes = read([entry(0), bad, entry(2)])
    assert unknown(outcomes) == [False, True, False]
    assert outcomes[1].code == code


def test_an_id_that_comes_twice_belongs_to_nobody() -> None:
    outcomes = read([entry(0), entry(0), entry(2)])
    assert unknown(outcomes) == [True, True, False]
    assert outcomes[0].code == "duplicate-id"


def test_an_answer_with_destinations_shows_that_it_was_reordered() -> None:
    entries = [entry(n, destination=f"1415555010{n}") for n in (2, 1, 0)]
    assert unknown(read(entries)) == [True, False, True]


def test_the_words_of_an_entry_are_kept() -> None:
    outcomes = read([entry(0), {"error": "Invalid destination"}, entry(2)])
    assert "Invalid destination" in outcomes[1].detail


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"messages": {}}', b"<html>", b"null"])
def test_an_unreadable_success_is_unknown(body: bytes) -> None:
    outcomes = Mitto().read(call(), Answer(200, {}, body))
    assert unknown(outcomes) == [True] * 3
    assert {outcome.code for outcome in outcomes} == {"unreadable"}


def test_a_refused_bulk_call_fails_all_of_it() -> None:
    outcomes = read([], status=400)
    assert [outcome.fate for outcome in outcomes] == [Fate.FAILED] * 3
