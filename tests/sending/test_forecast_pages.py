"""The forecast as people and programs ask for it: page, command and API, behind the wall."""

import io
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from campaigns import lifecycle
from campaigns.models import Campaign
from sending import funnel
from sending.models import SentLog
from subscribers.models import Brand
from tests import sending_world as world
from tests.subscribers.conftest import api_key, make_key


@pytest.fixture
def campaign(brand: Brand) -> Campaign:
    """A draft to three people, one of whom has opted out and one of whom sleeps."""
    people = world.make_people(brand, 2)
    world.make_people(brand, [world.number(area=world.HAWAII)])
    world.opt_out(brand, people[0])
    world.make_sender(brand)
    return world.make_campaign(brand, launched=False)


def page(campaign: Campaign) -> str:
    return reverse("admin:sending_forecast", args=[campaign.pk])


@pytest.fixture
def marketer(client: Client, brand: Brand, django_user_model: Any) -> Client:
    user = django_user_model.objects.create_user("marketer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_campaign"))
    brand.workspace.members.add(user)
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def run(*args: object) -> str:
    out = io.StringIO()
    call_command(*map(str, args), stdout=out)
    return out.getvalue()


def test_the_page_says_who_gets_it_and_who_does_not(marketer: Client, campaign: Campaign) -> None:
    text = marketer.get(page(campaign)).content.decode()

    for words in ("people get a text", "Has opted out", "Honolulu", "New York", "credits"):
        assert words in text
    assert (
        page(campaign)
        in marketer.get(
            reverse("admin:campaigns_campaign_change", args=[campaign.pk])
        ).content.decode()
    )
    assert not SentLog.objects.exists()


def test_the_page_of_another_tenant_is_not_there(marketer: Client) -> None:
    foreign = world.make_campaign(world.make_brand("ta"), launched=False)

    assert marketer.get(page(foreign)).status_code == 404


def test_the_page_needs_the_right_to_see_campaigns(
    marketer: Client, campaign: Campaign, django_user_model: Any
) -> None:
    django_user_model.objects.get(username="marketer").user_permissions.clear()

    assert marketer.get(page(campaign)).status_code == 403


def test_the_page_says_why_there_is_no_forecast(marketer: Client, campaign: Campaign) -> None:
    lifecycle.cancel(campaign)

    assert "This campaign is cancelled." in marketer.get(page(campaign)).content.decode()


def test_a_pool_has_a_page_too(marketer: Client, campaign: Campaign) -> None:
    pool = world.make_campaign(campaign.brand, launched=False, kind="evergreen")

    answer = marketer.get(page(pool))

    assert [number.figure for number in answer.context["numbers"]][:4] == ["1", "0", "1", "0"]


def test_the_command_prints_the_same(campaign: Campaign) -> None:
    shown = run("forecast", campaign.pk)

    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert "People in the audience 3" in lines
    assert "get none 1" in lines
    assert "Has opted out 1 33.3 %" in lines
    pool = world.make_campaign(campaign.brand, launched=False, kind="evergreen")
    lines = [" ".join(line.split()) for line in run("forecast", pool.pk).splitlines()]
    assert "People whose turn has come 2" in lines


def test_the_command_says_what_is_wrong(campaign: Campaign) -> None:
    with pytest.raises(CommandError, match="There is no campaign 999999"):
        run("forecast", 999_999)
    lifecycle.cancel(campaign)
    with pytest.raises(CommandError, match="cancelled"):
        run("forecast", campaign.pk)


def test_the_api_answers_the_forecast_of_the_keys_own_campaigns(
    client: Client, campaign: Campaign
) -> None:
    address = f"/api/campaigns/{campaign.pk}/forecast"
    own = make_key(campaign.brand.workspace)

    answer = client.get(address, headers=api_key(own)).json()

    assert (answer["audience"], answer["texts"], answer["atOnce"]) == (3, 2, 1)
    assert answer["skipped"] == {"opted_out": 1}
    assert answer["waiting"] == {"outside_hours": 1}
    foreign = make_key(world.make_brand("ta").workspace)
    assert client.get(address, headers=api_key(foreign)).status_code == 404
    lifecycle.cancel(campaign)
    assert client.get(address, headers=api_key(own)).status_code == 409


def test_a_campaigns_page_counts_by_reason_and_leads_to_the_people(
    marketer: Client, campaign: Campaign, django_user_model: Any
) -> None:
    marketer_user = django_user_model.objects.get(username="marketer")
    marketer_user.user_permissions.add(Permission.objects.get(codename="view_sentlog"))
    lifecycle.launch(campaign, now=campaign.created_at)
    world.plan(campaign)

    panel = marketer.get(reverse("admin:sending_progress", args=[campaign.pk])).content.decode()

    link = f"{reverse('admin:sending_sentlog_changelist')}?campaign={campaign.pk}&because=opted_out"
    assert link in panel
    assert "Has opted out" in panel
    found = marketer.get(link).context["cl"].result_list
    assert {row.reason for row in found} == {"opted_out"}
    assert len(found) == 1


def test_every_reason_of_the_log_has_words() -> None:
    titles = [title for _, title in funnel.choices()]

    assert len(set(titles)) == len(titles)
    assert not any("_" in title for title in titles)
    assert funnel.words("something_new") == "Something new"
