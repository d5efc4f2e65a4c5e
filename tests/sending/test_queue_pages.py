"""The queue on a brand's page, and the buttons that stop and start sending."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from campaigns import policy
from campaigns.models import PlatformPolicy
from sending import queues
from sending.models import Sender
from subscribers.models import Brand
from tests import sending_world as world

BACKEND = "django.contrib.auth.backends.ModelBackend"


@pytest.fixture
def client(installed: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("operator"), backend=BACKEND)
    return client


def panel(brand: Brand) -> str:
    return reverse("admin:sending_queue_panel", args=[brand.pk])


def test_the_brands_page_asks_for_its_queue(brand: Brand, client: Client) -> None:
    page = client.get(reverse("admin:subscribers_brand_change", args=[brand.pk])).text

    assert f'hx-get="{panel(brand)}"' in page


def test_the_panel_says_how_the_queue_is(brand: Brand, sender: Sender, client: Client) -> None:
    assert "Nothing waits and nothing is on its way." in client.get(panel(brand)).text
    world.planned_texts(brand, 5)
    world.pass_gate(brand, sender, at_most=2)
    queues.note_departed({brand.pk: 120})

    answer = client.get(panel(brand))

    figures = dict(answer.context["figures"])
    assert figures["Due, bulk"] == "3"
    assert figures["On the way"] == "2"
    assert figures["Texts a second"] != "0.0"
    assert figures["Oldest due"].endswith(" s")
    assert "Nothing holds it back" in answer.text


def test_without_valkey_the_panel_opens_and_says_so(
    brand: Brand, sender: Sender, client: Client, settings: Any
) -> None:
    world.planned_texts(brand, 1)
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    queues._client = None
    try:
        page = client.get(reverse("admin:subscribers_brand_change", args=[brand.pk]))
        answer = client.get(panel(brand))
    finally:
        queues._client = None

    assert (page.status_code, answer.status_code) == (200, 200)
    assert "Valkey cannot be reached: nothing is sent until it is back." in answer.text


def test_a_brand_without_a_sender_is_told_in_words(brand: Brand, client: Client) -> None:
    world.planned_texts(brand, 1)

    assert "The brand has no active sender." in client.get(panel(brand)).text


def test_another_workspaces_queue_does_not_exist(brand: Brand, client: Client) -> None:
    member = User.objects.create_user("member", is_staff=True)
    world.make_brand("other").workspace.members.add(member)
    member.user_permissions.set(Permission.objects.all())
    client.force_login(member, backend=BACKEND)

    assert client.get(panel(brand)).status_code == 404


def test_who_may_not_see_queues_sees_none(brand: Brand, client: Client) -> None:
    client.force_login(User.objects.create_user("guest", is_staff=True), backend=BACKEND)

    assert client.get(panel(brand)).status_code == 403


@pytest.mark.parametrize("of", ["brand", "platform"])
def test_sending_is_stopped_with_a_reason_and_started_by_a_button(
    brand: Brand, client: Client, of: str
) -> None:
    rules = policy.of_brand(brand) if of == "brand" else PlatformPolicy.objects.get()
    model = "brandpolicy" if of == "brand" else "platformpolicy"
    change = reverse(f"admin:campaigns_{model}_change", args=[rules.pk])
    page = client.get(change).text
    off, on = (
        reverse(f"admin:campaigns_{model}_{name}", args=[rules.pk])
        for name in ("switch_off", "switch_on")
    )
    assert off in page
    assert on not in page

    client.get(off)
    rules.refresh_from_db()
    assert rules.sending_enabled, "opening the dialog does nothing"
    answer = client.post(off, {"_form_submitted": "True", "reason": "wrong price"})

    rules.refresh_from_db()
    assert (rules.sending_enabled, rules.off_reason) == (False, "wrong price")
    assert answer.headers["HX-Redirect"] == change
    assert "wrong price" in client.get(panel(brand)).text

    client.post(on, {"_form_submitted": "True"})
    rules.refresh_from_db()
    assert (rules.sending_enabled, rules.off_reason) == (True, "")


def test_the_installations_switch_is_for_operators_alone(brand: Brand, client: Client) -> None:
    member = User.objects.create_user("member", is_staff=True)
    brand.workspace.members.add(member)
    member.user_permissions.set(Permission.objects.all())
    client.force_login(member, backend=BACKEND)
    off = reverse("admin:campaigns_platformpolicy_switch_off", args=[1])

    answer = client.post(off, {"_form_submitted": "True"})

    assert answer.status_code == 403
    assert PlatformPolicy.objects.get().sending_enabled
