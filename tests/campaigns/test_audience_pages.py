"""A campaign's audience on its page: chosen within its workspace, counted before it is saved."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from campaigns.models import Campaign
from subscribers.models import Brand
from subscribers.segment_models import ManualList, ManualListMember, Segment
from subscribers.segments import references
from tests import admin_forms
from tests import sending_world as world

pytestmark = pytest.mark.django_db
CLICKED = {"field": "has_clicked", "op": "is", "value": True}


def new_campaign(client: Client, brand: Brand, **typed: Any) -> dict[str, Any]:
    """The form of a new campaign as it is sent."""
    page = reverse("admin:campaigns_campaign_add")
    return admin_forms.blank(client, page) | {"name": "Sale", "brand": brand.pk, **typed}


@pytest.fixture
def brand() -> Brand:
    return world.make_brand()


@pytest.fixture
def client(brand: Brand) -> Client:
    client = Client()
    operator = User.objects.create_superuser("operator")
    client.force_login(operator, backend="django.contrib.auth.backends.ModelBackend")
    return client


def segment(of: Brand, name: str = "x", **fields: Any) -> Segment:
    return Segment.objects.create(workspace=of.workspace, name=name, tree=CLICKED, **fields)


def test_the_audience_is_counted_before_it_is_saved(client: Client, brand: Brand) -> None:
    keen = world.make_people(brand, 4, has_clicked=True)
    world.make_people(brand, 2)
    staff = ManualList.objects.create(workspace=brand.workspace, name="staff")
    ManualListMember.objects.create(manual_list=staff, subscriber=keen[0])
    url = reverse("admin:campaigns_campaign_audience")
    form = new_campaign(client, brand, campaign=0, **{"messages-TOTAL_FORMS": "0"})

    everybody = client.post(url, {**form, "segment": ""}).content.decode()
    chosen = {**form, "segment": segment(brand).pk, "exclude_lists": [staff.pk]}
    some = client.post(url, chosen).content.decode()

    assert "6 people are opted in to" in everybody
    assert "3 people are opted in to" in some
    client.post(reverse("admin:campaigns_campaign_add"), chosen)
    campaign = Campaign.objects.get()
    assert list(campaign.exclude_lists.all()) == [staff]
    saved = client.post(url, {"campaign": campaign.pk}).content.decode()
    assert "3 people are opted in to" in saved


def test_a_segment_of_another_workspace_or_brand_is_refused(client: Client, brand: Brand) -> None:
    elsewhere = segment(world.make_brand("ta"))
    sister = world.make_brand("sister", workspace=brand.workspace)
    of_sister = segment(brand, brand=sister)
    for wrong in (elsewhere, of_sister):
        for field in ("segment", "exclude_segments"):
            answer = client.post(
                reverse("admin:campaigns_campaign_add"),
                new_campaign(client, brand, **{field: wrong.pk}),
            )
            assert "another" in answer.content.decode()
    assert not Campaign.objects.exists()


def test_what_a_campaign_leaves_out_is_not_deleted_from_under_it(brand: Brand) -> None:
    left_out = segment(brand)
    campaign = world.make_campaign(brand, launched=False)
    campaign.exclude_segments.add(left_out)

    assert references.used_by(left_out) == ["Sale"]
