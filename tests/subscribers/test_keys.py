"""API keys: scopes, test keys, rotation with an overlap, and their last use."""

import datetime as dt
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from campaigns.models import Campaign
from subscribers import clock, keys
from subscribers.key_models import Scope
from subscribers.models import ApiKey, Brand, Subscription, Suppression, Workspace
from tests.subscribers.conftest import DAY, api_key, make_brand, make_key, make_person, phone


def upsert(client: Client, key: str, **fields: Any) -> HttpResponse:
    return client.post(
        "/api/subscribers",
        json.dumps({"phone": phone(), **fields}),
        content_type="application/json",
        headers=api_key(key),
    )


def row(key: str) -> ApiKey:
    return ApiKey.objects.get_from_key(key)


def test_a_key_without_the_scope_is_refused_with_the_scopes_name(
    client: Client, workspace: Workspace
) -> None:
    answer = upsert(client, make_key(workspace, scopes=["read", "send"]))

    assert answer.status_code == 403
    assert answer.json()["code"] == "missing_scope"
    assert "subscribers" in answer.json()["error"]
    assert not workspace.subscribers.exists()


def test_a_key_without_read_sees_nothing(
    client: Client, workspace: Workspace, brand: Brand
) -> None:
    campaign = Campaign.objects.create(brand=brand, name="Sale")
    key = make_key(workspace, scopes=["send"])

    answer = client.get(f"/api/campaigns/{campaign.pk}", headers=api_key(key))

    assert answer.status_code == 403


def test_every_view_of_the_api_that_writes_names_its_scope() -> None:
    without = [
        view.__name__
        for view in api_views(get_resolver().url_patterns)
        if any(hasattr(view, method) for method in ("post", "put", "patch", "delete"))
        and getattr(view, "scope", None) not in Scope.values
    ]
    assert without == []


def api_views(patterns: list[Any], path: str = "") -> list[type]:
    found: list[type] = []
    for pattern in patterns:
        here = path + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            found += api_views(pattern.url_patterns, here)
        elif isinstance(pattern, URLPattern) and here.startswith("api/"):
            view = getattr(pattern.callback, "cls", None)
            found += [view] if view else []
    return found


def test_a_test_key_covers_sandbox_brands_alone(client: Client, workspace: Workspace) -> None:
    make_brand(workspace, "live")
    sandbox = make_brand(workspace, "box", sandbox=True)
    key = make_key(workspace, test=True)

    assert list(Brand.objects.for_key(row(key))) == [sandbox]
    answer = upsert(client, key, subscribe_live=True)
    assert (answer.status_code, answer.json()["field"]) == (400, "subscribe_live")
    assert upsert(client, key, subscribe_box=True).status_code == 200


def test_a_test_key_launches_nothing_of_a_live_brand(
    client: Client, workspace: Workspace, brand: Brand
) -> None:
    campaign = Campaign.objects.create(brand=brand, name="Sale")
    campaign.messages.create(body="Hello")
    key = make_key(workspace, brand, test=True)

    answer = client.post(
        f"/api/campaigns/{campaign.pk}/enqueue",
        content_type="application/json",
        headers=api_key(key),
    )

    campaign.refresh_from_db()
    assert (answer.status_code, campaign.status) == (404, Campaign.Status.DRAFT)


def test_a_test_key_without_a_sandbox_opts_nobody_out_of_live_brands(
    client: Client, workspace: Workspace, brand: Brand
) -> None:
    person = make_person(workspace)
    Subscription.objects.create(
        subscriber=person, brand=brand, status="opted_in", opted_in_at=clock.now()
    )

    assert upsert(client, make_key(workspace, test=True), status="OPTOUT").status_code == 200

    assert Subscription.objects.get().status == "opted_in"
    assert not Suppression.objects.exists()


def test_both_keys_work_while_one_is_rotated_and_the_old_one_ends(
    client: Client, workspace: Workspace, brand: Brand
) -> None:
    old = make_key(workspace, brand, scopes=["read", "subscribers"], per_minute=7)

    successor, new = keys.rotate(row(old), now=clock.now(), overlap=DAY)

    assert {upsert(client, key).status_code for key in (old, new)} == {200}
    assert (successor.scopes, successor.per_minute) == (["read", "subscribers"], 7)
    assert list(successor.brands.all()) == [brand]
    ApiKey.objects.filter(pk=row(old).pk).update(expiry_date=clock.now() - dt.timedelta(seconds=1))
    assert upsert(client, old).status_code == 401
    assert upsert(client, new).status_code == 200


def test_a_rotated_key_never_lives_longer_than_it_would_have(workspace: Workspace) -> None:
    soon = clock.now() + dt.timedelta(hours=1)
    key = row(make_key(workspace, expiry_date=soon))

    successor, _ = keys.rotate(key, now=clock.now(), overlap=DAY)

    key.refresh_from_db()
    assert key.expiry_date == soon
    assert successor.expiry_date - clock.now() <= dt.timedelta(hours=1)


def test_a_revoked_key_is_not_rotated(workspace: Workspace) -> None:
    key = row(make_key(workspace))
    ApiKey.objects.filter(pk=key.pk).update(revoked=True)

    with pytest.raises(keys.NotRotatable, match="make a new key"):
        keys.rotate(key, now=clock.now())


def test_the_command_rotates_a_key_and_shows_the_new_one_once(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    old = make_key(workspace)

    call_command("rotate_api_key", row(old).prefix, "--overlap-hours", "2")

    shown = capsys.readouterr().out.split()[1]
    assert row(shown).replaces == row(old)


def test_the_command_says_that_there_is_no_such_key(db: None) -> None:
    with pytest.raises(CommandError, match="no key with this prefix"):
        call_command("rotate_api_key", "nothing")


def test_the_last_use_is_noted_once_a_minute(client: Client, workspace: Workspace) -> None:
    key = make_key(workspace)
    upsert(client, key)
    first = row(key).last_used_at
    upsert(client, key)
    assert first is not None
    assert row(key).last_used_at == first

    ApiKey.objects.update(last_used_at=first - dt.timedelta(minutes=2))
    upsert(client, key)
    assert row(key).last_used_at >= first
