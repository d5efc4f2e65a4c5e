"""`POST /api/subscribers/bulk`: every row as if it were sent alone, in a few statements a batch."""

import json
from typing import Any

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st
from rest_framework.exceptions import ValidationError

from subscribers import bulk, bulk_rows, consent
from subscribers.api import SubscriberRequest
from subscribers.models import (
    Brand,
    ConsentEvent,
    ConsentSource,
    Subscriber,
    Subscription,
    Suppression,
    Workspace,
)
from tests.subscribers.conftest import (
    JANUARY,
    api_key,
    make_brand,
    make_key,
    make_person,
    phone,
    status,
    together,
)
from tests.subscribers.test_api import SCHEMA


def post(client: Client, key: str, *rows: Any) -> HttpResponse:
    return client.post(
        "/api/subscribers/bulk",
        json.dumps({"subscribers": rows}),
        content_type="application/json",
        headers=api_key(key),
    )


def stream(client: Client, key: str, body: bytes) -> list[dict[str, Any]]:
    answer = client.post(
        "/api/subscribers/bulk", body, content_type="application/x-ndjson", headers=api_key(key)
    )
    assert answer.status_code == 200, answer.content
    return [json.loads(line) for line in answer.getvalue().splitlines()]


def test_each_row_is_answered_in_order(client: Client, key: str, workspace: Workspace) -> None:
    known = make_person(workspace, 1)

    answer = post(
        client,
        key,
        {"phone": phone(0), "firstName": "Ada"},
        {"phone": "12"},
        {"phone": phone(1), "firstName": "Grace"},
    ).json()

    assert (answer["created"], answer["updated"], answer["refused"]) == (1, 1, 1)
    assert [row["status"] for row in answer["results"]] == ["created", "refused", "updated"]
    assert [row["index"] for row in answer["results"]] == [0, 1, 2]
    assert (answer["results"][1]["field"], answer["results"][1]["code"]) == (
        "phone",
        "invalid_phone",
    )
    assert answer["results"][2]["id"] == known.pk
    known.refresh_from_db()
    assert known.first_name == "Grace"


def test_a_row_says_the_same_as_a_request_of_its_own(
    client: Client, key: str, workspace: Workspace, brand: Brand
) -> None:
    make_brand(workspace, "ta")
    alone, bulked = {**SCHEMA, "phone": phone(1)}, {**SCHEMA, "phone": phone(2)}
    client.post(
        "/api/subscribers",
        json.dumps(alone),
        content_type="application/json",
        headers=api_key(key),
    )

    assert post(client, key, bulked).json()["created"] == 1

    own = {"id", "phone", "phone_hash", "created_at", "updated_at"}
    one, two = Subscriber.objects.order_by("phone").values()
    assert {k: v for k, v in one.items() if k not in own} == {
        k: v for k, v in two.items() if k not in own
    }
    assert status(Subscriber.objects.get(pk=two["id"]), brand) == "opted_in"


def test_only_the_given_fields_change(client: Client, key: str, workspace: Workspace) -> None:
    person = make_person(workspace, 1, first_name="Ada", email="ada@example.com", total_clicks=3)

    post(client, key, {"phone": phone(1), "email": "a@example.com"})

    person.refresh_from_db()
    assert (person.first_name, person.email, person.total_clicks) == ("Ada", "a@example.com", 3)


def test_a_number_that_comes_twice_is_a_second_request(
    client: Client, key: str, workspace: Workspace
) -> None:
    answer = post(
        client,
        key,
        {"phone": phone(1), "firstName": "Ada", "totalClicks": 1},
        {"phone": "(212) 555-1001", "firstName": "Grace"},
    ).json()

    assert [row["status"] for row in answer["results"]] == ["created", "updated"]
    person = Subscriber.objects.get()
    assert (person.first_name, person.total_clicks) == ("Grace", 1)


def test_who_said_no_stays_out_and_who_joined_has_evidence(
    client: Client, key: str, workspace: Workspace, brand: Brand
) -> None:
    left = make_person(workspace, 1)
    consent.opt_out(
        workspace, left.phone, brand=brand, at=JANUARY, source=ConsentSource.KEYWORD, reason="STOP"
    )
    rows = [{"phone": phone(n), "subscribe_wswd": True} for n in (1, 2)]

    post(client, key, *rows)
    post(client, key, *rows)

    assert status(left, brand) == "opted_out"
    joined = Subscriber.objects.get(phone=phone(2))
    assert status(joined, brand) == "opted_in"
    (event,) = ConsentEvent.objects.filter(subscriber=joined)
    assert event.evidence["key"]


