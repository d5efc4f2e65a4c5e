"""Claims about the page of a campaign with a test share: the winner is chosen there, once."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from campaigns import policy
from campaigns.models import BrandPolicy, Campaign, Message, Run
from subscribers import clock
from subscribers.models import Brand
from tests.subscribers.conftest import make_brand, make_workspace


@pytest.fixture
def brand(db: None) -> Brand:
    return make_brand(make_workspace())


@pytest.fixture
def staff(client: Client, brand: Brand) -> Client:
    client.force_login(User.objects.create_superuser("ada"))
    return client


def in_test(brand: Brand) -> Campaign:
    campaign = Campaign.objects.create(brand=brand, name="Sale", status="running", test_share=20)
    Message.objects.create(campaign=campaign, name="A", body="{{ brand }}. Reply STOP to end")
    now = clock.now()
    Run.objects.create(campaign=campaign, brand=brand, started_at=now, planned_at=now)
    return campaign


def choose(staff: Client, campaign: Campaign, message: Message) -> Any:
    page = reverse("admin:campaigns_campaign_choose_winner", args=[campaign.pk])
    return staff.post(page, {"_form_submitted": "True", "message": message.pk})


def test_the_winner_is_chosen_on_the_campaigns_page(staff: Client, brand: Brand) -> None:
    campaign = in_test(brand)
    page = reverse("admin:campaigns_campaign_change", args=[campaign.pk])
    assert "Choose the winner" in staff.get(page).content.decode()

    choose(staff, campaign, campaign.messages.get())

    assert campaign.runs.get(winner__isnull=False).winner == campaign.messages.get()
    assert "Choose the winner" not in staff.get(page).content.decode()


def test_a_message_of_another_campaign_is_no_choice(staff: Client, brand: Brand) -> None:
    campaign, other = in_test(brand), in_test(brand)

    choose(staff, campaign, other.messages.get())

    assert not campaign.runs.exclude(winner=None).exists()


def test_a_message_shows_what_is_to_be_mended(staff: Client, brand: Brand) -> None:
    campaign = Campaign.objects.create(brand=brand, name="Sale")
    Message.objects.create(campaign=campaign, body="Sale at bit.ly/x, it\u2019s on")

    answer = staff.get(reverse("admin:campaigns_campaign_change", args=[campaign.pk]))

    page = answer.content.decode()
    assert "Mend: Say how to opt out" in page
    assert "Mend: Carriers block links of public shorteners such as bit.ly" in page
    assert "right single quotation mark) once" in page
    assert "As the brand does" in page


def test_the_domains_of_links_are_written_with_commas(staff: Client, brand: Brand) -> None:
    own = policy.of_brand(brand)
    page = reverse("admin:campaigns_brandpolicy_change", args=[own.pk])
    known = staff.get(page).context["adminform"].form.initial
    form = {name: value for name, value in known.items() if value not in (None, False)}

    staff.post(page, form | {"link_domains": "teas.com, shop.example.com"})

    assert BrandPolicy.objects.get(pk=own.pk).link_domains == ["teas.com", "shop.example.com"]
