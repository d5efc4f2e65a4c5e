"""Twilio's wire and its error codes."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import replace
from urllib.parse import parse_qs
from uuid import UUID

import pytest

from sending.gateways.base import Account, Answer, Call, Fate, Outcome, Text
from sending.gateways.codes import Action, Category
from sending.gateways.twilio import Twilio

TEXT = Text(UUID(int=7), "+14155550100", "Hi & bye ✓", 900)
ACCOUNT = Account(
    base_url="https://twilio.example",
    address="+14155550199",
    credentials={"account_sid": "AC/1", "auth_token": "tok:en"},
    callback_url="https://c.example/h/1",
)


def call(account: Account = ACCOUNT, text: Text = TEXT) -> Call:
    (only,) = Twilio().calls([text], account)
    return only


def form(account: Account = ACCOUNT, text: Text = TEXT) -> dict[str, list[str]]:
    return parse_qs((call(account, text).body or b"").decode(), strict_parsing=True)


def read(status: int, document: object, **headers: str) -> Outcome:
    (outcome,) = Twilio().read(call(), Answer(status, headers, json.dumps(document).encode()))
    return outcome


def test_the_request_is_the_documented_one() -> None:
    request = call()
    assert request.method == "POST"
    assert request.url == "https://twilio.example/2010-04-01/Accounts/AC%2F1/Messages.json"
    sent = dict(request.headers)
    assert sent["Content-Type"] == "application/x-www-form-urlencoded"
    assert b64decode(sent["Authorization"].removeprefix("Basic ")) == b"AC/1:tok:en"
    assert form() == {
        "To": ["+14155550100"],
        "From": ["+14155550199"],
        "Body": ["Hi & bye ✓"],
        "StatusCallback": [f"https://c.example/h/1/status?text={TEXT.id}"],
        "ValidityPeriod": ["900"],
    }


def test_a_messaging_service_takes_the_place_of_the_sender() -> None:
    with_service = {**ACCOUNT.credentials, "messaging_service_sid": "MG1"}
    sent = form(replace(ACCOUNT, credentials=with_service))
    assert sent["MessagingServiceSid"] == ["MG1"]
    assert "From" not in sent


@pytest.mark.parametrize(
    ("validity", "sent"), [(-5, "1"), (0, "1"), (1, "1"), (36_000, "36000"), (90_000, "36000")]
)
def test_the_validity_period_stays_within_twilios_bounds(validity: int, sent: str) -> None:
    assert form(text=replace(TEXT, validity=validity))["ValidityPeriod"] == [sent]


def test_without_a_public_address_no_callback_is_asked_for() -> None:
    assert "StatusCallback" not in form(replace(ACCOUNT, callback_url=""))


def test_2xx_with_a_sid_is_accepted() -> None:
    assert read(201, {"sid": "SM1", "status": "queued", "error_code": None}) == Outcome(
        TEXT.id, Fate.ACCEPTED, provider_id="SM1"
    )


@pytest.mark.parametrize("document", [{}, {"sid": ""}, {"sid": None}, {"sid": ["SM1"]}, [], "SM1"])
def test_2xx_without_a_sid_is_unknown(document: object) -> None:
    assert read(201, document).fate is Fate.UNKNOWN


@pytest.mark.parametrize(
    ("status", "code", "fate", "suppress", "stops"),
    [
        (400, 21610, Fate.FAILED, True, False),
        (403, 21610, Fate.FAILED, True, False),
        (400, 21211, Fate.FAILED, False, False),
        (400, 21614, Fate.FAILED, False, False),
        (400, 21606, Fate.FAILED, False, False),
        (400, 21612, Fate.FAILED, False, False),
        (400, 21611, Fate.RETRY, False, False),
        (401, 20003, Fate.RETRY, False, True),
        (403, 20005, Fate.RETRY, False, True),
        (404, 20404, Fate.RETRY, False, True),
        (429, 20429, Fate.RETRY, False, False),
        (400, 99999, Fate.FAILED, False, False),
        (403, 99999, Fate.RETRY, False, True),
        (500, 20500, Fate.UNKNOWN, False, False),
        (500, 21610, Fate.UNKNOWN, False, False),
    ],
)
def test_codes_decide_as_the_table_says(
    *, status: int, code: int, fate: Fate, suppress: bool, stops: bool
) -> None:
    outcome = read(status, {"code": code, "message": "Words", "status": status})
    assert (outcome.fate, outcome.suppress, outcome.stop_sender) == (fate, suppress, stops)
    assert (outcome.code, outcome.detail) == (str(code), "Words")


def test_a_rate_limit_says_when_to_come_back() -> None:
    assert read(429, {"code": 20429}, **{"retry-after": "2.5"}).retry_after == 2.5


@pytest.mark.parametrize(
    ("code", "action", "category"),
    [
        ("30003", Action.RETRY, Category.UNREACHABLE),
        ("30005", Action.FINAL, Category.INVALID_NUMBER),
        ("30006", Action.FINAL, Category.INVALID_NUMBER),
        ("30007", Action.STOP, Category.FILTERED),
        ("30034", Action.STOP, Category.SENDER),
        ("21610", Action.SUPPRESS, Category.OPTED_OUT),
    ],
)
def test_receipt_codes_mean_what_twilio_says(code: str, action: Action, category: Category) -> None:
    meaning = Twilio().receipt_codes[code]
    assert (meaning.action, meaning.category) == (action, category)
