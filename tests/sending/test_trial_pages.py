"""Test sends as the API and the admin ask for them: parsed, answered number by number, behind the wall."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from campaigns.models import Campaign
from sending import credits
from sending.models import CreditAccount, SentLog, TestNumber, TestRequest
from subscribers import clock, consent
from subscribers.models import Brand, ConsentSource
from tests import sending_world as world
from tests.subscribers.conftest import api_key, make_key

STRANGER = "+12125550155"


@pytest.fixture
def campaign(brand: Brand) -> Campaign:
    return world.make_campaign(
        brand, "Hi {{ first_name | default: 'you' }}, from {{ brand }}", launched=False
    )


def refuse(brand: Brand, phone: str) -> None:
    consent.opt_out(
        brand.workspace,
        phone,
        brand=brand,
        at=clock.now(),
        source=ConsentSource.KEYWORD,
        reason="a test",
    )


@pytest.fixture
def key(brand: Brand) -> str:
    return make_key(brand.workspace)


def post(client: Client, key: str, campaign_id: int, body: Any, **headers: str) -> HttpResponse:
    return client.post(
        f"/api/campaigns/{campaign_id}/test",
        body,
        content_type="application/json",
        headers=api_key(key) | headers,
    )


def test_the_api_answers_each_number(client: Client, key: str, campaign: Campaign) -> None:
    refuse(campaign.brand, "+12125550156")

    answer = post(client, key, campaign.pk, {"numbers": [STRANGER, "+12125550156"]})

    text = SentLog.objects.get()
    assert answer.status_code == 202
    assert answer.json() == {
        "success": True,
        "tests": [
            {"number": STRANGER, "id": str(text.id), "reason": ""},
            {"number": "+12125550156", "id": None, "reason": "suppressed"},
        ],
    }
    assert TestRequest.objects.get().asked_by.startswith("API key ")


def test_the_api_repeats_a_request_with_the_same_key_without_sending(
    client: Client, key: str, campaign: Campaign
) -> None:
    body = {"numbers": [STRANGER]}
    headers = {"Idempotency-Key": "abc"}

    first = post(client, key, campaign.pk, body, **headers)
    second = post(client, key, campaign.pk, body, **headers)

    assert first.json() == second.json()
    assert SentLog.objects.count() == 1


def test_the_api_takes_a_message_and_a_subscriber_of_ours_only(
    client: Client, key: str, campaign: Campaign
) -> None:
    other = world.make_brand("ta")
    (stranger,) = world.make_people(other, 1)
    foreign = world.make_campaign(other, launched=False).messages.get()
    own = campaign.messages.get()

    for field, wrong in (("messageId", foreign.pk), ("subscriberId", stranger.pk)):
        answer = post(client, key, campaign.pk, {"numbers": [STRANGER], field: wrong})
        assert (answer.status_code, answer.json()["field"]) == (400, field)
    assert not SentLog.objects.exists()

    assert (
        post(client, key, campaign.pk, {"numbers": [STRANGER], "messageId": own.pk}).status_code
        == 202
    )


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"numbers": []},
        {"numbers": "+12125550155"},
        {"numbers": [{}]},
        {"numbers": ["+12125550155"] * 11},
        {"numbers": ["+12125550155"], "messageId": "x"},
    ],
)
def test_the_api_refuses_what_it_cannot_read(
    client: Client, key: str, campaign: Campaign, body: Any
) -> None:
    answer = post(client, key, campaign.pk, body)

    assert answer.status_code == 400
    assert not SentLog.objects.exists()


def test_the_api_says_what_is_missing(client: Client, key: str, campaign: Campaign) -> None:
    credits.grant(campaign.brand.workspace, 1, note="", actor="tester", reference="one")
    CreditAccount.objects.update(enforced=True)

    answer = post(client, key, campaign.pk, {"numbers": [STRANGER, "+12125550156"]})

    assert (answer.status_code, answer.json()["error"]) == (409, "It needs 1 more credits.")


def test_the_api_refuses_a_launch_without_credits(
    client: Client, key: str, campaign: Campaign
) -> None:
    world.make_people(campaign.brand, 3)
    credits.grant(campaign.brand.workspace, 1, note="", actor="tester", reference="one")
    CreditAccount.objects.update(enforced=True)

    answer = client.post(
        f"/api/campaigns/{campaign.pk}/enqueue",
        content_type="application/json",
        headers=api_key(key),
    )

    assert answer.status_code == 409
    assert answer.json()["error"].startswith("It needs 2 more credits")


def test_a_campaign_of_another_tenant_or_brand_is_not_there(
    client: Client, campaign: Campaign
) -> None:
    brand = campaign.brand
    foreign = make_key(world.make_brand("ta").workspace)
    narrow = make_key(brand.workspace, world.make_brand("tb", workspace=brand.workspace))

    for key in (foreign, narrow):
        assert post(client, key, campaign.pk, {"numbers": [STRANGER]}).status_code == 404
    assert post(client, "nonsense", campaign.pk, {"numbers": [STRANGER]}).status_code == 401
    assert not SentLog.objects.exists()


@pytest.fixture
def operator(client: Client, django_user_model: Any, db: None) -> Client:
    user = django_user_model.objects.create_superuser("operator")
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def panel(campaign: Campaign) -> str:
    return reverse("admin:sending_test_panel", args=[campaign.pk])


def form(campaign: Campaign, numbers: str, key: str = "one") -> dict[str, Any]:
    return {"numbers": numbers, "message": campaign.messages.first().pk, "key": key}


def test_the_campaigns_page_asks_for_the_panel(operator: Client, campaign: Campaign) -> None:
    page = operator.get(reverse("admin:campaigns_campaign_change", args=[campaign.pk]))

    assert panel(campaign) in page.content.decode()
    assert "Send the test" in operator.get(panel(campaign)).content.decode()


def test_the_panel_sends_once_and_says_what_became_of_each_number(
    operator: Client, campaign: Campaign
) -> None:
    refuse(campaign.brand, "+12125550156")
    values = form(campaign, f"{STRANGER},\n+12125550156, hello")

    answer = operator.post(panel(campaign), values)
    operator.post(panel(campaign), values)

    assert answer.context["told"] == [
        (STRANGER, "On its way"),
        ("+12125550156", "The number is suppressed"),
        ("hello", "This is not a phone number"),
    ]
    assert SentLog.objects.count() == 1
    assert TestRequest.objects.get().asked_by == "operator"


@pytest.mark.parametrize("numbers", ["", " , ", ",".join(["+12125550155"] * 11)])
def test_the_panel_refuses_no_numbers_and_too_many(
    operator: Client, campaign: Campaign, numbers: str
) -> None:
    answer = operator.post(panel(campaign), form(campaign, numbers))

    assert answer.context["form"].errors.keys() == {"numbers"}
    assert not SentLog.objects.exists()


def test_the_panel_takes_no_message_of_another_campaign(
    operator: Client, campaign: Campaign
) -> None:
    other = world.make_campaign(campaign.brand, launched=False)

    answer = operator.post(
        panel(campaign), form(campaign, STRANGER) | {"message": other.messages.get().pk}
    )

    assert answer.context["form"].errors.keys() == {"message"}
    assert not SentLog.objects.exists()


def test_the_panel_of_another_tenant_is_not_there_and_viewers_may_not_send(
    client: Client, campaign: Campaign, django_user_model: Any
) -> None:
    user = django_user_model.objects.create_user("marketer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="change_campaign"))
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    for method in (client.get, client.post):
        assert method(panel(campaign), form(campaign, STRANGER)).status_code == 404

    campaign.brand.workspace.members.add(user)
    assert client.get(panel(campaign)).status_code == 200

    user.user_permissions.clear()
    assert client.post(panel(campaign), form(campaign, STRANGER)).status_code == 403
    assert not SentLog.objects.exists()


def test_a_test_number_is_kept_as_e164(operator: Client, brand: Brand) -> None:
    values = {"workspace": brand.workspace_id, "phone": "(212) 555-0155", "note": "Zoe"}

    operator.post(reverse("admin:sending_testnumber_add"), values)

    assert TestNumber.objects.get().phone == STRANGER
