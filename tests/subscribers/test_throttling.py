"""A key's quota: exact, told in headers, and no reason to refuse an opt-out while Valkey is away."""

from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from campaigns.models import Campaign
from subscribers import throttling
from subscribers.models import ApiKey, Brand, Workspace
from tests.subscribers.conftest import api_key, make_key, together


@pytest.fixture
def campaign(brand: Brand) -> Campaign:
    return Campaign.objects.create(brand=brand, name="Sale")


def get(client: Client, key: str, campaign: Campaign) -> HttpResponse:
    return client.get(f"/api/campaigns/{campaign.pk}", headers=api_key(key))


def test_the_quota_is_told_and_what_is_over_it_is_refused(
    client: Client, workspace: Workspace, campaign: Campaign
) -> None:
    key = make_key(workspace, per_minute=3)

    answers = [get(client, key, campaign) for _ in range(4)]

    assert [one.status_code for one in answers] == [200, 200, 200, 429]
    assert answers[0].headers["RateLimit-Policy"] == '"default";q=3;w=60'
    assert [one.headers["RateLimit"].split(";")[1] for one in answers] == [
        "r=2",
        "r=1",
        "r=0",
        "r=0",
    ]
    assert 1 <= int(answers[3].headers["Retry-After"]) <= 60
    assert answers[3].json()["code"] == "throttled"


def test_a_key_without_a_figure_has_the_installations(
    client: Client, workspace: Workspace, campaign: Campaign
) -> None:
    assert get(client, make_key(workspace), campaign).headers["RateLimit-Policy"] == (
        '"default";q=100;w=60'
    )


def test_one_keys_requests_cost_another_key_nothing(
    client: Client, workspace: Workspace, campaign: Campaign
) -> None:
    busy, other = make_key(workspace, per_minute=1), make_key(workspace, per_minute=1)
    get(client, busy, campaign)

    assert get(client, busy, campaign).status_code == 429
    assert get(client, other, campaign).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_requests_at_the_same_moment_are_counted_one_by_one(workspace: Workspace) -> None:
    key = ApiKey.objects.get_from_key(make_key(workspace, per_minute=5))

    quotas = together(*[lambda: throttling.count(key, "default") for _ in range(12)])

    assert sum(not quota.refused for quota in quotas) == 5


def test_events_have_a_quota_of_their_own(workspace: Workspace) -> None:
    key = ApiKey.objects.get_from_key(make_key(workspace))

    assert throttling.count(key, throttling.EVENTS).limit == 50
    assert throttling.count(key, throttling.DEFAULT).remaining == 99


def test_nobody_is_refused_while_valkey_is_away(
    client: Client, workspace: Workspace, campaign: Campaign, settings: Any
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1"
    key = make_key(workspace, per_minute=1)

    answers = [get(client, key, campaign) for _ in range(3)]

    assert {one.status_code for one in answers} == {200}


def test_an_unknown_key_is_told_so_and_counts_for_nobody(client: Client, db: None) -> None:
    answer: Any = client.get("/api/campaigns/1", headers=api_key("nobody.secret"))

    assert answer.status_code == 401
    assert "RateLimit" not in answer.headers
