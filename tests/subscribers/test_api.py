"""`POST /api/subscribers`: the seed's schema, its answers, and one shape for every error."""

import datetime as dt
import json
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from subscribers import consent
from subscribers.models import (
    ApiKey,
    Brand,
    ConsentEvent,
    ConsentSource,
    Subscriber,
    Suppression,
    Workspace,
)
from tests.subscribers.conftest import (
    DAY,
    JANUARY,
    api_key,
    make_brand,
    make_key,
    make_person,
    phone,
    status,
)

# Every field of the seed's SubscriberUpsertRequest.
SCHEMA: dict[str, Any] = {
    "phone": "+12125551000",
    "name": "Ada Byron",
    "firstName": "Ada",
    "lastName": "Byron",
    "email": "ada@example.com",
    "subscribe_wswd": True,
    "subscribe_ta": False,
    "status": "ACTIVE",
    "hasClicked": True,
    "hasPurchased": True,
    "firstClickAt": "2025-01-02T03:04:05Z",
    "firstPurchaseAt": "2025-01-03T03:04:05.678900Z",
    "totalClicks": 3,
    "totalPurchases": 2,
    "totalRevenue": 19.99,
    "last_engagement": "2025-01-04T03:04:05Z",
    "lastPurchaseAt": "2025-01-05T03:04:05Z",
    "acq_source": "google",
    "acq_campaign": "spring",
    "acq_medium": "cpc",
    "acq_term": "pizza",
    "acq_content": "banner",
    "form_title": "Win a pizza",
    "traits": {"shoe": 42, "tags": ["a", "b"], "state": "NY", "deep": {"n": None}},
    "timezone": "America/Denver",
}


@pytest.fixture
def ta(workspace: Workspace) -> Brand:
    return make_brand(workspace, "ta")


def post(client: Client, key: str, data: Any, **extra: Any) -> HttpResponse:
    body = data if isinstance(data, str | bytes) else json.dumps(data)
    sent = {"content_type": "application/json"} | extra
    return client.post("/api/subscribers", body, headers=api_key(key), **sent)


def accepted(client: Client, key: str, **fields: Any) -> dict[str, Any]:
    """The subscriber of an answer that must be a success."""
    answer = post(client, key, {"phone": phone(), **fields})
    assert answer.status_code == 200, answer.content
    assert answer.json().keys() == {"success", "subscriber"}
    assert answer.json()["success"] is True
    return answer.json()["subscriber"]


def refused(answer: HttpResponse, http: int, code: str, field: str | None = None) -> str:
    """The sentence of an answer that must be an error in the envelope."""
    body = answer.json()
    assert (answer.status_code, body.get("code"), body.get("field")) == (http, code, field), body
    assert body.keys() == {"error", "code", "field"}
    assert code == "parse_error" or body["error"].endswith(".")
    return body["error"]


def test_every_field_of_the_schema_comes_back_as_it_was_sent(
    client: Client, key: str, brand: Brand, ta: Brand
) -> None:
    shown = accepted(client, key, **SCHEMA)

    own = {name: shown.pop(name) for name in ("id", "createdAt")}
    assert shown == SCHEMA
    assert Subscriber.objects.get().pk == own["id"]


def test_every_field_of_the_schema_is_kept_by_an_upsert_that_does_not_name_it(
    client: Client, key: str, brand: Brand, ta: Brand
) -> None:
    before = accepted(client, key, **SCHEMA)

    assert accepted(client, key) == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", ""),
        ("firstName", "Augusta"),
        ("email", "king@example.com"),
        ("hasClicked", False),
        ("firstClickAt", None),
        ("totalClicks", 4),
        ("totalRevenue", 0),
        ("last_engagement", "2025-02-04T03:04:05Z"),
        ("traits", {}),
        ("timezone", "America/Chicago"),
        ("subscribe_wswd", False),
    ],
)
@pytest.mark.usefixtures("brand", "ta")
def test_an_upsert_changes_the_given_field_alone(
    client: Client, key: str, name: str, value: Any
) -> None:
    before = accepted(client, key, **SCHEMA)

    assert accepted(client, key, **{name: value}) == before | {name: value}
    assert Subscriber.objects.count() == 1


