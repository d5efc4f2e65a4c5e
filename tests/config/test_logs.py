"""Logs: a line of JSON an event, with every number masked and no secret and no body ever."""

import io
import json
import logging
import sys
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from config import logs
from config.logs import mask
from subscribers import phones

Lines = Callable[[], list[dict[str, Any]]]

# As people, providers, databases and addresses write the same number.
SHAPES = (
    "+17325551234",
    "17325551234",
    "7325551234",
    "(732) 555-1234",
    "732-555-1234",
    "732.555.1234",
    "732 555 1234",
    "+1 732 555 1234",
    "+1 (732) 555-1234",
    "+1-732-555-1234",
    "1-732-555-1234",
    "%2B17325551234",
    "tel:+17325551234",
    "tel:7325551234",
    "0017325551234",
    "01117325551234",
)
AROUND = (
    "{}", "to {} failed", "{}: Opt-out", "phone={}&x=1", "'{}'", '{{"phone": "{}"}}', "/people/{}",
    "/people/{}/", "{}, {}", "<{}>", "({})", "{}.", "{}?", "{}\n", "Key (workspace_id, phone)=(1, {})",
    "phone:{}", "{}-", "[{}]", "{};{}", "x\t{}",
)  # fmt: skip
ABROAD = ("+447911123456", "447911123456", "+306912345678", "+44 7911 123456", "+353 85 123 4567")


@pytest.fixture
def lines() -> Iterator[Lines]:
    """lines() gives what the project's own handler wrote since the test began."""
    handlers = [
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler.formatter, structlog.stdlib.ProcessorFormatter)
    ]
    assert len(handlers) == 1
    stream = io.StringIO()
    before = handlers[0].setStream(stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    handlers[0].setStream(before)


def digits(text: str) -> str:
    return "".join(char for char in text if char.isdigit())


@pytest.mark.parametrize("shape", SHAPES)
def test_a_number_is_masked_however_it_is_written_and_whatever_stands_around_it(
    shape: str,
) -> None:
    for around in AROUND:
        masked = mask(around.replace("{}", shape))

        assert "732555" not in digits(masked), around
        assert "5551234" not in digits(masked), around
        assert "***1234" in masked, around


@pytest.mark.parametrize("number", ABROAD)
def test_a_number_of_another_country_is_masked(number: str) -> None:
    masked = mask(f"to {number}: no answer")

    assert masked.endswith(f"***{digits(number)[-4:]}: no answer")
    assert len(digits(masked)) < len(digits(number)) - 2


@given(
    st.sampled_from(["+1212555%04d", "+44791112%04d", "+4915112%04d"]),
    st.integers(0, 9999),
    st.text(" ,;\"'()[]{}<>=/:?&\n\t|", max_size=3),
    st.text(" ,;\"'()[]{}<>=/:?&\n\t|", max_size=3),
)
def test_no_e164_number_survives(shape: str, last: int, before: str, after: str) -> None:
    number = shape % last

    assert number[1:] not in digits(mask(before + number + after))


def test_a_number_is_masked_like_everywhere_else() -> None:
    assert mask("+17325551234") == phones.mask("+17325551234") == "+1732***1234"


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T01:04:18.090355Z",
        "2026-11-22 01:04:18+00:00",
        "took 12345678.123456789 ms",
        "0.1234567890123",
        "127.0.0.1:5432",
        "192.168.100.200",
        "batch of 500 in 1,234 ms",
        "1735689600",
        "0193a1b2-1234-8123-9123-123456789012",
        "12345678-1234-8123-9123-123456789012",
        "LM17325551234a5b6c7d8e9f0",
        "SM0123456789abcdef0123456789abcdef",
        "v1.2.3",
        "line 1, column 98305",
    ],
)
def test_what_is_no_number_stays_as_it_is(text: str) -> None:
    assert mask(text) == text


@given(st.uuids())
def test_an_id_stays_as_it_is(identity: uuid.UUID) -> None:
    assert mask(f"text {identity} left") == f"text {identity} left"


