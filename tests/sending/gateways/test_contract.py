"""What every gateway owes, whatever its provider answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sending.gateways import registry, slot
from sending.gateways.base import Account, Answer, Call, Fate, Gateway, NoAnswer, Outcome, Text
from sending.gateways.base import without_answer as outcomes_without_answer
from sending.gateways.codes import STATUSES, Action, Category, Meaning, is_ours

SECRETS = ("sesame-user-1", "sesame-key-2", "sesame-token-3")
ACCOUNTS = {
    "lime": {"user": SECRETS[0], "api_id": SECRETS[1], "message_id_field": "messageId"},
    "mitto": {
        "api_key": SECRETS[1],
        "traffic_account_id": "3b1e7f0a-0000-4000-8000-000000000001",
        "webhook_secret": SECRETS[2],
    },
    "twilio": {"account_sid": "AC0001", "auth_token": SECRETS[2]},
}
ENTITIES = (
    b'<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    b"<r><error>&b;&b;&b;</error></r>"
)
EVERY_GATEWAY = pytest.mark.parametrize("name", sorted(registry.GATEWAYS))


def account(name: str) -> Account:
    return Account(
        base_url="https://provider.example",
        address="71441",
        credentials=ACCOUNTS[name],
        callback_url="https://carillon.example/hooks/1",
    )


def texts(count: int) -> list[Text]:
    return [
        Text(UUID(int=n + 1), f"+1415555{n:04}", f"Hello {n}: ✓ & = ? \" '", 3600)
        for n in range(count)
    ]


def read(name: str, count: int, answer: Answer) -> list[tuple[Call, list[Outcome]]]:
    gateway = registry.get(name)
    return [
        (call, gateway.read(call, answer)) for call in gateway.calls(texts(count), account(name))
    ]


def assert_one_outcome_each(call: Call, outcomes: Sequence[Outcome]) -> None:
    assert [outcome.text_id for outcome in outcomes] == [text.id for text in call.texts]
    for outcome in outcomes:
        assert isinstance(outcome.fate, Fate)
        assert len(outcome.detail) <= 200
        assert len(outcome.code) <= 200
        assert not any(secret in repr(outcome) for secret in SECRETS)


@EVERY_GATEWAY
def test_the_registry_knows_it_by_its_name(name: str) -> None:
    gateway = registry.get(name)
    assert gateway.name == name
    assert set(gateway.credential_names) <= set(ACCOUNTS[name])
    assert not set(gateway.credential_names) & set(gateway.optional_credential_names)


def test_an_unknown_gateway_is_named_in_the_error() -> None:
    with pytest.raises(LookupError, match="pigeon"):
        registry.get("pigeon")


@EVERY_GATEWAY
@pytest.mark.parametrize("count", [0, 1, 2, 499, 500, 501, 1203])
def test_each_text_is_in_exactly_one_call(name: str, count: int) -> None:
    gateway = registry.get(name)
    batch = texts(count)
    calls = gateway.calls(batch, account(name))

    assert [text for call in calls for text in call.texts] == batch
    assert all(1 <= len(call.texts) <= gateway.texts_per_call for call in calls)
    for call in calls:
        assert call.method in ("GET", "POST")
        assert call.url.startswith("https://provider.example/")
        call.url.encode("ascii")


@EVERY_GATEWAY
def test_calls_are_the_same_for_the_same_texts(name: str) -> None:
    gateway = registry.get(name)
    assert gateway.calls(texts(3), account(name)) == gateway.calls(texts(3), account(name))


@EVERY_GATEWAY
def test_credentials_do_not_stand_in_any_repr(name: str) -> None:
    assert not any(secret in repr(account(name)) for secret in SECRETS)
    for call in registry.get(name).calls(texts(3), account(name)):
        assert not any(secret in repr(call) for secret in SECRETS)
        assert "Basic" not in repr(call)


@EVERY_GATEWAY
@pytest.mark.parametrize("status", [200, 201, 400, 401, 404, 429, 500, 503])
@pytest.mark.parametrize(
    "shape",
    [
        "no such key {0} {1} {2}",
        '{{"error": "{0} {1}", "error_text": "{0} {1}", "message": "{2}", "code": 1}}',
        '{{"messages": [{{"error": "{0} {1} {2}"}}], "bulkId": "x"}}',
        "<r><error>{0} {1} {2}</error></r>",
    ],
)
def test_an_answer_that_repeats_the_credentials_is_masked(
    name: str, status: int, shape: str
) -> None:
    own = [secret for secret in SECRETS if secret in ACCOUNTS[name].values()]
    said = shape.format(*[secret if secret in own else "-" for secret in SECRETS])
    if name == "mitto":
        said = said.replace(SECRETS[2], "-")  # the webhook's secret never reaches the send call
    for call, outcomes in read(name, 1, Answer(status, {}, said.encode())):
        assert_one_outcome_each(call, outcomes)


@EVERY_GATEWAY
@pytest.mark.parametrize(
    ("status", "headers", "fate", "stops"),
    [
        (429, {}, Fate.RETRY, False),
        (429, {"retry-after": "7"}, Fate.RETRY, False),
        (503, {"retry-after": "7"}, Fate.RETRY, False),
        (503, {}, Fate.UNKNOWN, False),
        (500, {}, Fate.UNKNOWN, False),
        (502, {"retry-after": "7"}, Fate.UNKNOWN, False),
        (504, {}, Fate.UNKNOWN, False),
        (302, {"location": "/"}, Fate.UNKNOWN, False),
        (401, {}, Fate.RETRY, True),
        (403, {}, Fate.RETRY, True),
        (400, {}, Fate.FAILED, False),
        (422, {}, Fate.FAILED, False),
    ],
)
@pytest.mark.parametrize("body", [b"", b"{}", b"<html>", b'{"messageId": "x", "sid": 1}'])
def test_the_status_decides_as_the_table_says(
    name: str, *, status: int, headers: dict[str, str], fate: Fate, stops: bool, body: bytes
) -> None:
    for call, outcomes in read(name, 2, Answer(status, headers, body)):
        assert_one_outcome_each(call, outcomes)
        for outcome in outcomes:
            assert outcome.fate is fate
            assert outcome.stop_sender is stops
            assert outcome.code
            if fate is Fate.RETRY and "retry-after" in headers:
                assert outcome.retry_after == 7.0


FATES = {
    Action.FINAL: Fate.FAILED,
    Action.SUPPRESS: Fate.FAILED,
    Action.RETRY: Fate.RETRY,
    Action.STOP: Fate.RETRY,
}
# How each provider says a code of its own.
SAYING: dict[str, Callable[[str], dict[str, object]]] = {
    "lime": lambda code: {"error": code, "error_text": "Words"},
    "twilio": lambda code: {"code": int(code), "message": "Words"},
}
EVERY_CODE = pytest.mark.parametrize(
    ("name", "code"),
    [(name, code) for name in sorted(registry.GATEWAYS) for code in registry.get(name).codes],
)


def refusal(name: str, code: str) -> Answer:
    """The provider's answer that says a code of its table."""
    if code in STATUSES:
        return Answer(int(code.removeprefix("http-")), {"retry-after": "7"}, b"")
    return Answer(400, {"retry-after": "7"}, json.dumps(SAYING[name](code)).encode())