def test_a_phone_alone_makes_an_active_subscriber_of_nothing(
    client: Client, key: str, brand: Brand
) -> None:
    shown = accepted(client, key, phone="(212) 555-1000")

    assert shown["phone"] == phone()
    assert (shown["status"], shown["subscribe_wswd"]) == ("ACTIVE", False)
    assert (shown["firstName"], shown["totalRevenue"], shown["traits"]) == ("", 0, {})
    assert not ConsentEvent.objects.exists()


def test_an_upsert_stores_where_the_person_may_be(client: Client, key: str) -> None:
    accepted(client, key, timezone="America/Denver", traits={"state": "CA"})
    accepted(client, key, name="Ada")

    stored = Subscriber.objects.get()
    assert stored.zones == ["America/Denver", "America/Los_Angeles", "America/New_York"]
    assert stored.jurisdictions == ["US", "US-CA", "US-NY"]


@pytest.mark.parametrize("name", ["postcode", "zip"])
def test_a_postcode_among_the_traits_adds_its_place(client: Client, key: str, name: str) -> None:
    accepted(client, key, traits={name: "33101"})

    assert Subscriber.objects.get().jurisdictions == ["US", "US-FL", "US-NY"]


@pytest.mark.parametrize(
    "data", ["", {}, {"phone": ""}, {"phone": None}, {"name": "Ada"}, {"phone": "", "email": "no"}]
)
def test_without_a_phone_the_answer_is_the_seeds_to_the_letter(
    client: Client, key: str, data: Any
) -> None:
    answer = post(client, key, data)

    assert answer.status_code == 400
    assert answer.json() == {"error": "Phone required"}


@pytest.mark.parametrize(
    ("fields", "field", "code"),
    [
        ({"phone": "12345"}, "phone", "invalid_phone"),
        ({"phone": "call me"}, "phone", "invalid_phone"),
        ({"phone": "1" * 41}, "phone", "max_length"),
        ({"phone": {"a": 1}}, "phone", "invalid"),
        ({"phone": True}, "phone", "invalid"),
        ({"firstName": "x" * 101}, "firstName", "max_length"),
        ({"email": "no address"}, "email", "invalid"),
        ({"status": "PENDING"}, "status", "invalid_choice"),
        ({"hasClicked": "perhaps"}, "hasClicked", "invalid"),
        ({"firstClickAt": "yesterday"}, "firstClickAt", "invalid"),
        ({"totalClicks": -1}, "totalClicks", "min_value"),
        ({"totalClicks": 2**31}, "totalClicks", "max_value"),
        ({"totalClicks": 10**400}, "totalClicks", "max_value"),
        ({"totalRevenue": "much"}, "totalRevenue", "invalid"),
        ({"totalRevenue": 10**14}, "totalRevenue", "max_digits"),
        ({"traits": "none"}, "traits", "not_a_dict"),
        ({"traits": {"a": "\x00"}}, "traits", "invalid"),
        ({"traits": {"\x00": 1}}, "traits", "invalid"),
        ({"traits": {"a": ["\ud800"]}}, "traits", "invalid"),
        ({"timezone": "Mars/Olympus"}, "timezone", "invalid"),
        ({"timezone": "../../etc/passwd"}, "timezone", "invalid"),
        ({"subscribe_wswd": "yes"}, "subscribe_wswd", "invalid"),
        ({"subscribe_wswd": None}, "subscribe_wswd", "invalid"),
        ({"subscribe_nope": True}, "subscribe_nope", "invalid"),
        ({"subscribe_": False}, "subscribe_", "invalid"),
    ],
    ids=str,
)
@pytest.mark.usefixtures("brand")
def test_a_field_that_cannot_be_used_is_named_and_nothing_is_written(
    client: Client, key: str, fields: dict[str, Any], field: str, code: str
) -> None:
    answer = post(client, key, {"phone": phone(), "name": "Ada"} | fields)

    refused(answer, 400, code, field)
    assert not Subscriber.objects.exists()


