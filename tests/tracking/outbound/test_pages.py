"""Endpoints and deliveries in the admin: what a marketer does with them."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from subscribers.models import Brand, Membership
from tests.tracking.outbound.conftest import Receiver, happen, make_endpoint
from tracking.outbound import courier, endpoints
from tracking.outbound.models import WebhookDelivery, WebhookEndpoint

URL = "https://hooks.example.com/carillon"


@pytest.fixture
def client(brand: Brand) -> Client:
    user = User.objects.create_user("ada", is_staff=True)
    user.user_permissions.set(Permission.objects.all())
    Membership.objects.create(workspace=brand.workspace, user=user)
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def press(client: Client, action: str, row: Any) -> Any:
    """Confirm an action's dialog; answers the page that follows."""
    name = type(row)._meta.model_name
    button = reverse(f"admin:tracking_{name}_{action}", args=[row.pk])
    done = client.post(button, {"_form_submitted": "True"})
    return client.get(done.headers["HX-Redirect"])


def save(client: Client, of: Brand, **fields: Any) -> Any:
    page = reverse("admin:tracking_webhookendpoint_add")
    values = {
        "url": URL,
        "workspace": of.workspace_id,
        "event_types": ["text.failed", "reply.received"],
        "enabled": "on",
    }
    return client.post(page, values | fields, follow=True)


def test_an_endpoint_is_made_with_a_secret_that_is_shown(client: Client, brand: Brand) -> None:
    shown = save(client, brand, brand=brand.pk).content.decode()

    endpoint = WebhookEndpoint.objects.get()
    assert (endpoint.brand, endpoint.event_types) == (brand, ["text.failed", "reply.received"])
    assert endpoints.secret_of(endpoint) in shown.replace("&#x2B;", "+")


def test_an_address_of_our_own_network_is_refused_in_words(
    client: Client, brand: Brand, settings: Any
) -> None:
    settings.WEBHOOKS_ALLOW_LOCAL = False
    shown = save(client, brand, url="https://169.254.169.254/latest").content.decode()

    assert "not on the public internet" in shown
    assert not WebhookEndpoint.objects.exists()


def test_an_example_is_sent_and_its_delivery_seen_and_sent_again(
    client: Client, brand: Brand, receiver: Receiver
) -> None:
    endpoint = make_endpoint(brand.workspace, receiver.url)
    press(client, "send_example", endpoint)
    courier.deliver_due()
    delivery = WebhookDelivery.objects.get()

    page = reverse("admin:tracking_webhookdelivery_change", args=[delivery.pk])
    shown = client.get(page).content.decode()
    assert "thanks" in shown
    assert receiver.ids()[0] in shown
    press(client, "replay", delivery)
    courier.deliver_due()
    assert receiver.ids()[0] == receiver.ids()[1]


def test_a_paused_endpoint_says_so_and_what_was_given_up_is_sent_again(
    client: Client, brand: Brand, receiver: Receiver
) -> None:
    endpoint = make_endpoint(brand.workspace, receiver.url)
    happen(endpoint, 2)
    courier.deliver_due()
    WebhookDelivery.objects.update(state="given_up")
    WebhookEndpoint.objects.update(
        failures=10,
        paused_until="2090-01-01T00:00Z",
        status_reason="Paused after 10 failures in a row.",
    )

    shown = client.get(reverse("admin:tracking_webhookendpoint_changelist")).content.decode()
    assert "Paused after 10 failures in a row." in shown
    assert "2 events are sent again." in press(client, "replay", endpoint).content.decode()


def test_a_secret_is_shown_and_rotated(client: Client, brand: Brand) -> None:
    endpoint = make_endpoint(brand.workspace, URL)
    first = endpoints.secret_of(endpoint)

    shown = press(client, "show_secret", endpoint).content.decode()
    assert first in shown.replace("&#x2B;", "+")
    press(client, "rotate_secret", endpoint)
    endpoint.refresh_from_db()
    assert endpoint.secrets["previous"] == first


def test_deleting_an_endpoint_deletes_its_deliveries(
    client: Client, brand: Brand, receiver: Receiver
) -> None:
    endpoint = make_endpoint(brand.workspace, receiver.url)
    happen(endpoint)
    courier.deliver_due()

    page = reverse("admin:tracking_webhookendpoint_delete", args=[endpoint.pk])
    client.post(page, {"post": "yes"})

    assert not WebhookEndpoint.objects.exists()
    assert not WebhookDelivery.objects.exists()


def test_who_may_only_look_sends_nothing_again(
    client: Client, brand: Brand, receiver: Receiver
) -> None:
    endpoint = make_endpoint(brand.workspace, receiver.url)
    happen(endpoint)
    courier.deliver_due()
    user = User.objects.get()
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))

    button = reverse("admin:tracking_webhookdelivery_replay", args=[endpoint.deliveries.get().pk])
    assert client.post(button, {"_form_submitted": "True"}).status_code == 403
    assert WebhookDelivery.objects.get().state == "delivered"
