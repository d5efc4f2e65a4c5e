"""Consent by API: told with its evidence, given and taken back, and never brought back from outside."""

import datetime as dt
import json
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from subscribers import clock, consent
from subscribers.models import (
    Brand,
    ConsentEvent,
    ConsentSource,
    Subscriber,
    Suppression,
    Workspace,
)
from tests.subscribers.conftest import (
    DAY,
    api_key,
    make_brand,
    make_key,
    make_person,
    make_workspace,
    phone,
    status,
)


@pytest.fixture
def person(workspace: Workspace) -> Subscriber:
    return make_person(workspace, 1)


def post(client: Client, key: str, path: str, **data: Any) -> HttpResponse:
    return client.post(
        f"/api/{path}", json.dumps(data), content_type="application/json", headers=api_key(key)
    )


def get(client: Client, key: str, path: str) -> Any:
    return client.get(f"/api/{path}", headers=api_key(key)).json()


def test_an_opt_in_is_recorded_with_its_evidence_and_told(
    client: Client, key: str, brand: Brand, person: Subscriber
) -> None:
    at = clock.now() - DAY

    answer = post(
        client,
        key,
        f"subscribers/{person.pk}/opt-in",
        brand="wswd",
        at=at.isoformat(),
        evidence={"page": "https://shop.example/join"},
    )

    assert answer.status_code == 200, answer.content
    told = get(client, key, f"subscribers/{person.phone}/consent")
    assert told == answer.json()
    assert [(row["brand"], row["status"]) for row in told["subscriptions"]] == [
        ("wswd", "opted_in")
    ]
    (event,) = told["events"]
    assert (event["kind"], event["source"]) == ("opt_in", "api")
    assert event["evidence"]["page"] == "https://shop.example/join"
    assert dt.datetime.fromisoformat(event["occurredAt"]) == at


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"evidence": {}}, "evidence"),
        ({"evidence": None}, "evidence"),
        ({"brand": "nobody"}, "brand"),
        ({"at": "2999-01-01T00:00:00Z"}, "at"),
    ],
)
@pytest.mark.usefixtures("brand")
def test_an_opt_in_that_proves_nothing_is_refused(
    client: Client, key: str, person: Subscriber, wrong: dict[str, Any], field: str
) -> None:
    asked = {"brand": "wswd", "evidence": {"page": "x"}} | wrong

    answer = post(client, key, f"subscribers/{person.pk}/opt-in", **asked)

    assert (answer.status_code, answer.json()["field"]) == (400, field)
    assert not ConsentEvent.objects.exists()


def test_who_said_stop_stays_out_whatever_the_api_says(
    client: Client, key: str, brand: Brand, person: Subscriber
) -> None:
    consent.opt_out(
        brand.workspace,
        person.phone,
        brand=brand,
        at=clock.now() - DAY,
        source=ConsentSource.KEYWORD,
        reason="STOP",
    )

    post(client, key, f"subscribers/{person.pk}/opt-in", brand="wswd", evidence={"page": "x"})

    assert status(person, brand) == "opted_out"


def test_an_opt_out_takes_effect_before_the_answer(
    client: Client, key: str, brand: Brand, person: Subscriber
) -> None:
    post(client, key, f"subscribers/{person.pk}/opt-in", brand="wswd", evidence={"page": "x"})

    told = post(
        client, key, f"subscribers/{person.pk}/opt-out", brand="wswd", reason="asked by mail"
    ).json()

    assert told["subscriptions"][0]["status"] == "opted_out"
    assert told["suppressions"][0]["reason"] == "asked by mail"
    assert status(person, brand) == "opted_out"


def test_a_number_of_nobody_is_suppressed_and_found(client: Client, key: str, brand: Brand) -> None:
    made = post(
        client, key, "suppressions", phone="(212) 555-1009", brand=None, reason="do not call"
    )
    other = post(client, key, "suppressions", phone=phone(8), brand="wswd", reason="asked")

    assert (made.status_code, other.status_code) == (201, 201)
    (found,) = get(client, key, "suppressions?phone=%2B12125551009")["results"]
    assert (found["phone"], found["brand"], found["source"]) == (phone(9), None, "api")
    assert len(get(client, key, "suppressions")["results"]) == 2
    assert len(get(client, key, "suppressions?brand=wswd")["results"]) == 1


def test_a_suppression_is_not_taken_away_here(client: Client, key: str, brand: Brand) -> None:
    post(client, key, "suppressions", phone=phone(9), brand=None, reason="do not call")

    for method in ("delete", "put", "patch"):
        answer = getattr(client, method)("/api/suppressions", headers=api_key(key))
        assert answer.status_code == 405
    assert Suppression.objects.count() == 1


def test_a_key_of_some_brands_suppresses_in_those_alone(
    client: Client, workspace: Workspace, brand: Brand
) -> None:
    make_brand(workspace, "ta")
    key = make_key(workspace, brand)

    for named in (None, "ta"):
        answer = post(client, key, "suppressions", phone=phone(9), brand=named, reason="asked")
        assert (answer.status_code, answer.json()["field"]) == (400, "brand")
    assert not Suppression.objects.exists()


def test_another_workspaces_consent_is_not_there(client: Client, key: str) -> None:
    other = make_workspace("zenith")
    theirs = make_person(other, 1)
    consent.opt_out(
        other, theirs.phone, brand=None, at=clock.now(), source=ConsentSource.API, reason="x"
    )

    assert get(client, key, "suppressions")["results"] == []
    assert (
        client.get(f"/api/subscribers/{theirs.pk}/consent", headers=api_key(key)).status_code == 404
    )
    answer = post(client, key, f"subscribers/{theirs.pk}/opt-out", brand=None, reason="y")
    assert answer.status_code == 404
    assert ConsentEvent.objects.count() == 1
