"""Lime's wire: what confirmed answers mean, and what unconfirmed ones are taken for."""

from __future__ import annotations

from random import Random
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from hypothesis import given, settings

from sending.gateways.base import Account, Answer, Fate, Outcome, Text
from sending.gateways.lime import Lime
from tests import nasty

TEXT = Text(UUID(int=7), "+14155550100", "Hi & bye?", 60)
CREDENTIALS = {"user": "user-one", "api_id": "key-two"}


def account(address: str = "71441", **more: str) -> Account:
    return Account("https://lime.example", address, CREDENTIALS | more, "https://c.example/h/1")


def read(status: int, body: str, **more: str) -> Outcome:
    (call,) = Lime().calls([TEXT], account(**more))
    (outcome,) = Lime().read(call, Answer(status, {}, body.encode()))
    return outcome


def query(address: str = "71441", **more: str) -> dict[str, list[str]]:
    (call,) = Lime().calls([TEXT], account(address, **more))
    parts = urlsplit(call.url)
    assert (call.method, parts.path, call.body) == ("GET", "/sendsmsapi", None)
    return parse_qs(parts.query, strict_parsing=True)


def test_the_request_is_the_confirmed_one() -> None:
    assert query() == {
        "user": ["user-one"],
        "api_id": ["key-two"],
        "mobile": ["14155550100"],
        "message": ["Hi & bye?"],
        "shortcode": ["71441"],
    }


@pytest.mark.parametrize("address", ["+14155550199", "4155550199", "CARILLON", ""])
def test_only_a_short_code_is_sent_as_one(address: str) -> None:
    assert "shortcode" not in query(address)


def test_our_id_goes_where_the_setting_says() -> None:
    assert query(reference_parameter="ref")["ref"] == [str(TEXT.id)]


def test_a_reference_parameter_cannot_replace_the_number() -> None:
    assert query(reference_parameter="mobile")["mobile"] == ["14155550100"]


@pytest.mark.parametrize(
    "body",
    ["", "OK", "queued 123", "{}", '{"error": null}', '{"error": "", "id": 5}', '{"error": false}',
     "<result><id>5</id></result>", "<result><error/></result>", "<html><p>hello</p></html>", "[]"],
)  # fmt: skip
def test_200_without_an_error_is_accepted(body: str) -> None:
    assert read(200, body) == Outcome(TEXT.id, Fate.ACCEPTED)


@pytest.mark.parametrize(
    ("body", "code", "detail"),
    [
        ('{"error": "12", "error_text": "Bad  number"}', "12", "Bad number"),
        ('{"error": 12}', "12", "12"),
        ('{"error_text": "Bad number"}', "Bad number", "Bad number"),
        ('[{"error": "Bad number"}, {"error": ""}]', "Bad number", "Bad number"),
        ('{"error": {"no": 5}}', "{...}", '{"error": {"no": 5}}'),
        ('{"result": [{"Error_Text": "Bad number"}]}', "Bad number", "Bad number"),
        ("<r><error>12</error><error_text>Bad number</error_text></r>", "12", "Bad number"),
    ],
)
def test_200_with_an_error_is_refused_in_limes_words(body: str, code: str, detail: str) -> None:
    outcome = read(200, body)
    assert (outcome.fate, outcome.code, outcome.detail) == (Fate.FAILED, code, detail)


@pytest.mark.parametrize("body", ["Error: try later", "<html><b>ERROR</html>", '{"error": "12'])
def test_free_text_about_an_error_is_unknown(body: str) -> None:
    outcome = read(200, body)
    assert (outcome.fate, outcome.code) == (Fate.UNKNOWN, "unreadable")


@pytest.mark.parametrize(
    "body", ['{"a": {"msgId": 991}}', '{"msgId": "991"}', "<r><x><msgId> 991 </msgId></x></r>"]
)
def test_the_message_id_is_found_where_the_setting_says(body: str) -> None:
    assert read(200, body, message_id_field="msgId").provider_id == "991"
    assert read(200, body).provider_id == ""


def test_another_2xx_needs_an_id() -> None:
    assert read(202, "").fate is Fate.UNKNOWN
    assert read(202, '{"msgId": 1}', message_id_field="msgId").fate is Fate.ACCEPTED


@pytest.mark.parametrize("status", [200, 400])
def test_a_phrase_about_the_account_stops_the_sender(status: int) -> None:
    body = '{"error": "7", "error_text": "Account SUSPENDED today"}'
    outcome = read(status, body, stop_errors="invalid api_id | account suspended")
    assert (outcome.fate, outcome.stop_sender) == (Fate.RETRY, True)
    assert read(status, body).fate is Fate.FAILED


def test_4xx_keeps_the_text_of_the_error() -> None:
    outcome = read(400, "Invalid mobile for user-one")
    assert (outcome.fate, outcome.code) == (Fate.FAILED, "http-400")
    assert outcome.detail == "Invalid mobile for ***"


@settings(nasty.THOROUGH, max_examples=2000)
@given(nasty.seeds)
def test_whatever_lime_answers_is_one_outcome_that_can_be_kept(random: Random) -> None:
    known = {"id": "5", "status": "queued", "error": "none", "error_text": "nothing"}

    def document(random: Random) -> bytes:
        if random.random() < 0.5:
            return nasty.xml(random, "result", "sms", known)
        return nasty.spelt(nasty.pairs(random, known), random).encode()

    (call,) = Lime().calls([TEXT], account(message_id_field="id", stop_errors="refused"))
    status = random.choice((200, 201, 400, 500))
    (told,) = Lime().read(call, Answer(status, {}, nasty.body(random, document)))

    assert told.fate in Fate
    assert (told.fate is Fate.ACCEPTED) <= (status < 300)
    for said, longest in ((told.provider_id, 128), (told.code, 64), (told.detail, 200)):
        assert len(said) <= longest
        assert "\0" not in said
        said.encode()
        assert "root:" not in said  # of a file that an entity names