@pytest.mark.parametrize(
    "address",
    [
        "https://x.test/sendsmsapi?user=s3cret&api_id=t0psecret&mobile=1",
        "/limeApi?ev=optedInNumbers&API_ID=s3cret",
        "https://x.test/?token=s3cret",
        "key=s3cret password=t0psecret",
        "secret='s3cret'",
        "postgresql://carillon:s3cret@db.test:5432/carillon",
        "rediss://:s3cret@cache.test/0",
        "https://user:s3cret@x.test/path",
        "Authorization: Api-Key abcd1234.s3cret",
        "Authorization: Basic s3cret",
        "X-Mitto-API-Key: s3cret",
        '{"password": "s3cret"}',
    ],
)
def test_a_secret_in_an_address_or_a_header_is_masked(address: str) -> None:
    masked = mask(f"GET {address} failed")

    assert "s3cret" not in masked
    assert "t0psecret" not in masked
    assert masked.startswith("GET ")
    assert masked.endswith(" failed")


@given(st.text())
def test_any_text_can_be_masked(text: str) -> None:
    assert isinstance(mask(text), str)


def test_an_event_is_a_line_of_json_with_its_fields(lines: Lines) -> None:
    structlog.get_logger("carillon.test").info("departed", brand="wswd", texts=3)

    (line,) = lines()
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "departed",
        "brand": "wswd",
        "texts": 3,
        "level": "info",
        "logger": "carillon.test",
    }


@pytest.mark.parametrize(
    "value",
    [
        "+17325551234",
        ["+17325551234"],
        {"phone": "+17325551234", "tried": ("17325551234", "x")},
        {"deep": [{"deeper": "to +17325551234"}]},
        ValueError("no route to +17325551234"),
        17325551234,
        b"+17325551234",
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_number_is_masked_wherever_it_hides_in_an_event(lines: Lines, value: object) -> None:
    structlog.get_logger("carillon.test").warning("refused by +17325551234", detail=value)

    text = json.dumps(lines())
    assert "7325551234" not in text
    assert text.count("***1234") >= 2


@pytest.mark.parametrize(
    "field", ["body", "credentials", "authorization", "Authorization", "password", "token"]
)
def test_a_body_and_a_secret_are_never_logged(lines: Lines, field: str) -> None:
    log = structlog.get_logger("carillon.test")

    log.info("received", **{field: "Dear Ada"}, raw={"other": 1, field: "Dear Ada"})

    (line,) = lines()
    assert "Dear Ada" not in json.dumps(line)
    assert line[field] == "***"
    assert line["raw"] == {"other": 1, field: "***"}


def test_what_an_event_was_given_is_not_changed(lines: Lines) -> None:
    raw = {"phone": "+17325551234", "body": "Dear Ada"}

    structlog.get_logger("carillon.test").info("received", raw=raw)

    assert raw == {"phone": "+17325551234", "body": "Dear Ada"}


def test_an_exception_is_one_line_and_masked(lines: Lines) -> None:
    try:
        raise LookupError("nobody has +17325551234")
    except LookupError:
        structlog.get_logger("carillon.test").exception("failed")
        logging.getLogger("somebody.else").exception("failed")

    ours, theirs = lines()
    for line in (ours, theirs):
        assert "LookupError: nobody has +1732***1234" in line["exception"]
        assert line["level"] == "error"


def test_a_line_of_the_standard_library_is_masked_too(lines: Lines) -> None:
    logging.getLogger("urllib3").warning("GET %s?api_id=%s&mobile=%s", "/x", "s3cret", 17325551234)

    (line,) = lines()
    assert line["event"] == "GET /x?api_id=***&mobile=***1234"
    assert line["logger"] == "urllib3"


def test_a_request_is_logged_by_its_route_and_never_by_its_path(
    client: Client, lines: Lines
) -> None:
    client.get("/api/nowhere/+17325551234?token=s3cret")
    client.get("/api/campaigns/17325551234")

    text = json.dumps(lines())
    routes = [line for line in lines() if line["event"] == "request"]
    assert "7325551234" not in text
    assert "s3cret" not in text
    assert [line["route"] for line in routes] == ["", "api/campaigns/<int:campaign_id>"]
    assert [line["status"] for line in routes] == [404, 401]
    assert all(line["ms"] >= 0 and line["method"] == "GET" for line in routes)


def test_a_level_that_does_not_exist_is_named_by_its_variable() -> None:
    before = list(logging.getLogger().handlers)

    with pytest.raises(ImproperlyConfigured, match="LOG_LEVEL is wrong") as refused:
        logs.configure({"level": "LOUD"})

    assert "LOUD" not in str(refused.value)
    assert logging.getLogger().handlers == before
    assert sys.stderr is not None