BODIES = {
    "broken": "{",
    "no json": "nonsense",
    "no utf-8": b"\xff\xfe\x00",
    "not a number": '{"phone": NaN}',
    "too many digits": '{"phone": "+12125551000", "traits": {"n": %s}}' % ("9" * 5000),
    "too deep to read": '{"phone": "+12125551000", "traits": {"n": %s}}' % ("[" * 100_000),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_no_json_is_refused(client: Client, key: str, name: str) -> None:
    refused(post(client, key, BODIES[name]), 400, "parse_error")


@pytest.mark.parametrize("number", ["1e999", "-1e999", "[" * 1000 + "]" * 1000])
def test_traits_that_cannot_be_stored_are_refused(client: Client, key: str, number: str) -> None:
    body = f'{{"phone": "+12125551000", "traits": {{"n": {number}}}}}'

    refused(post(client, key, body), 400, "invalid", "traits")


def test_a_body_that_is_too_large_is_refused(client: Client, key: str) -> None:
    answer = post(client, key, {"phone": phone(), "traits": {"x": "x" * 3_000_000}})

    refused(answer, 413, "too_large")
    assert not Subscriber.objects.exists()


@pytest.mark.parametrize("data", ["[]", '[{"phone": "+12125551000"}]', '"phone"', "7", "null"])
def test_json_that_is_no_object_is_refused(client: Client, key: str, data: str) -> None:
    refused(post(client, key, data), 400, "invalid")


def test_a_body_of_another_type_is_refused(client: Client, key: str) -> None:
    answer = post(client, key, "phone=1", content_type="application/x-www-form-urlencoded")

    refused(answer, 415, "unsupported_media_type")


def test_another_method_is_refused(client: Client, key: str) -> None:
    answer = client.delete("/api/subscribers", headers=api_key(key))

    refused(answer, 405, "method_not_allowed")


def test_the_brand_of_another_tenant_is_refused_like_one_that_does_not_exist(
    client: Client, key: str, brand: Brand, other_workspace: Workspace
) -> None:
    theirs = make_brand(other_workspace, "theirs")

    answer = post(client, key, {"phone": phone(), f"subscribe_{theirs.slug}": True})
    unknown = post(client, key, {"phone": phone(), "subscribe_unknown": True})

    sentence = refused(answer, 400, "invalid", "subscribe_theirs")
    assert sentence == refused(unknown, 400, "invalid", "subscribe_unknown")
    assert not ConsentEvent.objects.exists()


def test_the_same_number_at_another_tenant_is_another_person(
    client: Client, key: str, brand: Brand, other_workspace: Workspace
) -> None:
    theirs = make_person(other_workspace, name="Grace")
    their_brand = make_brand(other_workspace)

    shown = accepted(client, key, name="Ada", subscribe_wswd=True, status="OPTOUT")

    theirs.refresh_from_db()
    assert shown["id"] != theirs.pk
    assert (theirs.name, theirs.status) == ("Grace", "ACTIVE")
    assert not consent.is_suppressed(other_workspace, phone(), their_brand)


def test_a_key_of_one_brand_reaches_that_brand_alone(
    client: Client, workspace: Workspace, brand: Brand, ta: Brand
) -> None:
    scoped = make_key(workspace, ta)

    shown = accepted(client, scoped, subscribe_ta=True)
    answer = post(client, scoped, {"phone": phone(), "subscribe_wswd": True})

    assert shown["subscribe_ta"] is True
    assert "subscribe_wswd" not in shown
    refused(answer, 400, "invalid", "subscribe_wswd")
    assert status(Subscriber.objects.get(), brand) == ""


def test_a_missing_or_foreign_authorization_is_401_and_says_what_to_send(client: Client) -> None:
    for header in (None, "Bearer abc", "Api-Key", "Api-Key ", "Basic YTpi"):
        headers = {"Authorization": header} if header else {}
        answer = client.post(
            "/api/subscribers", "{}", content_type="application/json", headers=headers
        )

        assert "Authorization: Api-Key <key>" in refused(answer, 401, "not_authenticated")
        assert answer["WWW-Authenticate"] == "Api-Key"


@pytest.mark.django_db
@pytest.mark.parametrize("given", ["nonsense", "abcd1234.nonsense", ".", "é.ü", "x" * 10_000])
def test_an_unknown_key_is_401(client: Client, given: str) -> None:
    refused(post(client, given, {"phone": phone()}), 401, "authentication_failed")


@pytest.mark.parametrize(
    "change", [{"revoked": True}, {"expiry_date": timezone.now() - dt.timedelta(seconds=1)}]
)
def test_a_revoked_or_expired_key_is_401_and_changes_nothing(
    client: Client, key: str, change: dict[str, Any]
) -> None:
    accepted(client, key)
    ApiKey.objects.update(**change)

    refused(post(client, key, {"phone": phone(1)}), 401, "authentication_failed")

    assert Subscriber.objects.count() == 1


def test_a_key_is_stored_as_a_hash(key: str) -> None:
    row = ApiKey.objects.get()

    assert key.partition(".")[2] not in repr(vars(row))


def test_an_opt_in_is_kept_with_the_key_and_the_form(
    client: Client, key: str, brand: Brand
) -> None:
    accepted(client, key, subscribe_wswd=True, form_title="Win a pizza")

    event = ConsentEvent.objects.get()
    assert (event.kind, event.source, event.brand) == ("opt_in", "api", brand)
    assert event.evidence == {"key": ApiKey.objects.get().prefix, "form_title": "Win a pizza"}


def test_status_optout_opts_out_of_the_whole_workspace(
    client: Client, key: str, brand: Brand, ta: Brand
) -> None:
    accepted(client, key, subscribe_wswd=True, subscribe_ta=True)

    shown = accepted(client, key, status="OPTOUT")

    assert (shown["status"], shown["subscribe_wswd"], shown["subscribe_ta"]) == (
        "OPTOUT",
        False,
        False,
    )
    assert Suppression.objects.get().brand is None


def test_where_the_person_agreed_is_kept_as_evidence(
    client: Client, key: str, brand: Brand
) -> None:
    body = {"phone": phone(), "subscribe_wswd": True, "consent_address": "203.0.113.9"}

    answer = client.post(
        "/api/subscribers", body, content_type="application/json", headers=api_key(key)
    )

    assert "consent_address" not in answer.json()["subscriber"]
    assert ConsentEvent.objects.get().evidence["address"] == "203.0.113.9"


@pytest.mark.parametrize("address", [7, "x" * 201, "a\x00b", None])
def test_an_address_that_cannot_be_kept_is_refused(
    client: Client, key: str, brand: Brand, address: Any
) -> None:
    body = {"phone": phone(), "subscribe_wswd": True, "consent_address": address}

    answer = client.post(
        "/api/subscribers", body, content_type="application/json", headers=api_key(key)
    )

    assert answer.status_code == 400
    assert not ConsentEvent.objects.exists()


def test_status_active_brings_nobody_back(client: Client, key: str, brand: Brand) -> None:
    accepted(client, key, subscribe_wswd=True)
    accepted(client, key, status="OPTOUT")

    shown = accepted(client, key, status="ACTIVE", subscribe_wswd=True)

    assert (shown["status"], shown["subscribe_wswd"]) == ("OPTOUT", False)
    assert consent.is_suppressed(brand.workspace, phone(), brand)


def test_a_subscriber_made_with_status_optout_is_opted_out_at_once(
    client: Client, key: str, brand: Brand
) -> None:
    shown = accepted(client, key, status="OPTOUT", subscribe_wswd=True)

    assert (shown["status"], shown["subscribe_wswd"]) == ("OPTOUT", False)


def test_subscribing_somebody_who_sent_stop_changes_nothing(
    client: Client, key: str, brand: Brand
) -> None:
    consent.opt_out(
        brand.workspace,
        phone(),
        brand=brand,
        at=JANUARY - 365 * DAY,
        source=ConsentSource.KEYWORD,
        reason="STOP",
    )

    assert accepted(client, key, subscribe_wswd=True)["subscribe_wswd"] is False


def test_the_openapi_description_names_every_field_of_the_schema(client: Client) -> None:
    described = client.get("/api/schema", headers={"Accept": "application/json"}).json()

    properties = described["components"]["schemas"]["SubscriberRequest"]["properties"]
    by_brand = {name for name in SCHEMA if name.startswith("subscribe_")}
    assert properties.keys() == SCHEMA.keys() - by_brand