@EVERY_CODE
def test_each_code_of_the_table_does_what_its_row_says(name: str, code: str) -> None:
    meaning = registry.get(name).codes[code]
    for call, outcomes in read(name, 2, refusal(name, code)):
        assert_one_outcome_each(call, outcomes)
        for outcome in outcomes:
            assert outcome.code == code
            assert outcome.fate is FATES[meaning.action]
            assert outcome.suppress is (meaning.action is Action.SUPPRESS)
            assert outcome.stop_sender is (meaning.action is Action.STOP)


# The seeds' categories: what is retried is a rate limit or the network, and never a bad number.
RETRYABLE = {Category.RATE_LIMIT, Category.NETWORK, Category.UNREACHABLE}


@EVERY_GATEWAY
def test_a_codes_category_agrees_with_what_it_does(name: str) -> None:
    gateway = registry.get(name)
    for code, meaning in [*gateway.codes.items(), *gateway.receipt_codes.items()]:
        assert isinstance(meaning, Meaning)
        assert 0 < len(code) <= 20, "the log keeps as much"
        if meaning.action is Action.RETRY:
            assert meaning.category in RETRYABLE, code
        if meaning.category in (Category.RATE_LIMIT, Category.NETWORK):
            assert meaning.action is Action.RETRY, code
        assert (meaning.action is Action.SUPPRESS) == (meaning.category is Category.OPTED_OUT), code
        if meaning.rest:
            assert meaning.category is Category.RATE_LIMIT, code
        if meaning.category is Category.INVALID_NUMBER:
            assert meaning.action is Action.FINAL, code


@EVERY_GATEWAY
def test_what_every_http_provider_means_by_a_status_is_in_its_table(name: str) -> None:
    assert STATUSES.items() <= registry.get(name).codes.items()


@EVERY_GATEWAY
@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_code_that_no_table_explains_is_kept_as_it_came(name: str, status: int) -> None:
    said = SAYING.get(name, lambda _code: {"anything": 1})("77777")
    for _, outcomes in read(name, 1, Answer(status, {}, json.dumps(said).encode())):
        assert outcomes[0].fate is Fate.FAILED
        assert outcomes[0].code == ("77777" if name in SAYING else f"http-{status}")
        assert outcomes[0].code not in registry.get(name).codes
        assert not is_ours(outcomes[0].code)