def test_a_row_opts_out_of_a_brand_and_of_everything(
    client: Client, key: str, workspace: Workspace, brand: Brand
) -> None:
    post(client, key, *[{"phone": phone(n), "subscribe_wswd": True} for n in (1, 2, 3)])

    post(
        client,
        key,
        {"phone": phone(1), "subscribe_wswd": False},
        {"phone": phone(2), "status": "OPTOUT"},
    )

    statuses = Subscription.objects.order_by("subscriber__phone").values_list("status", flat=True)
    assert list(statuses) == ["opted_out", "opted_out", "opted_in"]
    assert Suppression.objects.get(phone=phone(2)).brand is None


def test_a_key_of_some_brands_opts_nobody_out_of_the_others(
    client: Client, workspace: Workspace, brand: Brand
) -> None:
    other = make_brand(workspace, "ta")
    post(client, make_key(workspace), {"phone": phone(1), "subscribe_ta": True})

    post(client, make_key(workspace, brand), {"phone": phone(1), "status": "OPTOUT"})

    assert status(Subscriber.objects.get(), other) == "opted_in"


def test_another_workspaces_people_are_other_people(
    client: Client, key: str, other_workspace: Workspace
) -> None:
    theirs = make_person(other_workspace, 1, first_name="Zoe")

    post(client, key, {"phone": phone(1), "firstName": "Ada"})

    theirs.refresh_from_db()
    assert theirs.first_name == "Zoe"


def test_a_stream_is_read_by_lines_and_bad_ones_are_told(client: Client, key: str) -> None:
    answers = stream(
        client,
        key,
        b'{"phone": "+12125551000"}\n'
        b"\n"
        b"{\n"
        b'{"phone": "+12125551001", "name": "' + b"x" * 70_000 + b'"}\n'
        b'["a list"]\n'
        b'{"phone": "+12125551002"}',
    )

    assert [one["status"] for one in answers] == ["created", *["refused"] * 3, "created"]
    assert all(one["error"] for one in answers[1:4])


def test_more_rows_than_a_batch_holds_are_all_there(
    client: Client, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "BATCH", 100)
    lines = [json.dumps({"phone": phone(n)}) for n in range(350)]

    answers = stream(client, key, "\n".join(lines).encode())

    assert [one["index"] for one in answers] == list(range(350))
    assert Subscriber.objects.count() == 350


def test_too_many_rows_are_refused_before_any_is_read(client: Client, key: str) -> None:
    answer = post(client, key, *[{"phone": phone(1)}] * 10_001)

    assert answer.status_code == 400
    assert "10,000" in answer.json()["error"]
    assert not Subscriber.objects.exists()


@pytest.mark.parametrize("body", ["[]", '{"subscribers": 3}', '{"people": []}'])
def test_what_is_no_list_of_subscribers_is_refused(client: Client, key: str, body: str) -> None:
    answer = client.post(
        "/api/subscribers/bulk", body, content_type="application/json", headers=api_key(key)
    )

    assert (answer.status_code, answer.json()["field"]) == (400, "subscribers")


def test_the_number_of_statements_does_not_grow_with_the_rows(
    client: Client, key: str, brand: Brand
) -> None:
    def statements(first: int, count: int) -> int:
        rows = [{"phone": phone(n), "subscribe_wswd": True} for n in range(first, first + count)]
        with CaptureQueriesContext(
            connection,
        ) as queries:
            post(client, key, *rows)
        return len(queries)

    statements(0, 1)  # fills what is remembered
    assert statements(10, 2) == statements(100, 200)