@EVERY_GATEWAY
@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("word", sorted({*slot.WORDS.values(), slot.LEASE_EXPIRED, "curl-99"}))
def test_a_call_without_an_answer_leaves_a_word_of_ours(
    name: str, *, written: bool, word: str
) -> None:
    for call in registry.get(name).calls(texts(1), account(name)):
        (outcome,) = outcomes_without_answer(call, NoAnswer(written, word))
        assert is_ours(outcome.code)


@EVERY_GATEWAY
@pytest.mark.parametrize(("written", "fate"), [(True, Fate.UNKNOWN), (False, Fate.RETRY)])
def test_without_an_answer_what_was_written_decides(
    name: str, *, written: bool, fate: Fate
) -> None:
    for call in registry.get(name).calls(texts(2), account(name)):
        outcomes = outcomes_without_answer(call, NoAnswer(written, "timeout"))
        assert_one_outcome_each(call, outcomes)
        assert {outcome.fate for outcome in outcomes} == {fate}


statuses = st.one_of(st.sampled_from([200, 201, 202, 400, 429, 500, 503]), st.integers(100, 599))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(["error", "error_text", "messageId", "messages", "bulkId", "sid", "code",
                         "message", "trafficAccountId", "destination", "error_code"])
        | st.text(max_size=5),
        inner,
        max_size=5,
    ),
    max_leaves=25,
)  # fmt: skip
bodies = st.one_of(
    st.binary(max_size=300),
    values.map(lambda value: json.dumps(value).encode()),
    values.map(lambda value: json.dumps({"bulkId": "b", "messages": value}).encode()),
    values.map(lambda value: json.dumps({"bulkId": "b", "messages": [value, value]}).encode()),
    st.text(alphabet="<>/error_tx &;!", max_size=60).map(str.encode),
)
headers = st.dictionaries(st.just("retry-after"), st.text(max_size=8) | st.just("3"))


@EVERY_GATEWAY
@given(status=statuses, headers=headers, body=bodies)
def test_any_answer_gives_one_outcome_per_text(
    name: str, status: int, headers: dict[str, str], body: bytes
) -> None:
    for call, outcomes in read(name, 2, Answer(status, headers, body)):
        assert_one_outcome_each(call, outcomes)
        if not 200 <= status < 300:
            assert all(outcome.fate is not Fate.ACCEPTED for outcome in outcomes)
        if status >= 500 and status != 503:
            assert all(outcome.fate is Fate.UNKNOWN for outcome in outcomes)
        if 200 <= status < 300 and name != "lime":
            assert all(outcome.fate in (Fate.ACCEPTED, Fate.UNKNOWN) for outcome in outcomes)


@EVERY_GATEWAY
@pytest.mark.parametrize(
    "body",
    [
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b"[" * 9_000 + b"]" * 9_000,
        b'{"messages": [' + b"[" * 9_000 + b"]" * 9_000 + b"]}",
        b'{"messages": [' + b'{"error":' * 4_000 + b"1" + b"}" * 4_000 + b"]}",
        b"<a>" * 200_000,
        b'{"sid": ' + b"9" * 100_000 + b"}",
        b"[" + b"0," * 300_000 + b"0]",
        b'{"error":' * 4_000 + b'"' + b"x" * 900_000 + b'"' + b"}" * 4_000,
        ENTITIES,
        '{"sid": "\ud800"}'.encode("utf-8", "surrogatepass"),
        b'{"sid": "\\ud800\\u0000", "messageId": "\\ud800\\u0000", "code": "\\u0000"}',
        b'{"error": "\\ud800\\u0000", "message": "\\u0000", "code": "\\u0000"}',
        b'{"messages": [{"messageId": "\\u00001"}], "bulkId": "\\u0000"}',
        b"\0\0",
        b'\xff\xfe{\x00"\x00',
    ],
    ids=range(16),
)
@pytest.mark.timeout(10)
def test_hostile_answers_are_read_in_no_time(name: str, body: bytes) -> None:
    for status in (200, 400):
        for call, outcomes in read(name, 1, Answer(status, {}, body)):
            assert_one_outcome_each(call, outcomes)
            for outcome in outcomes:
                kept = (outcome.detail, outcome.provider_id, outcome.bulk_id, outcome.code)
                assert b"\0" not in "".join(kept).encode()


@EVERY_GATEWAY
def test_a_call_of_another_kind_is_read_as_well(name: str) -> None:
    """A call that lost its adapter's own fields, as after a restart, still gives outcomes."""
    gateway: Gateway = registry.get(name)
    plain: Callable[[Call], Call] = lambda call: Call(  # noqa: E731
        call.method, call.url, call.headers, call.body, call.texts
    )
    call = plain(gateway.calls(texts(1), account(name))[0])
    assert_one_outcome_each(call, gateway.read(call, Answer(200, {}, b"{}")))


@EVERY_GATEWAY
def test_an_address_with_strange_characters_makes_a_valid_request(name: str) -> None:
    strange: Any = replace(account(name), address="Café & Co")
    (call, *_) = registry.get(name).calls(texts(1), strange)
    call.url.encode("ascii")