def test_opt_outs_take_as_many_statements_as_one(
    client: Client, key: str, workspace: Workspace, brand: Brand
) -> None:
    people = [{"phone": phone(n), "subscribe_wswd": True} for n in range(300)]
    post(client, key, *people)

    def statements(first: int, count: int) -> int:
        leaving = [
            {"phone": phone(n), "subscribe_wswd": False} for n in range(first, first + count)
        ]
        gone = [
            {"phone": phone(n), "status": "OPTOUT"} for n in range(first + 100, first + 100 + count)
        ]
        with CaptureQueriesContext(connection) as queries:
            post(client, key, *leaving, *gone)
        return len(queries)

    assert statements(0, 2) == statements(10, 80)
    assert Subscription.objects.filter(status="opted_out").count() == 2 * 82
    assert Suppression.objects.filter(brand=brand).count() == 82
    assert Suppression.objects.filter(brand=None).count() == 82
    assert ConsentEvent.objects.filter(kind="opt_out", subscriber__isnull=False).count() == 2 * 82


def test_ten_thousand_full_rows_fit_into_a_request(client: Client, key: str) -> None:
    """They are 4 MB; 2 MB is what other requests may have."""
    rows = [{"phone": "12", "name": "x" * 200, "acq_source": "y" * 150} for _ in range(10_000)]

    assert post(client, key, *rows).json()["refused"] == 10_000


@pytest.mark.parametrize("body", [b'{"subscribers": [NaN]}', b"{", b"[" * 100_000, b"\xff"])
def test_what_is_no_json_is_refused(client: Client, key: str, body: bytes) -> None:
    answer = client.post(
        "/api/subscribers/bulk", body, content_type="application/json", headers=api_key(key)
    )

    assert (answer.status_code, answer.json()["code"]) == (400, "parse_error")


def test_words_are_stored_as_they_are(client: Client, key: str, brand: Brand) -> None:
    words = """{"a",NULL} \\ \'x\' %s null"""
    row = {"phone": phone(1), "firstName": words, "traits": {words: words, "n": None}}
    row |= {"form_title": words, "subscribe_wswd": True}

    assert post(client, key, row).json()["created"] == 1
    assert post(client, key, row | {"lastName": words}).json()["updated"] == 1

    person = Subscriber.objects.get()
    assert (person.first_name, person.last_name, person.traits) == (words, words, row["traits"])
    assert ConsentEvent.objects.get().evidence["form_title"] == words


@pytest.mark.django_db(transaction=True)
def test_two_that_bring_the_same_people_at_once_both_succeed(workspace: Workspace) -> None:
    key = make_key(workspace)
    rows = [{"phone": phone(n), "totalClicks": n} for n in range(300)]

    answers = together(*[lambda: post(Client(), key, *rows).json() for _ in range(3)])

    assert [one["refused"] for one in answers] == [0, 0, 0]
    assert sum(one["created"] for one in answers) == 300
    assert Subscriber.objects.count() == 300


def test_a_body_without_a_length_is_refused(client: Client, key: str) -> None:
    answer = client.generic(
        "POST",
        "/api/subscribers/bulk",
        content_type="application/x-ndjson",
        headers=api_key(key) | {"Transfer-Encoding": "chunked"},
    )

    assert (answer.status_code, answer.json()["code"]) == (411, "length_required")


words = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["", " ", "Ada", "a@example.com", "a..b@x.co", "é@x.co", "A\u0000", "x" * 250]),
)
values: st.SearchStrategy[Any] = st.one_of(
    words,
    st.booleans(),
    st.none(),
    st.integers(),
    st.floats(),
    st.decimals(places=2, allow_nan=False, allow_infinity=False).map(float),
    st.datetimes(timezones=st.just(None)).map(lambda moment: moment.isoformat() + "Z"),
    st.sampled_from(
        ["2025-01-02T03:04:05+02:00", "2025-01-02", "0001-01-01T00:00:00+01:00", 1e308]
    ),
    st.dictionaries(st.text(max_size=5), st.one_of(st.none(), st.text(max_size=5)), max_size=3),
)
fields = sorted({*SCHEMA} - {"subscribe_wswd", "subscribe_ta"})


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(st.sampled_from(fields), values, max_size=4))
def test_reading_quickly_and_reading_by_the_serializer_agree(row: dict[str, Any]) -> None:
    try:
        quickly = bulk_rows.read({"phone": "+12125551000"} | row)
    except ValidationError:
        quickly = None
    slowly = SubscriberRequest(data={"phone": "+12125551000"} | row)
    expected = dict(slowly.validated_data) if slowly.is_valid() else None
    assert quickly == expected
